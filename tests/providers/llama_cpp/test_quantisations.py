"""Which file of a repository is taken."""

from __future__ import annotations

import pytest

from flowgpt_magic.errors import ModelNotSupportedError
from flowgpt_magic.providers.llama_cpp.hub import HubFile, Repository
from flowgpt_magic.providers.llama_cpp.quantisations import choose, variants

BARTOWSKI = [f"Model-7B-Instruct-{name}.gguf" for name in ("f16", "IQ4_XS", "Q2_K", "Q4_0", "Q4_K_L", "Q4_K_M", "Q8_0")]
QWEN = [
    *("qwen2.5-7b-instruct-q4_0-00001-of-00002.gguf", "qwen2.5-7b-instruct-q4_0-00002-of-00002.gguf"),
    *("qwen2.5-7b-instruct-q4_k_m-00001-of-00002.gguf", "qwen2.5-7b-instruct-q4_k_m-00002-of-00002.gguf"),
    "qwen2.5-7b-instruct-q2_k.gguf",
]


def repository(*files: str) -> Repository:
    sized = tuple(HubFile(path, 1000 * (number + 1), "0" * 64) for number, path in enumerate(files))
    return Repository("owner/name", "main", "mit", sized)


@pytest.mark.parametrize(
    ("files", "wanted", "expected"),
    [
        (BARTOWSKI, "", ["Model-7B-Instruct-Q4_K_M.gguf"]),
        (BARTOWSKI, "Q8_0", ["Model-7B-Instruct-Q8_0.gguf"]),
        (BARTOWSKI, "q4_k_l", ["Model-7B-Instruct-Q4_K_L.gguf"]),
        (BARTOWSKI, "f16", ["Model-7B-Instruct-f16.gguf"]),
        (BARTOWSKI, "model-7b-instruct-iq4_xs", ["Model-7B-Instruct-IQ4_XS.gguf"]),
        (QWEN, "", QWEN[2:4]),
        (QWEN, "qwen2.5-7b-instruct-q4_0-00001-of-00002.gguf", QWEN[:2]),
        (["phi-4-fp16.gguf", "phi-4-q4.gguf"], "", ["phi-4-q4.gguf"]),
        (["only.gguf"], "", ["only.gguf"]),
        (["model.gguf", "mmproj-model-f16.gguf", "model-imatrix.gguf"], "", ["model.gguf"]),
        (["Q4_K_M/m-00001-of-00001.gguf", "Q8_0/m.gguf"], "", ["Q4_K_M/m-00001-of-00001.gguf"]),
        (["m-Q4_K_M-00001-of-00002.gguf", "m-Q2_K.gguf"], "", ["m-Q2_K.gguf"]),  # the second part is missing
        (["m-BF16.gguf", "m-F32.gguf"], "", ["m-BF16.gguf"]),
    ],
)
def test_the_best_or_the_named_one_is_taken_with_all_of_its_parts(
    files: list[str], wanted: str, expected: list[str]
) -> None:
    assert [file.path for file in choose(repository(*files), wanted).files] == expected


@pytest.mark.parametrize(
    ("files", "wanted", "expected"),
    [
        (["README.gguf.md"], "", "has no model in a GGUF file"),
        ([], "", "has no model in a GGUF file"),
        (BARTOWSKI, "Q4_K_N", r"has no file 'Q4_K_N'; did you mean Q4_K_[ML]\? It has F16 \(0 MB\), .*Q8_0"),
        (["a-Q4_K_M.gguf", "b-Q4_K_M.gguf", "b-Q8_0.gguf"], "", r"several models: name one .*hf:owner/name:FILE: a-Q4"),
        (["a-Q4_K_M.gguf", "b-Q4_K_M.gguf"], "Q4_K_M", "several files for Q4_K_M"),
    ],
)
def test_what_cannot_be_decided_is_refused_with_what_there_is(files: list[str], wanted: str, expected: str) -> None:
    with pytest.raises(ModelNotSupportedError, match=expected):
        choose(repository(*[file for file in files if file.endswith(".gguf")]), wanted)


def test_the_variants_are_listed_by_size() -> None:
    assert [variant.label for variant in variants(repository(*reversed(BARTOWSKI)))][:2] == ["Q8_0", "Q4_K_M"]

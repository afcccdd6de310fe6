"""The header of a GGUF file, and the memory that a model takes."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowgpt_magic.errors import ModelNotSupportedError
from flowgpt_magic.providers.llama_cpp import gguf, weights
from tests.models_on_disk import weights_on_disk


def text(value: str) -> bytes:
    return struct.pack("<Q", len(value.encode())) + value.encode()


def encoded(value: Any) -> bytes:
    """The type and the value of an entry."""
    if isinstance(value, str):
        return struct.pack("<I", gguf.STRING) + text(value)
    if isinstance(value, list):
        items = b"".join(text(item) if isinstance(item, str) else struct.pack("<I", item) for item in value)
        kind = gguf.STRING if value and isinstance(value[0], str) else 4
        return struct.pack("<IIQ", gguf.ARRAY, kind, len(value)) + items
    return struct.pack("<IQ", 10, value)


def header(**entries: Any) -> bytes:
    """The beginning of a file with these entries; ``__`` in a name stands for a dot."""
    body = b"".join(text(name.replace("__", ".")) + encoded(value) for name, value in entries.items())
    return gguf.MAGIC + struct.pack("<IQQ", 3, 0, len(entries)) + body


SMALL = {
    "general__architecture": "llama",
    "general__tags": ["a", "b"],
    "llama__block_count": 30,
    "llama__context_length": 8192,
    "llama__embedding_length": 576,
    "llama__attention__head_count": 9,
    "llama__attention__head_count_kv": 3,
    "tokenizer__ggml__tokens": ["x"] * 3000,
    "llama__behind": 1,
}


def test_the_entries_before_the_tokenizer_are_read(tmp_path: Path) -> None:
    file = tmp_path / "x.gguf"
    file.write_bytes(header(**SMALL))

    entries = gguf.read_header(file)

    assert entries["general.tags"] == ["a", "b"]
    assert entries["llama.block_count"] == 30
    assert not any("tokenizer" in name or "behind" in name for name in entries)


def test_the_memory_is_that_of_the_file_its_cache_and_the_buffers(tmp_path: Path) -> None:
    file = tmp_path / "x.gguf"
    file.write_bytes(header(**SMALL))
    cache = 2 * 2 * 30 * 3 * 64  # bytes per token: keys and values of 2 bytes, 30 layers, 3 heads of 64 numbers

    assert gguf.memory_needed(1000, 4096, gguf.read_header(file)) == 1000 + gguf.OVERHEAD + 4096 * cache
    assert gguf.memory_needed(1000, 10**6, gguf.read_header(file)) == 1000 + gguf.OVERHEAD + 8192 * cache
    assert gguf.memory_needed(1000, 4096) == 1000 + gguf.OVERHEAD + 4096 * gguf.UNKNOWN_CACHE


def test_heads_may_differ_by_layer_and_have_a_width_of_their_own(tmp_path: Path) -> None:
    file = tmp_path / "x.gguf"
    entries = SMALL | {"llama__attention__head_count_kv": [1, 0, 2], "llama__attention__key_length": 128}
    file.write_bytes(header(**dict(sorted(entries.items()))))

    expected = 10 * 2 * 3 * (128 + 64)
    assert gguf.memory_needed(0, 10, gguf.read_header(file)) == gguf.OVERHEAD + expected


def test_the_embedded_model_needs_what_was_measured() -> None:
    file = weights_on_disk() / weights.SMOLLM2.filename

    assert 237e6 < gguf.memory_needed(gguf.size_of(file), 4096, gguf.read_header(file)) < 400e6


def test_the_size_of_a_split_model_is_that_of_all_its_parts(tmp_path: Path) -> None:
    for name in ("m-00001-of-00002.gguf", "m-00002-of-00002.gguf", "m-00001-of-00003.gguf", "m.gguf"):
        (tmp_path / name).write_bytes(b"12345")

    assert gguf.size_of(tmp_path / "m-00001-of-00002.gguf") == 10
    assert gguf.size_of(tmp_path / "m.gguf") == 5


@given(st.data())
def test_a_damaged_header_is_read_as_far_as_it_goes(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    content = bytearray(header(**SMALL))
    for place in data.draw(st.lists(st.integers(4, len(content) - 1), max_size=6)):
        content[place] = data.draw(st.integers(0, 255))
    file = tmp_path_factory.mktemp("damaged") / "x.gguf"
    file.write_bytes(content[: data.draw(st.integers(0, len(content)))])

    entries = gguf.read_header(file)

    assert gguf.memory_needed(1000, 4096, entries) >= 1000


def test_a_gguf_file_is_known_by_its_first_bytes(tmp_path: Path) -> None:
    file = tmp_path / "x.gguf"
    file.write_bytes(header(**SMALL))
    assert gguf.check_gguf(file) == file
    file.write_bytes(b"<html>")
    with pytest.raises(ModelNotSupportedError):
        gguf.check_gguf(file)

"""``%flowgpt install-model``."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from flowgpt_magic.errors import DownloadError, ModelNotSupportedError, OptionError
from flowgpt_magic.magics.commands.install import InstallOptions, read_options
from flowgpt_magic.providers.llama_cpp import catalogue, installed, weights
from flowgpt_magic.providers.llama_cpp.downloads import progress_text
from tests.magics.commands.test_models import by_model
from tests.model_hubs import CONTENT, REPOSITORY, ModelHub, serving_models
from tests.shell_states import rows_by_name


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModelHub]:
    monkeypatch.delenv("HF_TOKEN", raising=False)
    with serving_models(ModelHub()) as running:
        monkeypatch.setenv("HF_ENDPOINT", running.hub.url)
        yield running


def test_a_model_of_the_hub_is_installed_listed_chosen_and_removed(run, hub, capsys):
    answer = run(f"install-model hf:{REPOSITORY}")

    assert answer.startswith("%%flowgpt local:tiny-q4_k_m asks it; %flowgpt model local:tiny-q4_k_m")
    told = capsys.readouterr().out
    assert f"tiny-Q4_K_M.gguf from {REPOSITORY}\n1 MB to download" in told
    assert by_model(run("models"))["local:tiny-q4_k_m"]["would it answer?"] == "yes"
    assert "local:tiny-q4_k_m" in run("model local:tiny-q4_k_m")
    assert "local:tiny-q4_k_m (in use)" in by_model(run("models local"))

    assert run("install-model --remove tiny-q4_k_m") == "tiny-q4_k_m is deleted; 1 MB are free again"
    assert "local:tiny-q4_k_m" not in by_model(run("models local"))


def test_the_list_shows_six_models_and_which_are_installed(run):
    folder = installed.folder_of("phi-4")
    folder.mkdir(parents=True)
    (folder / "x.gguf").write_bytes(b"GGUF")
    installed.add(installed.InstalledModel("phi-4", "a/b", ("x.gguf",), 4, "mit"))

    table = run("install-model --list")

    rows = rows_by_name(table)
    assert list(rows) == list(catalogue.CATALOGUE)
    assert len(rows) == 6
    assert {name for name, row in rows.items() if row["installed"]} == {"phi-4"}
    assert rows["smollm2-1.7b"] | {"fits here": ""} == {
        "name": "smollm2-1.7b",
        "parameters": "1.7 billion",
        "download": "1.1 GB",
        "memory needed": "2.0 GB",
        "licence": "Apache-2.0",
        "good for": "short questions in English, quick on any laptop",
        "installed": "",
        "fits here": "",
    }
    assert all(row["fits here"] in ("yes", "no: memory", "no: disk space") for row in rows.values())
    assert "install-model NAME installs one" in table.note


def test_without_a_name_it_installs_the_embedded_model(run, tmp_path):
    other = tmp_path / "other.gguf"
    other.write_bytes(CONTENT)

    with pytest.raises(DownloadError, match="is not the embedded model; use it as the model local:"):
        run(f"install-model --from {other}")
    assert not weights.is_installed()


def test_a_wrong_name_is_refused_with_the_nearest_one_and_the_list(run):
    with pytest.raises(ModelNotSupportedError, match=r"did you mean mistral-small-24b\? install-model --list shows"):
        run("install-model mistral-small")
    with pytest.raises(ModelNotSupportedError, match=r"there is no installed model 'phi-4'\. None is"):
        run("install-model --remove phi-4")


@pytest.mark.parametrize(
    ("line", "options"),
    [
        ("", InstallOptions()),
        ("phi-4 --any-memory", InstallOptions("phi-4", any_memory=True)),
        ("--remove=phi-4", InstallOptions(remove="phi-4")),
        ("--from 'my file.whl'", InstallOptions(source="my file.whl")),
        ("hf:a/b:x=y.gguf", InstallOptions("hf:a/b:x=y.gguf")),
    ],
)
def test_the_line_is_read(line, options):
    assert read_options(line) == options


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("--lst", "no option --lst; did you mean --list"),
        ("--remove", "--remove needs a value"),
        ("phi-4 phi-4-mini", "one model at a time"),
        ("phi-4 --list", "takes NAME or hf:"),
        ("--list=yes", "no option --list=yes"),
    ],
)
def test_a_line_that_cannot_be_is_refused(line, expected):
    with pytest.raises(OptionError, match=expected):
        read_options(line)


def test_the_progress_says_how_far_it_is_and_how_long_it_takes():
    assert progress_text("m", 0, 4 * 10**9, 0) == "m: 0 MB of 4.0 GB · 0 %"
    assert progress_text("m", 10**9, 4 * 10**9, 10**7) == (
        "m: 1.0 GB of 4.0 GB · 25 % · 10 MB a second · about 5 min left"
    )

"""The command line: what is installed and where, and its ways to fail."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from flowgpt_magic import installing
from flowgpt_magic.__main__ import FIRST_PROMPT, main, open_command, parser
from flowgpt_magic.errors import FlowGptError
from flowgpt_magic.providers.llama_cpp.catalogue import CATALOGUE
from tests.model_hubs import REPOSITORY, ModelHub, serving_models


def test_alone_it_says_what_is_installed_and_where(own_settings: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    told = dict(line.split("  ", 1) for line in capsys.readouterr().out.splitlines())
    rows = {name: value.strip() for name, value in told.items()}
    assert rows["providers"].split(", ") == sorted({*rows["providers"].split(", "), "echo", "flowgpt", "local"})
    assert rows["runtime"].startswith("xllamacpp 20")
    assert rows["weights"] == f"not installed; {installing.module('install-model')}"
    assert rows["asked by default"].startswith("nobody: no model is chosen")
    assert rows["data folder"] == f"{own_settings / 'data'} (not there yet)"
    assert rows["settings file"].endswith("settings.toml (not there yet)")
    assert rows["Python"].endswith(sys.executable)


def test_a_failure_is_one_line_and_exit_status_1(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["install-model", "--from", "/no/such/file"]) == 1
    told = capsys.readouterr()
    assert (told.out, told.err) == ("", "/no/such/file cannot be read: No such file or directory.\n")


@pytest.mark.parametrize(("error", "status"), [(FlowGptError("no"), 1), (KeyboardInterrupt(), 130)])
def test_every_command_fails_alike(
    error: BaseException, status: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(_options: object) -> None:
        raise error

    monkeypatch.setattr("flowgpt_magic.__main__.show_status", fail)
    assert main([]) == status
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_an_unknown_command_is_exit_status_2(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["instal-model"])
    assert caught.value.code == 2
    assert "install-model" in capsys.readouterr().err


def test_every_command_says_what_it_does() -> None:
    assert "install-model" in parser().format_help()


def test_it_starts_as_a_module() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "flowgpt_magic"], env=dict(os.environ), capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("flowgpt_magic")
    assert done.stderr == ""


def first_answer(model: str) -> subprocess.CompletedProcess[str]:
    """In a process of its own, because it makes a shell."""
    command = [sys.executable, "-m", "flowgpt_magic", "first-answer", "--model", model]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def test_the_first_answer_shows_what_is_typed_the_answer_and_how_to_go_on():
    ended = first_answer("echo")

    assert ended.returncode == 0
    assert f"In : %%flowgpt echo -t 0\n...: {FIRST_PROMPT}\n\n{FIRST_PROMPT}\n[echo:words" in ended.stdout
    assert "lab" in ended.stdout.splitlines()[-1]
    assert ended.stderr == ""


def test_without_a_first_answer_it_says_why_and_fails():
    ended = first_answer("local:/no/such/file.gguf")

    assert ended.returncode == 1
    assert "/no/such/file.gguf" in ended.stdout + ended.stderr
    assert "Open the notebook" not in ended.stdout


def test_the_line_that_opens_the_notebook_names_a_program_that_exists():
    program = open_command().split()[0]

    assert subprocess.run([program, "--version"], capture_output=True, check=False).returncode == 0


def test_that_line_is_one_command_where_the_environment_has_a_space_in_its_path(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "executable", str(tmp_path / "my env" / "bin" / "python"))

    assert shlex.split(open_command())[0] == str(tmp_path / "my env" / "bin" / "jupyter")


def test_the_models_that_can_be_installed_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["install-model", "--list"]) == 0

    told = capsys.readouterr().out
    assert told.splitlines()[0].split()[:2] == ["name", "parameters"]
    assert all(name in told for name in CATALOGUE)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["phi4"], "did you mean phi-4? install-model --list shows six"),
        (["phi-4", "--list"], "takes one of NAME, --list, --remove NAME and --from FILE"),
        (["--remove", "phi-4"], "there is no installed model 'phi-4'. None is installed"),
    ],
)
def test_a_model_that_is_not_known_is_one_line(
    arguments: list[str], expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["install-model", *arguments]) == 1
    told = capsys.readouterr().err
    assert expected in told
    assert len(told.splitlines()) == 1


def test_a_model_of_a_hub_is_installed_shown_and_removed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("HF_TOKEN", raising=False)
    with serving_models(ModelHub()) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.hub.url)
        assert main(["install-model", f"hf:{REPOSITORY}"]) == 0
    assert capsys.readouterr().out.endswith("ask it with  %%flowgpt local:tiny-q4_k_m\n")
    main([])
    assert "other models      tiny-q4_k_m" in capsys.readouterr().out

    assert main(["install-model", "--remove", "tiny-q4_k_m"]) == 0
    assert capsys.readouterr().out == "tiny-q4_k_m is deleted; 1 MB are free again\n"

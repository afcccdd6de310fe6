"""The command line: what is installed and where, and its ways to fail."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from flowgpt_magic import installing
from flowgpt_magic.__main__ import main, parser
from flowgpt_magic.errors import FlowGptError


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

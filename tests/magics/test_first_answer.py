"""The first answer in a terminal."""

from __future__ import annotations

import shlex
import subprocess
import sys

from flowgpt_magic.magics import first_answer

RUN = "import sys; from flowgpt_magic.magics import first_answer; sys.exit(not first_answer.run({model!r}))"


def run(model: str) -> subprocess.CompletedProcess[str]:
    """In a process of its own, because it makes a shell."""
    command = [sys.executable, "-c", RUN.format(model=model)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def test_it_shows_what_is_typed_the_answer_and_how_to_go_on():
    ended = run("echo")

    assert ended.returncode == 0
    assert f"In : %%flowgpt echo -t 0\n...: {first_answer.PROMPT}\n\n{first_answer.PROMPT}\n[echo:words" in ended.stdout
    assert "lab" in ended.stdout.splitlines()[-1]
    assert ended.stderr == ""


def test_without_an_answer_it_says_why_and_fails():
    ended = run("local:/no/such/file.gguf")

    assert ended.returncode == 1
    assert "/no/such/file.gguf" in ended.stdout + ended.stderr
    assert "Open the notebook" not in ended.stdout


def test_the_line_that_opens_the_notebook_names_a_program_that_exists():
    program = first_answer.open_command().split()[0]

    assert subprocess.run([program, "--version"], capture_output=True, check=False).returncode == 0


def test_that_line_is_one_command_where_the_environment_has_a_space_in_its_path(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "executable", str(tmp_path / "my env" / "bin" / "python"))

    assert shlex.split(first_answer.open_command())[0] == str(tmp_path / "my env" / "bin" / "jupyter")

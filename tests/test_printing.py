"""Text for a standard output that cannot hold every character."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowgpt_magic import printing


def stream(encoding: str, errors: str = "strict") -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors=errors)


@given(st.text(st.characters()), st.sampled_from(["ascii", "cp1252", "utf-8", "latin-1", "utf-16"]))
def test_whatever_comes_can_be_written(text, encoding):
    target = stream(encoding)

    target.write(printing.fitted(text, target))
    target.flush()


@given(st.text(st.characters(codec="utf-8")))
def test_a_stream_that_holds_all_gets_the_text_as_it_is(text):
    assert printing.fitted(text, stream("utf-8")) == text


def test_what_an_encoding_lacks_is_shown_by_its_like_or_its_escape():
    assert printing.fitted("a · b … é 你", stream("ascii")) == r"a - b ... \xe9 \u4f60"
    assert printing.fitted("a · b … é 你", stream("cp1252")) == r"a · b … é \u4f60"
    assert printing.fitted("█▓▒░ ☐ ☑ ┼ ×", stream("ascii")) == "#=:. [ ] [x] + x"  # noqa: RUF001
    assert printing.fitted("half \ud83d", stream("utf-8")) == r"half \ud83d"


def test_a_stream_that_replaces_by_itself_is_left_to_do_so():
    assert printing.fitted("你 · ", stream("ascii", "replace")) == "你 · "


def test_a_program_without_a_standard_output_goes_on(monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)

    printing.write_line("nobody reads this")


SHELL = """
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config
quiet = Config()
quiet.HistoryManager.enabled = False
shell = InteractiveShell.instance(config=quiet)
for cell in {cells!r}:
    shell.run_cell(cell)
print('the end')
"""


def run_cells(*cells: str, python: tuple[str, ...] = (), **environment: str) -> str:
    """What a shell in a process of its own prints for these cells, errors included."""
    code = SHELL.format(cells=["%load_ext flowgpt_magic", *cells])
    done = subprocess.run(
        [sys.executable, *python, "-c", code], env={**os.environ, **environment}, capture_output=True, timeout=90
    )
    return (done.stdout + done.stderr).decode("latin-1")


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_a_shell_shows_replies_tables_and_errors_whatever_its_encoding(encoding):
    shown = run_cells(
        "%flowgpt -m echo tick \u2705 and \u4f60",
        "%flowgpt history",
        "%flowgpt usage",
        "%flowgpt undo \u4f60",
        "%flowgpt -m \u4f60: hello",
        PYTHONIOENCODING=encoding,
    )

    assert "UnicodeEncodeError" not in shown
    assert r"tick \u2705 and \u4f60" in shown
    assert "# echo:words" in shown
    assert shown.rstrip().endswith("the end")


@pytest.mark.parametrize("level", ["-O", "-OO"])
def test_an_optimised_python_answers_and_helps(level):
    shown = run_cells(
        "%flowgpt -m echo hello there", "%flowgpt help", "%flowgpt help set", "%flowgpt providers", python=(level,)
    )

    assert "hello there" in shown
    assert re.search(r"  undo +Undo the last change\. +%flowgpt undo", shown)
    assert "Show or set a setting of this conversation: set NAME" in shown
    for about in ("Repeats the last message.", "SmolLM2-135M-Instruct in this process", "LM Studio"):
        assert about in shown
    assert "Traceback" not in shown

"""``jupyter console`` under a pseudo-terminal: a front end that shows neither Markdown nor updates of an output."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator

import pexpect
import pytest

from tests.terminal.conftest import STEERING

pytest.importorskip("jupyter_console")


@pytest.fixture(scope="module")
def console(tmp_path_factory: pytest.TempPathFactory) -> Iterator[pexpect.spawn[str]]:
    """A console with the extension loaded."""
    folder = tmp_path_factory.mktemp("console")
    own = {"FLOWGPT_MODEL": "echo", "FLOWGPT_HISTORY": ":memory:", "FLOWGPT_DATA_DIR": str(folder)}
    own |= {"IPYTHONDIR": str(folder), "JUPYTER_DATA_DIR": str(folder), "XDG_CONFIG_HOME": str(folder)}
    own |= {"TERM": "xterm", "PROMPT_TOOLKIT_NO_CPR": "1"}
    child = pexpect.spawn(
        sys.executable,
        ["-m", "jupyter_console", "--ZMQTerminalInteractiveShell.banner=", "--simple-prompt", "--no-confirm-exit"],
        env={**os.environ, **own},
        cwd=str(folder),
        encoding="utf-8",
        timeout=60,
        echo=False,
        dimensions=(40, 100),
    )
    child.expect(r"In \[1\]:")
    child.send("%load_ext flowgpt_magic\n")
    child.expect(r"In \[2\]:")
    yield child
    child.sendeof()
    child.expect(pexpect.EOF)
    child.wait()
    child.close()


def run(console: pexpect.spawn[str], line: str, end: str) -> str:
    """What comes out behind ``line``, up to what ends with ``end``."""
    console.send(f"{line}\n")
    console.expect(end)
    return STEERING.sub("", console.before + console.after)


def test_a_console_shows_replies_tables_and_what_to_do_instead_of_the_panel(console):
    reply = run(console, "%flowgpt the answer is 42", r"\[echo:words.*\]")
    history = run(console, "%flowgpt history", "complete")
    panel = run(console, "%flowgpt panel", "to see the conversation")

    assert "the answer is 42" in reply
    assert "prompt" in history
    assert "the panel needs a notebook" in panel

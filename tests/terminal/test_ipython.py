"""The magics in terminal IPython, under a pseudo-terminal."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator

import pexpect
import pytest

COLOURS = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b[=>]|\r")


class Terminal:
    """IPython with the extension loaded and the echo provider as its default."""

    def __init__(self, folder: str) -> None:
        environment = {**os.environ, "FLOWGPT_MODEL": "echo", "IPYTHONDIR": folder, "TERM": "xterm", "NO_COLOR": "1"}
        arguments = ["-m", "IPython", "--no-banner", "--no-confirm-exit", "--simple-prompt", "--colors=NoColor"]
        self.child = pexpect.spawn(sys.executable, arguments, env=environment, encoding="utf-8", timeout=60, echo=False)
        self.child.expect(r"In \[1\]: ")
        self.count = 1
        self.run("%load_ext flowgpt_magic")

    def run(self, line: str) -> str:
        """What comes out between a typed line and the next prompt."""
        self.child.sendline(line)
        return self.next_prompt()

    def next_prompt(self) -> str:
        self.count += 1
        self.child.expect(rf"In \[{self.count}\]: ")
        return COLOURS.sub("", self.child.before)


@pytest.fixture
def terminal(tmp_path) -> Iterator[Terminal]:
    started = Terminal(str(tmp_path))
    yield started
    started.child.close(force=True)


def test_a_reply_is_printed_once_with_who_answered(terminal):
    shown = terminal.run("%flowgpt some **bold** words")

    assert shown.count("some bold words") == 1
    assert "[echo:words" in shown
    assert "Out[" not in shown
    assert "Reply" not in shown


def test_words_are_printed_as_they_arrive_and_an_interrupt_keeps_them(terminal):
    terminal.run("%config FlowGPT.pace = 0.05")
    terminal.child.sendline("r = %flowgpt " + "word " * 500)
    terminal.child.expect("word word")

    terminal.child.sendintr()
    shown = terminal.next_prompt()

    assert "Interrupted: the" in shown
    assert "Traceback" not in shown


def test_a_reply_can_be_assigned_and_used(terminal):
    terminal.run("r = %flowgpt hello there")

    assert "complete hello there" in terminal.run("print(r.status, r.text)")
    assert "[echo:words" in terminal.run("r")


def test_an_error_is_one_line(terminal):
    shown = terminal.run("%flowgpt -m echoo hi").strip()

    assert shown.startswith("ModelNotSupportedError: no model, provider or alias 'echoo'; did you mean echo?")
    assert "Traceback" not in shown


def test_leaving_prints_nothing(terminal):
    terminal.run("%flowgpt hello")

    terminal.child.sendline("exit")
    terminal.child.expect(pexpect.EOF)

    assert COLOURS.sub("", terminal.child.before).strip() == ""

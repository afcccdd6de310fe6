"""Terminal IPython under a pseudo-terminal, with the extension loaded and the echo provider as its default."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pexpect
import pytest

from tests import processes, servers
from tests.kernel.conftest import IN_COLAB, LIMIT, colab_python

__all__ = ["colab_python"]  # a fixture

STEERING = re.compile(r"\x1b[78]|\x1b\[[0-9;?]*[A-Za-z]|\x1b\][^\x07]*\x07|\x1b[=>]|\x1b\(B|\r")
COLUMNS = 100


class Terminal:
    """IPython as it is typed into: with its ``simple`` prompt, or with the one that people have."""

    def __init__(self, folder: Path, *, simple: bool, python: Path | str = sys.executable) -> None:
        own = {"FLOWGPT_MODEL": "echo", "IPYTHONDIR": str(folder), "TERM": "xterm", "NO_COLOR": "1", "PAGER": "cat"}
        own |= {"FLOWGPT_HISTORY": ":memory:", "FLOWGPT_DATA_DIR": str(folder), "XDG_CONFIG_HOME": str(folder)}
        own |= {"PROMPT_TOOLKIT_NO_CPR": "1"}  # nobody would answer where the cursor is
        arguments = ["-m", "IPython", "--no-banner", "--no-confirm-exit", "--colors=NoColor"]
        self.child = pexpect.spawn(
            str(python),
            [*arguments, *(["--simple-prompt"] if simple else [])],
            env={**os.environ, **own},
            cwd=str(folder),
            encoding="utf-8",
            timeout=LIMIT,
            echo=False,
            dimensions=(40, COLUMNS),
        )
        self.end = "\n" if simple else "\r"
        self.count = 0

    def run(self, *lines: str) -> str:
        """What comes out between typed lines and the next prompt."""
        self.child.send("".join(f"{line}{self.end}" for line in lines))
        return self.next_prompt()

    def next_prompt(self) -> str:
        self.count += 1
        self.child.expect(rf"In \[{self.count}\]:")
        return STEERING.sub("", self.child.before)

    @contextmanager
    def running(self) -> Iterator[Terminal]:
        """Wait until it is ready, and kill it at the end."""
        try:
            self.next_prompt()
            self.run("%load_ext flowgpt_magic")
            yield self
        finally:
            processes.kill_group(self.child.pid)
            self.child.wait()  # pexpect's own way of closing gives the child a tenth of a second
            self.child.close()


@pytest.fixture(scope="session", params=["installed", IN_COLAB])
def python(request: pytest.FixtureRequest) -> Path | str:
    """The interpreter with the installed IPython, and the one with the release that Colab has."""
    found: Path | str = request.getfixturevalue("colab_python") if request.param == "Colab" else sys.executable
    return found


@pytest.fixture
def terminal(tmp_path: Path, python: Path | str) -> Iterator[Terminal]:
    """One of the test's own, with the simple prompt."""
    with Terminal(tmp_path, simple=True, python=python).running() as terminal:
        yield terminal


@pytest.fixture(scope="module")
def simple(tmp_path_factory: pytest.TempPathFactory, python: Path | str) -> Iterator[Terminal]:
    """One for all tests of a module that leave it as they found it, with the simple prompt."""
    with Terminal(tmp_path_factory.mktemp("simple"), simple=True, python=python).running() as terminal:
        yield terminal


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory, python: Path | str) -> Iterator[Terminal]:
    """The same with the prompt that people have, which completes and edits several lines."""
    with Terminal(tmp_path_factory.mktemp("real"), simple=False, python=python).running() as terminal:
        yield terminal


@pytest.fixture
def refusing_server() -> Iterator[str]:
    """The address of a server that wants a minute between two requests."""
    with servers.served(servers.answering(servers.whole(b"{}", 429, Retry_After="60"))) as url:
        yield url

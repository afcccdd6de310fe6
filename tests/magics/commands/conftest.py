"""A shell state at which the echo provider answers, and the lines that are run there."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from flowgpt_magic.magics.state import ShellState
from tests.shell_states import new_state, run_line


@pytest.fixture
def state() -> ShellState:
    return new_state()


@pytest.fixture
def run(state: ShellState) -> Callable[[str], Any]:
    """Run a line behind ``%flowgpt``: its first word is the subcommand."""
    return partial(run_line, state)

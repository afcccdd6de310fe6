"""A shell state at which the echo provider answers, and subcommands that are run there."""

from __future__ import annotations

from typing import Any

from flowgpt_magic.magics.commands.table import find_subcommand
from flowgpt_magic.magics.state import ShellState
from flowgpt_magic.notebook.place import NO_CELL
from flowgpt_magic.tables import Table


def new_state() -> ShellState:
    return ShellState(lambda: {"model": "echo"}, {})


def run_line(state: ShellState, line: str) -> Any:
    """Run a line as the magic does: its first word is the subcommand."""
    found = find_subcommand(line, None)
    assert found is not None, f"{line} is a prompt"
    run, rest = found
    return run(state, rest)


def ask(state: ShellState, *asked: str, name: str = "") -> None:
    for prompt in asked:
        list(state.conversation(name).ask(prompt, cell=NO_CELL))


def prompts(state: ShellState, name: str = "") -> list[str]:
    return [turn.prompt for turn in state.conversation(name).turns]


def column(table: Table, name: str) -> list[str]:
    return [row[table.columns.index(name)] for row in table.rows]


def rows_by_name(table: Table) -> dict[str, dict[str, str]]:
    """The rows by their first cell, each by its columns."""
    return {row[0]: dict(zip(table.columns, row, strict=True)) for row in table.rows}

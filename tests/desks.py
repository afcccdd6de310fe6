"""A desk at which the echo provider answers, and subcommands that are run there."""

from __future__ import annotations

from flowgpt_magic import commands
from flowgpt_magic.desk import Desk
from flowgpt_magic.notebook import NO_CELL
from flowgpt_magic.tables import Table


def new_desk() -> Desk:
    return Desk(lambda: {"model": "echo"}, {})


def run_line(desk: Desk, line: str) -> commands.Shown:
    """Run a line as the magic does: its first word is the subcommand."""
    found = commands.command(line, None)
    assert found is not None, f"{line} is a prompt"
    run, rest = found
    return run(desk, rest)


def ask(desk: Desk, *asked: str, name: str = "") -> None:
    for prompt in asked:
        list(desk.conversation(name).ask(prompt, cell=NO_CELL))


def prompts(desk: Desk, name: str = "") -> list[str]:
    return [turn.prompt for turn in desk.conversation(name).turns]


def column(table: Table, name: str) -> list[str]:
    return [row[table.columns.index(name)] for row in table.rows]

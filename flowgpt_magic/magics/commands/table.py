"""The table of the subcommands of ``%flowgpt``, their help, and which one a line calls.

A new subcommand is a function in one of the modules here, named in ``SUBCOMMANDS`` of that module; a new module is one
line in ``SUBCOMMANDS`` below.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from flowgpt_magic.errors import OptionError, closest
from flowgpt_magic.magics import typos
from flowgpt_magic.magics.commands import (
    aliases,
    code,
    comparing,
    conversations,
    files,
    fixing,
    install,
    models,
    panel,
    settings,
    shell,
    templates,
    usage,
)
from flowgpt_magic.magics.commands import help as help_pages
from flowgpt_magic.magics.commands.command import Subcommand, subcommand
from flowgpt_magic.magics.commands.conversations import in_force
from flowgpt_magic.magics.commands.help import HelpPage
from flowgpt_magic.magics.commands.topics import TOPICS
from flowgpt_magic.magics.state import ShellState
from flowgpt_magic.prompt import magic_line

if TYPE_CHECKING:
    from flowgpt_magic.magics.commands.command import Shown


@subcommand(
    "Show this help, or that of one subcommand, option or topic: ``help [TOPIC]``.",
    group="settings",
    examples=("%flowgpt help", "%flowgpt help attach"),
)
def show_help(_state: ShellState, rest: str) -> Shown:
    if not rest:
        return full_help()
    page = help_pages.page(rest, SUBCOMMANDS)
    if page is None:
        hint = closest(rest, [*SUBCOMMANDS, *TOPICS, *magic_line.BY_FLAG])
        raise OptionError(f"there is no help for {rest}{hint} %flowgpt help lists all topics")
    return page


SUBCOMMANDS: dict[str, Subcommand] = {
    **conversations.SUBCOMMANDS,
    **comparing.SUBCOMMANDS,
    **shell.SUBCOMMANDS,
    **panel.SUBCOMMANDS,
    "help": show_help,
    **settings.SUBCOMMANDS,
    **models.SUBCOMMANDS,
    **install.SUBCOMMANDS,
    **aliases.SUBCOMMANDS,
    **files.SUBCOMMANDS,
    **fixing.SUBCOMMANDS,
    **code.SUBCOMMANDS,
    **templates.SUBCOMMANDS,
    **usage.SUBCOMMANDS,
}
TEMPLATE = "template"  # a cell may call it with a text below, or without


def full_help() -> HelpPage:
    """The help of the magics: subcommands, options and topics."""
    return help_pages.overview(SUBCOMMANDS)


def find_subcommand(line: str, body: str | None) -> tuple[Subcommand, str] | None:
    """The subcommand that a magic calls, and the rest of the line; None if the magic is a prompt.

    ``body`` is the body of a cell, None for a line magic. In a cell with a body the line belongs to the prompt, except
    for ``edit N``, ``system`` and ``template NAME``. Raises ``OptionError`` for a mistyped subcommand.
    """
    name, rest = (*line.split(None, 1), "", "")[:2]
    rest = rest.strip()
    if body is not None and (body.strip() or (name == TEMPLATE and rest)):
        text = f"{rest}\n{body}".strip("\n")
        if magic_line.ABOVE_TEXT.fullmatch(line) or (name == TEMPLATE and templates.begins_with_name(rest)):
            return SUBCOMMANDS[name], text
        if name:
            typos.refuse_above_text(name, rest)
        return None
    if body is not None and (not name or (rest and name in SUBCOMMANDS)):
        return None
    if not name:
        return in_force, ""
    bare = name.rstrip("?")
    if (rest in ("-h", "--help") or (bare != name and not rest)) and bare in ("", *SUBCOMMANDS):
        return show_help, bare
    if name not in SUBCOMMANDS:
        typos.refuse_subcommand(name, rest, SUBCOMMANDS)
        return None
    return SUBCOMMANDS[name], rest

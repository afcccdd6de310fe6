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
    conversations,
    files,
    install,
    models,
    panel,
    settings,
    shell,
    templates,
    usage,
)
from flowgpt_magic.magics.commands.command import Subcommand, subcommand
from flowgpt_magic.magics.commands.conversations import in_force
from flowgpt_magic.magics.state import ShellState
from flowgpt_magic.prompt import magic_line

if TYPE_CHECKING:
    from flowgpt_magic.magics.commands.command import Shown


@subcommand("Show this help, or that of one subcommand: ``help [SUBCOMMAND]``.")
def show_help(_state: ShellState, rest: str) -> Shown:
    if not rest:
        return full_help()
    if rest not in SUBCOMMANDS:
        raise OptionError(f"there is no subcommand {rest}{closest(rest, SUBCOMMANDS)} %flowgpt help lists them")
    return f"%flowgpt {rest}: {SUBCOMMANDS[rest].help}"


SUBCOMMANDS: dict[str, Subcommand] = {
    **conversations.SUBCOMMANDS,
    **shell.SUBCOMMANDS,
    **panel.SUBCOMMANDS,
    "help": show_help,
    **settings.SUBCOMMANDS,
    **models.SUBCOMMANDS,
    **install.SUBCOMMANDS,
    **aliases.SUBCOMMANDS,
    **files.SUBCOMMANDS,
    **code.SUBCOMMANDS,
    **templates.SUBCOMMANDS,
    **usage.SUBCOMMANDS,
}
TEMPLATE = "template"  # a cell may call it with a text below, or without
HELP = """\
%%flowgpt [MODEL] [options]        ask; the lines below are the prompt
%flowgpt [MODEL] [options] WORDS   ask in one line
%flowgpt SUBCOMMAND                run a subcommand; %flowgpt alone shows the settings in force

{subcommands}

options:

{options}

  %%flowgpt                        %%flowgpt local -t 0.2 -o answer
  What is a list?                  Write a haiku about rain.

  %%flowgpt -s "Be brief." -f text %%flowgpt -a frame,err --next-cell
  Why is the sky blue?             Correct {{name}}, which made this error.

  %%flowgpt -P stop=["END"]        %%flowgpt -P extra_body={{"repetition_penalty": 1.1}}
  Count to ten, then say END.      Name ten rivers.

  %flowgpt fix                     %flowgpt explain my_function
  %flowgpt edit 2 another prompt   %flowgpt export talk.ipynb

The interrupt button stops a reply and keeps its text. %config FlowGPT.temperature = 0.5 sets a value for all cells;
%config FlowGPT lists the settings.
"""


def full_help() -> str:
    """The help of the magics: usage, subcommands, options and examples."""
    lines = [f"  {name:<12}{subcommand.about}" for name, subcommand in SUBCOMMANDS.items()]
    return HELP.format(subcommands="\n".join(lines), options=magic_line.usage())


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

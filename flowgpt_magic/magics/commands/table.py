"""The subcommands of ``%flowgpt``: each takes the state and the rest of the line, and returns what is shown."""

from __future__ import annotations

from difflib import get_close_matches
from importlib.metadata import version as installed_version
from typing import TYPE_CHECKING

from flowgpt_magic.errors import OptionError, closest
from flowgpt_magic.magics.commands import code as code_commands
from flowgpt_magic.magics.commands import conversations as conversation_commands
from flowgpt_magic.magics.commands import files as file_commands
from flowgpt_magic.magics.commands import models_and_settings as setting_commands
from flowgpt_magic.magics.commands import usage as usage_table
from flowgpt_magic.magics.commands.command import Subcommand, subcommand
from flowgpt_magic.magics.commands.conversations import in_force
from flowgpt_magic.magics.state import ShellState
from flowgpt_magic.prompt import magic_line
from flowgpt_magic.providers import models
from flowgpt_magic.text import counted

if TYPE_CHECKING:
    from flowgpt_magic.magics.commands.command import Shown

SHORT = 3  # letters; words of so few are too much like each other
NEAR = 0.8  # from 0 to 1: how much alike two words are for one to be meant by the other


@subcommand("Let ``asyncio.run`` run inside a cell: ``nested on`` or ``nested off``.")
def nested(state: ShellState, rest: str) -> Shown:
    if rest not in ("on", "off"):
        raise OptionError(f"%flowgpt nested takes on or off{closest(rest, ('on', 'off'))}")
    state.nest(on=rest == "on")
    return f"nested {rest}: asyncio.run {'works' if rest == 'on' else 'is refused'} while a loop runs, as in a cell"


@subcommand("Cancel the replies in flight.")
def stop(state: ShellState, rest: str) -> Shown:
    magic_line.nothing_more("stop", rest)
    count = state.stop()
    return f"stopped: {counted(count, 'reply', 'replies')}" if count else "no reply is in flight"


@subcommand("Open the chat panel, on the conversation that cells ask in or on another one: ``panel [NAME]``.")
def panel(state: ShellState, rest: str) -> Shown:
    name = " ".join(magic_line.words(rest))
    return (conversation_commands.known(state, name) if name else state).panel(name)


@subcommand("Which version this is.")
def version(_desk: ShellState, rest: str) -> Shown:
    magic_line.nothing_more("version", rest)
    return f"flowgpt_magic {installed_version('flowgpt_magic')}"


@subcommand("Show this, or what one subcommand does: ``help [SUBCOMMAND]``.")
def help_(_desk: ShellState, rest: str) -> Shown:
    if not rest:
        return whole_help()
    if rest not in COMMANDS:
        raise OptionError(f"there is no subcommand {rest}{closest(rest, COMMANDS)} %flowgpt help lists them")
    return f"%flowgpt {rest}: {COMMANDS[rest].help}"


COMMANDS: dict[str, Subcommand] = {
    **conversation_commands.COMMANDS,
    "nested": nested,
    "stop": stop,
    "panel": panel,
    "help": help_,
    "version": version,
    **setting_commands.COMMANDS,
    **file_commands.COMMANDS,
    **code_commands.COMMANDS,
    **usage_table.COMMANDS,
}
HELP = """\
%%flowgpt [MODEL] [options]        ask; the lines below are the prompt
%flowgpt [MODEL] [options] WORDS   ask in one line
%flowgpt SUBCOMMAND                one of these; %flowgpt alone shows what is in force

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

A reply can be stopped with the interrupt button; its text is kept. %config FlowGPT.temperature = 0.5 sets a value for
all cells, %config FlowGPT shows what can be set.
"""


def whole_help() -> str:
    """What can be asked and done, with all subcommands and options, and examples."""
    lines = [f"  {name:<12}{each.about}" for name, each in COMMANDS.items()]
    return HELP.format(subcommands="\n".join(lines), options=magic_line.usage())


def command(line: str, body: str | None) -> tuple[Subcommand, str] | None:
    """The subcommand that a magic means, and what stands behind it; None where it means a prompt.

    ``body`` is that of a cell. The line above one begins the prompt, but for ``edit N`` and ``system``; where there is
    none, a cell may be a lone subcommand. Raises ``OptionError`` for a lone word that is nearly one.
    """
    name, rest = (*line.split(None, 1), "", "")[:2]
    rest = rest.strip()
    if body is not None and body.strip():
        text = f"{rest}\n{body}".strip("\n")
        return (COMMANDS[name], text) if magic_line.ABOVE_TEXT.fullmatch(line) else None
    if body is not None and (rest or not name):
        return None
    if not name:
        return in_force, ""
    bare = name.rstrip("?")
    if (rest in ("-h", "--help") or (bare != name and not rest)) and bare in ("", *COMMANDS):
        return help_, bare
    if not rest and name not in COMMANDS:
        _refuse_typo(name)
    return (COMMANDS[name], rest) if name in COMMANDS else None


def _refuse_typo(word: str) -> None:
    """Raise ``OptionError`` for a word that is nearly a subcommand: it would be asked instead of done."""
    known = [name for name in COMMANDS if len(name) > SHORT]
    near = get_close_matches(word.lower(), known, n=1, cutoff=NEAR) if word[0] not in "-{" else []
    if near and not models.is_model_name(word):
        hint = f"did you mean {near[0]}? %flowgpt -- {word} sends it as a prompt"
        raise OptionError(f"there is no subcommand {word}; {hint}")

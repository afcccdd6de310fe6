"""``%flowgpt stop``, ``nested``, ``ai-alias`` and ``version``: the subcommands that concern the whole shell."""

from __future__ import annotations

from importlib.metadata import version as installed_version
from typing import TYPE_CHECKING

from flowgpt_magic.errors import OptionError, closest
from flowgpt_magic.magics.commands.command import Subcommand, subcommand
from flowgpt_magic.prompt import magic_line
from flowgpt_magic.text import counted

if TYPE_CHECKING:
    from flowgpt_magic.magics.commands.command import Shown
    from flowgpt_magic.magics.state import ShellState


@subcommand(
    "Cancel the replies in flight.",
    group="ask",
    examples=("%flowgpt stop", "%flowgpt stop\n%flowgpt show"),
)
def stop(state: ShellState, rest: str) -> Shown:
    magic_line.nothing_more("stop", rest)
    count = state.stop()
    return f"stopped: {counted(count, 'reply', 'replies')}" if count else "no reply is in flight"


@subcommand(
    "Allow ``asyncio.run`` inside a cell: ``nested on`` or ``nested off``.",
    group="settings",
    examples=("%flowgpt nested on", "%flowgpt nested off"),
)
def nested(state: ShellState, rest: str) -> Shown:
    if rest not in ("on", "off"):
        raise OptionError(f"%flowgpt nested takes on or off{closest(rest, ('on', 'off'))}")
    state.nest(on=rest == "on")
    return f"nested {rest}: asyncio.run {'works' if rest == 'on' else 'is refused'} while a loop runs, as in a cell"


@subcommand(
    "Answer ``%ai`` and ``%%ai`` too, for notebooks that use them: ``ai-alias on`` or ``ai-alias off``.",
    group="settings",
    examples=("%flowgpt ai-alias on", "%flowgpt ai-alias off"),
)
def ai_alias(state: ShellState, rest: str) -> Shown:
    if rest not in ("on", "off"):
        raise OptionError(f"%flowgpt ai-alias takes on or off{closest(rest, ('on', 'off'))}")
    owner = state.ai_alias(on=rest == "on")
    if rest == "on":
        replaced = f"; they replace those of {owner} until %flowgpt ai-alias off" if owner else ""
        return f"%ai and %%ai work like %flowgpt and %%flowgpt{replaced}"
    return f"%ai and %%ai are those of {owner} again" if owner else "%ai and %%ai are off"


@subcommand(
    "Show the version of flowgpt_magic.",
    group="settings",
    examples=("%flowgpt version", "%flowgpt version\n%flowgpt providers"),
)
def version(_state: ShellState, rest: str) -> Shown:
    magic_line.nothing_more("version", rest)
    return f"flowgpt_magic {installed_version('flowgpt_magic')}"


SUBCOMMANDS: dict[str, Subcommand] = {
    "stop": stop,
    "nested": nested,
    "ai-alias": ai_alias,
    "version": version,
}

"""``%flowgpt set`` and ``%flowgpt config``: settings of the conversation, and all settings in force."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from flowgpt_magic import settings
from flowgpt_magic.errors import OptionError
from flowgpt_magic.magics.commands.command import NONE, Subcommand, subcommand
from flowgpt_magic.magics.commands.parameters import PARAM_FLAGS, rows_of, set_line, set_named
from flowgpt_magic.magics.state import ShellState
from flowgpt_magic.prompt import magic_line
from flowgpt_magic.providers import aliases, models
from flowgpt_magic.redaction import redact
from flowgpt_magic.tables import Table
from flowgpt_magic.text import cut, short_path

if TYPE_CHECKING:
    from flowgpt_magic.magics.commands.command import Shown


@subcommand(
    "Show or set a setting of this conversation: ``set NAME [VALUE]``, ``set -P NAME=VALUE``; ``none`` unsets it.",
    "Parameters of the provider are set like settings, each without changing the others.",
)
def set_setting(state: ShellState, rest: str) -> Shown:
    if rest.startswith(PARAM_FLAGS):
        return _described_all(state, set_line(state.conversation(), rest))
    name, value = _name_and_value(rest)
    if not name:
        raise OptionError("%flowgpt set takes the name of a setting and a value; %flowgpt config lists the settings")
    if name not in settings.TABLE:
        return _described_all(state, set_named(state.conversation(), name, value))
    if not value:
        return _described(state, name)
    if name == "history":
        raise OptionError(
            "history cannot be set for one conversation: use %config FlowGPT.history = … or FLOWGPT_HISTORY"
        )
    state.conversation().set(**{name: _conversation_value(name, magic_line.unquoted(value))})
    secret = settings.TABLE[name].metadata["secret"] and value.lower() != NONE
    hint = f"; it is not saved, and a restart forgets it; {settings.variable(name)} lasts" if secret else ""
    return _described(state, name) + hint


@subcommand("Show every setting: its value, where the value comes from, and what it does.")
def show_config(state: ShellState, rest: str) -> Shown:
    magic_line.nothing_more("config", rest)
    chosen = effective_settings(state)
    rows: list[tuple[str, ...]] = []
    for name, setting in settings.TABLE.items():
        row = (name, _value(chosen, name), _source(chosen, name), str(setting.metadata["help"]))
        rows += rows_of(chosen, name) or [row]
    file, project = settings.settings_file(), settings.project_file()
    nowhere = "there is no home folder for a settings file: set XDG_CONFIG_HOME to another folder"
    place = nowhere if file.is_relative_to(settings.NOWHERE) else f"your settings file: {short_path(str(file))}"
    places = place + (f"; this project's: {short_path(str(project))}" if project else "")
    return Table(("setting", "value", "from", "what it does"), tuple(rows), places)


def _name_and_value(rest: str) -> tuple[str, str]:
    """``NAME VALUE``, or ``NAME = VALUE``."""
    name, *more = rest.split(None, 1)[:2] or [""]
    value = more[0] if more else ""
    if "=" in name:
        name, _equals, begin = name.partition("=")
        value = f"{begin} {value}".strip()
    return name, value.removeprefix("=").strip()


def _conversation_value(name: str, value: str) -> str | None:
    """``value`` as the conversation stores it; None unsets it."""
    if value.lower() == NONE:
        return None
    return models.canonical_name(value) if name == "model" else value


def effective_settings(state: ShellState) -> settings.Settings:
    """The settings in force, with those of an alias, even if its key is missing."""
    return aliases.apply(state.conversation().settings(), need_key=False)


def _described(state: ShellState, name: str) -> str:
    chosen = effective_settings(state)
    return f"{name}: {_value(chosen, name)} ({_source(chosen, name)}); {settings.TABLE[name].metadata['help']}"


def _described_all(state: ShellState, names: Iterable[str]) -> str:
    """The values in force of some settings and parameters, one a line."""
    chosen = effective_settings(state)
    rows = {row[0]: row for row in rows_of(chosen, "params")}
    further = {name: rows.get(f"params.{name}", ("", NONE, "default")) for name in names}
    return "\n".join(
        _described(state, name) if name in settings.TABLE else f"{name}: {row[1]} ({row[2]})"
        for name, row in further.items()
    )


def _value(chosen: settings.Settings, name: str) -> str:
    value = getattr(chosen, name)
    if value is None or value == "":
        return NONE
    if settings.TABLE[name].metadata["secret"]:
        return "***"
    if isinstance(value, Mapping):
        return ", ".join(f"{row[0].partition('.')[2]} = {row[1]}" for row in rows_of(chosen, name)) or NONE
    if isinstance(value, bool):
        return "on" if value else "off"
    return f"{value:g}" if isinstance(value, float) else cut(redact(short_path(str(value))))


def _source(chosen: settings.Settings, name: str) -> str:
    return redact(short_path(chosen.sources.get(name, "default")))


SUBCOMMANDS: dict[str, Subcommand] = {"set": set_setting, "config": show_config}

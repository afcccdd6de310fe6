"""``%flowgpt set`` and ``%flowgpt config``: settings of the conversation, and all settings in force."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from flowgpt_magic import settings
from flowgpt_magic.errors import OptionError, closest
from flowgpt_magic.magics.commands.command import NONE, Subcommand, subcommand
from flowgpt_magic.magics.state import ShellState
from flowgpt_magic.prompt import magic_line, parameter_syntax
from flowgpt_magic.providers import aliases, models, registry
from flowgpt_magic.redaction import redact, without_secrets
from flowgpt_magic.settings import extra_headers, parameters
from flowgpt_magic.tables import Table
from flowgpt_magic.text import cut, short_path

if TYPE_CHECKING:
    from flowgpt_magic.conversation import Conversation
    from flowgpt_magic.magics.commands.command import Shown

PARAM_FLAGS = ("-P", "--param")


@subcommand(
    "Show or set a setting of this conversation: ``set NAME [VALUE]``, ``set -P NAME=VALUE``; ``none`` unsets it.",
    "Parameters of the provider are set like settings, each without changing the others.",
    group="settings",
    examples=("%flowgpt set temperature 0.2", "%flowgpt set temperature none"),
)
def set_setting(state: ShellState, rest: str) -> Shown:
    if rest.startswith(PARAM_FLAGS):
        return _described_all(state, _set_params(state.conversation(), rest))
    name, value = _name_and_value(rest)
    if not name:
        raise OptionError("%flowgpt set takes the name of a setting and a value; %flowgpt config lists the settings")
    if name not in settings.TABLE:
        return _described_all(state, _set_param(state.conversation(), name, value))
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


@subcommand(
    "Show every setting: its value, where the value comes from, and what it does.",
    group="settings",
    examples=("%flowgpt config", "%config FlowGPT.temperature = 0.2\n%flowgpt config"),
)
def show_config(state: ShellState, rest: str) -> Shown:
    magic_line.nothing_more("config", rest)
    chosen = effective_settings(state)
    rows: list[tuple[str, ...]] = []
    for name, setting in settings.TABLE.items():
        row = (name, _value(chosen, name), _source(chosen, name), str(setting.metadata["help"]))
        rows += _table_rows(chosen, name) or [row]
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


def _set_params(conversation: Conversation, rest: str) -> list[str]:
    """Set the parameters of a line that consists of ``-P NAME=VALUE``; return their names."""
    read = magic_line.read_line(rest, lambda _word: False)
    if read.prompt or read.options.keys() != {"param"}:
        raise OptionError("%flowgpt set -P takes only NAME=VALUE; repeat -P for each parameter")
    return _set(conversation, parameter_syntax.merged(read.options["param"]))


def _set_param(conversation: Conversation, name: str, value: str) -> list[str]:
    """Set the parameter ``name`` of this conversation's provider; an empty ``value`` sets nothing."""
    names = registry.parameter_names(models.find_model(conversation.settings().model))
    if name not in names:
        more = parameters.EXTRA_BODY in names
        advice = f"; %flowgpt set {parameters.EXTRA_BODY} {{…}} adds further fields to the request" if more else ""
        hint = closest(name, [*settings.TABLE, *names])
        raise OptionError(f"there is no setting {name}{hint} %flowgpt config lists the settings{advice}")
    if not value:
        return [name]
    try:
        parsed = None if value.lower() == NONE else parameter_syntax.read(f"{name}={magic_line.unquoted(value)}")[1]
    except ValueError as error:
        raise OptionError(f"%flowgpt set {name}: {error}") from None
    return _set(conversation, {name: parsed})


def _set(conversation: Conversation, values: Mapping[str, Any]) -> list[str]:
    """Set parameters of this conversation and keep the others; None unsets one."""
    from flowgpt_magic.replies.request import check_params

    check_params(models.find_model(conversation.settings().model), values)
    own = {name: value for name, value in values.items() if name in settings.TABLE}
    params = {name: value for name, value in values.items() if name not in own}
    before = conversation.record.parameters.get("params") or {}
    merged = {name: value for name, value in {**before, **params}.items() if value is not None}
    conversation.set(**own, **({"params": merged or None} if params else {}))
    return list(values)


def effective_settings(state: ShellState) -> settings.Settings:
    """The settings in force, with those of an alias, even if its key is missing."""
    return aliases.apply(state.conversation().settings(), need_key=False)


def _described(state: ShellState, name: str) -> str:
    chosen = effective_settings(state)
    return f"{name}: {_value(chosen, name)} ({_source(chosen, name)}); {settings.TABLE[name].metadata['help']}"


def _described_all(state: ShellState, names: Iterable[str]) -> str:
    """The values in force of some settings and parameters, one a line."""
    chosen = effective_settings(state)
    rows = {row[0]: row for row in _table_rows(chosen, "params")}
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
        return ", ".join(f"{row[0].partition('.')[2]} = {row[1]}" for row in _table_rows(chosen, name)) or NONE
    if isinstance(value, bool):
        return "on" if value else "off"
    return f"{value:g}" if isinstance(value, float) else cut(redact(short_path(str(value))))


def _source(chosen: settings.Settings, name: str) -> str:
    return redact(short_path(chosen.sources.get(name, "default")))


def _table_rows(chosen: settings.Settings, name: str) -> list[tuple[str, ...]]:
    """A row for each entry of a setting that is a table; no rows for other settings and empty tables."""
    rows = {"params": _param_rows, extra_headers.EXTRA_HEADERS: _header_rows}
    return rows[name](chosen) if name in rows else []


def _param_rows(chosen: settings.Settings) -> list[tuple[str, ...]]:
    places = parameters.origins(chosen.layers.get("params", ()))
    safe = without_secrets(chosen.params or {})
    return [
        (
            f"params.{name}",
            cut(json.dumps(safe[name], ensure_ascii=False)) if name in safe else "***",
            short_path(places[name].source),
            "a parameter of the provider",
        )
        for name, value in (chosen.params or {}).items()
        if value is not None
    ]


def _header_rows(chosen: settings.Settings) -> list[tuple[str, ...]]:
    """The rows of ``extra_headers``. Secret headers hold the name of a variable, so they can be shown."""
    layers = sorted(chosen.layers.get(extra_headers.EXTRA_HEADERS, ()), key=lambda layer: layer.rank)
    places = {name: short_path(layer.source) for layer in layers for name in layer.values}
    return [
        (f"{extra_headers.EXTRA_HEADERS}.{name}", cut(redact(value)), places.get(name, ""), "a custom header")
        for name, value in (chosen.extra_headers or {}).items()
        if value is not None
    ]


SUBCOMMANDS: dict[str, Subcommand] = {"set": set_setting, "config": show_config}

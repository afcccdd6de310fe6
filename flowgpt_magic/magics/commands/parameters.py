"""Parameters of the provider in ``%flowgpt set`` and ``%flowgpt config``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from flowgpt_magic import settings
from flowgpt_magic.errors import OptionError, closest
from flowgpt_magic.magics.commands.command import NONE
from flowgpt_magic.prompt import magic_line, parameter_syntax
from flowgpt_magic.providers import models, registry
from flowgpt_magic.redaction import redact, without_secrets
from flowgpt_magic.settings import extra_headers, parameters
from flowgpt_magic.text import cut, short_path

if TYPE_CHECKING:
    from flowgpt_magic.conversation import Conversation

PARAM_FLAGS = ("-P", "--param")
SettingRow = tuple[str, ...]


def set_line(conversation: Conversation, rest: str) -> list[str]:
    """Set the parameters of a line that consists of ``-P NAME=VALUE``; return their names."""
    read = magic_line.read_line(rest, lambda _word: False)
    if read.prompt or read.options.keys() != {"param"}:
        raise OptionError("%flowgpt set -P takes only NAME=VALUE; repeat -P for each parameter")
    return _set(conversation, parameter_syntax.merged(read.options["param"]))


def set_named(conversation: Conversation, name: str, value: str) -> list[str]:
    """Set the parameter ``name`` of this conversation's provider; an empty ``value`` sets nothing."""
    names = registry.parameter_names(models.find_model(conversation.settings().model))
    if name not in names:
        more = parameters.BODY in names
        advice = f"; %flowgpt set {parameters.BODY} {{…}} adds further fields to the request" if more else ""
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


def rows_of(chosen: settings.Settings, name: str) -> list[SettingRow]:
    """A row for each entry of a setting that is a table; no rows for other settings and empty tables."""
    rows = {"params": _param_rows, extra_headers.NAME: _header_rows}
    return rows[name](chosen) if name in rows else []


def _param_rows(chosen: settings.Settings) -> list[SettingRow]:
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


def _header_rows(chosen: settings.Settings) -> list[SettingRow]:
    """The rows of ``extra_headers``. Secret headers hold the name of a variable, so they can be shown."""
    layers = sorted(chosen.layers.get(extra_headers.NAME, ()), key=lambda layer: layer.rank)
    places = {name: short_path(layer.source) for layer in layers for name in layer.values}
    return [
        (f"{extra_headers.NAME}.{name}", cut(redact(value)), places.get(name, ""), "a custom header")
        for name, value in (chosen.extra_headers or {}).items()
        if value is not None
    ]

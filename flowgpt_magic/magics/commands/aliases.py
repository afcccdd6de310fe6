"""``%flowgpt alias``, ``update``, ``dealias`` and ``aliases``: short names for a model and its settings."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from flowgpt_magic import keys, settings
from flowgpt_magic.errors import FlowGptError, OptionError, closest
from flowgpt_magic.magics.commands.command import NONE, Subcommand, subcommand
from flowgpt_magic.magics.state import ShellState
from flowgpt_magic.prompt import magic_line, parameter_syntax
from flowgpt_magic.providers import aliases, models
from flowgpt_magic.providers.aliases import Alias
from flowgpt_magic.redaction import redact, without_secrets
from flowgpt_magic.settings import parameters
from flowgpt_magic.tables import Table
from flowgpt_magic.text import cut, short_path

if TYPE_CHECKING:
    from flowgpt_magic.magics.commands.command import Shown

ALIAS_FLAGS = {
    "--endpoint": "base_url",
    "-s": "system",
    "--system": "system",
    "-t": "temperature",
    "--temperature": "temperature",
    "--key-variable": "key_variable",
    "-P": "params",
    "--param": "params",
}
ALIAS_USAGE = "NAME TARGET [--endpoint URL] [-s SYSTEM] [-t NUMBER] [--key-variable NAME] [-P NAME=VALUE …]"


@subcommand(
    "Define an alias: ``alias NAME TARGET [--endpoint URL] [-s SYSTEM] [-t NUMBER] [--key-variable NAME]``.",
    group="models",
    examples=(
        '%flowgpt alias brief echo -s "Be brief."',
        "%flowgpt alias gpu openai_compatible:qwen --endpoint http://127.0.0.1:8000/v1 --key-variable GPU_KEY",
    ),
)
def add_alias(_state: ShellState, rest: str) -> Shown:
    words, fields = _read_line("alias", rest)
    if not words and not fields:
        return _table()
    if len(words) != 2:
        raise OptionError(f"%flowgpt alias takes {ALIAS_USAGE}; quote values with spaces")
    alias = Alias(words[0], words[1], **fields)
    before = aliases.load().get(alias.name)
    _save(alias)
    changed = f"; it asked {redact(before.target)} before" if before and before.target != alias.target else ""
    return _summary(alias) + changed


@subcommand(
    "Change an alias: ``update NAME [TARGET]`` with options of ``alias``; ``none`` removes one.",
    group="models",
    examples=(
        "%flowgpt alias brief echo\n%flowgpt update brief -t 0.2",
        "%flowgpt alias brief echo\n%flowgpt update brief echo:words",
    ),
)
def update_alias(_state: ShellState, rest: str) -> Shown:
    words, fields = _read_line("update", rest)
    if len(words) not in (1, 2) or (len(words) == 1 and not fields):
        raise OptionError(f"%flowgpt update takes {ALIAS_USAGE}, with only what changes; quote values with spaces")
    if len(words) == 2:
        fields["target"] = words[1]
    before = _existing(words[0])
    alias = replace(before, **fields)
    if fields.get("params") == {}:
        alias = replace(alias, extra_headers={})
    elif "params" in fields:
        alias = replace(alias, **_with_params(before, fields["params"]))
    _save(alias)
    return _summary(alias)


@subcommand(
    "Delete an alias: ``dealias NAME``.",
    group="models",
    examples=("%flowgpt alias brief echo\n%flowgpt dealias brief", "%flowgpt alias brief echo\n%flowgpt delete brief"),
)
def remove_alias(_state: ShellState, rest: str) -> Shown:
    words = magic_line.words(rest)
    if len(words) != 1:
        raise OptionError("%flowgpt dealias takes the name of an alias")
    alias = _existing(words[0])
    aliases.remove(alias.name)
    dangling = [other.name for other in aliases.load().values() if other.target == alias.name]
    return f"{alias.name} is no longer an alias; it asked {redact(alias.target)}" + (
        f". Aliases that point to it no longer work: {', '.join(dangling)}" if dangling else ""
    )


@subcommand(
    "List the aliases and what each stands for.",
    group="models",
    examples=("%flowgpt aliases", "%flowgpt alias brief echo\n%flowgpt aliases"),
)
def list_aliases(_state: ShellState, rest: str) -> Shown:
    magic_line.nothing_more("aliases", rest)
    return _table()


def _table() -> Shown:
    defined = aliases.load()
    if not defined:
        return f"there are no aliases yet: %flowgpt alias {ALIAS_USAGE} defines one"
    rows = tuple(
        (
            name,
            cut(redact(alias.target)),
            _asks(name),
            redact(alias.base_url),
            cut(redact(alias.system)),
            "" if alias.temperature is None else f"{alias.temperature:g}",
            _key_state(alias.key_variable),
            cut(redact(_parameters_text(alias))),
        )
        for name, alias in defined.items()
    )
    columns = ("alias", "target", "asks", "endpoint", "system prompt", "temperature", "key variable", "parameters")
    return Table(columns, rows, f"stored in {short_path(str(aliases.aliases_file()))}")


def _read_line(command: str, rest: str) -> tuple[list[str], dict[str, Any]]:
    """The words that are not options, and the fields of an alias that the options set."""
    words: list[str] = []
    fields: dict[str, Any] = {}
    params: list[tuple[str, Any]] = []
    while rest := rest.lstrip():
        word, end = magic_line.first_word(rest)
        flag, equals, _value = word.partition("=") if word.startswith("--") else (word, "", "")
        if flag in ALIAS_FLAGS:
            start = len(flag) + 1 if equals else len(rest) - len(rest[end:].lstrip())
            value, end = magic_line.value_at(flag, rest, start)
            _read_option(flag, value, fields, params)
        elif word.startswith("-"):
            raise OptionError(
                f"%flowgpt {command} has no option {flag}{closest(flag, ALIAS_FLAGS)} It takes {ALIAS_USAGE}"
            )
        else:
            words.append(word)
        rest = rest[end:]
    return words, fields | ({"params": parameter_syntax.merged(params)} if params else {})


def _read_option(flag: str, value: str, fields: dict[str, Any], params: list[tuple[str, Any]]) -> None:
    """Put the value of ``flag`` into ``fields``, or a parameter into ``params``."""
    field = ALIAS_FLAGS[flag]
    if field in fields:
        raise OptionError(f"{flag} is given twice")
    if not value:
        raise OptionError(f"{flag} needs a value; {NONE} removes it")
    if field == "params" and value.lower() != NONE:
        params.append(magic_line.parameter(flag, value))
    else:
        fields[field] = _field_value(field, value)


def _field_value(field: str, value: str) -> Any:
    if value.lower() == NONE:
        return {"temperature": None, "params": {}}.get(field, "")
    if field == "temperature":
        return float(settings.check("temperature", value, "-t"))
    if field == "system":
        from flowgpt_magic.prompt.compose import system_prompt

        return system_prompt(value)
    return value


def _with_params(before: Alias, added: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of ``before`` with further parameters; None removes one."""
    params = {**before.params, **added}
    if parameters.EXTRA_BODY in before.params and added.get(parameters.EXTRA_BODY):
        params[parameters.EXTRA_BODY] = parameters.joined(
            before.params[parameters.EXTRA_BODY], added[parameters.EXTRA_BODY]
        )
    temperature = {"temperature": params.pop("temperature")} if "temperature" in params else {}
    return {"params": {name: value for name, value in params.items() if value is not None}, **temperature}


def _save(alias: Alias) -> None:
    """Save an alias if its model accepts its parameters and settings."""
    from flowgpt_magic.replies.request import check_params

    target = models.find_model(alias.target)
    check_params(target, {**alias.params, **({"extra_headers": alias.extra_headers} if alias.extra_headers else {})})
    address, key = models.server_settings(alias.target)
    options = {"--endpoint": (address, alias.base_url), "--key-variable": (key, alias.key_variable)}
    for flag, (name, value) in options.items():
        if value and name not in target.provider_class.settings:
            raise OptionError(f"{flag}: {target.provider} does not use it; {flag} {NONE} removes it")
    aliases.save(alias)


def _existing(name: str) -> Alias:
    defined = aliases.load()
    if name not in defined:
        raise OptionError(f"there is no alias {name}{closest(name, defined)} %flowgpt aliases lists them")
    return defined[name]


def _parameters_text(alias: Alias) -> str:
    """The parameters and headers of an alias, as they are typed."""
    headers = {"extra_headers": dict(alias.extra_headers)} if alias.extra_headers else {}
    values = without_secrets({**alias.params, **headers})
    return " ".join(f"{name}={json.dumps(value, ensure_ascii=False)}" for name, value in values.items())


def _summary(alias: Alias) -> str:
    missing = alias.key_variable and keys.missing(alias.key_variable)
    asks = f"{alias.name} asks {_asks(alias.name)}"
    return f"{asks.removesuffix('.')}; for now, {missing}" if missing else asks


def _asks(name: str) -> str:
    try:
        return redact(str(models.find_model(name)))
    except FlowGptError as error:
        return f"nobody: {error}"


def _key_state(variable: str) -> str:
    return variable and f"{variable}{' (not set)' if keys.missing(variable) else ''}"


SUBCOMMANDS: dict[str, Subcommand] = {
    "alias": add_alias,
    "register": add_alias,
    "update": update_alias,
    "dealias": remove_alias,
    "delete": remove_alias,
    "aliases": list_aliases,
}

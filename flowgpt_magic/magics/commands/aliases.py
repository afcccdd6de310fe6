"""The subcommands of ``%flowgpt`` about aliases: short names for a model and how to ask it."""

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


@subcommand("A short name: ``alias NAME TARGET [--endpoint URL] [-s SYSTEM] [-t NUMBER] [--key-variable NAME]``.")
def add_alias(_state: ShellState, rest: str) -> Shown:
    bare, given = _read_line("alias", rest)
    if not bare and not given:
        return _aliases()
    if len(bare) != 2:
        raise OptionError(f"%flowgpt alias takes {ALIAS_USAGE}; quote texts with spaces")
    made = Alias(bare[0], bare[1], **given)
    before = aliases.load().get(made.name)
    _keep(made)
    changed = f"; before, it asked {redact(before.target)}" if before and before.target != made.target else ""
    return _made(made) + changed


@subcommand("Change a short name: ``update NAME [TARGET]`` and options of ``alias``; ``none`` takes one away.")
def update_alias(_state: ShellState, rest: str) -> Shown:
    bare, given = _read_line("update", rest)
    if len(bare) not in (1, 2) or (len(bare) == 1 and not given):
        raise OptionError(
            f"%flowgpt update takes {ALIAS_USAGE}, and of these only what changes; quote texts with spaces"
        )
    if len(bare) == 2:
        given["target"] = bare[1]
    before = _known(bare[0])
    made = replace(before, **given)
    if given.get("params") == {}:
        made = replace(made, extra_headers={})
    elif "params" in given:
        made = replace(made, **_with_more(before, given["params"]))
    _keep(made)
    return _made(made)


@subcommand("Forget a short name: ``dealias NAME``.")
def remove_alias(_state: ShellState, rest: str) -> Shown:
    words = magic_line.words(rest)
    if len(words) != 1:
        raise OptionError("%flowgpt dealias takes the name of an alias")
    gone = _known(words[0])
    aliases.remove(gone.name)
    left = [each.name for each in aliases.load().values() if each.target == gone.name]
    return f"{gone.name} is no alias any more; it asked {redact(gone.target)}" + (
        f". {', '.join(left)} pointed to it, and asks nobody now" if left else ""
    )


@subcommand("The short names, and what each stands for.")
def list_aliases(_state: ShellState, rest: str) -> Shown:
    magic_line.nothing_more("aliases", rest)
    return _aliases()


def _aliases() -> Shown:
    known = aliases.load()
    if not known:
        return f"there are no aliases yet: %flowgpt alias {ALIAS_USAGE} makes one"
    rows = tuple(
        (
            name,
            cut(redact(each.target)),
            _asks(name),
            redact(each.base_url),
            cut(redact(each.system)),
            "" if each.temperature is None else f"{each.temperature:g}",
            _key_state(each.key_variable),
            cut(redact(_given(each))),
        )
        for name, each in known.items()
    )
    columns = ("alias", "target", "asks", "endpoint", "system prompt", "temperature", "key variable", "parameters")
    return Table(columns, rows, f"they are kept in {short_path(str(aliases.aliases_file()))}")


def _read_line(command: str, rest: str) -> tuple[list[str], dict[str, Any]]:
    """The bare words, and the fields of an alias that the options give."""
    bare: list[str] = []
    given: dict[str, Any] = {}
    params: list[tuple[str, Any]] = []
    while rest := rest.lstrip():
        word, end = magic_line.first_word(rest)
        flag, equals, _value = word.partition("=") if word.startswith("--") else (word, "", "")
        if flag in ALIAS_FLAGS:
            start = len(flag) + 1 if equals else len(rest) - len(rest[end:].lstrip())
            value, end = magic_line.value_at(flag, rest, start)
            _take(flag, value, given, params)
        elif word.startswith("-"):
            raise OptionError(
                f"%flowgpt {command} has no option {flag}{closest(flag, ALIAS_FLAGS)} It takes {ALIAS_USAGE}"
            )
        else:
            bare.append(word)
        rest = rest[end:]
    return bare, given | ({"params": parameter_syntax.merged(params)} if params else {})


def _take(flag: str, value: str, given: dict[str, Any], params: list[tuple[str, Any]]) -> None:
    """Put the value of ``flag`` into ``given``, or a parameter into ``params``."""
    field = ALIAS_FLAGS[flag]
    if field in given:
        raise OptionError(f"{flag} is there twice: which one do you mean?")
    if not value:
        raise OptionError(f"{flag} needs a value; {NONE} takes it away")
    if field == "params" and value.lower() != NONE:
        params.append(magic_line.parameter(flag, value))
    else:
        given[field] = _field_value(field, value)


def _field_value(field: str, value: str) -> Any:
    if value.lower() == NONE:
        return {"temperature": None, "params": {}}.get(field, "")
    if field == "temperature":
        return float(settings.check("temperature", value, "-t"))
    if field == "system":
        from flowgpt_magic.prompt.compose import system_prompt

        return system_prompt(value)
    return value


def _with_more(before: Alias, given: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of an alias that has further parameters; None takes one away."""
    params = {**before.params, **given}
    if parameters.BODY in before.params and given.get(parameters.BODY):
        params[parameters.BODY] = parameters.joined(before.params[parameters.BODY], given[parameters.BODY])
    temperature = {"temperature": params.pop("temperature")} if "temperature" in params else {}
    return {"params": {name: value for name, value in params.items() if value is not None}, **temperature}


def _keep(made: Alias) -> None:
    """Save it, if it would ask somebody who takes what it gives."""
    from flowgpt_magic.replies.request import check_params

    target = models.find_model(made.target)
    check_params(target, {**made.params, **({"extra_headers": made.extra_headers} if made.extra_headers else {})})
    address, key = models.server_settings(made.target)
    given = {"--endpoint": (address, made.base_url), "--key-variable": (key, made.key_variable)}
    for flag, (name, value) in given.items():
        if value and name not in target.provider_class.settings:
            raise OptionError(f"{flag}: {target.provider} takes none; {flag} {NONE} takes it away")
    aliases.save(made)


def _known(name: str) -> Alias:
    known = aliases.load()
    if name not in known:
        raise OptionError(f"there is no alias {name}{closest(name, known)} %flowgpt aliases shows them")
    return known[name]


def _given(made: Alias) -> str:
    """The parameters and headers of an alias, as they are written."""
    headers = {"extra_headers": dict(made.extra_headers)} if made.extra_headers else {}
    found = without_secrets({**made.params, **headers})
    return " ".join(f"{name}={json.dumps(value, ensure_ascii=False)}" for name, value in found.items())


def _made(made: Alias) -> str:
    missing = made.key_variable and keys.missing(made.key_variable)
    asks = f"{made.name} asks {_asks(made.name)}"
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

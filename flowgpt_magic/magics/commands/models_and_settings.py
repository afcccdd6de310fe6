"""The subcommands of ``%flowgpt`` about settings, about who can be asked, and about short names for them.

Whether somebody would answer is told from what is installed and set: nothing here loads a model, and only ``models``
with the name of a provider or an alias asks a server, for the models it has.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from flowgpt_magic import bridge, keys, settings
from flowgpt_magic.errors import FlowGptError, OptionError, ProviderNotFoundError, closest
from flowgpt_magic.magics.commands.command import Subcommand, subcommand
from flowgpt_magic.magics.commands.parameters import PARAM_FLAGS, rows_of, set_line, set_named
from flowgpt_magic.magics.state import ShellState
from flowgpt_magic.prompt import magic_line, parameter_syntax
from flowgpt_magic.providers import aliases as short_names
from flowgpt_magic.providers import models, registry
from flowgpt_magic.providers.aliases import Alias
from flowgpt_magic.redaction import without_passwords, without_secrets
from flowgpt_magic.settings import parameters
from flowgpt_magic.tables import Table
from flowgpt_magic.text import cut, short_path

if TYPE_CHECKING:
    from flowgpt_magic.providers.registry import Provider

Shown = str | Table
NONE = "none"  # what takes a value back
FLAGS = {
    "--endpoint": "base_url",
    "-s": "system",
    "--system": "system",
    "-t": "temperature",
    "--temperature": "temperature",
    "--key-variable": "key_variable",
    "-P": "params",
    "--param": "params",
}
USAGE = "NAME TARGET [--endpoint URL] [-s SYSTEM] [-t NUMBER] [--key-variable NAME] [-P NAME=VALUE …]"


# Settings


@subcommand(
    "Show a setting, or set it here: ``set NAME [VALUE]``, ``set -P NAME=VALUE``; ``none`` takes it back.",
    "It is set for this conversation. Parameters of the provider are set like settings, each beside the others.",
)
def set_(state: ShellState, rest: str) -> Shown:
    if rest.startswith(PARAM_FLAGS):
        return _told(state, set_line(state.conversation(), rest))
    name, value = _name_and_value(rest)
    if not name:
        raise OptionError("%flowgpt set takes the name of a setting and a value; %flowgpt config shows them all")
    if name not in settings.TABLE:
        return _told(state, set_named(state.conversation(), name, value))
    if not value:
        return _described(state, name)
    if name == "history":
        raise OptionError(
            "the history is one for all conversations: %config FlowGPT.history = … or FLOWGPT_HISTORY sets it"
        )
    state.conversation().set(**{name: _conversation_value(name, magic_line.unquoted(value))})
    secret = settings.TABLE[name].metadata["secret"] and value.lower() != NONE
    hint = f"; it is written down nowhere, and a restart forgets it: {settings.variable(name)} stays" if secret else ""
    return _described(state, name) + hint


@subcommand("Every setting: its value, where that came from, what it does.")
def config(state: ShellState, rest: str) -> Shown:
    magic_line.nothing_more("config", rest)
    chosen = _in_force(state)
    rows: list[tuple[str, ...]] = []
    for name, each in settings.TABLE.items():
        row = (name, _value(chosen, name), _source(chosen, name), str(each.metadata["help"]))
        rows += rows_of(chosen, name) or [row]
    file, project = settings.settings_file(), settings.project_file()
    nowhere = "there is no home folder for a settings file: XDG_CONFIG_HOME names another folder for it"
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
    """``value`` as a conversation keeps it; None takes it back."""
    if value.lower() == NONE:
        return None
    return models.canonical_name(value) if name == "model" else value


def _in_force(state: ShellState) -> settings.Settings:
    """The settings in force, whether or not the key of an alias is there."""
    return short_names.apply(state.conversation().settings(), need_key=False)


def _described(state: ShellState, name: str) -> str:
    chosen = _in_force(state)
    return f"{name}: {_value(chosen, name)} ({_source(chosen, name)}); {settings.TABLE[name].metadata['help']}"


def _told(state: ShellState, names: Iterable[str]) -> str:
    """What is in force now of some settings and parameters."""
    chosen = _in_force(state)
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
    return f"{value:g}" if isinstance(value, float) else cut(without_passwords(short_path(str(value))))


def _source(chosen: settings.Settings, name: str) -> str:
    return without_passwords(short_path(chosen.sources.get(name, "default")))


# Who can be asked


@subcommand("Who runs models: what each provider is, and whether it would answer.")
def providers(state: ShellState, rest: str) -> Shown:
    magic_line.nothing_more("providers", rest)
    rows = []
    for name in registry.provider_names():
        try:
            found = registry.find_provider(name)
        except ProviderNotFoundError as error:
            rows.append((name, "", f"no: {error}"))
        else:
            rows.append((name, _first_line(found), _would_answer(state, name, found)))
    return Table(("provider", "what it is", "would it answer?"), tuple(rows), "%flowgpt models shows their models")


@subcommand("The models that can be asked, and whether they would answer: ``models [PROVIDER or ALIAS]``.")
def models_(state: ShellState, rest: str) -> Shown:
    words = magic_line.words(rest)
    if len(words) > 1:
        raise OptionError("%flowgpt models takes the name of one provider or alias, or nothing")
    asked, note = _asked(state)
    own = _resolved_aliases()
    rows = _rows_of_one(state, words[0], own, asked) if words else _rows_of_all(state, own, asked)
    columns = ("provider", "model", "alias", "would it answer?")
    shown = tuple(tuple(map(without_passwords, row)) for row in rows)
    return Table(columns, shown, f"{without_passwords(note)}; %flowgpt model NAME changes that")


def _rows_of_all(state: ShellState, own: Mapping[str, list[str]], asked: str) -> Iterator[tuple[str, ...]]:
    """What is known without asking anybody; a model without a name stands for any that a server has."""
    for name in registry.provider_names():
        try:
            found = registry.find_provider(name)
            known = dict.fromkeys([*(found.get_models() or [""]), *_further(name, own)])
            answers = {model: _would_answer(state, name, found, model) for model in known}
        except Exception as error:  # noqa: BLE001 - a plug-in is foreign code, and the others are listed all the same
            yield name, "", "", without_passwords(f"no: {error}")
        else:
            yield from _model_rows(name, found, answers, own, asked)


def _rows_of_one(state: ShellState, name: str, own: Mapping[str, list[str]], asked: str) -> Iterator[tuple[str, ...]]:
    """What a provider, or whom an alias asks, has now."""
    if name in short_names.load():
        name, chosen = models.find_model(name).provider, state.conversation().settings(model=name)
    else:
        chosen = state.conversation().settings(model=f"{name}:")
    found = registry.find_provider(name)
    answers = _listed(name, found, chosen)
    for model in _further(name, own):
        answers.setdefault(model, _would_answer(state, name, found, model))
    return _model_rows(name, found, answers, own, asked)


def _further(name: str, own: Mapping[str, list[str]]) -> list[str]:
    """The models of a provider that an alias names."""
    prefix = f"{name}:"
    return [target.removeprefix(prefix) for target in own if target.startswith(prefix)]


def _asked(state: ShellState) -> tuple[str, str]:
    """Who is asked in this conversation, and how to say it."""
    try:
        asked = str(models.find_model(_in_force(state).model))
    except FlowGptError as error:
        return "", error.clause
    return asked, f"{asked} is asked in this conversation"


def _listed(name: str, found: type[Provider], chosen: settings.Settings) -> dict[str, str]:
    """The models that the provider has now, each with whether it would answer; what a server lists, does.

    Raises what the provider's server answers, or that it does not in time.
    """
    listed = bridge.run(models.list_models(name, found, chosen))
    unasked = found.get_models()
    return {
        model: (model in unasked and found.would_answer(chosen, model)) or f"yes{_context(model)}" for model in listed
    }


def _context(model: str) -> str:
    """How many tokens a model sees, where its server says so."""
    length = getattr(model, "context_length", None)
    return f"; it sees {length:,} tokens" if length else ""


def _model_rows(
    name: str, found: type[Provider], answers: Mapping[str, str], own: Mapping[str, list[str]], asked: str
) -> Iterator[tuple[str, ...]]:
    for model, answer in answers.items():
        also = [short for short, target in found.model_aliases.items() if target == model]
        also += own.get(f"{name}:{model}", [])
        mark = " (in use)" if f"{name}:{model}" == asked else ""
        shown = f"{short_path(model)}{mark}" if model else f"any of its server's: %flowgpt models {name} lists them"
        yield name, shown, ", ".join(also), answer


def _resolved_aliases() -> dict[str, list[str]]:
    """The user's aliases by whom they ask; those that ask nobody are left out."""
    found: dict[str, list[str]] = {}
    for name, alias in short_names.load().items():
        try:
            target = str(models.find_model(name))
            elsewhere = short_names.merged(alias).base_url
        except FlowGptError:
            continue
        found.setdefault(target, []).append(f"{name} (at its own endpoint)" if elsewhere else name)
    return found


def _would_answer(state: ShellState, name: str, provider: type[Provider], model: str = "") -> str:
    """Would it, if it was asked by its own name? An alias may give an endpoint and a key that are not looked at."""
    answer = provider.would_answer(state.conversation().settings(model=f"{name}:{model}"), model) or "yes"
    return without_passwords(answer)


def _first_line(provider: type[Provider]) -> str:
    own = vars(provider).get("about") or provider.__doc__  # a class that derives from another one has its own words
    lines = (own or provider.about or provider.url or "").strip().splitlines()
    return cut(lines[0], 120) if lines else ""


# Short names


@subcommand("A short name: ``alias NAME TARGET [--endpoint URL] [-s SYSTEM] [-t NUMBER] [--key-variable NAME]``.")
def alias(_desk: ShellState, rest: str) -> Shown:
    bare, given = _read_line("alias", rest)
    if not bare and not given:
        return _aliases()
    if len(bare) != 2:
        raise OptionError(f"%flowgpt alias takes {USAGE}; quote texts with spaces")
    made = Alias(bare[0], bare[1], **given)
    before = short_names.load().get(made.name)
    _keep(made)
    changed = (
        f"; before, it asked {without_passwords(before.target)}" if before and before.target != made.target else ""
    )
    return _made(made) + changed


@subcommand("Change a short name: ``update NAME [TARGET]`` and options of ``alias``; ``none`` takes one away.")
def update(_desk: ShellState, rest: str) -> Shown:
    bare, given = _read_line("update", rest)
    if len(bare) not in (1, 2) or (len(bare) == 1 and not given):
        raise OptionError(f"%flowgpt update takes {USAGE}, and of these only what changes; quote texts with spaces")
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
def dealias(_desk: ShellState, rest: str) -> Shown:
    words = magic_line.words(rest)
    if len(words) != 1:
        raise OptionError("%flowgpt dealias takes the name of an alias")
    gone = _known(words[0])
    short_names.remove(gone.name)
    left = [each.name for each in short_names.load().values() if each.target == gone.name]
    return f"{gone.name} is no alias any more; it asked {without_passwords(gone.target)}" + (
        f". {', '.join(left)} pointed to it, and asks nobody now" if left else ""
    )


@subcommand("The short names, and what each stands for.")
def aliases(_desk: ShellState, rest: str) -> Shown:
    magic_line.nothing_more("aliases", rest)
    return _aliases()


def _aliases() -> Shown:
    known = short_names.load()
    if not known:
        return f"there are no aliases yet: %flowgpt alias {USAGE} makes one"
    rows = tuple(
        (
            name,
            cut(without_passwords(each.target)),
            _asks(name),
            without_passwords(each.base_url),
            cut(without_passwords(each.system)),
            "" if each.temperature is None else f"{each.temperature:g}",
            _key_state(each.key_variable),
            cut(without_passwords(_given(each))),
        )
        for name, each in known.items()
    )
    columns = ("alias", "target", "asks", "endpoint", "system prompt", "temperature", "key variable", "parameters")
    return Table(columns, rows, f"they are kept in {short_path(str(short_names.aliases_file()))}")


def _read_line(command: str, rest: str) -> tuple[list[str], dict[str, Any]]:
    """The bare words, and the fields of an alias that the options give."""
    bare: list[str] = []
    given: dict[str, Any] = {}
    params: list[tuple[str, Any]] = []
    while rest := rest.lstrip():
        word, end = magic_line.first_word(rest)
        flag, equals, _value = word.partition("=") if word.startswith("--") else (word, "", "")
        if flag in FLAGS:
            start = len(flag) + 1 if equals else len(rest) - len(rest[end:].lstrip())
            value, end = magic_line.value_at(flag, rest, start)
            _take(flag, value, given, params)
        elif word.startswith("-"):
            raise OptionError(f"%flowgpt {command} has no option {flag}{closest(flag, FLAGS)} It takes {USAGE}")
        else:
            bare.append(word)
        rest = rest[end:]
    return bare, given | ({"params": parameter_syntax.merged(params)} if params else {})


def _take(flag: str, value: str, given: dict[str, Any], params: list[tuple[str, Any]]) -> None:
    """Put the value of ``flag`` into ``given``, or a parameter into ``params``."""
    field = FLAGS[flag]
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
    short_names.save(made)


def _known(name: str) -> Alias:
    known = short_names.load()
    if name not in known:
        raise OptionError(f"there is no alias {name}{closest(name, known)} %flowgpt aliases shows them")
    return known[name]


def _given(made: Alias) -> str:
    """The parameters and headers of an alias, as they are written."""
    found = without_secrets(made.params)
    headers = {"extra_headers": dict(made.extra_headers)} if made.extra_headers else {}
    return " ".join(f"{name}={json.dumps(value, ensure_ascii=False)}" for name, value in {**found, **headers}.items())


def _made(made: Alias) -> str:
    missing = made.key_variable and keys.missing(made.key_variable)
    asks = f"{made.name} asks {_asks(made.name)}"
    return f"{asks.removesuffix('.')}; for now, {missing}" if missing else asks


def _asks(name: str) -> str:
    try:
        return without_passwords(str(models.find_model(name)))
    except FlowGptError as error:
        return f"nobody: {error}"


def _key_state(variable: str) -> str:
    return variable and f"{variable}{' (not set)' if keys.missing(variable) else ''}"


COMMANDS: dict[str, Subcommand] = {
    "set": set_,
    "config": config,
    "models": models_,
    "list": models_,
    "providers": providers,
    "alias": alias,
    "register": alias,
    "update": update,
    "dealias": dealias,
    "delete": dealias,
    "aliases": aliases,
}

"""``%flowgpt providers`` and ``%flowgpt models``: what can be asked, and whether it would answer.

Whether a provider would answer is derived from what is installed and set. No model is loaded. ``models`` with the name
of a provider or alias contacts its server; without one it asks the usual ports of this machine who is there.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import chain, count
from typing import TYPE_CHECKING

from flowgpt_magic import bridge, installing
from flowgpt_magic.errors import FlowGptError, OptionError, ProviderNotFoundError
from flowgpt_magic.magics.commands.command import Subcommand, subcommand
from flowgpt_magic.magics.commands.settings import effective_settings
from flowgpt_magic.magics.state import ShellState
from flowgpt_magic.prompt import magic_line
from flowgpt_magic.providers import aliases, models, registry
from flowgpt_magic.redaction import redact
from flowgpt_magic.tables import Table
from flowgpt_magic.text import counted, cut, short_path

if TYPE_CHECKING:
    from flowgpt_magic.magics.commands.command import Shown
    from flowgpt_magic.providers.local_servers import LocalServer
    from flowgpt_magic.providers.registry import Provider
    from flowgpt_magic.settings import Settings

NO_CHAT = re.compile("embed|rerank|whisper", re.IGNORECASE)  # in the names of models that do not answer prompts


@subcommand(
    "List the providers: what each is, and whether it would answer.",
    group="models",
    examples=("%flowgpt providers", "%flowgpt providers\n%flowgpt models"),
)
def list_providers(state: ShellState, rest: str) -> Shown:
    magic_line.nothing_more("providers", rest)
    rows = []
    for name in registry.provider_names():
        try:
            provider = registry.find_provider(name)
        except ProviderNotFoundError as error:
            rows.append((name, "", f"no: {error}"))
        else:
            rows.append((name, _first_line(provider), _would_answer(state, name, provider)))
    return Table(("provider", "what it is", "would it answer?"), tuple(rows), "their models: %flowgpt models")


@subcommand(
    "List the models, and whether they would answer: ``models [PROVIDER or ALIAS]``.",
    group="models",
    examples=("%flowgpt models", "%flowgpt models echo"),
)
def list_models(state: ShellState, rest: str) -> Shown:
    words = magic_line.words(rest)
    if len(words) > 1:
        raise OptionError("%flowgpt models takes the name of one provider or alias, or nothing")
    current, note = _current_model(state)
    targets = _aliases_by_target()
    rows = _rows_of_one(state, words[0], targets, current) if words else _rows_of_all(state, targets, current)
    columns = ("provider", "model", "alias", "would it answer?")
    notes = [f"{redact(note)}; %flowgpt model NAME changes that"]
    if not words:
        from flowgpt_magic.providers import local_servers  # the HTTP client loads slowly, and help needs none

        servers = bridge.run(local_servers.find_servers(local_servers.PORTS, local_servers.TIMEOUT))
        notes += [redact(_how_to_ask(server)) for server in servers]
        notes.append("More models that run in this process: %flowgpt install-model --list")
    return Table(columns, tuple(tuple(map(redact, row)) for row in rows), "\n".join(notes))


def _rows_of_all(state: ShellState, targets: Mapping[str, list[str]], current: str) -> Iterator[tuple[str, ...]]:
    """The models that are known without contacting a server; one without a name stands for all models of a server."""
    for known in registry.known_models():
        name = known.provider
        try:
            provider = known.require_class()
            names = dict.fromkeys([*(known.models or [""]), *_aliased_models(name, targets)])
            answers = {model: _would_answer(state, name, provider, model) for model in names}
            own_servers = list(_rows_of_own_servers(state, name))
        except Exception as error:  # noqa: BLE001 - foreign code of a plug-in must not hide the other providers
            yield name, "", "", redact(f"no: {error}")
        else:
            yield from _model_rows(name, provider, answers, targets, current)
            yield from own_servers


def _rows_of_one(
    state: ShellState, name: str, targets: Mapping[str, list[str]], current: str
) -> Iterator[tuple[str, ...]]:
    """The models that a provider, or the server of an alias, has now."""
    if alias := aliases.load().get(name):
        if _has_own_server(alias):
            return _rows_of_server(state, name, current)
        target, chosen = models.find_model(name), state.conversation().settings(model=name)
        return _rows_of_provider(state, target.provider, chosen, targets, current)
    chosen = state.conversation().settings(model=f"{name}:")
    return chain(_rows_of_provider(state, name, chosen, targets, current), _rows_of_own_servers(state, name))


def _rows_of_provider(
    state: ShellState, name: str, chosen: Settings, targets: Mapping[str, list[str]], current: str
) -> Iterator[tuple[str, ...]]:
    """The models that a provider has now, with the aliases that have no server of their own."""
    provider = registry.find_provider(name)
    answers = _listed(name, provider, chosen)
    for model in _aliased_models(name, targets):
        answers.setdefault(model, _would_answer(state, name, provider, model))
    return _model_rows(name, provider, answers, targets, current)


def _rows_of_server(state: ShellState, alias: str, current: str) -> Iterator[tuple[str, ...]]:
    """The models that the server of an alias has now, with the aliases that ask it with the same key."""
    provider, targets = models.find_model(alias).provider, _aliases_of_server(alias)
    provider_class = registry.find_provider(provider)
    answers = _listed(provider, provider_class, state.conversation().settings(model=alias))
    for target, (name, *_others) in targets.items():
        model = target.removeprefix(f"{provider}:")
        answers.setdefault(model, _answer_through(state, name, provider_class, model))
    conversation = state.conversation()
    in_use = conversation.as_set(conversation.outside(), {}).model
    is_current = any(in_use in names for names in targets.values())
    return _model_rows(provider, provider_class, answers, targets, current if is_current else "")


def _aliases_of_server(alias: str) -> dict[str, list[str]]:
    """The aliases with the provider, the endpoint and the key of this one, by the model that they ask."""
    known, targets = aliases.load(), dict[str, list[str]]()
    target = models.find_model(alias)
    for name in (alias, *(other for other in known if other != alias)):
        try:
            other = models.find_model(name)
            is_same = other.provider == target.provider and _server_of(known[name]) == _server_of(known[alias])
        except FlowGptError:
            continue
        if is_same:
            targets.setdefault(str(other), []).append(name)
    return targets


def _server_of(alias: aliases.Alias) -> tuple[str, str]:
    """The endpoint and the name of the key of an alias."""
    merged = aliases.merged(alias)
    return merged.base_url.rstrip("/"), merged.key_variable


def _rows_of_own_servers(state: ShellState, provider: str) -> Iterator[tuple[str, ...]]:
    """The aliases with an endpoint or key of their own, and whether their models would answer there."""
    conversation = state.conversation()
    in_use = conversation.as_set(conversation.outside(), {}).model
    for name, alias in aliases.load().items():
        try:
            model, own_server = models.find_model(name), _has_own_server(alias)
        except FlowGptError:
            continue
        if model.provider == provider and own_server:
            mark = " (in use)" if name == in_use else ""
            answer = _answer_through(state, name, model.provider_class, model.model)
            yield provider, f"{short_path(model.model)}{mark}", name, answer


def _answer_through(state: ShellState, alias: str, provider: type[Provider], model: str) -> str:
    """Whether a model would answer at the endpoint and with the key of an alias."""
    conversation = state.conversation()
    try:
        chosen = aliases.apply(conversation.as_set(conversation.outside(), {"model": alias}))
    except FlowGptError as error:
        return redact(f"no: {error.clause}")
    return redact(provider.would_answer(chosen, model) or "yes")


def _aliased_models(provider: str, targets: Mapping[str, list[str]]) -> list[str]:
    """The models of a provider that the user's aliases without a server of their own name."""
    prefix = f"{provider}:"
    return [target.removeprefix(prefix) for target in targets if target.startswith(prefix)]


def _current_model(state: ShellState) -> tuple[str, str]:
    """The model of this conversation, empty if there is none, and a sentence about it."""
    try:
        current = str(models.find_model(effective_settings(state).model))
    except FlowGptError as error:
        return "", error.clause
    return current, f"{current} is asked in this conversation"


def _listed(name: str, provider: type[Provider], chosen: Settings) -> dict[str, str]:
    """The models that the provider has now, each with whether it would answer; those that only a server lists would.

    Raises the provider's error if its server fails or does not answer in time.
    """
    own_models = provider.get_models()
    return {
        model: (model in own_models and provider.would_answer(chosen, model)) or f"yes{_context_window(model)}"
        for model in bridge.run(models.list_models(name, provider, chosen))
    }


def _context_window(model: str) -> str:
    """The context window of a model, if its server reports one."""
    length = getattr(model, "context_length", None)
    return f"; context window: {length:,} tokens" if length else ""


def _model_rows(
    name: str, provider: type[Provider], answers: Mapping[str, str], targets: Mapping[str, list[str]], current: str
) -> Iterator[tuple[str, ...]]:
    for model, answer in answers.items():
        short_names = [alias for alias, target in provider.model_aliases.items() if target == model]
        short_names += targets.get(f"{name}:{model}", [])
        mark = " (in use)" if f"{name}:{model}" == current else ""
        label = f"{short_path(model)}{mark}" if model else f"any model of its server: %flowgpt models {name} lists them"
        yield name, label, ", ".join(short_names), answer


def _aliases_by_target() -> dict[str, list[str]]:
    """The user's aliases by the model that they ask, without those that ask nobody or have a server of their own."""
    targets: dict[str, list[str]] = {}
    for name, alias in aliases.load().items():
        try:
            target = str(models.find_model(name))
            own_server = _has_own_server(alias)
        except FlowGptError:
            continue
        if not own_server:
            targets.setdefault(target, []).append(name)
    return targets


def _has_own_server(alias: aliases.Alias) -> bool:
    """Has the alias, or one that it names, an endpoint or a key?"""
    return any(_server_of(alias))


def _would_answer(state: ShellState, name: str, provider: type[Provider], model: str = "") -> str:
    """Whether a model would answer under its own name, without the endpoint and key that an alias may set."""
    answer = provider.would_answer(state.conversation().settings(model=f"{name}:{model}"), model) or "yes"
    return redact(answer)


def _first_line(provider: type[Provider]) -> str:
    own = vars(provider).get("about") or provider.__doc__  # not inherited: a derived class describes itself
    lines = (own or provider.about or provider.url or "").strip().splitlines()
    return cut(lines[0], 120) if lines else ""


def _how_to_ask(server: LocalServer) -> str:
    """That a server of this machine answers, and below it the line that makes it usable, or the name that asks it."""
    here = f"{server.program} answers at {server.url.removesuffix('/v1').removeprefix('http://')}"
    chat = [model for model in server.models if not NO_CHAT.search(model)]
    if not chat:
        return f"{here} and has no model yet"
    known = aliases.load()
    own = next((name for name, alias in known.items() if alias.base_url.rstrip("/") == server.url), "")
    if own:
        return f"{here}: %%flowgpt {own} asks it"
    base = server.program.lower().replace(" ", "-")
    names = chain([base], (f"{base}{number}" for number in count(2)))
    name = next(name for name in names if name not in known)
    target = f"openai_compatible:{chat[0]}"
    line = f"%flowgpt alias {name} {installing.quoted(target)} --endpoint {server.url}"
    has = f"{counted(len(chat), 'model')} ({cut(', '.join(chat))})"
    return f"{here} with {has}; after this line %%flowgpt {name} asks it:\n{line}"


SUBCOMMANDS: dict[str, Subcommand] = {"providers": list_providers, "models": list_models, "list": list_models}

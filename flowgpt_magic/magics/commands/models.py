"""The subcommands of ``%flowgpt`` about who can be asked.

Whether somebody would answer is told from what is installed and set: nothing here loads a model, and only ``models``
with the name of a provider or an alias asks a server, for the models it has.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from flowgpt_magic import bridge
from flowgpt_magic.errors import FlowGptError, OptionError, ProviderNotFoundError
from flowgpt_magic.magics.commands.command import Subcommand, subcommand
from flowgpt_magic.magics.commands.settings import effective_settings
from flowgpt_magic.magics.state import ShellState
from flowgpt_magic.prompt import magic_line
from flowgpt_magic.providers import aliases, models, registry
from flowgpt_magic.redaction import redact
from flowgpt_magic.tables import Table
from flowgpt_magic.text import cut, short_path

if TYPE_CHECKING:
    from flowgpt_magic.magics.commands.command import Shown
    from flowgpt_magic.providers.registry import Provider
    from flowgpt_magic.settings import Settings


@subcommand("Who runs models: what each provider is, and whether it would answer.")
def list_providers(state: ShellState, rest: str) -> Shown:
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
def list_models(state: ShellState, rest: str) -> Shown:
    words = magic_line.words(rest)
    if len(words) > 1:
        raise OptionError("%flowgpt models takes the name of one provider or alias, or nothing")
    asked, note = _asked(state)
    own = _resolved_aliases()
    rows = _rows_of_one(state, words[0], own, asked) if words else _rows_of_all(state, own, asked)
    columns = ("provider", "model", "alias", "would it answer?")
    shown = tuple(tuple(map(redact, row)) for row in rows)
    return Table(columns, shown, f"{redact(note)}; %flowgpt model NAME changes that")


def _rows_of_all(state: ShellState, own: Mapping[str, list[str]], asked: str) -> Iterator[tuple[str, ...]]:
    """What is known without asking anybody; a model without a name stands for any that a server has."""
    for name in registry.provider_names():
        try:
            found = registry.find_provider(name)
            known = dict.fromkeys([*(found.get_models() or [""]), *_further(name, own)])
            answers = {model: _would_answer(state, name, found, model) for model in known}
        except Exception as error:  # noqa: BLE001 - a plug-in is foreign code, and the others are listed all the same
            yield name, "", "", redact(f"no: {error}")
        else:
            yield from _model_rows(name, found, answers, own, asked)


def _rows_of_one(state: ShellState, name: str, own: Mapping[str, list[str]], asked: str) -> Iterator[tuple[str, ...]]:
    """What a provider, or whom an alias asks, has now."""
    if name in aliases.load():
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
        asked = str(models.find_model(effective_settings(state).model))
    except FlowGptError as error:
        return "", error.clause
    return asked, f"{asked} is asked in this conversation"


def _listed(name: str, found: type[Provider], chosen: Settings) -> dict[str, str]:
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
    for name, alias in aliases.load().items():
        try:
            target = str(models.find_model(name))
            elsewhere = aliases.merged(alias).base_url
        except FlowGptError:
            continue
        found.setdefault(target, []).append(f"{name} (at its own endpoint)" if elsewhere else name)
    return found


def _would_answer(state: ShellState, name: str, provider: type[Provider], model: str = "") -> str:
    """Would it, if it was asked by its own name? An alias may give an endpoint and a key that are not looked at."""
    answer = provider.would_answer(state.conversation().settings(model=f"{name}:{model}"), model) or "yes"
    return redact(answer)


def _first_line(provider: type[Provider]) -> str:
    own = vars(provider).get("about") or provider.__doc__  # a class that derives from another one has its own words
    lines = (own or provider.about or provider.url or "").strip().splitlines()
    return cut(lines[0], 120) if lines else ""


SUBCOMMANDS: dict[str, Subcommand] = {"providers": list_providers, "models": list_models, "list": list_models}

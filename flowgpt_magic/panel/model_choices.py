"""The list of models that a panel offers for its conversation."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

from flowgpt_magic import bridge
from flowgpt_magic.control_characters import join_surrogates
from flowgpt_magic.conversation import Conversation
from flowgpt_magic.errors import FlowGptError
from flowgpt_magic.providers import aliases, models, registry
from flowgpt_magic.redaction import redact
from flowgpt_magic.settings import Settings
from flowgpt_magic.text import cut

UNABLE = ("no:", "not ", "unknown:")  # prefixes of the reasons why a model cannot be chosen
MAX_REASON = 80  # characters of a reason
LISTING = "its models are being listed"
NO_MODELS = "it lists no models"


class Choice(NamedTuple):
    """A model with the name that selects it; without a name, a note about its group."""

    group: str
    name: str
    note: str = ""
    able: bool = True


class Choices:
    """The models that ``conversation()`` can use.

    Some providers list their models themselves; others ask a server. The server is asked when the list is requested.
    ``changed`` is called on the worker when it has answered.
    """

    def __init__(self, conversation: Callable[[], Conversation], changed: Callable[[], None]) -> None:
        self._conversation, self._changed = conversation, changed
        self._listed: dict[str, list[str] | str] = {}  # by provider and server: the models, or why there are none
        self._asking: set[str] = set()
        self._lock = threading.Lock()

    def __call__(self, *, anew: bool = False) -> Iterator[Choice]:
        """All choices known so far; ``anew`` asks servers again."""
        try:
            for alias in aliases.load().values():
                yield self._of_alias(alias)
        except FlowGptError as error:
            yield Choice("aliases", "", _reason(error), able=False)
        for known in registry.known_models():
            name = known.provider
            try:
                found = list(self._of(known, anew=anew))
            except FlowGptError as error:
                found = [Choice(name, "", _reason(error), able=False)]
            except Exception as error:  # noqa: BLE001 - a plug-in is foreign code, and the others are listed all the same
                found = [Choice(name, "", f"cannot be asked: {type(error).__name__}", able=False)]
            yield from found

    def _of_alias(self, alias: aliases.Alias) -> Choice:
        """An alias with the model it names; it can be chosen if that model would answer at the alias's server."""
        conversation, target = self._conversation(), redact(alias.target)
        try:
            chosen = aliases.apply(conversation.as_set(conversation.outside(), {"model": alias.name}))
            model = models.find_model(alias.name)
            reason = model.provider_class.would_answer(chosen, model.model)
        except FlowGptError as error:
            reason = f"no: {error}"
        choice = _choice("aliases", alias.name, reason)
        return choice._replace(note=target if choice.able else f"{target}: {choice.note}")

    def _of(self, known: registry.KnownModels, *, anew: bool) -> Iterator[Choice]:
        name, provider, conversation = known.provider, known.require_class(), self._conversation()
        for model in known.models:
            target = f"{name}:{model}"
            yield _choice(name, target, provider.would_answer(conversation.settings(model=target), model))
        if not known.models:
            chosen = conversation.settings(model=f"{name}:")
            yield from self._of_a_server(name, provider, chosen, anew=anew)

    def _of_a_server(
        self, name: str, provider: type[registry.Provider], chosen: Settings, *, anew: bool
    ) -> Iterator[Choice]:
        server = provider.would_answer(chosen)
        if server.startswith(UNABLE):
            yield _choice(name, "", server)
            return
        key = f"{name} {server}"
        if anew or key not in self._listed:
            self._ask(key, name, provider, chosen)
        found = self._listed.get(key, LISTING) or NO_MODELS
        if isinstance(found, str):
            yield Choice(name, "", found, able=False)
        else:
            for model in found:
                lacks = getattr(model, "lacks", "")
                yield Choice(name, f"{name}:{model}", lacks, able=not lacks)

    def _ask(self, key: str, name: str, provider: type[registry.Provider], chosen: Settings) -> None:
        with self._lock:
            if key in self._asking:
                return
            self._asking.add(key)
        bridge.worker().submit(self._list(key, name, provider, chosen))

    async def _list(self, key: str, name: str, provider: type[registry.Provider], chosen: Settings) -> None:
        found: list[str] | str
        try:
            found = await models.list_models(name, provider, chosen)
        except Exception as error:  # noqa: BLE001 - a plug-in is foreign code; what it says is shown in the list
            found = _reason(error)
        finally:
            with self._lock:
                self._asking.discard(key)
        with self._lock:
            changed = self._listed.get(key) != found
            self._listed[key] = found
        if changed:
            self._changed()


def choice_rows(choices: Iterable[Choice]) -> list[dict[str, Any]]:
    """Choices as a page gets them: ``name``, ``group``, ``note``, and whether the model is ``able`` to answer."""
    return [
        {"name": join_surrogates(name), "group": join_surrogates(group), "note": join_surrogates(note), "able": able}
        for group, name, note, able in choices
    ]


def _choice(group: str, name: str, reason: str) -> Choice:
    """A choice with the reason why it is not available; a note on its server is not a reason."""
    note = "" if reason.startswith("if ") else cut(redact(reason.removeprefix("no: ")), MAX_REASON)
    return Choice(group, name, note, able=bool(name) and not reason.startswith(UNABLE))


def _reason(error: Exception) -> str:
    return cut(redact(str(error)), MAX_REASON)

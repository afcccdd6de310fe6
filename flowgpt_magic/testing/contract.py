"""The contract of a provider, point by point: what can be told before it is asked anything.

A point is a function whose docstring is the sentence that must be true.
"""

from __future__ import annotations

import asyncio
import inspect
import sys
import threading
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType
from typing import Any

from flowgpt_magic.errors import FlowGptError, ModelNotSupportedError, ProviderNotFoundError
from flowgpt_magic.messages import Messages, Usage
from flowgpt_magic.messages.extras import Extras
from flowgpt_magic.providers.base import AsyncGeneratorProvider, ProviderModelMixin
from flowgpt_magic.providers.registry import find_provider
from flowgpt_magic.settings import TABLE, load
from flowgpt_magic.testing.isolation import Trials

AT_ONCE = 1.0  # seconds within which a provider has stopped
NOBODY = "no-such-model-0"
TYPES: dict[str, type] = {
    "url": str,
    "about": str,
    "working": bool,
    "supports_stream": bool,
    "supports_message_history": bool,
    "supports_system_message": bool,
    "supports_images": bool,
    "supports_schema": bool,
    "needs_auth": bool,
    "settings": tuple,
    "address_setting": str,
    "default_model": str,
    "models": list,
    "model_aliases": dict,
}
WORK = {  # what is no building of a generator, by the name of the C function that does it
    "open": "opens a file",
    "connect": "opens a connection",
    "getaddrinfo": "looks up a host",
    "sleep": "sleeps",
    "fork_exec": "starts a program",
    "posix_spawn": "starts a program",
    "start_new_thread": "starts a thread",
    "start_joinable_thread": "starts a thread",
}


class NotKeptError(Exception):
    """One point is not kept; says which, and what to do."""


@dataclass
class Case:
    """What is checked, and what was seen of it by now."""

    provider: Any
    name: str | None
    model: str | None
    prompt: str
    failing: Sequence[Mapping[str, Any]]
    patience: float
    settings: Mapping[str, Any]
    trials: Trials = field(default_factory=Trials)
    answer: str = ""
    repeats: bool = False  # does the same prompt get the same answer?

    @property
    def address_setting(self) -> str:
        """The setting that says which server is asked; empty where the provider takes none."""
        name: str = self.provider.address_setting
        return name if name in self.provider.settings else ""

    def ask(self, messages: Messages, **more: Any) -> AsyncGenerator[str | Usage | Extras, None]:
        """The chunks of an answer, not asked for yet; ``more`` goes before the settings, and may name a model."""
        given = {**self.settings, **more}
        model = given.pop("model", None) or self.provider.get_model(self.model)
        chunks: AsyncGenerator[str | Usage | Extras, None] = self.provider.create_async_generator(
            model, messages, **given
        )
        return chunks

    def prompted(self, more: str = "") -> list[dict[str, str]]:
        """The prompt alone, with ``more`` behind it."""
        return [{"role": "user", "content": self.prompt + more}]

    def talk(self) -> list[dict[str, str]]:
        """Messages of each kind that the provider says it takes."""
        talk = [{"role": "system", "content": "Be brief."}] if self.provider.supports_system_message else []
        if self.provider.supports_message_history:
            talk += [{"role": "user", "content": "Hello."}, {"role": "assistant", "content": "Hello to you."}]
        return talk + self.prompted()

    def run(self, work: Callable[[], Coroutine[Any, Any, Any]], situation: str) -> Any:
        """What ``work`` returns or raises, on a loop of its own; ``NotKeptError`` where it does not end."""

        async def in_task() -> Any:
            try:
                return await work()
            except SystemExit as error:  # it would end the loop, and leave nobody to tell
                raise NotKeptError(f"it raises {told(error)}, {situation}") from None

        async def in_time() -> Any:
            task = asyncio.create_task(in_task())
            await asyncio.wait({task}, timeout=self.patience)
            if not task.done():
                task.cancel()
                await asyncio.wait({task}, timeout=AT_ONCE)
                raise NotKeptError(f"it does not end within {self.patience:g} s, {situation}; patience= gives it more")
            return task.result()

        try:
            return self.trials.run(in_time, situation, self.patience + 5 * AT_ONCE)
        except asyncio.CancelledError:
            raise NotKeptError(f"it raises CancelledError though nobody cancelled it, {situation}") from None


def told(error: BaseException) -> str:
    """Kind and message, for a sentence that goes on."""
    message = error.clause if isinstance(error, FlowGptError) else str(error).rstrip(".")
    return f"{type(error).__name__}: {message}" if message else type(error).__name__


def is_a_class(case: Case) -> None:
    """It is a class that derives from AsyncGeneratorProvider and ProviderModelMixin."""
    found = case.provider
    if not isinstance(found, type):
        raise NotKeptError(f"{found!r} is no class: name the class itself, here and in the entry point")
    for base in (AsyncGeneratorProvider, ProviderModelMixin):
        if not issubclass(found, base):
            raise NotKeptError(f"it does not derive from {base.__name__}: class {found.__name__}({base.__name__}, …)")


def has_attributes(case: Case) -> None:
    """Its attributes are of the types of the contract."""
    for name, kind in TYPES.items():
        value = getattr(case.provider, name)
        if not isinstance(value, kind):
            raise NotKeptError(f"{name} is {value!r}: it must be a {kind.__name__}")
    for name, kind in (("models", str), ("settings", str), ("model_aliases", str)):
        wrong = [each for each in getattr(case.provider, name) if not isinstance(each, kind)]
        if wrong:
            raise NotKeptError(f"{name} holds {wrong[0]!r}: it must hold text only")
    for name in case.provider.settings:
        if name not in TABLE:
            raise NotKeptError(f"settings names {name!r}, which is no setting; there are: {', '.join(TABLE)}")


def can_be_called(case: Case) -> None:
    """create_async_generator takes the model, the messages, and keyword arguments it does not know."""
    method = inspect.getattr_static(case.provider, "create_async_generator")
    if not isinstance(method, (classmethod, staticmethod)):
        raise NotKeptError("create_async_generator must be a classmethod: it is called on the class")
    if method is vars(AsyncGeneratorProvider)["create_async_generator"]:
        raise NotKeptError("it does not define create_async_generator, which is what answers")
    signature = inspect.signature(case.provider.create_async_generator)
    try:
        signature.bind("model", [], proxy=None, temperature=0.5, flowgpt_magic_unknown=True)
    except TypeError as error:
        wanted = "(cls, model, messages, proxy=None, temperature=0.7, **kwargs)"
        raise NotKeptError(
            f"create_async_generator{signature} cannot be called: {error}; let it take {wanted}"
        ) from None
    if case.provider.supports_schema and "schema" not in signature.parameters:
        raise NotKeptError("supports_schema is True, but create_async_generator takes no schema: let it, or say False")


def knows_its_models(case: Case) -> None:
    """It knows its models, and refuses or takes every other name."""
    cls = case.provider
    default, known = _default(cls), cls.get_models()
    if not isinstance(known, list) or not all(isinstance(each, str) for each in known):
        raise NotKeptError(f"get_models() returns {known!r}: it must return a list of names")
    known.append(NOBODY)
    changed = NOBODY in cls.get_models()
    known.remove(NOBODY)
    if changed:
        raise NotKeptError("get_models() returns its own list: return a copy, which the caller may change")
    open_to_all = takes_any(cls)
    for alias, target in cls.model_aliases.items():
        if cls.get_model(alias) != target or not (open_to_all or target in known):
            raise NotKeptError(f"model_aliases says {alias!r} is {target!r}, but get_model or get_models do not")
    if not open_to_all and default is not None and default not in known:
        raise NotKeptError(f"the default model {default!r} is not among get_models(): {', '.join(known)}")
    if not isinstance(cls.would_answer(load()), str):
        raise NotKeptError("would_answer() must return text, empty where nothing is missing")


def _default(cls: Any) -> str | None:
    """The default model; None where there is none, and the error says that a model must be named."""
    try:
        default, same = cls.get_model(None), cls.get_model("")
    except ModelNotSupportedError:
        return None
    if not isinstance(default, str) or not default or same != default:
        raise NotKeptError(
            f"get_model(None) returns {default!r}: without a name it must return the default model, or raise "
            "ModelNotSupportedError that asks for one"
        )
    return default


def takes_any(cls: Any) -> bool:
    """Is every name a model? Raises ``NotKeptError`` where an unknown one is neither taken nor refused."""
    try:
        found = cls.get_model(NOBODY)
    except ModelNotSupportedError:
        return False
    except Exception as error:  # the provider's own code, which may raise anything
        raise NotKeptError(
            f"get_model() of an unknown name raises {told(error)}: raise ModelNotSupportedError with the known names"
        ) from error
    if isinstance(found, str) and found:
        return True
    raise NotKeptError(
        f"get_model() of an unknown name returns {found!r}: raise ModelNotSupportedError, or return the name"
    )


def begins_nothing(case: Case) -> None:
    """Calling create_async_generator does nothing: no work and no judgement before the first chunk."""
    threads = threading.active_count()
    try:
        with _seen_at_work() as work:
            made = case.provider.create_async_generator(NOBODY, None, **case.settings)
    except Exception as error:  # the provider's own code, which may raise anything
        raise NotKeptError(
            f"calling create_async_generator raises {told(error)}: judge arguments when the first chunk is asked for"
        ) from error
    if inspect.iscoroutine(made):
        made.close()
        raise NotKeptError(
            "create_async_generator returns a coroutine: write it with async def and yield, not with return"
        )
    if not isinstance(made, AsyncGenerator):
        raise NotKeptError(f"create_async_generator returns {made!r}: write it with async def and yield")
    if threading.active_count() > threads:
        work.append(WORK["start_new_thread"])
    if work:
        seen = ", ".join(dict.fromkeys(work))
        raise NotKeptError(f"calling create_async_generator {seen}: do that when the first chunk is asked for")


@contextmanager
def _seen_at_work() -> Iterator[list[str]]:
    """What this thread does meanwhile that takes time or leaves the process."""
    seen: list[str] = []

    def look(_frame: FrameType, event: str, called: Any) -> None:
        name = getattr(called, "__name__", "")
        if event == "c_call" and name in WORK:
            seen.append(WORK[name])

    before = sys.getprofile()
    sys.setprofile(look)
    try:
        yield seen
    finally:
        sys.setprofile(before)


def is_found(case: Case) -> None:
    """It is found by its name."""
    if case.name is None:
        return
    try:
        found = find_provider(case.name)
    except ProviderNotFoundError as error:
        raise NotKeptError(
            f'{error} Name it in pyproject.toml under [project.entry-points."flowgpt_magic.providers"], and install it'
        ) from None
    if found is not case.provider:
        raise NotKeptError(f"the provider {case.name!r} that is installed is another class, {found!r}")

"""The points of the provider contract that are checked without a prompt.

Each point is a function; its docstring is the sentence that must be true.
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
from flowgpt_magic.testing.isolation import IsolatedRuns

PROVIDER_TIMEOUT = 1.0  # seconds for a provider to stop
UNKNOWN_MODEL = "no-such-model-0"
ATTRIBUTE_TYPES: dict[str, type] = {
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
SIDE_EFFECTS = {  # by the name of the C function; creating a generator has none
    "open": "opens a file",
    "connect": "opens a connection",
    "getaddrinfo": "looks up a host",
    "sleep": "sleeps",
    "fork_exec": "starts a program",
    "posix_spawn": "starts a program",
    "start_new_thread": "starts a thread",
    "start_joinable_thread": "starts a thread",
}


class ViolationError(Exception):
    """One point is violated; the text says how, and what to do."""


@dataclass
class Subject:
    """The provider that is checked, with what has been observed so far."""

    provider: Any
    name: str | None
    model: str | None
    prompt: str
    failing: Sequence[Mapping[str, Any]]
    patience: float
    settings: Mapping[str, Any]
    isolated: IsolatedRuns = field(default_factory=IsolatedRuns)
    answer: str = ""
    repeats: bool = False  # the same prompt gets the same answer

    @property
    def address_setting(self) -> str:
        """The setting with the server's address; empty if the provider takes none."""
        name: str = self.provider.address_setting
        return name if name in self.provider.settings else ""

    def ask(self, messages: Messages, **more: Any) -> AsyncGenerator[str | Usage | Extras, None]:
        """A generator of the reply's chunks; ``more`` overrides the settings and may contain ``model``."""
        options = {**self.settings, **more}
        model = options.pop("model", None) or self.provider.get_model(self.model)
        chunks: AsyncGenerator[str | Usage | Extras, None] = self.provider.create_async_generator(
            model, messages, **options
        )
        return chunks

    def prompted(self, more: str = "") -> list[dict[str, str]]:
        """The prompt followed by ``more``, as messages."""
        return [{"role": "user", "content": self.prompt + more}]

    def talk(self) -> list[dict[str, str]]:
        """Messages of each kind that the provider says it takes."""
        messages = [{"role": "system", "content": "Be brief."}] if self.provider.supports_system_message else []
        if self.provider.supports_message_history:
            messages += [{"role": "user", "content": "Hello."}, {"role": "assistant", "content": "Hello to you."}]
        return messages + self.prompted()

    def run(self, work: Callable[[], Coroutine[Any, Any, Any]], situation: str) -> Any:
        """Run ``work`` on an event loop of its own; ``ViolationError`` if it does not end."""

        async def in_task() -> Any:
            try:
                return await work()
            except SystemExit as error:  # it would end the loop without a report
                raise ViolationError(f"it raises {describe_error(error)}, {situation}") from None

        async def in_time() -> Any:
            task = asyncio.create_task(in_task())
            await asyncio.wait({task}, timeout=self.patience)
            if not task.done():
                task.cancel()
                await asyncio.wait({task}, timeout=PROVIDER_TIMEOUT)
                raise ViolationError(
                    f"it does not end within {self.patience:g} s, {situation}; patience= sets a longer limit"
                )
            return task.result()

        try:
            return self.isolated.run(in_time, situation, self.patience + 5 * PROVIDER_TIMEOUT)
        except asyncio.CancelledError:
            raise ViolationError(f"it raises CancelledError although it was not cancelled, {situation}") from None


def describe_error(error: BaseException) -> str:
    """Class and message without the full stop, for the middle of a sentence."""
    message = error.clause if isinstance(error, FlowGptError) else str(error).rstrip(".")
    return f"{type(error).__name__}: {message}" if message else type(error).__name__


def check_base_classes(subject: Subject) -> None:
    """It is a class that derives from AsyncGeneratorProvider and ProviderModelMixin."""
    provider = subject.provider
    if not isinstance(provider, type):
        raise ViolationError(f"{provider!r} is not a class: pass the class itself, here and in the entry point")
    for base in (AsyncGeneratorProvider, ProviderModelMixin):
        if not issubclass(provider, base):
            hint = f"class {provider.__name__}({base.__name__}, …)"
            raise ViolationError(f"it does not derive from {base.__name__}: {hint}")


def check_attributes(subject: Subject) -> None:
    """Its attributes have the types of the contract."""
    for name, kind in ATTRIBUTE_TYPES.items():
        value = getattr(subject.provider, name)
        if not isinstance(value, kind):
            raise ViolationError(f"{name} is {value!r}: it must be a {kind.__name__}")
    for name, kind in (("models", str), ("settings", str), ("model_aliases", str)):
        wrong = [value for value in getattr(subject.provider, name) if not isinstance(value, kind)]
        if wrong:
            raise ViolationError(f"{name} contains {wrong[0]!r}: it must contain only text")
    for name in subject.provider.settings:
        if name not in TABLE:
            raise ViolationError(
                f"settings contains {name!r}, which is not a setting; the settings are: {', '.join(TABLE)}"
            )


def check_signature(subject: Subject) -> None:
    """create_async_generator takes the model, the messages, and unknown keyword arguments."""
    method = inspect.getattr_static(subject.provider, "create_async_generator")
    if not isinstance(method, (classmethod, staticmethod)):
        raise ViolationError("create_async_generator must be a classmethod: it is called on the class")
    if method is vars(AsyncGeneratorProvider)["create_async_generator"]:
        raise ViolationError("it does not define create_async_generator")
    signature = inspect.signature(subject.provider.create_async_generator)
    try:
        signature.bind("model", [], proxy=None, temperature=0.5, flowgpt_magic_unknown=True)
    except TypeError as error:
        wanted = "(cls, model, messages, proxy=None, temperature=0.7, **kwargs)"
        raise ViolationError(
            f"create_async_generator{signature} cannot be called: {error}; let it take {wanted}"
        ) from None
    if subject.provider.supports_schema and "schema" not in signature.parameters:
        raise ViolationError(
            "supports_schema is True, but create_async_generator has no parameter schema: add it, or set False"
        )


def check_models(subject: Subject) -> None:
    """It lists its models, and either refuses or accepts every other name."""
    cls = subject.provider
    default, models = _default(cls), cls.get_models()
    if not isinstance(models, list) or not all(isinstance(model, str) for model in models):
        raise ViolationError(f"get_models() returns {models!r}: it must return a list of names")
    models.append(UNKNOWN_MODEL)
    changed = UNKNOWN_MODEL in cls.get_models()
    models.remove(UNKNOWN_MODEL)
    if changed:
        raise ViolationError("get_models() returns its own list: return a copy that the caller may change")
    accepts_any = accepts_any_model(cls)
    for alias, target in cls.model_aliases.items():
        if cls.get_model(alias) != target or not (accepts_any or target in models):
            raise ViolationError(f"model_aliases maps {alias!r} to {target!r}, but get_model or get_models do not")
    if not accepts_any and default is not None and default not in models:
        raise ViolationError(f"the default model {default!r} is not among get_models(): {', '.join(models)}")
    if not isinstance(cls.would_answer(load()), str):
        raise ViolationError("would_answer() must return text, empty if nothing is missing")


def _default(cls: Any) -> str | None:
    """The default model; None if there is none and ``get_model`` asks for a name."""
    try:
        default, same = cls.get_model(None), cls.get_model("")
    except ModelNotSupportedError:
        return None
    if not isinstance(default, str) or not default or same != default:
        raise ViolationError(
            f"get_model(None) returns {default!r}: without a name it must return the default model, or raise "
            "ModelNotSupportedError that asks for a name"
        )
    return default


def accepts_any_model(cls: Any) -> bool:
    """Return whether every name is a model; ``ViolationError`` if an unknown one is neither accepted nor refused."""
    try:
        model = cls.get_model(UNKNOWN_MODEL)
    except ModelNotSupportedError:
        return False
    except Exception as error:  # the provider's own code, which may raise anything
        raise ViolationError(
            f"get_model() of an unknown name raises {describe_error(error)}: raise ModelNotSupportedError"
        ) from error
    if isinstance(model, str) and model:
        return True
    raise ViolationError(
        f"get_model() of an unknown name returns {model!r}: raise ModelNotSupportedError, or return the name"
    )


def check_no_work(subject: Subject) -> None:
    """Calling create_async_generator does no work: it begins with the first chunk."""
    threads = threading.active_count()
    try:
        with _side_effects() as effects:
            generator = subject.provider.create_async_generator(UNKNOWN_MODEL, None, **subject.settings)
    except Exception as error:  # the provider's own code, which may raise anything
        raise ViolationError(
            f"calling create_async_generator raises {describe_error(error)}: "
            "check arguments when the first chunk is requested"
        ) from error
    if inspect.iscoroutine(generator):
        generator.close()
        raise ViolationError(
            "create_async_generator returns a coroutine: write it with async def and yield, not with return"
        )
    if not isinstance(generator, AsyncGenerator):
        raise ViolationError(f"create_async_generator returns {generator!r}: write it with async def and yield")
    if threading.active_count() > threads:
        effects.append(SIDE_EFFECTS["start_new_thread"])
    if effects:
        text = ", ".join(dict.fromkeys(effects))
        raise ViolationError(f"calling create_async_generator {text}: do that when the first chunk is requested")


@contextmanager
def _side_effects() -> Iterator[list[str]]:
    """Collect what this thread does inside the block that takes time or leaves the process."""
    effects: list[str] = []

    def observe(_frame: FrameType, event: str, called: Any) -> None:
        name = getattr(called, "__name__", "")
        if event == "c_call" and name in SIDE_EFFECTS:
            effects.append(SIDE_EFFECTS[name])

    before = sys.getprofile()
    sys.setprofile(observe)
    try:
        yield effects
    finally:
        sys.setprofile(before)


def check_registration(subject: Subject) -> None:
    """It is found by its name."""
    if subject.name is None:
        return
    try:
        installed = find_provider(subject.name)
    except ProviderNotFoundError as error:
        raise ViolationError(
            f'{error} Name it in pyproject.toml under [project.entry-points."flowgpt_magic.providers"], and install it'
        ) from None
    if installed is not subject.provider:
        raise ViolationError(f"the installed provider {subject.name!r} is another class, {installed!r}")

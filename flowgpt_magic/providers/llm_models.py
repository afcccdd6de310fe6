"""The models of Simon Willison's ``llm`` and of its installed plug-ins.

``llm`` manages the models and their keys (``llm keys set NAME``); it is imported only when needed. How earlier turns
reach a plug-in is described in ``llm_messages``.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable, Generator, Mapping
from contextlib import aclosing, closing, suppress
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, ClassVar

from flowgpt_magic import installing
from flowgpt_magic.errors import (
    ConnectTimeoutError,
    FlowGptError,
    MissingKeyError,
    ModelNotSupportedError,
    NotInstalledError,
    OptionError,
    ProviderConnectionError,
    ProviderError,
    ProviderStatusError,
    StreamInterruptedError,
    closest,
)
from flowgpt_magic.messages import LeftOut, Messages, Reasoning, Usage, notice
from flowgpt_magic.providers import llm_messages
from flowgpt_magic.providers.arguments import check_messages, check_model, check_temperature
from flowgpt_magic.providers.base import AsyncGeneratorProvider, ListedModel, ProviderModelMixin
from flowgpt_magic.providers.failure_reports import STATUS_ERRORS
from flowgpt_magic.providers.inner_generator import InnerGenerator
from flowgpt_magic.providers.openai.usage import usage_of
from flowgpt_magic.providers.wait_times import retry_delay
from flowgpt_magic.redaction import redact
from flowgpt_magic.text import one_line

if TYPE_CHECKING:
    from flowgpt_magic.settings import Settings

END = object()


def _install_command() -> str:
    return installing.command("llm", "--upgrade")


def _import_llm() -> Any:
    try:
        import llm
    except ImportError as error:
        raise NotInstalledError(f"llm cannot be imported ({error}): {_install_command()} installs it") from None
    if not hasattr(llm, "ConversationNotSupported"):  # added in 0.36, the first release that closes what it opens
        raise NotInstalledError(f"llm is older than 0.36: {_install_command()} installs a newer one")
    return llm


def _installed_models() -> list[Any]:
    """Every model with its async variant and aliases. Loads the plug-ins, some of which ask a server."""
    models: list[Any] = _import_llm().get_models_with_aliases()
    return models


def _listed(entry: Any) -> ListedModel:
    """A model with its missing key, if it needs one."""
    model, lacks = entry.model or entry.async_model, ""
    try:
        if getattr(model, "needs_key", None) and not model.get_key():
            lacks = "no key"
    except Exception:  # noqa: BLE001 - a plug-in is foreign code; llm raises an error of its own for a missing key
        lacks = "no key"
    return ListedModel(model.model_id, lacks=f"{lacks}: llm keys set {model.needs_key}" if lacks else "")


def _find_model(name: str) -> Any:
    """The model of this name or alias, async if possible."""
    all_names: list[str] = []
    for entry in _installed_models():
        names = [(entry.model or entry.async_model).model_id, *entry.aliases]
        if name in names:
            return entry.async_model or entry.model
        all_names += names
    raise ModelNotSupportedError(f"llm has no model {name!r}{closest(name, all_names)} List them with: llm models")


def _map_error(error: Exception, model: Any) -> FlowGptError:
    """Our error for one of llm, a plug-in or a library of theirs, without the model's key."""
    if isinstance(error, FlowGptError):
        return error
    if isinstance(error, _import_llm().NeedsKeyException):
        return MissingKeyError(one_line(str(error)))
    text, key = f"{type(error).__name__}: {error}", ""
    if model is not None:
        text = f"{model.model_id}: {text}"
        with suppress(Exception):  # foreign code
            key = model.get_key() or ""
    message = one_line(redact(text.replace(key, "***") if key else text))[:500]
    return _map_httpx_error(error, message) or ProviderError(message)


def _map_httpx_error(error: Exception, message: str) -> ProviderError | None:
    """Our error for a failed request that a plug-in has made with httpx, so that it can be retried; else None.

    The clients of OpenAI and Anthropic, which other plug-ins use, have retried three times themselves and raise their
    own errors. Those become a plain ``ProviderError``, which is not retried.
    """
    if type(error).__module__.partition(".")[0] not in ("httpx", "httpx2"):
        return None
    response = getattr(error, "response", None)
    if isinstance(status := getattr(response, "status_code", None), int):
        return STATUS_ERRORS.get(status, ProviderStatusError)(
            message, status, retry_delay(getattr(response, "headers", {}))
        )
    kinds = {"ConnectError": ProviderConnectionError, "ConnectTimeout": ConnectTimeoutError}
    interrupted = dict.fromkeys(("ReadError", "RemoteProtocolError"), StreamInterruptedError)
    kind = {**kinds, **interrupted}.get(type(error).__name__)
    return kind(message) if kind else None


def _options(model: Any, options: Mapping[str, Any]) -> dict[str, Any]:
    """The options that are not None. Raises ``OptionError`` for one that the model does not have."""
    options = {name: value for name, value in options.items() if value is not None}
    fields = model.Options.model_fields
    for name in options:
        if name not in fields:
            hint = f"It has {', '.join(sorted(fields))}." if fields else "It has none."
            raise OptionError(f"{model.model_id} has no option {name}{closest(name, fields)} {hint}")
    return options


async def _in_thread(read: Callable[[], Generator[Any, None, None]]) -> AsyncGenerator[Any, None]:
    """The items of a blocking generator, read in a thread. After an early exit it is closed at its next item."""
    items: asyncio.Queue[Any] = asyncio.Queue()
    loop, cancelled = asyncio.get_running_loop(), threading.Event()

    def put(item: Any) -> None:
        with suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(items.put_nowait, item)

    def run() -> None:
        try:
            with closing(read()) as generator:
                for item in generator:
                    if cancelled.is_set():
                        return
                    put(item)
            put(END)
        except BaseException as error:  # noqa: BLE001 - raised again by the reader
            put(_as_exception(error))

    threading.Thread(target=run, name="flowgpt_magic llm", daemon=True).start()
    try:
        while (item := await _next_item(items)) is not END:
            yield item
    finally:
        cancelled.set()


async def _next_item(items: asyncio.Queue[Any]) -> Any:
    """The next item, or ``END``. Raises the error of the producer."""
    item = await items.get()
    if isinstance(item, Exception):
        raise item
    return item


async def _in_task(response: Any) -> AsyncGenerator[str, None]:
    """The chunks of text and reasoning of an async response.

    A task of its own reads them. A plug-in may nest generators, and a loop that ends closes all of them at once; but
    before that it cancels the tasks, and this one closes the plug-in's generators in order.
    """
    items: asyncio.Queue[Any] = asyncio.Queue()

    async def read() -> None:
        try:
            async with aclosing(response.astream_events()) as events:
                async for event in events:
                    if piece := _piece(event):
                        items.put_nowait(piece)
            items.put_nowait(END)
        except BaseException as error:  # noqa: BLE001 - raised again by the reader
            items.put_nowait(_as_exception(error))

    task = asyncio.create_task(read())
    try:
        while (item := await _next_item(items)) is not END:
            yield item
    finally:
        task.cancel()
        await asyncio.wait([task])


def _pieces(response: Any) -> Generator[str, None, None]:
    """The chunks of text and reasoning of a response that is not async."""
    with closing(response.stream_events()) as events:
        yield from filter(None, map(_piece, events))


def _piece(event: Any) -> str:
    """The text of an event, as ``Reasoning`` where it is that; empty for a tool call."""
    if event.type == "reasoning":
        return Reasoning(event.chunk)
    return str(event.chunk) if event.type == "text" else ""


def _usage(response: Any) -> Usage:
    """The counts of a response, with llm's details, which are those of the plug-in's server."""
    details = response.token_details
    counts = {"prompt_tokens": response.input_tokens, "completion_tokens": response.output_tokens}
    counts |= details if isinstance(details, Mapping) else {}
    return usage_of(counts, finish_reason="", service_tier=None, answered_by=None, cost=None)


def _as_exception(error: BaseException) -> Exception:
    """``error``, or a ``ProviderError`` for one that would end a thread or a loop."""
    return error if isinstance(error, Exception) else ProviderError(f"llm ended with {type(error).__name__}")


class Llm(AsyncGeneratorProvider, ProviderModelMixin):
    """Any model that ``llm models`` lists, by name or alias; without a name, llm's default model."""

    url = "https://llm.datasette.io"
    about = "Any model that ``llm models`` lists, by name or alias; without a name, llm's default model."
    supports_images: ClassVar[bool] = True

    @classmethod
    def get_models(cls) -> list[str]:
        """An empty list: only llm knows its models, see ``list_models``."""
        return []

    @classmethod
    async def list_models(cls, **settings: Any) -> list[str]:  # noqa: ARG003 - part of the contract
        """The names of llm's models, each a ``ListedModel`` that says whether its key is missing."""
        async with InnerGenerator(_in_thread(lambda: (_listed(entry) for entry in _installed_models()))) as models:
            return [model async for model in models]

    @classmethod
    def get_model(cls, name: str | None) -> str:
        """``name`` unchanged. Whether the model exists is checked when the first chunk is requested."""
        return check_model(name, cls.__name__) or str(_import_llm().get_default_model())

    @classmethod
    def would_answer(cls, chosen: Settings, model: str = "") -> str:  # noqa: ARG003 - part of the contract
        """Whether llm is installed."""
        return "" if find_spec("llm") else f"not installed: {_install_command()}"

    @classmethod
    def think_parameters(cls, model: str, think: str) -> Mapping[str, Any]:  # noqa: ARG003 - part of the contract
        """Raises ``OptionError``: each plug-in of llm has an option of its own for that."""
        raise OptionError(
            'the option of the model does that, such as -P options={"reasoning_effort":"low"}; llm models --options '
            "lists them"
        )

    @classmethod
    async def create_async_generator(
        cls,
        model: str,
        messages: Messages,
        proxy: str | None = None,  # noqa: ARG003 - llm has no proxy option
        temperature: float | None = None,
        *,
        max_tokens: int | None = None,
        options: Mapping[str, Any] | None = None,
        **kwargs: Any,  # noqa: ARG003
    ) -> AsyncGenerator[str | Usage, None]:
        """The chunks of the reply, then a ``Usage`` with token counts if the model reports them.

        A plug-in that reads neither messages nor the conversation gets only the last message; a notice then says how
        many were left out. A model that is not async runs in a thread, and stops at its next chunk after an early exit.

        Raises ``NotInstalledError``, ``ModelNotSupportedError``, ``OptionError``, ``MissingKeyError``,
        ``ImagesRefusedError``, and ``ProviderError`` for anything that a plug-in raises.

        Args:
            model: a name or alias of llm; empty for llm's default model.
            messages: the conversation. Images become attachments, if the model takes those of their type.
            proxy: ignored.
            temperature: option ``temperature`` of the model; None for its default.
            max_tokens: option ``max_tokens`` of the model; None for its default.
            options: further options of the model, as ``llm models --options`` lists them.
            **kwargs: ignored.
        """
        check_messages(messages)
        temperature = check_temperature(temperature)
        model = cls.get_model(model)
        llm_model: Any = None
        try:
            async with InnerGenerator(_in_thread(lambda: (_find_model(name) for name in [model]))) as models:
                llm_model = await anext(models)
            all_options = {"temperature": temperature, "max_tokens": max_tokens, **(options or {})}
            pending = await llm_messages.prepare(llm_model, messages, _options(llm_model, all_options))
            response = pending.response
            is_async = hasattr(response, "astream_events")
            pieces = _in_task(response) if is_async else _in_thread(lambda: _pieces(response))
            async with InnerGenerator(pieces) as chunks:
                async for chunk in chunks:
                    yield chunk
        except Exception as error:  # noqa: BLE001 - foreign code may raise anything
            raise _map_error(error, llm_model) from None
        if unread := pending.unread:
            notice(LeftOut(unread, f"{llm_model.model_id} reads the last message only"))
        yield _usage(response)

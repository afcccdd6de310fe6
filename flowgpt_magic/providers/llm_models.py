"""The models of Simon Willison's ``llm``: what its plug-ins have installed answers here too.

``llm`` knows the models and their keys (``llm keys set NAME``); nothing of it is imported before it is needed. The
earlier turns of a conversation are given to a plug-in in both ways that llm has, see `llm_messages`.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable, Generator, Mapping
from contextlib import aclosing, closing, suppress
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

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
    RateLimitError,
    StreamInterruptedError,
    closest,
)
from flowgpt_magic.messages import LeftOut, Messages, Usage, notice
from flowgpt_magic.providers import llm_messages
from flowgpt_magic.providers.arguments import check_messages, check_model, check_temperature
from flowgpt_magic.providers.base import AsyncGeneratorProvider, ProviderModelMixin
from flowgpt_magic.providers.inner_generator import InnerGenerator
from flowgpt_magic.redaction import redact
from flowgpt_magic.text import one_line

if TYPE_CHECKING:
    from flowgpt_magic.settings import Settings

END = object()


def _install() -> str:
    return installing.command("llm", "--upgrade")


def _library() -> Any:
    try:
        import llm
    except ImportError as error:
        raise NotInstalledError(f"llm cannot be imported ({error}): {_install()} installs it") from None
    if not hasattr(llm, "ConversationNotSupported"):  # came with 0.36, which is the first to close what it opens
        raise NotInstalledError(f"this llm is older than 0.36: {_install()} installs a newer one")
    return llm


def _registered() -> list[Any]:
    """Every model with its async one and its aliases; loads the plug-ins, some of which ask a server."""
    found: list[Any] = _library().get_models_with_aliases()
    return found


def _find(name: str) -> Any:
    """The model of this name or alias: the async one, where there is one."""
    known: list[str] = []
    for each in _registered():
        names = [(each.model or each.async_model).model_id, *each.aliases]
        if name in names:
            return each.async_model or each.model
        known += names
    raise ModelNotSupportedError(f"llm has no model {name!r}{closest(name, known)} Those it has: llm models")


def _mapped(error: Exception, model: Any) -> FlowGptError:
    """Our error for one of llm, of its plug-ins or of the libraries they use, without the model's key."""
    if isinstance(error, FlowGptError):
        return error
    if isinstance(error, _library().NeedsKeyException):
        return MissingKeyError(one_line(str(error)))
    text, key = f"{type(error).__name__}: {error}", ""
    if model is not None:
        text = f"{model.model_id}: {text}"
        with suppress(Exception):  # it has none, or foreign code fails
            key = model.get_key() or ""
    message = one_line(redact(text.replace(key, "***") if key else text))[:500]
    return _of_httpx(error, message) or ProviderError(message)


def _of_httpx(error: Exception, message: str) -> ProviderError | None:
    """Our error, one that may pass, for a request that a plug-in has made with httpx; None for another one.

    The clients of OpenAI and Anthropic, which other plug-ins use, have tried three times before they fail, and raise
    errors of their own. Those stay plain ones, and are not tried again.
    """
    if type(error).__module__.partition(".")[0] not in ("httpx", "httpx2"):
        return None
    response = getattr(error, "response", None)
    if isinstance(status := getattr(response, "status_code", None), int):
        from flowgpt_magic.providers.wait_times import retry_delay

        kind = RateLimitError if status == 429 else ProviderStatusError
        return kind(message, status, retry_delay(getattr(response, "headers", {})))
    kinds = {"ConnectError": ProviderConnectionError, "ConnectTimeout": ConnectTimeoutError}
    interrupted = dict.fromkeys(("ReadError", "RemoteProtocolError"), StreamInterruptedError)
    found = {**kinds, **interrupted}.get(type(error).__name__)
    return found(message) if found else None


def _options(model: Any, given: Mapping[str, Any]) -> dict[str, Any]:
    """Those that are not None; raises ``OptionError`` for one that the model does not take."""
    wanted = {name: value for name, value in given.items() if value is not None}
    taken = model.Options.model_fields
    for name in wanted:
        if name not in taken:
            takes = f"It takes {', '.join(sorted(taken))}." if taken else "It takes none."
            raise OptionError(f"{model.model_id} has no option {name}{closest(name, taken)} {takes}")
    return wanted


async def _in_thread(read: Callable[[], Generator[Any, None, None]]) -> AsyncGenerator[Any, None]:
    """The items of a generator that blocks, read in a thread; left early, it is closed when its next item comes."""
    arrived: asyncio.Queue[Any] = asyncio.Queue()
    loop, left = asyncio.get_running_loop(), threading.Event()

    def tell(item: Any) -> None:
        with suppress(RuntimeError):  # that loop is closed: nobody waits there any more
            loop.call_soon_threadsafe(arrived.put_nowait, item)

    def run() -> None:
        try:
            with closing(read()) as items:
                for item in items:
                    if left.is_set():
                        return
                    tell(item)
            tell(END)
        except BaseException as error:  # noqa: BLE001 - whoever waits for the items gets it
            tell(_as_exception(error))

    threading.Thread(target=run, name="flowgpt_magic llm", daemon=True).start()
    try:
        while (item := await _next_item(arrived)) is not END:
            yield item
    finally:
        left.set()


async def _next_item(arrived: asyncio.Queue[Any]) -> Any:
    """What the reader has put there next: an item, or ``END``. Raises the error that it has met."""
    item = await arrived.get()
    if isinstance(item, Exception):
        raise item
    return item


async def _in_task(response: Any) -> AsyncGenerator[str, None]:
    """The chunks of an async response; what it thinks and calls beside them is left out.

    A task of its own reads them. A plug-in may have generators in one another, and a loop that ends closes all that it
    knows at once; but before that it cancels the tasks, and this one closes the plug-in's generators in their order.
    """
    arrived: asyncio.Queue[Any] = asyncio.Queue()

    async def read() -> None:
        try:
            async with aclosing(response.astream_events()) as events:
                async for event in events:
                    if event.type == "text":
                        arrived.put_nowait(event.chunk)
            arrived.put_nowait(END)
        except BaseException as error:  # noqa: BLE001 - whoever waits for the chunks gets it
            arrived.put_nowait(_as_exception(error))

    task = asyncio.create_task(read())
    try:
        while (item := await _next_item(arrived)) is not END:
            yield item
    finally:
        task.cancel()
        await asyncio.wait([task])


def _as_exception(error: BaseException) -> Exception:
    """``error``, or one of ours for what would end a thread or a loop."""
    return error if isinstance(error, Exception) else ProviderError(f"llm ended with {type(error).__name__}")


class Llm(AsyncGeneratorProvider, ProviderModelMixin):
    """Any model that ``llm models`` lists, by its name or alias; without one, the default model of llm."""

    url = "https://llm.datasette.io"
    about = "Any model that ``llm models`` lists, by its name or alias; without one, the default model of llm."

    @classmethod
    def get_models(cls) -> list[str]:
        """None: which there are, only llm knows; see ``list_models``."""
        return []

    @classmethod
    async def list_models(cls, **settings: Any) -> list[str]:  # noqa: ARG003 - the contract's
        """The names of the models that llm has now."""
        async with InnerGenerator(_in_thread(lambda: (each for each in _registered()))) as found:
            return [(each.model or each.async_model).model_id async for each in found]

    @classmethod
    def get_model(cls, name: str | None) -> str:
        """``name`` as it is: whether there is such a model is found out when the first chunk is asked for."""
        return check_model(name, cls.__name__) or str(_library().get_default_model())

    @classmethod
    def would_answer(cls, chosen: Settings, model: str = "") -> str:  # noqa: ARG003 - the contract's
        """Whether llm is installed."""
        return "" if find_spec("llm") else f"not installed: {_install()}"

    @classmethod
    async def create_async_generator(
        cls,
        model: str,
        messages: Messages,
        proxy: str | None = None,  # noqa: ARG003 - llm and its plug-ins know none
        temperature: float | None = None,
        *,
        max_tokens: int | None = None,
        options: Mapping[str, Any] | None = None,
        **kwargs: Any,  # noqa: ARG003
    ) -> AsyncGenerator[str | Usage, None]:
        """The chunks of the reply, then a ``Usage`` with its token counts, where the model tells them.

        A plug-in that reads neither messages nor the conversation sees the last message only; a notice then says how
        many others it left out. ``options`` are the model's own, as ``llm models --options`` lists them;
        ``temperature`` and ``max_tokens`` are two that most have. A model that is not async runs in a thread, and stops
        at its next chunk when it is left. Raises ``NotInstalledError``, ``ModelNotSupportedError``, ``OptionError``,
        ``MissingKeyError``, and ``ProviderError`` for whatever a plug-in raises.
        """
        check_messages(messages)
        temperature = check_temperature(temperature)
        model = cls.get_model(model)
        found: Any = None
        try:
            async with InnerGenerator(_in_thread(lambda: (_find(name) for name in [model]))) as models:
                found = await anext(models)
            given = {"temperature": temperature, "max_tokens": max_tokens, **(options or {})}
            talk = await llm_messages.begin(found, messages, _options(found, given))
            response = talk.response
            is_async = hasattr(response, "astream_events")
            async with InnerGenerator(_in_task(response) if is_async else _in_thread(lambda: iter(response))) as chunks:
                async for chunk in chunks:
                    yield chunk
        except Exception as error:  # noqa: BLE001 - foreign code: whatever it raises, it is one of ours from here on
            raise _mapped(error, found) from None
        if unread := talk.unread:
            notice(LeftOut(unread, f"{found.model_id} reads the last message only"))
        yield Usage(prompt_tokens=response.input_tokens, completion_tokens=response.output_tokens)

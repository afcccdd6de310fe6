"""What others can watch of a reply: its lines in the log, and its span where OpenTelemetry is used.

The span follows the semantic conventions for generative AI of OpenTelemetry, in their own repository since 2026:
https://github.com/open-telemetry/semantic-conventions-genai, ``docs/gen-ai/gen-ai-spans.md``. It is the current span
only while the provider is being waited for, so that what an instrumented HTTP library does stands below it; it never
is while a chunk is handed on, and nobody who reads a reply ever sees it.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from flowgpt_magic.messages import Status, Usage
from flowgpt_magic.messages.extras import Extras
from flowgpt_magic.providers.inner_generator import InnerGenerator
from flowgpt_magic.redaction import redact
from flowgpt_magic.replies import log
from flowgpt_magic.replies.received import RecordedReply
from flowgpt_magic.replies.request import Request

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.trace import Span

Chunks = AsyncGenerator[str | Usage | Extras, None]

CONTENT = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
ON_SPANS = ("true", "1", "yes", "span_only", "span_and_event")  # values that put prompts and replies onto spans
COMPATIBLE = "openai_compatible"
HOSTS = {  # whose servers speak OpenAI's protocol, by the names of the conventions
    "openai.azure.com": "azure.ai.openai",
    "api.anthropic.com": "anthropic",
    "api.cohere.ai": "cohere",
    "api.deepseek.com": "deepseek",
    "api.groq.com": "groq",
    "api.mistral.ai": "mistral_ai",
    "api.moonshot.ai": "moonshot_ai",
    "api.perplexity.ai": "perplexity",
    "api.x.ai": "x_ai",
    "aiplatform.googleapis.com": "gcp.vertex_ai",
    "generativelanguage.googleapis.com": "gcp.gemini",
}
NUMBERS: dict[str, type[float] | type[int]] = {
    "temperature": float,
    "top_p": float,
    "top_k": float,
    "frequency_penalty": float,
    "presence_penalty": float,
    "max_tokens": int,
    "seed": int,
}
PORTS = {"http": 80, "https": 443}


class Telemetry:
    """Watches one reply to ``request``, whose turn is kept in the conversation of ``conversation_id``, if any."""

    def __init__(self, request: Request, conversation_id: str = "") -> None:
        self._request = request
        self._conversation_id = conversation_id
        self._tries = 0
        self._begun = 0
        self._context: Context | None = None
        self._span: Span | None = None
        self._ended = False
        self._lock = threading.RLock()  # a reply may be cancelled from any thread, and by an interrupt anywhere

    def begin(self, reply: RecordedReply) -> None:
        """The reply is about to be asked for, by whoever's context this is."""
        self._begun = time.time_ns()
        self._context = _current_context()
        log.begun(reply, self._request)

    def end(self, reply: RecordedReply, status: Status) -> None:
        """The reply has ended; one that was cancelled before it was asked for is none of our business."""
        with self._lock:
            self._ended = True
        if self._begun:
            log.ended(reply, status, self._request)
        if self._span is not None:
            with _foreign():
                _finish(self._span, reply, status, self._request)

    def asking(self, chunks: Chunks) -> Chunks:
        """The ``chunks`` of one try to ask the provider, which begins now.

        The span begins here, with the time and the context of ``begin``: a reply that comes from the history asks
        nobody, and has no span.
        """
        self._tries += 1
        return self._watched(chunks) if self._context is not None or log.logs_attempts() else chunks

    async def _watched(self, chunks: Chunks) -> Chunks:
        if self._tries > 1:
            log.asked_again(self._tries, self._request)
        self._start_span()
        try:
            async with InnerGenerator(self._below_span(chunks)) as asked:
                async for chunk in asked:
                    yield chunk
        except Exception as error:
            log.try_failed(self._tries, error, self._request)
            raise

    def _below_span(self, chunks: Chunks) -> Chunks:
        if self._span is None or self._context is None:
            return chunks
        from opentelemetry import trace

        return _stepwise(chunks, trace.set_span_in_context(self._span, self._context))

    def _start_span(self) -> None:
        with self._lock:
            if self._context is None or self._span is not None or self._ended:
                return
            with _foreign():
                attributes = _asked(self._request, self._conversation_id)
                self._span = _start(self._request, self._context, self._begun, attributes)


async def _stepwise(chunks: Chunks, below: Context) -> Chunks:
    """The ``chunks``, each waited for with ``below`` as the context of this task, and handed on without."""
    from opentelemetry import context

    async with InnerGenerator(chunks) as asked:
        while True:
            token = context.attach(below)
            try:
                chunk = await anext(asked)
            except StopAsyncIteration:
                return
            finally:
                context.detach(token)
            yield chunk


@contextmanager
def _foreign() -> Iterator[None]:
    """Nothing that an exporter or a processor of the user's does wrong costs a reply."""
    try:
        yield
    except Exception as error:  # noqa: BLE001 - foreign code: whatever it raises, it is named in the log
        log.logger.warning("the span of a reply is lost: %s", type(error).__name__)


def _current_context() -> Context | None:
    """The context of OpenTelemetry here, or None where nobody in this process uses it.

    Whoever wants spans has set up a provider of them, and so has loaded it; or names one in the environment.
    """
    if "opentelemetry.trace" not in sys.modules and "OTEL_PYTHON_TRACER_PROVIDER" not in os.environ:
        return None
    try:
        from opentelemetry import context
    except ImportError:
        return None
    return context.get_current()


@cache
def _version() -> str:
    from importlib.metadata import version

    return version("flowgpt_magic")


def _start(request: Request, parent: Context, begun: int, attributes: Mapping[str, Any]) -> Span:
    from opentelemetry import trace

    tracer = trace.get_tracer("flowgpt_magic", _version())
    name, kind = f"chat {redact(request.target.model)}".strip(), trace.SpanKind.CLIENT
    return tracer.start_span(name, context=parent, kind=kind, attributes=attributes, start_time=begun)


def _asked(request: Request, conversation_id: str) -> dict[str, Any]:
    """What is known when the provider is asked."""
    given = request.parameters
    server = _server(given.get(request.target.provider_class.address_setting))
    found: dict[str, Any] = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": _provider_name(request.target.provider, server.get("server.address", "")),
        "gen_ai.request.model": redact(request.target.model),
        "gen_ai.request.stream": True,
        **server,
    }
    if request.schema is not None:
        found["gen_ai.output.type"] = "json"
    if conversation_id:
        found["gen_ai.conversation.id"] = conversation_id
    for name, kind in NUMBERS.items():
        if isinstance(given.get(name), (int, float)):
            found[f"gen_ai.request.{name}"] = kind(given[name])
    if stop := given.get("stop"):
        found["gen_ai.request.stop_sequences"] = [stop] if isinstance(stop, str) else [str(each) for each in stop]
    return found


def _provider_name(provider: str, host: str) -> str:
    """Whose service it is, as far as the address tells; ``openai`` where only the protocol is known."""
    if provider != COMPATIBLE:
        return provider
    known = (name for suffix, name in HOSTS.items() if host == suffix or host.endswith(("." + suffix, "-" + suffix)))
    return next(known, "openai")


def _server(base_url: object) -> dict[str, Any]:
    """Host and port of the server, and nothing else of its URL."""
    try:
        url = urlsplit(str(base_url or ""))
        port = url.port or PORTS.get(url.scheme)
    except ValueError:
        return {}
    return {"server.address": url.hostname, "server.port": port} if url.hostname and port else {}


def _finish(span: Span, reply: RecordedReply, status: Status, request: Request) -> None:
    """Put onto ``span`` what is known at the end, and end it."""
    from opentelemetry.trace import Status as Outcome
    from opentelemetry.trace import StatusCode

    try:
        if span.is_recording():
            span.set_attributes(_answered(reply, status))
            if status == "failed" and reply.error is not None:
                span.set_attribute("error.type", type(reply.error).__qualname__)
                span.set_status(Outcome(StatusCode.ERROR, log.failure(reply.error, request)))
            if os.environ.get(CONTENT, "").strip().lower() in ON_SPANS:
                span.set_attributes(_content(reply, status))
    finally:
        span.end()


def _answered(reply: RecordedReply, status: Status) -> dict[str, Any]:
    usage = reply.usage
    found = {
        "flowgpt_magic.reply.status": status,
        "gen_ai.response.time_to_first_chunk": usage.first_chunk_seconds,
        "gen_ai.response.finish_reasons": [usage.finish_reason] if usage.finish_reason else None,
        "gen_ai.usage.input_tokens": usage.prompt_tokens,
        "gen_ai.usage.output_tokens": usage.completion_tokens,
    }
    return {name: value for name, value in found.items() if value is not None}


def _content(reply: RecordedReply, status: Status) -> dict[str, str]:
    """What was said, as JSON: attributes with a structure are new, and few exporters know them."""
    asked = [{"role": each["role"], "parts": _parts(each)} for each in reply.messages]
    ending = {"complete": "stop", "failed": "error"}
    reason = reply.usage.finish_reason or ending.get(status, status)
    answer = {"role": "assistant", "parts": [_text(reply.text_so_far)], "finish_reason": reason}
    return {"gen_ai.input.messages": json.dumps(asked), "gen_ai.output.messages": json.dumps([answer])}


def _parts(message: Mapping[str, Any]) -> list[dict[str, str]]:
    """The text of a message, and of its images that they were there, and of which kind."""
    urls = [url for url in message.get("images", ()) if url.startswith("data:")]  # of others nobody knows the kind
    images = [{"type": "image", "mime_type": url[5:].partition(";")[0]} for url in urls]
    return [_text(message["content"]), *images]


def _text(content: object) -> dict[str, str]:
    return {"type": "text", "content": str(content)}

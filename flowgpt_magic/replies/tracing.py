"""Log each reply, and create an OpenTelemetry span for it if OpenTelemetry is in use.

The span follows the semantic conventions for generative AI of OpenTelemetry, in their own repository since 2026:
https://github.com/open-telemetry/semantic-conventions-genai, ``docs/gen-ai/gen-ai-spans.md``. It is the current span
only while we wait for the provider, so that spans of an instrumented HTTP library become its children. It is never the
current span of the code that reads the reply.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from flowgpt_magic.messages import Status
from flowgpt_magic.providers.inner_generator import InnerGenerator
from flowgpt_magic.redaction import redact
from flowgpt_magic.replies import log
from flowgpt_magic.replies.received import Chunks, RecordedReply
from flowgpt_magic.replies.request import Request

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.trace import Span

CONTENT = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
CONTENT_ON_SPANS = ("true", "1", "yes", "span_only", "span_and_event")  # values that put prompts and replies onto spans
COMPATIBLE = "openai_compatible"
PROVIDER_NAMES = {  # names from the conventions, by the host of an OpenAI-compatible server
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
NUMERIC_PARAMETERS: dict[str, type[float] | type[int]] = {
    "temperature": float,
    "top_p": float,
    "top_k": float,
    "frequency_penalty": float,
    "presence_penalty": float,
    "max_tokens": int,
    "seed": int,
}
DEFAULT_PORTS = {"http": 80, "https": 443}


class Telemetry:
    """The log lines and the span of one reply. ``conversation_id`` is the conversation of its turn, or ""."""

    def __init__(self, request: Request, conversation_id: str = "") -> None:
        self._request = request
        self._conversation_id = conversation_id
        self._attempts = 0
        self._begun = 0
        self._context: Context | None = None
        self._span: Span | None = None
        self._ended = False
        self._lock = threading.RLock()  # a reply may be cancelled from any thread, and by an interrupt anywhere

    def begin(self, reply: RecordedReply) -> None:
        """The request is about to be sent. The span's parent is the current context."""
        self._begun = time.time_ns()
        self._context = _current_context()
        log.log_start(reply, self._request)

    def end(self, reply: RecordedReply, status: Status) -> None:
        """The reply has ended. One that was cancelled before ``begin`` is not logged."""
        with self._lock:
            self._ended = True
        if self._begun:
            log.log_end(reply, status, self._request)
        if self._span is not None:
            with _contained():
                _finish(self._span, reply, status, self._request)

    def attempt(self, chunks: Chunks) -> Chunks:
        """The ``chunks`` of an attempt that begins now, logged and traced.

        The span is created here, with the start time and context of ``begin``, so that a reply from the history has
        none.
        """
        self._attempts += 1
        return self._logged(chunks) if self._context is not None or log.logs_attempts() else chunks

    async def _logged(self, chunks: Chunks) -> Chunks:
        if self._attempts > 1:
            log.log_retry(self._attempts, self._request)
        self._start_span()
        try:
            async with InnerGenerator(self._in_span(chunks)) as inner:
                async for chunk in inner:
                    yield chunk
        except Exception as error:
            log.log_failed_attempt(self._attempts, error, self._request)
            raise

    def _in_span(self, chunks: Chunks) -> Chunks:
        if self._span is None or self._context is None:
            return chunks
        from opentelemetry import trace

        return _in_context(chunks, trace.set_span_in_context(self._span, self._context))

    def _start_span(self) -> None:
        with self._lock:
            if self._context is None or self._span is not None or self._ended:
                return
            with _contained():
                attributes = _request_attributes(self._request, self._conversation_id)
                self._span = _start(self._request, self._context, self._begun, attributes)


async def _in_context(chunks: Chunks, inside: Context) -> Chunks:
    """``chunks``. ``inside`` is the current context while each one is awaited, but not while it is yielded."""
    from opentelemetry import context

    async with InnerGenerator(chunks) as inner:
        while True:
            token = context.attach(inside)
            try:
                chunk = await anext(inner)
            except StopAsyncIteration:
                return
            finally:
                context.detach(token)
            yield chunk


@contextmanager
def _contained() -> Iterator[None]:
    """Log an error of the user's exporter or span processor instead of raising it."""
    try:
        yield
    except Exception as error:  # noqa: BLE001 - foreign code may raise anything
        log.logger.warning("the span of a reply was lost: %s", type(error).__name__)


def _current_context() -> Context | None:
    """The current OpenTelemetry context, or None if this process does not use OpenTelemetry.

    It is in use if it is loaded already, or if the environment names a tracer provider.
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


def _request_attributes(request: Request, conversation_id: str) -> dict[str, Any]:
    parameters = request.parameters
    server = _server(parameters.get(request.target.provider_class.address_setting))
    attributes: dict[str, Any] = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": _provider_name(request.target.provider, server.get("server.address", "")),
        "gen_ai.request.model": redact(request.target.model),
        "gen_ai.request.stream": True,
        **server,
    }
    if request.schema is not None:
        attributes["gen_ai.output.type"] = "json"
    if conversation_id:
        attributes["gen_ai.conversation.id"] = conversation_id
    for name, kind in NUMERIC_PARAMETERS.items():
        if isinstance(parameters.get(name), (int, float)):
            attributes[f"gen_ai.request.{name}"] = kind(parameters[name])
    if stop := parameters.get("stop"):
        attributes["gen_ai.request.stop_sequences"] = [stop] if isinstance(stop, str) else list(map(str, stop))
    return attributes


def _provider_name(provider: str, host: str) -> str:
    """The name of the service at ``host``; ``openai`` if only the protocol is known."""
    if provider != COMPATIBLE:
        return provider
    names = PROVIDER_NAMES.items()
    return next((name for end, name in names if host == end or host.endswith(("." + end, "-" + end))), "openai")


def _server(base_url: object) -> dict[str, Any]:
    """Host and port of the server. Other parts of the URL may be secret."""
    try:
        url = urlsplit(str(base_url or ""))
        port = url.port or DEFAULT_PORTS.get(url.scheme)
    except ValueError:
        return {}
    return {"server.address": url.hostname, "server.port": port} if url.hostname and port else {}


def _finish(span: Span, reply: RecordedReply, status: Status, request: Request) -> None:
    """Set the attributes known at the end of the reply, and end ``span``."""
    from opentelemetry.trace import Status as Outcome
    from opentelemetry.trace import StatusCode

    try:
        if span.is_recording():
            span.set_attributes(_reply_attributes(reply, status))
            if status == "failed" and reply.error is not None:
                span.set_attribute("error.type", type(reply.error).__qualname__)
                span.set_status(Outcome(StatusCode.ERROR, log.describe_error(reply.error, request)))
            if os.environ.get(CONTENT, "").strip().lower() in CONTENT_ON_SPANS:
                span.set_attributes(_content(reply, status))
    finally:
        span.end()


def _reply_attributes(reply: RecordedReply, status: Status) -> dict[str, Any]:
    usage = reply.usage
    attributes = {
        "flowgpt_magic.reply.status": status,
        "gen_ai.response.time_to_first_chunk": usage.first_chunk_seconds,
        "gen_ai.response.finish_reasons": [usage.finish_reason] if usage.finish_reason else None,
        "gen_ai.usage.input_tokens": usage.prompt_tokens,
        "gen_ai.usage.output_tokens": usage.completion_tokens,
        "gen_ai.usage.reasoning.output_tokens": usage.reasoning_tokens,
        "gen_ai.usage.cache_read.input_tokens": usage.cached_tokens,
        "gen_ai.usage.cache_creation.input_tokens": usage.cache_write_tokens,
        "gen_ai.response.model": redact(usage.answered_by) or None,
        "gen_ai.response.id": reply.extras.request_id or None,
        "openai.response.service_tier": usage.service_tier or None,
    }
    return {name: value for name, value in attributes.items() if value is not None}


def _content(reply: RecordedReply, status: Status) -> dict[str, str]:
    """The messages and the reply, as JSON: few exporters support structured attributes."""
    messages = [{"role": message["role"], "parts": _parts(message)} for message in reply.messages]
    ending = {"complete": "stop", "failed": "error"}
    reason = reply.usage.finish_reason or ending.get(status, status)
    answer = {"role": "assistant", "parts": [_text(reply.text_so_far)], "finish_reason": reason}
    return {"gen_ai.input.messages": json.dumps(messages), "gen_ai.output.messages": json.dumps([answer])}


def _parts(message: Mapping[str, Any]) -> list[dict[str, str]]:
    """The text of a message and the MIME types of its images, without their data."""
    urls = [url for url in message.get("images", ()) if url.startswith("data:")]  # the type of others is unknown
    images = [{"type": "image", "mime_type": url[5:].partition(";")[0]} for url in urls]
    return [_text(message["content"]), *images]


def _text(content: object) -> dict[str, str]:
    return {"type": "text", "content": str(content)}

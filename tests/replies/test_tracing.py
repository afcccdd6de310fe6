"""What OpenTelemetry is told of a reply, and when it is not."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import aclosing, contextmanager

import pytest
from opentelemetry import baggage, context, trace
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from flowgpt_magic import bridge
from flowgpt_magic.conversation import Conversation
from flowgpt_magic.errors import ProviderConnectionError, ProviderError, RateLimitError
from flowgpt_magic.messages import Usage
from flowgpt_magic.messages.extras import Extras
from flowgpt_magic.providers.base import AsyncGeneratorProvider, ProviderModelMixin
from flowgpt_magic.providers.registry import Target
from flowgpt_magic.replies import resolved, tracing
from tests.servers import CHUNKED, answering, framed, line, replying, serving, stalling, whole


class Broken(SpanProcessor):
    """A span processor of the user's that fails where it is told to."""

    at = ""

    def on_start(self, span, parent_context=None):
        if self.at == "start":
            raise RuntimeError("the processor is broken")

    def on_end(self, span):
        if self.at == "end":
            raise RuntimeError("the processor is broken")


EXPORTER = InMemorySpanExporter()
BROKEN = Broken()
TRACER = trace.get_tracer("the user's program")


@pytest.fixture(scope="module", autouse=True)
def sdk() -> None:
    """What a program does that wants its spans; it can be done once in a process."""
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(EXPORTER))
    provider.add_span_processor(BROKEN)
    trace.set_tracer_provider(provider)


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    """No spans of another test."""
    EXPORTER.clear()
    yield
    BROKEN.at = ""


@pytest.fixture
def chat() -> Conversation:
    return Conversation(configured=lambda: {"model": "echo"})


@pytest.fixture
def provider(monkeypatch):
    """Have every prompt answered by a provider with this method."""

    def install(method, **attributes):
        members = {"create_async_generator": classmethod(method), "default_model": "m", **attributes}
        made = type("Given", (AsyncGeneratorProvider, ProviderModelMixin), members)
        monkeypatch.setattr(resolved, "find_target", lambda _name, _others: Target("given", made, "m"))

    return install


def spans() -> list[ReadableSpan]:
    """Those of replies that have ended."""
    return [span for span in EXPORTER.get_finished_spans() if span.instrumentation_scope.name == "flowgpt_magic"]


def the_span() -> ReadableSpan:
    (span,) = spans()
    return span


@contextmanager
def users_span(name: str = "the user's") -> Iterator[trace.Span]:
    with TRACER.start_as_current_span(name) as span:
        yield span


def test_a_reply_is_one_span_with_the_names_of_the_conventions(chat):
    list(chat.ask("one two three", temperature=0.25))

    span = the_span()
    assert (span.name, span.kind, span.status.status_code) == ("chat words", SpanKind.CLIENT, StatusCode.UNSET)
    assert span.instrumentation_scope.version
    found = dict(span.attributes)
    assert 0 <= found.pop("gen_ai.response.time_to_first_chunk") < 60
    assert found == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "echo",
        "gen_ai.request.model": "words",
        "gen_ai.request.stream": True,
        "gen_ai.request.temperature": 0.25,
        "gen_ai.conversation.id": chat.record.conversation_id,
        "gen_ai.usage.input_tokens": 3,
        "gen_ai.usage.output_tokens": 3,
        "gen_ai.response.finish_reasons": ("stop",),
        "flowgpt_magic.reply.status": "complete",
    }


def test_a_prompt_that_is_kept_nowhere_has_a_span_and_no_conversation(chat):
    list(chat.ask("one", history=False))

    assert "gen_ai.conversation.id" not in the_span().attributes


async def test_the_server_is_named_without_what_else_its_url_holds(chat):
    async with serving(replying(line("hi"))) as server:
        chosen = {"base_url": f"{server.url}/secret/path", "token": "t0p-secret"}
        assert await chat.ask("one", model="flowgpt", **chosen) == "hi"

    found = the_span().attributes
    assert (found["server.address"], found["server.port"]) == ("127.0.0.1", server.port)
    assert "secret" not in the_span().to_json()


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("https://user:pass@host.example/x?key=k", ("host.example", 443)),
        ("http://[::1]:8765", ("::1", 8765)),
        ("http://host:99999", None),
        ("no url", None),
        (None, None),
    ],
)
def test_only_host_and_port_of_a_url_are_told(url, found):
    told = tracing._server(url)

    assert tuple(told.values()) == (found or ())


@pytest.mark.parametrize(
    ("provider", "host", "name"),
    [
        ("openai_compatible", "api.openai.com", "openai"),
        ("openai_compatible", "127.0.0.1", "openai"),
        ("openai_compatible", "api.groq.com", "groq"),
        ("openai_compatible", "mine.openai.azure.com", "azure.ai.openai"),
        ("openai_compatible", "europe-west1-aiplatform.googleapis.com", "gcp.vertex_ai"),
        ("openai_compatible", "notapi.groq.com.example", "openai"),
        ("flowgpt", "api.groq.com", "flowgpt"),
        ("shout", "", "shout"),
    ],
)
def test_the_service_is_named_as_the_conventions_do(provider, host, name):
    assert tracing._provider_name(provider, host) == name


def test_parameters_are_told_under_their_names(chat, provider):
    async def answer(cls, model, messages, top_p=None, seed=None, stop=None, max_tokens=None, temperature=None):
        yield "x"

    provider(answer)
    list(chat.ask("one", params={"top_p": 1, "seed": 7, "stop": "END", "max_tokens": None}))

    found = the_span().attributes
    assert (found["gen_ai.request.top_p"], found["gen_ai.request.seed"]) == (1.0, 7)
    assert found["gen_ai.request.stop_sequences"] == ("END",)
    assert not {"gen_ai.request.max_tokens", "gen_ai.request.temperature"} & found.keys()


def test_a_schema_asks_for_json(chat, provider):
    async def answer(cls, model, messages):
        yield '{"n": 1}'

    provider(answer)
    list(chat.ask("one", schema={"type": "object"}))

    assert the_span().attributes["gen_ai.output.type"] == "json"


# Whose child it is


async def read_for(reply):
    for _chunk in reply:
        pass


async def read_async(reply):
    async for _chunk in reply:
        pass


async def read_await(reply):
    await reply


@pytest.mark.parametrize("read", [read_for, read_async, read_await])
async def test_its_parent_is_the_span_that_is_current_where_it_is_read(chat, read):
    with users_span("where it was made"):
        reply = chat.ask("one two")
    with users_span() as parent:
        await read(reply)

    assert the_span().parent.span_id == parent.get_span_context().span_id
    assert the_span().context.trace_id == parent.get_span_context().trace_id


def test_without_a_span_around_it_is_a_root(chat):
    list(chat.ask("one"))

    assert the_span().parent is None


async def test_replies_at_once_are_each_a_child_of_their_own_parent(chat):
    async def ask(number: int) -> tuple[int, int]:
        with users_span(f"parent {number}") as parent:
            await chat.ask(f"one two three {number}", history=False, pace=0.001, params={})
            return number, parent.get_span_context().span_id

    parents = dict(await asyncio.gather(*map(ask, range(10))))

    assert sorted(span.parent.span_id for span in spans()) == sorted(parents.values())


async def test_it_is_never_the_current_span_of_whoever_reads(chat, provider):
    seen_inside: list[trace.Span] = []

    async def answer(cls, model, messages):
        for word in ("one ", "two ", "three"):
            await asyncio.sleep(0)
            seen_inside.append(trace.get_current_span())
            yield word

    provider(answer)
    with users_span() as parent:
        async for _chunk in chat.ask("hi"):
            assert trace.get_current_span() is parent
        for _chunk in chat.ask("hi again"):
            assert trace.get_current_span() is parent
        assert trace.get_current_span() is parent

    # What the provider does while it is waited for belongs below the reply.
    inside = {span.get_span_context().span_id for span in seen_inside}
    assert inside == {span.context.span_id for span in spans()}


async def test_it_is_not_current_while_a_chunk_is_handed_on():
    """The generator itself, read by hand: between its chunks this task has the context it had."""

    async def chunks():
        yield "one"
        yield "two"

    before = context.get_current()
    telemetry = started_telemetry()
    async with aclosing(telemetry.attempt(chunks())) as asked:
        assert [await anext(asked), context.get_current()] == ["one", before]
        assert [await anext(asked), context.get_current()] == ["two", before]
        with pytest.raises(StopAsyncIteration):
            await anext(asked)
        assert context.get_current() == before


def started_telemetry() -> tracing.Telemetry:
    """Telemetry of a reply that has begun."""
    reply = Conversation(configured=lambda: {"model": "echo"}).ask("one")
    telemetry: tracing.Telemetry = reply._observer
    telemetry.begin(reply)
    return telemetry


@pytest.mark.parametrize("how", ["end", "failure", "cancel"])
async def test_however_it_ends_no_context_is_left_behind(chat, provider, how):
    async def answer(cls, model, messages):
        yield "one"
        if how == "failure":
            raise ProviderError("no")
        if how == "cancel":
            await asyncio.Event().wait()

    provider(answer)
    with users_span() as parent:
        reply = chat.ask("hi")
        async for _chunk in reply:
            if how == "cancel":
                reply.cancel()
            if how == "failure":
                break
        reply.cancel()
        assert trace.get_current_span() is parent

    async def current() -> context.Context:
        return context.get_current()

    assert await asyncio.wrap_future(bridge.worker().submit(current())) == {}
    assert len(spans()) == 1


async def test_what_the_caller_has_in_its_baggage_reaches_the_provider(chat, provider):
    async def answer(cls, model, messages):
        yield str(baggage.get_baggage("course"))

    provider(answer)
    token = context.attach(baggage.set_baggage("course", "physics"))
    try:
        assert await chat.ask("hi") == "physics"
    finally:
        context.detach(token)


# How it ends


async def test_a_failure_is_the_status_of_the_span(chat):
    busy = whole(b'{"message": "slow down"}', 429, Retry_After="7")
    async with serving(answering(busy)) as server:
        with pytest.raises(RateLimitError):
            await chat.ask("a prompt that is nobody's business", model="flowgpt", base_url=server.url, retries=0)

    span = the_span()
    assert (span.status.status_code, span.attributes["error.type"]) == (StatusCode.ERROR, "RateLimitError")
    assert span.status.description.startswith("RateLimitError: 127.0.0.1")
    assert span.status.description.endswith(" answered 429: slow down; it asks to wait 7 s.")
    assert span.attributes["flowgpt_magic.reply.status"] == "failed"
    assert not span.events  # an exception event would hold the message as it is


def test_an_error_that_nobody_mapped_is_told_by_its_kind_only(chat, provider):
    async def answer(cls, model, messages):
        yield "one"
        raise KeyError(messages[0]["content"])

    provider(answer)
    with pytest.raises(KeyError):
        list(chat.ask("my secret prompt"))

    span = the_span()
    assert (span.attributes["error.type"], span.status.description) == ("KeyError", "KeyError")
    assert "secret" not in span.to_json()


async def test_a_cancelled_reply_is_no_error(chat):
    async with serving(stalling(CHUNKED, framed(line("hi")))) as server:
        reply = chat.ask("one", model="flowgpt", base_url=server.url)
        async for _chunk in reply:
            break

    span = the_span()
    assert span.status.status_code is StatusCode.UNSET
    assert span.attributes["flowgpt_magic.reply.status"] == "cancelled"
    assert "error.type" not in span.attributes


def test_a_reply_that_nobody_reads_has_no_span(chat):
    chat.ask("one").cancel()

    assert spans() == []


def test_another_try_belongs_to_the_same_span(chat, provider, monkeypatch):
    tries = []

    async def answer(cls, model, messages):
        tries.append(trace.get_current_span().get_span_context().span_id)
        if len(tries) < 3:
            raise ProviderConnectionError("refused")
        yield "at last"

    monkeypatch.setattr("flowgpt_magic.replies.retry.FIRST_PAUSE", 0)
    provider(answer)
    assert chat.ask("hi", retries=3).text == "at last"

    assert tries == [the_span().context.span_id] * 3
    assert the_span().status.status_code is StatusCode.UNSET


def test_a_reply_from_the_history_asked_nobody_and_has_no_span(chat):
    list(chat.ask("one two", cache=True))
    chat.clear()
    again = chat.ask("one two", cache=True)
    assert (again.text, again.replayed) == ("one two", True)

    assert len(spans()) == 1


async def test_the_span_lasts_as_long_as_the_reply(chat, provider):
    async def answer(cls, model, messages):
        await asyncio.sleep(0.05)
        yield "one"
        await asyncio.sleep(0.05)

    provider(answer)
    reply = chat.ask("hi")
    await reply

    seconds = (the_span().end_time - the_span().start_time) / 1e9
    assert abs(seconds - reply.usage.seconds) < 0.02
    assert the_span().attributes["gen_ai.response.time_to_first_chunk"] == reply.usage.first_chunk_seconds


# What was said


def test_what_was_said_is_not_told(chat):
    list(chat.ask("my secret prompt", system="my secret system prompt"))

    assert "secret" not in the_span().to_json()


@pytest.mark.parametrize("value", ["NO_CONTENT", "EVENT_ONLY", "false", "", "0"])
def test_nor_is_it_where_that_is_turned_off(chat, monkeypatch, value):
    monkeypatch.setenv(tracing.CONTENT, value)
    list(chat.ask("my secret prompt"))

    assert "secret" not in the_span().to_json()


@pytest.mark.parametrize("value", ["true", "True", "SPAN_ONLY", "span_and_event"])
def test_it_is_where_that_is_turned_on(chat, monkeypatch, value):
    monkeypatch.setenv(tracing.CONTENT, value)
    list(chat.ask("one two", system="be brief"))

    found = the_span().attributes
    assert json.loads(found["gen_ai.input.messages"]) == [
        {"role": "system", "parts": [{"type": "text", "content": "be brief"}]},
        {"role": "user", "parts": [{"type": "text", "content": "one two"}]},
    ]
    assert json.loads(found["gen_ai.output.messages"]) == [
        {"role": "assistant", "parts": [{"type": "text", "content": "one two"}], "finish_reason": "stop"}
    ]


def test_of_an_image_it_is_told_that_there_was_one():
    message = {"role": "user", "content": "what is this?", "images": ["data:image/png;base64,iVBORw0KGgo="]}

    assert tracing._parts(message) == [
        {"type": "text", "content": "what is this?"},
        {"type": "image", "mime_type": "image/png"},
    ]


def test_the_text_of_a_reply_that_failed_is_told_with_that_reason(chat, provider, monkeypatch):
    async def answer(cls, model, messages):
        yield "half"
        raise ProviderError("no more")

    provider(answer)
    monkeypatch.setenv(tracing.CONTENT, "true")
    with pytest.raises(ProviderError):
        list(chat.ask("hi"))

    (answer,) = json.loads(the_span().attributes["gen_ai.output.messages"])
    assert (answer["parts"][0]["content"], answer["finish_reason"]) == ("half", "error")


def test_the_ending_the_provider_tells_of_is_told_on(chat, provider, monkeypatch):
    async def answer(cls, model, messages):
        yield "half"
        yield Usage(finish_reason="length")

    provider(answer)
    monkeypatch.setenv(tracing.CONTENT, "true")
    list(chat.ask("hi"))

    (answer,) = json.loads(the_span().attributes["gen_ai.output.messages"])
    assert answer["finish_reason"] == "length"
    assert the_span().attributes["gen_ai.response.finish_reasons"] == ("length",)


def test_what_a_server_says_of_tokens_and_of_who_answered_is_told_under_the_names_of_the_conventions(chat, provider):
    async def answer(cls, model, messages):
        yield "half"
        yield Extras(request_id="req-1")
        counts = {"reasoning_tokens": 4, "cached_tokens": 3, "cache_write_tokens": 2}
        yield Usage(9, 8, service_tier="flex", answered_by="words-2026", **counts)

    provider(answer)
    list(chat.ask("hi"))

    names = {
        "gen_ai.usage.input_tokens": 9,
        "gen_ai.usage.output_tokens": 8,
        "gen_ai.usage.reasoning.output_tokens": 4,
        "gen_ai.usage.cache_read.input_tokens": 3,
        "gen_ai.usage.cache_creation.input_tokens": 2,
        "gen_ai.response.model": "words-2026",
        "gen_ai.response.id": "req-1",
        "openai.response.service_tier": "flex",
    }
    assert {name: the_span().attributes.get(name) for name in names} == names


# Nothing of this costs a reply


@pytest.mark.parametrize("at", ["start", "end"])
def test_a_broken_span_processor_costs_no_reply(chat, caplog, at):
    BROKEN.at = at

    assert chat.ask("one two").text == "one two"
    assert [turn.status for turn in chat.turns] == ["complete"]
    assert "the span of a reply was lost: RuntimeError" in caplog.text


def test_a_history_that_fails_at_the_end_loses_no_span(chat):
    class Recorder:
        def begin(self, reply):
            pass

        grow = begin

        def end(self, reply, status):
            raise OSError("the disk is full")

    reply = chat.ask("one")
    reply._recorder = Recorder()
    reader = reply.open()
    reader.take()

    while not spans():
        reader.take(0.05)
    assert the_span().attributes["flowgpt_magic.reply.status"] == "complete"


@pytest.mark.parametrize("variable", ["", "OTEL_PYTHON_TRACER_PROVIDER"])
def test_where_nobody_uses_opentelemetry_it_is_not_even_imported(variable):
    code = f"""
import os, sys
if {variable!r}:
    os.environ[{variable!r}] = "sdk_tracer_provider"
    sys.modules["opentelemetry"] = None  # as if it were not installed
from flowgpt_magic import Conversation
assert Conversation().ask("one two", model="echo", history=False).text == "one two"
print(any(name.startswith("opentelemetry.") for name in sys.modules))
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)

    assert (ended.stdout.strip(), ended.stderr) == ("False", "")

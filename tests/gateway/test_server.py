"""The gateway: what it lets in, what it answers, and how it ends."""

from __future__ import annotations

import asyncio
import json
import logging
import math
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest

from flowgpt_magic.errors import (
    AuthenticationError,
    ContextLengthError,
    FlowGptError,
    ModelNotSupportedError,
    NotInstalledError,
    PermissionDeniedError,
    PromptError,
    ProtocolError,
    ProviderConnectionError,
    ProviderError,
    ProviderNotFoundError,
    ProviderStatusError,
    ProviderTimeoutError,
    QuotaError,
    RateLimitError,
    SettingError,
    StreamInterruptedError,
)
from flowgpt_magic.gateway import Gateway, running
from flowgpt_magic.gateway import requests as gateway_requests
from flowgpt_magic.gateway import response as gateway_outlet
from flowgpt_magic.gateway import server as gateway
from flowgpt_magic.gateway.requests import RefusedError
from flowgpt_magic.messages import Messages, Usage
from flowgpt_magic.providers import registry
from flowgpt_magic.providers.base import AsyncGeneratorProvider, ProviderModelMixin
from flowgpt_magic.providers.flowgpt import PATH, FlowGpt, request_body, request_headers, sign
from tests.servers import closed_port

HELLO = [{"role": "user", "content": "hello big world"}]
SECRET = "s3cret-word"
PROMPT = 5  # seconds in which everything here has to happen
AT_ONCE = 0.2  # seconds in which a reply nobody waits for has to stop


class Script(AsyncGeneratorProvider, ProviderModelMixin):
    """Does what the test in hand wants."""

    default_model = "script"
    models = ["script", "other", "failing"]  # noqa: RUF012
    model_aliases = {"short": "other"}  # noqa: RUF012
    settings = ("read_timeout",)

    steps: list[Any] = []  # noqa: RUF012
    calls: list[dict[str, Any]] = []  # noqa: RUF012
    started: asyncio.Event
    stopped: asyncio.Event
    go: asyncio.Event

    @classmethod
    async def create_async_generator(
        cls,
        model: str,
        messages: Messages,
        proxy: str | None = None,
        temperature: float = -1,
        **kwargs: Any,
    ) -> AsyncGenerator[str | Usage, None]:
        cls.calls.append({"model": model, "messages": messages, "temperature": temperature, **kwargs})
        cls.started.set()
        try:
            for step in cls.steps:
                if isinstance(step, Exception):
                    raise step
                if step is None:
                    await cls.go.wait()
                else:
                    yield step
        finally:
            cls.stopped.set()


@pytest.fixture
async def script(monkeypatch: pytest.MonkeyPatch) -> type[Script]:
    """A provider named ``script``, installed for this test."""

    class Point:
        value = "tests.gateway.test_server:Script"

        @staticmethod
        def load() -> type[Script]:
            return Script

    points = {**registry._entry_points(), "script": Point}
    monkeypatch.setattr(registry, "_entry_points", lambda: points)
    Script.steps, Script.calls = ["one ", "two"], []
    Script.started, Script.stopped, Script.go = asyncio.Event(), asyncio.Event(), asyncio.Event()
    return Script


def ask(server: Gateway, messages: Any = HELLO, model: str = "", **options: Any) -> AsyncGenerator[str, None]:
    return FlowGpt.create_async_generator(model, messages, base_url=server.url, **options)  # type: ignore[return-value]


async def read(chunks: AsyncGenerator[str, None]) -> tuple[list[str], FlowGptError | None]:
    found: list[str] = []
    try:
        async for chunk in chunks:
            found.append(chunk)
    except FlowGptError as error:
        return found, error
    return found, None


async def until(come_true: Callable[[], bool]) -> None:
    """What the gateway does inside is no event a test could wait for."""

    async def look() -> None:
        while not come_true():  # noqa: ASYNC110
            await asyncio.sleep(0.001)

    await asyncio.wait_for(look(), PROMPT)


@asynccontextmanager
async def posted(server: Gateway, **changes: Any) -> AsyncIterator[aiohttp.ClientResponse]:
    """The answer to a request that is good but for ``changes``; a header of None is left out."""
    headers: dict[str, Any] = {**request_headers(""), **changes.get("headers", {})}
    headers = {name: value for name, value in headers.items() if value is not None}
    body = changes.get("body", json.dumps({**request_body("m", HELLO, 0.5), **changes.get("fields", {})}).encode())
    async with (
        aiohttp.ClientSession() as session,
        session.post(server.url + changes.get("path", PATH), data=body, headers=headers) as response,
    ):
        yield response


async def status(server: Gateway, **changes: Any) -> tuple[int, str]:
    """The status and the message of a refusal."""
    async with posted(server, **changes) as response:
        report = json.loads(await response.text())
        assert report["statusCode"] == response.status
        return response.status, report["message"]


# Answers


async def test_a_client_gets_the_chunks_of_the_provider_behind() -> None:
    async with running("echo:words", port=0) as server:
        assert await read(ask(server)) == (["hello ", "big ", "world"], None)


async def test_a_chunk_goes_out_before_the_next_one_is_made(script: type[Script]) -> None:
    script.steps = ["one", None, "two"]
    async with running("script", port=0) as server:
        chunks = ask(server)
        assert await asyncio.wait_for(anext(chunks), PROMPT) == "one"
        script.go.set()
        assert [chunk async for chunk in chunks] == ["two"]


async def test_the_stream_is_the_protocol_s_own(script: type[Script]) -> None:
    script.steps = ["\u00e9\n", Usage(prompt_tokens=1)]
    async with running("script", port=0) as server, posted(server) as response:
        assert response.status == 200
        assert response.content_type == "text/event-stream"
        assert response.headers["X-FlowGPT-Model"] == "script:script"
        assert not [name for name in response.headers if name.lower().startswith("access-control")]
        assert await response.read() == b'{"event": "text", "data": "\\u00e9\\n"}\n'


async def test_the_provider_gets_the_messages_and_the_temperature_of_the_client(script: type[Script]) -> None:
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": "b", "id": 3},
        {"role": "user", "content": "c"},
    ]
    async with running("script", port=0) as server:
        await read(ask(server, messages, temperature=0.25))
    [call] = script.calls
    assert call["messages"] == [{key: each[key] for key in ("role", "content")} for each in messages]
    assert call["temperature"] == 0.25


async def test_what_the_protocol_says_of_itself_does_not_reach_the_provider(script: type[Script]) -> None:
    async with running("script", port=0) as server:
        await read(ask(server))
        async with posted(server, fields={"temperature": None}) as response:
            await response.read()
    assert script.calls[0]["messages"] == HELLO
    assert script.calls[1]["temperature"] == -1


@pytest.mark.parametrize(("own", "reached"), [(False, [0.7, 0.7, 0.3]), (True, [-1, -1, 0.3])])
async def test_the_protocol_s_temperature_does_not_reach_a_provider_that_needs_its_own(
    own: bool, reached: list[float], script: type[Script], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Script, "own_temperature", own)
    async with running("script", port=0) as server:
        await read(ask(server))
        await read(ask(server, temperature=0.7))
        await read(ask(server, temperature=0.3))
    assert [call["temperature"] for call in script.calls] == reached


async def test_the_provider_gets_the_settings_of_the_gateway_s_machine(
    script: type[Script], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLOWGPT_READ_TIMEOUT", "7")
    async with running("script", port=0) as server:
        await read(ask(server, read_timeout=9))
    assert script.calls[0]["read_timeout"] == 7


@pytest.mark.parametrize(
    ("started_with", "asked", "answers"),
    [
        ("script:script", "gpt-3.5-turbo", "script"),
        ("script:script", "other", "script"),
        ("script:other", "", "other"),
        ("script", "gpt-3.5-turbo", "script"),
        ("script", "other", "other"),
        ("script", "short", "other"),
        ("script", "/etc/passwd", "script"),
    ],
)
async def test_a_named_model_answers_all_and_a_provider_lets_its_clients_choose(
    script: type[Script], started_with: str, asked: str, answers: str
) -> None:
    async with running(started_with, port=0) as server, posted(server, fields={"model": asked}) as response:
        assert response.headers["X-FlowGPT-Model"] == f"script:{answers}"
    assert script.calls[0]["model"] == answers


async def test_an_empty_reply_is_no_error(script: type[Script]) -> None:
    script.steps = []
    async with running("script", port=0) as server:
        with pytest.warns(match="empty"):
            assert await read(ask(server)) == ([], None)


async def test_a_provider_that_takes_its_time_is_not_taken_for_a_dead_one(
    script: type[Script], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gateway, "HEARTBEAT", 0.05)
    script.steps = [None, "late"]
    async with running("script", port=0) as server:
        chunks = asyncio.create_task(read(ask(server, read_timeout=0.4)))
        await asyncio.wait_for(script.started.wait(), PROMPT)
        await asyncio.sleep(0.6)
        script.go.set()
        assert await chunks == (["late"], None)


# Failures


@pytest.mark.parametrize(
    ("failure", "number", "kind"),
    [
        (ProviderError("overloaded"), 502, ProviderStatusError),
        (ProviderTimeoutError("overloaded"), 504, ProviderStatusError),
        (ProviderConnectionError("overloaded"), 502, ProviderStatusError),
        (AuthenticationError("overloaded", 401), 502, ProviderStatusError),
        (ContextLengthError("overloaded"), 400, ProviderStatusError),
        (PromptError("overloaded"), 400, ProviderStatusError),
        (NotInstalledError("overloaded"), 503, ProviderStatusError),
        (SettingError("overloaded"), 500, ProviderStatusError),
        (RateLimitError("overloaded", 429, 12), 429, RateLimitError),
        (QuotaError("overloaded", 429), 402, RateLimitError),
        (ProviderStatusError("overloaded", 500), 502, ProviderStatusError),
        (ProviderStatusError("overloaded", 503, 12), 503, ProviderStatusError),
    ],
)
async def test_a_failure_before_the_first_chunk_is_a_status(
    script: type[Script], failure: Exception, number: int, kind: type[ProviderStatusError]
) -> None:
    script.steps = [failure]
    async with running("script", port=0) as server:
        chunks, error = await read(ask(server))
    assert chunks == []
    assert type(error) is kind
    assert error.status == number
    assert "overloaded" in str(error)
    assert error.retry_after == getattr(failure, "retry_after", None)


@pytest.mark.parametrize("asked", [0.0, 0.25, 1.5])
async def test_a_wait_that_the_provider_asks_for_is_passed_on_exactly(script: type[Script], asked: float) -> None:
    script.steps = [RateLimitError("overloaded", 429, asked)]
    async with running("script", port=0) as server, posted(server) as response:
        assert int(response.headers["Retry-After"]) == max(1, math.ceil(asked))
        assert int(response.headers["retry-after-ms"]) == max(1, asked * 1000)


@pytest.mark.parametrize(("lately", "told"), [(90, 90), (0.01, 1)])
async def test_where_the_provider_sets_a_limit_without_a_wait_the_queue_tells_one(
    script: type[Script], lately: float, told: float
) -> None:
    script.steps = [RateLimitError("overloaded", 429)]
    async with running("script", port=0, concurrency=1) as server:
        server._queue._durations.append(lately)
        _, error = await read(ask(server))
    assert isinstance(error, RateLimitError)
    assert error.retry_after == pytest.approx(told, abs=0.1)


async def test_a_failure_after_the_first_chunk_is_a_line_of_the_stream(script: type[Script]) -> None:
    script.steps = ["one", ProviderError("overloaded")]
    async with running("script", port=0) as server:
        chunks, error = await read(ask(server))
        assert (await read(ask(server)))[0] == ["one"]
    assert chunks == ["one"]
    assert type(error) is ProviderError
    assert "overloaded" in str(error)


async def test_a_wait_is_told_after_the_first_chunk_too(script: type[Script]) -> None:
    script.steps = ["one", RateLimitError("overloaded", 429, 1.5)]
    async with running("script", port=0) as server:
        chunks, error = await read(ask(server))
    assert chunks == ["one"]
    assert isinstance(error, RateLimitError)
    assert error.retry_after == 1.5


@pytest.mark.parametrize("before", [[], ["one"]])
async def test_of_a_failure_that_is_not_ours_only_the_kind_is_told(
    script: type[Script], before: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    script.steps = [*before, ZeroDivisionError("hello big world")]
    async with running("script", port=0) as server:
        chunks, error = await read(ask(server))
    assert chunks == before
    assert "the provider failed" in str(error)
    assert "hello" not in caplog.text + str(error)
    assert "ZeroDivisionError" in caplog.text


# Who is let in


async def test_a_request_without_a_signature_is_refused() -> None:
    async with running("echo", port=0) as server:
        for name in ("x-signature", "x-nonce", "x-timestamp"):
            assert (await status(server, headers={name: None}))[0] == 403
        assert (await status(server, headers={"x-signature": "0" * 32}))[0] == 403
        assert (await status(server, headers={"Authorization": "Bearer other"}))[0] == 403


@pytest.mark.parametrize("off", [-600, 600])
async def test_a_request_of_another_time_is_refused(off: int) -> None:
    timestamp = str(int(time.time()) + off)
    nonce = "0123456789abcdef"
    signed = {"x-timestamp": timestamp, "x-nonce": nonce, "x-signature": sign(timestamp, nonce, "Bearer null")}
    async with running("echo", port=0) as server:
        number, message = await status(server, headers=signed)
    assert number == 403
    assert "clocks" in message


async def test_a_request_made_twice_is_refused_the_second_time() -> None:
    headers = request_headers("")
    async with running("echo", port=0) as server:
        async with posted(server, headers=headers) as response:
            assert response.status == 200
        number, message = await status(server, headers=headers)
    assert number == 403
    assert "before" in message


@pytest.mark.parametrize("off", [-299, 0, 299])
def test_a_nonce_is_refused_for_as_long_as_its_timestamp_is_accepted(off: int) -> None:
    keeper = gateway_requests.Doorkeeper("127.0.0.1", "")
    keeper._check_nonce("first", 1000 + off, now=1000)
    for count in range(20_000):
        keeper._check_nonce(f"nonce-{count}", 1000, now=1000)
    with pytest.raises(RefusedError, match="before"):
        keeper._check_nonce("first", 1000 + off, now=1000 + off + gateway_requests.CLOCK_SKEW)
    keeper._check_nonce("other", 2000, now=2000)
    assert keeper._nonces == {"other"}


def test_where_too_many_nonces_are_kept_new_requests_wait_and_none_is_forgotten(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(gateway_requests, "NONCES_KEPT", 2)
    keeper = gateway_requests.Doorkeeper("127.0.0.1", "")
    keeper._check_nonce("one", 1000, now=1000)
    keeper._check_nonce("two", 1000, now=1000)
    with pytest.raises(RefusedError) as refused:
        keeper._check_nonce("three", 1010, now=1010)
    assert (refused.value.status, refused.value.headers) == (503, {"Retry-After": "290"})
    with pytest.raises(RefusedError, match="before"):
        keeper._check_nonce("one", 1010, now=1010)


async def test_a_token_is_asked_for_where_there_is_one(caplog: pytest.LogCaptureFixture) -> None:
    async with running("echo", port=0, token=SECRET) as server:
        for wrong in (None, "other", SECRET + "x"):
            _, error = await read(ask(server, token=wrong))
            assert type(error) is AuthenticationError
        assert await read(ask(server, token=SECRET)) == (["hello ", "big ", "world"], None)
    assert SECRET not in caplog.text + repr(server.options) + repr(server)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "", "192.0.2.1", "teacher.example"])
async def test_listening_to_others_needs_a_token(host: str) -> None:
    with pytest.raises(SettingError, match="FLOWGPT_GATEWAY_TOKEN"):
        async with running("echo", host=host, port=0):
            pass


async def test_with_a_token_others_may_ask() -> None:
    async with running("echo", host="0.0.0.0", port=0, token=SECRET) as server:
        here = f"http://127.0.0.1:{server.url.rpartition(':')[2]}"
        assert await FlowGpt.create_async("", HELLO, base_url=here, token=SECRET) == "hello big world"


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "[", ""])
async def test_a_page_that_gave_our_address_its_own_name_is_refused(host: str) -> None:
    async with running("echo", port=0) as server:
        assert (await status(server, headers={"Host": host}))[0] in (400, 403)


@pytest.mark.parametrize("host", ["localhost:1234", "127.0.0.1", "[::1]:80"])
async def test_every_name_of_this_machine_is_its_own(host: str) -> None:
    async with running("echo", port=0) as server, posted(server, headers={"Host": host}) as response:
        assert response.status == 200


@pytest.mark.parametrize(
    ("changes", "number"),
    [
        ({"body": b"{"}, 400),
        ({"body": b"[" * 100_000}, 400),
        ({"body": b"\xff"}, 400),
        ({"body": b"[]"}, 400),
        ({"fields": {"question": None}}, 400),
        ({"fields": {"history": "x"}}, 400),
        ({"fields": {"history": [{"role": "tool", "content": "x"}]}}, 400),
        ({"fields": {"history": [{"role": "user", "content": ["x"]}]}}, 400),
        ({"fields": {"history": ["x"]}}, 400),
        ({"fields": {"system": 1}}, 400),
        ({"fields": {"model": 1}}, 400),
        ({"fields": {"temperature": "hot"}}, 400),
        ({"fields": {"temperature": 3}}, 400),
        ({"fields": {"temperature": True}}, 400),
        ({"headers": {"Content-Type": "text/plain"}}, 415),
        ({"path": "/v3/chat"}, 404),
        ({"body": b'{"question": "' + b"x" * 5000 + b'"}'}, 413),
    ],
)
async def test_a_request_that_is_not_the_protocol_is_refused_with_a_reason(
    changes: dict[str, Any], number: int
) -> None:
    async with running("echo", port=0, max_body=150_000 if number != 413 else 4096) as server:
        found, message = await status(server, **changes)
    assert found == number
    assert message


async def test_only_posts_are_answered() -> None:
    async with running("echo", port=0) as server, aiohttp.ClientSession() as session:
        for method in ("GET", "OPTIONS"):
            async with session.request(method, server.url + PATH) as response:
                assert response.status == 405
                assert not [name for name in response.headers if name.lower().startswith("access-control-")]


async def test_its_health_is_told_to_everybody_and_nothing_else(
    script: type[Script], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    script.steps = [None, "done"]
    async with running("script", port=0, token=SECRET, grace=PROMPT) as server, aiohttp.ClientSession() as session:
        async with session.get(server.url + "/health") as response:
            assert (response.status, response.content_type) == (200, "application/json")
            assert await response.json() == {"status": "ok"}
        async with session.head(server.url + "/health") as response:
            assert response.status == 200
        async with session.post(server.url + "/health") as response:
            assert (response.status, response.headers["Allow"]) == (405, "GET, HEAD")
        assert caplog.messages == []
        client = asyncio.create_task(read(ask(server, token=SECRET)))
        await asyncio.wait_for(script.started.wait(), PROMPT)
        async with session.get(server.url + "/health") as response:
            await response.read()
        closing = asyncio.create_task(server.close())
        await asyncio.sleep(0)
        async with session.get(server.url + "/health") as response:  # on the connection that is open
            assert (response.status, await response.json()) == (503, {"status": "stopping"})
        script.go.set()
        await client
        await closing


async def test_a_page_does_not_learn_whether_the_gateway_is_there() -> None:
    async with (
        running("echo", port=0) as server,
        aiohttp.ClientSession() as session,
        session.get(server.url + "/health", headers={"Host": "evil.example"}) as response,
    ):
        assert response.status == 403


async def test_a_body_that_does_not_come_holds_no_place(script: type[Script]) -> None:
    async with running("script", port=0, concurrency=1, queue=0) as server:
        _reader, writer = await asyncio.open_connection("127.0.0.1", int(server.url.rpartition(":")[2]))
        lines = "".join(f"{name}: {value}\r\n" for name, value in request_headers("").items())
        writer.write(f"POST {PATH} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n{lines}\r\n{{".encode())
        await writer.drain()
        assert await read(ask(server)) == (["one ", "two"], None)
        writer.close()


async def test_a_body_that_does_not_come_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gateway_requests, "BODY_TIMEOUT", 0.1)
    async with running("echo", port=0) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(server.url.rpartition(":")[2]))
        lines = "".join(f"{name}: {value}\r\n" for name, value in request_headers("").items())
        writer.write(f"POST {PATH} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n{lines}\r\n".encode())
        assert b" 408 " in await asyncio.wait_for(reader.readline(), PROMPT)
        writer.close()


# How many


async def test_beyond_the_queue_clients_are_asked_to_wait(script: type[Script]) -> None:
    script.steps = [None, "done"]
    async with running("script", port=0, concurrency=1, queue=1) as server:
        first = asyncio.create_task(read(ask(server)))
        await asyncio.wait_for(script.started.wait(), PROMPT)
        second = asyncio.create_task(read(ask(server)))
        await until(lambda: server._queue.present == 2)
        _, error = await read(ask(server))
        assert isinstance(error, RateLimitError)
        assert error.retry_after is not None
        assert 1 <= error.retry_after <= 2
        assert len(script.calls) == 1
        script.go.set()
        assert await first == await second == (["done"], None)
        assert len(script.calls) == 2


async def test_a_client_that_leaves_the_queue_makes_room(script: type[Script]) -> None:
    script.steps = [None, "done"]
    async with running("script", port=0, concurrency=1, queue=1) as server:
        first = asyncio.create_task(read(ask(server)))
        await asyncio.wait_for(script.started.wait(), PROMPT)
        second = asyncio.create_task(read(ask(server)))
        await until(lambda: server._queue.present == 2)
        second.cancel()
        await until(lambda: server._queue.present == 1)
        third = asyncio.create_task(read(ask(server)))
        script.go.set()
        assert await first == await third == (["done"], None)
        assert len(script.calls) == 2


# How it ends


@pytest.mark.parametrize("steps", [[None], ["one", None]], ids=["before", "after"])
async def test_a_reply_stops_at_once_when_its_client_goes_away(
    script: type[Script], steps: list[Any], caplog: pytest.LogCaptureFixture
) -> None:
    """Before and after its first chunk, though the provider yields nothing."""
    caplog.set_level(logging.INFO)
    script.steps = steps
    async with running("script", port=0) as server:
        client = asyncio.create_task(read(ask(server)))
        await asyncio.wait_for(script.started.wait(), PROMPT)
        await asyncio.sleep(0.01)
        client.cancel()
        await asyncio.wait_for(script.stopped.wait(), AT_ONCE)
        await until(lambda: not server._queue.present)
    assert "499 script:script" in caplog.text
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


async def test_a_client_that_stops_reading_is_given_up(script: type[Script], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gateway_outlet, "WRITE_TIMEOUT", 0.1)
    script.steps = ["x" * 100_000] * 400
    async with running("script", port=0) as server:
        chunks = ask(server)
        await anext(chunks)
        await asyncio.wait_for(script.stopped.wait(), PROMPT)
        await until(lambda: not server._queue.present)
        _, error = await asyncio.wait_for(read(chunks), PROMPT)
    assert type(error) is StreamInterruptedError


async def test_replies_in_flight_are_finished_when_the_gateway_stops(script: type[Script]) -> None:
    script.steps = ["one ", None, "two"]
    async with running("script", port=0) as server:
        client = asyncio.create_task(read(ask(server)))
        await asyncio.wait_for(script.started.wait(), PROMPT)
        closing = asyncio.create_task(server.close())
        await until(lambda: not server._listener._sockets)
        _, error = await read(ask(server))
        assert type(error) is ProviderConnectionError
        script.go.set()
        assert await client == (["one ", "two"], None)
        await asyncio.wait_for(closing, PROMPT)


async def test_a_gateway_that_stops_takes_no_more_requests_on_open_connections(script: type[Script]) -> None:
    script.steps = [None]
    async with running("script", port=0, grace=0.2) as server:
        first = asyncio.create_task(read(ask(server)))
        await asyncio.wait_for(script.started.wait(), PROMPT)
        reader, writer = await asyncio.open_connection("127.0.0.1", int(server.url.rpartition(":")[2]))
        await asyncio.sleep(0.01)
        closing = asyncio.create_task(server.close())
        await asyncio.sleep(0)
        writer.write(f"POST {PATH} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n".encode())
        assert b" 503 " in await asyncio.wait_for(reader.readline(), PROMPT)
        writer.close()
        await closing
        _, error = await first
    assert isinstance(error, ProviderStatusError)
    assert error.status == 503


async def test_a_reply_that_outlasts_the_grace_ends_with_an_error(script: type[Script]) -> None:
    script.steps = ["one ", None]
    async with running("script", port=0, grace=0.1) as server:
        client = asyncio.create_task(read(ask(server)))
        await asyncio.wait_for(script.started.wait(), PROMPT)
        await asyncio.wait_for(server.close(), PROMPT)
        chunks, error = await client
    assert chunks == ["one "]
    assert type(error) is ProviderError
    assert "stops" in str(error)


async def test_the_log_has_one_line_a_request_and_no_word_of_the_prompt(
    script: type[Script], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with running("script", port=0) as server:
        await read(ask(server, model="gpt-4-turbo"))
        await status(server, headers={"x-nonce": None})
        await status(server, path="/")
        script.steps = ["one", ProviderError("x")]
        await read(ask(server))
    lines = [record.getMessage() for record in caplog.records if record.name == "flowgpt_magic.gateway"]
    assert [entry.rsplit(" ", 2)[0] for entry in lines] == [
        "200 script:script 2 chunks",
        "403 - 0 chunks",
        "404 - 0 chunks",
        "502 script:script 1 chunks",
    ]
    assert "hello" not in caplog.text


# Starting


@pytest.mark.parametrize(
    ("options", "kind"),
    [
        ({"model": "echo:wrods"}, ModelNotSupportedError),
        ({"model": "nobody:x"}, (ModelNotSupportedError, ProviderNotFoundError)),
        ({"model": "echo", "port": 70_000}, SettingError),
        ({"model": "echo", "concurrency": 0}, SettingError),
        ({"model": "echo", "queue": -1}, SettingError),
        ({"model": "echo", "token": "two words"}, SettingError),
        ({"model": "echo", "host": "no-such-host.invalid", "token": "x"}, SettingError),
        ({"model": 5}, SettingError),
        ({"model": "echo", "port": "8765"}, SettingError),
        ({"model": "echo", "port": True}, SettingError),
        ({"model": "echo", "token": None}, SettingError),
        ({"model": "echo", "grace": -1}, SettingError),
        ({"model": "echo", "grace": float("nan")}, SettingError),
        ({"model": "echo", "idle_timeout": 0}, SettingError),
        ({"model": "echo", "connections": 0}, SettingError),
    ],
)
async def test_what_cannot_be_run_is_an_error_at_the_start(options: dict[str, Any], kind: type[FlowGptError]) -> None:
    with pytest.raises(kind):
        async with running(**{"port": 0, **options}):
            pass


async def test_an_option_that_is_none_is_named_with_the_closest_one() -> None:
    with pytest.raises(SettingError, match=r"no option 'prot'; did you mean port\?"):
        async with running("echo", prot=0):
            pass


async def test_a_port_in_use_is_named() -> None:
    async with running("echo", port=0) as server:
        port = int(server.url.rpartition(":")[2])
        with pytest.raises(SettingError, match=rf"{port}.*in use"):
            async with running("echo", port=port):
                pass


def test_a_gateway_runs_beside_code_that_is_not_async() -> None:
    server = gateway.start("echo:words", port=0)
    try:
        assert list(FlowGpt.create_completion("", HELLO, base_url=server.url)) == ["hello ", "big ", "world"]
    finally:
        server.stop()
    with pytest.raises(ProviderConnectionError):
        list(FlowGpt.create_completion("", HELLO, base_url=server.url))
    server.stop()


async def test_a_gateway_is_started_in_a_cell_while_a_loop_runs() -> None:
    with gateway.start("echo:words", port=0) as server:
        assert await FlowGpt.create_async("", HELLO, base_url=server.url) == "hello big world"


def run(*words: str, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "flowgpt_magic.gateway", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
    )


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_program_says_its_address_and_ends_when_told_to(number: int) -> None:
    program = run("--model", "echo:words", "--port", "0", FLOWGPT_GATEWAY_TOKEN=SECRET)
    assert program.stdout is not None
    name, _, url = program.stdout.readline().strip().partition("=")
    assert name == "FLOWGPT_BASE_URL"
    assert list(FlowGpt.create_completion("", HELLO, base_url=url, token=SECRET)) == ["hello ", "big ", "world"]
    program.send_signal(number)
    _, log = program.communicate(timeout=PROMPT)
    assert program.returncode == 0
    assert "200 echo:words 3 chunks" in log
    assert "Traceback" not in log
    assert "hello" not in log
    assert SECRET not in log


@pytest.mark.parametrize("words", [["--model", "echo:wrods"], ["--host", "0.0.0.0", "--model", "echo"]])
def test_the_program_says_in_one_line_why_it_cannot_run(words: list[str]) -> None:
    program = run("--port", str(closed_port()), *words)
    shown, problem = program.communicate(timeout=4 * PROMPT)
    assert program.returncode == 1
    assert shown == ""
    assert len(problem.splitlines()) == 1
    assert problem.strip()


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
@pytest.mark.parametrize(("grace", "twice"), [("0", False), ("600", True)])
def test_the_grace_is_as_long_as_told_and_a_second_signal_ends_it(grace: str, twice: bool) -> None:
    program = run("--model", "echo:words", "--port", "0", "--grace", grace, FLOWGPT_PACE="30")
    assert program.stdout is not None
    url = program.stdout.readline().strip().partition("=")[2]
    with socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2]))) as client:
        body = json.dumps(request_body("m", HELLO, 0.5))
        lines = "".join(f"{name}: {value}\r\n" for name, value in request_headers("").items())
        client.sendall(
            f"POST {PATH} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n{lines}\r\n{body}".encode()
        )
        time.sleep(0.2)  # the reply has begun, and nothing tells so
        program.send_signal(signal.SIGINT)
        if twice:
            with pytest.raises(subprocess.TimeoutExpired):
                program.wait(0.5)
            program.send_signal(signal.SIGINT)
        _, log = program.communicate(timeout=PROMPT)
    assert program.returncode == (130 if twice else 0)
    assert "Traceback" not in log


async def test_a_client_s_mistake_reads_well_in_its_error() -> None:
    async with running("echo", port=0) as server:
        _, error = await read(ask(server, temperature=5))
    assert str(error) == f"{server.url[7:]} answered 400: temperature must be a number from 0 to 2."
    assert not isinstance(error, PermissionDeniedError | ProtocolError)

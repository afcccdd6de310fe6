"""What a gateway answers, how many requests it answers, and how it starts and ends."""

from __future__ import annotations

import asyncio
import logging
import math
from typing import Any

import aiohttp
import pytest

from flowgpt_magic.errors import (
    AuthenticationError,
    ContextLengthError,
    FlowGptError,
    ModelNotSupportedError,
    NotInstalledError,
    PromptError,
    ProviderConnectionError,
    ProviderError,
    ProviderNotFoundError,
    ProviderStatusError,
    ProviderTimeoutError,
    QuotaError,
    RateLimitError,
    SettingError,
)
from flowgpt_magic.gateway import running
from flowgpt_magic.gateway import server as gateway
from flowgpt_magic.messages import Reasoning, Usage
from flowgpt_magic.providers.flowgpt import PATH, FlowGpt, request_headers
from tests.gateways import AT_ONCE, HELLO, PROMPT, SECRET, Script, ask, posted, read, status, until

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


@pytest.mark.parametrize(("step", "empty_lines"), [(1, 0), (0, 3)])
async def test_an_empty_line_goes_out_only_where_no_chunk_does(
    monkeypatch: pytest.MonkeyPatch, step: int, empty_lines: int
) -> None:
    """In each of four waits the provider sends ``step`` chunks; the first wait counts them."""

    class Stream:
        started, disconnected = True, False
        sent, looks, total = 0, 0, 0

        @property
        def lines(self) -> int:
            self.looks += 1
            self.total += step
            if self.looks == 8:
                done.set()
            return self.total

        async def send(self, event: None) -> None:
            self.sent += 1

    monkeypatch.setattr(gateway, "HEARTBEAT", 0.001)
    done, stream = asyncio.Event(), Stream()

    await asyncio.wait_for(
        gateway.Gateway(gateway.Options("echo"))._wait(asyncio.create_task(done.wait()), stream), PROMPT
    )

    assert stream.sent == empty_lines


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


# Paths and methods


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


# How many


async def test_beyond_the_queue_clients_are_asked_to_wait(script: type[Script]) -> None:
    script.steps = [None, "done"]
    async with running("script", port=0, concurrency=1, queue=1) as server:
        first = asyncio.create_task(read(ask(server)))
        await asyncio.wait_for(script.started.wait(), PROMPT)
        second = asyncio.create_task(read(ask(server)))
        await until(lambda: server._queue.admitted == 2)
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
        await until(lambda: server._queue.admitted == 2)
        second.cancel()
        await until(lambda: server._queue.admitted == 1)
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
        await until(lambda: not server._queue.admitted)
    assert "499 script:script" in caplog.text
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


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
    assert "the gateway is stopping" in str(error)


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


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "", "192.0.2.1", "teacher.example"])
async def test_listening_to_others_needs_a_token(host: str) -> None:
    with pytest.raises(SettingError, match="FLOWGPT_GATEWAY_TOKEN"):
        async with running("echo", host=host, port=0):
            pass


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


async def test_reasoning_is_not_sent_to_clients_whether_told_apart_or_between_tags(script: type[Script]) -> None:
    async with running("script", port=0) as server:
        for script.steps in ([Reasoning("hm"), "four"], ["<think>h", "m</think>", "fo", "ur"]):
            chunks, error = await read(ask(server))

            assert ("".join(chunks), error) == ("four", None)

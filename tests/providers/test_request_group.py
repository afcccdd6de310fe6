"""Requests of one group share connections and read their settings once."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from types import SimpleNamespace

import pytest

from flowgpt_magic.errors import ProviderConnectionError, ProviderError, StreamInterruptedError
from flowgpt_magic.providers.flowgpt import FlowGpt
from flowgpt_magic.providers.http import connection as http_connection
from flowgpt_magic.providers.request_group import RequestGroup, await_once, call_once, shared_in_group
from tests import servers

MESSAGES = [{"role": "user", "content": "hello"}]


class Thing:
    made = 0

    def __init__(self) -> None:
        self.closed = False
        Thing.made += 1

    async def close(self) -> None:
        self.closed = True


async def test_what_is_shared_is_made_once_and_closed_at_the_end():
    group = RequestGroup()
    group.join()

    one, other = shared_in_group(Thing), shared_in_group(Thing)
    await group.close()

    assert one is other
    assert one.closed


async def test_a_request_by_itself_shares_nothing():
    assert shared_in_group(Thing) is None


async def test_it_holds_for_the_task_and_those_begun_in_it_alone():
    group = RequestGroup()

    async def inside() -> Thing | None:
        group.join()
        return await asyncio.create_task(find())

    async def find() -> Thing | None:
        return shared_in_group(Thing)

    assert await asyncio.create_task(inside()) is not None
    assert await asyncio.create_task(find()) is None
    await group.close()


async def test_a_question_is_asked_once_for_the_same_values():
    asked = []

    def ask(given):
        asked.append(dict(given))
        return len(asked)

    group = RequestGroup()
    group.join()

    results = [call_once(ask, arguments) for arguments in ({"a": 1}, {"a": 1}, {"a": 2}, {"a": []})]

    assert results == [1, 1, 2, 3]
    assert [call_once(ask, {"a": []})] == [4]


async def test_by_itself_each_asks():
    asked = []

    for _ in range(2):
        call_once(asked.append, {"a": 1})

    assert len(asked) == 2


# Connections


def keeping_open(*blocks: bytes):
    """Answers each request of a connection with these chunks."""

    async def handle(reader, writer):
        while True:
            server.requests.append(await servers.read_request(reader))
            writer.write(servers.CHUNKED)
            for block in blocks:
                writer.write(servers.framed(block))
                await writer.drain()
            writer.write(servers.END)

    server = servers.Server()
    server.connections = 0

    async def counted(reader, writer):
        server.connections += 1
        await handle(reader, writer)

    return servers.listening(counted, server)


async def asked_together(url: str, count: int = 3, at_once: int = 1) -> list[str]:
    """Send this many prompts as one group."""
    group, seats = RequestGroup(), asyncio.Semaphore(at_once)

    async def ask() -> str:
        group.join()
        async with seats:
            return await FlowGpt.create_async("", MESSAGES, base_url=url)

    try:
        return list(await asyncio.gather(*(ask() for _ in range(count))))
    finally:
        await group.close()


async def test_requests_that_belong_together_use_one_connection_after_the_other():
    async with keeping_open(servers.line("hi"), servers.line(" there")) as server:
        texts = await asked_together(server.url, 5)

        assert texts == ["hi there"] * 5
        assert (server.connections, len(server.requests)) == (1, 5)


async def test_as_many_connections_as_there_are_requests_at_once():
    async with keeping_open(servers.line("hi")) as server:
        await asked_together(server.url, 40, at_once=4)

        assert server.connections <= 4
        assert len({request.headers["x-nonce"] for request in server.requests}) == 40


async def test_by_themselves_each_has_its_own():
    async with keeping_open(servers.line("hi")) as server:
        for _ in range(3):
            await FlowGpt.create_async("", MESSAGES, base_url=server.url)

        assert server.connections == 3


async def test_a_connection_that_is_left_in_the_middle_is_closed_and_not_handed_on():
    async with servers.serving(servers.stalling(servers.CHUNKED, servers.framed(servers.line("first")))) as server:
        group = RequestGroup()
        group.join()
        async with aclosing(FlowGpt.create_async_generator("", MESSAGES, base_url=server.url)) as chunks:
            assert await anext(chunks) == "first"

        await asyncio.wait_for(server.gone.wait(), 10)
        await group.close()


async def test_after_a_failure_the_others_go_on():
    answers = iter([servers.whole(b"no", 500), servers.CHUNKED + servers.framed(servers.line("hi")) + servers.END])

    async def answer(request, connection):
        await connection.send(next(answers))

    async with servers.serving(answer) as server:
        group = RequestGroup()
        group.join()
        with pytest.raises(ProviderError, match="500"):
            await FlowGpt.create_async("", MESSAGES, base_url=server.url)

        assert await FlowGpt.create_async("", MESSAGES, base_url=server.url) == "hi"
        await group.close()


@pytest.mark.parametrize("reset", [False, True])
async def test_a_connection_that_the_server_has_closed_meanwhile_is_replaced_by_a_new_one(reset):
    """It closes after each reply without having said so, as some do; once more than one of them is waiting."""
    all_here = asyncio.Event()

    async def answer(request, connection):
        if len(server.requests) == 3:
            all_here.set()
        await all_here.wait()
        await connection.send(servers.CHUNKED + servers.framed(servers.line("hi")) + servers.END)
        if reset:
            connection.reset()

    async with servers.serving(answer) as server:
        group = RequestGroup()
        group.join()

        async def ask() -> str:
            return await FlowGpt.create_async("", MESSAGES, base_url=server.url)

        first = await asyncio.gather(ask(), ask(), ask())
        later = [await ask() for _ in range(20)]

        assert first + later == ["hi"] * 23
        await group.close()


async def test_a_server_that_never_answers_is_asked_once_on_a_new_connection_and_then_given_up():
    async def answer(request, connection):
        if len(server.requests) == 1:
            await connection.send(servers.CHUNKED + servers.framed(servers.line("hi")) + servers.END)

    async with servers.serving(answer) as server:
        group = RequestGroup()
        group.join()
        assert await FlowGpt.create_async("", MESSAGES, base_url=server.url) == "hi"

        with pytest.raises(StreamInterruptedError, match="without an answer"):
            await FlowGpt.create_async("", MESSAGES, base_url=server.url)

        assert len(server.requests) == 2
        await group.close()


async def test_a_server_that_has_gone_is_tried_once_more_and_then_the_refusal_is_told(monkeypatch):
    tries: list[bool] = []
    connect = http_connection.Connector.connect

    async def counted(self, *args, **named):
        tries.append(True)
        return await connect(self, *args, **named)

    monkeypatch.setattr(http_connection.Connector, "connect", counted)

    async def answer_once(reader, writer):
        await servers.read_request(reader)
        writer.write(servers.CHUNKED + servers.framed(servers.line("hi")) + servers.END)
        await servers.read_request(reader)
        server.refuse_others()

    async with servers.listening(answer_once, servers.Server()) as server:
        group = RequestGroup()
        group.join()
        assert await FlowGpt.create_async("", MESSAGES, base_url=server.url) == "hi"

        with pytest.raises(ProviderConnectionError, match="connection refused"):
            await asyncio.wait_for(FlowGpt.create_async("", MESSAGES, base_url=server.url), 10)

        assert len(tries) == 3
        await group.close()


async def test_broken_framing_on_a_connection_that_was_handed_on_is_told():
    rounds = iter([servers.framed(servers.line("hi")) + servers.END, servers.framed(servers.line("hi")) + b"zz\r\n"])

    async def handle(reader, writer):
        for body in rounds:
            await servers.read_request(reader)
            writer.write(servers.CHUNKED)
            await writer.drain()
            writer.write(body)

    async with servers.listening(handle, servers.Server()) as server:
        group = RequestGroup()
        group.join()
        assert await FlowGpt.create_async("", MESSAGES, base_url=server.url) == "hi"

        with pytest.raises(StreamInterruptedError):
            await asyncio.wait_for(FlowGpt.create_async("", MESSAGES, base_url=server.url), 10)
        await group.close()


async def test_what_one_request_drops_is_not_another_ones_connection():
    async with keeping_open(servers.line("hi")) as server:
        group = RequestGroup()
        group.join()
        chunks = FlowGpt.create_async_generator("", MESSAGES, base_url=server.url)
        assert [chunk async for chunk in chunks] == ["hi"]
        connector = shared_in_group(http_connection.Connector.with_reuse)
        (waiting,) = (each for pool in connector._conns.values() for each, _since in pool)
        line = http_connection.connection_of_task.get()
        waiting.transport.get_write_buffer_size = lambda: 1  # as if another request were being sent
        assert http_connection.RequestConnection(None).use(
            SimpleNamespace(transport=waiting.transport, protocol=waiting)
        )

        line.drop()

        assert not waiting.transport.is_closing()
        await group.close()


# What takes a while to find out


class Finding:
    """Answers when it may; fails while there are ``failures`` left."""

    def __init__(self, failures: int = 0) -> None:
        self.asked, self.failures = 0, failures
        self.may = asyncio.Event()

    async def __call__(self, given) -> int:
        self.asked += 1
        await self.may.wait()
        if self.failures:
            self.failures -= 1
            raise ProviderError("not now")
        return self.asked


async def test_all_wait_for_one_answer():
    group, finding = RequestGroup(), Finding()
    group.join()

    waiting = [asyncio.create_task(await_once(finding, {"a": 1, "b": {"c": "d"}})) for _ in range(5)]
    await asyncio.sleep(0)
    finding.may.set()

    assert await asyncio.gather(*waiting) == [1] * 5
    assert await await_once(finding, {"a": 1, "b": {"c": "d"}}) == 1
    assert await await_once(finding, {"a": 1, "b": {"c": "e"}}) == 2
    await group.close()


async def test_one_that_is_cancelled_while_it_waits_cancels_no_other():
    group, finding = RequestGroup(), Finding()
    group.join()
    first, other = (asyncio.create_task(await_once(finding, {"a": 1})) for _ in range(2))
    await asyncio.sleep(0)

    first.cancel()
    await asyncio.wait({first})
    finding.may.set()

    assert await other == 1
    await group.close()


async def test_after_a_failure_it_is_asked_again():
    group, finding = RequestGroup(), Finding(failures=1)
    group.join()
    finding.may.set()

    with pytest.raises(ProviderError):
        await await_once(finding, {"a": 1})

    assert await await_once(finding, {"a": 1}) == 2
    await group.close()


async def test_by_itself_each_waits_for_its_own():
    finding = Finding()
    finding.may.set()

    assert [await await_once(finding, {"a": 1}) for _ in range(2)] == [1, 2]


async def test_nothing_is_being_found_out_any_more_after_the_end():
    group, finding = RequestGroup(), Finding()
    group.join()
    waiting = asyncio.create_task(await_once(finding, {"a": 1}))
    await asyncio.sleep(0)
    waiting.cancel()

    await group.close()
    await asyncio.sleep(0)

    await asyncio.wait({waiting})
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_a_call_that_was_cancelled_is_made_again_by_the_next_request():
    group, results = RequestGroup(), iter([asyncio.CancelledError(), 1])
    group.join()

    async def call(given) -> int:
        result = next(results)
        if isinstance(result, BaseException):
            raise result
        return result

    with pytest.raises(asyncio.CancelledError):
        await await_once(call, {"a": 1})

    assert await await_once(call, {"a": 1}) == 1
    await group.close()

"""Connections, over HTTP and over TLS: far away, used again, with uploads that nobody reads, and their ends."""

from __future__ import annotations

import asyncio
import json
import socket
from contextlib import asynccontextmanager

import pytest

from flowgpt_magic.errors import AuthenticationError, FlowGptError, ProviderStatusError, ProviderTimeoutError
from flowgpt_magic.providers.flowgpt import FlowGpt
from flowgpt_magic.providers.http import connection as http_connection
from flowgpt_magic.providers.openai_compatible import OpenAICompatible
from flowgpt_magic.providers.request_group import RequestGroup
from tests import openai_servers
from tests.servers import (
    CHUNKED,
    END,
    Connection,
    Request,
    Server,
    framed,
    line,
    listening,
    read_request,
    relaying,
    serving,
    stalling,
    way,
    whole,
)

MESSAGES = [{"role": "user", "content": "hello"}]
LARGE = [{"role": "user", "content": "x" * 40_000_000}]
PROMPT = 10  # seconds in which what must not hang has ended

pytestmark = [
    pytest.mark.filterwarnings("ignore::flowgpt_magic.errors.FlowGptWarning"),
    pytest.mark.usefixtures("over_http_and_tls"),
]

ANSWERS = {
    "stream": [openai_servers.STREAM, *map(framed, (openai_servers.reply("hel", "lo"), b"")), END],
    "one piece": [
        whole(
            json.dumps({"choices": [{"message": {"content": "hello"}, "finish_reason": "stop"}]}).encode(),
            Content_Type="application/json",
        )
    ],
    "wrong key": [whole(b'{"error": {"message": "wrong key"}}', 401)],
    "mistake": [whole(b'{"error": {"message": "a mistake"}}', 400)],
    "models": [whole(b'{"data": [{"id": "hello"}]}')],
}


async def answer_by_name(request: Request, connection: Connection) -> None:
    name = request.json["model"] if request.body else "models"
    await connection.send(*ANSWERS[name])


async def ask(server: Server, name: str) -> str | type[FlowGptError]:
    """What comes of the answer of this name."""
    address = f"{server.url}/v1"
    try:
        if name == "models":
            return "".join(await OpenAICompatible.list_models(openai_base_url=address))
        return await OpenAICompatible.create_async(name, MESSAGES, openai_base_url=address)
    except FlowGptError as error:
        return type(error)


EXPECTED = {
    "stream": "hello",
    "one piece": "hello",
    "wrong key": AuthenticationError,
    "mistake": ProviderStatusError,
    "models": "hello",
}


async def test_every_answer_ends_as_it_should_near_by_and_far_away():
    async with serving(answer_by_name) as server, relaying(server) as relay:
        for where in (server, relay):
            names = [name for name in EXPECTED for _ in range(5)]
            found = await asyncio.wait_for(asyncio.gather(*(ask(where, name) for name in names)), PROMPT)
            assert found == [EXPECTED[name] for name in names]


@asynccontextmanager
async def keeping_open(answer=answer_by_name):
    """A server that answers one request after the other on each connection; it counts the connections."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server.connections += 1
        while True:
            server.requests.append(await read_request(reader))
            await answer(server.requests[-1], Connection(reader, writer))

    server = Server()
    server.connections = 0
    async with listening(handle, server):
        yield server


@asynccontextmanager
async def together():
    """The requests in this context belong together."""
    found = RequestGroup()
    found.join()
    try:
        yield
    finally:
        await found.close()


async def test_a_connection_is_used_again_after_every_kind_of_answer():
    async with keeping_open() as server, relaying(server, 0.01) as relay:
        for where in (server, relay):
            server.connections = 0
            async with together():
                for name in [*EXPECTED, *reversed(EXPECTED)]:
                    assert await ask(where, name) == EXPECTED[name]
            assert server.connections <= (10 if way().closing else 4)


async def test_a_request_that_is_sent_on_reaches_a_server_that_closes_connections_in_silence():
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server.requests.append(await read_request(reader))
        if len(server.requests) == 1:
            await Connection(reader, writer).send(whole(b"", 307, Location="/there"))
            await read_request(reader)  # and no answer
        else:
            await Connection(reader, writer).send(CHUNKED, framed(line("hi")), END)

    async with listening(handle, Server()) as server, together():
        assert await FlowGpt.create_async("", MESSAGES, base_url=server.url) == "hi"


async def test_a_prompt_whose_upload_stalls_on_a_reused_connection_is_not_sent_again():
    if way().closing:
        pytest.skip("no connection is reused")
    connections, done = [], asyncio.Event()
    large = [{"role": "user", "content": "x" * 16_000_000}]  # more than fits into the buffers of the sockets

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(writer)
        await read_request(reader)
        await Connection(reader, writer).send(CHUNKED, framed(line("hi")), END)
        writer.transport.pause_reading()
        await done.wait()

    async with listening(handle, Server(), limit=2**16) as server, together():
        assert await FlowGpt.create_async("", MESSAGES, base_url=server.url) == "hi"
        assert len(connections) == 1
        with pytest.raises(ProviderTimeoutError, match=r"was silent for 0\.2 s"):
            await asyncio.wait_for(FlowGpt.create_async("", large, base_url=server.url, read_timeout=0.2), PROMPT)
        done.set()

    assert len(connections) == 1


async def test_an_answer_to_a_request_that_was_not_read_is_told_at_once_and_the_connection_ends():
    gone = asyncio.Event()

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await Connection(reader, writer).send(whole(b"too large", 413))
        writer.transport.pause_reading()
        await told.wait()
        writer.transport.resume_reading()
        try:
            while await reader.read(2**20):
                pass
        finally:
            gone.set()

    told = asyncio.Event()
    async with listening(refuse, Server(), limit=2**16) as server:
        with pytest.raises(ProviderStatusError, match="answered 413: too large"):
            await asyncio.wait_for(FlowGpt.create_async("", LARGE, base_url=server.url), PROMPT)
        told.set()
        await asyncio.wait_for(gone.wait(), PROMPT)


async def test_a_server_that_answers_and_stops_reading_holds_no_connection():
    """It says that it will send no more, and reads no more either."""

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await Connection(reader, writer).send(whole(b"too large", 413, Connection="close"))
        writer.transport.pause_reading()
        writer.transport.get_extra_info("socket").shutdown(socket.SHUT_WR)
        await asyncio.Event().wait()

    async with listening(refuse, Server(), limit=2**16) as server:
        with pytest.raises(ProviderStatusError, match="413"):
            await FlowGpt.create_async("", LARGE, base_url=server.url)
        wire = http_connection.connection_of_task.get()._protocol
        for _ in range(3):  # rounds of the loop, none of which waits for the server
            await asyncio.sleep(0)
        assert wire._lost


async def test_a_request_that_nobody_reads_times_out_on_a_used_connection_and_is_not_sent_again():
    async def answer_one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server.connections += 1
        if server.connections == 1:
            await read_request(reader)
            await Connection(reader, writer).send(CHUNKED, framed(line("hi")), END)
        writer.transport.pause_reading()
        await asyncio.Event().wait()

    server = Server()
    server.connections = 0
    async with listening(answer_one, server), together():
        assert await FlowGpt.create_async("", MESSAGES, base_url=server.url) == "hi"
        with pytest.raises(ProviderTimeoutError, match="silent"):
            await asyncio.wait_for(FlowGpt.create_async("", LARGE, base_url=server.url, read_timeout=0.5), PROMPT)

        assert server.connections == (2 if way().closing else 1)


async def test_a_large_request_may_take_longer_than_the_timeout_while_it_moves():
    async def read_slowly(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        left = next(int(text.split(": ")[1]) for text in head.split("\r\n") if text.startswith("Content-Length"))
        while left > 0:
            left -= len(await reader.readexactly(min(left, 2**21)))
            await asyncio.sleep(0.1)
        await Connection(reader, writer).send(CHUNKED, framed(line("read")), END)

    async with listening(read_slowly, Server(), limit=2**16) as server:
        reply = FlowGpt.create_async("", LARGE, base_url=server.url, read_timeout=1)
        assert await asyncio.wait_for(reply, 3 * PROMPT) == "read"


async def test_the_system_probes_a_connection_that_is_silent_for_long():
    async with serving(stalling(CHUNKED, framed(line("hi")))) as server:
        chunks = FlowGpt.create_async_generator("", MESSAGES, base_url=server.url)
        assert await anext(chunks) == "hi"
        connected = http_connection.connection_of_task.get()._protocol._transport.get_extra_info("socket")

        assert connected.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        await chunks.aclose()

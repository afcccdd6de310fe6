"""The lines of a reply, and a client that does not read them."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import RawTestServer

from flowgpt_magic.errors import StreamInterruptedError
from flowgpt_magic.gateway import response, running
from flowgpt_magic.gateway.response import ReplyStream
from tests.gateways import PROMPT, Script, ask, read, until


async def test_status_and_model_go_out_with_the_first_line_and_chunks_are_counted() -> None:
    started = []

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        stream = ReplyStream(request)
        stream.set_model("echo:words")
        started.append(stream.started)
        await stream.send(None)
        started.append(stream.started)
        await stream.send_text("one")
        await stream.send_text("two")
        await stream.finish()
        started.append((stream.lines, stream.chunks, stream.status, stream.disconnected))
        return stream.response

    async with (
        RawTestServer(handle) as server,
        aiohttp.ClientSession() as session,
        session.get(server.make_url("/")) as reply,
    ):
        assert (reply.status, reply.headers["X-FlowGPT-Model"]) == (200, "echo:words")
        assert (await reply.text()).splitlines() == [
            "",
            '{"event": "text", "data": "one"}',
            '{"event": "text", "data": "two"}',
        ]
    assert started == [False, True, (3, 2, 200, False)]


async def test_a_chunk_that_could_not_be_sent_is_not_counted() -> None:
    class Disconnected(ReplyStream):
        async def send(self, event: dict[str, Any] | None) -> None:
            raise ConnectionError

    stream = Disconnected(SimpleNamespace())

    with pytest.raises(ConnectionError):
        await stream.send_text("one")

    assert stream.chunks == 0


async def test_a_client_that_stops_reading_is_given_up(script: type[Script], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(response, "WRITE_TIMEOUT", 0.1)
    script.steps = ["x" * 100_000] * 400
    async with running("script", port=0) as server:
        chunks = ask(server)
        await anext(chunks)
        await asyncio.wait_for(script.stopped.wait(), PROMPT)
        await until(lambda: not server._queue.admitted)
        _, error = await asyncio.wait_for(read(chunks), PROMPT)
    assert type(error) is StreamInterruptedError

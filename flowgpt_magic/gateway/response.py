"""The lines of one reply on their way to the client."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any

from aiohttp import web

from flowgpt_magic.gateway.connections import SERVER

WRITE_TIMEOUT = 60.0  # seconds for a client to read what it asked for
CANNOT_BLOCK = 2**14  # bytes that a connection takes at once


class Outlet:
    """The lines that go to one client. The HTTP status goes out with the first of them."""

    def __init__(self, request: web.BaseRequest) -> None:
        self._request = request
        self._lock = asyncio.Lock()
        self.response = web.StreamResponse(
            headers={
                "Content-Type": "text/event-stream",
                "Cache-Control": "no-store",
                "X-Accel-Buffering": "no",  # a reverse proxy must not collect chunks
                **SERVER,
            }
        )
        self.model = "-"  # nobody yet
        self.chunks = 0
        self.lines = 0
        self.lost = False  # is the client gone, or as good as gone?
        self.status = 200  # how it ended, whatever the status that went out first

    @property
    def begun(self) -> bool:
        """Has anything gone out? Then the status has, too."""
        return self.response.prepared

    def say_who_answers(self, model: str) -> None:
        """Let client and log see ``provider:model``."""
        self.model = model
        self.response.headers["X-FlowGPT-Model"] = model

    async def send(self, event: dict[str, Any] | None) -> None:
        """Send one event, or with None an empty line; raises ``ConnectionError`` when the client is gone."""
        line = json.dumps(event).encode() + b"\n" if event is not None else b"\n"
        async with self._lock:
            await self._in_time(self._write(line), len(line))
        self.lines += 1

    async def finish(self) -> None:
        """The reply is complete, or as complete as it will be."""
        with suppress(ConnectionError):
            await self._in_time(self.response.write_eof(), 0)

    async def _write(self, line: bytes) -> None:
        await self.response.prepare(self._request)
        await self.response.write(line)

    async def _in_time(self, writing: Coroutine[Any, Any, None], size: int) -> None:
        transport = self._request.transport
        try:
            if transport is not None and transport.get_write_buffer_size() + size < CANNOT_BLOCK:
                await writing
            else:
                await asyncio.wait_for(writing, WRITE_TIMEOUT)
        except ConnectionError:
            self.lost = True
            raise
        except asyncio.TimeoutError:
            self.lost = True
            if transport is not None:
                transport.abort()
            raise ConnectionError("the client does not read its reply") from None

    async def send_chunk(self, chunk: str) -> None:
        await self.send({"event": "text", "data": chunk})
        self.chunks += 1

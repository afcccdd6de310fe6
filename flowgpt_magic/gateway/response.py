"""Send a reply to the client of the gateway, line by line."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any

from aiohttp import web

from flowgpt_magic.gateway.connections import SERVER_HEADER

WRITE_TIMEOUT = 60.0  # seconds for a client to accept a line
NONBLOCKING_BYTES = 2**14  # bytes that a connection buffers without blocking


class ReplyStream:
    """The reply to one request. The HTTP status is sent with its first line."""

    def __init__(self, request: web.BaseRequest) -> None:
        self._request = request
        self._lock = asyncio.Lock()
        self.response = web.StreamResponse(
            headers={
                "Content-Type": "text/event-stream",
                "Cache-Control": "no-store",
                "X-Accel-Buffering": "no",  # a reverse proxy must not buffer chunks
                **SERVER_HEADER,
            }
        )
        self.model = "-"  # not known yet
        self.chunks = 0
        self.lines = 0
        self.disconnected = False  # the client is gone or does not read
        self.status = 200  # the final one, for the log; after the first line it may differ from the one sent

    @property
    def started(self) -> bool:
        """Return whether the status has been sent."""
        return self.response.prepared

    def set_model(self, model: str) -> None:
        """Show ``provider:model`` to the client and in the log."""
        self.model = model
        self.response.headers["X-FlowGPT-Model"] = model

    async def send(self, event: dict[str, Any] | None) -> None:
        """Send an event, or an empty line for None; raises ``ConnectionError`` if the client is gone."""
        line = json.dumps(event).encode() + b"\n" if event is not None else b"\n"
        async with self._lock:
            await self._with_timeout(self._write(line), len(line))
        self.lines += 1

    async def finish(self) -> None:
        """End the response."""
        with suppress(ConnectionError):
            await self._with_timeout(self.response.write_eof(), 0)

    async def _write(self, line: bytes) -> None:
        await self.response.prepare(self._request)
        await self.response.write(line)

    async def _with_timeout(self, writing: Coroutine[Any, Any, None], size: int) -> None:
        transport = self._request.transport
        try:
            if transport is not None and transport.get_write_buffer_size() + size < NONBLOCKING_BYTES:
                await writing
            else:
                await asyncio.wait_for(writing, WRITE_TIMEOUT)
        except ConnectionError:
            self.disconnected = True
            raise
        except asyncio.TimeoutError:
            self.disconnected = True
            if transport is not None:
                transport.abort()
            raise ConnectionError("the client does not read the reply") from None

    async def send_text(self, chunk: str) -> None:
        """Send a chunk of the reply; raises ``ConnectionError`` if the client is gone."""
        await self.send({"event": "text", "data": chunk})
        self.chunks += 1

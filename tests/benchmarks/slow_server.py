"""A server in a process of its own that answers each request after a while, and refuses those it has no place for.

It speaks just enough of HTTP to cost little: what a client of it takes is the client's own.
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection

END_OF_HEAD = b"\r\n\r\n"
LENGTH = b"content-length:"


@dataclass(frozen=True)
class Plan:
    """What the server does.

    Each request is answered with ``chunks`` after ``seconds``. ``places`` is how many it works on at once, 0 for any
    number; to the others it answers ``refusal`` at once, a whole response.
    """

    chunks: tuple[bytes, ...]
    seconds: float = 0.05
    places: int = 0
    refusal: bytes = b""
    certificate: tuple[str, str] | None = None
    head: bytes = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"

    @property
    def answer(self) -> bytes:
        """The whole response."""
        return self.head + b"".join(b"%x\r\n%s\r\n" % (len(each), each) for each in self.chunks) + b"0\r\n\r\n"


@dataclass
class Counts:
    """How many requests came, and how many of them were refused; ``most`` were worked on at once."""

    requests: int = 0
    refused: int = 0
    connections: int = 0
    most: int = 0
    busy: int = field(default=0, repr=False)


class _Serving(asyncio.Protocol):
    """One connection."""

    def __init__(self, plan: Plan, answer: bytes, counts: Counts) -> None:
        self._plan, self._answer, self._counts = plan, answer, counts
        self._received = bytearray()
        self._transport: asyncio.Transport | None = None
        counts.connections += 1

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        self._received += data
        end = self._received.find(END_OF_HEAD)
        if end < 0:
            return
        head = bytes(self._received[:end]).lower()
        length = int(head.partition(LENGTH)[2].partition(b"\r\n")[0] or 0)
        if len(self._received) >= end + len(END_OF_HEAD) + length:
            self._received.clear()
            self._take()

    def _take(self) -> None:
        counts, plan = self._counts, self._plan
        counts.requests += 1
        if plan.places and counts.busy >= plan.places:
            counts.refused += 1
            self._transport.write(plan.refusal)
            return
        counts.busy += 1
        counts.most = max(counts.most, counts.busy)
        asyncio.get_running_loop().call_later(plan.seconds, self._finish)

    def _finish(self) -> None:
        self._counts.busy -= 1
        if not self._transport.is_closing():
            self._transport.write(self._answer)


async def _serve(plan: Plan, pipe: Connection) -> None:
    counts, answer, tls = Counts(), plan.answer, None
    if plan.certificate is not None:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(*plan.certificate)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Serving(plan, answer, counts), "127.0.0.1", 0, ssl=tls, backlog=1024)
    pipe.send(server.sockets[0].getsockname()[1])

    def tell() -> None:
        pipe.recv()
        pipe.send(Counts(counts.requests, counts.refused, counts.connections, counts.most))
        counts.requests = counts.refused = counts.connections = counts.most = 0

    loop.add_reader(pipe.fileno(), tell)
    await server.serve_forever()


def _run(plan: Plan, pipe: Connection) -> None:
    asyncio.run(_serve(plan, pipe))


@dataclass(frozen=True)
class SlowServer:
    """The server's address, without a path."""

    url: str
    _pipe: Connection = field(repr=False)

    def counts(self) -> Counts:
        """What has come since this was asked last."""
        self._pipe.send(None)
        found: Counts = self._pipe.recv()
        return found


@contextmanager
def slow_server(plan: Plan) -> Iterator[SlowServer]:
    """A server in another process that does as ``plan`` says."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=_run, args=(plan, there), daemon=True)
    process.start()
    try:
        scheme = "http" if plan.certificate is None else "https"
        yield SlowServer(f"{scheme}://127.0.0.1:{here.recv()}", here)
    finally:
        process.terminate()
        process.join()


def refusal(status: str, *headers: str, report: object = None) -> bytes:
    """A whole response with this ``status``, such as ``503 Service Unavailable``."""
    body = json.dumps(report or {"error": {"message": "no place"}}).encode()
    lines = (f"HTTP/1.1 {status}", "Content-Type: application/json", f"Content-Length: {len(body)}", *headers)
    return "\r\n".join(lines).encode() + END_OF_HEAD + body

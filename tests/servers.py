"""Real servers on loopback, small enough to misbehave to the byte."""

from __future__ import annotations

import asyncio
import itertools
import json
import socket
import ssl
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from flowgpt_magic.bridge import Worker
from tests import certificates


@dataclass
class Way:
    """How the servers of a test speak where the test does not say so itself.

    With ``closing``, each response says ``Connection: close``.
    """

    tls: bool = False
    closing: bool = False


_way = Way()


@contextmanager
def speaking_by(way: Way) -> Iterator[None]:
    """Let servers speak in this way while the context lasts."""
    global _way
    before, _way = _way, way
    try:
        yield
    finally:
        _way = before


@dataclass
class Request:
    """What a client sent; header names are as they came."""

    line: str
    headers: dict[str, str]
    body: bytes = b""

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Connection:
    """One client, for an answer to be written to."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def send(self, *blocks: bytes) -> None:
        """Each block in a segment of its own, as far as the system allows."""
        for block in map(self._said, blocks):
            self.writer.write(block)
            await self.writer.drain()
            await asyncio.sleep(0)

    def cut(self) -> None:
        """End the connection without saying that this is the end: over TLS, without its notice that it closes."""
        self.writer.transport.abort()

    def _said(self, block: bytes) -> bytes:
        if not (_way.closing and block.startswith(b"HTTP/1.1 ") and b"\nConnection:" not in block):
            return block
        return block.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n", 1)

    def reset(self) -> None:
        """Close with RST."""
        self.writer.get_extra_info("socket").setsockopt(
            socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0" + b"\0\0\0\0"
        )
        self.writer.transport.abort()


Answer = Callable[[Request, Connection], Awaitable[None]]
LIMIT = 60  # seconds after which a server is broken, and not only slow


@dataclass
class Server:
    """Its address and what happened; ``gone`` is set when a client closes its connection."""

    port: int = 0
    scheme: str = "http"
    requests: list[Request] = field(default_factory=list)
    gone: asyncio.Event = field(default_factory=asyncio.Event)
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    refuse_others: Callable[[], None] = lambda: None  # from now on, nobody listens

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}"


async def read_request(reader: asyncio.StreamReader) -> Request:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = head.rstrip("\r\n").split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines)
    length = next((value for name, value in headers.items() if name.lower() == "content-length"), "0")
    body = await reader.readexactly(int(length))
    return Request(first, headers, body)


@asynccontextmanager
async def listening(
    handle: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
    server: Server,
    *,
    tls: bool | ssl.SSLContext | None = None,
    limit: int = 2**24,
) -> AsyncIterator[Server]:
    """Call ``handle`` for every connection while the context lasts; then close them all.

    A reader holds about twice ``limit`` bytes that nobody has asked for. With ``tls`` the server has a certificate of
    the trusted authority, or speaks with this context. By default the way of the test decides.
    """
    tls = _way.tls if tls is None else tls
    context = certificates.server_context() if tls is True else tls or None
    server.scheme = "http" if context is None else "https"
    tasks: set[asyncio.Task[None]] = set()

    async def run(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
                await handle(reader, writer)
        finally:
            tasks.discard(task)
            writer.close()

    listener = await asyncio.start_server(run, "127.0.0.1", 0, limit=limit, ssl=context)
    server.port = listener.sockets[0].getsockname()[1]
    server.refuse_others = listener.close
    try:
        yield server
    finally:
        listener.close()
        for task in list(tasks):
            task.cancel()
        if tasks:
            await asyncio.wait(list(tasks))


@asynccontextmanager
async def serving(answer: Answer, *, tls: bool | ssl.SSLContext | None = None) -> AsyncIterator[Server]:
    """A server that reads each request whole and leaves the rest to ``answer``; for ``tls`` see ``listening``."""
    server = Server()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server.requests.append(await read_request(reader))
        server.asked.set()
        watch = asyncio.create_task(_watch(reader, server.gone))
        try:
            await answer(server.requests[-1], Connection(reader, writer))
        finally:
            watch.cancel()

    async with listening(handle, server, tls=tls):
        yield server


async def _watch(reader: asyncio.StreamReader, gone: asyncio.Event) -> None:
    with suppress(ConnectionError):
        await reader.read()
    gone.set()


def way() -> Way:
    """How servers speak where a test does not say so itself."""
    return _way


def head(status: int = 200, **headers: str) -> bytes:
    """The head of a response; in header names ``_`` stands for ``-``."""
    lines = [f"HTTP/1.1 {status} Whatever", *(f"{name.replace('_', '-')}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode()


CHUNKED = head(Content_Type="text/event-stream", Transfer_Encoding="chunked")
END = b"0\r\n\r\n"


def framed(data: bytes) -> bytes:
    """``data`` as one chunk of a chunked body."""
    return b"%x\r\n%s\r\n" % (len(data), data) if data else b""


def line(text: Any, **more: Any) -> bytes:
    """A text event of the protocol."""
    return json.dumps({"event": "text", "data": text, **more}).encode() + b"\n"


def whole(body: bytes, status: int = 200, **headers: str) -> bytes:
    """A whole response with its length."""
    return head(status, Content_Length=str(len(body)), **headers) + body


def answering(*blocks: bytes) -> Answer:
    """Send these bytes as they are, and close."""

    async def answer(request: Request, connection: Connection) -> None:
        await connection.send(*blocks)

    return answer


def replying(*blocks: bytes, **headers: str) -> Answer:
    """A good chunked response with this body."""
    start = head(Content_Type="text/event-stream", Transfer_Encoding="chunked", **headers)
    return answering(start, *map(framed, blocks), END)


def stalling(*blocks: bytes) -> Answer:
    """Send these bytes as they are, and then nothing until the client goes away."""

    async def answer(request: Request, connection: Connection) -> None:
        await connection.send(*blocks)
        await asyncio.Event().wait()

    return answer


def resetting(*blocks: bytes) -> Answer:
    """Send these bytes, and reset the connection when they had the time to arrive."""

    async def answer(request: Request, connection: Connection) -> None:
        await connection.send(*blocks)
        await asyncio.sleep(0.05)
        connection.reset()

    return answer


def cutting(*blocks: bytes) -> Answer:
    """Send these bytes, and cut the connection off."""

    async def answer(request: Request, connection: Connection) -> None:
        await connection.send(*blocks)
        connection.cut()

    return answer


@asynccontextmanager
async def proxying(refuse: int | None = None) -> AsyncIterator[Server]:
    """An HTTP proxy, for tunnels too; with ``refuse`` it answers this status to everyone."""
    server = Server()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await read_request(reader)
        server.requests.append(request)
        if refuse is not None:
            await Connection(reader, writer).send(whole(b"no", refuse))
            return
        method, target, version = request.line.split(" ")
        if method == "CONNECT":
            host, port = target.split(":")
            upwards = await asyncio.open_connection(host, int(port))
            writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
            await _joined((reader, writer), upwards)
            return
        host, port = target.removeprefix("http://").split("/")[0].split(":")
        path = "/" + target.removeprefix("http://").partition("/")[2]
        headers = "".join(f"{name}: {value}\r\n" for name, value in request.headers.items() if name[:5] != "Proxy")
        up_reader, up_writer = await asyncio.open_connection(host, int(port))
        up_writer.write(f"{method} {path} {version}\r\n{headers}\r\n".encode() + request.body)
        while block := await up_reader.read(2**16):
            writer.write(block)
            await writer.drain()
        up_writer.close()

    async with listening(handle, server, tls=False):
        yield server


Ends = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def _joined(one: Ends, other: Ends, latency: float = 0.0) -> None:
    """Carry what each end says to the other, this many seconds later, until both have ended."""
    loop = asyncio.get_running_loop()

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        under_way: deque[bytes] = deque()
        with suppress(ConnectionError):
            while block := await reader.read(2**16):
                under_way.append(block)
                loop.call_later(latency, lambda: writer.write(under_way.popleft()))
        await asyncio.sleep(latency)
        writer.close()

    try:
        await asyncio.gather(carry(one[0], other[1]), carry(other[0], one[1]))
        await other[1].wait_closed()
    finally:
        other[1].close()


@asynccontextmanager
async def relaying(server: Server, latency: float = 0.04) -> AsyncIterator[Server]:
    """The server's address as seen from afar: each way takes ``latency`` seconds."""
    relay = Server(requests=server.requests)

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await _joined((reader, writer), await asyncio.open_connection("127.0.0.1", server.port), latency)

    async with listening(handle, relay, tls=False):
        relay.scheme = server.scheme
        yield relay


def cut(data: bytes, places: Sequence[int]) -> list[bytes]:
    """``data`` in pieces, cut at these places."""
    borders = sorted({0, len(data), *(place % (len(data) + 1) for place in places)})
    return [data[start:end] for start, end in itertools.pairwise(borders)]


@contextmanager
def served(answer: Answer) -> Iterator[str]:
    """A server on a thread of its own, for code that is not async; its address."""
    thread, address, stop = Worker(), Future[str](), asyncio.Event()

    async def run() -> None:
        async with serving(answer) as server:
            address.set_result(server.url)
            await stop.wait()

    ended = thread.submit(run())
    try:
        yield address.result(LIMIT)
    finally:
        thread.loop.call_soon_threadsafe(stop.set)
        ended.result(LIMIT)
        thread.close()


def closed_port() -> int:
    """A port nobody listens on."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])

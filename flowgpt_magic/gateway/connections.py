"""The connections of a gateway: how they are accepted, how many there may be, and how long they may be idle.

The HTTP library has no limit for the time a client takes to send the head of a request, nor for the number of
connections; and asyncio's own server, short of file descriptors, logs each failed ``accept`` thousands of times a
second. So a gateway accepts its connections itself.
"""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import json
import os
import socket
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from aiohttp import web
from aiohttp.http import HttpProcessingError

from flowgpt_magic.gateway.log import RepeatedWarning, log_request, logger

BACKLOG = 128  # connections that the system holds until they are accepted
ACCEPT_PAUSE = 0.1  # seconds until the next attempt where a connection could not be accepted
LINGER = 2.0  # seconds to read and drop what a refused client still sends, so that it can read why
SERVER = {"Server": "flowgpt_magic"}  # the library's own would tell the versions of it and of Python
OTHERS = "Server: flowgpt_magic\r\nContent-Type: application/json; charset=utf-8\r\nConnection: close\r\n"
NO_HTTP = "the request is not HTTP as it should be"
NO_SUCH_ADDRESS = (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL)


@dataclass(frozen=True)
class ConnectionLimits:
    """``total`` and ``per_address`` are numbers of connections.

    ``head_timeout`` is the number of seconds for a client to connect and send the head of a request, ``idle_timeout``
    the number of seconds without a request on a connection that has served one.
    """

    total: int
    per_address: int
    head_timeout: float
    idle_timeout: float


def descriptor_limit() -> int | None:
    """Half of the file descriptors that this process may have open, or None where there is no such limit.

    The other half is for what the replies need, and for the rest of the program.
    """
    try:
        import resource
    except ImportError:  # Windows
        return None
    soft, _hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return None if soft == resource.RLIM_INFINITY else max(1, soft // 2)


def owner_of(address: str) -> str:
    """Whose address it is, for the limit: the address itself, or the network of an IPv6 address (its first 64 bits)."""
    with suppress(ValueError):
        parsed = ipaddress.ip_address(address.partition("%")[0])
        if isinstance(parsed, ipaddress.IPv6Address):
            mapped = parsed.ipv4_mapped
            return str(mapped) if mapped else str(ipaddress.ip_network((parsed, 64), strict=False))
    return address


def refusal(status: int, text: str, headers: Mapping[str, str] | None = None) -> web.Response:
    """A refusal in the shape of the protocol; its connection closes."""
    headers = {**(headers or {}), **SERVER}
    response = web.json_response({"statusCode": status, "message": text}, status=status, headers=headers)
    response.force_close()  # what is left of a body nobody read would be taken for the next request
    return response


def _raw_refusal(status: str, text: str, more: str = "") -> bytes:
    """The bytes of a refusal that is sent outside the HTTP library."""
    body = json.dumps({"statusCode": int(status.partition(" ")[0]), "message": text})
    return f"HTTP/1.1 {status}\r\n{OTHERS}{more}Content-Length: {len(body)}\r\n\r\n{body}".encode("ascii")


class Connections:
    """Those who are connected. A new connection takes the place of the one that keeps us waiting longest."""

    def __init__(self, limits: ConnectionLimits) -> None:
        self.limits = limits
        self._by_owner: defaultdict[str, set[Connection]] = defaultdict(set)

    def __iter__(self) -> Iterator[Connection]:
        return (connection for connections in self._by_owner.values() for connection in connections)

    def __len__(self) -> int:
        return sum(map(len, self._by_owner.values()))

    def add(self, connection: Connection) -> None:
        """Count ``connection``."""
        self._by_owner[connection.owner].add(connection)

    def remove(self, connection: Connection) -> None:
        """Forget ``connection``, if it is known."""
        connections = self._by_owner.get(connection.owner, set())
        connections.discard(connection)
        if not connections:
            self._by_owner.pop(connection.owner, None)

    def make_room(self, owner: str) -> bool:
        """Can ``owner`` have one more? A connection that waits for its client is closed for it where need be."""
        if len(self._by_owner.get(owner, ())) >= self.limits.per_address:
            return self.close_longest_waiting(owner)
        return len(self) < self.limits.total or self.close_longest_waiting()

    def close_longest_waiting(self, owner: str = "") -> bool:
        """Close the connection that has waited for its client longest, of ``owner`` or of all. Was there one?"""
        candidates = self._by_owner.get(owner, set()) if owner else self
        waiting = [(each.waiting_since, id(each), each) for each in candidates if each.waiting_since is not None]
        if not waiting:
            return False
        _since, _id, longest = min(waiting)
        longest.force_close()
        self.remove(longest)
        return True


class Connection(web.RequestHandler):
    """One connection of a client.

    ``waiting_since`` is when it began to wait for its client, to send a request or the rest of one; None while a
    request is answered.
    """

    __slots__ = ("_among", "_ends", "_head_begun", "_open", "_timer", "owner", "waiting_since")

    def __init__(self, server: web.Server, owner: str, among: Connections, **options: Any) -> None:
        loop = asyncio.get_running_loop()
        super().__init__(server, loop=loop, **options)
        self.owner = owner
        self.waiting_since: float | None = loop.time()
        self._among = among
        self._head_begun = False
        self._ends = False  # has the last request been answered?
        self._open: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The client has connected, and has a limited time to ask."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - for the type checker
        self._open = transport
        self._among.add(self)
        self._give(self._among.limits.head_timeout)
        super().connection_made(transport)

    def data_received(self, data: bytes) -> None:
        """The first byte of a request starts the clock for its head."""
        if data and not self._head_begun and not self._ends:
            self._head_begun = True
            self._give(self._among.limits.head_timeout)
        try:
            super().data_received(data)
        except ValueError:  # some releases of the library let it out where a URL is none
            self._refuse("400 Bad Request", NO_HTTP)

    def connection_lost(self, exc: BaseException | None) -> None:
        """The connection is closed."""
        self._open = None
        self._stop_timer()
        self._among.remove(self)
        super().connection_lost(exc)

    def head_arrived(self) -> None:
        """A request begins; its body has a limit of its own."""
        self._head_begun = True
        self._stop_timer()

    def request_arrived(self) -> None:
        """All of the request is there: from now on the client waits for us."""
        self.waiting_since = None

    def request_ended(self, *, last: bool) -> None:
        """The client may ask again, but after its last request."""
        self._head_begun, self._ends = False, last
        self.waiting_since = asyncio.get_running_loop().time()
        if self._open is not None:
            self._give(self._among.limits.idle_timeout)

    def _give(self, seconds: float) -> None:
        self._stop_timer()
        self._timer = asyncio.get_running_loop().call_later(seconds, self._give_up)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _give_up(self) -> None:
        """Close the connection of a client that sends no request, or too slowly."""
        transport = self._open
        if transport is None:
            return
        if self._ends or transport.is_closing() or transport.get_write_buffer_size():
            transport.abort()
            return
        if self._head_begun:
            self._refuse("408 Request Timeout", "the request did not arrive in time")
        else:
            self.force_close()

    def _refuse(self, status: str, text: str) -> None:
        """Refuse a request that the HTTP library has not made out, and close."""
        log_request(int(status[:3]))
        if self._open is not None and self.waiting_since is not None:  # or else it would go into the midst of a reply
            self._open.write(_raw_refusal(status, text))
        self.force_close()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002 - it may quote what the client sent
    ) -> web.StreamResponse:
        """Refuse what the HTTP library cannot read, and log its kind alone."""
        if isinstance(exc, ConnectionError):
            raise exc
        if status >= 500:
            logger.error("a request failed with %s", type(exc).__name__)
        if request.writer.output_size > 0:
            raise ConnectionError("a part of the reply has been sent")
        log_request(status)
        return refusal(status, NO_HTTP if status < 500 else "the gateway failed")

    def log_exception(self, *args: Any, **options: Any) -> None:  # noqa: ARG002 - it may quote what the client sent
        """Log the kind of what the HTTP library did not expect; a body that it cannot read has been refused."""
        error = options.get("exc_info")
        if not isinstance(error, (ConnectionError, HttpProcessingError, web.RequestPayloadError)):
            logger.error("a connection failed with %s", type(error).__name__)


class TurnedAway(asyncio.Protocol):
    """A connection for which there is no room: it is told so, and closed."""

    def __init__(self, retry_after: str) -> None:
        self._answer = _raw_refusal(
            "503 Service Unavailable", "too many connections at once", f"Retry-After: {retry_after}\r\n"
        )

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Answer, and give the client a moment to read it."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - for the type checker
        transport.write(self._answer)
        with suppress(NotImplementedError, OSError):
            transport.write_eof()
        asyncio.get_running_loop().call_later(LINGER, transport.abort)


class Listener:
    """Accepts connections; ``make_connection`` makes the protocol for a client's address."""

    def __init__(self, connections: Connections, make_connection: Callable[[str], asyncio.Protocol]) -> None:
        self.port = 0
        self._connections = connections
        self._make_connection = make_connection
        self._warning = RepeatedWarning()
        self._accepting: list[asyncio.Task[None]] = []
        self._sockets: list[socket.socket] = []

    async def open(self, host: str, port: int) -> None:
        """Listen on every address of ``host``; port 0 is a free one. Raises ``OSError`` where that is not possible."""
        self._sockets = await _listening_sockets(host, port)
        self.port = self._sockets[0].getsockname()[1]
        self._accepting = [asyncio.create_task(self._accept(each)) for each in self._sockets]

    async def close(self) -> None:
        """Accept no more; the connections stay."""
        for task in self._accepting:
            task.cancel()
        if self._accepting:
            await asyncio.wait(self._accepting)
        for each in self._sockets:
            each.close()
        self._accepting, self._sockets = [], []

    async def _accept(self, listening: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                accepted, address = await loop.sock_accept(listening)
            except ConnectionAbortedError:  # the client has gone again
                continue
            except OSError as error:
                reason = os.strerror(error.errno) if error.errno else type(error).__name__
                self._warning.log(f"no connection can be accepted for now: {reason}")
                self._connections.close_longest_waiting()
                await asyncio.sleep(ACCEPT_PAUSE)
                continue
            await self._connect(accepted, str(address[0]))

    async def _connect(self, accepted: socket.socket, address: str) -> None:
        protocol = self._make_connection(address)
        try:
            await asyncio.get_running_loop().connect_accepted_socket(lambda: protocol, accepted)
        except OSError:  # the client has gone again
            accepted.close()


async def _listening_sockets(host: str, port: int) -> list[socket.socket]:
    """A socket for every address of ``host``, all with one port; an address this machine does not have is left out."""
    found = await asyncio.get_running_loop().getaddrinfo(
        host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )
    sockets: list[socket.socket] = []
    missing: OSError | None = None
    for family, _kind, _protocol, _name, address in dict.fromkeys(found):
        chosen = sockets[0].getsockname()[1] if sockets else port
        try:
            listening = socket.create_server((address[0], chosen, *address[2:]), family=family, backlog=BACKLOG)
        except OSError as error:
            if error.errno not in NO_SUCH_ADDRESS:
                for each in sockets:
                    each.close()
                raise
            missing = error
            continue
        listening.setblocking(False)
        sockets.append(listening)
    if missing is not None and not sockets:
        raise missing
    return sockets

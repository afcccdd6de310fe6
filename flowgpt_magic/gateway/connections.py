"""Accept the connections of a gateway, limit their number, and close idle ones.

aiohttp limits neither the number of connections nor the time a client takes to send the head of a request. When
asyncio's own server runs out of file descriptors, it logs a failed ``accept`` thousands of times a second. So the
gateway accepts its connections itself.
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

from flowgpt_magic.gateway.log import ThrottledWarning, log_request, logger

BACKLOG = 128  # connections that the system queues until they are accepted
ACCEPT_PAUSE = 0.1  # seconds to wait after a failed accept
REJECTION_LINGER = 2.0  # seconds to discard what a rejected client still sends, so that it can read the response
SERVER_HEADER = {"Server": "flowgpt_magic"}  # aiohttp's default shows its version and Python's
RAW_HEADERS = "Server: flowgpt_magic\r\nContent-Type: application/json; charset=utf-8\r\nConnection: close\r\n"
MALFORMED = "the request is not valid HTTP"
UNAVAILABLE_ADDRESS = (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL)


@dataclass(frozen=True)
class ConnectionLimits:
    """How many connections are open at once, and for how long.

    Args:
        total: connections of all clients together.
        per_address: connections of one client, see ``client_of``.
        head_timeout: seconds for a client to connect and send the head of a request.
        idle_timeout: seconds that a connection stays open after a request.
    """

    total: int
    per_address: int
    head_timeout: float
    idle_timeout: float


def descriptor_limit() -> int | None:
    """Half of this process's limit of open file descriptors, or None without a limit.

    The other half is for the replies and the rest of the program.
    """
    try:
        import resource
    except ImportError:  # Windows
        return None
    soft, _hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return None if soft == resource.RLIM_INFINITY else max(1, soft // 2)


def client_of(address: str) -> str:
    """What ``per_address`` counts as one client: an IPv4 address, or an IPv6 network (the first 64 bits)."""
    with suppress(ValueError):
        parsed = ipaddress.ip_address(address.partition("%")[0])
        if isinstance(parsed, ipaddress.IPv6Address):
            mapped = parsed.ipv4_mapped
            return str(mapped) if mapped else str(ipaddress.ip_network((parsed, 64), strict=False))
    return address


def error_response(status: int, text: str, headers: Mapping[str, str] | None = None) -> web.Response:
    """An error in the format of the FlowGPT protocol; closes the connection."""
    headers = {**(headers or {}), **SERVER_HEADER}
    response = web.json_response({"statusCode": status, "message": text}, status=status, headers=headers)
    response.force_close()  # an unread rest of the body would be parsed as the next request
    return response


def _raw_error_response(status: str, text: str, more: str = "") -> bytes:
    """The bytes of an error response that aiohttp does not send."""
    body = json.dumps({"statusCode": int(status.partition(" ")[0]), "message": text})
    return f"HTTP/1.1 {status}\r\n{RAW_HEADERS}{more}Content-Length: {len(body)}\r\n\r\n{body}".encode("ascii")


class Connections:
    """The open connections. At a limit, a new connection replaces the one that has waited longest for its client."""

    def __init__(self, limits: ConnectionLimits) -> None:
        self.limits = limits
        self._by_client: defaultdict[str, set[Connection]] = defaultdict(set)

    def __iter__(self) -> Iterator[Connection]:
        return (connection for connections in self._by_client.values() for connection in connections)

    def __len__(self) -> int:
        return sum(map(len, self._by_client.values()))

    def add(self, connection: Connection) -> None:
        self._by_client[connection.client].add(connection)

    def remove(self, connection: Connection) -> None:
        """Remove ``connection``; no effect if it is not there."""
        connections = self._by_client.get(connection.client, set())
        connections.discard(connection)
        if not connections:
            self._by_client.pop(connection.client, None)

    def make_room(self, client: str) -> bool:
        """Return whether ``client`` may open one more connection; closes a waiting connection if that is necessary."""
        if len(self._by_client.get(client, ())) >= self.limits.per_address:
            return self.close_longest_waiting(client)
        return len(self) < self.limits.total or self.close_longest_waiting()

    def close_longest_waiting(self, client: str = "") -> bool:
        """Close the connection that has waited longest, of ``client`` or of all; return whether there was one."""
        candidates = self._by_client.get(client, set()) if client else self
        waiting = [
            (connection.waiting_since, id(connection), connection)
            for connection in candidates
            if connection.waiting_since is not None
        ]
        if not waiting:
            return False
        _since, _id, longest = min(waiting)
        longest.force_close()
        self.remove(longest)
        return True


class Connection(web.RequestHandler):
    """A client's connection.

    ``waiting_since`` is the loop time since when it waits for its client to send a request or the rest of one; None
    while a request is answered.
    """

    __slots__ = ("_connections", "_head_started", "_last_answered", "_open", "_timer", "client", "waiting_since")

    def __init__(self, server: web.Server, client: str, connections: Connections, **options: Any) -> None:
        loop = asyncio.get_running_loop()
        super().__init__(server, loop=loop, **options)
        self.client = client
        self.waiting_since: float | None = loop.time()
        self._connections = connections
        self._head_started = False
        self._last_answered = False  # no further request is read
        self._open: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start the timeout for the first request."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - for the type checker
        self._open = transport
        self._connections.add(self)
        self._start_timer(self._connections.limits.head_timeout)
        super().connection_made(transport)

    def data_received(self, data: bytes) -> None:
        """Start the timeout for the head of a request with its first byte."""
        if data and not self._head_started and not self._last_answered:
            self._head_started = True
            self._start_timer(self._connections.limits.head_timeout)
        try:
            super().data_received(data)
        except ValueError:  # raised by some releases of aiohttp for an invalid URL
            self._refuse("400 Bad Request", MALFORMED)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Remove the closed connection."""
        self._open = None
        self._stop_timer()
        self._connections.remove(self)
        super().connection_lost(exc)

    def head_arrived(self) -> None:
        """Stop the timeout: the head of a request is complete. Its body has a timeout of its own."""
        self._head_started = True
        self._stop_timer()

    def request_arrived(self) -> None:
        """Note that the request is complete: from now on the client waits for the gateway."""
        self.waiting_since = None

    def request_ended(self, *, last: bool) -> None:
        """Wait for the next request, unless this was the last one on the connection."""
        self._head_started, self._last_answered = False, last
        self.waiting_since = asyncio.get_running_loop().time()
        if self._open is not None:
            self._start_timer(self._connections.limits.idle_timeout)

    def _start_timer(self, seconds: float) -> None:
        self._stop_timer()
        self._timer = asyncio.get_running_loop().call_later(seconds, self._time_out)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _time_out(self) -> None:
        """Close the connection of a client that sends no request, or sends it too slowly."""
        transport = self._open
        if transport is None:
            return
        if self._last_answered or transport.is_closing() or transport.get_write_buffer_size():
            transport.abort()
            return
        if self._head_started:
            self._refuse("408 Request Timeout", "the request did not arrive in time")
        else:
            self.force_close()

    def _refuse(self, status: str, text: str) -> None:
        """Answer a request that aiohttp could not parse with an error, and close."""
        log_request(int(status[:3]))
        if self._open is not None and self.waiting_since is not None:  # otherwise it would be written into a reply
            self._open.write(_raw_error_response(status, text))
        self.force_close()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002 - it may quote what the client sent
    ) -> web.StreamResponse:
        """Answer what aiohttp cannot parse with an error; log only the class of the exception."""
        if isinstance(exc, ConnectionError):
            raise exc
        if status >= 500:
            logger.error("a request failed with %s", type(exc).__name__)
        if request.writer.output_size > 0:
            raise ConnectionError("part of the reply has been sent")
        log_request(status)
        return error_response(status, MALFORMED if status < 500 else "the gateway failed")

    def log_exception(self, *args: Any, **options: Any) -> None:  # noqa: ARG002 - it may quote what the client sent
        """Log the class of an unexpected exception. An unreadable body has been answered already."""
        error = options.get("exc_info")
        if not isinstance(error, (ConnectionError, HttpProcessingError, web.RequestPayloadError)):
            logger.error("a connection failed with %s", type(error).__name__)


class RejectedConnection(asyncio.Protocol):
    """A connection beyond the limit: answered with 503 and closed."""

    def __init__(self, retry_after: str) -> None:
        self._response = _raw_error_response(
            "503 Service Unavailable", "too many connections at once", f"Retry-After: {retry_after}\r\n"
        )

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the response, and give the client time to read it."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - for the type checker
        transport.write(self._response)
        with suppress(NotImplementedError, OSError):
            transport.write_eof()
        asyncio.get_running_loop().call_later(REJECTION_LINGER, transport.abort)


class ConnectionListener:
    """Accepts connections; ``make_connection`` returns the protocol for a client's address."""

    def __init__(self, connections: Connections, make_connection: Callable[[str], asyncio.Protocol]) -> None:
        self.port = 0
        self._connections = connections
        self._make_connection = make_connection
        self._warning = ThrottledWarning()
        self._accepting: list[asyncio.Task[None]] = []
        self._sockets: list[socket.socket] = []

    async def open(self, host: str, port: int) -> None:
        """Listen on every address of ``host``; port 0 takes a free one. Raises ``OSError``."""
        self._sockets = await _listening_sockets(host, port)
        self.port = self._sockets[0].getsockname()[1]
        self._accepting = [asyncio.create_task(self._accept(listening)) for listening in self._sockets]

    async def close(self) -> None:
        """Stop accepting; open connections stay open."""
        for task in self._accepting:
            task.cancel()
        if self._accepting:
            await asyncio.wait(self._accepting)
        for listening in self._sockets:
            listening.close()
        self._accepting, self._sockets = [], []

    async def _accept(self, listening: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                accepted, address = await loop.sock_accept(listening)
            except ConnectionAbortedError:  # the client has disconnected
                continue
            except OSError as error:
                reason = os.strerror(error.errno) if error.errno else type(error).__name__
                self._warning.log(f"cannot accept connections: {reason}")
                self._connections.close_longest_waiting()
                await asyncio.sleep(ACCEPT_PAUSE)
                continue
            await self._connect(accepted, str(address[0]))

    async def _connect(self, accepted: socket.socket, address: str) -> None:
        protocol = self._make_connection(address)
        try:
            await asyncio.get_running_loop().connect_accepted_socket(lambda: protocol, accepted)
        except OSError:  # the client has disconnected
            accepted.close()


async def _listening_sockets(host: str, port: int) -> list[socket.socket]:
    """A socket for every address of ``host``, all on one port; skips addresses that this machine does not have."""
    addresses = await asyncio.get_running_loop().getaddrinfo(
        host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )
    sockets: list[socket.socket] = []
    missing: OSError | None = None
    for family, _kind, _protocol, _name, address in dict.fromkeys(addresses):
        chosen = sockets[0].getsockname()[1] if sockets else port
        try:
            listening = socket.create_server((address[0], chosen, *address[2:]), family=family, backlog=BACKLOG)
        except OSError as error:
            if error.errno not in UNAVAILABLE_ADDRESS:
                for other in sockets:
                    other.close()
                raise
            missing = error
            continue
        listening.setblocking(False)
        sockets.append(listening)
    if missing is not None and not sockets:
        raise missing
    return sockets

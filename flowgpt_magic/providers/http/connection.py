"""The connection of a request: by which route, through which proxy, and what happens to it.

Each request has one of its own, but for those that are made together: they hand theirs on.

The HTTP library leaves its reader waiting for ever in three cases. After broken chunked framing it closes the
connection without telling the reader. It drops a whole block, reply included, where the break comes in the same block
as the headers. And its timeout for silence begins only when the request is sent to the last byte. ``Wire`` mends that.

A TLS transport of asyncio that is closed twice forgets its connection: from then on most of its methods raise
``AttributeError``, and ``abort`` does nothing. The server's end of the connection closes it a first time, the HTTP
library a second time. ``Wire`` therefore asks a transport that is closing nothing, and aborts it between the two.
"""

from __future__ import annotations

import asyncio
import math
import os
import re
import socket
import ssl
from base64 import b64encode
from contextlib import suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, cast
from urllib.request import getproxies, proxy_bypass

import aiohttp
from yarl import URL

from flowgpt_magic.errors import ProviderError, ProxyError
from flowgpt_magic.providers.http.tls import TlsFiles
from flowgpt_magic.redaction import redact
from flowgpt_magic.settings import Settings

if TYPE_CHECKING:
    from aiohttp.client import ClientTimeout
    from aiohttp.client_reqrep import ClientRequest
    from aiohttp.connector import Connection
    from aiohttp.tracing import Trace

END_OF_HEAD = b"\r\n\r\n"
PROBED_AFTER = 45  # seconds of silence on a connection after which the system asks whether the other end is there
KEPT_OPEN = 2.0  # seconds a connection waits for another request: less than any server does, which would close it first


@dataclass(frozen=True)
class Route:
    """How to reach a server, and when to give up on it.

    Timeouts are in seconds: ``connect_timeout`` until there is a connection, ``read_timeout`` without a byte; nothing
    limits the whole. ``line_limit`` is in bytes. An error that no connection came about ends with ``unreachable``, one
    about a missing or wrong token with ``unauthorized``: what to try next. ``secrets`` are what no error may show
    besides the token and the proxy's password.
    """

    proxy: str = field(default="", repr=False)
    token: str = field(default="", repr=False)
    trust_env: bool = False
    tls: TlsFiles = field(default_factory=TlsFiles)
    connect_timeout: float = 10.0
    read_timeout: float = 600.0
    line_limit: int = 8 * 2**20
    unreachable: str = ""
    unauthorized: str = ""
    secrets: tuple[str, ...] = field(default=(), repr=False)

    @property
    def silence(self) -> float | None:
        """Seconds without a byte that are waited for; None for as long as it takes."""
        return self.read_timeout if math.isfinite(self.read_timeout) else None

    @cached_property
    def timeout(self) -> aiohttp.ClientTimeout:
        """The same timeouts, as the HTTP library takes them."""
        connect = self.connect_timeout if math.isfinite(self.connect_timeout) else None
        return aiohttp.ClientTimeout(total=None, connect=connect, sock_read=self.silence)

    @classmethod
    def from_settings(cls, chosen: Settings, *, token: str, unreachable: str = "", unauthorized: str = "") -> Route:
        """The route that the settings of these names describe; ``token`` is what no error may show."""
        return cls(
            proxy=chosen.proxy,
            token=token,
            trust_env=chosen.trust_env,
            tls=TlsFiles(chosen.ca_bundle, chosen.client_cert, chosen.client_key),
            connect_timeout=chosen.connect_timeout,
            read_timeout=chosen.read_timeout,
            line_limit=chosen.line_limit,
            unreachable=unreachable,
            unauthorized=unauthorized,
        )


@dataclass(frozen=True)
class Proxy:
    """An HTTP proxy; ``url`` is without user and password. Without a URL it means a direct connection.

    ``source`` is what names it, as an error says that.
    """

    url: URL | None = None
    source: str = ""
    user: str = ""
    password: str = field(default="", repr=False)

    @property
    def headers(self) -> dict[str, str]:
        """What the proxy wants to be told, and nobody else."""
        if not self.user and not self.password:
            return {}
        credentials = b64encode(f"{self.user}:{self.password}".encode()).decode("ascii")
        return {"Proxy-Authorization": f"Basic {credentials}"}


def read_proxy(text: str, source: str = "setting proxy") -> Proxy:
    """The proxy that the URL ``text`` names; raises ``ProxyError`` that never shows a password."""
    scheme = re.match(r"([a-zA-Z][a-zA-Z0-9+.-]*)://", text)
    if scheme is None:
        raise ProxyError("the proxy has no scheme: write it as http://host:port or http://user:password@host:port.")
    if scheme[1].lower() not in ("http", "https"):
        raise ProxyError(f"a proxy of kind {scheme[1]}:// cannot be used: only http:// and https:// ones can.")
    with suppress(ValueError):
        url = URL(text)
        if url.host and url.port and ":" not in (url.user or ""):  # Basic authentication ends the user at the colon
            return Proxy(url.origin(), source, url.user or "", url.password or "")
    raise ProxyError("the proxy URL cannot be read: write it as http://host:port or http://user:password@host:port.")


def find_proxy(url: URL, proxy: str, trust_env: bool) -> Proxy:
    """The proxy to reach ``url`` through: the given one, else with ``trust_env`` the one the environment names."""
    if proxy:
        return read_proxy(proxy)
    return proxy_of_environment(url) if trust_env else Proxy()


def proxy_of_environment(url: URL) -> Proxy:
    """The proxy that the environment, or the system, names for ``url``; raises ``ProxyError`` like ``read_proxy``."""
    named = getproxies().get(url.scheme, "")
    if not named or proxy_bypass(url.host or ""):
        return Proxy()
    variables = (f"{url.scheme}_proxy", f"{url.scheme}_proxy".upper())
    variable = next((name for name in variables if os.environ.get(name)), "")
    # Without a scheme it is an address of HTTP, as every other program reads these variables.
    full = named if "://" in named else f"http://{named}"
    return read_proxy(full, f"{variable} in the environment" if variable else "the system's settings")


@dataclass(frozen=True)
class Peer:
    """Who answers: the URL, the proxy on the way, and the route taken."""

    url: URL
    proxy: Proxy
    route: Route

    @cached_property
    def tls(self) -> ssl.SSLContext | bool:
        """What TLS needs to know, True without TLS. Raises ``SettingError`` for a file that cannot be read."""
        proxy = self.proxy.url
        encrypted = self.url.scheme == "https" or (proxy is not None and proxy.scheme == "https")
        return self.route.tls.context() if encrypted else True

    @property
    def host(self) -> str:
        """Host and port, as an error names them."""
        return self.url.authority if self.url.explicit_port else str(self.url.host)

    @property
    def unused_proxy(self) -> Proxy:
        """The proxy that the environment names for this URL, where that is not used."""
        if self.proxy.url is not None or self.route.trust_env:
            return Proxy()
        with suppress(ProxyError):
            return proxy_of_environment(self.url)
        return Proxy()

    @property
    def secrets(self) -> list[str]:
        """What no error may show, even if the server repeats it."""
        return [secret for secret in (self.route.token, self.proxy.password, *self.route.secrets) if secret]

    def hide_secrets(self, text: str) -> str:
        """``text`` with asterisks in place of the token, the proxy's password and what has the form of a secret."""
        return redact(self.hide_known(text))

    def hide_known(self, text: str) -> str:
        """``text`` with asterisks in place of the token and the proxy's password alone: JSON stays JSON."""
        for secret in self.secrets:
            text = text.replace(secret, "***")
        return text

    def mask(self, error: BaseException | None) -> None:
        """Hide the secrets in the words of one of our errors: a server may repeat what it was sent."""
        if isinstance(error, ProviderError):
            error.args = tuple(self.hide_secrets(str(words)) for words in error.args)


def ends_with_connection(response: aiohttp.ClientResponse) -> bool:
    """Does nothing but the end of the connection tell where the body ends (RFC 9112, section 6.3)?"""
    return "Content-Length" not in response.headers and "Transfer-Encoding" not in response.headers


class Wire(asyncio.Protocol):
    """Stands between a transport and the HTTP parser, and passes on what happens."""

    def __init__(self, transport: asyncio.Transport, parser: asyncio.Protocol, silence: float | None) -> None:
        self._transport = transport
        self._parser = parser
        self._silence = silence
        self._in_head = True
        self._lost = self._until_closed = False
        self._content: aiohttp.StreamReader | None = None
        # Over TLS the server says that it has sent all; a connection that ends without may have been cut by anybody.
        self._tls: ssl.SSLObject | None = transport.get_extra_info("ssl_object")
        self._cut_off = False
        self._stalled: asyncio.TimerHandle | None = None
        self.timed_out = self.heard = self.handed_on = False

    def watch(self, response: aiohttp.ClientResponse) -> None:
        """Tell the reader of this response's body when the connection is lost before that has ended."""
        self._content = response.content
        self._until_closed = ends_with_connection(response)
        if self._lost:
            self._tell_reader()

    def data_received(self, data: bytes) -> None:
        self.heard = True
        if self._in_head:
            cut = data.find(END_OF_HEAD)
            if cut >= 0:
                self._in_head = False
                cut += len(END_OF_HEAD)
                self._parser.data_received(data[:cut])
                data = data[cut:]
        if data:
            self._parser.data_received(data)
        if self._transport.is_closing():  # the parser has all it wanted, or has given up
            self._abort_soon()

    def eof_received(self) -> bool | None:
        self._cut_off = not self._has_said_all()
        self._parser.eof_received()
        # Nothing can be answered any more. Closing would wait until the server has read the rest of the request.
        self._abort_soon()
        return None

    def _abort_soon(self) -> None:
        # Not now: asyncio may be reading the rest in the middle of closing TLS, and does not expect it.
        asyncio.get_running_loop().call_soon(self._transport.abort)

    def _has_said_all(self) -> bool:
        if self._tls is None:
            return True
        try:
            return not self._tls.read(1)
        except ssl.SSLError as error:
            return isinstance(error, ssl.SSLZeroReturnError)

    def connection_lost(self, exc: BaseException | None) -> None:
        self._cut_off = self._cut_off or exc is not None
        self._parser.connection_lost(cast("Exception | None", exc))
        self._lost = True
        self._cancel_stalled()
        self._tell_reader()

    def _tell_reader(self) -> None:
        content = self._content
        if content is None or content.exception() is not None:
            return
        # The parser takes any loss of the connection for the end of a body without a length (RFC 9112, section 9.8).
        if not content.is_eof() or (self._until_closed and self._cut_off):
            content.set_exception(aiohttp.ClientPayloadError("the body is not whole"))

    def pause_writing(self) -> None:
        self._parser.pause_writing()
        self._watch_writing(self._unsent())

    def resume_writing(self) -> None:
        self._cancel_stalled()
        self._parser.resume_writing()

    def _watch_writing(self, unsent: int) -> None:
        if self._silence is not None:
            loop = asyncio.get_running_loop()
            self._stalled = loop.call_later(self._silence, self._check_writing, unsent)

    def _check_writing(self, unsent_before: int) -> None:
        unsent = self._unsent()
        if unsent < unsent_before:
            self._watch_writing(unsent)
            return
        self.timed_out = True
        self._transport.abort()

    def drop(self) -> None:
        """End the connection now if it is closing, or would wait for the server to read the rest of the request.

        One that waits for another request, or serves one, stays as it is.
        """
        if self.handed_on or self._lost:
            return
        if self._transport.is_closing() or self._unsent():
            self._transport.abort()

    def _unsent(self) -> int:
        """The bytes of the request that wait to be sent; none where the connection is closing."""
        return 0 if self._transport.is_closing() else self._transport.get_write_buffer_size()

    def _cancel_stalled(self) -> None:
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None


class Line:
    """What one try of a request has of its connection.

    ``silence`` is in seconds, None for as long as it takes. A ``fresh`` one has served no other request.
    """

    def __init__(self, silence: float | None, *, fresh: bool = False) -> None:
        self._fresh = fresh
        self._silence = silence
        self._wire: Wire | None = None
        self._reused = False

    def take(self, connection: Connection) -> bool:
        """Is this the connection? One that served another request is not, where a fresh one is wanted."""
        transport, parser = connection.transport, connection.protocol
        earlier = None if transport is None else transport.get_protocol()  # a connection in use is not closing
        self._reused = isinstance(earlier, Wire)
        if self._reused and self._fresh:
            return False
        if isinstance(earlier, Wire):
            earlier.handed_on = True
        elif transport is not None:
            _keep_alive(transport)
        if transport is not None and parser is not None:
            self._wire = Wire(transport, parser, self._silence)
            transport.set_protocol(self._wire)
        return True

    def watch(self, response: aiohttp.ClientResponse) -> None:
        """Tell the reader of this response's body when the connection is lost before that has ended."""
        if self._wire is not None:
            self._wire.watch(response)

    def drop(self) -> None:
        """End the connection now, unless it waits for another request or serves one."""
        if self._wire is not None:
            self._wire.drop()

    @property
    def timed_out(self) -> bool:
        """Was the connection given up because the server did not read the request?"""
        return self._wire is not None and self._wire.timed_out

    @property
    def stale(self) -> bool:
        """Has it served another request, and this one with not a byte? Then the server had closed it, most likely."""
        return self._reused and self._wire is not None and not (self._wire.heard or self._wire.timed_out)


def _keep_alive(transport: asyncio.Transport) -> None:
    """Let the system probe a silent connection: routers forget one after some minutes, and a model may think longer."""
    connected = transport.get_extra_info("socket")
    with suppress(OSError, AttributeError, NotImplementedError):
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, PROBED_AFTER)
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, PROBED_AFTER)


line_of_task: ContextVar[Line] = ContextVar("flowgpt_line")


class Connector(aiohttp.TCPConnector):
    """Makes connections; each is handed to the ``Line`` of the task that asks for it."""

    async def connect(self, req: ClientRequest, traces: list[Trace], timeout: ClientTimeout) -> Connection:
        while True:
            connection = await super().connect(req, traces, timeout)
            if line_of_task.get().take(connection):
                return connection
            connection.close()

    @classmethod
    def for_many(cls) -> Connector:
        """One whose connections wait for the next request; as many at once as there are requests."""
        return cls(limit=0, keepalive_timeout=KEPT_OPEN)

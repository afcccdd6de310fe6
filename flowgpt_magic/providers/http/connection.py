"""The connection of a request: how to reach the server, through which proxy, and how failures are noticed.

Every request has its own connection, except that the requests of a batch reuse theirs.

In three cases aiohttp leaves its reader waiting for ever: after broken chunked framing it closes the connection without
telling the reader; it drops a whole block, reply included, if the framing breaks in the block that ends the headers;
and its read timeout starts only when the request is sent completely. ``MonitoredProtocol`` fixes these.

A TLS transport of asyncio that is closed twice forgets its connection: most of its methods then raise
``AttributeError``, and ``abort`` does nothing. The end of the stream closes it once, aiohttp a second time.
``MonitoredProtocol`` therefore never queries a closing transport, and aborts it between the two.
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
KEEPALIVE_PROBE_AFTER = 45  # seconds of silence before a TCP keepalive probe
REUSE_TIMEOUT = 2.0  # seconds an idle connection is kept; shorter than any server keeps it


@dataclass(frozen=True)
class Route:
    """Connection options of a server.

    Args:
        proxy: URL of an HTTP proxy; empty for none.
        token: the key or token that is sent; errors never show it.
        trust_env: use the proxy that the environment names.
        tls: certificate files.
        connect_timeout: seconds until there is a connection.
        read_timeout: seconds without a byte. There is no limit for the whole reply.
        line_limit: bytes of the longest line or event.
        unreachable: advice at the end of errors about a failed connection.
        unauthorized: advice at the end of errors about a missing or wrong token.
        secrets: further texts that errors never show.
        alias: the user's alias that names the server, for advice; empty if none does.
        provider: the provider that asks, for advice.
        address_setting: the setting of the server's address, for advice.
        key_setting: the setting of the name of its key, for advice.
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
    alias: str = ""
    provider: str = "openai_compatible"
    address_setting: str = "openai_base_url"
    key_setting: str = "openai_key"

    @property
    def silence(self) -> float | None:
        """Seconds without a byte after which the request fails; None for no limit."""
        return self.read_timeout if math.isfinite(self.read_timeout) else None

    @cached_property
    def timeout(self) -> aiohttp.ClientTimeout:
        """The timeouts for aiohttp."""
        connect = self.connect_timeout if math.isfinite(self.connect_timeout) else None
        return aiohttp.ClientTimeout(total=None, connect=connect, sock_read=self.silence)

    @classmethod
    def from_settings(cls, chosen: Settings, *, token: str, unreachable: str = "", unauthorized: str = "") -> Route:
        """The route for ``chosen``; the other arguments are fields of ``Route``."""
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
    """An HTTP proxy; without a ``url`` a direct connection.

    ``url`` is without user and password. ``source`` says in errors where the proxy was set.
    """

    url: URL | None = None
    source: str = ""
    user: str = ""
    password: str = field(default="", repr=False)

    @property
    def headers(self) -> dict[str, str]:
        """Headers that are sent to the proxy only."""
        if not self.user and not self.password:
            return {}
        credentials = b64encode(f"{self.user}:{self.password}".encode()).decode("ascii")
        return {"Proxy-Authorization": f"Basic {credentials}"}


def read_proxy(text: str, source: str = "setting proxy") -> Proxy:
    """The proxy for the URL ``text``. Raises ``ProxyError``, which never shows the password."""
    scheme = re.match(r"([a-zA-Z][a-zA-Z0-9+.-]*)://", text)
    if scheme is None:
        raise ProxyError("the proxy URL has no scheme: write it as http://host:port or http://user:password@host:port.")
    if scheme[1].lower() not in ("http", "https"):
        raise ProxyError(f"{scheme[1]}:// proxies are not supported, only http:// and https:// ones.")
    with suppress(ValueError):
        url = URL(text)
        if url.host and url.port and ":" not in (url.user or ""):  # Basic authentication ends the user there
            return Proxy(url.origin(), source, url.user or "", url.password or "")
    raise ProxyError("the proxy URL is not valid: write it as http://host:port or http://user:password@host:port.")


def find_proxy(url: URL, proxy: str, trust_env: bool) -> Proxy:
    """The proxy for ``url``: ``proxy`` if set, else with ``trust_env`` the one of the environment."""
    if proxy:
        return read_proxy(proxy)
    return environment_proxy(url) if trust_env else Proxy()


def environment_proxy(url: URL) -> Proxy:
    """The proxy that environment variables or the system set for ``url``. Raises ``ProxyError``."""
    proxy = getproxies().get(url.scheme, "")
    if not proxy or proxy_bypass(url.host or ""):
        return Proxy()
    variables = (f"{url.scheme}_proxy", f"{url.scheme}_proxy".upper())
    variable = next((name for name in variables if os.environ.get(name)), "")
    # Like other programs, take a value without a scheme as http.
    return read_proxy(
        proxy if "://" in proxy else f"http://{proxy}",
        f"{variable} in the environment" if variable else "the system's settings",
    )


@dataclass(frozen=True)
class Endpoint:
    """Where a request goes: the URL, the proxy and the connection options."""

    url: URL
    proxy: Proxy
    route: Route

    @cached_property
    def tls(self) -> ssl.SSLContext | bool:
        """The TLS context, or True without TLS. Raises ``SettingError`` for a file that cannot be read."""
        proxy = self.proxy.url
        encrypted = self.url.scheme == "https" or (proxy is not None and proxy.scheme == "https")
        return self.route.tls.context() if encrypted else True

    @property
    def host(self) -> str:
        """Host and port for error messages; without the default port."""
        return self.url.authority if self.url.explicit_port else str(self.url.host)

    @property
    def unused_proxy(self) -> Proxy:
        """The proxy that the environment sets for this URL but that is not used, for error messages."""
        if self.proxy.url is not None or self.route.trust_env:
            return Proxy()
        with suppress(ProxyError):
            return environment_proxy(self.url)
        return Proxy()

    @property
    def secrets(self) -> list[str]:
        """Texts that errors never show, even if the server repeats them."""
        return [secret for secret in (self.route.token, self.proxy.password, *self.route.secrets) if secret]

    def hide_secrets(self, text: str) -> str:
        """``text`` with ``***`` for the known secrets and for everything that looks like a secret."""
        return redact(self.hide_known_secrets(text))

    def hide_known_secrets(self, text: str) -> str:
        """``text`` with ``***`` for the known secrets only, so that JSON stays valid."""
        for secret in self.secrets:
            text = text.replace(secret, "***")
        return text

    def mask(self, error: BaseException | None) -> None:
        """Hide the secrets in the message of a ``ProviderError``: servers may repeat what they were sent."""
        if isinstance(error, ProviderError):
            error.args = tuple(self.hide_secrets(str(argument)) for argument in error.args)


def ends_with_connection(response: aiohttp.ClientResponse) -> bool:
    """Does only the end of the connection mark the end of the body (RFC 9112, section 6.3)?"""
    return "Content-Length" not in response.headers and "Transfer-Encoding" not in response.headers


class MonitoredProtocol(asyncio.Protocol):
    """Sits between a transport and aiohttp's parser, forwards all events and fixes what the module describes.

    ``timed_out``: the server stopped reading the request. ``received``: it has sent at least one byte.
    ``passed_on``: a later request uses the connection.
    """

    def __init__(self, transport: asyncio.Transport, parser: asyncio.Protocol, silence: float | None) -> None:
        self._transport = transport
        self._parser = parser
        self._silence = silence
        self._in_head = True
        self._lost = self._until_closed = False
        self._content: aiohttp.StreamReader | None = None
        # A TLS connection that ends without ``close_notify`` may have been cut by anybody.
        self._tls: ssl.SSLObject | None = transport.get_extra_info("ssl_object")
        self._cut_off = False
        self._write_timer: asyncio.TimerHandle | None = None
        self.timed_out = self.received = self.passed_on = False

    def watch(self, response: aiohttp.ClientResponse) -> None:
        """Make the reader of the body fail if the connection is lost before the body is complete."""
        self._content = response.content
        self._until_closed = ends_with_connection(response)
        if self._lost:
            self._fail_reader()

    def data_received(self, data: bytes) -> None:
        self.received = True
        if self._in_head:
            end = data.find(END_OF_HEAD)
            if end >= 0:
                self._in_head = False
                end += len(END_OF_HEAD)
                self._parser.data_received(data[:end])
                data = data[end:]
        if data:
            self._parser.data_received(data)
        if self._transport.is_closing():  # the parser is finished, or has given up
            self._abort_soon()

    def eof_received(self) -> bool | None:
        self._cut_off = not self._ended_properly()
        self._parser.eof_received()
        # No response can follow. ``close`` would wait until the server has read the rest of the request.
        self._abort_soon()
        return None

    def _abort_soon(self) -> None:
        # Later: asyncio may be in the middle of closing TLS.
        asyncio.get_running_loop().call_soon(self._transport.abort)

    def _ended_properly(self) -> bool:
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
        self._cancel_write_timer()
        self._fail_reader()

    def _fail_reader(self) -> None:
        content = self._content
        if content is None or content.exception() is not None:
            return
        # For the parser, any loss of the connection ends a body without a length (RFC 9112, section 9.8).
        if not content.is_eof() or (self._until_closed and self._cut_off):
            content.set_exception(aiohttp.ClientPayloadError("the body is incomplete"))

    def pause_writing(self) -> None:
        self._parser.pause_writing()
        self._watch_writing(self._unsent())

    def resume_writing(self) -> None:
        self._cancel_write_timer()
        self._parser.resume_writing()

    def _watch_writing(self, unsent: int) -> None:
        if self._silence is not None:
            loop = asyncio.get_running_loop()
            self._write_timer = loop.call_later(self._silence, self._check_writing, unsent)

    def _check_writing(self, unsent_before: int) -> None:
        unsent = self._unsent()
        if unsent < unsent_before:
            self._watch_writing(unsent)
            return
        self.timed_out = True
        self._transport.abort()

    def drop(self) -> None:
        """Abort the connection if it is closing or still has to send. One that is idle or reused stays open."""
        if self.passed_on or self._lost:
            return
        if self._transport.is_closing() or self._unsent():
            self._transport.abort()

    def _unsent(self) -> int:
        """Bytes of the request that are not sent yet; 0 for a closing connection."""
        return 0 if self._transport.is_closing() else self._transport.get_write_buffer_size()

    def _cancel_write_timer(self) -> None:
        if self._write_timer is not None:
            self._write_timer.cancel()
            self._write_timer = None


class RequestConnection:
    """The connection of one attempt to send a request.

    ``silence`` is in seconds, None for no limit. A ``fresh`` attempt takes no reused connection.
    """

    def __init__(self, silence: float | None, *, fresh: bool = False) -> None:
        self._fresh = fresh
        self._silence = silence
        self._protocol: MonitoredProtocol | None = None
        self._reused = False

    def use(self, connection: Connection) -> bool:
        """Use this connection; False if it is a reused one and a fresh one is needed."""
        transport, parser = connection.transport, connection.protocol
        previous = None if transport is None else transport.get_protocol()  # a connection in use is not closing
        self._reused = isinstance(previous, MonitoredProtocol)
        if self._reused and self._fresh:
            return False
        if isinstance(previous, MonitoredProtocol):
            previous.passed_on = True
        elif transport is not None:
            _keep_alive(transport)
        if transport is not None and parser is not None:
            self._protocol = MonitoredProtocol(transport, parser, self._silence)
            transport.set_protocol(self._protocol)
        return True

    def watch(self, response: aiohttp.ClientResponse) -> None:
        """Make the reader of the body fail if the connection is lost before the body is complete."""
        if self._protocol is not None:
            self._protocol.watch(response)

    def drop(self) -> None:
        """Abort the connection unless it is idle or reused."""
        if self._protocol is not None:
            self._protocol.drop()

    @property
    def timed_out(self) -> bool:
        """Was the connection aborted because the server stopped reading the request?"""
        return self._protocol is not None and self._protocol.timed_out

    @property
    def closed_while_idle(self) -> bool:
        """Is it a reused connection that brought no byte? Then the server had most likely closed it before."""
        return self._reused and self._protocol is not None and not (self._protocol.received or self._protocol.timed_out)


def _keep_alive(transport: asyncio.Transport) -> None:
    """Turn on TCP keepalive: routers drop a silent connection after minutes, and a model may think longer."""
    connection = transport.get_extra_info("socket")
    with suppress(OSError, AttributeError, NotImplementedError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, KEEPALIVE_PROBE_AFTER)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, KEEPALIVE_PROBE_AFTER)


connection_of_task: ContextVar[RequestConnection] = ContextVar("flowgpt_connection")


class Connector(aiohttp.TCPConnector):
    """Opens connections and assigns each to the ``RequestConnection`` of the current task."""

    async def connect(self, req: ClientRequest, traces: list[Trace], timeout: ClientTimeout) -> Connection:
        while True:
            connection = await super().connect(req, traces, timeout)
            if connection_of_task.get().use(connection):
                return connection
            connection.close()

    @classmethod
    def with_reuse(cls) -> Connector:
        """A connector that keeps connections for the next request, without a limit of their number."""
        return cls(limit=0, keepalive_timeout=REUSE_TIMEOUT)

"""One HTTP request: send it, read the response in lines or events, raise our errors. Used by all HTTP providers."""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import json
import re
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import dataclass, field, replace
from io import BytesIO
from itertools import takewhile
from types import TracebackType
from typing import Any, Generic, Protocol, TypeVar

import aiohttp
from yarl import URL

from flowgpt_magic.errors import PromptError, ProtocolError, ProviderError, SettingError, StreamInterruptedError
from flowgpt_magic.providers.http.body import BodyReader
from flowgpt_magic.providers.http.connection import (
    Connector,
    Endpoint,
    RequestConnection,
    Route,
    connection_of_task,
    find_proxy,
)
from flowgpt_magic.providers.http.errors import map_error, status_error, timeout_error
from flowgpt_magic.providers.http.server_sent_events import BOM
from flowgpt_magic.providers.rate_limit_headers import report_rate_limits
from flowgpt_magic.providers.request_group import shared_in_group
from flowgpt_magic.redaction import redact
from flowgpt_magic.text import cut, cut_between_words, printable, sentences

T = TypeVar("T")
MakeStatusError = Callable[[int, Mapping[str, str], bytes, Endpoint], ProviderError]

REQUEST_ID_HEADERS = ("x-request-id", "request-id", "apim-request-id", "x-amzn-requestid")
REQUEST_ID_LIMIT = 200  # characters
LOCAL_DOMAINS = (".localhost", ".local", ".lan", ".internal", ".home.arpa")
JSON_SPACE = " \t\r\n"
PARTIAL_BOMS = (BOM[:1], BOM[:2], BOM)
QUOTE_LIMIT = 200  # characters of an unexpected line that its error quotes
ERROR_BODY_LIMIT = 2**16  # bytes read of the body of an error status
TIMEOUT_ERRNOS = (errno.ETIMEDOUT, errno.EHOSTUNREACH, errno.ENETUNREACH)
MAX_REDIRECTS = 4
SINGLE_WRITE_LIMIT = 2**16  # bytes; a larger request body is sent in pieces
ERROR_BODY_TIMEOUT = 5.0  # seconds; after that only the status is reported


def request_id_of(value: object) -> str:
    """The id that a server gives a request, as it may be shown and kept; empty if it is none."""
    text = value if isinstance(value, str) else str(value) if type(value) is int else ""
    return cut(printable(redact(text.strip())), REQUEST_ID_LIMIT)


def check_base_url(base_url: str, source: str, example: str = "http://127.0.0.1:8765") -> URL:
    """The base URL without a trailing slash. Raises ``SettingError`` that names ``source``, the origin of the value."""
    if "@" in base_url:
        raise SettingError(f"{source}: a base URL cannot contain a user and password; the token has its own setting.")
    try:
        url = URL(base_url.strip().rstrip("/"))
        complete = url.scheme in ("http", "https") and bool(url.host) and url.port not in (None, 0)
    except ValueError:
        complete = False
    if not complete or url.query_string or url.fragment:
        shown = re.sub("[?#].*", "?…", base_url, flags=re.DOTALL)  # a query may contain a key
        raise SettingError(f"{source}: {shown!r} is not a base URL; write scheme and host, such as {example}.")
    return url


def crosses_open_network(url: URL) -> bool:
    """Is ``url`` unencrypted and outside the local network? A key sent there could be read on the way."""
    host = url.host or ""
    if url.scheme == "https" or host.endswith(LOCAL_DOMAINS) or not re.search("[.:]", host):
        return False
    try:
        return ipaddress.ip_address(host).is_global
    except ValueError:
        return True


def check_token(token: str, source: str) -> str:
    """``token``, if a header can hold it. Raises ``SettingError``, which does not show it."""
    if token.isascii() and token.isprintable() and " " not in token:
        return token
    raise SettingError(
        f"{source}: the token contains a space, a line break or another character that tokens never have."
    )


def encode_json(body: Any) -> bytes:
    """``body`` as ASCII JSON. Raises ``PromptError`` for values that JSON cannot express."""
    try:
        return json.dumps(body, allow_nan=False).encode("ascii")
    except (TypeError, ValueError, RecursionError) as error:
        raise PromptError(sentences(f"the prompt cannot be sent as JSON: {error}")) from None


def _reject_constant(constant: str) -> float:
    raise ValueError(f"{constant} is not JSON")


# The JSON value at the start of a string, and the position after it. Raises ``ValueError``.
read_json: Callable[[str], tuple[Any, int]] = json.JSONDecoder(parse_constant=_reject_constant).raw_decode
_read_json_with_constants = json.JSONDecoder(parse_constant=lambda _constant: None).raw_decode


def read_object(line: bytes, *, constants: bool = False) -> dict[str, Any]:
    """The JSON object on ``line``. Raises ``ProtocolError``, which quotes the line, for anything else.

    Python's ``json`` writes ``NaN`` and ``Infinity``, which are not JSON. With ``constants`` they are read as None.
    """
    try:
        text = str(line, "utf-8").strip(JSON_SPACE)
        value, end = (_read_json_with_constants if constants else read_json)(text)
    except UnicodeDecodeError:
        raise unexpected_content(line, "bytes that are not UTF-8") from None
    except (ValueError, RecursionError):
        raise unexpected_content(line, "a line that is not JSON") from None
    if end != len(text):
        raise unexpected_content(line, "a line that is not JSON")
    if type(value) is not dict:
        raise unexpected_content(line, "JSON that is not an object")
    return value


def is_json(content: bytes | bytearray) -> bool:
    """Is ``content`` one whole JSON value?"""
    try:
        json.loads(content)
    except (ValueError, RecursionError):
        return False
    return True


def unexpected_content(line: bytes, what: str) -> ProtocolError:
    """The error for ``what`` the server sent, with a quote of ``line``."""
    quoted = cut_between_words(redact(str(line[: 8 * QUOTE_LIMIT], "utf-8", "replace").strip(JSON_SPACE)), QUOTE_LIMIT)
    return ProtocolError(sentences(f"the server sent {what}: {printable(quoted)}"))


class LineSplitter:
    """Splits blocks of bytes, cut anywhere, into lines. A byte order mark before the first line is removed.

    Buffers at most one unfinished line. A line longer than ``limit`` bytes sets ``too_long``; that line and everything
    after it are dropped.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.too_long = False
        self._started = False
        self._buffer = bytearray()

    def split(self, block: bytes) -> list[bytes]:
        """The lines that ``block`` completes, without ``\\n``."""
        if self.too_long:
            return []
        may_exceed = len(self._buffer) + len(block) > self.limit
        lines = block.split(b"\n")
        if self._buffer and len(lines) > 1:
            self._buffer += lines[0]
            lines[0] = bytes(self._buffer)
            self._buffer.clear()
        rest = lines.pop()
        if may_exceed:
            lines = self._within_limit(lines, rest)
        if not self.too_long:
            self._buffer += rest
        return lines if self._started else self._without_mark(lines)

    def _without_mark(self, lines: list[bytes]) -> list[bytes]:
        if lines:
            self._started = True
            lines[0] = lines[0].removeprefix(BOM)
        return lines

    def _within_limit(self, lines: list[bytes], rest: bytes) -> list[bytes]:
        short = list(takewhile(lambda line: len(line) <= self.limit, lines))
        if len(short) < len(lines) or len(self._buffer) + len(rest) > self.limit:
            self.too_long = True
            self._buffer = bytearray()
        return short

    def last(self) -> list[bytes]:
        """The text after the last ``\\n``, if any."""
        rest = bytes(self._buffer)
        self._buffer.clear()
        lines = [rest] if rest else []
        return lines if self._started else self._without_mark(lines)


class Splitter(Protocol[T]):
    """Splits the blocks of a body into items, lines or events. See ``LineSplitter``."""

    limit: int
    too_long: bool

    def split(self, block: bytes) -> list[T]:
        """The items that ``block`` completes."""

    def last(self) -> list[T]:
        """The items that the end of the body completes."""


class ItemStream(Generic[T]):
    """The items of a body, in lists of those that arrived together.

    An error is raised after the items that arrived before it. ``first`` is the beginning of the body, if it was read
    already.
    """

    def __init__(self, body: BodyReader, splitter: Splitter[T], first: bytes = b"") -> None:
        self._body = body
        self._splitter = splitter
        self._first = first
        self._ended = False

    def __aiter__(self) -> ItemStream[T]:
        return self

    async def __anext__(self) -> list[T]:
        splitter = self._splitter
        while not self._ended and not splitter.too_long:
            block, self._first = self._first or await self._body.read(), b""
            self._ended = not block
            if items := splitter.split(block) if block else splitter.last():
                return items
        if splitter.too_long:
            raise ProtocolError(f"the server sent a line longer than {splitter.limit} bytes (setting line_limit).")
        raise StopAsyncIteration


@dataclass(frozen=True)
class Response:
    """A successful response.

    ``content_type`` is without parameters. ``limit`` is the longest line in bytes. ``headers`` are those of the
    response; their names are case-insensitive.
    """

    content_type: str
    body: BodyReader
    endpoint: Endpoint
    limit: int
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def request_id(self) -> str:
        """How the server names the request in its headers; empty if it does not."""
        names = (request_id_of(self.headers.get(header)) for header in REQUEST_ID_HEADERS)
        return next(filter(None, names), "")

    async def beginning(self) -> bytes:
        """The body up to the first block that has more than white space."""
        content = bytearray()
        while block := await self.body.read():
            content += block
            if (block.strip() and bytes(content[:4]) not in PARTIAL_BOMS) or len(content) > self.limit:
                break
        return bytes(content)

    def lines(self) -> ItemStream[bytes]:
        """The body as lines."""
        return ItemStream(self.body, LineSplitter(self.limit))

    async def read_all(self) -> bytes:
        """The whole body. Raises ``ProtocolError`` if it is longer than ``limit``.

        A body without a length that was cut off is accepted if it is complete JSON.
        """
        body, block = bytearray(), await self.body.read()
        while block:
            body += block
            if len(body) > self.limit:
                raise ProtocolError(f"the server sent a body longer than {self.limit} bytes (setting line_limit).")
            try:
                block = await self.body.read()
            except StreamInterruptedError:
                if not (self.body.until_closed and is_json(body)):
                    raise
                break
        return bytes(body)


def resolve_endpoint(url: URL, route: Route) -> Endpoint:
    """The endpoint at ``url``, with the proxy that ``route`` selects. Raises ``ProxyError``.

    The requests of a batch share one endpoint, so that the TLS files are read once.
    """
    return Endpoint(url, find_proxy(url, route.proxy, route.trust_env), route)


def request(
    method: str,
    endpoint: Endpoint,
    headers: Mapping[str, str],
    body: Any,
    make_error: MakeStatusError = status_error,
) -> AbstractAsyncContextManager[Response]:
    """Send one request and enter its response; leaving the context closes the connection.

    A redirect is followed only if it keeps method and body (307 and 308) and stays on the same server: the prompt and
    the key are sent nowhere else. Raises ``PromptError``, ``SettingError`` for TLS files that cannot be read, and
    subclasses of ``ProviderError``.

    Args:
        method: ``GET`` or ``POST``.
        endpoint: the server, see ``resolve_endpoint``.
        headers: all headers except those of HTTP itself.
        body: a value to send as JSON, or None for no body.
        make_error: makes the error for a status that is not a success.
    """
    return _Request(method, endpoint, headers, body, make_error)


class _Request:
    """The context manager of ``request``. A generator would have the problem that ``inner_generator`` describes."""

    def __init__(
        self, method: str, endpoint: Endpoint, headers: Mapping[str, str], body: Any, make_error: MakeStatusError
    ) -> None:
        self._method, self._headers, self._body = method, headers, body
        self._endpoint, self._make_error = endpoint, make_error
        self._exchange: _Exchange | None = None
        self._own_session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Response:
        try:
            return await self._send()
        except BaseException as error:  # ``__aexit__`` is not called when ``__aenter__`` raises
            await self.__aexit__(type(error), error, error.__traceback__)
            raise

    async def _send(self) -> Response:
        data = None if self._body is None else encode_json(self._body)
        if (session := shared_in_group(_shared_session)) is None:
            session = self._own_session = _session(Connector(force_close=True))
        self._exchange = _Exchange(session, self._endpoint)
        response = await self._exchange.send_following_redirects(self._method, self._headers, data)
        report_rate_limits(response.headers)
        body = BodyReader(response, self._endpoint)
        if response.status >= 300:
            raise self._make_error(response.status, response.headers, await _error_body(body), self._endpoint)
        limit = self._endpoint.route.line_limit
        return Response(response.content_type, body, self._endpoint, limit, response.status, response.headers)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if self._exchange is not None:
                self._exchange.end()
            if self._own_session is not None:
                await self._own_session.close()
        finally:
            self._endpoint.mask(error)


def _session(connector: Connector, *, shares_connector: bool = False) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        connector=connector,
        connector_owner=not shares_connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,  # see ``body``
    )


def _shared_session() -> aiohttp.ClientSession:
    """The session of a group of requests, whose connections are reused."""
    return _session(shared_in_group(Connector.with_reuse) or Connector.with_reuse(), shares_connector=True)


class _Exchange:
    """A request, its response and its connection. ``end`` releases or closes the connection."""

    def __init__(self, session: aiohttp.ClientSession, endpoint: Endpoint) -> None:
        self._session = session
        self._endpoint = endpoint
        self._tls = endpoint.tls
        self._connection = RequestConnection(None)
        self._response: aiohttp.ClientResponse | None = None

    async def send_following_redirects(
        self, method: str, headers: Mapping[str, str], data: bytes | None
    ) -> aiohttp.ClientResponse:
        """The response, after up to ``MAX_REDIRECTS`` redirects within the same server."""
        for _ in range(MAX_REDIRECTS):
            response = await self.send(method, headers, data)
            target = _redirect_target(response, self._endpoint.url)
            if target is None:
                return response
            self.end()
            self._endpoint = replace(self._endpoint, url=target)
        return await self.send(method, headers, data)

    async def send(
        self, method: str, headers: Mapping[str, str], data: bytes | None, *, fresh: bool = False
    ) -> aiohttp.ClientResponse:
        """The response, without its body.

        If the server had closed a reused connection, the request is sent once more, on a ``fresh`` one. Raises
        subclasses of ``ProviderError``.
        """
        self._connection, self._response = RequestConnection(self._endpoint.route.silence, fresh=fresh), None
        try:
            self._response = await self._request(method, headers, data)
        except (aiohttp.ClientError, asyncio.TimeoutError, UnicodeError) as error:
            if fresh or not self._connection.closed_while_idle or not _closed_by_server(error):
                timed_out = self._connection.timed_out
                # Not chained: the repr of aiohttp's errors contains the token and the proxy's password.
                raise (timeout_error(self._endpoint) if timed_out else map_error(error, self._endpoint)) from None
        if self._response is None:
            self._connection.drop()
            return await self.send(method, headers, data, fresh=True)
        self._connection.watch(self._response)
        return self._response

    def _request(
        self, method: str, headers: Mapping[str, str], data: bytes | None
    ) -> Awaitable[aiohttp.ClientResponse]:
        url, proxy = self._endpoint.url, self._endpoint.proxy
        if proxy.url is not None and url.scheme == "http":
            headers = {**headers, **proxy.headers}  # without a tunnel, the proxy reads this request
        connection_of_task.set(self._connection)
        return self._session.request(
            method,
            url,
            # aiohttp sends a BytesIO in pieces, so a stalled upload of a large body is noticed, over TLS too.
            data=BytesIO(data) if data is not None and len(data) > SINGLE_WRITE_LIMIT else data,
            headers=headers,
            proxy=proxy.url,
            proxy_headers=proxy.headers,
            ssl=self._tls,
            timeout=self._endpoint.route.timeout,
            allow_redirects=False,
        )

    def end(self) -> None:
        """Close the connection now, or release it if the requests share connections."""
        self._connection.drop()
        if self._response is not None:
            self._response.close()
            self._connection.drop()


def _redirect_target(response: aiohttp.ClientResponse, url: URL) -> URL | None:
    """The address on the same server that the response redirects to, or None."""
    if response.status not in (307, 308):
        return None
    with suppress(ValueError):
        target = url.join(URL(response.headers.get("Location", ""))).with_fragment(None)
        if target.origin() == url.origin() and target.user is None and target.password is None and target != url:
            return target
    return None


def _closed_by_server(error: Exception) -> bool:
    """Was the connection closed, rather than silent? A request on a silent connection may have arrived."""
    if isinstance(error, aiohttp.ClientOSError):
        return error.errno not in TIMEOUT_ERRNOS
    return isinstance(error, (aiohttp.ServerDisconnectedError, aiohttp.ClientConnectionResetError))


async def _error_body(body: BodyReader) -> bytes:
    """The beginning of the body, as far as it arrives in time and undamaged."""
    content = bytearray()

    async def read() -> None:
        while len(content) < ERROR_BODY_LIMIT and (block := await body.read()):
            content.extend(block)

    with suppress(ProviderError, asyncio.TimeoutError):
        await asyncio.wait_for(read(), ERROR_BODY_TIMEOUT)
    return bytes(content[:ERROR_BODY_LIMIT])

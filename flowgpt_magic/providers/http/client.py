"""What every provider that speaks HTTP shares: one request, its reply in pieces, its failures as our errors."""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import json
import re
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import dataclass, replace
from io import BytesIO
from itertools import takewhile
from types import TracebackType
from typing import Any, Generic, Protocol, TypeVar

import aiohttp
from yarl import URL

from flowgpt_magic.errors import PromptError, ProtocolError, ProviderError, SettingError, StreamInterruptedError
from flowgpt_magic.providers.http.body import Blocks
from flowgpt_magic.providers.http.connection import Connector, Line, Peer, Route, find_proxy, line_of_task
from flowgpt_magic.providers.http.errors import explain, status_error, timeout_error
from flowgpt_magic.providers.rate_limit_headers import report_rate_limits
from flowgpt_magic.providers.request_group import shared_in_group
from flowgpt_magic.redaction import redact
from flowgpt_magic.text import cut_between_words, printable, sentences

T = TypeVar("T")
Refuse = Callable[[int, Mapping[str, str], bytes, Peer], ProviderError]

BOM = b"\xef\xbb\xbf"
LOCAL_NAMES = (".localhost", ".local", ".lan", ".internal", ".home.arpa")
JSON_SPACE = " \t\r\n"
QUOTED = 200  # characters of a line that is not the protocol, in the error about it
MOST_READ_OF_ERROR = 2**16  # bytes of the body of an error status
SILENT = (errno.ETIMEDOUT, errno.EHOSTUNREACH, errno.ENETUNREACH)  # what the system says of a connection gone silent
MOST_REDIRECTS = 4  # of one request
SMALL = 2**16  # bytes of a request that are sent in one piece
ERROR_BODY_TIMEOUT = 5.0  # seconds; the status alone is worth reporting


def check_base_url(base_url: str, source: str, example: str = "http://127.0.0.1:8765") -> URL:
    """The URL, ready to have a path put behind it; raises ``SettingError`` that names ``source``."""
    wanted = f"write scheme and host, such as {example}"
    if "@" in base_url:
        raise SettingError(f"{source}: a base URL holds no user and password; a token is a setting of its own.")
    try:
        url = URL(base_url.strip().rstrip("/"))
        complete = url.scheme in ("http", "https") and bool(url.host) and url.port not in (None, 0)
    except ValueError:
        complete = False
    if not complete or url.query_string or url.fragment:
        shown = re.sub("[?#].*", "?…", base_url, flags=re.DOTALL)  # what follows may be a key
        raise SettingError(f"{source}: {shown!r} is no base URL; {wanted}.")
    return url


def crosses_open_network(url: URL) -> bool:
    """Would a key be readable on its way through networks that are not the user's own?"""
    host = url.host or ""
    if url.scheme == "https" or host.endswith(LOCAL_NAMES) or not re.search("[.:]", host):
        return False
    try:
        return ipaddress.ip_address(host).is_global
    except ValueError:
        return True


def check_token(token: str, source: str) -> str:
    """The token, if a header can hold it; raises ``SettingError`` that does not show it."""
    if token.isascii() and token.isprintable() and " " not in token:
        return token
    raise SettingError(f"{source}: the token holds a character that no token has, such as a space or a line break.")


def encode_json(body: Any) -> bytes:
    """``body`` as JSON in ASCII; raises ``PromptError`` for what JSON cannot say."""
    try:
        return json.dumps(body, allow_nan=False).encode("ascii")
    except (TypeError, ValueError, RecursionError) as error:
        raise PromptError(sentences(f"the prompt cannot be sent as JSON: {error}")) from None


def _refuse(constant: str) -> float:
    raise ValueError(f"{constant} is not JSON")


# The value that a text begins with, and where it ends; raises ``ValueError`` for none.
read_json: Callable[[str], tuple[Any, int]] = json.JSONDecoder(parse_constant=_refuse).raw_decode
_read_json_of_python = json.JSONDecoder(parse_constant=lambda _constant: None).raw_decode


def read_object(line: bytes, *, constants: bool = False) -> dict[str, Any]:
    """The JSON object on ``line``; raises ``ProtocolError`` that quotes it where it is something else.

    Python's own writer knows three ``constants`` that JSON has not, ``NaN`` among them: each is None where they are
    allowed.
    """
    try:
        text = str(line, "utf-8").strip(JSON_SPACE)
        found, end = (_read_json_of_python if constants else read_json)(text)
    except UnicodeDecodeError:
        raise unexpected(line, "bytes that are not UTF-8") from None
    except (ValueError, RecursionError):
        raise unexpected(line, "a line that is not JSON") from None
    if end != len(text):
        raise unexpected(line, "a line that is not JSON")
    if type(found) is not dict:
        raise unexpected(line, "JSON that is not an object")
    return found


def unexpected(line: bytes, what: str) -> ProtocolError:
    """The error that the server sent ``what``, with the beginning of the line that holds it."""
    quoted = cut_between_words(redact(str(line[: 8 * QUOTED], "utf-8", "replace").strip(JSON_SPACE)), QUOTED)
    return ProtocolError(sentences(f"the server sent {what}: {printable(quoted)}"))


class LineSplitter:
    """Cuts blocks of bytes, whatever their borders, into lines; a byte order mark before the first one goes.

    Holds the beginning of at most one line. A line longer than ``limit`` bytes ends it: ``too_long`` is then true,
    and neither that line nor anything after it comes out.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.too_long = False
        self._begun = False
        self._held = bytearray()

    def split(self, block: bytes) -> list[bytes]:
        """The lines that ``block`` completes, without their ``\\n``."""
        if self.too_long:
            return []
        may_exceed = len(self._held) + len(block) > self.limit
        lines = block.split(b"\n")
        if self._held and len(lines) > 1:
            self._held += lines[0]
            lines[0] = bytes(self._held)
            self._held.clear()
        rest = lines.pop()
        if may_exceed:
            lines = self._within_limit(lines, rest)
        if not self.too_long:
            self._held += rest
        return lines if self._begun else self._without_mark(lines)

    def _without_mark(self, lines: list[bytes]) -> list[bytes]:
        if lines:
            self._begun = True
            lines[0] = lines[0].removeprefix(BOM)
        return lines

    def _within_limit(self, lines: list[bytes], rest: bytes) -> list[bytes]:
        short = list(takewhile(lambda line: len(line) <= self.limit, lines))
        if len(short) < len(lines) or len(self._held) + len(rest) > self.limit:
            self.too_long = True
            self._held = bytearray()
        return short

    def last(self) -> list[bytes]:
        """What came after the last ``\\n``, where anything did."""
        held = bytes(self._held)
        self._held.clear()
        lines = [held] if held else []
        return lines if self._begun else self._without_mark(lines)


class Splitter(Protocol[T]):
    """Makes pieces of the blocks of a body; see ``LineSplitter``."""

    limit: int
    too_long: bool

    def split(self, block: bytes) -> list[T]:
        """The pieces that ``block`` completes."""

    def last(self) -> list[T]:
        """The pieces that the end of the body completes."""


class Pieces(Generic[T]):
    """The pieces of a response, in lists of those that arrived together.

    A failure comes after the pieces that arrived before it. ``begun`` is what was read of the body before.
    """

    def __init__(self, blocks: Blocks, splitter: Splitter[T], begun: bytes = b"") -> None:
        self._blocks = blocks
        self._splitter = splitter
        self._begun = begun
        self._ended = False

    def __aiter__(self) -> Pieces[T]:
        return self

    async def __anext__(self) -> list[T]:
        splitter = self._splitter
        while not self._ended and not splitter.too_long:
            block, self._begun = self._begun or await self._blocks.next(), b""
            self._ended = not block
            if pieces := splitter.split(block) if block else splitter.last():
                return pieces
        if splitter.too_long:
            raise ProtocolError(f"the server sent a line longer than {splitter.limit} bytes (setting line_limit).")
        raise StopAsyncIteration


@dataclass(frozen=True)
class Response:
    """A response that is no failure; ``content_type`` is without parameters, ``limit`` in bytes."""

    content_type: str
    blocks: Blocks
    peer: Peer
    limit: int

    def lines(self) -> Pieces[bytes]:
        """Its lines."""
        return Pieces(self.blocks, LineSplitter(self.limit))

    async def whole(self, begun: bytes = b"") -> bytes:
        """All of it, after ``begun``; raises ``ProtocolError`` where that is longer than the limit.

        JSON tells itself whether it is whole, also where the server ends the connection without a word.
        """
        body, block = bytearray(), begun or await self.blocks.next()
        while block:
            body += block
            if len(body) > self.limit:
                raise ProtocolError(f"the server sent a body longer than {self.limit} bytes (setting line_limit).")
            try:
                block = await self.blocks.next()
            except StreamInterruptedError:
                if not (self.blocks.until_closed and _is_json(body)):
                    raise
                break
        return bytes(body)


def _is_json(body: bytearray) -> bool:
    try:
        json.loads(body)
    except (ValueError, RecursionError):
        return False
    return True


def reach(url: URL, route: Route) -> Peer:
    """Who answers at ``url``, through the proxy that ``route`` means; raises ``ProxyError``.

    All requests of a batch may share it: what TLS needs is read once for it.
    """
    return Peer(url, find_proxy(url, route.proxy, route.trust_env), route)


def request(
    method: str, peer: Peer, headers: Mapping[str, str], body: Any, refused: Refuse = status_error
) -> AbstractAsyncContextManager[Response]:
    """Send ``body`` as JSON, or nothing where it is None, and hand out the response; its connection closes with this.

    A redirect is followed only where it keeps method and body (307 and 308) and stays on the same server: the prompt
    and the key go where their owner said, and nowhere else. Entering it raises ``PromptError``, ``SettingError`` for
    files of TLS that cannot be read, and the kinds of ``ProviderError`` that name what went wrong.

    Args:
        method: ``GET`` or ``POST``.
        peer: Who is asked, see ``reach``.
        headers: All that is sent beside those of HTTP itself.
        body: What JSON can say, or None.
        refused: Makes the error for a status that is no success.
    """
    return _Request(method, peer, headers, body, refused)


class _Request:
    """A request while its response is read. It is no generator: see ``inner_generator``."""

    def __init__(self, method: str, peer: Peer, headers: Mapping[str, str], body: Any, refused: Refuse) -> None:
        self._method, self._peer, self._headers, self._body, self._refused = method, peer, headers, body, refused
        self._exchange: _Exchange | None = None
        self._own_session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Response:
        try:
            return await self._send()
        except BaseException as error:  # no response comes: nobody else closes this
            await self.__aexit__(type(error), error, error.__traceback__)
            raise

    async def _send(self) -> Response:
        data = None if self._body is None else encode_json(self._body)
        if (session := shared_in_group(_session_for_many)) is None:
            session = self._own_session = _session(Connector(force_close=True))
        self._exchange = _Exchange(session, self._peer)
        response = await self._exchange.send_on(self._method, self._headers, data)
        report_rate_limits(response.headers)
        blocks = Blocks(response, self._peer)
        if response.status >= 300:
            raise self._refused(response.status, response.headers, await _error_body(blocks), self._peer)
        return Response(response.content_type, blocks, self._peer, self._peer.route.line_limit)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if self._exchange is not None:
                self._exchange.end()
            if self._own_session is not None:
                await self._own_session.close()
        finally:
            self._peer.mask(error)


def _session(connector: Connector, *, shares: bool = False) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        connector=connector,
        connector_owner=not shares,
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,  # see http_body
    )


def _session_for_many() -> aiohttp.ClientSession:
    """The session of requests that share their connections."""
    return _session(shared_in_group(Connector.for_many) or Connector.for_many(), shares=True)


class _Exchange:
    """One request, its response and their connection, which ``end`` gives back or closes."""

    def __init__(self, session: aiohttp.ClientSession, peer: Peer) -> None:
        self._session = session
        self._peer = peer
        self._tls = peer.tls
        self._line = Line(None)
        self._response: aiohttp.ClientResponse | None = None

    async def send_on(self, method: str, headers: Mapping[str, str], data: bytes | None) -> aiohttp.ClientResponse:
        """The response, also to where the server sends the request on within itself, a few times."""
        for _ in range(MOST_REDIRECTS):
            response = await self.send(method, headers, data)
            target = _target_of_redirect(response, self._peer.url)
            if target is None:
                return response
            self.end()
            self._peer = replace(self._peer, url=target)
        return await self.send(method, headers, data)

    async def send(
        self, method: str, headers: Mapping[str, str], data: bytes | None, *, fresh: bool = False
    ) -> aiohttp.ClientResponse:
        """The response, of which the body is still to come.

        Where the server had closed the connection of an earlier request, this one is sent again, once, on a ``fresh``
        one. Raises kinds of ``ProviderError``.
        """
        self._line, self._response = Line(self._peer.route.silence, fresh=fresh), None
        try:
            self._response = await self._request(method, headers, data)
        except (aiohttp.ClientError, asyncio.TimeoutError, UnicodeError) as error:
            if fresh or not self._line.stale or not _closed_by_server(error):
                failure = timeout_error(self._peer) if self._line.timed_out else explain(error, self._peer)
                # Their repr holds the request's headers, and with them the token and the proxy's password.
                raise failure from None
        if self._response is None:
            self._line.drop()
            return await self.send(method, headers, data, fresh=True)
        self._line.watch(self._response)
        return self._response

    def _request(
        self, method: str, headers: Mapping[str, str], data: bytes | None
    ) -> Awaitable[aiohttp.ClientResponse]:
        url, proxy = self._peer.url, self._peer.proxy
        if proxy.url is not None and url.scheme == "http":
            headers = {**headers, **proxy.headers}  # the proxy reads this request; a tunnel is asked for by another
        line_of_task.set(self._line)
        return self._session.request(
            method,
            url,
            # In pieces, each of which waits for the ones before it: a large one is then seen to move, over TLS too.
            data=BytesIO(data) if data is not None and len(data) > SMALL else data,
            headers=headers,
            proxy=proxy.url,
            proxy_headers=proxy.headers,
            ssl=self._tls,
            timeout=self._peer.route.timeout,
            allow_redirects=False,
        )

    def end(self) -> None:
        """Close the connection at once, or leave it to the next request where the requests share theirs."""
        self._line.drop()
        if self._response is not None:
            self._response.close()
            self._line.drop()


def _target_of_redirect(response: aiohttp.ClientResponse, asked: URL) -> URL | None:
    """Where on the same server the same request is to be sent; None where it is not, or elsewhere."""
    if response.status not in (307, 308):
        return None
    with suppress(ValueError):
        target = asked.join(URL(response.headers.get("Location", ""))).with_fragment(None)
        if target.origin() == asked.origin() and target.user is None and target.password is None and target != asked:
            return target
    return None


def _closed_by_server(error: Exception) -> bool:
    """Is it a connection that was closed, and not one that went silent? What was sent on that may have arrived."""
    if isinstance(error, aiohttp.ClientOSError):
        return error.errno not in SILENT
    return isinstance(error, (aiohttp.ServerDisconnectedError, aiohttp.ClientConnectionResetError))


async def _error_body(blocks: Blocks) -> bytes:
    """The beginning of the body, or as much of it as arrives in time and whole."""
    body = bytearray()

    async def read() -> None:
        while len(body) < MOST_READ_OF_ERROR and (block := await blocks.next()):
            body.extend(block)

    with suppress(ProviderError, asyncio.TimeoutError):
        await asyncio.wait_for(read(), ERROR_BODY_TIMEOUT)
    return bytes(body[:MOST_READ_OF_ERROR])

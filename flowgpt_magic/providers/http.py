"""What every provider that speaks HTTP shares: one request, its reply as lines, its failures as our errors."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from itertools import takewhile
from typing import Any, cast

import aiohttp
from aiohttp.http import HttpProcessingError
from yarl import URL

from flowgpt_magic.errors import FlowGptError, PromptError, ProtocolError, ProviderError, SettingError
from flowgpt_magic.plain_text import printable
from flowgpt_magic.providers.http_connection import Connector, Peer, Route, find_proxy
from flowgpt_magic.providers.http_errors import explain, status_error, timeout_error

BOM = b"\xef\xbb\xbf"
JSON_SPACE = " \t\r\n"
QUOTED = 200  # characters of a line that is not the protocol, in the error about it
MOST_READ_OF_ERROR = 2**16  # bytes of the body of an error status
ERROR_BODY_TIMEOUT = 5.0  # seconds; the status alone is worth reporting


def check_base_url(base_url: str, source: str) -> URL:
    """The URL, ready to have a path put behind it; raises ``SettingError`` that names ``source``."""
    wanted = "write scheme and host, such as http://127.0.0.1:8765"
    if "@" in base_url:
        raise SettingError(f"{source}: a base URL holds no user and password; a token is a setting of its own")
    try:
        url = URL(base_url.strip().rstrip("/"))
        complete = url.scheme in ("http", "https") and bool(url.host) and url.port not in (None, 0)
    except ValueError:
        complete = False
    if not complete or url.query_string or url.fragment:
        raise SettingError(f"{source}: {base_url!r} is no base URL; {wanted}")
    return url


def check_token(token: str, source: str) -> str:
    """The token, if a header can hold it; raises ``SettingError`` that does not show it."""
    if token.isascii() and token.isprintable() and " " not in token:
        return token
    raise SettingError(f"{source}: the token holds a character that no token has, such as a space or a line break")


def encode_json(body: Any) -> bytes:
    """``body`` as JSON in ASCII; raises ``PromptError`` for what JSON cannot say."""
    try:
        return json.dumps(body, allow_nan=False).encode("ascii")
    except (TypeError, ValueError, RecursionError) as error:
        raise PromptError(f"the prompt cannot be sent as JSON: {error}") from None


def _refuse(constant: str) -> float:
    raise ValueError(f"{constant} is not JSON")


_read_json = json.JSONDecoder(parse_constant=_refuse).raw_decode


def read_object(line: bytes) -> dict[str, Any]:
    """The JSON object on ``line``; raises ``ProtocolError`` that quotes it where it is something else."""
    try:
        text = str(line, "utf-8").strip(JSON_SPACE)
        found, end = _read_json(text)
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
    quoted = str(line[: 4 * QUOTED], "utf-8", "replace").strip(JSON_SPACE)[:QUOTED]
    return ProtocolError(f"the server sent {what}: {printable(quoted)}")


class LineSplitter:
    """Cuts blocks of bytes, whatever their borders, into lines.

    Holds the beginning of at most one line. A line longer than ``limit`` bytes ends it: ``too_long`` is then true,
    and neither that line nor anything after it comes out.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.too_long = False
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
        return lines

    def _within_limit(self, lines: list[bytes], rest: bytes) -> list[bytes]:
        short = list(takewhile(lambda line: len(line) <= self.limit, lines))
        if len(short) < len(lines) or len(self._held) + len(rest) > self.limit:
            self.too_long = True
            self._held = bytearray()
        return short

    def last_line(self) -> list[bytes]:
        """What came after the last ``\\n``, where anything did."""
        held = bytes(self._held)
        self._held.clear()
        return [held] if held else []


class Lines:
    """The lines of a response, in lists of those that arrived together.

    A failure comes after the lines that arrived before it.
    """

    def __init__(self, content: aiohttp.StreamReader, peer: Peer, limit: int) -> None:
        self._content = content
        self._peer = peer
        self._splitter = LineSplitter(limit)
        self._failure: FlowGptError | None = None
        self._begun = self._ended = False

    def __aiter__(self) -> Lines:
        return self

    async def __anext__(self) -> list[bytes]:
        while self._failure is None and not self._ended:
            lines = self._lines(await self._next_block())
            if lines:
                return lines
        if self._failure is not None:
            raise self._failure
        raise StopAsyncIteration

    async def _next_block(self) -> bytes:
        try:
            block = await self._content.readany()
        except (aiohttp.ClientError, HttpProcessingError, asyncio.TimeoutError) as error:
            self._failure = explain(error, self._peer)
            # The reader puts its exception before the bytes that came earlier; without it, it hands them out.
            self._content.set_exception(cast("BaseException", None))
            return self._content.read_nowait()
        self._ended = not block
        return block

    def _lines(self, block: bytes) -> list[bytes]:
        lines = self._splitter.last_line() if self._ended else self._splitter.split(block)
        if self._splitter.too_long:
            self._failure = ProtocolError(f"the server sent a line longer than {self._splitter.limit} bytes")
        if lines and not self._begun:
            self._begun = True
            lines[0] = lines[0].removeprefix(BOM)
        return lines


@asynccontextmanager
async def post(url: URL, headers: Mapping[str, str], body: Any, route: Route) -> AsyncIterator[Lines]:
    """Send ``body`` as JSON and hand out the lines of the reply; the connection closes with the context.

    A redirect is not followed: the prompt and the token go where their owner said, and nowhere else. Raises
    ``PromptError``, ``ProxyError``, and the kinds of ``ProviderError`` that name what went wrong.
    """
    data = encode_json(body)
    proxy = find_proxy(url, route.proxy, route.trust_env)
    peer = Peer(url, proxy, route)
    connector = Connector(_seconds(route.read_timeout))
    async with _session(connector, route) as session:
        try:
            response = await _send(session, connector, headers, data, peer)
            connector.watch(response.content)
            if response.status >= 300:
                raise status_error(response.status, response.headers, await _error_body(response), peer)
            yield Lines(response.content, peer, route.line_limit)
        except ProviderError as error:
            # A server may repeat what it was sent.
            error.args = tuple(peer.hide_secrets(str(words)) for words in error.args)
            raise
        finally:
            connector.drop_unsent()


def _seconds(timeout: float) -> float | None:
    return timeout if math.isfinite(timeout) else None


def _session(connector: Connector, route: Route) -> aiohttp.ClientSession:
    timeout = aiohttp.ClientTimeout(
        total=None, connect=_seconds(route.connect_timeout), sock_read=_seconds(route.read_timeout)
    )
    return aiohttp.ClientSession(connector=connector, timeout=timeout, cookie_jar=aiohttp.DummyCookieJar())


async def _send(
    session: aiohttp.ClientSession, connector: Connector, headers: Mapping[str, str], data: bytes, peer: Peer
) -> aiohttp.ClientResponse:
    proxy = peer.proxy
    if proxy.url is not None and peer.url.scheme == "http":
        headers = {**headers, **proxy.headers}  # the proxy is who reads this request; a tunnel is asked for by another
    try:
        return await session.post(
            peer.url, data=data, headers=headers, proxy=proxy.url, proxy_headers=proxy.headers, allow_redirects=False
        )
    except (aiohttp.ClientError, asyncio.TimeoutError, UnicodeError) as error:
        # Their repr holds the request's headers, and with them the token and the proxy's password.
        raise (timeout_error(peer) if connector.timed_out else explain(error, peer)) from None


async def _error_body(response: aiohttp.ClientResponse) -> bytes:
    """The beginning of the body, or as much of it as arrives in time and whole."""
    body = bytearray()

    async def read() -> None:
        while len(body) < MOST_READ_OF_ERROR and (block := await response.content.readany()):
            body.extend(block)

    with suppress(aiohttp.ClientError, HttpProcessingError, asyncio.TimeoutError):
        await asyncio.wait_for(read(), ERROR_BODY_TIMEOUT)
    return bytes(body[:MOST_READ_OF_ERROR])

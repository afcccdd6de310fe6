"""The body of a response, block by block and without its compression; a body that was cut off is a failure.

The HTTP library could take the compression off itself, but it takes a gzip or brotli stream that is cut off for a
whole one.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Protocol, cast

import aiohttp
from aiohttp.http import HttpProcessingError

from flowgpt_magic.errors import ProtocolError, ProviderError
from flowgpt_magic.providers.http.connection import Endpoint, ends_with_connection
from flowgpt_magic.providers.http.errors import incomplete_body_error, map_error
from flowgpt_magic.text import one_line, sentences

MOST_AT_ONCE = 2**20  # bytes; how much of a block that was compressed is held without its compression
GZIP_MAGIC = b"\x1f\x8b"
BROTLI = next((name for name in ("brotli", "brotlicffi") if find_spec(name)), "")
ENCODINGS = "gzip, deflate, br" if BROTLI else "gzip, deflate"
"""The compressions that can be read, as a request's header ``Accept-Encoding`` names them."""


class DamagedError(Exception):
    """The compressed bytes are not what their compression allows."""


class Decoder(Protocol):
    """Takes one compression off. ``finished``: was the last byte the end of all that was compressed?"""

    @property
    def finished(self) -> bool: ...

    def decode(self, data: bytes) -> Iterator[bytes]:
        """What ``data`` holds, in blocks of about ``MOST_AT_ONCE`` bytes. Raises ``DamagedError``."""


class _Plain:
    finished = True

    def decode(self, data: bytes) -> Iterator[bytes]:
        yield data


class _Zlib:
    """gzip, of one member or several, and deflate, with the header of zlib or without."""

    def __init__(self, window: int) -> None:
        self._window = window
        self._stream: Any = None

    @property
    def finished(self) -> bool:
        return self._stream is not None and bool(self._stream.eof)

    def decode(self, data: bytes) -> Iterator[bytes]:
        full = False
        while data or full:
            if self._stream is None:
                self._stream = zlib.decompressobj(self._window or _deflate_window(data))
            elif self.finished:
                if not (self._window and data and data.startswith(GZIP_MAGIC[: len(data)])):
                    return  # some pad what they have compressed
                self._stream = zlib.decompressobj(self._window)
            try:
                block = self._stream.decompress(data, MOST_AT_ONCE)
            except zlib.error as error:
                raise DamagedError(str(error)) from None
            data = self._stream.unused_data if self.finished else self._stream.unconsumed_tail
            full = len(block) == MOST_AT_ONCE  # then the stream may hold more, although it has taken all the data
            if block:
                yield block


def _deflate_window(data: bytes) -> int:
    """Some servers send what deflate makes as it is, without the header that the standard wants (RFC 9110, 8.4.1.2)."""
    return zlib.MAX_WBITS if data[0] & 0x0F == 8 else -zlib.MAX_WBITS


class _Brotli:
    def __init__(self) -> None:
        self._module = import_module(BROTLI)
        self._stream = self._module.Decompressor()

    @property
    def finished(self) -> bool:
        return bool(self._stream.is_finished())

    def decode(self, data: bytes) -> Iterator[bytes]:
        while block := self._process(data):
            yield block
            data = b""

    def _process(self, data: bytes) -> bytes:
        if self.finished:
            return b""
        # Older releases know no limit.
        limit = {"output_buffer_limit": MOST_AT_ONCE} if hasattr(self._stream, "can_accept_more_data") else {}
        try:
            return bytes(self._stream.process(data, **limit))
        except self._module.error as error:
            raise DamagedError(str(error)) from None


DECODERS: Mapping[str, Callable[[], Decoder]] = {
    "gzip": lambda: _Zlib(16 + zlib.MAX_WBITS),
    "x-gzip": lambda: _Zlib(16 + zlib.MAX_WBITS),
    "deflate": lambda: _Zlib(0),
    "": _Plain,
    "identity": _Plain,
    **({"br": _Brotli} if BROTLI else {}),
}


class BodyReader:
    """The body of a response, in blocks as they arrive; a failure comes after the bytes that arrived before it.

    ``until_closed``: does nothing but the end of the connection tell where the body ends?
    """

    def __init__(self, response: aiohttp.ClientResponse, endpoint: Endpoint) -> None:
        self.until_closed = ends_with_connection(response)
        self._content = response.content
        self._endpoint = endpoint
        self._encoding = response.headers.get("Content-Encoding", "").strip().lower()
        # A status without a body has nothing to be whole.
        self._decoder = _Plain() if response.status in (204, 205) else DECODERS.get(self._encoding, lambda: None)()
        self._decoded: Iterator[bytes] = iter(())
        self._failure: ProviderError | None = None

    async def read(self) -> bytes:
        """The next block; empty at the end. Raises the kind of ``ProviderError`` that names what went wrong."""
        while self._failure is None:
            try:
                if block := next(self._decoded, b""):
                    return block
                if not (block := await self._received()):
                    return self._end()
                self._decoded = self._decode(block)
            except DamagedError:
                self._failure = incomplete_body_error(self._endpoint)
            except ProviderError as error:
                self._failure = error
        raise self._failure

    def _end(self) -> bytes:
        if self._decoder is not None and not self._decoder.finished:
            raise DamagedError
        return b""

    def _decode(self, block: bytes) -> Iterator[bytes]:
        if self._decoder is not None:
            return self._decoder.decode(block)
        encoding = one_line(self._encoding)[:40]
        raise ProtocolError(sentences(f"{self._endpoint.host} compressed its answer in an unknown way: {encoding}"))

    async def _received(self) -> bytes:
        try:
            block = await self._content.readany()
            broken = self._content.exception()
            if block or broken is None:
                return block
            raise broken  # the reader that waited was told of the end before
        except (aiohttp.ClientError, HttpProcessingError, asyncio.TimeoutError) as error:
            failure = map_error(error, self._endpoint)
        # The reader puts its exception before the bytes that came earlier; without it, it hands them out.
        self._content.set_exception(cast("BaseException", None))
        if block := self._content.read_nowait():
            self._content.set_exception(failure)
            return block
        raise failure

"""Read the body of a response in blocks, decompressed. A body that was cut off is an error.

aiohttp could decompress, but it accepts a gzip or brotli stream that was cut off.
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

DECODED_BLOCK_SIZE = 2**20  # bytes; limits the memory for a small block that expands to much
GZIP_MAGIC = b"\x1f\x8b"
BROTLI = next((name for name in ("brotli", "brotlicffi") if find_spec(name)), "")
ENCODINGS = "gzip, deflate, br" if BROTLI else "gzip, deflate"
"""The supported compressions, as a value of ``Accept-Encoding``."""


class DamagedError(Exception):
    """The compressed bytes are damaged or incomplete."""


class Decoder(Protocol):
    """Decompresses one format. ``finished``: the compressed stream is complete."""

    @property
    def finished(self) -> bool: ...

    def decode(self, data: bytes) -> Iterator[bytes]:
        """The content of ``data`` in blocks of about ``DECODED_BLOCK_SIZE`` bytes. Raises ``DamagedError``."""


class _Plain:
    finished = True

    def decode(self, data: bytes) -> Iterator[bytes]:
        yield data


class _Zlib:
    """gzip with one or several members, and deflate with or without a zlib header."""

    def __init__(self, window: int) -> None:
        self._window = window
        self._stream: Any = None

    @property
    def finished(self) -> bool:
        return self._stream is not None and bool(self._stream.eof)

    def decode(self, data: bytes) -> Iterator[bytes]:
        is_full = False
        while data or is_full:
            if self._stream is None:
                self._stream = zlib.decompressobj(self._window or _deflate_window(data))
            elif self.finished:
                if not (self._window and data and data.startswith(GZIP_MAGIC[: len(data)])):
                    return  # padding
                self._stream = zlib.decompressobj(self._window)
            try:
                block = self._stream.decompress(data, DECODED_BLOCK_SIZE)
            except zlib.error as error:
                raise DamagedError(str(error)) from None
            data = self._stream.unused_data if self.finished else self._stream.unconsumed_tail
            is_full = len(block) == DECODED_BLOCK_SIZE  # then there may be more output for the same input
            if block:
                yield block


def _deflate_window(data: bytes) -> int:
    """Some servers send raw deflate data, without the zlib header of the standard (RFC 9110, section 8.4.1.2)."""
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
        # Older releases have no limit.
        limit = {"output_buffer_limit": DECODED_BLOCK_SIZE} if hasattr(self._stream, "can_accept_more_data") else {}
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
    """Reads the body of a response block by block. An error is raised after the bytes that arrived before it.

    ``until_closed``: only the end of the connection marks the end of the body.
    """

    def __init__(self, response: aiohttp.ClientResponse, endpoint: Endpoint) -> None:
        self.until_closed = ends_with_connection(response)
        self._content = response.content
        self._endpoint = endpoint
        self._encoding = response.headers.get("Content-Encoding", "").strip().lower()
        # A status without a body has no compressed stream.
        self._decoder = _Plain() if response.status in (204, 205) else DECODERS.get(self._encoding, lambda: None)()
        self._decoded: Iterator[bytes] = iter(())
        self._failure: ProviderError | None = None

    async def read(self) -> bytes:
        """The next block, empty at the end. Raises subclasses of ``ProviderError``."""
        while self._failure is None:
            try:
                if block := next(self._decoded, b""):
                    return block
                if not (block := await self._receive()):
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
        raise ProtocolError(sentences(f"{self._endpoint.host} used an unsupported compression: {encoding}"))

    async def _receive(self) -> bytes:
        try:
            block = await self._content.readany()
            broken = self._content.exception()
            if block or broken is None:
                return block
            raise broken  # the end was reported before the error
        except (aiohttp.ClientError, HttpProcessingError, asyncio.TimeoutError) as error:
            failure = map_error(error, self._endpoint)
        # aiohttp's reader returns the bytes that came before its exception only without the exception.
        self._content.set_exception(cast("BaseException", None))
        if block := self._content.read_nowait():
            self._content.set_exception(failure)
            return block
        raise failure

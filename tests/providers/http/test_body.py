"""The body of a response: what was compressed comes out, and what was cut off is never taken for a whole."""

from __future__ import annotations

import gzip
import random
import zlib

import brotli
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowgpt_magic.errors import FlowGptError, ProtocolError, StreamInterruptedError
from flowgpt_magic.providers.flowgpt import FlowGpt
from flowgpt_magic.providers.http.body import DECODED_BLOCK_SIZE, DECODERS, DamagedError
from tests.servers import (
    CHUNKED,
    END,
    answering,
    cut,
    cutting,
    framed,
    head,
    line,
    replying,
    resetting,
    serving,
    way,
    whole,
)

MESSAGES = [{"role": "user", "content": "hello"}]

over_http_and_tls = pytest.mark.usefixtures("over_http_and_tls")


def raw_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush()


COMPRESSIONS = {
    "gzip": ("gzip", gzip.compress),
    "x-gzip": ("x-gzip", gzip.compress),
    "gzip of two members": ("gzip", lambda data: gzip.compress(data[:5]) + gzip.compress(data[5:])),
    "deflate": ("deflate", zlib.compress),
    "deflate without a header": ("deflate", raw_deflate),
    "br": ("br", brotli.compress),
}
every_compression = pytest.mark.parametrize(("name", "compress"), COMPRESSIONS.values(), ids=list(COMPRESSIONS))


async def read(answer) -> tuple[list[str], FlowGptError | None]:
    """The chunks of a reply, and how it failed if it did."""
    chunks: list[str] = []
    async with serving(answer) as server:
        try:
            async for chunk in FlowGpt.create_async_generator("", MESSAGES, base_url=server.url):
                chunks.append(str(chunk))
        except FlowGptError as error:
            return chunks, error
    return chunks, None


# Decoders, which know nothing of the way their bytes came


@every_compression
@given(data=st.binary(max_size=200), places=st.lists(st.integers(0, 10_000), max_size=6))
def test_what_was_compressed_comes_out_wherever_it_is_cut(name, compress, data, places):
    decoder = DECODERS[name]()
    blocks = [block for piece in cut(compress(data), places) for block in decoder.decode(piece)]
    assert b"".join(blocks) == data
    assert decoder.finished


@every_compression
@given(data=st.binary(max_size=60), missing=st.integers(1, 10_000))
def test_a_beginning_alone_is_never_finished(name, compress, data, missing):
    packed = compress(data)
    kept = packed[: max(0, len(packed) - missing)]
    if kept == gzip.compress(data[:5]):
        return  # a member of its own, and so is the rest
    decoder = DECODERS[name]()
    list(decoder.decode(kept))
    assert not decoder.finished


@every_compression
def test_little_that_holds_much_comes_out_in_blocks(name, compress):
    decoder = DECODERS[name]()
    sizes = [len(block) for block in decoder.decode(compress(bytes(5 * DECODED_BLOCK_SIZE + 7)))]
    assert sum(sizes) == 5 * DECODED_BLOCK_SIZE + 7
    assert max(sizes) <= 2 * DECODED_BLOCK_SIZE


@every_compression
def test_what_was_never_compressed_is_damaged(name, compress):
    with pytest.raises(DamagedError):
        list(DECODERS[name]().decode(b"\xff\xfe this was never compressed"))


def test_padding_behind_gzip_is_no_text_and_no_damage():
    decoder = DECODERS["gzip"]()
    assert b"".join(decoder.decode(gzip.compress(b"text") + bytes(100))) == b"text"
    assert decoder.finished


# Bodies


@over_http_and_tls
@every_compression
@pytest.mark.parametrize("kept", [0.0, 0.02, 0.5, 0.95], ids=["before its first byte", "its header", "half", "its end"])
async def test_a_compressed_body_that_was_cut_off_is_interrupted_although_its_framing_is_whole(name, compress, kept):
    text = line("".join(random.Random(7).choices("abcdefgh", k=400)))
    packed = compress(text)
    packed = packed[: int(len(packed) * kept)]
    for answer in (
        replying(packed, Content_Encoding=name),
        answering(whole(packed, Content_Encoding=name)),
        answering(head(Content_Encoding=name, Connection="close") + packed),
    ):
        chunks, error = await read(answer)
        assert chunks == []
        assert type(error) is StreamInterruptedError


@over_http_and_tls
async def test_what_came_before_the_cut_is_kept():
    packer = zlib.compressobj(wbits=31)
    begun = packer.compress(line("good")) + packer.flush(zlib.Z_SYNC_FLUSH)

    chunks, error = await read(replying(begun, Content_Encoding="gzip"))

    assert chunks == ["good"]
    assert type(error) is StreamInterruptedError


@over_http_and_tls
async def test_a_compression_nobody_asked_for_is_named():
    chunks, error = await read(replying(b"(\xb5/\xfd", Content_Encoding="zstd"))

    assert chunks == []
    assert type(error) is ProtocolError
    assert str(error).endswith("used an unsupported compression: zstd.")


@over_http_and_tls
async def test_the_words_of_a_compressed_error_are_shown():
    _, error = await read(answering(whole(gzip.compress(b"too busy"), 500, Content_Encoding="gzip")))

    assert str(error).endswith("answered 500: too busy.")


@over_http_and_tls
@pytest.mark.parametrize("ending", [resetting, cutting])
async def test_a_body_is_not_whole_because_its_connection_broke(ending):
    for start, body in (
        (CHUNKED, framed(line("good"))),
        (head(Content_Length="999"), line("good")),
        (head(Connection="close"), line("good")),
    ):
        chunks, error = await read(ending(start, body))
        assert chunks == ["good"]
        # An end that only the connection tells is a break where that was reset, or over TLS not announced.
        announced = ending is cutting and start == head(Connection="close") and not way().tls
        assert (error is None) if announced else (type(error) is StreamInterruptedError)


@over_http_and_tls
async def test_a_body_that_is_whole_needs_no_good_end_of_the_connection():
    for ending in (resetting, cutting):
        assert await read(ending(CHUNKED, framed(line("good")), END)) == (["good"], None)
        assert await read(ending(whole(line("good")))) == (["good"], None)

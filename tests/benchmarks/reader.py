"""How many chunks of a reply FlowGpt reads in a second of CPU time, beside the plain way to read such a stream.

The plain way is ``async for line in response.content`` and ``json.loads(line)``. Both read the same stream from a
server in another process, in turn, several times; what counts is the median of the CPU time of this process.
Run it: ``python -m tests.benchmarks.reader``.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import os
import ssl
import statistics
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from multiprocessing.connection import Connection
from typing import Any

import aiohttp

from flowgpt_magic.providers.flowgpt import PATH, FlowGpt, request_body, request_headers
from tests import certificates

MESSAGES = [{"role": "user", "content": "count"}]
WORDS = ["Paris ", "is ", "the ", "capital\n", "of ", "Fran\u00e7aise ", "\u6771\u4eac ", "and more "]
AT_ONCE = 16  # lines the server writes at a time: a fast model behind a busy proxy


@dataclass(frozen=True)
class Figures:
    """Chunks a second of CPU time."""

    flowgpt: float
    plain: float

    @property
    def ratio(self) -> float:
        return self.flowgpt / self.plain


LINES = [json.dumps({"event": "text", "data": word}).encode() + b"\n" for word in WORDS]


async def _serve(
    count: int,
    chunks: list[bytes],
    first: bytes,
    last: bytes,
    at_once: int,
    certificate: tuple[str, str] | None,
    address: Connection,
) -> None:
    framed = [b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks]
    blocks = [b"".join(framed[n % len(framed)] for n in range(place, place + at_once)) for place in range(len(framed))]
    begin, end = (b"%x\r\n%s\r\n" % (len(part), part) if part else b"" for part in (first, last))
    end += b"0\r\n\r\n"

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:"))
        await reader.readexactly(length)
        writer.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n" + begin
        )
        for place in range(0, count, at_once):
            writer.write(blocks[place % len(blocks)])
            await writer.drain()
        writer.write(end)
        await writer.drain()
        writer.close()

    tls = None
    if certificate is not None:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(*certificate)
    server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=tls)
    address.send(server.sockets[0].getsockname()[1])
    await server.serve_forever()


def _run_server(*arguments: Any) -> None:
    asyncio.run(_serve(*arguments))


@contextmanager
def server(
    count: int,
    chunks: list[bytes] = LINES,
    last: bytes = b"",
    at_once: int = AT_ONCE,
    *,
    first: bytes = b"",
    tls: bool = False,
) -> Iterator[str]:
    """A server in another process that replies with ``first``, ``count`` chunks, ``at_once`` at a time, and ``last``.

    ``count`` is a multiple of ``at_once``. You get its base URL. With ``tls`` its authority is trusted meanwhile.
    """
    certificate = None
    if tls:
        authority = certificates.authority()
        certificate = tuple(map(str, authority.certificate("127.0.0.1")))
        os.environ["SSL_CERT_FILE"] = str(authority.bundle)
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(
        target=_run_server, args=(count, chunks, first, last, at_once, certificate, there), daemon=True
    )
    process.start()
    try:
        yield f"http{'s' if tls else ''}://127.0.0.1:{here.recv()}"
    finally:
        if tls:
            del os.environ["SSL_CERT_FILE"]
        process.terminate()
        process.join()


@cache
def _trusting(authorities: str) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=authorities or None)


def plain_connector() -> aiohttp.TCPConnector:
    """One that trusts whom ``SSL_CERT_FILE`` names, which the HTTP library reads only when it is imported."""
    return aiohttp.TCPConnector(ssl=_trusting(os.environ.get("SSL_CERT_FILE", "")))


async def plain(base_url: str) -> AsyncIterator[str]:
    """The chunks, read the plain way."""
    body = request_body("gpt-3.5-turbo", MESSAGES, 0.7)
    async with (
        aiohttp.ClientSession(connector=plain_connector()) as session,
        session.post(base_url + PATH, json=body, headers=request_headers("")) as response,
    ):
        async for line in response.content:
            event = json.loads(line)
            if event["event"] == "text":
                yield event["data"]


async def chunks_per_cpu_second(chunks: AsyncIterator[str], expected: int) -> float:
    """Read them all, and see how long this process computed for it."""
    begun = time.process_time()
    count = 0
    async for _ in chunks:
        count += 1
    seconds = time.process_time() - begun
    assert count == expected, (count, expected)
    return count / seconds


def ours(base_url: str) -> AsyncIterator[str]:
    """The chunks, as FlowGpt yields them."""
    return FlowGpt.create_async_generator("", MESSAGES, "", base_url=base_url)


async def medians(
    readers: Sequence[Callable[[str], AsyncIterator[str]]], base_url: str, count: int, rounds: int
) -> list[float]:
    """Chunks per second of CPU time of each reader: they read in turn, and the first of the rounds does not count."""
    seen: list[list[float]] = [[] for _ in readers]
    for _ in range(rounds + 1):
        for reader, found in zip(readers, seen, strict=True):
            found.append(await chunks_per_cpu_second(reader(base_url), count))
    return [statistics.median(each[1:]) for each in seen]


def measure(count: int = 32_000, rounds: int = 7, *, tls: bool = False) -> Figures:
    """The figures for replies of ``count`` chunks, a multiple of 16."""
    with server(count, tls=tls) as base_url:
        return Figures(*asyncio.run(medians((ours, plain), base_url, count, rounds)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--chunks", type=int, default=32_000, help="chunks of one reply, a multiple of 16")
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    for tls in (False, True):
        figures = measure(options.chunks, options.rounds, tls=tls)
        print("over TLS" if tls else "over HTTP")
        print(f"  FlowGpt   {figures.flowgpt:>10,.0f} chunks a CPU second")
        print(f"  plain way {figures.plain:>10,.0f} chunks a CPU second")
        print(f"  ratio     {figures.ratio:>10.2f}")


if __name__ == "__main__":
    main()

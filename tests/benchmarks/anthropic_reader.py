"""How many chunks of a reply Anthropic reads in a second of CPU time, beside the ``anthropic`` client.

All read the same event stream from a server in another process, in turn, several times; what counts is the median of
the CPU time of this process. The client is used in both of its ways: ``messages.stream``, which also puts the message
together, as we do, and ``create(stream=True)``, which yields the bare events. The last reader, ``json.loads`` of each
line that aiohttp reads, shows what the bytes cost.
Run it: ``python -m tests.benchmarks.anthropic_reader``.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

import aiohttp
import anthropic

from flowgpt_magic.messages import is_text
from flowgpt_magic.providers.anthropic import Anthropic
from tests.anthropic_servers import end, event, start, word
from tests.benchmarks.reader import AT_ONCE, MESSAGES, WORDS, medians, plain_connector, server

MODEL = "claude-test-1"
KEY = "ANTHROPIC_READER_KEY"  # the variable that holds it
BODY = {"model": MODEL, "messages": MESSAGES, "stream": True, "max_tokens": 1000}
BEGINNING = start() + event("content_block_start", index=0, content_block={"type": "text", "text": ""})
CHUNKS = [word(each) for each in WORDS]
LAST = end()


@dataclass(frozen=True)
class Figures:
    """Chunks a second of CPU time."""

    ours: float
    anthropic: float
    events: float
    plain: float

    @property
    def ratio(self) -> float:
        return self.ours / self.anthropic

    @property
    def ratio_to_events(self) -> float:
        return self.ours / self.events

    @property
    def ratio_to_plain(self) -> float:
        return self.ours / self.plain


async def ours(base_url: str) -> AsyncIterator[str]:
    """The chunks, as Anthropic yields them."""
    options = {"anthropic_base_url": base_url, "anthropic_key": KEY}
    async for chunk in Anthropic.create_async_generator(MODEL, MESSAGES, "", **options):
        if is_text(chunk):
            yield chunk


async def theirs(base_url: str) -> AsyncIterator[str]:
    """The chunks, as the ``anthropic`` client's users read them."""
    async with (
        anthropic.AsyncAnthropic(base_url=base_url, api_key=os.environ[KEY]) as client,
        client.messages.stream(model=MODEL, messages=MESSAGES, max_tokens=1000) as stream,
    ):
        async for text in stream.text_stream:
            yield text


async def events(base_url: str) -> AsyncIterator[str]:
    """The chunks in the bare events of the ``anthropic`` client."""
    async with anthropic.AsyncAnthropic(base_url=base_url, api_key=os.environ[KEY]) as client:
        stream = await client.messages.create(model=MODEL, messages=MESSAGES, max_tokens=1000, stream=True)
        async for found in stream:
            if found.type == "content_block_delta" and found.delta.type == "text_delta":
                yield found.delta.text


async def plain(base_url: str) -> AsyncIterator[str]:
    """The chunks, by the shortest program that gets them."""
    async with (
        aiohttp.ClientSession(connector=plain_connector()) as session,
        session.post(f"{base_url}/v1/messages", json=BODY) as response,
    ):
        async for line in response.content:
            if line.startswith(b"data: {"):
                found = json.loads(line[6:])
                if found["type"] == "content_block_delta":
                    yield found["delta"]["text"]


READERS: tuple[Callable[[str], AsyncIterator[str]], ...] = (ours, theirs, events, plain)


def measure(count: int = 16_000, rounds: int = 5, at_once: int = AT_ONCE, *, tls: bool = False) -> Figures:
    """The figures for replies of ``count`` chunks, of which ``at_once`` are sent at a time."""
    os.environ[KEY] = "a-key-for-nobody"
    with server(count, CHUNKS, LAST, at_once, first=BEGINNING, tls=tls) as base_url:
        return Figures(*asyncio.run(medians(READERS, base_url, count, rounds)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--chunks", type=int, default=16_000, help="chunks of one reply, a multiple of 16")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--at-once", type=int, default=AT_ONCE, help="chunks the server sends at a time")
    options = parser.parse_args()
    for tls in (False, True):
        figures = measure(options.chunks, options.rounds, options.at_once, tls=tls)
        print("over TLS" if tls else "over HTTP")
        print(f"  Anthropic        {figures.ours:>10,.0f} chunks a CPU second")
        print(f"  anthropic {anthropic.__version__:<6} {figures.anthropic:>10,.0f} chunks a CPU second")
        print(f"  its bare events  {figures.events:>10,.0f} chunks a CPU second")
        print(f"  plain way        {figures.plain:>10,.0f} chunks a CPU second")
        print(f"  ratio to anthropic {figures.ratio:>7.1f}, to its bare events {figures.ratio_to_events:.1f}")
        print(f"  ratio to the plain way {figures.ratio_to_plain:.2f}")


if __name__ == "__main__":
    main()

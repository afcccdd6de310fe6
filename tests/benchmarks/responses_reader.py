"""How many chunks OpenAICompatible reads of the Responses API in a second of CPU time, beside the ``openai`` client.

All read the same event stream from a server in another process, in turn, several times; what counts is the median of
the CPU time of this process. The client yields the bare events, ``create(stream=True)``, or puts the response together
too, ``responses.stream``, as we do. The last reader, ``json.loads`` of each line that aiohttp reads, shows what the
bytes cost.
Run it: ``python -m tests.benchmarks.responses_reader``.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

import aiohttp
import openai

from flowgpt_magic.messages import is_text
from flowgpt_magic.providers.openai_compatible import OpenAICompatible
from tests.benchmarks.reader import AT_ONCE, MESSAGES, WORDS, medians, plain_connector, server
from tests.responses_servers import end, event, message, start, word

MODEL = "m"
BODY = {"model": MODEL, "input": MESSAGES, "stream": True}
PART = {"type": "output_text", "text": "", "annotations": []}
PLACE = {"item_id": "m1", "output_index": 0, "content_index": 0}
BEGINNING = (
    start()
    + event("response.output_item.added", output_index=0, item={**message(""), "status": "in_progress", "content": []})
    + event("response.content_part.added", **PLACE, part=PART)
)
CHUNKS = [word(each, obfuscation="abcdefg"[: number % 8]) for number, each in enumerate(WORDS)]


@dataclass(frozen=True)
class Figures:
    """Chunks a second of CPU time."""

    ours: float
    openai: float
    events: float
    plain: float

    @property
    def ratio(self) -> float:
        return self.ours / self.openai

    @property
    def ratio_to_events(self) -> float:
        return self.ours / self.events

    @property
    def ratio_to_plain(self) -> float:
        return self.ours / self.plain


async def ours(base_url: str) -> AsyncIterator[str]:
    """The chunks, as OpenAICompatible yields them."""
    options = {"openai_base_url": f"{base_url}/v1", "openai_api": "responses"}
    async for chunk in OpenAICompatible.create_async_generator(MODEL, MESSAGES, "", **options):
        if is_text(chunk):
            yield chunk


async def theirs(base_url: str) -> AsyncIterator[str]:
    """The chunks, as the ``openai`` client's users read them who want the whole response too."""
    async with (
        openai.AsyncOpenAI(base_url=f"{base_url}/v1", api_key="a-key-for-nobody") as client,
        client.responses.stream(model=MODEL, input=MESSAGES) as stream,
    ):
        async for found in stream:
            if found.type == "response.output_text.delta":
                yield found.delta


async def events(base_url: str) -> AsyncIterator[str]:
    """The chunks in the bare events of the ``openai`` client."""
    async with openai.AsyncOpenAI(base_url=f"{base_url}/v1", api_key="a-key-for-nobody") as client:
        async for found in await client.responses.create(model=MODEL, input=MESSAGES, stream=True):
            if found.type == "response.output_text.delta":
                yield found.delta


async def plain(base_url: str) -> AsyncIterator[str]:
    """The chunks, by the shortest program that gets them."""
    async with (
        aiohttp.ClientSession(connector=plain_connector()) as session,
        session.post(f"{base_url}/v1/responses", json=BODY) as response,
    ):
        async for line in response.content:
            if line.startswith(b"data: {"):
                found = json.loads(line[6:])
                if found["type"] == "response.output_text.delta":
                    yield found["delta"]


READERS: tuple[Callable[[str], AsyncIterator[str]], ...] = (ours, theirs, events, plain)


def measure(count: int = 16_000, rounds: int = 5, at_once: int = AT_ONCE, *, tls: bool = False) -> Figures:
    """The figures for replies of ``count`` chunks, of which ``at_once`` are sent at a time."""
    last = end("completed", message("".join(WORDS) * (count // len(WORDS))))
    with server(count, CHUNKS, last, at_once, first=BEGINNING, tls=tls) as base_url:
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
        print(f"  OpenAICompatible {figures.ours:>10,.0f} chunks a CPU second")
        print(f"  openai {openai.__version__:<9} {figures.openai:>10,.0f} chunks a CPU second")
        print(f"  its bare events  {figures.events:>10,.0f} chunks a CPU second")
        print(f"  plain way        {figures.plain:>10,.0f} chunks a CPU second")
        print(f"  ratio to openai    {figures.ratio:>7.1f}, to its bare events {figures.ratio_to_events:.1f}")
        print(f"  ratio to the plain way {figures.ratio_to_plain:.2f}")


if __name__ == "__main__":
    main()

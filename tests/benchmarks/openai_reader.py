"""How many chunks of a reply OpenAICompatible reads in a second of CPU time, beside the ``openai`` client.

Both read the same event stream from a server in another process, in turn, several times; what counts is the median of
the CPU time of this process. A third reader, ``json.loads`` of each line that aiohttp reads, shows what the bytes cost.
Run it: ``python -m tests.benchmarks.openai_reader``.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

import aiohttp
import openai

from flowgpt_magic.messages import is_text
from flowgpt_magic.providers.openai_compatible import OpenAICompatible
from tests.benchmarks.reader import AT_ONCE, MESSAGES, WORDS, medians, plain_connector, server

MODEL = "gpt-4o-mini"
END = b"data: [DONE]\n\n"
KEY = "OPENAI_READER_KEY"  # the variable that holds it
BODY = {"model": MODEL, "messages": MESSAGES, "stream": True, "stream_options": {"include_usage": True}}


def event(**more: object) -> bytes:
    """One event, with all that OpenAI puts into it."""
    said = {
        "id": "chatcmpl-AbCdEfGhIjKlMnOpQrStUvWxYz01",
        "object": "chat.completion.chunk",
        "created": 1795537475,
        "model": f"{MODEL}-2024-07-18",
        "system_fingerprint": "fp_0123456789",
    }
    return b"data: %s\n\n" % json.dumps({**said, **more}).encode()


def chunk(text: str | None, reason: str | None = None) -> bytes:
    """An event that brings text, or the reason why there is no more."""
    delta = {} if text is None else {"content": text}
    return event(choices=[{"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}], usage=None)


CHUNKS = [chunk(word) for word in WORDS]
LAST = chunk(None, "stop") + event(choices=[], usage={"prompt_tokens": 9, "completion_tokens": 12}) + END


@dataclass(frozen=True)
class Figures:
    """Chunks a second of CPU time."""

    ours: float
    openai: float
    plain: float

    @property
    def ratio(self) -> float:
        return self.ours / self.openai

    @property
    def ratio_to_plain(self) -> float:
        return self.ours / self.plain


async def ours(base_url: str) -> AsyncIterator[str]:
    """The chunks, as OpenAICompatible yields them."""
    chunks = OpenAICompatible.create_async_generator(MODEL, MESSAGES, "", openai_base_url=base_url, openai_key=KEY)
    async for found in chunks:
        if is_text(found):
            yield found


async def theirs(base_url: str) -> AsyncIterator[str]:
    """The chunks, as the ``openai`` client's users read them."""
    async with openai.AsyncOpenAI(base_url=base_url, api_key=os.environ[KEY]) as client:
        stream = await client.chat.completions.create(
            model=MODEL, messages=MESSAGES, stream=True, stream_options={"include_usage": True}
        )
        async for found in stream:
            if found.choices and found.choices[0].delta.content:
                yield found.choices[0].delta.content


async def plain(base_url: str) -> AsyncIterator[str]:
    """The chunks, by the shortest program that gets them."""
    async with (
        aiohttp.ClientSession(connector=plain_connector()) as session,
        session.post(f"{base_url}/chat/completions", json=BODY) as response,
    ):
        async for line in response.content:
            if line.startswith(b"data: {"):
                found = json.loads(line[6:])
                if found["choices"] and found["choices"][0]["delta"].get("content"):
                    yield found["choices"][0]["delta"]["content"]


READERS: tuple[Callable[[str], AsyncIterator[str]], ...] = (ours, theirs, plain)


def measure(count: int = 16_000, rounds: int = 5, at_once: int = AT_ONCE, *, tls: bool = False) -> Figures:
    """The figures for replies of ``count`` chunks, of which ``at_once`` are sent at a time."""
    os.environ[KEY] = "a-key-for-nobody"
    with server(count, CHUNKS, LAST, at_once, tls=tls) as base_url:
        return Figures(*asyncio.run(medians(READERS, f"{base_url}/v1", count, rounds)))


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
        print(f"  plain way        {figures.plain:>10,.0f} chunks a CPU second")
        print(f"  ratio to openai {figures.ratio:>10.1f}, to the plain way {figures.ratio_to_plain:.2f}")


if __name__ == "__main__":
    main()

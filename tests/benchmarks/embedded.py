"""What the embedded model costs: ``python -m tests.benchmarks.embedded``. Needs the weights; takes some minutes."""

from __future__ import annotations

import asyncio
import os
import random
import statistics
import time
import warnings
from collections.abc import Sequence
from contextlib import aclosing

import psutil

from flowgpt_magic.messages import Usage
from flowgpt_magic.providers.llama_cpp import runtime, weights
from flowgpt_magic.providers.local import Local

ROUNDS = 20
LONG = " ".join(
    f"Line {number} tells of {number * 7 % 13} ships and {number * 3 % 17} whales." for number in range(180)
)
QUIET = 0.15  # seconds without processor time after which the runtime counts as stopped


def user(content: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": content}]


async def timed(content: str, max_tokens: int) -> tuple[float, float, Usage]:
    """Seconds to the first chunk, chunks a second after it, and the usage."""
    begun = time.perf_counter()
    first = chunks = 0.0
    usage = Usage()
    async for chunk in Local.create_async_generator("", user(content), max_tokens=max_tokens):
        first = first or time.perf_counter()
        if isinstance(chunk, Usage):
            usage = chunk
        else:
            chunks += 1
    return first - begun, (chunks - 1) / (time.perf_counter() - first), usage


async def seconds_until_quiet() -> float:
    """How long this process goes on computing."""
    begun = busy = time.perf_counter()
    used = time.process_time()
    while time.perf_counter() - busy < QUIET:
        await asyncio.sleep(0.005)
        if time.process_time() - used > 0.002:
            busy = time.perf_counter()
        used = time.process_time()
    return busy - begun


async def left_at(content: str, seconds: float) -> float:
    """Leave a reply this long after it was asked for; seconds for which the computation goes on."""

    async def read() -> None:
        async with aclosing(Local.create_async_generator("", user(content), max_tokens=2000)) as chunks:
            async for _ in chunks:
                pass

    task = asyncio.create_task(read())
    await asyncio.sleep(seconds)
    task.cancel()
    return await seconds_until_quiet()


def show(name: str, seconds: Sequence[float]) -> None:
    print(f"{name}: median {statistics.median(seconds) * 1000:.0f} ms, most {max(seconds) * 1000:.0f} ms")


async def measure() -> None:
    begun = time.perf_counter()
    await Local.create_async("", user("Hello"), max_tokens=1)
    print(f"first reply, import and load included: {time.perf_counter() - begun:.2f} s")
    first, speed, usage = await timed("Write a Python function reverse_string.", 120)
    print(f"first chunk after {usage.prompt_tokens} tokens: {first:.2f} s; then {speed:.0f} chunks a second")
    first, speed, usage = await timed(LONG, 60)
    print(f"first chunk after {usage.prompt_tokens} tokens: {first:.1f} s; then {speed:.0f} chunks a second")
    place = random.Random(1)
    generating = [await left_at(f"{number}. Count to a thousand.", place.uniform(1.5, 2.5)) for number in range(ROUNDS)]
    show("computes on after a cancel, generating", generating)
    reading = [await left_at(f"{number}. {LONG}", place.uniform(0.5, 8)) for number in range(ROUNDS)]
    show("computes on after a cancel, reading a prompt", reading)
    print(f"memory: {psutil.Process().memory_info().rss / 2**20:.0f} MiB")


def main() -> None:
    warnings.simplefilter("ignore")
    threads = runtime.threads_for(runtime.processors())
    print(f"{os.cpu_count()} processors, {threads} threads, load {os.getloadavg()[0]:.1f}")
    begun = time.perf_counter()
    runtime.LoadedModel(runtime.ModelConfig(weights.path(), 4096, threads))
    print(f"import and load: {time.perf_counter() - begun:.2f} s")
    asyncio.run(measure())


if __name__ == "__main__":
    main()

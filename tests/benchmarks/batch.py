"""What a batch costs: beside a bare gather of aiohttp, in memory, against the clock of a rate limit, and to stop.

    python -m tests.benchmarks.batch [gather] [memory] [limit] [cancel] [resume]

The gateway runs as a process of its own, with the echo provider behind it.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import aiohttp
import psutil

PROMPTS, AT_ONCE = 1_000, 100
MANY = 100_000
TURNS = 15  # rounds of the comparison


@contextmanager
def gateway() -> Iterator[str]:
    """A gateway in front of the echo provider; its address."""
    command = [sys.executable, "-m", "flowgpt_magic.gateway", "--model", "echo", "--port", "0"]
    wide = ["--concurrency", str(AT_ONCE), "--queue", str(PROMPTS)]
    process = subprocess.Popen([*command, *wide], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        yield process.stdout.readline().strip().partition("=")[2]
    finally:
        process.terminate()
        process.wait()


@contextmanager
def history() -> Iterator[Path]:
    """A history in a file of its own, for this process."""
    from flowgpt_magic import journal

    with tempfile.TemporaryDirectory() as folder:
        os.environ["FLOWGPT_DATA_DIR"], os.environ["XDG_CONFIG_HOME"] = folder, folder
        yield Path(folder)
        journal.forget()


def prompts(count: int = PROMPTS) -> list[str]:
    return [f"Say the number {number} and nothing else, please." for number in range(count)]


async def bare(url: str, asked: list[str]) -> list[str]:
    """What one would write by hand: one session, so many connections, the text of each reply."""
    from flowgpt_magic.providers.flowgpt import PATH, request_body, request_headers

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=AT_ONCE)) as session:

        async def ask(prompt: str) -> str:
            body = request_body("gpt-3.5-turbo", [{"role": "user", "content": prompt}], 0.7)
            async with session.post(url + PATH, json=body, headers=request_headers("")) as response:
                events = [json.loads(line) for line in (await response.read()).splitlines() if line.strip()]
            return "".join(event["data"] for event in events if event.get("event") == "text")

        return list(await asyncio.gather(*(ask(prompt) for prompt in asked)))


def timed(call) -> tuple[float, float, list[str]]:
    gc.collect()
    wall, processor = time.perf_counter(), time.process_time()
    found = call()
    return time.perf_counter() - wall, time.process_time() - processor, found


def measure_gather() -> None:
    from flowgpt_magic import map_prompts

    asked, walls, processors = prompts(), [], []
    with gateway() as url, history():
        for turn in range(TURNS):
            how = {"model": "flowgpt", "base_url": url, "concurrency": AT_ONCE, "progress": False, "refresh": True}
            ways = [
                lambda: asyncio.run(bare(url, asked)),
                lambda how=how: map_prompts(asked, **how).texts,
            ]
            # The one that comes second finds the machine warm: they take turns.
            order = (0, 1) if turn % 2 else (1, 0)
            found = {each: timed(ways[each]) for each in order}
            assert found[0][2] == found[1][2] == asked
            if turn:
                walls.append((found[0][0], found[1][0]))
                processors.append((found[0][1], found[1][1]))
    ratios = sorted(ours / theirs for theirs, ours in walls)
    print(f"{PROMPTS:,} prompts, {AT_ONCE} at once, every turn kept in a history on disk, {len(walls)} rounds")
    for name, pairs in (("seconds", walls), ("seconds of CPU here", processors)):
        print(
            f"  {name:<20} bare gather {statistics.median(each for each, _ in pairs):.3f}, "
            f"batch {statistics.median(each for _, each in pairs):.3f} (medians)"
        )
    print(f"  ratio: median {statistics.median(ratios):.2f}, best {ratios[0]:.2f}, worst {ratios[-1]:.2f}")


def megabytes() -> float:
    gc.collect()
    return psutil.Process().memory_info().rss / 2**20


def measure_memory() -> None:
    from flowgpt_magic import map_prompts

    with history() as folder:
        for concurrency in (8, 100):
            map_prompts(prompts(10), model="echo", concurrency=concurrency, progress=False, refresh=True).read()
            before, most, begun, count = megabytes(), 0.0, time.perf_counter(), 0
            source = (f"Say the number {number} of {concurrency}." for number in range(MANY))
            for result in map_prompts(source, model="echo", concurrency=concurrency, progress=False):
                assert result.status == "complete"
                count += 1
                if count % 5_000 == 0:
                    most = max(most, megabytes())
            seconds = time.perf_counter() - begun
            print(
                f"{count:,} prompts from a generator, {concurrency} at once, echo in this process: memory grows by "
                f"{most - before:.0f} MB at most, by {megabytes() - before:.0f} MB in the end; {seconds:.0f} s"
            )
        sizes = [path.stat().st_size for path in folder.glob("history.sqlite3*")]
        print(f"  the history has {sum(sizes) / 2**20:.0f} MB afterwards")


def measure_limit() -> None:
    from flowgpt_magic.pacing import SLACK, Pace

    async def run(per_minute: float, seconds: float) -> list[float]:
        pace, went = Pace(per_minute), []
        until = time.monotonic() + seconds

        async def ask() -> None:
            while time.monotonic() < until:
                await pace.turn()
                went.append(time.monotonic())

        await asyncio.gather(*(ask() for _ in range(50)))
        return [moment for moment in sorted(went) if moment <= until]

    for per_minute in (60, 600, 6_000):
        seconds = 20
        went = asyncio.run(run(per_minute, seconds))
        window = 10
        most = max(
            sum(1 for each in went if start <= each < start + window) for start in went[:: max(1, len(went) // 200)]
        )
        rate = (len(went) - 1) / (went[-1] - went[0]) * 60
        print(
            f"at {per_minute:,} requests a minute: {rate:,.1f} a minute over {seconds} s ({rate / per_minute:.1%}, "
            f"{1 / SLACK:.1%} is meant), at most {most:,} in any {window} s, where {per_minute * window // 60:,} may go"
        )


def measure_cancel() -> None:
    from flowgpt_magic import map_prompts

    taken = []
    with history():
        for at_once in (1, 8, 100):
            for _ in range(20):
                batch = map_prompts(prompts(), model="echo", params={"pace": 3600}, concurrency=at_once, progress=False)
                sent: list[float] = []

                def cancel(batch=batch, sent=sent) -> None:
                    sent.append(time.perf_counter())
                    batch.cancel()

                threading.Timer(0.1, cancel).start()
                batch.read()
                taken.append((time.perf_counter() - sent[0]) * 1000)
                assert batch.status == "cancelled"
            print(
                f"cancel → the reader returns, {at_once} under way and no chunk yet: median "
                f"{statistics.median(taken[-20:]):.1f} ms, worst {max(taken[-20:]):.1f} ms"
            )


def measure_resume() -> None:
    from flowgpt_magic import journal, map_prompts

    with history():
        asked = prompts(20_000)
        for result in map_prompts(asked[: len(asked) // 2], model="echo", concurrency=100, progress=False):
            assert result.status == "complete"
        journal.forget()  # as in another kernel
        begun = time.perf_counter()
        batch = map_prompts(asked, model="echo", concurrency=100, progress=False)
        first = next(iter(batch.as_completed())) and time.perf_counter() - begun
        begun = time.perf_counter()
        batch = map_prompts(asked[: len(asked) // 2], model="echo", concurrency=100, progress=False)
        count = sum(result.replayed for result in batch.results)
        seconds = time.perf_counter() - begun
        print(
            f"run again: the first of {len(asked):,} results after {first * 1000:.0f} ms, "
            f"{count:,} from the history in {seconds:.2f} s ({seconds / count * 1e6:.0f} µs each)"
        )


if __name__ == "__main__":
    print(f"Python {sys.version.split()[0]}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    chosen = {
        "gather": measure_gather,
        "memory": measure_memory,
        "limit": measure_limit,
        "cancel": measure_cancel,
        "resume": measure_resume,
    }
    for each in sys.argv[1:] or chosen:
        chosen[each]()

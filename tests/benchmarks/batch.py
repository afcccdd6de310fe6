"""What a batch costs: beside a bare gather of aiohttp, in memory, against the clock of a rate limit, and to stop.

    python -m tests.benchmarks.batch [gather] [places] [memory] [limit] [cancel] [open] [resume] [busy] [queue] ...

Servers whose own work would count run as processes of their own.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import random
import ssl
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import psutil

from flowgpt_magic.bridge import Worker
from flowgpt_magic.providers.flowgpt import PATH, request_body, request_headers
from tests import certificates, hostile_servers, servers
from tests.batches import kernel
from tests.benchmarks import openai_reader
from tests.benchmarks.slow_server import Plan, SlowServer, refusal, slow_server

PROMPTS, AT_ONCE = 1_000, 100
MANY = 100_000
TURNS = 8  # rounds of the comparison, of which the first does not count


@contextmanager
def history() -> Iterator[Path]:
    """A history in a file of its own, for this process."""
    from flowgpt_magic.history.current import close_all

    with tempfile.TemporaryDirectory() as folder:
        os.environ["FLOWGPT_DATA_DIR"], os.environ["XDG_CONFIG_HOME"] = folder, folder
        yield Path(folder)
        close_all()


def prompts(count: int = PROMPTS) -> list[str]:
    return [f"Say the number {number} and nothing else, please." for number in range(count)]


def texts_of(body: bytes) -> Iterator[str]:
    """The texts of a reply of either protocol."""
    for line in body.splitlines():
        said = line.removeprefix(b"data: ")
        if not said.startswith(b"{"):
            continue
        event = json.loads(said)
        if event.get("event") == "text":
            yield event["data"]
        elif event.get("choices") and (text := event["choices"][0]["delta"].get("content")):
            yield text


async def bare(asked: list[str], url: str, body_for: Callable[[str], Any], at_once: int = AT_ONCE) -> list[str]:
    """What one would write by hand: one session, so many connections, the text of each reply."""
    tls = ssl.create_default_context(cafile=os.environ.get("SSL_CERT_FILE"))
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=at_once, ssl=tls)) as session:

        async def ask(prompt: str) -> str:
            async with session.post(url, json=body_for(prompt), headers=request_headers("")) as response:
                return "".join(texts_of(await response.read()))

        return list(await asyncio.gather(*(ask(prompt) for prompt in asked)))


def flowgpt_body(prompt: str) -> Any:
    """What the FlowGPT protocol asks for a prompt."""
    return request_body("gpt-3.5-turbo", [{"role": "user", "content": prompt}], 0.7)


def openai_body(prompt: str) -> Any:
    """What OpenAI's protocol asks for a prompt."""
    return {**openai_reader.BODY, "messages": [{"role": "user", "content": prompt}]}


@dataclass(frozen=True)
class Way:
    """One protocol: what a server of it sends, where and what it is asked, and the options of a batch that asks it."""

    model: str
    setting: str
    base: str  # what the base URL has behind the host
    path: str
    chunks: tuple[bytes, ...]
    body_for: Callable[[str], Any]

    def options(self, server: SlowServer) -> dict[str, Any]:
        """The options of a batch at ``server``."""
        return {"model": self.model, self.setting: server.url + self.base, "progress": False, "refresh": True}


WORDS = [f"word {number} " for number in range(20)]
WAYS = {
    "FlowGpt": Way("flowgpt", "base_url", "", PATH, tuple(map(servers.line, WORDS)), flowgpt_body),
    "OpenAICompatible": Way(
        f"openai_compatible:{openai_reader.MODEL}",
        "openai_base_url",
        "/v1",
        "/chat/completions",
        (*map(openai_reader.chunk, WORDS), openai_reader.LAST),
        openai_body,
    ),
}


def timed(call) -> tuple[float, float, list[str]]:
    gc.collect()
    wall, processor = time.perf_counter(), time.process_time()
    found = call()
    return time.perf_counter() - wall, time.process_time() - processor, found


def measure_gather() -> None:
    """Against a server that answers in 50 ms, both protocols, over HTTP and TLS."""
    authority = certificates.authority()
    certificate = tuple(map(str, authority.certificate("127.0.0.1")))
    print(
        f"{PROMPTS:,} prompts, {AT_ONCE} at once, {len(WORDS)} chunks after 50 ms, every turn kept in a history on disk"
    )
    for name, way in WAYS.items():
        for tls in (False, True):
            os.environ["SSL_CERT_FILE"] = str(authority.bundle)
            with slow_server(Plan(way.chunks, certificate=certificate if tls else None)) as server, history():
                compare_with_bare(f"{name} over {'TLS' if tls else 'HTTP'}", way, server)


def compare_with_bare(name: str, way: Way, server: SlowServer) -> None:
    """A batch and a bare gather in turn: the one that comes second finds the machine warm."""
    from flowgpt_magic import map_prompts

    asked, walls, processors = prompts(), [], []
    for turn in range(TURNS):
        ways = [
            lambda: asyncio.run(bare(asked, server.url + way.base + way.path, way.body_for)),
            lambda: map_prompts(asked, concurrency=AT_ONCE, **way.options(server)).texts,
        ]
        found = {each: timed(ways[each]) for each in ((0, 1) if turn % 2 else (1, 0))}
        assert found[0][2] == found[1][2] == ["".join(WORDS)] * PROMPTS
        if turn:
            walls.append((found[0][0], found[1][0]))
            processors.append((found[0][1], found[1][1]))
    ratios = sorted(ours / theirs for theirs, ours in walls)
    middle, least, most = statistics.median(ratios), ratios[0], ratios[-1]
    print(f"  {name}, {len(walls)} rounds: ratio median {middle:.2f}, from {least:.2f} to {most:.2f}")
    for kind, pairs in (("seconds", walls), ("seconds of CPU", processors)):
        theirs, ours = (statistics.median(each[place] for each in pairs) for place in (0, 1))
        print(f"    {kind:<15} bare gather {theirs:.3f}, batch {ours:.3f} (medians)")


def measure_places() -> None:
    """A server that works on 10 requests at a time, 100 ms each, and refuses all others at once."""
    from flowgpt_magic import map_prompts

    way, asked, places = WAYS["OpenAICompatible"], prompts(300), 10
    for status in ("503 Service Unavailable", "429 Too Many Requests"):
        for headers in ((), ("Retry-After: 1",)):
            plan = Plan(way.chunks, 0.1, places, refusal(status, *headers))
            with slow_server(plan) as server, history():
                for _ in range(3):
                    url = server.url + way.base + way.path
                    theirs, _cpu, _texts = timed(lambda url=url: asyncio.run(bare(asked, url, way.body_for, places)))
                    server.counts()
                    batch = map_prompts(asked, concurrency=50, **way.options(server))
                    ours, _cpu, _none = timed(batch.read)
                    lost, refused = sum(each.status != "complete" for each in batch.results), server.counts().refused
                    print(
                        f"{status[:3]} {' '.join(headers):<15} {lost} of {len(asked)} lost, {refused} refused; "
                        f"{ours:.2f} s ({3.0 / ours:.2f} of what the server can); "
                        f"a bare gather of {places} takes {theirs:.2f} s"
                    )


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


class Clock:
    """A server, on a thread of its own, that notes when each request arrives, and answers after a while."""

    def __init__(self) -> None:
        self.url, self.arrived = "", []
        self._thread, self._stop = Worker(), asyncio.Event()

    async def _answer(self, request: servers.Request, connection: servers.Connection) -> None:
        self.arrived.append(time.monotonic())
        await asyncio.sleep(random.uniform(0.0, 0.2))
        await connection.send(servers.CHUNKED, servers.framed(servers.line("yes")), servers.END)

    def __enter__(self) -> Clock:
        address: Future[str] = Future()

        async def serve() -> None:
            async with servers.serving(self._answer) as found:
                address.set_result(found.url)
                await self._stop.wait()

        self._serving = self._thread.submit(serve())
        self.url = address.result(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.loop.call_soon_threadsafe(self._stop.set)
        self._serving.result(10)
        self._thread.close()


def measure_limit() -> None:
    from flowgpt_magic import map_prompts

    seconds, window = 30, 10
    for per_minute in (60, 600, 6_000):
        with Clock() as server, history():
            how = {"model": "flowgpt", "base_url": server.url, "concurrency": 50, "progress": False}
            asked = prompts(per_minute * seconds // 60)
            assert all(each.status == "complete" for each in map_prompts(asked, requests_per_minute=per_minute, **how))
            came = sorted(server.arrived)
        most = max(sum(1 for each in came if start <= each < start + window) for start in came)
        rate = (len(came) - 1) / (came[-1] - came[0]) * 60
        print(
            f"at {per_minute:,} requests a minute, as they arrive at a server: {rate:,.1f} a minute over {seconds} s "
            f"({rate / per_minute:.1%}), at most {most:,} in any {window} s, where {per_minute * window // 60:,} may be"
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


def measure_open() -> None:
    from flowgpt_magic import Conversation

    for count in (0, 10_000):
        with tempfile.TemporaryDirectory() as folder:
            first = kernel(Path(folder))
            chat = Conversation(configured=lambda: {"model": "echo"}, notebook_history=first)
            list(chat.ask("a turn of the notebook"))
            if count:
                chat.map(prompts(count), concurrency=100, progress=False).read()
            assert first.flush()
            first.close()
            taken = []
            for _ in range(20):
                again = kernel(Path(folder))
                begun = time.perf_counter()
                turns = Conversation(notebook_history=again).turns
                taken.append((time.perf_counter() - begun) * 1000)
                assert len(turns) == 1
                again.close()
            print(f"a notebook with a batch of {count:,} opens in {statistics.median(taken):.1f} ms (median)")


def measure_resume() -> None:
    from flowgpt_magic import map_prompts
    from flowgpt_magic.history.current import close_all

    with history():
        asked = prompts(20_000)
        for result in map_prompts(asked[: len(asked) // 2], model="echo", concurrency=100, progress=False):
            assert result.status == "complete"
        close_all()  # as in another kernel
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


def tell(name: str, batch, server, ideal: float, seconds: float) -> None:
    lost = sum(result.status != "complete" for result in batch.results)
    doubled = "" if server is None else f", {sum(n > 1 for n in server.answered.values())} answered twice"
    refused = "" if server is None else f", {server.refused} requests refused"
    print(
        f"{name}: {lost} of {len(batch.results)} lost{doubled}{refused}; "
        f"{seconds:.2f} s where the server allows {ideal:.2f} s ({ideal / seconds:.2f})"
    )


def measure_busy() -> None:
    """The gateway takes 4 requests at a time and 32 in its queue, and refuses the others."""
    from flowgpt_magic import map_prompts

    command = [sys.executable, "-m", "flowgpt_magic.gateway", "--model", "echo", "--port", "0"]
    taken = {}
    for at_once in (4, 36, 64):
        paced = {**os.environ, "FLOWGPT_PACE": "0.05"}
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=paced)
        try:
            url = process.stdout.readline().strip().partition("=")[2]
            with history():
                begun = time.perf_counter()
                asked = [f"a b c {number}" for number in range(200)]
                batch = map_prompts(asked, model="flowgpt", base_url=url, concurrency=at_once, progress=False)
                batch.read()
                taken[at_once] = time.perf_counter() - begun
                tell(f"the gateway, {at_once} at once", batch, None, min(taken.values()), taken[at_once])
        finally:
            process.terminate()
            process.wait()


def measure_queue() -> None:
    """Five replies of 0.2 s at a time, five requests in a queue, 503 without a wait for the rest, as Ray Serve does."""
    for at_once in (8, 64):
        places = [0.0] * 5

        def decide(_prompt: str, _number: int, places=places):
            if server.open >= 10:
                return hostile_servers.Refusal(503, report="Request dropped due to backpressure")
            place = min(range(5), key=places.__getitem__)
            places[place] = max(time.monotonic(), places[place]) + 0.2
            return hostile_servers.Good(places[place] - time.monotonic())

        with hostile_servers.hostile(decide) as server, history():
            begun = time.perf_counter()
            batch = hostile_servers.batch_at(server, prompts(200), concurrency=at_once)
            batch.read()
            tell(f"a full queue, {at_once} at once", batch, server, 8.0, time.perf_counter() - begun)


def measure_rate() -> None:
    """40 requests a minute, and a wait of 5 s for the others; three times as fast, so that it takes 20 s."""
    for at_once in (8, 64):
        window, arrived, counts = 20.0, [], Counter()

        def decide(_prompt: str, _number: int, window=window, arrived=arrived, counts=counts):
            arrived.append(time.monotonic())
            place = int((arrived[-1] - arrived[0]) / window)
            if counts[place] >= 40:
                return hostile_servers.Refusal(429, {"retry-after-ms": "1667"})
            counts[place] += 1
            return hostile_servers.Good(0.05)

        with hostile_servers.hostile(decide) as server, history():
            begun = time.perf_counter()
            batch = hostile_servers.batch_at(server, prompts(80), concurrency=at_once)
            batch.read()
            tell(f"40 requests in 20 s, {at_once} at once", batch, server, window, time.perf_counter() - begun)


def measure_dead() -> None:
    """A server that answers 503 to everything, and one that is not there."""
    from flowgpt_magic.errors import BatchError

    refusing = hostile_servers.Refusal(503)
    for at_once in (1, 16, 100):
        with hostile_servers.hostile(lambda _prompt, _number: refusing) as server, history():
            begun, processor = time.perf_counter(), time.process_time()
            batch = hostile_servers.batch_at(server, prompts(300), concurrency=at_once, patience=10)
            try:
                batch.read()
            except BatchError as error:
                told = str(error)
            failed = sum(result.status == "failed" for result in batch.results)
            print(
                f"503 for all, 300 prompts, {at_once} at once, 10 s of patience: {len(server.arrivals)} requests, "
                f"{failed} failed, {time.perf_counter() - begun:.1f} s, {time.process_time() - processor:.2f} s of CPU"
            )
    print(f"  {told}")


if __name__ == "__main__":
    print(f"Python {sys.version.split()[0]}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    chosen = {
        "gather": measure_gather,
        "places": measure_places,
        "memory": measure_memory,
        "limit": measure_limit,
        "cancel": measure_cancel,
        "open": measure_open,
        "resume": measure_resume,
        "busy": measure_busy,
        "queue": measure_queue,
        "rate": measure_rate,
        "dead": measure_dead,
    }
    for each in sys.argv[1:] or chosen:
        chosen[each]()

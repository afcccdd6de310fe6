"""What a streaming cell costs, in a real kernel: lag, interrupt, bytes and messages to the front end.

    python -m tests.benchmarks.cells [lag] [interrupt] [bytes]

Every figure is printed beside the naive way in the same run: the whole text sent again for each chunk.
"""

from __future__ import annotations

import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.kernel.conftest import Kernel, Run, start

NAIVE = """\
from IPython.display import Markdown, display
from flowgpt_magic import FlowGpt
def naive(question):
    text, handle = "", display(Markdown(""), display_id=True)
    for chunk in FlowGpt.create_completion("", [{"role": "user", "content": question}]):
        text += chunk
        handle.update(Markdown(text))
"""
PARAGRAPH = (
    "## A heading {n}\n\nSome *emphasised* words, a `code span` and a [link](https://example.org/{n}) in a paragraph "
    "that goes on for a while, as paragraphs do.\n\n- first item of a list\n- second item, a little longer\n\n"
    "```python\ndef function_{n}(x):\n    return x + {n}\n```\n\n"
)


class Server:
    """The paced server, in a process of its own."""

    def __init__(self) -> None:
        command = [sys.executable, "-m", "tests.benchmarks.paced_server"]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.url = f"http://127.0.0.1:{int(self.process.stdout.readline())}"
        self.gone: list[float] = []
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        for line in self.process.stdout:
            self.gone.append(float(line.split()[1]))


@contextmanager
def setting() -> Iterator[tuple[Kernel, Server]]:
    server = Server()
    with tempfile.TemporaryDirectory() as folder:
        kernel = start(Path(folder), FLOWGPT_BASE_URL=server.url, FLOWGPT_MODEL="flowgpt")
        try:
            yield kernel, server
        finally:
            kernel.close()
            server.process.stdin.close()
            server.process.wait()


def cell(plan: dict[str, object], line: str = "") -> str:
    return f"%%flowgpt {line}\n{json.dumps(plan)}"


def content_bytes(run: Run) -> int:
    kinds = ("display_data", "update_display_data", "stream", "clear_output")
    return sum(len(json.dumps(content, ensure_ascii=False).encode()) for _when, content in run.of_type(*kinds))


def most_in_a_second(run: Run) -> int:
    moments = [when for when, _content in run.of_type("display_data", "update_display_data", "stream", "clear_output")]
    return max((sum(1 for other in moments if when <= other < when + 1) for when in moments), default=0)


def lags(run: Run) -> list[float]:
    """For each chunk, milliseconds from when it was sent to when a message held it."""
    found: dict[str, float] = {}
    for when, content in run.of_type("display_data", "update_display_data", "stream"):
        text = content["data"].get("text/markdown", "") if "data" in content else content["text"]
        for word in text.split():
            if word.startswith("t="):
                found.setdefault(word, (when - float(word[2:])) * 1000)
    return list(found.values())


def measure_lag() -> None:
    with setting() as (kernel, _server):
        for line in ("", "-f text"):
            kernel.good(cell({"chunks": 3, "gap": 0.02}, line))
            found = lags(kernel.good(cell({"chunks": 200, "gap": 0.02}, line)))
            ordered = sorted(found)
            print(
                f"lag of {len(found)} chunks 20 ms apart, {line or 'markdown'}: first {found[0]:.1f} ms, median "
                f"{statistics.median(found):.2f} ms, p95 {ordered[int(0.95 * len(ordered))]:.1f} ms"
            )


def measure_interrupt(times: int = 100) -> None:
    idle, disconnect = [], []
    with setting() as (kernel, server):
        kernel.good(cell({"chunks": 1, "gap": 0}))  # the first prompt of a kernel imports what the others use
        for _ in range(times):
            request = kernel.send(cell({"chunks": 10_000, "gap": 0.02}, "-o r"))
            pause = random.uniform(0.05, 0.5)
            sent: list[float] = []

            def interrupt(pause: float = pause, sent: list[float] = sent) -> None:
                sent.append(time.monotonic())
                kernel.interrupt()

            timer = threading.Timer(pause, interrupt)
            timer.start()
            before = len(server.gone)
            run = kernel.collect(request)
            assert run.status == "error", run.reply
            idle.append((run.idle_at - sent[0]) * 1000)
            deadline = time.monotonic() + 5
            while len(server.gone) == before and time.monotonic() < deadline:
                time.sleep(0.002)
            if len(server.gone) > before:
                disconnect.append((server.gone[before] - sent[0]) * 1000)
            assert kernel.good("print(r.status)").printed == "cancelled\n"
    for name, found in (("idle", idle), ("server sees the disconnect", disconnect)):
        middle, worst = statistics.median(found), max(found)
        print(f"interrupt → {name}: {len(found)} of {times}, median {middle:.0f} ms, max {worst:.0f} ms")


def markdown(length: int) -> str:
    parts, size, number = [], 0, 0
    while size < length:
        parts.append(PARAGRAPH.format(n=number))
        size += len(parts[-1])
        number += 1
    return "".join(parts)[:length]


def traffic(run: Run, length: int) -> str:
    return f"{content_bytes(run) / length:,.2f} times the reply in at most {most_in_a_second(run)} messages a second"


def measure_bytes(lengths: tuple[int, ...] = (4_096, 32_768, 102_400)) -> None:
    print("what is sent to the front end for 400 chunks of 8 characters a second")
    with setting() as (kernel, _server):
        kernel.good(NAIVE)
        for length in lengths:
            for name, text in (("mixed Markdown", markdown(length)), ("one paragraph", ("word " * length)[:length])):
                plan = {"text": text, "size": 8, "gap": 0.0025}
                run = kernel.good(cell(plan))
                assert [output["data"]["text/plain"] for output in run.outputs] == [text]
                pace = length / (run.idle_at - run.messages[0][0])
                print(f"{length:>9,} characters of {name} at {pace:,.0f} a second: {traffic(run, length)}", flush=True)
                if length <= 32_768:
                    naive = kernel.good(f"naive({json.dumps(plan)!r})")
                    print(f"{'the whole text for each chunk':>48}: {traffic(naive, length)}", flush=True)


def main() -> None:
    wanted = sys.argv[1:] or ["lag", "interrupt", "bytes"]
    if "lag" in wanted:
        measure_lag()
    if "interrupt" in wanted:
        measure_interrupt()
    if "bytes" in wanted:
        measure_bytes()
    if "megabyte" in wanted:
        measure_bytes((1_048_576,))


if __name__ == "__main__":
    os.environ.setdefault("PYTHONUNBUFFERED", "1")
    main()

"""What a streaming cell costs, in a real kernel: lag, interrupt, bytes and messages to the front end.

    python -m tests.benchmarks.cells [lag] [interrupt] [bytes] [megabyte] [long]

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
from importlib.util import find_spec
from pathlib import Path
from typing import Any

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
PRINT = """\
import json, os, urllib.request
def printed(question):
    address = os.environ["FLOWGPT_BASE_URL"] + "/v3/chat-anonymous"
    head = {"Content-Type": "application/json"}
    request = urllib.request.Request(address, json.dumps({"question": question}).encode(), head)
    with urllib.request.urlopen(request) as response:
        for line in response:
            print(json.loads(line)["data"], end="", flush=True)
"""
CHATLAS = """\
import os
from chatlas import ChatOpenAICompletions
chat = ChatOpenAICompletions(base_url=os.environ["FLOWGPT_BASE_URL"] + "/v1", api_key="none", model="paced")
def chatlas(question):
    chat.set_turns([])
    chat.chat(question, echo="output")
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


def measure_lag(rounds: int = 2) -> None:
    """In turn with a plain loop that prints, and with chatlas where that is installed."""
    plan = {"chunks": 200, "gap": 0.02}
    ways = {"markdown": cell(plan), "text": cell(plan, "-f text"), "print": f"printed({json.dumps(plan)!r})"}
    with setting() as (kernel, _server):
        kernel.good(PRINT)
        if find_spec("chatlas"):
            kernel.good(CHATLAS)
            ways["chatlas"] = f"chatlas({json.dumps(plan)!r})"
        for way in ways.values():  # the first time imports what is needed
            kernel.good(way.replace("200", "3"))
        for name, way in [*ways.items()] * rounds:
            run = kernel.good(way)
            ordered = sorted(found := lags(run))
            print(
                f"lag of {len(found)} chunks 20 ms apart, {name:<8}: first {found[0]:.1f} ms, median "
                f"{statistics.median(found):.2f} ms, p95 {ordered[int(0.95 * len(ordered))]:.1f} ms, "
                f"{content_bytes(run) / 3_600:.1f} times the reply",
                flush=True,
            )


def measure_interrupt(times: int = 100) -> None:
    """Each in the middle of a stream: up to half a second after its first chunk was shown."""
    idle, disconnect = [], []
    with setting() as (kernel, server):
        kernel.good(cell({"chunks": 3, "gap": 0.02}))  # the first prompt of a kernel imports what the others use
        for _ in range(times):
            sent: list[float] = []

            def interrupt(sent: list[float] = sent) -> None:
                sent.append(time.monotonic())
                kernel.interrupt()

            timer = threading.Timer(random.uniform(0, 0.5), interrupt)

            def begin(message: dict[str, Any], timer: threading.Timer = timer) -> None:
                if not timer.ident and "t=" in str(message["content"]):
                    timer.start()

            before = len(server.gone)
            run = kernel.collect(kernel.send(cell({"chunks": 10_000, "gap": 0.02}, "-o r")), on_message=begin)
            timer.join()
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


def measure_long(megabytes: int = 20) -> None:
    """All messages of a cell whose reply is very long, with the kernel's CPU time and its memory."""
    watch = "import resource, os; print(sum(os.times()[:2]), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    part = markdown(100_000)
    plan = {"text": part, "times": 10 * megabytes, "size": 2_000, "gap": 0}
    text = part * (10 * megabytes)
    with setting() as (kernel, _server):
        for line in ("", "-f text"):
            kernel.good(cell({"chunks": 3, "gap": 0}, line))
            before = [float(each) for each in kernel.good(watch).printed.split()]
            run = kernel.good(cell(plan, line))
            after = [float(each) for each in kernel.good(watch).printed.split()]
            assert [output["data"]["text/plain"] for output in run.outputs] == [text]
            whole = sum(len(json.dumps(message, default=str, ensure_ascii=False)) for _when, message in run.messages)
            asked = sum(len(json.dumps(content)) for _when, content in run.of_type("execute_input"))
            print(
                f"{megabytes} MB, {line or 'markdown'}: {content_bytes(run) / len(text):.2f} times the reply, "
                f"{(whole - asked) / len(text):.2f} with headers, {after[0] - before[0]:.1f} s of CPU, "
                f"memory {before[1] / 1024:.0f} to {after[1] / 1024:.0f} MB, {run.idle_at - run.messages[0][0]:.0f} s",
                flush=True,
            )


def main() -> None:
    wanted = sys.argv[1:] or ["lag", "interrupt", "bytes"]
    if "lag" in wanted:
        measure_lag()
    if "interrupt" in wanted:
        measure_interrupt()
    if "bytes" in wanted:
        measure_bytes()
    if "long" in wanted:
        measure_long()
    if "megabyte" in wanted:
        measure_bytes((1_048_576,))


if __name__ == "__main__":
    os.environ.setdefault("PYTHONUNBUFFERED", "1")
    main()

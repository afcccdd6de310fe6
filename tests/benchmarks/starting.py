"""What the first minute costs: loading the extension, the first reply, and a cell that is run right after loading.

    python -m tests.benchmarks.starting [load] [reply] [cell]

Loading is measured beside IPython's own start, the rest beside kernels that import nothing ahead, in the same run.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.benchmarks.cells import Server, cell
from tests.kernel.conftest import SETUP, Kernel, start

TIMES = 5
SHELLS = {"plain": "IPython.core.interactiveshell InteractiveShell"}
SHELLS["terminal"] = "IPython.terminal.interactiveshell TerminalInteractiveShell"
LOAD = """
import sys, time
begun, on_cpu = time.perf_counter(), time.process_time()
from {0} import {1}
shell = {1}.instance()
started, on_cpu_started = time.perf_counter(), time.process_time()
shell.run_line_magic("load_ext", "flowgpt_magic")
print(started - begun, time.perf_counter() - started, on_cpu_started - on_cpu, time.process_time() - on_cpu_started)
"""
HTTP = cell({"chunks": 3, "gap": 0})
ECHO = "%%flowgpt echo\nSome *emphasised* words and $x^2$."


def milliseconds(values: list[float]) -> str:
    return f"{statistics.median(values) * 1000:.0f} ms (at most {max(values) * 1000:.0f})"


def measure_load() -> None:
    for name, shell in SHELLS.items():
        rows = []
        for _ in range(2 * TIMES):
            command = [sys.executable, "-c", LOAD.format(*shell.split())]
            environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
            printed = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
            rows.append([float(each) for each in printed.split()])
        for kind, (base, own) in (("wall", (0, 1)), ("CPU", (2, 3))):
            ratio = statistics.median(row[own] / row[base] for row in rows)
            print(
                f"loading in a {name} shell, {kind}: {milliseconds([row[own] for row in rows])}, IPython's start "
                f"{milliseconds([row[base] for row in rows])}, {ratio:.2f} times"
            )


@contextmanager
def kernel(folder: str, *, ahead: bool, **environment: str) -> Iterator[Kernel]:
    """A kernel with the extension just loaded; with ``ahead`` by a person, for whom it imports ahead."""
    found = start(Path(folder), setup="", PYTHONDONTWRITEBYTECODE="", **environment)
    try:
        found.good("1 + 1")
        found.good(SETUP, allow_stdin=ahead)
        yield found
    finally:
        found.close()


def seconds_of_cpu(found: Kernel) -> float:
    request = found.client.execute("import time; print(time.process_time())", silent=True)
    return float(found.collect(request).printed)


def seconds_of(found: Kernel, code: str) -> float:
    """From when the cell is sent until the kernel is idle."""
    begun = time.monotonic()
    return found.run(code).idle_at - begun


def measure_reply() -> None:
    server = Server()
    http = {"FLOWGPT_MODEL": "flowgpt", "FLOWGPT_BASE_URL": server.url}
    for name, prompt, environment in (("echo", ECHO, {}), ("FlowGPT over HTTP", HTTP, http)):
        for ahead in (False, True):
            wall, cpu, ended = [], [], []
            for _ in range(TIMES):
                with tempfile.TemporaryDirectory() as folder, kernel(folder, ahead=ahead, **environment) as found:
                    begun = time.monotonic()
                    if ahead:
                        found.imported()
                    ended.append(time.monotonic() - begun)
                    before = seconds_of_cpu(found)
                    wall.append(seconds_of(found, prompt))
                    cpu.append(seconds_of_cpu(found) - before)
            how = f"imported ahead in {milliseconds(ended)}" if ahead else "nothing imported ahead"
            print(f"first reply of {name}, {how}: CPU {milliseconds(cpu)}, wall {milliseconds(wall)}", flush=True)
    server.process.stdin.close()
    server.process.wait()


def measure_cell() -> None:
    server = Server()
    http = {"FLOWGPT_MODEL": "flowgpt", "FLOWGPT_BASE_URL": server.url}
    for pause in (0.0, 0.1, 0.2):
        for ahead in (False, True):
            times = []
            for _ in range(TIMES):
                with tempfile.TemporaryDirectory() as folder, kernel(folder, ahead=ahead, **http) as found:
                    time.sleep(pause)
                    times.append(seconds_of(found, "1 + 1"))
            how = "imports ahead" if ahead else "no imports  "
            print(f"1 + 1, {pause * 1000:3.0f} ms after loading, {how}: {milliseconds(times)}", flush=True)
    server.process.stdin.close()
    server.process.wait()


def main() -> None:
    wanted = sys.argv[1:] or ["load", "reply", "cell"]
    if "load" in wanted:
        measure_load()
    if "reply" in wanted:
        measure_reply()
    if "cell" in wanted:
        measure_cell()


if __name__ == "__main__":
    main()

"""What a typeset reply costs the page, in headless Chromium with JupyterLab: a cell, the panel, and the plain way.

    python -m tests.benchmarks.typeset [cell] [panel] [whole] [--profile FILE]

The reply has 32 KB with 30 formulas and 5 tables, at 400 chunks of 8 characters a second. ``whole`` repaints all of it
for each chunk, by ``update_display``. ``--profile`` also writes what Chromium's profiler saw in the page.
"""

from __future__ import annotations

import argparse
import json
import os
import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
from playwright.sync_api import Page

from tests.benchmarks.cells import NAIVE, Server
from tests.benchmarks.markup import WORDS
from tests.benchmarks.panel import open_notebook, setting
from tests.browser.conftest import Lab, Notebook

END = "THE-END-OF-IT"
LENGTH, SIZE, RATE = 32_768, 8, 400  # characters, of a chunk, chunks a second
SECTIONS = 5
INLINE = (r"$e^{i\pi} + 1 = 0$", r"$\sum_{k=1}^n k = \frac{n(n+1)}{2}$", r"\(\hat{y} = \sigma(w^\top x + b)\)")
DISPLAYED = (
    "$$\n\\int_0^1 x^{2n}\\,dx = \\frac{1}{2n+1}\n$$",
    "\\[\n\\nabla \\cdot \\mathbf{E} = \\frac{\\rho}{\\varepsilon_0}, \\qquad "
    "\\oint \\mathbf{B} \\cdot d\\mathbf{A} = 0\n\\]",
    "$$\n\\begin{pmatrix} a & b \\\\ c & d \\end{pmatrix}^{-1} = \\frac{1}{ad - bc}"
    " \\begin{pmatrix} d & -b \\\\ -c & a \\end{pmatrix}\n$$",
)
CODE = '```python\ndef area(radius):\n    """Of a circle."""\n    return 3.14159 * radius**2\n\nprint(area(2))\n```'
WATCH = """
([end, formulas, blocks]) => {
  Object.assign(window, { tasks: [], shifts: [], typeset: 0, ended: 0, complete: 0, last: new Map(), });
  const observe = (type, take) => new PerformanceObserver((list) => list.getEntries().forEach(take)).observe({ type });
  observe("longtask", (each) => tasks.push([each.startTime, each.duration]));
  observe("layout-shift", (each) => shifts.push([each.startTime, each.value]));
  const area = document.querySelectorAll(".jp-Notebook .jp-CodeCell")[2].querySelector(".jp-Cell-outputArea");
  const look = (mutations) => {
    for (const { addedNodes } of mutations)
      for (const node of addedNodes) {
        if (/^(mjx-container|math)$/i.test(node.nodeName)) window.typeset += 1;
        else if (node.nodeType === 1) window.typeset += node.querySelectorAll("mjx-container, math").length;
      }
    const shown = window.ended ? [] : area.querySelectorAll(blocks);
    // the last but one, where the line about the reply has an output of its own
    if ([...shown].slice(-2).some((block) => block.textContent.includes(end))) requestAnimationFrame(finish);
  };
  const finish = () => {
    window.ended ||= Date.now();
    if (area.querySelectorAll("mjx-container, .fg-block math").length < formulas) requestAnimationFrame(finish);
    else window.complete ||= Date.now();
  };
  new MutationObserver(look).observe(area, { childList: true, subtree: true, characterData: true });
}
"""


def reply() -> str:
    """Sections of text, each with six formulas, a table, a list and code."""
    chance = random.Random(1)

    def words(count: int) -> str:
        return " ".join(chance.choice(WORDS) for _ in range(count)).capitalize() + "."

    def table() -> str:
        rows = "\n".join(f"| {words(2)} | {chance.randint(1, 999)} | {words(4)} |" for _ in range(12))
        return f"| {words(1)} | {words(1)} | {words(2)} |\n|---|---:|---|\n{rows}"

    def section(size: int) -> str:
        parts = [f"## {words(4)}", CODE, "\n".join(f"- **{words(2)}** {words(14)}" for _ in range(5)), table()]
        for inline, displayed in zip(INLINE, DISPLAYED, strict=True):
            parts += [f"{words(25)} {inline} {words(20)}", words(40), displayed]
        while (room := size - len("\n\n".join(parts))) > 60:
            parts.insert(chance.randrange(1, len(parts)), words(min(60, room // 6)))
        return "\n\n".join(parts)

    text = "\n\n".join(section(LENGTH // SECTIONS) for _ in range(SECTIONS))
    return f"{text}\n\n{END}\n"


FORMULAS = SECTIONS * (len(INLINE) + len(DISPLAYED))


def plan() -> dict[str, object]:
    """What the paced server is asked to send."""
    return {"text": reply(), "size": SIZE, "gap": 1 / RATE}


@dataclass(frozen=True)
class Way:
    """How a reply is asked for: the cell, and the elements that hold the blocks of the reply."""

    cell: str
    blocks: str = ".jp-OutputArea-output"
    setup: str = "None"


ASK = "import threading\nreply = chat.ask(open('plan.json').read())\n" + (
    "threading.Thread(target=list, args=[reply]).start()"
)
WAYS = {
    "cell": Way("%%flowgpt -c measured\n{plan}", setup="plan = open('plan.json').read()"),
    "panel": Way(
        "from flowgpt_magic import Conversation, ChatPanel\nchat = Conversation('measured')\nChatPanel(chat)",
        ".fg-turn:last-child .fg-block",
        ASK,
    ),
    "whole": Way("naive(open('plan.json').read()); import time; print(time.time())", ".jp-OutputArea-output", NAIVE),
}


class Processor:
    """CPU seconds of the page's process and of the kernel's."""

    def __init__(self, page: Page, kernel: int) -> None:
        self._browser = page.context.browser.new_browser_cdp_session()
        self._kernel = psutil.Process(kernel)
        self._begun = self._now()

    def _now(self) -> tuple[float, float]:
        processes = self._browser.send("SystemInfo.getProcessInfo")["processInfo"]
        times = self._kernel.cpu_times()
        page = max(each["cpuTime"] for each in processes if each["type"] == "renderer")
        return page, times.user + times.system

    def spent(self) -> tuple[float, float]:
        now = self._now()
        return now[0] - self._begun[0], now[1] - self._begun[1]


@contextmanager
def profiled(page: Page, file: Path | None) -> Iterator[None]:
    """Write what Chromium's profiler sees, if it is asked for."""
    if file is None:
        yield
        return
    session = page.context.new_cdp_session(page)
    session.send("Profiler.enable")
    session.send("Profiler.setSamplingInterval", {"interval": 500})
    session.send("Profiler.start")
    yield
    file.write_text(json.dumps(session.send("Profiler.stop")["profile"]))


def measure(name: str, profile: Path | None) -> None:
    """Print the figures of one way."""
    way = WAYS[name]
    with setting() as (page, lab, server, _traffic):
        (lab.folder / "plan.json").write_text(json.dumps(plan()))
        notebook = _opened(page, lab, server, way)
        page.evaluate(WATCH, [END, 1 if name == "panel" else FORMULAS, way.blocks])  # the panel shows what is in view
        processor = Processor(page, int(notebook.output(4).inner_text()))
        with profiled(page, profile):
            if name == "panel":
                notebook.start(3)
            else:
                notebook.start(2)
            # not in every frame, which would make the page paint 60 times a second
            page.wait_for_function("() => window.ended && window.complete", timeout=90_000, polling=200)
            spent = processor.spent()
        page.wait_for_timeout(1000)
        _print(name, page, notebook, spent)


def _opened(page: Page, lab: Lab, server: Server, way: Way) -> Notebook:
    cells = [
        way.cell,
        way.setup,
        "print(__import__('os').getpid())",
        "from flowgpt_magic import Conversation\nprint(Conversation('measured').turns[-1].ended)",
        "%%flowgpt\n" + json.dumps({"text": "$x$", "gap": 0}),  # loads MathJax
    ]
    notebook = open_notebook(page, lab, server, *cells)
    notebook.run(4)
    notebook.run(6)
    notebook.output(6).locator("mjx-container").wait_for()
    notebook.run(2 if way.setup == ASK else 3)
    return notebook


RESULT = "() => [ended / 1000, complete / 1000, tasks, shifts, typeset]"


def _print(name: str, page: Page, notebook: Notebook, spent: tuple[float, float]) -> None:
    if name == "whole":
        ended = float(notebook.output(2).last.inner_text())
    else:
        notebook.run(5)
        ended = float(notebook.output(5).inner_text())
    shown, complete, tasks, shifts, typeset = page.evaluate(RESULT)
    over = [duration for _begun, duration in tasks]
    print(
        f"{name}: its end is on screen {shown - ended:.2f} s after the last chunk, and typeset after "
        f"{complete - ended:.2f} s; CPU of the page {spent[0]:.1f} s, of the kernel {spent[1]:.1f} s\n"
        f"    main-thread tasks over 50 ms: {len(over)}, the longest {max(over, default=0):.0f} ms, blocked for "
        f"{sum(each - 50 for each in over):.0f} ms; {typeset} formulas typeset for {FORMULAS}; "
        f"layout shift {sum(value for _when, value in shifts):.3f}",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("ways", nargs="*", metavar="WAY", help=", ".join(WAYS))
    parser.add_argument("--profile", type=Path)
    options = parser.parse_args()
    for name in options.ways or WAYS:
        measure(name, options.profile)


if __name__ == "__main__":
    os.environ.setdefault("PYTHONUNBUFFERED", "1")
    main()

"""What a keystroke costs in a notebook of JupyterLab, with the extension and without it, in headless Chromium.

    python -m tests.benchmarks.keystrokes [CELLS] [full|defer|none]

Every third cell is a prompt. Each figure is processor time of the page's main thread for one typed character, from the
event to the end of the layout: other programs on the machine do not count.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import CDPSession, Page, sync_playwright

from tests.browser.conftest import FLAGS, Lab, Notebook, chromium

BATCHES, KEYS = 15, 10
WORDS = "a sentence of ordinary words about {name} and {other[0]}, with `code` and **emphasis**.\n"
TEXTS = {
    "a cell of Python": "total = sum(values)\nprint(total)\n",
    "a short prompt": "%%flowgpt -m echo -t 0.5\n" + 4 * WORDS,
    "a prompt of 20 KB": "%%flowgpt -m echo\n" + 240 * WORDS,
    "a prompt of 100 KB": "%%flowgpt -m echo\n" + 1200 * WORDS,
}
FOCUS = """
async (number) => {
  const { content } = window.jupyterapp.shell.currentWidget;
  content.activeCellIndex = number;
  content.mode = "edit";
  await content.scrollToItem?.(number);
  await content.activeCell.ready;
  const view = content.activeCell.editor.editor;
  view.focus();
  view.dispatch({ selection: { anchor: view.state.doc.length }, scrollIntoView: true });
}
"""
FRAME = "() => new Promise((run) => requestAnimationFrame(() => setTimeout(run)))"


def measure(cells: int, windowing: str) -> dict[str, list[float]]:
    """The time of a keystroke in ms in each of the batches, by where it is typed."""
    lab = Lab(Path(tempfile.mkdtemp()))
    tracker = lab.settings / "@jupyterlab" / "notebook-extension" / "tracker.jupyterlab-settings"
    tracker.write_text(json.dumps({"windowingMode": windowing}))
    filler = [("x = 1\n", "y = [1, 2]\nprint(y)\n", "%%flowgpt\nSay {x}.\n")[number % 3] for number in range(cells)]
    with lab.running(), sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=FLAGS)
        page = browser.new_context(viewport={"width": 1100, "height": 900}).new_page()
        page.set_default_timeout(180_000)
        Notebook(page, lab, lab.write("many.ipynb", "%load_ext flowgpt_magic", *TEXTS.values(), *filler)).run(0)
        page.wait_for_timeout(5000)  # Lab draws cells while it is idle
        session = page.context.new_cdp_session(page)
        session.send("Performance.enable", {"timeDomain": "threadTicks"})
        times = {name: typed(page, session, number) for number, name in enumerate(TEXTS, 1)}
        page.evaluate(FOCUS, 2)
        page.keyboard.press("Control+Home")
        times["the magic of a prompt, in turn"] = batches(page, session, ["Delete", "%"])
        browser.close()
    return times


def typed(page: Page, session: CDPSession, number: int) -> list[float]:
    page.evaluate(FOCUS, number)
    return batches(page, session, ["a"])


def batches(page: Page, session: CDPSession, keys: list[str]) -> list[float]:
    """The main thread's time for each of these keys, which are pressed in turn."""
    times = []
    for _ in range(BATCHES):
        page.wait_for_timeout(300)
        before = busy(session)
        for count in range(KEYS):
            page.keyboard.press(keys[count % len(keys)])
        page.evaluate(FRAME)
        times.append(1000 * (busy(session) - before) / KEYS)
    return times[2:]  # the first ones compile the code


def busy(session: CDPSession) -> float:
    """How long the page's main thread has worked, in seconds."""
    metrics = session.send("Performance.getMetrics")["metrics"]
    return float(next(metric["value"] for metric in metrics if metric["name"] == "TaskDuration"))


def main() -> None:
    """Measure both in processes of their own, and print the figures side by side."""
    cells = next((int(argument) for argument in sys.argv[1:] if argument.isdigit()), 500)
    windowing = next((argument for argument in sys.argv[1:] if argument in ("full", "defer", "none")), "full")
    if "measure" in sys.argv:
        print(json.dumps(measure(cells, windowing)))
        return
    results = []
    for extension in ("", "disabled"):
        command = [sys.executable, "-m", "tests.benchmarks.keystrokes", str(cells), windowing, "measure"]
        environment = {**os.environ, "LAB_EXTENSION": extension}
        run = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        results.append(json.loads(run.stdout.splitlines()[-1]))
    print(f"{cells} cells, windowing {windowing}; ms for a keystroke: median and most, with the extension and without")
    for name in results[0]:
        columns = (f"{statistics.median(times[name]):6.2f} {max(times[name]):6.2f}" for times in results)
        print(f"{name:32} {'   | '.join(columns)}")


if __name__ == "__main__":
    main()

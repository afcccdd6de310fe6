"""What opening a notebook with many replies costs in JupyterLab, with the lines below them and without, in Chromium.

    python -m tests.benchmarks.replies [REPLIES] [full|defer|none]

Each figure is processor time of the page's main thread from the address until the page rests: other programs on the
machine do not count. The same notebook is opened in turn with and without the plugin, in one server.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

import nbformat
from playwright.sync_api import Browser, CDPSession, sync_playwright

from flowgpt_magic.display.show import output_of
from flowgpt_magic.messages import Sent, Turn, Usage
from tests.browser.conftest import FLAGS, Lab, Notebook, chromium

PLUGIN = "flowgpt_magic:reply-line"
ROUNDS = 2
FIGURES = {
    "task": "TaskDuration",
    "script": "ScriptDuration",
    "style": "RecalcStyleDuration",
    "layout": "LayoutDuration",
}
TEXT = (
    "A sentence with `code` and **emphasis**.\n\n" * 3
    + "```python\nfor number in range(10):\n    print(number)\n```\n\n"
    + "* one\n* two\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\nThe end."
)


def notebook_of(lab: Lab, replies: int) -> Path:
    """A notebook with this many prompts and their replies."""
    path = lab.write("replies.ipynb", *(f"%%flowgpt\nSay {number}." for number in range(replies)))
    notebook = nbformat.read(path, as_version=4)
    for number, cell in enumerate(notebook.cells):
        turn = shown_turn(f"{number:032x}", cell.source)
        data, metadata = output_of(turn, "markdown")
        cell.execution_count = number + 1
        cell.outputs = [nbformat.v4.new_output("display_data", data=data, metadata=metadata)]
    nbformat.write(notebook, path)
    return path


def shown_turn(turn_id: str, prompt: str) -> Turn:
    who = {"provider": "echo", "model": "echo", "system": "", "parameters": {}, "request_key": "", "kernel": ""}
    sent = {"left_out": 0, "sent": Sent(included=("prompt",), tokens=9), "started": 0.0}
    ended = {"notices": (), "replayed": False, "ended": 1.0, "usage": Usage(9, 90)}
    return Turn(turn_id, "", 1, 1, True, "", "", prompt, TEXT, "complete", "", **who, **sent, **ended)


def opened(browser: Browser, lab: Lab, path: Path) -> dict[str, float]:
    """The seconds that the main thread worked to open this notebook, by what it did."""
    page = browser.new_context(viewport={"width": 1100, "height": 900}).new_page()
    page.set_default_timeout(180_000)
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable", {"timeDomain": "threadTicks"})
    Notebook(page, lab, path)
    before, now = 0.0, figures(session)
    while now["task"] - before > 0.1:  # Lab draws cells while it is idle
        before = now["task"]
        page.wait_for_timeout(2000)
        now = figures(session)
    now["lines"] = page.locator(".flowgpt-line").count()
    page.context.close()
    return now


def figures(session: CDPSession) -> dict[str, float]:
    metrics = {metric["name"]: metric["value"] for metric in session.send("Performance.getMetrics")["metrics"]}
    return {name: metrics[metric] for name, metric in FIGURES.items()}


def main() -> None:
    """Open the notebook with and without the plugin, in turn, and print the figures."""
    replies = next((int(argument) for argument in sys.argv[1:] if argument.isdigit()), 500)
    windowing = next((argument for argument in sys.argv[1:] if argument in ("full", "defer", "none")), "full")
    lab = Lab(Path(tempfile.mkdtemp()))
    tracker = lab.settings / "@jupyterlab" / "notebook-extension" / "tracker.jupyterlab-settings"
    tracker.write_text(json.dumps({"windowingMode": windowing}))
    config = Path(lab.environment["JUPYTER_CONFIG_DIR"]) / "labconfig" / "page_config.json"
    config.parent.mkdir(parents=True, exist_ok=True)
    path = notebook_of(lab, replies)
    print(f"{replies} replies, windowing {windowing}; seconds of the main thread")
    with lab.running(), sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=FLAGS)
        for _ in range(ROUNDS):
            for without in (True, False):
                config.write_text(json.dumps({"disabledExtensions": {PLUGIN: without}}), "utf-8")
                seconds = opened(browser, lab, path)
                columns = "  ".join(f"{name} {value:6.2f}" for name, value in seconds.items())
                print(f"{'without' if without else 'with':8} {columns}", flush=True)
        browser.close()


if __name__ == "__main__":
    main()

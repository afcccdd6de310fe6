"""What the chat panel costs, in headless Chromium with JupyterLab: messages, main thread, time to open, typing.

    python -m tests.benchmarks.panel [stream] [reference] [open] [stop]

``stream`` is a reply of 100 KB in 20,000 chunks at 1,000 chunks a second; ``reference`` the same reply, repainted as a
whole in an ``ipywidgets.HTML`` 25 times a second; ``open`` a conversation of 2,000 turns; ``stop`` replies that are
stopped before their first chunk, with the kernel idle and while a cell runs.
"""

from __future__ import annotations

import json
import os
import struct
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from playwright.sync_api import Page, WebSocket, sync_playwright

from tests.benchmarks.cells import Server, markdown
from tests.browser.conftest import FLAGS, Lab, Notebook, chromium
from tests.browser.panels import Panel

END = "THE-END-OF-IT"
LENGTH, SIZE, RATE = 100_000, 5, 1000  # characters, of a chunk, chunks a second
WATCH = """
(end) => {
  Object.assign(window, { tasks: [], lags: [], presented: [], ended: 0, opened: 0, shown: 0 });
  const observe = (type, take, more) => new PerformanceObserver((list) => list.getEntries().forEach(take))
    .observe({ type, ...more });
  observe("longtask", (each) => tasks.push(each.duration));
  const keys = (each) => { if (each.name === "keydown") presented.push(each.duration); };
  observe("event", keys, { durationThreshold: 16 });
  document.addEventListener("input", (event) => lags.push(performance.now() - event.timeStamp), true);
  const look = () => {
    if (!opened && document.querySelector(".flowgpt-panel")) opened = Date.now();
    const turns = document.querySelectorAll(".fg-turn:last-child .fg-block, .reference");
    if (turns.length && !shown) shown = Date.now();
    const last = turns[turns.length - 1];
    if (!ended && last?.textContent.includes(end)) requestAnimationFrame(() => { ended = ended || Date.now(); });
  };
  new MutationObserver(look).observe(document.body, { childList: true, subtree: true, characterData: true });
}
"""
REFERENCE = """\
import ipywidgets, time
from markdown_it import MarkdownIt
from flowgpt_magic import Conversation
parser, shown = MarkdownIt("commonmark").enable("table"), ipywidgets.HTML()
shown.add_class("reference")
display(shown)
reply, text, last = Conversation("reference").ask(open("plan.json").read()), "", 0.0
for chunk in reply:
    text += chunk
    if time.monotonic() - last >= 0.04:
        shown.value, last = parser.render(text), time.monotonic()
shown.value = parser.render(text)
"""
MANY = f"""\
from dataclasses import replace
from flowgpt_magic import Conversation
chat = Conversation(model="echo")
list(chat.ask("seed"))
texts = open("texts.json").read()
import json
texts = json.loads(texts)
seed = chat.turns[0]
made = [replace(seed, prompt=f"prompt {{n}} " + "word " * (n % 40), text=texts[n % len(texts)]) for n in range(1999)]
chat.begin_anew([*made, replace(seed, prompt="the last", text="{END}")])
print(len(chat.turns))
"""


@dataclass
class Traffic:
    """What came to the page by its websockets: of each widget message the moment and the bytes of its content."""

    messages: list[tuple[float, int]] = field(default_factory=list)

    def watch(self, socket: WebSocket) -> None:
        socket.on("framereceived", self._take)

    def _take(self, payload: bytes | str) -> None:
        """Kernel messages come in the frames of ``v1.kernel.websocket.jupyter.org``: offsets, channel, four parts."""
        if isinstance(payload, str) or len(payload) < 16:
            return
        (count,) = struct.unpack_from("<Q", payload)
        offsets = struct.unpack_from(f"<{count}Q", payload, 8)
        parts = [payload[start:end] for start, end in pairwise(offsets)]
        if len(parts) >= 5 and json.loads(parts[1]).get("msg_type") == "comm_msg":
            self.messages.append((time.time(), len(parts[4])))

    @property
    def most_in_a_second(self) -> int:
        moments = [when for when, _size in self.messages]
        return max((sum(1 for other in moments if when <= other < when + 1) for when in moments), default=0)

    def told(self, length: int) -> str:
        size = sum(size for _when, size in self.messages)
        return (
            f"{size / length:.2f} bytes of content per byte of text, {len(self.messages)} messages, "
            f"at most {self.most_in_a_second} a second"
        )


@contextmanager
def setting() -> Iterator[tuple[Page, Lab, Server, Traffic]]:
    server = Server()
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        lab = Lab(Path(folder))
        browser = playwright.chromium.launch(executable_path=chromium(), args=FLAGS)
        page = browser.new_page(viewport={"width": 1100, "height": 900})
        traffic = Traffic()
        page.on("websocket", traffic.watch)
        try:
            with lab.running():
                yield page, lab, server, traffic
        finally:
            browser.close()
            server.process.stdin.close()
            server.process.wait()


def open_notebook(page: Page, lab: Lab, server: Server, *cells: str) -> Notebook:
    service = f"%config FlowGPT.base_url = '{server.url}'\n%config FlowGPT.model = 'flowgpt'"
    path = lab.write(f"b{time.monotonic_ns()}.ipynb", "%load_ext flowgpt_magic", service, *cells)
    notebook = Notebook(page, lab, path)
    notebook.run(0)
    notebook.run(1)
    return notebook


def plan(lab: Lab) -> str:
    text = markdown(LENGTH - len(END) - 2) + f"\n\n{END}"
    told = json.dumps({"text": text, "size": SIZE, "gap": 1 / RATE})
    (lab.folder / "plan.json").write_text(told)
    return told


@contextmanager
def traced(page: Page) -> Iterator[None]:
    """Print how much processor time the tasks of the page's main thread took: a busy machine makes each last longer."""
    browser = page.context.browser
    categories = ["toplevel", "devtools.timeline", "disabled-by-default-devtools.timeline"]
    browser.start_tracing(page=page, categories=categories)
    yield
    events = json.loads(browser.stop_tracing())["traceEvents"]
    mains = {
        (each["pid"], each["tid"])
        for each in events
        if each.get("name") == "thread_name" and each["args"]["name"] == "CrRendererMain"
    }
    tasks = [
        each.get("tdur", 0) / 1000
        for each in events
        if each.get("name") == "RunTask" and (each["pid"], each["tid"]) in mains
    ]
    over = sum(1 for each in tasks if each > 50)
    print(
        f"    processor time of its tasks: {over} over 50 ms, the longest {max(tasks):.0f} ms, "
        f"all {sum(tasks) / 1000:.1f} s"
    )


def result(page: Page, notebook: Notebook, cell: int) -> None:
    """Print how far the page was behind when the reply had ended, and how long its main thread was held up."""
    page.wait_for_timeout(3000)  # for what is done when a reply has ended
    tasks = page.evaluate("() => window.tasks")
    notebook.run(cell)
    ended, seconds = map(float, notebook.output(cell).inner_text().split())
    shown = page.evaluate("() => window.ended") / 1000
    print(f"    the reply took {seconds:.1f} s; its end is on screen {shown - ended:.2f} s after its last chunk")
    print(
        f"    main-thread tasks over 50 ms: {len(tasks)}, the longest {max(tasks, default=0):.0f} ms, "
        f"together {sum(tasks):.0f} ms"
    )


TOLD = "turn = Conversation('{name}').turns[-1]; print(turn.ended, turn.usage.seconds)"
ASK = "from flowgpt_magic import Conversation, ChatPanel\nchat = Conversation('measured')\nChatPanel(chat)"


def keys(page: Page) -> str:
    """How late the keys were that were typed since this was asked last."""
    lags, presented = page.evaluate("() => [window.lags.splice(0), window.presented.splice(0)]")
    return (
        f"{len(lags)} keys, at most {max(lags, default=0):.0f} ms until the page takes one, "
        f"at most {max(presented, default=0):.0f} ms until it is on screen"
    )


def measure_stream() -> None:
    with setting() as (page, lab, server, traffic):
        plan(lab)
        ask = "import threading\nreply = chat.ask(open('plan.json').read())\n"
        ask += "threading.Thread(target=list, args=[reply]).start()"
        notebook = open_notebook(page, lab, server, ASK, ask, TOLD.format(name="measured"))
        notebook.run(2)
        page.evaluate(WATCH, END)
        traffic.messages.clear()
        field = page.get_by_label("Prompt", exact=True)
        field.focus()
        for letter in "typed while nothing arrives " * 4:
            page.keyboard.type(letter)
            page.wait_for_timeout(60)
        print(f"    nothing arrives: {keys(page)}")
        notebook.run(3)
        page.locator(".flowgpt-panel .fg-block").first.wait_for()
        field.focus()
        typed = 0
        with traced(page):
            while not page.evaluate("() => window.ended") and typed < 2000:
                page.keyboard.type("typing while it arrives "[typed % 24])
                typed += 1
                page.wait_for_timeout(60)
        print(f"panel, {LENGTH:,} characters in chunks of {SIZE}, {RATE} a second: {traffic.told(LENGTH)}")
        meanwhile = keys(page)
        result(page, notebook, 4)
        print(f"    meanwhile: {meanwhile}")


def measure_reference() -> None:
    with setting() as (page, lab, server, traffic):
        plan(lab)
        notebook = open_notebook(page, lab, server, REFERENCE, TOLD.format(name="reference"))
        page.evaluate(WATCH, END)
        traffic.messages.clear()
        notebook.start(2)
        with traced(page):
            page.wait_for_function("() => window.ended", timeout=400_000)
        notebook.finished(2)
        print(f"ipywidgets.HTML, the whole reply 25 times a second: {traffic.told(LENGTH)}")
        result(page, notebook, 3)


SCROLL = """
async () => {
  const box = document.querySelector(".fg-log"); const found = []; const begun = box.scrollTop;
  let last = performance.now(); let most = 0;
  for (let n = 0; n < 200; n += 1) {
    box.scrollTop -= 300;
    await new Promise(requestAnimationFrame);
    const now = performance.now(); found.push(now - last); last = now;
    most = Math.max(most, document.querySelectorAll(".fg-turn").length);
  }
  return [found, most, begun - box.scrollTop];
}
"""


def measure_open() -> None:
    with setting() as (page, lab, server, _traffic):
        texts = [markdown(400 + 60 * (number % 30)) for number in range(200)]
        (lab.folder / "texts.json").write_text(json.dumps(texts))
        notebook = open_notebook(page, lab, server, MANY, "%flowgpt panel")
        notebook.run(2)
        assert notebook.output(2).inner_text().strip() == "2000"
        page.evaluate(WATCH, END)
        begun = time.time()
        notebook.start(3)
        page.wait_for_function("() => window.ended", timeout=60_000)
        opened, shown, ended = page.evaluate("() => [window.opened, window.shown, window.ended]")
        print(
            f"2,000 turns: the panel is there {opened / 1000 - begun:.2f} s after its cell was started, its libraries "
            f"loaded, the first turn {(shown - opened) / 1000:.2f} s and the last {(ended - opened) / 1000:.2f} s later"
        )
        page.evaluate("() => { window.tasks.length = 0 }")
        frames, most, way = page.evaluate(SCROLL)
        ordered, tasks = sorted(frames), page.evaluate("() => window.tasks")
        print(
            f"    scrolling {way:,.0f} pixels, 300 a frame: frames of {ordered[len(ordered) // 2]:.0f} ms in the "
            f"middle, {ordered[int(0.95 * len(ordered))]:.0f} ms at the 95th percentile, {ordered[-1]:.0f} ms "
            f"the longest; {len(tasks)} tasks over 50 ms; at most {most} turns in the page"
        )


STOPPED = """
() => {
  const send = document.querySelector(".fg-send");
  window.stopped = [];
  let clicked = 0;
  send.addEventListener("click", (event) => { clicked = event.timeStamp; }, true);
  new MutationObserver(() => {
    if (!clicked || send.getAttribute("aria-label") !== "Send") return;
    stopped.push(performance.now() - clicked);
    clicked = 0;
  }).observe(send, { attributeFilter: ["aria-label"] });
}
"""


def measure_stop() -> None:
    with setting() as (page, lab, server, _traffic):
        slow = "%config FlowGPT.model = 'echo'\n%config FlowGPT.pace = 600"
        notebook = open_notebook(page, lab, server, slow, "%flowgpt panel", "import time\ntime.sleep(600)")
        notebook.run(2)
        notebook.run(3)
        panel = Panel(page)
        page.evaluate(STOPPED)
        for state in ("idle", "running a cell"):
            if state != "idle":
                notebook.begin(4)
            page.evaluate("() => { window.stopped.length = 0 }")
            for _ in range(30):
                panel.ask("never comes")
                page.wait_for_function("() => document.querySelector('.fg-turn:last-child .fg-waiting')?.offsetParent")
                panel.send.click()
                panel.ended()
            taken = sorted(page.evaluate("() => window.stopped"))
            print(
                f"Stop before the first chunk, {len(taken)} times, kernel {state}: the reply has ended in the page "
                f"{taken[len(taken) // 2]:.0f} ms after the click (median), {taken[-1]:.0f} ms (most)"
            )


MEASURES = {"stream": measure_stream, "reference": measure_reference, "open": measure_open, "stop": measure_stop}


def main() -> None:
    for name in sys.argv[1:] or MEASURES:
        MEASURES[name]()


if __name__ == "__main__":
    os.environ.setdefault("PYTHONUNBUFFERED", "1")
    main()

"""The chat panel where it is hard: hidden, cut off, behind a blocked kernel, and with replies nobody wishes for."""

from __future__ import annotations

import asyncio
import copy
import json
import re
import shutil
import sqlite3
import subprocess
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp
import nbformat
import pytest
from playwright.sync_api import Browser, Page, WebSocketRoute, expect

from flowgpt_magic.bridge import Worker
from flowgpt_magic.panel.stream import AHEAD, FRAME, PAGE_TIMEOUT
from flowgpt_magic.transcripts import files
from tests import processes
from tests.browser.conftest import FLAGS, LIMIT, SCREENSHOTS, Lab, Notebook, chromium
from tests.browser.flowgpt_hostile import TEXTS
from tests.browser.panels import OPEN, Panel, in_cell
from tests.kernel.conftest import IPYKERNEL_6, ipykernel_6  # noqa: F401 - a fixture

LOAD = "%load_ext flowgpt_magic"
BLOCKED = "import time\nwhile True: time.sleep(0.1)"
MOVING = "panel => document.getAnimations().filter((each) => panel.contains(each.effect.target)).length"
TO_ITS_TOP = "turn => { turn.closest('.fg-log').scrollTop = turn.offsetTop - 10 }"


CONTROLS_SHOWN = "first a\u2400b \u2407\u2408\u2421 red \ufffdback\ufffd half \ufffd last"


def pace(seconds: float) -> str:
    return f"%config FlowGPT.pace = {seconds}"


def says_all_of(panel: Panel, number: int, prompt: str) -> None:
    """Wait until all of a reply is there, which repeats its prompt, and how long it took."""
    expect(panel.turn(number)).to_contain_text(re.compile(r"\d\.\d s"))
    expect(panel.reply(number)).to_have_text(prompt.strip())
    panel.ended()


def in_history(lab: Lab, prompt: str, until: Callable[[str, str], bool]) -> str:
    """The text of a turn, when the history has it so, whatever a page knows of it; a prompt is asked once in a lab."""
    end = time.monotonic() + LIMIT
    with closing(sqlite3.connect(lab.folder.parent / "data" / "history.sqlite3")) as history:
        while True:
            found = history.execute("SELECT status, text FROM turns WHERE prompt = ?", [prompt]).fetchone()
            if found and until(*found):
                return str(found[1])
            assert time.monotonic() < end, found
            time.sleep(0.02)


def has_ended(status: str, _text: str) -> bool:
    return status != "streaming"


def stop_it_now(panel: Panel, number: int, lab: Lab, prompt: str) -> None:
    """Stop a reply that goes on arriving; all of it is there."""
    expect(panel.send).to_have_attribute("aria-label", "Stop")
    before = panel.reply(number).inner_text()
    expect(panel.reply(number)).not_to_have_text(before)
    panel.send.click()
    panel.ended()
    expect(panel.turn(number)).to_contain_text("interrupted")
    expect(panel.reply(number)).to_have_text(in_history(lab, prompt, has_ended).strip())


@pytest.fixture
def worker() -> Iterator[Worker]:
    """A loop of its own: playwright holds this thread's."""
    worker = Worker()
    yield worker
    worker.close()


def open_through(page: Page, lab: Lab, port: int, *cells: str) -> Notebook:
    """Open a new notebook of the lab by another port, and run the cells but for the last one."""
    through = copy.copy(lab)
    through.port = port
    notebook = Notebook(page, through, lab.write(f"through-{time.monotonic_ns()}.ipynb", LOAD, *cells))
    for number in range(len(cells)):
        notebook.run(number)
    return notebook


# A page that nobody sees
#
# A page that playwright holds is always seen: it emulates the focus. Here it lets go of the page, another tab comes in
# front of it, and Chromium really hides it: no frames, slow timers. What is so meanwhile is asked by a connection of
# the test's own.

RECORD = """
window.heard = [];
window.WebSocket = class extends WebSocket {
  constructor(...given) {
    super(...given);
    this.addEventListener("message", ({ data }) => {
      const text = typeof data === "string" ? data : new TextDecoder().decode(data);
      if (!/"kind": ?"grow"/.test(text)) return;
      heard.push({ when: performance.now(), end: /"end": ?{/.test(text) });
    });
  }
};
window.frames_ = 0;
const count = () => { frames_ += 1; requestAnimationFrame(count); };
count();
"""
PAINTED = "[frames_, document.querySelector('.fg-blocks').textContent.length]"


class Tabs:
    """A Chromium of the test's own, with the notebook in one tab and something else in another."""

    def __init__(self, browser: Browser, folder: Path, worker: Worker) -> None:
        self._connect, self._worker = browser.browser_type.connect_over_cdp, worker
        flags = ["--headless", "--remote-debugging-port=0", f"--user-data-dir={folder}", "--window-size=1100,900"]
        self._command = [chromium(), *flags, *FLAGS, "about:blank"]
        self._port = folder / "DevToolsActivePort"
        self._held: Browser | None = None

    @contextmanager
    def running(self) -> Iterator[None]:
        with processes.running(self._command, grace=20, stderr=subprocess.DEVNULL) as process:
            while not self._port.exists() or "\n" not in self._port.read_text():
                assert process.poll() is None, "Chromium did not start"
                time.sleep(0.05)
            self.address = f"http://127.0.0.1:{self._port.read_text().split()[0]}"
            yield
            if self._held is not None:
                self._held.close()

    def page(self) -> Page:
        """The first tab, seen and in playwright's hands."""
        self._held = self._connect(self.address)
        pages = self._held.contexts[0].pages
        return next((page for page in pages if "/lab/" in page.url), pages[0])

    def hide(self) -> None:
        """Let go of the page, and put another tab before it."""
        assert self._held is not None
        self._held.close()
        self._held = None
        self._http("/json/new?about:blank", "PUT")
        self.wait_for("document.hidden")

    def evaluate(self, expression: str) -> Any:
        return self._ask("Runtime.evaluate", expression=expression, returnByValue=True)["result"]["value"]

    def wait_for(self, expression: str) -> None:
        """Wait until something is so in the hidden page."""
        end = time.monotonic() + LIMIT
        while not self.evaluate(expression):
            assert time.monotonic() < end, f"never so: {expression}"

    def freeze(self) -> None:
        """What Chromium does to a page that was hidden for five minutes; to be seen again thaws it."""
        self._ask("Page.setWebLifecycleState", state="frozen")

    def _http(self, path: str, method: str = "GET") -> Any:
        with urllib.request.urlopen(urllib.request.Request(self.address + path, method=method)) as told:
            return json.load(told)

    def _ask(self, method: str, **params: Any) -> Any:
        (tab,) = [tab for tab in self._http("/json/list") if "/lab/" in tab["url"]]

        async def ask() -> Any:
            async with (
                aiohttp.ClientSession() as session,
                session.ws_connect(tab["webSocketDebuggerUrl"], max_msg_size=0) as socket,
            ):
                await socket.send_json({"id": 1, "method": method, "params": params})
                while (told := await socket.receive_json()).get("id") != 1:
                    pass
                return told["result"]

        return self._worker.submit(ask()).result(LIMIT)


@pytest.fixture
def tabs(browser: Browser, tmp_path: Path, worker: Worker) -> Iterator[Tabs]:
    """A second Chromium, whose page can be hidden and frozen."""
    tabs = Tabs(browser, tmp_path / "profile", worker)
    with tabs.running():
        yield tabs


def notebook_in(tabs: Tabs, lab: Lab, *cells: str) -> Panel:
    page = tabs.page()
    page.add_init_script(RECORD)
    return in_cell(open_through(page, lab, lab.port, *cells), len(cells))


def test_a_page_that_is_hidden_or_frozen_has_everything_when_it_is_seen_again(tabs, lab):
    panel = notebook_in(tabs, lab, pace(0.002), OPEN)
    prompt = "hidden: " + "word " * 600
    panel.ask(prompt)
    panel.reply(1).get_by_text("word word").wait_for()

    tabs.hide()
    painted = tabs.evaluate(PAINTED)
    tabs.wait_for("heard.some((each) => each.end)")  # it ends meanwhile
    assert tabs.evaluate(PAINTED) == painted
    heard = [each["when"] for each in tabs.evaluate("heard")]
    panel = Panel(tabs.page())
    says_all_of(panel, 1, prompt)
    assert len(heard) < (heard[-1] - heard[0]) / 1000 / FRAME + AHEAD  # not one for each of 600 chunks

    prompt = "frozen: " + "word " * 20_000
    panel.ask(prompt)
    panel.reply(2).get_by_text("word word").wait_for()
    tabs.hide()
    tabs.freeze()
    in_history(lab, prompt, lambda _status, text: len(text) > 2000)  # it goes on meanwhile
    panel = Panel(tabs.page())
    stop_it_now(panel, 2, lab, prompt)


@pytest.mark.own_page
def test_a_page_that_is_held_up_gets_a_message_a_second_and_then_shows_everything(open_notebook, page, lab):
    page.add_init_script(RECORD)
    notebook = open_notebook(pace(0.002), OPEN)
    notebook.run(1)
    panel = in_cell(notebook, 2)
    prompt = "held up: " + "word " * 2000
    panel.ask(prompt)
    panel.reply(1).get_by_text("word word").wait_for()

    with page.expect_event("dialog") as dialog:
        page.evaluate("() => { window.before = heard.length; setTimeout(() => alert('held up')) }")
    begun = time.monotonic()
    in_history(lab, prompt, has_ended)
    seconds = time.monotonic() - begun
    dialog.value.dismiss()

    says_all_of(panel, 1, prompt)
    heard = page.evaluate("heard.length - before")
    print(f"{heard} messages for a page that was held up for {seconds:.1f} s")
    assert heard < AHEAD + seconds / PAGE_TIMEOUT + 6 < seconds / FRAME


# What is cut off


class Line:
    """Between the page and the server: the test can cut the websockets to kernels, and keep them cut."""

    def __init__(self, server_port: int, worker: Worker) -> None:
        self.refused = 0
        self._server_port = server_port
        self._cut = self._deaf = False
        self._open: set[asyncio.StreamWriter] = set()
        self._worker = worker
        self._server = worker.submit(asyncio.start_server(self._carry, "127.0.0.1", 0)).result(LIMIT)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        first = await reader.read(65536)
        kernel = b"/channels" in first.partition(b"\r\n")[0]
        if kernel and self._cut:
            self.refused += 1
            writer.transport.abort()
            return
        there, back = await asyncio.open_connection("127.0.0.1", self._server_port)
        back.write(first)
        ends = {writer, back}
        if kernel:
            self._open |= ends
        with suppress(ConnectionError):
            await asyncio.gather(self._pass(reader, back), self._pass(there, writer, deaf=kernel))
        self._open -= ends

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, deaf: bool = False) -> None:
        try:
            while data := await reader.read(65536):
                if not (deaf and self._deaf):
                    writer.write(data)
                    await writer.drain()
        finally:
            writer.close()

    async def _abort(self) -> None:
        for end in list(self._open):
            end.transport.abort()

    def deafen(self) -> None:
        """Lose all that a kernel says, until the connection is cut."""
        self._deaf = True

    def cut(self) -> None:
        """Reset the connections, and refuse every new one."""
        self._cut, self._deaf = True, False
        self._worker.submit(self._abort()).result(LIMIT)

    def mend(self) -> None:
        self._cut = False

    async def _close(self) -> None:
        self._server.close()
        await self._abort()

    def close(self) -> None:
        self._worker.submit(self._close()).result(LIMIT)


@pytest.fixture
def line(lab: Lab, worker: Worker) -> Iterator[Line]:
    """A connection to the lab's kernels that a test can cut."""
    line = Line(lab.port, worker)
    yield line
    line.close()


def look_on(lab: Lab, notebook: Notebook, worker: Worker) -> Future[None]:
    """Connect to the kernel as another page would; then the server keeps nothing for one that was cut off."""
    with urllib.request.urlopen(f"{lab.url}/api/sessions") as told:
        kernel = next(each["kernel"]["id"] for each in json.load(told) if each["path"] == notebook.path.name)
    connected = threading.Event()

    async def listen() -> None:
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(f"{lab.url}/api/kernels/{kernel}/channels", max_msg_size=0) as socket,
        ):
            connected.set()
            async for _message in socket:
                pass

    listening = worker.submit(listen())
    assert connected.wait(LIMIT)
    return listening


@pytest.mark.own_page
def test_a_lost_connection_is_said_and_the_reply_that_ended_meanwhile_is_shown(page, lab, line):
    page.add_init_script(RECORD)
    notebook = open_through(page, lab, line.port, pace(0.02), OPEN)
    panel = in_cell(notebook, 2)
    prompt = "cut off: " + "word " * 30
    panel.ask(prompt)
    panel.reply(1).get_by_text("word word").wait_for()

    line.cut()
    expect(panel.note).to_contain_text("The connection to the kernel is lost")
    panel.prompt.fill("typed meanwhile")
    panel.prompt.press("Enter")
    expect(panel.note).to_contain_text("Nothing was sent")
    expect(panel.prompt).to_have_value("typed meanwhile")
    in_history(lab, prompt, has_ended)
    line.mend()

    says_all_of(panel, 1, prompt)
    expect(panel.note).to_be_hidden()
    assert line.refused > 0
    expect(panel.prompt).to_have_value("typed meanwhile")
    panel.prompt.press("Enter")
    expect(panel.reply(2)).to_have_text("typed meanwhile")
    panel.ended()
    assert panel.root.get_by_role("article").count() == 2


@pytest.mark.own_page
def test_where_nothing_is_kept_for_a_page_that_was_cut_off_it_asks_for_everything(page, lab, line, worker):
    notebook = open_through(page, lab, line.port, pace(0.01), OPEN)
    panel = in_cell(notebook, 2)
    looking_on = look_on(lab, notebook, worker)
    line.deafen()
    panel.ask("the answer is lost")
    in_history(lab, "the answer is lost", has_ended)

    line.cut()
    expect(panel.note).to_contain_text("The connection to the kernel is lost")
    line.mend()

    expect(panel.note).to_contain_text("check whether this was done")
    expect(panel.reply(1)).to_have_text("the answer is lost")
    expect(panel.prompt).to_have_value("the answer is lost")
    prompt = "goes on: " + "word " * 5000
    panel.ask(prompt)
    panel.reply(2).get_by_text("word word").wait_for()
    line.cut()
    expect(panel.note).to_contain_text("The connection to the kernel is lost")
    line.mend()
    expect(panel.note).to_be_hidden()
    stop_it_now(panel, 2, lab, prompt)
    assert not looking_on.done()


class Wire:
    """What the kernel tells the page, out of which single messages are lost."""

    def __init__(self, page: Page) -> None:
        self._losing: list[re.Pattern[bytes]] = []
        page.route_web_socket(re.compile("/channels"), self._opened)

    def _opened(self, page: WebSocketRoute) -> None:
        server = page.connect_to_server()
        page.on_message(server.send)
        server.on_message(lambda message: self._told(page, message))

    def _told(self, page: WebSocketRoute, message: str | bytes) -> None:
        if self._losing and self._losing[0].search(message.encode() if isinstance(message, str) else message):
            del self._losing[0]
        else:
            page.send(message)

    def lose(self, *patterns: str) -> None:
        """Lose the next message that holds the first of these, then the next with the second."""
        self._losing = [re.compile(pattern.encode(), re.DOTALL) for pattern in patterns]

    @property
    def has_lost(self) -> bool:
        return not self._losing


BEGINS = r'"kind": ?"splice".*"streaming'
LOST = {
    "that a turn begins": [BEGINS],
    "that, and the outline": [BEGINS, r'"kind": ?"outline"'],
    "what is in a turn": [r'"kind": ?"turn"'],
    "text": [r'"kind": ?"grow"'],
    "that a turn has ended": [r'"kind": ?"splice".*"complete'],
    "the last text": [r'"kind": ?"grow".*"end": ?{'],
}


@pytest.mark.own_page
def test_a_message_that_is_lost_on_the_way_is_missed_and_made_up_for(open_notebook, page):
    wire = Wire(page)
    notebook = open_notebook(pace(0.01), OPEN)
    notebook.run(1)
    panel = in_cell(notebook, 2)

    for number, (what, patterns) in enumerate(LOST.items(), 1):
        wire.lose(*patterns)
        panel.ask(f"without {what}: " + "word " * 30)
        says_all_of(panel, number, f"without {what}: " + "word " * 30)
        assert wire.has_lost, what


# A front end that shows no widgets


@pytest.mark.own_page
def test_a_lab_without_the_widget_manager_says_what_to_do_and_shows_what_comes_below(page, tmp_path):
    config = tmp_path / "jupyter_config_dir" / "labconfig"
    config.mkdir(parents=True)
    off = {"disabledExtensions": {"@jupyter-widgets/jupyterlab-manager": True}}
    (config / "page_config.json").write_text(json.dumps(off))
    lab = Lab(tmp_path)
    with lab.running():
        notebook = Notebook(page, lab, lab.write("plain.ipynb", LOAD, f"{OPEN}\nprint('below')"))
        notebook.run(0)
        notebook.run(1)

        expect(notebook.output(1).nth(1)).to_be_visible()
        expect(notebook.output(1).nth(1)).to_contain_text("needs a front end with widgets")
        expect(notebook.output(1).nth(2)).to_have_text("below\n", use_inner_text=False)


# What blocks the kernel


@pytest.fixture
def lab_6(tmp_path: Path, ipykernel_6: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lab]:  # noqa: F811
    """A lab with the older kernel, which hears nothing that a page says while a cell runs: it has no subshells."""
    monkeypatch.setenv("PYTHONPATH", str(ipykernel_6))
    lab = Lab(tmp_path)
    with lab.running():
        yield lab


@pytest.mark.own_page
def test_where_stop_cannot_get_through_the_cell_can_be_interrupted(page, lab_6):
    path = lab_6.write("blocked.ipynb", LOAD, pace(0.05), OPEN, BLOCKED, "import ipykernel; ipykernel.__version__")
    notebook = Notebook(page, lab_6, path)
    notebook.run(0)
    notebook.run(1)
    panel = in_cell(notebook, 2)
    panel.ask("word " * 500)
    panel.reply(1).get_by_text("word word").wait_for()
    notebook.begin(3)

    panel.send.click()
    expect(panel.note).to_contain_text("The kernel runs a cell; Stop takes effect when it has ended.")
    before = panel.reply(1).inner_text()
    expect(panel.reply(1)).not_to_have_text(before)  # it goes on
    panel.button("Interrupt the cell").click()
    notebook.finished(3)

    assert "KeyboardInterrupt" in notebook.output(3).last.inner_text()
    panel.ended()
    expect(panel.turn(1)).to_contain_text("interrupted")
    expect(panel.note).to_be_hidden()
    assert len(before) < len(panel.reply(1).inner_text()) < 2000
    notebook.run(4)
    assert IPYKERNEL_6 in notebook.output(4).inner_text()


# What nobody wishes for


@pytest.fixture
def hostile(tmp_path: Path) -> str:
    """What a cell runs to have the provider of that name: a package that is installed in a folder of its own."""
    shutil.copy(Path(__file__).with_name("flowgpt_hostile.py"), tmp_path)
    about = tmp_path / "flowgpt_hostile-1.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: flowgpt-hostile\nVersion: 1\n")
    (about / "entry_points.txt").write_text("[flowgpt_magic.providers]\nhostile = flowgpt_hostile:Hostile\n")
    return f"import sys; sys.path.append({str(tmp_path)!r})"


def test_a_hostile_reply_is_shown_from_its_end_to_its_beginning_and_the_conversation_goes_on(open_notebook, hostile):
    ask = (
        "from flowgpt_magic import Conversation\nchat = Conversation(model='hostile')\n"
        f"for name in {list(TEXTS)}: chat.ask(name).text"
    )
    notebook = open_notebook(hostile, ask, OPEN)
    notebook.run(1)
    notebook.run(2)
    panel = in_cell(notebook, 3)
    expect(panel.reply(len(TEXTS))).to_have_text(CONTROLS_SHOWN)

    for number in range(len(TEXTS), 0, -1):  # opened at its end, or come to by scrolling up from the turn after it
        expect(panel.reply(number).get_by_text("last").last).to_be_in_viewport()
        panel.turn(number).evaluate(TO_ITS_TOP)
        expect(panel.asked(number)).to_be_in_viewport()
        expect(panel.reply(number).get_by_text("first").first).to_be_in_viewport()
        panel.log.hover()
        notebook.page.mouse.wheel(0, -100)
    for number, name in enumerate(["words", "letters"], len(TEXTS) + 1):  # as it arrives
        panel.answered(name)
        expect(panel.reply(number).get_by_text("last").last).to_be_in_viewport()
    panel.answered("and it goes on")

    expect(panel.reply(len(TEXTS) + 3)).to_have_text("and it goes on")
    assert panel.root.evaluate("root => root.scrollWidth <= root.clientWidth")


# What moves, what is set elsewhere, what is exported: in one notebook, with a conversation for each test

LATER = """\
import os, pathlib, threading, time
def later():
    while not pathlib.Path("now").exists(): time.sleep(0.01)
    os.environ["FLOWGPT_MODEL"] = "echo:messages"
    pathlib.Path("now").unlink()
threading.Thread(target=later, daemon=True).start()
"""
CELLS = {
    "open": OPEN,
    "slow": pace(600),
    "quick": pace(0),
    "config": "%config FlowGPT.model = 'echo:messages'",
    "own": "%flowgpt set model echo:words",
    "back": "%config FlowGPT.model = None\n%flowgpt set model none",
    "later": LATER,
}


@pytest.fixture(scope="module")
def calm_notebook(browser: Browser, lab: Lab) -> Iterator[Notebook]:
    """One notebook with ``CELLS`` for all tests that use ``calm``."""
    page = browser.new_page(viewport={"width": 1100, "height": 900})
    notebook = Notebook(page, lab, lab.write("calm.ipynb", LOAD, *CELLS.values()))
    notebook.run(0)
    yield notebook
    page.context.close()


@pytest.fixture
def calm(calm_notebook: Notebook, request: pytest.FixtureRequest) -> Iterator[tuple[Panel, Callable[[str], None]]]:
    """A panel with an empty conversation, and how to run one of the cells."""

    def run(name: str) -> None:
        calm_notebook.run(list(CELLS).index(name) + 1)

    run("open")
    panel = Panel(calm_notebook.page)
    panel.button("New conversation").click()
    expect(panel.log).to_contain_text("Nothing was asked in chat")
    yield panel, run
    if getattr(request.node, "failed", False):
        SCREENSHOTS.mkdir(exist_ok=True)
        calm_notebook.page.screenshot(path=SCREENSHOTS / f"{request.node.name}.png")


def test_nothing_moves_for_those_who_do_not_want_it(calm):
    panel, run = calm
    run("slow")
    panel.ask("never comes")
    expect(panel.turn(1).locator(".fg-waiting")).to_be_visible()

    panel.page.emulate_media(reduced_motion="no-preference")
    moving = panel.root.evaluate(MOVING)
    panel.page.emulate_media(reduced_motion="reduce")

    assert (moving, panel.root.evaluate(MOVING)) == (3, 0)
    panel.send.click()
    panel.ended()
    assert panel.root.evaluate(MOVING) == 0
    run("quick")


def test_what_is_set_shows_when_its_cell_has_run_or_somebody_goes_to_the_prompt(calm, lab):
    panel, run = calm
    model = panel.model
    expect(model).to_have_attribute("title", "Asked: echo:words")

    run("config")
    expect(model).to_have_attribute("title", "Asked: echo:messages")
    expect(model).to_have_text("echo:messages")
    run("own")
    expect(model).to_have_attribute("title", "Asked: echo:words")
    run("back")
    expect(model).to_have_attribute("title", "Asked: echo:words")

    run("later")
    (lab.folder / "now").touch()  # behind the back of the panel
    while (lab.folder / "now").exists():
        panel.page.wait_for_timeout(10)
    expect(model).to_have_attribute("title", "Asked: echo:words")
    panel.prompt.focus()
    expect(model).to_have_attribute("title", "Asked: echo:messages")


def saved(panel: Panel, item: str, folder: Path) -> Path:
    """The file that an item of the menu saves."""
    with panel.page.expect_download() as download:
        panel.choose(item)
    path = folder / download.value.suggested_filename
    download.value.save_as(path)
    return path


def test_a_conversation_is_exported_as_a_file(calm, tmp_path):
    panel, _run = calm
    panel.button("Rename the conversation").click()
    panel.root.get_by_label("New name of the conversation").fill("plan a/b")
    panel.root.get_by_label("New name of the conversation").press("Enter")
    expect(panel.root.get_by_label("Conversation").first).to_have_value("plan a/b")
    panel.prompt.fill("/model echo:words")
    panel.prompt.press("Enter")
    expect(panel.prompt).to_have_value("")
    prompts = ["what is **bold** & <b>?", "```python\nx = 1\n```"]
    for prompt in prompts:
        panel.answered(prompt)

    paths = [saved(panel, f"Export as {kind}", tmp_path) for kind in ("Markdown", "JSON", "a notebook")]

    assert [path.name for path in paths] == ["plan a_b.md", "plan a_b.json", "plan a_b.ipynb"]
    for path in paths:
        read = files.read(path)
        assert (read.name, [(turn.prompt, turn.text) for turn in read.turns]) == ("plan a/b", [(p, p) for p in prompts])
    notebook = nbformat.read(paths[2], as_version=4)
    nbformat.validate(notebook)
    assert [cell.source.split("\n", 1)[1] for cell in notebook.cells if cell.source.startswith("%%flowgpt")] == prompts

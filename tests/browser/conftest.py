"""A real JupyterLab on loopback, driven in headless Chromium, with this checkout's extension in it.

``test_extension_*.py`` prove the extension: their ``front`` is each front end in turn, their kernels always are this
environment's. With ``LAB_EXTENSION=disabled`` the other tests show that nothing else needs it.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.error import URLError

import nbformat
import pytest
from playwright.sync_api import Browser, BrowserContext, Locator, Page, expect, sync_playwright

from tests import processes

LIMIT = 60  # seconds after which something is broken, and not only slow
HERE = Path(__file__).parent
SCREENSHOTS = HERE / "screenshots"
CHECKOUT = HERE.parents[1]
FIRST_TIME = pytest.mark.timeout(1200)  # seconds: environments are made by the first test that needs them
EXTENSION = CHECKOUT / "flowgpt_magic" / "labextension"
DISABLED = os.environ.get("LAB_EXTENSION") == "disabled"
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
SETTINGS = {
    "@jupyterlab/apputils-extension:notification": {"fetchNews": "false", "checkForUpdates": False},
    "@jupyterlab/notebook-extension:tracker": {"windowingMode": "none"},
}
LIGHT, DARK = "JupyterLab Light", "JupyterLab Dark"
CHANGE_THEME = "theme => window.jupyterapp.commands.execute('apputils:change-theme', { theme })"


def chromium() -> str:
    """Chromium's path; without one the browser tests fail, because nothing else shows what a user sees."""
    found = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    if not found:
        pytest.fail("no Chromium: apt-get install chromium, or set CHROMIUM to its path", pytrace=False)
    return found


def with_extension(folder: Path) -> Path:
    """A folder of extensions, with this checkout's in it; it wins over one that is installed."""
    shutil.copytree(EXTENSION / "built", folder / "flowgpt_magic")
    shutil.copy(EXTENSION / "install.json", folder / "flowgpt_magic")
    return folder


def disable_extension(config: Path) -> None:
    """Do what ``jupyter labextension disable flowgpt_magic`` does."""
    page = config / "labconfig" / "page_config.json"
    page.parent.mkdir(parents=True)
    page.write_text(json.dumps({"disabledExtensions": {"flowgpt_magic": True}}), "utf-8")


def own_kernel(data: Path) -> None:
    """Have Jupyter find the kernel of this interpreter in this folder, whatever environment Jupyter itself is in."""
    folder = data / "kernels" / "python3"
    folder.mkdir(parents=True)
    command = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    kernel = {"argv": command, "display_name": "Python 3 (ipykernel)", "language": "python"}
    (folder / "kernel.json").write_text(json.dumps(kernel), "utf-8")


class Lab:
    """A JupyterLab server with a folder of its own, and Notebook 7 beside it.

    ``python`` is the interpreter whose JupyterLab it is; the kernels are those of this one.
    """

    def __init__(self, folder: Path, python: Path = Path(sys.executable)) -> None:
        self.folder = folder / "work"
        self.folder.mkdir()
        self.settings = folder / "settings"
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        for plugin, values in SETTINGS.items():
            package, setting = plugin.split(":")
            file = self.settings / package / f"{setting}.jupyterlab-settings"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(json.dumps(values))
        places = {
            name: str(folder / name.lower())
            for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR", "JUPYTER_PATH", "IPYTHONDIR")
        }
        own_kernel(Path(places["JUPYTER_PATH"]))
        if DISABLED:
            disable_extension(Path(places["JUPYTER_CONFIG_DIR"]))
        self.command = [str(python), "-m", "jupyterlab", "--no-browser", "--allow-root", f"--port={self.port}"]
        self.command += ["--ServerApp.ip=127.0.0.1", "--ServerApp.port_retries=0", "--ServerApp.log_level=ERROR"]
        self.command += ["--IdentityProvider.token=", "--LabApp.news_url=None", f"--ServerApp.root_dir={self.folder}"]
        for app in ("LabApp", "JupyterNotebookApp"):
            self.command.append(f"--{app}.expose_app_in_browser=True")  # for `OPEN_NEXT`
        self.command += [f"--LabServerApp.extra_labextensions_path={with_extension(folder / 'labextensions')}"]
        self.command += [f"--LabApp.workspaces_dir={folder / 'workspaces'}"]
        self.command += [f"--LabApp.user_settings_dir={self.settings}"]
        self.configuration = folder / "config"
        own = {"FLOWGPT_MODEL": "echo", "FLOWGPT_DATA_DIR": str(folder / "data")}
        own["XDG_CONFIG_HOME"] = str(self.configuration)
        self.environment = {**os.environ, **places, **own}

    @contextmanager
    def running(self) -> Iterator[None]:
        with processes.running(self.command, grace=20, env=self.environment) as process:
            self._wait(process)
            yield

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def _wait(self, process: subprocess.Popen[bytes]) -> None:
        until = time.monotonic() + LIMIT
        while time.monotonic() < until:
            try:
                urllib.request.urlopen(f"{self.url}/api/status", timeout=LIMIT).close()
                return
            except (URLError, ConnectionError):
                assert process.poll() is None, "JupyterLab did not start"
                time.sleep(0.1)
        raise AssertionError("JupyterLab did not answer")

    def write(self, name: str, *cells: str) -> Path:
        """A notebook with these code cells."""
        notebook = nbformat.v4.new_notebook()
        notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
        notebook.cells = [nbformat.v4.new_code_cell(cell) for cell in cells]
        path = self.folder / name
        nbformat.write(notebook, path)
        return path


# The notebook is open and has its kernel when this has ended; what was open before is gone, with its kernels.
OPEN_NEXT = """
async (path) => {
  const { commands, serviceManager, shell } = window.jupyterapp;
  const before = [...shell.widgets("main")];
  const next = await commands.execute("docmanager:open", { path, factory: "Notebook" });
  await next.context.ready;
  await next.sessionContext.ready;
  for (const widget of before) {
    const session = widget.sessionContext?.session?.id;
    widget.dispose();
    if (session) serviceManager.sessions.shutdown(session).catch(() => {});
  }
}
"""

# After a reload, JupyterLab opens the notebook of its address at a time of its own, even if it was closed meanwhile.
RELOADED = "() => performance.getEntriesByType('navigation')[0].type === 'reload'"

# The notebook that the page shows; nothing if it shows none.
SHOWN = "() => window.jupyterapp?.shell.currentWidget?.context?.path ?? ''"


class Notebook:
    """A notebook open in the page, for which JupyterLab itself is loaded."""

    def __init__(self, page: Page, lab: Lab, path: Path) -> None:
        self.page, self.lab, self.path = page, lab, path
        self._open()
        page.locator(".jp-Notebook .jp-Cell").first.wait_for()
        self.wait_for_idle()

    def _open(self) -> None:
        self.page.goto(f"{self.lab.url}/lab/workspaces/w{time.monotonic_ns()}/tree/{self.path.name}?reset")

    def wait_for_idle(self) -> None:
        self.page.get_by_text("Python 3 (ipykernel) | Idle").first.wait_for()

    def cell(self, number: int) -> Locator:
        return self.page.locator(".jp-Notebook .jp-CodeCell").nth(number)

    def output(self, number: int) -> Locator:
        return self.cell(number).locator(".jp-OutputArea-output")

    def start(self, number: int) -> None:
        """Run a cell, and do not wait for its end."""
        self.cell(number).locator(".cm-content").click()
        self.page.keyboard.press("Control+Enter")

    def begin(self, number: int) -> None:
        """Run a cell, and wait until it runs."""
        self.start(number)
        self.cell(number).locator(".jp-InputPrompt").filter(has_text="[*]").wait_for()

    def run(self, number: int) -> None:
        """Run a cell and wait until it has its number."""
        self.start(number)
        self.finished(number)

    def finished(self, number: int) -> None:
        self.cell(number).locator(".jp-InputPrompt").filter(has_text="[*]").wait_for(state="detached")
        self.page.wait_for_function(
            "n => /\\[\\d+\\]/.test(document.querySelectorAll('.jp-Notebook .jp-CodeCell')[n]"
            ".querySelector('.jp-InputPrompt').textContent)",
            arg=number,
        )

    def save(self) -> nbformat.NotebookNode:
        """Save the notebook, and read what is in the file."""
        before = self.path.stat().st_mtime_ns
        self.page.keyboard.press("Control+s")
        for _ in range(200):
            if self.path.stat().st_mtime_ns != before and whole_json(self.path):
                break
            self.page.wait_for_timeout(50)
        return nbformat.read(self.path, as_version=4)


def in_each_theme(page: Page) -> Iterator[str]:
    """The page in light and in dark colours, one after the other; in the end it is light again."""
    try:
        for theme in (LIGHT, DARK):
            page.evaluate(CHANGE_THEME, theme)
            page.locator(f"body[data-jp-theme-name='{theme}']").wait_for(state="attached")
            yield theme
    finally:
        page.evaluate(CHANGE_THEME, LIGHT)
        page.locator(f"body[data-jp-theme-name='{LIGHT}']").wait_for(state="attached")


class NextNotebook(Notebook):
    """A notebook that takes the place of the one before in the JupyterLab that the page shows: a tenth of the work."""

    def _open(self) -> None:
        self.page.evaluate(OPEN_NEXT, self.path.name)


class Notebook7(Notebook):
    """A notebook open in Notebook 7, served beside JupyterLab."""

    def _open(self) -> None:
        with self.page.expect_websocket(lambda socket: "/channels" in socket.url) as connected:
            self.page.goto(f"{self.lab.url}/notebooks/{self.path.name}")
        connected.value.wait_for_event("framereceived", lambda frame: b"kernel_info_reply" in frame)

    def wait_for_idle(self) -> None:
        self.page.locator(".jp-Notebook-ExecutionIndicator[data-status='idle']").first.wait_for()


def whole_json(path: Path) -> str:
    """What is in the file; nothing while it is being written."""
    content = path.read_text("utf-8")
    try:
        json.loads(content)
    except ValueError:
        return ""
    return content


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """One JupyterLab for all tests."""
    lab = Lab(tmp_path_factory.mktemp("lab"))
    with lab.running():
        yield lab


@pytest.fixture(scope="session")
def oldest_lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """The oldest JupyterLab that the extension supports, with the Notebook of its time."""
    python = environment(".venv-lab42", "OLDEST_LAB_PYTHON", "jupyterlab==4.2.*", "notebook==7.2.*")
    lab = Lab(tmp_path_factory.mktemp("oldest-lab"), python)
    with lab.running():
        yield lab


@pytest.fixture(scope="session")
def next_lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """The JupyterLab that comes next."""
    lab = Lab(tmp_path_factory.mktemp("next-lab"), environment(".venv-lab47", "NEXT_LAB_PYTHON", "jupyterlab>=4.7.0a0"))
    with lab.running():
        yield lab


def environment(name: str, variable: str, *packages: str) -> Path:
    """The interpreter of an environment of front ends, made once in the checkout, or the one that a variable names."""
    if os.environ.get(variable):
        return Path(os.environ[variable])
    folder = CHECKOUT / name
    folder.mkdir(exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # several test runs may want it at once
        if not (folder / "complete").exists():
            subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
            install = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
            subprocess.run([*install, *packages, "ipywidgets>=8", "anywidget>=0.9.13"], check=True)
            (folder / "complete").touch()
    return folder / "bin" / "python"


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """One Chromium for all tests."""
    # For these tests only: while playwright runs, it holds this thread's event loop.
    expect.set_options(timeout=1000 * LIMIT)  # a busy machine is slow, and nothing is proved by that
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=FLAGS)
        yield browser
        browser.close()


class Pages:
    """The pages of the tests: one that they share, one after the other, and pages of their own beside it."""

    def __init__(self, browser: Browser) -> None:
        self._browser = browser
        self._context: BrowserContext | None = None
        self._shared: Page | None = None

    def shared(self) -> Page:
        if self._shared is None:
            self._shared = self.own()
        return self._shared

    def own(self) -> Page:
        """A page that is new, in the cache of which JupyterLab may be already."""
        if self._context is None:
            self._context = self._browser.new_context(viewport={"width": 1100, "height": 900})
            self._context.set_default_timeout(1000 * LIMIT)
        return self._context.new_page()

    def give_back(self, page: Page) -> None:
        """Leave nothing of a test that passed to the next one, which closes the notebook when it opens its own."""
        page.context.clear_permissions()
        if page is not self._shared:
            page.close()
            return
        page.unroute_all()
        page.mouse.move(0, 0)
        page.evaluate("() => { sessionStorage.clear(); localStorage.clear(); }")
        page.evaluate("() => window.jupyterapp?.shell.collapseRight?.()")  # a panel in it would connect by itself

    def shown(self, server: str) -> str:
        """The notebook of ``server`` that the shared page shows."""
        if self._shared is None or not self._shared.url.startswith(server):
            return ""
        return str(self._shared.evaluate(SHOWN))

    def close(self) -> None:
        if self._context is not None:
            self._context.close()
        self._context = self._shared = None


@pytest.fixture(scope="package")
def pages(browser: Browser) -> Iterator[Pages]:
    """The pages of this Chromium."""
    pages = Pages(browser)
    yield pages
    pages.close()


def end_sessions(server: str, shown: str) -> None:
    """End the kernels of all notebooks but the one that is shown: each that is left takes memory and time."""
    sessions = f"{server}api/sessions"
    with suppress(
        URLError
    ):  # the address was that of a proxy which has ended, or the page has ended a kernel meanwhile
        with urllib.request.urlopen(sessions, timeout=LIMIT) as answer:
            others = [session["id"] for session in json.load(answer) if session["path"] != shown]
        for session in others:
            deletion = urllib.request.Request(f"{sessions}/{session}", method="DELETE")
            urllib.request.urlopen(deletion, timeout=LIMIT).close()


@pytest.fixture
def page(pages: Pages, request: pytest.FixtureRequest) -> Iterator[Page]:
    """The page that the tests share, or a new one for a test that is marked ``own_page``.

    When the test fails, what the page shows is kept as a picture, and no other test gets it.
    """
    page = pages.own() if request.node.get_closest_marker("own_page") else pages.shared()
    yield page
    server = re.match(r"http://127\.0\.0\.1:\d+/", page.url)
    if getattr(request.node, "failed", False):
        SCREENSHOTS.mkdir(exist_ok=True)
        page.screenshot(path=SCREENSHOTS / f"{request.node.name}.png")
        pages.close()
    else:
        pages.give_back(page)
    if server is not None:
        end_sessions(server.group(), pages.shown(server.group()))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item):
    outcome = yield
    if outcome.get_result().failed:
        item.failed = True


@pytest.fixture
def open_notebook(page: Page, lab: Lab, request: pytest.FixtureRequest) -> Callable[..., Notebook]:
    """Open a new notebook with these cells, the extension loaded by the first of them."""
    return Front(lab).opener(page, request.node.name)


@dataclass(frozen=True)
class Front:
    """What shows the notebooks of a server: its JupyterLab, or its Notebook 7."""

    lab: Lab
    notebook7: bool = False

    def open(self, page: Page, path: Path) -> Notebook:
        if self.notebook7:
            return Notebook7(page, self.lab, path)
        takes_next = page.url.startswith(f"{self.lab.url}/lab") and not page.evaluate(RELOADED)
        return (NextNotebook if takes_next else Notebook)(page, self.lab, path)

    def opener(self, page: Page, test: str) -> Callable[..., Notebook]:
        def open_one(*cells: str) -> Notebook:
            name = f"{test.split('[')[0][-60:]}-{time.monotonic_ns()}.ipynb"
            notebook = self.open(page, self.lab.write(name, "%load_ext flowgpt_magic", *cells))
            notebook.run(0)
            return notebook

        return open_one


FRONTS = {
    "JupyterLab": ("lab", False),
    "JupyterLab 4.2": ("oldest_lab", False),
    "Notebook 7": ("lab", True),
    "Notebook 7.2": ("oldest_lab", True),
    "JupyterLab 4.7": ("next_lab", False),
}
NEXT = pytest.param("JupyterLab 4.7", marks=pytest.mark.next_lab)


@pytest.fixture(scope="session", params=["JupyterLab", "JupyterLab 4.2", "Notebook 7", NEXT])
def front(request: pytest.FixtureRequest) -> Front:
    """Each front end in turn; ``@pytest.mark.parametrize("front", [...], indirect=True)`` chooses from ``FRONTS``."""
    server, notebook7 = FRONTS[request.param]
    return Front(request.getfixturevalue(server), notebook7)


@pytest.fixture
def open_in_front(page: Page, front: Front, request: pytest.FixtureRequest) -> Callable[..., Notebook]:
    """``open_notebook`` in each front end in turn."""
    return front.opener(page, request.node.name)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.parent == HERE and item.path.name.startswith("test_extension_"):
            if DISABLED:
                item.add_marker(pytest.mark.skip("the extension is disabled"))
            item.add_marker(FIRST_TIME)

"""Who has nothing to do with the extension does not notice it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, WebSocket

from tests.browser.conftest import Lab, Notebook, Pages, disable_extension

# What JupyterLab itself needs, and nothing more.
POLICY = "; ".join(
    [
        "default-src 'self'",
        "script-src 'self' 'unsafe-eval'",  # JupyterLab compiles the schemas of its settings
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data: blob:",
        "font-src 'self' data:",
        "connect-src 'self' ws:",
        "worker-src 'self' blob:",
        "object-src 'none'",
        "base-uri 'self'",
        "frame-ancestors 'none'",
        "form-action 'self'",
    ]
)
# Ports, the names of workspaces, the ids of kernels and sessions, and what a message says of the time.
VARIES = re.compile(r":\d+|\bw\d+\b|\b[0-9a-f-]{36}\b|\d+ seconds?")
WATCH = """
window.violations = [];
document.addEventListener("securitypolicyviolation", (event) =>
  window.violations.push(`${event.violatedDirective} ${event.blockedURI}`));
"""


class StrictLab(Lab):
    """A JupyterLab with the content security policy of a careful hub."""

    def __init__(self, folder: Path, *, extension: bool) -> None:
        super().__init__(folder)
        self.command.append(f"--ServerApp.tornado_settings={{'headers': {{'Content-Security-Policy': \"{POLICY}\"}}}}")
        if not extension:
            disable_extension(Path(self.environment["JUPYTER_CONFIG_DIR"]))


class Seen:
    """What a page does while it opens a notebook, runs its cell, and is left alone."""

    def __init__(self, page: Page, lab: Lab) -> None:
        self.console: list[str] = []
        self.hosts: set[str] = set()
        self.paths: set[str] = set()
        self.sent: list[str] = []  # the kinds of messages to the kernel
        page.on("console", lambda message: self._written(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: self._written(str(error)))
        page.on("request", lambda request: self._requested(request.url))
        page.on("websocket", self._connected)
        page.add_init_script(WATCH)
        notebook = Notebook(page, lab, lab.write("plain.ipynb", "1 + 1"))
        notebook.run(0)
        page.evaluate("() => window.jupyterapp.restored")
        self.violations = page.evaluate("() => window.violations")
        self.active = page.evaluate("() => window.jupyterapp.isPluginActivated('flowgpt_magic:connections')")

    def _written(self, line: str) -> None:
        if "ms to activate" not in line:  # JupyterLab complains of its own plug-ins on a busy machine
            self.console.append(VARIES.sub("", line))

    def _requested(self, url: str) -> None:
        host, path = re.match(r"\w+:(?://([^/]*))?(/[^?]*)?", url).groups()
        self.hosts.add(host)
        self.paths.add(path)

    def _connected(self, socket: WebSocket) -> None:
        if "/channels" in socket.url:
            socket.on("framesent", self._sent)

    def _sent(self, frame: str | bytes) -> None:
        data = frame.encode() if isinstance(frame, str) else frame
        self.sent += [kind.decode() for kind in re.findall(rb'"msg_type": ?"(\w+)"', data)]


@pytest.fixture(scope="module")
def seen(pages: Pages, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Seen, Seen]]:
    """The same notebook with the extension, and with the extension disabled."""
    both = []
    for extension in (True, False):
        lab = StrictLab(tmp_path_factory.mktemp("strict"), extension=extension)
        page = pages.own()
        with lab.running():
            both.append(Seen(page, lab))
            page.close()
    return both[0], both[1]


def test_it_is_there_unless_it_is_disabled(seen):
    assert [each.active for each in seen] == [True, False]


def test_it_writes_nothing_to_the_console_and_violates_no_strict_policy(seen):
    with_it, without = seen

    assert [line for line in with_it.console if "flowgpt" in line.lower()] == []
    assert set(with_it.console) <= set(without.console)
    assert with_it.violations == without.violations  # an inline script of JupyterLab's own page


def test_a_kernel_without_prompts_is_asked_nothing(seen):
    with_it, without = seen

    assert sorted(with_it.sent) == sorted(without.sent)


def test_it_fetches_nothing_but_itself(seen):
    with_it, without = seen
    more = {VARIES.sub("", path) for path in with_it.paths} - {VARIES.sub("", path) for path in without.paths}

    assert len(with_it.hosts) == 1
    assert {path.split("/flowgpt_magic/")[0] for path in more} == {"/lab/extensions"}

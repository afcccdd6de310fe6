"""The extension's connection with the kernels of notebooks."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page

from tests.browser.conftest import Lab, Notebook, Pages
from tests.browser.connections import Connected

RESTART = "() => [...window.jupyterapp.shell.widgets('main')][0].sessionContext.session.kernel.restart()"
CHANGE = "name => [...window.jupyterapp.shell.widgets('main')][0].sessionContext.changeKernel({ name })"
SHUT_DOWN = "() => [...window.jupyterapp.shell.widgets('main')][0].sessionContext.shutdown()"
COMMS = "len([c for c in get_ipython().kernel.comm_manager.comms.values() if c.target_name == 'flowgpt_magic'])"
OTHER_LANGUAGE = """
from ipykernel.kernelapp import IPKernelApp
from ipykernel.kernelbase import Kernel

class Fish(Kernel):
    implementation = implementation_version = banner = "fish"
    language_info = {"name": "fish", "mimetype": "text/plain", "file_extension": ".fish"}

    def do_execute(self, code, silent, *more, **how):
        return {"status": "ok", "execution_count": 1, "payload": [], "user_expressions": {}}

IPKernelApp.launch_instance(kernel_class=Fish)
"""
NO_PACKAGE = """
import sys
from pathlib import Path

sys.path = [path for path in sys.path if path and not (Path(path) / "flowgpt_magic").exists()]
from ipykernel.kernelapp import launch_new_instance
launch_new_instance()
"""


@pytest.fixture(scope="module", autouse=True)
def kernels(lab: Lab) -> None:
    """Kernels that cannot be talked to, in the launcher of this JupyterLab."""
    for name, code in {"fish": OTHER_LANGUAGE, "bare": NO_PACKAGE}.items():
        folder = Path(lab.environment["JUPYTER_PATH"]) / "kernels" / name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "kernel.py").write_text(code, "utf-8")
        command = [sys.executable, str(folder / "kernel.py"), "-f", "{connection_file}"]
        kernel = {"argv": command, "display_name": name, "language": "fish" if name == "fish" else "python"}
        (folder / "kernel.json").write_text(json.dumps(kernel), "utf-8")


def test_each_front_end_connects_and_asks(open_in_front: Callable[..., Notebook]):
    notebook = open_in_front("frame = 1")
    notebook.run(1)
    connection = Connected(notebook.page)
    assert connection.status == "unknown"

    connection.connect()
    connection.until("ready")

    assert connection.ask(names=["frame", "nothing"])["known"] == ["frame"]
    assert notebook.page.evaluate("() => window.flowgpt.hello.magics")[0] == "flowgpt"


def test_loading_unloading_and_restarting_are_followed(open_notebook: Callable[..., Notebook], page: Page):
    notebook = open_notebook("%unload_ext flowgpt_magic", "%load_ext flowgpt_magic", "%reload_ext flowgpt_magic")
    connection = Connected(page)
    connection.connect()
    connection.until("ready")
    notebook.run(1)
    connection.until("unloaded")
    assert "run %load_ext flowgpt_magic" in connection.ask()
    notebook.run(2)
    connection.until("ready")
    notebook.run(3)
    connection.until("ready")

    page.evaluate(RESTART)
    connection.until("unloaded")
    page.evaluate("() => window.flowgpt.load()")

    assert connection.status == "ready"


def test_each_kernel_that_cannot_be_talked_to_has_its_sentence(open_notebook: Callable[..., Notebook], page: Page):
    open_notebook()
    connection = Connected(page)
    connection.connect()
    connection.until("ready")

    page.evaluate(CHANGE, "fish")
    connection.until("foreign")
    assert connection.ask() == "FlowGPT needs a Python kernel: the kernel of this notebook runs fish."
    page.evaluate(CHANGE, "bare")
    connection.until("absent")
    assert "%pip install flowgpt_magic" in connection.ask()
    page.evaluate(SHUT_DOWN)
    connection.until("none")
    assert connection.ask() == "This notebook has no kernel: choose one in the Kernel menu."
    page.evaluate(CHANGE, "python3")
    connection.until("unloaded")


def test_packages_of_other_versions_say_what_to_upgrade(open_notebook: Callable[..., Notebook], page: Page):
    notebook = open_notebook(
        "import flowgpt_magic.lab.connection as kernel_half; kernel_half.PROTOCOL = 2",
        "kernel_half.PROTOCOL = 0\n%reload_ext flowgpt_magic",
        "get_ipython().kernel.comm_manager.targets.pop('flowgpt_magic')\n'older than the extension: no flowgpt target'",
    )
    notebook.run(1)
    connection = Connected(page)
    connection.connect()
    connection.until("newer")
    assert "upgrade flowgpt_magic in JupyterLab's environment, then reload the page" in connection.ask()

    notebook.run(2)
    connection.until("older")
    assert "run %pip install --upgrade flowgpt_magic in a cell, then restart the kernel" in connection.ask()
    page.evaluate(RESTART)
    connection.until("unloaded")
    page.evaluate("() => window.flowgpt.load()")
    notebook.run(3)
    page.evaluate("() => { window.flowgpt.disconnect(); window.flowgpt.connect(); }")

    connection.until("older")
    assert "The kernel has a flowgpt_magic, which is too old" in connection.ask()


def test_after_a_reload_it_connects_while_the_cell_still_runs(open_notebook: Callable[..., Notebook], page: Page):
    notebook = open_notebook(
        "go_on = __import__('pathlib').Path('go_on')", "import time\nwhile not go_on.exists(): time.sleep(0.1)", COMMS
    )
    notebook.run(1)
    connection = Connected(page)
    connection.connect()
    connection.until("ready")
    notebook.save()
    notebook.begin(2)

    for _ in range(3):
        page.reload()
        page.locator(".jp-Notebook .jp-Cell").first.wait_for()
        connection = Connected(page)
        connection.connect()
        connection.until("ready")
        assert connection.ask(names=["go_on"])["known"] == ["go_on"]

    (notebook.lab.folder / "go_on").touch()
    notebook.run(3)
    assert int(notebook.output(3).inner_text()) <= 2  # the pages before the reloads are gone


def test_two_tabs_are_connected_and_the_one_that_closes_its_notebook_leaves_nothing(
    open_notebook: Callable[..., Notebook], page: Page, pages: Pages
):
    notebook = open_notebook(COMMS, f"import time\nwhile {COMMS} > 1: time.sleep(0.05)")
    lines: list[str] = []
    page.on("console", lambda message: lines.append(message.text))
    connection = Connected(page)
    connection.connect()
    connection.until("ready")
    other = pages.own()
    Notebook(other, notebook.lab, notebook.path)
    beside = Connected(other)
    beside.connect()
    beside.until("ready")
    comm = other.evaluate("() => window.flowgpt.comm.commId")
    notebook.run(1)
    assert notebook.output(1).inner_text() == "2"

    other.evaluate("() => [...window.jupyterapp.shell.widgets('main')][0].dispose()")
    notebook.run(2)

    assert other.evaluate("() => window.flowgpt.isDisposed")
    assert [line for line in lines if comm in line] == []
    other.close()


# Ends when the page has lost its connection to the kernel and has it again, which may take less than a frame.
LOSE_AND_REGAIN = """
() => new Promise((resolve) => {
  const { kernel } = window.flowgpt;
  let lost = false;
  kernel.connectionStatusChanged.connect((_kernel, status) => {
    if (status !== "connected") lost = true;
    else if (lost) resolve();
  });
  kernel._ws.close();
})
"""


def test_it_connects_again_when_the_network_is_back(open_notebook: Callable[..., Notebook], page: Page):
    open_notebook()
    connection = Connected(page)
    connection.connect()
    connection.until("ready")
    comm = page.evaluate("() => window.flowgpt.comm.commId")

    page.evaluate(LOSE_AND_REGAIN)
    page.wait_for_function("() => !window.flowgpt.stale")
    connection.until("ready")

    assert connection.ask(names=["In"])["known"] == ["In"]
    assert page.evaluate("() => window.flowgpt.comm.commId") == comm

"""Which notebook and which cell, told by real hosts: a server, nbclient, papermill, a client of our own."""

from __future__ import annotations

import json
import os
import re
import secrets
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import URLError

import nbformat
import pytest
from jupyter_client import BlockingKernelClient
from nbclient import NotebookClient

from flowgpt_magic.notebook.place import cell_ids
from tests import processes
from tests.kernel.conftest import LIMIT, Kernel

CELL = "1e9aac6b-cee9-4786-813b-df30c0debc38"
WHERE = """
import json, os, sys
from ipykernel.connect import get_connection_file
from flowgpt_magic.notebook import jupyter_servers
from flowgpt_magic.notebook import place as notebook
shell = get_ipython()
request = shell.get_parent()
place = notebook.find_place(
    shell.user_ns, request, os.environ, os.getcwd(), modules=sys.modules, connection_file=get_connection_file()
)
print(json.dumps([place.kind, place.path, place.label, place.key, notebook.cell_id(request)]))
"""
NOW = "print(json.dumps(jupyter_servers.live_path(get_connection_file())))"


def save(path: Path, *cells: str) -> Path:
    """A notebook with these cells."""
    content = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    content.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(content, path)
    return path


def printed(notebook: nbformat.NotebookNode, cell: int = -1) -> Any:
    return json.loads(notebook.cells[cell].outputs[0].text)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory for kernels that others start, which find the package from there too."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    monkeypatch.delenv("JPY_SESSION_NAME", raising=False)
    return Path(os.path.realpath(tmp_path))


def test_a_client_that_speaks_as_jupyterlab_does_is_told_the_notebook_and_the_cell(start_kernel, tmp_path):
    path = save(tmp_path / "analysis.ipynb")
    kernel = start_kernel(setup="", on_colabs_page=False, JPY_SESSION_NAME=str(path))

    kind, *found = json.loads(kernel.good(WHERE, cell_id=CELL).printed)

    real = os.path.realpath(path)
    assert (kind, found) == ("jupyter", [real, "analysis.ipynb", real, CELL])


@pytest.mark.parametrize("start_kernel", ["installed"], indirect=True)
def test_a_kernel_of_the_sixth_series_tells_the_same(start_kernel, ipykernel_6, tmp_path):
    path = save(tmp_path / "analysis.ipynb")
    kernel = start_kernel(ipykernel_6, setup="", JPY_SESSION_NAME=str(path))

    assert json.loads(kernel.good(WHERE, cell_id=CELL).printed)[2:] == ["analysis.ipynb", os.path.realpath(path), CELL]


def test_a_client_that_speaks_as_vs_code_does_is_told_the_notebook_and_the_cell(start_kernel, tmp_path):
    path = os.path.realpath(save(tmp_path / "analysis.ipynb"))
    kernel = start_kernel(setup=f"__vsc_ipynb_file__ = {path!r}", on_colabs_page=False)

    found = json.loads(kernel.good(WHERE, cell_id=f"vscode-notebook-cell:{path}#W2sZmlsZQ%3D%3D").printed)

    assert found == ["vscode", path, "analysis.ipynb", path, "W2sZmlsZQ=="]


def test_a_client_that_tells_nothing_leaves_the_folder(start_kernel, tmp_path):
    kernel = start_kernel(setup="")

    folder = os.path.realpath(tmp_path)
    told = kernel.good(WHERE, cell_id="").printed
    assert json.loads(told) == ["folder", "", f"folder {folder}", f"folder:{folder}", ""]


@pytest.mark.parametrize("outer", ["", "/home/ada/outer.ipynb"])
def test_nbclient_tells_nothing_even_when_it_is_started_from_a_notebook(folder, monkeypatch, outer):
    if outer:
        monkeypatch.setenv("JPY_SESSION_NAME", outer)
    notebook = nbformat.read(save(folder / "a.ipynb", WHERE), as_version=4)

    NotebookClient(notebook, resources={"metadata": {"path": str(folder)}}).execute()

    label = f"run without a notebook's name, in {folder}"
    kind, path, found_label, key, cell = printed(notebook)
    assert (kind, path, found_label, cell) == ("nbclient", "", label, "")
    assert re.fullmatch(rf"nbclient:[\w-]+:{folder}", key)


@pytest.mark.parametrize("told", [True, False])
def test_papermill_tells_its_input_when_it_is_asked_to(folder, told):
    save(folder / "report.ipynb", WHERE)
    command = [sys.executable, "-m", "papermill", "report.ipynb", "out.ipynb", "--no-progress-bar"]

    subprocess.run([*command, *["--inject-paths"] * told], cwd=folder, check=True, capture_output=True, timeout=LIMIT)

    path = str(folder / "report.ipynb")
    kind, found_path, label, key, _cell = printed(nbformat.read(folder / "out.ipynb", as_version=4))
    if told:
        assert (kind, found_path, label) == ("papermill", path, "report.ipynb")
    else:
        assert (kind, found_path) == ("nbclient", "")
    assert key.endswith(f":{path if told else folder}")


class Server:
    """A Jupyter server on loopback with a root and a runtime folder of its own, and a token."""

    def __init__(self, folder: Path) -> None:
        self.root, self.runtime, self.token = folder / "root", folder / "runtime", secrets.token_hex(24)
        self.log = folder / "server.log"
        self.root.mkdir()
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.command = [sys.executable, "-m", "jupyter_server", "--no-browser", "--allow-root", f"--port={self.port}"]
        self.command += ["--ServerApp.ip=127.0.0.1", "--ServerApp.port_retries=0", f"--ServerApp.root_dir={self.root}"]
        self.command += [f"--IdentityProvider.token={self.token}", "--ServerApp.base_url=/user/me/"]
        places = {name: str(folder / name.lower()) for name in ("JUPYTER_CONFIG_DIR", "IPYTHONDIR")}
        self.environment = {**os.environ, **places, "JUPYTER_RUNTIME_DIR": str(self.runtime)}

    @contextmanager
    def running(self) -> Iterator[None]:
        with (
            self.log.open("wb") as log,
            processes.running(self.command, grace=20, env=self.environment, stdout=log, stderr=log) as process,
        ):
            self._wait(process)
            yield

    def _wait(self, process: subprocess.Popen[bytes]) -> None:
        until = time.monotonic() + LIMIT
        while time.monotonic() < until:
            try:
                self.ask("GET", "status")
                return
            except (URLError, ConnectionError):
                assert process.poll() is None, self.log.read_text()
                time.sleep(0.1)
        raise AssertionError("the server did not answer")

    def ask(self, method: str, where: str, /, **body: Any) -> Any:
        """Speak with its REST API."""
        asked = urllib.request.Request(f"http://127.0.0.1:{self.port}/user/me/api/{where}", method=method)
        asked.add_header("Authorization", f"token {self.token}")
        data = json.dumps(body).encode() if body else None
        with urllib.request.urlopen(asked, data, timeout=LIMIT) as response:
            return json.load(response)

    def open(self, path: str, kind: str = "notebook", **more: str | None) -> tuple[dict[str, Any], Kernel]:
        """A session as JupyterLab makes one, and its kernel."""
        asked = {"path": path, "name": path.rpartition("/")[2], "type": kind, "kernel": {"name": "python3"}, **more}
        session = self.ask("POST", "sessions", **asked)
        return session, Kernel(Joined(str(self.runtime / f"kernel-{session['kernel']['id']}.json")))


class Joined:
    """A kernel that another process manages."""

    def __init__(self, connection_file: str) -> None:
        self.connection_file = connection_file

    def blocking_client(self) -> BlockingKernelClient:
        client = BlockingKernelClient(connection_file=self.connection_file)
        client.load_connection_file()
        client.hb_channel.time_to_dead = LIMIT  # it counts a kernel as dead that takes longer to start
        return client

    def shutdown_kernel(self, now: bool) -> None:
        """Its server ends it."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One Jupyter server for all tests of this file."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
        patch.delenv("JPY_SESSION_NAME", raising=False)
        server = Server(Path(os.path.realpath(tmp_path_factory.mktemp("server"))))
    with server.running():
        yield server


@pytest.fixture
def open_notebook(server: Server) -> Iterator[Callable[..., tuple[dict[str, Any], Kernel]]]:
    """Open a notebook of that server; gives its session and its kernel."""
    opened = []

    def open_one(path: str, **how: str | None) -> tuple[dict[str, Any], Kernel]:
        opened.append(server.open(path, **how))
        return opened[-1]

    yield open_one
    for _session, kernel in opened:
        kernel.close()


def test_a_kernel_of_a_server_knows_its_notebook_and_where_it_was_moved_to(server, open_notebook):
    (server.root / "work").mkdir()
    old = save(server.root / "work" / "Untitled.ipynb", "1")
    session, kernel = open_notebook("work/Untitled.ipynb")
    first = json.loads(kernel.good(WHERE, cell_id=CELL).printed)
    before = json.loads(kernel.good(NOW).printed)

    server.ask("PATCH", "contents/work/Untitled.ipynb", path="work/März #1.ipynb")
    server.ask("PATCH", f"sessions/{session['id']}", path="work/März #1.ipynb", name="März #1.ipynb", type="notebook")

    new = str(server.root / "work" / "März #1.ipynb")
    assert first == ["jupyter", str(old), "Untitled.ipynb", str(old), CELL]
    assert before == str(old)
    assert json.loads(kernel.good(WHERE).printed)[1] == str(old)
    run = kernel.good(NOW)
    assert json.loads(run.printed) == new
    assert cell_ids(new)
    everything = json.dumps(run.messages, default=str) + server.log.read_text()
    assert server.token not in everything
    assert run.complained == ""


def test_two_notebooks_of_one_kernel_are_not_told_apart(server, open_notebook):
    save(server.root / "one.ipynb")
    save(server.root / "two.ipynb")
    session, kernel = open_notebook("one.ipynb")
    kernel.good(WHERE)

    server.ask("POST", "sessions", path="two.ipynb", name="two.ipynb", type="notebook", kernel=session["kernel"])

    assert json.loads(kernel.good(NOW).printed) is None


def test_a_console_of_a_server_belongs_to_its_folder(server, open_notebook):
    (server.root / "lab").mkdir()
    _session, kernel = open_notebook("lab/console-1-9f2c", kind="console", name="Console 1")

    folder = str(server.root / "lab")
    assert json.loads(kernel.good(WHERE).printed)[:4] == ["folder", "", f"folder {folder}", f"folder:{folder}"]
    assert json.loads(kernel.good(NOW).printed) is None


def test_a_session_without_a_name_is_found_below_the_root(server, open_notebook):
    (server.root / "course").mkdir()
    path = save(server.root / "course" / "lab.ipynb")
    _session, kernel = open_notebook("course/lab.ipynb", name=None)

    assert json.loads(kernel.good(WHERE).printed)[:2] == ["jupyter", str(path)]


def test_asking_where_the_notebook_is_takes_little_time(server, open_notebook):
    save(server.root / "quick.ipynb")
    _session, kernel = open_notebook("quick.ipynb")
    kernel.good(WHERE)
    kernel.good(NOW)

    times = json.loads(
        kernel.good(
            "import time\ntimes = []\nfor _ in range(20):\n    before = time.perf_counter()\n"
            "    jupyter_servers.live_path(get_connection_file())\n    times.append(time.perf_counter() - before)\n"
            "print(json.dumps(sorted(times)))"
        ).printed
    )

    print(f"live_path takes {times[10] * 1000:.0f} ms (median), {times[-1] * 1000:.0f} ms at most")
    assert times[10] < 0.5

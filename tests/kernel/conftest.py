"""Real kernels: of the installed ipykernel, of the last release of its sixth series, and of Colab's packages.

Tests that use ``kernel`` or ``start_kernel`` run with Colab's packages too; ``pytest -m colab`` selects those runs.
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from jupyter_client import KernelManager
from jupyter_client.kernelspec import KernelSpecManager

from flowgpt_magic.bridge import Worker
from tests import servers

CHECKOUT = Path(__file__).parents[2]
IPYKERNEL_6 = "6.31.0"
SETUP = "%load_ext flowgpt_magic"
LIMIT = 200  # seconds after which a kernel is broken, and not only slow
FRESH = """
import importlib, sys
get_ipython().config.pop("FlowGPT", None)  # where %config leaves what it has set
HISTORY = "flowgpt_magic.history.current"
if HISTORY in sys.modules:
    importlib.import_module(HISTORY).close_all()  # imported by now, and not only begun
%reload_ext flowgpt_magic
%reset -f
"""

COLAB_RELEASES = {  # what a Colab runtime has, and must have after the package was installed
    "ipython": "7.34.0",
    "ipykernel": "6.17.1",
    "ipywidgets": "7.7.1",
    "jupyter-client": "7.4.9",
    "tornado": "6.5.1",
    "traitlets": "5.7.1",
}
COLAB_USES = ("pandas>=2.1", "polars>=1", "matplotlib>=3.8", "pydantic>=2.5", "jsonschema>=4.18", "nest-asyncio")
COLAB_PYTHON = os.environ.get("COLAB_PYTHON", "")  # an environment that was made before
COLAB_CELL = "aB3dE5gH7jKl"


@dataclass
class Run:
    """What one request brought back: every message with the moment it came, and what they add up to."""

    messages: list[tuple[float, dict[str, Any]]] = field(default_factory=list)
    reply: dict[str, Any] = field(default_factory=dict)
    idle_at: float = 0.0

    def of_type(self, *kinds: str) -> list[tuple[float, dict[str, Any]]]:
        return [(when, message["content"]) for when, message in self.messages if message["msg_type"] in kinds]

    @property
    def status(self) -> str:
        return self.reply["status"]

    @property
    def error(self) -> str:
        return "\n".join("\n".join(content["traceback"]) for _when, content in self.of_type("error"))

    @property
    def printed(self) -> str:
        return "".join(content["text"] for _when, content in self.of_type("stream") if content["name"] == "stdout")

    @property
    def complained(self) -> str:
        return "".join(content["text"] for _when, content in self.of_type("stream") if content["name"] == "stderr")

    @property
    def outputs(self) -> list[dict[str, Any]]:
        """What a front end would keep in the notebook: display outputs, with updates and clearings applied."""
        kept: list[dict[str, Any]] = []
        clear_next = False
        for _when, message in self.messages:
            kind, content = message["msg_type"], message["content"]
            if kind == "clear_output":
                kept, clear_next = (kept, True) if content["wait"] else ([], False)
            elif kind in ("display_data", "execute_result"):
                kept = [dict(content)] if clear_next else [*kept, dict(content)]
                clear_next = False
            elif kind == "update_display_data":
                name = content["transient"]["display_id"]
                for each in kept:
                    if each.get("transient", {}).get("display_id") == name:
                        each.update(data=content["data"], metadata=content["metadata"])
        return kept


class Kernel:
    """A running kernel and the one client that speaks with it."""

    def __init__(self, manager: KernelManager, *, colab: bool = False, on_colabs_page: bool = True) -> None:
        self.manager = manager
        self.colab = colab  # has it Colab's packages?
        self.on_colabs_page = colab and on_colabs_page  # is it sent what Colab's page sends?
        self.client = manager.blocking_client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=LIMIT)

    def send(self, code: str, *, allow_stdin: bool = True, cell_id: str | None = None) -> str:
        """Send a cell; returns the id of the request. Without a ``cell_id`` it is a new cell; a console has ""."""
        content = {
            "code": code,
            "silent": False,
            "store_history": True,
            "user_expressions": {},
            "allow_stdin": allow_stdin,
            "stop_on_error": True,
        }
        message = self.client.session.msg("execute_request", content)
        if cell_id is None:
            cell_id = str(uuid4()) if allow_stdin else ""  # nbclient sends none
        if cell_id:
            message["metadata"].update({"colab": {"cell_id": cell_id}} if self.on_colabs_page else {"cellId": cell_id})
        self.client.shell_channel.send(message)
        return message["header"]["msg_id"]

    def collect(self, request: str, *, on_message: Callable[[dict[str, Any]], None] | None = None) -> Run:
        """Everything that comes back for ``request``, until the kernel is idle and has replied."""
        run = Run()
        while True:
            message = self.client.get_iopub_msg(timeout=LIMIT)
            now = time.monotonic()
            if message["parent_header"].get("msg_id") != request:
                continue
            run.messages.append((now, message))
            if on_message:
                on_message(message)
            if message["msg_type"] == "status" and message["content"]["execution_state"] == "idle":
                run.idle_at = now
                break
        while run.reply == {}:
            message = self.client.get_shell_msg(timeout=LIMIT)
            if message["parent_header"].get("msg_id") == request:
                run.reply = message["content"]
        return run

    def run(self, code: str, **how: Any) -> Run:
        """Run a cell and wait for its end; again where ipykernel 6.17 aborts it, as it does right behind a failure."""
        run = self.collect(self.send(code, **how))
        while self.colab and run.status == "aborted":
            run = self.collect(self.send(code, **how))
        return run

    def good(self, code: str, **how: Any) -> Run:
        """Run a cell that must succeed."""
        run = self.run(code, **how)
        assert run.status == "ok", run.error
        return run

    def imported(self) -> None:
        """Wait until all that a first reply needs has been imported; such a silent request does not count as a cell."""
        code = "import threading\nfor t in threading.enumerate():\n if t.name == 'flowgpt_magic imports': t.join()"
        self.collect(self.client.execute(code, silent=True))

    def interrupt(self) -> None:
        self.manager.interrupt_kernel()

    def close(self) -> None:
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)


@pytest.fixture(scope="session")
def ipykernel_6() -> Path:
    """A folder that holds the older kernel, installed once beside the environment's own."""
    folder = Path(sys.prefix) / f"ipykernel-{IPYKERNEL_6}"
    if not (folder / "ipykernel").is_dir():
        # Several test runs may do this at once: the folder appears whole, and only one of them puts it there.
        made = Path(tempfile.mkdtemp(dir=sys.prefix))
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(made)]
        subprocess.run([*command, f"ipykernel=={IPYKERNEL_6}", "nest-asyncio", "comm"], check=True)
        try:
            made.rename(folder)
        except OSError:  # another one was quicker
            shutil.rmtree(made)
    return folder


@pytest.fixture(scope="session")
def colab_python() -> Path:
    """The interpreter of an environment with Colab's releases, in which the package is installed; it is made once."""
    if COLAB_PYTHON:
        return Path(COLAB_PYTHON)
    folder = CHECKOUT / ".venv-colab"
    folder.mkdir(exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # several test runs may want it at once
        if not (folder / "complete").exists():
            _make_colabs_environment(folder)
    return folder / "bin" / "python"


def _make_colabs_environment(folder: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    install = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    releases = [f"{name}=={release}" for name, release in COLAB_RELEASES.items()]
    subprocess.run([*install, *releases, *COLAB_USES], check=True)
    subprocess.run([*install, "-e", str(CHECKOUT)], check=True)  # as in a notebook: without saying what to keep
    (folder / "complete").touch()


def start(
    folder: Path,
    extra_path: Path | None = None,
    setup: str = SETUP,
    python: Path | None = None,
    on_colabs_page: bool = True,
    **environment: str,
) -> Kernel:
    """A new kernel with the echo provider as its default, and ``setup`` run in it.

    ``extra_path`` goes before its other packages; ``python`` is the interpreter, that of Colab's environment. Without
    ``on_colabs_page`` such a kernel is spoken to as any other, as where somebody has those releases elsewhere.
    """
    own = {"FLOWGPT_MODEL": "echo", "FLOWGPT_DATA_DIR": str(folder / "data"), "FLOWGPT_HISTORY": ":memory:"}
    own["XDG_CONFIG_HOME"] = str(folder / "config")  # the aliases of a test are not those of the next one
    env = {**os.environ, **own, **environment}
    if extra_path:
        env["PYTHONPATH"] = os.pathsep.join(filter(None, [str(extra_path), os.environ.get("PYTHONPATH")]))
    manager = _manager_of(python, folder) if python else KernelManager(kernel_name="python3")
    manager.start_kernel(env=env, cwd=str(folder))
    try:
        kernel = Kernel(manager, colab=python is not None, on_colabs_page=on_colabs_page)
        if setup:
            kernel.good(setup)
    except BaseException:
        manager.shutdown_kernel(now=True)
        raise
    return kernel


def _manager_of(python: Path, folder: Path) -> KernelManager:
    """A manager of kernels of this interpreter; their specification is written to ``folder``."""
    command = [str(python), "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    specification = {"argv": command, "display_name": "Colab", "language": "python"}
    place = folder / "kernels" / "colab"
    place.mkdir(parents=True, exist_ok=True)
    (place / "kernel.json").write_text(json.dumps(specification), "utf-8")
    return KernelManager(kernel_name="colab", kernel_spec_manager=KernelSpecManager(kernel_dirs=[str(place.parent)]))


FIRST_TIME = pytest.mark.timeout(1200)  # seconds: the environment is made by the first test that needs it
IN_COLAB = pytest.param("Colab", marks=(pytest.mark.colab, FIRST_TIME))
NEW_KERNELS = ["installed ipykernel", f"ipykernel {IPYKERNEL_6}"]


@pytest.fixture(params=["installed", IN_COLAB])
def start_kernel(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[..., Kernel]]:
    """Start kernels of the test's own; all of them are stopped at its end."""
    started: list[Kernel] = []
    python = request.getfixturevalue("colab_python") if request.param == "Colab" else None

    def start_one(*args: Any, **how: Any) -> Kernel:
        started.append(start(tmp_path, *args, python=python, **how))
        return started[-1]

    yield start_one
    for kernel in started:
        kernel.close()


@pytest.fixture(scope="session", params=[*NEW_KERNELS, IN_COLAB])
def shared_kernel(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kernel]:
    """One kernel of each kind for all tests that leave it as they found it."""
    older = request.param == f"ipykernel {IPYKERNEL_6}"
    path = request.getfixturevalue("ipykernel_6") if older else None
    python = request.getfixturevalue("colab_python") if request.param == "Colab" else None
    kernel = start(tmp_path_factory.mktemp("kernel"), path, python=python)
    yield kernel
    kernel.close()


@pytest.fixture
def kernel(shared_kernel: Kernel) -> Kernel:
    """A kernel with the extension freshly loaded, nothing said yet, and no names of the user's."""
    shared_kernel.good(FRESH)
    return shared_kernel


@pytest.fixture
def serve() -> Iterator[Callable[..., str]]:
    """Start a server that gives these answers, one for each request, and the last for all after it; its address."""
    thread = Worker()
    stop = asyncio.Event()
    serving: list[Future[None]] = []

    def start_one(*answers: servers.Answer) -> str:
        address: Future[str] = Future()
        asked = count()

        async def answer(request: servers.Request, connection: servers.Connection) -> None:
            await answers[min(next(asked), len(answers) - 1)](request, connection)

        async def run() -> None:
            async with servers.serving(answer) as server:
                address.set_result(server.url)
                await stop.wait()

        serving.append(thread.submit(run()))
        return address.result(LIMIT)

    yield start_one
    thread.loop.call_soon_threadsafe(stop.set)
    for each in serving:
        each.result(LIMIT)
    thread.close()


@pytest.fixture
def misbehaving_server(serve: Callable[..., str]) -> str:
    """The address of a server that breaks off in the middle of each reply."""
    return serve(servers.answering(servers.head(**{"Content-Length": "1000"}), servers.line("what came before")))

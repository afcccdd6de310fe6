"""The environment of the engines, and the servers that are asked."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tests.servers import closed_port

HERE = Path(__file__).parent
CHECKOUT = HERE.parents[1]
PACKAGES = (
    *("ray[data,serve]>=2.50", "dask[distributed]>=2025.1", "pyspark>=4", "litellm[proxy]>=1.80"),
    *("pandas>=2.1", "polars>=1", "pydantic>=2.5", "jsonschema>=4.18"),
)
GIVEN = os.environ.get("CLUSTERS_PYTHON", "")
QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # keeps it on the loopback interface
    "RAY_AUTH_MODE": "token",  # one for this run, or else it writes one into the home folder
    "RAY_AUTH_TOKEN": uuid4().hex,
    "DO_NOT_TRACK": "1",
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",  # or else it fetches a list of prices
    "LITELLM_TELEMETRY": "False",
    "DASK_DISTRIBUTED__DASHBOARD__LINK": "",
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.clusters)
            item.add_marker(pytest.mark.timeout(1800))


@pytest.fixture(scope="session")
def python() -> str:
    """The interpreter of the environment, which is made once."""
    if GIVEN:
        return GIVEN
    folder = CHECKOUT / ".venv-clusters"
    made = folder / "bin" / "python"
    if not (folder / "complete").exists():
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        install = [str(made), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*install, *PACKAGES, "-e", str(CHECKOUT)], check=True)
        (folder / "complete").touch()
    return str(made)


def environment(folder: Path, **more: str) -> dict[str, str]:
    """That of a machine where nothing of this package is set, with its data in ``folder``."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("FLOWGPT_")}
    return {**clean, **QUIET, "PYTHONPATH": str(CHECKOUT), "FLOWGPT_DATA_DIR": str(folder), **more}


Run = Callable[..., Any]


@pytest.fixture
def run(python: str, tmp_path: Path) -> Run:
    """Runs code as a program in a folder of its own, and returns the value that it prints last, as JSON."""

    def run(code: str, **env: str) -> Any:
        with begun(python, code, tmp_path, **env) as process:
            out, err = process.communicate(timeout=600)
        assert process.returncode == 0, f"{out}\n{err[-5000:]}"
        printed = [line for line in out.splitlines() if line.startswith(("{", "["))]  # engines print beside it
        return json.loads(printed[-1])

    return run


@contextmanager
def begun(python: str, code: str, folder: Path, **env: str) -> Iterator[subprocess.Popen[str]]:
    """The program ``code``, in ``folder``, ended with the context."""
    script = folder / "program.py"
    script.write_text(code, "utf-8")
    process = subprocess.Popen(
        [python, str(script)],
        cwd=folder,
        env=environment(folder / "data", PYSPARK_PYTHON=python, **env),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


@contextmanager
def serving_process(command: list[str], env: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    """A server in a process of its own: what it prints first, as JSON. It ends when its standard input is closed."""
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    process = subprocess.Popen(command, env=dict(env), cwd=CHECKOUT, **pipes)
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        assert line, f"{command} has not started"
        yield {**json.loads(line), "process": process}
    finally:
        process.stdin.close()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()


@dataclass(frozen=True)
class Record:
    """What servers have noted: a line for each prompt that was asked or answered, and the process that did it."""

    path: Path

    def lines(self, what: str) -> list[tuple[str, int]]:
        """The prompts, with the process of each."""
        text = self.path.read_text("utf-8") if self.path.exists() else ""
        found = [json.loads(line) for line in text.splitlines()]
        return [(prompt, pid) for kind, prompt, pid in found if kind == what]

    def count(self, what: str, beginning: str = "") -> Counter[str]:
        """How often each prompt was ``asked`` or ``answered``, of those that begin so."""
        return Counter(prompt for prompt, _pid in self.lines(what) if prompt.startswith(beginning))

    def busy(self, beginning: str) -> set[int]:
        """The processes that are at a prompt which begins so."""
        done = self.count("answered", beginning)
        return {pid for prompt, pid in self.lines("asked") if prompt.startswith(beginning) and not done[prompt]}

    def processes(self, beginning: str) -> set[int]:
        """Those that were asked prompts which begin so."""
        return {pid for prompt, pid in self.lines("asked") if prompt.startswith(beginning)}


@dataclass(frozen=True)
class Cluster:
    """A Ray cluster with Ray Serve in it; ``base_url`` is the server of an application."""

    address: str
    port: int
    record: Record

    def base_url(self, app: str) -> str:
        return f"http://127.0.0.1:{self.port}/{app}/v1"


@pytest.fixture
def quick(tmp_path: Path) -> Iterator[str]:
    """A server that takes 200 ms for an answer and hardly any time of a processor: what is measured is its clients."""
    how = json.dumps({"record": str(tmp_path / "quick.jsonl"), "seconds": 0.2})
    command = [sys.executable, "-m", "tests.engines.backend", how]
    with serving_process(command, environment(tmp_path / "data")) as started:
        yield f"http://127.0.0.1:{started['port']}/v1"


APPS = {
    "one": {"replicas": 1, "at_once": 4},
    "two": {"replicas": 2, "at_once": 4},
    "wide": {"replicas": 1, "at_once": 64},
    "narrow": {"replicas": 1, "at_once": 2, "queued": 4, "seconds": 0.02},
}


@pytest.fixture(scope="session")
def cluster(python: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Ray, and a server of one replica, one of two, and so on; nothing of this package is set on its workers."""
    folder = tmp_path_factory.mktemp("ray")
    record, port = Record(folder / "record.jsonl"), closed_port()
    how = {"port": port, "record": str(record.path), "apps": APPS}
    command = [python, "-m", "tests.engines.ray_server", json.dumps(how)]
    env = environment(folder / "data", CLUSTER_KEY="the-key-of-the-worker")
    with serving_process(command, env) as started:
        yield Cluster(started["address"], port, record)

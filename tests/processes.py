"""Processes of tests: each is killed at the end of its test, and none outlives the run."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil

LIMIT = 250  # seconds after which a process has failed; none takes as long
RUN = "TEST_RUN"  # in the environment of a process: the run of the tests that started it
TEXT: dict[str, Any] = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE) | {"text": True}


@contextmanager
def running(command: Sequence[str | Path], grace: float = 0.0, **options: Any) -> Iterator[subprocess.Popen[Any]]:
    """A process that is killed at the end, with all that it has started.

    With a ``grace`` it is asked to end, and has so many seconds for that.
    """
    with subprocess.Popen(command, start_new_session=True, **options) as process:
        try:
            yield process
        finally:
            if grace:
                process.terminate()
                with suppress(subprocess.TimeoutExpired):
                    process.wait(grace)
            kill_group(process.pid)


def run(command: Sequence[str | Path], **options: Any) -> subprocess.CompletedProcess[str]:
    """Run a process to its end, and end what it has started."""
    with running(command, **{**TEXT, **options}) as process:
        out, err = process.communicate(timeout=LIMIT)
    return subprocess.CompletedProcess(command, process.returncode, out, err)


def at_once(*commands: Sequence[str | Path]) -> list[tuple[str, str]]:
    """What each process prints and complains of; each says that it is ready, and all go on at the same moment."""
    with ExitStack() as stack:
        started = [stack.enter_context(running(command, **TEXT)) for command in commands]
        for process in started:
            assert process.stdout.readline() == "ready\n"
        for process in started:
            process.stdin.write("go\n")
            process.stdin.flush()
        return [process.communicate(timeout=LIMIT) for process in started]


LOCK = """
import sqlite3, sys
database = sqlite3.connect(sys.argv[1], isolation_level=None)
database.execute("BEGIN EXCLUSIVE")
print("locked", flush=True)
sys.stdin.read()
"""


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Another process writes to this SQLite file, and does not let go of it until this is over."""
    with running([sys.executable, "-c", LOCK, str(path)], **TEXT) as process:
        assert process.stdout.readline() == "locked\n"
        yield


def kill_group(pid: int) -> None:
    """Kill the process that leads a group, and all in that group."""
    with suppress(ProcessLookupError):
        if sys.platform == "win32":
            os.kill(pid, signal.SIGTERM)
        else:
            os.killpg(pid, signal.SIGKILL)


def left_over(patience: float = 10.0) -> list[psutil.Process]:
    """The processes that this run of the tests has started and that still live ``patience`` seconds from now."""
    run = str(os.getpid())
    started = {
        each
        for each in psutil.process_iter(["environ"])
        if (each.info["environ"] or {}).get(RUN) == run and each.pid != os.getpid()
    }
    _ended, living = psutil.wait_procs(started.union(psutil.Process().children(recursive=True)), timeout=patience)
    return [each for each in living if each.is_running() and each.status() != psutil.STATUS_ZOMBIE]


def described(process: psutil.Process) -> str:
    """Its number, the test that started it, and its command."""
    try:
        test = process.environ().get("PYTEST_CURRENT_TEST", "no test")
        return f"{process.pid}, started in {test}: {' '.join(process.cmdline())[:300]}"
    except psutil.Error as error:
        return str(error)

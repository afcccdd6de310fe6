"""Processes of tests: each is killed at the end of its test, and none outlives the run."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil

RUN = "TEST_RUN"  # in the environment of a process: the run of the tests that started it
TEXT: dict[str, Any] = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE) | {"text": True}


@contextmanager
def running(command: Sequence[str | Path], **options: Any) -> Iterator[subprocess.Popen[Any]]:
    """A process that is killed at the end, with all that it has started."""
    with subprocess.Popen(command, start_new_session=True, **options) as process:
        try:
            yield process
        finally:
            kill_group(process)


def kill_group(process: subprocess.Popen[Any]) -> None:
    """Kill a process that leads a group, and all in that group."""
    if hasattr(os, "killpg"):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()


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

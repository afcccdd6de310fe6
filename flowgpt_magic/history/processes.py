"""Which process is this, and does another one still run?

A process number alone says little: it is given again, and means something else on another machine, after a restart and
in another container. So a process is named with its start and its place.
"""

from __future__ import annotations

import importlib
import os
import socket
import sys
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

PROC = Path("/proc")


def this_kernel() -> str:
    """The name of this process, for ``lives``: its number, its start, its place."""
    return _kernel_name(os.getpid())


@lru_cache(maxsize=1)
def _kernel_name(pid: int) -> str:
    return " ".join((str(pid), _start(pid) or "?", _place()))


def _place() -> str:
    """Where process numbers mean the same as here: the host since it was started, or a container of it."""
    host = socket.gethostname() or "localhost"
    try:
        boot = (PROC / "sys/kernel/random/boot_id").read_text().strip()
        return f"{host}/{boot}/{(PROC / 'self/ns/pid').readlink()}"
    except OSError:  # no Linux
        return host


def _start(pid: int) -> str | None:
    """When process ``pid`` of this place started, in a form that only compares; None where none runs."""
    if sys.platform == "linux":
        try:
            fields = (PROC / str(pid) / "stat").read_text("utf-8", "replace").rpartition(")")[2].split()
        except OSError:
            return None
        return None if fields[0] in "ZX" else fields[19]
    return _start_elsewhere(pid)


def _start_elsewhere(pid: int) -> str | None:
    """The same on macOS and Windows; ``?`` where it cannot be told, which no kernel lacks the means for."""
    try:
        psutil = importlib.import_module("psutil")  # ipykernel needs it, this package does not
    except ImportError:
        return "?"
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else str(int(process.create_time()))
    return None


def is_alive(kernel: str) -> bool | None:
    """Does the process of this name still run? None where that cannot be told from here."""
    pid, start, place = (*kernel.split(" ", 2), "", "")[:3]
    if not pid.isdecimal() or place != _place():
        return None
    now = _start(int(pid))
    if now is None:
        return False
    return None if "?" in (now, start) else now == start

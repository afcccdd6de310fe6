"""Name this process, and tell whether another process is still running.

A process number alone is ambiguous: it is reused, and it means something else on another machine, after a reboot and in
another container. A name therefore consists of the number, the start time and the place.
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
    """The name of this process, for ``is_alive``."""
    return _kernel_name(os.getpid())


@lru_cache(maxsize=1)
def _kernel_name(pid: int) -> str:
    return " ".join((str(pid), _start(pid) or "?", _place()))


def _place() -> str:
    """The scope of process numbers: this host since its boot, or a container on it."""
    host = socket.gethostname() or "localhost"
    try:
        boot = (PROC / "sys/kernel/random/boot_id").read_text().strip()
        return f"{host}/{boot}/{(PROC / 'self/ns/pid').readlink()}"
    except OSError:  # not Linux
        return host


def _start(pid: int) -> str | None:
    """The start time of process ``pid``, comparable only as text; None if it does not run."""
    if sys.platform == "linux":
        try:
            fields = (PROC / str(pid) / "stat").read_text("utf-8", "replace").rpartition(")")[2].split()
        except OSError:
            return None
        return None if fields[0] in "ZX" else fields[19]
    return _start_elsewhere(pid)


def _start_elsewhere(pid: int) -> str | None:
    """The same on macOS and Windows; ``?`` without psutil."""
    try:
        psutil = importlib.import_module("psutil")  # a dependency of ipykernel, not of this package
    except ImportError:
        return "?"
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else str(int(process.create_time()))
    return None


def is_alive(kernel: str) -> bool | None:
    """Is the process with this name running? None if that cannot be determined from here."""
    pid, start, place = (*kernel.split(" ", 2), "", "")[:3]
    if not pid.isdecimal() or place != _place():
        return None
    now = _start(int(pid))
    if now is None:
        return False
    return None if "?" in (now, start) else now == start

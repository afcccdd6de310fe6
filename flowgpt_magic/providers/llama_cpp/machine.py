"""What this machine has: memory and free disk space, in bytes."""

from __future__ import annotations

import ctypes
import os
import re
import shutil
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

MEMORY_LIMITS = (  # of a container, by the versions of cgroups: the limit, and what is used
    (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.current"), Path("/sys/fs/cgroup/memory.stat")),
    (
        Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
        Path("/sys/fs/cgroup/memory/memory.usage_in_bytes"),
        Path("/sys/fs/cgroup/memory/memory.stat"),
    ),
)
FILE_CACHE = re.compile(r"^inactive_file (\d+)$", re.MULTILINE)  # given back when a process needs memory
AVAILABLE = re.compile(r"^MemAvailable:\s+(\d+) kB$", re.MULTILINE)


@dataclass(frozen=True)
class Machine:
    """Bytes of memory, of memory that is free, and of free space on the disk; None for what is not known."""

    memory: int | None
    free_memory: int | None
    free_disk: int


def this_machine(folder: Path) -> Machine:
    """This machine, with the disk of ``folder``, which need not exist. A container's limits count."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    memory, free = _windows_memory() if sys.platform == "win32" else (_memory(), _free_memory())
    limit, unused = _container_memory()
    return Machine(_least(memory, limit), _least(free, unused), shutil.disk_usage(folder).free)


def _least(one: int | None, other: int | None) -> int | None:
    return min((number for number in (one, other) if number is not None), default=None)


def _memory() -> int | None:
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError):
        return None


def _free_memory() -> int | None:
    """What a process can get without swapping; known on Linux only."""
    with suppress(OSError):
        if available := AVAILABLE.search(Path("/proc/meminfo").read_text("ascii")):
            return int(available[1]) * 1024
    return None


def _container_memory() -> tuple[int | None, int | None]:
    """The limit of this container, and what is left of it. None without a limit."""
    for limit_file, used_file, statistics in MEMORY_LIMITS:
        with suppress(OSError, ValueError):
            limit = int(limit_file.read_text("ascii"))  # "max" without a limit, or a number beyond all machines
            cache = FILE_CACHE.search(statistics.read_text("ascii"))
            return limit, max(0, limit - int(used_file.read_text("ascii")) + (int(cache[1]) if cache else 0))
    return None, None


class _MemoryStatus(ctypes.Structure):
    """``MEMORYSTATUSEX`` of the Windows API."""

    _fields_ = (
        ("length", ctypes.c_ulong),
        ("load", ctypes.c_ulong),
        *((name, ctypes.c_ulonglong) for name in ("total", "free", "f1", "f2", "f3", "f4", "f5")),
    )


def _windows_memory() -> tuple[int | None, int | None]:
    status = _MemoryStatus(length=ctypes.sizeof(_MemoryStatus))
    windll = getattr(ctypes, "windll", None)  # only on Windows
    if windll is None or not windll.kernel32.GlobalMemoryStatusEx(ctypes.byref(status)):
        return None, None
    return int(status.total), int(status.free)

"""Read files that the user has named: regular files only, with a limit on their size.

A device may be endless, reading a pipe may block for ever, and a file may grow while it is read.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

from flowgpt_magic.errors import FileError


def read_file(path: str | os.PathLike[str], largest: int) -> bytes:
    """The whole content of the regular file at ``path``.

    Raises ``FileError`` if it does not exist, is no regular file, is not readable, or is longer than ``largest`` bytes.
    """
    with _opened(path) as (file, size):
        # Files in /proc have size 0.
        content = b"" if size > largest else file.read(largest + 1)
    if max(size, len(content)) > largest:
        limit = f"{largest / 2**20:g} MB" if largest >= 2**20 else f"{largest:,} bytes"
        raise FileError(f"{path} cannot be read: it is longer than {limit}")
    return content


def read_beginning(path: str | os.PathLike[str], most: int) -> tuple[bytes, int]:
    """At most ``most`` bytes from the beginning of the regular file at ``path``, and its size in bytes.

    Raises ``FileError`` if it does not exist, is not a regular file, or is not readable.
    """
    with _opened(path) as (file, size):
        return file.read(most), size


@contextmanager
def _opened(path: str | os.PathLike[str]) -> Iterator[tuple[BinaryIO, int]]:
    """The regular file at ``path``, open for reading, and its size in bytes."""
    try:
        _check_kind(path, os.stat(path).st_mode)  # before it is opened: opening a device may have effects
        with open(path, "rb", opener=_without_waiting) as file:
            status = os.fstat(file.fileno())
            _check_kind(path, status.st_mode)  # the file may have been replaced since
            yield file, status.st_size
    except OSError as error:
        raise FileError(f"{path} cannot be read: {error.strerror or type(error).__name__}") from None
    except ValueError:  # a NUL in the name
        raise FileError(f"{str(path)[:200]!r} cannot be read: no file has such a name") from None


def _check_kind(path: str | os.PathLike[str], mode: int) -> None:
    if stat.S_ISDIR(mode):
        raise FileError(f"{path} cannot be read: it is a folder")
    if not stat.S_ISREG(mode):
        raise FileError(f"{path} cannot be read: it is not a regular file, but a device, a pipe or a socket")


def _without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))

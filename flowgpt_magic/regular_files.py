"""Read a file that a person has named: a regular file only, and no more of it than fits.

A link may lead to a device without an end, a pipe never answers, and a file may grow while it is read.
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

    Raises ``FileError`` where it is not there, not a regular file, not readable, or longer than ``largest`` bytes.
    """
    with _opened(path) as (file, size):
        # The size of some files, such as those in /proc, says nothing.
        content = b"" if size > largest else file.read(largest + 1)
    if max(size, len(content)) > largest:
        limit = f"{largest / 2**20:g} MB" if largest >= 2**20 else f"{largest:,} bytes"
        raise FileError(f"{path} cannot be read: it is longer than {limit}")
    return content


def read_beginning(path: str | os.PathLike[str], most: int) -> tuple[bytes, int]:
    """At most ``most`` bytes from the beginning of the regular file at ``path``, and its size in bytes.

    Raises ``FileError`` where it is not there, not a regular file, or not readable.
    """
    with _opened(path) as (file, size):
        return file.read(most), size


@contextmanager
def _opened(path: str | os.PathLike[str]) -> Iterator[tuple[BinaryIO, int]]:
    """The regular file at ``path``, open for reading, and its size in bytes."""
    try:
        _check_kind(path, os.stat(path).st_mode)  # before it is opened: opening alone may do something to a device
        with open(path, "rb", opener=_without_waiting) as file:
            status = os.fstat(file.fileno())
            _check_kind(path, status.st_mode)  # something else may lie there by now
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

"""What every download of a model needs: its progress, checksum, free disk space, and errors about the disk."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import BinaryIO

from flowgpt_magic.errors import DownloadError

BLOCK_SIZE = 2**20  # bytes read, hashed and written at a time
LARGE = 10**9  # bytes; the progress of a larger download is reported more often
DISK_ERRORS = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT)

Report = Callable[[str], object]
ProgressBar = Callable[[str, int, Report], AbstractContextManager[Callable[[int], None]]]
"""Shows the progress of something of so many bytes; what it yields is called with the bytes so far."""


@contextmanager
def progress_bar(what: str, total: int, say: Report) -> Iterator[Callable[[int], None]]:
    """Show the progress of ``total`` bytes: a bar in a terminal, elsewhere a line per quarter, or per 5 % of 1 GB."""
    from tqdm import tqdm

    steps, reported = 20 if total >= LARGE else 4, 0

    with tqdm(desc=what, total=total, unit="B", unit_scale=True, disable=None, leave=False) as bar:

        def show(done: int) -> None:
            nonlocal reported
            bar.update(done - bar.n)
            if bar.disable and done * steps // total > reported:
                reported = done * steps // total
                say(f"{what}: {size_text(done)} of {size_text(total)}\n")

        yield show


def copy(file: BinaryIO, output: BinaryIO, show: Callable[[int], None]) -> str:
    """Copy ``file`` to disk and return its SHA-256. ``show`` gets the number of bytes so far."""
    digest = hashlib.sha256()
    while block := file.read(BLOCK_SIZE):
        digest.update(block)
        output.write(block)
        show(output.tell())
    output.flush()
    os.fsync(output.fileno())
    return digest.hexdigest()


def sha256_of(file: Path) -> str:
    """The SHA-256 of a file, in hex."""
    digest = hashlib.sha256()
    with file.open("rb") as opened:
        while block := opened.read(BLOCK_SIZE):
            digest.update(block)
    return digest.hexdigest()


def write_failure(error: OSError, folder: Path) -> DownloadError:
    """The error for a file or folder that cannot be written."""
    cause = f"{error.filename or folder}: {error.strerror or error}"
    if error.errno in DISK_ERRORS:
        return DownloadError(f"{cause}; FLOWGPT_DATA_DIR can name a folder other than {folder}")
    return DownloadError(cause)


def check_free_space(folder: Path, needed: int, free: int) -> None:
    """Raise ``DownloadError`` if less than ``needed`` bytes are ``free`` in ``folder``."""
    if free < needed:
        raise DownloadError(
            f"{size_text(needed)} are needed in {folder}, {size_text(free)} are free; "
            "free some space, or set FLOWGPT_DATA_DIR to another folder"
        )


def size_text(size: int) -> str:
    """``size`` bytes in MB, from 1 GB on in GB; both are powers of ten."""
    return f"{size / 1e6:.0f} MB" if size < 999_500_000 else f"{size / 1e9:.1f} GB"


def progress_text(what: str, done: int, total: int, speed: float) -> str:
    """How far a download is, and at ``speed`` bytes a second for how long it goes on; 0 for an unknown speed."""
    parts = [f"{what}: {size_text(done)} of {size_text(total)}", f"{100 * done // max(total, 1)} %"]
    if speed >= 1:
        parts += [f"{size_text(round(speed))} a second", f"about {seconds_text((total - done) / speed)} left"]
    return " · ".join(parts)


def seconds_text(seconds: float) -> str:
    """``seconds`` in seconds, minutes or hours."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 90 * 60 else f"{seconds / 3600:.1f} h"

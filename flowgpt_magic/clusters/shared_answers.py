"""The answers of many workers in one folder, each worker's in a history file of its own.

A worker writes to its own file alone and reads the others. So no worker waits for another one, a worker that was killed
leaves what it was answered, and a second run finds all of that however the rows are divided by then.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Collection
from contextlib import closing
from pathlib import Path

from flowgpt_magic.errors import HistoryFileError
from flowgpt_magic.history.merge import history_files
from flowgpt_magic.history.notebook_history import NotebookHistory
from flowgpt_magic.history.processes import this_kernel
from flowgpt_magic.messages import Turn
from flowgpt_magic.notebook.place import Place


class SharedAnswers:
    """What this worker and all others keep in ``folder``, which is made where it is missing.

    ``file`` is this process's own. Raises ``HistoryFileError`` where the folder cannot be made.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(os.path.expanduser(folder)).absolute()
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            cause = error.strerror or type(error).__name__
            raise HistoryFileError(
                f"the answers cannot be kept in {self.folder} ({cause}): give a folder that every worker can write to"
            ) from None
        self.file = self.folder / f"{_process_name()}.sqlite3"

    def notebook_history(self) -> NotebookHistory:
        """A history in this worker's own file; close it when the partition is done."""
        place = Place("script", "", "partitions", "partitions")
        return NotebookHistory(place, str(self.file))

    def find(self, request_keys: Collection[str]) -> dict[str, Turn]:
        """The complete turns of other workers for these requests, by their keys.

        Raises ``HistoryError`` for a file that cannot be read: nothing is paid for twice without being told.
        """
        from flowgpt_magic.history.database import History  # now, and not when the package is loaded

        found: dict[str, Turn] = {}
        for file in history_files(self.folder):
            missing = [key for key in request_keys if key not in found]
            if missing and file != self.file:
                with closing(History.read_only(file)) as history:
                    found |= history.find_replays(missing)
        return found


def _process_name() -> str:
    """A name for files of this process, which no other process has: its host, its number, and which of that number."""
    kernel = this_kernel()
    pid, host = kernel.split(" ", 1)[0], re.sub(r"[^\w-]", "-", kernel.split(" ", 2)[2].split("/")[0])
    return f"{host}-{pid}-{hashlib.sha256(kernel.encode()).hexdigest()[:8]}"

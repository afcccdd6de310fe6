"""The answers of many workers in one folder: each worker has a history file of its own.

A worker writes only to its own file and reads the others. So no worker waits for another, a killed worker leaves its
answers, and a second run finds all answers however the rows are partitioned.
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
    """The answers of all workers in ``folder``, which is created if missing. ``file`` is this process's own file.

    Raises ``HistoryFileError`` if the folder cannot be created.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(os.path.expanduser(folder)).absolute()
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            cause = error.strerror or type(error).__name__
            raise HistoryFileError(
                f"the answers cannot be saved in {self.folder} ({cause}): give a folder that every worker can write to"
            ) from None
        self.file = self.folder / f"{_process_name()}.sqlite3"

    def notebook_history(self) -> NotebookHistory:
        """A history in this worker's file; close it when the partition is done."""
        place = Place("script", "", "partitions", "partitions")
        return NotebookHistory(place, str(self.file))

    def find(self, request_keys: Collection[str]) -> dict[str, Turn]:
        """The complete turns of other workers for these requests, by request key.

        Raises ``HistoryError`` if a file cannot be read: otherwise requests might be paid for twice.
        """
        from flowgpt_magic.history.database import History  # lazy: it loads sqlite3

        turns: dict[str, Turn] = {}
        for file in history_files(self.folder):
            missing = [key for key in request_keys if key not in turns]
            if missing and file != self.file:
                with closing(History.read_only(file)) as history:
                    turns |= history.find_replays(missing)
        return turns


def _process_name() -> str:
    """A file name that no other process uses: host, process number, and a hash of the full name of the process."""
    kernel = this_kernel()
    pid, host = kernel.split(" ", 1)[0], re.sub(r"[^\w-]", "-", kernel.split(" ", 2)[2].split("/")[0])
    return f"{host}-{pid}-{hashlib.sha256(kernel.encode()).hexdigest()[:8]}"

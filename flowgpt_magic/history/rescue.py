"""Save records to a file beside the history if that is locked when the program ends; the next program adds them.

The file is itself a small history, readable only by its owner. It gets its name when it is complete, and is deleted
when its records are in the history. Adding a file twice, after a crash in between, has no effect.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

from flowgpt_magic.errors import HistoryError, HistoryFileError, HistoryRecordError
from flowgpt_magic.history.records import Record
from flowgpt_magic.messages import Turn

if TYPE_CHECKING:
    from flowgpt_magic.history.database import History

_SUFFIX = re.compile(r"rescued-[0-9a-f]{32}")  # after the name of the history and a dot


def rescue(location: str, records: Iterable[Record]) -> Path:
    """Write ``records``, parents first, to a file beside the history at ``location``; returns its path.

    Records that cannot be stored are left out. Raises ``HistoryError`` if the file cannot be written.
    """
    from flowgpt_magic.history.database import History

    path = Path(f"{location}.rescued-{uuid4().hex}")
    part = path.with_name(f"{path.name}.part")
    try:
        with closing(History(part)) as history:
            for record in records:
                with suppress(HistoryRecordError):
                    history.save(record)
        part.rename(path)
    except OSError as error:
        raise HistoryFileError(f"{path} cannot be written: {error.strerror}") from None
    finally:
        with suppress(OSError):  # it was renamed
            part.unlink()
    return path


def take_rescued(history: History) -> int:
    """Add the rescued records to ``history``; returns the number of turns.

    Each file is added by one process. A file that cannot be read stays. Raises ``HistoryError`` if ``history`` cannot
    be written; the remaining files are added the next time.
    """
    return sum(_take(history, path) for path in _rescued(history.location))


def _rescued(location: str) -> list[Path]:
    folder, name = os.path.split(os.path.abspath(location))
    try:
        names = sorted(os.listdir(folder))
    except OSError:
        return []
    return [
        Path(folder, file) for file in names if file.startswith(f"{name}.") and _SUFFIX.fullmatch(file, len(name) + 1)
    ]


def _take(history: History, path: Path) -> int:
    from flowgpt_magic.history.file import move_lock

    try:
        with move_lock(str(path)) as locked:
            if not (locked and path.exists()):
                return 0
            try:
                records = _records(path)
            except HistoryError:
                return 0
            history.save(*records)
            path.unlink(missing_ok=True)
            return sum(isinstance(record, Turn) for record in records)
    except OSError:  # the folder is not writable
        return 0


def _records(path: Path) -> list[Record]:
    """The records of the file, in the order in which to save them."""
    from flowgpt_magic.history.database import History

    try:
        with closing(History.read_only(path)) as source:
            conversations = source.all_conversations()
            turns = [turn for batch in source.all_turns() for turn in batch]
            changes = [change for record in conversations for change in source.changes(record.conversation_id, last=-1)]
            requests = [request for batch in source.all_requests() for request in batch]
            pictures = source.all_pictures()
            return [*source.notebooks(), *conversations, *turns, *changes, *requests, *pictures]
    finally:
        for suffix in ("-wal", "-shm"):  # SQLite leaves these empty files after reading
            Path(f"{path}{suffix}").unlink(missing_ok=True)

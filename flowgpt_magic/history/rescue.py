"""What a locked history kept out when a program ended: a file beside it, which the next program takes in.

The file is a small history of its own, for its owner alone. It has its name only when it is whole, and the name is gone
once what it holds is in the history. Taking a file in twice, after a crash between these two, changes nothing more.
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

_NAME = re.compile(r"rescued-[0-9a-f]{32}")  # what follows the name of the history


def rescue(location: str, records: Iterable[Record]) -> Path:
    """Write ``records``, those that others belong to first, to a file beside the history at ``location``.

    A record that cannot be stored is left out. Raises a ``HistoryError`` where there can be no file.
    """
    from flowgpt_magic.history.database import History

    path = Path(f"{location}.rescued-{uuid4().hex}")
    begun = path.with_name(f"{path.name}.part")
    try:
        with closing(History(begun)) as history:
            for record in records:
                with suppress(HistoryRecordError):
                    history.save(record)
        begun.rename(path)
    except OSError as error:
        raise HistoryFileError(f"{path} cannot be written: {error.strerror}") from None
    finally:
        with suppress(OSError):  # it has its name
            begun.unlink()
    return path


def take_rescued(history: History) -> int:
    """Bring what was rescued into ``history``; returns how many turns that were.

    Of several processes one takes a file in. A file that cannot be read stays where it is. Raises a ``HistoryError``
    where ``history`` cannot be written; what was not taken in by then is for the next time.
    """
    return sum(_take(history, path) for path in _rescued(history.location))


def _rescued(location: str) -> list[Path]:
    folder, name = os.path.split(os.path.abspath(location))
    try:
        names = sorted(os.listdir(folder))
    except OSError:
        return []
    return [
        Path(folder, each) for each in names if each.startswith(f"{name}.") and _NAME.fullmatch(each, len(name) + 1)
    ]


def _take(history: History, path: Path) -> int:
    from flowgpt_magic.history.file import move_lock

    try:
        with move_lock(str(path)) as alone:
            if not (alone and path.exists()):
                return 0
            try:
                records = _records(path)
            except HistoryError:
                return 0
            history.save(*records)
            path.unlink(missing_ok=True)
            return sum(isinstance(record, Turn) for record in records)
    except OSError:  # the folder cannot be written
        return 0


def _records(path: Path) -> list[Record]:
    """What the file holds, in the order to save it in."""
    from flowgpt_magic.history.database import History

    try:
        with closing(History.read_only(path)) as source:
            conversations = source.all_conversations()
            turns = [turn for some in source.all_turns() for turn in some]
            changes = [each for kept in conversations for each in source.changes(kept.conversation_id, last=-1)]
            return [*source.notebooks(), *conversations, *turns, *changes]
    finally:
        for end in ("-wal", "-shm"):  # SQLite leaves these where it only reads; there is nothing in them
            Path(f"{path}{end}").unlink(missing_ok=True)

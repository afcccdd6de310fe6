"""Merge files of other histories into this one without changing or duplicating anything.

Every record has an id. Records that this history has are left alone; the others are added. The files are only read.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from flowgpt_magic.errors import HistoryError, HistoryFileError
from flowgpt_magic.history.current import current_history
from flowgpt_magic.history.file import DATABASE_SUFFIXES
from flowgpt_magic.history.notebook_history import NotebookHistory
from flowgpt_magic.history.records import OFF
from flowgpt_magic.messages import Turn
from flowgpt_magic.text import counted

if TYPE_CHECKING:
    from flowgpt_magic.history.database import History

T = TypeVar("T")


@dataclass(frozen=True)
class MergeResult:
    """The number of files read, of turns added, and of turns that were already there."""

    files: int
    added: int
    existing: int

    def __str__(self) -> str:
        existing = f"; {self.existing:,} were already there" if self.existing else ""
        return f"{counted(self.added, 'turn')} added from {counted(self.files, 'file')}{existing}"


def holds_histories(path: str | os.PathLike[str]) -> bool:
    """Can ``path`` be merged? True for a folder and for the suffix of a database."""
    expanded = Path(os.path.expanduser(path))
    return expanded.suffix.lower() in DATABASE_SUFFIXES or expanded.is_dir()


def merge_history(path: str | os.PathLike[str]) -> MergeResult:
    """Add the history file at ``path``, or all history files of the folder ``path``, to the history in use.

    Merging a file again adds only what is new in it. Turns that still stream are left out. Raises ``HistoryError`` if a
    file cannot be read or the history is off.
    """
    return merge(current_history(), path)


def merge(notebook_history: NotebookHistory, path: str | os.PathLike[str]) -> MergeResult:
    """The same for another history than the one in use."""
    if notebook_history.location == OFF:
        raise HistoryError("the history is off, so nothing can be merged into it: set FLOWGPT_HISTORY to a file first")
    files = _files(Path(os.path.expanduser(path)))
    counts = [_merge_file(notebook_history, file) for file in files]
    return MergeResult(len(files), sum(added for added, _ in counts), sum(existing for _, existing in counts))


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    files = history_files(path)
    if not files:
        raise HistoryFileError(f"the folder {path} has no history: history files end in .sqlite3, .sqlite or .db")
    return files


def history_files(folder: Path) -> list[Path]:
    """The history files of a folder, by suffix and sorted; empty if there is no folder."""
    try:
        names = sorted(os.listdir(folder))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise HistoryFileError(f"the folder {folder} cannot be read: {error.strerror}") from None
    return [folder / name for name in names if Path(name).suffix.lower() in DATABASE_SUFFIXES]


def _merge_file(notebook_history: NotebookHistory, file: Path) -> tuple[int, int]:
    """The number of turns added, and of turns that were already there."""
    from flowgpt_magic.history.database import History  # lazy: it loads sqlite3

    added = existing = 0
    with closing(History.read_only(file)) as source:
        conversations = source.all_conversations()
        notebook_history.take([*source.notebooks(), *conversations], ())
        for turns in source.all_turns():
            new, present = _new(notebook_history, turns)
            notebook_history.take((), new)
            added, existing = added + len(new), existing + present
            _flush(notebook_history)
        for picture in source.all_pictures():  # their turns have brought all but the thumbnails
            if picture.asked and picture.picture.thumbnail:
                notebook_history.take([picture], ())
        _flush(notebook_history)
        for requests in source.all_requests():
            notebook_history.take(requests, ())
            _flush(notebook_history)
        for conversation in conversations:
            changes = source.changes(conversation.conversation_id, last=-1)
            own = _read(
                notebook_history, partial(History.changes, conversation_id=conversation.conversation_id, last=-1)
            )
            own_ids = {change.change_id for change in own}
            notebook_history.take((), (), [change for change in changes if change.change_id not in own_ids])
    _flush(notebook_history)
    return added, existing


def _new(notebook_history: NotebookHistory, turns: Sequence[Turn]) -> tuple[list[Turn], int]:
    """The ended turns that ``notebook_history`` lacks or has only unfinished, and how many it has."""
    ids = [turn.turn_id for turn in turns]
    own = {turn.turn_id for turn in _read(notebook_history, lambda history: history.turns_by_id(ids)) if _ended(turn)}
    return [turn for turn in turns if _ended(turn) and turn.turn_id not in own], len(own)


def _ended(turn: Turn) -> bool:
    return turn.status != "streaming"


def _read(notebook_history: NotebookHistory, query: Callable[[History], tuple[T, ...]]) -> tuple[T, ...]:
    """The result of ``query``. Raises ``HistoryError`` if the history cannot be read: merging might change it then."""
    nothing: tuple[T, ...] | None = None
    result = notebook_history.read(query, nothing)
    if result is None:
        raise HistoryError(
            f"the history {notebook_history.location} cannot be read, so nothing is merged into it: try again"
        )
    return result


def _flush(notebook_history: NotebookHistory) -> None:
    """Wait until everything is on disk: a history of a million turns would not fit into the queue."""
    if not notebook_history.flush():
        raise HistoryError(
            f"the history {notebook_history.location} does not accept the merged turns in time: try again later"
        )

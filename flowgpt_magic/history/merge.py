"""Merge the files of other histories into this one, so that nothing in it is doubled or changed.

Everything in a history has an id of its own. What this history has already stays as it is, and the rest is added. The
files that are read stay as they are.
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
    """How many files were read, how many turns were added, and how many were there before."""

    files: int
    added: int
    known: int

    def __str__(self) -> str:
        known = f"; {self.known:,} were there already" if self.known else ""
        return f"{counted(self.added, 'turn')} added from {counted(self.files, 'file')}{known}"


def holds_histories(path: str | os.PathLike[str]) -> bool:
    """Can ``path`` be merged: is it a folder, or does it end like a database?"""
    place = Path(os.path.expanduser(path))
    return place.suffix.lower() in DATABASE_SUFFIXES or place.is_dir()


def merge_history(path: str | os.PathLike[str]) -> MergeResult:
    """Add to the history in use what the history file at ``path`` has, or all such files of the folder ``path``.

    Merging a file again adds only what is new in it. A turn that is still being answered is left for the next time.
    Raises a ``HistoryError`` for a file that cannot be read, and where the history is off.
    """
    return merge(current_history(), path)


def merge(notebook_history: NotebookHistory, path: str | os.PathLike[str]) -> MergeResult:
    """The same for the history of ``notebook_history``."""
    if notebook_history.location == OFF:
        raise HistoryError("the history is off, so nothing can be merged into it: set FLOWGPT_HISTORY to a file first")
    files = _files(Path(os.path.expanduser(path)))
    counts = [_merge_file(notebook_history, file) for file in files]
    return MergeResult(len(files), sum(added for added, _ in counts), sum(known for _, known in counts))


def _files(place: Path) -> list[Path]:
    if not place.is_dir():
        return [place]
    files = history_files(place)
    if not files:
        raise HistoryFileError(f"the folder {place} holds no history: its files end in .sqlite3, .sqlite or .db")
    return files


def history_files(folder: Path) -> list[Path]:
    """The history files of a folder by name; none where there is no folder."""
    try:
        names = sorted(os.listdir(folder))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise HistoryFileError(f"the folder {folder} cannot be read: {error.strerror}") from None
    return [folder / name for name in names if Path(name).suffix.lower() in DATABASE_SUFFIXES]


def _merge_file(notebook_history: NotebookHistory, file: Path) -> tuple[int, int]:
    """How many turns were added, and how many were known."""
    from flowgpt_magic.history.database import History  # now, and not when the package is loaded

    added = known = 0
    with closing(History.read_only(file)) as source:
        conversations = source.all_conversations()
        notebook_history.take([*source.notebooks(), *conversations], ())
        for turns in source.all_turns():
            new, had = _new(notebook_history, turns)
            notebook_history.take((), new)
            added, known = added + len(new), known + had
            _written(notebook_history)
        for conversation in conversations:
            changes = source.changes(conversation.conversation_id, last=-1)
            own = _read(
                notebook_history, partial(History.changes, conversation_id=conversation.conversation_id, last=-1)
            )
            known_ids = {each.change_id for each in own}
            notebook_history.take((), (), [each for each in changes if each.change_id not in known_ids])
    _written(notebook_history)
    return added, known


def _new(notebook_history: NotebookHistory, turns: Sequence[Turn]) -> tuple[list[Turn], int]:
    """Those of ``turns`` that have ended and that ``notebook_history`` does not have whole, and how many it has."""
    ids = [turn.turn_id for turn in turns]
    own = {each.turn_id for each in _read(notebook_history, lambda history: history.turns_by_id(ids)) if _ended(each)}
    return [turn for turn in turns if _ended(turn) and turn.turn_id not in own], len(own)


def _ended(turn: Turn) -> bool:
    return turn.status != "streaming"


def _read(notebook_history: NotebookHistory, ask: Callable[[History], tuple[T, ...]]) -> tuple[T, ...]:
    """What ``notebook_history`` has; where that cannot be told, nothing is merged, or else it might be changed."""
    nothing: tuple[T, ...] | None = None
    found = notebook_history.read(ask, nothing)
    if found is None:
        raise HistoryError(
            f"the history {notebook_history.location} cannot be read, so nothing is merged into it: try again"
        )
    return found


def _written(notebook_history: NotebookHistory) -> None:
    """Wait until all is on disk: a history of a million turns would not fit into the queue."""
    if not notebook_history.flush():
        raise HistoryError(
            f"the history {notebook_history.location} does not take what is merged into it: try it again later"
        )

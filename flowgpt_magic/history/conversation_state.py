"""A conversation as this process knows it: its turns, what arrives in it, and what its cells have asked."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from flowgpt_magic.history.records import ChangeRecord, ConversationRecord
from flowgpt_magic.history.timeline import Timeline
from flowgpt_magic.messages import Turn

if TYPE_CHECKING:
    from flowgpt_magic.replies.reply import Reply


WINDOW = 100  # live turns that stay in memory, at least
RUNS = 256  # cells whose last run is remembered


@dataclass(frozen=True)
class Stored:
    """Reads a conversation from the file; each of these raises a ``HistoryError``."""

    turns: Callable[[], tuple[tuple[Turn, ...], Mapping[int, int]]]  # the live ones, and the newest version of a place
    changes: Callable[[], tuple[ChangeRecord, ...]]


@dataclass
class CellRun:
    """One run of a cell: the places its last run had turns at, and how many prompts it has asked by now."""

    run: str
    places: list[int]
    prompt_count: int = 0


@dataclass
class ConversationState:
    """A conversation as this process knows it; every ``Conversation`` of one name shares it.

    A conversation may be long, and seldom is all of it sent. So its oldest turns are set aside once they are in the
    file, and read from there when somebody wants to see them. A file that is never read from keeps them all here.
    """

    record: ConversationRecord
    timeline: Timeline
    lock: threading.RLock = field(default_factory=threading.RLock)
    listed: bool = False  # is it in the history, or about to be?
    handed_over: bool = False  # does this process's saver have the record?
    runs: dict[str, CellRun] = field(default_factory=dict)  # by the cell's id
    replies: dict[str, Reply] = field(default_factory=dict)  # those that arrive just now, by their turns' ids
    stored: Stored | None = None  # None where there is no file
    sent: int = 0  # turns that went along with the last prompt
    _saved: Future[None] | None = None  # is done when these are in the file:
    _oldest: tuple[Turn, ...] = ()

    def live(self) -> list[Turn]:
        """The turns that count, in order. Raises a ``HistoryError`` where those set aside cannot be read."""
        self.reload()
        with self.lock:
            return self.timeline.live

    def reload(self) -> None:
        """Read the turns that are set aside; the lock must be free, since another thread answers."""
        if self.timeline.is_loaded or self.stored is None:
            return
        live, newest_versions = self.stored.turns()
        with self.lock:
            if not self.timeline.is_loaded:
                self.timeline.reload(live, newest_versions)
                self._saved = None

    def load_older_changes(self) -> None:
        """Read the changes that are in the file alone, where the next undo needs them."""
        if self.timeline.lacks_older_changes() and self.stored is not None:
            changes = self.stored.changes()
            with self.lock:
                self.timeline.load_older_changes(changes)

    def remember(self, cell_id: str, run: CellRun) -> None:
        """Remember the last run of a cell, and forget that of the cell that was run the longest time ago."""
        self.runs.pop(cell_id, None)
        self.runs[cell_id] = run
        if len(self.runs) > RUNS:
            del self.runs[next(iter(self.runs))]

    def unload(self, saved: Callable[[], Future[None] | None], may_go: Callable[[Turn], bool]) -> None:
        """Set the oldest turns aside, where they are many, and in the file.

        ``saved`` gives a future that is done when everything handed over before is in the file. ``may_go`` says of a
        turn whether it can be. Nothing is set aside while a reply arrives.
        """
        if self.replies or self.stored is None:
            return
        live = self.timeline.live
        if self._saved is not None and self._saved.done():
            gone, self._saved = len(self._oldest), None
            if all(turn is known for turn, known in zip(live, self._oldest, strict=False)) and gone < len(live):
                self.timeline.unload(gone)  # none of them has changed since it was saved
        elif self._saved is None and len(live) >= 2 * (keep := max(WINDOW, 2 * self.sent)):
            oldest = tuple(live[: len(live) - keep])
            if all(map(may_go, oldest)) and oldest[-1].place < live[len(oldest)].place:
                self._oldest, self._saved = oldest, saved()
        if self._saved is None:
            self._oldest = ()

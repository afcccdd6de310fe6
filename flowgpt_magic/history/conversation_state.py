"""The state of a conversation in this process: its turns, arriving replies, and the last runs of its cells."""

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


TURNS_IN_MEMORY = 100  # live turns that always stay in memory
CELLS_REMEMBERED = 256  # cells whose last run is remembered


@dataclass(frozen=True)
class StoredConversation:
    """Reads a conversation from the file. Both functions raise ``HistoryError``."""

    turns: Callable[[], tuple[tuple[Turn, ...], Mapping[int, int]]]  # the live turns; by place, the newest version
    changes: Callable[[], tuple[ChangeRecord, ...]]


@dataclass
class CellRun:
    """One run of a cell: the places where its previous run has turns, and how many prompts it has asked so far."""

    run: str
    places: list[int]
    prompt_count: int = 0


@dataclass
class ConversationState:
    """The state of one conversation, shared by every ``Conversation`` of its name.

    Long conversations are rarely sent whole. Their oldest turns are dropped from memory once they are in the file, and
    read again when needed. Without a file, all turns stay in memory.
    """

    record: ConversationRecord
    timeline: Timeline
    lock: threading.RLock = field(default_factory=threading.RLock)
    listed: bool = False  # the record is in the history, or queued for it
    handed_over: bool = False  # this process's writer has the record
    unnamed: bool = False  # its name was generated, and its first prompt names it
    runs: dict[str, CellRun] = field(default_factory=dict)  # by cell id
    replies: dict[str, Reply] = field(default_factory=dict)  # the arriving ones, by turn id
    comparisons: set[str] = field(default_factory=set)  # the ids of those that have begun and not ended
    stored: StoredConversation | None = None  # None if there is no file
    sent: int = 0  # turns sent with the last prompt
    _saved: Future[None] | None = None  # done when the turns in ``_oldest`` are in the file
    _oldest: tuple[Turn, ...] = ()

    def live(self) -> list[Turn]:
        """All live turns, in order. Raises ``HistoryError`` if unloaded turns cannot be read."""
        self.reload()
        with self.lock:
            return self.timeline.live

    def reload(self) -> None:
        """Read unloaded turns again. The caller must not hold the lock: another thread answers."""
        if self.timeline.is_loaded or self.stored is None:
            return
        live, newest_versions = self.stored.turns()
        with self.lock:
            if not self.timeline.is_loaded:
                self.timeline.reload(live, newest_versions)
                self._saved = None

    def load_older_changes(self) -> None:
        """Read the older changes from the file if the next undo needs them."""
        if self.timeline.lacks_older_changes() and self.stored is not None:
            changes = self.stored.changes()
            with self.lock:
                self.timeline.load_older_changes(changes)

    def remember(self, cell_id: str, run: CellRun) -> None:
        """Remember the last run of a cell; forget the cell whose last run is oldest."""
        self.runs.pop(cell_id, None)
        self.runs[cell_id] = run
        if len(self.runs) > CELLS_REMEMBERED:
            del self.runs[next(iter(self.runs))]

    def unload(self, saved: Callable[[], Future[None] | None], may_go: Callable[[Turn], bool]) -> None:
        """Drop the oldest of many turns from memory once they are in the file.

        Does nothing while a reply arrives, or a comparison has not ended: some of its replies may end before others
        begin, and at its end it needs the turns of all.

        ``saved`` returns a future that is done when everything saved before is in the file. ``may_go`` says whether a
        turn may be dropped.
        """
        if self.replies or self.comparisons or self.stored is None:
            return
        live = self.timeline.live
        if self._saved is not None and self._saved.done():
            count, self._saved = len(self._oldest), None
            unchanged = all(turn is saved_turn for turn, saved_turn in zip(live, self._oldest, strict=False))
            if unchanged and count < len(live):
                self.timeline.unload(count)
        elif self._saved is None and len(live) >= 2 * (keep := max(TURNS_IN_MEMORY, 2 * self.sent)):
            oldest = tuple(live[: len(live) - keep])
            if all(map(may_go, oldest)) and oldest[-1].place < live[len(oldest)].place:
                self._oldest, self._saved = oldest, saved()
        if self._saved is None:
            self._oldest = ()

"""The thread that owns the connection to the history: it writes records, answers reads, and handles a failing file."""

from __future__ import annotations

import math
import queue
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar

from flowgpt_magic.errors import (
    HistoryDamagedError,
    HistoryError,
    HistoryFileError,
    HistoryLockedError,
    HistoryRecordError,
)
from flowgpt_magic.history.recent_records import RecentRecords
from flowgpt_magic.history.records import (
    MEMORY,
    OFF,
    ChangeRecord,
    ConversationRecord,
    KeyChange,
    NotebookRecord,
    PartialText,
    PictureRecord,
    Record,
    RequestRecord,
)
from flowgpt_magic.messages import Turn
from flowgpt_magic.text import counted, sentences

if TYPE_CHECKING:
    from pathlib import Path

    from flowgpt_magic.history.database import History

T = TypeVar("T")
GrowingText = str | Callable[[], str]  # a function is called when it is time to write

RECORDS_PER_TRANSACTION = 32  # a transaction locks the file for other processes
RETRY_PAUSES = (0.02, 2.0)  # seconds before a locked file is tried again: the first pause, and the longest
READ_BUSY_TIMEOUT = 0.25  # seconds SQLite itself waits for a lock, and so the longest delay of a read
MAX_FAILURES = 2  # retries in a row of a file that fails: another kernel may be moving it
MAX_RECOVERIES = 12  # recoveries from damage before the file is given up
RECOVERY_COUNT = 1000  # turns, and as many changes and requests, that are written again to a file's replacement


@dataclass(frozen=True)
class BeginTurn:
    """Save a turn that begins to stream."""

    turn: Turn


@dataclass(frozen=True)
class EndTurn:
    """Save a turn that has ended."""

    turn: Turn


@dataclass(frozen=True)
class ReadQuery:
    """Run ``query`` on the history and set ``result``."""

    query: Callable[[History], Any]
    result: Future[Any]

    def run(self, history: History | HistoryError) -> None:
        """Set the result or the error. On ``HistoryDamagedError``, raise it and leave the result pending."""
        if not self.result.running() and not self.result.set_running_or_notify_cancel():
            return
        if isinstance(history, HistoryError):
            self.result.set_exception(history)
            return
        try:
            value = self.query(history)
        except HistoryDamagedError:
            raise
        except Exception as error:  # noqa: BLE001 # it belongs to the caller
            self.result.set_exception(error)
        else:
            self.result.set_result(value)


@dataclass(frozen=True)
class FlushRequest:
    """Set ``done`` when everything before this is written; with ``growth``, the text of streaming turns too."""

    done: Future[None]
    growth: bool = True


@dataclass(frozen=True)
class ForkPause:
    """The process is about to fork: close the file, set ``closed`` and wait for ``over``."""

    over: threading.Event
    closed: threading.Event = field(default_factory=threading.Event)


@dataclass(frozen=True)
class StopRequest:
    """Write what is pending, then end. At ``rescue_at`` (monotonic seconds) the rest goes to a file of its own."""

    rescue_at: float = math.inf


QueueItem = Record | BeginTurn | EndTurn | ReadQuery | FlushRequest | ForkPause | StopRequest


class RecoveryRecords:
    """The records saved last, to be written again to the replacement of a lost file."""

    def __init__(self) -> None:
        self.notebooks: dict[str, NotebookRecord] = {}
        self.conversations: dict[str, ConversationRecord] = {}
        self.turns: RecentRecords[Turn] = RecentRecords(RECOVERY_COUNT)
        self.changes: RecentRecords[ChangeRecord] = RecentRecords(RECOVERY_COUNT)
        self.requests: RecentRecords[RequestRecord] = RecentRecords(RECOVERY_COUNT)

    def add(self, record: Record | PartialText) -> None:
        """Add a record, or replace the one with its id."""
        if isinstance(record, NotebookRecord):
            self.notebooks[record.notebook_id] = record
        elif isinstance(record, ConversationRecord):
            self.conversations[record.conversation_id] = record
        elif isinstance(record, Turn):
            self.turns.add(record.turn_id, replace(record))  # a copy without cached properties, which are larger
        elif isinstance(record, ChangeRecord):
            self.changes.add(record.change_id, record)
        elif isinstance(record, RequestRecord):
            self.requests.add(record.request_id, record)
        elif isinstance(record, PictureRecord):
            return  # the turns have those that were sent
        elif isinstance(record, KeyChange):
            for notebook_id, notebook in self.notebooks.items():
                if notebook.key == record.old:
                    self.notebooks[notebook_id] = replace(notebook, key=record.new)
        elif (turn := self.turns.get(record.turn_id)) is not None:
            extras = replace(turn.extras, reasoning=record.reasoning) if record.reasoning else turn.extras
            self.turns.add(record.turn_id, replace(turn, text=record.text, extras=extras))

    def parents(self) -> list[Record]:
        """Notebooks and conversations, in the order in which to save them."""
        return [*self.notebooks.values(), *self.conversations.values()]

    def parents_of(self, record: Record | PartialText) -> list[Record]:
        """The notebook and the conversation that ``record`` belongs to, if they are here."""
        if isinstance(record, (ConversationRecord, RequestRecord)):
            parents: list[Record | None] = [self.notebooks.get(record.notebook_id)]
        elif isinstance(record, (Turn, ChangeRecord)):
            conversation = self.conversations.get(record.conversation_id)
            notebook = self.notebooks.get(conversation.notebook_id) if conversation else None
            parents = [notebook, conversation]
        else:
            parents = []
        return [parent for parent in parents if parent is not None]

    def all(self) -> list[Record]:
        """All records, in the order in which to save them."""
        return [*self.parents(), *self.turns.all(), *self.changes.all(), *self.requests.all()]


class WriterThread:
    """Owns the connection. ``run`` is the thread's target.

    Other threads use only ``inbox`` and ``growth``, by atomic operations. Growth does not wake the thread: while a turn
    streams, the thread looks for its text at intervals.
    """

    def __init__(self, location: str, warn: Callable[[str], None], *, interval: float, patience: float) -> None:
        self.inbox: queue.SimpleQueue[QueueItem] = queue.SimpleQueue()
        self.growth: dict[str, tuple[GrowingText, GrowingText]] = {}  # text and reasoning by turn id
        self.recovery = RecoveryRecords()
        self._location, self._warn, self._interval, self._patience = location, warn, interval, patience
        self._saves = location != OFF
        self._history: History | None = None
        self._fatal_error: HistoryError | None = None  # why not even a history in memory works
        self._pending: deque[Record | PartialText] = deque()
        self._batch_size = RECORDS_PER_TRANSACTION
        self._open_turns: dict[str, float] = {}  # by turn id, when to look for growth next
        self._reads: deque[ReadQuery] = deque()
        self._flushes: list[FlushRequest] = []
        self._locked_since = self._retry_at = self._pause = 0.0
        self._failures = 0  # since everything was written
        self._recoveries = 0  # from damage
        self._warned: set[str] = set()
        self._unindexed = self._stopping = self._took_rescued = False
        self._rescue_at = math.inf  # when pending records go to a file of their own
        self.rescued: tuple[Path, int] | None = None  # that file, and its number of turns
        self._retried: Record | PartialText | None = None  # the record that is tried again after its parents

    @property
    def unsaved(self) -> int:
        """About how many turns are not written yet. Safe from any thread."""
        return len({record.turn_id for record in list(self._pending) if isinstance(record, (Turn, PartialText))})

    def run(self) -> None:
        """Work until a ``StopRequest`` has come and everything is written."""
        while not self._stopping or self._pending:
            self._receive()
            self._collect_growth()
            self._write()
            self._answer_reads()
            self._index()
            if self._pending and time.monotonic() >= self._rescue_at:
                self._rescue()
                break
        self._close()

    # Receiving

    def _receive(self) -> None:
        """Wait for an item or for the next scheduled action, then take all items."""
        timeout = self._seconds_to_wait()
        with suppress(queue.Empty):
            self._sort(self.inbox.get(timeout=timeout) if timeout != 0 else self.inbox.get_nowait())
            while True:
                self._sort(self.inbox.get_nowait())

    def _seconds_to_wait(self) -> float | None:
        if self._unindexed and self._history is not None and not self._pending:
            return 0
        locked = self._retry_at and (self._pending or self._reads)
        moments = [self._retry_at, self._rescue_at] if locked else list(self._open_turns.values())
        return max(0.0, min(moments) - time.monotonic()) if moments else None

    def _sort(self, item: QueueItem) -> None:
        if isinstance(item, ReadQuery):
            self._reads.append(item)
        elif isinstance(item, FlushRequest):
            self._flushes.append(item)
        elif isinstance(item, StopRequest):
            self._stopping, self._rescue_at = True, item.rescue_at
        elif isinstance(item, ForkPause):
            self._pause_for_fork(item)
        elif isinstance(item, BeginTurn):
            self._open_turns[item.turn.turn_id] = time.monotonic() + self._interval
            self._put(item.turn)
        elif isinstance(item, EndTurn):
            self._open_turns.pop(item.turn.turn_id, None)
            self._unindexed = True
            self._put(item.turn)
        else:
            self._put(item)

    def _pause_for_fork(self, fork: ForkPause) -> None:
        """Close the file: in the child, SQLite's view of its locks would be wrong."""
        if self._location != MEMORY:
            self._close()
        fork.closed.set()
        fork.over.wait()

    def _put(self, record: Record | PartialText) -> None:
        if self._saves:
            self.recovery.add(record)
            self._pending.append(record)

    def _collect_growth(self) -> None:
        """Take the newest text of each turn that is due; of all turns if a read or a flush waits."""
        if self._retry_at:  # texts that cannot be written would pile up
            return
        flushes = any(flush.growth for flush in self._flushes)
        now, at_once = time.monotonic(), bool(self._reads or flushes or self._stopping)
        for turn_id, due in self._open_turns.items():
            if at_once or due <= now:
                self._open_turns[turn_id] = now + self._interval
                if (growth := self.growth.pop(turn_id, None)) is not None:
                    try:
                        text, reasoning = (part if isinstance(part, str) else part() for part in growth)
                        self._put(PartialText(turn_id, text, reasoning))
                    except Exception as error:  # noqa: BLE001 # it must not end the thread
                        self._warn_once(
                            "text", sentences(f"the text of a turn could not be saved to the history: {error}")
                        )

    # Writing and reading

    def _write(self) -> None:
        """Write pending records, opening the file if needed. They stay pending while the file is locked."""
        was_locked = self._retry_at
        self._write_pending()
        if was_locked and not self._retry_at:  # texts that grew meanwhile were not collected
            self._collect_growth()
            self._write_pending()

    def _write_pending(self) -> None:
        while (self._pending or self._reads) and self._fatal_error is None and time.monotonic() >= self._retry_at:
            try:
                history = self._opened()
                records = list(islice(self._pending, self._batch_size))
                if records:
                    _save(history, records)
            except HistoryError as error:
                self._handle(error)
                continue
            for _record in records:
                self._pending.popleft()
            self._batch_size, self._locked_since, self._retry_at, self._pause = RECORDS_PER_TRANSACTION, 0.0, 0.0, 0.0
            if not self._pending:
                self._failures = 0
                return

    def _opened(self) -> History:
        """The history, opened if needed, and opened again if its file was deleted or moved."""
        if self._history is not None and self._history.replaced:
            self._close()
            self._pending.extendleft(reversed(self.recovery.all()))
        if self._history is None:
            from flowgpt_magic.history.database import History  # now, and not when a notebook loads the extension

            self._history = History(self._location if self._saves else MEMORY, patience=READ_BUSY_TIMEOUT)
            self._unindexed = True
        if not self._took_rescued and self._saves and self._location != MEMORY:
            self._take_rescued(self._history)
        return self._history

    def _take_rescued(self, history: History) -> None:
        """Add the records that an earlier program could not write. Done once, when the file is not locked."""
        from flowgpt_magic.history.rescue import take_rescued

        if count := take_rescued(history):
            turns = (
                f"{counted(count, 'turn')} of an earlier program {'was' if count == 1 else 'were'} added to the history"
            )
            self._warn_once("rescued", f"{turns}, which was locked when that program ended.")
        self._took_rescued = True

    def _answer_reads(self) -> None:
        """Run the queries, also while the file is locked, and finish the flushes if nothing is pending."""
        while self._reads and (source := self._fatal_error or self._history) is not None:
            try:
                self._reads[0].run(source)
            except HistoryDamagedError as error:
                self._handle(error)
                self._write()
                continue
            self._reads.popleft()
        if not self._pending:
            while self._flushes:
                self._flushes.pop().done.set_result(None)

    def _index(self) -> None:
        """When idle, add some turns to the full-text index and to the usage sums."""
        if self._history is None or not self._unindexed or not self.inbox.empty() or self._pending:
            return
        try:
            more = self._history.index_ended_turns()
            self._unindexed = self._history.sum_usage(time.time()) or more
        except HistoryDamagedError as error:
            self._handle(error)
        except HistoryError:
            self._unindexed = False  # tried again after the next turn, or by the next kernel

    def _close(self) -> None:
        if self._history is not None:
            with suppress(HistoryError):
                self._history.close()
            self._history = None

    def _rescue(self) -> None:
        """Write pending records to a file beside the locked history."""
        from flowgpt_magic.history.rescue import rescue

        self._retry_at = 0.0
        self._collect_growth()
        turns = self.recovery.turns
        whole = [turns.get(each.turn_id) if isinstance(each, PartialText) else each for each in self._pending]
        records = [record for record in whole if record is not None and not isinstance(record, KeyChange)]
        with suppress(HistoryError):  # ``unsaved`` then says how many turns are lost
            self.rescued = rescue(self._location, [*self.recovery.parents(), *records]), self.unsaved
            self._pending.clear()

    # Errors

    def _handle(self, error: HistoryError) -> None:
        """React to an error so that the next attempt differs."""
        if isinstance(error, HistoryLockedError):
            self._wait_for_lock(error)
            return
        self._locked_since = self._retry_at = 0.0
        if isinstance(error, HistoryRecordError):
            self._skip_bad_record(error)
        elif isinstance(error, HistoryDamagedError):
            self._replace_damaged(error)
        elif isinstance(error, HistoryFileError) and self._failures < MAX_FAILURES:
            self._failures += 1
            self._close()
            self._start_over_later()
        else:
            self._continue_in_memory(error)

    def _wait_for_lock(self, error: HistoryLockedError) -> None:
        now = time.monotonic()
        self._locked_since = self._locked_since or now
        self._pause_before_retry()
        if now - self._locked_since >= self._patience:
            self._warn_once(
                "locked", f"{error} New turns stay in memory until the lock is released, then they are saved."
            )

    def _pause_before_retry(self) -> None:
        self._pause = min(max(RETRY_PAUSES[0], self._pause * 2), RETRY_PAUSES[1])
        self._retry_at = time.monotonic() + self._pause

    def _start_over_later(self) -> None:
        """Write all recent records again after a pause: by then there may be another file."""
        self._pause_before_retry()
        self._pending.extendleft(reversed(self.recovery.all()))

    def _skip_bad_record(self, error: HistoryRecordError) -> None:
        """Try the records one by one. A rejected one is tried again after its parents, then skipped.

        A turn is rejected if its conversation is not in the file: without the second attempt, one lost conversation
        record would cost all its turns.
        """
        if self._batch_size > 1:
            self._batch_size = 1
            return
        record = self._pending[0]
        if record is not self._retried and (parents := self.recovery.parents_of(record)):
            self._retried = record
            self._pending.extendleft(reversed(parents))
            return
        self._pending.popleft()
        self._warn_once(str(error), str(error))

    def _replace_damaged(self, error: HistoryDamagedError) -> None:
        """Start a new file, or use the one of another kernel that found the damage first."""
        from flowgpt_magic.history.file import move_aside

        self._close()
        self._recoveries += 1
        try:
            if self._recoveries > MAX_RECOVERIES:
                raise error
            aside = move_aside(self._location) if self._location != MEMORY else None
        except HistoryError as reason:
            self._continue_in_memory(reason, readable=False)
            return
        if aside is not None:
            self._warn_once("damaged", f"{error.clause}: it was renamed to {aside.name}, and a new one was started.")
            self._pending.extendleft(reversed(self.recovery.all()))
        else:  # another process is checking the whole file before it moves it
            self._start_over_later()

    def _continue_in_memory(self, error: HistoryError, *, readable: bool = True) -> None:
        from flowgpt_magic.history.database import History

        self._close()
        self._warn_once("memory", f"{error} Until this kernel is restarted, its turns are only in memory.")
        lost, self._location = self._location, MEMORY
        try:
            if lost == MEMORY:
                raise error
            self._history = History.copied_into_memory(lost) if readable else History(MEMORY)
        except HistoryError as reason:
            self._fatal_error, self._saves = reason, False
            self._pending.clear()
        else:
            self._pending.extendleft(reversed(self.recovery.all()))

    @property
    def location(self) -> str:
        """Where turns are saved now: ``:memory:`` after the file could not be used."""
        return self._location

    def _warn_once(self, topic: str, text: str) -> None:
        if topic not in self._warned:
            self._warned.add(topic)
            with suppress(Exception):  # for example a warning that was turned into an error
                self._warn(text[:1].upper() + text[1:])


def _save(history: History, records: list[Record | PartialText]) -> None:
    """Save the records. An unexpected error counts as an error of a record."""
    try:
        history.save(*records)
    except HistoryError:
        raise
    except Exception as error:
        raise HistoryRecordError(f"a turn could not be saved to the history: {error}") from error

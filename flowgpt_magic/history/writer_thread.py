"""The saver's thread: what it does with the things handed over to it."""

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
from flowgpt_magic.history.records import (
    MEMORY,
    OFF,
    ChangeRecord,
    ConversationRecord,
    Growth,
    NotebookRecord,
    Record,
    Rekey,
)
from flowgpt_magic.history.remembered import Remembered
from flowgpt_magic.messages import Turn
from flowgpt_magic.text import counted, sentences

if TYPE_CHECKING:
    from pathlib import Path

    from flowgpt_magic.history.database import History

T = TypeVar("T")

TOGETHER = 32  # records in one transaction; a file is locked for others while it lasts
PAUSES = (0.02, 2.0)  # seconds before a locked file is tried again, at first and at most
LOCK_PATIENCE = 0.25  # seconds SQLite itself waits for a lock; reads wait for no longer than that
FAILURES = 2  # times in a row that a file is tried again: another kernel may just be moving it
RECOVERIES = 12  # tries to go on after damage, before the file is given up
REMEMBERED = 1000  # turns, and changes, at least, that are written again into what takes the place of a file


@dataclass(frozen=True)
class Begun:
    """A turn that streams from now on."""

    turn: Turn


@dataclass(frozen=True)
class Ended:
    """A turn that streams no more."""

    turn: Turn


@dataclass(frozen=True)
class Read:
    """A question to the history, and where its answer goes."""

    ask: Callable[[History], Any]
    answer: Future[Any]

    def answer_from(self, history: History | HistoryError) -> None:
        """Ask, and pass on what comes of it, or why nothing can; raises ``HistoryDamagedError``, without an answer."""
        if not self.answer.running() and not self.answer.set_running_or_notify_cancel():
            return
        if isinstance(history, HistoryError):
            self.answer.set_exception(history)
            return
        try:
            found = self.ask(history)
        except HistoryDamagedError:
            raise
        except Exception as error:  # noqa: BLE001 # whatever it is, it belongs to the one who asked
            self.answer.set_exception(error)
        else:
            self.answer.set_result(found)


@dataclass(frozen=True)
class Flush:
    """Somebody waits until everything before this is written; ``growth`` includes the text of turns that stream."""

    done: Future[None]
    growth: bool = True


@dataclass(frozen=True)
class Fork:
    """The process is about to fork: until that is over, no file is open and nothing is done."""

    over: threading.Event
    closed: threading.Event = field(default_factory=threading.Event)


@dataclass(frozen=True)
class Stop:
    """Write what is there, then end; what a locked file keeps out at ``rescue_at``, by the clock, goes to a file."""

    rescue_at: float = math.inf


Item = Record | Begun | Ended | Read | Flush | Fork | Stop


class Known:
    """What was saved lately, to be saved again into what takes the place of a file that is lost."""

    def __init__(self) -> None:
        self.notebooks: dict[str, NotebookRecord] = {}
        self.conversations: dict[str, ConversationRecord] = {}
        self.turns: Remembered[Turn] = Remembered(REMEMBERED)
        self.changes: Remembered[ChangeRecord] = Remembered(REMEMBERED)

    def add(self, record: Record | Growth) -> None:
        """Remember a record in place of the one with its id."""
        if isinstance(record, NotebookRecord):
            self.notebooks[record.notebook_id] = record
        elif isinstance(record, ConversationRecord):
            self.conversations[record.conversation_id] = record
        elif isinstance(record, Turn):
            self.turns.add(record.turn_id, replace(record))  # without what the other one caches, which is larger
        elif isinstance(record, ChangeRecord):
            self.changes.add(record.change_id, record)
        elif isinstance(record, Rekey):
            for notebook in [each for each in self.notebooks.values() if each.key == record.old]:
                self.notebooks[notebook.notebook_id] = replace(notebook, key=record.new)
        elif (turn := self.turns.get(record.turn_id)) is not None:
            self.turns.add(record.turn_id, replace(turn, text=record.text))

    def parents(self) -> list[Record]:
        """What turns belong to, in the order to save it in."""
        return [*self.notebooks.values(), *self.conversations.values()]

    def parents_of(self, record: Record | Growth) -> list[Record]:
        """The notebook and the conversation that ``record`` belongs to, as far as they are known, in that order."""
        if isinstance(record, ConversationRecord):
            parents: list[Record | None] = [self.notebooks.get(record.notebook_id)]
        elif isinstance(record, (Turn, ChangeRecord)):
            conversation = self.conversations.get(record.conversation_id)
            notebook = self.notebooks.get(conversation.notebook_id) if conversation else None
            parents = [notebook, conversation]
        else:
            parents = []
        return [parent for parent in parents if parent is not None]

    def all(self) -> list[Record]:
        """Everything, in the order to save it in."""
        return [*self.parents(), *self.turns.all(), *self.changes.all()]


class Writer:
    """Owns the connection; ``run`` is the thread.

    ``inbox`` and ``growth`` are all that other threads touch, and each of their calls is one step that no other thread
    comes between. Growth wakes nobody: while a turn is open, this looks for it by the clock.
    """

    def __init__(self, location: str, warn: Callable[[str], None], *, interval: float, patience: float) -> None:
        self.inbox: queue.SimpleQueue[Item] = queue.SimpleQueue()
        self.growth: dict[str, str | Callable[[], str]] = {}
        self.known = Known()
        self._location, self._warn, self._interval, self._patience = location, warn, interval, patience
        self._saves = location != OFF
        self._history: History | None = None
        self._useless: HistoryError | None = None  # why not even memory does
        self._pending: deque[Record | Growth] = deque()
        self._together = TOGETHER
        self._open_turns: dict[str, float] = {}  # when each is looked at for growth
        self._reads: deque[Read] = deque()
        self._flushes: list[Flush] = []
        self._locked_since = self._retry_at = self._pause = 0.0
        self._failures = 0  # since everything was written
        self._recoveries = 0  # from damage
        self._told: set[str] = set()
        self._unindexed = self._stopping = self._took_rescued = False
        self._rescue_at = math.inf  # when what is not written goes to a file of its own
        self.rescued: tuple[Path, int] | None = None  # that file, and how many turns it has
        self._with_parents: Record | Growth | None = None  # the record that is tried again behind its parents

    @property
    def unsaved(self) -> int:
        """How many turns are not written yet; from any thread, about."""
        return len({each.turn_id for each in list(self._pending) if isinstance(each, (Turn, Growth))})

    def run(self) -> None:
        """Until a ``Stop`` came and everything is written."""
        while not self._stopping or self._pending:
            self._receive()
            self._collect_growth()
            self._write()
            self._answer()
            self._index()
            if self._pending and time.monotonic() >= self._rescue_at:
                self._rescue()
                break
        self._close()

    # What comes in

    def _receive(self) -> None:
        """Wait for the next item, or the next moment at which something is to be done; take all that is there."""
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

    def _sort(self, item: Item) -> None:
        if isinstance(item, Read):
            self._reads.append(item)
        elif isinstance(item, Flush):
            self._flushes.append(item)
        elif isinstance(item, Stop):
            self._stopping, self._rescue_at = True, item.rescue_at
        elif isinstance(item, Fork):
            self._stand_by(item)
        elif isinstance(item, Begun):
            self._open_turns[item.turn.turn_id] = time.monotonic() + self._interval
            self._put(item.turn)
        elif isinstance(item, Ended):
            self._open_turns.pop(item.turn.turn_id, None)
            self._unindexed = True
            self._put(item.turn)
        else:
            self._put(item)

    def _stand_by(self, fork: Fork) -> None:
        """What SQLite knows of its locks would be wrong in the child: it would wait for ever, or hold none at all."""
        if self._location != MEMORY:
            self._close()
        fork.closed.set()
        fork.over.wait()

    def _put(self, record: Record | Growth) -> None:
        if self._saves:
            self.known.add(record)
            self._pending.append(record)

    def _collect_growth(self) -> None:
        """Take the newest text of the turns whose moment has come; of all, where somebody waits for what is written."""
        if self._retry_at:  # texts that cannot be written would only pile up
            return
        flushes = any(flush.growth for flush in self._flushes)
        now, at_once = time.monotonic(), bool(self._reads or flushes or self._stopping)
        for turn_id, moment in self._open_turns.items():
            if at_once or moment <= now:
                self._open_turns[turn_id] = now + self._interval
                if (text := self.growth.pop(turn_id, None)) is not None:
                    try:
                        self._put(Growth(turn_id, text if isinstance(text, str) else text()))
                    except Exception as error:  # noqa: BLE001 # it must not end the thread, and all saving with it
                        self._tell("text", sentences(f"the text of a turn could not be saved to the history: {error}"))

    # What is done with it

    def _write(self) -> None:
        """Write what is pending, opening the file first; leaves it where the file is locked."""
        waited = self._retry_at
        self._write_pending()
        if waited and not self._retry_at:  # texts that grew meanwhile were left where they were
            self._collect_growth()
            self._write_pending()

    def _write_pending(self) -> None:
        while (self._pending or self._reads) and self._useless is None and time.monotonic() >= self._retry_at:
            try:
                history = self._opened()
                some = list(islice(self._pending, self._together))
                if some:
                    _save(history, some)
            except HistoryError as error:
                self._handle(error)
                continue
            for _record in some:
                self._pending.popleft()
            self._together, self._locked_since, self._retry_at, self._pause = TOGETHER, 0.0, 0.0, 0.0
            if not self._pending:
                self._failures = 0
                return

    def _opened(self) -> History:
        """The history, opened where it is not, and again where its file was deleted or moved."""
        if self._history is not None and self._history.replaced:
            self._close()
            self._pending.extendleft(reversed(self.known.all()))
        if self._history is None:
            from flowgpt_magic.history.database import History  # now, and not when a notebook loads the extension

            self._history = History(self._location if self._saves else MEMORY, patience=LOCK_PATIENCE)
            self._unindexed = True
        if not self._took_rescued and self._saves and self._location != MEMORY:
            self._take_rescued(self._history)
        return self._history

    def _take_rescued(self, history: History) -> None:
        """Bring in what an earlier program could not write; once, where the file is not locked."""
        from flowgpt_magic.history.rescue import take_rescued

        if count := take_rescued(history):
            turns = f"{counted(count, 'turn')} of an earlier program, which a lock had kept out of the history"
            self._tell("taken", f"{turns}, {'is' if count == 1 else 'are'} in it now.")
        self._took_rescued = True

    def _answer(self) -> None:
        """Answer those who wait, from what was written before where the file is locked."""
        while self._reads and (source := self._useless or self._history) is not None:
            try:
                self._reads[0].answer_from(source)
            except HistoryDamagedError as error:
                self._handle(error)
                self._write()
                continue
            self._reads.popleft()
        if not self._pending:
            while self._flushes:
                self._flushes.pop().done.set_result(None)

    def _index(self) -> None:
        """When there is nothing else to do, bring a few turns into the full-text index and the sums of usage."""
        if self._history is None or not self._unindexed or not self.inbox.empty() or self._pending:
            return
        try:
            more = self._history.index_ended_turns()
            self._unindexed = self._history.sum_usage(time.time()) or more
        except HistoryDamagedError as error:
            self._handle(error)
        except HistoryError:
            self._unindexed = False  # the next turn that ends, or the next kernel, brings them in

    def _close(self) -> None:
        if self._history is not None:
            with suppress(HistoryError):
                self._history.close()
            self._history = None

    def _rescue(self) -> None:
        """Put what the locked file keeps out into a file beside it."""
        from flowgpt_magic.history.rescue import rescue

        self._retry_at = 0.0
        self._collect_growth()
        turns = [self.known.turns.get(each.turn_id) if isinstance(each, Growth) else each for each in self._pending]
        records = [each for each in turns if each is not None and not isinstance(each, Rekey)]
        with suppress(HistoryError):  # the count of what is lost is told
            self.rescued = rescue(self._location, [*self.known.parents(), *records]), self.unsaved
            self._pending.clear()

    # When it does not work

    def _handle(self, error: HistoryError) -> None:
        """Make it so that the next try is another one."""
        if isinstance(error, HistoryLockedError):
            self._wait_for_lock(error)
            return
        self._locked_since = self._retry_at = 0.0
        if isinstance(error, HistoryRecordError):
            self._find_record(error)
        elif isinstance(error, HistoryDamagedError):
            self._replace_damaged(error)
        elif isinstance(error, HistoryFileError) and self._failures < FAILURES:
            self._failures += 1
            self._close()
            self._begin_again_later()
        else:
            self._go_on_in_memory(error)

    def _wait_for_lock(self, error: HistoryLockedError) -> None:
        now = time.monotonic()
        self._locked_since = self._locked_since or now
        self._pause_before_retry()
        if now - self._locked_since >= self._patience:
            self._tell("locked", f"{error} New turns are kept in memory, and saved as soon as it lets go.")

    def _pause_before_retry(self) -> None:
        self._pause = min(max(PAUSES[0], self._pause * 2), PAUSES[1])
        self._retry_at = time.monotonic() + self._pause

    def _begin_again_later(self) -> None:
        """Try again with what may be another file by then."""
        self._pause_before_retry()
        self._pending.extendleft(reversed(self.known.all()))

    def _find_record(self, error: HistoryRecordError) -> None:
        """Try the records one by one. One that cannot be stored is tried once more behind its parents, then left out.

        A turn is refused where its conversation is not in the file: without the second try, one lost record would
        cost all turns that come after it.
        """
        if self._together > 1:
            self._together = 1
            return
        record = self._pending[0]
        if record is not self._with_parents and (parents := self.known.parents_of(record)):
            self._with_parents = record
            self._pending.extendleft(reversed(parents))
            return
        self._pending.popleft()
        self._tell(str(error), str(error))

    def _replace_damaged(self, error: HistoryDamagedError) -> None:
        """Begin a new file, or go on with that of another kernel which found the damage first."""
        from flowgpt_magic.history.file import move_aside

        self._close()
        self._recoveries += 1
        try:
            if self._recoveries > RECOVERIES:
                raise error
            aside = move_aside(self._location) if self._location != MEMORY else None
        except HistoryError as reason:
            self._go_on_in_memory(reason, readable=False)
            return
        if aside is not None:
            self._tell("damaged", f"{error.clause}: it is kept as {aside.name}, and a new one begins.")
            self._pending.extendleft(reversed(self.known.all()))
        else:  # another process is about to move it, which takes as long as it takes to look through the file
            self._begin_again_later()

    def _go_on_in_memory(self, error: HistoryError, *, readable: bool = True) -> None:
        from flowgpt_magic.history.database import History

        self._close()
        self._tell("memory", f"{error} Until this kernel is restarted, turns are kept in its memory only.")
        lost, self._location = self._location, MEMORY
        try:
            if lost == MEMORY:
                raise error
            self._history = History.copied_into_memory(lost) if readable else History(MEMORY)
        except HistoryError as reason:
            self._useless, self._saves = reason, False
            self._pending.clear()
        else:
            self._pending.extendleft(reversed(self.known.all()))

    @property
    def location(self) -> str:
        """Where turns are kept by now: ``:memory:`` once the file could not be used."""
        return self._location

    def _tell(self, what: str, text: str) -> None:
        """Tell the person, once."""
        if what not in self._told:
            self._told.add(what)
            with suppress(Exception):  # such as a warning that was made an error
                self._warn(text[:1].upper() + text[1:])


def _save(history: History, records: list[Record | Growth]) -> None:
    """Save them; whatever else goes wrong with a record than what the history foresees is an error of that record."""
    try:
        history.save(*records)
    except HistoryError:
        raise
    except Exception as error:
        raise HistoryRecordError(f"a turn could not be saved to the history: {error}") from error

"""Save turns without making their reader wait: a thread that writes behind.

What a reply's worker hands over is put into a queue, which takes microseconds and never fails. One thread owns the
connection, writes what has come, and answers reads after that, so that a read finds whatever was handed over before it.
Where the file does not do, the person is told once and this kernel goes on in memory.
"""

from __future__ import annotations

import atexit
import math
import os
import threading
import time
import warnings
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError  # the built-in one from Python 3.11 on
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from flowgpt_magic import bridge
from flowgpt_magic.errors import FlowGptWarning, HistoryError, HistoryLockedError
from flowgpt_magic.history.records import MEMORY, OFF, Record
from flowgpt_magic.history.writer_thread import Begun, Ended, Flush, Fork, Read, Stop, Writer
from flowgpt_magic.messages import Turn, notice
from flowgpt_magic.text import counted, sentences

if TYPE_CHECKING:
    from flowgpt_magic.history.database import History

T = TypeVar("T")

INTERVAL = 1.0  # seconds between two saves of a turn that grows
PATIENCE = 5.0  # seconds a locked file is waited for before the person is told
READ_TIMEOUT = 5.0  # seconds
CLOSE_TIMEOUT = 3.0  # seconds the end of the process waits for what is not written yet; Jupyter kills after 5
RESCUE_AFTER = 1.5  # seconds of these that a lock is waited for; the rest is for writing the file in its place
FORK_TIMEOUT = 1.0  # seconds a fork waits for what is just being written


class BackgroundWriter:
    """Saves to the history at ``location``: the path of a file, ``":memory:"``, or ``"off"`` to save nothing.

    ``begin``, ``grow``, ``end`` and ``save`` return at once and raise nothing. ``warn`` is called, on the saver's own
    thread, with one line about what a person should know; the same trouble is told once. ``interval`` is how many
    seconds lie between two saves of a turn that grows. Nothing is opened before the first use, and a forked child opens
    its own. What a saver was given is written when the process ends, or when ``close`` is called.
    """

    def __init__(
        self,
        location: str | Path,
        *,
        warn: Callable[[str], None] = notice,
        interval: float = INTERVAL,
        patience: float = PATIENCE,
    ) -> None:
        # Where a relative path leads must not change when the notebook changes its folder.
        kept_in_file = str(location) not in (OFF, MEMORY)
        self.location = os.path.abspath(os.path.expanduser(location)) if kept_in_file else str(location)
        self._warn, self._interval, self._patience = warn, interval, patience
        self._starting = threading.RLock()
        self._writer: Writer | None = None
        self._thread: threading.Thread | None = None
        self._inherited: Writer | None = None  # of the process this one was forked from
        self._pid = os.getpid()
        self._closed = False

    def __repr__(self) -> str:
        return f"<BackgroundWriter to {self.location}>"

    # Handing over

    def begin(self, turn: Turn) -> None:
        """Save a turn that begins to stream; its notebook and conversation were saved before."""
        self._hand_over(Begun(turn))

    def grow(self, turn_id: str, text: str | Callable[[], str]) -> None:
        """Save the text a turn has by now, at most once in ``interval``; the newest counts.

        A function is called when it is time to write, on the saver's thread: joining a long reply for each of its
        chunks would cost more than the chunks.
        """
        if (writer := self._current()) is not None:
            writer.growth[turn_id] = text

    def end(self, turn: Turn) -> None:
        """Save a turn as it ended."""
        if (writer := self._current()) is not None:
            writer.growth.pop(turn.turn_id, None)
            writer.inbox.put(Ended(turn))

    def save(self, record: Record) -> None:
        """Save a notebook, a conversation, a change, or a turn that was changed after its end."""
        self._hand_over(record)

    def _hand_over(self, item: Record | Begun) -> None:
        if (writer := self._current()) is not None:
            writer.inbox.put(item)

    # Waiting

    def read(self, ask: Callable[[History], T], timeout: float = READ_TIMEOUT) -> T:
        """What ``ask`` returns for the history, after everything handed over before this call was written.

        While another process locks the file, the answer is what was written before that. ``ask`` runs on the saver's
        thread and keeps nothing of what it gets but values. Raises ``HistoryLockedError`` where no answer comes within
        ``timeout`` seconds, ``HistoryError`` after ``close``, and whatever ``ask`` raises.
        """
        writer = self._current()
        if writer is None:
            raise HistoryError("the history is closed")
        question: Future[T] = Future()
        writer.inbox.put(Read(ask, question))
        if not self._wait(question, timeout):
            question.cancel()
            raise HistoryLockedError(f"the history {self.location} did not answer within {timeout:g} s")
        return question.result()

    @property
    def in_memory(self) -> bool:
        """Are turns kept in memory only, because the file could not be used?"""
        writer = self._writer
        return writer is not None and writer.location == MEMORY != self.location

    def flush(self, timeout: float = READ_TIMEOUT) -> bool:
        """Has everything handed over before been written, within ``timeout`` seconds?"""
        done = self._flushed(growth=True)
        return done is None or self._wait(done, timeout)

    def saved(self) -> Future[None] | None:
        """A future that is done once everything handed over before is in the file; None where there is no file.

        It stays pending while another process locks the file.
        """
        return None if self.location in (OFF, MEMORY) else self._flushed(growth=False)

    def _flushed(self, *, growth: bool) -> Future[None] | None:
        writer = self._writer
        if writer is None or self._pid != os.getpid():
            return None
        done: Future[None] = Future()
        writer.inbox.put(Flush(done, growth))
        return done

    def close(self, timeout: float = CLOSE_TIMEOUT, *, rescue_after: float = math.inf) -> bool:
        """Write what was handed over and close the file; nothing is saved after that.

        Returns whether everything was written within ``timeout`` seconds. What a locked file keeps out for
        ``rescue_after`` seconds is put into a file beside it, and is not said to be written.
        """
        if self._pid != os.getpid():
            self._begin_anew()
        with self._starting:
            self._closed = True
            thread, writer = self._thread, self._writer
        atexit.unregister(self._close_at_exit)
        if thread is None or writer is None:
            return True
        writer.inbox.put(Stop(time.monotonic() + rescue_after))
        thread.join(timeout)
        if thread.is_alive():
            return False
        self._writer = self._thread = None
        _running.discard(self)
        return writer.rescued is None and not writer.unsaved

    def _wait(self, future: Future[T], timeout: float) -> bool:
        """Wait in steps, so that an interrupt gets through, and for no thread that is gone."""
        deadline = time.monotonic() + timeout
        while not future.done():
            left = deadline - time.monotonic()
            if left <= 0 or not (self._thread and self._thread.is_alive()):
                return future.done()
            try:
                future.exception(min(left, bridge.TICK))
            except FutureTimeoutError:
                continue
        return True

    # The thread's life

    def _current(self) -> Writer | None:
        """The writer of this process, started on first use; None after ``close``."""
        if self._pid != os.getpid():
            self._begin_anew()
        if self._closed:
            return None
        return self._writer or bridge.whole(self._start)

    def _start(self) -> Writer | None:
        with self._starting:
            if self._writer is None and not self._closed:
                writer = Writer(self.location, self._warn, interval=self._interval, patience=self._patience)
                if self._inherited is not None:  # the parent may not have written them yet
                    for record in self._inherited.known.parents():
                        writer.inbox.put(record)
                thread = threading.Thread(target=writer.run, name="flowgpt_magic history", daemon=True)
                try:
                    thread.start()
                except RuntimeError:  # the interpreter is about to end
                    self._closed = True
                    return None
                atexit.register(self._close_at_exit)
                self._writer, self._thread = writer, thread
                _running.add(self)
            return self._writer

    def _begin_anew(self) -> None:
        """In a forked child: the parent's thread is not here, and writes in the parent what it was given.

        It closed its connection before the fork. Should it have been too busy for that, the connection is neither used
        here nor closed, which would meddle with the parent's locks.
        """
        self._inherited = self._writer or self._inherited
        self._starting = threading.RLock()
        self._writer = self._thread = None
        self._pid = os.getpid()

    def _stand_by(self, over: threading.Event) -> None:
        """Before a fork: have the file closed until it is over."""
        writer, thread = self._writer, self._thread
        if writer is None or thread is None or self._pid != os.getpid() or thread is threading.current_thread():
            return
        fork = Fork(over)
        writer.inbox.put(fork)
        if thread.is_alive():
            fork.closed.wait(FORK_TIMEOUT)

    def _close_at_exit(self) -> None:
        bridge.close_worker()  # replies end first, and are saved as they ended
        writer = self._writer
        if self.close(rescue_after=RESCUE_AFTER) or writer is None:
            return
        path, count = writer.rescued or ("", writer.unsaved)
        if count:
            lost = f"{counted(count, 'turn')} could not be saved before the program ended"
            why = f"another process locks the history {self.location}, or the disk is slow"
            kept = f"what was said is in {path}, and joins the history when that is next used" if path else ""
            warnings.warn(sentences(f"{lost}: {why}", kept), FlowGptWarning, stacklevel=1)


_running: set[BackgroundWriter] = set()  # those with a thread
_forking = threading.local()  # two threads may fork at the same moment


def _before_fork() -> None:
    _forking.over = threading.Event()
    for saver in list(_running):
        saver._stand_by(_forking.over)


def _after_fork() -> None:
    _forking.over.set()


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork)

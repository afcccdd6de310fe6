"""Save turns in the background, so that no reply waits for the disk.

Records go into a queue, which takes microseconds and never fails. One thread owns the connection: it writes the queued
records, then answers reads, so a read sees everything saved before it. If the file cannot be used, there is one notice
and this kernel keeps its turns in memory.
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
from flowgpt_magic.history.writer_thread import (
    BeginTurn,
    EndTurn,
    FlushRequest,
    ForkPause,
    ReadQuery,
    StopRequest,
    WriterThread,
)
from flowgpt_magic.messages import Turn, notice
from flowgpt_magic.text import counted, sentences

if TYPE_CHECKING:
    from flowgpt_magic.history.database import History

T = TypeVar("T")

GROWTH_INTERVAL = 1.0  # seconds between two saves of a growing turn
LOCK_WARNING_AFTER = 5.0  # seconds a file is locked before there is a notice
READ_TIMEOUT = 5.0  # seconds
EXIT_TIMEOUT = 3.0  # seconds the end of the process waits for pending records; Jupyter kills after 5
RESCUE_AFTER = 1.5  # of these, seconds to wait for a lock; the rest is for writing a file beside the history
FORK_TIMEOUT = 1.0  # seconds a fork waits for the record being written


class BackgroundWriter:
    """Saves to a history on a thread of its own.

    ``begin``, ``grow``, ``end`` and ``save`` return at once and raise nothing. The file is opened at first use; a
    forked child opens its own. Pending records are written when the process ends, or by ``close``.

    Args:
        location: path of the file, ``":memory:"``, or ``"off"`` to save nothing.
        warn: called on the writer's thread with a one-line notice; the same notice comes once.
        interval: seconds between two saves of a growing turn, 1 by default.
        patience: seconds a file is locked before there is a notice, 5 by default.
    """

    def __init__(
        self,
        location: str | Path,
        *,
        warn: Callable[[str], None] = notice,
        interval: float = GROWTH_INTERVAL,
        patience: float = LOCK_WARNING_AFTER,
    ) -> None:
        # A relative path must not change its meaning when the notebook changes its folder.
        is_file = str(location) not in (OFF, MEMORY)
        self.location = os.path.abspath(os.path.expanduser(location)) if is_file else str(location)
        self._warn, self._interval, self._patience = warn, interval, patience
        self._starting = threading.RLock()
        self._writer: WriterThread | None = None
        self._thread: threading.Thread | None = None
        self._inherited: WriterThread | None = None  # of the process this one was forked from
        self._pid = os.getpid()
        self._closed = False

    def __repr__(self) -> str:
        return f"<BackgroundWriter to {self.location}>"

    # Saving

    def begin(self, turn: Turn) -> None:
        """Save a turn that begins to stream. Save its notebook and conversation first."""
        self._put(BeginTurn(turn))

    def grow(self, turn_id: str, text: str | Callable[[], str], reasoning: str | Callable[[], str] = "") -> None:
        """Save the current text and reasoning of a turn, at most once per ``interval``.

        A function is called on the writer's thread when it is time to write: joining a long reply for each chunk would
        be expensive.
        """
        if (writer := self._current()) is not None:
            writer.growth[turn_id] = text, reasoning

    def end(self, turn: Turn) -> None:
        """Save a turn that has ended."""
        if (writer := self._current()) is not None:
            writer.growth.pop(turn.turn_id, None)
            writer.inbox.put(EndTurn(turn))

    def save(self, record: Record) -> None:
        """Save a notebook, a conversation, a change, or a turn that was changed after its end."""
        self._put(record)

    def _put(self, item: Record | BeginTurn) -> None:
        if (writer := self._current()) is not None:
            writer.inbox.put(item)

    # Waiting

    def read(self, query: Callable[[History], T], timeout: float = READ_TIMEOUT) -> T:
        """The result of ``query``, run on the writer's thread after everything saved before this call.

        While another process locks the file, the result is from before the lock. ``query`` must not keep the
        ``History``. Raises ``HistoryLockedError`` after ``timeout`` seconds, ``HistoryError`` after ``close``, and
        whatever ``query`` raises.
        """
        writer = self._current()
        if writer is None:
            raise HistoryError("the history is closed")
        result: Future[T] = Future()
        writer.inbox.put(ReadQuery(query, result))
        if not self._wait(result, timeout):
            result.cancel()
            raise HistoryLockedError(f"the history {self.location} did not answer within {timeout:g} s")
        return result.result()

    @property
    def in_memory(self) -> bool:
        """Are turns only in memory because the file could not be used?"""
        writer = self._writer
        return writer is not None and writer.location == MEMORY != self.location

    def flush(self, timeout: float = READ_TIMEOUT) -> bool:
        """Wait until everything saved before is written. False after ``timeout`` seconds."""
        done = self._flushed(growth=True)
        return done is None or self._wait(done, timeout)

    def saved(self) -> Future[None] | None:
        """A future that is done when everything saved before is in the file; None if there is no file.

        It stays pending while another process locks the file.
        """
        return None if self.location in (OFF, MEMORY) else self._flushed(growth=False)

    def _flushed(self, *, growth: bool) -> Future[None] | None:
        writer = self._writer
        if writer is None or self._pid != os.getpid():
            return None
        done: Future[None] = Future()
        writer.inbox.put(FlushRequest(done, growth))
        return done

    def close(self, timeout: float = EXIT_TIMEOUT, *, rescue_after: float = math.inf) -> bool:
        """Write pending records and close the file. Nothing is saved after that.

        Returns False if not everything was written within ``timeout`` seconds. If the file is still locked after
        ``rescue_after`` seconds, the pending records go to a file beside it, which also returns False.
        """
        if self._pid != os.getpid():
            self._begin_anew()
        with self._starting:
            self._closed = True
            thread, writer = self._thread, self._writer
        atexit.unregister(self._close_at_exit)
        if thread is None or writer is None:
            return True
        writer.inbox.put(StopRequest(time.monotonic() + rescue_after))
        thread.join(timeout)
        if thread.is_alive():
            return False
        self._writer = self._thread = None
        _running.discard(self)
        return writer.rescued is None and not writer.unsaved

    def _wait(self, future: Future[T], timeout: float) -> bool:
        """Wait in steps, so that an interrupt gets through, and only while the thread runs."""
        deadline = time.monotonic() + timeout
        while not future.done():
            remaining = deadline - time.monotonic()
            if remaining <= 0 or not (self._thread and self._thread.is_alive()):
                return future.done()
            try:
                future.exception(min(remaining, bridge.TICK))
            except FutureTimeoutError:
                continue
        return True

    # The thread's life

    def _current(self) -> WriterThread | None:
        """The writer of this process, started at first use; None after ``close``."""
        if self._pid != os.getpid():
            self._begin_anew()
        if self._closed:
            return None
        return self._writer or bridge.whole(self._start)

    def _start(self) -> WriterThread | None:
        with self._starting:
            if self._writer is None and not self._closed:
                writer = WriterThread(self.location, self._warn, interval=self._interval, patience=self._patience)
                if self._inherited is not None:  # the parent may not have written these yet
                    for record in self._inherited.recovery.parents():
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
        """In a forked child, which does not have the parent's thread: start without it.

        The parent's thread closed its connection before the fork, if it was not too busy. The child neither uses nor
        closes that connection, because closing it would drop the parent's locks.
        """
        self._inherited = self._writer or self._inherited
        self._starting = threading.RLock()
        self._writer = self._thread = None
        self._pid = os.getpid()

    def _pause_for_fork(self, over: threading.Event) -> None:
        """Close the file until ``over`` is set."""
        writer, thread = self._writer, self._thread
        if writer is None or thread is None or self._pid != os.getpid() or thread is threading.current_thread():
            return
        fork = ForkPause(over)
        writer.inbox.put(fork)
        if thread.is_alive():
            fork.closed.wait(FORK_TIMEOUT)

    def _close_at_exit(self) -> None:
        bridge.close_worker()  # first, so that replies end and are saved
        writer = self._writer
        if self.close(rescue_after=RESCUE_AFTER) or writer is None:
            return
        path, count = writer.rescued or ("", writer.unsaved)
        if count:
            loss = f"{counted(count, 'turn')} could not be saved before the program ended"
            reason = f"another process locks the history {self.location}, or the disk is slow"
            rescue = f"the turns are in {path} and will be added when the history is next used" if path else ""
            warnings.warn(sentences(f"{loss}: {reason}", rescue), FlowGptWarning, stacklevel=1)


_running: set[BackgroundWriter] = set()  # those with a thread
_forking = threading.local()  # two threads may fork at once


def _before_fork() -> None:
    _forking.over = threading.Event()
    for writer in list(_running):
        writer._pause_for_fork(_forking.over)


def _after_fork() -> None:
    _forking.over.set()


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork)

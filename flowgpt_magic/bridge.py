"""Read an async reply from synchronous code.

A cell magic is called as a plain function while the kernel's event loop runs, so ``asyncio.run`` raises there, and a
nested loop loses cells or continues after an interrupt. So all replies run on one worker thread with its own loop, and
synchronous code waits in short steps that an interrupt can end.
"""

from __future__ import annotations

import asyncio
import atexit
import math
import os
import queue
import signal
import threading
import time
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError  # the built-in one from Python 3.11 on
from contextlib import aclosing, suppress
from contextvars import copy_context
from functools import partial, wraps
from types import FrameType
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

TICK = 0.05  # seconds; on Windows an interrupt does not end a wait on a lock, so no wait is longer
CLOSE_TIMEOUT = 2.0  # seconds for the worker to close its connections at exit


class Worker:
    """A daemon thread that runs an event loop until it is closed."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.loop = asyncio.new_event_loop()
        self._submitted: set[Future[Any]] = set()
        self.unfinished: set[asyncio.Task[Any]] = set()  # kept, or else the garbage collector complains of them
        self.thread = threading.Thread(target=self._run, name="flowgpt_magic", daemon=True)
        self.thread.start()

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        try:
            self.loop.run_forever()
        finally:
            self.loop.close()

    @property
    def alive(self) -> bool:
        """Can the worker run anything? After a fork its object exists, but its thread does not."""
        return self.pid == os.getpid() and self.thread.is_alive() and not self.loop.is_closed()

    def submit(self, coroutine: Coroutine[Any, Any, T]) -> Future[T]:
        """Start ``coroutine`` on the worker's loop; cancelling the future cancels its task."""
        future = asyncio.run_coroutine_threadsafe(coroutine, self.loop)
        self._submitted.add(future)  # and with it the task, which a loop holds only weakly
        future.add_done_callback(self._submitted.discard)
        return future

    def close(self) -> None:
        """Cancel all tasks, let them close their connections, and end the thread.

        If a task does not react to its cancellation, the thread keeps running until the process ends, because closing a
        loop with a running task prints a page of warnings.
        """
        if not self.alive:
            return
        with suppress(FutureTimeoutError):
            if self.submit(self._wind_down()).result(CLOSE_TIMEOUT):
                self.thread.join(CLOSE_TIMEOUT)

    async def _wind_down(self) -> bool:
        """Cancel all tasks and stop the loop; return whether all of them have ended."""
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in others:
            task.cancel()
        if others:
            _done, self.unfinished = await asyncio.wait(others, timeout=CLOSE_TIMEOUT / 2)
        if self.unfinished:
            return False
        await self.loop.shutdown_asyncgens()
        self.loop.call_soon(self.loop.stop)
        return True


_workers: list[Worker] = []  # at most one that is alive: the loop every reply of this process runs on
_starting = threading.Lock()


def worker() -> Worker:
    """The worker of this process, started on first use."""
    known = _workers[-1:]
    return known[0] if known and known[0].alive else whole(_started_worker)


def _started_worker() -> Worker:
    with _starting:
        if not (_workers and _workers[-1].alive):
            _workers[:] = [Worker()]
        return _workers[-1]


def _forget_worker() -> None:
    """In a forked child, neither the worker's thread nor a thread that holds the lock exists."""
    global _starting
    _starting = threading.Lock()
    _workers.clear()


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_forget_worker)


@atexit.register
def close_worker() -> None:
    """End the worker's thread at exit, because open connections print a page of warnings."""
    while _workers:
        _workers.pop().close()


def wait(future: Future[T]) -> T:
    """Wait for the result of ``future``. An interrupt ends the wait and cancels the future."""
    try:
        while True:
            try:
                return future.result(TICK)
            except FutureTimeoutError:
                if future.done():  # with a timeout of its own, or in the moment after ours
                    return future.result()
    finally:
        future.cancel()


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run ``coroutine`` on the worker and return its result, with or without a running loop in this thread."""
    return wait(worker().submit(coroutine))


def iterate(source: Callable[[], AsyncGenerator[T, None]]) -> Iterator[T]:
    """The items of an async generator as they arrive, for synchronous code.

    ``source`` makes the async generator, which runs on the worker. Closing this generator early cancels the task that
    reads the async one, which closes its connection.
    """
    arrived: queue.SimpleQueue[T | Future[None]] = queue.SimpleQueue()

    async def read() -> None:
        async with aclosing(source()) as items:
            async for item in items:
                arrived.put(item)

    future = worker().submit(read())
    future.add_done_callback(arrived.put)
    try:
        while True:
            try:
                item = arrived.get(timeout=TICK)
            except queue.Empty:
                continue
            if item is future:
                future.result()
                return
            yield item  # type: ignore[misc]  # only the future itself is no item
    finally:
        future.cancel()


def apart(work: Callable[[], T]) -> Future[T]:
    """Run ``work`` on its own thread, in the caller's context, so that no interrupt stops it halfway.

    Raises ``RuntimeError`` while the interpreter shuts down.
    """
    done: Future[T] = Future()
    context = copy_context()

    def run() -> None:
        try:
            done.set_result(context.run(work))
        except BaseException as error:  # noqa: BLE001 - whoever waits for it gets it
            done.set_exception(error)

    threading.Thread(target=run, name="flowgpt_magic step", daemon=True).start()
    return done


def whole(work: Callable[[], T], patience: float = math.inf) -> T:
    """What ``work`` returns or raises. An interrupt ends the wait, but not the work.

    Only the main thread can be interrupted; on another thread ``work`` is called directly. After ``patience`` seconds
    the wait raises ``concurrent.futures.TimeoutError``, and the work continues.
    """
    if threading.current_thread() is not threading.main_thread():
        return work()
    try:
        done = apart(work)
    except RuntimeError:  # the interpreter shuts down and starts no more threads
        return work()
    deadline = time.monotonic() + patience
    while not done.done() and (left := deadline - time.monotonic()) > 0:
        with suppress(FutureTimeoutError):
            done.exception(min(left, TICK))
    return done.result(0)


def wholly(work: Callable[P, T]) -> Callable[P, T]:
    """A function that either does all of ``work`` or, interrupted before it begins, nothing: see ``whole``.

    It is called without a lock that ``work`` needs: that runs on another thread.
    """

    @wraps(work)
    def call(*args: P.args, **named: P.kwargs) -> T:
        return whole(partial(work, *args, **named))

    return call


def on_interrupt(first: Callable[[], object], body: Callable[[], T]) -> T:
    """Call ``body``; meanwhile the first interrupt calls ``first``, the second raises ``KeyboardInterrupt`` at once.

    Afterwards interrupts do what they did before, wherever this was interrupted. Signals reach the main thread only;
    elsewhere (a subshell, a widget's handler) nothing is changed.
    """
    before = signal.getsignal(signal.SIGINT)
    # A handler that was not set from Python could not be put back.
    if threading.current_thread() is not threading.main_thread() or before is None:
        return body()
    seen = 0

    def handle(_number: int, _frame: FrameType | None) -> None:
        nonlocal seen
        seen += 1
        if seen > 1:
            signal.signal(signal.SIGINT, before)  # this may interrupt the line below that does it
            raise KeyboardInterrupt
        first()

    try:
        signal.signal(signal.SIGINT, handle)
        return body()
    finally:
        signal.signal(signal.SIGINT, before)

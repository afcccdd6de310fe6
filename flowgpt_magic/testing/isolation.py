"""Run async code on an event loop of its own, and record what it leaves behind.

The loop runs on another thread, so that it also works in a notebook, where a loop is running already.
"""

from __future__ import annotations

import asyncio
import gc
import os
import queue
import sys
import threading
import time
import warnings
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

from flowgpt_magic.messages import notices_to

T = TypeVar("T")

WATCH_INTERVAL = 0.01  # seconds between two checks that the loop runs
GRACE = 0.5  # seconds for cancelled tasks and threads to end
LEAK_THRESHOLD = 3  # so many more threads or files than after the first run are a leak


class LoopBlockedError(Exception):
    """The code blocks the event loop."""


@dataclass
class IsolatedRuns:
    """Runs of async code, each on an event loop of its own, and what was observed in all of them."""

    leftovers: dict[str, str] = field(default_factory=dict)  # what was left behind, with the situation
    longest_block: float = 0.0  # seconds that the loop was blocked; not in the first run, which imports and connects
    count: int = 0
    threads: set[threading.Thread] = field(default_factory=set)
    files: int = 0

    def run(self, work: Callable[[], Awaitable[T]], situation: str, limit: float) -> T:
        """Return what ``work`` returns on a new loop; ``situation`` describes the run in ``leftovers``.

        Raises what ``work`` raises, and ``LoopBlockedError`` after ``limit`` seconds.
        """
        before = set(threading.enumerate())
        ended: queue.SimpleQueue[tuple[Any, BaseException | None]] = queue.SimpleQueue()
        run = _IsolatedRun(work, ended)
        thread = threading.Thread(target=run.run, name="provider contract", daemon=True)
        thread.start()
        try:
            result, error = ended.get(timeout=limit)
        except queue.Empty:
            raise LoopBlockedError from None
        thread.join(2 * GRACE)
        if thread.is_alive():
            run.leftovers.append("a task that does not end when it is cancelled")
        self._record(run, situation, set(threading.enumerate()) - before - {thread})
        if error is not None:
            raise error
        return result  # type: ignore[no-any-return]  # what work returned

    def _record(self, run: _IsolatedRun, situation: str, threads: set[threading.Thread]) -> None:
        for what in run.leftovers:
            self.leftovers.setdefault(what, situation)
        if self.count:
            self.longest_block = max(self.longest_block, run.longest_block)
            self.threads |= threads
        else:
            self.files = open_files()
        self.count += 1

    def leaks(self) -> Iterator[str]:
        """What every run leaves more of: threads and open files."""
        for thread in self.threads:
            thread.join(GRACE)
        alive = [thread.name for thread in self.threads if thread.is_alive()]
        if len(alive) >= LEAK_THRESHOLD:
            yield f"{len(alive)} threads ({', '.join(sorted(alive)[:LEAK_THRESHOLD])}, …)"
        if (more := open_files() - self.files) >= LEAK_THRESHOLD:
            yield f"{more} open files or connections"


class _IsolatedRun:
    def __init__(
        self, work: Callable[[], Awaitable[Any]], ended: queue.SimpleQueue[tuple[Any, BaseException | None]]
    ) -> None:
        self._work = work
        self._ended = ended
        self.leftovers: list[str] = []
        self.longest_block = 0.0

    def run(self) -> None:
        try:
            asyncio.run(self._main())
        except BaseException as error:  # noqa: BLE001 - reported if nothing was reported before
            self._ended.put((None, error))

    async def _main(self) -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _loop, context: self.leftovers.append(str(context.get("message", context))))
        hooks = sys.get_asyncgen_hooks()
        finalizer = hooks.finalizer or (lambda _generator: None)

        def left_to_the_collector(generator: AsyncGenerator[Any, Any]) -> None:
            name = getattr(generator, "__qualname__", "")
            self.leftovers.append(f"the async generator {name}, left to the garbage collector")
            finalizer(generator)

        sys.set_asyncgen_hooks(finalizer=left_to_the_collector)
        watch = asyncio.create_task(self._watch())
        await asyncio.sleep(0)  # it has started
        result, error = None, None
        try:
            with notices_to(lambda _notice: None):
                result = await self._work()
        except BaseException as raised:  # noqa: BLE001 - passed on to the caller
            error = raised
        watch.cancel()
        await self._collect_tasks(watch)
        self._ended.put((result, error))

    async def _collect_tasks(self, own: asyncio.Task[None]) -> None:
        for _ in range(5):
            await asyncio.sleep(0)
        gc.collect(1)  # the objects of this run are young
        others = asyncio.all_tasks() - {own, asyncio.current_task()}
        if others:
            _done, others = await asyncio.wait(others, timeout=GRACE)
        self.leftovers += [f"the task {getattr(task.get_coro(), '__qualname__', task.get_name())}" for task in others]

    async def _watch(self) -> None:
        while True:
            before = time.perf_counter()
            try:
                await asyncio.sleep(WATCH_INTERVAL)
            finally:  # also at the end of the run, when a tick may be overdue
                self.longest_block = max(self.longest_block, time.perf_counter() - before - WATCH_INTERVAL)


def open_files() -> int:
    """The number of files and connections that this process has open; 0 if the system does not tell."""
    try:
        return len(os.listdir("/dev/fd"))
    except OSError:
        return 0


@contextmanager
def interpreter_warnings() -> Iterator[list[str]]:
    """Collect the interpreter's warnings inside the block: what was never closed or awaited, and unraisable errors.

    Other warnings are passed on at the end.
    """
    gc.collect()  # leftovers of other code are not reported
    complaints: list[str] = []
    before = sys.unraisablehook
    sys.unraisablehook = lambda error: complaints.append(f"{error.err_msg or 'unraisable error'}: {error.exc_value!r}")
    try:
        with warnings.catch_warnings(record=True) as records:
            warnings.simplefilter("always")
            yield complaints
            gc.collect()
    finally:
        sys.unraisablehook = before
    for record in records:
        if issubclass(record.category, ResourceWarning) or "never awaited" in str(record.message):
            complaints.append(str(record.message))
        else:
            warnings.warn_explicit(record.message, record.category, record.filename, record.lineno)

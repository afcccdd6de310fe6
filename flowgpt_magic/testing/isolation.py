"""Run a piece of async code on an event loop of its own, and note what it leaves behind.

For the contract test of a provider, which may be called from a script, from a test of any kind and from a notebook
whose own loop runs: the loop is another thread's.
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

BEAT = 0.01  # seconds between two beats of the loop
GRACE = 0.5  # seconds that what was cancelled may take to end
LEAK = 3  # as many threads or files more than after the first trial were not opened once and kept


class StuckError(Exception):
    """The code did not give the event loop back."""


@dataclass
class Trials:
    """What was seen in all trials: what was left behind, by what it is, and the longest time that nothing else ran."""

    left: dict[str, str] = field(default_factory=dict)
    longest_block: float = 0.0  # seconds; the first trial, which imports and connects for the first time, not counted
    done: int = 0
    threads: set[threading.Thread] = field(default_factory=set)
    files: int = 0

    def run(self, work: Callable[[], Awaitable[T]], situation: str, limit: float) -> T:
        """What ``work`` returns or raises, on a new loop; ``situation`` is for what it leaves behind.

        Raises ``StuckError`` after ``limit`` seconds.
        """
        before = set(threading.enumerate())
        ended: queue.SimpleQueue[tuple[Any, BaseException | None]] = queue.SimpleQueue()
        trial = _Trial(work, ended)
        thread = threading.Thread(target=trial.run, name="trial of a provider", daemon=True)
        thread.start()
        try:
            result, error = ended.get(timeout=limit)
        except queue.Empty:
            raise StuckError from None
        thread.join(2 * GRACE)
        if thread.is_alive():
            trial.left.append("a task that does not end when it is cancelled")
        self._note(trial, situation, set(threading.enumerate()) - before - {thread})
        if error is not None:
            raise error
        return result  # type: ignore[no-any-return]  # what work returned

    def _note(self, trial: _Trial, situation: str, threads: set[threading.Thread]) -> None:
        for each in trial.left:
            self.left.setdefault(each, situation)
        if self.done:
            self.longest_block = max(self.longest_block, trial.longest_block)
            self.threads |= threads
        else:
            self.files = open_files()
        self.done += 1

    def leaks(self) -> Iterator[str]:
        """What each trial left a little more of."""
        for thread in self.threads:
            thread.join(GRACE)
        alive = [thread.name for thread in self.threads if thread.is_alive()]
        if len(alive) >= LEAK:
            yield f"{len(alive)} threads ({', '.join(sorted(alive)[:LEAK])}, …)"
        if (more := open_files() - self.files) >= LEAK:
            yield f"{more} open files or connections"


class _Trial:
    """One run."""

    def __init__(
        self, work: Callable[[], Awaitable[Any]], ended: queue.SimpleQueue[tuple[Any, BaseException | None]]
    ) -> None:
        self._work = work
        self._ended = ended
        self.left: list[str] = []
        self.longest_block = 0.0

    def run(self) -> None:
        """The whole life of the loop."""
        try:
            asyncio.run(self._main())
        except BaseException as error:  # noqa: BLE001 - what stops a loop from inside; seen if nothing came before it
            self._ended.put((None, error))

    async def _main(self) -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _loop, about: self.left.append(str(about.get("message", about))))
        hooks = sys.get_asyncgen_hooks()
        finalizer = hooks.finalizer or (lambda _generator: None)

        def left_to_the_collector(generator: AsyncGenerator[Any, Any]) -> None:
            name = getattr(generator, "__qualname__", "")
            self.left.append(f"the async generator {name}, left to the garbage collector")
            finalizer(generator)

        sys.set_asyncgen_hooks(finalizer=left_to_the_collector)
        beating = asyncio.create_task(self._beat())
        await asyncio.sleep(0)  # it has begun
        result, error = None, None
        try:
            with notices_to(lambda _notice: None):
                result = await self._work()
        except BaseException as raised:  # noqa: BLE001 - whoever waits for it gets it
            error = raised
        beating.cancel()
        await self._look_around(beating)
        self._ended.put((result, error))

    async def _look_around(self, own: asyncio.Task[None]) -> None:
        for _ in range(5):
            await asyncio.sleep(0)
        gc.collect(1)  # what this trial made is young
        others = asyncio.all_tasks() - {own, asyncio.current_task()}
        if others:
            _done, others = await asyncio.wait(others, timeout=GRACE)
        self.left += [f"the task {getattr(task.get_coro(), '__qualname__', task.get_name())}" for task in others]

    async def _beat(self) -> None:
        while True:
            before = time.perf_counter()
            try:
                await asyncio.sleep(BEAT)
            finally:  # also at the end of the trial, which may come with a beat overdue
                self.longest_block = max(self.longest_block, time.perf_counter() - before - BEAT)


def open_files() -> int:
    """How many files and connections this process has open; 0 where the system does not tell."""
    try:
        return len(os.listdir("/dev/fd"))
    except OSError:
        return 0


@contextmanager
def complaints() -> Iterator[list[str]]:
    """What the interpreter complains of while this lasts: what was never closed or awaited, and failed unseen.

    Other warnings are passed on afterwards.
    """
    gc.collect()  # what others have left behind is not ours to tell
    found: list[str] = []
    before = sys.unraisablehook
    sys.unraisablehook = lambda about: found.append(f"{about.err_msg or 'an error nobody saw'}: {about.exc_value!r}")
    try:
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            yield found
            gc.collect()
    finally:
        sys.unraisablehook = before
    for each in warned:
        if issubclass(each.category, ResourceWarning) or "never awaited" in str(each.message):
            found.append(str(each.message))
        else:
            warnings.warn_explicit(each.message, each.category, each.filename, each.lineno)

"""Read a batch on the caller's thread, from synchronous and from async code.

The prompts are fetched on that thread too: a generator may use a database connection that is bound to it, or print.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError  # the built-in one from Python 3.11 on
from contextlib import aclosing
from types import TracebackType
from typing import Any

from flowgpt_magic import bridge
from flowgpt_magic.batch.items import EMPTY_BATCH, Item, Items
from flowgpt_magic.batch.progress import ProgressBar
from flowgpt_magic.batch.results import Result
from flowgpt_magic.batch.run import Run
from flowgpt_magic.errors import PromptError, ReplyInterrupted
from flowgpt_magic.tables import Table

FETCH_TIME = 0.02  # seconds for which prompts are fetched between two looks at the results
READ_INTERVAL = 0.1  # seconds between two updates of the progress
LEAVE_TIMEOUT = 0.15  # seconds that a reader who leaves early waits until the prompts in flight are recorded


class BatchReader:
    """Reads ``run`` to its end; leaving early stops the run.

    Args:
        run: the run to read.
        items: the prompts.
        bar: shows the progress.
        in_loop: is the reader a coroutine?
        message: returns the error text after an interrupt.
        ending: returns the summary for the bar's place.
    """

    def __init__(
        self,
        run: Run,
        items: Items,
        bar: ProgressBar,
        *,
        in_loop: bool,
        message: Callable[[], str],
        ending: Callable[[], Table],
    ) -> None:
        self.over = False
        self._run, self._items, self._bar = run, items, bar
        self._in_loop, self._message, self._ending = in_loop, message, ending
        self._source: Iterator[Item] | None = None
        self._feeding: Future[None] | asyncio.Task[None] | None = None
        self._fetched = 0
        self._last = False  # are all prompts fetched?
        self._interrupted = 0.0  # monotonic time

    def __enter__(self) -> BatchReader:
        try:
            self._begin()
        except BaseException:  # interrupts included: nobody reads the run
            self._run.stop()
            raise
        return self

    def _begin(self) -> None:
        self._run.start()
        if self._items.walks and not (self._in_loop and self._items.flows):
            self._source = iter(self._items)
        elif self._in_loop:
            self._feeding = asyncio.create_task(offer_items(self._items, self._offer_from_here))
        else:
            self._feeding = self._run.submit(offer_items(self._items, self._run.offer))
        self.look()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._run.stop()
        if self._feeding is not None:
            self._feeding.cancel()
        if not self._in_loop:
            deadline = time.monotonic() + LEAVE_TIMEOUT
            while not self._run.ended and time.monotonic() < deadline:
                time.sleep(0.001)
        self.look()
        self._bar.close(self._ending)
        if isinstance(error, KeyboardInterrupt):
            raise ReplyInterrupted(self._message()) from None

    def look(self) -> None:
        """Show the progress."""
        self._bar.show(self._run.counts, self._run.pause)

    def step(self) -> Coroutine[Any, Any, list[Result]]:
        """Fetch more prompts if there is room; returns a coroutine for the worker that brings the next results."""
        if self._source is None:
            return self._run.take()
        items: list[Item] = []
        error: BaseException | None = None
        until, room = time.monotonic() + FETCH_TIME, 0 if self._last else self._run.room
        try:
            while len(items) < room and time.monotonic() < until:
                items.append(next(self._source))
        except StopIteration:
            self._last = True
            error = None if self._fetched or items else PromptError(EMPTY_BATCH)
        except Exception as failure:  # noqa: BLE001 # the user's code: raised when the prompts before it are done
            self._last, error = True, failure
        self._fetched += len(items)
        return self._run.take(items, last=self._last, error=error, hungry=not self._last)

    def taken(self, results: list[Result]) -> list[Result]:
        """Take over the results of a ``step``."""
        self.over = self._run.ended and not results
        self.look()
        return results

    def wait(self, step: Coroutine[Any, Any, list[Result]]) -> list[Result]:
        """The results of ``step``. An interrupt gets through at once."""
        future = self._run.submit(step)
        results = bridge.on_interrupt(self._interrupt, lambda: self._result(future))
        if self._interrupted:
            raise KeyboardInterrupt
        return results

    def _result(self, future: Future[list[Result]]) -> list[Result]:
        while True:
            try:
                return future.result(bridge.TICK)
            except FutureTimeoutError:
                if future.done():
                    return future.result()
                self.look()
                if self._interrupted and time.monotonic() - self._interrupted > LEAVE_TIMEOUT:  # the loop is busy
                    future.cancel()
                    return []

    def _interrupt(self) -> None:
        self._interrupted = time.monotonic()
        self._run.stop()

    async def wait_async(self, step: Coroutine[Any, Any, list[Result]]) -> list[Result]:
        """The results of ``step``, for a coroutine on any loop."""
        future = asyncio.wrap_future(self._run.submit(step))
        try:
            while not (await asyncio.wait({future}, timeout=READ_INTERVAL))[0]:
                self.look()
            return future.result()
        finally:
            future.cancel()

    async def _offer_from_here(
        self, items: Sequence[Item], *, last: bool = False, error: BaseException | None = None
    ) -> None:
        await asyncio.wrap_future(self._run.submit(self._run.offer(items, last=last, error=error)))


async def offer_items(items: Items, offer: Callable[..., Awaitable[None]]) -> None:
    """Offer the items of an async source, each when there is room; then the end, or the error."""
    error: BaseException | None = PromptError(EMPTY_BATCH)
    try:
        async with aclosing(items.flow()) as flow:
            async for item in flow:
                error = None
                await offer([item])
    except Exception as failure:  # noqa: BLE001 # the user's code: raised when the prompts before it are done
        error = failure
    await offer([], last=True, error=error)

"""Read a batch from its owner's own thread, in code that is async and in code that is not.

The prompts are fetched there too: a generator may read a database that is one thread's alone, or print.
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
from flowgpt_magic.batch.items import NOTHING, Item, Items
from flowgpt_magic.batch.progress import Bar
from flowgpt_magic.batch.results import Result
from flowgpt_magic.batch.run import Run
from flowgpt_magic.errors import PromptError, ReplyInterrupted
from flowgpt_magic.tables import Table

BITE = 0.02  # seconds for which prompts are fetched before results are looked at again
READ_INTERVAL = 0.1  # seconds between two looks at how far it is
LEAVE_TIMEOUT = 0.15  # seconds that whoever leaves early waits for what is under way to be put down as it is


class Reading:
    """One reader's way through ``run``; leaving it early stops the run.

    ``in_loop`` says that the reader is a coroutine. ``told`` is what an interrupt leaves, in words.
    """

    def __init__(
        self,
        run: Run,
        items: Items,
        bar: Bar,
        *,
        in_loop: bool,
        told: Callable[[], str],
        ending: Callable[[], Table],
    ) -> None:
        self.over = False
        self._run, self._items, self._bar = run, items, bar
        self._in_loop, self._told, self._ending = in_loop, told, ending
        self._source: Iterator[Item] | None = None
        self._feeding: Future[None] | asyncio.Task[None] | None = None
        self._fetched = 0
        self._last = False  # has everything been fetched?
        self._interrupted = 0.0  # when

    def __enter__(self) -> Reading:
        try:
            self._begin()
        except BaseException:  # an interrupt among them: nobody reads what is asked
            self._run.stop()
            raise
        return self

    def _begin(self) -> None:
        self._run.start()
        if self._items.walks and not (self._in_loop and self._items.flows):
            self._source = iter(self._items)
        elif self._in_loop:
            self._feeding = asyncio.create_task(feed(self._items, self._offer_from_here))
        else:
            self._feeding = self._run.submit(feed(self._items, self._run.offer))
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
            raise ReplyInterrupted(self._told()) from None

    def look(self) -> None:
        """Show how far it is."""
        self._bar.show(self._run.tally, self._run.pause)

    def step(self) -> Coroutine[Any, Any, list[Result]]:
        """Fetch more prompts if they are wanted; returns what brings the next results, on the worker's loop."""
        if self._source is None:
            return self._run.take()
        items: list[Item] = []
        error: BaseException | None = None
        until, room = time.monotonic() + BITE, 0 if self._last else self._run.room
        try:
            while len(items) < room and time.monotonic() < until:
                items.append(next(self._source))
        except StopIteration:
            self._last = True
            error = None if self._fetched or items else PromptError(NOTHING)
        except Exception as failure:  # noqa: BLE001 # the user's own code: raised when what came before it is done
            self._last, error = True, failure
        self._fetched += len(items)
        return self._run.take(items, last=self._last, error=error, hungry=not self._last)

    def taken(self, results: list[Result]) -> list[Result]:
        """``results``, which ``step`` has brought."""
        self.over = self._run.ended and not results
        self.look()
        return results

    def wait(self, step: Coroutine[Any, Any, list[Result]]) -> list[Result]:
        """What ``step`` brings, waited for so that an interrupt gets through at once."""
        future = self._run.submit(step)
        found = bridge.on_interrupt(self._interrupt, lambda: self._result(future))
        if self._interrupted:
            raise KeyboardInterrupt
        return found

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
        """The same for a coroutine, on whichever loop."""
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


async def feed(items: Items, offer: Callable[..., Awaitable[None]]) -> None:
    """Offer the items of what flows, each as there is room for it; then that there are no more, or why."""
    error: BaseException | None = PromptError(NOTHING)
    try:
        async with aclosing(items.flow()) as flow:
            async for item in flow:
                error = None
                await offer([item])
    except Exception as failure:  # noqa: BLE001 # the user's own code: raised when what came before it is done
        error = failure
    await offer([], last=True, error=error)

"""Ask the items of a batch: on the worker's loop, so many at once, whatever becomes of each.

Items are handed over as there is room for them, and results are taken as they are read. Whoever reads slowly, or has a
million items, so holds only a few of either.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable, Coroutine, Mapping, Sequence
from concurrent.futures import Future
from contextlib import aclosing, suppress
from dataclasses import dataclass
from typing import Any, Literal, TypeVar, cast

from flowgpt_magic import bridge
from flowgpt_magic.answers import checked
from flowgpt_magic.attempts import LONGEST_WAIT, listening, pause_before
from flowgpt_magic.batch_items import Item
from flowgpt_magic.batch_results import Result, Tally
from flowgpt_magic.batch_turns import Flight, Turns
from flowgpt_magic.errors import (
    AuthenticationError,
    BatchError,
    FlowGptError,
    MissingKeyError,
    ModelNotSupportedError,
    NotInstalledError,
    PermissionDeniedError,
    ProviderConnectionError,
    ProviderError,
    ProviderNotFoundError,
    ProxyError,
    QuotaError,
    RateLimitError,
    SettingError,
)
from flowgpt_magic.extras import Extras
from flowgpt_magic.messages import Again, Message, Status, Usage, Waiting, notices_to
from flowgpt_magic.pacing import Pace
from flowgpt_magic.plain_text import counted
from flowgpt_magic.providers.together import Together
from flowgpt_magic.reply import Reply
from flowgpt_magic.tracing import Watch

T = TypeVar("T")
Order = Literal["in order", "as completed", "at the end"]

LOOKED_UP = 128  # items whose requests are looked up in the history at a time
LEAST_AHEAD = 64  # items that are handed over before they can be asked
BLOCKED = 1000  # results that wait at most for one that stands before them
GATHER = 0.002  # seconds in which results are gathered for their reader: waking it for each costs more than the result
SAVING = 0.25  # seconds within which what has ended is saved
GROWTH = 1.0  # seconds after which what has come of an item is saved, and after which it is saved again
STOP_AFTER = 10  # items in a row that fail for a reason that all would fail for
FOR_ALL = (
    *(AuthenticationError, PermissionDeniedError, ProviderConnectionError, QuotaError, MissingKeyError),
    *(NotInstalledError, ModelNotSupportedError, ProviderNotFoundError, ProxyError, SettingError),
)


@dataclass(frozen=True)
class Limits:
    """How many items are asked at once, how many requests go in a minute, how often one that failed is asked again.

    With a ``pace`` its limit holds for all runs that share it, in place of ``per_minute``.
    """

    concurrency: int
    per_minute: float | None
    retries: int
    pace: Pace | None = None


class Run:
    """One run through a batch: begun by ``start``, and all on the worker's loop but where it says so.

    With ``keep``, each result stays in ``results`` by its index. Results are read in this ``order``, with ``take``.
    """

    def __init__(
        self, turns: Turns, limits: Limits, order: Order, *, keep: bool, on_end: Callable[[], object] = lambda: None
    ) -> None:
        self.results: dict[int, Result] = {}
        self.tally = Tally()
        self.status: Status = "streaming"
        self.error: BaseException | None = None
        self._turns, self._limits, self._order, self._keep, self._on_end = turns, limits, order, keep, on_end
        self._ahead = max(LEAST_AHEAD, 2 * limits.concurrency)
        self._items: deque[Item] = deque()  # handed over
        self._all_here = False  # are there no more?
        self._looking: asyncio.Task[None] | None = None
        self._waiting: deque[Flight] = deque()  # to be asked
        self._flights: dict[int, Flight] = {}  # under way
        self._blocked: dict[int, Result] = {}  # ended before one that stands before them
        self._next = 0  # the index of the result that is due
        self._ready: deque[Result] = deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self._changed, self._over = asyncio.Event(), asyncio.Event()
        self._pace = limits.pace or Pace(limits.per_minute)
        self._together = Together()
        self._in_a_row = 0
        self._worker: bridge.Worker | None = None
        self._begun_at = self._ended_at = 0.0

    @property
    def ended(self) -> bool:
        """Will nothing more be asked?"""
        return self.status != "streaming"

    @property
    def pausing(self) -> float:
        """Seconds that are left of the pause the server has asked for."""
        return self._pace.pausing

    @property
    def seconds(self) -> float:
        """How long it has been running, or ran."""
        return (self._ended_at or time.monotonic()) - self._begun_at if self._begun_at else 0.0

    # From any thread

    def start(self) -> None:
        """Begin, on the worker's loop; nothing happens there before something is handed over."""
        self._begun_at = time.monotonic()
        self._worker = bridge.worker()
        self._worker.submit(self._live())

    def submit(self, coroutine: Coroutine[Any, Any, T]) -> Future[T]:
        """Run one of the coroutines below."""
        if self._worker is None:
            coroutine.close()
            raise BatchError("this batch was not begun")
        return self._worker.submit(coroutine)

    def stop(self) -> None:
        """Stop what is under way, and keep it as it is; no effect after the end."""
        if self._worker is None:
            self._end("cancelled")
            return
        with suppress(RuntimeError):  # the loop is closed, and everything with it
            self._worker.loop.call_soon_threadsafe(self._end, "cancelled")

    async def _live(self) -> None:
        """From the first item to when everything is closed."""
        saving = asyncio.create_task(self._save())
        try:
            await self._over.wait()
        finally:
            self._end("cancelled")
            saving.cancel()
            while self._tasks:  # they close their connections
                await asyncio.wait(self._tasks)
            await self._together.close()

    # Items in, results out

    @property
    def room(self) -> int:
        """How many more items would be taken now."""
        if self.ended or self._all_here or self._held_up:
            return 0
        return max(0, self._ahead - len(self._items) - len(self._waiting))

    @property
    def _held_up(self) -> bool:
        """Has its reader enough to read, or is too much waiting for one slow item?"""
        return len(self._ready) >= 2 * self._limits.concurrency or len(self._blocked) >= BLOCKED

    async def offer(self, items: Sequence[Item], *, last: bool = False, error: BaseException | None = None) -> None:
        """Take ``items`` over, and return when there is room for more.

        ``last`` says that there are no more, ``error`` that this is because of a failure.
        """
        self._take_over(items, last=last, error=error)
        while not (self.room or self.ended or last):
            await self._change()

    async def take(
        self,
        items: Sequence[Item] = (),
        *,
        last: bool = False,
        error: BaseException | None = None,
        hungry: bool = False,
    ) -> list[Result]:
        """The results that can be read; waits for one. Empty at the end, or, if ``hungry``, when items are wanted.

        ``items`` are taken over first, as by ``offer``.
        """
        self._take_over(items, last=last, error=error)
        while not (self._ready or self.ended or (hungry and self.room > self._ahead // 2)):
            await self._change()
        if self._ready and not self.ended and not self._held_up:
            await asyncio.sleep(GATHER)
        found = list(self._ready)
        self._ready.clear()
        self._go_on()
        return found

    async def _change(self) -> None:
        self._changed.clear()
        await self._changed.wait()

    def _take_over(self, items: Sequence[Item], *, last: bool, error: BaseException | None) -> None:
        self._items.extend(items)
        self._all_here = self._all_here or last
        self.error = self.error or error
        self._go_on()

    def _go_on(self) -> None:
        """Begin whatever can be begun."""
        if self.ended:
            return
        if self._items and self._looking is None and len(self._waiting) < self._limits.concurrency:
            self._looking = self._begin(self._look_up())
        while self._waiting and len(self._flights) < self._limits.concurrency and not self._held_up:
            flight = self._waiting.popleft()
            self._flights[flight.item.index] = flight
            flight.task = self._begin(self._fly(flight))
        busy = self._items or self._looking or self._waiting or self._flights
        if self._all_here and not busy:
            self._end("complete")
        self._changed.set()

    def _begin(self, coroutine: Any) -> asyncio.Task[None]:
        task: asyncio.Task[None] = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._task_over)
        return task

    def _task_over(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._end("failed", error)

    async def _look_up(self) -> None:
        """Find out which of the next items were answered before; the others are going to be asked."""
        try:
            flights: list[Flight] = []
            while self._items and len(flights) < LOOKED_UP:
                item = self._items.popleft()
                if item.error is None:
                    flights.append(self._turns.flight(item))
                else:
                    self._put(unasked(item, "failed"))
            known: Mapping[int, Result] = {}
            if self._turns.looks and flights:
                known = await asyncio.to_thread(self._turns.known, flights)
            for flight in flights:
                result = known.get(flight.item.index)
                if result is None:
                    self._waiting.append(flight)
                else:
                    self._put(result)
        except FlowGptError as error:
            self._end("failed", error)
        finally:
            self._looking = None
        self._go_on()

    def _keep_result(self, result: Result) -> None:
        self.tally.add(result)
        if self._keep:
            self.results[result.index] = result

    def _put(self, result: Result) -> None:
        """A result is there."""
        if self.ended:
            return
        self._keep_result(result)
        if self._order == "as completed":
            self._ready.append(result)
        elif self._order == "in order":
            self._blocked[result.index] = result
            while self._next in self._blocked:
                self._ready.append(self._blocked.pop(self._next))
                self._next += 1

    # Asking

    async def _fly(self, flight: Flight) -> None:
        self._together.join()
        watch = Watch(flight.request)
        reply = cast("Reply", flight)  # as far as the log and a tracer look at it
        watch.begin(reply)
        status: Status = "cancelled"
        data = None
        try:
            with notices_to(flight.notices.append):
                await self._ask(flight, watch)
                data, status = self._turns.value_of(flight), "complete"
        except asyncio.CancelledError:
            if self.ended:
                return
            flight.error = ProviderError(f"{flight.request.target.provider} stopped by itself")
            status = "failed"
        except SystemExit:  # it would end the worker's thread, and everything else with it
            flight.error, status = ProviderError(f"{flight.request.target.provider} tried to end the process"), "failed"
        except FlowGptError as error:
            error.__traceback__ = error.__context__ = (
                None  # they hold on to all that was said, for as long as the result
            )
            flight.error, status = error, "failed"
        except Exception as error:  # noqa: BLE001 # a provider may be foreign code: no other item fails by it
            flight.error, status = error, "failed"
        finally:
            watch.end(reply, status)
        self._land(flight, status, data)

    async def _ask(self, flight: Flight, watch: Watch) -> None:
        """Read the whole reply; ask again where that may help."""
        for attempt in range(self._limits.retries + 1):
            try:
                await self._read(flight, watch)
                return
            except ProviderError as error:
                pause = None if isinstance(error, QuotaError) else pause_before(error, attempt)
                if attempt == self._limits.retries or pause is None or self.ended:
                    raise
                flight.notices.append(f"asked again after {type(error).__name__}: {error}")
                self._turns.begin_again(flight, f"{type(error).__name__}: {error}")
            await asyncio.sleep(pause)

    async def _read(self, flight: Flight, watch: Watch) -> None:
        parts, first, count = flight.parts, None, 0
        async with aclosing(self._chunks(flight, watch)) as chunks:
            async for chunk in chunks:
                if isinstance(chunk, str):
                    if first is None:
                        first = time.monotonic() - flight.begun
                    count += 1
                    parts.append(chunk)
                elif isinstance(chunk, Usage):
                    flight.usage = chunk
                elif isinstance(chunk, Extras):
                    flight.extras = chunk
                    flight.notices.extend(chunk.notices)
                elif isinstance(chunk, Again):
                    self._turns.begin_again(flight, chunk.why)
                    parts, first, count = flight.parts, None, 0
                else:
                    raise FlowGptError(
                        f"{flight.request.target.provider} sent {type(chunk).__name__} where text was due"
                    )
        told, seconds = flight.usage, time.monotonic() - flight.begun
        flight.usage = Usage(told.prompt_tokens, told.completion_tokens, told.finish_reason, first, seconds, count)

    def _chunks(self, flight: Flight, watch: Watch) -> AsyncGenerator[str | Usage | Extras | Again | Waiting, None]:
        """The chunks of one reply, or of several where the first ones do not fit the schema."""
        request = flight.request

        def ask(messages: Sequence[Message], further: Mapping[str, Any]) -> AsyncGenerator[str | Usage | Extras, None]:
            return self._once(flight, watch, messages, {**request.parameters, **further})

        if request.schema is None:
            return ask(request.messages, {})
        return checked(ask, request.schema, request.messages, native=request.native, further_tries=self._limits.retries)

    async def _once(
        self, flight: Flight, watch: Watch, messages: Sequence[Message], given: Mapping[str, Any]
    ) -> AsyncGenerator[str | Usage | Extras, None]:
        """The chunks of one request, when it is its turn."""
        await self._pace.turn()
        target, chosen = flight.request.target, flight.request.chosen
        flight.started, flight.begun = time.time(), time.monotonic()
        asked = watch.asking(target.provider_class.create_async_generator(target.model, messages, **given))
        if "read_timeout" in chosen.sources and "read_timeout" not in target.provider_class.settings:
            asked = listening(asked, chosen.read_timeout)
        try:
            async with aclosing(asked) as chunks:
                async for chunk in chunks:
                    yield chunk
        except RateLimitError as error:
            if error.retry_after is not None and error.retry_after <= LONGEST_WAIT:
                self._pace.pause(error.retry_after)  # or else the others would be told the same
            raise

    def _land(self, flight: Flight, status: Status, data: Any) -> None:
        """An item is over."""
        if self.ended:
            return
        del self._flights[flight.item.index]
        self._turns.end(flight, status)
        self._put(flight.result(status, data))
        self._in_a_row = self._in_a_row + 1 if _for_all(flight.error) else 0
        if self._in_a_row >= STOP_AFTER:
            failed = counted(self._in_a_row, "prompt")
            stopped = BatchError(f"{failed} in a row failed, so the others were not asked: {flight.error}")
            stopped.__cause__ = flight.error
            self._end("failed", stopped)
        self._go_on()

    # Saving what grows, and ending

    async def _save(self) -> None:
        """Save what has ended, and what takes long."""
        saved = time.monotonic()
        while True:
            await asyncio.sleep(SAVING)
            self._turns.flush()
            if (now := time.monotonic()) - saved >= GROWTH:
                saved = now
                for flight in self._flights.values():
                    if flight.begun and now - flight.begun >= GROWTH:
                        self._turns.grow(flight)

    def _end(self, status: Status, error: BaseException | None = None) -> None:
        if self.ended:
            return
        for flight in self._flights.values():
            if flight.begun:  # or else it has waited for its turn, and nothing was sent
                self._turns.end(flight, "cancelled")
                self._keep_result(flight.result("cancelled"))
            if flight.task is not None:
                flight.task.cancel()
        self._turns.flush()
        for index in sorted(self._blocked):  # nobody waits any more for what stands before them
            self._ready.append(self._blocked[index])
        self._ended_at = time.monotonic()
        self.error = self.error or error
        self.status = "failed" if self.error is not None and status == "complete" else status
        self._changed.set()
        self._over.set()
        self._on_end()


def _for_all(error: BaseException | None) -> bool:
    """Would all others fail for the same reason?"""
    if isinstance(error, RateLimitError):
        return isinstance(error, QuotaError) or (error.retry_after or 0) > LONGEST_WAIT
    return isinstance(error, FOR_ALL)


def unasked(item: Item, status: Status | None = None) -> Result:
    """The result of an item that nobody was asked about."""
    return Result(item.index, item.label, item.value, item.prompt, status=status, error=item.error)

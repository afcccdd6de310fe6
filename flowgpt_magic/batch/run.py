"""Run a batch on the worker's loop: several prompts at once, each with its own result.

Items are handed over while there is room, and results are taken as they are read. So a slow reader, or a million items,
needs memory for only a few of either.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Coroutine, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, Literal, TypeVar

from flowgpt_magic import bridge
from flowgpt_magic.batch.asking import PromptSender
from flowgpt_magic.batch.cost_limit import CostLimit
from flowgpt_magic.batch.items import Item
from flowgpt_magic.batch.progress import Pause
from flowgpt_magic.batch.queue import PromptQueue
from flowgpt_magic.batch.results import BatchCounts, Result
from flowgpt_magic.batch.server_state import BatchLimits, ServerState
from flowgpt_magic.batch.turns import PromptInFlight, Turns
from flowgpt_magic.errors import BatchError, FlowGptError, ProviderError
from flowgpt_magic.messages import Status, notices_to
from flowgpt_magic.providers.rate_limit_headers import rate_limits_to
from flowgpt_magic.providers.request_group import RequestGroup
from flowgpt_magic.replies.log import logger
from flowgpt_magic.replies.retry import retry_notice
from flowgpt_magic.text import counted

T = TypeVar("T")
Order = Literal["in order", "as completed", "at the end"]

LOOKUP_SIZE = 128  # items that are looked up in the history at once
MIN_AHEAD = 64  # items that are handed over ahead
MAX_BLOCKED = 1000  # results that may wait for an earlier one
GATHER_TIME = 0.002  # seconds for collecting results: waking the reader costs more than a result
SAVE_INTERVAL = 0.25  # seconds between two savings of finished turns
GROW_INTERVAL = 1.0  # seconds between two savings of an unfinished reply
ALARM_DELAY = 0.001  # seconds that the alarm is late, so that its prompt is due


class Run:
    """One run of a batch, started by ``start``. Methods run on the worker's loop unless they say otherwise.

    With ``keep``, each result stays in ``results`` by its index. ``take`` returns results in this ``order``.
    """

    def __init__(
        self,
        turns: Turns,
        limits: BatchLimits,
        order: Order,
        *,
        keep: bool,
        on_end: Callable[[], object] = lambda: None,
    ) -> None:
        self.results: dict[int, Result] = {}
        self.counts = BatchCounts()
        self.status: Status = "streaming"
        self.error: BaseException | None = None
        self._turns, self._limits, self._order, self._keep, self._on_end = turns, limits, order, keep, on_end
        self._ahead = max(MIN_AHEAD, 2 * limits.concurrency)
        self._items: deque[Item] = deque()  # handed over, not looked up yet
        self._all_here = False  # were all items handed over?
        self._looking: asyncio.Task[None] | None = None
        self._saving: asyncio.Task[None] | None = None  # the last step, after all replies
        self._queue = PromptQueue()  # to be sent
        self._held: dict[int, PromptInFlight] = {}  # failed, perhaps because of the server
        self._flights: dict[int, PromptInFlight] = {}  # in flight
        self._probe: PromptInFlight | None = None  # the only prompt in flight while the breaker is open
        self._blocked: dict[int, Result] = {}  # finished before an earlier one
        self._next = 0  # the index of the next result in order
        self._ready: deque[Result] = deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self._changed, self._over = asyncio.Event(), asyncio.Event()
        self._server = ServerState(limits, self.counts)
        self._costs = limits.costs or CostLimit()
        self._asking = PromptSender(
            turns, self._server, limits.retries, on_trial=self._look_at_trial, on_discarded=self._costs.spend
        )
        self._alarm: asyncio.TimerHandle | None = None  # wakes the run when a prompt becomes due
        self._together = RequestGroup()
        self._worker: bridge.Worker | None = None
        self._begun_at = self._ended_at = 0.0

    @property
    def ended(self) -> bool:
        """Has the run ended?"""
        return self.status != "streaming"

    @property
    def pause(self) -> Pause | None:
        """The current pause, because the server asks to wait or fails for all."""
        return None if self.ended else self._server.pause

    @property
    def seconds(self) -> float:
        """The running time so far, or in all."""
        return (self._ended_at or time.monotonic()) - self._begun_at if self._begun_at else 0.0

    # From any thread

    def start(self) -> None:
        """Start on the worker's loop, which waits for the first item."""
        self._begun_at = time.monotonic()
        self._worker = bridge.worker()
        self._worker.submit(self._live())

    def submit(self, coroutine: Coroutine[Any, Any, T]) -> Future[T]:
        """Run one of the coroutines below on the worker."""
        if self._worker is None:
            coroutine.close()
            raise BatchError("this batch has not started")
        return self._worker.submit(coroutine)

    def stop(self) -> None:
        """Cancel the prompts in flight, and record them as they are; no effect after the end."""
        if self._worker is None:
            self._end("cancelled")
            return
        with suppress(RuntimeError):  # the loop is closed
            self._worker.loop.call_soon_threadsafe(self._end, "cancelled")

    async def _live(self) -> None:
        """Live from the first item until all connections are closed."""
        saving = asyncio.create_task(self._save())
        try:
            await self._over.wait()
        finally:
            self._end("cancelled")
            saving.cancel()
            while self._tasks:  # they still close their connections
                await asyncio.wait(self._tasks)
            await self._together.close()

    # Items in, results out

    @property
    def room(self) -> int:
        """How many more items may be handed over now."""
        if self.ended or self._all_here or self._held_up:
            return 0
        return max(0, self._ahead - len(self._items) - len(self._queue))

    @property
    def _held_up(self) -> bool:
        """Does the reader have enough to read, or do too many results wait for an earlier one?"""
        return len(self._ready) >= 2 * self._limits.concurrency or len(self._blocked) >= MAX_BLOCKED

    async def offer(self, items: Sequence[Item], *, last: bool = False, error: BaseException | None = None) -> None:
        """Accept ``items``, and return when there is room for more.

        ``last`` means that there are no more, ``error`` why they ended early.
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
        """Wait for a result, and return all that are ready. Empty at the end, or, if ``hungry``, when items are needed.

        ``items`` are accepted first, as by ``offer``.
        """
        self._take_over(items, last=last, error=error)
        while not (self._ready or self.ended or (hungry and self.room > self._ahead // 2)):
            await self._change()
        if self._ready and not self.ended and not self._held_up:
            await asyncio.sleep(GATHER_TIME)
        results = list(self._ready)
        self._ready.clear()
        self._go_on()
        return results

    async def _change(self) -> None:
        self._changed.clear()
        await self._changed.wait()

    def _take_over(self, items: Sequence[Item], *, last: bool, error: BaseException | None) -> None:
        self._items.extend(items)
        self._all_here = self._all_here or last
        self.error = self.error or error
        self._go_on()

    def _go_on(self) -> None:
        """Start everything that may start now."""
        if self.ended:
            return
        if self._items and self._looking is None and len(self._queue.new) < self._limits.concurrency:
            self._looking = self._begin(self._look_up())
        while (flight := self._next_flight()) is not None and self._is_affordable(flight):
            flight.error = None
            self._flights[flight.item.index] = flight
            self._server.begins(flight)
            flight.task = self._begin(self._fly(flight))
        busy = self._items or self._looking or self._queue or self._flights
        if self._all_here and not busy and self._saving is None:
            self._settle_held()
            self._saving = self._begin(self._end_saved())
        self._changed.set()
        self._set_alarm()

    def _next_flight(self) -> PromptInFlight | None:
        """The prompt to send next, if one may go now."""
        if self._server.breaker.open:
            return self._next_probe()
        if len(self._flights) >= self._server.room:
            return None
        # Retries are never held up: later results may wait for them.
        return self._queue.next(with_new=not self._held_up and len(self._queue.again) < self._ahead)

    def _is_affordable(self, flight: PromptInFlight) -> bool:
        """May the prompt be sent within ``max_cost``? Otherwise it waits, or the batch stops."""
        try:
            if self._costs.allows(flight):
                return True
            error = None if self._costs.waits else self._costs.error(flight)
        except BatchError as unknown:
            error = unknown
        self._queue.return_first(flight)
        if error is None:
            self._costs.wait(self._go_on)
        else:
            self._end("failed", error)
        return False

    def _next_probe(self) -> PromptInFlight | None:
        """The prompt to probe the server with, if a probe is due."""
        breaker = self._server.breaker
        if breaker.hopeless or (self._probe is not None and not breaker.due_in and not breaker.left):
            # A reply that is arriving is read to its end.
            if all(flight.received.is_empty for flight in self._flights.values()):
                self._give_up()
            return None
        if breaker.due_in:
            return None
        self._probe = self._queue.probe()
        if self._probe is not None:
            breaker.probes()
        return self._probe

    def _set_alarm(self) -> None:
        """Wake up when the next prompt becomes due."""
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        if self.ended or not self._queue:
            return
        due = self._server.held_for
        if not due and len(self._flights) < self._server.room:
            due = self._queue.due_in or 0.0
        if due:
            self._alarm = asyncio.get_running_loop().call_later(due + ALARM_DELAY, self._go_on)

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
        """Look up the next items in the history; those without a stored reply join the queue."""
        try:
            flights: list[PromptInFlight] = []
            while self._items and len(flights) < LOOKUP_SIZE:
                item = self._items.popleft()
                if item.error is None:
                    flights.append(self._turns.flight(item))
                else:
                    self._put(result_without_request(item, "failed"))
            known: Mapping[int, Result] = {}
            if self._turns.looks and flights:
                known = await asyncio.to_thread(self._turns.known, flights)
            for flight in flights:
                result = known.get(flight.item.index)
                if result is None:
                    self._queue.new.append(flight)
                else:
                    self._put(result)
        except FlowGptError as error:
            self._end("failed", error)
        finally:
            self._looking = None
        self._go_on()

    def _keep_result(self, result: Result) -> None:
        self.counts.add(result)
        if self._keep:
            self.results[result.index] = result

    def _put(self, result: Result) -> None:
        """Deliver a result."""
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

    async def _fly(self, flight: PromptInFlight) -> None:
        """Send a prompt once, and handle the outcome."""
        self._together.join()
        failure: Exception | None = None
        data = None
        if not flight.failures:
            flight.watch.begin(flight)
        try:
            with notices_to(flight.notices.append), rate_limits_to(self._server.told):
                await self._asking.read(flight)
                data = self._turns.value_of(flight)
        except asyncio.CancelledError:
            if self.ended:
                return
            failure = ProviderError(f"{flight.request.target.provider} cancelled its own request")
        except SystemExit:  # it would end the worker's thread
            failure = ProviderError(f"{flight.request.target.provider} tried to end the process")
        except FlowGptError as error:
            error.__traceback__ = error.__context__ = None  # they would keep all messages in memory
            failure = error
        except Exception as error:  # noqa: BLE001 # a provider may be foreign code: other items go on
            failure = error
        self._landed(flight, failure, data)

    def _landed(self, flight: PromptInFlight, failure: Exception | None, data: Any) -> None:
        """Handle the end of a request: a reply, or ``failure``."""
        if self.ended:
            return
        self._flights.pop(flight.item.index)
        self._costs.spend(flight)
        self._costs.release(flight)
        flight.error = failure
        if failure is None:
            self._server_answered(flight)
            self._close(flight, "complete", data)
        else:
            self._failed(flight, failure)
        self._probe = None if self._probe is flight else self._probe
        self._go_on()

    def _server_answered(self, flight: PromptInFlight) -> None:
        """The server works: held prompts failed for their own reasons, unless an outage has just ended."""
        was_down = self._server.breaker.open
        self._hurry_after(lambda: self._server.answered(flight.begun))
        if was_down:
            self._release_held()
        self._settle_held()

    def _failed(self, flight: PromptInFlight, failure: Exception) -> None:
        server, was_open = self._server, self._server.breaker.open
        outcome = server.failed(flight, failure, probe=self._probe is flight)
        if server.kind(failure) == "answer":
            self._server_answered(flight)
        if outcome == "failed":
            self._close(flight, "failed")
            return
        if outcome == "held":
            self._held[flight.item.index] = flight
        else:
            self._ask_again(flight, outcome)
        if server.breaker.open and not was_open:
            logger.info("the batch pauses: %s in a row failed", counted(len(server.breaker.row), "prompt"))
        if server.breaker.open and not server.breaker.hopeless:
            self._release_held()

    def _ask_again(self, flight: PromptInFlight, pause: float) -> None:
        if (notice := retry_notice(flight.error)) not in flight.notices:
            flight.notices.append(notice)
        self._turns.again(flight, f"{type(flight.error).__name__}: {flight.error}")
        self._queue.put_back(flight, pause)

    def _release_held(self) -> None:
        """The server fails: send the held prompts again."""
        for flight in self._held.values():
            self._ask_again(flight, 0.0)
        self._held.clear()
        self._queue.hurry()
        for flight in self._queue.again.values():
            flight.tries, flight.since = 0, None

    def _settle_held(self) -> None:
        """The server works: the held prompts have failed."""
        for flight in self._held.values():
            self._close(flight, "failed")
        self._held.clear()

    def _give_up(self) -> None:
        """The server fails for all and does not recover: stop the batch."""
        for flights in (self._queue.again, self._held):
            for index, flight in sorted(flights.items()):
                if flight.error is not None and self._server.kind(flight.error) in ("refused", "final"):
                    self._close(flight, "failed")
                    del flights[index]
        stopped = BatchError(self._server.given_up(self._turns.asked_next_time))
        stopped.__cause__ = self._server.breaker.error
        self._end("failed", stopped)

    def _look_at_trial(self, flight: PromptInFlight) -> None:
        """``flight`` is the test request: if it is not refused soon, the server limits concurrent requests."""
        begun = flight.begun

        def not_refused() -> None:
            if not self.ended:
                self._hurry_after(lambda: self._server.concurrency.taken(begun))
                self._go_on()

        asyncio.get_running_loop().call_later(self._server.concurrency.trial_seconds, not_refused)

    def _hurry_after(self, learn: Callable[[], object]) -> None:
        """Run ``learn``. If requested waits no longer apply afterwards, make all retries due."""
        heeded = self._server.concurrency.heeds_waits
        learn()
        if heeded and not self._server.concurrency.heeds_waits:
            self._queue.hurry()

    def _close(self, flight: PromptInFlight, status: Status, data: Any = None) -> None:
        """Record the end of a prompt, and deliver its result."""
        flight.watch.end(flight, status)
        self._turns.end(flight, status)
        self._put(flight.result(status, data))

    # Saving what grows, and ending

    async def _save(self) -> None:
        """Save finished turns, and the text so far of slow ones."""
        saved = time.monotonic()
        while True:
            await asyncio.sleep(SAVE_INTERVAL)
            self._turns.flush()
            if (now := time.monotonic()) - saved >= GROW_INTERVAL:
                saved = now
                for flight in self._flights.values():
                    if flight.begun and now - flight.begun >= GROW_INTERVAL:
                        self._turns.grow(flight)

    async def _end_saved(self) -> None:
        """End as complete when the history's file has all turns, so that a process that exits now loses none."""
        self._turns.flush()
        if self._turns.state is not None:
            await self._turns.notebook_history.until_saved()
        self._end("complete")

    def _end(self, status: Status, error: BaseException | None = None) -> None:
        if self.ended:
            return
        if self._saving is not None and status == "cancelled":  # all replies have arrived
            status = "complete"
        for flight in self._flights.values():
            self._costs.release(flight)
            flight.watch.end(flight, "cancelled")
            if flight.begun:  # otherwise it was waiting for its turn, and nothing was sent
                self._turns.end(flight, "cancelled")
                self._keep_result(flight.result("cancelled"))
            if flight.task is not None:
                flight.task.cancel()
        for flight in (*self._queue.again.values(), *self._held.values()):
            flight.watch.end(flight, "cancelled")
            self._turns.leave(flight)
        self._turns.flush()
        for index in sorted(self._blocked):  # earlier results will not come any more
            self._ready.append(self._blocked[index])
        self._ended_at = time.monotonic()
        self.error = self.error or error
        self.status = "failed" if self.error is not None and status == "complete" else status
        self._set_alarm()
        self._changed.set()
        self._over.set()
        self._on_end()


def result_without_request(item: Item, status: Status | None = None) -> Result:
    """The result of an item that was not sent."""
    return Result(item.index, item.label, item.value, item.prompt, status=status, error=item.error)

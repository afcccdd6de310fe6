"""Ask the items of a batch: on the worker's loop, so many at once, whatever becomes of each.

Items are handed over as there is room for them, and results are taken as they are read. Whoever reads slowly, or has a
million items, so holds only a few of either.
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
from flowgpt_magic.batch.asking import Asking
from flowgpt_magic.batch.items import Item
from flowgpt_magic.batch.progress import Pause
from flowgpt_magic.batch.queue import Line
from flowgpt_magic.batch.results import Result, Tally
from flowgpt_magic.batch.server_state import Limits, Server
from flowgpt_magic.batch.turns import Flight, Turns
from flowgpt_magic.errors import BatchError, FlowGptError, ProviderError
from flowgpt_magic.messages import Status, notices_to
from flowgpt_magic.providers.rate_limit_headers import rate_limits_to
from flowgpt_magic.providers.request_group import RequestGroup
from flowgpt_magic.replies.log import logger
from flowgpt_magic.replies.retry import retry_notice
from flowgpt_magic.text import counted

T = TypeVar("T")
Order = Literal["in order", "as completed", "at the end"]

LOOKED_UP = 128  # items whose requests are looked up in the history at a time
LEAST_AHEAD = 64  # items that are handed over before they can be asked
BLOCKED = 1000  # results that wait at most for one that stands before them
GATHER = 0.002  # seconds in which results are gathered for their reader: waking it for each costs more than the result
SAVING = 0.25  # seconds within which what has ended is saved
GROWTH = 1.0  # seconds after which what has come of an item is saved, and after which it is saved again
TARDY = 0.001  # seconds that an alarm is late, so that what it is for is due


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
        self._saving: asyncio.Task[None] | None = None  # the last step, when nothing is left to ask
        self._line = Line()  # to be asked
        self._held: dict[int, Flight] = {}  # failed, and it is not clear yet whether that is the server's fault
        self._flights: dict[int, Flight] = {}  # under way
        self._probe: Flight | None = None  # the only one that is asked, while the server fails for all
        self._blocked: dict[int, Result] = {}  # ended before one that stands before them
        self._next = 0  # the index of the result that is due
        self._ready: deque[Result] = deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self._changed, self._over = asyncio.Event(), asyncio.Event()
        self._server = Server(limits, self.tally)
        self._asking = Asking(turns, self._server, limits.retries, on_trial=self._look_at_trial)
        self._alarm: asyncio.TimerHandle | None = None  # when there is something to begin, by the clock
        self._together = RequestGroup()
        self._worker: bridge.Worker | None = None
        self._begun_at = self._ended_at = 0.0

    @property
    def ended(self) -> bool:
        """Will nothing more be asked?"""
        return self.status != "streaming"

    @property
    def pause(self) -> Pause | None:
        """The pause that is being made, because the server asks for it or fails for all."""
        return None if self.ended else self._server.pause

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
        return max(0, self._ahead - len(self._items) - len(self._line))

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
        if self._items and self._looking is None and len(self._line.new) < self._limits.concurrency:
            self._looking = self._begin(self._look_up())
        while (flight := self._next_flight()) is not None:
            flight.error = None
            self._flights[flight.item.index] = flight
            self._server.begins(flight)
            flight.task = self._begin(self._fly(flight))
        busy = self._items or self._looking or self._line or self._flights
        if self._all_here and not busy and self._saving is None:
            self._settle_held()
            self._saving = self._begin(self._end_saved())
        self._changed.set()
        self._set_alarm()

    def _next_flight(self) -> Flight | None:
        """The one that is asked next, if one may be asked now."""
        if self._server.breaker.open:
            return self._next_probe()
        if len(self._flights) >= self._server.room:
            return None
        # What is asked again is never held up: others may be waiting for it.
        return self._line.next(with_new=not self._held_up and len(self._line.again) < self._ahead)

    def _next_probe(self) -> Flight | None:
        """The one that shows whether the server answers again, if it is time for that."""
        breaker = self._server.breaker
        if breaker.hopeless or (self._probe is not None and not breaker.due_in and not breaker.left):
            # A reply that arrives is read to its end.
            if not any(flight.received.chunks for flight in self._flights.values()):
                self._give_up()
            return None
        if breaker.due_in:
            return None
        self._probe = self._line.probe()
        if self._probe is not None:
            breaker.probes()
        return self._probe

    def _set_alarm(self) -> None:
        """Look again when there is something to begin by the clock."""
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        if self.ended or not self._line:
            return
        due = self._server.held_for
        if not due and len(self._flights) < self._server.room:
            due = self._line.due_in or 0.0
        if due:
            self._alarm = asyncio.get_running_loop().call_later(due + TARDY, self._go_on)

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
                    self._line.new.append(flight)
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
        """Ask once, and see what comes of it."""
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
            failure = ProviderError(f"{flight.request.target.provider} stopped by itself")
        except SystemExit:  # it would end the worker's thread, and everything else with it
            failure = ProviderError(f"{flight.request.target.provider} tried to end the process")
        except FlowGptError as error:
            error.__traceback__ = error.__context__ = (
                None  # they hold on to all that was said, for as long as the result
            )
            failure = error
        except Exception as error:  # noqa: BLE001 # a provider may be foreign code: no other item fails by it
            failure = error
        self._landed(flight, failure, data)

    def _landed(self, flight: Flight, failure: Exception | None, data: Any) -> None:
        """One request has ended, with a reply or with ``failure``."""
        if self.ended:
            return
        self._flights.pop(flight.item.index)
        flight.error = failure
        if failure is None:
            self._server_answered(flight)
            self._close(flight, "complete", data)
        else:
            self._failed(flight, failure)
        self._probe = None if self._probe is flight else self._probe
        self._go_on()

    def _server_answered(self, flight: Flight) -> None:
        """The server works; so what is held has failed by itself, unless this is the end of an outage."""
        was_down = self._server.breaker.open
        self._hurry_after(lambda: self._server.answered(flight.begun))
        if was_down:
            self._release_held()
        self._settle_held()

    def _failed(self, flight: Flight, failure: Exception) -> None:
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

    def _ask_again(self, flight: Flight, pause: float) -> None:
        if (told := retry_notice(flight.error)) not in flight.notices:
            flight.notices.append(told)
        self._turns.again(flight, f"{type(flight.error).__name__}: {flight.error}")
        self._line.put_back(flight, pause)

    def _release_held(self) -> None:
        """It is the server that fails: what is held is asked again."""
        for flight in self._held.values():
            self._ask_again(flight, 0.0)
        self._held.clear()
        self._line.hurry()
        for flight in self._line.again.values():
            flight.tries, flight.since = 0, None

    def _settle_held(self) -> None:
        """It is not the server that fails."""
        for flight in self._held.values():
            self._close(flight, "failed")
        self._held.clear()

    def _give_up(self) -> None:
        """The server fails for all, and does not recover: the rest is not asked."""
        for flights in (self._line.again, self._held):
            for index, flight in sorted(flights.items()):
                if flight.error is not None and self._server.kind(flight.error) in ("refused", "final"):
                    self._close(flight, "failed")
                    del flights[index]
        stopped = BatchError(self._server.given_up(self._turns.asked_next_time))
        stopped.__cause__ = self._server.breaker.error
        self._end("failed", stopped)

    def _look_at_trial(self, flight: Flight) -> None:
        """The request of ``flight`` shows why the server refused others: it does so by not being refused soon."""
        begun = flight.begun

        def not_refused() -> None:
            if not self.ended:
                self._hurry_after(lambda: self._server.concurrency.taken(begun))
                self._go_on()

        asyncio.get_running_loop().call_later(self._server.concurrency.trial_seconds, not_refused)

    def _hurry_after(self, learn: Callable[[], object]) -> None:
        """``learn`` something of the server; where its waits need no heed from then on, nobody waits any more."""
        heeded = self._server.concurrency.heeds_waits
        learn()
        if heeded and not self._server.concurrency.heeds_waits:
            self._line.hurry()

    def _close(self, flight: Flight, status: Status, data: Any = None) -> None:
        """An item is over."""
        flight.watch.end(flight, status)
        self._turns.end(flight, status)
        self._put(flight.result(status, data))

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

    async def _end_saved(self) -> None:
        """End as complete once all turns are in the history's file: a process that ends right then loses none."""
        self._turns.flush()
        if self._turns.state is not None:
            await self._turns.notebook_history.until_saved()
        self._end("complete")

    def _end(self, status: Status, error: BaseException | None = None) -> None:
        if self.ended:
            return
        if self._saving is not None and status == "cancelled":  # everything was asked and answered before
            status = "complete"
        for flight in self._flights.values():
            flight.watch.end(flight, "cancelled")
            if flight.begun:  # or else it has waited for its turn, and nothing was sent
                self._turns.end(flight, "cancelled")
                self._keep_result(flight.result("cancelled"))
            if flight.task is not None:
                flight.task.cancel()
        for flight in (*self._line.again.values(), *self._held.values()):
            flight.watch.end(flight, "cancelled")
            self._turns.leave(flight)
        self._turns.flush()
        for index in sorted(self._blocked):  # nobody waits any more for what stands before them
            self._ready.append(self._blocked[index])
        self._ended_at = time.monotonic()
        self.error = self.error or error
        self.status = "failed" if self.error is not None and status == "complete" else status
        self._set_alarm()
        self._changed.set()
        self._over.set()
        self._on_end()


def unasked(item: Item, status: Status | None = None) -> Result:
    """The result of an item that nobody was asked about."""
    return Result(item.index, item.label, item.value, item.prompt, status=status, error=item.error)

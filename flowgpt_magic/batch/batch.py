"""Many prompts at once: a list, a column, a table, or a generator of them.

A batch sends nothing until it is read. Stored replies come from the history: after an interrupt, an error or a restart
the same batch resumes.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import AsyncIterator, Callable, Generator, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from types import ModuleType
from typing import TYPE_CHECKING, Any, Protocol
from uuid import uuid4

from flowgpt_magic.batch.cost_limit import CostLimit
from flowgpt_magic.batch.estimate import Estimate, estimate
from flowgpt_magic.batch.items import Items
from flowgpt_magic.batch.progress import HiddenBar, ProgressBar, terminal_bar
from flowgpt_magic.batch.rate_limit import RateLimiter
from flowgpt_magic.batch.reading import BatchReader
from flowgpt_magic.batch.results import BatchCounts, Result, table, to_frame
from flowgpt_magic.batch.run import Order, Run, result_without_request
from flowgpt_magic.batch.server_state import BatchLimits
from flowgpt_magic.batch.turns import StoredReplies, Turns, record_for
from flowgpt_magic.errors import BatchError, SettingError
from flowgpt_magic.history.notebook_history import NotebookHistory
from flowgpt_magic.messages import Status, Turn
from flowgpt_magic.replies.request import Request
from flowgpt_magic.replies.task import ReusableCoroutine
from flowgpt_magic.settings import number, whole_number
from flowgpt_magic.tables import Table

if TYPE_CHECKING:
    import pandas

RETRIES = 2  # retries of a failed prompt by default


class BatchConversation(Protocol):
    """The conversation that a batch belongs to."""

    @property
    def name(self) -> str:
        """The conversation's name."""

    @property
    def arriving(self) -> dict[str, Any]:
        """The replies and batches that can be stopped now, by name."""

    def without_prompt(
        self, options: Mapping[str, Any], *, earlier: bool
    ) -> tuple[Request, list[Turn], NotebookHistory]:
        """A request without a prompt, the turns before it, and the history that stores it."""


class Batch(ReusableCoroutine[list[Result]]):
    """Many prompts with their results. Nothing is sent before the batch is read.

    Read it with ``for result in batch`` or ``async for`` (in the order of the prompts), with ``batch.as_completed()``
    (as they finish), with ``batch.results`` or ``await batch`` (all of them), or leave it as the last line of a cell,
    which shows a progress bar and then a table. A batch runs once. Leaving early stops it, and finished results stay.
    """

    def __init__(
        self,
        items: Items,
        turns: Turns,
        limits: BatchLimits,
        *,
        progress: bool = True,
        arriving: dict[str, Any] | None = None,
    ) -> None:
        """``arriving`` lists the batch while it runs, so that it can be stopped."""
        target = turns.request.target
        self.model = str(target)
        self.total = items.total
        self.has_progress = progress
        self._items, self._turns, self._limits = items, turns, limits
        self._lock = threading.Lock()
        self._run: Run | None = None
        self._keeps = False
        self._arriving = {} if arriving is None else arriving
        self._name = f"batch {uuid4().hex}"

    def __repr__(self) -> str:
        of = "prompts" if self.total is None else f"{self.total:,} prompts"
        done = "not sent yet" if self._run is None else f"{self._run.counts.ended:,} done, {self.status}"
        return f"<Batch of {of} for {self.model}, {done}>"

    # What it is now

    @property
    def status(self) -> Status | None:
        """``streaming`` while it runs, then ``complete``, ``cancelled`` or ``failed``; None before it is read.

        A batch is complete when every prompt was sent, even if some of them failed.
        """
        return None if self._run is None else self._run.status

    @property
    def ended(self) -> bool:
        """Has the batch ended?"""
        return self._run is not None and self._run.ended

    @property
    def counts(self) -> BatchCounts:
        """How many prompts have ended, by status, and the first results."""
        return BatchCounts() if self._run is None else self._run.counts

    @property
    def seconds(self) -> float:
        """The running time so far, or in all; 0 before it is read."""
        return 0.0 if self._run is None else self._run.seconds

    @property
    def is_repeatable(self) -> bool:
        """Can its prompts be iterated over again?"""
        return self._items.at_hand

    @property
    def has_data(self) -> bool:
        """Are the replies checked against a schema?"""
        return self._turns.request.schema is not None

    @property
    def error(self) -> BaseException | None:
        """Why it stopped early, if it did."""
        return None if self._run is None else self._run.error

    def table(self) -> Table:
        """The first results, below a count of all by status, and their tokens."""
        run = self._run
        if run is None:
            return Table((self.model, "prompts"), (("not sent yet", "" if self.total is None else f"{self.total:,}"),))
        notes = self._turns.notebook_history.take_notices()
        if run.counts.failed:
            notes.append("batch.failed lists the failures; run again to send only those")
        if run.counts.replayed:
            notes.append("refresh=True sends everything again")
        return table(run.counts, model=self.model, total=self.total, seconds=run.seconds, notes=notes)

    def estimate(self) -> Estimate:
        """How many requests, tokens and dollars the batch will take. Sends nothing.

        Raises ``BatchError`` for a generator, which can be read only once, and ``HistoryError``.
        """
        if not self._items.at_hand:
            raise BatchError("estimate() needs prompts that can be read twice: pass a list, not a generator")
        return estimate(self._items, self._turns.anew())

    # Reading

    def __iter__(self) -> Iterator[Result]:
        return self._walk("in order")

    def __aiter__(self) -> AsyncIterator[Result]:
        return self._walk_async("in order")

    def as_completed(self) -> AsCompleted:
        """The results as they finish, for ``for`` or ``async for``."""
        return AsCompleted(self)

    def __await__(self) -> Generator[Any, None, list[Result]]:
        return self._steps().__await__()

    async def _steps(self) -> list[Result]:
        async for _result in self._walk_async("at the end"):
            pass
        return self.results

    def read(self) -> None:
        """Run the batch to its end, if it has not run yet.

        Raises ``ReplyInterrupted`` after an interrupt, ``BatchError`` if the batch stopped because the server
        failed for all prompts, and any error of the prompts' generator.
        """
        if self.ended:
            self._raise_error()
            return
        for _result in self._walk("at the end"):
            pass

    @property
    def results(self) -> list[Result]:
        """A result for each prompt, in order; runs the batch first if needed.

        After an interrupt, prompts that were not sent have the status None. Raises ``BatchError`` if the results of a
        generator were iterated over before.
        """
        if self._run is None:
            self.read()
        return self._kept()

    @property
    def texts(self) -> list[str | None]:
        """The text of each reply; None for an incomplete one."""
        return [result.text if result.status == "complete" else None for result in self.results]

    @property
    def failed(self) -> list[Result]:
        """The failed results."""
        return [result for result in self.results if result.status == "failed"]

    def raise_failed(self) -> None:
        """Raise the first error, if there is one."""
        for result in self.failed:
            if result.error is not None:
                raise result.error

    def to_frame(self) -> pandas.DataFrame:
        """The results as a pandas DataFrame, after the columns of the given table, if one was given.

        A column whose name that table already has gets the prefix ``reply_``. Raises ``NotInstalledError``.
        """
        return to_frame(self._items.given, self.results, self.model, with_data=self.has_data)

    def cancel(self) -> None:
        """Stop the batch, from any thread. Finished results stay. No effect after its end."""
        run = self._run or self._new_run("at the end")
        if run is not None:
            run.stop()

    def _kept(self) -> list[Result]:
        run = self._run
        if run is None or not self._keeps:
            raise BatchError(
                "this generator's results were iterated over and are not stored: run it again with batch.results, or "
                "collect them with list(batch)"
            )
        results = dict(run.results)
        if self._items.at_hand and len(results) < (self.total or 0):
            return [results.get(item.index) or result_without_request(item) for item in self._items]
        return [results[index] for index in sorted(results)]

    def _ipython_display_(self) -> None:
        if (display := shell_display()) is not None:
            display.show(self)

    def _mime_(self) -> tuple[str, str]:
        """For marimo, which calls this to display the last line of a cell: runs the batch and shows its summary."""
        self.read()
        return "text/html", self.table().html()

    # The steps of reading, for synchronous and async code

    def _walk(self, order: Order) -> Iterator[Result]:
        if (run := self._new_run(order)) is None:
            yield from self._kept()
        else:
            with self._reading(run, in_loop=False) as reading:
                while not reading.over:
                    yield from reading.taken(reading.wait(reading.step()))
        self._raise_error()

    async def _walk_async(self, order: Order) -> AsyncIterator[Result]:
        if (run := self._new_run(order)) is None:
            for result in self._kept():
                yield result
        else:
            with self._reading(run, in_loop=True) as reading:
                while not reading.over:
                    for result in reading.taken(await reading.wait_async(reading.step())):
                        yield result
        self._raise_error()

    def _new_run(self, order: Order) -> Run | None:
        """The run to read; None if it has ended already."""
        with self._lock:
            if self._run is None:
                self._keeps = self._items.at_hand or order == "at the end"
                done = partial(self._arriving.pop, self._name, None)
                self._run = Run(self._turns, self._limits, order, keep=self._keeps, on_end=done)
                self._arriving[self._name] = self
                return self._run
        if not self._run.ended:
            raise BatchError("this batch is already being read: wait for its end, then read its results")
        return None

    def _reading(self, run: Run, *, in_loop: bool) -> BatchReader:
        bar = progress_bar(self.total, hidden=not self.has_progress)
        return BatchReader(run, self._items, bar, in_loop=in_loop, message=self._interrupt_message, ending=self.table)

    def _interrupt_message(self) -> str:
        """The error text after an interrupt."""
        done = 0 if self._run is None else self._run.counts.complete
        of = "" if self.total is None else f" of {self.total:,}"
        return f"Interrupted: {done:,}{of} prompts are done and stored; {self._turns.asked_next_time}"

    def _raise_error(self) -> None:
        if self.error is not None:
            raise self.error


@dataclass(frozen=True)
class AsCompleted:
    """The results of a batch as they finish."""

    batch: Batch

    def __iter__(self) -> Iterator[Result]:
        return self.batch._walk("as completed")

    def __aiter__(self) -> AsyncIterator[Result]:
        return self.batch._walk_async("as completed")


def progress_bar(total: int | None, *, hidden: bool = False) -> ProgressBar:
    """The progress bar for this shell, of ``total`` prompts."""
    if hidden:
        return HiddenBar()
    display = shell_display()
    bar: ProgressBar = terminal_bar(total) if display is None else display.bar(total)
    return bar


def shell_display() -> ModuleType | None:
    """The module that shows a batch in a shell; imported on demand, and only if IPython is loaded."""
    if "IPython" not in sys.modules:
        return None
    from flowgpt_magic.batch import notebook_bar

    return notebook_bar


def batch_of(
    conversation: BatchConversation,
    prompts: Any,
    template: str | None = None,
    *,
    values: Mapping[str, Any] | None = None,
    concurrency: int = 8,
    requests_per_minute: float | None = None,
    retries: int | None = None,
    patience: float | None = None,
    progress: bool = True,
    refresh: bool = False,
    history: bool = True,
    earlier: bool = True,
    sample: str = "",
    others: StoredReplies | None = None,
    pace: RateLimiter | None = None,
    costs: CostLimit | None = None,
    **options: Any,
) -> Batch:
    """A batch of ``conversation``; see ``Conversation.map`` for the other parameters.

    Args:
        conversation: the conversation that the batch belongs to.
        earlier: send the conversation's turns with each prompt.
        others: the stored replies of other processes that work on the same batch.
        pace: a rate limiter shared with other batches of this process.
        costs: what was spent by other batches that share ``max_cost`` with this one.
    """
    if options.pop("cache", True) is not True:
        raise SettingError("a batch always uses stored replies: refresh=True sends everything again")
    limit = None if requests_per_minute is None else checked("requests_per_minute", requests_per_minute, positive)
    at_once = checked("concurrency", concurrency, whole_number(1))
    request, sent, notebook_history = conversation.without_prompt(
        {**options, "retries": retries}, earlier=history and earlier
    )
    tries = request.settings.retries if "retries" in request.settings.sources else RETRIES
    state = record_for(notebook_history, conversation.name) if history else None
    turns = Turns(request, sent, notebook_history, state, sample=str(sample), refresh=refresh, others=others)
    waits = None if patience is None else checked("patience", patience, number(0))
    takes_images = request.resolved.takes_images
    items = Items(prompts, template, values, images=takes_images)
    limits = BatchLimits(at_once, limit, tries, waits, pace, costs)
    return Batch(items, turns, limits, progress=progress, arriving=conversation.arriving)


def checked(name: str, value: Any, check: Callable[[Any], Any]) -> Any:
    """``check(value)``; raises ``SettingError`` with the name."""
    try:
        return check(value)
    except ValueError as error:
        raise SettingError(f"{name} is {value!r}; it {error}") from None


def positive(value: Any) -> float:
    """A check for a finite number above 0."""
    checked_value = number(0)(value)
    if not 0 < checked_value < float("inf"):
        raise ValueError("must be a number above 0")
    return checked_value

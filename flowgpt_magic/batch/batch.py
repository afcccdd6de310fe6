"""Ask many prompts at once: a list, a column, a table, a generator of them.

A batch asks nothing until it is read. What was answered before is taken from the history: after an interrupt, an error
or a restart the same batch goes on where it was.
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

from flowgpt_magic.batch.items import Items
from flowgpt_magic.batch.progress import Bar, NoBar, text_bar
from flowgpt_magic.batch.rate_limit import Pace
from flowgpt_magic.batch.reading import Reading
from flowgpt_magic.batch.results import Result, table, to_frame
from flowgpt_magic.batch.run import Order, Run, unasked
from flowgpt_magic.batch.server_state import Limits
from flowgpt_magic.batch.turns import Answers, Turns, record_for
from flowgpt_magic.errors import BatchError, SettingError
from flowgpt_magic.history.notebook_history import NotebookHistory
from flowgpt_magic.messages import Status, Turn
from flowgpt_magic.replies.request import Request
from flowgpt_magic.replies.task import ReusableCoroutine
from flowgpt_magic.settings import number, whole_number
from flowgpt_magic.tables import Table

if TYPE_CHECKING:
    import pandas

RETRIES = 2  # further tries after a failure, where nobody has set them


class Asker(Protocol):
    """The conversation that a batch is asked in."""

    @property
    def name(self) -> str:
        """What the user calls it."""

    @property
    def arriving(self) -> dict[str, Any]:
        """What can be stopped just now, by its name."""

    def without_prompt(
        self, options: Mapping[str, Any], *, earlier: bool
    ) -> tuple[Request, list[Turn], NotebookHistory]:
        """A request that only lacks its prompt, the turns that go before it, and where it would be kept."""


class Batch(ReusableCoroutine[list[Result]]):
    """Many prompts, and what has become of them; nothing is asked before it is read.

    Read it with ``for result in batch`` or ``async for`` (in the order of the prompts, each as soon as it may come),
    with ``batch.as_completed()`` (whichever comes first), with ``batch.results`` or ``await batch`` (all of them), or
    leave it as the last line of a cell, which shows how far it is and then a table. It runs once; leaving early stops
    it, and what is done is kept.
    """

    def __init__(
        self,
        items: Items,
        turns: Turns,
        limits: Limits,
        *,
        progress: bool = True,
        arriving: dict[str, Any] | None = None,
    ) -> None:
        """``arriving`` is where whatever can be stopped is put while it runs."""
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
        done = "not asked yet" if self._run is None else f"{self._run.tally.ended:,} done, {self.status}"
        return f"<Batch of {of} for {self.model}, {done}>"

    # What it is now

    @property
    def status(self) -> Status | None:
        """``streaming`` while it runs, ``complete``, ``cancelled`` or ``failed``; None before it is read.

        A batch is complete when every prompt was asked, also where some of them failed.
        """
        return None if self._run is None else self._run.status

    @property
    def ended(self) -> bool:
        """Will nothing more be asked?"""
        return self._run is not None and self._run.ended

    @property
    def error(self) -> BaseException | None:
        """Why it stopped before its end, if it did."""
        return None if self._run is None else self._run.error

    def table(self) -> Table:
        """How many prompts are complete, failed and from the history, and what they cost."""
        run = self._run
        if run is None:
            return Table((self.model, "prompts"), (("not asked yet", "" if self.total is None else f"{self.total:,}"),))
        notes = self._turns.notebook_history.take_notices()
        if run.tally.failed:
            notes.append("batch.failed lists what failed; run again, only that is asked")
        if run.tally.replayed:
            notes.append("refresh=True asks anew what comes from the history")
        return table(run.tally, model=self.model, total=self.total, seconds=run.seconds, notes=notes)

    # Reading

    def __iter__(self) -> Iterator[Result]:
        return self._walk("in order")

    def __aiter__(self) -> AsyncIterator[Result]:
        return self._walk_async("in order")

    def as_completed(self) -> AsCompleted:
        """The results in the order in which they come: for a ``for`` or an ``async for``."""
        return AsCompleted(self)

    def __await__(self) -> Generator[Any, None, list[Result]]:
        return self._steps().__await__()

    async def _steps(self) -> list[Result]:
        async for _result in self._walk_async("at the end"):
            pass
        return self.results

    def read(self) -> None:
        """Ask everything, unless that has been done, and return at the end.

        Raises ``ReplyInterrupted`` after an interrupt, ``BatchError`` where all prompts failed in the same way and it
        was stopped, and what the generator of the prompts raises.
        """
        if self.ended:
            self._raise_error()
            return
        for _result in self._walk("at the end"):
            pass

    @property
    def results(self) -> list[Result]:
        """A result for each prompt, in order; asks first what was not asked yet.

        After an interrupt those that were not asked have the status None. Raises ``BatchError`` where the results of a
        generator were handed out one by one.
        """
        if self._run is None:
            self.read()
        return self._kept()

    @property
    def texts(self) -> list[str | None]:
        """The text of each reply, None where there is no complete one."""
        return [result.text if result.status == "complete" else None for result in self.results]

    @property
    def failed(self) -> list[Result]:
        """The results that are failures."""
        return [result for result in self.results if result.status == "failed"]

    def raise_failed(self) -> None:
        """Raise the first failure, if there is one."""
        for result in self.failed:
            if result.error is not None:
                raise result.error

    def to_frame(self) -> pandas.DataFrame:
        """The results as a table of pandas, behind the columns of the table that was asked, if it was one.

        A column whose name that table has already begins with ``reply_``. Raises ``NotInstalledError``.
        """
        with_data = self._turns.request.schema is not None
        return to_frame(self._items.given, self.results, self.model, with_data=with_data)

    def cancel(self) -> None:
        """Stop it, from any thread; what is done is kept. No effect after its end."""
        run = self._run or self._new_run("at the end")
        if run is not None:
            run.stop()

    def _kept(self) -> list[Result]:
        run = self._run
        if run is None or not self._keeps:
            raise BatchError(
                "the results of this generator were handed out one by one and are not kept: run it again with "
                "batch.results, or keep them with list(batch)"
            )
        found = dict(run.results)
        if self._items.at_hand and len(found) < (self.total or 0):
            return [found.get(item.index) or unasked(item) for item in self._items]
        return [found[index] for index in sorted(found)]

    def _ipython_display_(self) -> None:
        if (display := _display()) is not None:
            display.show(self)

    def _mime_(self) -> tuple[str, str]:
        """As the last line of a cell of marimo, which calls this to display: all are asked, and what became of them."""
        self.read()
        return "text/html", self.table().html()

    # How reading goes: the same steps for both kinds of code

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
        """The run that is to be read; None where it has ended, and its results are there."""
        with self._lock:
            if self._run is None:
                self._keeps = self._items.at_hand or order == "at the end"
                done = partial(self._arriving.pop, self._name, None)
                self._run = Run(self._turns, self._limits, order, keep=self._keeps, on_end=done)
                self._arriving[self._name] = self
                return self._run
        if not self._run.ended:
            raise BatchError("this batch is being read already: wait for its end, then its results are there")
        return None

    def _reading(self, run: Run, *, in_loop: bool) -> Reading:
        return Reading(run, self._items, self._bar(), in_loop=in_loop, told=self._told, ending=self.table)

    def _bar(self) -> Bar:
        if not self.has_progress:
            return NoBar()
        display = _display()
        bar: Bar = text_bar(self.total) if display is None else display.bar(self.total)
        return bar

    def _told(self) -> str:
        """What an interrupt leaves, in words."""
        done = 0 if self._run is None else self._run.tally.complete
        of = "" if self.total is None else f" of {self.total:,}"
        return f"Interrupted: {done:,}{of} prompts are done and kept; {self._turns.asked_next_time}"

    def _raise_error(self) -> None:
        if self.error is not None:
            raise self.error


@dataclass(frozen=True)
class AsCompleted:
    """The results of a batch in the order in which they come."""

    batch: Batch

    def __iter__(self) -> Iterator[Result]:
        return self.batch._walk("as completed")

    def __aiter__(self) -> AsyncIterator[Result]:
        return self.batch._walk_async("as completed")


def _display() -> ModuleType | None:
    """What shows a batch in a shell; imported now, and only where a shell can be."""
    if "IPython" not in sys.modules:
        return None
    from flowgpt_magic.batch import notebook_bar as display_batch

    return display_batch


def batch_of(
    conversation: Asker,
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
    others: Answers | None = None,
    pace: Pace | None = None,
    **options: Any,
) -> Batch:
    """A batch of ``conversation``, see ``Conversation.map``; without ``earlier`` its turns are not sent along.

    ``others`` ask parts of the same batch, and ``pace`` is kept together with other batches of this process.
    """
    if options.pop("cache", True) is not True:
        raise SettingError("a batch takes what was answered before from the history: refresh=True asks everything anew")
    limit = None if requests_per_minute is None else checked("requests_per_minute", requests_per_minute, above_zero)
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
    limits = Limits(at_once, limit, tries, waits, pace)
    return Batch(items, turns, limits, progress=progress, arriving=conversation.arriving)


def checked(name: str, value: Any, check: Callable[[Any], Any]) -> Any:
    """``value`` as ``check`` takes it; raises ``SettingError`` that names it."""
    try:
        return check(value)
    except ValueError as error:
        raise SettingError(f"{name} is {value!r}; it {error}") from None


def above_zero(value: Any) -> float:
    """A check that takes a finite number above 0."""
    found = number(0)(value)
    if not 0 < found < float("inf"):
        raise ValueError("must be a number above 0")
    return found

"""The same prompts for several models: a batch for each, read at the same time, and a table with a column for each."""

from __future__ import annotations

import asyncio
from collections.abc import Generator, Iterator, Mapping, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError  # the built-in one from Python 3.11 on
from typing import TYPE_CHECKING, Any

from flowgpt_magic import bridge
from flowgpt_magic.batch.batch import Batch, BatchConversation, batch_of, checked, positive, progress_bar, shell_display
from flowgpt_magic.batch.cost_limit import CostLimit
from flowgpt_magic.batch.estimate import Estimate
from flowgpt_magic.batch.rate_limit import RateLimiter
from flowgpt_magic.batch.results import ANSWER_LENGTH, COLUMNS, BatchCounts, BatchTable, Result
from flowgpt_magic.errors import ComparisonError, FlowGptError, OptionError, PromptError, ReplyInterrupted
from flowgpt_magic.messages import Status
from flowgpt_magic.replies.task import ReusableCoroutine
from flowgpt_magic.tables import Table
from flowgpt_magic.text import counted, cut

if TYPE_CHECKING:
    import pandas

MIN_ANSWER = 24  # characters of an answer in a table with many models


class BatchComparison(ReusableCoroutine[list[dict[str, Result]]]):
    """Many prompts for several models. Nothing is sent before it is read.

    Read it with ``for row in comparison`` or ``comparison.results``: for each prompt a result by model; with
    ``await comparison``, which returns the same; or leave it as the last line of a cell, which shows a progress bar and
    then a table. ``by_model`` has the batch of each model. A model that fails does not affect the others: its batch has
    an ``error``. Reading raises ``ComparisonError`` only if all have failed.
    """

    def __init__(self, batches: Mapping[str, Batch], *, progress: bool = True) -> None:
        self.by_model = dict(batches)
        self.has_progress = progress

    def __repr__(self) -> str:
        return f"<BatchComparison of {', '.join(f'{name}: {batch!r}' for name, batch in self.by_model.items())}>"

    @property
    def batches(self) -> list[Batch]:
        """The batches, in the order of the models."""
        return list(self.by_model.values())

    @property
    def status(self) -> Status | None:
        """``streaming`` while one of them runs, then ``complete``, ``cancelled`` or ``failed``; None before."""
        states = {batch.status for batch in self.batches}
        ranked: tuple[Status | None, ...] = (None, "streaming", "cancelled", "complete")
        return next((status for status in ranked if status in states), "failed")

    @property
    def ended(self) -> bool:
        """Have all batches ended?"""
        return all(batch.ended for batch in self.batches)

    def estimate(self) -> dict[str, Estimate]:
        """How many requests, tokens and dollars each model will take. Sends nothing."""
        return {name: batch.estimate() for name, batch in self.by_model.items()}

    # Reading

    def read(self) -> None:
        """Run all batches to their ends. An interrupt stops all of them; finished results stay.

        Raises ``ReplyInterrupted`` after an interrupt, and ``ComparisonError`` if all batches have failed.
        """
        if not self.ended:
            bar = progress_bar(self._total, hidden=not self.has_progress)
            future = bridge.worker().submit(self._read_all())
            interrupts: list[None] = []

            def stop() -> None:
                interrupts.append(None)
                self.cancel()

            try:
                bridge.on_interrupt(stop, lambda: self._wait(future, bar.show))
            finally:
                self.cancel()  # no effect at the end
                bar.close(self.table)
            if interrupts:
                done = sum(batch.counts.complete for batch in self.batches)
                raise ReplyInterrupted(f"Interrupted: {counted(done, 'reply', 'replies')} are complete and kept")
        self._raise_error()

    def _wait(self, future: Future[None], show: Any) -> None:
        while True:
            try:
                future.result(bridge.TICK)
            except FutureTimeoutError:
                if future.done():
                    future.result()
            show(self.counts)
            if future.done():
                return

    async def _read_all(self) -> None:
        async def read(batch: Batch) -> None:
            try:
                await batch
            except FlowGptError:  # it is the batch's ``error``
                return

        await asyncio.gather(*(read(batch) for batch in self.batches if not batch.ended))

    async def _steps(self) -> list[dict[str, Result]]:
        try:
            await asyncio.wrap_future(bridge.worker().submit(self._read_all()))
        finally:
            self.cancel()  # no effect at the end
        self._raise_error()
        return self.results

    def __await__(self) -> Generator[Any, None, list[dict[str, Result]]]:
        return self._steps().__await__()

    def __iter__(self) -> Iterator[dict[str, Result]]:
        return iter(self.results)

    def cancel(self) -> None:
        """Stop all batches, from any thread. Finished results stay."""
        for batch in self.batches:
            if not batch.ended:
                batch.cancel()

    def _raise_error(self) -> None:
        errors = {name: batch.error for name, batch in self.by_model.items() if batch.error is not None}
        if len(errors) == len(self.by_model):
            raise ComparisonError.of(errors)

    # Results

    @property
    def counts(self) -> BatchCounts:
        """How many replies of all models have ended, by status, and their tokens."""
        total = BatchCounts()
        for name in ("complete", "failed", "cancelled", "replayed", "prompt_tokens", "completion_tokens"):
            setattr(total, name, sum(getattr(batch.counts, name) for batch in self.batches))
        return total

    @property
    def _total(self) -> int | None:
        totals = [batch.total for batch in self.batches]
        return sum(total or 0 for total in totals) if None not in totals else None

    @property
    def results(self) -> list[dict[str, Result]]:
        """For each prompt a result by model, in order; runs the batches first if needed.

        After an interrupt or a failure, prompts that were not sent have the status None.
        """
        if self.status is None:
            self.read()
        columns = [batch.results for batch in self.batches]
        return [dict(zip(self.by_model, row, strict=True)) for row in zip(*columns, strict=True)]

    @property
    def texts(self) -> dict[str, list[str | None]]:
        """The texts by model; None for an incomplete reply."""
        rows = self.results
        return {
            name: [row[name].text if row[name].status == "complete" else None for row in rows] for name in self.by_model
        }

    @property
    def failed(self) -> list[Result]:
        """The failed results of all models."""
        return [result for row in self.results for result in row.values() if result.status == "failed"]

    def to_frame(self) -> pandas.DataFrame:
        """A pandas DataFrame with a row for each prompt: the given table, the prompt, and a column for each model.

        A model's column has the texts, or the values of a schema; ``by_model[NAME].to_frame()`` has the rest. A column
        whose name the given table already has gets the prefix ``reply_``. Raises ``NotInstalledError``.
        """
        _results = self.results
        frames = {name: batch.to_frame() for name, batch in self.by_model.items()}
        first, batch = next(iter(frames.values())), self.batches[0]
        width = len(COLUMNS) - (not batch.has_data)
        own, value = first.columns[:-width], COLUMNS.index("data" if batch.has_data else "text")
        whole = first.iloc[:, : len(own) + 1].copy()  # the prompt is the first of the new columns
        for name, frame in frames.items():
            whole[f"reply_{name}" if name in whole.columns else name] = frame.iloc[:, len(own) + value]
        return whole

    def table(self) -> Table:
        """The first results, with a column for each model, below a count of all by status."""
        if self.status is None:
            total = "" if self.batches[0].total is None else f"{self.batches[0].total:,}"
            return Table((", ".join(self.by_model), "prompts"), (("not sent yet", total),))
        firsts = [batch.counts.first for batch in self.batches]
        length = max(MIN_ANSWER, 2 * ANSWER_LENGTH // len(firsts))
        rows = []
        for index in sorted({index for first in firsts for index in first})[:10]:
            known = next(first[index] for first in firsts if index in first)
            answers = (cut(first[index][2], length) if index in first else "" for first in firsts)
            rows.append((*known[:2], *answers))
        counts = (_counted(name, batch) for name, batch in self.by_model.items())
        notes = [f"{name}: {batch.error}" for name, batch in self.by_model.items() if batch.error is not None]
        notes += ["comparison.failed lists the failures; run again to send only those"] if self.counts.failed else []
        return BatchTable(("", "prompt", *self.by_model), tuple(rows), " ".join(notes), " · ".join(counts))

    def _ipython_display_(self) -> None:
        if (display := shell_display()) is not None:
            display.show(self)

    def _mime_(self) -> tuple[str, str]:
        """For marimo, which calls this to display the last line of a cell: runs the batches and shows a table."""
        self.read()
        return "text/html", self.table().html()


def _counted(name: str, batch: Batch) -> str:
    """What has become of the prompts of one model."""
    counts = batch.counts
    tokens = f"{counts.prompt_tokens:,} → {counts.completion_tokens:,} tokens"
    facts = [
        f"{counts.complete:,} complete",
        f"{counts.failed:,} failed" if counts.failed else "",
        f"{counts.cancelled:,} cancelled" if counts.cancelled else "",
        f"{counts.replayed:,} from the history" if counts.replayed else "",
        tokens if counts.prompt_tokens or counts.completion_tokens else "",
        f"{batch.seconds:,.1f} s",
    ]
    return f"{name}: {', '.join(filter(None, facts))}"


def batches_of(
    conversation: BatchConversation,
    prompts: Any,
    template: str | None = None,
    *,
    models: Sequence[str],
    requests_per_minute: float | None = None,
    progress: bool = True,
    **how: Any,
) -> BatchComparison:
    """A batch of the same prompts for each of ``models``; see ``Conversation.map`` for the other parameters.

    ``requests_per_minute`` holds for each server: models on the same one share it. All share ``max_cost``. Raises
    ``OptionError`` for fewer than two models or one that is named twice, and ``PromptError`` for a generator, which can
    be read only once.
    """
    if isinstance(models, str) or len(models) < 2:
        raise OptionError('models= takes two models or more: models=["local", "echo"]; model= takes one')
    if "model" in how:
        raise OptionError("either models=[…] or model=, not both")
    if twice := next((name for name in models if list(models).count(name) > 1), ""):
        raise OptionError(f"{twice} is named twice: name each model once; an alias can have other settings")
    earlier, paces = bool(how.get("history", True) and how.get("earlier", True)), dict[object, RateLimiter]()
    options: dict[str, Any] = {name: how[name] for name in ("base_url", "openai_base_url") if name in how}
    batches, costs = {}, CostLimit()
    for name in models:
        if requests_per_minute is not None:
            limit = checked("requests_per_minute", requests_per_minute, positive)
            request, *_others = conversation.without_prompt({**options, "model": name}, earlier=False)
            server = request.resolved.model_key[:2]
            how["pace"] = paces.setdefault(server, RateLimiter(limit))
        batches[name] = batch_of(
            conversation, prompts, template, model=name, progress=False, **{**how, "earlier": earlier, "costs": costs}
        )
        if not batches[name].is_repeatable:
            raise PromptError(
                "models= needs prompts that can be read once for each model: pass a list, not a generator"
            )
    return BatchComparison(batches, progress=progress)

"""The results of a batch: one for each item, the sums of all, and both as tables."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from flowgpt_magic import installing
from flowgpt_magic.batch.items import is_frame
from flowgpt_magic.errors import NotInstalledError
from flowgpt_magic.messages import Status, Usage
from flowgpt_magic.messages.extras import Extras, HasExtras
from flowgpt_magic.messages.reasoning import answer_of
from flowgpt_magic.redaction import redact, redacted_repr
from flowgpt_magic.replies.code_blocks import CodeBlock, code_blocks_of
from flowgpt_magic.tables import Table
from flowgpt_magic.text import counted, cut, one_line

if TYPE_CHECKING:
    import pandas

SHOWN_REASONS = 3  # failure reasons below a table
SHOWN_RESULTS = 10  # results in a table
LABEL_LENGTH, PROMPT_LENGTH, ANSWER_LENGTH = 20, 50, 100  # characters of a result in a table
COLUMNS = (
    *("prompt", "text", "data", "status", "error", "model", "prompt_tokens", "completion_tokens", "seconds"),
    "replayed",
)


@dataclass(frozen=True)
class Result(HasExtras):
    """The result of one item.

    ``index`` is its number in the batch, from 0; ``label`` its key, or its index in a table. ``status`` is
    ``complete``, ``failed``, ``cancelled``, or None if it was not sent; ``error`` is its error. ``text`` is the text
    received, and ``data`` the value of a schema. A ``replayed`` result comes from the history. Extra data of the
    reply is in ``citations``, ``reasoning``, ``logprobs``, ``images``, ``audio`` and ``tool_calls``.
    """

    index: int
    label: Any
    item: Any = field(repr=False)
    prompt: str
    text: str = ""
    data: Any = None
    status: Status | None = None
    error: BaseException | None = None
    usage: Usage = field(default=Usage(), repr=False)
    notices: tuple[str, ...] = ()
    turn_id: str = ""
    replayed: bool = False
    extras: Extras = field(default=Extras(), repr=False)

    def _whole_extras(self) -> Extras:
        return self.extras

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return redacted_repr(self)

    @property
    def code_blocks(self) -> list[CodeBlock]:
        """The code blocks of the text, without leading reasoning."""
        return code_blocks_of(self.text)


@dataclass
class BatchCounts:
    """How many items have ended, by status, the tokens of those that were sent, and the first results."""

    complete: int = 0
    failed: int = 0
    cancelled: int = 0
    replayed: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    reasons: dict[str, tuple[int, Any]] = field(default_factory=dict)  # by reason: how often, and the first label
    first: dict[int, tuple[str, ...]] = field(default_factory=dict)  # by index, the rows of the first results

    @property
    def ended(self) -> int:
        """How many items have ended."""
        return self.complete + self.failed + self.cancelled

    def add(self, result: Result) -> None:
        """Count a result."""
        if result.status == "complete":
            self.complete += 1
            self.replayed += result.replayed
        elif result.status == "failed":
            self.failed += 1
            reason = _reason(result)
            if reason in self.reasons or len(self.reasons) < SHOWN_REASONS:
                count, label = self.reasons.get(reason, (0, result.label))
                self.reasons[reason] = (count + 1, label)
        else:
            self.cancelled += 1
        if not result.replayed:
            self.prompt_tokens += result.usage.prompt_tokens or 0
            self.completion_tokens += result.usage.completion_tokens or 0
        if len(self.first) < SHOWN_RESULTS or result.index < max(self.first):
            self.first[result.index] = _row_of(result)
            if len(self.first) > SHOWN_RESULTS:
                del self.first[max(self.first)]


@dataclass(frozen=True)
class BatchTable(Table):
    """The first results of a batch, below a line that counts all of them."""

    headline: str = ""

    def html(self) -> str:
        """The line and the table; all text is escaped."""
        return f"<div>{html.escape(one_line(self.headline))}</div>{super().html()}"

    def text(self, width: int = 0) -> str:
        """The same as lines of text."""
        rows = super().text(width) if self.rows else one_line(self.note)
        return f"{one_line(self.headline)}\n\n{rows}".rstrip()


def table(counts: BatchCounts, *, model: str, total: int | None, seconds: float | None, notes: Sequence[str]) -> Table:
    """The first results of a batch and a count by status; the note has the reasons of other failures, and ``notes``."""
    spent = counts.prompt_tokens or counts.completion_tokens
    facts = [
        f"{count:,} {word}"
        for word, count in (
            ("complete", counts.complete),
            ("failed", counts.failed),
            ("cancelled", counts.cancelled),
            ("not sent", 0 if total is None else total - counts.ended),
        )
        if count or word == "complete"
    ]
    facts += [f"{counts.replayed:,} from the history"] if counts.replayed else []
    facts += [f"{counts.prompt_tokens:,} tokens in, {counts.completion_tokens:,} out"] if spent else []
    facts += ["" if seconds is None else f"{seconds:,.1f} s"]
    rows = tuple(row for _index, row in sorted(counts.first.items()))
    more = [f"the first {len(rows)} of {counts.ended:,}"] if len(rows) < counts.ended else []
    note = ". ".join([*more, *_reasons(counts), *notes])
    headline = " · ".join(filter(None, [model, *facts]))
    return BatchTable(("", "prompt", "answer", "time"), rows, note, headline)


def _row_of(result: Result) -> tuple[str, str, str, str]:
    """The label, the first words of prompt and answer, and the time; of a failure, its reason and that it failed."""
    seconds = result.usage.seconds
    outcome = "" if seconds is None else f"{seconds:,.1f} s"
    if result.replayed:
        outcome = "from the history"
    elif result.status != "complete":
        outcome = result.status or ""
    answer = answer_of(result.text).strip() or result.text
    text = _reason(result) if result.status == "failed" else answer
    return cut(str(result.label), LABEL_LENGTH), cut(result.prompt, PROMPT_LENGTH), cut(text, ANSWER_LENGTH), outcome


def _reason(result: Result) -> str:
    return redact(f"{type(result.error).__name__}: {result.error}")


def _reasons(counts: BatchCounts) -> list[str]:
    """The reasons of failures that are not all among the rows."""
    if counts.failed == sum(row[-1] == "failed" for row in counts.first.values()):
        return []
    parts = []
    for reason, (count, label) in counts.reasons.items():
        where = f"{label!r}" if count == 1 else f"{count:,} times, first {label!r}"
        parts.append(f"{where}: {cut(reason, 200).rstrip('.')}")
    if others := counts.failed - sum(count for count, _label in counts.reasons.values()):
        parts.append(f"and {counted(others, 'other')}")
    return ["; ".join(parts)] if parts else []


def to_frame(given: Any, results: Sequence[Result], model: str, *, with_data: bool) -> pandas.DataFrame:
    """A DataFrame with a row for each result of the prompts ``given``.

    The columns and the index of a given table come first; a new column whose name it already has gets the prefix
    ``reply_``. Raises ``NotInstalledError`` without pandas.
    """
    try:
        import pandas
    except ImportError:
        hint = installing.packages("pandas")
        raise NotInstalledError(f"a DataFrame needs pandas: {hint} installs it") from None
    rows = [_row(result, model) for result in results]
    columns = [name for name in COLUMNS if with_data or name != "data"]
    frame = pandas.DataFrame({name: pandas.Series([row[name] for row in rows], dtype=_kind(name)) for name in columns})
    own = _own_columns(given, pandas, len(results))
    if own is None:
        frame.index = pandas.Index([result.label for result in results])
        return frame
    frame.index = own.index
    frame.columns = pandas.Index([f"reply_{name}" if name in own else name for name in columns])
    whole: pandas.DataFrame = pandas.concat([own, frame], axis=1)
    return whole


def _row(result: Result, model: str) -> dict[str, Any]:
    error = None if result.error is None else _reason(result)
    named = {name: getattr(result, name) for name in ("prompt", "data", "status", "replayed")}
    usage = {name: getattr(result.usage, name) for name in ("prompt_tokens", "completion_tokens", "seconds")}
    text = result.text if result.status == "complete" or result.text else None
    return {**named, **usage, "text": text, "error": error, "model": model}


def _kind(name: str) -> str:
    """The dtype of a column, independent of its values."""
    if name == "replayed":
        return "bool"
    return {"seconds": "float64"}.get(name, "Int64" if name.endswith("tokens") else "object")


def _own_columns(given: Any, pandas: Any, rows: int) -> pandas.DataFrame | None:
    """The given table, cut to the rows with results."""
    if not is_frame(given):
        return None
    if isinstance(given, pandas.DataFrame):
        own: pandas.DataFrame = given.iloc[:rows]
        return own
    converted: pandas.DataFrame = pandas.DataFrame(given.to_dict(as_series=False)).iloc[:rows]
    return converted

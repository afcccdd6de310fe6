"""Describe tables of pandas and polars, and arrays of numpy: a summary of each column, and the first rows.

The summary of a large table uses a sample of its rows. Only cells that are shown are read.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import Any

from flowgpt_magic.prompt.describe.budget import (
    CELL_LENGTH,
    LINE_LENGTH,
    SHORTENED,
    Description,
    Inspection,
    amount,
    omitted_of,
)
from flowgpt_magic.prompt.describe.containers import MIN_ITEM_LENGTH, short
from flowgpt_magic.prompt.describe.recognize import brief, headline, is_array, python_number, table_kind
from flowgpt_magic.redaction import MASK, is_secret_name, redact
from flowgpt_magic.text import cut

SAMPLE_ROWS = 100_000  # rows of a table, or items of an array, in a summary
SAMPLE_CELLS = 2_000_000  # cells of a table in a summary
COMPARED_TEXTS = 10_000  # values of a text column that are compared
SEARCHED_LENGTH = 1_000  # characters of a text that are searched for passwords
LABELS = 1_000  # names of rows that are compared with names of secrets
FIRST_ROWS = 10  # rows that are shown if not all are
UNTYPED_MODULES = {"datetime", "decimal", "numpy", "pandas"}  # a cell shows their values without the type


@dataclass(frozen=True)
class TableReader:
    """Access to a table of one library. Another library needs another function that returns
    this, and its classes in ``recognize.TABLE_CLASSES``.

    Args:
        frame: the table of the library.
        column: every n-th value of the column with this index.
        facts: of such a column: the number of missing values, a summary, and whether it summarizes texts.
        cell: the value in this row and column.
        label: the label of this row.
        levels: the names of the levels of the row labels, if they have names.
    """

    frame: Any
    column: Callable[[int, int], Any]
    facts: Callable[[Any], tuple[int, str, bool]]
    cell: Callable[[int, int], object]
    label: Callable[[int], object]
    levels: tuple[str, ...] = ()

    def is_secret(self, row: int | None, place: int, value: object, inspection: Inspection) -> bool:
        """Must ``value`` in the column ``place`` be masked? A number is neither a key nor a password.

        Its row has a name too, as in a row of another table: ``frame.iloc[0]``. A ``row`` of None is any of the first.
        """
        if not inspection.masked or value is None or is_plain_number(value):
            return False
        has_secret_label = self._has_secret_label if row is None else bool(secret_label([self.label(row)]))
        return has_secret_label or is_secret_name(str(self.frame.columns[place]))

    @cached_property
    def _has_secret_label(self) -> bool:
        return bool(secret_label(map(self.label, range(min(self.frame.shape[0], LABELS)))))


def secret_label(labels: Iterable[object]) -> str:
    """The first of the labels of rows that looks like the name of a secret, in any of its levels; or empty."""
    for label in islice(labels, LABELS):
        for part in label if isinstance(label, tuple) else (label,):
            if isinstance(part, str) and is_secret_name(part):
                return part
    return ""


def _table(value: Any) -> TableReader | None:
    kind = table_kind(value)
    if not kind:
        return None
    library, name = kind.split()
    reader = _pandas if library == "pandas" else _polars
    return reader(value.to_frame() if name == "Series" else value, sys.modules[library])


def _pandas(frame: Any, pandas: Any) -> TableReader:
    def facts(column: Any) -> tuple[int, str, bool]:
        there, types = column[column.notna()], pandas.api.types
        # Comparing objects of other types would run their code.
        is_text = types.infer_dtype(there.head(COMPARED_TEXTS)) in ("string", "categorical")
        is_number, is_time = types.is_numeric_dtype(there.dtype), types.is_datetime64_any_dtype(there.dtype)
        summary = _summary(there, types.is_bool_dtype(there.dtype), is_number, is_time, is_text)
        return len(column) - len(there), summary, is_text

    def column(place: int, step: int) -> Any:
        return frame.iloc[:, place].iloc[::step]

    names = frame.index.names
    levels = tuple(map(str, names)) if any(name is not None for name in names) else ()
    return TableReader(
        frame, column, facts, lambda row, place: frame.iat[row, place], lambda row: frame.index[row], levels
    )


def _polars(frame: Any, polars: Any) -> TableReader:
    def facts(column: Any) -> tuple[int, str, bool]:
        there, dtype = column.drop_nulls(), column.dtype
        is_text = dtype in (polars.String, polars.Categorical, polars.Enum)
        summary = _summary(there, dtype == polars.Boolean, dtype.is_numeric(), dtype.is_temporal(), is_text)
        return column.null_count(), summary, is_text

    def cell(row: int, place: int) -> object:
        return frame.to_series(place).slice(row, 1).to_list()[0]  # lists as lists

    return TableReader(frame, lambda at, step: frame.to_series(at).gather_every(step), facts, cell, lambda row: row)


def table_columns(value: object) -> list[tuple[str, str]] | None:
    """The names of the columns as Python prints them, with their types; None for other values than tables."""
    reader = _table(value)
    if reader is None:
        return None
    return [(repr(name), str(kind)) for name, kind in zip(reader.frame.columns, reader.frame.dtypes, strict=True)]


def table_index(value: object) -> str:
    """The names and types of the row labels of a table of pandas; empty if they are the numbers of the rows."""
    index: Any = getattr(value, "index", None)
    if not table_kind(value).startswith("pandas") or type(index).__name__ == "RangeIndex":
        return ""
    kinds = [str(kind) for kind in getattr(index, "dtypes", [index.dtype])]
    return ", ".join(f"{name!r} ({kind})" for name, kind in zip(index.names, kinds, strict=False))


def _summary(there: Any, is_bool: bool, is_number: bool, is_time: bool, is_text: bool) -> str:
    if not len(there):
        return ""
    if is_bool:
        return f"{there.mean():.0%} true"
    if is_number:
        return f"{brief(there.min())} to {brief(there.max())}, mean {brief(there.mean())}"
    if not is_text:
        return f"{there.min()} to {there.max()}" if is_time else ""
    some = there.head(COMPARED_TEXTS).unique()
    more = "+" if len(there) > COMPARED_TEXTS else ""
    examples = (cut(redact(str(text)[:SEARCHED_LENGTH])[:LINE_LENGTH], CELL_LENGTH) for text in some[:3])
    return f"{len(some):,}{more} different, such as {', '.join(examples)}"


def table(value: object, inspection: Inspection) -> Description | None:
    """Describe a table: its columns and its first rows."""
    reader = _table(value)
    if reader is None:
        return None
    rows, columns = reader.frame.shape
    most = min(columns, max(1, inspection.room // MIN_ITEM_LENGTH))
    step = -(-rows // min(SAMPLE_ROWS, SAMPLE_CELLS // max(1, most))) or 1
    note = f"Missing values and summary are of every {step:,}th row.\n" if step > 1 else ""
    lines = [table_row(["column", "type", "missing", "summary"]), table_row(["---"] * 4)] if columns else []
    used = sum(map(len, lines)) + len(note) + len(lines)
    for place in range(most):
        lines.append(_column_row(reader, place, step, inspection))
        used += len(lines[-1]) + 1
        if used > inspection.room * (0.6 if rows else 1):
            used -= len(lines.pop()) + 1
            break
    shown = max(0, len(lines) - 2)
    if columns and not shown:  # there is room only for the names
        names = short([str(name) for name in reader.frame.columns[:most]], inspection.room, inspection)
        return Description(headline(value), f"Columns: {names}", None, omitted_of(0, rows, "row"))
    first, wide = _first_rows(reader, shown, inspection.room - used, inspection)
    of = "" if wide == shown else f" of {amount(wide, 'column')}"
    below = f"\nFirst {amount(len(first) - 2, 'row')}{of}:\n\n" if first else ""
    omitted = omitted_of(max(0, len(first) - 2), rows, "row") + omitted_of(shown, columns, "column")
    omitted += ("values marked ***",) if any(f"| {MASK} |" in line for line in (*lines, *first)) else ()
    return Description(headline(value), "\n".join([*lines, note + below + "\n".join(first)]), None, omitted)


def _column_row(reader: TableReader, place: int, step: int, inspection: Inspection) -> str:
    column = reader.column(place, step)
    try:
        missing, summary, is_text = reader.facts(column)
        summary = MASK if is_text and summary and reader.is_secret(None, place, summary, inspection) else summary
        share = f"{missing:,}" if step == 1 else f"{missing / len(column):.1%}"
    except Exception:  # noqa: BLE001 - columns may have any type; one without a summary still has a name
        share = summary = ""
    return table_row(
        [table_cell(reader.frame.columns[place], inspection), table_cell(str(column.dtype), inspection), share, summary]
    )


def _first_rows(reader: TableReader, columns: int, room: int, inspection: Inspection) -> tuple[list[str], int]:
    """The lines of the first rows, of all rows if there is room, and the number of their columns."""
    rows = reader.frame.shape[0]
    while columns and rows:
        titles = table_row(
            [
                cut(", ".join(reader.levels), CELL_LENGTH),
                *(table_cell(reader.frame.columns[place], inspection) for place in range(columns)),
            ]
        )
        lines = [titles, table_row(["---"] * (columns + 1))]
        left = room - LINE_LENGTH // 2 - sum(map(len, lines))  # the line above them
        for row in range(rows):
            line = table_row(
                [
                    table_cell(reader.label(row), inspection),
                    *(_shown(reader, row, place, inspection) for place in range(columns)),
                ]
            )
            left -= len(line) + 1
            if left < 0:
                break
            lines.append(line)
        if len(lines) > 2:
            return (lines if len(lines) == rows + 2 else lines[: FIRST_ROWS + 2]), columns
        columns //= 2
    return [], 0


def _shown(reader: TableReader, row: int, place: int, inspection: Inspection) -> str:
    value = reader.cell(row, place)
    return MASK if reader.is_secret(row, place, value, inspection) else table_cell(value, inspection)


def is_plain_number(value: object) -> bool:
    """Is ``value`` a number of Python or numpy? It is neither a key nor a password."""
    return isinstance(python_number(value), (bool, int, float, complex))


def table_row(cells: list[str]) -> str:
    """A row of a Markdown table."""
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def table_cell(value: object, inspection: Inspection) -> str:
    """A short text for ``value``, without the secrets in it if they are masked."""
    value = python_number(value)
    if isinstance(value, float):
        return brief(value)
    if isinstance(value, str):
        text = str.__getitem__(value, slice(SEARCHED_LENGTH))
        return cut(redact(text) if inspection.masked else text, CELL_LENGTH)
    return cut(
        str(value)
        if type(value).__module__.partition(".")[0] in UNTYPED_MODULES
        else short(value, CELL_LENGTH * 4, inspection),
        CELL_LENGTH,
    )


def array(value: Any, inspection: Inspection) -> Description | None:
    """Describe an array: the range of its numbers, and the first items."""
    if not is_array(value):
        return None
    numpy: Any = sys.modules["numpy"]
    step = -(-value.size // SAMPLE_ROWS) or 1
    facts = _range(value.flat[::step], numpy)
    facts += f" (of every {step:,}th item)\n" if facts and step > 1 else "\n" if facts else ""
    corner, text, room = value, "", max(0, inspection.room - len(facts) - CELL_LENGTH)
    while corner.ndim > 2 and corner.size * 4 > room:
        corner = corner[0]
    if value.dtype.kind in "biufcmM":
        if corner.ndim and corner.size * 4 > room:
            corner = corner[: room // 4 + 1, :8] if corner.ndim > 1 else corner[: room // 4 + 1]
        while not text or (corner.ndim and len(text) > room and len(corner) > 1):
            corner = corner[: len(corner) // 2] if text else corner
            text = numpy.array2string(corner, separator=", ", threshold=corner.size + 1, max_line_width=LINE_LENGTH)
    if not text or len(text) > room:
        corner = value.flat[: max(1, room // MIN_ITEM_LENGTH)]
        text = short(_items(corner), room, inspection)
    omitted = omitted_of(corner.size, value.size, "item") + (SHORTENED if inspection.shortened else ())
    return Description(headline(value), f"{facts}{'The first items:' + chr(10) if omitted else ''}{text}", "", omitted)


def _items(array: Any) -> list[object]:
    """The items of a flat array. Those with named fields are dictionaries, to mask secrets by their names."""
    fields = array.dtype.names
    return [dict(zip(fields, item, strict=True)) for item in array.tolist()] if fields else array.tolist()


def _range(items: Any, numpy: Any) -> str:
    if items.dtype.kind not in "biuf" or not items.size:
        return ""
    if items.dtype.kind == "b":
        return f"{items.mean():.0%} True"
    there = items[numpy.isfinite(items)]
    odd = f", {amount(items.size - there.size, 'item')} not finite" if there.size < items.size else ""
    if not there.size:
        return odd[2:]
    with numpy.errstate(all="ignore"):
        return f"min {brief(there.min())}, max {brief(there.max())}, mean {brief(there.mean(dtype=float))}{odd}"

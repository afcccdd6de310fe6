"""Describe Excel workbooks and Parquet files as tables: their size, their columns and their first rows.

Only the beginning of a file is read. The libraries are imported when such a file is attached.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flowgpt_magic import installing
from flowgpt_magic.prompt.describe.budget import Description, Inspection, amount, omitted_of, type_name
from flowgpt_magic.prompt.describe.problems import (
    AttachmentError,
    MissingLibraryError,
    has_library,
    need_library,
    reading,
)
from flowgpt_magic.prompt.describe.tables import FIRST_ROWS, is_plain_number, table_cell, table_row
from flowgpt_magic.redaction import MASK, is_secret_name
from flowgpt_magic.regular_files import read_beginning

if TYPE_CHECKING:
    from io import BytesIO

SAMPLE = 1_000  # rows that are read
MAX_COLUMNS = 500  # columns of a sheet that are read
MAX_SHEETS = 12  # sheets of a workbook that are described
TIMES = "\N{MULTIPLICATION SIGN}"


@dataclass(frozen=True)
class Beginning:
    """The beginning of a table in a file.

    Attributes:
        columns: the names of the columns.
        types: the type of each.
        rows: the first rows.
        total: the number of all rows.
    """

    columns: Sequence[str]
    types: Sequence[str]
    rows: Sequence[Sequence[Any]]
    total: int

    @property
    def shape(self) -> str:
        return f"{self.total:,} {TIMES} {len(self.columns):,}"


def parquet(path: Path, inspection: Inspection) -> Description:
    """Describe a Parquet file. Raises ``MissingLibraryError`` if neither polars nor pyarrow is installed."""
    if str(path) not in inspection.read:
        inspection.read[str(path)] = _parquet(path)
    beginning: Beginning = inspection.read[str(path)]
    text, rows, columns = _look(beginning, inspection.room, inspection)
    headline = f"Parquet file {path.name}, {_size(beginning)}"
    omitted = (
        *omitted_of(rows, beginning.total, "row"),
        *omitted_of(columns, len(beginning.columns), "column"),
    )
    return Description(headline, text, None, omitted, f"{{}} ({beginning.shape})")


def _parquet(path: Path) -> Beginning:
    use_polars = "polars" in sys.modules or not has_library("pyarrow")
    if use_polars and not has_library("polars"):
        command = installing.packages("pyarrow")
        raise MissingLibraryError(
            f"{path} is not text, and pyarrow or polars is needed to read it: {command} installs one"
        )
    if read_beginning(path, 4)[0] != b"PAR1":
        raise AttachmentError(f"{path} cannot be read as a Parquet file: it has another format")
    try:
        return _with_polars(path) if use_polars else _with_pyarrow(path)
    except Exception as error:  # noqa: BLE001 - a broken file makes libraries raise anything
        raise AttachmentError(f"{path} cannot be read as a Parquet file: {error}") from None


def _with_polars(path: Path) -> Beginning:
    import polars

    lazy = polars.scan_parquet(path, glob=False)
    first, total = lazy.head(SAMPLE).collect(), lazy.select(polars.len()).collect().item()
    return Beginning(first.columns, [str(kind) for kind in first.dtypes], first.rows(), total)


def _with_pyarrow(path: Path) -> Beginning:
    from pyarrow.parquet import ParquetFile

    with ParquetFile(path) as file:
        schema = file.schema_arrow
        batch = next(file.iter_batches(batch_size=SAMPLE), None)
        columns = [column.to_pylist() for column in batch.columns] if batch is not None else []
        types = [str(kind) for kind in schema.types]
        return Beginning(schema.names, types, list(zip(*columns, strict=True)), file.metadata.num_rows)


def workbook(path: Path, inspection: Inspection) -> Description:
    """Describe the sheets of an Excel workbook; a formula by its last value."""
    need_library(path, "openpyxl", "openpyxl")
    if str(path) not in inspection.read:
        with reading(path, "workbook") as content:
            inspection.read[str(path)] = _sheets(content)
    sheets: dict[str, Beginning] = inspection.read[str(path)]
    parts, room, left_out = [], inspection.room, []
    for number, (name, beginning) in enumerate(list(sheets.items())[:MAX_SHEETS]):
        head = f"Sheet {name!r}, {_size(beginning)}:\n"
        share = room // (min(len(sheets), MAX_SHEETS) - number) - len(head) - 2
        text, rows, columns = _look(beginning, share, inspection)
        parts.append(f"{head}{text}".rstrip())
        room -= len(parts[-1]) + 2
        left_out += [f"{words} of {name!r}" for words in omitted_of(rows, beginning.total, "row")]
        left_out += [f"{words} of {name!r}" for words in omitted_of(columns, len(beginning.columns), "column")]
    omitted = (*left_out[:3], *(["more"] if len(left_out) > 3 else []), *omitted_of(len(parts), len(sheets), "sheet"))
    words = amount(len(sheets), "sheet") if len(sheets) > 1 else next(iter(sheets.values())).shape
    return Description(f"Excel workbook {path.name}", "\n\n".join(parts), None, omitted, f"{{}} ({words})")


def _sheets(content: BytesIO) -> dict[str, Beginning]:
    from openpyxl import load_workbook

    book = load_workbook(content, read_only=True, data_only=True, keep_links=False)
    try:
        sheets = {sheet.title: sheet for sheet in book.worksheets}
        read = {name: _sheet(sheet) for name, sheet in list(sheets.items())[:MAX_SHEETS]}
        return {name: read.get(name, Beginning((), (), (), 0)) for name in sheets}
    finally:
        book.close()


def _sheet(sheet: Any) -> Beginning:
    """The beginning of a sheet; its first row has the names of the columns."""
    stated = sheet.max_row or 0
    sheet.reset_dimensions()  # programs may state them wrongly
    rows: Iterator[tuple[Any, ...]] = sheet.iter_rows(max_col=MAX_COLUMNS, values_only=True)
    read = list(islice(rows, SAMPLE + 2))
    while read and not any(value is not None for value in read[-1]) and len(read) < SAMPLE + 2:
        read.pop()
    if not read:
        return Beginning((), (), (), 0)
    wide = max((place for row in read for place, value in enumerate(row, 1) if value is not None), default=0)
    header, *body = [(*row, *[None] * (wide - len(row)))[:wide] for row in read]
    names = [f"column {place}" if name is None else str(name) for place, name in enumerate(header, 1)]
    total = max(stated - 1, len(body)) if len(body) > SAMPLE else len(body)
    return Beginning(names, [_kind_of(column) for column in zip(*body, strict=True)] or [""] * wide, body, total)


def _kind_of(values: Sequence[Any]) -> str:
    kinds = {type_name(value) for value in values if value is not None}
    return " or ".join(sorted(kinds)[:3])


def _size(beginning: Beginning) -> str:
    return f"{amount(beginning.total, 'row')} {TIMES} {amount(len(beginning.columns), 'column')}"


def _look(beginning: Beginning, room: int, inspection: Inspection) -> tuple[str, int, int]:
    """The columns and first rows in ``room`` characters, and how many rows and columns those are."""
    lines = [table_row(["column", "type", "missing"]), table_row(["---"] * 3)]
    used, count = sum(map(len, lines)), 0
    for place, name in enumerate(beginning.columns):
        missing = sum(row[place] is None for row in beginning.rows)
        line = table_row([table_cell(name, inspection), beginning.types[place], f"{missing:,}"])
        if used + len(line) > room * 0.6 and count:
            break
        lines.append(line)
        used, count = used + len(line) + 1, count + 1
    if len(beginning.rows) < beginning.total:
        lines.append(f"Missing values are those of the first {len(beginning.rows):,} rows.")
    rows, wide = _first_rows(beginning, count, room - used - 60, inspection)
    if rows:
        of = "" if wide == count else f" of {amount(wide, 'column')}"
        lines += ["", f"First {amount(len(rows) - 2, 'row')}{of}:", "", *rows]
    return "\n".join(lines) if beginning.columns else "", max(0, len(rows) - 2), count


def _first_rows(beginning: Beginning, columns: int, room: int, inspection: Inspection) -> tuple[list[str], int]:
    """The lines of the first rows, of all rows if there is room, and the number of their columns."""
    while columns and beginning.rows:
        names = beginning.columns[:columns]
        secret = [inspection.masked and is_secret_name(str(name)) for name in names]
        lines = [table_row([table_cell(name, inspection) for name in names]), table_row(["---"] * columns)]
        left = room - sum(map(len, lines))
        for row in beginning.rows:
            cells = zip(row[:columns], secret, strict=True)
            line = table_row([_shown(value, inspection, hidden=hidden) for value, hidden in cells])
            left -= len(line) + 1
            if left < 0:
                break
            lines.append(line)
        if len(lines) > 2:
            return (lines if len(lines) == beginning.total + 2 else lines[: FIRST_ROWS + 2]), columns
        columns //= 2
    return [], 0


def _shown(value: object, inspection: Inspection, *, hidden: bool) -> str:
    return MASK if hidden and value is not None and not is_plain_number(value) else table_cell(value, inspection)

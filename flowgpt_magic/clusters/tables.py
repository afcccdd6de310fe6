"""Read the rows of a partition's table and add columns to it.

A table is a DataFrame of pandas or polars, a Table or RecordBatch of pyarrow, or a mapping of columns, as Ray Data
passes it. None of these libraries is imported here: the library of a given table is loaded already.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flowgpt_magic.errors import PromptError
from flowgpt_magic.text import counted, cut

Columns = Mapping[str, Sequence[str | None]]


@dataclass(frozen=True)
class PartitionTable:
    """A table: its column names, its rows in order, and a function that adds columns of text."""

    names: tuple[str, ...]
    length: int
    rows: Callable[[], Iterator[tuple[Any, ...]]]
    with_columns: Callable[[Columns], Any]

    def items(self) -> Iterator[dict[str, Any]]:
        """Each row as a mapping by column name."""
        for row in self.rows():
            yield dict(zip(self.names, row, strict=True))

    def free_name(self, name: str) -> str:
        """``name``, prefixed with ``reply_`` while the table has a column of that name."""
        while name in self.names:
            name = f"reply_{name}"
        return name


def partition_table(frame: Any) -> PartitionTable:
    """``frame`` as a ``PartitionTable``.

    Raises ``PromptError`` if it is not a table, has columns of unequal length, or several columns of one name.
    """
    for library, kind, read in _KINDS:
        module = sys.modules.get(library)
        if module is not None and isinstance(frame, getattr(module, kind)):
            return _checked(read(frame))
    if isinstance(frame, Mapping):
        return _checked(_mapping(frame))
    raise PromptError(
        f"a partition is a table of pandas, polars or pyarrow, or a mapping of columns, not {type(frame).__name__}"
    )


def _checked(table: PartitionTable) -> PartitionTable:
    duplicates = [name for name in dict.fromkeys(table.names) if table.names.count(name) > 1]
    if duplicates:
        names = cut(", ".join(map(repr, duplicates)), 200)
        raise PromptError(f"the table has several columns called {names}: rename them, so that each has its own name")
    return table


def _pandas(frame: Any) -> PartitionTable:
    def with_columns(columns: Columns) -> Any:
        import pandas

        # With an explicit type: a column with only None would get another type in each partition.
        added = {name: pandas.array(list(values), dtype="string") for name, values in columns.items()}
        return pandas.concat([frame, pandas.DataFrame(added, index=frame.index)], axis=1)

    names = tuple(map(str, frame.columns))
    return PartitionTable(names, len(frame), lambda: frame.itertuples(index=False, name=None), with_columns)


def _polars(frame: Any) -> PartitionTable:
    def with_columns(columns: Columns) -> Any:
        import polars

        return frame.with_columns(
            [polars.Series(name, list(values), dtype=polars.String) for name, values in columns.items()]
        )

    return PartitionTable(tuple(frame.columns), frame.height, frame.iter_rows, with_columns)


def _pyarrow(table: Any) -> PartitionTable:
    def rows() -> Iterator[tuple[Any, ...]]:
        columns = [column.to_pylist() for column in table.columns]
        yield from zip(*columns, strict=True)

    def with_columns(columns: Columns) -> Any:
        import pyarrow

        whole = table
        for name, values in columns.items():
            whole = whole.append_column(name, pyarrow.array(list(values), pyarrow.string()))
        return whole

    return PartitionTable(tuple(table.schema.names), table.num_rows, rows, with_columns)


def _mapping(columns: Mapping[Any, Any]) -> PartitionTable:
    named = {str(name): values for name, values in columns.items()}
    for name, values in named.items():
        if isinstance(values, (str, bytes)) or not hasattr(values, "__len__"):
            raise PromptError(f"the column {name!r} of the table is {type(values).__name__}: give a list or an array")
    lengths = {len(values) for values in named.values()}
    if len(lengths) > 1:
        counts = ", ".join(f"{name} has {counted(len(values), 'value')}" for name, values in named.items())
        raise PromptError(f"the columns of the table are not of equal length: {cut(counts, 200)}")

    def with_columns(added: Columns) -> dict[Any, Any]:
        return {**columns, **{name: _like(columns, values) for name, values in added.items()}}

    names = tuple(map(str, columns))
    return PartitionTable(names, next(iter(lengths), 0), lambda: zip(*named.values(), strict=True), with_columns)


def _like(columns: Mapping[Any, Any], values: Sequence[str | None]) -> Any:
    """``values`` as a list, or as an array if other columns are arrays."""
    numpy = sys.modules.get("numpy")
    if numpy is not None and any(isinstance(column, numpy.ndarray) for column in columns.values()):
        return numpy.array(list(values), dtype=object)
    return list(values)


_KINDS: tuple[tuple[str, str, Callable[[Any], PartitionTable]], ...] = (
    ("pandas", "DataFrame", _pandas),
    ("polars", "DataFrame", _polars),
    ("pyarrow", "Table", _pyarrow),
    ("pyarrow", "RecordBatch", _pyarrow),
)

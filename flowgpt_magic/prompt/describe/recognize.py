"""Recognize the tables, arrays and numbers of libraries without importing those.

Another kind of table is a name in ``TABLE_CLASSES`` and a reader in ``tables``.
"""

from __future__ import annotations

import sys
from typing import Any

from flowgpt_magic.prompt.describe.budget import amount

TABLE_CLASSES = {"pandas": ("DataFrame", "Series"), "polars": ("DataFrame", "Series")}
LONG_INTEGER = 4_000  # bits; Python may refuse to print a longer one


def python_number(value: object) -> object:
    """A number of numpy as a Python number; any other value unchanged."""
    numpy: Any = sys.modules.get("numpy")
    scalar: Any = value
    is_number = isinstance(value, getattr(numpy, "generic", ())) and scalar.dtype.kind in "biufc"
    return scalar.item() if is_number else value


def brief(value: object) -> str:
    """A number with six digits; an integer with all its digits."""
    value = python_number(value)
    return number(value) if isinstance(value, int) else f"{value:.6g}"


def number(value: object) -> str:
    """A number as Python prints it; only the size of an integer with thousands of digits."""
    if isinstance(value, int) and value.bit_length() > LONG_INTEGER:
        return f"<integer of {value.bit_length():,} bits>"
    return repr(value)


def is_array(value: object) -> bool:
    """Is ``value`` an array of a class of numpy, and not an instance of a subclass?"""
    numpy: Any = sys.modules.get("numpy")
    return type(value) in [getattr(numpy, name, None) for name in ("ndarray", "memmap", "recarray")]


def headline(value: object) -> str:
    """What a table or an array is, in a few words; empty for other values."""
    if is_array(value):
        array: Any = value
        return f"numpy array, shape {array.shape}, {array.dtype}"
    kind = table_kind(value)
    if not kind:
        return ""
    table: Any = value
    rows, *columns = table.shape
    wide = f" \N{MULTIPLICATION SIGN} {amount(columns[0], 'column')}" if columns else ""
    return f"{kind}, {amount(rows, 'row')}{wide}"


def size_of(value: object) -> str:
    """The rows and columns of a table, or the shape of an array, in brackets; empty for other values."""
    if not (is_array(value) or table_kind(value)):
        return ""
    table: Any = value
    lengths = " \N{MULTIPLICATION SIGN} ".join(f"{length:,}" for length in table.shape)
    return f" ({lengths})" if lengths else ""


def table_kind(value: object) -> str:
    """The library and class of a table, such as ``pandas DataFrame``; empty for other values."""
    for library, kinds in TABLE_CLASSES.items():
        module: Any = sys.modules.get(library)
        for kind in kinds:
            if isinstance(value, getattr(module, kind, ())):
                return f"{library} {kind}"
    return ""

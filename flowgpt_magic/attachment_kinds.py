"""What a value shows of itself in a limited room: containers, objects, tables and arrays.

A value may be huge, circular or broken, and its code may never return. So only as much of it is looked at as is shown,
and a user's own ``__repr__`` is waited for on another thread, not for long. No library is imported for its values.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from flowgpt_magic.plain_text import cut, one_line
from flowgpt_magic.references import secret_name
from flowgpt_magic.secrecy import without_passwords

PATIENCE = 2.0  # seconds that the code of a user's objects may take in all, for one value
DEPTH = 6  # levels of nested containers that are shown
LINE = 100  # characters; a container that fits into a line is shown as Python shows it, with nothing around
LEAST = 24  # characters that an item of a container gets, however many there are
SAMPLE = 100_000  # rows of a table, or items of an array, that are computed with
SAMPLED_CELLS = 2_000_000  # of a table
TEXTS = 10_000  # values of a column of texts that are compared
ROWS = 10  # of a table that is not shown whole
SHORTENED = ("parts marked …",)  # in ``Shown.cut``
CELL = 40  # characters of a table's cell
PLAIN = {"datetime", "decimal", "numpy", "pandas"}  # modules whose values are shown without their type in a cell
LONG_INTEGER = 4_000  # bits; Python may refuse to write out a longer one


@dataclass(frozen=True)
class Shown:
    """A value as text: a line that says what it is, what stands below, and what was left out.

    ``fence`` is the language of the block that ``body`` stands in, None if it stands in none. Without a ``headline``
    the body is all there is. ``cut`` holds phrases such as ``12 of 40 columns``.
    """

    headline: str
    body: str = ""
    fence: str | None = None
    cut: tuple[str, ...] = ()


@dataclass
class Look:
    """One value being looked at, for which there is ``room`` for so many characters.

    Are secrets ``masked``, is room kept for later ones (``fair``), was anything ``shortened``, how many ``seconds`` are
    left for its code? ``heard`` is what each object said of itself, by its id, with the object.
    """

    room: int
    masked: bool = True
    fair: bool = True
    shortened: bool = False
    seconds: float = PATIENCE
    heard: dict[int, tuple[object, str]] = field(default_factory=dict)


def type_name(value: object) -> str:
    return one_line(type(value).__name__)[:CELL]


def amount(number: int, one: str) -> str:
    """``1 row``, ``10,000 rows``."""
    return f"{number:,} {one}{'' if number == 1 else 's'}"


def not_all(shown: int, there: int, one: str) -> tuple[str, ...]:
    """What ``Shown.cut`` says where only ``shown`` of all that is ``there`` are shown."""
    return (f"{there - shown:,} of {amount(there, one)}",) if shown < there else ()


class Trouble(str):
    """Why an object said nothing."""


def said(value: object, call: Callable[[], object], what: str, look: Look) -> object:
    """What ``call``, a method of ``value``, returns; ``Trouble`` if it fails or takes too long.

    It runs on a thread that is left alone after that, so it may go on for as long as it likes. ``what`` names it.
    """
    from contextvars import copy_context
    from threading import Thread

    outcome: list[object] = []
    kind = type_name(value)

    def attempt() -> None:
        try:
            outcome.append(call())
        except BaseException as error:  # noqa: BLE001 - nobody else would catch it here; it becomes text
            outcome.append(Trouble(f"<{kind}; its {what} failed: {_message(error)}>"))

    if look.seconds <= 0:
        return Trouble(f"<{kind}; its {what} was not asked for: others took longer than {PATIENCE:g} s>")
    begun = time.monotonic()
    thread = Thread(target=copy_context().run, args=(attempt,), daemon=True, name=f"{what} of {kind}")
    thread.start()
    thread.join(look.seconds)
    look.seconds -= time.monotonic() - begun
    return outcome[0] if outcome else Trouble(f"<{kind}; its {what} took longer than {PATIENCE:g} s>")


def _message(error: BaseException) -> str:
    try:
        return f"{type_name(error)}: {one_line(str(error)[:300])}"
    except BaseException:  # noqa: BLE001 - a message is a user's code as well
        return type_name(error)


def own_repr(value: object, look: Look) -> str:
    """What ``repr`` says of an object, or why it says nothing. Each is asked once."""
    if id(value) not in look.heard:
        text = said(value, lambda: str.__str__(repr(value)), "repr", look)  # no subclass, which might slice as it likes
        look.heard[id(value)] = value, str(text)
    return look.heard[id(value)][1]


@dataclass(frozen=True)
class Parts:
    """What a value consists of. ``between`` stands between a key and its value; without it there are no keys."""

    opening: str
    closing: str
    length: int
    items: Iterable[tuple[object, object]]
    between: str = ""


_BRACKETS: dict[type, tuple[str, str]] = {list: ("[", "]"), tuple: ("(", ")"), set: ("{", "}"), frozenset: ("{", "}")}
_VIEWS: tuple[type, ...] = (type({}.keys()), type({}.values()), type({}.items()))
_MAPPINGS = {"os._Environ", "builtins.mappingproxy", "collections.ChainMap", "collections.UserDict"}
_SEQUENCES = {"collections.deque", "collections.UserList", "array.array"}


def parts(value: object) -> Parts | None:
    """The parts of a container, or of an object whose fields say what it is; None for other values.

    They are read as the builtin class reads them, whatever a subclass does.
    """
    kind = type(value)
    name, full_name = type_name(value), f"{kind.__module__}.{kind.__name__}"
    if isinstance(value, dict):
        around = ("{", "}") if kind is dict else (f"{name}({{", "})")
        return Parts(*around, dict.__len__(value), dict.items(value), ": ")
    if full_name in _MAPPINGS:
        mapping: Any = value
        return Parts(f"{name}({{", "})", len(mapping), mapping.items(), ": ")
    if (names := _field_names(value)) is not None:
        found = [(each, getattr(value, each, "…")) for each in names]
        return Parts(f"{name}(", ")", len(found), found, "=")
    for base, (opening, closing) in _BRACKETS.items():
        if isinstance(value, base):
            length, items = _sequence(base, value)
            closing = ",)" if base is tuple and length == 1 else closing
            around = (opening, closing) if kind is base is not frozenset else (f"{name}({opening}", f"{closing})")
            return Parts(*around, length, items)
    if full_name in _SEQUENCES or kind in _VIEWS:
        return Parts(f"{name}([", "])", *_sequence(kind, value))
    return None


def _sequence(kind: Any, value: object) -> tuple[int, Iterable[tuple[object, object]]]:
    return kind.__len__(value), ((None, each) for each in kind.__iter__(value))


def _field_names(value: object) -> list[str] | None:
    """The fields of a dataclass, a pydantic model, a named tuple, or an object of which Python says only its address.

    None if there are none, or if the class has a ``__repr__`` of its own, which may keep something to itself.
    """
    kind: Any = type(value)
    written = kind.__repr__
    if isinstance(getattr(kind, "__dataclass_fields__", None), dict) and hasattr(written, "__wrapped__"):
        return [name for name, each in kind.__dataclass_fields__.items() if each.repr]
    if isinstance(value, tuple) and isinstance(getattr(kind, "_fields", None), tuple):
        return list(kind._fields)
    if getattr(written, "__module__", "") == "pydantic.main":
        return [name for name, each in kind.model_fields.items() if getattr(each, "repr", True)]
    if written is object.__repr__ or f"{kind.__module__}.{kind.__name__}" == "types.SimpleNamespace":
        return [name for name in getattr(value, "__dict__", ()) if not name.startswith("_")] or None
    return None


def short(value: object, room: int, look: Look, above: tuple[int, ...] = ()) -> str:
    """``value`` on one line of at most ``room`` characters; ``above`` are the ids of the containers it is in."""
    value = python_number(value)
    if id(value) in above:
        text = f"<the same {type_name(value)} again>"
    elif isinstance(value, (str, bytes, bytearray)):
        text = _short_text(value, room, look)
    elif value is None or type(value) in (bool, int, float, complex):
        text = number(value)
    elif found := headline(value):
        text = f"<{found}>"
    elif found_parts := parts(value):
        text = _short_parts(found_parts, room, look, (*above, id(value)))
    else:
        text = one_line(own_repr(value, look)[: room + 1])
    return _cut(text, room, look)


def _cut(text: str, room: int, look: Look) -> str:
    look.shortened = look.shortened or len(text) > room
    return text if len(text) <= room else f"{text[: max(0, room - 1)]}…"[: max(0, room)]


def python_number(value: object) -> object:
    """A number of numpy's as the number of Python's that it is; anything else as it is."""
    numpy: Any = sys.modules.get("numpy")
    found: Any = value
    return found.item() if isinstance(value, getattr(numpy, "generic", ())) and found.dtype.kind in "biufc" else value


def brief(value: object) -> str:
    """A number in six digits, but an integer in all of its own."""
    value = python_number(value)
    return number(value) if isinstance(value, int) else f"{value:.6g}"


def number(value: object) -> str:
    """A number as Python writes it; an integer of thousands of digits by its size."""
    if isinstance(value, int) and value.bit_length() > LONG_INTEGER:
        return f"<integer of {value.bit_length():,} bits>"
    return repr(value)


def _short_text(value: str | bytes | bytearray, room: int, look: Look) -> str:
    if not isinstance(value, str):
        return repr(bytes(value[: room + 1]))
    text = str.__getitem__(value, slice(room + 1000))  # a password is found by the sign that comes after it
    return repr((without_passwords(text) if look.masked else text)[: room + 1])


def _short_parts(found: Parts, room: int, look: Look, above: tuple[int, ...]) -> str:
    inside = room - len(found.opening) - len(found.closing)
    entries = _entries(found, inside, 2, look, above) if len(above) < DEPTH else []
    rest = found.length - len(entries)
    if rest:
        look.shortened = True
        entries.append(f"… {rest:,} more" if entries else f"… {amount(rest, 'item')}")
    return f"{found.opening}{', '.join(entries)}{found.closing}"


def _entries(found: Parts, room: int, gap: int, look: Look, above: tuple[int, ...]) -> list[str]:
    """The first parts, as many as have ``room`` with ``gap`` characters after each.

    Nobody takes more than a tenth of what is left while nine others wait, so that the first is not all there is.
    """
    entries: list[str] = []
    left = room
    for key, value in islice(found.items, max(0, room // (gap + 1)) + 1):
        waiting = found.length - len(entries) if look.fair else 1
        share = max(left // min(waiting, 10) - gap, LEAST)
        entry = _entry(key, value, found.between, share, look, above)
        left -= len(entry) + gap
        if left + gap < 0 or (waiting > 1 and left < LEAST // 2):
            break
        entries.append(entry)
    return entries


def _entry(key: object, value: object, between: str, room: int, look: Look, above: tuple[int, ...]) -> str:
    if not between:
        return short(value, room, look, above)
    name = key.decode("latin-1") if isinstance(key, bytes) else key
    label = str(key) if between == "=" else short(key, room // 2, look, above)
    if look.masked and isinstance(name, str) and secret_name(name) and not (value is None or isinstance(value, bool)):
        return f"{label}{between}***"
    return f"{label}{between}{short(value, max(room - len(label) - len(between), 1), look, above)}"


def container(value: object, look: Look) -> Shown | None:
    """A container or an object with fields: on one line if it fits there, else with an item or a few on each."""
    found = parts(value)
    if found is None:
        return None
    look.fair = False
    line = short(value, min(look.room, LINE), look)
    if not look.shortened:
        return Shown("", line)
    look.fair, look.shortened = True, False
    found = parts(value) or found  # a sequence is read once
    word = "field" if found.between == "=" else "item"
    entries = _entries(found, look.room - len(found.opening) - len(found.closing) - 8, 3, look, (id(value),))
    few = not found.between and all(len(each) <= CELL for each in entries)
    text = _filled(entries) if few else ",\n ".join(entries)
    left_out = not_all(len(entries), found.length, word)
    body = f"{found.opening}{text}{', …' if left_out else ''}{found.closing}"
    left_out += SHORTENED if look.shortened else ()
    return Shown(f"{type_name(value)}, {amount(found.length, word)}", body, "", left_out)


def _filled(entries: list[str]) -> str:
    lines = [""]
    for entry in entries:
        if lines[-1] and len(lines[-1]) + len(entry) > LINE:
            lines.append("")
        lines[-1] += f"{', ' if lines[-1] else ''}{entry}"
    return ",\n ".join(lines)


@dataclass(frozen=True)
class Table:
    """A table of any library, of which a column or a cell is read at a time.

    ``column(place, step)`` is every step-th value of a column; ``facts`` of it are how many are missing, and a summary.
    """

    kind: str
    frame: Any
    column: Callable[[int, int], Any]
    facts: Callable[[Any], tuple[int, str]]
    cell: Callable[[int, int], object]
    label: Callable[[int], object]

    def headline(self) -> str:
        rows, columns = self.frame.shape
        wide = "" if self.kind.endswith("Series") else f" \N{MULTIPLICATION SIGN} {amount(columns, 'column')}"
        return f"{self.kind}, {amount(rows, 'row')}{wide}"


def _table(value: object) -> Table | None:
    for library, reader in (("pandas", _pandas), ("polars", _polars)):
        module: Any = sys.modules.get(library)
        for kind in ("DataFrame", "Series"):
            if isinstance(value, getattr(module, kind, ())):
                frame: Any = value
                return reader(f"{library} {kind}", frame.to_frame() if kind == "Series" else frame, module)
    return None


def _pandas(kind: str, frame: Any, pandas: Any) -> Table:
    def facts(column: Any) -> tuple[int, str]:
        there, types = column[column.notna()], pandas.api.types
        # To compare objects of other types would run their code.
        is_text = types.infer_dtype(there.head(TEXTS)) in ("string", "categorical")
        is_number, is_time = types.is_numeric_dtype(there.dtype), types.is_datetime64_any_dtype(there.dtype)
        return len(column) - len(there), _summary(there, types.is_bool_dtype(there.dtype), is_number, is_time, is_text)

    def column(place: int, step: int) -> Any:
        return frame.iloc[:, place].iloc[::step]

    return Table(kind, frame, column, facts, lambda row, place: frame.iat[row, place], lambda row: frame.index[row])


def _polars(kind: str, frame: Any, polars: Any) -> Table:
    def facts(column: Any) -> tuple[int, str]:
        there, dtype = column.drop_nulls(), column.dtype
        is_text = dtype in (polars.String, polars.Categorical, polars.Enum)
        summary = _summary(there, dtype == polars.Boolean, dtype.is_numeric(), dtype.is_temporal(), is_text)
        return column.null_count(), summary

    def cell(row: int, place: int) -> object:
        return frame.to_series(place).slice(row, 1).to_list()[0]  # lists as lists

    return Table(kind, frame, lambda at, step: frame.to_series(at).gather_every(step), facts, cell, lambda row: row)


def _summary(there: Any, is_bool: bool, is_number: bool, is_time: bool, is_text: bool) -> str:
    if not len(there):
        return ""
    if is_bool:
        return f"{there.mean():.0%} true"
    if is_number:
        return f"{brief(there.min())} to {brief(there.max())}, mean {brief(there.mean())}"
    if not is_text:
        return f"{there.min()} to {there.max()}" if is_time else ""
    some = there.head(TEXTS).unique()
    more = "+" if len(there) > TEXTS else ""
    return f"{len(some):,}{more} different, such as {', '.join(cut(str(each)[:LINE], CELL) for each in some[:3])}"


def table(value: object, look: Look) -> Shown | None:
    """A table: what is in its columns, and its first rows."""
    found = _table(value)
    if found is None:
        return None
    rows, columns = found.frame.shape
    most = min(columns, max(1, look.room // LEAST))
    step = -(-rows // min(SAMPLE, SAMPLED_CELLS // max(1, most))) or 1
    note = f"Missing values and summary are of every {step:,}th row.\n" if step > 1 else ""
    lines = [_row(["column", "type", "missing", "summary"]), _row(["---"] * 4)] if columns else []
    used = sum(map(len, lines)) + len(note) + len(lines)
    for place in range(most):
        lines.append(_column_row(found, place, step, look))
        used += len(lines[-1]) + 1
        if used > look.room * (0.6 if rows else 1):
            used -= len(lines.pop()) + 1
            break
    shown = max(0, len(lines) - 2)
    if columns and not shown:  # there is room for nothing but the names
        names = short([str(each) for each in found.frame.columns[:most]], look.room, look)
        return Shown(found.headline(), f"Columns: {names}", None, not_all(0, rows, "row"))
    first, wide = _first_rows(found, shown, look.room - used, look)
    of = "" if wide == shown else f" of {amount(wide, 'column')}"
    below = f"\nFirst {amount(len(first) - 2, 'row')}{of}:\n\n" if first else ""
    left_out = not_all(max(0, len(first) - 2), rows, "row") + not_all(shown, columns, "column")
    return Shown(found.headline(), "\n".join([*lines, note + below + "\n".join(first)]), None, left_out)


def _column_row(found: Table, place: int, step: int, look: Look) -> str:
    column = found.column(place, step)
    try:
        missing, summary = found.facts(column)
        share = f"{missing:,}" if step == 1 else f"{missing / len(column):.1%}"
    except Exception:  # noqa: BLE001 - there are columns of any type; one that cannot be summed up still has a name
        share = summary = ""
    return _row([_cell(found.frame.columns[place], look), _cell(str(column.dtype), look), share, summary])


def _first_rows(found: Table, columns: int, room: int, look: Look) -> tuple[list[str], int]:
    """The lines of the first rows, all if there is room for them, and how many columns they have."""
    rows = found.frame.shape[0]
    while columns and rows:
        titles = _row(["", *(_cell(found.frame.columns[place], look) for place in range(columns))])
        lines = [titles, _row(["---"] * (columns + 1))]
        left = room - LINE // 2 - sum(map(len, lines))  # the words above them are half a line
        for row in range(rows):
            cells = [_cell(found.label(row), look), *(_cell(found.cell(row, place), look) for place in range(columns))]
            line = _row(cells)
            left -= len(line) + 1
            if left < 0:
                break
            lines.append(line)
        if len(lines) > 2:
            return (lines if len(lines) == rows + 2 else lines[: ROWS + 2]), columns
        columns //= 2
    return [], 0


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(each.replace('|', chr(92) + '|') for each in cells)} |"


def _cell(value: object, look: Look) -> str:
    value = python_number(value)
    if isinstance(value, float):
        return brief(value)
    if isinstance(value, str):
        return cut(str.__getitem__(value, slice(CELL * 4)), CELL)
    return cut(str(value) if type(value).__module__.partition(".")[0] in PLAIN else short(value, CELL * 4, look), CELL)


def _is_array(value: object) -> bool:
    numpy: Any = sys.modules.get("numpy")
    return type(value) in (getattr(numpy, "ndarray", None), getattr(numpy, "memmap", None))


def headline(value: object) -> str:
    """What a table or an array is, in a few words; "" for other values."""
    if _is_array(value):
        found: Any = value
        return f"numpy array, shape {found.shape}, {found.dtype}"
    found = _table(value)
    return found.headline() if found else ""


def array(value: Any, look: Look) -> Shown | None:
    """An array: what its numbers range over, and the first of them."""
    if not _is_array(value):
        return None
    numpy: Any = sys.modules["numpy"]
    step = -(-value.size // SAMPLE) or 1
    facts = _range(value.flat[::step], numpy)
    facts += f" (of every {step:,}th item)\n" if facts and step > 1 else "\n" if facts else ""
    corner, text, room = value, "", max(0, look.room - len(facts) - CELL)
    while corner.ndim > 2 and corner.size * 4 > room:
        corner = corner[0]
    if value.dtype.kind in "biufcmM":
        if corner.ndim and corner.size * 4 > room:
            corner = corner[: room // 4 + 1, :8] if corner.ndim > 1 else corner[: room // 4 + 1]
        while not text or (corner.ndim and len(text) > room and len(corner) > 1):
            corner = corner[: len(corner) // 2] if text else corner
            text = numpy.array2string(corner, separator=", ", threshold=corner.size + 1, max_line_width=LINE)
    if not text or len(text) > room:
        corner = value.flat[: max(1, room // LEAST)]
        text = short(corner.tolist(), room, look)
    left_out = not_all(corner.size, value.size, "item") + (SHORTENED if look.shortened else ())
    return Shown(headline(value), f"{facts}{'The first items:' + chr(10) if left_out else ''}{text}", "", left_out)


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

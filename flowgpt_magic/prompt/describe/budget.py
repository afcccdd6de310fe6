"""How a value is looked at: for how much room there is, and for how long its own code is waited for.

A value may be huge or broken, and its code may never return. So a user's own ``__repr__`` is waited for on another
thread, not for long. No library is imported for its values.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from flowgpt_magic.text import one_line

CODE_SECONDS = 2.0  # seconds that the code of a user's objects may take in all, for one value
LINE_LENGTH = 100  # characters; a container that fits into a line is shown as Python shows it, with nothing around
SHORTENED = ("parts marked …",)  # in ``Shown.cut``
CELL_LENGTH = 40  # characters of a table's cell
LONG_INTEGER = 4_000  # bits; Python may refuse to write out a longer one


@dataclass(frozen=True)
class Description:
    """A value as text: a line that says what it is, what stands below, and what was left out.

    ``fence`` is the language of the block that ``body`` stands in, None if it stands in none. Without a ``headline``
    the body is all there is. ``cut`` holds phrases such as ``12 of 40 columns``.
    """

    headline: str
    body: str = ""
    fence: str | None = None
    cut: tuple[str, ...] = ()


@dataclass
class Inspection:
    """One value being looked at, for which there is ``room`` for so many characters.

    Are secrets ``masked``, is room kept for later ones (``fair``), was anything ``shortened``, how many ``seconds`` are
    left for its code? ``reprs`` is what each object said of itself, by its id, with the object.
    """

    room: int
    masked: bool = True
    fair: bool = True
    shortened: bool = False
    seconds: float = CODE_SECONDS
    reprs: dict[int, tuple[object, str]] = field(default_factory=dict)


def type_name(value: object) -> str:
    return one_line(type(value).__name__)[:CELL_LENGTH]


def amount(number: int, one: str) -> str:
    """``1 row``, ``10,000 rows``."""
    return f"{number:,} {one}{'' if number == 1 else 's'}"


def omitted_of(shown: int, there: int, one: str) -> tuple[str, ...]:
    """What ``Shown.cut`` says where only ``shown`` of all that is ``there`` are shown."""
    return (f"{there - shown:,} of {amount(there, one)}",) if shown < there else ()


class CallFailure(str):
    """Why an object said nothing."""


def call_with_timeout(value: object, call: Callable[[], object], what: str, inspection: Inspection) -> object:
    """What ``call``, a method of ``value``, returns; ``CallFailure`` if it fails or takes too long.

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
            outcome.append(CallFailure(f"<{kind}; its {what} failed: {_message(error)}>"))

    if inspection.seconds <= 0:
        return CallFailure(f"<{kind}; its {what} was not asked for: others took longer than {CODE_SECONDS:g} s>")
    begun = time.monotonic()
    thread = Thread(target=copy_context().run, args=(attempt,), daemon=True, name=f"{what} of {kind}")
    thread.start()
    thread.join(inspection.seconds)
    inspection.seconds -= time.monotonic() - begun
    return outcome[0] if outcome else CallFailure(f"<{kind}; its {what} took longer than {CODE_SECONDS:g} s>")


def _message(error: BaseException) -> str:
    try:
        return f"{type_name(error)}: {one_line(str(error)[:300])}"
    except BaseException:  # noqa: BLE001 - a message is a user's code as well
        return type_name(error)


def own_repr(value: object, inspection: Inspection) -> str:
    """What ``repr`` says of an object, or why it says nothing. Each is asked once."""
    if id(value) not in inspection.reprs:
        text = call_with_timeout(
            value, lambda: str.__str__(repr(value)), "repr", inspection
        )  # no subclass, which might slice as it likes
        inspection.reprs[id(value)] = value, str(text)
    return inspection.reprs[id(value)][1]


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


def is_array(value: object) -> bool:
    """Is it an array of numpy, and not of a class derived from it?"""
    numpy: Any = sys.modules.get("numpy")
    return type(value) in (getattr(numpy, "ndarray", None), getattr(numpy, "memmap", None))


def headline(value: object) -> str:
    """What a table or an array is, in a few words; "" for other values."""
    if is_array(value):
        found: Any = value
        return f"numpy array, shape {found.shape}, {found.dtype}"
    kind = table_kind(value)
    if not kind:
        return ""
    table: Any = value
    rows, *columns = table.shape
    wide = f" \N{MULTIPLICATION SIGN} {amount(columns[0], 'column')}" if columns else ""
    return f"{kind}, {amount(rows, 'row')}{wide}"


def table_kind(value: object) -> str:
    """``pandas DataFrame``, for example; "" for what is no table."""
    for library in ("pandas", "polars"):
        module: Any = sys.modules.get(library)
        for kind in ("DataFrame", "Series"):
            if isinstance(value, getattr(module, kind, ())):
                return f"{library} {kind}"
    return ""

"""Describe containers and objects with fields, also nested ones, in a limited number of characters.

They may be huge or circular. Only the items that are shown are read.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, replace
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
    own_repr,
    type_name,
)
from flowgpt_magic.prompt.describe.recognize import headline, number, python_number
from flowgpt_magic.redaction import is_environment_secret, is_secret_name, redact_environment
from flowgpt_magic.text import one_line

MAX_DEPTH = 6  # levels of nested containers that are shown
MIN_ITEM_LENGTH = 24  # characters that each item gets, however many there are


@dataclass(frozen=True)
class Structure:
    """The items of a container.

    Args:
        opening: the text before the items.
        closing: the text after them.
        length: the number of items.
        items: pairs of a key and a value; the key is None if there are no keys.
        between: separates a key from its value; "" if there are no keys.
    """

    opening: str
    closing: str
    length: int
    items: Iterable[tuple[object, object]]
    between: str = ""


_BRACKETS: dict[type, tuple[str, str]] = {list: ("[", "]"), tuple: ("(", ")"), set: ("{", "}"), frozenset: ("{", "}")}


_VIEWS: tuple[type, ...] = (type({}.keys()), type({}.values()), type({}.items()))


_MAPPINGS = {"os._Environ", "builtins.mappingproxy", "collections.ChainMap", "collections.UserDict"}


_SEQUENCES = {"collections.deque", "collections.UserList", "array.array"}


def structure_of(value: object) -> Structure | None:
    """The items of a container, or the fields of an object; None for other values.

    They are read with the methods of the built-in class, whatever a subclass overrides.
    """
    kind = type(value)
    name, full_name = type_name(value), f"{kind.__module__}.{kind.__name__}"
    if isinstance(value, dict):
        around = ("{", "}") if kind is dict else (f"{name}({{", "})")
        return Structure(*around, dict.__len__(value), dict.items(value), ": ")
    if full_name in _MAPPINGS:
        mapping: Any = value
        return Structure(f"{name}({{", "})", len(mapping), mapping.items(), ": ")
    if (names := _field_names(value)) is not None:
        fields = [(field, getattr(value, field, "…")) for field in names]
        return Structure(f"{name}(", ")", len(fields), fields, "=")
    for base, (opening, closing) in _BRACKETS.items():
        if isinstance(value, base):
            length, items = _sequence(base, value)
            closing = ",)" if base is tuple and length == 1 else closing
            around = (opening, closing) if kind is base is not frozenset else (f"{name}({opening}", f"{closing})")
            return Structure(*around, length, items)
    if full_name in _SEQUENCES or kind in _VIEWS:
        return Structure(f"{name}([", "])", *_sequence(kind, value))
    return None


def _sequence(kind: Any, value: object) -> tuple[int, Iterable[tuple[object, object]]]:
    return kind.__len__(value), ((None, item) for item in kind.__iter__(value))


def _field_names(value: object) -> list[str] | None:
    """The fields of a dataclass, a pydantic model, a named tuple, or an object whose ``repr`` is just its address.

    None if there are none, or if the class has its own ``__repr__``, which may hide a field on purpose.
    """
    kind: Any = type(value)
    class_repr = kind.__repr__
    if isinstance(getattr(kind, "__dataclass_fields__", None), dict) and hasattr(class_repr, "__wrapped__"):
        return [name for name, field in kind.__dataclass_fields__.items() if field.repr]
    if isinstance(value, tuple) and isinstance(getattr(kind, "_fields", None), tuple):
        return list(kind._fields)
    if getattr(class_repr, "__module__", "") == "pydantic.main":
        return [name for name, field in kind.model_fields.items() if getattr(field, "repr", True)]
    if class_repr is object.__repr__ or f"{kind.__module__}.{kind.__name__}" == "types.SimpleNamespace":
        return [name for name in getattr(value, "__dict__", ()) if not name.startswith("_")] or None
    return None


def short(value: object, room: int, inspection: Inspection, above: tuple[int, ...] = ()) -> str:
    """``value`` on one line of at most ``room`` characters; ``above`` has the ids of the containers around it."""
    value = python_number(value)
    if id(value) in above:
        text = f"<the same {type_name(value)} again>"
    elif isinstance(value, (str, bytes, bytearray)):
        text = _short_text(value, room, inspection)
    elif value is None or type(value) in (bool, int, float, complex):
        text = number(value)
    elif line := headline(value):
        text = f"<{line}>"
    elif structure := structure_of(value):
        text = _short_items(structure, room, inspection, (*above, id(value)))
    else:
        text = one_line(own_repr(value, inspection)[: room + 1])
    return _cut(text, room, inspection)


def _cut(text: str, room: int, inspection: Inspection) -> str:
    inspection.shortened = inspection.shortened or len(text) > room
    return text if len(text) <= room else f"{text[: max(0, room - 1)]}…"[: max(0, room)]


def _short_text(value: str | bytes | bytearray, room: int, inspection: Inspection) -> str:
    if not isinstance(value, str):
        text = repr(bytes(value[: room + 1000]))
        return (redact_environment(text) if inspection.masked else text)[: room + 1]
    text = str.__getitem__(value, slice(room + 1000))  # a password is recognized by the character after it
    return repr((redact_environment(text) if inspection.masked else text)[: room + 1])


def _short_items(structure: Structure, room: int, inspection: Inspection, above: tuple[int, ...]) -> str:
    inside = room - len(structure.opening) - len(structure.closing)
    entries = _entries(structure, inside, 2, inspection, above) if len(above) < MAX_DEPTH else []
    rest = structure.length - len(entries)
    if rest:
        inspection.shortened = True
        entries.append(f"… {rest:,} more" if entries else f"… {amount(rest, 'item')}")
    return f"{structure.opening}{', '.join(entries)}{structure.closing}"


def _entries(structure: Structure, room: int, gap: int, inspection: Inspection, above: tuple[int, ...]) -> list[str]:
    """The first items, as many as fit into ``room`` with ``gap`` characters after each.

    While nine or more others wait, an item gets at most a tenth of the rest, so that the first one does not take all.
    """
    entries: list[str] = []
    left = room
    for key, value in islice(structure.items, max(0, room // (gap + 1)) + 1):
        waiting = structure.length - len(entries) if inspection.fair else 1
        share = max(left // min(waiting, 10) - gap, MIN_ITEM_LENGTH)
        entry = _entry(key, value, structure.between, share, inspection, above)
        left -= len(entry) + gap
        if left + gap < 0 or (waiting > 1 and left < MIN_ITEM_LENGTH // 2):
            break
        entries.append(entry)
    return entries


def _entry(key: object, value: object, between: str, room: int, inspection: Inspection, above: tuple[int, ...]) -> str:
    if not between:
        return short(value, room, inspection, above)
    name = key.decode("latin-1") if isinstance(key, bytes) else key
    label = str(key) if between == "=" else short(key, room // 2, inspection, above)
    if inspection.masked and isinstance(name, str) and _is_secret(name, value):
        return f"{label}{between}***"
    return f"{label}{between}{short(value, max(room - len(label) - len(between), 1), inspection, above)}"


def _is_secret(name: str, value: object) -> bool:
    by_name = is_secret_name(name) and not (value is None or isinstance(value, bool))
    return by_name or is_environment_secret(name, value)


def container(value: object, inspection: Inspection) -> Description | None:
    """Describe a container or an object with fields, on one line if it fits."""
    structure = structure_of(value)
    if structure is None:
        return None
    if value is os.environ or value is getattr(
        os, "environb", None
    ):  # a secret in it is sent only if it is named itself
        inspection = replace(inspection, masked=True)
    inspection.fair = False
    line = short(value, min(inspection.room, LINE_LENGTH), inspection)
    if not inspection.shortened:
        return Description("", line)
    inspection.fair, inspection.shortened = True, False
    structure = structure_of(value) or structure  # its items can be read only once
    noun = "field" if structure.between == "=" else "item"
    room = inspection.room - len(structure.opening) - len(structure.closing) - 8
    entries = _entries(structure, room, 3, inspection, (id(value),))
    are_short = not structure.between and all(len(entry) <= CELL_LENGTH for entry in entries)
    text = _filled(entries) if are_short else ",\n ".join(entries)
    omitted = omitted_of(len(entries), structure.length, noun)
    body = f"{structure.opening}{text}{', …' if omitted else ''}{structure.closing}"
    omitted += SHORTENED if inspection.shortened else ()
    return Description(f"{type_name(value)}, {amount(structure.length, noun)}", body, "", omitted)


def _filled(entries: list[str]) -> str:
    lines = [""]
    for entry in entries:
        if lines[-1] and len(lines[-1]) + len(entry) > LINE_LENGTH:
            lines.append("")
        lines[-1] += f"{', ' if lines[-1] else ''}{entry}"
    return ",\n ".join(lines)

"""Which of a user's names and of what is in them can be offered, without asking any of them.

Whoever presses Tab runs no code of an object: of a value only that is listed which is known without it.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from types import GetSetDescriptorType, MemberDescriptorType
from typing import Any

from flowgpt_magic.prompt.references import steps
from flowgpt_magic.redaction import is_secret_name

LIMIT = 200  # items
SEEN = 10_000  # columns and keys that are looked at

ATTRIBUTE = re.compile(r"(.+)\.([^.\[\]{}\s]*)")
KEY = re.compile(r"""(.+)\[(?:(["'])([^"'\\\n{}]*)|(-?[0-9]*))""")
MISSING = object()
_of_class: Any = type.__dict__["__dict__"].__get__  # what a metaclass has no say in
_bases: Any = type.__dict__["__mro__"].__get__
_name_of: Any = type.__dict__["__name__"].__get__


@dataclass(frozen=True)
class Item:
    """Something to insert; ``type`` says in a few words what it is. IPython reads both."""

    text: str
    type: str = ""


def variables(names: Mapping[str, object], hidden: Mapping[str, object], typed: str) -> list[Item]:
    """The ``names`` that begin as it is ``typed``, but for IPython's own, the ``hidden`` ones.

    Those of secrets are left out too: they would not be sent.
    """
    folded = typed.casefold()
    fitting = [
        name
        for name in list(names)
        if type(name) is str
        and name.casefold().startswith(folded)
        and (typed or not name.startswith("_"))
        and (names.get(name) is not hidden.get(name, MISSING) or name in ("In", "Out"))
    ]
    fitting.sort(key=lambda name: (not name.startswith(typed), name.casefold(), name))
    good = (name for name in fitting if steps(name) and not is_secret_name(name))
    return [Item(name, type_name(names.get(name))) for name in islice(good, LIMIT)]


def attributes(value: object) -> Iterator[Item]:
    """What ``dir`` would list, without asking the value, and the columns of a table."""
    columns = [(dict.fromkeys(_columns(value)), "column")]
    for found, kind in [*columns, *((each, "attribute") for each in _attributes(value))]:
        for name in sorted(each for each in list(found) if type(each) is str):
            if name.isidentifier() and steps(f"x.{name}") and not is_secret_name(name):
                yield Item(name, kind)


def keys(value: Any, quote: str, closing: str) -> Iterator[Item]:
    """Keys of a dict and names of columns as they are written between brackets."""
    found = islice(dict.keys(value), SEEN) if dict in _bases(type(value)) else _columns(value)
    for key in list(found):
        if type(key) is int and not quote and steps(f"x[{key}]"):
            yield Item(f"{key}{closing}", "key")
        elif type(key) is str and not is_secret_name(key):
            mark = quote or ("'" if '"' in key else '"')
            if steps(f"x[{mark}{key}{mark}]"):
                yield Item(f"{key}{closing}" if quote else f"{mark}{key}{mark}{closing}", "key")


def value_of(reference: str, names: Mapping[str, object]) -> object:
    """The value that a reference leads to, as far as that is known without running anything; else ``MISSING``."""
    value: object = names
    for step in steps(reference):
        if step.kind == "attribute":
            found = (each[step.value] for each in _attributes(value) if step.value in each)
            value = next(found, MISSING)
            if any("__get__" in _of_class(each) for each in _bases(type(value))):
                return MISSING  # a property, or something else that computes
        elif dict in _bases(type(value)):
            value = dict.get(value, step.value, MISSING)  # type: ignore[call-overload]
        elif type(value) in (list, tuple) and isinstance(step.value, int):
            value = value[step.value] if -len(value) <= step.value < len(value) else MISSING  # type: ignore[index, arg-type]
        else:
            return MISSING
    return value


def type_name(value: object) -> str:
    """The name of its class, which a metaclass may try to hide."""
    return str(_name_of(type(value)))


def _attributes(value: object) -> list[Mapping[Any, object]]:
    """Where Python would look for an attribute: in the value, in its class and in those that it is derived from."""
    bases = _bases(type(value))
    if type in bases:
        return [_of_class(each) for each in (*_bases(value), *bases)]
    own: Any = next((_of_class(each)["__dict__"] for each in bases if "__dict__" in _of_class(each)), None)
    has_own = type(own) in (GetSetDescriptorType, MemberDescriptorType)  # and not a property of the user's
    return [*([own.__get__(value)] if has_own else []), *(_of_class(each) for each in bases)]


def _columns(value: object) -> list[Any]:
    """The columns of a pandas table; a class derived from it may compute them, and is left alone."""
    table = getattr(sys.modules.get("pandas"), "DataFrame", None)
    return list(islice(value.columns, SEEN)) if table is not None and type(value) is table else []  # type: ignore[attr-defined]

"""The user's variables, their attributes and their keys, as far as Python knows them without running any code.

Completion must not run the code of an object: a property or ``__getattr__`` may do anything.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from types import GetSetDescriptorType, MemberDescriptorType
from typing import Any

from flowgpt_magic.prompt.looks import calls_of
from flowgpt_magic.prompt.references import steps
from flowgpt_magic.redaction import is_secret_name

MAX_CANDIDATES = 200
MAX_INSPECTED = 10_000  # columns, keys and files

ATTRIBUTE = re.compile(r"(.+)\.([^.\[\]{}\s]*)")
ITEM_OF = re.compile(r"""(.+)\[(?:(["'])([^"'\\\n{}]*)|(-?[0-9]*))""")
MISSING = object()
_of_class: Any = type.__dict__["__dict__"].__get__  # no metaclass can change what these return
_bases: Any = type.__dict__["__mro__"].__get__
_name_of: Any = type.__dict__["__name__"].__get__


@dataclass(frozen=True)
class Candidate:
    """A text to insert, and what it is: its kind, such as ``option``, and perhaps more after a colon.

    JupyterLab shows the first letter of the kind as an icon. IPython reads both attributes.
    """

    text: str
    type: str = ""


def variables(names: Mapping[str, object], hidden: Mapping[str, object], typed: str) -> list[Candidate]:
    """The ``names`` that begin with ``typed``, without IPython's own (``hidden``) and without names of secrets."""
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
    usable = (name for name in fitting if steps(name) and not is_secret_name(name))
    return [Candidate(name, f"variable: {type_name(names.get(name))}") for name in islice(usable, MAX_CANDIDATES)]


def attributes(value: object) -> Iterator[Candidate]:
    """What ``dir`` would list, without calling it, and the columns and calls of a table that a prompt can have."""
    calls = calls_of(value)
    columns = [(dict.fromkeys(_columns(value)), "column")]
    for namespace, kind in [*columns, *((namespace, "attribute") for namespace in _attributes(value))]:
        for name in sorted(name for name in list(namespace) if type(name) is str):
            if name.isidentifier() and steps(f"x.{name}") and not is_secret_name(name):
                yield Candidate(f"{name}()", "call") if name in calls and kind != "column" else Candidate(name, kind)


def keys(value: Any, quote: str, closing: str) -> Iterator[Candidate]:
    """The keys of a dict and the columns of a pandas table, as they are written between brackets."""
    names = islice(dict.keys(value), MAX_INSPECTED) if dict in _bases(type(value)) else _columns(value)
    for key in list(names):
        if type(key) is int and not quote and steps(f"x[{key}]"):
            yield Candidate(f"{key}{closing}", "key")
        elif type(key) is str and not is_secret_name(key):
            mark = quote or ("'" if '"' in key else '"')
            if steps(f"x[{mark}{key}{mark}]"):
                yield Candidate(f"{key}{closing}" if quote else f"{mark}{key}{mark}{closing}", "key")


def value_of(reference: str, names: Mapping[str, object]) -> object:
    """The value that ``reference`` leads to, if that is known without running any code; else ``MISSING``."""
    value: object = names
    for step in steps(reference):
        if step.kind == "attribute":
            namespaces = _attributes(value)
            value = next((names[step.value] for names in namespaces if step.value in names), MISSING)
            if any("__get__" in _of_class(base) for base in _bases(type(value))):
                return MISSING  # a property or another descriptor
        elif dict in _bases(type(value)):
            value = dict.get(value, step.value, MISSING)  # type: ignore[call-overload]
        elif type(value) in (list, tuple) and isinstance(step.value, int):
            value = value[step.value] if -len(value) <= step.value < len(value) else MISSING  # type: ignore[index, arg-type]
        else:
            return MISSING
    return value


def type_name(value: object) -> str:
    """The name of the class of ``value``, whatever its metaclass says."""
    return str(_name_of(type(value)))


def _attributes(value: object) -> list[Mapping[Any, object]]:
    """The namespaces in which Python looks for an attribute: those of the value, its class and the bases."""
    bases = _bases(type(value))
    if type in bases:
        return [_of_class(base) for base in (*_bases(value), *bases)]
    own: Any = next((_of_class(base)["__dict__"] for base in bases if "__dict__" in _of_class(base)), None)
    is_builtin = type(own) in (GetSetDescriptorType, MemberDescriptorType)  # not a property of the user's
    return [*([own.__get__(value)] if is_builtin else []), *(_of_class(base) for base in bases)]


def _columns(value: object) -> list[Any]:
    """The columns of a pandas table; none for a subclass, which may compute them."""
    table = getattr(sys.modules.get("pandas"), "DataFrame", None)
    return list(islice(value.columns, MAX_INSPECTED)) if table is not None and type(value) is table else []  # type: ignore[attr-defined]

"""Further parameters of a provider: values that JSON has, which several places may give.

The place nearer to the prompt wins, name by name. ``extra_body`` is the one parameter that is merged: it holds fields
of the request that have no parameter of their own, and its objects are merged key by key at every depth. ``null`` takes
back what a place further away has given; inside ``extra_body`` it is a value like any other.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from numbers import Integral, Number
from typing import Any

EXTRA_BODY = "extra_body"
MAX_VALUE_DEPTH = 100  # levels of one value; json.loads and json.dumps give up between 300 and 1,000
PARAMETERS_EXAMPLE = "top_p = 0.9"
PROTECTED = {  # what makes the request a request, and how else it is said
    "model": "-m, or model= in Python, says who is asked",
    "messages": "the messages are the prompt and the turns before it",
    "stream": "replies always stream, and --no-stream shows only the end",
    "stream_options": "replies always stream, and tell their tokens at the end",
    "n": "one reply is asked for; map_prompts asks many prompts",
}


@dataclass(frozen=True)
class Layer:
    """What one place gives. The one with the higher ``rank`` is nearer to the prompt.

    ``server`` is the address that was in force at that place, for values that may go to no other server.
    """

    source: str
    rank: float
    values: Mapping[str, Any] = field(repr=False)
    server: str = ""


def plain(value: Any, place: str, depth: int = MAX_VALUE_DEPTH) -> Any:
    """``value`` in the types that JSON has; ``place`` is what an error calls it.

    Tuples become lists, and NumPy's numbers and arrays become numbers and lists. Raises ``ValueError`` for what JSON
    has no value for.
    """
    if depth == 0:
        raise ValueError(f"{place} is nested more than {MAX_VALUE_DEPTH} levels deep")
    if isinstance(value, Enum):
        return plain(value.value, place, depth - 1)
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return str(value)
    if isinstance(value, Mapping):
        return {_key(name, place): plain(each, f"{place}.{name}", depth - 1) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(each, f"{place}[{index}]", depth - 1) for index, each in enumerate(value)]
    if callable(as_list := getattr(value, "tolist", None)) and not isinstance(value, type):
        return plain(as_list(), place, depth - 1)
    if isinstance(value, Number):
        return _number(value, place)
    if isinstance(value, (set, frozenset)):
        raise ValueError(f"{place} is a set, which has no order: give a list")  # noqa: TRY004 - a check's
    raise ValueError(f"{place} is a value of type {type(value).__name__}, which JSON does not have")


def _key(name: object, place: str) -> str:
    if isinstance(name, Enum):
        name = name.value
    if isinstance(name, str):
        return str(name)
    if isinstance(name, Integral) and not isinstance(name, bool):  # the ids of logit_bias
        return str(int(name))
    raise ValueError(f"{place} has the key {name!r}: the keys of an object are texts")


def _number(value: Any, place: str) -> int | float:
    if isinstance(value, Integral):
        return int(value)
    try:
        found = float(value)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"{place} is a number that JSON does not have") from None
    if not math.isfinite(found):
        raise ValueError(f"{place} is {found}, a number that JSON does not have")
    return found


def checked(value: Any) -> dict[str, Any] | None:
    """``value`` as parameters by name, None where none are given; a text is JSON.

    Raises ``ValueError`` that shows no value: there may be a key among them.
    """
    if isinstance(value, str):
        value = _read(value) if value.strip() else None
    if value is None:
        return None
    if not isinstance(value, Mapping):
        raise ValueError(f"must be a table of names and values, such as {PARAMETERS_EXAMPLE}")  # noqa: TRY004 - a check's
    found = {_name(name): plain(each, str(name)) for name, each in value.items()}
    if (body := found.get(EXTRA_BODY)) is not None:
        if not isinstance(body, dict):
            raise ValueError(f'has an {EXTRA_BODY} that is no table of further fields, such as {{"top_k": 40}}')
        for name in body:
            _check_protected(name, f"{EXTRA_BODY}.{name}")
            if name in found:
                raise ValueError(f"gives {name} twice: as a parameter and in {EXTRA_BODY}")
    return found


def _read(text: str) -> Any:
    try:
        return json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise ValueError('must be a JSON object, such as {"top_p": 0.9}') from None


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is no number that JSON has")


def _name(name: object) -> str:
    if not isinstance(name, str) or not name.isidentifier():
        raise ValueError(
            f"has the name {name!r}; a parameter is called like top_p, and other fields go into {EXTRA_BODY}"
        )
    _check_protected(name, name)
    return name


def _check_protected(name: str, shown: str) -> None:
    if name in PROTECTED:
        raise ValueError(f"cannot give {shown}: {PROTECTED[name]}")


def joined(below: Any, above: Any) -> Any:
    """``above`` over ``below``: two objects key by key at every depth, anything else as it is above."""
    if not (isinstance(below, Mapping) and isinstance(above, Mapping)):
        return above
    return {**below, **{name: joined(below.get(name), each) for name, each in above.items()}}


def merged(layers: Iterable[Layer]) -> dict[str, Any]:
    """The parameters that all layers give together; None for one that is taken back."""
    found: dict[str, Any] = {}
    for layer in sorted(layers, key=lambda each: each.rank):
        given = dict(layer.values)
        body = given.pop(EXTRA_BODY, {})
        # One field may be written as a parameter or in extra_body: the nearer one counts, however it is written.
        kept = {name: each for name, each in (found.get(EXTRA_BODY) or {}).items() if name not in given}
        found = {name: each for name, each in found.items() if name != EXTRA_BODY and name not in (body or {})} | given
        if body is None:
            kept = {}
        if kept or body:
            found[EXTRA_BODY] = joined(kept, body or {})
    return found


def over(below: Mapping[str, Any] | None, above: Mapping[str, Any]) -> dict[str, Any] | None:
    """``above`` over ``below``, two places of one kind; None where both are empty."""
    return merged([Layer("", 0, below or {}), Layer("", 1, above)]) or None


def origins(layers: Iterable[Layer]) -> dict[str, Layer]:
    """By name the layer that a parameter comes from; fields of ``extra_body`` are called ``extra_body.NAME``."""
    found: dict[str, Layer] = {}
    for layer in sorted(layers, key=lambda each: each.rank):
        found |= dict.fromkeys(layer.values, layer)
        found |= {f"{EXTRA_BODY}.{name}": layer for name in layer.values.get(EXTRA_BODY) or ()}
    return found


def fields(given: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a request that parameters stand for, those in ``extra_body`` among them."""
    return {**{name: each for name, each in given.items() if name != EXTRA_BODY}, **(given.get(EXTRA_BODY) or {})}


def without(given: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """``given`` without the fields of these names, wherever they stand."""
    left = set(names)
    found = {name: each for name, each in given.items() if name not in left}
    if found.get(EXTRA_BODY):
        found[EXTRA_BODY] = {name: each for name, each in found[EXTRA_BODY].items() if name not in left}
    return found

"""Additional parameters of a provider: JSON values, set at several levels.

For each name, the level nearest to the prompt wins. Only ``extra_body`` is merged: it contains request fields without a
parameter of their own, and its objects are merged key by key at every depth. ``null`` removes a parameter set at a
lower level; inside ``extra_body`` it is an ordinary value.
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
MAX_VALUE_DEPTH = 100  # levels; json.loads and json.dumps fail between 300 and 1,000
PARAMETERS_EXAMPLE = "top_p = 0.9"
PROTECTED = {  # fields that flowgpt_magic sets, and what to use instead
    "model": "use -m, or model= in Python",
    "messages": "the messages are the prompt and the earlier turns",
    "stream": "replies always stream; --no-stream shows only the final reply",
    "stream_options": "replies always stream and report their token counts at the end",
    "n": "each request has one reply; map_prompts sends many prompts",
}


@dataclass(frozen=True)
class Layer:
    """The values that one level sets. A higher ``rank`` is nearer to the prompt.

    ``server`` is the address in force at that level, for values that must be sent to no other server.
    """

    source: str
    rank: float
    values: Mapping[str, Any] = field(repr=False)
    server: str = ""


def plain(value: Any, place: str, depth: int = MAX_VALUE_DEPTH) -> Any:
    """``value`` converted to JSON types; errors name it ``place``.

    Tuples become lists, and NumPy's numbers and arrays become numbers and lists. Raises ``ValueError`` for a value that
    JSON cannot represent.
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
        return {_key(name, place): plain(item, f"{place}.{name}", depth - 1) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item, f"{place}[{index}]", depth - 1) for index, item in enumerate(value)]
    if callable(as_list := getattr(value, "tolist", None)) and not isinstance(value, type):
        return plain(as_list(), place, depth - 1)
    if isinstance(value, Number):
        return _number(value, place)
    if isinstance(value, (set, frozenset)):
        raise ValueError(f"{place} is a set, which has no order: use a list")  # noqa: TRY004 - `check` expects ValueError
    raise ValueError(f"{place} is of type {type(value).__name__}, which JSON does not support")


def _key(name: object, place: str) -> str:
    if isinstance(name, Enum):
        name = name.value
    if isinstance(name, str):
        return str(name)
    if isinstance(name, Integral) and not isinstance(name, bool):  # the ids of logit_bias
        return str(int(name))
    raise ValueError(f"{place} has the key {name!r}: the keys of an object must be strings")


def _number(value: Any, place: str) -> int | float:
    if isinstance(value, Integral):
        return int(value)
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"{place} is a number that JSON does not support") from None
    if not math.isfinite(number):
        raise ValueError(f"{place} is {number}, which JSON does not support")
    return number


def checked(value: Any) -> dict[str, Any] | None:
    """The parameters in ``value`` by name, or None without any; a string is parsed as JSON.

    Raises ``ValueError``; its text contains no values, as one may be a key.
    """
    if isinstance(value, str):
        value = _read(value) if value.strip() else None
    if value is None:
        return None
    if not isinstance(value, Mapping):
        raise ValueError(f"must be a table of names and values, such as {PARAMETERS_EXAMPLE}")  # noqa: TRY004 - `check` expects ValueError
    params = {_name(name): plain(item, str(name)) for name, item in value.items()}
    if (body := params.get(EXTRA_BODY)) is not None:
        if not isinstance(body, dict):
            raise ValueError(f'has an {EXTRA_BODY} that is not a table of fields, such as {{"top_k": 40}}')
        for name in body:
            _check_protected(name, f"{EXTRA_BODY}.{name}")
            if name in params:
                raise ValueError(f"contains {name} twice: as a parameter and in {EXTRA_BODY}")
    return params


def _read(text: str) -> Any:
    try:
        return json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise ValueError('must be a JSON object, such as {"top_p": 0.9}') from None


def _no_constant(name: str) -> float:
    raise ValueError(f"JSON does not support {name}")


def _name(name: object) -> str:
    if not isinstance(name, str) or not name.isidentifier():
        raise ValueError(
            f"has the name {name!r}; a parameter needs a name such as top_p; put other fields into {EXTRA_BODY}"
        )
    _check_protected(name, name)
    return name


def _check_protected(name: str, label: str) -> None:
    if name in PROTECTED:
        raise ValueError(f"cannot set {label}: {PROTECTED[name]}")


def joined(below: Any, above: Any) -> Any:
    """Two objects merged key by key at every depth, where ``above`` wins; other values are those of ``above``."""
    if not (isinstance(below, Mapping) and isinstance(above, Mapping)):
        return above
    return {**below, **{name: joined(below.get(name), value) for name, value in above.items()}}


def merged(layers: Iterable[Layer]) -> dict[str, Any]:
    """The parameters of all layers together; None for a removed one."""
    params: dict[str, Any] = {}
    for layer in sorted(layers, key=lambda layer: layer.rank):
        above = dict(layer.values)
        body = above.pop(EXTRA_BODY, {})
        # A field may be set as a parameter or in extra_body: the nearer level wins in either form.
        below = {name: value for name, value in (params.get(EXTRA_BODY) or {}).items() if name not in above}
        params = {key: value for key, value in params.items() if key != EXTRA_BODY and key not in (body or {})} | above
        if body is None:
            below = {}
        if below or body:
            params[EXTRA_BODY] = joined(below, body or {})
    return params


def over(below: Mapping[str, Any] | None, above: Mapping[str, Any]) -> dict[str, Any] | None:
    """The parameters of both, where ``above`` wins; None if both are empty."""
    return merged([Layer("", 0, below or {}), Layer("", 1, above)]) or None


def origins(layers: Iterable[Layer]) -> dict[str, Layer]:
    """The layer of each parameter, by name; fields of ``extra_body`` are called ``extra_body.NAME``."""
    sources: dict[str, Layer] = {}
    for layer in sorted(layers, key=lambda layer: layer.rank):
        sources |= dict.fromkeys(layer.values, layer)
        sources |= {f"{EXTRA_BODY}.{name}": layer for name in layer.values.get(EXTRA_BODY) or ()}
    return sources


def fields(params: Mapping[str, Any]) -> dict[str, Any]:
    """The request fields that ``params`` set, including those in ``extra_body``."""
    return {**{name: value for name, value in params.items() if name != EXTRA_BODY}, **(params.get(EXTRA_BODY) or {})}


def without(params: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """``params`` without the fields of these names, in ``extra_body`` too."""
    removed = set(names)
    rest = {name: value for name, value in params.items() if name not in removed}
    if rest.get(EXTRA_BODY):
        rest[EXTRA_BODY] = {name: value for name, value in rest[EXTRA_BODY].items() if name not in removed}
    return rest

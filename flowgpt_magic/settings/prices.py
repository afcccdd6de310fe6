"""The user's own prices of models, in US dollars for a million tokens."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

PRICES = "prices"
KINDS = ("input", "output", "cached", "cache_write")  # of tokens; the last two are those of the input if missing
EXAMPLE = '{"openai_compatible:my-model": {"input": 0.5, "output": 1.5}}'
MOST = 1_000_000  # dollars for a million tokens; more is a mistake


def checked(value: Any) -> dict[str, dict[str, float]] | None:
    """The prices in ``value`` by the name of the model, or None without any; a string is parsed as JSON.

    Raises ``ValueError`` with what to write instead.
    """
    if isinstance(value, str):
        try:
            value = json.loads(value) if value.strip() else None
        except (ValueError, RecursionError):
            raise ValueError(f"must be a JSON object, such as {EXAMPLE}") from None
    if value is None:
        return None
    if not isinstance(value, Mapping):
        raise ValueError(f"must be a table of models and their prices, such as {EXAMPLE}")  # noqa: TRY004 - `check` expects ValueError
    return {str(model): _checked_price(str(model), price) for model, price in value.items()}


def _checked_price(model: str, price: Any) -> dict[str, float]:
    if not isinstance(price, Mapping):
        raise ValueError(f"has no table of prices for {model}; write it as in {EXAMPLE}")  # noqa: TRY004 - as above
    if unknown := [str(kind) for kind in price if kind not in KINDS]:
        raise ValueError(f"has {', '.join(unknown)} for {model}; there are {', '.join(KINDS)}")
    if missing := [kind for kind in KINDS[:2] if kind not in price]:
        raise ValueError(f"has no {' and no '.join(missing)} for {model}; the unit is dollars for a million tokens")
    return {kind: _checked_amount(model, kind, amount) for kind, amount in price.items()}


def _checked_amount(model: str, kind: str, amount: Any) -> float:
    is_number = isinstance(amount, (int, float)) and not isinstance(amount, bool)
    if not is_number or not math.isfinite(amount) or not 0 <= amount <= MOST:
        raise ValueError(f"has {amount!r} as {kind} for {model}; it must be dollars for a million tokens")
    return float(amount)

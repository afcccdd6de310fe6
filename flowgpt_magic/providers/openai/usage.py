"""Read the token counts and the cost that OpenAI-compatible servers report.

Servers differ in names and places: OpenAI's details, DeepSeek's ``prompt_cache_hit_tokens``, Claude's names behind
LiteLLM, the cost of OpenRouter and of LiteLLM. What cannot be a count is left out: a negative or absurd number, text.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from flowgpt_magic.messages import Usage

MOST_TOKENS = 10**9  # of one reply; a larger count is a mistake of the server
MOST_DOLLARS = 10**6
COST_HEADER = "x-litellm-response-cost"


def usage_of(counts: object, *, finish_reason: str, service_tier: object, answered_by: object, cost: object) -> Usage:
    """The usage of a reply.

    Args:
        counts: the field ``usage`` of the server; anything that is not an object is ignored.
        finish_reason: why the reply ended; empty if unknown.
        service_tier: the server's class of service, if it is text.
        answered_by: the model that answered, if it is text.
        cost: what the headers say about the cost in US dollars; the counts take precedence.
    """
    fields = counts if isinstance(counts, Mapping) else {}
    reasoning = _count(
        _details(fields, "completion_tokens_details", "output_tokens_details"), fields, "reasoning_tokens"
    )
    prompt, completion = _tokens(fields.get("prompt_tokens")), _completion(fields, reasoning)
    details = _details(fields, "prompt_tokens_details", "input_tokens_details")
    cached = _count(details, fields, "cached_tokens", "prompt_cache_hit_tokens", "cache_read_input_tokens")
    written = _count(details, fields, "cache_write_tokens", "cache_creation_tokens", "cache_creation_input_tokens")
    return Usage(
        prompt,
        completion,
        finish_reason or None,
        reasoning_tokens=_part(reasoning, completion),
        cached_tokens=_part(cached, prompt),
        cache_write_tokens=_part(written, prompt),
        service_tier=service_tier if isinstance(service_tier, str) else "",
        answered_by=answered_by if isinstance(answered_by, str) else "",
        cost=_cost(fields, cost),
    )


def _tokens(value: object) -> int | None:
    """``value`` as a number of tokens, or None."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= MOST_TOKENS:
        return None
    return int(value) if value == int(value) else None


def _completion(fields: Mapping[str, Any], reasoning: int | None) -> int | None:
    """The tokens of the whole reply. xAI does not count those of the reasoning among them, as its total shows."""
    prompt, completion, total = (_tokens(fields.get(f"{name}_tokens")) for name in ("prompt", "completion", "total"))
    if reasoning and None not in (prompt, completion, total) and total == prompt + completion + reasoning:  # type: ignore[operator]
        return completion + reasoning  # type: ignore[operator]
    return completion


def _details(fields: Mapping[str, Any], *names: str) -> Mapping[str, Any]:
    return next((details for name in names if isinstance(details := fields.get(name), Mapping)), {})


def _count(details: Mapping[str, Any], fields: Mapping[str, Any], *names: str) -> int | None:
    """The first of the counts ``names`` in ``details`` or ``fields``."""
    counts = (_tokens(place.get(name)) for place in (details, fields) for name in names)
    return next((count for count in counts if count is not None), None)


def _part(count: int | None, whole: int | None) -> int | None:
    """``count``, unless it is more than the ``whole`` of which it is a part."""
    return None if count is not None and whole is not None and count > whole else count


def _cost(fields: Mapping[str, Any], header: object) -> float | None:
    """The cost in US dollars."""
    own = fields.get("cost")
    own = own.get("total_cost") if isinstance(own, Mapping) else own
    return next((cost for value in (own, header) if (cost := _dollars(value)) is not None), None)


def _dollars(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        cost = float(value)
    except (ValueError, OverflowError):
        return None
    return cost if math.isfinite(cost) and 0 <= cost <= MOST_DOLLARS else None

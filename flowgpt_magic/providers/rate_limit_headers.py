"""How many more requests or tokens a server accepts, according to the headers of its responses.

There is no single standard. Supported are ``x-ratelimit-remaining-requests`` and the like (OpenAI, with durations such
as ``6m0s``; Cerebras, Groq and others, with seconds), ``x-ratelimit-remaining`` (GitHub and OpenRouter, with a moment
in seconds or milliseconds since 1970), ``anthropic-ratelimit-requests-remaining`` (RFC 3339), and the fields
``RateLimit-Remaining`` and ``RateLimit`` of the IETF drafts (draft-ietf-httpapi-ratelimit-headers).
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime, timezone

from flowgpt_magic.providers.wait_times import duration, seconds_from_now

RATE_LIMIT_KEYS = {"remaining": "remaining", "r": "remaining", "reset": "reset", "t": "reset"}  # of ``RateLimit``
HEADER_LIMIT = 200  # characters of a header that are read

_DURATION_ONLY = re.compile(r"(?:[0-9]{1,12}(?:\.[0-9]{1,9})?(?:ms|us|µs|ns|h|m|s))+")
_DECIMAL = re.compile(r"[0-9]{1,15}(?:\.[0-9]{1,9})?")
_HEADER = re.compile(r"(?:x-|anthropic-)?ratelimit-(.+)")
_KEY_AND_NUMBER = re.compile(r"(?:^|[;,\s])(remaining|reset|r|t)\s*=\s*([0-9]{1,15})(?=[;,\s]|$)")


@dataclass(frozen=True)
class RateLimit:
    """The state of one limit.

    ``dimension`` is what is counted, such as ``requests`` or ``tokens``; empty, which means requests, if the server
    does not say. ``remaining`` is how many are left. ``seconds`` is the time until the limit resets, None if unknown.
    """

    dimension: str
    remaining: float
    seconds: float | None

    @property
    def counts_tokens(self) -> bool:
        """Does the limit count tokens rather than requests?"""
        return "token" in self.dimension


def read_rate_limits(headers: Mapping[str, str], now: Callable[[], float] = time.time) -> list[RateLimit]:
    """The limits in the ``headers`` of a response; values that cannot be read are skipped.

    ``now`` returns the seconds since 1970.
    """
    remaining: dict[str, float] = {}
    seconds: dict[str, float] = {}
    for header, value in headers.items():
        name, text = header.lower(), value.strip()[:HEADER_LIMIT]
        if "ratelimit" not in name:
            continue
        if name == "ratelimit":
            # Reversed, so that the first of several policies wins.
            fields = {RATE_LIMIT_KEYS[key]: float(number) for key, number in reversed(_KEY_AND_NUMBER.findall(text))}
            _put(remaining, "", fields.get("remaining"))
            _put(seconds, "", fields.get("reset"))
        elif match := _HEADER.fullmatch(name):
            words = match[1].split("-")
            for word, numbers, read in (("remaining", remaining, _count), ("reset", seconds, _seconds)):
                if word in words:
                    _put(numbers, "-".join(other for other in words if other != word), read(text, now))
    return [RateLimit(name, count, seconds.get(name)) for name, count in remaining.items()]


def wait_until_reset(headers: Mapping[str, str]) -> float | None:
    """Seconds until all exhausted limits in ``headers`` are reset; None if they do not say."""
    limits = read_rate_limits(headers)
    return max((limit.seconds for limit in limits if limit.remaining <= 0 and limit.seconds is not None), default=None)


def _put(numbers: dict[str, float], name: str, value: float | None) -> None:
    if value is not None:
        numbers[name] = value


def _count(text: str, _now: Callable[[], float]) -> float | None:
    return float(text) if _DECIMAL.fullmatch(text) else None


def _seconds(text: str, now: Callable[[], float]) -> float | None:
    """Seconds from now of a number, a duration such as ``1h2m3.5s``, a moment since 1970 or one of RFC 3339."""
    if _DECIMAL.fullmatch(text):
        return seconds_from_now(float(text), now)
    if _DURATION_ONLY.fullmatch(text):
        return duration(text)
    try:
        moment = datetime.fromisoformat(re.sub(r"[Zz]$", "+00:00", text))
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=timezone.utc)
    return max(0.0, moment.timestamp() - now())


RateLimitListener = Callable[[list[RateLimit]], None]
_rate_limit_listener: ContextVar[RateLimitListener | None] = ContextVar("flowgpt_rate_limit_listener", default=None)


@contextmanager
def rate_limits_to(listener: RateLimitListener) -> Iterator[None]:
    """Call ``listener`` with the limits of every response that arrives in this context, a task and all it awaits."""
    token = _rate_limit_listener.set(listener)
    try:
        yield
    finally:
        _rate_limit_listener.reset(token)


def report_rate_limits(headers: Mapping[str, str]) -> None:
    """Pass the limits in the ``headers`` of a response to the listener, if there are any."""
    listener = _rate_limit_listener.get()
    if listener is not None and (limits := read_rate_limits(headers)):
        listener(limits)

"""How many more requests a server takes, as the headers of its responses say.

There is no single standard. Read are ``x-ratelimit-remaining-requests`` and its like (OpenAI, with durations such as
``6m0s``; Cerebras, Groq and others, with seconds), ``x-ratelimit-remaining`` (GitHub and OpenRouter, with the moment in
seconds or milliseconds since 1970), ``anthropic-ratelimit-requests-remaining`` (RFC 3339), and the fields
``RateLimit-Remaining`` and ``RateLimit`` of the drafts of the IETF (draft-ietf-httpapi-ratelimit-headers).
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime, timezone

EPOCH, EPOCH_MS = 10**9, 10**11  # a larger number is a moment: in seconds since 1970, in milliseconds since then
UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
FIELDS = {"remaining": "remaining", "r": "remaining", "reset": "reset", "t": "reset"}  # of ``RateLimit``
LONGEST_VALUE = 200  # characters of a header that are looked at

_DURATION = re.compile(r"(?:[0-9]{1,12}(?:\.[0-9]{1,9})?(?:ms|us|µs|ns|h|m|s))+")
_PART = re.compile(r"([0-9.]+)(ms|us|µs|ns|h|m|s)")
_NUMBER = re.compile(r"[0-9]{1,15}(?:\.[0-9]{1,9})?")
_NAME = re.compile(r"(?:x-|anthropic-)?ratelimit-(.+)")
_FIELD = re.compile(r"(?:^|[;,\s])(remaining|reset|r|t)\s*=\s*([0-9]{1,15})(?=[;,\s]|$)")


@dataclass(frozen=True)
class RateLimit:
    """What is left of one limit.

    ``dimension`` is what is counted, such as ``requests`` or ``tokens``; "" where the server does not say, which means
    requests. ``remaining`` is how many more it takes, ``seconds`` when the count begins anew, or None where the server
    does not say.
    """

    dimension: str
    remaining: float
    seconds: float | None

    @property
    def counts_tokens(self) -> bool:
        """Does it count tokens, and not requests?"""
        return "token" in self.dimension


def read_rate_limits(headers: Mapping[str, str], now: Callable[[], float] = time.time) -> list[RateLimit]:
    """What the ``headers`` of a response say, one for each limit; what cannot be understood is left out.

    ``now`` tells the seconds since 1970.
    """
    remaining: dict[str, float] = {}
    seconds: dict[str, float] = {}
    for header, value in headers.items():
        name, text = header.lower(), value.strip()[:LONGEST_VALUE]
        if "ratelimit" not in name:
            continue
        if name == "ratelimit":
            fields = {FIELDS[key]: float(number) for key, number in reversed(_FIELD.findall(text))}
            _put(remaining, "", fields.get("remaining"))
            _put(seconds, "", fields.get("reset"))
        elif match := _NAME.fullmatch(name):
            words = match[1].split("-")
            for word, found, read in (("remaining", remaining, _count), ("reset", seconds, _seconds)):
                if word in words:
                    _put(found, "-".join(each for each in words if each != word), read(text, now))
    return [RateLimit(name, count, seconds.get(name)) for name, count in remaining.items()]


def wait_until_reset(headers: Mapping[str, str]) -> float | None:
    """Seconds until nothing that the ``headers`` count is used up any more; None where they do not say."""
    waits = [each.seconds for each in read_rate_limits(headers) if each.remaining <= 0 and each.seconds is not None]
    return max(waits, default=None)


def _put(found: dict[str, float], name: str, value: float | None) -> None:
    if value is not None:
        found[name] = value


def _count(text: str, _now: Callable[[], float]) -> float | None:
    return float(text) if _NUMBER.fullmatch(text) else None


def _seconds(text: str, now: Callable[[], float]) -> float | None:
    """Seconds from now: of a number, a duration such as ``1h2m3.5s``, a moment since 1970 or one of RFC 3339."""
    if _NUMBER.fullmatch(text):
        number = float(text)
        if number >= EPOCH_MS:
            return max(0.0, number / 1000 - now())
        return max(0.0, number - now()) if number >= EPOCH else number
    if _DURATION.fullmatch(text):
        try:
            return sum(float(number) * UNITS[unit] for number, unit in _PART.findall(text))
        except ValueError:
            return None
    try:
        moment = datetime.fromisoformat(re.sub(r"[Zz]$", "+00:00", text))
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=timezone.utc)
    return max(0.0, moment.timestamp() - now())


Listener = Callable[[list[RateLimit]], None]
_listener: ContextVar[Listener | None] = ContextVar("flowgpt_rate_limit_listener", default=None)


@contextmanager
def rate_limits_to(listener: Listener) -> Iterator[None]:
    """Send what the responses of this context (a task, with all that it awaits) say of their limits to ``listener``."""
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)


def report_rate_limits(headers: Mapping[str, str]) -> None:
    """A response with these ``headers`` has arrived; whoever listens gets what they say, if they say anything."""
    listener = _listener.get()
    if listener is not None and (limits := read_rate_limits(headers)):
        listener(limits)

"""How long a server asks to wait: in the headers, the JSON body or the text of a response.

There is no single standard, so durations and moments are read in all the forms that servers use.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from typing import Any

EPOCH_SECONDS = 10**9  # a number from here on is a moment in seconds since 1970, not a duration
EPOCH_MILLISECONDS = 10**11  # and from here on in milliseconds since 1970
LARGEST_NUMBER = 10**13
MAX_REPORT_DEPTH = 6  # levels of a JSON object that are searched
UNIT_SECONDS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
WAIT_FIELDS = (  # "estimated_time" is Hugging Face's, while a model loads
    *("retrydelay", "retryafter", "retryafterseconds", "retryaftersecs", "retryinseconds", "waitseconds"),
    "estimatedtime",
)
_NUMBER = re.compile(r"[0-9]{1,12}(?:\.[0-9]{1,9})?", re.ASCII)
_PART = (
    rf"({_NUMBER.pattern})\s*"
    r"(ns|us|µs|milliseconds?|millis|msecs?|ms|seconds?|secs?|s|minutes?|mins?|m|hours?|hrs?|h|days?|d)(?![a-z])"
)
_DURATION = re.compile(_PART, re.IGNORECASE | re.ASCII)
_WAIT = re.compile(
    r"\b(?:retry|retrying|wait(?! time)|again|resets? in|available)\b[^0-9.\n]{0,40}((?:"
    + _PART
    + r"[\s,]*(?:and\s+)?)+)",
    re.IGNORECASE | re.ASCII,
)
_WAIT_WITHOUT_UNIT = re.compile(
    r"\bretry[ _-]?after[\"']?[:= ]+([0-9]{1,9}(?:\.[0-9]{1,9})?)(?![0-9a-z]|\s*[a-z%])",
    re.IGNORECASE,
)
_SECONDS = re.compile(rf"({_NUMBER.pattern})\s*(?:s|secs?|seconds?)?", re.IGNORECASE | re.ASCII)


def seconds_from_now(number: float, now: Callable[[], float] = time.time) -> float:
    """Seconds to wait for a ``number`` that is a duration in seconds or a moment in (milli)seconds since 1970."""
    if number >= EPOCH_MILLISECONDS:
        return max(0.0, number / 1000 - now())
    return max(0.0, number - now()) if number >= EPOCH_SECONDS else number


def duration(text: str) -> float | None:
    """Seconds of a duration such as ``7.66s``, ``1m2s``, ``250 ms``, ``1 hour and 5 minutes``; None for other text."""
    parts = _DURATION.findall(text)
    return sum(float(number) * UNIT_SECONDS[_short_unit(unit.lower())] for number, unit in parts) if parts else None


def _short_unit(unit: str) -> str:
    if unit in UNIT_SECONDS:
        return unit
    return "ms" if unit.startswith(("ms", "milli")) else unit[0]


def retry_delay(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait according to the headers, or None if they do not say.

    ``Retry-After`` is a number of seconds or an HTTP date (RFC 9110, section 10.2.3). Some servers add a unit, or send
    a moment since 1970. OpenAI and Azure send ``retry-after-ms`` or ``x-ms-retry-after-ms``, which is more exact.
    """
    for name in ("retry-after-ms", "x-ms-retry-after-ms"):
        if _NUMBER.fullmatch(exact := headers.get(name, "").strip()):
            return float(exact) / 1000
    value = headers.get("Retry-After", "").strip()
    if match := _SECONDS.fullmatch(value):
        return seconds_from_now(float(match[1]))
    moment = _http_date(value)
    if moment is None:
        return None
    # Relative to the server's clock, because ours may be wrong.
    now = _http_date(headers.get("Date", "")) or datetime.now(timezone.utc)
    return max(0.0, (moment - now).total_seconds())


def _http_date(text: str) -> datetime | None:
    """The moment of an HTTP date; one without a zone is in UTC."""
    try:
        moment = parsedate_to_datetime(text.strip())
        return moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)
    except (TypeError, ValueError, OverflowError, IndexError):
        return None


def requested_wait(report: Mapping[str, Any], text: str = "") -> float | None:
    """Seconds to wait according to the JSON body or the text of an error, or None if they do not say.

    Fields are ``retry_after``, Google's ``retryDelay`` (``"34s"``), OpenRouter's ``X-RateLimit-Reset`` (a moment) and
    the like. Text is read as in "try again in 1m2s" or "retry after 20 seconds".
    """
    for name, value in _walk_fields(report):
        short = re.sub("[^a-z]", "", name.lower())
        if short in ("retryafterms", "retryaftermilliseconds") and (seconds := _seconds(value)) is not None:
            return seconds / 1000
        if short in WAIT_FIELDS and (seconds := _seconds(value)) is not None and seconds < EPOCH_SECONDS:
            return seconds
        if short == "xratelimitreset" and (moment := _seconds(value)) is not None and moment > EPOCH_SECONDS:
            return seconds_from_now(moment)
    if (match := _WAIT.search(text)) is not None:
        return duration(match[1])
    return float(match[1]) if (match := _WAIT_WITHOUT_UNIT.search(text)) is not None else None


def _seconds(value: Any) -> float | None:
    """Seconds of a field: a number, a number as text, a duration, or Google's object of ``seconds`` and ``nanos``."""
    if isinstance(value, Mapping):
        seconds, nanoseconds = (_seconds(value.get(name, 0)) for name in ("seconds", "nanos"))
        return None if seconds is None or nanoseconds is None else seconds + nanoseconds / 1e9
    if isinstance(value, str) and not re.fullmatch(r"\s*[0-9]{1,13}(\.[0-9]{1,9})?\s*", value):
        return duration(value)
    if isinstance(value, (int, float, str)) and not isinstance(value, bool) and 0 <= float(value) < LARGEST_NUMBER:
        return float(value)
    return None


def _walk_fields(value: Any, depth: int = MAX_REPORT_DEPTH) -> Iterator[tuple[str, Any]]:
    """The fields of an object and of all objects inside it."""
    if isinstance(value, Mapping) and depth:
        for name, inner in value.items():
            yield str(name), inner
            yield from _walk_fields(inner, depth - 1)
    elif isinstance(value, list) and depth:
        for inner in value:
            yield from _walk_fields(inner, depth - 1)

"""How servers report failures in JSON: is this object a failure, what does it say, how long does it ask to wait?

Servers agree on little here. The shapes are those of OpenAI, Azure, Google, Anthropic, OpenRouter, FastAPI, MiniMax,
SiliconFlow, DashScope, Groq, Ollama and llama.cpp.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator, Mapping
from typing import Any

from flowgpt_magic.redaction import redact
from flowgpt_magic.text import cut_between_words, one_line

SHOWN = 500  # characters of what a failure says
EXPLAINING = (  # where the words of a failure are, the best place first
    *("message", "msg", "detail", "error", "error_message", "errorMessage", "error_msg", "errmsg", "errMsg"),
    *("status_msg", "statusText", "status_message", "exception", "reason", "title", "errors"),
)
TOLD = (  # what of an object is said, in this order
    *("statusCode", "error", "errors", "message", "msg", "detail", "error_message", "errorMessage", "error_msg"),
    *("errmsg", "errMsg", "base_resp", "status_msg", "statusText", "status_message", "exception", "reason", "title"),
    *("data", "x_groq"),
)
# The fields that only failures have.
WORDS = frozenset(TOLD) - {"statusCode", "base_resp", "reason", "title", "data", "x_groq"}
NUMBERS = ("code", "status", "status_code", "statusCode", "error_code", "errorCode", "errcode")
FINE = ("", "0", "ok", "success", "succeeded", "none", "null", "true")  # codes and statuses that are no failure
FAILED = ("error", "failed", "failure", "fail")
EPOCH_SECONDS = 10**9  # a number as large as this is a time, in seconds or milliseconds since 1970, and no wait
LARGEST_NUMBER = 10**13
MOST_DEEP = 6  # levels of an object that are looked through
UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
PART = (
    r"([0-9]{1,9}(?:\.[0-9]{1,9})?)\s*"
    r"(milliseconds?|millis|msecs?|ms|seconds?|secs?|s|minutes?|mins?|m|hours?|hrs?|h|days?|d)(?![a-z])"
)
DURATION = re.compile(PART, re.IGNORECASE)
WAIT = re.compile(
    r"\b(?:retry|retrying|wait(?! time)|again|resets? in|available)\b[^0-9.\n]{0,40}((?:"
    + PART
    + r"[\s,]*(?:and\s+)?)+)",
    re.IGNORECASE,
)
BARE_WAIT = re.compile(
    r"\bretry[ _-]?after[\"']?[:= ]+([0-9]{1,9}(?:\.[0-9]{1,9})?)(?![0-9a-z]|\s*[a-z%])",
    re.IGNORECASE,
)
WAIT_FIELDS = (  # "estimated_time" is Hugging Face's, while a model loads
    *("retrydelay", "retryafter", "retryafterseconds", "retryaftersecs", "retryinseconds", "waitseconds"),
    "estimatedtime",
)


def reports_failure(found: Mapping[str, Any]) -> bool:
    """Does this object report a failure, whatever the status of the response was? It has no ``choices``."""
    if found.get("error") or found.get("errors") or "error" in (found.get("object"), found.get("type")):
        return True
    if isinstance(inner := found.get("x_groq"), Mapping) and inner.get("error"):
        return True
    if refused_by_base(found) or str(found.get("success", found.get("ok"))).lower() == "false":
        return True
    codes = [str(found[name]).strip().lower() for name in NUMBERS if type(found.get(name)) in (int, str)]
    if any(code in FAILED or (code.isdigit() and int(code[:9]) >= 400) for code in codes):
        return True
    fine = found.get("success") is True or any(code in FINE or code.isdigit() for code in codes)
    return not fine and any(isinstance(found.get(name), (str, list)) and found[name] for name in WORDS)


def refused_by_base(found: Mapping[str, Any]) -> bool:
    """Does MiniMax's ``base_resp`` report a failure? It stands beside ``choices`` as well."""
    base = found.get("base_resp")
    return isinstance(base, Mapping) and str(base.get("status_code") or "0") != "0"


def failure_text(report: Mapping[str, Any]) -> str:
    """What an object that reports a failure says, in a line of at most 500 characters."""
    words: list[str] = []
    for name in TOLD:
        text = _words(report.get(name))
        if text and text not in words:
            words.append(text)
    if not words:
        words = [f"{name} {report[name]}" for name in (*NUMBERS, "type") if report.get(name)]
    return cut_between_words(redact(one_line(": ".join(words))), SHOWN) or "it does not say why"


def _words(value: Any, depth: int = 4) -> str:
    """The words of a value that explains a failure: a text, or an object or a list that holds one."""
    if isinstance(value, Mapping) and depth:
        text = next((_words(value[name], depth - 1) for name in EXPLAINING if value.get(name)), "")
        place = ".".join(str(part) for part in value["loc"]) if isinstance(value.get("loc"), list) else ""
        told = f"{place}: {text}" if place and text else text or str(value)
        further = _further(value)
        return f"{told}: {further}" if further and further not in told else told
    if isinstance(value, list) and depth:
        return ", ".join(_words(each, depth - 1) for each in value)
    if isinstance(value, str) and value.lstrip().startswith("{") and depth and (report := report_of(value)):
        return failure_text(report)  # a gateway that puts the whole answer of another server into its message
    return str(value) if value else ""


def _further(value: Mapping[str, Any]) -> str:
    """What the server behind OpenRouter said: that stands in ``metadata.raw``, often as JSON in a text."""
    metadata = value.get("metadata")
    raw = metadata.get("raw") if isinstance(metadata, Mapping) else None
    if not isinstance(raw, str) or not raw.strip():
        return ""
    report = report_of(raw)
    return failure_text(report) if report else raw.strip()


def report_of(page: str) -> dict[str, Any]:
    """The object in the body of an error status; empty where there is none."""
    try:
        report = json.loads(page)
    except (ValueError, RecursionError):
        return {}
    if isinstance(report, list) and report:
        report = report[0]
    return report if isinstance(report, dict) else {}


def asked_wait(report: Mapping[str, Any], words: str = "") -> float | None:
    """Seconds that a failure asks to wait in its body or in its words; None where it does not say.

    A body says it in a field such as Google's ``retryDelay`` (``"34s"``), ``retry_after``, a number of seconds, or
    OpenRouter's ``X-RateLimit-Reset``, a time. Words say it as in "try again in 1m2s" or "retry after 20 seconds".
    """
    for name, value in _fields(report):
        short = re.sub("[^a-z]", "", name.lower())
        if short in ("retryafterms", "retryaftermilliseconds") and (seconds := _seconds(value)) is not None:
            return seconds / 1000
        if short in WAIT_FIELDS and (seconds := _seconds(value)) is not None and seconds < EPOCH_SECONDS:
            return seconds
        if short == "xratelimitreset" and (moment := _seconds(value)) is not None and moment > EPOCH_SECONDS:
            return max(0.0, (moment / 1000 if moment > EPOCH_SECONDS * 1000 else moment) - time.time())
    if (found := WAIT.search(words)) is not None:
        return duration(found[1])
    return float(bare[1]) if (bare := BARE_WAIT.search(words)) is not None else None


def duration(text: str) -> float | None:
    """Seconds of a text such as ``7.66s``, ``1m2s``, ``250 ms``, ``1 hour and 5 minutes``; None for any other."""
    parts = DURATION.findall(text)
    return sum(float(number) * UNITS[_short(unit.lower())] for number, unit in parts) if parts else None


def _short(unit: str) -> str:
    """``ms``, ``s``, ``m``, ``h`` or ``d`` for a unit of time in any of its spellings."""
    return "ms" if unit.startswith(("ms", "milli")) else unit[0]


def _seconds(value: Any) -> float | None:
    """Seconds of a field: a number, its text, a duration, or Google's object of ``seconds`` and ``nanos``."""
    if isinstance(value, Mapping):
        whole, rest = (_seconds(value.get(name, 0)) for name in ("seconds", "nanos"))
        return None if whole is None or rest is None else whole + rest / 1e9
    if isinstance(value, str) and not re.fullmatch(r"\s*[0-9]{1,13}(\.[0-9]{1,9})?\s*", value):
        return duration(value)
    if isinstance(value, (int, float, str)) and not isinstance(value, bool) and 0 <= float(value) < LARGEST_NUMBER:
        return float(value)
    return None


def _fields(value: Any, depth: int = MOST_DEEP) -> Iterator[tuple[str, Any]]:
    """The fields of an object and of those inside of it."""
    if isinstance(value, Mapping) and depth:
        for name, inner in value.items():
            yield str(name), inner
            yield from _fields(inner, depth - 1)
    elif isinstance(value, list) and depth:
        for each in value:
            yield from _fields(each, depth - 1)

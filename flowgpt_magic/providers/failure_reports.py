"""Read the JSON in which servers report failures: is an object a failure, and what does it say?

There is no common format. The shapes are those of OpenAI, Azure, Google, Anthropic, OpenRouter, FastAPI, MiniMax,
SiliconFlow, DashScope, Groq, Ollama and llama.cpp.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from flowgpt_magic.errors import AuthenticationError, PermissionDeniedError, ProviderStatusError, RateLimitError
from flowgpt_magic.redaction import redact
from flowgpt_magic.text import cut_between_words, one_line

STATUS_ERRORS: Mapping[int, type[ProviderStatusError]] = {
    401: AuthenticationError,
    402: RateLimitError,
    403: PermissionDeniedError,
    429: RateLimitError,
}
"""The error class of a status; others are a plain ``ProviderStatusError``. Retries are decided in ``replies.retry``."""
MESSAGE_LIMIT = 500  # characters of a server's message that an error shows
MESSAGE_FIELDS = (  # where the message of an error is, the best place first
    *("message", "msg", "detail", "error", "error_message", "errorMessage", "error_msg", "errmsg", "errMsg"),
    *("status_msg", "statusText", "status_message", "exception", "reason", "title", "errors"),
)
REPORTED_FIELDS = (  # fields of an error object that are shown, in this order
    *("statusCode", "error", "errors", "message", "msg", "detail", "error_message", "errorMessage", "error_msg"),
    *("errmsg", "errMsg", "base_resp", "status_msg", "statusText", "status_message", "exception", "reason", "title"),
    *("data", "x_groq"),
)
# The fields that only failures have.
FAILURE_FIELDS = frozenset(REPORTED_FIELDS) - {"statusCode", "base_resp", "reason", "title", "data", "x_groq"}
STATUS_FIELDS = ("code", "status", "status_code", "statusCode", "http_code")
CODE_FIELDS = ("code", "status", "status_code", "statusCode", "error_code", "errorCode", "errcode")
SUCCESS_CODES = ("", "0", "ok", "success", "succeeded", "none", "null", "true")
FAILURE_CODES = ("error", "failed", "failure", "fail")


def reports_failure(report: Mapping[str, Any]) -> bool:
    """Does this object, which has no ``choices``, report a failure, whatever the status of the response?"""
    if report.get("error") or report.get("errors") or "error" in (report.get("object"), report.get("type")):
        return True
    if isinstance(inner := report.get("x_groq"), Mapping) and inner.get("error"):
        return True
    if has_base_resp_error(report) or str(report.get("success", report.get("ok"))).lower() == "false":
        return True
    codes = [str(report[name]).strip().lower() for name in CODE_FIELDS if type(report.get(name)) in (int, str)]
    if any(code in FAILURE_CODES or (code.isdigit() and int(code[:9]) >= 400) for code in codes):
        return True
    succeeded = report.get("success") is True or any(code in SUCCESS_CODES or code.isdigit() for code in codes)
    return not succeeded and any(isinstance(report.get(name), (str, list)) and report[name] for name in FAILURE_FIELDS)


def has_base_resp_error(report: Mapping[str, Any]) -> bool:
    """Does MiniMax's ``base_resp`` report a failure? It may stand beside ``choices``."""
    base = report.get("base_resp")
    return isinstance(base, Mapping) and str(base.get("status_code") or "0") != "0"


def reported_status(*objects: Any) -> int | None:
    """The first HTTP status from 400 to 599 in the status fields of ``objects``; None if there is none."""
    for each in objects:
        for name in STATUS_FIELDS if isinstance(each, Mapping) else ():
            text = str(each.get(name))
            if text.isascii() and text.isdigit() and len(text) == 3 and "400" <= text < "600":
                return int(text)
    return None


def failure_text(report: Mapping[str, Any]) -> str:
    """The message of an object that reports a failure, in one line of at most ``MESSAGE_LIMIT`` characters."""
    messages: list[str] = []
    for name in REPORTED_FIELDS:
        text = _message(report.get(name))
        if text and text not in messages:
            messages.append(text)
    if not messages:
        messages = [f"{name} {report[name]}" for name in (*CODE_FIELDS, "type") if report.get(name)]
    text = cut_between_words(redact(one_line(": ".join(messages))), MESSAGE_LIMIT)
    return text or "it does not say why"


def _message(value: Any, depth: int = 4) -> str:
    """The message in a value: a text, or an object or a list that contains one."""
    if isinstance(value, Mapping) and depth:
        text = next((_message(value[name], depth - 1) for name in MESSAGE_FIELDS if value.get(name)), "")
        location = ".".join(str(part) for part in value["loc"]) if isinstance(value.get("loc"), list) else ""
        message = f"{location}: {text}" if location and text else text or str(value)
        upstream = _upstream_message(value)
        return f"{message}: {upstream}" if upstream and upstream not in message else message
    if isinstance(value, list) and depth:
        return ", ".join(_message(inner, depth - 1) for inner in value)
    if isinstance(value, str) and value.lstrip().startswith("{") and depth and (report := parse_report(value)):
        return failure_text(report)  # a gateway that quotes another server's whole answer in its message
    return str(value) if value else ""


def _upstream_message(value: Mapping[str, Any]) -> str:
    """The message of the server behind OpenRouter: in ``metadata.raw``, often JSON as text."""
    metadata = value.get("metadata")
    raw = metadata.get("raw") if isinstance(metadata, Mapping) else None
    if not isinstance(raw, str) or not raw.strip():
        return ""
    report = parse_report(raw)
    return failure_text(report) if report else raw.strip()


def parse_report(page: str) -> dict[str, Any]:
    """The JSON object in the body of an error status; empty if there is none."""
    try:
        report = json.loads(page)
    except (ValueError, RecursionError):
        return {}
    if isinstance(report, list) and report:
        report = report[0]
    return report if isinstance(report, dict) else {}

"""What servers of the OpenAI protocol refuse, as our errors. They agree on the protocol, and hardly on its errors.

A failure comes as an HTTP status, or inside a reply that began well. What it is stands in a code (``error.code`` or
``error.type``) where a server has codes, and otherwise in its words alone.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from flowgpt_magic.errors import (
    AuthenticationError,
    ContextLengthError,
    ModelNotFoundError,
    ParameterRefusedError,
    PermissionDeniedError,
    ProviderError,
    ProviderStatusError,
    QuotaError,
    RateLimitError,
    SchemaNotSupportedError,
)
from flowgpt_magic.plain_text import sentences
from flowgpt_magic.providers.http_connection import Peer
from flowgpt_magic.providers.http_errors import (
    SHOWN,
    failure_text,
    message_of,
    report_of,
    retry_delay,
    status_error,
)
from flowgpt_magic.providers.openai_requests import OTHER_NAMES

PROMPT_FIELDS = ("model", "messages", "stream")  # what every request has, and is no parameter
REFUSED = (400, 422)  # the request was understood, and not liked
NO_QUOTA = {"insufficient_quota", "insufficient_balance", "insufficient_credits", "billing_hard_limit_reached"}
NO_MODEL = {"model_not_found", "invalid_model", "unknown_model", "deploymentnotfound"}
TOO_LONG = {"context_length_exceeded", "exceed_context_size_error", "context_window_exceeded"}
STATUSES = {  # of codes that come without one
    "rate_limit_exceeded": 429,
    "rate_limit_error": 429,
    "insufficient_quota": 429,
    "invalid_api_key": 401,
    "authentication_error": 401,
    "permission_error": 403,
    "invalid_request_error": 400,
    "server_error": 500,
    "internal_server_error": 500,
    "overloaded_error": 503,
}
MODEL_WORDS = re.compile(
    r"\bmodels?\b.*\b(not found|not exist|does not exist|not available|not a valid|unknown|invalid|not loaded|"
    r"not supported|no such)|\b(invalid|unknown|unsupported|no such) model\b|\bnot a valid model\b",
    re.IGNORECASE | re.DOTALL,
)
LENGTH_WORDS = re.compile(
    r"context[ _](length|window|size)|prompt is too long|too many (input |prompt )?tokens|input is too long|"
    r"reduce the length|exceeds? the (maximum|available|model).{0,40}(context|tokens)",
    re.IGNORECASE | re.DOTALL,
)
SCHEMA_WORDS = re.compile(r"response_format|json[_ ]?schema|structured[_ ]outputs?|grammar|guided", re.IGNORECASE)
# A server that was given a wrong key may repeat some of it: its first and last characters, with something between.
MASKED = re.compile(r"[^\s\"']*\*{2,}[^\s\"',;]*|\b[\w-]+(?:\.{3}|…)[\w-]+")


# What servers write about a parameter that they do not take. The name stands in ``param``, or next to these words.
PARAMETER_WORDS = re.compile(
    r"unsupported|not supported|not (?:be )?support|unrecognized|unknown|unexpected|extra (?:inputs|fields)|"
    r"not permitted|not allowed|not (?:a )?valid|invalid|out of range|must be|should be|too (?:large|small|high|low)|"
    r"at (?:most|least)|less than|greater than|cannot be|can't be|only .{0,40}(?:supported|allowed)|deprecated|"
    r"does not (?:support|accept|take)|do(?:es)?n't support|UnsupportedParams",
    re.IGNORECASE,
)


class RefusedFieldError(ParameterRefusedError):
    """The server does not take a parameter that has another name, or that the reply can do without."""


class Failures:
    """Makes the error for what a server refuses or reports; ``body`` is what it was asked, empty for nothing."""

    def __init__(self, body: Mapping[str, Any]) -> None:
        self._body = body

    def refused(self, status: int, headers: Mapping[str, str], content: bytes, peer: Peer) -> ProviderError:
        """The error for an HTTP status that is no success."""
        page = content.decode("utf-8", "replace")
        error = status_error(status, headers, content, peer)
        if status in (401, 403):
            error.args = (MASKED.sub("***", str(error)),)
        if status < 400 or status == 407:
            return error
        words = message_of(page)[:SHOWN]
        found = self._told_apart(str(error), status, report_of(page), words, retry_delay(headers))
        if found is None and status in (404, 405):
            return ProviderStatusError(sentences(str(error), path_advice(peer)), status)
        return found or error

    def reported(self, report: Mapping[str, Any], peer: Peer) -> ProviderError:
        """The error for a failure that is reported inside a reply."""
        words, status = MASKED.sub("***", failure_text(report)), _status(report)
        message = sentences(f"{peer.host} reports a failure: {words}")
        found = self._told_apart(message, status, report, words, None)
        if found is not None:
            return found
        if status == 429:
            return RateLimitError(message, status)
        if status is None:
            return ProviderError(message)
        return {401: AuthenticationError, 403: PermissionDeniedError}.get(status, ProviderStatusError)(message, status)

    def _told_apart(
        self, message: str, status: int | None, report: Mapping[str, Any], words: str, delay: float | None
    ) -> ProviderError | None:
        """The error that says more than its status does."""
        codes = _codes(report)
        if codes & NO_QUOTA or status == 402:
            text = "The quota or credit of this key is used up, and waiting does not help"
            return QuotaError(sentences(message, text), status or 429, delay)
        if status in (401, 429):
            return None
        if codes & TOO_LONG or LENGTH_WORDS.search(words):
            text = "Shorten the prompt, or send fewer of the earlier turns along: %flowgpt set history_tokens 2000"
            return ContextLengthError(sentences(message, text))
        if codes & NO_MODEL or (status in (*REFUSED, 404, None) and self._names_model(words, status)):
            advice = "%flowgpt models openai_compatible lists those it has"
            return ModelNotFoundError(sentences(message, advice), status or 404)
        return self._refused_field(message, status, report, words)

    def _names_model(self, words: str, status: int | None) -> bool:
        named = str(self._body.get("model", "")).lower() in words.lower()
        return bool(self._body and MODEL_WORDS.search(words) and (named or status == 404))

    def _refused_field(
        self, message: str, status: int | None, report: Mapping[str, Any], words: str
    ) -> ProviderError | None:
        if status in REFUSED:
            anywhere = f"{words} {report}"
            for field, other in OTHER_NAMES.items():
                if field in self._body and re.search(rf"\b{field}\b", anywhere) and other in anywhere:
                    return RefusedFieldError(message, status, field)
        if (
            status
            and "json_schema" in str(self._body.get("response_format", ""))
            and SCHEMA_WORDS.search(f"{words} {report}")
        ):
            return SchemaNotSupportedError(message, status)
        if status in REFUSED and (parameter := self._refused_parameter(report, words)):
            return ParameterRefusedError(message, status, parameter)
        return None

    def _refused_parameter(self, report: Mapping[str, Any], words: str) -> str:
        """The field of the request that a refusal speaks of; empty where it speaks of none, or of the messages."""
        ours = [name for name in self._body if name not in PROMPT_FIELDS]
        named = str(_error_of(report).get("param") or "").partition(".")[0].partition("[")[0]
        if named in ours:
            return named
        if not PARAMETER_WORDS.search(words):
            return ""
        places = {name: found.start() for name in ours if (found := re.search(rf"\b{re.escape(name)}\b", words))}
        return min(places, key=lambda name: (places[name], -len(name)), default="")


def path_advice(peer: Peer) -> str:
    """What to try when there is nothing at the address that was called, or something else."""
    base = f"{peer.url.parent.parent if peer.url.name == 'completions' else peer.url.parent}".rstrip("/")
    if "/v1" in base:
        return f"Is {base} the right base URL (setting openai_base_url)?"
    return f"The base URL {base} probably misses /v1 (setting openai_base_url)"


def _error_of(report: Mapping[str, Any]) -> Mapping[str, Any]:
    error = report.get("error")
    return error if isinstance(error, Mapping) else report


def _codes(report: Mapping[str, Any]) -> set[str]:
    found = [each.get(name) for each in (report, _error_of(report)) for name in ("code", "type")]
    return {code.lower() for code in found if isinstance(code, str)}


def _status(report: Mapping[str, Any]) -> int | None:
    """The HTTP status that a report names, or that its code means."""
    for each in (_error_of(report), report):
        for name in ("code", "status", "status_code"):
            if re.fullmatch("[45][0-9]{2}", text := str(each.get(name))):
                return int(text)
    return next((STATUSES[code] for code in _codes(report) if code in STATUSES), None)

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
from flowgpt_magic.providers.failure_reports import SHOWN, asked_wait, failure_text, report_of
from flowgpt_magic.providers.http.connection import Peer
from flowgpt_magic.providers.http.errors import message_of, status_error
from flowgpt_magic.providers.openai.requests import OTHER_NAMES
from flowgpt_magic.redaction import redact_shortened_keys
from flowgpt_magic.text import cut_between_words, sentences

PROMPT_FIELDS = ("model", "messages", "stream")  # what every request has, and is no parameter
REFUSED = (400, 422)  # the request was understood, and not liked
NOT_DONE = (500, 501)  # as LiteLLM and other proxies answer for a parameter that the server behind them does not take
NOT_DONE_WORDS = re.compile("UnsupportedParams|not implemented|not supported", re.IGNORECASE)
NO_QUOTA = {"insufficient_quota", "insufficient_balance", "insufficient_credits", "billing_hard_limit_reached"}
NO_MODEL = {
    *("model_not_found", "invalid_model", "unknown_model", "deploymentnotfound", "model_decommissioned"),
    *("model_not_available", "model_not_supported", "model_not_exist", "invalidendpointormodel.notfound"),
    *("resource_not_found_error", "modelnotfound", "model_not_loaded"),
}
TOO_LONG = {"context_length_exceeded", "exceed_context_size_error", "context_window_exceeded"}
WRONG_KEY = {"invalid_api_key", "authentication_error", "api_key_invalid", "invalidapikey", "unauthenticated"}
STATUSES = {  # of codes that come without one
    "rate_limit_exceeded": 429,
    "rate_limit_error": 429,
    "resource_exhausted": 429,
    "insufficient_quota": 429,
    **dict.fromkeys(WRONG_KEY, 401),
    "permission_error": 403,
    "permission_denied": 403,
    "invalid_request_error": 400,
    "server_error": 500,
    "internal_server_error": 500,
    "overloaded_error": 503,
    "unavailable": 503,
}
NO_QUOTA_WORDS = re.compile(r"insufficient (?:account )?(?:balance|credits?|funds)|out of credits?\b", re.IGNORECASE)
# "There is no such model" as OpenAI, vLLM, SGLang, Ollama, LM Studio, llama-swap, LiteLLM, Ray Serve, OpenRouter, Groq,
# Mistral, DeepSeek, Gemini, Anthropic, Azure, Together, Fireworks, Perplexity, Hugging Face and Cloudflare say it.
MODEL_WORDS = re.compile(
    r"\bmodels?\b.*\b(not found|not exist|does not exist|doesn't exist|not available|unavailable|not a valid|unknown|"
    r"invalid|not loaded|not supported|no longer supported|no such|decommissioned|not deployed|is not enabled|"
    r"not recognized|not served)|\b(invalid|unknown|unsupported|no such|unable to access|not found the|find the|find) "
    r"(?:the )?model\b|\bnot a valid model\b|\bno models? (?:is |are )?loaded\b|"
    r"\bno (?:healthy deployments|endpoints found|allowed providers|router) (?:are |is )?(?:available )?for\b|"
    r"LLM Provider NOT provided|^model: \S+$|模型不存在",
    re.IGNORECASE | re.DOTALL,
)
SURE_WORDS = re.compile(  # also where the model is not named
    r"\bmodel (?:does )?not exist\b|\bno models? (?:is |are )?loaded\b|LLM Provider NOT provided|模型不存在|"
    r"\b(?:invalid|unknown|unsupported|no such) model\b|\bmodel identifier is invalid\b",
    re.IGNORECASE,
)
NO_MODEL_WORDS = re.compile(r"\bpinned to\b|\bno fixtures?\b", re.IGNORECASE)  # said of mocks and of routes
KEY_WORDS = re.compile(
    r"api[ _-]?key (?:is )?(?:not (?:valid|found)|invalid|expired|incorrect|missing)|"
    r"(?:invalid|incorrect|wrong|missing|no|expired) (?:or missing )?api[ _-]?key|pass a valid api key|"
    r"invalid (?:access |auth(?:entication)? |bearer )?token|login fail",
    re.IGNORECASE,
)
LENGTH_WORDS = re.compile(
    r"context[ _](length|window|size)|prompt is too long|too many (input |prompt )?tokens|input is too long|"
    r"reduce the length|exceeds? the (maximum|available|model).{0,40}(context|tokens)",
    re.IGNORECASE | re.DOTALL,
)
LENGTH_LIMIT = re.compile(
    r"(?:maximum context length|context (?:length|window|size)|context_length|n_ctx)\D{0,30}?([0-9][0-9,]{2,9})\b"
    r"|> ([0-9]{3,9}) maximum",
    re.IGNORECASE,
)
LEAST_KEPT, MOST_KEPT = 500, 2000  # tokens of earlier turns that an error about a long prompt suggests to send
SCHEMA_WORDS = re.compile(r"response_format|json[_ ]?schema|structured[_ ]outputs?|grammar|guided", re.IGNORECASE)
BUSY_WORDS = re.compile(r"\b(busy|overloaded|overload|at capacity|temporarily|unavailable)\b", re.IGNORECASE)
RATE_WORDS = re.compile(r"rate.?limit|too many requests", re.IGNORECASE)
PATH_WORDS = re.compile(
    r"unexpected endpoint|(?:unknown|invalid|no such|unsupported) (?:url|route|path|endpoint)|cannot (?:get|post) /|"
    r"(?:route|path|endpoint|url) .{0,80}(?:not found|does not exist|not supported)",
    re.IGNORECASE,
)
# What servers write about a parameter that they do not take. The name stands in ``param``, or next to these words.
PARAMETER_WORDS = re.compile(
    r"unsupported|not supported|not (?:be )?support|not implemented|unrecognized|unknown|unexpected|"
    r"extra(?:neous)? (?:inputs|fields|key)|not permitted|not allowed|not (?:a )?valid|invalid|illegal|out of range|"
    r"must be|should be|too (?:large|small|high|low)|at (?:most|least)|less than|greater than|maximum|minimum|"
    r"\brange\b|[<>]=? ?-?[0-9]|(?:can|may)(?:no| no|')t (?:both )?(?:be|specify|set|use)|deprecated|"
    r"(?:only|may) .{0,40}(?:supported|allowed|set|used)|fixed (?:at|to)|failed to parse|"
    r"does not (?:support|accept|take)|do(?:es)?n't support|UnsupportedParams|非法|不支持|无效|范围",
    re.IGNORECASE,
)
# What servers that translate a request call its fields, besides Google's way of writing them (``topP``).
FURTHER_NAMES = {"max_tokens": ("max_output_tokens", "maxOutputTokens", "max_new_tokens", "max_completion_tokens")}
NO_KEY = "It was sent no key (setting openai_key)."
CLEAR = (ContextLengthError, ParameterRefusedError, SchemaNotSupportedError)  # with a key they would be the same


class RefusedFieldError(ParameterRefusedError):
    """The server does not take a parameter that has another name, or that the reply can do without."""


class Failures:
    """Makes the error for what a server refuses or reports; ``body`` is what it was asked, empty for nothing."""

    def __init__(self, body: Mapping[str, Any]) -> None:
        self._body = body

    def refused(self, status: int, headers: Mapping[str, str], content: bytes, peer: Peer) -> ProviderError:
        """The error for an HTTP status that is no success."""
        page = peer.hide_known(content.decode("utf-8", "replace"))
        error = status_error(status, headers, content, peer)
        if status < 400 or status == 407:
            return error
        if status in (401, 403):
            error.args = (redact_shortened_keys(str(error)),)
        delay = error.retry_after if isinstance(error, ProviderStatusError) else None
        found = self._told_apart(
            str(error), status, report_of(page), cut_between_words(message_of(page), SHOWN), delay, peer
        )
        if found is None and status in (404, 405):
            found = ProviderStatusError(f"{error} {path_advice(peer)}", status, delay)
        return _without_key(found or error, peer)

    def reported(self, report: Mapping[str, Any], peer: Peer, *, begun: bool = True) -> ProviderError:
        """The error for a failure that is reported in a response that is no failure; has the reply ``begun``?"""
        words = redact_shortened_keys(failure_text(report))
        status, delay = _status(report, words), asked_wait(report, words)
        message = sentences(f"{peer.host} reports a failure: {words}")
        found = self._told_apart(message, status, report, words, delay, peer)
        if found is not None:
            return found
        if status == 401:
            return AuthenticationError(_joined(message, peer.route.unauthorized), status, delay)
        if not begun and status in (None, 400, 404, 405) and (PATH_WORDS.search(words) or misses_version(peer)):
            message = f"{message} {path_advice(peer)}"
        if status is None:
            return ProviderError(message)
        kinds = {403: PermissionDeniedError, 429: RateLimitError}
        return kinds.get(status, ProviderStatusError)(message, status, delay)

    def _told_apart(
        self,
        message: str,
        status: int | None,
        report: Mapping[str, Any],
        words: str,
        delay: float | None,
        peer: Peer,
    ) -> ProviderError | None:
        """The error that says more than its status does."""
        codes = _codes(report)
        if codes & NO_QUOTA or status == 402 or NO_QUOTA_WORDS.search(words):
            text = f"{message} The quota or credit of this key is used up, and waiting does not help."
            return QuotaError(text, status or 429, delay)
        if status in (401, 429):
            return None
        if codes & WRONG_KEY or (status in (*REFUSED, 403, None) and KEY_WORDS.search(words)):
            text = _joined(redact_shortened_keys(message), peer.route.unauthorized)
            return AuthenticationError(text, status or 401, delay)
        if codes & TOO_LONG or LENGTH_WORDS.search(words):
            return ContextLengthError(f"{message} {_shorten(report, words)}")
        if codes & NO_MODEL or (status in (*REFUSED, 404, None) and self._names_model(words, status)):
            advice = "%flowgpt models openai_compatible lists those it has."
            return ModelNotFoundError(f"{message} {advice}", status or 404)
        return self._refused_field(message, status, report, words)

    def _names_model(self, words: str, status: int | None) -> bool:
        if not self._body or NO_MODEL_WORDS.search(words) or not MODEL_WORDS.search(words):
            return False
        named = str(self._body.get("model", "")).lower() in words.lower()
        return named or status == 404 or SURE_WORDS.search(words) is not None

    def _refused_field(
        self, message: str, status: int | None, report: Mapping[str, Any], words: str
    ) -> ProviderError | None:
        anywhere = f"{words} {report}"
        if status in REFUSED:
            for field, other in OTHER_NAMES.items():
                if field in self._body and re.search(rf"\b{field}\b", anywhere) and other in anywhere:
                    return RefusedFieldError(message, status, field)
        if status and "json_schema" in str(self._body.get("response_format", "")) and SCHEMA_WORDS.search(anywhere):
            return SchemaNotSupportedError(message, status)
        refused = status in REFUSED or (status in NOT_DONE and NOT_DONE_WORDS.search(words))
        if status and refused and (parameter := self._refused_parameter(report, words)):
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
        places = {name: found.start() for name in ours if (found := _spellings(name).search(words))}
        return min(places, key=lambda name: (places[name], -len(name)), default="")


def _spellings(field: str) -> re.Pattern[str]:
    """What finds the name of a field of the request in a text."""
    first, *rest = field.split("_")
    names = (field, first + "".join(part.title() for part in rest), *FURTHER_NAMES.get(field, ()))
    return re.compile(rf"\b(?:{'|'.join(map(re.escape, names))})\b", re.ASCII)


def misses_version(peer: Peer) -> bool:
    """Has the base URL no ``/v1`` or the like? Nearly every server has one."""
    return re.search(r"/v[0-9]", _base(peer)) is None


def path_advice(peer: Peer) -> str:
    """What to try when there is nothing at the address that was called, or something else."""
    if misses_version(peer):
        return f"The base URL {_base(peer)} probably misses /v1 (setting openai_base_url)."
    return f"Is {_base(peer)} the right base URL (setting openai_base_url)?"


def _base(peer: Peer) -> str:
    return f"{peer.url.parent.parent if peer.url.name == 'completions' else peer.url.parent}".rstrip("/")


def _joined(message: str, advice: str) -> str:
    return f"{message} {sentences(advice)}" if advice and advice.rstrip(".") not in message else message


def _without_key(error: ProviderError, peer: Peer) -> ProviderError:
    """``error``, which says that no key was sent, where that may be why."""
    if not peer.route.token and not isinstance(error, CLEAR) and "was sent no key" not in str(error):
        error.args = (f"{sentences(str(error))} {NO_KEY}",)
    return error


def _shorten(report: Mapping[str, Any], words: str) -> str:
    """What to do about a prompt that is too long; names the limit where the server does."""
    limit = _error_of(report).get("n_ctx")
    if type(limit) is not int and (found := LENGTH_LIMIT.search(words)):
        limit = int((found[1] or found[2]).replace(",", ""))
    size = f" (the model sees {limit:,} tokens)" if type(limit) is int else ""
    kept = max(LEAST_KEPT, min(limit // 4, MOST_KEPT)) if type(limit) is int else MOST_KEPT
    return f"Shorten the prompt{size}, or send fewer of the earlier turns along: %flowgpt set history_tokens {kept}."


def _error_of(report: Mapping[str, Any]) -> Mapping[str, Any]:
    error = report.get("error")
    return error if isinstance(error, Mapping) else report


def _codes(report: Mapping[str, Any]) -> set[str]:
    """The codes of a failure, in lower case; Google's ``status`` and the ``reason`` of its details are codes too."""
    error = _error_of(report)
    details = error.get("details")
    inner = [each for each in details if isinstance(each, Mapping)] if isinstance(details, list) else []
    found = [each.get(name) for each in (report, error, *inner) for name in ("code", "type", "status", "reason")]
    return {code.lower() for code in found if isinstance(code, str)}


def _status(report: Mapping[str, Any], words: str) -> int | None:
    """The HTTP status that a report names, or that its code or its words mean."""
    for each in (_error_of(report), report):
        for name in ("code", "status", "status_code", "statusCode", "http_code"):
            if re.fullmatch("[45][0-9]{2}", text := str(each.get(name))):
                return int(text)
    codes = _codes(report)
    if found := next((STATUSES[code] for code in sorted(codes) if code in STATUSES), None):
        return found
    if RATE_WORDS.search(words):
        return 429
    return 503 if BUSY_WORDS.search(words) else None

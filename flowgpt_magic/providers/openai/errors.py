"""Turn the failures that OpenAI-compatible servers report into our errors.

A failure is an HTTP status, or is reported inside a reply. Its kind stands in a code (``error.code``, ``error.type``)
if the server has codes, otherwise only in its message.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, ClassVar

from flowgpt_magic.errors import (
    AuthenticationError,
    ContextLengthError,
    ImagesRefusedError,
    ModelNotFoundError,
    ParameterRefusedError,
    ProviderError,
    ProviderStatusError,
    QuotaError,
    SchemaNotSupportedError,
)
from flowgpt_magic.providers.failure_reports import (
    MESSAGE_LIMIT,
    STATUS_ERRORS,
    failure_text,
    parse_report,
    reported_status,
)
from flowgpt_magic.providers.http.connection import Endpoint
from flowgpt_magic.providers.http.errors import error_message, status_error
from flowgpt_magic.providers.openai.reasoning_parts import PARTS_FIELDS
from flowgpt_magic.providers.openai.requests import REASONING_PARTS, REPLACEMENTS
from flowgpt_magic.providers.wait_times import requested_wait
from flowgpt_magic.redaction import redact_shortened_keys
from flowgpt_magic.text import cut_between_words, sentences

REQUIRED_FIELDS = ("model", "messages", "stream")  # of every request; not parameters
INVALID_REQUEST = (400, 422)
UNSUPPORTED = (500, 501)  # LiteLLM and other proxies, for a parameter that the server behind them does not support
UNSUPPORTED_PATTERN = re.compile("UnsupportedParams|not implemented|not supported", re.IGNORECASE)
QUOTA_CODES = {"insufficient_quota", "insufficient_balance", "insufficient_credits", "billing_hard_limit_reached"}
MODEL_CODES = {
    *("model_not_found", "invalid_model", "unknown_model", "deploymentnotfound", "model_decommissioned"),
    *("model_not_available", "model_not_supported", "model_not_exist", "invalidendpointormodel.notfound"),
    *("resource_not_found_error", "modelnotfound", "model_not_loaded"),
}
LENGTH_CODES = {"context_length_exceeded", "exceed_context_size_error", "context_window_exceeded"}
KEY_CODES = {"invalid_api_key", "authentication_error", "api_key_invalid", "invalidapikey", "unauthenticated"}
STATUS_OF_CODE = {  # for codes without a status
    "rate_limit_exceeded": 429,
    "rate_limit_error": 429,
    "resource_exhausted": 429,
    "insufficient_quota": 429,
    **dict.fromkeys(KEY_CODES, 401),
    "permission_error": 403,
    "permission_denied": 403,
    "invalid_request_error": 400,
    "server_error": 500,
    "internal_server_error": 500,
    "overloaded_error": 503,
    "unavailable": 503,
}
QUOTA_PATTERN = re.compile(
    r"insufficient (?:account )?(?:balance|credits?|funds)|out of credits?\b|credit balance is too low", re.IGNORECASE
)
# "There is no such model" in the words of OpenAI, vLLM, SGLang, Ollama, LM Studio, llama-swap, LiteLLM, Ray Serve,
# OpenRouter, Groq, Mistral, DeepSeek, Gemini, Anthropic, Azure, Together, Fireworks, Perplexity, Hugging Face and
# Cloudflare.
MODEL_PATTERN = re.compile(
    r"\bmodels?\b.*\b(not found|not exist|does not exist|doesn't exist|not available|unavailable|not a valid|unknown|"
    r"invalid|not loaded|not supported|no longer supported|no such|decommissioned|not deployed|is not enabled|"
    r"not recognized|not served)|\b(invalid|unknown|unsupported|no such|unable to access|not found the|find the|find) "
    r"(?:the )?model\b|\bnot a valid model\b|\bno models? (?:is |are )?loaded\b|"
    r"\bno (?:healthy deployments|endpoints found|allowed providers|router) (?:are |is )?(?:available )?for\b|"
    r"LLM Provider NOT provided|^model: \S+$|模型不存在",
    re.IGNORECASE | re.DOTALL,
)
CERTAIN_MODEL_PATTERN = re.compile(  # sufficient even if the model is not named
    r"\bmodel (?:does )?not exist\b|\bno models? (?:is |are )?loaded\b|LLM Provider NOT provided|模型不存在|"
    r"\b(?:invalid|unknown|unsupported|no such) model\b|\bmodel identifier is invalid\b",
    re.IGNORECASE,
)
NOT_ABOUT_MODEL_PATTERN = re.compile(r"\bpinned to\b|\bno fixtures?\b", re.IGNORECASE)  # about mocks and routes
KEY_PATTERN = re.compile(
    r"api[ _-]?key (?:is )?(?:not (?:valid|found)|invalid|expired|incorrect|missing)|"
    r"(?:invalid|incorrect|wrong|missing|no|expired) (?:or missing )?api[ _-]?key|pass a valid api key|"
    r"invalid (?:access |auth(?:entication)? |bearer )?token|login fail",
    re.IGNORECASE,
)
LENGTH_PATTERN = re.compile(
    r"context[ _](length|window|size|limit)|prompt is too long|too many (input |prompt )?tokens|input is too long|"
    r"reduce the length|exceeds? the (maximum|available|model).{0,40}(context|tokens)",
    re.IGNORECASE | re.DOTALL,
)
LENGTH_LIMIT_PATTERN = re.compile(
    r"(?:maximum context length|context (?:length|window|size)|context_length|n_ctx)\D{0,30}?([0-9][0-9,]{2,9})\b"
    r"|> ([0-9]{3,9}) maximum",
    re.IGNORECASE,
)
MIN_HISTORY_TOKENS, MAX_HISTORY_TOKENS = 500, 2000  # that an error about a long prompt suggests
# What llama.cpp, vLLM, Ollama, LM Studio, OpenAI, OpenRouter, Groq, DeepSeek and Mistral write about images for a model
# that reads text only, and words about an image that is itself at fault.
IMAGES_PATTERN = re.compile(
    r"\b(?:images?(?:_url)?|pictures?|vision|multi-?modal)\b.{0,60}"
    r"(?:not (?:be )?(?:supported|enabled|allowed|accepted)|only supported by|unsupported)|"
    r"(?:not (?:support|accept|take|allow)|n't (?:support|accept|take)|unsupported|unknown (?:variant|part|type)|"
    r"that support|data required for|not an?|at most 0) .{0,40}"
    r"\b(?:images?(?:_url)?|vision|multi-?modal)\b|content['\"`]?:? must be a string",
    re.IGNORECASE | re.DOTALL,
)
FAULTY_IMAGE_PATTERN = re.compile(
    r"\b(?:formats?|valid|decod\w*|download\w*|fetch\w*|base64|mime\w*|size|dimensions?|pixels|jpe?g|png)\b|"
    r"\btoo (?:large|big|small|many)\b",
    re.IGNORECASE,
)
PARTS_PATTERN = re.compile("signature|reasoning_details|thinking|encrypted", re.IGNORECASE)
NO_IMAGES_STATUSES = (400, 404, 415, 422, 500, 501, None)  # 500: Ollama, and llama.cpp of 2025
SCHEMA_PATTERN = re.compile(r"response_format|json[_ ]?schema|structured[_ ]outputs?|grammar|guided", re.IGNORECASE)
BUSY_PATTERN = re.compile(r"\b(busy|overloaded|overload|at capacity|temporarily|unavailable)\b", re.IGNORECASE)
RATE_LIMIT_PATTERN = re.compile(r"rate.?limit|too many requests", re.IGNORECASE)
PATH_PATTERN = re.compile(
    r"unexpected endpoint|(?:unknown|invalid|no such|unsupported) (?:url|route|path|endpoint)|cannot (?:get|post) /|"
    r"(?:route|path|endpoint|url) .{0,80}(?:not found|does not exist|not supported)",
    re.IGNORECASE,
)
# What servers write about a parameter they do not accept. Its name stands in ``param`` or near these words.
PARAMETER_PATTERN = re.compile(
    r"unsupported|not supported|not (?:be )?support|not implemented|unrecognized|unknown|unexpected|"
    r"extra(?:neous)? (?:inputs|fields|key)|not permitted|not allowed|not (?:a )?valid|invalid|illegal|out of range|"
    r"must be|should be|too (?:large|small|high|low)|at (?:most|least)|less than|greater than|maximum|minimum|"
    r"\brange\b|[<>]=? ?-?[0-9]|(?:can|may)(?:no| no|')t (?:both )?(?:be|specify|set|use)|deprecated|"
    r"(?:only|may) .{0,40}(?:supported|allowed|set|used)|fixed (?:at|to)|failed to parse|"
    r"does not (?:support|accept|take)|do(?:es)?n't support|UnsupportedParams|非法|不支持|无效|范围",
    re.IGNORECASE,
)
# Other names of a field on servers that translate requests, besides Google's spelling (``topP``).
OTHER_SPELLINGS = {"max_tokens": ("max_output_tokens", "maxOutputTokens", "max_new_tokens", "max_completion_tokens")}
OTHER_API_STATUSES = (400, 403, 404, 405, 422, 501, None)
# What OpenAI, Azure and gateways write if only the Responses API has a model or what was requested of it.
RESPONSES_PATTERN = re.compile(
    r"/responses\b|\bresponses[ -]?(?:api|endpoint)\b|"
    r"\bchat[ _-]?completions? operation (?:does not|doesn't|is not|isn't|cannot)",
    re.IGNORECASE,
)
ABOUT_KEY_PATTERN = re.compile(  # such as "Authentication required" or "You didn't provide an API key"
    r"\bapi[ _-]?keys?\b|\b(?:no|your|valid|missing) key\b|\bauth(?:enticat|oriz|oris)|\bunauth|\bcredential|"
    r"\bbearer\b|\b(?:access|auth) token|\b(?:log|sign)[ -]?in\b",
    re.IGNORECASE,
)
UNRELATED_TO_KEY = (ContextLengthError, ParameterRefusedError, SchemaNotSupportedError)  # a key would not help


class RefusedFieldError(ParameterRefusedError):
    """The server does not accept a field that has another name or can be left out."""


class OtherApiError(ProviderStatusError):
    """The server says that another one of OpenAI's two APIs has to be asked for this model or request."""


class ErrorMapper:
    """Makes the errors for the failures of one request; ``body`` is its body, empty for none."""

    status_of_code: ClassVar[Mapping[str, int]] = STATUS_OF_CODE
    image_part: ClassVar[str] = "image_url"  # the type of a content part with an image
    messages_field: ClassVar[str] = "messages"  # of the body
    required_fields: ClassVar[tuple[str, ...]] = REQUIRED_FIELDS

    def __init__(self, body: Mapping[str, Any]) -> None:
        self._body = body

    def for_status(self, status: int, headers: Mapping[str, str], content: bytes, endpoint: Endpoint) -> ProviderError:
        """The error for an HTTP status that is not a success."""
        page = endpoint.hide_known_secrets(content.decode("utf-8", "replace"))
        error = status_error(status, headers, content, endpoint)
        if status < 400 or status == 407:
            return error
        if status in (401, 403):
            error.args = (redact_shortened_keys(str(error)),)
        delay = error.retry_after if isinstance(error, ProviderStatusError) else None
        text = cut_between_words(error_message(page), MESSAGE_LIMIT)
        specific = self._specific_error(str(error), status, parse_report(page), text, delay, endpoint)
        if specific is None and status in (404, 405):
            specific = ProviderStatusError(f"{error} {path_advice(endpoint)}", status, delay)
        about_key = status in (401, 403) or ABOUT_KEY_PATTERN.search(text) is not None
        return _with_key_advice(specific or error, endpoint) if about_key else specific or error

    def for_report(self, report: Mapping[str, Any], endpoint: Endpoint, *, begun: bool = True) -> ProviderError:
        """The error for a failure that is reported inside a successful response.

        ``begun``: part of the reply has arrived.
        """
        text = redact_shortened_keys(failure_text(report))
        status, delay = _status(report, text, self.status_of_code), requested_wait(report, text)
        message = sentences(f"{endpoint.host} reports a failure: {text}")
        specific = self._specific_error(message, status, report, text, delay, endpoint)
        if specific is not None:
            return specific
        if status == 401:
            message = _with_advice(message, endpoint.route.unauthorized)
        elif not begun and status in (None, 400, 404, 405) and (PATH_PATTERN.search(text) or misses_version(endpoint)):
            message = f"{message} {path_advice(endpoint)}"
        if status is None:
            return ProviderError(message)
        return STATUS_ERRORS.get(status, ProviderStatusError)(message, status, delay)

    def _specific_error(
        self,
        message: str,
        status: int | None,
        report: Mapping[str, Any],
        text: str,
        delay: float | None,
        endpoint: Endpoint,
    ) -> ProviderError | None:
        """The error for a cause that the status alone does not tell; None for any other."""
        codes = _codes(report)
        if codes & QUOTA_CODES or status == 402 or QUOTA_PATTERN.search(text):
            advice = "The quota or credit of this key is used up; waiting does not help."
            return QuotaError(f"{message} {advice}", status or 429, delay)
        if status in (401, 429):
            return None
        if status in NO_IMAGES_STATUSES and self._refuses_images(text):
            return ImagesRefusedError(message, status or 400, retry_after=delay)
        if codes & KEY_CODES or (status in (*INVALID_REQUEST, 403, None) and KEY_PATTERN.search(text)):
            message = _with_advice(redact_shortened_keys(message), endpoint.route.unauthorized)
            return AuthenticationError(message, status or 401, delay)
        if codes & LENGTH_CODES or LENGTH_PATTERN.search(text):
            return ContextLengthError(f"{message} {_length_advice(report, text)}")
        if codes & MODEL_CODES or (status in (*INVALID_REQUEST, 404, None) and self._names_model(text, status)):
            advice = f"%flowgpt models {endpoint.route.alias or endpoint.route.provider} lists its models."
            return ModelNotFoundError(f"{message} {advice}", status or 404)
        return self._refused_field(message, status, report, text)

    def _refuses_images(self, text: str) -> bool:
        if not IMAGES_PATTERN.search(text) or FAULTY_IMAGE_PATTERN.search(text):
            return False
        contents = [message.get("content") for message in self._body.get(self.messages_field, ())]
        return any(
            part.get("type") == self.image_part for parts in contents if isinstance(parts, list) for part in parts
        )

    def _names_model(self, text: str, status: int | None) -> bool:
        if not self._body or NOT_ABOUT_MODEL_PATTERN.search(text) or not MODEL_PATTERN.search(text):
            return False
        is_named = str(self._body.get("model", "")).lower() in text.lower()
        return is_named or status == 404 or CERTAIN_MODEL_PATTERN.search(text) is not None

    def _refused_field(
        self, message: str, status: int | None, report: Mapping[str, Any], text: str
    ) -> ProviderError | None:
        everything = f"{text} {report}"
        if status in INVALID_REQUEST:
            for field, replacement in REPLACEMENTS.items():
                if field in self._body and re.search(rf"\b{field}\b", everything) and replacement in everything:
                    return RefusedFieldError(message, status, field)
        if status in INVALID_REQUEST and PARTS_PATTERN.search(everything) and self._has_reasoning_parts():
            return RefusedFieldError(message, status, REASONING_PARTS)
        if status and "json_schema" in str(self._body.get("response_format", "")) and SCHEMA_PATTERN.search(everything):
            return SchemaNotSupportedError(message, status)
        may_be_parameter = status in INVALID_REQUEST or (status in UNSUPPORTED and UNSUPPORTED_PATTERN.search(text))
        if status and may_be_parameter and (parameter := self._refused_parameter(report, text)):
            return ParameterRefusedError(message, status, parameter)
        return None

    def _has_reasoning_parts(self) -> bool:
        return any(field in message for message in self._body.get("messages", ()) for field in PARTS_FIELDS)

    def _refused_parameter(self, report: Mapping[str, Any], text: str) -> str:
        """The parameter of the request that the error is about; empty if it is about none."""
        parameters = [name for name in self._body if name not in self.required_fields]
        param = str(error_of(report).get("param") or "").partition(".")[0].partition("[")[0]
        if param in parameters:
            return param
        if not PARAMETER_PATTERN.search(text):
            return ""
        positions = {name: match.start() for name in parameters if (match := _spellings(name).search(text))}
        return min(positions, key=lambda name: (positions[name], -len(name)), default="")


class ChatErrorMapper(ErrorMapper):
    """Makes the errors for the failures of one request of the chat completions API."""

    def _specific_error(
        self,
        message: str,
        status: int | None,
        report: Mapping[str, Any],
        text: str,
        delay: float | None,
        endpoint: Endpoint,
    ) -> ProviderError | None:
        if status in OTHER_API_STATUSES and RESPONSES_PATTERN.search(text):
            return OtherApiError(message, status or 404, delay)
        return super()._specific_error(message, status, report, text, delay, endpoint)


def _spellings(field: str) -> re.Pattern[str]:
    """Matches the name of a field in all its spellings."""
    first, *rest = field.split("_")
    names = (field, first + "".join(part.title() for part in rest), *OTHER_SPELLINGS.get(field, ()))
    return re.compile(rf"\b(?:{'|'.join(map(re.escape, names))})\b", re.ASCII)


def misses_version(endpoint: Endpoint) -> bool:
    """Does the base URL lack ``/v1`` or the like? Nearly every server has it."""
    return re.search(r"/v[0-9]", _base(endpoint)) is None


def path_advice(endpoint: Endpoint) -> str:
    """Advice for an address without an OpenAI-compatible server."""
    alias = endpoint.route.alias
    place = (
        f"%flowgpt update {alias} --endpoint URL changes it" if alias else f"setting {endpoint.route.address_setting}"
    )
    if misses_version(endpoint):
        return f"The base URL {_base(endpoint)} probably misses /v1 ({place})."
    return f"Is {_base(endpoint)} the right base URL ({place})?"


def _base(endpoint: Endpoint) -> str:
    return f"{endpoint.url.parent.parent if endpoint.url.name == 'completions' else endpoint.url.parent}".rstrip("/")


def _with_advice(message: str, advice: str) -> str:
    return f"{message} {sentences(advice)}" if advice and advice.rstrip(".") not in message else message


def _with_key_advice(error: ProviderError, endpoint: Endpoint) -> ProviderError:
    """Add to ``error`` that no key was sent, if that may be the cause."""
    if not endpoint.route.token and not isinstance(error, UNRELATED_TO_KEY) and "No key was sent" not in str(error):
        route = endpoint.route
        advice = route.unauthorized if route.alias else f"No key was sent (setting {route.key_setting})."
        error.args = (f"{sentences(str(error))} {advice}",)
    return error


def _length_advice(report: Mapping[str, Any], text: str) -> str:
    """Advice for a prompt that is too long, with the limit if the server names it."""
    limit = error_of(report).get("n_ctx")
    if type(limit) is not int and (match := LENGTH_LIMIT_PATTERN.search(text)):
        limit = int((match[1] or match[2]).replace(",", ""))
    size = f" (the model sees {limit:,} tokens)" if type(limit) is int else ""
    history = MAX_HISTORY_TOKENS
    if type(limit) is int:
        history = max(MIN_HISTORY_TOKENS, min(limit // 4, MAX_HISTORY_TOKENS))
    return f"Shorten the prompt{size}, or send fewer earlier turns: %flowgpt set history_tokens {history}."


def error_of(report: Mapping[str, Any]) -> Mapping[str, Any]:
    error = report.get("error")
    return error if isinstance(error, Mapping) else report


def _codes(report: Mapping[str, Any]) -> set[str]:
    """The codes of a failure in lower case, including Google's ``status`` and the ``reason`` of its details."""
    error = error_of(report)
    details = error.get("details")
    objects = [detail for detail in details if isinstance(detail, Mapping)] if isinstance(details, list) else []
    codes = [value.get(name) for value in (report, error, *objects) for name in ("code", "type", "status", "reason")]
    return {code.lower() for code in codes if isinstance(code, str)}


def _status(report: Mapping[str, Any], text: str, statuses: Mapping[str, int]) -> int | None:
    """The HTTP status in a report, or the one that its code or message stands for."""
    codes = _codes(report)
    status = reported_status(error_of(report), report)
    status = status or next((statuses[code] for code in sorted(codes) if code in statuses), None)
    if status or RATE_LIMIT_PATTERN.search(text):
        return status or 429
    return 503 if BUSY_PATTERN.search(text) else None

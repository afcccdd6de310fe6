"""Turn the failures that servers with OpenAI's Responses API report into our errors."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, ClassVar

from flowgpt_magic.errors import ParameterRefusedError, ProviderError, ProviderStatusError, SchemaNotSupportedError
from flowgpt_magic.providers.http.connection import Endpoint
from flowgpt_magic.providers.openai.errors import (
    INVALID_REQUEST,
    OTHER_API_STATUSES,
    PATH_PATTERN,
    SCHEMA_PATTERN,
    STATUS_OF_CODE,
    ErrorMapper,
    OtherApiError,
    RefusedFieldError,
    error_of,
)
from flowgpt_magic.providers.openai.requests import REASONING_PARTS
from flowgpt_magic.providers.openai.responses_body import INCLUDE, STREAM, SUMMARY, optional_parts

NO_PATH = (404, 405, 501)  # what a server answers to a path that it does not have
# What servers write if only the chat completions API has a model; the second about a request without a wrong field.
CHAT_PATTERN = re.compile(r"/chat/completions\b|\b(?:use|to) (?:the )?chat[ _-]?completions?\b", re.IGNORECASE)
NO_RESPONSES_PATTERN = re.compile(
    r"\b(?:not|n't|cannot|unsupported)\b.{0,80}\bresponses?[\"'` ]*(?:api|endpoint)\b|"
    r"\bresponses[\"'` ]*(?:api|endpoint|operation)\b.{0,60}(?:\bnot\b|n't\b|\bonly\b|\bunsupported\b)|"
    r"\bmissing scopes?\b.{0,60}\bresponses\b",
    re.IGNORECASE | re.DOTALL,
)
# What servers write about a part of the request that can be left out.
REFUSED_PARTS = {
    REASONING_PARTS: re.compile(
        r"invalid_encrypted_content|\bencrypted[ _]content\b.{0,80}(?:verif|decrypt|pars|invalid)|"
        r"(?:verif|decrypt|pars|invalid).{0,80}\bencrypted[ _]content\b|\breasoning'? items?\b|"
        r"\bof type [\"'`]reasoning\b|\bitem with id\b|\binput\[[0-9]+\]\.(?:encrypted_content|summary|phase|id)\b",
        re.IGNORECASE | re.DOTALL,
    ),
    INCLUDE: re.compile(r"\binclude\b|\bencrypted[ _]content\b", re.IGNORECASE),
    SUMMARY: re.compile(r"\breasoning[._ ]summar|\bsummary\b", re.IGNORECASE),
    STREAM: re.compile(r"\bstream(?:ing)?\b", re.IGNORECASE),
}
NOT_REASONING_PATTERN = re.compile(r"\breasoning\b(?![._]effort)", re.IGNORECASE)
# The user's parameters that became fields of another object, and what servers write about them.
NESTED_PARAMETERS = (
    ("reasoning", "effort", re.compile(r"\breasoning(?:[._ ]effort)?['\"` ]", re.IGNORECASE), "reasoning_effort"),
    ("text", "verbosity", re.compile(r"\bverbosity\b", re.IGNORECASE), "verbosity"),
    ("text", "format", re.compile(r"\btext\.format\b", re.IGNORECASE), "response_format"),
)
REPORT_STATUS = {
    "invalid_prompt": 400,
    "vector_store_timeout": 504,
    **dict.fromkeys(("data_residency_mismatch", "bio_policy", "misalignment_policy_violation"), 400),
    **dict.fromkeys(("invalid_image", "invalid_image_format", "invalid_base64_image", "invalid_image_url"), 400),
    **dict.fromkeys(("image_too_large", "image_too_small", "image_parse_error", "invalid_image_mode"), 400),
    **dict.fromkeys(("image_content_policy_violation", "image_file_too_large", "image_file_not_found"), 400),
    **dict.fromkeys(("unsupported_image_media_type", "empty_image_file", "failed_to_download_image"), 400),
}


class ResponsesErrorMapper(ErrorMapper):
    """Makes the errors for the failures of one request.

    Args:
        body: the body of the request, empty for none.
        length: the user's parameter that became ``max_output_tokens``.
    """

    status_of_code: ClassVar[Mapping[str, int]] = {**STATUS_OF_CODE, **REPORT_STATUS}
    image_part: ClassVar[str] = "input_image"
    messages_field: ClassVar[str] = "input"
    required_fields: ClassVar[tuple[str, ...]] = ("model", "input", "stream", "store", "include", "reasoning", "text")

    def __init__(self, body: Mapping[str, Any], length: str = "max_tokens") -> None:
        super().__init__(body)
        self._length = length
        self._parts = optional_parts(body)

    def for_status(self, status: int, headers: Mapping[str, str], content: bytes, endpoint: Endpoint) -> ProviderError:
        """The error for an HTTP status that is not a success."""
        error = super().for_status(status, headers, content, endpoint)
        if status in NO_PATH and type(error) is ProviderStatusError:
            return OtherApiError(str(error), status, error.retry_after)
        return error

    def _specific_error(
        self,
        message: str,
        status: int | None,
        report: Mapping[str, Any],
        text: str,
        delay: float | None,
        endpoint: Endpoint,
    ) -> ProviderError | None:
        if status in (*OTHER_API_STATUSES, 401) and self._needs_chat(status, report, text):
            return OtherApiError(message, status or 404, delay)
        if status in (*INVALID_REQUEST, 404) and (part := self._refused_part(report, text)):
            return RefusedFieldError(message, status or 400, part)
        return super()._specific_error(message, status, report, text, delay, endpoint)

    def _needs_chat(self, status: int | None, report: Mapping[str, Any], text: str) -> bool:
        """Does the error say that the chat completions API has to be asked?"""
        if CHAT_PATTERN.search(text):
            return True
        if str(error_of(report).get("param") or "model") != "model":
            return False
        has_no_path = status in (*NO_PATH, None) and PATH_PATTERN.search(text) is not None
        return has_no_path or NO_RESPONSES_PATTERN.search(text) is not None

    def _refused_part(self, report: Mapping[str, Any], text: str) -> str:
        """The part of the request that the error is about and that can be left out; empty if it is about none."""
        error = error_of(report)
        param = str(error.get("param") or "")
        if (named := param.partition("[")[0]) in self._parts:
            return named
        everything = f"{param} {error.get('code') or ''} {text}"
        parts = [name for name, pattern in REFUSED_PARTS.items() if name in self._parts and pattern.search(everything)]
        if parts:
            return parts[0]
        own_effort = "effort" in (self._body.get("reasoning") or {})
        return SUMMARY if SUMMARY in self._parts and not own_effort and NOT_REASONING_PATTERN.search(everything) else ""

    def _refused_field(
        self, message: str, status: int | None, report: Mapping[str, Any], text: str
    ) -> ProviderError | None:
        everything = f"{error_of(report).get('param') or ''} {text}"
        has_schema = "json_schema" in str((self._body.get("text") or {}).get("format", ""))
        if status and has_schema and ("text.format" in everything or SCHEMA_PATTERN.search(everything)):
            return SchemaNotSupportedError(message, status)
        if status in INVALID_REQUEST and (name := self._nested_parameter(everything)):
            return ParameterRefusedError(message, status, name)
        error = super()._refused_field(message, status, report, text)
        if isinstance(error, ParameterRefusedError) and error.parameter == "max_output_tokens":
            error.parameter = self._length
        return error

    def _nested_parameter(self, text: str) -> str:
        """The user's parameter that the error is about, if it became a field of another object; otherwise empty."""
        for outer, inner, pattern, parameter in NESTED_PARAMETERS:
            if inner in (self._body.get(outer) or {}) and pattern.search(text):
                return parameter
        return ""

"""Turn the failures that servers with Claude's API report into our errors."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, ClassVar

from flowgpt_magic.errors import (
    OptionError,
    ParameterRefusedError,
    PermissionDeniedError,
    ProviderError,
    ProviderStatusError,
    SchemaNotSupportedError,
)
from flowgpt_magic.providers.claude.requests import (
    ADAPTIVE,
    CACHE_MARKS,
    DISPLAY,
    LENGTH,
    PARAMETER_OF_FIELD,
    SIGNATURES,
    optional_parts,
)
from flowgpt_magic.providers.http.connection import Endpoint
from flowgpt_magic.providers.openai.errors import (
    INVALID_REQUEST,
    SCHEMA_PATTERN,
    STATUS_OF_CODE,
    ErrorMapper,
    RefusedFieldError,
)
from flowgpt_magic.text import sentences

OVERLOADED = 529
# What servers write about a part of the request that can be left out, or be sent in another way.
REFUSED_PARTS = {
    SIGNATURES: re.compile(r"\bsignature|\b(?:redacted_)?thinking[`'\"]* blocks?\b", re.IGNORECASE),
    CACHE_MARKS: re.compile(r"\bcache_control\b", re.IGNORECASE),
    DISPLAY: re.compile(r"\bthinking\b.{0,40}\bdisplay\b", re.IGNORECASE | re.DOTALL),
    ADAPTIVE: re.compile(
        r"\badaptive\b.{0,60}\bnot\b|\bthinking\b.{0,80}(?:'enabled'|`enabled`|\"enabled\"|\benabled\b).{0,20}\bor\b|"
        r"\boutput_config\b(?!\.format)|\beffort\b",
        re.IGNORECASE | re.DOTALL,
    ),
    LENGTH: re.compile(
        r"\bmax_tokens\b|maximum (?:allowed )?(?:number of )?output tokens|context limit", re.IGNORECASE
    ),
}
OUTPUT_FORMAT_PATTERN = re.compile(r"\boutput_(?:config|format)\b", re.IGNORECASE)
LARGEST_LENGTH = re.compile(r"max_tokens: [0-9]+ > ([0-9]{2,9})|(?:at most|maximum of|<=) ([0-9]{2,9})")
USE_EFFORT = "Use -P reasoning_effort=high (reasoning_effort= in Python) instead of thinking_budget."


class RefusedLengthError(RefusedFieldError):
    """The server does not accept our default of ``max_tokens``; ``limit`` is its largest value, None if unknown."""

    def __init__(self, message: str, status: int, limit: int | None) -> None:
        super().__init__(message, status, LENGTH)
        self.limit = limit


class ClaudeErrorMapper(ErrorMapper):
    """Makes the errors for the failures of one request.

    Args:
        body: the body of the request, empty for none.
        names: the user's parameters by the fields that they became, where the names differ.
        own_length: ``max_tokens`` is our default, not the user's.
    """

    status_of_code: ClassVar[Mapping[str, int]] = {
        **STATUS_OF_CODE,
        "overloaded_error": OVERLOADED,
        "api_error": 500,
        "timeout_error": 504,
        "request_too_large": 413,
        "not_found_error": 404,
        "billing_error": 402,
    }
    image_part: ClassVar[str] = "image"

    def __init__(
        self, body: Mapping[str, Any], names: Mapping[str, str] = PARAMETER_OF_FIELD, *, own_length: bool = False
    ) -> None:
        super().__init__(body)
        self._names = names
        self._own_length = own_length
        self._parts = optional_parts(body)

    def for_status(self, status: int, headers: Mapping[str, str], content: bytes, endpoint: Endpoint) -> ProviderError:
        """The error for an HTTP status that is not a success."""
        error = super().for_status(status, headers, content, endpoint)
        advice = endpoint.route.unauthorized
        if isinstance(error, PermissionDeniedError) and endpoint.route.token and advice not in str(error):
            error.args = (sentences(str(error), advice),)
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
        if status in INVALID_REQUEST and (part := self._refused_part(text)):
            return part_error(message, status, part, text)
        if status == 413:
            advice = "Send fewer or smaller pictures and documents, or fewer earlier turns (setting history_tokens)."
            return ProviderStatusError(f"{message} {advice}", status, delay)
        return super()._specific_error(message, status, report, text, delay, endpoint)

    def _refused_part(self, text: str) -> str:
        """The part of the request that the error is about and that can be left out; empty if it is about none."""
        parts = {*self._parts, *([LENGTH] if self._own_length else [])}
        return next((part for part, pattern in REFUSED_PARTS.items() if part in parts and pattern.search(text)), "")

    def _refused_field(
        self, message: str, status: int | None, report: Mapping[str, Any], text: str
    ) -> ProviderError | None:
        has_schema = "format" in (self._body.get("output_config") or {})
        if status and has_schema and (OUTPUT_FORMAT_PATTERN.search(text) or SCHEMA_PATTERN.search(text)):
            return SchemaNotSupportedError(message, status)
        error = super()._refused_field(message, status, report, text)
        if isinstance(error, ParameterRefusedError):
            error.parameter = self._names.get(error.parameter, error.parameter)
            if error.parameter == "thinking_budget" and "adaptive" in text:
                error.args = (sentences(str(error), USE_EFFORT),)
        return error


def part_error(message: str, status: int | None, part: str, text: str) -> RefusedFieldError:
    """The error for a ``part`` of the request that is left out of the next attempt."""
    if part != LENGTH:
        return RefusedFieldError(message, status or 400, part)
    limit = LARGEST_LENGTH.search(text.replace(",", ""))
    return RefusedLengthError(message, status or 400, int(limit[1] or limit[2]) if limit else None)


def check_temperature_range(temperature: float | None) -> None:
    """Raise ``OptionError`` for a temperature that Claude's API does not have."""
    if temperature is not None and not 0 <= temperature <= 1:
        raise OptionError(f"Claude's API takes a temperature from 0 to 1, not {temperature:g}.")

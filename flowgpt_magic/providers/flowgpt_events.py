"""Read the lines of a FlowGPT reply: text events, and failures in any shape.

The protocol has one JSON object per line and no end marker: a body that ends normally is a complete reply. A failure
that is reported inside the body must therefore be recognized, or half a reply would pass for a whole one. A proxy or
another service may answer instead, so event streams (``data: {…}``), JSON on several lines, lists and web pages are
read too.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from flowgpt_magic.errors import ProtocolError, ProviderError
from flowgpt_magic.providers.failure_reports import (
    MESSAGE_LIMIT,
    STATUS_ERRORS,
    STATUS_FIELDS,
    failure_text,
    has_base_resp_error,
    parse_report,
    reported_status,
    reports_failure,
)
from flowgpt_magic.providers.http import client as http
from flowgpt_magic.providers.http.errors import page_text
from flowgpt_magic.providers.http.lenient_events import STREAM_FIELDS
from flowgpt_magic.providers.wait_times import requested_wait
from flowgpt_magic.redaction import redact
from flowgpt_magic.text import cut_between_words, sentences

FAILURE_MARKS = ("error", "message", "statusCode")  # an object without ``event`` that has one of these is a failure
FAILURE_EVENTS = {
    *("error", "errors", "err", "failed", "failure", "fail", "exception", "abort", "aborted", "timeout", "cancelled"),
    *("canceled", "interrupted", "disconnected"),
}
REPORT_LIMIT = 2**16  # bytes of a failure on several lines, or of a web page
NOT_JSON = "a line that is not JSON"


class EventReader:
    """Reads the lines of one reply, one after the other."""

    def __init__(self) -> None:
        self._event_name = ""  # of the current event of an event stream
        self._started = False
        self._report = bytearray()  # the beginning of a report on several lines, or of a web page

    def read(self, line: bytes) -> tuple[str, ProviderError | None]:
        """The text of ``line``, empty for none, and the failure that it reports.

        A line outside the protocol is a failure too: a ``ProtocolError`` that quotes it.
        """
        if self._report:
            return "", self._continue(line)
        if not line or line.isspace():
            self._event_name = ""
            return "", None
        is_first, self._started = not self._started, True
        if line[:1] == b"{":
            return self._read_object(line)
        content = line.strip()
        if content.partition(b":")[0] in (*STREAM_FIELDS, b"error"):
            return self._read_field(content)
        if is_first and content.startswith(b"<"):
            return "", self._begin_report(line)
        return self._read_object(line)

    def read_texts(self, lines: Sequence[bytes]) -> list[str] | None:
        """The texts of ``lines`` if all are plain text events, as nearly always; otherwise None, with nothing read."""
        if self._report:
            return None
        texts = []
        try:
            for line in lines:
                text = str(line, "utf-8")
                event, end = http.read_json(text)
                if end != len(text) or len(event) != 2 or event["event"] != "text" or type(event["data"]) is not str:
                    return None
                texts.append(event["data"])
        except (ValueError, RecursionError, KeyError, TypeError):
            return None
        self._started = True
        return texts

    def end(self) -> ProviderError | None:
        """The failure of a reply whose body has ended, if it ended inside a report."""
        return self._finish_report() if self._report else None

    def _read_field(self, content: bytes) -> tuple[str, ProviderError | None]:
        """Read a line of an event stream, into which some proxies turn the lines of the protocol."""
        name, _colon, value = (part.strip() for part in content.partition(b":"))
        if name == b"event":
            self._event_name = value.decode("utf-8", "replace")
        if name == b"error" or (name == b"data" and is_failure_event(self._event_name)):
            text = value.decode("utf-8", "replace")
            return "", failure_error(parse_report(text) or {"message": text})
        if name != b"data" or value in (b"", b"[DONE]"):
            return "", None
        if value[:1] in (b"{", b"["):
            return self._read_object(value)
        return "", http.unexpected_content(content, NOT_JSON)

    def _read_object(self, line: bytes) -> tuple[str, ProviderError | None]:
        try:
            event = http.read_object(line)
        except ProtocolError as error:
            return "", self._read_other_json(line, error)
        return read_event(event, line)

    def _read_other_json(self, line: bytes, error: ProtocolError) -> ProviderError | None:
        """The failure in a list, or None if ``line`` begins an object on several lines."""
        text = line.decode("utf-8", "replace").strip()
        if text.startswith("["):
            report = parse_report(text)
            if reports_failure(report):
                return failure_error(report)
        opens = text in ("{", "[") or (text[:1] in ("{", "[") and text[-1:] in ("{", "[", ","))
        return self._begin_report(line) if opens else error

    def _begin_report(self, line: bytes) -> ProviderError | None:
        self._report += line + b"\n"
        return None

    def _continue(self, line: bytes) -> ProviderError | None:
        """Add a line to a report or a page; the failure once it is complete."""
        if self._report[:1] == b"{" and _is_event(line):  # the stream goes on, so the earlier line was damaged
            return self._finish_report()
        self._report += line + b"\n"
        may_end = line.strip()[-1:] in (b"}", b"]") or b"</html>" in line.lower()
        if len(self._report) > REPORT_LIMIT or (may_end and self._is_complete()):
            return self._finish_report()
        return None

    def _is_complete(self) -> bool:
        content = bytes(self._report).strip()
        return content.startswith(b"<") or bool(parse_report(content.decode("utf-8", "replace")))

    def _finish_report(self) -> ProviderError:
        """The failure that the collected lines report, or an error that quotes the first of them."""
        text = bytes(self._report).decode("utf-8", "replace").strip()
        if text.startswith("<"):
            page = cut_between_words(redact(page_text(text)), MESSAGE_LIMIT) or "it has no text"
            return ProtocolError(sentences(f"the server answered with a web page: {page}"), page=True)
        report = parse_report(text)
        _text, failure = read_event(report, b"") if report else ("", None)
        return failure or http.unexpected_content(bytes(self._report).partition(b"\n")[0], NOT_JSON)


def read_event(event: Mapping[str, Any], line: bytes) -> tuple[str, ProviderError | None]:
    """The text of an event and the failure that it reports; errors quote ``line``."""
    name, data = event.get("event"), event.get("data")
    if name == "text":
        if len(event) == 2 and type(data) is str:
            return data, None
        if fails_beside(event) or (type(data) is not str and reports_failure(event)):
            return data if type(data) is str else "", failure_error(event)
        if type(data) is str:
            return data, None
        if isinstance(data, Mapping) and reports_failure(data):
            return "", failure_error(data)
        return "", http.unexpected_content(line, "a text event without text")
    if is_failure_event(name) or (fails(event) if name is None else fails_beside(event)):
        return "", failure_error(event)
    if isinstance(data, Mapping) and fails_beside(data):
        return "", failure_error(data)
    return "", None


def is_failure_event(name: Any) -> bool:
    """Does an event of this name report a failure?"""
    words = name.lower().replace("-", "_").replace(".", "_").split("_") if isinstance(name, str) else []
    return isinstance(name, Mapping) or not FAILURE_EVENTS.isdisjoint(words)


def fails(event: Mapping[str, Any]) -> bool:
    """Does an object without ``event`` report a failure?"""
    if reports_failure(event):
        return True
    has_status = any(_number(event.get(name)) is not None for name in STATUS_FIELDS)  # none of 400 or more
    data = event.get("data")
    if not has_status and any(event.get(mark) for mark in FAILURE_MARKS):
        return True
    return isinstance(data, Mapping) and fails_beside(data)


def fails_beside(event: Mapping[str, Any]) -> bool:
    """Does an event report a failure besides its own purpose? A message alone does not."""
    if event.get("error") or event.get("errors") or event.get("success") is False or has_base_resp_error(event):
        return True
    if isinstance(event.get("status"), str) and is_failure_event(event["status"]):
        return True
    return reported_status(event) is not None


def failure_error(report: Mapping[str, Any]) -> ProviderError:
    """The error for a failure that the server reports inside a reply, with the server's message."""
    data = report.get("data")
    text = failure_text(data if isinstance(data, Mapping) and not fails(report) else report)
    message = sentences(f"the server reports a failure: {text}")
    status = reported_status(report, report.get("error"), report.get("event"), data)
    if status is None or status not in STATUS_ERRORS:
        return ProviderError(message)
    return STATUS_ERRORS[status](message, status, requested_wait(report, text))


def _number(value: Any) -> int | None:
    if type(value) is int:
        return value
    return int(value) if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 9 else None


def _is_event(line: bytes) -> bool:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return False
    return isinstance(value, dict) and "event" in value

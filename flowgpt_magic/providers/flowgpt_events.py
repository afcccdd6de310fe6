"""The lines of a FlowGPT reply: which bring text, and which report that the reply failed.

The protocol has one JSON object a line, and no mark at the end: a body that ends well is a whole reply. So a failure
that is told inside the body must be found, in whatever shape, or half a reply would be taken for a whole one. What
answers at such an address may also be a proxy or another service: event streams (``data: {…}``), JSON on several lines,
lists and web pages are read for what they say.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from flowgpt_magic.errors import (
    AuthenticationError,
    PermissionDeniedError,
    ProtocolError,
    ProviderError,
    ProviderStatusError,
    RateLimitError,
)
from flowgpt_magic.providers.failure_reports import (
    asked_wait,
    failure_text,
    refused_by_base,
    report_of,
    reports_failure,
)
from flowgpt_magic.providers.http import client as http
from flowgpt_magic.providers.http.errors import readable
from flowgpt_magic.redaction import redact
from flowgpt_magic.text import cut_between_words, sentences

MARKS = ("error", "message", "statusCode")  # an object without an event that says one of these is a failure
STATUSES = ("status", "statusCode", "status_code", "code")
FAILURE_EVENTS = {
    *("error", "errors", "err", "failed", "failure", "fail", "exception", "abort", "aborted", "timeout", "cancelled"),
    *("canceled", "interrupted", "disconnected"),
}
FIELDS = {b"data", b"event", b"id", b"retry", b"error", b""}  # what stands before the colon in an event stream
LONGEST_REPORT = 2**16  # bytes of a failure that is told on several lines, or as a page
SHOWN = 500  # characters of a page
NO_JSON = "a line that is not JSON"


class EventReader:
    """Reads the lines of one reply, one after the other."""

    def __init__(self) -> None:
        self._kind = ""  # the event that a line of an event stream has named
        self._begun = False  # has a line been read?
        self._held = bytearray()  # the beginning of a report on several lines, or of a page

    def read(self, line: bytes) -> tuple[str, ProviderError | None]:
        """The text that ``line`` brings, empty for none, and the failure that it reports.

        A line that is not the protocol is a failure too: a ``ProtocolError`` that quotes it.
        """
        if self._held:
            return "", self._continue(line)
        if not line or line.isspace():
            self._kind = ""
            return "", None
        first, self._begun = not self._begun, True
        if line[:1] == b"{":
            return self._read_object(line)
        content = line.strip()
        if content.partition(b":")[0] in FIELDS:
            return self._read_field(content)
        if first and content.startswith(b"<"):
            return "", self._hold(line)
        return self._read_object(line)

    def read_texts(self, lines: Sequence[bytes]) -> list[str] | None:
        """The texts of ``lines`` where each is a text event of the protocol and nothing else, as nearly all are.

        None where one is anything else: then none of them is read.
        """
        if self._held:
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
        self._begun = True
        return texts

    def end(self) -> ProviderError | None:
        """The failure that the reply ended in, where the body has ended."""
        return self._unfinished() if self._held else None

    def _read_field(self, content: bytes) -> tuple[str, ProviderError | None]:
        """A line of an event stream, as a proxy makes them of the lines of the protocol."""
        name, _colon, value = (part.strip() for part in content.partition(b":"))
        if name == b"event":
            self._kind = value.decode("utf-8", "replace")
        if name == b"error" or (name == b"data" and is_failure_event(self._kind)):
            said = value.decode("utf-8", "replace")
            return "", failure_error(report_of(said) or {"message": said})
        if name != b"data" or value in (b"", b"[DONE]"):
            return "", None
        return self._read_object(value) if value[:1] in (b"{", b"[") else ("", http.unexpected(content, NO_JSON))

    def _read_object(self, line: bytes) -> tuple[str, ProviderError | None]:
        try:
            event = http.read_object(line)
        except ProtocolError as error:
            return "", self._other_json(line, error)
        return read_event(event, line)

    def _other_json(self, line: bytes, error: ProtocolError) -> ProviderError | None:
        """What JSON that is no object on one line reports: a list does, or an object whose first line this is."""
        said = line.decode("utf-8", "replace").strip()
        if said.startswith("["):
            report = report_of(said)
            if reports_failure(report):
                return failure_error(report)
        opens = said in ("{", "[") or (said[:1] in ("{", "[") and said[-1:] in ("{", "[", ","))
        return self._hold(line) if opens else error

    def _hold(self, line: bytes) -> ProviderError | None:
        self._held += line + b"\n"
        return None

    def _continue(self, line: bytes) -> ProviderError | None:
        """One line more of a report or a page."""
        if self._held[:1] == b"{" and _is_event(line):  # the stream goes on, so the line before it was broken
            return self._unfinished()
        self._held += line + b"\n"
        ends = line.strip()[-1:] in (b"}", b"]") or b"</html>" in line.lower()
        if len(self._held) > LONGEST_REPORT or (ends and self._is_whole()):
            return self._unfinished()
        return None

    def _is_whole(self) -> bool:
        said = bytes(self._held).strip()
        return said.startswith(b"<") or bool(report_of(said.decode("utf-8", "replace")))

    def _unfinished(self) -> ProviderError:
        """The failure that was told on several lines, or the error that quotes its first line."""
        said = bytes(self._held).decode("utf-8", "replace").strip()
        if said.startswith("<"):
            shown = cut_between_words(redact(readable(said)), SHOWN) or "it has no text"
            return ProtocolError(sentences(f"the server answered with a web page: {shown}"), page=True)
        report = report_of(said)
        _text, failure = read_event(report, b"") if report else ("", None)
        return failure or http.unexpected(bytes(self._held).partition(b"\n")[0], NO_JSON)


def read_event(event: Mapping[str, Any], line: bytes) -> tuple[str, ProviderError | None]:
    """The text that an object brings, and the failure that it reports; ``line`` is what an error quotes."""
    kind, data = event.get("event"), event.get("data")
    if kind == "text":
        if len(event) == 2 and type(data) is str:
            return data, None
        if fails_beside(event) or (type(data) is not str and reports_failure(event)):
            return data if type(data) is str else "", failure_error(event)
        if type(data) is str:
            return data, None
        if isinstance(data, Mapping) and reports_failure(data):
            return "", failure_error(data)
        return "", http.unexpected(line, "a text event without text")
    if is_failure_event(kind) or (fails(event) if kind is None else fails_beside(event)):
        return "", failure_error(event)
    if isinstance(data, Mapping) and fails_beside(data):
        return "", failure_error(data)
    return "", None


def is_failure_event(kind: Any) -> bool:
    """Is this the name of an event that says that the reply failed?"""
    words = kind.lower().replace("-", "_").replace(".", "_").split("_") if isinstance(kind, str) else []
    return isinstance(kind, Mapping) or not FAILURE_EVENTS.isdisjoint(words)


def fails(event: Mapping[str, Any]) -> bool:
    """Does an object without an event report a failure?"""
    if reports_failure(event):
        return True
    fine = any(_number(event.get(name)) is not None for name in STATUSES)  # and none is 400 or more
    data = event.get("data")
    return (not fine and any(event.get(mark) for mark in MARKS)) or (isinstance(data, Mapping) and fails_beside(data))


def fails_beside(event: Mapping[str, Any]) -> bool:
    """Does an object report a failure beside what its event is there for? Words alone do not."""
    if event.get("error") or event.get("errors") or event.get("success") is False or refused_by_base(event):
        return True
    if isinstance(event.get("status"), str) and is_failure_event(event["status"]):
        return True
    return any(400 <= (_number(event.get(name)) or 0) < 600 for name in STATUSES)


def failure_error(report: Mapping[str, Any]) -> ProviderError:
    """The error for a failure that the server reports inside a reply, with its own words."""
    inner = report.get("data")
    words = failure_text(inner if isinstance(inner, Mapping) and not fails(report) else report)
    message = sentences(f"the server reports a failure: {words}")
    places = (report, report.get("error"), report.get("event"), inner)
    codes = [_number(place.get(name)) for place in places if isinstance(place, Mapping) for name in STATUSES]
    status = next((code for code in codes if code and 400 <= code < 600), None)
    kinds: dict[int | None, type[ProviderStatusError]] = {
        401: AuthenticationError,
        402: RateLimitError,
        403: PermissionDeniedError,
        429: RateLimitError,
    }
    if status is None or status not in kinds:
        return ProviderError(message)
    return kinds[status](message, status, asked_wait(report, words))


def _number(value: Any) -> int | None:
    if type(value) is int:
        return value
    return int(value) if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 9 else None


def _is_event(line: bytes) -> bool:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return False
    return isinstance(found, dict) and "event" in found

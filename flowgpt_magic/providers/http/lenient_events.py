"""Replies as servers really send them: event streams with extra lines, and JSON without a stream.

The HTML standard ignores lines of an event stream that are no fields. Servers report failures there: as an object on a
line of its own, or in a field ``error``, as llama.cpp did in 2025. Other servers send JSON alone: one object, an object
per line, or a list.
"""

from __future__ import annotations

import json
from typing import Any

from flowgpt_magic.providers.http.client import is_json
from flowgpt_magic.providers.http.server_sent_events import BOM, Event, EventSplitter

# Types of events that the standard does not have.
ERROR_EVENT = "error"  # a field ``error``
UNFRAMED_EVENT = "unframed"  # content outside of fields
CUT_EVENT = "cut"  # JSON that the end of the body cut off
STREAM_FIELDS = (b"data", b"event", b"id", b"retry", b"")


class LenientEventSplitter(EventSplitter):
    """Splits an event stream, and returns what stands between its fields too.

    A field ``error`` is an ``ERROR_EVENT``. A JSON object, on one line or several, and any other line that is no field
    are an ``UNFRAMED_EVENT``.
    """

    def __init__(self, limit: int) -> None:
        super().__init__(limit)
        self._object = bytearray()  # the lines of an unfinished JSON object

    def split(self, block: bytes) -> list[Event]:
        """The events that ``block`` completes."""
        return self._split_by_line(self._with_lf(block)) if self._object else super().split(block)

    def _read_line(self, line: bytes) -> list[Event]:
        if self._object:
            return self._continue_object(line)
        name, _colon, value = line.partition(b":")
        if not line or name in STREAM_FIELDS:
            return super()._read_line(line)
        if name == b"error":
            return [Event(value.removeprefix(b" "), ERROR_EVENT, self._id)]
        if line.startswith(b"{") and not is_json(line):
            self._object += line + b"\n"
            return []
        return [Event(line.strip(), UNFRAMED_EVENT, self._id)]

    def _continue_object(self, line: bytes) -> list[Event]:
        """Add a line to the object. A blank line or a field ends an object that is incomplete."""
        if not line.strip() or line.partition(b":")[0] in STREAM_FIELDS:
            return [*self._take_object(), *self._read_line(line)]
        if len(self._object) + len(line) > self.limit:
            self.too_long = True
            self._object.clear()
            return []
        self._object += line + b"\n"
        is_complete = line.rstrip().endswith(b"}") and is_json(self._object)
        return self._take_object() if is_complete else []

    def _take_object(self) -> list[Event]:
        event = Event(bytes(self._object).strip(), UNFRAMED_EVENT, self._id)
        self._object.clear()
        return [event]


class JsonSplitter:
    """Splits a body that begins as JSON, one object, an object per line or a list, into events.

    Objects on lines of their own are returned as they arrive, everything else at the end. ``limit`` is in bytes, of a
    line or of the whole body.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.too_long = False
        self._by_line: bool | None = None  # None until the first line has ended
        self._buffer = bytearray()

    def split(self, block: bytes) -> list[Event]:
        """The events that ``block`` completes."""
        self._buffer += block
        events: list[Event] = []
        if self._by_line is None and b"\n" in self._buffer.lstrip():
            first = bytes(self._buffer.removeprefix(BOM)).lstrip().partition(b"\n")[0]
            self._by_line = is_json(first)
        if self._by_line and b"\n" in block:
            *lines, rest = bytes(self._buffer.removeprefix(BOM)).split(b"\n")
            self._buffer = bytearray(rest)
            events = [event for line in lines for event in _line_events(line)]
        self.too_long = len(self._buffer) > self.limit
        return events

    def last(self) -> list[Event]:
        """The events that the end of the body completes."""
        content = bytes(self._buffer.removeprefix(BOM)).strip()
        self._buffer.clear()
        if content[:1] not in (b"{", b"["):
            return _line_events(content)
        return [Event(content, CUT_EVENT)] if _is_cut_off(content) else [Event(value) for value in _values(content)]

    def unfinished(self) -> list[Event]:
        """Nothing: ``last`` returns everything."""
        return []


def _line_events(line: bytes) -> list[Event]:
    """The events of a line; servers mix ``data`` fields into JSON lines."""
    content = line.strip().removeprefix(b"data:").strip()
    return [Event(value) for value in (_values(content) if content.startswith(b"[{") else [content]) if value]


def _values(content: bytes) -> list[bytes]:
    """The JSON values in ``content``, those of a list of objects one by one; ``content`` itself if it is not JSON."""
    values: list[Any] = []
    try:
        text = content.decode()
        position, decoder = 0, json.JSONDecoder()
        while position < len(text):
            value, position = decoder.raw_decode(text, position)
            values += value if isinstance(value, list) and all(isinstance(item, dict) for item in value) else [value]
            position += len(text) - position - len(text[position:].lstrip(" \t\r\n,"))
    except (ValueError, RecursionError):
        return [content]
    return [json.dumps(value).encode() for value in values] if len(values) != 1 or content[:1] == b"[" else [content]


def _is_cut_off(content: bytes) -> bool:
    """Is this JSON whose only fault is that it ends too early?"""
    text = content.decode("utf-8", "replace")
    try:
        json.loads(text)
    except json.JSONDecodeError as error:
        return error.pos >= len(text) or error.msg.startswith("Unterminated string")
    except RecursionError:
        return False
    return False

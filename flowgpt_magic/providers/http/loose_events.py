"""Replies as servers frame them in fact: event streams with lines that are no fields, JSON without a frame.

The HTML standard has a reader of an event stream ignore lines that are no fields. Servers report failures there: as an
object on a line of its own, or in a field named ``error``, as llama.cpp did in 2025. Others send JSON alone: one
object, an object on each line, or a list.
"""

from __future__ import annotations

import json
from typing import Any

from flowgpt_magic.providers.http.server_sent_events import BOM, Event, EventSplitter

ERROR = "error"  # the type of an event that reports a failure
UNFRAMED = "unframed"  # the type of what stood in no field
CUT = "cut"  # the type of JSON that the body ended in the middle of
FIELDS = (b"data", b"event", b"id", b"retry", b"")


class LooseEventSplitter(EventSplitter):
    """An event stream, and what stands between its fields.

    A field ``error`` is an event of that type. A JSON object, on one line or on several, and any other line that is no
    field of the standard are events of the type ``unframed``.
    """

    def __init__(self, limit: int) -> None:
        super().__init__(limit)
        self._object = bytearray()  # the lines of an object that has begun

    def split(self, block: bytes) -> list[Event]:
        """The events that ``block`` completes."""
        return self._by_lines(self._with_lf(block)) if self._object else super().split(block)

    def _read(self, line: bytes) -> list[Event]:
        if self._object:
            return self._continue(line)
        name, _colon, value = line.partition(b":")
        if not line or name in FIELDS:
            return super()._read(line)
        if name == b"error":
            return [Event(value.removeprefix(b" "), ERROR, self._id)]
        if line.startswith(b"{") and not _is_json(line):
            self._object += line + b"\n"
            return []
        return [Event(line.strip(), UNFRAMED, self._id)]

    def _continue(self, line: bytes) -> list[Event]:
        """One line more of an object; a field of the standard or a blank line ends one that is not whole."""
        if not line.strip() or line.partition(b":")[0] in FIELDS:
            return [*self._take_object(), *self._read(line)]
        if len(self._object) + len(line) > self.limit:
            self.too_long = True
            self._object.clear()
            return []
        self._object += line + b"\n"
        whole = line.rstrip().endswith(b"}") and _is_json(self._object)
        return self._take_object() if whole else []

    def _take_object(self) -> list[Event]:
        event = Event(bytes(self._object).strip(), UNFRAMED, self._id)
        self._object.clear()
        return [event]


class JsonSplitter:
    """A body that begins as JSON: one object, an object on each line, or a list of them, as events.

    Objects that stand on a line each come out as they arrive, anything else at the end. ``limit`` is in bytes, of a
    line or of the whole.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.too_long = False
        self._by_line: bool | None = None  # None until the first line has ended
        self._held = bytearray()

    def split(self, block: bytes) -> list[Event]:
        """The events that ``block`` completes."""
        self._held += block
        events: list[Event] = []
        if self._by_line is None and b"\n" in self._held.lstrip():
            first = bytes(self._held.removeprefix(BOM)).lstrip().partition(b"\n")[0]
            self._by_line = _is_json(first)
        if self._by_line and b"\n" in block:
            *lines, rest = bytes(self._held.removeprefix(BOM)).split(b"\n")
            self._held = bytearray(rest)
            events = [event for line in lines for event in _framed(line)]
        self.too_long = len(self._held) > self.limit
        return events

    def last(self) -> list[Event]:
        """The events that the end of the body completes."""
        content = bytes(self._held.removeprefix(BOM)).strip()
        self._held.clear()
        if content[:1] not in (b"{", b"["):
            return _framed(content)
        return [Event(content, CUT)] if _is_cut(content) else [Event(each) for each in _values(content)]

    def unfinished(self) -> list[Event]:
        """What had begun when the bytes ended: nothing that ``last`` does not have."""
        return []


def _framed(line: bytes) -> list[Event]:
    """A line of a body that is no event stream, though some of its lines may be fields of one."""
    said = line.strip().removeprefix(b"data:").strip()
    return [Event(each) for each in (_values(said) if said.startswith(b"[{") else [said]) if each]


def _values(content: bytes) -> list[bytes]:
    """The JSON values that stand one behind the other, those of a list one by one; the content as it is for others."""
    found: list[Any] = []
    try:
        text = content.decode()
        place, decoder = 0, json.JSONDecoder()
        while place < len(text):
            value, place = decoder.raw_decode(text, place)
            found += value if isinstance(value, list) and all(isinstance(each, dict) for each in value) else [value]
            place += len(text) - place - len(text[place:].lstrip(" \t\r\n,"))
    except (ValueError, RecursionError):
        return [content]
    return [json.dumps(each).encode() for each in found] if len(found) != 1 or content[:1] == b"[" else [content]


def _is_cut(content: bytes) -> bool:
    """Is this the beginning of JSON, and nothing wrong with it but that it ends too early?"""
    text = content.decode("utf-8", "replace")
    try:
        json.loads(text)
    except json.JSONDecodeError as error:
        return error.pos >= len(text) or error.msg.startswith("Unterminated string")
    except RecursionError:
        return False
    return False


def _is_json(line: bytes | bytearray) -> bool:
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return False
    return True

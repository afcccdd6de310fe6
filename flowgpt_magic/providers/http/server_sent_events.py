"""Server-sent events of the WHATWG HTML standard, read from blocks of bytes that are cut anywhere.

See https://html.spec.whatwg.org/multipage/server-sent-events.html, "Parsing an event stream" and "Interpreting an event
stream". Lines end with LF, CR or CRLF, a byte order mark may start the stream, a blank line ends an event, and an event
that is unfinished at the end of the stream is dropped.

Nearly every event of a language model is one ``data`` line, perhaps below an ``event`` line, and a blank line. These
are split off a block all at once; everything else is read line by line as the standard says.
"""

from __future__ import annotations

import re
from typing import NamedTuple

BOM = b"\xef\xbb\xbf"
EVENT_END = b"\n\n"
DATA_PREFIX = b"data: "
HEAD = re.compile(rb"event: ([^\n]*)\ndata: ")
MESSAGE_EVENT = "message"  # the default type
RETRY_DIGITS = 18  # at most; Python refuses to convert very long numbers


class Event(NamedTuple):
    """One event. ``data`` is in bytes as received; ``id`` is that of the last event that had one."""

    data: bytes
    type: str = MESSAGE_EVENT
    id: str = ""


class EventSplitter:
    """Splits blocks of bytes, cut anywhere, into events.

    Buffers at most one unfinished event. A line or event data longer than ``limit`` bytes sets ``too_long``; that event
    and everything after it are dropped. ``retry`` is the reconnection time in milliseconds, if the server has sent it.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.too_long = False
        self.retry: int | None = None
        self._started = False  # has the first line ended?
        self._after_cr = False  # an LF that comes next belongs to the same line end
        self._line = bytearray()  # unfinished line
        self._data = bytearray()  # data of the unfinished event, with an LF after each line
        self._type = self._id = ""
        self._head, self._head_type = DATA_PREFIX, MESSAGE_EVENT  # what the data of the last event with a type follows

    def split(self, block: bytes) -> list[Event]:
        """The events that ``block`` completes."""
        block = self._with_lf(block)
        end = block.find(EVENT_END) + len(EVENT_END)
        if end < len(EVENT_END) or len(self._line) + len(block) > self.limit:
            return self._split_by_line(block)
        events: list[Event] = []
        if self._data or self._type or not self._started:  # finish the unfinished event line by line
            events, block = self._split_by_line(block[:end]), block[end:]
        elif self._line:
            block = self._take_line() + block
        *pieces, rest = block.split(EVENT_END)
        for piece in pieces:
            if piece.startswith(DATA_PREFIX) and b"\n" not in piece and not self.too_long:
                events.append(Event(piece[len(DATA_PREFIX) :], MESSAGE_EVENT, self._id))
            elif piece.startswith(self._head) and b"\n" not in (data := piece[len(self._head) :]) and not self.too_long:
                events.append(Event(data, self._head_type, self._id))
            else:
                events += self._split_by_line(piece + EVENT_END)
                self._learn_head(piece)
        return events + self._split_by_line(rest) if rest else events

    def _learn_head(self, piece: bytes) -> None:
        """Take the ``event`` line of ``piece`` as that of the events to come."""
        if (match := HEAD.match(piece)) and (kind := str(match[1], "utf-8", "replace")):
            self._head, self._head_type = match[0], kind

    def last(self) -> list[Event]:
        """The events that the end of the stream completes: none, according to the standard."""
        return []

    def unfinished(self) -> list[Event]:
        """The event that is unfinished at the end of the stream; it may be cut off."""
        events = self._read_line(self._take_line()) if self._line else []
        return events + self._read_line(b"")

    def _with_lf(self, block: bytes) -> bytes:
        """``block`` with LF for every line end."""
        if self._after_cr and block:
            self._after_cr = False
            block = block.removeprefix(b"\n")
        if b"\r" in block:
            self._after_cr = block.endswith(b"\r")
            block = block.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        return block

    def _split_by_line(self, block: bytes) -> list[Event]:
        events: list[Event] = []
        *lines, rest = block.split(b"\n")
        for line in lines:
            self._extend_line(line)
            if self.too_long:
                return events
            events += self._read_line(self._take_line())
        self._extend_line(rest)
        return events

    def _take_line(self) -> bytes:
        line = bytes(self._line if self._started else self._line.removeprefix(BOM))
        self._started = True
        self._line.clear()
        return line

    def _extend_line(self, part: bytes) -> None:
        if len(self._line) + len(part) > self.limit or len(self._data) - 1 > self.limit:
            self.too_long = True
            self._line, self._data = bytearray(), bytearray()
        elif not self.too_long:
            self._line += part

    def _read_line(self, line: bytes) -> list[Event]:
        """Interpret one line as the standard says; the event that it ends, if any."""
        if not line:
            event = Event(bytes(self._data[:-1]), self._type or MESSAGE_EVENT, self._id)
            data, self._data, self._type = self._data, bytearray(), ""
            return [event] if data else []
        name, _colon, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            self._data += value + b"\n"
        elif name == b"event":
            self._type = str(value, "utf-8", "replace")
        elif name == b"id" and b"\0" not in value:
            self._id = str(value, "utf-8", "replace")
        elif name == b"retry" and value.isdigit() and len(value) <= RETRY_DIGITS:
            self.retry = int(value)
        return []

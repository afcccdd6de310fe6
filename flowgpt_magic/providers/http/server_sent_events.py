"""Server-sent events, read as the WHATWG HTML standard defines them, from blocks of bytes that are cut anywhere.

See https://html.spec.whatwg.org/multipage/server-sent-events.html, "Parsing an event stream" and "Interpreting an event
stream". Lines end with LF, CR or CRLF, a byte order mark may stand at the very start, a blank line ends an event, and
one that had begun when the bytes ended is none.

Nearly every event of a language model is one line of data and a blank one. Those are cut out of a block all at once;
whatever else there is takes the way that follows the standard line by line.
"""

from __future__ import annotations

from typing import NamedTuple

BOM = b"\xef\xbb\xbf"
END = b"\n\n"  # of an event
DATA = b"data: "
MESSAGE = "message"
MOST_DIGITS = 18  # of a number of milliseconds; Python reads no more than some thousands


class Event(NamedTuple):
    """One event: its ``data`` in bytes, as they came; ``id`` is that of the last event that had one."""

    data: bytes
    type: str = MESSAGE
    id: str = ""


class EventSplitter:
    """Cuts blocks of bytes, whatever their borders, into events.

    Holds the beginning of at most one event. A line longer than ``limit`` bytes ends it, and so does an event whose
    data is longer: ``too_long`` is then true, and neither that event nor anything after it comes out. ``retry`` is the
    number of milliseconds after which the server wants to be asked again, where it has said so.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.too_long = False
        self.retry: int | None = None
        self._begun = False  # has a line ended?
        self._after_cr = False  # an LF that comes next belongs to the line end before it
        self._line = bytearray()  # the beginning of the next one
        self._data = bytearray()  # of the event that has begun, with an LF behind every line
        self._type = self._id = ""

    def split(self, block: bytes) -> list[Event]:
        """The events that ``block`` completes."""
        block = self._with_lf(block)
        place = block.find(END) + len(END)
        if place < len(END) or len(self._line) + len(block) > self.limit:
            return self._by_lines(block)
        events: list[Event] = []
        if self._data or self._type or not self._begun:  # an event has begun, and goes its way to its end
            events, block = self._by_lines(block[:place]), block[place:]
        elif self._line:
            block = self._take_line() + block
        *whole, rest = block.split(END)
        for piece in whole:
            if piece.startswith(DATA) and b"\n" not in piece and not self.too_long:
                events.append(Event(piece[len(DATA) :], MESSAGE, self._id))
            else:
                events += self._by_lines(piece + END)
        return events + self._by_lines(rest) if rest else events

    def last(self) -> list[Event]:
        """What the end of the bytes completes: nothing, says the standard."""
        return []

    def unfinished(self) -> list[Event]:
        """The event that had begun when the bytes ended, as if its end stood there; it may be cut off."""
        events = self._read(self._take_line()) if self._line else []
        return events + self._read(b"")

    def _with_lf(self, block: bytes) -> bytes:
        """``block`` with an LF for every line end."""
        if self._after_cr and block:
            self._after_cr = False
            block = block.removeprefix(b"\n")
        if b"\r" in block:
            self._after_cr = block.endswith(b"\r")
            block = block.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        return block

    def _by_lines(self, block: bytes) -> list[Event]:
        """The same as ``split``, line by line."""
        events: list[Event] = []
        *lines, rest = block.split(b"\n")
        for line in lines:
            self._hold(line)
            if self.too_long:
                return events
            events += self._read(self._take_line())
        self._hold(rest)
        return events

    def _take_line(self) -> bytes:
        line = bytes(self._line if self._begun else self._line.removeprefix(BOM))
        self._begun = True
        self._line.clear()
        return line

    def _hold(self, part: bytes) -> None:
        """Keep the beginning of a line, or what comes next of it."""
        if len(self._line) + len(part) > self.limit or len(self._data) - 1 > self.limit:
            self.too_long = True
            self._line, self._data = bytearray(), bytearray()
        elif not self.too_long:
            self._line += part

    def _read(self, line: bytes) -> list[Event]:
        """One line, as the standard says; the event that it ends."""
        if not line:
            event = Event(bytes(self._data[:-1]), self._type or MESSAGE, self._id)
            ended, self._data, self._type = self._data, bytearray(), ""
            return [event] if ended else []
        name, _colon, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            self._data += value + b"\n"
        elif name == b"event":
            self._type = str(value, "utf-8", "replace")
        elif name == b"id" and b"\0" not in value:
            self._id = str(value, "utf-8", "replace")
        elif name == b"retry" and value.isdigit() and len(value) <= MOST_DIGITS:
            self.retry = int(value)
        return []

"""Detect that a reply has begun to repeat itself, and end it where the repetition began.

A small model can fall into a loop and repeat the same words up to its limit. Once some words stand twice in a row, the
following text is held back as long as it repeats them. It is released when something new comes, and dropped when there
are so many copies that the reply is in a loop.

Some replies repeat themselves for good reason: tables, code, rows of numbers. There a loop must be longer, and lines
that differ in a number are different lines. Only the numbers of list items are ignored.
"""

from __future__ import annotations

import re
from collections import defaultdict, deque

# In characters after the first copy, or in consecutive copies.
HOLD_AFTER = 24
LOOP_IN_PROSE = 600
LOOP_IN_CODE = 1000  # also in tables and JSON
LOOP_WITHOUT_LETTERS = 1500  # a matrix of zeros, a ruled line
LOOP_COPIES = 5
LONG_COPY, LOOP_LONG_COPIES = 200, 3  # of copies this long, fewer are a loop
POSITIONS_KEPT = 64  # earlier positions of the same piece that are compared

# A word, a number or a sign, with the spaces before it. The number of a list item belongs to the line break before it,
# even if it is unfinished at the end of the text.
_PIECE = re.compile(
    r"\n[ \t]*[0-9]+[.)][ \t]"
    r"|\n[ \t]*(?:[0-9]+[.)]?)?\Z"
    r"|[ \t]*(?:\n|[0-9]+|[A-Za-z\u00c0-\u024f\u0370-\u052f]+|\S)"
    r"|[ \t\r\f\v]+|\s"
)
_LIST_ITEM = re.compile(r"\n[ \t]*[0-9]+[.)][ \t]")
_FENCE = re.compile(r" {0,3}(?:```|~~~)")
_STRUCTURED_LINE = re.compile(r" {0,3}\||\t| {4}")  # a row of a table, or indented code
_SENTENCE_END = re.compile(r"[.!?\n\u3002\uff01\uff1f]\Z")


class Repetition:
    """Examines the chunks of a reply.

    ``structured``: the whole reply is JSON. ``found`` becomes True when the reply is in a loop; after that nothing is
    released any more.
    """

    def __init__(self, *, structured: bool = False) -> None:
        self.found = False
        self._lines = _Lines(structured)
        self._last = ""  # the last piece, which may still grow
        self._last_released = 0  # characters of it that are released
        self._held: list[str] = []
        self._holding = False
        self._ends = [0]  # position after each piece, in characters
        self._with_letters = [0]  # number of pieces with letters up to there
        self._positions: defaultdict[str, deque[int]] = defaultdict(lambda: deque(maxlen=POSITIONS_KEPT))
        self._runs: dict[
            int, int
        ] = {}  # by distance: number of pieces in a row that equal those at that distance before

    def feed(self, chunk: str) -> str:
        """Add a chunk; returns the text that can be shown now."""
        if self.found:
            return ""
        *pieces, last = _PIECE.findall(self._last + chunk) or [""]
        released_length, released = self._last_released, []
        for piece in pieces:
            was_holding = self._holding
            self._count(piece)
            if self.found:
                return "".join(released)
            new, released_length = piece[released_length:], max(0, released_length - len(piece))
            if was_holding and self._holding:
                self._held.append(new)
            else:
                released += [*self._held, new]
                self._held.clear()
        if not self._holding:
            released.append(last[released_length:])
            released_length = len(last)
        self._last, self._last_released = last, released_length
        return "".join(released)

    def finish(self) -> str:
        """The text that was held back from a reply that ended by itself."""
        return "" if self.found else "".join([*self._held, self._last[self._last_released :]])

    def _count(self, piece: str) -> None:
        """Count a complete piece."""
        key = "\n1. " if _LIST_ITEM.fullmatch(piece) else piece
        number = len(self._ends) - 1
        positions = self._positions[key]
        self._runs = {number - position: self._runs.get(number - position, 0) + 1 for position in positions}
        positions.append(number)
        self._ends.append(self._ends[-1] + len(piece))
        self._with_letters.append(self._with_letters[-1] + any(map(str.isalpha, piece)))
        self._lines.feed(piece)
        repeats = [
            (distance, run) for distance, run in self._runs.items() if run >= distance and self._size(run) >= HOLD_AFTER
        ]
        self.found = any(self._is_loop(distance, run) for distance, run in repeats)
        # It is best to stop at the end of a sentence or line.
        is_good_end = bool(_SENTENCE_END.search(piece)) or any(run >= 2 * distance for distance, run in repeats)
        self._holding = bool(repeats) and (self._holding or is_good_end)

    def _size(self, pieces: int) -> int:
        """The number of characters in the last ``pieces``."""
        return self._ends[-1] - self._ends[-1 - pieces]

    def _is_loop(self, distance: int, run: int) -> bool:
        """Are the last ``run`` pieces, which equal those ``distance`` before them, a loop?"""
        copies = LOOP_LONG_COPIES if self._size(distance) >= LONG_COPY else LOOP_COPIES
        if self._with_letters[-1] == self._with_letters[-1 - distance]:
            limit = LOOP_WITHOUT_LETTERS
        else:
            limit = LOOP_IN_CODE if self._lines.structured else LOOP_IN_PROSE
        return run >= (copies - 1) * distance and self._size(run) >= limit


class _Lines:
    """Tracks whether the last complete line belongs to code, a table or JSON, where lines may look alike."""

    def __init__(self, always: bool) -> None:
        self._always = always
        self._in_fence = False
        self._row = False
        self._line = ""

    @property
    def structured(self) -> bool:
        """Is this code, a table or JSON?"""
        return self._always or self._in_fence or self._row

    def feed(self, piece: str) -> None:
        before, line_break, after = piece.partition("\n")
        self._line += before
        if not line_break:
            return
        if _FENCE.match(self._line):
            self._in_fence = not self._in_fence
        if self._line.strip():
            self._row = bool(_STRUCTURED_LINE.match(self._line))
        self._line = after

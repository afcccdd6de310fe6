"""A reply that has begun to repeat itself: found while it arrives, and ended where the repetition began.

A small model can fall into a loop, and then writes the same words until its limit. Once some words stand there twice in
a row, what follows is held back as long as it goes on repeating them. It is passed on when something new comes, and
dropped when there are so many copies that the reply is in a loop.

Some replies repeat themselves for a reason: a table, code, rows of numbers. There a loop has to be longer before it
counts, and lines that differ in a number are different lines. Only the number of a list item makes no difference.
"""

from __future__ import annotations

import re
from collections import defaultdict, deque

# All of these are characters beyond the first copy, or copies that stand one behind the other.
HELD_AFTER = 24
ENOUGH_IN_PROSE = 600
ENOUGH_IN_CODE = 1000  # also in tables and JSON
ENOUGH_WITHOUT_LETTERS = 1500  # a matrix of zeros, a ruled line
ENOUGH_COPIES = 5
LONG_COPY, ENOUGH_LONG_COPIES = 200, 3  # of copies that are as long as that, fewer are enough
MAX_PLACES = 64  # places of the same piece that are looked at

# A word, a number or a sign, with the spaces before it. A list item's number belongs to the line break before it, as
# far as it has come at the end of the text.
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
    """Looks at the chunks of a reply; ``structured`` says that it is JSON from its first character on.

    ``found`` becomes True when the reply is in a loop. Nothing is passed on after that.
    """

    def __init__(self, *, structured: bool = False) -> None:
        self.found = False
        self._lines = _Lines(structured)
        self._last = ""  # the last piece, which may still grow
        self._last_shown = 0  # characters of it that are passed on
        self._held: list[str] = []
        self._holding = False
        self._ends = [0]  # where each piece ends, in characters
        self._with_letters = [0]  # how many pieces up to there have letters
        self._places: defaultdict[str, deque[int]] = defaultdict(lambda: deque(maxlen=MAX_PLACES))
        self._runs: dict[int, int] = {}  # by distance: how many pieces in a row equal those at that distance before

    def feed(self, chunk: str) -> str:
        """Take the next chunk; returns what can be shown now."""
        if self.found:
            return ""
        *settled, last = _PIECE.findall(self._last + chunk) or [""]
        shown, passed = self._last_shown, []
        for piece in settled:
            held = self._holding
            self._settle(piece)
            if self.found:
                return "".join(passed)
            new, shown = piece[shown:], max(0, shown - len(piece))
            if held and self._holding:
                self._held.append(new)
            else:
                passed += [*self._held, new]
                self._held.clear()
        if not self._holding:
            passed.append(last[shown:])
            shown = len(last)
        self._last, self._last_shown = last, shown
        return "".join(passed)

    def finish(self) -> str:
        """What is held back of a reply that has ended by itself."""
        return "" if self.found else "".join([*self._held, self._last[self._last_shown :]])

    def _settle(self, piece: str) -> None:
        """Count a piece that grows no more."""
        key = "\n1. " if _LIST_ITEM.fullmatch(piece) else piece
        number = len(self._ends) - 1
        before = self._places[key]
        self._runs = {number - place: self._runs.get(number - place, 0) + 1 for place in before}
        before.append(number)
        self._ends.append(self._ends[-1] + len(piece))
        self._with_letters.append(self._with_letters[-1] + any(map(str.isalpha, piece)))
        self._lines.feed(piece)
        twice = [each for each in self._runs.items() if each[1] >= each[0] and self._size(each[1]) >= HELD_AFTER]
        self.found = any(self._is_loop(distance, run) for distance, run in twice)
        # Best is to stop at the end of a sentence or line.
        good = bool(_SENTENCE_END.search(piece)) or any(run >= 2 * distance for distance, run in twice)
        self._holding = bool(twice) and (self._holding or good)

    def _size(self, pieces: int) -> int:
        """The characters of the last ``pieces``."""
        return self._ends[-1] - self._ends[-1 - pieces]

    def _is_loop(self, distance: int, run: int) -> bool:
        """Are the last ``run`` pieces, which equal those ``distance`` before them, more than a reply needs?"""
        copies = ENOUGH_LONG_COPIES if self._size(distance) >= LONG_COPY else ENOUGH_COPIES
        if self._with_letters[-1] == self._with_letters[-1 - distance]:
            enough = ENOUGH_WITHOUT_LETTERS
        else:
            enough = ENOUGH_IN_CODE if self._lines.structured else ENOUGH_IN_PROSE
        return run >= (copies - 1) * distance and self._size(run) >= enough


class _Lines:
    """Whether the last whole line is one of those that may look like the line before it."""

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

"""A reply's Markdown as blocks of HTML, while it arrives: those that no longer change, and the open end.

Where a block ends depends on the text alone, never on when somebody looked: so a reply that is read at once has the
same blocks as one that came word by word. markdown-it says where blocks end. Of an open list or table all items but the
last are settled, so that a step costs one item; a block that has no such places ends when it is too long.
"""

from __future__ import annotations

import itertools
import re
from collections import deque

from flowgpt_magic.control_characters import ArrivingText
from flowgpt_magic.markdown.formulas import HalfFormula
from flowgpt_magic.markdown.html.elements import Looks
from flowgpt_magic.markdown.html.render import Known, Part, formula_of, half_formula_of, open_markup_of, parts_of
from flowgpt_magic.markdown.html.settled import TABLE, Block
from flowgpt_magic.markdown.html.unfinished import shown_line
from flowgpt_magic.markdown.html.verbatim import FENCE, OpenCode, OpenText

LONGEST = 400_000  # characters of a reply that are read as Markdown; what comes after them is shown as it was typed
MOST_LINES = 30_000  # of a reply that are read as Markdown; those of code blocks are not
LONGEST_LINE = 8_192  # characters; a longer line is cut between two words
LONGEST_BLOCK = 8_192  # characters of a block that cannot be settled
LONGEST_ITEM = 16_384  # characters of an item, or a quote
LONGEST_LIST = 16_384  # characters of a list or a table after which another one goes on
STEP = 10  # an open end of many characters is shown again when it has grown by one in so many
SMALL = 2_048  # characters of an open end that is always shown again


class _OpenList:
    """Whether a fence belongs to the open list, as far as the beginnings of lines tell."""

    _ITEM = re.compile(r" {0,3}(?:[-+*]|\d{1,9}[.)])(?: {1,4}(?=[^ \n])|[ \t]*$)", re.MULTILINE)
    _END = re.compile(r" {0,3}(?:#{1,6}[ \t\n]|([-*_])(?:[ \t]*\1){2,}[ \t]*$)", re.MULTILINE)

    def __init__(self) -> None:
        self._width = 0  # columns from which on a line belongs to the open item, or 0 without one
        self._after_blank = False

    def has(self, line: str) -> bool:
        """Does this line begin where the text of the open item does?"""
        indent = line[: len(line) - len(line.lstrip(" \t"))]
        return 0 < self._width <= len(indent.expandtabs(4))

    def add(self, line: str) -> None:
        """Take a line."""
        if not line.strip():
            self._after_blank = True
            return
        if not self.has(line):
            ends = self._END.match(line)
            item = None if ends else self._ITEM.match(line)
            if item:
                bare = not line[item.end() :].strip()
                self._width = len(item[0].rstrip()) + 1 if bare else len(item[0])
            elif ends or self._after_blank:
                self._width = 0
        self._after_blank = False


class GrowingBlocks:
    """The blocks of a text that arrives in pieces."""

    def __init__(self, looks: Looks) -> None:
        self.finished: list[str] = []  # the HTML of blocks that no longer change
        self.open: list[str] = []  # and of those at the open end
        self.revised: dict[int, str] = {}  # finished blocks that changed when all was there, as they were before
        self._looks, self._known = looks, Known()
        self._arriving = ArrivingText()
        self._rest = ""  # of the text: the line that has no end yet
        self._read, self._line_count = 0, 0  # characters of the whole text, and lines outside of code
        self._lines: list[str] = []  # after the last finished block or settled item, with their ends
        self._size = 0  # characters in these lines
        self._seen = 0  # size when it was last seen what is finished
        self._check = LONGEST_BLOCK  # size at which to see that without being asked
        self._shown: list[str] = []  # the open end, but for a formula or code
        self._drawn = 0  # characters of it when it was last made into HTML
        self._settled: Block | None = None  # those items of the open list or table that no longer change
        self._verbatim: OpenText | None = None
        self._formula: HalfFormula | None = None  # a displayed formula, or what may become one
        self._held: list[str] = []  # its lines
        self._waiting: deque[str] = deque()  # lines that are to be taken before those to come
        self._list = _OpenList()
        self._linked: dict[int, Block] = {}  # blocks in which brackets may be references to what comes later

    def add(self, text: str) -> None:
        """Read what has come, and finish what is finished by it."""
        self._take_text(self._arriving.add(text))

    def draw(self) -> None:
        """Make the open end into HTML, unless it is long and has hardly grown."""
        if self._verbatim is not None:
            self.open = [self._verbatim.shown(self._rest)]
            return
        formula = self._formula or self._formula_in(self._rest)
        line = "" if formula else self._rest
        grown = self._size + len(line) - self._drawn
        if self._size + len(line) < SMALL or not 0 <= grown <= self._drawn // STEP:
            self._draw_lines(line)
        self.open = self._shown
        if formula is not None:
            more = self._rest if formula is self._formula else ""
            self.open = [*self._shown, half_formula_of(formula, more.rstrip("\\$"))]

    def _draw_lines(self, line: str) -> None:
        if self._size != self._seen:
            self._settle()
        self._drawn = self._size + len(line)
        settled, line = self._settled or Block(), shown_line(line)
        first, *others = open_markup_of(
            "".join(self._lines) + line, self._looks, self._known, in_line=bool(line), number=settled.number
        ) or [""]
        self._shown = [block for block in (settled.with_open(first), *others) if block]

    def finish(self) -> None:
        """No more text comes: everything is finished."""
        self._take_text(self._arriving.finish())
        if self._rest:
            line, self._rest = self._rest + "\n", ""
            self._take_line(line)
        while self._formula is not None:
            self._formula.is_open = False
            self._end_formula()
            self._take_waiting()
        if self._verbatim is not None:
            self.finished += self._verbatim.finish()
            self._verbatim = None
        self._end_all()
        self._revise()
        self.open = []

    # -- lines

    def _take_text(self, text: str) -> None:
        text, place = self._rest + text, 0
        while True:
            end = text.find("\n", place, place + LONGEST_LINE) + 1
            if end:
                self._take_line(text[place:end])
            elif len(text) - place < LONGEST_LINE:
                break
            else:
                end = place + LONGEST_LINE
                if self._verbatim is None:  # between two words, where the end of a line changes nothing
                    end = text.rfind(" ", place + LONGEST_LINE // 2, end) + 1 or end
                self._take_line(text[place:end] + ("\n" if self._verbatim is None else ""))
            place = end
        self._rest = text[place:]

    def _take_line(self, line: str) -> None:
        self._read += len(line)
        self._line_count += self._verbatim is None
        if self._read > LONGEST or self._line_count > MOST_LINES:
            self._take_plain(line)
        else:
            self._waiting.append(line)
            self._take_waiting()

    def _take_plain(self, line: str) -> None:
        """Take a line that is too far down to be read as Markdown; code that is open goes on."""
        if self._verbatim is None and self._formula is None:
            self._end_all()
            self._verbatim = OpenText()
        self._waiting.append(line)
        self._take_waiting()

    def _take_waiting(self) -> None:
        while self._waiting:
            line = self._waiting.popleft()
            if self._verbatim is not None:
                self._take_verbatim(line, self._verbatim)
            elif self._formula is not None:
                self._held.append(line)
                self._formula.add(line)
                self._end_formula()
            else:
                self._take_markdown(line)

    def _take_verbatim(self, line: str, verbatim: OpenText) -> None:
        if verbatim.add(line):
            self.finished += verbatim.take_full()
        else:
            self.finished += verbatim.finish()
            self._verbatim = None

    def _take_markdown(self, line: str) -> None:
        fence = None if self._list.has(line) else FENCE.fullmatch(line, 0, len(line) - 1)
        if fence:
            self._end_all()
            self._verbatim = OpenCode(fence, self._looks)
        elif formula := self._formula_in(line):
            self._formula, self._held = formula, [line]
            self._end_formula()
        elif self._lines or line.strip():
            self._append(line)

    def _append(self, line: str) -> None:
        self._list.add(line)
        self._lines.append(line)
        self._size += len(line)
        if self._size >= self._check:
            self._settle(limited=True)

    # -- formulas

    def _formula_in(self, line: str) -> HalfFormula | None:
        """What may be a displayed formula, where the line begins one at the top of the text."""
        if not line.lstrip(" ").startswith(("$$", "\\")) or line.startswith("    ") or self._list.has(line):
            return None
        formula = HalfFormula(line)
        return formula if formula.is_open or formula.is_formula else None

    def _end_formula(self) -> None:
        """See whether the formula has ended; what turned out to be none is taken as text."""
        formula, held = self._formula, self._held
        if formula is None or formula.is_open:
            return
        self._formula, self._held = None, []
        if formula.is_formula:
            self._end_all()
            self._finish_html(formula_of(formula, self._known))
        else:
            self._waiting.extendleft(reversed(held[1:]))
            self._append(held[0])

    # -- blocks

    def _settle(self, limited: bool = False) -> None:
        """Finish the blocks that are finished, and settle the items of the open one that are."""
        before = self._size
        parts = parts_of("".join(self._lines))
        self._end_parts(parts, len(parts) - 1)
        if parts and parts[-1].items:
            self._lines = self._settle_items(parts[-1], self._lines, all_of_them=False)
            self._size = sum(map(len, self._lines))
        if limited:
            self._limit(parts[-1].kind if parts else "")
        self._drawn = self._drawn if self._size == before else 0
        self._seen = self._size
        self._check = LONGEST_BLOCK if self._size < LONGEST_BLOCK else min(self._size + LONGEST_BLOCK, LONGEST_ITEM)

    def _limit(self, kind: str) -> None:
        """End the open block if it is too long."""
        may_be_long = kind in ("bullet_list_open", "ordered_list_open", "blockquote_open")
        if self._size >= (LONGEST_ITEM if may_be_long else LONGEST_BLOCK):
            lines = self._lines
            fence = FENCE.fullmatch(lines[0].rstrip("\n")) if kind == "fence" else None
            if fence is None:
                self._end_all()
                return
            self._lines = []
            self._end_all()
            self._verbatim = OpenCode(fence, self._looks)  # it looked as if it belonged to a list
            self._waiting.extendleft(reversed(lines[1:]))

    def _end_all(self) -> None:
        """Finish what is there, as if no more came."""
        text = "".join(self._lines)
        parts = parts_of(text)
        self._end_parts(parts, len(parts))
        if text and not parts:
            self._end_source(text)  # nothing to see, but definitions of references
        self._end_settled()
        self._lines, self._list = [], _OpenList()
        self._size = self._seen = self._drawn = 0
        self._check = LONGEST_BLOCK

    def _end_parts(self, parts: list[Part], count: int) -> None:
        """Finish the first ``count`` of these blocks, whose lines then are gone."""
        first = 0
        for place, part in enumerate(parts):
            part.move(-first)
            if place < count:
                end = parts[place + 1].line if place + 1 < len(parts) else len(self._lines) + first
                self._end_part(part, self._lines[: end - first])
                del self._lines[: end - first]
                first = end
        self._size = sum(map(len, self._lines))

    def _end_part(self, part: Part, lines: list[str]) -> None:
        if part.items:
            self._settle_items(part, lines, all_of_them=True)
            self._end_settled()
        else:
            self._end_source("".join(lines))

    def _end_source(self, source: str) -> None:
        """Finish a block that is not made of items, whatever it is."""
        block = Block()
        self._known.spare += 4 * len(source)
        block.add(source, len(source), self._looks, self._known)
        self._finish_block(block)

    def _settle_items(self, part: Part, lines: list[str], *, all_of_them: bool) -> list[str]:
        """Settle the items of a list or a table, or all but the last; returns the lines that are left."""
        before, head = lines[: part.line], lines[part.line : part.line + 2 * (part.kind == TABLE)]
        bounds = [*part.items, len(lines)] if all_of_them else part.items
        for start, end in itertools.pairwise(bounds):
            number = part.number if part.kind == "ordered_list_open" else None
            block = self._settled or Block(part.kind, number, "".join(head[1:]))
            needed = [] if block.html else head
            self._settle_item(block, "".join([*before, *needed, *lines[start:end]]), sum(map(len, lines[start:end])))
            before = []
        return [*before, *head, *lines[bounds[-1] :]]

    def _settle_item(self, block: Block, source: str, size: int) -> None:
        self._settled = block
        self._known.spare += 4 * size
        other = block.add(source, size, self._looks, self._known)
        if other:
            self._end_settled()
            self._finish_html(other)
        elif block.size >= LONGEST_LIST:
            self._end_settled()
            number = None if block.number is None else block.number + len(block.sources)
            self._settled = Block(block.kind, number, block.rule)

    def _end_settled(self) -> None:
        if self._settled is not None:
            self._finish_block(self._settled)
        self._settled = None

    def _finish_block(self, block: Block) -> None:
        if block.html and any("[" in source for source in block.sources):
            self._linked[len(self.finished)] = block
        self._finish_html(block.html + block.end if block.html else "")

    def _finish_html(self, html: str) -> None:
        if html:
            self.finished.append(html)

    def _revise(self) -> None:
        """Make those blocks again in which there may be references that have been defined after them."""
        known = Known(self._known.references)
        for place, block in self._linked.items():
            if block.defined == len(known.references):
                continue
            html = block.again(self._looks, known)
            if html and html != self.finished[place]:
                self.revised[place] = self.finished[place]
                self.finished[place] = html

"""A reply's Markdown as blocks of HTML, while it arrives: those that no longer change, and the open end.

Where a block ends depends on the text alone, never on when somebody looked: so a reply that is read at once has the
same blocks as one that came word by word. markdown-it says where blocks end. Of an open list or table all items but the
last are settled, so that a step costs one item; a block that has no such places ends when it is too long.
"""

from __future__ import annotations

from flowgpt_magic.control_characters import ArrivingText
from flowgpt_magic.markdown.blocks import Block, BlockScanner
from flowgpt_magic.markdown.html.elements import TABLE_BODY, Looks
from flowgpt_magic.markdown.html.render import (
    Known,
    formula_of,
    half_formula_of,
    markup_of,
    open_markup_of,
    row_of,
)
from flowgpt_magic.markdown.html.unfinished import shown_line
from flowgpt_magic.markdown.html.verbatim import OpenCode, OpenText

LONGEST_MARKDOWN = (
    400_000  # characters of a reply that are read as Markdown; what comes after them is shown as it was typed
)
MOST_LINES = 30_000  # of a reply that are read as Markdown; those of code blocks are not
LONGEST_LINE = 8_192  # characters; a longer line is cut between two words
LONGEST_BLOCK = 8_192  # characters of a block that cannot be settled
LONGEST_ITEM = 16_384  # characters of an item, or a quote
LONGEST_LIST = 16_384  # characters of a list or a table after which another one goes on
STEP = 10  # an open end of many characters is shown again when it has grown by one in so many
SMALL = 2_048  # characters of an open end that is always shown again


# What the HTML of a block begins with, the end of that, and what it ends with.
_FRAMES = {
    "bullet_list": ("<ul", ">", "</ul>"),
    "ordered_list": ("<ol", ">", "</ol>"),
    "table": ('<div class="fg-scroll"><table', TABLE_BODY, "</tbody></table></div>"),
}


class ItemHtml:
    """A block of some kind, made of the Markdown of its items, of its rows (the first with the head), or of all of it.

    ``number`` is that of the first item of an ordered list, ``rule`` the line below the head of a table.
    """

    def __init__(self, kind: str = "", number: int | None = None, rule: str = "") -> None:
        self.kind, self.number, self.rule = kind, number, rule
        self.html = ""  # without its end
        self.sources: list[str] = []
        self.size = 0  # characters
        self.defined = 0  # references that were known when it began
        self._begin, self._inside, self.end = _FRAMES.get(kind, ("", "", ""))

    def add(self, source: str, looks: Looks, known: Known) -> str:
        """Take an item or a row, or all of the block; what came out as something else is not taken, but returned."""
        if self.html and self.kind == "table":
            self.html += row_of(source, self.rule, looks, known)
        else:
            html = markup_of(source, looks, known, number=None if self.html else self.number)
            if not html.startswith(self._begin) or not html.endswith(self.end):
                return html
            start = html.find(self._inside) + len(self._inside) if self.html else 0
            self.html += html[start : len(html) - len(self.end)]
        if not self.sources:
            self.defined = len(known.references)
        self.sources.append(source)
        self.size += len(source)
        return ""

    def with_open(self, html: str) -> str:
        """The block with its open end, which may begin with the next item and have other blocks after that."""
        if not self.html:
            return html
        start = html.find(self._inside) if html.startswith(self._begin) else -1
        return self.html + (self.end + html if start < 0 else html[start + len(self._inside) :])

    def again(self, looks: Looks, known: Known) -> str:
        """The HTML of the whole block with what is known now."""
        block = ItemHtml(self.kind, self.number, self.rule)
        for source in self.sources:
            known.spare += 4 * len(source)
            block.add(source, looks, known)
        return block.html + block.end


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
        self._scanner = BlockScanner()
        self._lines: list[str] = []  # after the last finished block or settled item, with their ends
        self._size = 0  # characters in these lines
        self._shown: list[str] = []  # the open end, but for a formula or code
        self._drawn = 0  # characters of it when it was last made into HTML
        self._settled: ItemHtml | None = None  # those items of the open list or table that no longer change
        self._settled_count = 0  # of the items of the open block
        self._head: list[str] = []  # the first two lines of an open table that has a settled row
        self._verbatim: OpenText | None = None
        self._linked: dict[int, ItemHtml] = {}  # blocks in which brackets may be references to what comes later

    def add(self, text: str) -> None:
        """Read what has come, and finish what is finished by it."""
        self._take_text(self._arriving.add(text))

    def draw(self) -> None:
        """Make the open end into HTML, unless it is long and has hardly grown."""
        if self._verbatim is not None:
            self.open = [self._verbatim.shown(self._rest)]
            return
        scanner = self._scanner
        held = scanner.line_count - scanner.formula_line if scanner.in_formula else 0
        formula = scanner.formula if held else scanner.formula_in(self._rest)
        text = "".join([*self._head, *self._lines[: len(self._lines) - held]])
        line = "" if formula else self._rest
        size = len(text) + len(line)
        if size < SMALL or not 0 <= size - self._drawn <= self._drawn // STEP:
            self._drawn = size
            self._draw_markdown(text, line)
        self.open = self._shown
        if formula is not None:
            more = self._rest if held else ""
            self.open = [*self._shown, half_formula_of(formula, more.rstrip("\\$"))]

    def _draw_markdown(self, text: str, line: str) -> None:
        settled, line = self._settled or ItemHtml(), shown_line(line)
        first, *others = open_markup_of(
            text + line, self._looks, self._known, in_line=bool(line), number=settled.number
        ) or [""]
        self._shown = [block for block in (settled.with_open(first), *others) if block]

    def finish(self) -> None:
        """No more text comes: everything is finished."""
        self._take_text(self._arriving.finish())
        if self._rest:
            line, self._rest = self._rest + "\n", ""
            self._take_line(line)
        if self._verbatim is not None:
            self._end_verbatim(self._verbatim)
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
        is_far_down = self._read > LONGEST_MARKDOWN or self._line_count > MOST_LINES
        if is_far_down and self._verbatim is None and not self._scanner.in_formula:
            self._end_all()
            self._verbatim = OpenText()
        if self._verbatim is None:
            self._take_markdown(line)
        elif isinstance(self._verbatim, OpenCode) and not self._verbatim.in_line:
            self._take_code(line, self._verbatim)
        else:
            self._take_verbatim(line, self._verbatim)

    def _take_code(self, line: str, code: OpenCode) -> None:
        self._scanner.add(line.removesuffix("\n"))
        if self._scanner.in_fence:
            self._take_verbatim(line, code)
        else:
            self._scanner.take_finished()
            self._end_verbatim(code)

    def _take_verbatim(self, line: str, verbatim: OpenText) -> None:
        verbatim.add(line)
        self.finished += verbatim.take_full()

    def _end_verbatim(self, verbatim: OpenText) -> None:
        self.finished += verbatim.finish()
        self._verbatim = None

    def _take_markdown(self, line: str) -> None:
        scanner = self._scanner
        scanner.add(line.removesuffix("\n"))
        if self._lines or line.strip():
            self._lines.append(line)
            self._size += len(line)
        for block in scanner.take_finished():
            self._end_block(block)
        if scanner.in_fence:
            self._begin_code(scanner.blocks[-1])
        elif scanner.formula is None and scanner.blocks:
            self._settle_items(scanner.blocks[-1], [])
        if scanner.blocks and not scanner.in_formula:
            may_be_long = scanner.blocks[-1].kind in ("bullet_list", "ordered_list", "quote")
            if self._size >= (LONGEST_ITEM if may_be_long else LONGEST_BLOCK):
                self._end_all()

    # -- blocks

    def _end_all(self) -> None:
        """Finish what is there, as if no more came."""
        self._scanner.finish()
        for block in self._scanner.take_finished():
            self._end_block(block)
        self._scanner = BlockScanner()
        self._lines, self._size, self._drawn = [], 0, 0

    def _taken(self, end: int) -> list[str]:
        """Take the lines up to this one, counted from the beginning of the text."""
        count = end - (self._scanner.line_count - len(self._lines))
        lines = self._lines[:count]
        del self._lines[:count]
        self._size = sum(map(len, self._lines))
        self._drawn = 0
        return lines

    def _end_block(self, block: Block) -> None:
        """Finish a block that has ended."""
        if block.formula is not None:
            self._end_source("".join(self._taken(block.line)))
            self._taken(block.end)
            self._finish_html(formula_of(block.formula, self._known))
        elif block.items:
            self._settle_items(block, [block.end])
            self._end_settled()
        else:
            self._end_source("".join(self._taken(block.end)))
        self._settled_count, self._head = 0, []

    def _begin_code(self, block: Block) -> None:
        self._end_source("".join(self._taken(block.line)))
        opening, *lines = self._taken(self._scanner.line_count)
        code = self._verbatim = OpenCode(opening, self._looks)
        for line in lines:  # they looked like a formula
            self._take_verbatim(line, code)

    def _end_source(self, source: str) -> None:
        """Finish a block that is not made of items, whatever it is."""
        if not source:
            return
        html = ItemHtml()
        self._known.spare += 4 * len(source)
        html.add(source, self._looks, self._known)
        self._finish_block(html)

    def _settle_items(self, block: Block, end: list[int]) -> None:
        """Settle the items of a list or a table, or without an ``end`` all but the last."""
        for stop in [*block.items[self._settled_count + 1 :], *end]:
            first = self._scanner.line_count - len(self._lines)
            lines = self._taken(stop)
            number = block.numbers[self._settled_count] if block.kind == "ordered_list" else None
            if block.kind == "table" and not self._settled_count:
                self._head = lines[block.line - first :][:2]
            html = self._settled or ItemHtml(block.kind, number, "".join(self._head[1:]))
            head = self._head if self._settled_count and not html.html else []
            self._settled_count += 1
            self._settle_item(html, "".join([*head, *lines]))

    def _settle_item(self, block: ItemHtml, source: str) -> None:
        self._settled = block
        self._known.spare += 4 * len(source)
        other = block.add(source, self._looks, self._known)
        if other:
            self._end_settled()
            self._finish_html(other)
        elif block.size >= LONGEST_LIST:
            self._end_settled()
            number = None if block.number is None else block.number + len(block.sources)
            self._settled = ItemHtml(block.kind, number, block.rule)

    def _end_settled(self) -> None:
        if self._settled is not None:
            self._finish_block(self._settled)
        self._settled = None

    def _finish_block(self, block: ItemHtml) -> None:
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

"""Write a growing reply as blocks of HTML: the finished blocks, and the open end.

Where a block ends depends only on the text, not on how it was cut into chunks. All items of an open list or table but
the last are settled, so that an update costs one item. Other blocks are cut when they are too long.
"""

from __future__ import annotations

from flowgpt_magic.control_characters import ArrivingText
from flowgpt_magic.markdown.blocks import Block, BlockScanner
from flowgpt_magic.markdown.html.elements import TABLE_BODY, PageOptions
from flowgpt_magic.markdown.html.render import (
    RenderContext,
    formula_of,
    half_formula_of,
    markup_of,
    open_markup_of,
    row_of,
)
from flowgpt_magic.markdown.html.unfinished import shown_line
from flowgpt_magic.markdown.html.verbatim import OpenCode, OpenText

LONGEST_MARKDOWN = 400_000  # characters of a reply read as Markdown; the text after them is shown as typed
MOST_MARKDOWN_LINES = 30_000  # lines of a reply read as Markdown, not counting code blocks
LONGEST_LINE = 8_192  # characters; a longer line is cut between two words
LONGEST_BLOCK = 8_192  # characters of a block without items; a longer one is cut
LONGEST_ITEM = 16_384  # characters of a list item or a quote
LONGEST_LIST = 16_384  # characters of a list or table; a longer one continues in another block
REDRAW_STEP = 10  # a long open end is redrawn when it has grown by a tenth
ALWAYS_DRAWN = 2_048  # characters; a shorter open end is redrawn at every update


# The beginning of a block's HTML, the end of its opening tags, and its closing tags.
_FRAMES = {
    "bullet_list": ("<ul", ">", "</ul>"),
    "ordered_list": ("<ol", ">", "</ol>"),
    "table": ('<div class="fg-scroll"><table', TABLE_BODY, "</tbody></table></div>"),
}


class BlockHtml:
    """The HTML of a list or table that grows item by item, or of any other block as a whole.

    ``number`` is the number of the first item of an ordered list, ``rule`` the line below the head of a table.
    """

    def __init__(self, kind: str = "", number: int | None = None, rule: str = "") -> None:
        self.kind, self.number, self.rule = kind, number, rule
        self.html = ""  # without the closing tags
        self.sources: list[str] = []
        self.size = 0  # characters
        self.defined = 0  # link references defined before it
        self._begin, self._inside, self.end = _FRAMES.get(kind, ("", "", ""))

    def add(self, source: str, options: PageOptions, context: RenderContext) -> str:
        """Add an item, a row (the first with the table's head) or the whole block.

        Markdown that turns out not to be a part of such a block is not added; its HTML is returned.
        """
        if self.html and self.kind == "table":
            self.html += row_of(source, self.rule, options, context)
        else:
            html = markup_of(source, options, context, number=None if self.html else self.number)
            if not html.startswith(self._begin) or not html.endswith(self.end):
                return html
            start = html.find(self._inside) + len(self._inside) if self.html else 0
            self.html += html[start : len(html) - len(self.end)]
        if not self.sources:
            self.defined = len(context.references)
        self.sources.append(source)
        self.size += len(source)
        return ""

    def with_open(self, html: str) -> str:
        """The block followed by the HTML of the open text, which may begin with the block's next item."""
        if not self.html:
            return html
        start = html.find(self._inside) if html.startswith(self._begin) else -1
        return self.html + (self.end + html if start < 0 else html[start + len(self._inside) :])

    def again(self, options: PageOptions, context: RenderContext) -> str:
        """The HTML of the whole block, rendered again with the link references that are defined now."""
        block = BlockHtml(self.kind, self.number, self.rule)
        for source in self.sources:
            context.spare += 4 * len(source)
            block.add(source, options, context)
        return block.html + block.end


class GrowingBlocks:
    """The HTML blocks of a reply that arrives in chunks."""

    def __init__(self, options: PageOptions) -> None:
        self.finished: list[str] = []  # the HTML of the blocks that no longer change
        self.open: list[str] = []  # the HTML of the open end
        self.revised: dict[int, str] = {}  # the earlier HTML of finished blocks that `finish` changed, by place
        self._options, self._context = options, RenderContext()
        self._arriving = ArrivingText()
        self._rest = ""  # the line that has no end yet
        self._read, self._line_count = 0, 0  # characters of the whole text, and lines outside code
        self._scanner = BlockScanner()
        self._lines: list[str] = []  # after the last finished block or settled item, with their ends
        self._size = 0  # characters in these lines
        self._shown: list[str] = []  # the HTML of the open end without an open formula
        self._drawn = 0  # characters of the open end when that HTML was made
        self._settled: BlockHtml | None = None  # the items of the open list or table that no longer change
        self._settled_count = 0  # items of the open block that no longer change
        self._head: list[str] = []  # the first two lines of an open table that has a settled row
        self._verbatim: OpenText | None = None
        self._linked: dict[int, BlockHtml] = {}  # finished blocks with brackets, which may be links defined later

    def add(self, text: str) -> None:
        """Read a chunk and finish the blocks that end in it."""
        self._take_text(self._arriving.add(text))

    def draw(self) -> None:
        """Render the open end, unless it is long and has hardly grown."""
        if self._verbatim is not None:
            self.open = [self._verbatim.shown(self._rest)]
            return
        scanner = self._scanner
        held = scanner.line_count - scanner.formula_line if scanner.in_formula else 0
        formula = scanner.formula if held else scanner.formula_in(self._rest)
        text = "".join([*self._head, *self._lines[: len(self._lines) - held]])
        line = "" if formula else self._rest
        size = len(text) + len(line)
        if size < ALWAYS_DRAWN or not 0 <= size - self._drawn <= self._drawn // REDRAW_STEP:
            self._drawn = size
            self._draw_markdown(text, line)
        self.open = self._shown
        if formula is not None:
            more = self._rest if held else ""
            self.open = [*self._shown, half_formula_of(formula, more.rstrip("\\$"))]

    def _draw_markdown(self, text: str, line: str) -> None:
        settled, line = self._settled or BlockHtml(), shown_line(line)
        first, *others = open_markup_of(
            text + line, self._options, self._context, in_line=bool(line), number=settled.number
        ) or [""]
        self._shown = [block for block in (settled.with_open(first), *others) if block]

    def finish(self) -> None:
        """Finish all blocks: the text has ended."""
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
                if self._verbatim is None:  # between two words a line break changes nothing
                    end = text.rfind(" ", place + LONGEST_LINE // 2, end) + 1 or end
                self._take_line(text[place:end] + ("\n" if self._verbatim is None else ""))
            place = end
        self._rest = text[place:]

    def _take_line(self, line: str) -> None:
        self._read += len(line)
        self._line_count += self._verbatim is None
        is_far_down = self._read > LONGEST_MARKDOWN or self._line_count > MOST_MARKDOWN_LINES
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
        """Finish all blocks, as if the text ended here."""
        self._scanner.finish()
        for block in self._scanner.take_finished():
            self._end_block(block)
        self._scanner = BlockScanner()
        self._lines, self._size, self._drawn = [], 0, 0

    def _taken(self, end: int) -> list[str]:
        """Take the open lines before line ``end`` of the whole text."""
        count = end - (self._scanner.line_count - len(self._lines))
        lines = self._lines[:count]
        del self._lines[:count]
        self._size = sum(map(len, self._lines))
        self._drawn = 0
        return lines

    def _end_block(self, block: Block) -> None:
        if block.formula is not None:
            self._end_source("".join(self._taken(block.line)))
            self._taken(block.end)
            self._finish_html(formula_of(block.formula, self._context))
        elif block.items:
            self._settle_items(block, [block.end])
            self._end_settled()
        else:
            self._end_source("".join(self._taken(block.end)))
        self._settled_count, self._head = 0, []

    def _begin_code(self, block: Block) -> None:
        self._end_source("".join(self._taken(block.line)))
        opening, *lines = self._taken(self._scanner.line_count)
        code = self._verbatim = OpenCode(opening, self._options)
        for line in lines:  # until now they could have been a formula
            self._take_verbatim(line, code)

    def _end_source(self, source: str) -> None:
        """Finish a block that has no items."""
        if not source:
            return
        html = BlockHtml()
        self._context.spare += 4 * len(source)
        html.add(source, self._options, self._context)
        self._finish_block(html)

    def _settle_items(self, block: Block, end: list[int]) -> None:
        """Settle all items of a list or table but the last; given its end line, the last one too."""
        for stop in [*block.items[self._settled_count + 1 :], *end]:
            first = self._scanner.line_count - len(self._lines)
            lines = self._taken(stop)
            number = block.numbers[self._settled_count] if block.kind == "ordered_list" else None
            if block.kind == "table" and not self._settled_count:
                self._head = lines[block.line - first :][:2]
            html = self._settled or BlockHtml(block.kind, number, "".join(self._head[1:]))
            head = self._head if self._settled_count and not html.html else []
            self._settled_count += 1
            self._settle_item(html, "".join([*head, *lines]))

    def _settle_item(self, block: BlockHtml, source: str) -> None:
        self._settled = block
        self._context.spare += 4 * len(source)
        other = block.add(source, self._options, self._context)
        if other:
            self._end_settled()
            self._finish_html(other)
        elif block.size >= LONGEST_LIST:
            self._end_settled()
            number = None if block.number is None else block.number + len(block.sources)
            self._settled = BlockHtml(block.kind, number, block.rule)

    def _end_settled(self) -> None:
        if self._settled is not None:
            self._finish_block(self._settled)
        self._settled = None

    def _finish_block(self, block: BlockHtml) -> None:
        if block.html and any("[" in source for source in block.sources):
            self._linked[len(self.finished)] = block
        self._finish_html(block.html + block.end if block.html else "")

    def _finish_html(self, html: str) -> None:
        if html:
            self.finished.append(html)

    def _revise(self) -> None:
        """Render blocks again that may contain links defined after them."""
        context = RenderContext(self._context.references)
        for place, block in self._linked.items():
            if block.defined == len(context.references):
                continue
            html = block.again(self._options, context)
            if html and html != self.finished[place]:
                self.revised[place] = self.finished[place]
                self.finished[place] = html

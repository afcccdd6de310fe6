r"""Markdown as text for a terminal, written while it arrives and never written again.

What has left cannot be taken back, so a line leaves when no text to come can change its look, and a long paragraph word
by word. This is why the lines of a paragraph stay the lines of the text, and why what only a later line would decide is
shown as it was typed: link definitions, underlined headings. A reply is text from a stranger: the only escape sequences
that leave are ours, and each is closed before its line ends.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from flowgpt_magic.markdown.formulas import HalfFormula
from flowgpt_magic.markdown.terminal.blocks import TABLE_RULE, Colours, Table, cells_of
from flowgpt_magic.markdown.terminal.inline import (
    BOLD,
    CLOSED,
    CODE,
    FAINT,
    OPEN,
    Inline,
    Row,
    Span,
    clean,
    columns,
    ordered,
    ordered_code,
    painted,
    prefix_spans,
)

STREAMED = 200  # characters from which a line of text is written before its end; a shorter one may head a table
HELD = 8  # lines that wait for the end of an emphasis, a link or inline code which began in the first of them
COLOURED = 200_000  # characters of code in one reply that are coloured: pygments reads less than a megabyte a second

DEEPEST = 10  # quotes and list marks before a text; more are text themselves
_QUOTE, _QUOTE_IN_LIST = re.compile(r"( {0,3})> ?"), re.compile(r"( *)> ?")
_FENCE = re.compile(r" *(?:(?P<ticks>`{3,})(?P<info>[^`]*)|(?P<tildes>~{3,})(?P<words>.*))")
_HEADING = re.compile(r" {0,3}(#{1,6})(?: (.*)|$)")
_RULE = re.compile(r" {0,3}([-*_])(?: *\1){2,} *")
_ITEM = re.compile(r"( *)([-+*]|\d{1,9}[.)])( +|$)(?:\[([ xX])\]( +))?")
_MATHS = re.compile(r" *(?:(\$\$)|(\\\[)|\\begin\{(\w+\*?)\})")


@dataclass
class _Line:
    """A line and the block it begins or goes on with; ``text`` is what is left when the marks have gone."""

    kind: str
    depth: int  # of quotes
    first: str  # what stands before it
    hang: str  # what stands before its further rows
    text: str
    item: bool
    indent: int  # columns before the text


@dataclass
class _Verbatim:
    """An open code block, or a formula on lines of its own, whose lines are written as they come."""

    line: _Line
    ends: re.Pattern[str]
    colours: Colours | None = None
    formula: HalfFormula | None = None
    gap: bool = False  # does a blank line wait to be written?

    @property
    def is_code(self) -> bool:
        """Is it code, so that its last line is only a mark?"""
        return self.line.kind == "fence"


class TerminalMarkdown:
    """Markdown that arrives in chunks, as text for a terminal of ``width`` columns, with or without ``colours``."""

    def __init__(self, width: int, colours: bool) -> None:
        self._width, self._colours = max(width, 10), colours
        self._line: list[str] = []  # pieces of the line that has no end yet, or of its part that is not written
        self._size, self._try_at = 0, STREAMED
        self._in_line = False  # is the beginning of this line written?
        self._spans: list[Span] = []  # written, not yet taken
        self._row: Row | None = None  # an open paragraph
        self._held: list[str] = []  # its lines that are not written
        self._head: _Line | None = None  # a line that heads a table if a rule comes next
        self._table: Table | None = None
        self._verbatim: _Verbatim | None = None
        self._depth = 0
        self._blank, self._after_code, self._begun, self._in_list = True, False, False, False
        self._coloured = 0  # characters

    def add(self, text: str) -> str:
        """What to write now that ``text`` has come: whole lines, and words of a long one."""
        *lines, rest = text.split("\n")
        for line in lines:
            self._line.append(line)
            self._take_line()
        if rest:
            self._line.append(rest)
            self._size += len(rest)
            if self._size >= self._try_at:
                self._stream()
        return self._taken()

    def finish(self) -> str:
        """What is left to write when the text has ended; all that was written ends with a line's end."""
        if self._line or self._in_line:
            self._take_line()
        self._flush()
        return self._taken()

    def _taken(self) -> str:
        if not self._spans:
            return ""
        shown = painted(self._spans, self._colours)
        self._spans.clear()
        return shown

    # -- lines

    def _take_line(self) -> None:
        line = "".join(self._line).removesuffix("\r")
        self._line, self._size, self._try_at = [], 0, STREAMED
        for part in clean(line).split("\n"):  # a carriage return ends a line too
            if self._in_line:
                self._in_line = False
                self._add_text(part.replace("\t", "    "))
            elif not (self._verbatim and self._goes_on(self._verbatim, part.expandtabs(4))):
                self._take_block(part.replace("\t", "    "))

    def _stream(self) -> None:
        """Write the words of a long line that are sure to look so, whatever comes."""
        text = "".join(self._line)
        self._line, self._try_at = [text], 24 + len(text) * 3 // 2
        if "\t" in text or clean(text) != text:
            return
        if not self._in_line:
            line = self._read(text)
            waits = self._verbatim or self._table or self._head or self._row
            # What begins so, or has hardly begun, can still turn out to be something else than a paragraph.
            if waits or line.kind != "text" or line.text[:1] in "|\\" or len(line.text) < STREAMED // 4:
                return
            self._begin(line)
            self._in_line, text = True, line.text + " " * (len(text) - len(text.rstrip(" ")))
        end = text.rfind(" ") + 1
        inline = Inline(text[:end])
        if end and inline.open == CLOSED and self._row:
            self._row.feed(inline.spans())
            text = text[end:]
            self._try_at = len(text) + 24
        self._line, self._size = [text], len(text)

    def _unquoted(self, line: str, most: int) -> tuple[int, str, str]:
        """How many quotes this line is in, the bars that show them, and the rest."""
        depth, bars = 0, ""
        quote = _QUOTE_IN_LIST if self._in_list else _QUOTE
        while depth < most and (mark := quote.match(line)):
            depth, bars, line = depth + 1, f"{bars}{mark[1]}│ ", line[mark.end() :]
        return depth, bars, line

    def _read(self, source: str) -> _Line:
        """What kind of line this is outside a block of code."""
        depth, first, inside = self._unquoted(source, DEEPEST)
        hang, rest, item = first, inside, False
        for _ in range(DEEPEST):
            mark = None if _RULE.fullmatch(rest) else _ITEM.match(rest)
            if mark and (item or self._in_list or len(mark[1]) < 4):
                box = {None: "", " ": "☐"}.get(mark[4], "☑") + (mark[5] or "")
                shown = f"{mark[1]}{'•' if mark[2] in '-+*' else mark[2]}{mark[3]}{box}"
                first, hang, rest, item = first + shown, hang + " " * len(shown), rest[mark.end() :], True
            elif item and rest.startswith(">"):
                first, hang, rest = f"{first}│ ", f"{hang}│ ", rest[1:].lstrip(" ")
            else:
                break
        text = rest.lstrip(" ")
        kind = self._kind(rest, len(rest) - len(text), item)
        if kind == "code":
            return _Line(kind, depth, first, hang, rest, item, 0)
        indent = " " * min(len(rest) - len(text), self._width // 2)
        hang = (hang + indent)[: self._width // 2]
        return _Line(kind, depth, first + indent, hang, text.rstrip(" "), item, len(inside) - len(text))

    def _kind(self, rest: str, indent: int, item: bool) -> str:
        if not rest.strip(" "):
            return "text" if item else "blank"
        if indent >= 4 and (self._blank or self._after_code) and not (item or self._in_list):
            return "code"
        for kind, pattern in (("fence", _FENCE), ("heading", _HEADING), ("rule", _RULE)):
            if pattern.fullmatch(rest):
                return kind
        return "maths" if _MATHS.match(rest) else "text"

    def _take_block(self, source: str) -> None:
        if self._head and self._heads_table(self._head, source):
            return
        line = self._read(source)
        if line.kind == "text" and not line.item and line.depth == self._depth:
            if self._row:
                self._add_text(line.text)
                return
            if self._table and "|" in line.text:
                self._table.add(line.text)
                if self._table.full:
                    self._spans += self._table.take()
                return
        self._flush()
        if line.kind == "blank":
            self._blank, self._depth = True, min(self._depth, line.depth)
        elif line.kind == "text" and self._may_head(line, source):
            self._head = line
        else:
            self._begin(line)
            self._write(line)

    def _may_head(self, line: _Line, source: str) -> bool:
        return "|" in line.text and not line.item and (line.text[0] == "|" or len(source) < STREAMED)

    def _heads_table(self, head: _Line, source: str) -> bool:
        """Does this line make a table's head of the one before it? If not, that was a paragraph's."""
        self._head = None
        depth, _, text = self._unquoted(source, DEEPEST)
        rule = text.strip()
        is_rule = "|" in rule and TABLE_RULE.fullmatch(rule) and len(cells_of(rule)) == len(cells_of(head.text))
        if is_rule and depth == head.depth:
            head.kind = "table"
            self._begin(head)
            self._table = Table(head.text, rule, head.hang, self._width)
            return True
        self._begin(head)
        self._add_text(head.text)
        return False

    def _begin(self, line: _Line) -> None:
        """Write the blank line before this one, if there was one, and what stands before its text."""
        if self._blank and self._begun:
            self._spans += [*prefix_spans(("│ " * min(self._depth, line.depth)).rstrip()), ("\n", "")]
        left_list = self._blank and not line.indent
        self._in_list = line.item or (self._in_list and not left_list)
        self._blank, self._after_code, self._begun, self._depth = False, line.kind == "code", True, line.depth
        if line.kind in ("text", "heading"):
            self._row = Row(self._spans, self._width, line.first, line.hang)

    def _write(self, line: _Line) -> None:
        if line.kind == "text":
            self._add_text(line.text)
        elif line.kind == "heading":
            text = line.text.lstrip("#").strip(" ")
            bare = text.rstrip("#")
            inline = Inline(bare.rstrip() if not bare or bare[-1] == " " else text)
            self._end_text([(part, f"{BOLD};{look}" if look else BOLD) for part, look in inline.spans()])
        elif line.kind == "rule":
            self._write_line(line.first, [("─" * max(3, self._width - columns(line.first)), FAINT)])
        elif line.kind == "fence":
            self._open_code(line)
        else:
            is_code = line.kind == "code"
            text = ordered_code(line.text) if is_code else ordered(line.text)
            self._write_line(line.first, [(text, CODE if is_code else "")])
            found = _MATHS.match(line.text) if line.kind == "maths" else None
            if found:
                ends = "$$" if found[1] else r"\]" if found[2] else rf"\end{{{found[3]}}}"
                if ends not in line.text[found.end() :]:
                    formula = HalfFormula(line.text)
                    self._verbatim = _Verbatim(
                        line, re.compile(f".*{re.escape(ends)}.*"), formula=formula if formula.is_open else None
                    )

    def _open_code(self, line: _Line) -> None:
        mark = _FENCE.fullmatch(line.text)
        fence, info = (mark["ticks"] or mark["tildes"], mark["info"] or mark["words"] or "") if mark else ("", "")
        words = info.split()
        if words or line.item:
            self._write_line(line.first, [(ordered(f"── {' '.join(words)}"), FAINT)] if words else [])
        colours = Colours(words[0].strip("{.}").lower()) if words and self._colours else None
        ends = re.compile(rf" {{0,{line.indent + 3}}}{fence[:1]}{{{len(fence)},}} *")
        self._verbatim = _Verbatim(line, ends, colours)

    def _goes_on(self, block: _Verbatim, source: str) -> bool:
        """Write a line of this block; if it is none, the block has ended."""
        depth, _, text = self._unquoted(source, block.line.depth)
        ended = bool(block.ends.fullmatch(text))
        if block.formula is not None and not ended and depth == block.line.depth:
            block.formula.add(text)
            if not block.formula.is_open:
                self._verbatim, self._blank = None, block.gap
                return False
            block.gap = block.gap or not text.strip()
            if not text.strip():
                return True
        if ended or depth < block.line.depth or not (block.is_code or text.strip()):
            self._verbatim = None
            if not ended or block.is_code:
                return ended
        if block.gap:
            self._write_line(block.line.hang, [])
            block.gap = False
        self._write_verbatim(block, text)
        return True

    def _write_verbatim(self, block: _Verbatim, text: str) -> None:
        text = text[min(block.line.indent, len(text) - len(text.lstrip(" "))) :]
        text = ordered_code(text) if block.is_code else ordered(text)
        spans = [(text, "")]
        if block.colours and self._coloured + len(text) <= COLOURED:
            self._coloured += len(text)
            spans = block.colours.spans(text)
        self._write_line(block.line.hang + "    " * block.is_code, spans if text.strip() else [])

    def _write_line(self, prefix: str, spans: list[Span]) -> None:
        self._spans += [*prefix_spans(prefix if spans else prefix.rstrip(" ")), *spans, ("\n", "")]

    def _add_text(self, text: str) -> None:
        """Write the open paragraph up to here, unless lines to come can change it."""
        self._held.append(text)
        inline = Inline("\n".join(self._held))
        if inline.open < OPEN or len(self._held) == HELD:
            self._end_text(inline.spans())

    def _end_text(self, spans: list[Span]) -> None:
        if self._row:
            self._row.feed(spans)
            self._row.end()
            self._spans.append(("\n", ""))
        self._row, self._held = None, []

    def _flush(self) -> None:
        """Write what waits."""
        if self._head:
            self._begin(self._head)
            self._add_text(self._head.text)
        if self._row:
            self._end_text(Inline("\n".join(self._held)).spans())
        if self._table:
            self._spans += self._table.take()
        self._head = self._table = None

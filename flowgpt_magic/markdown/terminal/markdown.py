r"""Write Markdown as text for a terminal while it arrives; nothing is written twice.

Output cannot be taken back. So a line is written when further text can no longer change its style, and a long paragraph
word by word. Therefore paragraphs keep their line breaks, and what only a later line decides is shown as typed: link
definitions, underlined headings, a formula that turns out not to be one. A reply is untrusted text: the only escape
sequences written are ours, and each is closed before its line ends.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from flowgpt_magic.markdown.blocks import BlockScanner, ScannedLine
from flowgpt_magic.markdown.terminal.blocks import Colours, TerminalTable
from flowgpt_magic.markdown.terminal.inline import (
    BOLD,
    CLOSED,
    CODE,
    FAINT,
    OPEN,
    Inline,
    Span,
    WordWrap,
    clean,
    columns,
    ordered,
    ordered_code,
    painted,
    prefix_spans,
)

MIN_STREAMED = 200  # characters; a longer line of text is written before its end, a shorter one may be a table's head
MAX_HELD_LINES = 8  # lines that wait for the end of an emphasis, a link or inline code
MAX_COLOURED = 200_000  # characters of code coloured in one reply: pygments reads less than 1 MB/s

_QUOTE = re.compile(r"( *)> ?")
_ITEM = re.compile(r"( *)([-+*]|\d{1,9}[.)])( +|$)(?:\[([ xX])\]( +))?")
_INFO = re.compile(r"(?:`+|~+)(.*)")
_ENVIRONMENT = re.compile(r"\\begin\{(\w+\*?)\}")


@dataclass
class _Line:
    """A line of a block; ``text`` is the rest after its marks."""

    kind: str
    begins: bool
    depth: int  # levels of quotes
    first: str  # prefix of its first row
    hang: str  # prefix of its other rows
    text: str
    item: bool
    indent: int  # columns before the text
    ends: bool  # whether it is the closing line of its block


@dataclass
class _Verbatim:
    """An open code block or displayed formula, whose lines are written as they arrive."""

    line: _Line
    end: str = ""  # the end of an unknown TeX environment, which is a paragraph
    colours: Colours | None = None
    has_gap: bool = False  # whether a blank line waits to be written

    @property
    def is_code(self) -> bool:
        """Whether it is code, whose last line is only a mark."""
        return self.line.kind == "fence"


def _read(scanned: ScannedLine, source: str, width: int) -> _Line:
    """A line with its marks as the terminal shows them."""
    depth, first, hang, inside, rest, item = 0, "", "", source, source, False
    for mark in scanned.marks:
        match = (_QUOTE if mark == ">" else _ITEM).match(rest)
        if match is None:
            break
        rest = rest[match.end() :]
        if mark == ">":
            first, hang, depth = f"{first}{match[1]}│ ", f"{hang}{match[1]}│ ", depth + (not item)
            inside = inside if item else rest
        else:
            box = {None: "", " ": "☐"}.get(match[4], "☑") + (match[5] or "")
            bullet = f"{match[1]}{'•' if match[2] in '-+*' else match[2]}{match[3]}{box}"
            first, hang, item = first + bullet, hang + " " * len(bullet), True
    text = rest.lstrip(" ")
    kind = _kind(scanned, text, item)
    if kind == "code":
        return _Line(kind, scanned.begins, depth, first, hang, rest, item, 0, False)
    indent = " " * min(len(rest) - len(text), width // 2)
    hang, text = (hang + indent)[: width // 2], text.rstrip(" ")
    columns_before = len(inside) - len(rest.lstrip(" "))
    return _Line(kind, scanned.begins, depth, first + indent, hang, text, item, columns_before, scanned.ends)


def _kind(scanned: ScannedLine, text: str, item: bool) -> str:
    if not scanned.kind:
        return "paragraph" if item else "blank"
    if scanned.kind == "underline":
        return "rule" if text.startswith("---") else "paragraph"
    if scanned.kind in ("paragraph", "definition"):
        return "environment" if _ENVIRONMENT.match(text) else "paragraph"
    return scanned.kind


class TerminalMarkdown:
    """Writes streaming Markdown for a terminal of ``width`` columns, with or without ``colours``."""

    def __init__(self, width: int, colours: bool) -> None:
        self._width, self._colours = max(width, 10), colours
        self._line: list[str] = []  # pieces of the incomplete line that are not written yet
        self._size, self._try_at = 0, MIN_STREAMED
        self._in_line = False  # whether the beginning of this line is written
        self._spans: list[Span] = []  # the output not returned yet
        self._row: WordWrap | None = None  # an open paragraph
        self._held: list[str] = []  # its lines that are not written yet
        self._head: _Line | None = None  # a line that may be the head of a table
        self._table: TerminalTable | None = None
        self._verbatim: _Verbatim | None = None
        self._scanner = BlockScanner()
        self._depth = 0
        self._blank, self._begun = True, False
        self._coloured = 0  # characters

    def add(self, text: str) -> str:
        """Add a chunk; returns what to write: complete lines, and words of a long one."""
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
        """End the text; returns the rest to write. The whole output ends with a newline."""
        if self._line or self._in_line:
            self._take_line()
        self._flush()
        return self._taken()

    def _taken(self) -> str:
        if not self._spans:
            return ""
        output = painted(self._spans, self._colours)
        self._spans.clear()
        return output

    # -- lines

    def _take_line(self) -> None:
        line = "".join(self._line).removesuffix("\r")
        self._line, self._size, self._try_at = [], 0, MIN_STREAMED
        for part in clean(line).split("\n"):  # a carriage return ends a line too
            if self._in_line:
                self._in_line = False
                self._add_text(part.replace("\t", "    "))
                continue
            scanned = self._scanner.add(part)
            self._scanner.take_finished()
            if not (self._verbatim and self._goes_on(self._verbatim, scanned, part.expandtabs(4))):
                self._take_block(_read(scanned, part.replace("\t", "    "), self._width))

    def _stream(self) -> None:
        """Write the words of a long line whose style is certain."""
        text = "".join(self._line)
        self._line, self._try_at = [text], 24 + len(text) * 3 // 2
        if "\t" in text or clean(text) != text:
            return
        if not self._in_line:
            if self._verbatim or self._table or self._head or self._row or self._scanner.formula:
                return
            line = _read(self._scanner.look(text), text, self._width)
            # A line that begins with such a mark, or is still short, may turn out not to be a paragraph.
            if line.kind != "paragraph" or line.text[:1] in "|\\[" or len(line.text) < MIN_STREAMED // 4:
                return
            self._scanner.add(text)
            self._scanner.take_finished()
            self._begin(line)
            self._in_line, text = True, line.text + " " * (len(text) - len(text.rstrip(" ")))
        end = text.rfind(" ") + 1
        inline = Inline(text[:end])
        if end and inline.open == CLOSED and self._row:
            self._row.feed(inline.spans())
            text = text[end:]
            self._try_at = len(text) + 24
        self._line, self._size = [text], len(text)

    def _take_block(self, line: _Line) -> None:
        if self._head and self._heads_table(self._head, line):
            return
        if not line.begins and not line.item and line.depth == self._depth:
            if line.kind == "paragraph" and self._row:
                self._add_text(line.text)
                return
            if line.kind == "table" and self._table and "|" in line.text:
                self._table.add(line.text)
                if self._table.full:
                    self._spans += self._table.take()
                return
        self._flush()
        line.kind = "paragraph" if line.kind == "table" else line.kind
        if line.kind == "blank":
            self._blank, self._depth = True, min(self._depth, line.depth)
        elif line.kind == "paragraph" and self._may_head(line):
            self._head = line
        else:
            self._begin(line)
            self._write(line)

    def _may_head(self, line: _Line) -> bool:
        return "|" in line.text and not line.item and (line.text[0] == "|" or len(line.text) < MIN_STREAMED)

    def _heads_table(self, head: _Line, line: _Line) -> bool:
        """Whether this line makes the held line a table's head; otherwise that is written as a paragraph."""
        self._head = None
        if line.kind == "table" and line.begins and line.depth == head.depth:
            head.kind = "table"
            self._begin(head)
            self._table = TerminalTable(head.text, line.text, head.hang, self._width)
            return True
        self._begin(head)
        self._add_text(head.text)
        return False

    def _begin(self, line: _Line) -> None:
        """Write the blank line before this line, if there was one, and its prefix."""
        if self._blank and self._begun:
            self._spans += [*prefix_spans(("│ " * min(self._depth, line.depth)).rstrip()), ("\n", "")]
        self._blank, self._begun, self._depth = False, True, line.depth
        if line.kind in ("paragraph", "heading"):
            self._row = WordWrap(self._spans, self._width, line.first, line.hang)

    def _write(self, line: _Line) -> None:
        if line.kind == "paragraph":
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
            environment = _ENVIRONMENT.match(line.text) if line.kind == "environment" else None
            end = rf"\end{{{environment[1]}}}" if environment else ""
            if line.kind in ("formula", "environment") and not line.ends and (not end or end not in line.text):
                self._verbatim = _Verbatim(line, end)
            is_code = line.kind == "code"
            text = ordered_code(line.text) if is_code else ordered(line.text)
            self._write_line(line.first, [(text, CODE if is_code else "")])

    def _open_code(self, line: _Line) -> None:
        info = _INFO.fullmatch(line.text) if line.begins else None
        words = info[1].split() if info else []
        if words or line.item:
            self._write_line(line.first, [(ordered(f"── {' '.join(words)}"), FAINT)] if words else [])
        colours = Colours(words[0].strip("{.}").lower()) if words and self._colours else None
        block = _Verbatim(line, colours=colours)
        self._verbatim = None if line.ends else block
        if not (line.begins or line.ends):  # until now its first line could have been part of a formula
            self._write_verbatim(block, line.text)

    def _goes_on(self, block: _Verbatim, scanned: ScannedLine, source: str) -> bool:
        """Write a line of the block; False if the line does not belong to it, which ends the block."""
        is_formula = block.line.kind == "formula"
        if scanned.begins or scanned.kind != ("paragraph" if block.end else block.line.kind):
            self._verbatim = None
            self._blank = block.has_gap if is_formula else self._blank
            return False
        for _ in scanned.marks:
            source = _QUOTE.sub("", source, count=1)
        if scanned.ends or (block.end and block.end in source):
            self._verbatim = None
        if scanned.ends and block.is_code:
            return True
        if is_formula and not source.strip():
            block.has_gap = True
            return True
        if block.has_gap:
            self._write_line(block.line.hang, [])
            block.has_gap = False
        self._write_verbatim(block, source)
        return True

    def _write_verbatim(self, block: _Verbatim, text: str) -> None:
        text = text[min(block.line.indent, len(text) - len(text.lstrip(" "))) :]
        text = ordered_code(text) if block.is_code else ordered(text)
        spans = [(text, "")]
        if block.colours and self._coloured + len(text) <= MAX_COLOURED:
            self._coloured += len(text)
            spans = block.colours.spans(text)
        self._write_line(block.line.hang + "    " * block.is_code, spans if text.strip() else [])

    def _write_line(self, prefix: str, spans: list[Span]) -> None:
        self._spans += [*prefix_spans(prefix if spans else prefix.rstrip(" ")), *spans, ("\n", "")]

    def _add_text(self, text: str) -> None:
        """Write the open paragraph so far, unless further lines can change it."""
        self._held.append(text)
        inline = Inline("\n".join(self._held))
        if inline.open < OPEN or len(self._held) == MAX_HELD_LINES:
            self._end_text(inline.spans())

    def _end_text(self, spans: list[Span]) -> None:
        if self._row:
            self._row.feed(spans)
            self._row.end()
            self._spans.append(("\n", ""))
        self._row, self._held = None, []

    def _flush(self) -> None:
        """Write everything that waits."""
        if self._head:
            self._begin(self._head)
            self._add_text(self._head.text)
        if self._row:
            self._end_text(Inline("\n".join(self._held)).spans())
        if self._table:
            self._spans += self._table.take()
        self._head = self._table = None

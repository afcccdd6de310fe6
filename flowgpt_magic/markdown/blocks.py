"""Find where the blocks of a Markdown text begin and end: one scanner for cells, pages and terminals.

It reads line by line, keeps track of open quotes and list items, and asks markdown-it's rules what a line begins. The
result is that of markdown-it for the whole text, but a line costs only its own length. The writers decide what a block
looks like.
"""

from __future__ import annotations

import copy
import re
from collections import deque
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from markdown_it import MarkdownIt
from markdown_it.rules_block import StateBlock, blockquote, fence, heading, hr, list_block, table

from flowgpt_magic.markdown.formula_bars import hide_bars
from flowgpt_magic.markdown.formulas import OpenFormula

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_NESTING = 24  # levels of quotes and list items; deeper marks are text
LONGEST_LOOK = 10_000  # characters of a line that decide what it is
LONGEST_HEAD = 1_000  # characters of a table's head; a longer one is text
MOST_COLUMNS = 40  # of a table; a head with more is text

DEFINITION = re.compile(
    r"\[((?:[^\[\]\\]|\\.){1,200})\]:[ \t]*(?:<([^<>]*)>|(\S+))(?:[ \t]+(?:\"[^\"]*\"|'[^']*'|\([^()]*\)))?"
)
_ITEM = re.compile(r"(?:([-+*])|(\d{1,9})([.)]))(?=[ \t]|\Z)", re.ASCII)
_UNDERLINE = re.compile(r"(?:-+|=+)[ \t]*\Z")
_NEVER = 1_000_000_000  # columns that no line is indented by

_PARSER = MarkdownIt("commonmark")
_RULES: dict[str, tuple[str, Callable[[StateBlock, int, int, bool], bool]]] = {
    **dict.fromkeys("`~", ("fence", fence)),
    **dict.fromkeys("-*_", ("rule", hr)),
    "#": ("heading", heading),
}


def _leaf_in(text: str) -> str:
    """The kind of fence, heading or rule that the text begins, or an empty string."""
    kind, rule = _RULES.get(text[0], ("", None))
    if rule is None or (kind == "rule" and text.strip(f"{text[0]} \t")) or not _begins(rule, text):
        return ""
    return kind


def _begins(rule: Callable[[StateBlock, int, int, bool], bool], *lines: str) -> bool:
    """Whether a rule of markdown-it matches at the beginning of these lines."""
    return rule(StateBlock("\n".join(lines) + "\n", _PARSER, {}, []), 0, len(lines), True)


def is_table(head: str, rule: str) -> bool:
    """Whether these two lines begin a table."""
    return rule[:1] in "|:-" and _may_be_head(head) and _begins(table, hide_bars(head), rule)


def _may_be_head(line: str) -> bool:
    """Whether this can be the head of a table. One with a thousand columns cannot, since each row would cost much."""
    return "|" in line and len(line) <= LONGEST_HEAD and line.count("|") <= MOST_COLUMNS


def read_tables(parser: MarkdownIt) -> None:
    """Make a parser find the same tables as the scanner: a line that begins another block is not a head."""
    parser.block.ruler.at("table", _read_table, {"alt": ["paragraph", "reference"]})


def _read_table(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    head = state.src[state.bMarks[start] + state.tShift[start] : state.eMarks[start]]
    if not _may_be_head(head) or state.sCount[start] < state.blkIndent or not table(state, start, end, True):
        return False
    parent, state.parentType = state.parentType, "root"
    is_other = any(rule(state, start, end, True) for rule in (fence, blockquote, hr, list_block, heading))
    state.parentType = parent
    return not is_other and (silent or table(state, start, end, False))


@dataclass
class Block:
    """A top-level block; lines are counted from the first line of the text.

    ``kind`` is one of paragraph, heading, rule, fence, code, quote, bullet_list, ordered_list, table, formula, and
    definition for link definitions that no other block has followed yet.
    """

    kind: str
    start: int  # link definitions right before the block belong to it
    line: int  # where it begins without them
    end: int = 0  # the line after its last one; 0 while lines to come may belong to it
    items: list[int] = field(default_factory=list)  # where the items of a list, or the rows of a table, begin
    numbers: list[int] = field(default_factory=list)  # of these items, in an ordered list
    formula: OpenFormula | None = None


@dataclass
class ScannedLine:
    """What a line is, as far as it and the lines before it tell.

    ``kind`` is the kind of the innermost block, empty for a blank line. It is ``underline`` if the line makes a heading
    of the paragraph before it. A line that makes a table of the line before it begins the table.
    """

    marks: list[str] = field(default_factory=list)  # ``>`` of each quote, and the marks of items that begin
    kind: str = ""
    begins: bool = False  # whether it is the first line of that block
    ends: bool = False  # whether it is the closing line of a fence or a formula


@dataclass
class _Container:
    """A quote, whose ``mark`` is ``>``, or a list item."""

    mark: str  # of an item: its bullet, or what follows its number
    width: int = 0  # columns by which the lines of an item are indented
    bare_line: int = -1  # the line of a mark with nothing behind it
    number: int = 0  # of an item of an ordered list


class _Rest:
    """The rest of a line after the marks read so far: its indent in columns, and the text."""

    def __init__(self, text: str) -> None:
        self.column, self.indent, self.text = 0, 0, text
        self._measure()

    def _measure(self) -> None:
        text = self.text.lstrip(" \t")
        blanks = self.text[: len(self.text) - len(text)]
        if "\t" in blanks:
            before = " " * (self.column % 4)
            blanks = (before + blanks).expandtabs(4)[len(before) :]
        self.indent, self.text = len(blanks), text

    def skip_indent(self, columns: int) -> None:
        self.column += columns
        self.indent -= columns

    def skip_mark(self, size: int) -> None:
        self.column += self.indent + size
        self.text = self.text[size:]
        self._measure()


@dataclass
class _State:
    """The open blocks; copied to return to an earlier line."""

    containers: list[_Container] = field(default_factory=list)
    leaf: str = ""  # kind of the innermost block, if it may continue
    head: str = ""  # the last line of an open paragraph, if it can be the head of a table
    fence: str = ""


_Snapshot = tuple[_State, int, Block | None]


class BlockScanner:
    """Finds the blocks of a text whose lines come one by one."""

    def __init__(self) -> None:
        self.line_count = 0
        self.line = ScannedLine()  # the last line
        self.blocks: list[Block] = []  # begun and not yet taken
        self.formula: OpenFormula | None = None  # an open displayed formula; it may turn out not to be one
        self.formula_line = 0
        self._formula_lines: list[str] = []
        self._state = _State()
        self._before_formula: _Snapshot = (self._state, 0, None)
        self._waiting: deque[tuple[int, str]] = deque()  # lines with their numbers

    @property
    def in_fence(self) -> bool:
        """Is a fence open at the top of the text?"""
        return self._state.leaf == "fence" and not self._state.containers

    @property
    def in_table(self) -> bool:
        """Is a table open at the top of the text?"""
        return self._state.leaf == "table" and not self._state.containers

    @property
    def in_formula(self) -> bool:
        """Is a formula, or what may become one, open at the top of the text?"""
        return self.formula is not None and not self._state.containers

    def formula_in(self, line: str) -> OpenFormula | None:
        """The top-level formula that ``line`` would begin as the next line, if any."""
        rest = _Rest(line)
        return None if self.in_fence or self._continued(rest) else self._formula_in(rest)

    def take_finished(self) -> list[Block]:
        """Remove and return the finished blocks; none while a formula is open, whose lines may become other blocks."""
        count = 0 if self.formula else sum(block.end > 0 for block in self.blocks)
        finished = self.blocks[:count]
        del self.blocks[:count]
        return finished

    def look(self, line: str) -> ScannedLine:
        """What the next line would be if it began with ``line``; does not change the scanner."""
        other = copy.copy(self)
        other._state, _, last = self._snapshot()
        other.blocks, other._waiting = [replace(last, items=[], numbers=[])] if last else [], deque()
        return other.add(line)

    def add(self, line: str) -> ScannedLine:
        """Read the next line, given without its end."""
        self._waiting.append((self.line_count, line))
        self.line_count += 1
        self._take_waiting()
        return self.line

    def finish(self) -> None:
        """Finish all blocks: the text has ended."""
        while self.formula is not None:
            self.formula.is_open = False
            self._end_formula(self.formula)
            self._take_waiting()
        self._end(self.line_count)

    def _take_waiting(self) -> None:
        while self._waiting:
            number, line = self._waiting.popleft()
            if self.formula is None:
                self._take(line, number)
            else:
                self._take_formula_line(line, self.formula)

    # -- lines

    def _take(self, line: str, number: int, *, formulas: bool = True) -> None:
        self.line = ScannedLine()
        rest = _Rest(line[:LONGEST_LOOK])
        before = self._snapshot() if "$$" in line or "\\" in line else None
        depth = self._continued(rest)
        state = self._state
        if depth == len(state.containers) and state.leaf == "fence":
            self._take_code(rest, number)
        elif not rest.text:
            self._take_blank(depth, number)
        elif not self._goes_below_paragraph(rest, depth, number):
            self._take_text(line, rest, depth, number, before if formulas else None)

    def _continued(self, rest: _Rest) -> int:
        """The number of open quotes and items that this line is in; skips their marks and indents."""
        for count, container in enumerate(self._state.containers):
            if container.mark == ">":
                if rest.text[:1] != ">":
                    return count
                rest.skip_mark(1)
                rest.skip_indent(min(1, rest.indent))
                self.line.marks.append(">")
            elif rest.text:
                if rest.indent < container.width:
                    return count
                rest.skip_indent(container.width)
        return len(self._state.containers)

    def _take_code(self, rest: _Rest, number: int) -> None:
        text, fence = rest.text.rstrip(" \t"), self._state.fence
        self.line.kind = "fence"
        if rest.indent < 4 and len(text) >= len(fence) and text == fence[0] * len(text):
            self._state.leaf, self.line.ends = "", True
            if not self._state.containers:
                self._end(number + 1)

    def _take_blank(self, depth: int, number: int) -> None:
        state = self._state
        if depth < len(state.containers) or state.leaf != "code":
            self._close(depth)
        last = state.containers[-1] if state.containers else None
        if last is not None and last.bare_line == number - 1:  # nothing can follow in this item
            state.containers[-1] = replace(last, width=_NEVER)
        elif last is not None and last.width == _NEVER:  # and after another blank line no item in this list
            self._close(len(state.containers) - 1)

    def _goes_below_paragraph(self, rest: _Rest, depth: int, number: int) -> bool:
        """Whether this line makes a table of the line before it, or a heading of the open paragraph."""
        state = self._state
        if state.leaf != "paragraph" or depth < len(state.containers) or rest.indent >= 4:
            return False
        if state.head and is_table(state.head, rest.text):
            state.leaf = self.line.kind = "table"
            self.line.begins = True
            if not depth and self.blocks[-1].line == number - 1:
                self.blocks[-1].kind = "table"
            elif not depth:
                self._begin_block("table", number - 1)
            return True
        if _UNDERLINE.match(rest.text) is None:
            return False
        state.leaf, self.line.kind = "", "underline"
        if not depth:
            self.blocks[-1].kind = "heading"
            self._end(number + 1)
        return True

    def _take_text(self, line: str, rest: _Rest, depth: int, number: int, before: _Snapshot | None) -> None:
        continues = self._state.leaf == "paragraph" and depth == len(self._state.containers)
        opened = False
        while rest.text and rest.indent < 4:
            if kind := _leaf_in(rest.text):
                self._begin_leaf(kind, rest.text, depth, number)
                return
            formula = self._formula_in(rest) if before else None
            if before and formula:
                self._begin_formula(formula, line, number, depth, before)
                return
            container = None if depth >= MAX_NESTING else self._container_in(rest, continues, number)
            if container is None:
                break
            self._open(container, depth, number)
            depth, opened, continues = depth + 1, True, False
        if rest.text:
            self._take_plain(rest, depth, number, opened)

    def _take_plain(self, rest: _Rest, depth: int, number: int, opened: bool) -> None:
        """Read a line that begins with text: it continues a block, or begins a paragraph or indented code."""
        state = self._state
        within = depth == len(state.containers)
        self.line.kind = state.leaf
        if state.leaf == "paragraph" and not opened and not self._ends_lazily(rest, depth):
            state.head = rest.text if within and rest.indent < 4 and not _ITEM.match(rest.text) else ""
        elif state.leaf == "table" and within and rest.indent < 4:
            if not depth:
                self.blocks[-1].items.append(number)
        elif rest.indent >= 4:
            if not (state.leaf == "code" and within):
                self._begin_leaf("code", rest.text, depth, number)
        elif rest.text[0] == "[" and DEFINITION.fullmatch(rest.text.rstrip(" \t")):
            self._begin_leaf("definition", rest.text, depth, number)
        else:
            self._begin_leaf("paragraph", rest.text, depth, number)

    def _ends_lazily(self, rest: _Rest, depth: int) -> bool:
        """Whether an indented line ends the paragraph of a deeper quote or item, as in markdown-it."""
        deeper = [container.mark for container in self._state.containers[depth:]]
        if rest.indent < 4 or not deeper or (deeper[0] == ">" and ">" not in deeper[1:]):
            return False
        is_item = (deeper[0] == ">" or len(deeper) > 1) and _ITEM.match(rest.text) is not None
        return rest.text[0] == ">" or is_item or bool(_leaf_in(rest.text)) or OpenFormula(rest.text).is_formula

    # -- quotes and items

    def _container_in(self, rest: _Rest, continues: bool, number: int) -> _Container | None:
        """The quote or item that begins here; skips its mark. ``continues``: whether it would interrupt a paragraph."""
        if rest.text[0] == ">":
            rest.skip_mark(1)
            rest.skip_indent(min(1, rest.indent))
            return _Container(">")
        item = _ITEM.match(rest.text)
        is_bare = item is not None and not rest.text[item.end() :].strip(" \t")
        if item is None or (continues and (is_bare or int(item[2] or 1) != 1)):
            return None
        width = rest.indent + item.end()
        rest.skip_mark(item.end())
        gap = 1 if is_bare or rest.indent > 4 else rest.indent
        rest.skip_indent(gap)
        return _Container(item[1] or item[3], width + gap, number if is_bare else -1, int(item[2] or 0))

    def _open(self, container: _Container, depth: int, number: int) -> None:
        containers = self._state.containers
        self.line.marks.append(container.mark)
        goes_on = depth < len(containers) and containers[depth].mark == container.mark
        self._close(depth)
        self._state.containers.append(container)
        if depth:
            return
        if not goes_on:
            is_quote, is_bullet = container.mark == ">", container.mark in "-+*"
            self._begin_block("quote" if is_quote else "bullet_list" if is_bullet else "ordered_list", number)
        if container.mark != ">":
            self.blocks[-1].items.append(number)
            self.blocks[-1].numbers.append(container.number)

    def _close(self, depth: int) -> None:
        """Close the innermost block, and the quotes and items below this depth."""
        del self._state.containers[depth:]
        self._state.leaf = self._state.head = ""

    # -- blocks

    def _begin_leaf(self, kind: str, text: str, depth: int, number: int) -> None:
        self._close(depth)
        self.line.kind, self.line.begins = kind, True
        state = self._state
        if kind in ("paragraph", "code", "fence"):
            state.leaf = kind
        state.head = text if kind == "paragraph" else ""
        if kind == "fence":
            state.fence = text[: len(text) - len(text.lstrip(text[0]))]
        if not depth:
            self._begin_block(kind, number)
            if kind in ("heading", "rule"):
                self._end(number + 1)

    def _begin_block(self, kind: str, line: int, formula: OpenFormula | None = None) -> None:
        last = self.blocks[-1] if self.blocks else None
        if last is not None and not last.end and last.kind == "definition":
            last.kind, last.line, last.formula = kind, line, formula
            return
        self._end(line)
        self.blocks.append(Block(kind, line, line, formula=formula))

    def _end(self, line: int) -> None:
        if self.blocks and not self.blocks[-1].end:
            self.blocks[-1].end = line

    # -- formulas

    def _formula_in(self, rest: _Rest) -> OpenFormula | None:
        if rest.indent >= 4 or rest.text[:1] not in ("$", "\\"):
            return None
        formula = OpenFormula(rest.text)
        return formula if formula.is_open or formula.is_formula else None

    def _snapshot(self) -> _Snapshot:
        last = replace(self.blocks[-1]) if self.blocks else None
        return replace(self._state, containers=self._state.containers[:]), len(self.blocks), last

    def _begin_formula(self, formula: OpenFormula, line: str, number: int, depth: int, before: _Snapshot) -> None:
        self._close(depth)
        self.line.begins = True
        self.formula, self.formula_line, self._before_formula = formula, number, before
        self._formula_lines = [line]
        self._end_formula(formula)

    def _take_formula_line(self, line: str, formula: OpenFormula) -> None:
        self.line = ScannedLine()
        rest = _Rest(line)
        self._formula_lines.append(line)
        if self._continued(rest) == len(self._state.containers):
            formula.add(rest.text)
        else:
            formula.is_open = False
        self._end_formula(formula)

    def _end_formula(self, formula: OpenFormula) -> None:
        """If the formula has ended, begin its block; if it is no formula, read its lines again as Markdown."""
        self.line.kind, self.line.ends = "formula", not formula.is_open
        if formula.is_open:
            return
        self.formula = None
        if not formula.is_formula:
            self._go_back()
        elif not self._state.containers:
            self._begin_block("formula", self.formula_line, formula)
            self._end(self.formula_line + len(self._formula_lines))

    def _go_back(self) -> None:
        first, *others = enumerate(self._formula_lines, self.formula_line)
        self._state, count, last = self._before_formula
        del self.blocks[count:]
        if last is not None:
            self.blocks[-1] = last
            last.items = [item for item in last.items if item < self.formula_line]
            del last.numbers[len(last.items) :]
        self._waiting.extendleft(reversed(others))
        self._take(first[1], first[0], formulas=False)

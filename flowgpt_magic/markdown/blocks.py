"""Where the blocks of a Markdown text begin and end: the one scanner for cells, pages and terminals.

It reads line by line, keeps the quotes and list items that are open, and lets markdown-it's rules say what a line
begins. A line costs its own length, however long the text is. What a block looks like is up to the writers.
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
from flowgpt_magic.markdown.formulas import HalfFormula

if TYPE_CHECKING:
    from collections.abc import Callable

DEEPEST = 24  # quotes and list items around a text; more marks are text
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
    """The kind of the fence, the heading or the rule that a text begins."""
    kind, rule = _RULES.get(text[0], ("", None))
    if rule is None or (kind == "rule" and text.strip(f"{text[0]} \t")) or not _begins(rule, text):
        return ""
    return kind


def _begins(rule: Callable[[StateBlock, int, int, bool], bool], *lines: str) -> bool:
    """Whether a rule of markdown-it finds its block at the beginning of these lines."""
    return rule(StateBlock("\n".join(lines) + "\n", _PARSER, {}, []), 0, len(lines), True)


def is_table(head: str, rule: str) -> bool:
    """Whether these two lines begin a table."""
    return rule[:1] in "|:-" and _may_be_head(head) and _begins(table, hide_bars(head), rule)


def _may_be_head(line: str) -> bool:
    """Whether this can be the head of a table whose every row costs little: not of one of a thousand columns."""
    return "|" in line and len(line) <= LONGEST_HEAD and line.count("|") <= MOST_COLUMNS


def read_tables(parser: MarkdownIt) -> None:
    """Teach a parser to find the tables that the scanner finds: a line that begins another block heads none."""
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
    """A block at the top of the text; lines are counted from the first line of the text.

    ``kind`` is one of paragraph, heading, rule, fence, code, quote, bullet_list, ordered_list, table, formula, and
    definition for link definitions that nothing has followed yet.
    """

    kind: str
    start: int  # link definitions right before the block belong to it
    line: int  # where it begins without them
    end: int = 0  # the line after its last one; 0 while lines to come may belong to it
    items: list[int] = field(default_factory=list)  # where the items of a list, or the rows of a table, begin
    numbers: list[int] = field(default_factory=list)  # of these items, in an ordered list
    formula: HalfFormula | None = None


@dataclass
class Line:
    """A line by itself, as far as it and those before it tell.

    ``kind`` is that of the innermost block it belongs to, empty for a blank line, and ``underline`` where it makes a
    heading of the line before it. A line that makes a table of the line before it begins one.
    """

    marks: list[str] = field(default_factory=list)  # ``>`` of each quote, and the marks of items that begin
    kind: str = ""
    begins: bool = False  # is it the first of this block?
    ends: bool = False  # is it the closing line of a fence, or the last of a formula?


@dataclass
class _Container:
    """A quote, whose ``mark`` is ``>``, or a list item."""

    mark: str  # of an item: its bullet, or what follows its number
    width: int = 0  # columns by which the lines of an item are indented
    bare_line: int = -1  # the line of a mark with nothing behind it
    number: int = 0  # of an item of an ordered list


class _Rest:
    """What is left of a line behind the marks that have been read: its indent in columns, and the text after that."""

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
    """What is open; a copy of it is what was open before a line."""

    containers: list[_Container] = field(default_factory=list)
    leaf: str = ""  # the kind of the innermost block, if it may go on
    head: str = ""  # the last line of an open paragraph, where it can be the head of a table
    fence: str = ""


_Snapshot = tuple[_State, int, Block | None]


class BlockScanner:
    """Finds the blocks of a text whose lines come one by one."""

    def __init__(self) -> None:
        self.line_count = 0
        self.line = Line()  # the last one
        self.blocks: list[Block] = []  # begun and not yet taken
        self.formula: HalfFormula | None = None  # displayed, and open; it may turn out to be none
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

    def formula_in(self, line: str) -> HalfFormula | None:
        """What may become a formula at the top of the text, if ``line`` came next."""
        rest = _Rest(line)
        return None if self.in_fence or self._continued(rest) else self._formula_in(rest)

    def take_finished(self) -> list[Block]:
        """The blocks that no line to come can change; none while a formula is open, which may give lines back."""
        count = 0 if self.formula else sum(block.end > 0 for block in self.blocks)
        finished = self.blocks[:count]
        del self.blocks[:count]
        return finished

    def look(self, line: str) -> Line:
        """What a line that begins so would be; the scanner stays as it is."""
        other = copy.copy(self)
        other._state, _, last = self._snapshot()
        other.blocks, other._waiting = [replace(last, items=[], numbers=[])] if last else [], deque()
        return other.add(line)

    def add(self, line: str) -> Line:
        """Take a line, without its end."""
        self._waiting.append((self.line_count, line))
        self.line_count += 1
        self._take_waiting()
        return self.line

    def finish(self) -> None:
        """No more lines come: everything is finished."""
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
        self.line = Line()
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
        """How many of the open quotes and items this line is in; their marks and indents are skipped."""
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
        """Whether this line makes a table or a heading of the end of an open paragraph."""
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
            container = None if depth >= DEEPEST else self._container_in(rest, continues, number)
            if container is None:
                break
            self._open(container, depth, number)
            depth, opened, continues = depth + 1, True, False
        if rest.text:
            self._take_plain(rest, depth, number, opened)

    def _take_plain(self, rest: _Rest, depth: int, number: int, opened: bool) -> None:
        """Take a line that begins with nothing but text."""
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
        """Whether an indented line ends the paragraph of a deeper quote or item, as it does for markdown-it."""
        deeper = [container.mark for container in self._state.containers[depth:]]
        if rest.indent < 4 or not deeper or (deeper[0] == ">" and ">" not in deeper[1:]):
            return False
        is_item = (deeper[0] == ">" or len(deeper) > 1) and _ITEM.match(rest.text) is not None
        return rest.text[0] == ">" or is_item or bool(_leaf_in(rest.text)) or HalfFormula(rest.text).is_formula

    # -- quotes and items

    def _container_in(self, rest: _Rest, continues: bool, number: int) -> _Container | None:
        """The quote or the item that begins here, whose mark then is skipped; ``continues`` says in a paragraph."""
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
        """Close the innermost block, and all quotes and items but this many."""
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

    def _begin_block(self, kind: str, line: int, formula: HalfFormula | None = None) -> None:
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

    def _formula_in(self, rest: _Rest) -> HalfFormula | None:
        if rest.indent >= 4 or rest.text[:1] not in ("$", "\\"):
            return None
        formula = HalfFormula(rest.text)
        return formula if formula.is_open or formula.is_formula else None

    def _snapshot(self) -> _Snapshot:
        last = replace(self.blocks[-1]) if self.blocks else None
        return replace(self._state, containers=self._state.containers[:]), len(self.blocks), last

    def _begin_formula(self, formula: HalfFormula, line: str, number: int, depth: int, before: _Snapshot) -> None:
        self._close(depth)
        self.line.begins = True
        self.formula, self.formula_line, self._before_formula = formula, number, before
        self._formula_lines = [line]
        self._end_formula(formula)

    def _take_formula_line(self, line: str, formula: HalfFormula) -> None:
        self.line = Line()
        rest = _Rest(line)
        self._formula_lines.append(line)
        if self._continued(rest) == len(self._state.containers):
            formula.add(rest.text)
        else:
            formula.is_open = False
        self._end_formula(formula)

    def _end_formula(self, formula: HalfFormula) -> None:
        """See whether the formula has ended; the lines of what turned out to be none are taken as what they are."""
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

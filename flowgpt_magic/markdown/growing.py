"""Write a growing reply as Markdown for a cell: its finished blocks, and the open end.

A chunk costs only its own length. `harmless` rewrites each block separately, so what is shown is safe wherever the
scanner finds the blocks.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from flowgpt_magic.control_characters import clean
from flowgpt_magic.markdown.blocks import BlockScanner
from flowgpt_magic.markdown.harmless import code_tokens, harmless
from flowgpt_magic.messages.reasoning import answer_of

__all__ = ["FinishedBlock", "GrowingMarkdown", "code_blocks", "formula_count", "harmless"]

_LINE_END = re.compile(r"(\r\n|\n|\r(?!\Z))")
_CODE = re.compile(r"^ *(`{3,}|~{3,})[\s\S]*?(?:^ *\1|\Z)|(`+)[^`]+\2", re.MULTILINE)
_FORMULA = re.compile(r"(?<!\\)(\$\$?)[^$]+\1")


@dataclass(frozen=True)
class FinishedBlock:
    """A part of the text that no longer changes.

    `source` is the text as received: all sources and the open rest, joined, are the whole text. `shown` is safe
    Markdown that can be displayed on its own; if a code block is cut in two, each half has its own fences.
    """

    source: str
    shown: str

    @property
    def formulas(self) -> int:
        """About how many formulas it has."""
        return formula_count(self.shown)


class GrowingMarkdown:
    """Cuts a streaming text into top-level blocks."""

    def __init__(self, *, images: bool = False) -> None:
        self._images = images
        self._scanner = BlockScanner()
        self._finished: list[FinishedBlock] = []
        self._lines: list[str] = []  # of the open block, with their ends
        self._size = 0  # characters in these lines
        self._line: list[str] = []  # pieces of the incomplete line
        self._formula_end = 0  # the line after the last formula that has ended
        self._resumed = ""  # shown before the open text after a cut: the fence, or the table's head

    def add(self, chunk: str) -> None:
        """Add the next chunk."""
        if self._line and self._line[-1].endswith("\r"):
            chunk = self._line.pop() + chunk
        *pieces, rest = _LINE_END.split(chunk)
        for text, end in zip(pieces[::2], pieces[1::2], strict=True):
            self._line += [text, end]
            line = "".join(self._line)
            self._line.clear()
            self._take_line(line)
        if rest:
            self._line.append(rest)

    def take_finished(self) -> list[FinishedBlock]:
        """The blocks finished since the last call."""
        finished, self._finished = self._finished, []
        return finished

    def take_ended(self) -> list[FinishedBlock]:
        """The same, and an open paragraph or formula that a blank line has ended, before the next block begins."""
        scanner = self._scanner
        is_paragraph = scanner.formula is None and bool(scanner.blocks) and scanner.blocks[-1].kind == "paragraph"
        if (is_paragraph or self._formula_end > self._first) and self._lines and not self._lines[-1].strip():
            self._cut(scanner.line_count)
        return self.take_finished()

    def finish(self) -> list[FinishedBlock]:
        """End the text and return the blocks not taken yet, the open one as the last."""
        if self._line:
            line = "".join(self._line)
            self._line.clear()
            self._take_line(line)
        self._scanner.finish()
        self._cut_blocks()
        self._cut(self._scanner.line_count)
        if self._lines:
            self._finished.append(FinishedBlock("".join(self._lines), ""))
            self._lines, self._size = [], 0
        return self.take_finished()

    @property
    def open(self) -> str:
        """The text after the last finished block, as received."""
        return "".join(self._lines) + "".join(self._line)

    @property
    def open_shown(self) -> str:
        """The open text as safe Markdown; each call costs time in proportion to its length."""
        text = self.open
        return harmless(self._resumed + text, images=self._images) if text.strip() else ""

    @property
    def is_cut(self) -> bool:
        """Does the open text continue a block whose beginning is finished?"""
        return bool(self._resumed)

    def cut_open(self, limit: int) -> list[FinishedBlock]:
        """Cut an open block longer than `limit` characters where it shows least; returns the finished blocks.

        Code is cut between lines, a table between rows, a list between items. Any other block is cut between two words
        when it is longer than four times `limit`.
        """
        kind = self._scanner.blocks[-1].kind if self._scanner.blocks else ""
        if self._size > limit and self._scanner.formula is None:
            if self._scanner.in_fence or self._scanner.in_table:
                self._cut_lines(1 if kind == "fence" else 2)
            elif kind in ("bullet_list", "ordered_list"):
                self._cut_list()
        if kind not in ("fence", "table") and len(self.open) > 4 * limit:
            self._cut_words()
        return self.take_finished()

    # -- cutting

    @property
    def _first(self) -> int:
        """The number, in the whole text, of the first open line."""
        return self._scanner.line_count - len(self._lines)

    def _take_line(self, line: str) -> None:
        self._lines.append(line)
        self._size += len(line)
        self._scanner.add(clean(line.rstrip("\r\n")))
        self._cut_blocks()

    def _cut_blocks(self) -> None:
        """Finish the blocks that have ended: code and headings at once, others when the next block begins."""
        for block in [*self._scanner.take_finished(), *self._scanner.blocks]:
            self._cut(block.start)
            if block.kind in ("fence", "heading"):
                self._cut(block.end)
            elif block.kind == "formula":
                self._formula_end = block.end

    def _cut(self, end: int) -> None:
        """Finish the open text before line ``end`` of the whole text; blank lines go with the block after them."""
        count = max(0, end - self._first)
        source = "".join(self._lines[:count])
        if not source.strip():
            return
        self._finished.append(FinishedBlock(source, harmless(self._resumed + source, images=self._images)))
        del self._lines[:count]
        self._size -= len(source)
        self._resumed = ""

    def _cut_lines(self, head_size: int) -> None:
        """Cut after the last complete line; the rest is shown with the fence or the table's head repeated."""
        place = self._scanner.blocks[-1].line - self._first
        head = [line.rstrip("\r\n") + "\n" for line in self._lines[max(0, place) :][:head_size]]
        resumed = self._resumed or "".join(head)
        self._cut(self._scanner.line_count)
        self._resumed = resumed

    def _cut_list(self) -> None:
        """Cut before the last item at which a new list would continue with the right number."""
        block = self._scanner.blocks[-1]
        for place in range(len(block.items) - 1, 0, -1):
            if block.items[place] <= self._first:
                return
            if block.kind == "bullet_list" or block.numbers[place] == block.numbers[place - 1] + 1:
                self._cut(block.items[place])
                return

    def _cut_words(self) -> None:
        text = self.open
        place = text.rfind(" ", 0, len(text) - 1) + 1 or len(text)
        self._lines, self._line, self._size = [text[:place]], [text[place:]] if text[place:] else [], place
        self._scanner, self._formula_end = BlockScanner(), 0
        self._scanner.line_count = 1
        self._cut(1)


def formula_count(markdown: str) -> int:
    """About how many formulas harmless Markdown has; an escaped dollar sign and code are none."""
    return sum(1 for _formula in _FORMULA.finditer(_CODE.sub("", markdown))) if "$" in markdown else 0


def code_blocks(text: str) -> list[tuple[str, str]]:
    """The code blocks of the reply ``text`` in order: the first word after the fence (or nothing), and the code.

    Fenced and indented blocks count, also in lists and quotes and between HTML tags. Reasoning at the start does not.
    """
    return [((token.info.split() or [""])[0], token.content) for token in code_tokens(answer_of(text))]

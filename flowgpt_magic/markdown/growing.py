"""A Markdown text that grows: what of it is finished, what is still open, and how both can be shown in a cell.

The scanner finds the ends of top-level blocks, so that each new chunk costs only its own length. What a part looks like
is made by `harmless`, for each part by itself: whatever the scanner takes for a block, what is shown is harmless.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from flowgpt_magic.control_characters import clean
from flowgpt_magic.markdown.blocks import BlockScanner
from flowgpt_magic.markdown.harmless import code_tokens, harmless
from flowgpt_magic.messages.reasoning import answer_of

__all__ = ["FinishedBlock", "GrowingMarkdown", "code_blocks", "harmless"]

_LINE_END = re.compile(r"(\r\n|\n|\r(?!\Z))")


@dataclass(frozen=True)
class FinishedBlock:
    """A part of the text that no longer changes.

    `source` is the text as it came: the sources of all blocks and the open rest, joined, are the whole text. `shown` is
    harmless Markdown that can be displayed on its own; of a code block cut in two, each half has its own fences.
    """

    source: str
    shown: str


class GrowingMarkdown:
    """Cuts a text that arrives in chunks into top-level blocks."""

    def __init__(self, *, images: bool = False) -> None:
        self._images = images
        self._scanner = BlockScanner()
        self._finished: list[FinishedBlock] = []
        self._lines: list[str] = []  # of the open block, with their ends
        self._size = 0  # characters in these lines
        self._line: list[str] = []  # pieces of the line that has no end yet
        self._resumed = ""  # what must stand before the open part when it is shown: a fence, or a table's head

    def add(self, chunk: str) -> None:
        """Take in the next piece of text; costs its own length, however long the text is by now."""
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
        """The blocks that were finished since the last call: no chunk to come can change them."""
        finished, self._finished = self._finished, []
        return finished

    def finish(self) -> list[FinishedBlock]:
        """The blocks not yet taken, the open one as the last of them: call it when the text has ended."""
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
        """The text after the last finished block, as it came."""
        return "".join(self._lines) + "".join(self._line)

    @property
    def open_shown(self) -> str:
        """The open text as harmless Markdown; made anew at each call, in time proportional to its length."""
        text = self.open
        return harmless(self._resumed + text, images=self._images) if text.strip() else ""

    def cut_open(self, limit: int) -> list[FinishedBlock]:
        """Cut an open block of more than `limit` characters where that shows least, and take what is finished.

        Code is cut between two lines, a table between two rows, a list between two items; where that cannot be done, a
        text of more than four times `limit` is cut between two words.
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
        """The line of the text that the first of the open lines is."""
        return self._scanner.line_count - len(self._lines)

    def _take_line(self, line: str) -> None:
        self._lines.append(line)
        self._size += len(line)
        self._scanner.add(clean(line.rstrip("\r\n")))
        self._cut_blocks()

    def _cut_blocks(self) -> None:
        """Finish the blocks that have ended; code and headings at once, others when the next one begins."""
        for block in [*self._scanner.take_finished(), *self._scanner.blocks[-1:]]:
            self._cut(block.start)
            if block.kind in ("fence", "heading"):
                self._cut(block.end)

    def _cut(self, end: int) -> None:
        """Finish the open text up to this line of the whole; blank lines stay with what comes after them."""
        count = max(0, end - self._first)
        source = "".join(self._lines[:count])
        if not source.strip():
            return
        self._finished.append(FinishedBlock(source, harmless(self._resumed + source, images=self._images)))
        del self._lines[:count]
        self._size -= len(source)
        self._resumed = ""

    def _cut_lines(self, head_size: int) -> None:
        """Cut after the last whole line, and repeat what the rest needs before it: the fence, or the table's head."""
        place = self._scanner.blocks[-1].line - self._first
        head = [line.rstrip("\r\n") + "\n" for line in self._lines[max(0, place) :][:head_size]]
        resumed = self._resumed or "".join(head)
        self._cut(self._scanner.line_count)
        self._resumed = resumed

    def _cut_list(self) -> None:
        """Cut before the last item that begins a list which goes on with the right number."""
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
        self._scanner = BlockScanner()
        self._scanner.line_count = 1
        self._cut(1)


def code_blocks(text: str) -> list[tuple[str, str]]:
    """What of the reply ``text`` is shown as code, in order: the word after the fence, if there is one, and the code.

    Fenced and indented blocks count, also those in lists, in quotes and between tags; reasoning at the start does not.
    """
    return [((token.info.split() or [""])[0], token.content) for token in code_tokens(answer_of(text))]

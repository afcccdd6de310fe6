"""A Markdown text that grows: what of it is finished, what is still open, and how both can be shown.

A line scanner finds the ends of top-level blocks, so that each new chunk costs only its own length. What a part looks
like is made by `harmless`, for each part by itself: whatever the scanner takes for a block, what is shown is harmless.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from flowgpt_magic.markdown.formulas import HalfFormula
from flowgpt_magic.markdown.harmless import code_tokens, harmless, plain
from flowgpt_magic.messages.reasoning import answer_of

__all__ = ["Block", "GrowingMarkdown", "code_blocks", "harmless", "plain"]

_FENCE = re.compile(r" {0,3}(?:(`{3,})[^`]*|(~{3,}).*)$")
_HEADING = re.compile(r"#{1,6}(?:[ \t]|$)")
_ITEM = re.compile(r"(?:[-+*]|(\d{1,9})[.)])(?:[ \t]{1,4}(?=\S)|[ \t]*$)")
_TABLE_RULE = re.compile(r"[ \t]*(?:\|[ \t]*)?:?-+:?[ \t]*(?:\|[ \t]*:?-+:?[ \t]*)*(?:\|[ \t]*)?$")


@dataclass(frozen=True)
class Block:
    """A part of the text that no longer changes.

    `source` is the text as it came: the sources of all blocks and the open rest, joined, are the whole text. `shown` is
    harmless Markdown that can be displayed on its own; of a code block cut in two, each half has its own fences.
    """

    source: str
    shown: str


@dataclass
class _State:
    """What the scanner knows about the open block."""

    resumed: str = ""  # what must stand before the open part when it is shown: a fence, or a table's head
    fence: str = ""  # the backticks or tildes of an open code block
    after_blank: bool = False
    in_list: bool = False
    number: int | None = None  # of the last item of an ordered list
    item_width: int = 4  # a fence that is indented less is not part of the list item before it
    last_item: int = 0  # the line at which an open list can be cut
    formula: HalfFormula | None = None  # a displayed formula that is open; its lines are no other blocks
    formula_line: int = 0  # of the open block, on which it begins


class GrowingMarkdown:
    """Cuts a text that arrives in chunks into top-level blocks."""

    def __init__(self, *, images: bool = False) -> None:
        self._images = images
        self._state = _State()
        self._finished: list[Block] = []
        self._lines: list[str] = []  # of the open block, with their ends
        self._size = 0  # characters in these lines
        self._line: list[str] = []  # pieces of the line that has no end yet

    def add(self, chunk: str) -> None:
        """Take in the next piece of text; costs its own length, however long the text is by now."""
        *lines, rest = chunk.split("\n")
        for line in lines:
            self._line.append(line + "\n")
            whole = "".join(self._line)
            self._line.clear()
            self._take_line(whole)
        if rest:
            self._line.append(rest)

    def take_finished(self) -> list[Block]:
        """The blocks that were finished since the last call: no chunk to come can change them."""
        finished, self._finished = self._finished, []
        return finished

    def finish(self) -> list[Block]:
        """The blocks not yet taken, the open one as the last of them: call it when the text has ended."""
        if self._line:
            line = "".join(self._line)
            self._line.clear()
            self._take_line(line)
        while self._state.formula is not None:  # one without an end is none
            self._state.formula = None
            self._take_again()
        self._cut()
        if self._lines:
            self._finished.append(Block("".join(self._lines), ""))
            self._lines.clear()
            self._size = 0
        return self.take_finished()

    @property
    def open(self) -> str:
        """The text after the last finished block, as it came."""
        return "".join(self._lines) + "".join(self._line)

    @property
    def open_shown(self) -> str:
        """The open text as harmless Markdown; made anew at each call, in time proportional to its length."""
        text = self.open
        return harmless(self._state.resumed + text, images=self._images) if text.strip() else ""

    def cut_open(self, limit: int) -> list[Block]:
        """Cut an open block of more than `limit` characters where that shows least, and take what is finished.

        Code is cut between two lines, a table between two rows, a list between two items; where that cannot be done, a
        text of more than four times `limit` is cut between two words.
        """
        if self._size > limit:
            if self._state.fence or self._is_table():
                self._cut_lines()
            elif self._state.last_item:
                self._cut_list()
        if not (self._state.fence or self._is_table()) and len(self.open) > 4 * limit:
            self._cut_words()
        return self.take_finished()

    # -- lines

    def _take_line(self, line: str) -> None:
        text = line.rstrip("\r\n")
        if self._state.formula is not None:
            self._take_formula(line, text, self._state.formula)
        elif self._state.fence:
            self._append(line)
            if self._closes_fence(text):
                self._cut()
        elif not text.strip():
            self._append(line)
            self._state.after_blank = True
        else:
            self._take_text(line, text)

    def _take_formula(self, line: str, text: str, formula: HalfFormula) -> None:
        self._append(line)
        formula.add(text)
        if formula.is_open:
            return
        self._state.formula = None
        if not formula.is_formula:
            self._take_again()

    def _take_again(self) -> None:
        """Take the lines of what turned out to be no formula as what they are; the first begins none."""
        first, *others = self._lines[self._state.formula_line :]
        del self._lines[self._state.formula_line :]
        self._size -= len(first) + sum(map(len, others))
        self._append(first)
        for line in others:
            self._take_line(line)

    def _take_text(self, line: str, text: str) -> None:
        indent = len(text) - len(text.lstrip(" \t"))
        fence = _FENCE.match(text)
        if fence is not None and indent < self._state.item_width:
            self._cut()
            self._state.fence = fence[1] or fence[2]
            self._append(line)
        elif _HEADING.match(text):
            self._cut()
            self._append(line)
            self._cut()
        else:
            item = _ITEM.match(text)
            if self._state.after_blank and indent == 0 and not (item and self._state.in_list):
                self._cut()
            if item:
                self._take_item(text, item)
            elif indent < 4 and not self._state.in_list and text.lstrip().startswith(("$$", "\\[", "\\begin")):
                formula = HalfFormula(text)
                self._state.formula = formula if formula.is_open else None
                self._state.formula_line = len(self._lines)
            self._append(line)
        self._state.after_blank = False

    def _take_item(self, text: str, item: re.Match[str]) -> None:
        number = int(item[1]) if item[1] else None
        continues = number is None or (self._state.number is not None and number == self._state.number + 1)
        if self._state.in_list and continues:
            self._state.last_item = len(self._lines)
        self._state.in_list = True
        self._state.number = number
        self._state.item_width = len(item[0]) if text[item.end() :] else 2

    def _closes_fence(self, text: str) -> bool:
        fence = text.strip(" \t")
        indent = len(text) - len(text.lstrip(" "))
        return indent < 4 and len(fence) >= len(self._state.fence) and fence == self._state.fence[0] * len(fence)

    def _append(self, line: str) -> None:
        self._lines.append(line)
        self._size += len(line)

    # -- cutting

    def _cut(self, lines: int | None = None) -> None:
        """Finish the open block, or only its first lines."""
        cut = self._lines[:lines]
        source = "".join(cut)
        if not source.strip():  # blank lines stay with what comes after them
            self._state = _State()
            return
        self._finished.append(Block(source, harmless(self._state.resumed + source, images=self._images)))
        del self._lines[: len(cut)]
        self._size -= len(source)
        if lines is None:
            self._state = _State()

    def _is_table(self) -> bool:
        if self._state.resumed:
            return True
        head = self._head()
        return len(head) == 2 and "|" in head[0] and "|" in head[1] and _TABLE_RULE.match(head[1]) is not None

    def _head(self) -> list[str]:
        """The first two lines that are not blank, without their ends."""
        first = next((number for number, line in enumerate(self._lines) if line.strip()), 0)
        return [line.rstrip("\r\n") for line in self._lines[first : first + 2]]

    def _cut_lines(self) -> None:
        """Cut after the last whole line, and repeat what the rest needs before it: the fence, or the table's head."""
        if self._state.after_blank and not self._state.fence:
            return
        head = self._head()[: 1 if self._state.fence else 2]
        resumed = self._state.resumed or "".join(f"{line}\n" for line in head)
        self._cut(len(self._lines))
        self._state.resumed = resumed

    def _cut_words(self) -> None:
        text = self.open
        place = text.rfind(" ", 0, len(text) - 1) + 1 or len(text)
        self._lines, self._line, self._size = [text[:place]], [text[place:]] if text[place:] else [], place
        self._cut()

    def _cut_list(self) -> None:
        self._cut(self._state.last_item)
        self._state.last_item = 0


def code_blocks(text: str) -> list[tuple[str, str]]:
    """What of the reply ``text`` is shown as code, in order: the word after the fence, if there is one, and the code.

    Fenced and indented blocks count, also those in lists, in quotes and between tags; reasoning at the start does not.
    """
    return [((token.info.split() or [""])[0], token.content) for token in code_tokens(answer_of(text))]

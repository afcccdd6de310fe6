"""Text that is shown in its lines, as it arrives: a fenced block of code, or what is too long to be anything else.

It needs no parser: what has come is there, what comes is added. A long one is cut into parts, so that no step costs
more than one of them.
"""

from __future__ import annotations

import re

from flowgpt_magic.markdown.html.elements import Looks, code_head, code_html, code_tail, language_of
from flowgpt_magic.markdown.html.highlight import Runs
from flowgpt_magic.markdown.html.render import plain_html
from flowgpt_magic.markdown.html.sanitize import cleaned, escaped

PART = 16_000  # characters of a block after which another one goes on
_OPENING = re.compile(r"( {0,3})(`+|~+)(.*)\n?")


class OpenText:
    """Lines that are shown as they are, in blocks of `PART` characters or a few more."""

    def __init__(self) -> None:
        self._lines: list[str] = []  # of the part that is open, with their ends
        self._size = 0

    def add(self, line: str) -> None:
        """Take a line with its end, or a piece of one that is too long."""
        self._lines.append(line)
        self._size += len(line)

    def take_full(self) -> list[str]:
        """The part that is full, if it is and something comes after it."""
        if self._size - len(self._lines[-1]) < PART:
            return []
        *lines, last = self._lines
        self._lines, self._size = [last], len(last)
        return [self._full("".join(lines))]

    def _full(self, text: str) -> str:
        return self._html(text)

    def shown(self, line: str) -> str:
        """The open part, with a line that has no end yet."""
        return self._html("".join(self._lines) + line)

    def finish(self) -> list[str]:
        """What has not been taken, in one block."""
        text = "".join(self._lines)
        self._lines, self._size = [], 0
        return [self._html(text)] if text.strip("\n") else []

    def _html(self, text: str) -> str:
        return plain_html(text.removesuffix("\n"))


class OpenCode(OpenText):
    """A block of code whose closing fence has not come.

    The texts of its parts, joined, are the code: all but the last end with the newline that stands there.
    """

    def __init__(self, opening: str, looks: Looks) -> None:
        super().__init__()
        fence = _OPENING.fullmatch(opening)
        indent, mark, info = fence.groups() if fence else ("", "`", "")
        self._looks = looks
        self._indent = len(indent)
        self._half_end = re.compile(f" {{0,3}}{mark[0]}*[ \t]*")
        self._language = language_of(info)
        self._runs = Runs(self._language)
        self._part = 1
        self.in_line = False  # is the beginning of this line in what was added?

    def add(self, line: str) -> None:
        if not self.in_line:
            line = self._unindented(line)
        self.in_line = not line.endswith("\n")
        self._runs = Runs("") if self.in_line else self._runs  # lines so long are not highlighted
        self._runs.add(line)
        super().add(line)

    def _unindented(self, line: str) -> str:
        """The line without as much white space as the fence has before it."""
        for _ in range(self._indent):
            line = "   " + line[1:] if line[:1] == "\t" else line[1:] if line[:1] == " " else line
        return line

    def _full(self, text: str) -> str:
        part = cleaned(code_head(self._language, self._part) + escaped(text) + code_tail(""))
        self._part += 1
        return part

    def shown(self, line: str) -> str:
        if not self.in_line:
            line = "" if self._half_end.fullmatch(line) else self._unindented(line)
        return super().shown(line)

    def finish(self) -> list[str]:
        """The last part; it is there though it is empty, if it is the only one."""
        code = "".join(self._lines).removesuffix("\n")
        if self._part > 1:
            return [self._html(code)] if code else []
        return [cleaned(code_html(code, self._language, self._runs.written, self._looks))]

    def _html(self, text: str) -> str:
        code = escaped(text.removesuffix("\n"))
        return cleaned(code_head(self._language, self._part) + code + code_tail(""))

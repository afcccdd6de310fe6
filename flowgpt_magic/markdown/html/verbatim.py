"""Text shown as typed while it arrives: a code block, or text too long for Markdown.

A long one is cut into parts, so that no update costs more than one part.
"""

from __future__ import annotations

import re

from flowgpt_magic.markdown.html.elements import PageOptions, code_head, code_html, code_tail, language_of
from flowgpt_magic.markdown.html.highlight import CodeRuns
from flowgpt_magic.markdown.html.render import plain_html
from flowgpt_magic.markdown.html.sanitize import cleaned, escaped

CODE_PART = 16_000  # characters of a part; the rest continues in another one
_OPENING = re.compile(r"( {0,3})(`+|~+)(.*)\n?")


class OpenText:
    """Lines shown as typed, in blocks of `CODE_PART` characters or a little more."""

    def __init__(self) -> None:
        self._lines: list[str] = []  # of the part that is open, with their ends
        self._size = 0

    def add(self, line: str) -> None:
        """Add a line with its end, or a piece of a very long line."""
        self._lines.append(line)
        self._size += len(line)

    def take_full(self) -> list[str]:
        """The HTML of the open part if it is full and another line follows it."""
        if self._size - len(self._lines[-1]) < CODE_PART:
            return []
        *lines, last = self._lines
        self._lines, self._size = [last], len(last)
        return [self._full("".join(lines))]

    def _full(self, text: str) -> str:
        return self._html(text)

    def shown(self, line: str) -> str:
        """The HTML of the open part with an incomplete line at its end."""
        return self._html("".join(self._lines) + line)

    def finish(self) -> list[str]:
        """The HTML of the rest, in one block."""
        text = "".join(self._lines)
        self._lines, self._size = [], 0
        return [self._html(text)] if text.strip("\n") else []

    def _html(self, text: str) -> str:
        return plain_html(text.removesuffix("\n"))


class OpenCode(OpenText):
    """A block of code whose closing fence has not come.

    The texts of its parts, joined, are the code: all but the last end with the newline that stands there.
    """

    def __init__(self, opening: str, options: PageOptions) -> None:
        super().__init__()
        fence = _OPENING.fullmatch(opening)
        indent, mark, info = fence.groups() if fence else ("", "`", "")
        self._options = options
        self._indent = len(indent)
        self._half_end = re.compile(f" {{0,3}}{mark[0]}*[ \t]*")
        self._language = language_of(info)
        self._runs = CodeRuns(self._language)
        self._part = 1
        self.in_line = False  # is the beginning of this line in what was added?

    def add(self, line: str) -> None:
        if not self.in_line:
            line = self._unindented(line)
        self.in_line = not line.endswith("\n")
        self._runs = CodeRuns("") if self.in_line else self._runs  # lines so long are not highlighted
        self._runs.add(line)
        super().add(line)

    def _unindented(self, line: str) -> str:
        """The line without the indent of the opening fence."""
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
        """The HTML of the last part; an empty one only if there is no other."""
        code = "".join(self._lines).removesuffix("\n")
        if self._part > 1:
            return [self._html(code)] if code else []
        return [cleaned(code_html(code, self._language, self._runs.written, self._options))]

    def _html(self, text: str) -> str:
        code = escaped(text.removesuffix("\n"))
        return cleaned(code_head(self._language, self._part) + code + code_tail(""))

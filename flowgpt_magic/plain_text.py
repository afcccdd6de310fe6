"""Text made fit for one line of a terminal, a label or a table."""

from __future__ import annotations

import re


def printable(text: str) -> str:
    """``text`` without the characters that would steer a terminal."""
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)


def one_line(text: str) -> str:
    """``text`` with every stretch of white space as one space, and printable."""
    return printable(" ".join(text.split()))


def cut(text: str, limit: int = 60) -> str:
    """``text`` on one line of at most ``limit`` characters, with a mark where it goes on."""
    line = one_line(text)
    return line if len(line) <= limit else f"{line[: limit - 1].rstrip()}…"


def escaped(line: str) -> str:
    """``line`` as Markdown that shows just these characters."""
    return re.sub(r"([^\w\s·.,:;/-]|_)", r"\\\1", line)


def counted(number: int, one: str, many: str = "") -> str:
    """``1 turn``, ``2 turns``; ``many`` is for words whose plural is not made with an s."""
    return f"{number} {one if number == 1 else many or one + 's'}"

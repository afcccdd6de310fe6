"""Text made fit for one line of a terminal, a label or a table."""

from __future__ import annotations

import os
import re

_WORD_AT_END = re.compile(r"(?<![!-~])[!-~]{1,150}\Z")  # in ASCII; what is longer is no word and no key
ENDED = re.compile(r"[?!][\"')\]]*$|\.[\"')\]]+$")  # text that ends in a mark of its own


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


def sentences(*parts: str) -> str:
    """``parts`` as sentences, one behind the other: each ends in one full stop, or in its own ``?`` or ``!``.

    Empty parts are left out. Several dots at the end of a part become one full stop.
    """
    found = (part.rstrip(" \t\r\n.") for part in parts)
    return " ".join(part if ENDED.search(part) else f"{part}." for part in found if part)


def escaped(line: str) -> str:
    """``line`` as Markdown that shows just these characters."""
    return re.sub(r"([^\w\s·.,:;/-]|_)", r"\\\1", line)


def counted(number: int, one: str, many: str = "") -> str:
    """``1 turn``, ``2 turns``; ``many`` is for words whose plural is not made with an s."""
    return f"{number} {one if number == 1 else many or one + 's'}"


def cut_between_words(text: str, limit: int) -> str:
    """The first ``limit`` characters of ``text``, without a word in ASCII that goes on behind them.

    For text that a server sent: it may hold a key, and half of one is not recognised as a secret any more.
    """
    begin = text[:limit]
    return _WORD_AT_END.sub("", begin) if re.match("[!-~]", text[limit : limit + 1]) else begin


def short_path(path: str) -> str:
    """``path`` with ``~`` for the home folder."""
    home = os.path.expanduser("~")
    return f"~{path[len(home) :]}" if home != os.sep and path.startswith(home + os.sep) else path

"""Text for one line of a terminal, a label or a table."""

from __future__ import annotations

import os
import re

_WORD_AT_END = re.compile(r"(?<![!-~])[!-~]{1,150}\Z")  # in ASCII; what is longer is no word and no key
ENDED = re.compile(r"[?!][\"')\]]*$|\.[\"')\]]+$")  # text that ends in a mark of its own


def printable(text: str) -> str:
    """``text`` with U+FFFD in place of every character that is not printable."""
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)


def one_line(text: str) -> str:
    """``text`` with one space for each run of white space, and printable."""
    return printable(" ".join(text.split()))


def cut(text: str, limit: int = 60) -> str:
    """``text`` on one line of at most ``limit`` characters; a longer one ends with an ellipsis."""
    line = one_line(text)
    return line if len(line) <= limit else f"{line[: limit - 1].rstrip()}…"


def sentences(*parts: str) -> str:
    """``parts`` joined as sentences: each ends with one full stop, or with its own ``?`` or ``!``.

    Empty parts are left out. Several dots at the end of a part become one full stop.
    """
    stripped = (part.rstrip(" \t\r\n.") for part in parts)
    return " ".join(part if ENDED.search(part) else f"{part}." for part in stripped if part)


def escaped(line: str) -> str:
    """``line`` with Markdown escapes, so that it is shown literally."""
    return re.sub(r"([^\w\s·.,:;/-]|_)", r"\\\1", line)


def counted(number: int, one: str, many: str = "") -> str:
    """``1 turn``, ``2 turns``; ``many`` is an irregular plural."""
    return f"{number} {one if number == 1 else many or one + 's'}"


def cut_between_words(text: str, limit: int) -> str:
    """The first ``limit`` characters of ``text``, without an ASCII word that is cut there.

    For text from a server: it may contain a key, and half of a key is not recognised as a secret.
    """
    begin = text[:limit]
    return _WORD_AT_END.sub("", begin) if re.match("[!-~]", text[limit : limit + 1]) else begin


def short_path(path: str) -> str:
    """``path`` with ``~`` for the home folder."""
    home = os.path.expanduser("~")
    return f"~{path[len(home) :]}" if home != os.sep and path.startswith(home + os.sep) else path

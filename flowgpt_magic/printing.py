"""Write to the standard output in any encoding. The whole package prints through this module.

A pipe, a log or an old terminal may use ASCII or cp1252. Characters that the encoding lacks would raise
``UnicodeEncodeError``; they are replaced by a similar character, or else by an escape, so that nothing is lost.
"""

from __future__ import annotations

import re
import sys
from typing import TextIO

LIKE = {
    "·": "-",
    "•": "*",
    "…": "...",
    "─": "-",
    "│": "|",
    "–": "-",  # noqa: RUF001
    "—": "-",
    "→": "->",
    "‘": "'",  # noqa: RUF001
    "’": "'",  # noqa: RUF001
    "“": '"',
    "”": '"',
    "‐": "-",  # noqa: RUF001
    "−": "-",  # noqa: RUF001
    "×": "x",  # noqa: RUF001
    "┼": "+",
    "█": "#",
    "▓": "=",
    "▒": ":",
    "░": ".",
    "☐": "[ ]",
    "☑": "[x]",
    "\u00a0": " ",
    "\u202f": " ",
}
_BEYOND_ASCII = re.compile("[^\x00-\x7f]")


def write(text: str) -> None:
    """Write ``text`` to the standard output and flush it; do nothing without one, as under ``pythonw``."""
    stream: TextIO | None = sys.stdout
    if stream is not None:
        stream.write(fitted(text, stream))
        stream.flush()


def write_line(text: str) -> None:
    """Write ``text`` and a newline."""
    write(f"{text}\n")


def fitted(text: str, stream: TextIO | None) -> str:
    """``text`` with replacements for characters that ``stream`` cannot encode."""
    encoding = getattr(stream, "encoding", None)
    if text.isascii() or not isinstance(encoding, str):
        return text
    errors = getattr(stream, "errors", None) or "strict"
    if _holds(encoding, errors, text):
        return text
    return _BEYOND_ASCII.sub(lambda found: _nearest(encoding, errors, found[0]), text)


def _nearest(encoding: str, errors: str, character: str) -> str:
    if _holds(encoding, errors, character):
        return character
    return LIKE.get(character) or character.encode("ascii", "backslashreplace").decode("ascii")


def _holds(encoding: str, errors: str, text: str) -> bool:
    try:
        text.encode(encoding, errors)
    except UnicodeEncodeError:
        return False
    except LookupError:  # this Python does not know the encoding or error handler, but the stream does
        return True
    return True

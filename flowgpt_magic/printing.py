"""The one way this package writes to the standard output: whatever its encoding, what it can hold is printed.

A pipe, a log or an old terminal may be ASCII or cp1252. Characters that such an encoding lacks would end the cell in a
``UnicodeEncodeError``; here they are replaced, by a likeness where there is one and else by their escape, so that no
character is lost.
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
    """Write ``text`` to the standard output at once; nothing where there is none, as under ``pythonw``."""
    stream: TextIO | None = sys.stdout
    if stream is not None:
        stream.write(fitted(text, stream))
        stream.flush()


def write_line(text: str) -> None:
    """The same, and end the line."""
    write(f"{text}\n")


def fitted(text: str, stream: TextIO | None) -> str:
    """``text`` with what ``stream`` cannot encode replaced."""
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
    except LookupError:  # an encoding or a way to handle errors that this Python does not know: the stream does
        return True
    return True

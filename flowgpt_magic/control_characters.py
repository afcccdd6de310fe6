"""Text from a stranger made fit for a page, while it arrives and wherever it is cut.

What several characters mean together is decided only when all of them are there: a carriage return and a newline, the
halves of a surrogate pair, an escape sequence. Until then they wait, so the result does not depend on the cuts.
"""

from __future__ import annotations

import re

LONGEST_SEQUENCE = 1000  # characters of an escape sequence's text; a longer one is shown

# ECMA-48: control sequences, strings with a terminator, and other escape sequences.
_STRING = rf"\x1b[\]PX^_][^\x07\x1b]{{0,{LONGEST_SEQUENCE}}}"
_SEQUENCE = re.compile(rf"\x1b\[[0-?]{{0,64}}[ -/]{{0,16}}[@-~]|{_STRING}(?:\x07|\x1b\\)|\x1b[ -/]{{0,16}}[0-Z\\-~]")
_UNFINISHED = re.compile(rf"(?:\x1b(?:\[[0-?]{{0,64}}[ -/]{{0,16}}|[ -/]{{0,16}})|{_STRING}\x1b?|\r|[\ud800-\udbff])\Z")
_SURROGATE = re.compile("[\ud800-\udfff]")
_UNWANTED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ufffe\uffff]")
_SPACES = frozenset("\x0b\x0c\x85\u2028\u2029")  # they would end a line in some places and not in others


def clean(text: str) -> str:
    """The text without anything that acts on a terminal, breaks a file or lies about its order; newlines and tabs stay.

    Escape sequences are removed, other control characters become the picture Unicode has for them, and what no
    encoding takes, or turns the reading direction around, becomes U+FFFD. Halves of a surrogate pair become one.
    """
    if _SURROGATE.search(text):
        text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    if _UNWANTED.search(text) is None:
        return text
    return _UNWANTED.sub(_visible, _SEQUENCE.sub("", text.replace("\r\n", "\n").replace("\r", "\n")))


def _visible(match: re.Match[str]) -> str:
    code = ord(match[0])
    if match[0] in _SPACES:
        return " "
    return chr(0x2400 + code) if code < 0x20 else "\u2421" if code == 0x7F else "\ufffd"


class ArrivingText:
    """Cleans a text that arrives in pieces: all that leaves it, joined, is the whole text cleaned."""

    def __init__(self) -> None:
        self._waiting = ""

    def add(self, text: str) -> str:
        """What is certain now that ``text`` has come."""
        text = self._waiting + text
        place = max(0, len(text) - LONGEST_SEQUENCE - 4)
        unfinished = _UNFINISHED.search(text, place)
        end = unfinished.start() if unfinished else len(text)
        self._waiting = text[end:]
        return clean(text[:end])

    def finish(self) -> str:
        """What waited for more that has not come."""
        rest, self._waiting = self._waiting, ""
        return clean(rest)

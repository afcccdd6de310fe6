"""Remove control characters, escape sequences and lone surrogates from untrusted text.

Characters that only have a meaning together (a carriage return and a newline, the halves of a surrogate pair, an escape
sequence) are held back in a stream until all of them have arrived. So the result does not depend on where the text is
cut.
"""

from __future__ import annotations

import re

MAX_SEQUENCE = 1000  # characters of an escape sequence's text; a longer one is shown

# ECMA-48: control sequences, strings with a terminator, and other escape sequences.
_STRING = rf"\x1b[\]PX^_][^\x07\x1b]{{0,{MAX_SEQUENCE}}}"
_SEQUENCE = re.compile(rf"\x1b\[[0-?]{{0,64}}[ -/]{{0,16}}[@-~]|{_STRING}(?:\x07|\x1b\\)|\x1b[ -/]{{0,16}}[0-Z\\-~]")
_UNFINISHED = re.compile(rf"(?:\x1b(?:\[[0-?]{{0,64}}[ -/]{{0,16}}|[ -/]{{0,16}})|{_STRING}\x1b?|\r|[\ud800-\udbff])\Z")
_SURROGATE = re.compile("[\ud800-\udfff]")
# Marks that turn the reading direction around, and others that hide what a text says. Arabic and Hebrew need none.
_DIRECTION = "\u202a-\u202e\u2066-\u206f\ufff9-\ufffb"
_CONTROL = "\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ufffe\uffff\ud800-\udfff"
_UNWANTED = re.compile(f"[{_CONTROL}{_DIRECTION}]")
_UNWANTED_BUT_DIRECTION = re.compile(f"[{_CONTROL}]")
_LINE_ENDS = frozenset("\x0b\x0c\x85\u2028\u2029")  # they would end a line in some places and not in others


def clean(text: str, *, keep_direction: bool = False) -> str:
    """``text`` without characters that control a terminal, break a file or change the reading direction.

    Escape sequences are removed. Other control characters become Unicode control pictures (U+2400 to U+2421). Lone
    surrogates and direction marks become U+FFFD; with ``keep_direction`` the marks stay. Newlines and tabs stay.
    """
    unwanted = _UNWANTED_BUT_DIRECTION if keep_direction else _UNWANTED
    if unwanted.search(text) is None:
        return text
    return unwanted.sub(_visible, _SEQUENCE.sub("", join_surrogates(text).replace("\r\n", "\n").replace("\r", "\n")))


def visible(text: str) -> str:
    """``text`` with such characters replaced one by one: nothing is removed, and there is no new line."""
    return _UNWANTED.sub(_visible, text)


def escaped_in_json(written: str) -> str:
    """JSON text with such characters as ``\\u`` escapes, so that its values stay the same."""
    return _UNWANTED.sub(lambda found: f"\\u{ord(found[0]):04x}", written)


def join_surrogates(text: str) -> str:
    """``text`` with two matching halves joined to one character, and a lone half replaced by U+FFFD.

    Every encoding takes it, and its length in UTF-16 stays the same.
    """
    if text.isascii() or not _SURROGATE.search(text):
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def _visible(match: re.Match[str]) -> str:
    code = ord(match[0])
    if match[0] in _LINE_ENDS:
        return " "
    return chr(0x2400 + code) if code < 0x20 else "\u2421" if code == 0x7F else "\ufffd"


class ArrivingText:
    """Cleans text that arrives in pieces: the results, joined, are the same as ``clean`` of the whole text."""

    def __init__(self) -> None:
        self._waiting = ""

    def add(self, text: str) -> str:
        """The cleaned text that is certain after ``text``."""
        text = self._waiting + text
        place = max(0, len(text) - MAX_SEQUENCE - 4)
        unfinished = _UNFINISHED.search(text, place)
        end = unfinished.start() if unfinished else len(text)
        self._waiting = text[end:]
        return clean(text[:end])

    def finish(self) -> str:
        """The rest, once the text is complete."""
        rest, self._waiting = self._waiting, ""
        return clean(rest)


class SurrogateJoiner:
    """Joins pairs that a server has split, with one half at the end of a chunk and the other in the next one."""

    def __init__(self) -> None:
        self._half = ""

    def join(self, chunk: str) -> str:
        """``chunk`` with joined pairs; a first half at its end is kept for the next chunk."""
        if not self._half and (chunk.isascii() or not _SURROGATE.search(chunk)):
            return chunk
        chunk = self._half + chunk
        self._half = chunk[-1] if "\ud800" <= chunk[-1] <= "\udbff" else ""
        return join_surrogates(chunk.removesuffix(self._half) if self._half else chunk)

    def join_all(self, chunks: list[str]) -> list[str]:
        """Like ``join`` for several chunks; empty ones are left out."""
        return list(filter(None, map(self.join, chunks)))

    def finish(self) -> str:
        """U+FFFD for a half whose other half never came, else nothing."""
        return join_surrogates(self._half)

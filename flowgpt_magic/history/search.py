"""Words as the search of the history sees them.

The index splits text where no letter or digit stands. Chinese and Japanese text, and that of South-East Asia, has no
spaces where a reader sees words, and Korean words carry their endings: there every character is a word of its own, and
a word searched for is a phrase.
"""

from __future__ import annotations

import re
import time
import unicodedata

CHARS_PER_STEP = 2000  # characters that are worked on before other threads get their turn
MAX_WORDS = 32  # more of them make no search better
MIN_PREFIX = 3  # characters from which on the last word may be the beginning of a longer one
SNIPPET_BEFORE, SNIPPET_LENGTH = 40, 160  # characters of a snippet before the word, and in all

_UNSPACED = re.compile("([\u0e00-\u0eff\u1000-\u109f\u1100-\u11ff\u1780-\u17ff\u3040-\u318f\u31f0-\u9fff\ua000-\ua48f"
                       "\uac00-\ud7af\uf900-\ufaff\U0001b000-\U0001b16f\U00020000-\U0003ffff])")  # fmt: skip
_WORD = re.compile(r"[^\W_](?:[^\W_]|[\u0300-\u036f])*")  # an accent may be a character of its own, after its letter


def index_text(text: str | bytes | None) -> str:
    """``text`` as it goes into the index, with spaces around each character that is a word of its own."""
    if isinstance(text, bytes):  # it is no valid Unicode, see ``History``
        text = text.decode("utf-8", "replace")
    if not text or text.isascii():
        return (text or "").replace("\0", " ")
    pieces = []
    for start in range(0, len(text), CHARS_PER_STEP):
        pieces.append(_UNSPACED.sub(r" \1 ", text[start : start + CHARS_PER_STEP]))
        if start:
            time.sleep(0)  # an expression holds up every other thread while it works
    return "".join(pieces).replace("\0", " ")


def words_of(asked: str) -> list[str]:
    """The words in what a person typed into a search; everything else in it is left out."""
    return list(dict.fromkeys(_WORD.findall(asked)))[:MAX_WORDS]


def match_expression(words: list[str], *, prefix: bool) -> str:
    """What the index is asked for: all of ``words``, the last of them also as the beginning of a longer word."""
    phrases = [f'"{" ".join(index_text(word).split())}"' for word in words]
    return " ".join(phrases) + ("*" if prefix else "")


def can_be_prefix(words: list[str]) -> bool:
    """Is the last one long enough to be looked for as a beginning?"""
    return bool(words) and (len(words[-1]) >= MIN_PREFIX or not words[-1].isascii())


def snippet(texts: tuple[str, ...], words: list[str]) -> str:
    """One line of the first text that has one of the words, around it."""
    for text in texts:
        for word in words:
            place = _find(text, word)
            if place is not None:
                return _line(text, place)
    return _line(texts[0], 0)


def _find(text: str, word: str) -> int | None:
    """Where in ``text`` a word begins that is, or starts with, ``word``, whatever their case and accents."""
    lower = text.lower()
    if len(lower) == len(text):  # so that a place in one is the same place in the other
        start = "" if _UNSPACED.match(word) else r"(?<![^\W_])"
        if found := re.search(start + re.escape(word.lower()), lower):
            return found.start()
    if text.isascii() and word.isascii():
        return None
    plain = _plain(word)
    return next((found.start() for found in _WORD.finditer(text) if _plain(found[0]).startswith(plain)), None)


def _plain(text: str) -> str:
    parts = unicodedata.normalize("NFKD", text.casefold())
    return "".join(each for each in parts if not unicodedata.combining(each))


def _line(text: str, place: int) -> str:
    start = max(0, place - SNIPPET_BEFORE)
    end = start + SNIPPET_LENGTH
    line = " ".join(text[start:end].split())
    return f"{'…' if start else ''}{line}{'…' if end < len(text) else ''}"

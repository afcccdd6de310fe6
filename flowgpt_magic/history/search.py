"""Split text into words for the full-text search of the history, and choose what is shown of the hits.

The index splits text at everything that is not a letter or digit. Chinese, Japanese and South-East Asian text has no
spaces between words, and Korean words have endings. In these scripts every character is indexed as a word, and a search
term is a phrase.

One prompt may be in the history many times: as versions of a turn, as the copies that a branch and a copied notebook
begin with, and in every batch. Each is a hit of the index; a search lists it once.
"""

from __future__ import annotations

import re
import time
import unicodedata
from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import Any

CHARS_PER_STEP = 2000  # characters processed before other threads may run
MAX_WORDS = 32  # more words do not improve a search
MIN_PREFIX = 3  # characters; a shorter last word is not searched for as a prefix
SNIPPET_BEFORE, SNIPPET_LENGTH = 40, 160  # characters before the word, and in total

_UNSPACED = re.compile("([\u0e00-\u0eff\u1000-\u109f\u1100-\u11ff\u1780-\u17ff\u3040-\u318f\u31f0-\u9fff\ua000-\ua48f"
                       "\uac00-\ud7af\uf900-\ufaff\U0001b000-\U0001b16f\U00020000-\U0003ffff])")  # fmt: skip
_WORD = re.compile(r"[^\W_](?:[^\W_]|[\u0300-\u036f])*")  # an accent may be a separate character after its letter


def index_text(text: str | bytes | None) -> str:
    """``text`` for the index, with spaces around each character that is indexed as a word."""
    if isinstance(text, bytes):  # not valid Unicode, see ``History``
        text = text.decode("utf-8", "replace")
    if not text or text.isascii():
        return (text or "").replace("\0", " ")
    pieces = []
    for start in range(0, len(text), CHARS_PER_STEP):
        pieces.append(_UNSPACED.sub(r" \1 ", text[start : start + CHARS_PER_STEP]))
        if start:
            time.sleep(0)  # a regular expression blocks all other threads while it runs
    return "".join(pieces).replace("\0", " ")


def words_of(typed: str) -> list[str]:
    """The words of a search as typed; everything else is ignored."""
    return list(dict.fromkeys(_WORD.findall(typed)))[:MAX_WORDS]


def match_expression(words: list[str], *, prefix: bool) -> str:
    """The FTS5 query for all of ``words``; with ``prefix``, the last word may be the beginning of a longer one."""
    phrases = [f'"{" ".join(index_text(word).split())}"' for word in words]
    return " ".join(phrases) + ("*" if prefix else "")


def can_be_prefix(words: list[str]) -> bool:
    """Is the last word long enough for a prefix search?"""
    return bool(words) and (len(words[-1]) >= MIN_PREFIX or not words[-1].isascii())


# What is compared of two hits. A copy of a turn differs from it in ids and place only.
HIT = ("number", "conversation_id", "place", "live", "started", "kernel", "request_key", "prompt", "removed", "key")


def one_of_each(hits: Iterable[Mapping[str, Any]], own_key: str) -> list[int]:
    """The numbers of the hits to list, one for each turn, in the order of ``hits``, which have the columns ``HIT``.

    Of the versions of a turn the live one is listed, or else the newest; of its copies a live one, preferably of the
    notebook with the key ``own_key``, and of several the original.
    """

    def version_rank(hit: Mapping[str, Any]) -> tuple[bool, int]:
        return bool(hit["live"]), hit["number"]

    def copy_rank(hit: Mapping[str, Any]) -> tuple[bool, bool, bool, int]:
        return bool(hit["live"]), not hit["removed"], hit["key"] == own_key, -hit["number"]

    def version(hit: Mapping[str, Any]) -> Hashable:
        # In the unlisted conversation of batches, another request may have the same place.
        return hit["conversation_id"], hit["place"], hit["removed"] and hit["request_key"]

    def copy(hit: Mapping[str, Any]) -> Hashable:
        return hit["started"], hit["kernel"], hit["request_key"], hit["prompt"]

    turns = _best_of_each(hits, version, version_rank)
    return [hit["number"] for hit in _best_of_each(turns, copy, copy_rank)]


def _best_of_each(
    hits: Iterable[Mapping[str, Any]],
    group: Callable[[Mapping[str, Any]], Hashable],
    rank: Callable[[Mapping[str, Any]], Any],
) -> list[Mapping[str, Any]]:
    best: dict[Hashable, Mapping[str, Any]] = {}  # in the order of the first hit of each group
    for hit in hits:
        key = group(hit)
        if key not in best or rank(hit) > rank(best[key]):
            best[key] = hit
    return list(best.values())


def snippet(texts: tuple[str, ...], words: list[str]) -> str:
    """The line with most of ``words``; of equal ones the first."""
    lines = [(text, start) for text in texts for word in words if (start := _find(text, word)) is not None] or [
        (texts[0], 0)
    ]
    counts = [sum(_find(_window(*line), word) is not None for word in words) for line in lines]
    return _line(*lines[counts.index(max(counts))])


def _find(text: str, word: str) -> int | None:
    """The index in ``text`` of a word that equals or starts with ``word``, ignoring case and accents."""
    lower = text.lower()
    if len(lower) == len(text):  # so that an index into one is valid for the other
        start = "" if _UNSPACED.match(word) else r"(?<![^\W_])"
        if match := re.search(start + re.escape(word.lower()), lower):
            return match.start()
    if text.isascii() and word.isascii():
        return None
    plain = _plain(word)
    return next((match.start() for match in _WORD.finditer(text) if _plain(match[0]).startswith(plain)), None)


def _plain(text: str) -> str:
    parts = unicodedata.normalize("NFKD", text.casefold())
    return "".join(character for character in parts if not unicodedata.combining(character))


def _line(text: str, place: int) -> str:
    start = max(0, place - SNIPPET_BEFORE)
    line = " ".join(_window(text, place).split())
    return f"{'…' if start else ''}{line}{'…' if start + SNIPPET_LENGTH < len(text) else ''}"


def _window(text: str, place: int) -> str:
    """The characters of ``text`` that a line about ``place`` shows."""
    start = max(0, place - SNIPPET_BEFORE)
    return text[start : start + SNIPPET_LENGTH]

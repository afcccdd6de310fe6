"""Estimate the number of tokens of a text.

Each model has its own tokenizer, which is not available here. The weights below are fitted to the vocabularies of GPT-4
(cl100k_base) and GPT-4o (o200k_base): for English, German, Chinese, Japanese, Korean, source code and JSON, the
estimate is between the two counts, or within 25% of both. Older vocabularies need up to twice as many tokens for
non-Latin scripts, newer ones fewer.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

LATIN_WORD = 6  # letters of a Latin word in one token; each further LATIN_REST letters add one
LATIN_REST = 4.5
MAX_WORD = 64  # letters of a word counted that way; a longer run is one repeated letter, or encoded data
DIGITS = 3  # digits of a number in one token
PUNCTUATION = 0.6  # tokens of an ASCII punctuation mark
ACCENT = 0.7  # tokens that a Latin letter outside ASCII adds to its word
# Tokens of a character in other scripts.
HAN, KANA, HANGUL, CYRILLIC, SOUTH_ASIAN, OTHER, EMOJI = 1.0, 0.82, 0.96, 0.45, 0.65, 0.6, 2.0

ENGLISH = 4  # characters per token
SAMPLE = 20_000  # characters of a text that its ratio is measured on
QUICK_SAMPLE = 8_000  # the same where many texts are estimated

_PARTS = re.compile(
    r"(?P<latin>[A-Z]?[a-z]+|[A-Z]+)"
    r"|(?P<digits>[0-9]+)"
    r"|(?P<lines>\s*\n\s*)"
    r"|(?P<spaces>[^\S\n]{2,})"
    r"|(?P<signs>[!-/:-@\[-`{-~]+)"
    r"|(?P<accented>[\u00c0-\u024f\u1e00-\u1eff])"
    r"|(?P<han>[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]+)"
    r"|(?P<kana>[\u3000-\u30ff\uff00-\uffef]+)"
    r"|(?P<hangul>[\u1100-\u11ff\u3130-\u318f\uac00-\ud7af]+)"
    r"|(?P<cyrillic>[\u0370-\u052f]+)"
    r"|(?P<south_asian>[\u0590-\u10ff]+)"
    r"|(?P<emoji>[\u200d\u2600-\u27bf\ufe0f\U0001f000-\U0001ffff]+)"
    r"|(?P<other>[^\x00-\x7f])"
)
_PER_CHARACTER = {
    "signs": PUNCTUATION,
    "accented": ACCENT,
    "han": HAN,
    "kana": KANA,
    "hangul": HANGUL,
    "cyrillic": CYRILLIC,
    "south_asian": SOUTH_ASIAN,
    "emoji": EMOJI,
    "other": OTHER,
}


def tokens_in(text: str) -> int:
    """The approximate number of tokens of ``text``; 0 only if it is empty."""
    return -(-round(sum(map(_weight, _PARTS.finditer(text))) * 100) // 100) or min(1, len(text))


def estimated_tokens(text: str) -> int:
    """``tokens_in``, measured on the beginning of a long text: a text of any length takes a few milliseconds."""
    if len(text) <= SAMPLE:
        return tokens_in(text)
    return tokens_in(text[:SAMPLE]) * len(text) // SAMPLE


def tokens_in_all(texts: Iterable[str]) -> int:
    """The approximate number of tokens of ``texts``. Takes at most a few milliseconds, however long they are."""
    parts = list(texts)
    size, sample = sum(map(len, parts)), ""
    for text in reversed(parts):  # the newest part is always in the sample
        sample += text[: QUICK_SAMPLE - len(sample)]
        if len(sample) >= QUICK_SAMPLE:
            break
    return -(-tokens_in(sample) * size // len(sample)) if sample else 0


def characters_for(tokens: int, like: str = "") -> int:
    """The approximate number of characters in ``tokens`` tokens of a text like ``like``, English by default."""
    sample = like[:SAMPLE]
    return tokens * len(sample) // tokens_in(sample) if sample else tokens * ENGLISH


def _weight(part: re.Match[str]) -> float:
    kind, length = part.lastgroup or "", part.end() - part.start()
    if kind == "latin":
        return 1 + max(0, min(length, MAX_WORD) - LATIN_WORD) / LATIN_REST + max(0, length - MAX_WORD) / 8
    if kind == "digits":
        return -(-length // DIGITS)
    if kind in ("lines", "spaces"):
        return 1 + length / MAX_WORD
    return _PER_CHARACTER[kind] * length

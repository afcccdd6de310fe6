"""How many tokens a text has, about: the one place where that is estimated.

Each model has a tokenizer of its own, and none is at hand before the model is asked. The weights below were set by the
vocabularies of GPT-4 (cl100k_base) and GPT-4o (o200k_base): the estimate lies between what the two count, or within a
quarter of both, for English, German, Chinese, Japanese, Korean, source code and JSON. Older vocabularies need up to
twice as many tokens for scripts other than Latin, newer ones fewer. A provider that counts exactly does so itself.
"""

from __future__ import annotations

import re

LATIN_WORD = 6  # letters of a Latin word that are one token; what is longer has one more for each LATIN_REST letters
LATIN_REST = 4.5
MOST_REST = 64  # letters of a word that are counted so; a longer run is the same letter again, or encoded data
DIGITS = 3  # of a number in one token
PUNCTUATION = 0.6  # tokens of an ASCII sign among words
ACCENT = 0.7  # tokens that a Latin letter outside ASCII adds to its word
# Tokens of a character in other scripts.
HAN, KANA, HANGUL, CYRILLIC, SOUTH_ASIAN, OTHER, EMOJI = 1.0, 0.82, 0.96, 0.45, 0.65, 0.6, 2.0

ENGLISH = 4  # characters of a token
SAMPLE = 20_000  # characters of a text by which the others are judged

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
    """The number of tokens of ``text``, about; 0 for an empty text only."""
    return -(-round(sum(map(_weight, _PARTS.finditer(text))) * 100) // 100) or min(1, len(text))


def characters_for(tokens: int, like: str = "") -> int:
    """How many characters of a text like ``like`` have so many ``tokens``, about; without one, of English."""
    sample = like[:SAMPLE]
    return tokens * len(sample) // tokens_in(sample) if sample else tokens * ENGLISH


def _weight(part: re.Match[str]) -> float:
    kind, length = part.lastgroup or "", part.end() - part.start()
    if kind == "latin":
        return 1 + max(0, min(length, MOST_REST) - LATIN_WORD) / LATIN_REST + max(0, length - MOST_REST) / 8
    if kind == "digits":
        return -(-length // DIGITS)
    if kind in ("lines", "spaces"):
        return 1 + length / MOST_REST
    return _PER_CHARACTER[kind] * length

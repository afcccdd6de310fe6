"""Find the name that a mistyped word stands for."""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import SequenceMatcher, get_close_matches

VERY_SIMILAR, SIMILAR = 0.8, 0.6  # from 0 to 1; names that are at least so similar to a word are suggested
SHORTEST_BEGINNING = (3, 4)  # letters of the beginning of a name: typed without and with a mistake
LONGEST_WORD = 100  # characters; a longer word is no mistyped name


def edits(word: str, name: str, most: int) -> int:
    """How many letters of ``word`` are added, removed, replaced or swapped with the next to get ``name``.

    Returns ``most + 1`` as soon as it is more than ``most``.
    """
    if abs(len(word) - len(name)) > most:
        return most + 1
    before: list[int] = []
    row = list(range(len(name) + 1))
    for place, letter in enumerate(word, 1):
        before, last, row = row, before, [place]
        for column, other in enumerate(name, 1):
            count = min(before[column] + 1, row[-1] + 1, before[column - 1] + (letter != other))
            if place > 1 and column > 1 and letter == name[column - 2] and word[place - 2] == other != letter:
                count = min(count, last[column - 2] + 1)
            row.append(count)
        if min(row) > most and (not before or min(before) > most):
            return most + 1
    return min(row[-1], most + 1)


def nearest(word: str, names: Iterable[str]) -> str:
    """The name that is most similar to ``word``; empty if none is similar.

    Similar is also a name that begins with ``word``, as ``gpt-4-turbo`` does for ``gtp4``: up to case, punctuation and
    one letter.
    """
    if len(word) > LONGEST_WORD:
        return ""
    by_lower = {name.lower(): name for name in names}
    matches = get_close_matches(word.lower(), by_lower, n=1, cutoff=SIMILAR)
    similar = matches[0] if matches else ""
    if similar and SequenceMatcher(None, similar, word.lower()).ratio() >= VERY_SIMILAR:
        return by_lower[similar]
    return by_lower.get(that_begins(word, by_lower, 0) or similar or that_begins(word, by_lower, 1), "")


def that_begins(word: str, names: Iterable[str], mistakes: int) -> str:
    """The first of ``names`` that begins with ``word``, with up to so many ``mistakes`` (0 or 1); empty if none does.

    Case and punctuation do not matter. A very short ``word`` begins no name.
    """
    typed = _plain(word)
    if len(typed) < SHORTEST_BEGINNING[mistakes]:
        return ""
    for name in names:
        plain = _plain(name)
        lengths = range(len(typed) - mistakes, len(typed) + mistakes + 1)
        if plain[:1] == typed[:1] and any(edits(typed, plain[:length], mistakes) <= mistakes for length in lengths):
            return name
    return ""


def _plain(name: str) -> str:
    """``name`` in lower case, without punctuation."""
    return re.sub(r"[\W_]+", "", name.lower())

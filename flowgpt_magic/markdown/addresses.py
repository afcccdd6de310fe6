"""Addresses that stand in a text without any mark, and where they end.

Chinese and Japanese put no space between an address and the words around it. So an address ends before their
punctuation, and before a character of theirs that comes right after a letter or a digit of ASCII: such a character is
part of the address only after a mark (``/wiki/数学``).
"""

from __future__ import annotations

LONGEST = 2_000  # characters of an address; a longer one is text

# Hangul, kana and ideographs; their punctuation stands between these ranges.
_LETTERS = "\u1100-\u11ff\u2e80-\u2fff\u3005-\u3007\u3021-\u3029\u3041-\u3096\u309d-\u309f\u30a1-\u30fa\u30fc-\u31ff"
_LETTERS += "\u3400-\u4dbf\u4e00-\u9fff\ua960-\ua97f\uac00-\ud7ff\uf900-\ufaff\U00020000-\U0003ffff"
_NEVER = r"\s<>\"'`|\\^{}\[\]" + "\x00-\x1f\x7f-\x9f\xab\xbb\u2010-\u2027\u2030-\u205e\u2e80-\u31ff\uff00-\uffef"
BODY = rf"(?:[^{_NEVER}{_LETTERS}]|(?<![A-Za-z0-9])[{_LETTERS}])"

_END = "!,.:;?*_~$"


def trimmed(address: str) -> str:
    """The address without what more likely belongs to the sentence: punctuation, and a parenthesis it does not open."""
    address = address.rstrip(_END)
    surplus = address.count(")") - address.count("(")
    while surplus > 0 and address.endswith(")"):
        address = address[:-1].rstrip(_END)
        surplus -= 1
    return address

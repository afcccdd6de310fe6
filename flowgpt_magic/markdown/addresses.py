"""Addresses: which ones may be links and images, and where one ends that stands in a text without any mark.

Chinese and Japanese put no space between an address and the words around it. So an address ends before their
punctuation, and before one of their characters right after an ASCII letter or digit. After another mark such a
character is part of the address (``/wiki/数学``).
"""

from __future__ import annotations

import re

LONGEST_ADDRESS = 2_000  # characters of an address; a longer one is text

# A browser takes a backslash for a slash, and so another host than a reader may see.
LINK = re.compile(r"(?:https?://[^/?#\s\\]|mailto:[^?#\s\\])[^\s\\]*", re.IGNORECASE)
IMAGE = re.compile(r"https?://[^/?#\s\\][^\s\\]*", re.IGNORECASE)
_ANCHOR = re.compile(r"#[\w%.-]*")
_DATA_IMAGE = re.compile(r"data:image/(?:png|jpeg|gif|webp)[;,][A-Za-z0-9+/=;,%-]*", re.IGNORECASE)

# Hangul, kana and ideographs; their punctuation lies between these ranges.
_LETTERS = "\u1100-\u11ff\u2e80-\u2fff\u3005-\u3007\u3021-\u3029\u3041-\u3096\u309d-\u309f\u30a1-\u30fa\u30fc-\u31ff"
_LETTERS += "\u3400-\u4dbf\u4e00-\u9fff\ua960-\ua97f\uac00-\ud7ff\uf900-\ufaff\U00020000-\U0003ffff"
_NEVER = r"\s<>\"'`|\\^{}\[\]" + "\x00-\x1f\x7f-\x9f\xab\xbb\u2010-\u2027\u2030-\u205e\u2e80-\u31ff\uff00-\uffef"
ADDRESS_CHARACTER = rf"(?:[^{_NEVER}{_LETTERS}]|(?<![A-Za-z0-9])[{_LETTERS}])"

_END = "!,.:;?*_~$"


def trimmed(address: str) -> str:
    """The address without punctuation of the sentence at its end, and without a parenthesis it does not open."""
    address = address.rstrip(_END)
    surplus = address.count(")") - address.count("(")
    while surplus > 0 and address.endswith(")"):
        address = address[:-1].rstrip(_END)
        surplus -= 1
    return address


def is_link(address: str, *, anchors: bool = False) -> bool:
    """Whether an address may be a link: one of the web or of mail, or with ``anchors`` a place on the same page."""
    return len(address) <= LONGEST_ADDRESS and bool(LINK.fullmatch(address) or (anchors and _ANCHOR.fullmatch(address)))


def is_image(address: str, *, data: bool = False) -> bool:
    """Whether an address may be that of an image: one of the web, or with ``data`` the image itself."""
    return bool(IMAGE.fullmatch(address) or (data and _DATA_IMAGE.fullmatch(address)))

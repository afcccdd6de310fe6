"""The caret at the end of a reply that still arrives in a cell.

It is one character of the Markdown that ``harmless`` has written. Where it could change what a block is, there is none
until the next repaint. A terminal has its own cursor there.
"""

from __future__ import annotations

import re

CARET = "▌"
# The end of an address, or the number of a list item.
_GROWS = re.compile(r"(?:(?:://|www\.|@)\S*|^(?:[ >]|[-*+] |\d+[.)] )*\d+[.)])\Z")
_FENCE = re.compile(r"[ >]*(`{3,}|~{3,})[^`]*\Z")
_EMPTY_CELLS = re.compile(r"(?<!\\)(?: *\|)+ *\Z")  # at the end of a row
_TABLE_HEAD = re.compile(r"[ >]*\|[-:| ]*\Z")


def with_caret(shown: str) -> str:
    """``shown``, the end of a growing reply as harmless Markdown, with a caret after its last word."""
    before, newline, line = shown.rpartition("\n")
    if _FENCE.match(line):  # the end of a code block, which ``harmless`` has added
        code, _, last = before.rpartition("\n")
        inside = bool(code) and not _FENCE.match(last) and _takes_caret(last, in_code=True)
        return f"{before}{CARET}{newline}{line}" if inside else shown
    if line.lstrip(" >").startswith("|"):
        cells = _EMPTY_CELLS.sub("", line)
        inside = not _TABLE_HEAD.match(line) and _takes_caret(cells)
        return f"{before}{newline}{cells}{CARET}{line[len(cells) :]}" if inside else shown
    return f"{shown}{CARET}" if _takes_caret(line) else shown


def _takes_caret(line: str, *, in_code: bool = False) -> bool:
    """Does the line end in a word or a mark that stays what it is with a caret after it?"""
    return bool(line) and (line[-1].isalnum() or line[-1] in ".,;:!?)") and (in_code or not _GROWS.search(line))

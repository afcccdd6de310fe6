"""Where emphasis may begin and end, also in Chinese, Japanese and Korean text.

CommonMark decides by white space and punctuation around ``**``. Without spaces between words, this fails for
``**「重点」**内容``. So punctuation beside a CJK character does not prevent emphasis here, as proposed for CommonMark
(commonmark-spec issue 650).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from typing import TYPE_CHECKING

from markdown_it.rules_inline.state_inline import Delimiter

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.rules_inline import StateInline

_CJK = re.compile(
    "[\u1100-\u11ff\u2e80-\u303f\u3040-\u4dbf\u4e00-\u9fff\ua960-\ua97f\uac00-\ud7ff\uf900-\ufaff\ufe30-\ufe4f"
    "\uff00-\uffef\U00020000-\U0003ffff]"
)


def _is_pointed(character: str, kinds: str) -> bool:
    return unicodedata.category(character)[0] in kinds or (character.isascii() and not character.isalnum())


def flanking(before: str, after: str, mark: str) -> tuple[bool, bool]:
    """Whether marks between these characters may open emphasis, and whether they may close it.

    An empty string is the beginning or end of the text and counts as a space.
    """
    return _flanking(before or " ", after or " ", mark, _is_cjk(before), _is_cjk(after), "P")


def _flanking(before: str, after: str, mark: str, cjk_before: bool, cjk_after: bool, kinds: str) -> tuple[bool, bool]:
    space_before, space_after = before.isspace(), after.isspace()
    point_before = not space_before and _is_pointed(before, kinds)
    point_after = not space_after and _is_pointed(after, kinds)
    left = not space_after and (not point_after or cjk_after or space_before or point_before or cjk_before)
    right = not space_before and (not point_before or cjk_before or space_after or point_after or cjk_after)
    if mark == "_":
        return left and (not right or point_before), right and (not left or point_after)
    return left, right


def _is_cjk(character: str) -> bool:
    return _CJK.match(character) is not None


def is_seen_by_all(before: str, after: str, mark: str, opens: bool) -> bool:
    """Whether parsers without the CJK rule, of any CommonMark release, accept this mark of an emphasis.

    Since CommonMark 0.31 symbols count as punctuation.
    """
    place = 0 if opens else 1
    return all(_flanking(before or " ", after or " ", mark, False, False, kinds)[place] for kinds in ("P", "PS"))


def _delimit(state: StateInline, mark: str, size: int, opens: bool, closes: bool, length: int) -> None:
    state.push("text", "", 0).content = mark * size
    state.delimiters.append(
        Delimiter(marker=ord(mark), length=length, token=len(state.tokens) - 1, end=-1, open=opens, close=closes)
    )


def _rule(marks: str) -> Callable[[StateInline, bool], bool]:
    run = re.compile("|".join(f"{re.escape(mark)}+" for mark in marks))

    def read(state: StateInline, silent: bool) -> bool:
        match = None if silent or state.src[state.pos] not in marks else run.match(state.src, state.pos, state.posMax)
        if match is None:
            return False
        mark, size = match[0][0], len(match[0])
        before, after = state.pos - 1, match.end()
        opens, closes = flanking(
            state.src[before] if before >= 0 else "", state.src[after] if after < state.posMax else "", mark
        )
        if mark == "~":
            if size == 1:
                return False
            if size % 2:
                state.push("text", "", 0).content = mark
            for _ in range(size // 2):
                _delimit(state, mark, 2, opens, closes, 0)
        else:
            for _ in range(size):
                _delimit(state, mark, 1, opens, closes, size)
        state.pos = match.end()
        return True

    return read


def read_emphasis(parser: MarkdownIt) -> None:
    """Make a parser find emphasis and strikethrough by these rules."""
    parser.inline.ruler.at("emphasis", _rule("*_"))
    parser.inline.ruler.at("strikethrough", _rule("~"))

"""What a model thought before its answer, where the text of a reply holds both.

Reasoning models write their thoughts between tags at the very start of a reply. Some chat templates put the opening tag
into the prompt, so that only the closing one arrives. The tags are those of DeepSeek, Qwen and others (``<think>``),
Claude prompts (``<thinking>``), Gemini (``<thought>``), Seed-OSS (``<seed:think>``), MiniMax (``<mm:think>``),
Magistral (``[THINK]``) and Kimi (``◁think▷``). A reply that mentions such a tag in a sentence or in code holds no
reasoning.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import NamedTuple

_PAIRS = {
    "angle": (r"<(?:think|thinking|thought)[ \t]*>", r"</(?:think|thinking|thought)[ \t]*>"),
    "named": (r"<(?:seed|mm):think>", r"</(?:seed|mm):think>"),
    "square": (r"\[THINK\]", r"\[/THINK\]"),
    "triangle": ("◁think▷", "◁/think▷"),
}
_OPENINGS = ("<think>", "<thinking>", "<thought>", "<seed:think>", "<mm:think>", "[think]", "◁think▷")
_FENCE = r"^ {0,3}(?P<fence>`{3,}|~{3,})(?=(?P<info>[^\n]*)$)"  # a tag may stand behind it
_FLAGS = re.IGNORECASE | re.MULTILINE
_OPENING = re.compile(
    r"[\s\ufeff]*(?:" + "|".join(f"(?P<{name}>{opening})" for name, (opening, _) in _PAIRS.items()) + ")", _FLAGS
)
_CLOSINGS = {name: re.compile(f"(?P<tag>{closing})|{_FENCE}", _FLAGS) for name, (_, closing) in _PAIRS.items()}
_ANY = re.compile(
    f"(?P<opening>{'|'.join(opening for opening, _ in _PAIRS.values())})"
    f"|(?P<tag>{'|'.join(closing for _, closing in _PAIRS.values())})|{_FENCE}",
    _FLAGS,
)
_CLOSING_TAG = re.compile("|".join(closing for _, closing in _PAIRS.values()), _FLAGS)
_GAP = re.compile(r"[^\S\n]*(?:\n(?:[^\S\n]*\n)*)?")  # the rest of the tag's line, and blank lines below it
_QUOTES = {'"': '"', "'": "'", "“": "”", "«": "»", "(": ")"}
_SENTENCE_ENDS = ".!?…:;)]}\"'”*`。！？：；）」"  # noqa: RUF001 - those of Chinese and Japanese among them
NEARBY = 200  # characters of a line that are looked at on either side of a tag
LONGEST_TAG = max(map(len, _OPENINGS)) + 8  # characters, with spaces before the last one


class Spoken(NamedTuple):
    """The text of a reply in two parts, which joined are the whole: ``reasoning`` with its tags, and ``rest``."""

    reasoning: str
    rest: str


def split_reasoning(text: str) -> Spoken:
    """The reasoning at the start of ``text`` with its tags, and what comes after it.

    Reasoning whose closing tag has not come, because the reply was cut or still arrives, reaches to the end. Several
    blocks that follow each other are one. Costs time in proportion to the length.
    """
    end = _end_of_reasoning(text)
    return Spoken(text[:end], text[end:])


def answer_of(text: str) -> str:
    """``text`` without the reasoning at its start and the blank lines behind that; without any, ``text`` as it is."""
    return split_reasoning(text).rest


def may_open(text: str) -> bool:
    """Can ``text``, the beginning of a reply, still become an opening tag?"""
    begun = text.lstrip("\ufeff").strip().lower()
    return any(opening.startswith(begun) for opening in _OPENINGS)


def opens(text: str) -> bool:
    """Does ``text`` begin with an opening tag?"""
    return _OPENING.match(text) is not None


def ends_reasoning(text: str) -> int | None:
    """Where the first closing tag in ``text`` ends; None where there is none. It is for text that still arrives."""
    found = _CLOSING_TAG.search(text)
    return found.end() if found else None


def _end_of_reasoning(text: str) -> int:
    place, fences = 0, True
    while opening := _OPENING.match(text, place):
        closing, fences = _closing(text, opening, fences)
        if closing is None:
            return len(text)
        place = _behind_further(text, closing, _CLOSINGS[opening.lastgroup or ""])
    return place or _end_before_bare_closing(text)


def _behind_further(text: str, place: int, closings: re.Pattern[str]) -> int:
    """The place behind closing tags that follow directly: those of blocks in which another one stood."""
    while (found := closings.match(text, place)) and found["tag"]:
        place = _after(text, found)
    return place


def _closing(text: str, opening: re.Match[str], fences: bool) -> tuple[int | None, bool]:
    """Where the block ends, and whether ``fences`` in the text are to be believed.

    A tag between backticks is code. One in quotes or in a fenced block does not count, unless there is no other: then
    the fence was never closed, or the quotes are not those of the tag.
    """
    first: int | None = None
    for found, fenced in _marks(_CLOSINGS[opening.lastgroup or ""], text, opening.end()):
        if not found["tag"] or _in_code_span(text, found):
            continue
        if not (fenced and fences) and not _is_quoted(text, found):
            return _after(text, found), fences
        if first is None:
            first = _after(text, found)
    return first, False


def _end_before_bare_closing(text: str) -> int:
    """Where the answer begins after a closing tag that nothing opens; 0 where there is none, or a sentence about it.

    A tag in a reply that is JSON stands in one of its texts.
    """
    if _CLOSING_TAG.search(text) is None or _is_json(text):
        return 0
    for found, fenced in _marks(_ANY, text, 0):
        tag = found["opening"] or found["tag"]
        if not tag or fenced or _in_code_span(text, found) or _is_quoted(text, found):
            continue
        return _after(text, found) if found["tag"] and _stands_between(text, found) else 0
    return 0


def _is_json(text: str) -> bool:
    if not text.lstrip().startswith(("{", "[")):
        return False
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _marks(pattern: re.Pattern[str], text: str, place: int) -> Iterator[tuple[re.Match[str], bool]]:
    """The tags and fences from ``place`` on, each with whether it stands in a fenced block of code."""
    fence = ""
    for found in pattern.finditer(text, place):
        mark = found["fence"]
        yield found, bool(fence)
        if not mark:
            continue
        if not fence:
            fence = "" if mark[0] == "`" and "`" in found["info"] else mark
        elif mark.startswith(fence) and not found["info"].strip():
            fence = ""


def _after(text: str, tag: re.Match[str]) -> int:
    gap = _GAP.match(text, tag.end())
    return gap.end() if gap else tag.end()


def _is_quoted(text: str, tag: re.Match[str]) -> bool:
    before, after = text[tag.start() - 1 : tag.start()] if tag.start() else "", text[tag.end() : tag.end() + 1]
    return bool(before and after) and _QUOTES.get(before) == after


def _in_code_span(text: str, tag: re.Match[str]) -> bool:
    before, after = _line_around(text, tag)
    return before.count("`") % 2 == 1 and "`" in after


def _line_around(text: str, tag: re.Match[str]) -> tuple[str, str]:
    """What stands before and behind the tag on its line, as far as it is looked at."""
    before = text[max(0, tag.start() - NEARBY) : tag.start()].rpartition("\n")[2]
    return before, text[tag.end() : tag.end() + NEARBY].partition("\n")[0]


def _stands_between(text: str, tag: re.Match[str]) -> bool:
    """Does the tag stand between two texts, and not in a sentence about it?"""
    before, after = _line_around(text, tag)
    if not before.strip() and not after.strip():
        return True
    if before and after and not before[-1].isspace() and not after[0].isspace():
        return True
    follows = text[tag.end() : tag.end() + NEARBY].lstrip()[:1]
    apart = not before.strip() or not after.strip() or before.rstrip()[-1] in _SENTENCE_ENDS
    return apart and follows != "" and not ("a" <= follows <= "z")

"""Split the text of a reply into the model's reasoning and its answer.

Reasoning models write their reasoning between tags at the start of a reply. Some chat templates put the opening tag
into the prompt, so that only the closing tag arrives. The tags are those of DeepSeek, Qwen and others (``<think>``),
Claude prompts (``<thinking>``), Gemini (``<thought>``), Seed-OSS (``<seed:think>``), MiniMax (``<mm:think>``),
Magistral (``[THINK]``) and Kimi (``◁think▷``). A tag in a sentence or in code does not count.
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
_FENCE = r"^ {0,3}(?P<fence>`{3,}|~{3,})(?=(?P<info>[^\n]*)$)"  # a tag may follow
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
_GAP = re.compile(r"[^\S\n]*(?:\n(?:[^\S\n]*\n)*)?")  # whitespace up to the end of the line, and blank lines below
_QUOTES = {'"': '"', "'": "'", "“": "”", "«": "»", "(": ")"}
_SENTENCE_ENDS = ".!?…:;)]}\"'”*`。！？：；）」"  # noqa: RUF001 - including Chinese and Japanese
NEARBY = 200  # characters that are examined before and after a tag
LONGEST_TAG = max(map(len, _OPENINGS)) + 8  # characters, with spaces before the closing bracket


class SplitText(NamedTuple):
    """The text of a reply in two parts: ``reasoning`` with its tags, and ``rest``."""

    reasoning: str
    rest: str


def split_reasoning(text: str) -> SplitText:
    """The reasoning at the start of ``text`` with its tags, and the rest.

    Without a closing tag, because the reply was cut or is still arriving, all of the text is reasoning. Consecutive
    blocks count as one. Takes linear time.
    """
    end = _end_of_reasoning(text)
    return SplitText(text[:end], text[end:])


def answer_of(text: str) -> str:
    """``text`` without the reasoning at its start and the blank lines after it."""
    return split_reasoning(text).rest


def may_open(text: str) -> bool:
    """Can ``text``, the beginning of a reply, still become an opening tag?"""
    prefix = text.lstrip("\ufeff").strip().lower()
    return any(opening.startswith(prefix) for opening in _OPENINGS)


def opens(text: str) -> bool:
    """Does ``text`` begin with an opening tag?"""
    return _OPENING.match(text) is not None


def ends_reasoning(text: str) -> int | None:
    """The end of the first closing tag in ``text``, or None without one. For text that is still arriving."""
    tag = _CLOSING_TAG.search(text)
    return tag.end() if tag else None


def _end_of_reasoning(text: str) -> int:
    place, fences = 0, True
    while opening := _OPENING.match(text, place):
        closing, fences = _closing(text, opening, fences)
        if closing is None:
            return len(text)
        place = _after_nested(text, closing, _CLOSINGS[opening.lastgroup or ""])
    return place or _end_before_bare_closing(text)


def _after_nested(text: str, place: int, closings: re.Pattern[str]) -> int:
    """The place after further closing tags that follow directly: those of nested blocks."""
    while (closing := closings.match(text, place)) and closing["tag"]:
        place = _after(text, closing)
    return place


def _closing(text: str, opening: re.Match[str], fences: bool) -> tuple[int | None, bool]:
    """The end of the block, and whether code fences in the text still count.

    A tag between backticks is code. A tag in quotes or in a fenced block counts only if there is no other: then the
    fence was never closed, or the quotes do not belong to the tag.
    """
    first: int | None = None
    for match, fenced in _marks(_CLOSINGS[opening.lastgroup or ""], text, opening.end()):
        if not match["tag"] or _in_code_span(text, match):
            continue
        if not (fenced and fences) and not _is_quoted(text, match):
            return _after(text, match), fences
        if first is None:
            first = _after(text, match)
    return first, False


def _end_before_bare_closing(text: str) -> int:
    """The start of the answer after a closing tag without an opening one; 0 without such a tag.

    In a JSON reply, a tag is a part of a string.
    """
    if _CLOSING_TAG.search(text) is None or _is_json(text):
        return 0
    for match, fenced in _marks(_ANY, text, 0):
        tag = match["opening"] or match["tag"]
        if not tag or fenced or _in_code_span(text, match) or _is_quoted(text, match):
            continue
        return _after(text, match) if match["tag"] and _stands_between(text, match) else 0
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
    """The tags and fences from ``place`` on, each with whether it is in a fenced code block."""
    fence = ""
    for match in pattern.finditer(text, place):
        mark = match["fence"]
        yield match, bool(fence)
        if not mark:
            continue
        if not fence:
            fence = "" if mark[0] == "`" and "`" in match["info"] else mark
        elif mark.startswith(fence) and not match["info"].strip():
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
    """The text before and after the tag on its line, up to ``NEARBY`` characters each."""
    before = text[max(0, tag.start() - NEARBY) : tag.start()].rpartition("\n")[2]
    return before, text[tag.end() : tag.end() + NEARBY].partition("\n")[0]


def _stands_between(text: str, tag: re.Match[str]) -> bool:
    """Does the tag separate two texts, rather than being mentioned in a sentence?"""
    before, after = _line_around(text, tag)
    if not before.strip() and not after.strip():
        return True
    if before and after and not before[-1].isspace() and not after[0].isspace():
        return True
    follows = text[tag.end() : tag.end() + NEARBY].lstrip()[:1]
    apart = not before.strip() or not after.strip() or before.rstrip()[-1] in _SENTENCE_ENDS
    return apart and follows != "" and not ("a" <= follows <= "z")

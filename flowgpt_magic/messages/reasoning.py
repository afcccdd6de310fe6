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
_CLOSING_TEXTS = tuple(f"{opening[0]}/{opening[1:]}" for opening in _OPENINGS)
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


def without_tags(text: str) -> SplitText:
    """The same as ``split_reasoning``, with the reasoning without its tags.

    The blank characters at both ends of a block are dropped, and an empty line stands between two blocks.
    """
    spans, end = _spans_of_reasoning(text)
    blocks = (_inside(text[start:stop]) for start, stop in spans)
    return SplitText("\n\n".join(filter(None, blocks)), text[end:])


def _inside(block: str) -> str:
    """The text between two tags, without further opening tags at its start."""
    place = 0
    while opening := _OPENING.match(block, place):
        place = opening.end()
    return block[place:].strip()


def may_open(text: str) -> bool:
    """Can ``text``, the beginning of a reply, still become an opening tag?"""
    prefix = text.lstrip("\ufeff").strip().lower()
    return any(opening.startswith(prefix) for opening in _OPENINGS)


def may_close(text: str) -> bool:
    """Can ``text``, directly after reasoning or another closing tag, still become a closing tag?"""
    prefix = text.strip().lower()
    return any(closing.startswith(prefix) for closing in _CLOSING_TEXTS)


def opens(text: str) -> bool:
    """Does ``text`` begin with an opening tag?"""
    return _OPENING.match(text) is not None


def end_of_opening(text: str) -> int:
    """The end of the opening tag at the start of ``text``, and of the blank characters before it; 0 without one."""
    opening = _OPENING.match(text)
    return opening.end() if opening else 0


def ends_reasoning(text: str) -> int | None:
    """The end of the first closing tag in ``text``, or None without one. For text that is still arriving."""
    tag = _CLOSING_TAG.search(text)
    return tag.end() if tag else None


def _end_of_reasoning(text: str) -> int:
    return _spans_of_reasoning(text)[1]


def _spans_of_reasoning(text: str) -> tuple[list[tuple[int, int]], int]:
    """Where the text between the tags begins and ends, for each block, and where the answer begins."""
    spans: list[tuple[int, int]] = []
    place, fences = 0, True
    while opening := _OPENING.match(text, place):
        closing, fences = _closing(text, opening, fences)
        if closing is None:
            return [*spans, (opening.end(), len(text))], len(text)
        spans.append((opening.end(), closing.start()))
        place = _after_nested(text, _after(text, closing), _CLOSINGS[opening.lastgroup or ""])
    if place:
        return spans, place
    bare = _bare_closing(text)
    return ([], 0) if bare is None else ([(0, bare.start())], _after(text, bare))


def _after_nested(text: str, place: int, closings: re.Pattern[str]) -> int:
    """The place after further closing tags that follow directly: those of nested blocks."""
    while (closing := closings.match(text, place)) and closing["tag"]:
        place = _after(text, closing)
    return place


def _closing(text: str, opening: re.Match[str], fences: bool) -> tuple[re.Match[str] | None, bool]:
    """The tag that ends the block, and whether code fences in the text still count.

    A tag between backticks is code. A tag in quotes or in a fenced block counts only if there is no other: then the
    fence was never closed, or the quotes do not belong to the tag.
    """
    first: re.Match[str] | None = None
    for match, fenced in _marks(_CLOSINGS[opening.lastgroup or ""], text, opening.end()):
        if not match["tag"] or _in_code_span(text, match):
            continue
        if not (fenced and fences) and not _is_quoted(text, match):
            return match, fences
        if first is None:
            first = match
    return first, False


def _bare_closing(text: str) -> re.Match[str] | None:
    """The closing tag without an opening one that ends the reasoning; None without such a tag.

    In a JSON reply, a tag is a part of a string.
    """
    if _CLOSING_TAG.search(text) is None or _is_json(text):
        return None
    for match, fenced in _marks(_ANY, text, 0):
        tag = match["opening"] or match["tag"]
        if not tag or fenced or _in_code_span(text, match) or _is_quoted(text, match):
            continue
        return match if match["tag"] and _stands_between(text, match) else None
    return None


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
        yield match, bool(fence)
        if match["fence"]:
            fence = _fence_after(fence, match)


def _fence_after(fence: str, line: re.Match[str]) -> str:
    """The fence of the code block in which the next line is; empty outside. ``line`` begins with a fence."""
    mark = line["fence"]
    if not fence:
        return "" if mark[0] == "`" and "`" in line["info"] else str(mark)
    return "" if mark.startswith(fence) and not line["info"].strip() else fence


def _after(text: str, tag: re.Match[str]) -> int:
    return _after_gap(text, tag.end())


def _after_gap(text: str, place: int) -> int:
    gap = _GAP.match(text, place)
    return gap.end() if gap else place


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


class TagSearch:
    """Searches text that arrives in pieces for the closing tag that ends the reasoning. Takes linear time.

    Which tags count is the same as in ``split_reasoning``. Without an opening tag, the first tag that is only mentioned
    in a sentence ends the search.

    Args:
        begin: the text up to the end of the opening tag; empty if there is none.

    Attributes:
        is_bare: is there no opening tag?
        size: the characters of the text so far.
        over: will no tag count any more?
        open: the number of characters at the end of the text so far that may belong to the tag.
    """

    def __init__(self, begin: str = "") -> None:
        opening = _OPENING.match(begin)
        self.is_bare = opening is None
        self._pattern = _ANY if opening is None else _CLOSINGS[opening.lastgroup or ""]
        self.size = len(begin)
        self._window = begin
        self._offset, self._place = 0, len(begin)  # of the window in the text; of what was searched in the window
        self._unread: list[str] = []
        self._fence = ""
        self._waits_for_line = False  # for the end of a line that may open or close a code block
        self.over = False
        self.open = 0

    def add(self, text: str) -> tuple[int, int] | None:
        """Where the tag begins and ends in all of the text, once nothing that follows can change that it counts."""
        self._unread.append(text)
        self.size += len(text)
        self.open += len(text)
        if self._waits_for_line and "\n" not in text:
            return None
        self._window = "".join([self._window, *self._unread])
        self._unread.clear()
        tag, place = self._search()
        size = len(self._window)
        self.open = _partial_tag(self._window) if place is None else size - place
        self._place = max(self._place, size - LONGEST_TAG) if place is None else place
        found = None if tag is None else (self._offset + tag.start(), self._offset + tag.end())
        cut = max(0, self._place - NEARBY - 1)
        self._window, self._offset, self._place = self._window[cut:], self._offset + cut, self._place - cut
        return found

    def after_tag(self, text: str) -> tuple[int, int]:
        """The end of further closing tags at the start of the ``text`` after the tag, and of the blank lines below."""
        tags, place = 0, _after_gap(text, 0)
        while not self.is_bare and (closing := self._pattern.match(text, place)) and closing["tag"]:
            tags, place = closing.end(), _after(text, closing)
        return tags, place

    def _search(self) -> tuple[re.Match[str] | None, int | None]:
        """The tag that counts, and the place of a mark whose meaning depends on what follows."""
        self._waits_for_line = False
        for match in self._pattern.finditer(self._window, self._place):
            if match["fence"]:
                if self._window.find("\n", match.end()) < 0:
                    self._waits_for_line = True
                    return None, match.start()
                self._fence = _fence_after(self._fence, match)
            elif not self._is_certain(match):
                return None, match.start()
            elif not (self._fence or _in_code_span(self._window, match) or _is_quoted(self._window, match)):
                if not self.is_bare or (match["tag"] and _stands_between(self._window, match)):
                    return match, None
                self.over = True
                return None, None
            self._place = match.end()
        return None, None

    def _is_certain(self, tag: re.Match[str]) -> bool:
        """Does what follows no longer matter? It says whether the tag is in a code span, in quotes or in a sentence."""
        text = self._window
        after = text[tag.end() : tag.end() + NEARBY]
        if len(after) == NEARBY or self._fence:
            return True
        before = _line_around(text, tag)[0]
        if before.count("`") % 2 == 1 and "\n" not in after and "`" not in after:
            return False
        return bool(after.strip()) if self.is_bare else bool(after) or before[-1:] not in _QUOTES


def _partial_tag(text: str) -> int:
    """The number of characters at the end of ``text`` with which a closing tag may begin."""
    for place in (text.rfind(tag[0], max(0, len(text) - LONGEST_TAG)) for tag in ("<", "[", "◁")):
        if place >= 0 and may_close(text[place:]):
            return len(text) - place
    return 0

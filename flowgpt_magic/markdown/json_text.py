"""The JSON in the text of a reply: all of it, a block that stands alone, or something in a sentence.

A block stands alone where it fills a block of code, or lines of its own. Of several the last one is the likeliest to be
meant: what comes before it are drafts and examples. A list of nothing but whole numbers outside code may be a footnote,
such as ``[1]``, and is the last resort.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, NamedTuple

from flowgpt_magic.messages.reasoning import answer_of

MOST_STARTS = 50  # places in a sentence at which a value is looked for and not found
MOST_JSON_LINES = 1_000  # lines that begin like a value and hold none
JSON_LANGUAGES = ("", "json", "jsonc", "json5", "jsonl", "javascript", "js")  # words after the fence of a block of JSON
CERTAIN, IN_OTHER_CODE, IN_A_SENTENCE, FOOTNOTE = range(4)

_START = r"(?:\{\s{0,1000}[\"}]|\[\s{0,1000}(?:[\[\]{\"0-9]|-[0-9I]|true|false|null|NaN|Infinity))"
_LINE_START = re.compile(rf"^[ \t\ufeff]*(?={_START})", re.MULTILINE)
_ANY_START = re.compile(f"(?={_START})")
_decode = json.JSONDecoder().raw_decode


class Found(NamedTuple):
    """A JSON value in a text. ``rank`` says how it stands there, the surest first; ``place`` is its line."""

    rank: int
    place: int
    value: Any


def values_in(text: str) -> Iterator[Any]:
    """The JSON in the reply ``text``, the likeliest to be meant first; reasoning at its start is left out."""
    answer = answer_of(text)
    with suppress(ValueError, RecursionError):
        yield json.loads(answer.strip().removeprefix("\ufeff"))
    for found in _found(answer):
        yield found.value


def container_in(text: str) -> Any:
    """The object or list that stands in the reply ``text``; None where there is none but perhaps a footnote."""
    for found in _found(answer_of(text)):
        if isinstance(found.value, (dict, list)) and not (found.rank == FOOTNOTE and found.place < 0):
            return found.value
    return None


def block_in(text: str) -> Found | None:
    """The last value in the reply ``text`` that stands alone: in a block of code it may be of any kind."""
    standing = [found for found in _standing(_lines_ended(answer_of(text))) if found.rank < IN_A_SENTENCE]
    return _in_order(standing)[0] if standing else None


def _found(answer: str) -> Iterator[Found]:
    answer = _lines_ended(answer)
    standing = _standing(answer)
    yield from _in_order([found for found in standing if found.rank < IN_A_SENTENCE])
    yield from _in_order([*(found for found in standing if found.rank == FOOTNOTE), *_in_sentences(answer)])


def _in_order(found: list[Found]) -> list[Found]:
    return sorted(found, key=lambda each: (each.rank, -each.place))


def _lines_ended(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _standing(answer: str) -> list[Found]:
    """The values that fill a block of code, or lines of their own."""
    from flowgpt_magic.markdown.harmless import code_tokens  # its parser takes a while to load

    found: list[Found] = []
    code: set[int] = set()  # lines in blocks of code
    whole: set[int] = set()  # those of a block that is one value
    for token in code_tokens(answer, cleaned=False):
        first, end = token.map or (0, 0)
        code.update(range(first, end))
        try:
            value = json.loads(token.content)
        except (ValueError, RecursionError):
            continue
        whole.update(range(first, end))
        language = (token.info.split() or [""])[0].lower()
        found.append(Found(CERTAIN if language in JSON_LANGUAGES else IN_OTHER_CODE, first, value))
    for line, value in _own_lines(answer):
        if line not in whole:
            rank = IN_OTHER_CODE if line in code else FOOTNOTE if _may_be_footnote(value) else CERTAIN
            found.append(Found(rank, line, value))
    return found


def _own_lines(answer: str) -> Iterator[tuple[int, Any]]:
    """The values that begin a line and end one, with the number of the first.

    Where one cannot be read, what is indented below it is a part of it, and no value of its own.
    """
    line = counted = end = failures = cost = 0
    hidden: int | None = None  # the indentation of a value that cannot be read
    for start in _LINE_START.finditer(answer):
        if start.start() < end:
            continue
        indentation = len(start[0])
        if hidden is not None and indentation > hidden:
            continue
        hidden = None
        try:
            value, end = _decode(answer, start.end())
        except (ValueError, RecursionError) as error:
            failures += 1
            cost += error.pos - start.end() if isinstance(error, json.JSONDecodeError) else MOST_JSON_LINES
            if failures == MOST_JSON_LINES or cost > 4 * len(answer):
                return
            hidden = indentation
            continue
        if not answer[end : _line_end(answer, end)].strip():
            line, counted = line + answer.count("\n", counted, start.end()), start.end()
            yield line, value


def _line_end(text: str, place: int) -> int:
    end = text.find("\n", place)
    return len(text) if end < 0 else end


def _in_sentences(answer: str) -> Iterator[Found]:
    """The values that stand anywhere, outermost ones only. Their places are negative, the later the nearer to 0."""
    end = failures = 0
    for start in _ANY_START.finditer(answer):
        if start.start() < end:
            continue
        try:
            value, end = _decode(answer, start.start())
        except (ValueError, RecursionError):
            failures += 1
            if failures == MOST_STARTS:
                return
            continue
        yield Found(FOOTNOTE if _may_be_footnote(value) else IN_A_SENTENCE, start.start() - len(answer) - 1, value)


def _may_be_footnote(value: Any) -> bool:
    """Is this a list of whole numbers, or of nothing?"""
    return isinstance(value, list) and all(type(each) is int for each in value)

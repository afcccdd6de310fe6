"""Find JSON in the text of a reply: the whole text, a value that stands alone, or one in a sentence.

A value stands alone if it fills a code block or lines of its own. The last of several is most likely the answer; those
before it are drafts and examples. A list of integers outside code may be a footnote such as ``[1]`` and comes last.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, NamedTuple

from flowgpt_magic.messages.reasoning import answer_of

MOST_STARTS = 50  # failed attempts to find a value in sentences
MOST_JSON_LINES = 1_000  # lines that begin like a value and contain none
JSON_LANGUAGES = ("", "json", "jsonc", "json5", "jsonl", "javascript", "js")  # words after the fence of a block of JSON
CERTAIN, IN_OTHER_CODE, IN_A_SENTENCE, FOOTNOTE = range(4)

_START = r"(?:\{\s{0,1000}[\"}]|\[\s{0,1000}(?:[\[\]{\"0-9]|-[0-9I]|true|false|null|NaN|Infinity))"
_LINE_START = re.compile(rf"^[ \t\ufeff]*(?={_START})", re.MULTILINE)
_ANY_START = re.compile(f"(?={_START})")
_decode = json.JSONDecoder().raw_decode


class JsonValue(NamedTuple):
    """A JSON value in a text. ``rank`` says where it stands, the most certain first; ``place`` is its line."""

    rank: int
    place: int
    value: Any


def values_in(text: str) -> Iterator[Any]:
    """The JSON values in the reply ``text``, the most likely one first; reasoning at the start is ignored."""
    answer = answer_of(text)
    with suppress(ValueError, RecursionError):
        yield json.loads(answer.strip().removeprefix("\ufeff"))
    for candidate in _values(answer):
        yield candidate.value


def container_in(text: str) -> Any:
    """The object or list in the reply ``text``; None if there is none, or only a footnote."""
    for candidate in _values(answer_of(text)):
        if isinstance(candidate.value, (dict, list)) and not (candidate.rank == FOOTNOTE and candidate.place < 0):
            return candidate.value
    return None


def block_in(text: str) -> JsonValue | None:
    """The last value in the reply ``text`` that stands alone; in a code block it may be of any type."""
    standing = [value for value in _standing(_lines_ended(answer_of(text))) if value.rank < IN_A_SENTENCE]
    return _in_order(standing)[0] if standing else None


def _values(answer: str) -> Iterator[JsonValue]:
    answer = _lines_ended(answer)
    standing = _standing(answer)
    yield from _in_order([value for value in standing if value.rank < IN_A_SENTENCE])
    yield from _in_order([*(value for value in standing if value.rank == FOOTNOTE), *_in_sentences(answer)])


def _in_order(values: list[JsonValue]) -> list[JsonValue]:
    return sorted(values, key=lambda value: (value.rank, -value.place))


def _lines_ended(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _standing(answer: str) -> list[JsonValue]:
    """The values that fill a code block or lines of their own."""
    from flowgpt_magic.markdown.harmless import code_tokens  # its parser takes a while to load

    values: list[JsonValue] = []
    code: set[int] = set()  # lines in code blocks
    whole: set[int] = set()  # lines of code blocks that are one value
    for token in code_tokens(answer, cleaned=False):
        first, end = token.map or (0, 0)
        code.update(range(first, end))
        try:
            value = json.loads(token.content)
        except (ValueError, RecursionError):
            continue
        whole.update(range(first, end))
        language = (token.info.split() or [""])[0].lower()
        values.append(JsonValue(CERTAIN if language in JSON_LANGUAGES else IN_OTHER_CODE, first, value))
    for line, value in _own_lines(answer):
        if line not in whole:
            rank = IN_OTHER_CODE if line in code else FOOTNOTE if _may_be_footnote(value) else CERTAIN
            values.append(JsonValue(rank, line, value))
    return values


def _own_lines(answer: str) -> Iterator[tuple[int, Any]]:
    """The values that begin and end at line boundaries, with their first line.

    If a value cannot be parsed, the lines indented below it count as part of it.
    """
    line = counted = end = failures = cost = 0
    hidden: int | None = None  # the indentation of a value that cannot be parsed
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


def _in_sentences(answer: str) -> Iterator[JsonValue]:
    """The outermost values anywhere in the text. Their places are negative, the later ones nearer to 0."""
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
        yield JsonValue(FOOTNOTE if _may_be_footnote(value) else IN_A_SENTENCE, start.start() - len(answer) - 1, value)


def _may_be_footnote(value: Any) -> bool:
    """Whether this is a list of integers or an empty list."""
    return isinstance(value, list) and all(type(item) is int for item in value)

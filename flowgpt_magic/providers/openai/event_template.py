"""A fast way to read an event that differs from the one before it only in its text and its numbering.

An event of the Responses API has some 200 bytes around a word of text. The same in every event of one text, except for
``sequence_number``, and for ``obfuscation``, with which OpenAI hides the length of the word.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from flowgpt_magic.providers.http import client as http
from flowgpt_magic.providers.openai.chunk_template import MAX_MISMATCHES, PROBE

TEXT = "delta"
STRING = rb'"([^"\\\x00-\x1f]*(?:\\.[^"\\\x00-\x1f]*)*)"'
# The values that differ, by their fields: how to find one, how to match any, and another value to probe with.
FIELDS: Mapping[str, tuple[bytes, Any]] = {
    TEXT: (STRING, PROBE),
    "sequence_number": (rb"(?:0|[1-9][0-9]{0,17})(?=[,}])", -1),
    "obfuscation": (rb'"[ !#-\[\]-~]*"', PROBE),
}


class EventTemplate:
    """The bytes of an event around the values that differ.

    Replacing one JSON value by another changes nothing else in the parsed object. Which values are those of the fields
    is not guessed: ``learn`` parses the event again with others in their place.
    """

    def __init__(self) -> None:
        self._tries_left = MAX_MISMATCHES
        self._pattern: re.Pattern[bytes] | None = None

    def learn(self, data: bytes, message: Mapping[str, Any]) -> None:
        """Take ``data`` as the template; it was parsed as ``message``, in which only the text matters."""
        if self._tries_left <= 0:
            return
        self._tries_left -= 1
        self._pattern = None
        places = _places(data, message)
        try:
            probe = json.loads(_filled(data, places, {name: json.dumps(FIELDS[name][1]).encode() for name in places}))
        except (ValueError, RecursionError):
            return
        if TEXT in places and probe == {**message, **{name: FIELDS[name][1] for name in places}}:
            self._pattern = _pattern(data, places)

    def text_of(self, data: bytes) -> str:
        """The text of an event that matches the template; empty for any other."""
        if self._pattern is None or (match := self._pattern.fullmatch(data)) is None:
            return ""
        literal = match[1]
        try:
            text = str(literal, "utf-8")
            if b"\\" in literal:
                text, _end = http.read_json(f'"{text}"')
        except ValueError:
            return ""
        self._tries_left = MAX_MISMATCHES
        return text


def _places(data: bytes, message: Mapping[str, Any]) -> dict[str, tuple[int, int]]:
    """Where the first value of each field begins and ends, in the order of the event."""
    places = {}
    for name, (value, _probe) in FIELDS.items():
        if name in message and (match := re.search(rb'"%s": ?(?P<value>%s)' % (name.encode(), value), data)):
            places[name] = match.span("value")
    return dict(sorted(places.items(), key=lambda place: place[1]))


def _filled(data: bytes, places: Mapping[str, tuple[int, int]], values: Mapping[str, bytes]) -> bytes:
    """``data`` with other ``values`` at the ``places``."""
    pieces, position = [], 0
    for name, (start, end) in places.items():
        pieces += [data[position:start], values[name]]
        position = end
    return b"".join([*pieces, data[position:]])


def _pattern(data: bytes, places: Mapping[str, tuple[int, int]]) -> re.Pattern[bytes]:
    """Matches ``data`` with any values at the ``places``; its only group is the text without its quotes."""
    pieces, position = [], 0
    for name, (start, end) in places.items():
        pieces += [re.escape(data[position:start]), FIELDS[name][0]]
        position = end
    return re.compile(b"".join([*pieces, re.escape(data[position:])]))

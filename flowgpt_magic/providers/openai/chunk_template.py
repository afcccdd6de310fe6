"""A fast way to read a chunk that differs from the one before it only in its text, as nearly all chunks do.

A chunk of the OpenAI protocol has some 300 bytes around a word of text, the same in every chunk.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from flowgpt_magic.providers.http import client as http

PROBE = "\N{OBJECT REPLACEMENT CHARACTER}"
MAX_MISMATCHES = 3  # chunks that do not match in a row; after that, learning would cost more than it saves


def _delta_of_choice(chunk: Any) -> Any:
    return chunk["choices"][0]["delta"]


class ChunkTemplate:
    """The bytes before and after the text of a chunk.

    Replacing one JSON string by another changes nothing else in the parsed object. Which string is the text is not
    guessed: ``learn`` parses the chunk again with another text in its place.

    Args:
        name: the field with the text.
        holder: returns the object of a chunk that has this field.
    """

    def __init__(self, name: str = "content", holder: Callable[[Any], Any] = _delta_of_choice) -> None:
        self.name, self._holder = name, holder
        self._field = re.compile(rb'"%s": ?("(?:[^"\\]|\\.)*")' % name.encode())
        self._tries_left = MAX_MISMATCHES
        self._prefix = self._suffix = b""

    def learn(self, data: bytes, chunk: Mapping[str, Any]) -> None:
        """Take ``data`` as the template; it was parsed as ``chunk``, in which only the text matters."""
        if self._tries_left <= 0:
            return
        self._tries_left -= 1
        self._prefix = self._suffix = b""
        if (match := self._field.search(data)) is None:
            return
        prefix, suffix = data[: match.start(1)], data[match.end(1) :]
        try:
            probe = json.loads(prefix + json.dumps(PROBE).encode() + suffix)
            holder = self._holder(probe)
            is_text = holder[self.name] == PROBE
            holder[self.name] = self._holder(chunk)[self.name]
        except (ValueError, RecursionError, LookupError, TypeError):
            return
        if is_text and probe == chunk:
            self._prefix, self._suffix = prefix, suffix

    def text_of(self, data: bytes) -> str:
        """The text of a chunk that matches the template; empty for any other."""
        prefix, suffix = self._prefix, self._suffix
        if not prefix or not data.startswith(prefix) or not data.endswith(suffix):
            return ""
        try:
            literal = str(data[len(prefix) : len(data) - len(suffix)], "utf-8")
            text, end = http.read_json(literal)
        except (ValueError, RecursionError):
            return ""
        if end != len(literal) or type(text) is not str:
            return ""
        self._tries_left = MAX_MISMATCHES
        return text

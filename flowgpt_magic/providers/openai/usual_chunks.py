"""Read only the text of a chunk that differs from the one before it in nothing else, as nearly all chunks do.

A chunk of the OpenAI protocol has some 300 bytes around a word of text, and they are the same from chunk to chunk.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from flowgpt_magic.providers.http import client as http

CONTENT = re.compile(rb'"content": ?("(?:[^"\\]|\\.)*")')
PROBE = "\N{OBJECT REPLACEMENT CHARACTER}"
TRIES = 3  # chunks that may differ in more before this is given up: it would cost more than it saves


class UsualChunk:
    """A chunk that was read whole, as what its bytes have before and behind the text.

    An object in which one string is replaced by another is read the same but for this string. Which one is the text is
    not guessed: the chunk is read once more with another text in its place.
    """

    def __init__(self) -> None:
        self._tries = TRIES
        self._before = self._behind = b""

    def learn(self, data: bytes, chunk: Mapping[str, Any]) -> None:
        """``data`` was read as ``chunk``, which has nothing but text that counts."""
        if self._tries <= 0:
            return
        self._tries -= 1
        self._before = self._behind = b""
        if (match := CONTENT.search(data)) is None:
            return
        before, behind = data[: match.start(1)], data[match.end(1) :]
        try:
            probe = json.loads(before + json.dumps(PROBE).encode() + behind)
            delta = probe["choices"][0]["delta"]
            is_text = delta["content"] == PROBE
            delta["content"] = chunk["choices"][0]["delta"]["content"]
        except (ValueError, RecursionError, LookupError, TypeError):
            return
        if is_text and probe == chunk:
            self._before, self._behind = before, behind

    def text_of(self, data: bytes) -> str:
        """The text of a chunk that differs in nothing else; empty for any other."""
        before, behind = self._before, self._behind
        if not before or not data.startswith(before) or not data.endswith(behind):
            return ""
        try:
            literal = str(data[len(before) : len(data) - len(behind)], "utf-8")
            text, end = http.read_json(literal)
        except (ValueError, RecursionError):
            return ""
        if end != len(literal) or type(text) is not str:
            return ""
        self._tries = TRIES
        return text

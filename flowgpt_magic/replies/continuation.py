"""A reply that is gone on with: its first part, and what comes after it, as one text that only grows.

A reasoning model thinks again before it goes on. What it thinks then is put behind what it thought the first time, and
before the first part of its answer. The first part waits until the first words of the second say whether that is so.
"""

from __future__ import annotations

from collections.abc import Iterator

from flowgpt_magic.messages.reasoning import LONGEST_TAG, ends_reasoning, may_open, opens, split_reasoning


class Continuation:
    """Joins the chunks that go on with ``begin`` to it. What its methods return, joined, is the text."""

    def __init__(self, begin: str) -> None:
        self._reasoning, self._answer = split_reasoning(begin)
        self._waiting = ""  # text that cannot be told yet
        self._thinks: bool | None = None  # None until that is known
        self._at_the_tag = False

    def begin(self) -> str:
        """What stands at the start in any case: all of the first part, where the model did not think before it."""
        if self._reasoning and self._answer:
            return self._reasoning
        self._thinks = False
        return self._reasoning + self._answer

    def add(self, chunk: str) -> Iterator[str]:
        """What is certain now that ``chunk`` has come."""
        self._waiting += chunk
        if self._thinks is None and opens(self._waiting):
            self._thinks = True
        elif self._thinks is None and not may_open(self._waiting):
            self._thinks = False
            yield self._answer
        if self._thinks:
            yield from self._think()
        elif self._thinks is False:
            yield from self._take()

    def finish(self) -> Iterator[str]:
        """What waited for more that has not come."""
        if self._thinks:
            yield f"{self._waiting}\n</think>\n\n{self._answer}"
        elif self._thinks is None:
            yield self._answer + self._waiting
        self._waiting = ""

    def _think(self) -> Iterator[str]:
        """The reasoning as far as it has come; behind its closing tag the first part of the answer, and the rest."""
        end = ends_reasoning(self._waiting)
        if end is None:
            yield from self._take(len(self._waiting) - LONGEST_TAG)
            return
        self._thinks = False
        yield self._waiting[:end] + "\n\n" + self._answer
        self._waiting = self._waiting[end:]
        self._at_the_tag = True
        yield from self._take()

    def _take(self, size: int | None = None) -> Iterator[str]:
        if self._at_the_tag:  # the line breaks behind it belong to it, in however many chunks they come
            self._waiting = self._waiting.lstrip("\r\n")
            self._at_the_tag = not self._waiting
        taken = self._waiting[: size if size is None else max(0, size)]
        self._waiting = self._waiting[len(taken) :]
        if taken:
            yield taken

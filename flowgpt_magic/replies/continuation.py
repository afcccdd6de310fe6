"""Join a reply and its continuation into one growing text.

A reasoning model thinks again before it continues. Where reasoning is not told apart from the text, the new reasoning
is inserted after the first reasoning, before the first part of the answer. So the first part of the answer is held back
until the first words of the continuation show whether they are reasoning.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from flowgpt_magic.messages import NewSplit, Reasoning, Turn, is_text
from flowgpt_magic.messages.extras import Extras
from flowgpt_magic.messages.reasoning import (
    LONGEST_TAG,
    ends_reasoning,
    may_open,
    opens,
    split_reasoning,
    without_tags,
)
from flowgpt_magic.providers.inner_generator import InnerGenerator
from flowgpt_magic.replies.received import CheckedChunks


async def continued(turn: Turn, chunks: CheckedChunks, *, think_tags: bool) -> CheckedChunks:
    """The reply of ``turn`` and the ``chunks`` that continue it, with the reasoning of both.

    ``think_tags``: is reasoning told apart by its tags? If not, the reasoning of both texts stands at their start.
    """
    reasoning, text = without_tags(turn.text) if think_tags else ("", "")
    reasoning = _joined(turn.extras.reasoning, reasoning)
    continuation, thinks_again = Continuation("" if think_tags else turn.text), False
    if reasoning:
        yield Reasoning(reasoning)
    yield text + continuation.begin()
    async with InnerGenerator(chunks) as inner:
        async for chunk in inner:
            if is_text(chunk):
                for piece in continuation.add(chunk):
                    yield piece
            elif isinstance(chunk, Reasoning):
                yield chunk if thinks_again or not reasoning else Reasoning(f"\n\n{chunk}")
                thinks_again = True
            elif isinstance(chunk, NewSplit):
                yield NewSplit(_joined(reasoning, chunk.reasoning), text + chunk.text)
                thinks_again = bool(chunk.reasoning)
            elif isinstance(chunk, Extras) and chunk.reasoning and reasoning and not thinks_again:
                yield Reasoning(f"\n\n{chunk.reasoning}")
                yield replace(chunk, reasoning="")
            else:
                yield chunk
    for piece in continuation.finish():
        yield piece


def _joined(*parts: str) -> str:
    """The parts of the reasoning that are not empty, with an empty line between them."""
    return "\n\n".join(filter(None, parts))


class Continuation:
    """Joins chunks to the text ``begin`` that they continue.

    The strings returned by ``begin``, ``add`` and ``finish``, concatenated, are the whole text.
    """

    def __init__(self, begin: str) -> None:
        self._reasoning, self._answer = split_reasoning(begin)
        self._pending = ""  # text received and not yet returned
        self._reasons: bool | None = None  # is the continuation reasoning now? None: not known yet
        self._after_tag = False

    def begin(self) -> str:
        """The start of the text: only the reasoning if there is one, else all of the first part."""
        if self._reasoning and self._answer:
            return self._reasoning
        self._reasons = False
        return self._reasoning + self._answer

    def add(self, chunk: str) -> Iterator[str]:
        """The text that can be returned after ``chunk`` has arrived."""
        self._pending += chunk
        if self._reasons is None and opens(self._pending):
            self._reasons = True
        elif self._reasons is None and not may_open(self._pending):
            self._reasons = False
            yield self._answer
        if self._reasons:
            yield from self._take_reasoning()
        elif self._reasons is False:
            yield from self._take()

    def finish(self) -> Iterator[str]:
        """The rest of the text. Closes reasoning that was cut off."""
        if self._reasons:
            yield f"{self._pending}\n</think>\n\n{self._answer}"
        elif self._reasons is None:
            yield self._answer + self._pending
        self._pending = ""

    def _take_reasoning(self) -> Iterator[str]:
        """The reasoning so far; at its closing tag also the first part of the answer and the rest."""
        end = ends_reasoning(self._pending)
        if end is None:
            yield from self._take(len(self._pending) - LONGEST_TAG)
            return
        self._reasons = False
        yield self._pending[:end] + "\n\n" + self._answer
        self._pending = self._pending[end:]
        self._after_tag = True
        yield from self._take()

    def _take(self, size: int | None = None) -> Iterator[str]:
        if self._after_tag:  # line breaks after the tag are dropped, in however many chunks they arrive
            self._pending = self._pending.lstrip("\r\n")
            self._after_tag = not self._pending
        text = self._pending[: size if size is None else max(0, size)]
        self._pending = self._pending[len(text) :]
        if text:
            yield text

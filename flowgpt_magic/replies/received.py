"""What has arrived of a reply: of one to a single prompt, and of one to a row of a batch."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Protocol

from flowgpt_magic.errors import FlowGptError
from flowgpt_magic.messages import Message, Usage
from flowgpt_magic.messages.extras import Extras


class RecordedReply(Protocol):
    """What is recorded, logged and traced of a reply."""

    @property
    def turn_id(self) -> str:
        """The id of its turn."""

    @property
    def messages(self) -> Sequence[Message]:
        """What was sent."""

    @property
    def text_so_far(self) -> str:
        """The text that has arrived."""

    @property
    def usage(self) -> Usage:
        """Token counts and times."""

    @property
    def extras(self) -> Extras:
        """What the provider sent beside the text."""

    @property
    def notices(self) -> Sequence[str]:
        """What the person is told about it."""

    @property
    def error(self) -> BaseException | None:
        """What it failed with."""

    @property
    def left_out(self) -> int:
        """How many messages were not sent."""

    @property
    def replayed(self) -> bool:
        """Is it from the history?"""


class ReceivedContent:
    """The chunks of a reply, and what the provider sent beside them.

    ``begun`` is when the request was made, in monotonic time, from which ``usage`` counts.
    """

    __slots__ = ("_final", "_first", "_told", "begun", "chunks", "extras")

    def __init__(self) -> None:
        self.begun = 0.0
        self.clear()

    def clear(self) -> None:
        """Begin again with nothing."""
        self.chunks: list[str] = []
        self.extras = Extras()
        self._told = Usage()  # by the provider
        self._first: float | None = None  # seconds until the first chunk
        self._final: Usage | None = None

    @property
    def text(self) -> str:
        """All chunks together."""
        return "".join(self.chunks)

    @property
    def usage(self) -> Usage:
        """What the provider told, with the times measured here; the seconds of the whole reply after ``finish``."""
        return self._final or replace(self._told, first_chunk_seconds=self._first, chunks=len(self.chunks))

    def finish(self) -> None:
        """It has ended now."""
        self._final = replace(self.usage, seconds=time.monotonic() - self.begun)

    def restore(self, text: str, usage: Usage, extras: Extras) -> None:
        """Be the same as an earlier reply."""
        self.chunks, self._final, self.extras = [text], usage, extras

    def add(self, chunk: object, provider: str, tell: Callable[[str], object]) -> bool:
        """Add what ``provider`` has sent; is it text? ``tell`` gets the notices that came with it.

        Raises ``FlowGptError`` for what is no chunk.
        """
        if isinstance(chunk, str):
            if not chunk:
                return False
            if self._first is None:
                self._first = time.monotonic() - self.begun
            self.chunks.append(chunk)
            return True
        if isinstance(chunk, Usage):
            self._told = chunk
        elif isinstance(chunk, Extras):
            self.extras = chunk
            for text in chunk.notices:
                tell(text)
        else:
            raise FlowGptError(f"{provider} sent {type(chunk).__name__} where text was due")
        return False

"""The part of a reply received so far, and the interface by which replies are recorded, logged and traced."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import replace
from typing import Protocol

from flowgpt_magic.errors import FlowGptError
from flowgpt_magic.messages import Message, NewAttempt, NewSplit, Reasoning, Sent, Usage, Waiting
from flowgpt_magic.messages.extras import Extras

Chunks = AsyncGenerator[str | Usage | Extras, None]  # of one attempt
SplitChunks = AsyncGenerator[str | Usage | Extras | NewSplit, None]  # with the reasoning told apart
RetriedChunks = AsyncGenerator[str | Usage | Extras | NewSplit | Waiting, None]  # after failures before the first chunk
# and after replies that do not fit
CheckedChunks = AsyncGenerator[str | Usage | Extras | NewSplit | NewAttempt | Waiting, None]


class RecordedReply(Protocol):
    """What is recorded, logged and traced of a reply: one to a single prompt, or to one item of a batch."""

    @property
    def turn_id(self) -> str:
        """The id of its turn."""

    @property
    def messages(self) -> Sequence[Message]:
        """The messages sent."""

    @property
    def text_so_far(self) -> str:
        """The text received so far."""

    @property
    def usage(self) -> Usage:
        """Token counts and times."""

    @property
    def extras(self) -> Extras:
        """What the provider sent in addition to the text."""

    @property
    def notices(self) -> Sequence[str]:
        """Notices for the user."""

    @property
    def error(self) -> BaseException | None:
        """The error of a failed reply."""

    @property
    def left_out(self) -> int:
        """The number of messages that were not sent."""

    @property
    def sent(self) -> Sent:
        """What was sent, and what was not."""

    @property
    def replayed(self) -> bool:
        """Is it from the history?"""


class ReceivedContent:
    """The chunks of a reply, and what the provider sent in addition.

    ``begun`` is the monotonic time at which the request was sent. The seconds in ``usage`` count from there.
    """

    __slots__ = ("_charge", "_extras", "_final", "_first", "_reasoned", "_reasoning", "_reported", "begun", "chunks")

    def __init__(self, charge: Callable[[Usage, str], Usage] | None = None) -> None:
        """``charge`` adds its cost to the usage of a reply that has ended with a text."""
        self._charge = charge
        self.begun = 0.0
        self.clear()

    def clear(self) -> None:
        """Discard everything, for a new attempt."""
        self.chunks: list[str] = []
        self._reasoning: list[Reasoning] = []
        self._reasoned: tuple[float, float | None] | None = None  # seconds until its first chunk, and until its end
        self._extras = Extras()
        self._reported = Usage()  # by the provider
        self._first: float | None = None  # seconds until the first chunk
        self._final: Usage | None = None

    @property
    def text(self) -> str:
        """All chunks, joined."""
        return "".join(self.chunks)

    @property
    def is_empty(self) -> bool:
        """Has neither text nor reasoning arrived in chunks?"""
        return not self.chunks and not self._reasoning

    def reasoning_from(self, place: int) -> list[str]:
        """The chunks of reasoning from index ``place`` on."""
        return [*self._reasoning[place:]]

    @property
    def reasoning(self) -> str:
        """The reasoning received so far."""
        return "".join(self._reasoning) or self._extras.reasoning

    @property
    def extras(self) -> Extras:
        """What the provider sent in addition to the text, its reasoning included."""
        return replace(self._extras, reasoning=self.reasoning) if self._reasoning else self._extras

    @property
    def reasons(self) -> bool:
        """Is reasoning the last thing that has arrived?"""
        return self._reasoned is not None and self._reasoned[1] is None

    @property
    def usage(self) -> Usage:
        """The counts from the provider and the times measured here. The total time is set by ``finish``."""
        if self._final is not None:
            return self._final
        return replace(
            self._reported,
            first_chunk_seconds=self._first,
            reasoning_seconds=self._reasoning_seconds,
            chunks=len(self.chunks),
        )

    @property
    def _reasoning_seconds(self) -> float | None:
        """How long the model has reasoned; None if it has not. That of a stored reply is as it was."""
        if self._reasoned is None or self._reported.reasoning_seconds is not None:
            return self._reported.reasoning_seconds
        begin, end = self._reasoned
        return (time.monotonic() - self.begun if end is None else end) - begin

    def finish(self) -> None:
        """Set the total time: the reply has ended."""
        usage = replace(self.usage, seconds=time.monotonic() - self.begun)
        self._final = usage if self._charge is None else self._charge(usage, self.text)

    def restore(self, text: str, usage: Usage, extras: Extras) -> None:
        """Take over the content of a stored reply."""
        self.chunks, self._final, self._extras = [text], usage, extras

    def add(self, chunk: object, provider: str, add_notice: Callable[[str], object]) -> bool:
        """Add a ``chunk`` from ``provider``. Returns whether text or reasoning have changed.

        ``add_notice`` is called with each notice in it. Raises ``FlowGptError`` for an object of another type.
        """
        if isinstance(chunk, str):
            if not chunk:
                return False
            if isinstance(chunk, Reasoning):
                self._reason(chunk)
            else:
                self._grow(chunk)
            return True
        if isinstance(chunk, NewSplit):
            self._split_anew(chunk)
            return True
        if isinstance(chunk, Usage):
            self._reported = chunk
        elif isinstance(chunk, Extras):
            self._extras = chunk
            for text in chunk.notices:
                add_notice(text)
        else:
            raise FlowGptError(f"{provider} sent {type(chunk).__name__} where text was expected")
        return False

    def _reason(self, chunk: Reasoning) -> None:
        self._reasoning.append(chunk)
        begin = self._reasoned[0] if self._reasoned else time.monotonic() - self.begun
        self._reasoned = begin, None  # also after text: the model reasons again

    def _grow(self, chunk: str) -> None:
        if self._first is None:
            self._first = time.monotonic() - self.begun
        if self._reasoned is not None and self._reasoned[1] is None:
            self._reasoned = self._reasoned[0], time.monotonic() - self.begun
        self.chunks.append(chunk)

    def _split_anew(self, split: NewSplit) -> None:
        """What was taken for text was reasoning, or the other way round."""
        now = time.monotonic() - self.begun
        begin = self._reasoned[0] if self._reasoned else now if self._first is None else self._first
        self._reasoned = (begin, now) if split.reasoning else None
        self._reasoning = [Reasoning(split.reasoning)] if split.reasoning else []
        self.chunks = [split.text] if split.text else []
        self._first = (now if self._first is None else self._first) if split.text else None

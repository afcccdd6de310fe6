"""The events of a reply: everything that happens to it, in order."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from flowgpt_magic.messages import NewAttempt, NewSplit, Usage
from flowgpt_magic.messages.extras import Extras
from flowgpt_magic.replies.reader import WakingReader


@dataclass(frozen=True)
class TextEvent:
    """A chunk of the text has arrived."""

    text: str


@dataclass(frozen=True)
class ReasoningEvent:
    """A chunk of the reasoning has arrived."""

    text: str


@dataclass(frozen=True)
class NoticeEvent:
    """There is something to tell the user, such as a warning."""

    text: str


ReplyEvent = TextEvent | ReasoningEvent | NoticeEvent | NewSplit | NewAttempt | Extras | Usage
"""An event of a reply.

``NewSplit``: what has arrived so far is this reasoning and this text. ``NewAttempt``: what has arrived so far is
discarded, and the model is asked again. ``Extras``: the data beside the text. ``Usage``: counts and times of one
attempt; the last event of a reply is one.
"""


class EventSource(Protocol):
    """What a reader of events needs from a reply."""

    @property
    def ended(self) -> bool:
        """Is the reply complete, cancelled or failed?"""

    def events_from(self, place: int) -> Sequence[ReplyEvent]:
        """The events so far, from index ``place`` on."""


class EventReader(WakingReader[ReplyEvent]):
    """One reader's position in the events of a reply."""

    def __init__(self, reply: EventSource) -> None:
        super().__init__()
        self._reply = reply
        self._place = 0

    def _new_items(self) -> tuple[list[ReplyEvent], bool]:
        ended = self._reply.ended
        events = list(self._reply.events_from(self._place))
        self._place += len(events)
        return events, ended


class ReplyEvents:
    """The events of a reply, for ``for`` and ``async for``. Each loop gets all of them from the start."""

    def __init__(
        self, iterate: Callable[[], Iterator[ReplyEvent]], iterate_async: Callable[[], AsyncIterator[ReplyEvent]]
    ) -> None:
        self._iterate, self._iterate_async = iterate, iterate_async

    def __iter__(self) -> Iterator[ReplyEvent]:
        return self._iterate()

    def __aiter__(self) -> AsyncIterator[ReplyEvent]:
        return self._iterate_async()

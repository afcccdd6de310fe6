"""What is asked for each item of a batch, what is known of it already, and how its turn is kept.

The turns of a batch are no part of the conversation they are asked in: they would be sent with every later prompt, and
read whenever the notebook is opened. They are kept in a conversation of their own, which is on no list.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol
from uuid import uuid4

from flowgpt_magic.batch.items import Item
from flowgpt_magic.batch.results import Result
from flowgpt_magic.errors import HistoryError, MismatchError
from flowgpt_magic.history.conversation_state import ConversationState
from flowgpt_magic.history.notebook_history import NotebookHistory
from flowgpt_magic.history.records import OFF, ConversationRecord
from flowgpt_magic.history.timeline import Timeline
from flowgpt_magic.history.turn_recorder import turn_of
from flowgpt_magic.messages import Message, Status, Turn, Usage
from flowgpt_magic.messages.extras import Extras
from flowgpt_magic.replies.received import ReceivedContent
from flowgpt_magic.replies.request import Request, build_messages, request_key
from flowgpt_magic.replies.tracing import Telemetry

if TYPE_CHECKING:
    from asyncio import Task

TOGETHER = 500  # turns that wait at most to be saved
DIGEST = 16  # hexadecimal digits of a request's key that tell it from the others of a batch


class RequestCounts:
    """How often each request of a batch has come."""

    def __init__(self) -> None:
        self._once: set[int] = set()
        self._more: dict[int, int] = {}  # those that came more than once

    def number(self, key: str) -> int:
        """1 for the first request with this key, 2 for the second."""
        digest = int(key[:DIGEST], 16)
        if digest not in self._once:
            self._once.add(digest)
            return 1
        number = self._more[digest] = self._more.get(digest, 1) + 1
        return number


class Answers(Protocol):
    """What others keep who ask parts of the same batch: workers, each in a process of its own."""

    def find(self, request_keys: Collection[str]) -> Mapping[str, Turn]:
        """The complete turns for these requests, by their keys. Raises ``HistoryError``."""


class Flight:
    """One item while it is asked."""

    __slots__ = (
        *("item", "request", "turn_id", "received", "notices", "error", "version"),
        *("started", "saved", "task", "failures", "tries", "since", "due", "watch"),
    )
    replayed = False

    def __init__(self, item: Item, request: Request) -> None:
        self.item = item
        self.request = request
        self.turn_id = uuid4().hex
        self.received = ReceivedContent()
        self.notices: list[str] = []
        self.error: BaseException | None = None
        self.version = 1
        self.started = time.time()  # the try that counts
        self.saved = False  # does the history know of it?
        self.task: Task[None] | None = None
        self.failures = 0  # how often it was asked in vain
        self.tries = 0  # the same, without those that the server is to blame for
        self.since: float | None = None  # the first failure, in monotonic time
        self.due = 0.0  # when it is asked again, in monotonic time
        self.watch = Telemetry(request)

    @property
    def begun(self) -> float:
        """When the try that counts was made, in monotonic time; 0 before anything was sent."""
        return self.received.begun

    @begun.setter
    def begun(self, moment: float) -> None:
        self.received.begun = moment

    @property
    def messages(self) -> list[Message]:
        """What is sent."""
        return self.request.messages

    @property
    def text_so_far(self) -> str:
        """The text that has arrived."""
        return self.received.text

    @property
    def usage(self) -> Usage:
        """Token counts and times."""
        return self.received.usage

    @property
    def extras(self) -> Extras:
        """What the provider sent beside the text."""
        return self.received.extras

    @property
    def left_out(self) -> int:
        """How many messages were not sent."""
        return self.request.left_out

    def result(self, status: Status, data: Any = None) -> Result:
        """What has become of it."""
        item = self.item
        return Result(
            *(item.index, item.label, item.value, item.prompt, self.text_so_far, data, status, self.error, self.usage),
            *(tuple(self.notices), self.turn_id),
            extras=self.extras,
        )


class Turns:
    """Makes the requests of a batch, and keeps their turns in ``notebook_history``, or nowhere without ``state``.

    ``request`` is one without a prompt, and ``sent`` are the turns before it. Another ``sample`` of the same prompts
    is asked anew. With ``refresh`` nothing is taken from the history. ``others`` have parts of the same batch: what
    they keep counts as answered, each turn is saved as soon as it ends, and equal prompts may share one answer, since
    nobody knows how many of them another one has.
    """

    def __init__(
        self,
        request: Request,
        sent: Sequence[Turn],
        notebook_history: NotebookHistory,
        state: ConversationState | None,
        *,
        sample: str = "",
        refresh: bool = False,
        others: Answers | None = None,
    ) -> None:
        self.request, self._sent, self._others = request, sent, others
        self.notebook_history, self.state = notebook_history, state
        self.looks = state is not None and not refresh
        self.asks_all = refresh
        self._sample, self._counts = sample, RequestCounts()
        self._shaping = request.recorded_parameters
        self._ended: list[Turn] = []  # that are not saved yet

    def flight(self, item: Item) -> Flight:
        """``item``, ready to be asked."""
        images = [*getattr(item.prompt, "images", ()), *self.request.images]
        request = replace(self.request, prompt=item.prompt, earlier=item.earlier, images=images)
        key = request_key(request, self._sent, self._shaping if item.earlier is None else None)
        if self._sample:
            key = f"{key} {self._sample}"
        # As many replies as there are such prompts, again and again.
        if self._others is None and (number := self._counts.number(key)) > 1:
            key = f"{key} #{number}"
        return Flight(item, replace(request, key=key, messages=build_messages(request, self._sent)))

    def known(self, flights: Sequence[Flight]) -> dict[int, Result]:
        """What the history has for these, by the indexes of their items; takes a while.

        Raises ``HistoryError`` where that cannot be found out: nothing is paid for twice without being told.
        """
        keys = [flight.request.key for flight in flights]
        found = self.notebook_history.read(lambda history: history.find_replays(keys), None)
        if found is None:
            raise HistoryError(
                "the history cannot be read, so nobody knows what was asked before: run the cell again; "
                "with refresh=True it asks everything anew"
            )
        if self._others is not None and (missing := [key for key in keys if key not in found]):
            found = {**self._others.find(missing), **found}
        known = {}
        for flight in flights:
            if (turn := found.get(flight.request.key)) is not None:
                try:
                    known[flight.item.index] = self._replay(flight, turn)
                except MismatchError:  # kept by somebody who checked in another way
                    continue
        return known

    def _replay(self, flight: Flight, turn: Turn) -> Result:
        flight.received.restore(turn.text, turn.usage, turn.extras)
        flight.turn_id, flight.notices = turn.turn_id, list(turn.extras.notices)
        return replace(flight.result("complete", self.value_of(flight)), replayed=True)

    def value_of(self, flight: Flight) -> Any:
        """The value of a reply with a schema; raises ``MismatchError``."""
        schema = flight.request.schema
        return None if schema is None else schema.read(flight.text_so_far)

    # Keeping

    def grow(self, flight: Flight) -> None:
        """It has been under way for a while: what has come is saved, and will be again."""
        if self.state is None:
            return
        if not flight.saved:
            flight.saved = True
            self.notebook_history.begin(self.state, self._turn(flight, "streaming"), [])
        self.notebook_history.grow(flight.turn_id, lambda: flight.text_so_far)

    def again(self, flight: Flight, why: str) -> None:
        """What has come will not do; it is kept as an earlier version."""
        if self.state is not None and flight.received.chunks:
            self._save(replace(self._turn(flight, "failed"), turn_id=uuid4().hex, error=why))
            flight.version += 1
        flight.received.clear()

    def end(self, flight: Flight, status: Status) -> None:
        """It is over. One that was stopped before anything came, and that the history knows nothing of, is not kept."""
        if self.state is not None and (flight.saved or flight.received.chunks or status != "cancelled"):
            self._save(self._turn(flight, status))

    def leave(self, flight: Flight) -> None:
        """It failed, and is not asked again in this run: the history shows it as failed, where it shows it at all."""
        if self.state is not None and flight.saved:
            self._save(self._turn(flight, "failed"))

    @property
    def asked_next_time(self) -> str:
        """What another run asks, in words."""
        if self.state is None:
            return "run again, all are asked: they are in no history"
        if self.asks_all:
            return "run again without refresh=True, only the others are asked"
        return "run again, only the others are asked"

    def _save(self, turn: Turn) -> None:
        self._ended.append(turn)
        if len(self._ended) >= TOGETHER or self._others is not None:
            self.flush()

    def flush(self) -> None:
        """Save the turns that have ended: to wake who saves them for each of them would cost more than the saving."""
        if self.state is not None and self._ended:
            if not self.state.handed_over:
                self.notebook_history.save(self.state)
            for turn in self._ended:
                self.notebook_history.end(self.state, turn, [])
            self._ended.clear()

    def _turn(self, flight: Flight, status: Status) -> Turn:
        return turn_of(
            flight.request,
            flight,
            status,
            conversation_id="" if self.state is None else self.state.record.conversation_id,
            kernel=self.notebook_history.kernel,
            started=flight.started,
            parameters=self._shaping if flight.request.earlier is None else None,
            place=flight.item.index + 1,
            version=flight.version,
        )


def record_for(notebook_history: NotebookHistory, name: str) -> ConversationState | None:
    """Where the turns of the batches of conversation ``name`` are kept; None where nothing is.

    It is always the same one, without anybody having to look for it.
    """
    if notebook_history.location == OFF:
        return None
    notebook_id, now = notebook_history.notebook.notebook_id, time.time()
    conversation_id = hashlib.sha256(f"{notebook_id} {name} batches".encode("utf-8", "surrogatepass")).hexdigest()[:32]
    nothing: Mapping[str, Any] = {}
    record = ConversationRecord(
        conversation_id, notebook_id, f"batches of {name}", "", "", nothing, now, now, removed=True
    )
    return ConversationState(record, Timeline(conversation_id))

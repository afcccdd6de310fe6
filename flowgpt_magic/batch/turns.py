"""The requests and turns of a batch: what is sent for each item, what is stored already, and how turns are recorded.

The turns of a batch are not part of their conversation: they would be sent with every later prompt, and loaded whenever
the notebook is opened. They are stored in a separate, unlisted conversation.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Collection, Mapping, Sequence
from copy import copy
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol
from uuid import uuid4

from flowgpt_magic.batch.items import Item
from flowgpt_magic.batch.results import Result
from flowgpt_magic.errors import HistoryError, MismatchError
from flowgpt_magic.history.conversation_state import ConversationState
from flowgpt_magic.history.notebook_history import NotebookHistory
from flowgpt_magic.history.records import OFF, ConversationRecord, RequestRecord
from flowgpt_magic.history.timeline import Timeline
from flowgpt_magic.history.turn_recorder import turn_of
from flowgpt_magic.messages import Message, Sent, Status, Turn, Usage
from flowgpt_magic.messages.extras import Extras
from flowgpt_magic.replies.cache import request_key
from flowgpt_magic.replies.cost import with_cost
from flowgpt_magic.replies.received import ReceivedContent
from flowgpt_magic.replies.request import Request, build_messages
from flowgpt_magic.replies.tracing import Telemetry

if TYPE_CHECKING:
    from asyncio import Task

MAX_UNSAVED = 500  # finished turns
DIGEST = 16  # hexadecimal digits of a request's key: enough within a batch


class RequestCounts:
    """Counts equal requests of a batch."""

    def __init__(self) -> None:
        self._once: set[int] = set()
        self._more: dict[int, int] = {}  # repeated requests

    def number(self, key: str) -> int:
        """1 for the first request with this key, 2 for the second."""
        digest = int(key[:DIGEST], 16)
        if digest not in self._once:
            self._once.add(digest)
            return 1
        number = self._more[digest] = self._more.get(digest, 1) + 1
        return number


class StoredReplies(Protocol):
    """The stored replies of other processes that work on the same batch."""

    def find(self, request_keys: Collection[str]) -> Mapping[str, Turn]:
        """The complete turns for these requests, by their keys. Raises ``HistoryError``."""


class PromptInFlight:
    """One item, from the queue to its result."""

    __slots__ = (
        *("item", "request", "turn_id", "received", "notices", "error", "version"),
        *("started", "saved", "task", "failures", "tries", "since", "due", "watch"),
    )
    replayed = False

    def __init__(self, item: Item, request: Request) -> None:
        self.item = item
        self.request = request
        self.turn_id = uuid4().hex
        self.received = ReceivedContent(partial(with_cost, request))
        self.notices: list[str] = []
        self.error: BaseException | None = None
        self.version = 1
        self.started = time.time()  # of the current try
        self.saved = False  # is it in the history?
        self.task: Task[None] | None = None
        self.failures = 0  # failed tries
        self.tries = 0  # failed tries that were not the server's fault
        self.since: float | None = None  # monotonic time of the first failure
        self.due = 0.0  # monotonic time of the retry
        self.watch = Telemetry(request)

    @property
    def begun(self) -> float:
        """Monotonic time of the current try; 0 before anything was sent."""
        return self.received.begun

    @begun.setter
    def begun(self, moment: float) -> None:
        self.received.begun = moment

    @property
    def messages(self) -> list[Message]:
        """The messages to send."""
        return self.request.messages

    @property
    def text_so_far(self) -> str:
        """The text received so far."""
        return self.received.text

    @property
    def usage(self) -> Usage:
        """Token counts and times."""
        return self.received.usage

    @property
    def extras(self) -> Extras:
        """The extra data of the reply."""
        return self.received.extras

    @property
    def left_out(self) -> int:
        """How many earlier messages were left out."""
        return self.request.left_out

    @property
    def sent(self) -> Sent:
        """What is sent with the prompt, and what is not."""
        return self.request.sent

    def result(self, status: Status, data: Any = None) -> Result:
        """Its result."""
        item = self.item
        return Result(
            *(item.index, item.label, item.value, item.prompt, self.text_so_far, data, status, self.error, self.usage),
            *(tuple(self.notices), self.turn_id),
            extras=self.extras,
        )


class Turns:
    """Makes the requests of a batch, and records their turns.

    Args:
        request: a request without a prompt.
        sent: the turns that go before each prompt.
        notebook_history: where stored replies are found.
        state: the conversation that stores the turns; None stores nothing.
        sample: a name; each sample of the same prompts has its own replies.
        refresh: ignore stored replies.
        others: the stored replies of other processes that work on the same batch. With them, each turn is saved at
            once, and equal prompts may share one reply, since no process knows how many of them another one has.
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
        others: StoredReplies | None = None,
    ) -> None:
        self.request, self._sent, self._others = request, sent, others
        self.notebook_history, self.state = notebook_history, state
        self.looks = state is not None and not refresh
        self.asks_all = refresh
        self._sample, self._counts = sample, RequestCounts()
        self._shaping = request.recorded_parameters
        self._ended: list[Turn] = []  # not saved yet
        self._requests: list[RequestRecord] = []  # not saved yet

    def anew(self) -> Turns:
        """The same, before the first prompt."""
        turns = copy(self)
        turns._counts, turns._ended, turns._requests = RequestCounts(), [], []
        return turns

    def flight(self, item: Item) -> PromptInFlight:
        """``item`` with its request."""
        images = [*getattr(item.prompt, "images", ()), *self.request.images]
        request = replace(self.request, prompt=item.prompt, earlier=item.earlier, images=images)
        key = request_key(request, self._sent, self._shaping if item.earlier is None else None)
        if self._sample:
            key = f"{key} {self._sample}"
        # Equal prompts get separate replies, the same ones in each run.
        if self._others is None and (number := self._counts.number(key)) > 1:
            key = f"{key} #{number}"
        return PromptInFlight(item, replace(request, key=key, messages=build_messages(request, self._sent)))

    def known(self, flights: Sequence[PromptInFlight]) -> dict[int, Result]:
        """The stored results, by the indexes of their items. Blocks while it reads the history.

        Raises ``HistoryError`` if the history cannot be read: nothing is silently paid for twice.
        """
        keys = [flight.request.key for flight in flights]
        stored = self.notebook_history.read(lambda history: history.find_replays(keys), None)
        if stored is None:
            raise HistoryError(
                "the history cannot be read, so stored replies are unknown: run the cell again; "
                "refresh=True sends everything again"
            )
        if self._others is not None and (missing := [key for key in keys if key not in stored]):
            stored = {**self._others.find(missing), **stored}
        results = {}
        for flight in flights:
            if (turn := stored.get(flight.request.key)) is not None:
                try:
                    results[flight.item.index] = self._replay(flight, turn)
                except MismatchError:  # stored with another check
                    continue
        return results

    def _replay(self, flight: PromptInFlight, turn: Turn) -> Result:
        flight.received.restore(turn.text, turn.usage, turn.extras)
        flight.turn_id, flight.notices = turn.turn_id, list(turn.extras.notices)
        return replace(flight.result("complete", self.value_of(flight)), replayed=True)

    def value_of(self, flight: PromptInFlight) -> Any:
        """The value of a reply with a schema. Raises ``MismatchError``."""
        schema = flight.request.schema
        return None if schema is None else schema.read(flight.text_so_far)

    # Keeping

    def grow(self, flight: PromptInFlight) -> None:
        """Save the text so far of a slow reply."""
        if self.state is None:
            return
        if not flight.saved:
            flight.saved = True
            self.notebook_history.begin(self.state, self._turn(flight, "streaming"), [])
        self.notebook_history.grow(flight.turn_id, lambda: flight.text_so_far, lambda: flight.received.reasoning)

    def again(self, flight: PromptInFlight, why: str) -> None:
        """Discard the text so far; it is stored as an earlier version."""
        if not flight.received.is_empty:
            attempt_id = uuid4().hex
            if self.state is not None:
                self._save(replace(self._turn(flight, "failed"), turn_id=attempt_id, error=why))
                flight.version += 1
            self._count(flight, "failed", attempt_id)
        flight.received.clear()

    def end(self, flight: PromptInFlight, status: Status) -> None:
        """Record the end, unless the prompt was cancelled before any text arrived and is not in the history."""
        if self.state is not None and (flight.saved or not flight.received.is_empty or status != "cancelled"):
            self._save(self._turn(flight, status))
        self._count(flight, status, flight.turn_id)

    def leave(self, flight: PromptInFlight) -> None:
        """The run ends before a retry: if the prompt is in the history, it is stored as failed."""
        if self.state is not None and flight.saved:
            self._save(self._turn(flight, "failed"))
        if not flight.received.is_empty:
            self._count(flight, "failed", flight.turn_id)

    @property
    def asked_next_time(self) -> str:
        """What another run sends, as text."""
        if self.state is None:
            return "run again, all prompts are sent: they are not in a history"
        if self.asks_all:
            return "run again without refresh=True, only the others are sent"
        return "run again, only the others are sent"

    def _count(self, flight: PromptInFlight, status: Status, request_id: str) -> None:
        """Record the request for the usage."""
        record = self.notebook_history.request_record(
            flight.request, flight, status, request_id=request_id, started=flight.started
        )
        if record is not None:
            self._requests.append(record)
            self._flush_if_many()

    def _save(self, turn: Turn) -> None:
        self._ended.append(turn)
        self._flush_if_many()

    def _flush_if_many(self) -> None:
        if max(len(self._ended), len(self._requests)) >= MAX_UNSAVED or self._others is not None:
            self.flush()

    def flush(self) -> None:
        """Save the finished turns and requests together: waking the writer for each costs more than the writing.

        The turns are first: where the process is killed in between, it is the replies that are kept.
        """
        if self.state is not None and self._ended:
            if not self.state.handed_over:
                self.notebook_history.save(self.state)
            for turn in self._ended:
                self.notebook_history.end(self.state, turn, [])
            self._ended.clear()
        self.notebook_history.count(*self._requests)
        self._requests.clear()

    def _turn(self, flight: PromptInFlight, status: Status) -> Turn:
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
    """The conversation that stores the batches of conversation ``name``; None without a history.

    Its id is derived from the notebook and the name.
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

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
from flowgpt_magic.messages import Message, Status, Turn, Usage
from flowgpt_magic.messages.extras import Extras
from flowgpt_magic.replies.request import Request, build_messages, request_key
from flowgpt_magic.replies.tracing import Watch

if TYPE_CHECKING:
    from asyncio import Task

BITS = 26  # of a place in the filter, which is 8 MB large
PLACES = 8  # that each text has in it: of a million texts, one in 40 million is taken for another
TOGETHER = 500  # turns that wait at most to be saved
REMEMBERED = 10_000  # requests whose number is known without trying


class Seen:
    """How often each request has come; in 8 MB, however many there are.

    A request is seldom taken for another one (it is a Bloom filter). It then has the number of a later one, which is
    another key in the history, and no harm.
    """

    def __init__(self) -> None:
        self._bits = bytearray(2 ** (BITS - 3))
        self._next: dict[str, int] = {}  # the newest stand at the end

    def number(self, key: str) -> int:
        """1 for the first request of this key, 2 for the second."""
        number = self._next.pop(key, 1)
        while not self._add(f"{key} {number}"):
            number += 1
        self._next[key] = number + 1
        if len(self._next) > REMEMBERED:
            del self._next[next(iter(self._next))]
        return number

    def _add(self, text: str) -> bool:
        """Is it new?"""
        found, new = int.from_bytes(hashlib.sha256(text.encode()).digest(), "big"), False
        for _ in range(PLACES):
            byte, bit = found >> 3 & 2 ** (BITS - 3) - 1, 1 << (found & 7)
            new = new or not self._bits[byte] & bit
            self._bits[byte] |= bit
            found >>= BITS
        return new


class Answers(Protocol):
    """What others keep who ask parts of the same batch: workers, each in a process of its own."""

    def find(self, request_keys: Collection[str]) -> Mapping[str, Turn]:
        """The complete turns for these requests, by their keys. Raises ``HistoryError``."""


class Flight:
    """One item while it is asked. To the log and to a tracer it is a reply."""

    __slots__ = (
        *("item", "request", "turn_id", "parts", "usage", "notices", "error", "replayed", "version", "extras"),
        *("started", "begun", "saved", "task"),
        *("failures", "tries", "since", "due", "watch"),
    )

    def __init__(self, item: Item, request: Request) -> None:
        self.item = item
        self.request = request
        self.turn_id = uuid4().hex
        self.parts: list[str] = []
        self.usage = Usage()
        self.extras = Extras()
        self.notices: list[str] = []
        self.error: BaseException | None = None
        self.replayed = False
        self.version = 1
        self.started = time.time()  # the try that counts
        self.begun = 0.0  # the same, in monotonic time; 0 before anything was sent
        self.saved = False  # does the history know of it?
        self.task: Task[None] | None = None
        self.failures = 0  # how often it was asked in vain
        self.tries = 0  # the same, without those that the server is to blame for
        self.since: float | None = None  # the first failure, in monotonic time
        self.due = 0.0  # when it is asked again, in monotonic time
        self.watch = Watch(request)

    @property
    def messages(self) -> list[Message]:
        """What is sent."""
        return self.request.messages

    @property
    def text_so_far(self) -> str:
        """What has come."""
        return "".join(self.parts)

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
        self._sample, self._seen = sample, Seen()
        self._shaping = request.shaping
        self._ended: list[Turn] = []  # that are not saved yet

    def flight(self, item: Item) -> Flight:
        """``item``, ready to be asked."""
        images = [*getattr(item.prompt, "images", ()), *self.request.images]
        request = replace(self.request, prompt=item.prompt, earlier=item.earlier, images=images)
        key = request_key(request, self._sent, self._shaping if item.earlier is None else None)
        if self._sample:
            key = f"{key} {self._sample}"
        # As many replies as there are such prompts, again and again.
        if self._others is None and (number := self._seen.number(key)) > 1:
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
        flight.parts, flight.turn_id, flight.usage = [turn.text], turn.turn_id, turn.usage
        flight.extras, flight.notices = turn.extras, list(turn.extras.notices)
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

    def begin_again(self, flight: Flight, why: str) -> None:
        """What has come will not do; it is kept as an earlier version."""
        if self.state is not None and flight.parts:
            self._save(replace(self._turn(flight, "failed"), turn_id=uuid4().hex, error=why))
            flight.version += 1
        flight.parts, flight.usage, flight.extras = [], Usage(), Extras()

    def end(self, flight: Flight, status: Status) -> None:
        """It is over. One that was stopped before anything came, and that the history knows nothing of, is not kept."""
        if self.state is not None and (flight.saved or flight.parts or status != "cancelled"):
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
        request, spot, error = flight.request, flight.request.spot, flight.error
        return Turn(
            turn_id=flight.turn_id,
            conversation_id="" if self.state is None else self.state.record.conversation_id,
            place=flight.item.index + 1,
            version=flight.version,
            live=False,
            cell_id=spot.cell.cell_id,
            run=spot.cell.run,
            prompt=request.prompt,
            text=flight.text_so_far,
            status=status,
            error="" if error is None else f"{type(error).__name__}: {error}",
            provider=request.target.provider,
            model=request.target.model,
            system=request.settings.system,
            parameters=self._shaping if request.earlier is None else request.shaping,
            request_key=request.key,
            usage=flight.usage,
            notices=tuple(flight.notices),
            left_out=request.left_out,
            replayed=False,
            extras=flight.extras,
            images=tuple(request.images),
            kernel=self.notebook_history.kernel,
            started=flight.started,
            ended=None if status == "streaming" else time.time(),
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

"""Record one turn: from the first read of its reply, while it arrives, to its end."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from uuid import uuid4

from flowgpt_magic.history.conversation_state import ConversationState
from flowgpt_magic.history.notebook_history import NotebookHistory
from flowgpt_magic.messages import Status, Turn
from flowgpt_magic.redaction import redact
from flowgpt_magic.replies.received import RecordedReply
from flowgpt_magic.replies.reply import Reply
from flowgpt_magic.replies.request import Request


class RequestRecorder:
    """Records the requests of a reply for the usage, and nothing else."""

    def __init__(self, notebook_history: NotebookHistory, request: Request) -> None:
        self._notebook_history = notebook_history
        self._request = request
        self._sent_at = 0.0

    def begin(self, _reply: Reply) -> None:
        """Note the time. Called before the request is sent."""
        self._sent_at = time.time()

    def grow(self, reply: Reply) -> None:
        """Nothing to do: the text is not recorded."""

    def restart(self, reply: Reply, _why: str, attempt_id: str = "") -> None:
        """Save the request of a discarded attempt, with the id of its turn if it has one."""
        self._save(reply, "failed", attempt_id or uuid4().hex)
        self._sent_at = time.time()

    def end(self, reply: Reply, status: Status) -> None:
        """Save the last request."""
        self._save(reply, status, reply.turn_id)

    async def until_saved(self, reply: Reply) -> None:
        """Nothing to wait for: no text can be lost."""

    def _save(self, reply: Reply, status: Status, request_id: str) -> None:
        record = self._notebook_history.request_record(
            self._request, reply, status, request_id=request_id, started=self._sent_at
        )
        if record is not None:
            self._notebook_history.count(record)


class TurnRecorder:
    """Records the reply to ``request`` in the conversation ``state`` and in its history."""

    def __init__(self, state: ConversationState, notebook_history: NotebookHistory, request: Request) -> None:
        self._state = state
        self._notebook_history = notebook_history
        self.request = request
        self._requests = RequestRecorder(notebook_history, request)
        self._turn: Turn | None = None

    def begin(self, reply: Reply) -> None:
        """Save the turn. Called before the request is sent."""
        self._requests.begin(reply)
        self._notebook_history.number_cell(self.request.spot.cell)
        turn = turn_of(
            self.request,
            reply,
            "streaming",
            conversation_id=self._state.record.conversation_id,
            kernel=self._notebook_history.kernel,
            started=time.time(),
            live=True,
        )
        self._state.replies[reply.turn_id] = reply  # before listeners hear of the turn
        self._turn = reply.turn = self._begin(turn)
        reply.sent = self._turn.sent
        if reply.status is not None and reply.ended:  # an interrupt came in the meantime
            self.end(reply, reply.status)

    def grow(self, reply: Reply) -> None:
        """Note that a chunk has arrived."""
        if self._turn is not None:
            self._notebook_history.grow(self._turn.turn_id, lambda: reply.text_so_far, lambda: reply.reasoning_so_far)

    def restart(self, reply: Reply, why: str) -> None:
        """Save the text so far as an earlier, failed version, and restart the turn. ``why`` is the error."""
        if self._turn is None:
            return
        attempt = replace(self._turn, **_outcome(reply, "failed"), turn_id=uuid4().hex, live=False)
        attempt = replace(attempt, error=why)
        self._requests.restart(reply, why, attempt.turn_id)
        self._turn = reply.turn = self._begin_again(self._turn, attempt)

    def end(self, reply: Reply, status: Status) -> None:
        """Save the end of the turn, if it ever began."""
        self._state.replies.pop(reply.turn_id, None)
        if self._turn is None:
            return
        reply.notices += self._notebook_history.take_notices()
        turn = replace(self._turn, **_outcome(reply, status))
        empty = not turn.answer.strip() or turn.text == self.request.begins_with
        reply.turn = self._end(turn, empty=empty)
        self._requests.end(reply, status)

    async def until_saved(self, reply: Reply) -> None:
        """Wait until the turn is in the file, or add a notice saying why it is not."""
        if self._turn is not None and not await self._notebook_history.until_saved():
            reply.notices += self._notebook_history.take_notices()

    def _begin(self, turn: Turn) -> Turn:
        """Give the turn its place and version, and make it live."""
        spot, timeline = self.request.spot, self._state.timeline
        self._load_replaced()
        with self._state.lock:
            place = timeline.next_place() if spot.place is None else spot.place
            turn = replace(turn, place=place, version=timeline.next_version(place))
            turn = replace(turn, sent=replace(turn.sent, above=timeline.checksum_above(place)))
            others = timeline.live_at({place, *spot.clears})
            records = timeline.change(spot.kind, added=[turn], removed=others)
            self._notebook_history.begin(self._state, turn, [record for record in records if record != turn])
        return turn

    def _load_replaced(self) -> None:
        """Load the unloaded turns if the turn takes the place of one of them."""
        spot = self.request.spot
        if spot.place is not None and self._state.timeline.has_unloaded(place=min((spot.place, *spot.clears))):
            self._state.reload()

    def _begin_again(self, turn: Turn, attempt: Turn) -> Turn:
        """The turn as the next, still empty version at its place, after ``attempt``."""
        timeline = self._state.timeline
        with self._state.lock:
            timeline.update(attempt)
            timeline.update(replace(turn, version=timeline.next_version(turn.place)))
            self._notebook_history.save(self._state, attempt, timeline.get(turn.turn_id))
            return timeline.get(turn.turn_id)

    def _end(self, turn: Turn, *, empty: bool) -> Turn:
        """Save the ended turn. An ``empty`` reply that did not complete gives its place back to the earlier turns."""
        timeline = self._state.timeline
        with self._state.lock:
            timeline.update(turn)
            records = timeline.withdraw(turn.turn_id) if empty and turn.status != "complete" else []
            run = self._state.runs.get(turn.cell_id)
            if records and run is not None and run.run == turn.run:
                run.prompt_count -= 1  # the next prompt of this run takes that place
            turn = timeline.get(turn.turn_id)
            self._notebook_history.end(self._state, turn, records)
            self._notebook_history.unload(self._state)
        return turn


def turn_of(
    request: Request,
    answer: RecordedReply,
    status: Status,
    *,
    conversation_id: str,
    kernel: str,
    started: float,
    parameters: Mapping[str, Any] | None = None,
    place: int = 0,
    version: int = 0,
    live: bool = False,
) -> Turn:
    """The turn of a request with the current state of its reply.

    Args:
        request: the request.
        answer: its reply.
        status: how the reply ended, or ``streaming``.
        conversation_id: the conversation's id; empty for none.
        kernel: the name of the process that asks.
        started: when the request was made, in Unix seconds.
        parameters: the parameters to record; by default those of the request that affect the reply.
        place: the place in the conversation, 0 if not known yet.
        version: the version at that place, from 1; 0 if not known yet.
        live: is this the live version?
    """
    return Turn(
        turn_id=answer.turn_id,
        conversation_id=conversation_id,
        place=place,
        version=version,
        live=live,
        cell_id=request.spot.cell.cell_id,
        run=request.spot.cell.run,
        prompt=str(request.prompt),  # without the parts it was composed of
        provider=request.target.provider,
        model=request.target.model,
        system=request.settings.system,
        parameters=request.recorded_parameters if parameters is None else parameters,
        request_key=request.key,
        kernel=kernel,
        started=started,
        images=tuple(request.images),
        **_outcome(answer, status),
    )


def _outcome(answer: RecordedReply, status: Status) -> dict[str, Any]:
    """The fields of a turn that come from its reply."""
    return {
        "text": answer.text_so_far,
        "status": status,
        "error": "" if answer.error is None else redact(f"{type(answer.error).__name__}: {answer.error}"),
        "usage": answer.usage,
        "notices": tuple(map(str, answer.notices)),
        "left_out": answer.left_out,
        "sent": answer.sent,
        "replayed": answer.replayed,
        "extras": answer.extras,
        "ended": None if status == "streaming" else time.time(),
    }

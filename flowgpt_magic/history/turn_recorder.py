"""Keeps one turn: from when its reply is first read, while it grows, to its end."""

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
from flowgpt_magic.replies.received import Answer
from flowgpt_magic.replies.reply import Reply
from flowgpt_magic.replies.request import Request


class TurnRecorder:
    """Keeps in ``kept``, and so in the history, what becomes of the reply to ``request``."""

    def __init__(self, kept: ConversationState, notebook_history: NotebookHistory, request: Request) -> None:
        self._kept = kept
        self._notebook_history = notebook_history
        self._request = request
        self._turn: Turn | None = None

    def begin(self, reply: Reply) -> None:
        """The reply is about to be asked for."""
        turn = turn_of(
            self._request,
            reply,
            "streaming",
            conversation_id=self._kept.record.conversation_id,
            kernel=self._notebook_history.kernel,
            started=time.time(),
            live=True,
        )
        self._kept.replies[reply.turn_id] = reply  # before anybody is told of the turn
        self._turn = reply.turn = self._begin(turn)
        if reply.status is not None and reply.ended:  # an interrupt came while this was being done
            self.end(reply, reply.status)

    def grow(self, reply: Reply) -> None:
        """A chunk has come."""
        if self._turn is not None:
            self._notebook_history.grow(self._turn.turn_id, lambda: reply.text_so_far)

    def again(self, reply: Reply, why: str) -> None:
        """What has come will not do: it is kept as an earlier version, and the turn begins anew."""
        if self._turn is None:
            return
        attempt = replace(self._turn, **_outcome(reply, "failed"), turn_id=uuid4().hex, live=False)
        attempt = replace(attempt, error=why)
        self._turn = reply.turn = self._begin_again(self._turn, attempt)

    def end(self, reply: Reply, status: Status) -> None:
        """The reply has ended; one that was never asked for is not kept."""
        self._kept.replies.pop(reply.turn_id, None)
        if self._turn is None:
            return
        reply.notices += self._notebook_history.take_notices()
        turn = replace(self._turn, **_outcome(reply, status))
        empty = not turn.answer.strip() or turn.text == self._request.begins_with
        reply.turn = self._end(turn, empty=empty)

    async def until_saved(self, reply: Reply) -> None:
        """Wait until the turn is in the history's file, or the person is told why it is not."""
        if self._turn is not None and not await self._notebook_history.until_saved():
            reply.notices += self._notebook_history.take_notices()

    def _begin(self, turn: Turn) -> Turn:
        """Give the turn its place and version, and make it live."""
        spot, timeline = self._request.spot, self._kept.timeline
        if spot.place is not None and timeline.has_unloaded(place=min((spot.place, *spot.clears))):
            self._kept.reload()
        with self._kept.lock:
            place = timeline.next_place() if spot.place is None else spot.place
            turn = replace(turn, place=place, version=timeline.next_version(place))
            others = timeline.live_at({place, *spot.clears})
            saved = timeline.change(spot.kind, added=[turn], removed=others)
            self._notebook_history.begin(self._kept, turn, [each for each in saved if each != turn])
        return turn

    def _begin_again(self, turn: Turn, attempt: Turn) -> Turn:
        """The turn as the next version at its place, without a word yet; ``attempt`` is kept as the one before it."""
        timeline = self._kept.timeline
        with self._kept.lock:
            timeline.update(attempt)
            timeline.update(replace(turn, version=timeline.next_version(turn.place)))
            self._notebook_history.save(self._kept, attempt, timeline.get(turn.turn_id))
            return timeline.get(turn.turn_id)

    def _end(self, turn: Turn, *, empty: bool) -> Turn:
        """Keep what has become of it. An ``empty`` reply that failed does not keep the place of an earlier one."""
        timeline = self._kept.timeline
        with self._kept.lock:
            timeline.update(turn)
            saved = timeline.withdraw(turn.turn_id) if empty and turn.status != "complete" else []
            run = self._kept.runs.get(turn.cell_id)
            if saved and run is not None and run.run == turn.run:
                run.prompt_count -= 1  # what this run of the cell asks next takes that place
            turn = timeline.get(turn.turn_id)
            self._notebook_history.end(self._kept, turn, saved)
            self._notebook_history.unload(self._kept)
        return turn


def turn_of(
    request: Request,
    answer: Answer,
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
    """The turn of a request, as its reply is now.

    Args:
        request: What was asked.
        answer: The reply.
        status: How the reply has ended, or ``streaming``.
        conversation_id: The conversation it is kept in; "" for none.
        kernel: The process that asked.
        started: When that was, in seconds since the epoch.
        parameters: What of the request shapes the answer, where that is known.
        place: Where it stands in the conversation.
        version: Which of the turns at that place it is, from 1.
        live: Does it count?
    """
    return Turn(
        turn_id=answer.turn_id,
        conversation_id=conversation_id,
        place=place,
        version=version,
        live=live,
        cell_id=request.spot.cell.cell_id,
        run=request.spot.cell.run,
        prompt=str(request.prompt),  # what it was composed of is no part of the turn
        provider=request.target.provider,
        model=request.target.model,
        system=request.settings.system,
        parameters=request.shaping if parameters is None else parameters,
        request_key=request.key,
        kernel=kernel,
        started=started,
        images=tuple(request.images),
        **_outcome(answer, status),
    )


def _outcome(answer: Answer, status: Status) -> dict[str, Any]:
    """What a turn keeps of its reply."""
    return {
        "text": answer.text_so_far,
        "status": status,
        "error": "" if answer.error is None else redact(f"{type(answer.error).__name__}: {answer.error}"),
        "usage": answer.usage,
        "notices": tuple(map(str, answer.notices)),
        "left_out": answer.left_out,
        "replayed": answer.replayed,
        "extras": answer.extras,
        "ended": None if status == "streaming" else time.time(),
    }

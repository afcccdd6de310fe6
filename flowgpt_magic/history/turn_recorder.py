"""Keeps one turn: from when its reply is first read, while it grows, to its end."""

from __future__ import annotations

import time
from dataclasses import replace
from uuid import uuid4

from flowgpt_magic.history.conversation_state import ConversationState
from flowgpt_magic.history.notebook_history import NotebookHistory
from flowgpt_magic.messages import Status, Turn, Usage
from flowgpt_magic.redaction import redact
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
        request, now = self._request, time.time()
        turn = Turn(
            turn_id=reply.turn_id,
            conversation_id=self._kept.record.conversation_id,
            place=0,
            version=0,
            live=True,
            cell_id=request.spot.cell.cell_id,
            run=request.spot.cell.run,
            prompt=str(request.prompt),  # what it was composed of is no part of the turn
            text="",
            status="streaming",
            error="",
            provider=request.target.provider,
            model=request.target.model,
            system=request.settings.system,
            parameters=request.shaping,
            request_key=request.key,
            usage=Usage(),
            notices=(),
            left_out=request.left_out,
            replayed=False,
            kernel=self._notebook_history.kernel,
            started=now,
            ended=None,
            images=tuple(request.images),
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
        attempt = replace(_grown(self._turn, reply, "failed"), turn_id=uuid4().hex, live=False, error=why)
        self._turn = reply.turn = self._begin_again(self._turn, attempt)

    def end(self, reply: Reply, status: Status) -> None:
        """The reply has ended; one that was never asked for is not kept."""
        self._kept.replies.pop(reply.turn_id, None)
        if self._turn is None:
            return
        reply.notices += self._notebook_history.take_notices()
        error = "" if reply.error is None else redact(f"{type(reply.error).__name__}: {reply.error}")
        turn = replace(_grown(self._turn, reply, status), error=error)
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


def _grown(turn: Turn, reply: Reply, status: Status) -> Turn:
    """``turn`` as its reply is now."""
    return replace(
        turn,
        text=reply.text_so_far,
        status=status,
        usage=reply.usage,
        notices=tuple(map(str, reply.notices)),
        left_out=reply.left_out,
        replayed=reply.replayed,
        extras=reply.extras,
        ended=time.time(),
    )

"""Record the replies of several models to one prompt: versions of one turn, of which one is live."""

from __future__ import annotations

from dataclasses import replace
from uuid import uuid4

from flowgpt_magic.history.conversation_state import ConversationState
from flowgpt_magic.history.notebook_history import NotebookHistory
from flowgpt_magic.history.timeline import Saved
from flowgpt_magic.history.turn_recorder import TurnRecorder
from flowgpt_magic.messages import Status, Turn
from flowgpt_magic.replies.reply import Reply
from flowgpt_magic.replies.request import Request


class ComparedTurns:
    """The turns of one comparison.

    The first one is live. If it has failed or was stopped when all have ended, the first complete one becomes live
    instead; if none is complete, the first with an answer. If there is none, the earlier turns are live again.
    """

    def __init__(self, state: ConversationState, notebook_history: NotebookHistory) -> None:
        self.comparison_id = uuid4().hex
        self._state = state
        self._notebook_history = notebook_history
        self._recorders: list[ComparedRecorder] = []
        self._place: tuple[int, int] | None = None  # and the version of the first turn
        self._turns: dict[int, str] = {}  # by index, the ids of those that have begun
        self._ended = 0

    def recorder(self, request: Request, column: int) -> ComparedRecorder:
        """The recorder of the next turn. All are made before the first one begins."""
        recorder = ComparedRecorder(self._state, self._notebook_history, request)
        recorder.compared, recorder.index, recorder.column = self, len(self._recorders), column
        self._recorders.append(recorder)
        return recorder

    def begin(self, turn: Turn, recorder: ComparedRecorder) -> Turn:
        """Give the turn its place and version, and make it live if it is the first one."""
        spot, timeline = recorder.request.spot, self._state.timeline
        with self._state.lock:
            if self._place is None:
                self._place = timeline.reserve(spot.place, len(self._recorders))
                self._state.comparisons.add(self.comparison_id)
            place, first = self._place
            sent = replace(turn.sent, above=timeline.checksum_above(place))
            sent = replace(sent, comparison=self.comparison_id, column=recorder.column)
            turn = replace(turn, place=place, version=first + recorder.index, sent=sent, live=not recorder.index)
            self._turns[recorder.index] = turn.turn_id
            records: Saved = []
            if turn.live:
                replaced = timeline.live_at({place, *spot.clears})
                records = timeline.change(spot.kind, added=[turn], removed=replaced)
            else:
                timeline.update(turn)
            self._notebook_history.begin(self._state, turn, [record for record in records if record != turn])
        return turn

    def end(self, turn: Turn) -> Turn:
        """Save the ended turn. The last one settles which turn is live."""
        timeline = self._state.timeline
        with self._state.lock:
            timeline.update(turn)
            records = self._count_ended()
            turn = timeline.get(turn.turn_id)
            self._notebook_history.end(self._state, turn, [record for record in records if record != turn])
            self._notebook_history.unload(self._state)
        return turn

    def end_unsent(self) -> None:
        """Note that a reply has ended whose turn never began."""
        with self._state.lock:
            if records := self._count_ended():
                self._notebook_history.save(self._state, *records)

    def _count_ended(self) -> Saved:
        self._ended += 1
        if not self._turns or self._ended < len(self._recorders):
            return []
        self._state.comparisons.discard(self.comparison_id)
        return self._settle()

    def _settle(self) -> Saved:
        """Let the turn be live that counts. One that the user has chosen meanwhile stays live."""
        timeline = self._state.timeline
        turns = [timeline.get(self._turns[index]) for index in sorted(self._turns)]
        if 0 not in self._turns:  # it was stopped before it began, so no turn was ever live
            spot = self._recorders[0].request.spot
            others = timeline.live_at({turns[0].place, *spot.clears})
            return timeline.change(spot.kind, added=turns[:1], removed=others)
        first, answered = turns[0], [turn for turn in turns if turn.answer.strip()]
        complete = [turn for turn in answered if turn.status == "complete"]
        best = next(iter((*complete, *answered)), None)
        if best is not None:
            return timeline.substitute(first.turn_id, best.turn_id) if best is not first else []
        if first.status == "complete":
            return []
        records = timeline.withdraw(first.turn_id)
        run = self._state.runs.get(first.cell_id)
        if records and run is not None and run.run == first.run:
            run.prompt_count -= 1  # the next prompt of this run takes that place
        return records


class ComparedRecorder(TurnRecorder):
    """Records one reply of a comparison."""

    compared: ComparedTurns
    index: int  # among the replies that are recorded, from 0
    column: int  # among all columns, from 1

    def _begin(self, turn: Turn) -> Turn:
        self._load_replaced()
        return self.compared.begin(turn, self)

    def end(self, reply: Reply, status: Status) -> None:
        """Save the end of the turn, if it ever began."""
        if self._turn is None:
            self.compared.end_unsent()
        super().end(reply, status)

    def _end(self, turn: Turn, *, empty: bool) -> Turn:  # noqa: ARG002
        return self.compared.end(turn)

"""Which turns of a conversation are live, and how that changed: in memory, without a file.

A turn stands at a place. What is asked again at that place is another version of it; one version at most is live. Every
change names the turns that became live by it and those that stopped, so it can be undone and redone, and no turn is
ever thrown away. Each method that changes something returns the records that have to be saved.

The oldest turns can be set aside: then they are in the file alone, and only counted here. ``reload`` returns them.
"""

from __future__ import annotations

import time
from array import array
from bisect import bisect_left, insort
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from uuid import uuid4

from flowgpt_magic.errors import NothingToUndoError, TurnNotFoundError
from flowgpt_magic.history.records import ChangeRecord
from flowgpt_magic.messages import Turn

Saved = list[Turn | ChangeRecord]
CHANGES = 200  # changes that stay in memory when older turns are set aside


def _order(turn: Turn) -> tuple[int, int, float]:
    return turn.place, turn.version, turn.started


class Timeline:
    """The turns of one conversation, in order, with the changes that can be undone."""

    def __init__(
        self,
        conversation_id: str,
        turns: Iterable[Turn] = (),
        changes: Iterable[ChangeRecord] = (),
        newest_versions: Mapping[int, int] | None = None,
    ) -> None:
        """``turns`` are those that are live, and perhaps others; ``newest_versions`` says what else was ever asked."""
        self._newest = dict(newest_versions or {})
        self._last_place = max(self._newest, default=0)
        self._conversation_id = conversation_id
        self._turns: dict[str, Turn] = {}
        self._at: dict[int, dict[str, None]] = {}  # for each place the ids of its turns: a dict keeps their order
        self._live: list[Turn] = []  # in order
        # Of the live turns that are set aside: the hashes of their ids and cells, and how many of them have an answer.
        self._aside, self._aside_cells, self._aside_answered = array("q"), set[int](), 0
        self._horizon = 0  # what is at places up to this one is set aside
        self._add(turns)
        # A change that was undone before another one was made cannot be redone: its number is negative.
        self._changes = sorted((change for change in changes if change.number > 0), key=lambda change: change.number)
        self._earlier = 0  # the number of the last change that is in the file alone

    def _add(self, turns: Iterable[Turn]) -> None:
        """Add turns that are not known yet."""
        live = self._live
        for turn in turns:
            self._note(turn)
            if turn.live:
                live.append(turn)
        live.sort(key=_order)

    def _note(self, turn: Turn) -> None:
        self._turns[turn.turn_id] = turn
        self._at.setdefault(turn.place, {})[turn.turn_id] = None
        self._newest[turn.place] = max(self._newest.get(turn.place, 0), turn.version)
        self._last_place = max(self._last_place, turn.place)

    def _put(self, turn: Turn) -> None:
        known = self._turns.get(turn.turn_id)
        if known is not None and known.live:
            place = bisect_left(self._live, _order(known), key=_order)
            while self._live[place] is not known:  # two kernels may have asked at one place
                place += 1
            if turn.live and _order(turn) == _order(known):
                self._live[place] = turn
            else:
                del self._live[place]
        if turn.live and (known is None or not known.live or _order(turn) != _order(known)):
            insort(self._live, turn, key=_order)
        self._note(turn)

    @property
    def live(self) -> list[Turn]:
        """The turns that count, in order, without those that are set aside."""
        return list(self._live)

    @property
    def count(self) -> int:
        """How many turns count, with those that are set aside."""
        return len(self._aside) + len(self._live)

    def live_before(self, place: int | None) -> list[Turn]:
        """The live turns before a place, all for None; without those that are set aside."""
        return self._live[: None if place is None else bisect_left(self._live, (place, -1, 0.0), key=_order)]

    # Turns that are in the file alone

    @property
    def unloaded_answers(self) -> int:
        """How many of the turns that are set aside have an answer."""
        return self._aside_answered

    @property
    def is_loaded(self) -> bool:
        """Is no turn set aside?"""
        return not self._aside

    def has_unloaded(self, *, number: int = 0, place: int | None = None, cell_id: str = "") -> bool:
        """Is a turn set aside that has this number, is at this place or before it, or is perhaps one of this cell?"""
        if self.is_loaded:
            return False
        by_number = 0 < number <= len(self._aside) or -self.count <= number < -len(self._live)
        return by_number or (place is not None and place <= self._horizon) or hash(cell_id) in self._aside_cells

    def unload(self, count: int) -> None:
        """Set the ``count`` oldest turns aside that are live, and whatever else was asked at their places."""
        gone = self._live[:count]
        self._horizon = gone[-1].place
        for turn in gone:
            self._aside.append(hash(turn.turn_id))
            self._aside_cells |= {hash(turn.cell_id)} if turn.cell_id else set()
            self._aside_answered += bool(turn.answer.strip())
        del self._live[:count]
        for place in [each for each in self._newest if each <= self._horizon]:
            del self._newest[place]
            for turn_id in self._at.pop(place, ()):
                del self._turns[turn_id]
        surplus = min(len(self._changes) - CHANGES, len(self._changes) - len(self._redoable()))
        if surplus > 0:
            self._earlier = self._changes[surplus - 1].number
            del self._changes[:surplus]

    def reload(self, turns: Iterable[Turn], newest_versions: Mapping[int, int]) -> None:
        """Take back what was set aside; ``turns`` are the live ones of the file, among others."""
        aside = set(self._aside)
        self._aside, self._aside_cells, self._aside_answered = array("q"), set(), 0
        self._horizon = 0
        for place, version in newest_versions.items():
            self._newest[place] = max(self._newest.get(place, 0), version)
        self._add(turn for turn in turns if hash(turn.turn_id) in aside and turn.turn_id not in self._turns)

    def lacks_older_changes(self) -> bool:
        """Is the change that an undo is about in the file alone?"""
        return bool(self._earlier) and self._last_done() is None

    def load_older_changes(self, changes: Iterable[ChangeRecord]) -> None:
        """Take over those of ``changes`` that are in the file alone; they are in order."""
        self._changes[:0] = [change for change in changes if 0 < change.number <= self._earlier]
        self._earlier = 0

    def versions(self, place: int) -> list[Turn]:
        """What is known of all that was asked at a place, oldest first."""
        return sorted((self._turns[turn_id] for turn_id in self._at.get(place, ())), key=_order)

    def live_at(self, places: Iterable[int]) -> list[Turn]:
        """The live turns at these places, in order."""
        return [turn for place in sorted(set(places)) for turn in self.versions(place) if turn.live]

    def turn_by_number(self, number: int) -> Turn:
        """The live turn with this number, from 1 on; -1 is the last. Raises ``TurnNotFoundError``."""
        count = self.count
        if number == 0 or abs(number) > count:
            if not count:
                raise TurnNotFoundError("there are no turns yet")
            raise TurnNotFoundError(f"no turn {number}: there are {count}")
        return self._live[number - 1 - len(self._aside) if number > 0 else number]

    def next_place(self) -> int:
        """The place after all that were ever taken."""
        return self._last_place + 1

    def next_version(self, place: int) -> int:
        """The number of the next version at a place."""
        return self._newest.get(place, 0) + 1

    def update(self, turn: Turn) -> None:
        """Take over what has become of a turn; whether it is live stays as it is here."""
        known = self._turns.get(turn.turn_id)
        self._put(replace(turn, live=known.live) if known else turn)

    def get(self, turn_id: str) -> Turn:
        """The turn of this id."""
        return self._turns[turn_id]

    def change(self, kind: str, added: Sequence[Turn] = (), removed: Sequence[Turn] = ()) -> Saved:
        """Make ``added`` live and ``removed`` not; what was undone before can no longer be redone."""
        dropped = [replace(change, number=-change.number) for change in self._redoable()]
        last = self._changes[-1].number if self._changes else self._earlier
        del self._changes[len(self._changes) - len(dropped) :]
        change = ChangeRecord(
            change_id=uuid4().hex,
            conversation_id=self._conversation_id,
            number=last + 1,
            kind=kind,
            added=tuple(turn.turn_id for turn in added),
            removed=tuple(turn.turn_id for turn in removed),
            undone=False,
            made=time.time(),
        )
        self._changes.append(change)
        for turn in added:
            if turn.turn_id not in self._turns:
                self._put(turn)
        return [*self._apply(change.added, change.removed), *dropped, change]

    def separate(self) -> list[Turn]:
        """Give live turns that two kernels put at one place places of their own; returns those that were moved."""
        moved = []
        for before, turn in pairwise(self.live):
            if turn.place == before.place:
                self._at[turn.place].pop(turn.turn_id)
                moved.append(replace(turn, place=self.next_place()))
                self._put(moved[-1])
        return moved

    def missing_turns(self, *, redo: bool = False) -> list[str]:
        """The turns that the next undo, or redo, is about and that are not here yet: ``update`` them first."""
        change = next(iter(self._redoable()), None) if redo else self._last_done()
        return [each for each in (*change.added, *change.removed) if each not in self._turns] if change else []

    def _last_done(self) -> ChangeRecord | None:
        return next((change for change in reversed(self._changes) if not change.undone), None)

    def undo(self) -> tuple[ChangeRecord, Saved]:
        """Take the last change back. Raises ``NothingToUndoError``."""
        done = self._last_done()
        if done is None:
            raise NothingToUndoError("there is nothing to undo")
        change = self._mark(done, undone=True)
        return change, [*self._apply(change.removed, change.added), change]

    def redo(self) -> tuple[ChangeRecord, Saved]:
        """Make the change again that was undone last. Raises ``NothingToUndoError``."""
        undone = self._redoable()
        if not undone:
            raise NothingToUndoError("there is nothing to redo")
        change = self._mark(undone[0], undone=False)
        return change, [*self._apply(change.added, change.removed), change]

    def withdraw(self, turn_id: str) -> Saved:
        """Take back the change that put an empty reply in the place of other turns, as if it had not been made.

        Where somebody else has taken that place since, they took it from those other turns.
        """
        made = next((each for each in reversed(self._changes) if turn_id in each.added and not each.undone), None)
        if made is None or not made.removed:
            return []
        taken = next((each for each in self._changes if turn_id in each.removed and not each.undone), None)
        if not (self._turns[turn_id].live or taken):
            return []
        self._changes.remove(made)
        gone = replace(made, number=-made.number, undone=True)
        if taken is None:
            return [*self._apply(made.removed, made.added), gone]
        others = replace(taken, removed=(*(each for each in taken.removed if each != turn_id), *made.removed))
        self._changes[self._changes.index(taken)] = others
        return [gone, others]

    def _redoable(self) -> list[ChangeRecord]:
        """The changes at the end that are undone, oldest first."""
        start = len(self._changes)
        while start and self._changes[start - 1].undone:
            start -= 1
        return self._changes[start:]

    def _mark(self, change: ChangeRecord, *, undone: bool) -> ChangeRecord:
        marked = replace(change, undone=undone)
        self._changes[self._changes.index(change)] = marked
        return marked

    def _apply(self, live: Iterable[str], not_live: Iterable[str]) -> list[Turn]:
        """Set the marks; a turn that this kernel has not loaded is left as the file has it."""
        changed = []
        for turn_id, mark in [*((each, False) for each in not_live), *((each, True) for each in live)]:
            if turn_id in self._turns and self._turns[turn_id].live is not mark:
                self._put(replace(self._turns[turn_id], live=mark))
                changed.append(self._turns[turn_id])
        return changed

"""Which turns of a conversation are live, with undo and redo: in memory, without a file.

Each turn has a place. Asking again at a place makes another version, and at most one version is live. A change names
the turns that became live and those that stopped being live, so it can be undone and redone; no turn is ever deleted.
Methods that change something return the records to save.

The oldest turns can be unloaded: then they are only in the file, and counted here. ``reload`` brings them back.
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
from flowgpt_magic.messages import Turn, checksum

Saved = list[Turn | ChangeRecord]
CHANGES_IN_MEMORY = 200  # changes that stay in memory when turns are unloaded


def _order(turn: Turn) -> tuple[int, int, float]:
    return turn.place, turn.version, turn.started


class Timeline:
    """The turns of one conversation in order, and its changes."""

    def __init__(
        self,
        conversation_id: str,
        turns: Iterable[Turn] = (),
        changes: Iterable[ChangeRecord] = (),
        newest_versions: Mapping[int, int] | None = None,
    ) -> None:
        """Create a timeline.

        Args:
            conversation_id: the conversation's id.
            turns: all live turns, and perhaps others.
            changes: the newest changes, in any order.
            newest_versions: for each place, the highest version ever asked.
        """
        self._newest = dict(newest_versions or {})
        self._last_place = max(self._newest, default=0)
        self._conversation_id = conversation_id
        self._turns: dict[str, Turn] = {}
        self._at: dict[int, dict[str, None]] = {}  # by place, the ids of its turns: a dict keeps their order
        self._live: list[Turn] = []  # in order
        # Of the unloaded live turns: the hashes of their ids and cells, and how many have an answer.
        self._unloaded, self._unloaded_cells, self._unloaded_answers = array("q"), set[int](), 0
        self._unloaded_checksum = 0
        self._horizon = 0  # turns at places up to this one are unloaded
        self._add(turns)
        # A negative number marks a change that can no longer be redone, because another one was made after its undo.
        self._changes = sorted((change for change in changes if change.number > 0), key=lambda change: change.number)
        self._last_unloaded_change = 0  # the number of the last change that is only in the file

    def _add(self, turns: Iterable[Turn]) -> None:
        """Add new turns."""
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
        before = self._turns.get(turn.turn_id)
        if before is not None and before.live:
            index = bisect_left(self._live, _order(before), key=_order)
            while self._live[index] is not before:  # two kernels may have asked at one place
                index += 1
            if turn.live and _order(turn) == _order(before):
                self._live[index] = turn
            else:
                del self._live[index]
        if turn.live and (before is None or not before.live or _order(turn) != _order(before)):
            insort(self._live, turn, key=_order)
        self._note(turn)

    @property
    def live(self) -> list[Turn]:
        """The live turns in memory, in order."""
        return list(self._live)

    @property
    def count(self) -> int:
        """The number of live turns, including unloaded ones."""
        return len(self._unloaded) + len(self._live)

    def live_before(self, place: int | None) -> list[Turn]:
        """The live turns in memory before a place; all for None."""
        return self._live[: None if place is None else bisect_left(self._live, (place, -1, 0.0), key=_order)]

    def checksum_above(self, place: int) -> int | None:
        """The checksum of the live turns above a place; None while one of them arrives."""
        turns = self.live_before(place)
        arriving = any(turn.status == "streaming" for turn in turns)
        return None if arriving else checksum(turns, self._unloaded_checksum)

    # Unloaded turns

    @property
    def unloaded_answers(self) -> int:
        """How many unloaded turns have an answer."""
        return self._unloaded_answers

    @property
    def is_loaded(self) -> bool:
        """Are all live turns in memory?"""
        return not self._unloaded

    def has_unloaded(self, *, number: int = 0, place: int | None = None, cell_id: str = "") -> bool:
        """Is a turn unloaded that has this number, is at or before this place, or may belong to this cell?

        Args:
            number: a turn's number as in ``turn_by_number``; 0 for none.
            place: None for none.
            cell_id: compared by hash, so that another cell's turn may count too; empty for none.
        """
        if self.is_loaded:
            return False
        by_number = 0 < number <= len(self._unloaded) or -self.count <= number < -len(self._live)
        return by_number or (place is not None and place <= self._horizon) or hash(cell_id) in self._unloaded_cells

    def unload(self, count: int) -> None:
        """Unload the ``count`` oldest live turns, and all versions at their places."""
        turns = self._live[:count]
        self._unloaded_checksum = checksum(turns, self._unloaded_checksum)
        self._horizon = turns[-1].place
        for turn in turns:
            self._unloaded.append(hash(turn.turn_id))
            self._unloaded_cells |= {hash(turn.cell_id)} if turn.cell_id else set()
            self._unloaded_answers += bool(turn.answer.strip())
        del self._live[:count]
        for place in [place for place in self._newest if place <= self._horizon]:
            del self._newest[place]
            for turn_id in self._at.pop(place, ()):
                del self._turns[turn_id]
        surplus = min(len(self._changes) - CHANGES_IN_MEMORY, len(self._changes) - len(self._redoable()))
        if surplus > 0:
            self._last_unloaded_change = self._changes[surplus - 1].number
            del self._changes[:surplus]

    def reload(self, turns: Iterable[Turn], newest_versions: Mapping[int, int]) -> None:
        """Take unloaded turns back. ``turns`` are all live turns of the file, and perhaps others."""
        unloaded = set(self._unloaded)
        self._unloaded, self._unloaded_cells, self._unloaded_answers = array("q"), set(), 0
        self._horizon = self._unloaded_checksum = 0
        for place, version in newest_versions.items():
            self._newest[place] = max(self._newest.get(place, 0), version)
        self._add(turn for turn in turns if hash(turn.turn_id) in unloaded and turn.turn_id not in self._turns)

    def lacks_older_changes(self) -> bool:
        """Is the change that the next undo takes back only in the file?"""
        return bool(self._last_unloaded_change) and self._last_done() is None

    def load_older_changes(self, changes: Iterable[ChangeRecord]) -> None:
        """Add those of ``changes``, which are in order, that are not in memory."""
        self._changes[:0] = [change for change in changes if 0 < change.number <= self._last_unloaded_change]
        self._last_unloaded_change = 0

    def versions(self, place: int) -> list[Turn]:
        """The versions at a place that are in memory, oldest first."""
        return sorted((self._turns[turn_id] for turn_id in self._at.get(place, ())), key=_order)

    def live_at(self, places: Iterable[int]) -> list[Turn]:
        """The live turns at these places, in order."""
        return [turn for place in sorted(set(places)) for turn in self.versions(place) if turn.live]

    def turn_by_number(self, number: int) -> Turn:
        """The live turn with this number: 1 is the first, -1 the last. Raises ``TurnNotFoundError``."""
        count = self.count
        if number == 0 or abs(number) > count:
            if not count:
                raise TurnNotFoundError("there are no turns yet")
            raise TurnNotFoundError(f"no turn {number}: there are {count}")
        return self._live[number - 1 - len(self._unloaded) if number > 0 else number]

    def next_place(self) -> int:
        """The place after all places ever used."""
        return self._last_place + 1

    def next_version(self, place: int) -> int:
        """The number of the next version at a place."""
        return self._newest.get(place, 0) + 1

    def reserve(self, place: int | None, count: int) -> tuple[int, int]:
        """Reserve the numbers of the next ``count`` versions at a place, which may be a new one (None).

        Returns the place and the first of the numbers.
        """
        place = self.next_place() if place is None else place
        first = self.next_version(place)
        self._newest[place] = first + count - 1
        self._last_place = max(self._last_place, place)
        return place, first

    def update(self, turn: Turn) -> None:
        """Add or replace a turn. A turn that is replaced stays live, or not live."""
        before = self._turns.get(turn.turn_id)
        self._put(replace(turn, live=before.live) if before else turn)

    def get(self, turn_id: str) -> Turn:
        """The turn with this id."""
        return self._turns[turn_id]

    def find(self, turn_id: str) -> Turn | None:
        """The turn with this id; None if it is not in memory."""
        return self._turns.get(turn_id)

    def change(self, kind: str, added: Sequence[Turn] = (), removed: Sequence[Turn] = ()) -> Saved:
        """Make ``added`` live and ``removed`` not live. Changes undone before can no longer be redone."""
        dropped = [replace(change, number=-change.number) for change in self._redoable()]
        last = self._changes[-1].number if self._changes else self._last_unloaded_change
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
        """Move live turns that two kernels put at the same place to places of their own; returns the moved turns."""
        moved = []
        for before, turn in pairwise(self.live):
            if turn.place == before.place:
                self._at[turn.place].pop(turn.turn_id)
                moved.append(replace(turn, place=self.next_place()))
                self._put(moved[-1])
        return moved

    def missing_turns(self, *, redo: bool = False) -> list[str]:
        """The ids of turns that the next undo or redo needs and that are not in memory: ``update`` them first."""
        change = next(iter(self._redoable()), None) if redo else self._last_done()
        return [id_ for id_ in (*change.added, *change.removed) if id_ not in self._turns] if change else []

    def _last_done(self) -> ChangeRecord | None:
        return next((change for change in reversed(self._changes) if not change.undone), None)

    def undo(self) -> tuple[ChangeRecord, Saved]:
        """Take the last change back. Raises ``NothingToUndoError``."""
        last = self._last_done()
        if last is None:
            raise NothingToUndoError("there is nothing to undo")
        change = self._mark(last, undone=True)
        return change, [*self._apply(change.removed, change.added), change]

    def redo(self) -> tuple[ChangeRecord, Saved]:
        """Repeat the change that was undone last. Raises ``NothingToUndoError``."""
        undone = self._redoable()
        if not undone:
            raise NothingToUndoError("there is nothing to redo")
        change = self._mark(undone[0], undone=False)
        return change, [*self._apply(change.added, change.removed), change]

    def substitute(self, turn_id: str, other_id: str) -> Saved:
        """Let another turn be live instead, as if the change had added that one. No effect if the turn is not live."""
        change = next((each for each in reversed(self._changes) if turn_id in each.added and not each.undone), None)
        if change is None or not self._turns[turn_id].live:
            return []
        added = tuple(other_id if each == turn_id else each for each in change.added)
        rewritten = replace(change, added=added)
        self._changes[self._changes.index(change)] = rewritten
        return [*self._apply([other_id], [turn_id]), rewritten]

    def withdraw(self, turn_id: str) -> Saved:
        """Cancel the change by which an empty reply replaced other turns, as if it had never been made.

        If a later change has replaced the empty reply, it now counts as having replaced those other turns.
        """
        change = next((each for each in reversed(self._changes) if turn_id in each.added and not each.undone), None)
        if change is None or not change.removed:
            return []
        later = next((each for each in self._changes if turn_id in each.removed and not each.undone), None)
        if not (self._turns[turn_id].live or later):
            return []
        self._changes.remove(change)
        cancelled = replace(change, number=-change.number, undone=True)
        if later is None:
            return [*self._apply(change.removed, change.added), cancelled]
        removed = (*(each for each in later.removed if each != turn_id), *change.removed)
        rewritten = replace(later, removed=removed)
        self._changes[self._changes.index(later)] = rewritten
        return [cancelled, rewritten]

    def _redoable(self) -> list[ChangeRecord]:
        """The undone changes at the end, oldest first."""
        start = len(self._changes)
        while start and self._changes[start - 1].undone:
            start -= 1
        return self._changes[start:]

    def _mark(self, change: ChangeRecord, *, undone: bool) -> ChangeRecord:
        marked = replace(change, undone=undone)
        self._changes[self._changes.index(change)] = marked
        return marked

    def _apply(self, live: Iterable[str], not_live: Iterable[str]) -> list[Turn]:
        """Set ``live`` on the turns that are in memory; returns those that changed."""
        changed = []
        for turn_id, mark in [*dict.fromkeys(not_live, False).items(), *dict.fromkeys(live, True).items()]:
            if turn_id in self._turns and self._turns[turn_id].live is not mark:
                self._put(replace(self._turns[turn_id], live=mark))
                changed.append(self._turns[turn_id])
        return changed

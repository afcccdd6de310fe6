"""The state of a conversation: the last runs of its cells, and turns that are in the file only."""

from __future__ import annotations

from concurrent.futures import Future
from unittest.mock import Mock

import pytest

from flowgpt_magic.history import conversation_state
from flowgpt_magic.history.conversation_state import CELLS_REMEMBERED, CellRun, ConversationState, StoredConversation
from flowgpt_magic.history.timeline import Timeline
from flowgpt_magic.messages import Turn
from tests.records import conversation_record, notebook_record, turn_record

RECORD = conversation_record(notebook_record())
TURNS = tuple(turn_record(RECORD, place=place, status="complete", text="text") for place in range(1, 11))
SAVED: Future[None] = Future()
SAVED.set_result(None)


@pytest.fixture
def state(monkeypatch: pytest.MonkeyPatch) -> ConversationState:
    """The state of a conversation of ten saved turns, of which three stay in memory."""
    monkeypatch.setattr(conversation_state, "TURNS_IN_MEMORY", 3)
    versions = dict.fromkeys(range(1, 11), 1)
    stored = StoredConversation(lambda: (TURNS, versions), tuple)
    return ConversationState(RECORD, Timeline(RECORD.conversation_id, TURNS, (), versions), stored=stored)


def unload(state: ConversationState, saved: Future[None] = SAVED) -> None:
    """End two turns: the first call asks for a save, the second one sees that it is done."""
    for _turn in range(2):
        state.unload(lambda: saved, lambda _turn: True)


def places(turns: list[Turn]) -> list[int]:
    return [turn.place for turn in turns]


def test_the_oldest_turns_are_unloaded_and_read_again_when_needed(state):
    unload(state)
    assert places(state.timeline.live) == [8, 9, 10]

    assert places(state.live()) == list(range(1, 11))


def test_turns_that_are_not_saved_yet_stay(state):
    unload(state, Future())

    assert state.timeline.is_loaded


def test_a_turn_that_changed_after_it_was_saved_stays(state):
    state.unload(lambda: SAVED, lambda _turn: True)
    state.timeline.update(turn_record(RECORD, turn_id=TURNS[0].turn_id, place=1, text="new", status="complete"))
    state.unload(lambda: SAVED, lambda _turn: True)

    assert state.timeline.is_loaded


def test_nothing_is_unloaded_while_a_reply_arrives(state):
    state.replies["id"] = Mock()
    unload(state)

    assert state.timeline.is_loaded


def test_turns_that_may_not_go_stay(state):
    for _turn in range(2):
        state.unload(lambda: SAVED, lambda turn: turn.place != 5)

    assert state.timeline.is_loaded


def test_twice_as_many_turns_as_were_sent_stay(state):
    state.sent = 4
    unload(state)
    assert state.timeline.is_loaded  # of ten turns, fewer than twice eight

    state.sent = 2
    unload(state)

    assert places(state.timeline.live) == [7, 8, 9, 10]


def test_two_live_turns_at_one_place_are_not_separated(state):
    turn = turn_record(RECORD, place=8, version=2, status="complete", text="of another kernel")
    state.timeline.update(turn)  # the boundary is now between the two turns at place 8
    unload(state)
    unload(state)

    assert state.timeline.is_loaded
    assert [other.place for other in state.timeline.live].count(8) == 2


def test_without_a_file_nothing_is_unloaded(state):
    state.stored = None
    unload(state)

    assert state.timeline.is_loaded


def test_the_cell_whose_last_run_is_oldest_is_forgotten(state):
    for number in range(CELLS_REMEMBERED):
        state.remember(str(number), CellRun("run", []))
    state.remember("0", CellRun("again", []))
    state.remember("new", CellRun("run", []))

    assert len(state.runs) == CELLS_REMEMBERED
    assert "1" not in state.runs
    assert state.runs["0"].run == "again"

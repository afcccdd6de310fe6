"""Which turns are live, and how that changes: nothing is lost, the order stays."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from flowgpt_magic.errors import NothingToUndoError, TurnNotFoundError
from flowgpt_magic.history import timeline as timeline_module
from flowgpt_magic.history.records import ChangeRecord
from flowgpt_magic.history.timeline import Timeline
from flowgpt_magic.messages import Turn, checksum
from tests.records import conversation_record, notebook_record, turn_record

CONVERSATION = conversation_record(notebook_record())


def turn(place: int, prompt: str = "", **values: Any) -> Turn:
    return turn_record(CONVERSATION, place=place, prompt=prompt or f"prompt {place}", **{"cell_id": "", **values})


def timeline(*turns: Turn) -> Timeline:
    """A timeline on which these turns were asked one after the other."""
    made = Timeline(CONVERSATION.conversation_id)
    for each in turns:
        made.change("ask", [each])
    return made


def prompts(made: Timeline) -> list[str]:
    return [each.prompt for each in made.live]


def test_live_turns_stand_in_the_order_of_their_places():
    assert prompts(timeline(turn(1), turn(3), turn(2))) == ["prompt 1", "prompt 2", "prompt 3"]


def test_a_change_takes_turns_off_and_puts_others_in_their_place():
    first, second = turn(1), turn(2)
    made = timeline(first, second)

    made.change("rerun", [turn(1, "again", version=2)], [first])

    assert prompts(made) == ["again", "prompt 2"]
    assert [each.prompt for each in made.versions(1)] == ["prompt 1", "again"]
    assert (made.next_place(), made.next_version(1)) == (3, 3)


def test_what_was_done_is_undone_in_turn_and_can_be_done_again():
    made = timeline(turn(1), turn(2))

    undone = [made.undo()[0].kind, made.undo()[0].kind]
    nothing = prompts(made)
    made.redo()
    one = prompts(made)
    made.redo()

    assert undone == ["ask", "ask"]
    assert (nothing, one, prompts(made)) == ([], ["prompt 1"], ["prompt 1", "prompt 2"])


def test_with_nothing_left_to_undo_or_redo_it_says_so():
    made = timeline(turn(1))

    with pytest.raises(NothingToUndoError, match="nothing to redo"):
        made.redo()
    made.undo()
    with pytest.raises(NothingToUndoError, match="nothing to undo"):
        made.undo()


def test_after_a_new_change_what_was_undone_cannot_be_redone_but_is_kept():
    made = timeline(turn(1), turn(2))
    made.undo()

    saved = made.change("ask", [turn(3)])

    assert prompts(made) == ["prompt 1", "prompt 3"]
    assert [each.prompt for each in made.versions(2)] == ["prompt 2"]
    assert [each.number for each in saved if isinstance(each, ChangeRecord)] == [-2, 3]
    with pytest.raises(NothingToUndoError):
        made.redo()


def test_what_it_returns_is_all_it_takes_to_have_it_back():
    first = turn(1)
    made = Timeline(CONVERSATION.conversation_id)
    kept: dict[str, Turn | ChangeRecord] = {}

    def keep(records: list[Turn | ChangeRecord]) -> None:
        kept.update({each.turn_id if isinstance(each, Turn) else each.change_id: each for each in records})

    keep([first, *made.change("ask", [first])])
    second = turn(1, "again", version=2)
    keep([second, *made.change("rerun", [second], [first])])
    keep(made.undo()[1])
    loaded = Timeline(
        CONVERSATION.conversation_id,
        [each for each in kept.values() if isinstance(each, Turn)],
        [each for each in kept.values() if isinstance(each, ChangeRecord)],
    )

    assert prompts(loaded) == ["prompt 1"]
    loaded.redo()
    assert prompts(loaded) == ["again"]


def test_an_empty_reply_gives_the_place_back_as_if_it_had_never_been_asked():
    first, failed = turn(1), turn(1, "again", version=2)
    made = timeline(first)
    made.change("rerun", [failed], [first])

    saved = made.withdraw(failed.turn_id)

    assert prompts(made) == ["prompt 1"]
    assert [each.number for each in saved if isinstance(each, ChangeRecord)] == [-2]
    assert made.undo()[0].added == (first.turn_id,)


def test_an_empty_reply_that_took_nobodys_place_stays():
    alone = turn(1)
    made = timeline(alone)

    assert made.withdraw(alone.turn_id) == []
    assert prompts(made) == ["prompt 1"]


def test_turns_are_numbered_from_one_on_and_from_the_end():
    made = timeline(turn(1), turn(7))

    assert [made.turn_by_number(number).prompt for number in (1, 2, -1, -2)] == [
        "prompt 1",
        "prompt 7",
        "prompt 7",
        "prompt 1",
    ]
    for number in (0, 3, -3):
        with pytest.raises(TurnNotFoundError, match=f"no turn {number}: there are 2"):
            made.turn_by_number(number)
    with pytest.raises(TurnNotFoundError, match="there are no turns yet"):
        timeline().turn_by_number(-1)


def test_what_becomes_of_a_turn_does_not_make_it_live_again():
    first = turn(1)
    made = timeline(first)
    made.undo()

    made.update(replace(first, text="the end", status="complete"))

    assert made.live == []
    assert made.get(first.turn_id).text == "the end"


def test_where_two_tried_again_at_once_an_empty_one_gives_its_place_to_nobody():
    first, second, third = turn(1), turn(1, "again", version=2), turn(1, "and again", version=3)
    made = timeline(first)
    made.change("retry", [second], [first])
    made.change("retry", [third], [second])

    made.withdraw(second.turn_id)
    shown = prompts(made)
    made.undo()

    assert shown == ["and again"]
    assert prompts(made) == ["prompt 1"]


def test_live_turns_that_two_kernels_put_at_one_place_get_places_of_their_own():
    made = Timeline(
        CONVERSATION.conversation_id, [turn(1), turn(2, "a", started=1.0), turn(2, "b", started=2.0), turn(3)]
    )

    (moved,) = made.separate()

    assert (moved.prompt, moved.place) == ("b", 4)
    assert prompts(made) == ["prompt 1", "a", "prompt 3", "b"]
    assert made.separate() == []


def test_what_was_asked_before_and_is_not_loaded_counts_for_places_and_versions():
    made = Timeline(CONVERSATION.conversation_id, [turn(1, version=3)], newest_versions={1: 5, 7: 2})

    assert (made.next_place(), made.next_version(1), made.next_version(7)) == (8, 6, 3)


def test_an_undo_names_the_turns_it_needs():
    first, second = turn(1), turn(1, "again", version=2)
    before = timeline(first)
    changes = [each for each in before.change("rerun", [second], [first]) if isinstance(each, ChangeRecord)]
    made = Timeline(CONVERSATION.conversation_id, [replace(second, live=True)], changes)

    unknown = made.missing_turns()
    made.update(replace(first, live=False))
    made.undo()

    assert unknown == [first.turn_id]
    assert prompts(made) == ["prompt 1"]


def test_places_up_to_the_last_unloaded_turn_count_as_unloaded():
    made = timeline(turn(1), turn(2, cell_id="cell"), turn(3))
    made.unload(2)

    assert [made.has_unloaded(place=place) for place in (1, 2, 3)] == [True, True, False]
    assert [made.has_unloaded(number=number) for number in (1, 2, 3, -1, -2, -3)] == [
        True,
        True,
        False,
        False,
        True,
        True,
    ]
    assert made.has_unloaded(cell_id="cell")
    assert not made.has_unloaded(cell_id="other")


def test_the_checksum_of_the_turns_above_is_that_of_their_texts_also_after_they_are_unloaded():
    turns = [turn(place, status="complete") for place in (1, 2, 3)]
    made = timeline(*turns)
    whole = made.checksum_above(4)
    made.unload(2)

    assert made.checksum_above(4) == whole == checksum(turns)
    assert made.checksum_above(4) != timeline(turns[0], turns[2]).checksum_above(4)


def test_the_checksum_is_unknown_while_a_turn_above_arrives():
    made = timeline(turn(1, status="complete"), turn(2, status="streaming"))

    assert made.checksum_above(3) is None
    assert made.checksum_above(2) is not None


def test_changes_that_can_be_redone_stay_in_memory_when_turns_are_unloaded(monkeypatch):
    monkeypatch.setattr(timeline_module, "CHANGES_IN_MEMORY", 1)
    made = timeline(*(turn(place) for place in range(1, 5)))
    made.undo()
    made.undo()

    made.unload(1)
    made.redo()
    made.redo()

    assert prompts(made) == ["prompt 2", "prompt 3", "prompt 4"]
    with pytest.raises(NothingToUndoError):
        made.redo()


def test_reserved_versions_are_not_taken_by_others():
    made = timeline(turn(1))

    assert made.reserve(1, 3) == (1, 2)
    assert made.next_version(1) == 5
    assert made.reserve(None, 2) == (2, 1)
    assert (made.next_place(), made.next_version(2)) == (3, 3)


def test_another_turn_can_take_the_place_of_one_as_if_the_change_had_added_it():
    made = timeline(turn(1, "before"))
    first, other = turn(1, "first", version=2), turn(1, "other", version=3)
    made.change("ask", [first], made.live)
    made.update(replace(other, live=False))

    saved = made.substitute(first.turn_id, other.turn_id)

    assert prompts(made) == ["other"]
    assert {record.turn_id for record in saved if isinstance(record, Turn)} == {first.turn_id, other.turn_id}
    made.undo()
    assert prompts(made) == ["before"]
    made.redo()
    assert prompts(made) == ["other"]
    assert made.substitute(first.turn_id, other.turn_id) == []

"""What a transcript holds, from the history and from JSON, and how another conversation takes it over."""

from __future__ import annotations

import pytest

from flowgpt_magic.messages import Usage
from flowgpt_magic.transcripts.transcript import (
    HEADER,
    Transcript,
    TranscriptTurn,
    as_turns,
    build,
    check_format,
    encodable,
    exported,
    from_json,
    nested_object,
    to_json,
)
from tests.transcripts.turns import turn_of


def test_turns_have_ids_and_places_of_their_own_and_are_live():
    transcript = Transcript("main", "", (TranscriptTurn("one", "1", started=3.0), TranscriptTurn("two", turn_id="x")))

    turns = as_turns(transcript, "conversation", "kernel")

    assert [(turn.prompt, turn.place, turn.version, turn.live) for turn in turns] == [
        ("one", 1, 1, True),
        ("two", 2, 1, True),
    ]
    assert len({turn.turn_id for turn in turns} | {"x", ""}) == 4
    assert {(turn.conversation_id, turn.kernel, turn.request_key) for turn in turns} == {("conversation", "kernel", "")}
    assert turns[0].ended == 3.0


def test_one_that_was_streaming_is_cancelled():
    transcript = Transcript("main", "", (TranscriptTurn("one", "so f", status="streaming"),))

    (turn,) = as_turns(transcript, "c", "k")

    assert (turn.text, turn.status) == ("so f", "cancelled")


def test_a_value_is_built_from_json_and_unknown_names_are_ignored():
    usage = build(Usage, {"chunks": 3, "seconds": 1, "mood": "good"})

    assert usage == Usage(chunks=3, seconds=1)


@pytest.mark.parametrize("number", [-1, 2**37, 2**37 + 0.5, float("inf"), True])
def test_a_number_out_of_range_is_refused(number):
    with pytest.raises(ValueError, match="its seconds cannot be"):
        build(Usage, {"seconds": number})
    assert build(Usage, {"seconds": 2**37 - 1}).seconds == 2**37 - 1


def test_what_json_cannot_hold_is_replaced():
    values = {"a\ud800": (float("nan"), float("inf"), 1.5, "\ud83d\ude00"), "b": None}

    assert encodable(values) == {"a\ufffd": [None, None, 1.5, "\U0001f600"], "b": None}


def test_a_text_of_json_that_is_no_object_is_an_empty_one():
    assert from_json("[1]") == {}
    assert from_json(to_json({"é": 1})) == {"é": 1}


def test_an_object_inside_others_is_found_or_empty():
    values = {"metadata": {"flowgpt": {"turn_id": "t"}, "other": 1}}

    assert nested_object(values, "metadata", "flowgpt") == {"turn_id": "t"}
    assert nested_object(values, "metadata", "other") == {}
    assert nested_object(values, "nothing", "flowgpt") == {}
    assert nested_object([], "metadata") == {}


def test_a_later_version_and_another_format_are_refused():
    check_format({**HEADER})
    with pytest.raises(ValueError, match="newer version"):
        check_format({**HEADER, "version": 2})
    for values in ({}, {"format": "other", "version": 1}, {**HEADER, "version": True}):
        with pytest.raises(ValueError, match="not an export of flowgpt_magic"):
            check_format(values)


def test_an_exported_turn_has_no_secrets():
    turn = exported(
        turn_of(
            parameters={"api_key": "very-secret", "seed": 1},
            notices=("by way of http://me:hidden@proxy",),
            error="no http://me:hidden@x.org/",
        )
    )

    assert "hidden" not in repr(turn)
    assert "very-secret" not in repr(turn)
    assert turn.parameters["seed"] == 1

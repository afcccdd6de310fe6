"""Rows of the history: values that come back as they went in."""

from __future__ import annotations

import time
from dataclasses import fields, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flowgpt_magic.history import rows as history_rows
from flowgpt_magic.history.dead_kernels import PRESUMED_DEAD_AFTER
from flowgpt_magic.history.processes import this_kernel
from flowgpt_magic.history.records import ChangeRecord, ConversationRecord, NotebookRecord, PartialText
from flowgpt_magic.history.rows import TURN, from_sqlite, statement, to_sqlite, turn_of
from flowgpt_magic.messages import Turn, Usage
from tests.records import change_record, conversation_record, notebook_record, turn_record

NOTEBOOK = notebook_record()
CONVERSATION = conversation_record(NOTEBOOK)
ANY_TEXT = st.text(st.characters() | st.characters(categories=["Cs"]))
ELSEWHERE = "1 2 another machine"


def row_of(turn: Turn) -> dict[str, object]:
    """What the history has of a turn, after it was saved."""
    return dict(zip(TURN, statement(turn)[1], strict=True))


@settings(deadline=None)
@given(ANY_TEXT)
def test_any_text_can_be_stored_and_comes_back(text):
    stored = to_sqlite(text)

    assert from_sqlite(stored) == text
    assert isinstance(stored, bytes) or stored.encode() is not None  # which fails where SQLite would


@settings(deadline=None)
@given(st.none() | st.integers() | st.floats(allow_nan=False) | st.booleans())
def test_other_values_are_stored_as_they_are(value):
    assert to_sqlite(value) is value
    assert from_sqlite(value) is value


@pytest.mark.parametrize(
    ("names", "record", "elsewhere"),
    [
        (history_rows.NOTEBOOK, NotebookRecord, set()),
        (history_rows.CONVERSATION, ConversationRecord, set()),
        (history_rows.CHANGE, ChangeRecord, set()),
        (history_rows.USAGE, Usage, set()),
        (TURN, Turn, {"usage"}),
    ],
)
def test_every_field_of_a_record_has_its_column(names, record, elsewhere):
    assert {each.name for each in fields(record)} - elsewhere <= set(names)


@pytest.mark.parametrize(
    "record",
    [
        *(NOTEBOOK, CONVERSATION, turn_record(CONVERSATION), change_record(CONVERSATION)),
        *(PartialText("id", "text"), PartialText("id", "", "reasoning")),
    ],
)
def test_a_statement_has_a_value_for_each_of_its_marks(record):
    sql, values = statement(record)

    assert sql.count("?") == len(values)


def test_a_turn_that_ended_is_the_same_after_its_row():
    turn = turn_record(
        CONVERSATION,
        status="complete",
        text="blue",
        parameters={"temperature": 0.5, "stop": ["x"]},
        usage=Usage(1, 2, "stop", 0.1, 0.2, 3, 4, 5, 6, "flex", "model-2026", 0.007, 8.5),
        notices=("one", "two"),
        ended=time.time(),
    )

    assert turn_of(row_of(turn)) == turn


def test_errors_and_notices_are_stored_without_passwords():
    turn = turn_record(
        CONVERSATION,
        error="no answer from http://me:secret@proxy",
        notices=("see https://host/?token=secret",),
        parameters={"api_key": "secret", "headers": {"Cookie": "secret"}},
    )

    assert "secret" not in repr(row_of(turn))


def test_what_a_conversation_is_asked_with_is_stored_without_secrets():
    record = conversation_record(NOTEBOOK, parameters={"api_key": "secret", "temperature": 1})

    assert "secret" not in repr(statement(record)[1])


class TestATurnThatStreams:
    """Whether its kernel lives decides what it shows as."""

    def test_of_a_living_kernel_still_streams_however_long_it_has_been_silent(self):
        turn = turn_record(CONVERSATION, text="so far", kernel=this_kernel())

        assert turn_of(row_of(turn) | {"grown": 1.0}) == turn

    def test_of_a_dead_kernel_was_cancelled_when_it_last_grew(self):
        pid, start, place = this_kernel().split(" ", 2)
        turn = turn_record(CONVERSATION, text="so far", kernel=f"{pid} {int(start) - 1} {place}")

        assert turn_of(row_of(turn) | {"grown": 5.0}) == replace(turn, status="cancelled", ended=5.0)

    def test_of_another_machine_streams_as_long_as_it_grows(self):
        turn = turn_record(CONVERSATION, text="so far", kernel=ELSEWHERE)

        assert turn_of(row_of(turn)).status == "streaming"

    def test_of_another_machine_is_given_up_after_an_hour_of_silence(self):
        turn = turn_record(CONVERSATION, text="so far", kernel=ELSEWHERE)
        grown = time.time() - PRESUMED_DEAD_AFTER - 1

        assert turn_of(row_of(turn) | {"grown": grown}) == replace(turn, status="cancelled", ended=grown)

    def test_that_ended_is_as_it_ended_whatever_became_of_the_kernel(self):
        turn = turn_record(CONVERSATION, status="failed", error="no", kernel=ELSEWHERE, ended=3.0)

        assert turn_of(row_of(turn) | {"grown": 1.0}) == turn

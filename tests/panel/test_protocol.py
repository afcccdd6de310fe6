"""What a page is told of the turns."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowgpt_magic.control_characters import join_surrogates
from flowgpt_magic.messages import Usage
from flowgpt_magic.messages.extras import Extras
from flowgpt_magic.panel.protocol import LONGEST_PROMPT, MAX_PART, Row, facts, parts, row, splice
from tests.panel_page import cases
from tests.records import conversation_record, notebook_record, turn_record

CONVERSATION = conversation_record(notebook_record())
ROWS = st.lists(st.sampled_from("abcdef"), max_size=8, unique=True).map(
    lambda names: [(name, place, 1, "complete 1/1") for place, name in enumerate(names)]
)


def spliced(rows: list[Row], told: object) -> list[Row]:
    """What a page makes of its list."""
    if told is None:
        return rows
    return [*rows[: told.at], *told.rows, *rows[told.at + told.gone :]]


@given(ROWS, ROWS)
def test_a_splice_turns_one_list_into_the_other(before, after):
    told = splice(before, after)

    assert spliced(before, told) == after
    assert (told is None) == (before == after)


@pytest.mark.parametrize("case", cases("lists").values(), ids=cases("lists"))
def test_the_kernel_tells_of_a_list_what_the_script_is_tested_with(case):
    before, after = ([tuple(each) for each in case[which]] for which in ("before", "after"))

    told = splice(before, after)

    assert (told and {"at": told.at, "gone": told.gone, "rows": [list(each) for each in told.rows]}) == case["splice"]
    assert spliced(before, told) == after


@given(ROWS.filter(len), st.integers(0, 7))
def test_a_splice_of_one_changed_row_is_one_row(before, place):
    changed = list(before)
    place %= len(before)
    changed[place] = (*changed[place][:3], "streaming 1/1")

    told = splice(before, changed)

    assert (told.at, told.gone, told.rows) == (place, 1, (changed[place],))


def test_a_turn_is_a_row_whose_mark_changes_with_its_status_and_versions():
    turn = turn_record(CONVERSATION, prompt="one", text="two!", place=3, version=2)

    assert row(turn, 4, "streaming") == (turn.turn_id, 3, 7, "streaming 2/4")


@given(st.text(st.characters()))
def test_any_text_can_be_sent_and_keeps_its_length_in_a_page(text):
    sent = json.dumps(join_surrogates(text), ensure_ascii=False).encode()

    assert len(json.loads(sent).encode("utf-16-le")) == len(text.encode("utf-16-le", "surrogatepass"))


def test_what_stands_around_a_reply_has_no_password_in_it():
    turn = turn_record(
        CONVERSATION,
        status="failed",
        error="ProxyError: http://ada:secret@proxy:1 refused",
        usage=Usage(seconds=1.26),
        cell_id="",
    )

    told = facts(turn, 2, turn.status)

    assert told["error"] == "ProxyError: http://***@proxy:1 refused."
    assert (told["versions"], told["seconds"], told["cell"], told["empty"]) == (2, 1.3, False, True)


def test_of_a_long_prompt_the_beginning_is_sent_and_how_much_more_there_is():
    told = facts(turn_record(CONVERSATION, prompt="x" * (LONGEST_PROMPT + 5)), 1, "complete")

    assert (len(told["prompt"]), told["prompt_more"]) == (LONGEST_PROMPT, 5)


@given(st.lists(st.integers(0, MAX_PART + 10), max_size=12))
def test_long_replies_go_out_in_portions_that_hold_all_of_them(sizes):
    blocks = ["x" * size for size in sizes]

    told = list(parts(blocks))

    assert [block for _start, portion in told for block in portion] == blocks
    assert [start for start, _portion in told] == [
        sum(len(portion) for _start, portion in told[:number]) for number in range(len(told))
    ]
    assert all(len(portion) <= 1 or sum(map(len, portion)) <= MAX_PART for _start, portion in told)


def test_a_page_learns_what_a_reply_cost_and_that_one_from_the_history_cost_nothing():
    usage = Usage(9, 12, cost=0.5, cost_source="server", reasoning_seconds=2.4)
    turn = turn_record(CONVERSATION, usage=usage, extras=Extras(reasoning="why"))

    assert (facts(turn, 1, "complete")["cost"], facts(turn, 1, "complete")["thought"]) == ("$0.50", "Thought for 2 s")
    assert facts(replace(turn, replayed=True), 1, "complete")["cost"] == ""

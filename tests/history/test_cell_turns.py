"""The turns whose places a cell takes when it is run again."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from flowgpt_magic.history.cell_turns import last_run, last_run_by_number
from flowgpt_magic.messages import Turn
from tests.records import conversation_record, notebook_record, turn_record

CONVERSATION = conversation_record(notebook_record())
BEFORE, NOW = "1 1 here", "2 2 here"


def asked(place: int, cell_id: str, prompt: str, *, kernel: str = BEFORE, run: str = "") -> Turn:
    started = place + (1000.0 if kernel == NOW else 0.0)
    values = {"place": place, "cell_id": cell_id, "run": run or f"{kernel} {cell_id}", "prompt": prompt}
    return turn_record(CONVERSATION, **values, kernel=kernel, started=started)


def places(found: list[Turn]) -> list[int]:
    return [each.place for each in found]


def found(live: list[Turn], cell_id: str, prompt: str) -> list[int]:
    return places(last_run_by_number(live, cell_id, prompt, NOW))


def test_a_cell_has_the_turns_of_its_last_run():
    live = [
        asked(1, "a", "old", run="1"),
        asked(2, "b", "x", run="2"),
        asked(3, "a", "one", run="3"),
        asked(4, "a", "two", run="3"),
    ]

    assert places(last_run(live, "a")) == [3, 4]
    assert last_run(live, "") == last_run(live, "nobody's") == []


def test_of_another_kernel_the_prompt_has_to_be_the_same():
    live = [asked(1, "W0", "one"), asked(2, "W1", "two")]

    assert found(live, "W1", "two") == [2]
    assert found(live, "W5", "two") == [2]
    assert found(live, "W1", "another") == []


def test_an_edited_cell_of_this_kernel_takes_its_own_place():
    live = [asked(1, "W0", "one", kernel=NOW), asked(2, "W1", "edited")]

    assert found(live, "W0", "edited") == [1]


def test_a_run_that_asked_several_prompts_is_found_by_its_first():
    live = [asked(1, "W0", "one"), asked(2, "W1", "a", run="r"), asked(3, "W1", "b", run="r")]

    assert found(live, "W1", "a") == [2, 3]
    assert found(live, "W1", "b") == []


def test_equal_prompts_are_told_apart_by_their_numbers():
    live = [asked(1, "W0", "go on"), asked(2, "W1", "x"), asked(3, "W2", "go on")]

    assert found(live, "W2", "go on") == [3]
    assert found(live, "W0", "go on") == [1]


def test_equal_prompts_with_other_numbers_are_told_apart_by_their_order():
    live = [asked(1, "W1", "x", kernel=NOW), asked(2, "W5", "go on"), asked(3, "W6", "go on")]

    assert found(live, "W2", "go on") == [2]
    assert found([each for each in live if each.kernel != NOW], "W2", "go on") == []


def test_where_number_and_order_contradict_each_other_nothing_is_replaced():
    live = [asked(1, "W1", "x", kernel=NOW), asked(2, "W1", "go on"), asked(3, "W2", "go on")]

    assert found(live, "W2", "go on") == []


def test_only_the_last_kernel_before_this_one_counts():
    live = [asked(1, "W0", "one", kernel="0 0 here"), asked(2, "W1", "two")]

    assert found(live, "W0", "one") == []


@given(st.lists(st.sampled_from(["a", "b", "c"]), min_size=1, max_size=8))
def test_a_restart_and_run_all_takes_every_place_again(prompts):
    live = [asked(number, f"W{number}", prompt) for number, prompt in enumerate(prompts, 1)]

    for number, prompt in enumerate(prompts, 1):
        assert found(live, f"W{number}", prompt) == [number]
        live[number - 1] = asked(number, f"W{number}", prompt, kernel=NOW)


@given(
    st.lists(st.sampled_from(["a", "b", "c"]), min_size=1, max_size=8),
    st.lists(st.tuples(st.sampled_from(["W1", "W3", "W9"]), st.sampled_from(["a", "b", "d"])), max_size=8),
)
def test_no_turn_of_another_prompt_is_ever_replaced(prompts, cells):
    live = [asked(number, f"W{number}", prompt) for number, prompt in enumerate(prompts, 1)]

    for cell_id, prompt in cells:
        assert all(each.prompt == prompt for each in last_run_by_number(live, cell_id, prompt, NOW))

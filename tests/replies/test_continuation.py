"""A reply that is gone on with is one text, its reasoning first, however it is cut into chunks."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowgpt_magic.messages.reasoning import answer_of, split_reasoning
from flowgpt_magic.replies.continuation import Continuation


def joined(begin: str, *chunks: str) -> str:
    text = Continuation(begin)
    return "".join([text.begin(), *(piece for chunk in chunks for piece in text.add(chunk)), *text.finish()])


@pytest.mark.parametrize(
    ("begin", "chunks", "text"),
    [
        ("One two", [" three"], "One two three"),
        ("One two", ["<think>", "x</think> three"], "One two<think>x</think> three"),
        ("<think>a</think>One two", [" three", "."], "<think>a</think>One two three."),
        ("<think>a</think>One two", [], "<think>a</think>One two"),
        ("<think>a</think>One", ["<thi"], "<think>a</think>One<thi"),
        ("<think>a", ["b</think>", "One"], "<think>ab</think>One"),
        ("<think>a</think>One two", ["<thi", "nk>b</th", "ink>\n\n", " three"], None),
        ("<think>a</think>One two", ["\n<think>b</think>", " three"], None),
        ("<think>a</think>One two", ["<think>b</think> three"], None),
        ("<think>a</think>One two ", ["<think>b</think>\n", "\nthree"], None),
    ],
)
def test_what_comes_goes_on_with_what_was_there(begin, chunks, text):
    whole = joined(begin, *chunks)

    assert whole == text if text is not None else answer_of(whole).split() == ["One", "two", "three"]


def test_what_is_thought_before_going_on_joins_what_was_thought_first():
    assert joined("<think>a</think>\n\nOne ", "<think>b</think>\n\n", "two") == (
        "<think>a</think>\n\n<think>b</think>\n\nOne two"
    )


def test_where_the_second_thought_is_never_closed_the_first_answer_is_kept():
    whole = joined("<think>a</think>One", "<think>", "and so on")

    assert answer_of(whole) == "One"
    assert "and so on" in split_reasoning(whole).reasoning


@given(
    thoughts=st.tuples(st.text("ab </think>\n", max_size=9), st.text("ab\n", max_size=30)),
    answers=st.tuples(st.text("cd ", min_size=1), st.text("cd ")),
    cuts=st.lists(st.integers(0, 60)),
)
def test_the_cuts_make_no_difference(thoughts, answers, cuts):
    begin, more = f"<think>{thoughts[0]}</think>{answers[0]}", f"<think>{thoughts[1]}</think>{answers[1]}"
    places = sorted({0, len(more), *(cut for cut in cuts if cut < len(more))})
    chunks = [more[start:end] for start, end in pairwise(places)]

    assert joined(begin, *chunks).split() == joined(begin, more).split()


def test_what_is_thought_is_passed_on_as_it_comes():
    text = Continuation("<think>a</think>One")
    text.begin()

    assert "".join(text.add("<think>" + "b" * 1000)).count("b") > 900

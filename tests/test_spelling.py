"""A mistyped word leads to the name that was meant, and any other word to none."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowgpt_magic.spelling import edits, nearest

MODELS = ["gpt-3.5-turbo", "gpt-4-turbo", "claude-v2", "llama2-13b", "openai_compatible", "local", "echo", "llm"]
WORDS = st.text("abcd", max_size=7)


@pytest.mark.parametrize(
    ("word", "name"),
    [
        ("gtp-4", "gpt-4-turbo"),
        ("gpt4", "gpt-4-turbo"),
        ("GPT-4", "gpt-4-turbo"),
        ("gpt-4o", "gpt-4-turbo"),
        ("llama", "llama2-13b"),
        ("opnai", "openai_compatible"),
        ("ecko", "echo"),
        ("Echo", "echo"),
        ("hello", ""),
        ("x", ""),
        ("", ""),
        ("echo" * 1000, ""),
    ],
)
def test_the_nearest_name_is_suggested(word, name):
    assert nearest(word, MODELS) == name


@pytest.mark.parametrize(
    ("word", "name", "count"),
    [("gtp", "gpt", 1), ("export", "export", 0), ("exprot", "export", 1), ("edt", "edit", 1), ("kitten", "sitting", 3)],
)
def test_letters_are_counted_and_two_swapped_ones_once(word, name, count):
    assert edits(word, name, 5) == count


@given(WORDS, WORDS, st.integers(0, 4))
def test_the_count_is_the_same_in_both_directions_and_at_most_one_more_than_asked(word, name, most):
    assert edits(word, name, most) == edits(name, word, most) == min(edits(word, name, 9), most + 1)
    assert (edits(word, name, most) == 0) == (word == name)


@given(WORDS, WORDS, WORDS)
def test_a_letter_more_or_less_changes_the_count_by_at_most_one(word, name, more):
    assert abs(edits(word, name, 30) - edits(word + more[:1], name, 30)) <= 1

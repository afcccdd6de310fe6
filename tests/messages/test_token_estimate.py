"""The estimate of tokens against what real vocabularies count."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowgpt_magic.messages.token_estimate import characters_for, tokens_in

# Texts with the tokens that tiktoken counts in them with the vocabularies of GPT-4 and GPT-4o.
SAMPLES = json.loads(Path(__file__).with_name("token_samples.json").read_text("utf-8"))


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample["kind"])
def test_it_is_within_a_quarter_of_what_is_counted(sample):
    estimate = tokens_in(sample["text"])

    assert 0.75 <= estimate / sample["cl100k_base"] <= 1.25


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample["kind"])
def test_a_newer_vocabulary_needs_hardly_fewer(sample):
    assert 0.75 <= tokens_in(sample["text"]) / sample["o200k_base"] <= 1.3


@given(one=st.text(), other=st.text())
def test_it_grows_with_the_text(one, other):
    assert (tokens_in(one) > 0) is bool(one)
    assert tokens_in(one + other) <= tokens_in(one) + tokens_in(other) + 1
    assert tokens_in(one + "\n" + other) >= max(tokens_in(one), tokens_in(other)) - 1


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample["kind"])
@given(tokens=st.integers(20, 60))
def test_so_many_characters_have_about_so_many_tokens(sample, tokens):
    text = sample["text"]

    assert abs(tokens_in((text * 3)[: characters_for(tokens, text)]) - tokens) <= tokens / 2 + 1


def test_a_chinese_word_has_about_a_token_for_each_character():
    assert tokens_in("你好世界") == 4


def test_without_a_text_like_it_the_characters_are_those_of_english():
    assert characters_for(10) == characters_for(10, "") == 40


@pytest.mark.parametrize("text", ["a" * 10**6, " " * 10**6, "好" * 10**6, "a, " * 300_000, "\n \t" * 300_000])
def test_a_megabyte_takes_less_than_three_seconds_on_a_busy_machine(text):
    begun = time.thread_time()
    tokens_in(text)

    assert time.thread_time() - begun < 3

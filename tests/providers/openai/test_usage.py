"""The counts and the cost that servers report, in their own names and places."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowgpt_magic.messages import Usage
from flowgpt_magic.providers.openai.usage import usage_of


def read(counts: object, *, cost: object = None) -> Usage:
    return usage_of(counts, finish_reason="stop", service_tier="default", answered_by="m", cost=cost)


@pytest.mark.parametrize(
    ("counts", "usage"),
    [
        (
            {
                "prompt_tokens": 90,
                "completion_tokens": 30,
                "prompt_tokens_details": {"cached_tokens": 64, "cache_write_tokens": 8},
                "completion_tokens_details": {"reasoning_tokens": 20},
                "cost": 0.0125,
            },
            Usage(90, 30, reasoning_tokens=20, cached_tokens=64, cache_write_tokens=8, cost=0.0125),
        ),
        (
            {
                "prompt_tokens": 90,
                "completion_tokens": 3,
                "prompt_cache_hit_tokens": 64,
                "prompt_cache_miss_tokens": 26,
            },
            Usage(90, 3, cached_tokens=64),
        ),
        (
            {
                "prompt_tokens": 90,
                "completion_tokens": 3,
                "cache_read_input_tokens": 64,
                "cache_creation_input_tokens": 8,
            },
            Usage(90, 3, cached_tokens=64, cache_write_tokens=8),
        ),
        (  # xAI
            {
                "prompt_tokens": 9,
                "completion_tokens": 3,
                "total_tokens": 32,
                "completion_tokens_details": {"reasoning_tokens": 20},
            },
            Usage(9, 23, reasoning_tokens=20),
        ),
        ({"prompt_tokens": 9, "completion_tokens": 3, "cost": {"total_cost": 0.5}}, Usage(9, 3, cost=0.5)),
        ({"prompt_tokens": 9.0, "completion_tokens": 3}, Usage(9, 3)),
        ({"prompt_tokens": -9, "completion_tokens": 10**30}, Usage()),
        ({"prompt_tokens": "9", "completion_tokens": True}, Usage()),
        ({"prompt_tokens": 1.5, "completion_tokens": float("nan")}, Usage()),
        ({"prompt_tokens": 9, "prompt_tokens_details": {"cached_tokens": 10}}, Usage(9)),
        ({"prompt_tokens": 9, "prompt_tokens_details": [1], "completion_tokens_details": "x"}, Usage(9)),
        ({"cost": -1}, Usage()),
        ({"cost": "dear"}, Usage()),
        ({"cost": float("inf")}, Usage()),
        ("counts", Usage()),
        (None, Usage()),
    ],
)
def test_counts_are_read_wherever_they_stand_and_those_that_cannot_be_are_left_out(counts, usage):
    found = read(counts)

    assert (found.finish_reason, found.service_tier, found.answered_by) == ("stop", "default", "m")
    names = ("prompt_tokens", "completion_tokens", "reasoning_tokens", "cached_tokens", "cache_write_tokens", "cost")
    assert [getattr(found, name) for name in names] == [getattr(usage, name) for name in names]


def test_the_cost_in_a_header_counts_where_the_counts_have_none():
    assert read({}, cost="0.25").cost == 0.25
    assert read({"cost": 0.5}, cost="0.25").cost == 0.5
    assert read({}, cost="none").cost is None


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
)
NAMES = ("prompt_tokens", "completion_tokens", "total_tokens", "prompt_tokens_details", "reasoning_tokens", "cost")


@given(counts=st.dictionaries(st.sampled_from(NAMES), VALUES))
def test_nothing_that_a_server_reports_is_an_error(counts):
    usage = usage_of(counts, finish_reason="", service_tier=counts, answered_by=None, cost=counts.get("cost"))

    assert all(value is None or value >= 0 for value in (usage.prompt_tokens, usage.completion_tokens, usage.cost))

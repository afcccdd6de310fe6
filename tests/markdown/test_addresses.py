"""Where an address in a text ends."""

# ruff: noqa: RUF001 - Chinese punctuation is what some of these tests are about

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowgpt_magic.markdown.addresses import BODY, trimmed


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("https://a.b/c。d", "https://a.b/c"),
        ("https://a.b/c）", "https://a.b/c"),
        ("https://a.b/c查看", "https://a.b/c"),
        ("https://a.b/wiki/数学、x", "https://a.b/wiki/数学"),
        ("https://a.b/?q=東京」", "https://a.b/?q=東京"),
        ("https://bücher.example/ö”", "https://bücher.example/ö"),
        ("https://a.b/(c)).", "https://a.b/(c)"),
        ("https://a.b?,", "https://a.b"),
    ],
)
def test_an_address_ends_before_what_belongs_to_the_sentence(text, address):
    found = re.match(f"https://{BODY}+", text)

    assert found
    assert trimmed(found[0]) == address


@given(st.text("a.,)(。:"))
def test_what_is_trimmed_is_a_beginning_that_stays(text):
    assert text.startswith(trimmed(text))
    assert trimmed(trimmed(text)) == trimmed(text)

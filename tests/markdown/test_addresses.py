"""Which addresses may be links, and where one in a text ends."""

# ruff: noqa: RUF001 - Chinese punctuation is what some of these tests are about

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowgpt_magic.markdown.addresses import ADDRESS_CHARACTER, LONGEST_ADDRESS, is_image, is_link, trimmed


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
    found = re.match(f"https://{ADDRESS_CHARACTER}+", text)

    assert found
    assert trimmed(found[0]) == address


@given(st.text("a.,)(。:"))
def test_what_is_trimmed_is_a_beginning_that_stays(text):
    assert text.startswith(trimmed(text))
    assert trimmed(trimmed(text)) == trimmed(text)


@pytest.mark.parametrize("address", ["https://a.b/c", "HTTP://a.b?x", "mailto:a@b.c"])
def test_addresses_of_the_web_and_of_mail_may_be_links(address):
    assert is_link(address)


@pytest.mark.parametrize(
    "address",
    [
        *(
            "javascript:alert(1)",
            "data:text/html,x",
            "file:///etc",
            "//a.b",
            "a.html",
            "#a",
            "",
            "http://",
            "https:///x",
        ),
        *("https://a.b\\c", "https://a.b c", "ftp://a.b", f"https://a.b/{'c' * LONGEST_ADDRESS}"),
    ],
)
def test_others_may_not(address):
    assert not is_link(address)


def test_an_anchor_is_a_link_where_the_page_is_that_of_the_text():
    assert is_link("#a-b.c%20d", anchors=True)
    assert not is_link("#a b", anchors=True)


def test_images_are_of_the_web_and_data_only_where_that_is_asked_for():
    assert is_image("https://a.b/c.png")
    assert not is_image("mailto:a@b.c")
    assert not is_image("data:image/png;base64,AA==")
    assert is_image("data:image/png;base64,AA==", data=True)
    assert not is_image("data:image/svg+xml,x", data=True)

"""A reply streams into a page as harmless HTML, each part of it once."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flowgpt_magic.markdown.html.changes import Change, GrowingMarkup, blocks_of, static_blocks_of
from tests.benchmarks.markup import chunks_of, growing, mixed_reply
from tests.markdown.html.test_growing import REPLY, TEXTS
from tests.payloads import PAYLOADS
from tests.shown import bad_in, changed, streamed, text_of
from tests.xss_payloads import CLASSES, NAMED

ALL = {**NAMED, **{str(number): payload for number, payload in enumerate(PAYLOADS)}}


AROUND = [
    *[("- ", ""), ("> ", ""), ("| ", " |\n| --- |"), ("`", "`"), ("$", "$"), ("```\n", "\n```")],
    *[("[", "](https://a.b)"), ("\\(", "\\)"), ("1. ```\n   ", "")],
]


def cuts(text: str) -> range:
    """Every place of a text; of a very long one some."""
    return range(0, len(text) + 1, 1 + len(text) // 500)


@pytest.mark.parametrize("payload", ALL.values(), ids=ALL)
def test_no_payload_is_active_wherever_it_is_cut(payload):
    for cut in cuts(payload):
        assert not bad_in("".join(blocks_of(payload[:cut])))
        assert not bad_in("".join(blocks_of(payload[cut:])))
        assert not bad_in("".join(streamed([payload[:cut], payload[cut:]], finished=False)))


@pytest.mark.parametrize("payload", ALL.values(), ids=ALL)
def test_no_payload_is_active_beside_other_markdown(payload):
    for before, after in AROUND:
        text = before + payload + after
        assert not bad_in("".join(blocks_of(text)))
        assert not bad_in("".join(static_blocks_of(text)))
        assert not bad_in("".join(blocks_of(text, images=True)), images=True)


@pytest.mark.parametrize("payload", ALL.values(), ids=ALL)
def test_a_payload_that_comes_letter_by_letter_is_never_active(payload):
    markup = GrowingMarkup()
    for char in payload[:500]:
        markup.feed(char)
        markup.change()
        assert not bad_in("".join(markup.blocks))


def test_what_was_typed_can_be_read():
    for kind in ("script", "event", "svg", "style", "head", "form", "embedded", "srcset"):
        for payload in CLASSES[kind].values():
            shown = text_of("".join(blocks_of(payload)))
            assert re.findall(r"\w+", shown) == re.findall(r"\w+", payload.replace("\\ ", " "))


@settings(max_examples=300)
@given(TEXTS, st.lists(st.integers(1, 12), min_size=1))
def test_a_page_that_is_told_of_all_changes_has_the_blocks_of_the_whole(text, sizes):
    pieces, place = [], 0
    while place < len(text):
        pieces.append(text[place : place + sizes[len(pieces) % len(sizes)]])
        place += len(pieces[-1])

    assert streamed(pieces) == blocks_of(text)


@settings(max_examples=200)
@given(st.text(st.characters()))
def test_any_text_can_stream(text):
    blocks = streamed(list(text))

    assert blocks == blocks_of(text)
    "".join(blocks).encode()


def test_a_reply_that_is_cut_anywhere_ends_the_same():
    text = REPLY + "\r\n\r\n**bold** 😀 &amp; <b>x</b> [a](https://b.c)\r\n"
    text = text.replace("😀", "\ud83d\ude00")
    expected = blocks_of(text)

    assert all(streamed([text[:cut], text[cut:]]) == expected for cut in range(len(text)))
    assert "😀" in "".join(expected)


def test_a_change_tells_what_is_new_and_nothing_else():
    markup = GrowingMarkup()
    markup.feed("some **bo")
    assert markup.change() == Change(0, 0, "", ('<p dir="auto">some <strong>bo</strong></p>',))

    markup.feed("ld** text")
    assert markup.change() == Change(0, len('<p dir="auto">some <strong>bo'), "ld</strong> text</p>", ())

    markup.feed("\n\n😀 next")
    assert markup.change() == Change(1, 0, "", ('<p dir="auto">😀 next</p>',))

    markup.feed(" one")
    assert markup.change() == Change(1, len('<p dir="auto">😀 next') + 1, " one</p>", ())  # the emoji counts twice

    markup.finish()
    assert markup.change() is None


def test_nothing_is_told_of_what_shows_nothing_new():
    markup = GrowingMarkup()
    assert markup.change() is None
    for piece in ("-", " ", "\ud83d"):
        markup.feed(piece)
        markup.change()

    markup.feed("")
    assert markup.change() is None


def test_a_block_that_is_none_any_more_leaves_the_page():
    markup = GrowingMarkup()
    markup.feed("[a]: https://b")
    shown = markup.change()
    markup.feed(".c\n")

    page = changed([], shown) if shown else []
    change = markup.change()
    page = changed(page, change) if change else page

    assert page == markup.blocks == []


def test_an_open_block_of_code_is_told_as_its_new_text():
    markup = GrowingMarkup()
    markup.feed("```python\nx = 1\n")
    markup.change()
    markup.feed("y = 2\n")

    change = markup.change()

    assert change is not None
    assert change.add == "\ny = 2</code></pre>"


def test_images_are_let_in_where_they_are_wanted():
    assert "<img" not in "".join(blocks_of("![a](https://b.c/d.png)"))
    assert "<img" in "".join(blocks_of("![a](https://b.c/d.png)", images=True))
    assert "<img" in "".join(streamed(["![a](https://b.c/d", ".png) x"], images=True))


def test_a_page_without_a_script_gets_nothing_that_needs_one():
    blocks = "".join(static_blocks_of("![a](https://b.c/d.png)\n\n```python\nx = 1\n```"))

    assert "<button" not in blocks
    assert "data-runs" not in blocks
    assert '<a href="https://b.c/d.png"' in blocks


def test_a_long_mixed_reply_costs_less_than_three_bytes_for_each_of_its_own():
    figures = growing(chunks_of(mixed_reply(100_000), 20_000), 40)

    assert figures.ratio < 2.5
    assert figures.messages <= 500

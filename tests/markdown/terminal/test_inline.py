"""Words of a paragraph get their styles and are wrapped into rows."""

from __future__ import annotations

import pytest

from flowgpt_magic.markdown.terminal.inline import (
    BOLD,
    CLOSED,
    CODE,
    OPEN,
    OPEN_IN_LINE,
    UNDERLINED,
    Inline,
    WordWrap,
    clean,
    columns,
    ordered_code,
    painted,
    wrapped,
)


@pytest.mark.parametrize(
    ("text", "spans"),
    [
        ("a **b** c", [("a ", ""), ("b", BOLD), (" c", "")]),
        ("`a*b*`", [("a*b*", CODE)]),
        ("[a](https://b.c)", [("a", ""), (" (", ""), ("https://b.c", UNDERLINED), (")", "")]),
        ("**a `b`**", [("a ", BOLD), ("b", f"{BOLD};{CODE}")]),
    ],
)
def test_each_piece_has_its_styles(text, spans):
    assert Inline(text).spans() == spans


@pytest.mark.parametrize(
    ("text", "state"),
    [("a", CLOSED), ("*a", OPEN), ("`a", OPEN), ("[a", OPEN), ("*a*", CLOSED), ("a <br", OPEN_IN_LINE), (r"\(a", 1)],
)
def test_it_says_whether_more_text_can_change_the_style(text, state):
    assert Inline(text).open == state


def test_spans_of_one_style_are_painted_together_and_without_colours_not_at_all():
    spans = [("a", BOLD), ("b", BOLD), ("c", "")]

    assert painted(spans, colours=True) == "\x1b[1mab\x1b[0mc"
    assert painted(spans, colours=False) == "abc"


def test_wide_characters_have_two_columns_and_marks_on_letters_none():
    assert [columns(text) for text in ("ab", "中文", "e\u0301", "\u200b")] == [2, 4, 1, 0]


def test_a_cell_is_wrapped_between_words_and_a_long_word_is_cut():
    assert wrapped([("one two", "")], 5) == [[("one", "")], [("two", "")]]
    assert wrapped([("abcdef", "")], 4) == [[("abcd", "")], [("ef", "")]]


def test_rows_after_the_first_begin_with_their_prefix_and_a_long_word_stays_whole():
    spans: list[tuple[str, str]] = []
    words = WordWrap(spans, 8, "- ", "  ")
    words.feed([("one two https://example.org", "")])
    words.end()

    assert painted(spans, colours=False) == "- one\n  two\n  https://example.org"


def test_the_last_word_waits_for_more():
    spans: list[tuple[str, str]] = []
    words = WordWrap(spans, 20)
    words.feed([("one tw", "")])
    assert painted(spans, colours=False) == "one"

    words.feed([("o", "")])
    words.end()
    assert painted(spans, colours=False) == "one two"


def test_marks_of_the_reading_direction_have_names_in_code():
    assert ordered_code("a\u202eb") == "a[U+202E]b"


def test_escape_sequences_are_removed():
    assert clean("a\x1b[31mb\x07") == "ab\u2407"

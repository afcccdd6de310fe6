"""Where an emphasis may begin and end."""

# ruff: noqa: RUF001 - Chinese punctuation is what these tests are about

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from flowgpt_magic.markdown.emphasis import flanking, is_seen_by_all, read_emphasis
from flowgpt_magic.markdown.html.changes import blocks_of
from flowgpt_magic.markdown.terminal.inline import BOLD, Inline

PLAIN = MarkdownIt("commonmark").enable("strikethrough")
AMENDED = MarkdownIt("commonmark").enable("strikethrough")
read_emphasis(AMENDED)


@given(st.text("ab *_~().,\"'é—“\n", max_size=30))
def test_without_chinese_japanese_or_korean_everything_is_as_in_commonmark(text):
    assert AMENDED.render(text) == PLAIN.render(text)


@pytest.mark.parametrize(
    ("before", "after", "mark", "ends"),
    [
        ("：", "请", "*", (True, True)),
        ("含", "「", "*", (True, True)),
        (")", "后", "*", (True, True)),
        ("。", "", "*", (False, True)),
        ("", "「", "*", (True, False)),
        (")", "a", "*", (True, False)),
        ("字", "字", "_", (False, False)),
    ],
)
def test_punctuation_beside_such_a_character_is_no_reason_against_an_emphasis(before, after, mark, ends):
    assert flanking(before, after, mark) == ends


@pytest.mark.parametrize(
    ("before", "after", "opens", "seen"),
    [
        ("：", "请", False, False),
        ("题", "请", False, True),
        ("含", "「", True, False),
        (" ", "「", True, True),
        ("a", "$", True, False),
    ],
)
def test_it_is_known_which_ends_other_parsers_see(before, after, opens, seen):
    assert is_seen_by_all(before, after, "*", opens) is seen


@pytest.mark.parametrize(
    "text", ["**注意（重要）：**请看", "含**「重点」**内容", "**年，**年", "**a**字", "a**b c** d"]
)
def test_the_panel_and_the_terminal_find_the_same_words(text):
    bold = "".join(words for words, look in Inline(text).spans() if BOLD in look.split(";"))

    assert f"<strong>{bold}</strong>" in blocks_of(text)[0]

"""The line that opens to the reasoning of a reply."""

from __future__ import annotations

import html
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from flowgpt_magic.control_characters import clean
from flowgpt_magic.messages.extras import Extras
from flowgpt_magic.transcripts.reasoning import (
    MAX_CHARACTERS,
    folded,
    folded_reasoning,
    parts_of,
    thinking_line,
    thought_line,
)
from tests.payloads import PAYLOADS
from tests.transcripts.turns import TEXT, turn_of

TAGS = {"details", "summary", "small", "div", "br"}


@pytest.mark.parametrize(("seconds", "words"), [(0.1, "1 s"), (12.4, "12 s"), (75.0, "75 s")])
def test_the_line_says_for_how_long(seconds, words):
    assert thinking_line(seconds) == f"Thinking… {words}"
    assert thought_line(seconds) == f"Thought for {words}"
    assert (thinking_line(None), thought_line(None)) == ("Thinking…", "Thought")


@given(st.one_of(TEXT, st.sampled_from(PAYLOADS)))
def test_in_markdown_it_is_one_block_of_html_that_holds_text_only(text):
    shown = folded("Thought", text)

    (block,) = MarkdownIt().parse(f"{shown}\n\nanswer")[:-3]
    assert block.type == "html_block"
    assert set(re.findall(r"</?([a-z]+)", shown)) <= TAGS
    inside = shown.partition("<div")[2].partition("<small>")[2].removesuffix("</small></div></details>")
    lines = [html.unescape(line) for line in inside.split("<br>")]
    assert lines == (clean(text).strip("\n").splitlines() or [""])


def test_of_very_long_reasoning_the_end_is_shown_and_it_says_so():
    shown = folded("Thought", "a" * MAX_CHARACTERS + "bcd")

    assert "<small>… 3 characters before<br>aaa" in shown
    assert "aabcd<" in shown


def test_reasoning_between_tags_counts_only_where_there_is_no_other():
    tagged = turn_of(text="<think>two</think>four")

    assert parts_of(tagged) == ("two", "four")
    assert parts_of(turn_of(text=tagged.text, extras=Extras(reasoning="one"))) == ("one", tagged.text)
    assert folded_reasoning(tagged) == ""  # its text has it
    assert parts_of(turn_of(text="four")) == ("", "four")

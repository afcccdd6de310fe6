"""The caption below a reply."""

from __future__ import annotations

import html
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from flowgpt_magic.control_characters import clean
from flowgpt_magic.messages import LeftOut, Sent, Usage
from flowgpt_magic.text import one_line
from flowgpt_magic.transcripts.caption import caption, caption_html, caption_text, line_html, sent_line, tokens_of
from flowgpt_magic.transcripts.transcript import TranscriptTurn


def turn(**values) -> TranscriptTurn:
    return TranscriptTurn(**{"prompt": "a", "text": "b", "provider": "echo", "model": "words"} | values)


def test_it_names_the_model_and_the_seconds():
    assert caption(turn(usage=Usage(seconds=1.25))) == "echo:words · 1.2 s"
    assert caption(turn(usage=Usage(seconds=0.0))) == "echo:words · 0.0 s"


def test_it_says_how_long_the_model_has_reasoned():
    assert caption(turn(usage=Usage(seconds=14.0, reasoning_seconds=12.4))) == "echo:words · 14.0 s · thought 12 s"
    assert caption(turn(usage=Usage(seconds=1.0, reasoning_seconds=0.1))) == "echo:words · 1.0 s · thought 1 s"


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({}, "echo:words"),
        ({"model": ""}, "echo"),
        ({"provider": ""}, "words"),
        ({"provider": "", "model": ""}, "nobody"),
    ],
)
def test_what_is_unknown_is_left_out(values, text):
    assert caption(turn(**values)) == text


@pytest.mark.parametrize(
    ("status", "words"),
    [
        ("complete", ""),
        ("cancelled", " · interrupted"),
        ("failed", " · failed"),
        ("streaming", " · still arriving: %flowgpt show has the rest"),
    ],
)
def test_it_says_how_a_reply_ended_unless_it_is_complete(status, words):
    assert caption(turn(status=status)) == f"echo:words{words}"


def test_it_says_how_long_the_model_has_thought():
    assert caption(turn(usage=Usage(seconds=14.2, reasoning_seconds=12.4))) == "echo:words · 14.2 s · thought 12 s"
    assert caption(turn(usage=Usage(reasoning_seconds=0.2))) == "echo:words · thought 1 s"


def test_of_a_reply_that_was_interrupted_before_the_answer_it_says_where_the_thoughts_are():
    shown = caption(turn(text="\n", status="cancelled", usage=Usage(reasoning_seconds=2.0)))

    assert shown == (
        "echo:words · thought 2 s · interrupted before the answer: %flowgpt show --reasoning has the thoughts"
    )


def test_the_time_the_notices_and_the_error_have_their_order():
    shown = caption(turn(replayed=True, notices=("one", "two")), started=0.0, error="three")

    assert shown == "echo:words · 1970-01-01 00:00:00 UTC · replayed · one · two · three"


def test_it_is_one_line_without_passwords():
    shown = caption(turn(notices=("by way\nof http://me:secret@proxy",)), error="no http://me:secret@x\x1b[1m")

    assert "secret" not in shown
    assert shown.isprintable()
    assert "by way of http://" in shown


@pytest.mark.parametrize(
    ("usage", "tokens", "shown"),
    [
        (Usage(12, 1_034), 40, "12 → 1,034 tokens"),
        (Usage(12), 40, "12 → ≈2 tokens"),
        (Usage(), 40, "≈40 → ≈2 tokens"),
        (Usage(None, 3), 40, "≈40 → 3 tokens"),
        (Usage(None, 3), 0, "3 tokens"),
        (Usage(), 0, ""),
    ],
)
def test_tokens_are_those_of_the_server_or_an_estimate_that_is_marked(usage, tokens, shown):
    asked = turn(text="two words", usage=usage, sent=Sent(tokens=tokens))

    assert caption(asked) == " · ".join(filter(None, ["echo:words", shown]))


def test_a_reply_that_was_not_sent_has_cost_nothing():
    assert tokens_of(turn(status=None, sent=Sent(("prompt",), tokens=5))) == ""
    assert sent_line(turn(status=None, sent=Sent(("prompt",), tokens=5))) == ""


def test_what_was_not_sent_is_on_the_line_and_what_was_sent_is_behind_it():
    sent = Sent(("prompt", "1 picture", "frame (60 rows)"), 3, ("{nosuch} sent as typed",), 412)
    asked = turn(sent=sent, notices=(LeftOut(4, "history_tokens = 9"),), usage=Usage(None, 0))

    assert caption(asked).endswith(" · {nosuch} sent as typed · 2 older turns left out: history_tokens = 9")
    assert sent_line(asked) == "sent: prompt, 1 picture, frame (60 rows), 3 turns · ≈412 tokens"
    before, behind = caption_html(asked).split("</summary>")
    assert "&#123;nosuch&#125; sent as typed" in before
    assert "nosuch" not in behind
    assert "frame (60 rows)" in behind
    assert caption_text(asked) == f"[{caption(asked)}]\n[{sent_line(asked)}]"


def test_nothing_opens_where_nothing_is_known():
    assert "<details" not in caption_html(turn())
    assert caption_text(turn()) == "[echo:words]"


@given(st.text(), st.text(min_size=1))
def test_a_caption_is_one_block_whatever_it_says(line, more):
    page = line_html(one_line(line), one_line(more))

    tokens = MarkdownIt("commonmark", {"html": True}).parse(f"text\n\n{page}\n\ntext")

    assert [token.type for token in tokens if token.level == 0] == [
        *("paragraph_open", "paragraph_close", "html_block", "paragraph_open", "paragraph_close")
    ]
    assert html.unescape(re.sub(r"<[^>]+>", "", page)) == clean(one_line(line) + one_line(more))
    assert not set(re.sub(r"<[^>]+>", "", page)) & set("$`*[]<>")


def test_the_id_of_the_request_stands_with_what_was_sent():
    named = turn(sent=Sent(("prompt",), tokens=9), extras={"request_id": "req-1"})

    assert sent_line(named) == "sent: prompt · ≈9 tokens · request id: req-1"
    assert sent_line(turn(extras={"request_id": "req-1"})) == "request id: req-1"
    assert "req-1" not in caption(named)
    assert "req-1" in caption_html(named)
    assert sent_line(turn(status="streaming", extras={"request_id": "req-1"})) == ""

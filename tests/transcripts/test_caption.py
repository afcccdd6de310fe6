"""The caption below a reply."""

from __future__ import annotations

import pytest

from flowgpt_magic.messages import Usage
from flowgpt_magic.transcripts.caption import caption
from flowgpt_magic.transcripts.transcript import TranscriptTurn


def turn(**values) -> TranscriptTurn:
    return TranscriptTurn("a", "b", **{"provider": "echo", "model": "words"} | values)


def test_it_names_the_model_and_the_seconds():
    assert caption(turn(usage=Usage(seconds=1.25))) == "echo:words · 1.2 s"
    assert caption(turn(usage=Usage(seconds=0.0))) == "echo:words · 0.0 s"


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
        ("failed", " · failed before its end"),
        ("streaming", " · still arriving"),
    ],
)
def test_it_says_how_a_reply_ended_unless_it_is_complete(status, words):
    assert caption(turn(status=status)) == f"echo:words{words}"


def test_the_time_the_notices_and_the_error_have_their_order():
    shown = caption(turn(replayed=True, notices=("one", "two")), started=0.0, error="three")

    assert shown == "echo:words · 1970-01-01 00:00:00 UTC · replayed · one · two · three"


def test_it_is_one_line_without_passwords():
    shown = caption(turn(notices=("by way\nof http://me:secret@proxy",)), error="no http://me:secret@x\x1b[1m")

    assert "secret" not in shown
    assert shown.isprintable()
    assert "by way of http://" in shown

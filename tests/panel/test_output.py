"""The output of a cell that shows a panel, and what stays of it."""

from __future__ import annotations

import re

import pytest

from flowgpt_magic.conversation import Conversation
from flowgpt_magic.notebook.place import NO_CELL
from flowgpt_magic.panel.output import REOPEN, Output, marked, transcript


@pytest.fixture
def conversation() -> Conversation:
    return Conversation("a *name*", configured=lambda: {"model": "echo"})


def ask(conversation: Conversation, prompt: str) -> None:
    list(conversation.ask(prompt, cell=NO_CELL))


def test_a_transcript_can_be_read_wherever_a_notebook_is_shown(conversation):
    ask(conversation, "what is **bold**?")

    kept = transcript(conversation)

    assert "<strong>bold</strong>" in kept["text/html"]
    assert "what is **bold**?" in kept["text/plain"]
    assert "echo:words" in kept["text/plain"]
    assert r"Conversation a \*name\*, 1 turn" in kept["text/markdown"]
    assert all(REOPEN in text for text in kept.values())


def test_nothing_of_a_prompt_or_reply_runs_in_a_transcript(conversation):
    ask(conversation, "<script>pwned()</script> <img src=x onerror=pwned()> ![](https://evil.example/x)")

    kept = transcript(conversation)

    assert "<script" not in kept["text/html"]
    assert "<img" not in kept["text/html"]
    assert "<script" not in kept["text/markdown"].replace("\\<script", "").replace("`<script", "")


def test_of_a_long_conversation_the_last_turns_are_kept_and_the_rest_is_named(conversation):
    for number in range(6):
        ask(conversation, f"prompt {number} " + "x" * 50)

    kept = transcript(conversation, room=300)

    assert "prompt 5" in kept["text/plain"]
    assert "prompt 0" not in kept["text/plain"]
    assert "earlier turns: %flowgpt history" in kept["text/plain"]


def test_of_a_last_turn_that_is_too_long_the_beginning_is_kept(conversation):
    ask(conversation, "x" * 1000)

    assert "x" * 1000 in transcript(conversation, room=1000)["text/plain"]
    assert "xxx …" in transcript(conversation, room=3)["text/plain"]


def test_no_heading_of_a_transcript_is_in_the_table_of_contents_and_no_price_is_a_formula(conversation):
    ask(conversation, "# A heading\n\n$5 and $7")

    kept = transcript(conversation)["text/html"]

    assert "<strong>A heading</strong>" in kept
    assert not re.search("<h[1-6]", kept)
    assert "mathjax_ignore" in kept


def test_a_stamp_tells_one_transcript_from_another(conversation):
    ask(conversation, "half " + chr(0xD800))
    first = marked(transcript(conversation))
    same = marked(transcript(conversation))
    ask(conversation, "more")

    assert first == same
    assert marked(transcript(conversation))["metadata"] != first["metadata"]


def test_outside_a_kernel_the_transcript_is_printed(conversation, capsys):
    ask(conversation, "hello")

    shown = Output("name").show("model", conversation)

    assert not shown
    assert "hello" in capsys.readouterr().out


def test_a_transcript_scrolls_in_an_open_notebook_and_is_whole_in_an_exported_page():
    conversation = Conversation(configured=lambda: {"model": "echo"})
    list(conversation.ask("hello", cell=NO_CELL))

    html = transcript(conversation)["text/html"]

    rules = [rule.split("{")[-2].strip() for rule in html.split("}") if "max-height" in rule]
    assert rules == [".jp-NotebookPanel .flowgpt-transcript"]  # a page of nbconvert has no such element

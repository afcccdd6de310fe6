"""Turns as what a notebook and a terminal show of them."""

from __future__ import annotations

from flowgpt_magic.messages.extras import Extras
from flowgpt_magic.transcripts.bundles import SHOWN_TURNS, transcript_bundle, turn_bundle
from tests.records import conversation_record, notebook_record, turn_record

CONVERSATION = conversation_record(notebook_record())


def test_a_turn_is_its_prompt_its_reply_and_who_answered():
    turn = turn_record(CONVERSATION, prompt="a\nb", text="**c** <script>x</script>", status="failed", error="no")

    bundle = turn_bundle(turn)

    assert bundle["text/markdown"].startswith("> a\n> b\n\n**c** ")
    assert "<script>" not in bundle["text/markdown"]
    assert bundle["text/plain"] == "a\nb\n\n**c** <script>x</script>\n\n[echo:words · failed · no]"


def test_a_transcript_has_every_turn_below_its_name():
    turns = [turn_record(CONVERSATION, prompt=f"prompt {number}", text="reply") for number in range(3)]

    bundle = transcript_bundle("a *b*", turns)

    assert bundle["text/plain"].startswith("a *b*: 3 turns\n")
    assert bundle["text/markdown"].startswith("**a \\*b\\*: 3 turns**")
    places = [bundle["text/plain"].index(turn.prompt) for turn in turns]
    assert places == sorted(places)


def test_of_a_long_conversation_the_last_turns_are_shown_and_it_says_so():
    turns = [turn_record(CONVERSATION, prompt=f"<{number}>", text="reply") for number in range(SHOWN_TURNS + 2)]

    text = transcript_bundle("main", turns)["text/plain"]

    assert text.startswith(f"main: {SHOWN_TURNS + 2} turns, the last {SHOWN_TURNS} of them")
    assert "<1>" not in text
    assert "<2>" in text
    assert f"<{SHOWN_TURNS + 1}>" in text


def test_one_without_turns_says_so():
    assert transcript_bundle("main", [])["text/plain"] == "main: 0 turns"


def test_a_turn_has_its_reasoning_only_if_that_is_asked_for():
    turn = turn_record(CONVERSATION, text="four", status="complete", extras=Extras(reasoning="<b>two</b>\n\nand *two*"))

    without, shown = turn_bundle(turn), turn_bundle(turn, reasoning=True)

    assert "two" not in str(without)
    assert " open>" in shown["text/markdown"]
    assert "&lt;b&gt;two&lt;/b&gt;<br><br>and &#42;two&#42;" in shown["text/markdown"]
    assert "Thought:\n\n<b>two</b>\n\nand *two*\n\nfour\n" in shown["text/plain"]


def test_reasoning_between_tags_in_the_text_of_an_older_turn_is_folded():
    turn = turn_record(CONVERSATION, text="<think>\ntwo and two\n</think>\n\nfour", status="complete")

    without, shown = turn_bundle(turn), turn_bundle(turn, reasoning=True)

    assert "think&gt;" not in without["text/markdown"]
    assert without["text/markdown"].index("two and two</small></div></details>\n\nfour")
    assert "<think>" in without["text/plain"]  # the text of the turn as it is
    assert "Thought:\n\ntwo and two\n\nfour\n" in shown["text/plain"]

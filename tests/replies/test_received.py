"""Received chunks become one text; counts come from the provider, times are measured here."""

from __future__ import annotations

import time

import pytest

from flowgpt_magic.errors import FlowGptError
from flowgpt_magic.messages import Reasoning, Usage
from flowgpt_magic.messages.extras import Extras
from flowgpt_magic.replies.received import ReceivedContent


def received(*chunks: object) -> ReceivedContent:
    content = ReceivedContent()
    content.begun = time.monotonic() - 2
    for chunk in chunks:
        content.add(chunk, "test", lambda _text: None)
    return content


def test_only_text_that_is_not_empty_counts_as_a_chunk():
    content = received("one ", "", Usage(3, 4), "two")

    assert (content.text, content.chunks, content.usage.chunks) == ("one two", ["one ", "two"], 2)


def test_usage_has_the_providers_counts_and_the_seconds_since_the_request():
    content = received("one", Usage(3, 4, "stop"))
    content.finish()

    usage = content.usage
    assert (usage.prompt_tokens, usage.completion_tokens, usage.finish_reason) == (3, 4, "stop")
    assert usage.first_chunk_seconds == pytest.approx(2, abs=0.5)
    assert usage.seconds == pytest.approx(2, abs=0.5)


def test_notices_of_the_provider_are_passed_on():
    notices: list[str] = []
    extras = Extras(images=("data:image/png;base64,AA==",))
    content = ReceivedContent()

    assert not content.add(extras, "test", notices.append)

    assert (content.extras, notices) == (extras, ["the model also generated images: 1 in reply.images"])


def test_an_object_of_another_type_is_an_error_that_names_the_provider():
    with pytest.raises(FlowGptError, match="test sent int where text was expected"):
        received(1)


def test_a_new_attempt_begins_with_nothing():
    content = received("one", Usage(3, 4), Extras(reasoning="because"))
    content.clear()

    assert (content.text, content.extras, content.usage) == ("", Extras(), Usage())


def test_a_restored_reply_keeps_its_own_times():
    content = ReceivedContent()
    usage = Usage(3, 4, seconds=1.5, chunks=7)

    content.restore("all", usage, Extras())

    assert (content.text, content.usage) == ("all", usage)


def test_reasoning_is_kept_beside_the_text_and_its_seconds_end_with_the_first_word_of_the_answer():
    content = received(Reasoning("two and two"))
    assert content.reasons
    content.begun -= 3
    content.add("four", "test", lambda _text: None)
    content.begun -= 3
    content.finish()

    assert (content.text, content.reasoning, content.extras.reasoning) == ("four", "two and two", "two and two")
    assert not content.reasons
    assert content.usage.chunks == 1
    assert content.usage.reasoning_seconds == pytest.approx(3, abs=0.5)


def test_reasoning_in_chunks_takes_the_place_of_that_in_the_extras():
    content = received(Reasoning("in chunks"), "text", Extras(reasoning="at once", request_id="r"))

    assert content.extras == Extras(reasoning="in chunks", request_id="r")

"""Asking, and what is remembered of it."""

from __future__ import annotations

import asyncio

import pytest

from flowgpt_magic.conversation import Conversation, parameters
from flowgpt_magic.errors import ModelNotSupportedError, PromptError, ProviderError, SettingError
from flowgpt_magic.models import Target, find_model
from flowgpt_magic.providers.echo import Echo
from flowgpt_magic.settings import load


@pytest.fixture
def conversation() -> Conversation:
    return Conversation(configured=lambda: {"model": "echo"})


def test_a_prompt_is_answered_and_remembered(conversation):
    reply = conversation.ask("one two")

    assert reply.text == "one two"
    (turn,) = conversation.turns
    assert (turn.prompt, turn.text, turn.status) == ("one two", "one two", "complete")
    assert (turn.provider, turn.model, turn.turn_id) == ("echo", "words", reply.turn_id)


def test_nothing_is_asked_or_remembered_before_the_reply_is_read(conversation):
    reply = conversation.ask("one")

    assert (reply.status, conversation.turns) == (None, [])


def test_each_prompt_is_sent_with_the_turns_before_it(conversation):
    assert conversation.ask("one").text == "one"

    second = conversation.ask("two", model="echo:messages")

    assert second.text == "user: one\nassistant: one\nuser: two"
    assert second.messages == [
        {"role": "user", "content": "one"},
        {"role": "assistant", "content": "one"},
        {"role": "user", "content": "two"},
    ]


def test_the_system_prompt_comes_first_and_is_no_turn(conversation):
    reply = conversation.ask("hi", model="echo:messages", system="be brief")

    assert reply.text == "system: be brief\nuser: hi"
    assert [turn.prompt for turn in conversation.turns] == ["hi"]
    assert conversation.ask("again", model="echo:messages").messages[0]["role"] == "user"


def test_a_prompt_stays_exactly_as_it_was_written(conversation):
    prompt = "  {x} ${y} \\n\ttrailing  \n"

    assert conversation.ask(prompt).text == prompt


async def test_a_cancelled_reply_is_remembered_with_its_text(conversation):
    async def stopping_after_a_word():
        yield "one "
        await asyncio.Event().wait()

    reply = conversation.ask("one two three")
    reply._source = stopping_after_a_word
    async for _chunk in reply:
        reply.cancel()

    assert [(turn.prompt, turn.text, turn.status) for turn in conversation.turns] == [
        ("one two three", "one ", "cancelled")
    ]
    assert [message["content"] for message in conversation.ask("go on").messages] == [
        "one two three",
        "one ",
        "go on",
    ]


def test_a_failed_reply_is_remembered_but_without_text_not_sent(conversation):
    broken = conversation.ask("lost")
    broken._source = lambda: Echo.create_async_generator("words", broken.messages, fail_after=0)

    with pytest.raises(ProviderError):
        _ = broken.text

    assert [(turn.prompt, turn.text, turn.status) for turn in conversation.turns] == [("lost", "", "failed")]
    assert conversation.ask("two").messages == [{"role": "user", "content": "two"}]


def test_the_turn_is_remembered_before_a_reader_comes_to_the_end(conversation):
    for prompt in map(str, range(50)):
        for _chunk in (reply := conversation.ask(prompt)):
            pass
        assert conversation.turns[-1].turn_id == reply.turn_id


def test_a_reply_read_twice_is_one_turn(conversation):
    reply = conversation.ask("one")

    assert (str(reply), str(reply), len(conversation.turns)) == ("one", "one", 1)


def test_cleared_turns_are_not_sent(conversation):
    str(conversation.ask("one"))

    conversation.clear()

    assert conversation.turns == []
    assert conversation.ask("two").messages == [{"role": "user", "content": "two"}]


@pytest.mark.parametrize("prompt", ["", "  \n\t"])
def test_an_empty_prompt_is_not_sent(conversation, prompt):
    with pytest.raises(PromptError, match="the prompt is empty"):
        conversation.ask(prompt)


def test_a_prompt_is_text(conversation):
    with pytest.raises(PromptError, match="a prompt is text, not int"):
        conversation.ask(42)


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({"temperature": 3}, SettingError, "option: temperature"),
        ({"temprature": 1}, SettingError, "did you mean temperature"),
        ({"model": "echo:wrods"}, ModelNotSupportedError, "did you mean words"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_sent(conversation, options, error, said):
    with pytest.raises(error, match=said):
        conversation.ask("hi", **options)


def test_an_option_goes_before_what_is_configured(conversation):
    assert conversation.settings().model == "echo"
    assert conversation.settings(model=None).model == "echo"
    assert conversation.settings(model="echo:messages").model == "echo:messages"


def test_what_is_configured_is_looked_up_for_each_prompt():
    configured = {"model": "echo"}
    conversation = Conversation(configured=lambda: configured)
    str(conversation.ask("one"))

    configured["model"] = "echo:messages"

    assert conversation.ask("two").model == "messages"


def test_two_conversations_know_nothing_of_each_other():
    one, other = (Conversation(name, configured=lambda: {"model": "echo"}) for name in ("one", "other"))
    str(one.ask("secret"))

    assert other.ask("hi").messages == [{"role": "user", "content": "hi"}]


def test_a_provider_gets_what_it_takes_and_what_was_set():
    class Picky(Echo):
        settings = ("read_timeout",)

    target = Target("picky", Picky, "words")

    assert parameters(target, load({"read_timeout": 5})) == {"read_timeout": 5.0}
    assert parameters(target, load({"read_timeout": 5, "temperature": 0, "proxy": "http://p:1"})) == {
        "read_timeout": 5.0,
        "temperature": 0.0,
        "proxy": "http://p:1",
    }
    assert parameters(find_model("echo"), load({"pace": 0.5})) == {"pace": 0.5}


def test_a_conversation_shows_its_name_and_length(conversation):
    str(conversation.ask("one"))

    assert repr(conversation) == "<Conversation 'main', 1 turns>"

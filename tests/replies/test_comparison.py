"""Several models asked at once, in Python."""

from __future__ import annotations

import asyncio
import copy
import pickle

import pytest

import flowgpt_magic
from flowgpt_magic.conversation import Conversation
from flowgpt_magic.errors import (
    AuthenticationError,
    ComparisonError,
    MissingKeyError,
    ModelNotSupportedError,
    OptionError,
    ProviderConnectionError,
    ProviderError,
    ReplyInterrupted,
)
from flowgpt_magic.providers import aliases
from flowgpt_magic.providers.aliases import Alias
from flowgpt_magic.providers.echo import Echo
from flowgpt_magic.replies.reader import Reader
from tests.image_files import picture
from tests.openai_servers import STREAM, background, chunk, refusing, speaking
from tests.servers import closed_port, framed, stalling


@pytest.fixture
def conversation() -> Conversation:
    aliases.save(Alias("broken", "echo:words", params={"fail_after": 0}))
    return Conversation(configured=lambda: {"model": "echo"})


def test_nothing_is_sent_before_a_reply_is_read_and_then_all_are(conversation):
    comparison = conversation.compare("one", ["echo", "echo:messages"])
    assert [reply.status for reply in comparison] == [None, None]
    assert repr(comparison) == "<Comparison of echo: not sent yet, echo:messages: not sent yet>"

    assert comparison[1].text == "user: one"

    assert comparison.by_model["echo"].text == "one"
    assert (len(comparison), comparison["echo"]) == (2, comparison[0])
    assert comparison.texts == {"echo": "one", "echo:messages": "user: one"}


def test_the_replies_arrive_at_the_same_time(conversation, monkeypatch):
    arrived, both = [], asyncio.Event()

    async def meet(_model, messages, **_options):
        arrived.append(messages)
        if len(arrived) == 2:
            both.set()
        await both.wait()  # neither would answer if they were asked one after the other
        yield "met"

    monkeypatch.setattr(Echo, "create_async_generator", meet)

    assert [reply.text for reply in conversation.compare("one", ["echo", "echo:messages"])] == ["met", "met"]


async def test_it_can_be_awaited(conversation):
    replies = await conversation.compare("one", ["echo", "broken"])

    assert [(reply.status, reply.text_so_far) for reply in replies] == [("complete", "one"), ("failed", "")]


async def test_it_can_be_a_task(conversation):
    assert len(await asyncio.create_task(conversation.compare("one", ["echo", "echo:messages"]))) == 2


def test_a_model_that_fails_does_not_affect_the_others(conversation):
    comparison = conversation.compare("one", ["broken", "echo"])

    assert comparison.texts == {"broken": None, "echo": "one"}
    with pytest.raises(ProviderError):
        comparison[0].raise_error()


def test_an_error_of_foreign_code_is_that_of_its_column_too(conversation, monkeypatch):
    async def answer(model: str, _messages: object, **_options: object) -> object:
        if model == "words":
            raise ZeroDivisionError("foreign")
        yield "fine"

    monkeypatch.setattr(Echo, "create_async_generator", answer)

    assert conversation.compare("one", ["echo", "echo:messages"]).texts == {"echo": None, "echo:messages": "fine"}


def test_a_model_that_takes_no_pictures_says_so_and_the_others_go_on(conversation, monkeypatch):
    monkeypatch.setenv("FLOWGPT_OPENAI_BASE_URL", "http://127.0.0.1:9")  # where nobody listens

    comparison = conversation.compare("what?", ["echo", "openai_compatible:m"], images=[picture()], retries=0)

    assert comparison[1].messages[0]["images"]
    with pytest.raises(ComparisonError, match="echo: echo takes no images: ask a provider that does"):
        comparison.read()


def test_a_prompt_that_no_model_takes_is_one_error(conversation):
    with pytest.raises(OptionError, match="echo takes no images"):
        conversation.compare("what?", ["echo", "broken"], images=[picture()])
    with pytest.raises(OptionError, match="echo takes no parameter nosuch"):
        conversation.compare("what?", ["echo", "broken"], params={"nosuch": 1})


def test_a_missing_key_is_the_matter_of_its_model(conversation):
    aliases.save(Alias("keyless", "openai_compatible:m", base_url="http://127.0.0.1:9", key_variable="NO_SUCH_KEY"))

    comparison = conversation.compare("one", ["keyless", "echo"])

    assert comparison.texts == {"keyless": None, "echo": "one"}
    assert isinstance(comparison[0].error, MissingKeyError)


@pytest.mark.parametrize(
    ("models", "error", "text"),
    [
        (["echo", "echo"], OptionError, "echo is named twice: name each model once"),
        (["echo", "echo:words"], OptionError, "echo and echo:words are the same model"),
        (["echo"], OptionError, "a comparison needs two models or more"),
        ("echo", OptionError, "a comparison needs two models or more"),
        (["echo", "nosuch"], ModelNotSupportedError, "no model, provider or alias 'nosuch'"),
    ],
)
def test_wrong_names_are_one_error_before_anything_is_sent(conversation, models, error, text):
    with pytest.raises(error, match=text):
        conversation.compare("one", models)

    assert conversation.turns == []


def test_one_model_beside_several_is_an_error(conversation):
    with pytest.raises(OptionError, match="a comparison takes models="):
        conversation.compare("one", ["echo", "echo:messages"], model="echo")


def test_two_aliases_of_one_model_with_other_settings_are_two_models(conversation):
    aliases.save(Alias("brief", "echo:messages", system="Be brief."))

    texts = conversation.compare("one", ["brief", "echo:messages"]).texts

    assert texts == {"brief": "system: Be brief.\nuser: one", "echo:messages": "user: one"}


@pytest.mark.parametrize("read", [lambda comparison: comparison.read(), lambda comparison: comparison[1].text])
def test_an_interrupt_stops_all_and_keeps_their_texts(conversation, monkeypatch, read):
    aliases.save(Alias("slow", "echo:words", params={"pace": 30}))
    aliases.save(Alias("slower", "echo:words", params={"pace": 40}))
    comparison = conversation.compare("one", ["slow", "slower"])
    comparison.start()

    def interrupted(*_arguments: object) -> list[str]:
        raise KeyboardInterrupt

    monkeypatch.setattr(Reader, "take", interrupted)

    with pytest.raises(ReplyInterrupted):
        read(comparison)

    assert [reply.status for reply in comparison] == ["cancelled", "cancelled"]


def test_it_can_be_copied_and_pickled_at_its_end(conversation):
    comparison = conversation.compare("one", ["echo", "echo:messages"])
    comparison.read()

    assert copy.deepcopy(comparison).texts == comparison.texts == {"echo": "one", "echo:messages": "user: one"}
    assert pickle.loads(pickle.dumps(comparison)).texts == comparison.texts


def test_without_a_conversation_there_is_nothing_to_keep(conversation):
    comparison = conversation.compare("one", ["echo", "echo:messages"], history=False)
    assert comparison.texts["echo"] == "one"

    assert comparison.live == 0
    with pytest.raises(OptionError, match="not part of a conversation"):
        comparison.keep(1)


@pytest.mark.parametrize(
    ("which", "text"),
    [
        (0, "there is no reply 0: there are 3"),
        (4, "there is no reply 4"),
        ("ecko", "ecko was not asked; did you mean echo?"),
        (3, "the reply of broken has no text"),
    ],
)
def test_keep_says_what_is_wrong(conversation, which, text):
    comparison = conversation.compare("one", ["echo", "echo:messages", "broken"])
    comparison.read()

    with pytest.raises(OptionError, match=text):
        comparison.keep(which)


def test_it_is_public_and_uses_the_main_conversation(monkeypatch):
    monkeypatch.setenv("FLOWGPT_MODEL", "echo")

    comparison = flowgpt_magic.compare("one", ["echo", "echo:messages"], temperature=0.5)

    assert comparison.texts["echo"] == "one"
    assert "**2. echo:messages**" in comparison._repr_markdown_()
    assert [turn.prompt for turn in Conversation().turns] == ["one"]


def test_a_model_that_cannot_be_told_to_think_says_so(conversation):
    with pytest.raises(OptionError, match="echo"):
        conversation.compare("one", ["echo", "echo:messages"], think="high")


def test_a_reference_in_a_prompt_has_all_replies(conversation):
    comparison = conversation.compare("one", ["echo", "echo:messages"])
    comparison.read()

    assert comparison._repr_llm_() == "echo:\none\n\necho:messages:\nuser: one"


def test_another_host_shows_all_replies_and_their_errors(conversation):
    shown = conversation.compare("one", ["echo", "broken"])._display_().text

    assert "**1. echo**\n\none\n\n" in shown
    assert "echo was told to fail after 0 chunks" in shown


@pytest.mark.usefixtures("over_http_and_tls")
def test_servers_that_stall_refuse_and_are_down_leave_the_others(conversation):
    with (
        background(speaking("fi", "ne")) as good,
        background(stalling(STREAM, framed(chunk("so f")))) as slow,
        background(refusing(401, {"error": {"message": "wrong key"}})) as strict,
    ):
        urls = {"slow": slow.url, "strict": strict.url, "down": f"http://127.0.0.1:{closed_port()}", "good": good.url}
        for name, url in urls.items():
            aliases.save(Alias(name, "openai_compatible:m", base_url=f"{url}/v1"))
        comparison = conversation.compare("one", [*urls], retries=0)

        assert comparison["good"].text == "fine"
        assert next(iter(comparison["slow"])) == "so f"
        for name, error in (("strict", AuthenticationError), ("down", ProviderConnectionError)):
            with pytest.raises(error):
                list(comparison[name])
        comparison.cancel()

    assert [reply.status for reply in comparison] == ["cancelled", "failed", "failed", "complete"]
    assert comparison.live == 4

"""A conversation with pictures goes on with a model that reads text only."""

from __future__ import annotations

from typing import Any

import pytest

from flowgpt_magic.conversation import Conversation
from flowgpt_magic.errors import ImagesRefusedError
from flowgpt_magic.notebook.place import NO_CELL
from flowgpt_magic.providers import aliases
from flowgpt_magic.providers.aliases import Alias
from tests.openai_servers import background, blind, reply, streaming

PICTURE = "data:image/png;base64,AA"


@pytest.fixture
def servers():
    with background(streaming(reply("a plot"))) as sees, background(blind()) as reads:
        aliases.save(Alias("seer", "openai_compatible:m", f"{sees.url}/v1"))
        aliases.save(Alias("gpu", "openai_compatible:m", f"{reads.url}/v1"))
        yield sees, reads


def ask(chat: Conversation, prompt: Any, model: str, **options: Any) -> Any:
    return chat.ask(prompt, cell=NO_CELL, model=model, **options)


def contents(server: Any) -> list[list[Any]]:
    return [[message["content"] for message in request.json["messages"]] for request in server.requests]


def test_the_pictures_of_earlier_turns_are_left_out_once_they_are_refused(servers):
    sees, reads = servers
    chat = Conversation()
    assert ask(chat, "What is it?", "seer", images=[PICTURE]).text == "a plot"

    first = ask(chat, "a plain question", "gpu")
    assert first.text == "fine"
    second = ask(chat, "another one", "gpu")
    assert second.text == "fine"

    assert first.notices == ["1 earlier picture not sent: gpu reads text"]
    assert second.sent.unsent == ("1 earlier picture not sent: gpu reads text",)
    assert not second.notices
    with_picture, *without = contents(reads)
    assert with_picture[0][1]["type"] == "image_url"
    assert [texts[:2] for texts in without] == [["What is it?\n\n[1 image]", "a plot"]] * 2
    assert ask(chat, "and you?", "seer").text == "a plot"
    assert contents(sees)[-1][0][1]["type"] == "image_url"


def test_a_reply_with_a_schema_is_asked_for_without_them_too(servers):
    chat = Conversation()
    assert ask(chat, "What is it?", "seer", images=[PICTURE]).text == "a plot"

    answer = ask(chat, "a word", "gpu", schema={"type": "string"}, retries=0)

    assert answer.text == "fine"
    assert answer.notices == ["1 earlier picture not sent: gpu reads text"]


def test_a_picture_of_the_prompt_itself_stays_an_error_that_says_what_to_do(servers):
    _sees, reads = servers
    chat = Conversation()
    for _time in range(2):
        with pytest.raises(ImagesRefusedError, match=r"image input is not supported\. Ask a model that reads pictures"):
            assert ask(chat, "What is it?", "gpu", images=[PICTURE]).text
    assert len(reads.requests) == 2

    given = [{"role": "user", "content": "Look", "images": [PICTURE]}, {"role": "assistant", "content": "yes"}]
    with pytest.raises(ImagesRefusedError, match="leave the picture out"):
        assert ask(chat, [*given, {"role": "user", "content": "and?"}], "gpu").text
    assert ask(chat, "a plain question", "gpu").text == "fine"

"""Messages as OpenAI's clients take them: texts, parts, images, and what cannot be sent."""

from __future__ import annotations

from base64 import b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowgpt_magic.errors import PromptError
from flowgpt_magic.messages import ImageUrl
from flowgpt_magic.messages.content_parts import prompt_of_message, read_message, read_messages

PNG = "data:image/png;base64,AAAA"
WEB = "https://example.org/a.png"
SAID = st.fixed_dictionaries(
    {"role": st.sampled_from(["system", "user", "assistant"]), "content": st.text("ab \n", max_size=4)}
)


def user(content: object) -> dict[str, object]:
    return {"role": "user", "content": content}


@pytest.mark.parametrize(
    ("content", "text", "images"),
    [
        ("What?", "What?", []),
        ([], "", []),
        ([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}], "a\nb", []),
        ([{"type": "text", "text": ""}, {"type": "text", "text": "b"}], "b", []),
        (["a", {"type": "input_text", "text": "b"}], "a\nb", []),
        ([{"type": "text", "text": "What?"}, {"type": "image_url", "image_url": {"url": PNG}}], "What?", [PNG]),
        ([{"type": "image_url", "image_url": WEB}], "", [WEB]),
        ([{"type": "input_image", "image_url": PNG, "detail": "low"}], "", [PNG]),
    ],
)
def test_the_parts_of_a_content_become_a_text_and_images(content, text, images):
    message = read_message(user(content))

    assert (message["role"], message["content"], message.get("images", [])) == ("user", text, images)


def test_how_closely_an_image_is_looked_at_goes_along():
    (image,) = read_message(user([{"type": "image_url", "image_url": {"url": WEB, "detail": "high"}}]))["images"]

    assert isinstance(image, ImageUrl)
    assert image.detail == "high"
    assert isinstance(read_message({**user("x"), "images": [image]})["images"][0], ImageUrl)


@pytest.mark.parametrize(
    ("given_message", "message"),
    [
        ({"role": "developer", "content": "Be brief."}, {"role": "system", "content": "Be brief."}),
        (
            {"role": "assistant", "content": "Hi", "refusal": None, "tool_calls": None, "annotations": [], "name": ""},
            {"role": "assistant", "content": "Hi"},
        ),
        ({"role": "assistant", "content": None, "refusal": "No."}, {"role": "assistant", "content": "No."}),
        (
            {"role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]},
            {"role": "assistant", "content": "No."},
        ),
    ],
)
def test_what_a_client_gives_back_is_taken(given_message, message):
    assert read_message(given_message) == message


@pytest.mark.parametrize(
    ("message", "said"),
    [
        ("hi", "must have a role"),
        ({"content": "x"}, "must have a role"),
        ({"role": "robot", "content": "x"}, "its role is not 'robot'"),
        ({"role": ["user"], "content": "x"}, "must have a role"),
        ({"role": "user"}, "a content that is text or a list of parts"),
        (user(None), "a content that is text"),
        (user(b"x"), "a content that is text"),
        (user({"type": "text"}), "a content that is text"),
        (
            {"role": "tool", "tool_call_id": "1", "content": "x"},
            "the role tool cannot be sent: tools are not supported",
        ),
        ({"role": "user", "name": "Ann", "content": "x"}, "name of a message is not supported"),
        (
            {"role": "assistant", "content": None, "tool_calls": [{"id": "1"}]},
            "tool_calls of a message is not supported",
        ),
        (user([{"type": "input_audio", "input_audio": {}}]), "a part of the type 'input_audio'"),
        (user([{"type": "file", "file": {}}]), "a part of the type 'file'"),
        (user([{"text": "x"}]), "a part of the type None"),
        (user([7]), "a part of the type 'int'"),
        (user([{"type": ["text"]}]), r"a part of the type \['text'\]"),
        (user([{"type": "text", "text": None}]), "needs its text in 'text'"),
        (user([{"type": "image_url", "image_url": {"url": "a.png"}}]), "begin with data:image/, https:// or http://"),
        (user([{"type": "image_url"}]), "begin with data:image/"),
        ({**user("x"), "images": "a.png"}, "must be a list of URLs"),
    ],
)
def test_what_cannot_be_sent_is_named(message, said):
    with pytest.raises(PromptError, match=said):
        read_message(message)


def test_an_image_is_refused_where_none_is_taken():
    messages = [user([{"type": "image_url", "image_url": PNG}])]

    assert read_messages(messages, images=True, who="it")[0]["images"] == [PNG]
    with pytest.raises(PromptError, match="FlowGPT takes no images: ask a provider that does"):
        read_messages(messages, images=False, who="FlowGPT")


def test_messages_that_are_blank_are_not_sent():
    said = [
        {"role": "system", "content": " "},
        user("a"),
        {"role": "assistant", "content": "\n\n"},
        user([{"type": "text", "text": "b"}, {"type": "image_url", "image_url": PNG}]),
        {"role": "assistant", "content": "c"},
        user("d"),
        user("e"),
    ]

    assert read_messages(said, images=True, who="") == [
        {"role": "user", "content": "a\n\nb", "images": [PNG]},
        {"role": "assistant", "content": "c"},
        user("d"),
        user("e"),
    ]


@pytest.mark.parametrize("messages", [[], [{"role": "system", "content": ""}]])
def test_without_any_there_is_nothing_to_send(messages):
    with pytest.raises(PromptError, match="there is no message to send"):
        read_messages(messages, images=True, who="")


@given(messages=st.lists(SAID, min_size=1))
def test_what_is_said_stays_and_nothing_blank_or_doubled_is_sent(messages):
    if not any(message["role"] == "user" or message["content"].strip() for message in messages):
        return
    read = read_messages(messages, images=False, who="")

    assert all(message["role"] == "user" or message["content"].strip() for message in read)
    letters = ["".join(message["content"].split()) for message in messages]
    assert "".join("".join(message["content"].split()) for message in read) == "".join(letters)
    assert read_messages(read, images=False, who="") == read


def test_the_prompt_is_the_text_of_the_last_message_with_its_images():
    prompt = prompt_of_message({"role": "user", "content": "What?", "images": [PNG]})

    assert (prompt, prompt.images) == ("What?", (PNG,))
    assert prompt_of_message({"role": "user", "content": "What?"}) == "What?"


@pytest.mark.parametrize("role", ["system", "user", "assistant"])
def test_a_message_that_is_a_role_and_a_text_is_handed_on_as_it_is(role):
    message = {"role": role, "content": "words"}

    assert read_message(message) is message


@pytest.mark.parametrize("role", ["tool", "wizard", [], None])
def test_no_other_role_is_handed_on_unread(role):
    with pytest.raises(PromptError):
        read_message({"role": role, "content": "words"})
    assert read_message({"role": "developer", "content": "words"}) == {"role": "system", "content": "words"}


def test_an_encrypted_document_is_refused_before_anything_is_sent():
    data = b64encode(b"%PDF-1.7 trailer << /Encrypt 5 0 R >>").decode()
    part = {"type": "file", "file": {"filename": "secret.pdf", "file_data": data}}
    with pytest.raises(PromptError, match=r"secret\.pdf is encrypted: save a copy without its password"):
        read_message({"role": "user", "content": [part]})

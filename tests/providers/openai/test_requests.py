"""What a server of the OpenAI protocol is asked."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest

from flowgpt_magic.errors import OptionError, PromptError
from flowgpt_magic.providers.arguments import check_stop
from flowgpt_magic.providers.openai.requests import extra_fields, request_body, response_format, without_field

MESSAGES = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Hello \U0001f600", "id": 7},
]
PNG = "data:image/png;base64,AAAA"
CLOSED = {
    "type": "object",
    "properties": {"a": {"type": "integer"}, "enum": {"type": "array", "items": {"type": "string"}}},
    "required": ["enum", "a"],
    "additionalProperties": False,
}


def test_a_request_asks_for_a_stream_with_usage_and_sends_only_what_is_set():
    body = request_body("m", MESSAGES, {"temperature": None, "seed": 0, "stop": ["x"]})

    assert body == {
        "model": "m",
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello \U0001f600"}],
        "stream": True,
        "stream_options": {"include_usage": True},
        "seed": 0,
        "stop": ["x"],
    }


def test_the_messages_stay_as_they_are():
    messages = [*MESSAGES, {"role": "user", "content": "and this", "images": [PNG]}]
    before = deepcopy(messages)

    request_body("m", messages, {})

    assert messages == before


def test_images_go_along_as_parts_of_their_message():
    sent = request_body("m", [{"role": "user", "content": "What is this?", "images": [PNG, PNG]}], {})["messages"]

    image = {"type": "image_url", "image_url": {"url": PNG}}
    assert sent == [{"role": "user", "content": [{"type": "text", "text": "What is this?"}, image, image]}]
    alone = request_body("m", [{"role": "user", "content": "", "images": (PNG,)}], {})["messages"]
    assert alone == [{"role": "user", "content": [image]}]
    detailed = [{"type": "image_url", "image_url": {"url": "https://example.org/a.png", "detail": "low"}}]
    assert request_body("m", [{"role": "user", "content": detailed}], {})["messages"][0]["content"] == detailed
    none = request_body("m", [{"role": "user", "content": "x", "images": []}], {})["messages"]
    assert none == [{"role": "user", "content": "x"}]


def test_half_a_character_is_sent_as_a_sign_for_one():
    sent = request_body("m", [{"role": "user", "content": "a\ud83d"}], {})["messages"]

    assert sent[0]["content"] == "a\ufffd"


@pytest.mark.parametrize(
    ("messages", "said"),
    [
        ([], "there is no message to send"),
        (["hello"], "a message must have a role"),
        ([{"content": "x"}], "a message must have a role"),
        ([{"role": "user", "content": None}], "a content that is text"),
        ([{"role": "user", "content": [{"type": "video", "text": "x"}]}], "a part of the type 'video'"),
        ([{"role": "user", "content": "x", "images": PNG}], "a list of URLs"),
        ([{"role": "user", "content": "x", "images": ["a.png"]}], "begin with data:image/"),
        ([{"role": "user", "content": "x", "images": [b"png"]}], "begin with data:image/"),
    ],
)
def test_messages_that_are_none_are_refused(messages, said):
    with pytest.raises(PromptError, match=said):
        request_body("m", messages, {})


@pytest.mark.parametrize(("stop", "sent"), [(None, None), ("x", ["x"]), (["x", "y"], ["x", "y"]), (("x",), ["x"])])
def test_what_ends_a_reply_is_one_text_or_several(stop, sent):
    assert check_stop(stop) == sent


def test_further_fields_go_along_by_the_servers_own_names():
    assert extra_fields({"repetition_penalty": 1.1}) == {"repetition_penalty": 1.1}
    assert extra_fields(None) == {}


@pytest.mark.parametrize("given", [{"model": "x"}, {"messages": []}, {"stream": False}, {"n": 2}, "top_k=4", 7])
def test_further_fields_do_not_change_how_a_reply_is_asked_for(given):
    with pytest.raises(OptionError, match="extra_body"):
        extra_fields(given)


# Schemas


def named(schema: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = response_format(schema, None)["json_schema"]
    return found


def test_a_schema_is_asked_for_in_the_servers_own_way():
    assert response_format(CLOSED, None) == {
        "type": "json_schema",
        "json_schema": {"name": "reply", "schema": CLOSED, "strict": True},
    }


@pytest.mark.parametrize(
    ("title", "name"),
    [("Person", "Person"), ("List[Person]", "List_Person"), ("", "reply"), ("猫", "reply"), ("x" * 99, "x" * 64)],
)
def test_a_schema_is_called_by_its_title_where_that_can_be_a_name(title, name):
    assert named({**CLOSED, "title": title})["name"] == name


@pytest.mark.parametrize(
    ("schema", "strict"),
    [
        (CLOSED, True),
        ({"type": "string"}, True),
        ({"enum": [{"type": "object"}]}, True),
        ({**CLOSED, "required": ["a"]}, False),
        ({**CLOSED, "additionalProperties": True}, False),
        ({"type": "object", "properties": {}}, False),
        ({"type": "array", "items": {"type": "object"}}, False),
        ({"anyOf": [CLOSED, {"type": "object"}]}, False),
        ({**CLOSED, "$defs": {"B": {"properties": {"b": {}}}}}, False),
    ],
)
def test_only_what_every_server_can_promise_is_asked_for_strictly(schema, strict):
    assert named(schema)["strict"] is strict


def test_a_schema_and_another_format_are_one_too_many():
    with pytest.raises(OptionError, match="either schema or response_format"):
        response_format(CLOSED, {"type": "json_object"})


# What a server does not take


def test_a_field_that_is_refused_goes_or_goes_by_its_other_name():
    body = request_body("m", MESSAGES, {"max_tokens": 5})

    assert "stream_options" not in without_field(body, "stream_options")
    assert without_field(body, "max_tokens") == {
        **{name: value for name, value in body.items() if name != "max_tokens"},
        "max_completion_tokens": 5,
    }
    assert body["max_tokens"] == 5

"""What a server of the OpenAI protocol answers, event by event."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from flowgpt_magic.errors import FlowGptError, ProtocolError, ProviderError, StreamInterruptedError
from flowgpt_magic.messages import Usage, notices_to
from flowgpt_magic.providers.http_connection import Peer, Proxy, Route
from flowgpt_magic.providers.openai_errors import Failures
from flowgpt_magic.providers.openai_replies import Answer, check_is_no_page, is_json, model_names
from flowgpt_magic.providers.server_sent_events import Event

PEER = Peer(URL("http://127.0.0.1:1/v1/chat/completions"), Proxy(), Route(token="hunter2"))
USAGE = {"prompt_tokens": 9, "completion_tokens": 12, "total_tokens": 21}


def answer(model: str = "m", **body: Any) -> Answer:
    asked = {"model": model, **body}
    return Answer(asked, Failures(asked), PEER)


def said(kind: str = "message", **chunk: Any) -> Event:
    return Event(json.dumps(chunk).encode(), kind)


def delta(reason: str | None = None, model: str = "m", **given: Any) -> Event:
    return said(model=model, choices=[{"index": 0, "delta": given, "finish_reason": reason}])


def read(reading: Answer, *events: Event) -> tuple[str, list[str]]:
    """The whole text, and what was told beside it."""
    told: list[str] = []
    with notices_to(told.append):
        text = "".join(map(reading.read, events)) + reading.rest()
        reading.tell()
    return text, told


END = delta("stop")


@pytest.mark.parametrize(
    ("event", "text"),
    [
        (delta(content="word"), "word"),
        (delta(content=" "), " "),
        (delta(content=""), ""),
        (delta(content=None), ""),
        (delta(role="assistant"), ""),
        (delta("stop", content="word"), "word"),
        (said(choices=[{"delta": None}]), ""),
        (said(choices=[{}]), ""),
        (said(choices=[]), ""),
        (said(choices=None, usage=USAGE), ""),
        (said(), ""),
        (said(choices=[{"delta": {"content": "a"}}, {"delta": {"content": "b"}}]), "a"),
        (said(error=None, choices=[{"delta": {"content": "a"}}]), "a"),
        (delta(refusal="I cannot help with that."), "I cannot help with that."),
        (delta(content=[{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "a"}]), "a"),
        (Event(b""), ""),
        (Event(b"  \n"), ""),
        (Event(b'{"choices": [{"delta": {"content": "\\ud83d\\ude00"}}]}'), "\U0001f600"),
        (Event(b"keepalive", "ping"), ""),
        (said("ping", time=1), ""),
    ],
)
def test_each_event_brings_the_text_it_holds(event, text):
    assert answer().read(event) == text


@pytest.mark.parametrize("data", [b"[DONE]", b" [DONE]", b"[DONE]\n"])
def test_the_server_says_when_it_is_done(data):
    reading = answer()

    assert reading.read(Event(data)) == ""
    assert (reading.done, reading.finished) == (True, True)


@pytest.mark.parametrize(
    "data",
    [
        b"not json",
        b'"text"',
        b"[1]",
        b'{"choices": "x"}',
        b'{"choices": {"0": 1}}',
        b'{"choices": [7]}',
        b'{"choices": [{"delta": 7}]}',
        b'{"choices": [{"delta": {"content": 7}}]}',
        b'{"choices": [{"delta": {"content": [7]}}]}',
        b'{"choices": [{"delta": {"tool_calls": 7}}]}',
        b'{"choices": [{"delta": {"refusal": 7}}]}',
        b'{"choices": [{"delta": {"content": "\xff"}}]}',
    ],
)
def test_what_is_no_event_of_the_protocol_is_quoted(data):
    with pytest.raises(ProtocolError, match="the server sent") as caught:
        answer().read(Event(data))
    assert data[:10].decode() in str(caught.value)


CHUNKS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from(
                [
                    "choices",
                    "delta",
                    "content",
                    "finish_reason",
                    "usage",
                    "error",
                    "model",
                    "type",
                    "text",
                    "tool_calls",
                    "function",
                    "name",
                    "reasoning",
                ]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=20,
)


@given(st.lists(CHUNKS | st.builds(lambda inner: {"choices": [{"delta": inner, "finish_reason": "stop"}]}, CHUNKS)))
def test_any_json_is_text_or_an_error_of_ours(chunks):
    reading = answer()
    with notices_to(lambda _text: None):
        try:
            for chunk in chunks:
                assert isinstance(reading.read(Event(json.dumps(chunk).encode())), str)
            assert isinstance(reading.rest(), str)
        except FlowGptError:
            return
        reading.tell()
        assert isinstance(reading.usage(), Usage)


def test_a_failure_inside_a_reply_is_raised_in_each_of_its_shapes():
    for event in (
        said(error={"message": "boom", "code": 502}),
        said(error="boom"),
        said(object="error", message="boom"),
        said("error", message="boom"),
    ):
        with pytest.raises(ProviderError, match=r"reports a failure: .*boom"):
            answer().read(event)


def test_a_character_that_was_cut_in_two_is_mended_across_events():
    halves = [Event(b'{"choices": [{"delta": {"content": "%s"}}]}' % half) for half in (b"a\\ud83d", b"\\ude00b")]

    assert read(answer(), *halves, END)[0] == "a\U0001f600b"
    assert read(answer(), halves[0], END)[0] == "a\ufffd"


# How it ended


@pytest.mark.parametrize("events", [[], [delta(content="a")], [delta(content="a"), said(choices=[], usage=USAGE)]])
def test_a_reply_that_nobody_ended_is_not_whole(events):
    reading = answer()
    for event in events:
        reading.read(event)

    assert not reading.finished
    with pytest.raises(StreamInterruptedError, match=r"127\.0\.0\.1:1 ended the reply before it was complete"):
        reading.rest()


def test_a_reply_that_ended_with_an_error_is_none():
    reading = answer()
    reading.read(delta("error"))

    with pytest.raises(ProviderError, match="ended the reply with an error"):
        reading.rest()


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b'{"choices":[{"delta":{"content":"a"}}]}', "a"),
        (b"[DONE]", ""),
        (b'{"choices":[{"delta":{"conte', ""),
        (b"", ""),
        (b"[DO", ""),
    ],
)
def test_an_event_that_only_the_end_of_the_connection_ends_counts_where_it_is_whole(data, text):
    reading = answer()

    assert reading.read_unfinished(data) == text
    assert reading.done == (data == b"[DONE]")


@pytest.mark.parametrize(
    ("counts", "prompt", "completion"),
    [(USAGE, 9, 12), ({"prompt_tokens": "9"}, None, None), ([1], None, None), (None, None, None)],
)
def test_the_usage_is_what_came_last(counts, prompt, completion):
    reading = answer()
    reading.read(delta(content="a"))
    reading.read(said(choices=[], usage={"prompt_tokens": 1}) if counts is USAGE else END)
    reading.read(said(choices=[], usage=counts))
    reading.read(END)

    assert reading.usage() == Usage(prompt, completion, "stop")


@pytest.mark.parametrize(
    ("body", "events", "told"),
    [
        ({}, [delta(content="a"), END], []),
        ({"max_tokens": 5}, [delta("length", content="a")], ["the reply was cut off at max_tokens = 5"]),
        (
            {"max_completion_tokens": 7},
            [delta("length", content="a")],
            ["the reply was cut off at max_completion_tokens = 7"],
        ),
        ({}, [delta("length", content="a")], ["the reply was cut off at the limit of the server"]),
        ({}, [delta("content_filter", content="a")], ["the content filter of 127.0.0.1:1 ended the reply"]),
        (
            {},
            [delta("tool_calls", tool_calls=[{"function": {"name": "look_up"}}, {"function": None}])],
            ["the model asked for tools, and there are none here: look_up"],
        ),
        (
            {},
            [delta(reasoning_content="hm"), delta(reasoning="hmm"), delta(content="a"), END],
            ["the model reasoned before it answered: 5 characters, not shown"],
        ),
        ({}, [END], ["127.0.0.1:1 sent an empty reply"]),
    ],
)
def test_what_the_text_does_not_say_is_told(body, events, told):
    assert read(answer(**body), *events)[1] == told


@pytest.mark.parametrize(
    ("asked", "answered", "other"),
    [
        ("gpt-4o-mini", "gpt-4o-mini-2024-07-18", False),
        ("openai/gpt-4o-mini", "gpt-4o-mini", False),
        ("llama3.2", "library/Llama3.2", False),
        ("smollm2", "/models/SmolLM2-135M-Instruct.Q4_1.gguf", False),
        ("m", "", False),
        ("m", None, False),
        ("gpt-4o", "/models/SmolLM2-135M-Instruct.Q4_1.gguf", True),
        ("fast", "qwen2.5", True),
    ],
)
def test_another_model_than_the_one_asked_is_named(asked, answered, other):
    told = read(answer(asked), delta(model=answered, content="a"), END)[1]

    assert bool(told) is other
    if other:
        assert told[0].startswith("127.0.0.1:1 says that another model answered: ")


def test_a_key_that_a_server_repeats_is_in_no_notice():
    told = read(answer(), delta(model="other hunter2", content="a"), END)[1]

    assert told == ["127.0.0.1:1 says that another model answered: other ***"]


# In one piece


def test_a_reply_in_one_piece_is_read_too():
    reading = answer()
    whole = {"model": "m", "choices": [{"message": {"content": "all"}, "finish_reason": "stop"}], "usage": USAGE}

    assert reading.read_whole(json.dumps(whole).encode()) == "all"
    assert (reading.done, reading.usage()) == (True, Usage(9, 12, "stop"))


@pytest.mark.parametrize(
    ("content", "kind", "said"),
    [
        (b'{"error": {"message": "boom", "code": 500}}', ProviderError, "boom"),
        (b'{"object": "error", "message": "boom"}', ProviderError, "boom"),
        (b'{"status": "ok"}', ProtocolError, "an answer that is no chat completion"),
        (b"[1]", ProtocolError, "not an object"),
        (b'{"choices": [', ProtocolError, "not JSON"),
    ],
)
def test_another_object_in_its_place_is_an_error(content, kind, said):
    with pytest.raises(kind, match=said):
        answer().read_whole(content)


@pytest.mark.parametrize(
    ("content", "json_"),
    [
        (b'{"a"', True),
        (b"\xef\xbb\xbf\n [", True),
        (b"data: {}", False),
        (b": hi", False),
        (b"", False),
        (b"<html>", False),
    ],
)
def test_an_object_is_known_by_how_it_begins(content, json_):
    assert is_json(content) is json_


def test_a_web_page_is_told_with_what_it_says():
    page = b"\xef\xbb\xbf\n<!doctype html><html><head><title>Open WebUI</title></head><body>Log in</body></html>"
    with pytest.raises(ProtocolError, match=r"answered with a web page: Open WebUI Log in\. Is http://127"):
        check_is_no_page(page, PEER)
    check_is_no_page(b"data: <html>", PEER)


@pytest.mark.parametrize(
    ("content", "names"),
    [
        (b'{"object": "list", "data": [{"id": "a"}, {"id": "b"}, {"id": "a"}]}', ["a", "b"]),
        (b'[{"id": "a"}, {"name": "b"}]', ["a", "b"]),
        (b'\xef\xbb\xbf\n[{"id": "a"}]', ["a"]),
        (b'{"models": [{"name": "a"}, "b", {"id": 7}, {}, null]}', ["a", "b"]),
        (b'{"data": []}', []),
    ],
)
def test_the_names_of_models_are_found_in_each_shape_of_a_list(content, names):
    assert model_names(content) == names


@pytest.mark.parametrize(
    "content", [b"{}", b'{"data": null}', b'{"data": "a"}', b'{"models": {"a": 1}}', b"null", b"x"]
)
def test_what_is_no_list_of_models_is_quoted(content):
    with pytest.raises(ProtocolError, match="the server sent"):
        model_names(content)

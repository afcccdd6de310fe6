"""The text of a chunk that differs in nothing else from the one before it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from flowgpt_magic.providers.http.connection import Endpoint, Proxy, Route
from flowgpt_magic.providers.http.server_sent_events import Event
from flowgpt_magic.providers.openai import replies as openai_replies
from flowgpt_magic.providers.openai.chunk_template import MAX_MISMATCHES, ChunkTemplate
from flowgpt_magic.providers.openai.errors import ErrorMapper
from flowgpt_magic.providers.openai.replies import ReplyReader

PEER = Endpoint(URL("http://127.0.0.1:1/v1/chat/completions"), Proxy(), Route())


def chunk(text: Any, *, reason: str | None = None, **more: Any) -> dict[str, Any]:
    choice = {"index": 0, "delta": {"content": text}, "logprobs": None, "finish_reason": reason}
    return {"id": "a", "object": "chat.completion.chunk", "model": "m", "choices": [choice], "usage": None, **more}


def encoded(value: Any, *, ascii_only: bool = True) -> bytes:
    return json.dumps(value, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")


def learned(text: str = "one") -> ChunkTemplate:
    usual = ChunkTemplate()
    usual.learn(encoded(chunk(text)), chunk(text))
    return usual


@given(st.text(min_size=1), st.booleans())
def test_its_text_is_what_json_says(text, ascii_only):
    data = encoded(chunk(text), ascii_only=ascii_only)
    try:
        said = json.loads(data)["choices"][0]["delta"]["content"]
    except UnicodeDecodeError:  # half a character as it is: no JSON at all
        said = ""

    assert learned().text_of(data) == said


@given(st.binary(max_size=20))
def test_what_is_no_text_in_its_place_is_not_taken_for_one(middle):
    before, behind = encoded(chunk("one")).split(b'"one"')
    data = before + middle + behind
    try:
        said = json.loads(data)["choices"][0]["delta"]["content"]
    except (ValueError, LookupError, TypeError):
        said = ""

    assert learned().text_of(data) in ("", said)


@pytest.mark.parametrize(
    "other",
    [
        chunk("two", reason="stop"),
        chunk("two", usage={"prompt_tokens": 1}),
        chunk("two", error={"message": "no"}),
        chunk(None),
        chunk(""),
        chunk(["two"]),
        {"error": "no"},
    ],
)
def test_a_chunk_that_differs_in_more_is_read_whole(other):
    assert learned().text_of(encoded(other)) == ""


def test_the_text_is_found_where_it_counts():
    said = {"note": {"content": "one"}, **chunk("one")}
    twice = encoded(chunk("one")).replace(b'"content": "one"', b'"content": "zero", "content": "one"')

    for data in (encoded(said), twice):
        usual = ChunkTemplate()
        usual.learn(data, json.loads(data))
        assert usual.text_of(data) == ""


def test_it_is_given_up_where_each_chunk_differs_in_more():
    usual = ChunkTemplate()
    for number in range(MAX_MISMATCHES):
        usual.learn(encoded(chunk("one", created=number)), chunk("one", created=number))

    usual.learn(encoded(chunk("one")), chunk("one"))

    assert usual.text_of(encoded(chunk("two"))) == ""


PARTS = st.one_of(
    st.text(max_size=5).map(chunk),
    st.text(max_size=5).map(lambda text: chunk(text, created=2)),
    st.just(chunk("bye", reason="stop")),
    st.just(chunk("why", citations=["http://a.example"])),
    st.just({"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 2}}),
)


@given(st.lists(PARTS, max_size=30))
def test_a_reply_is_the_same_with_it_and_without(parts):
    def read(few: int) -> Any:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(openai_replies, "TEMPLATE_AFTER", few)
            answer = ReplyReader({"model": "m"}, ErrorMapper({}), PEER)
            texts = [answer.read(Event(encoded(part))) for part in parts]
        return texts, answer.is_complete, answer.has_content, answer.extras(), answer.usage()

    assert read(0) == read(1000)


def test_usual_chunks_are_not_read_as_json(monkeypatch):
    read: list[bytes] = []
    read_object = openai_replies.http.read_object
    monkeypatch.setattr(
        openai_replies.http, "read_object", lambda data, **how: read.append(data) or read_object(data, **how)
    )
    answer = ReplyReader({"model": "m"}, ErrorMapper({}), PEER)

    texts = [answer.read(Event(encoded(chunk(f"word {number} ")))) for number in range(100)]

    assert texts == [f"word {number} " for number in range(100)]
    assert len(read) == openai_replies.TEMPLATE_AFTER + 1

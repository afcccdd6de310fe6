"""Replies in the frames that servers give them, wherever their bytes are cut."""

from __future__ import annotations

import json
from collections.abc import Callable

import httpx
import openai
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from yarl import URL

from flowgpt_magic.errors import FlowGptError
from flowgpt_magic.messages import is_text, notices_to
from flowgpt_magic.providers.http.connection import Endpoint, Proxy, Route
from flowgpt_magic.providers.http.lenient_events import ERROR_EVENT, UNFRAMED_EVENT, JsonSplitter, LenientEventSplitter
from flowgpt_magic.providers.http.server_sent_events import Event
from flowgpt_magic.providers.openai.errors import ErrorMapper
from flowgpt_magic.providers.openai.exchange import looks_like_json
from flowgpt_magic.providers.openai.replies import ReplyReader
from tests.servers import cut

LIMIT = 2**20
PEER = Endpoint(URL("http://127.0.0.1:1/v1/chat/completions"), Proxy(), Route())


Splitter = LenientEventSplitter | JsonSplitter


def events_of(content: bytes, make: Callable[[int], Splitter] = LenientEventSplitter) -> list[Event]:
    splitter = make(LIMIT)
    return [*splitter.split(content), *splitter.last(), *splitter.unfinished()]


@pytest.mark.parametrize(
    ("content", "events"),
    [
        (b'error: {"a": 1}\n\n', [Event(b'{"a": 1}', ERROR_EVENT)]),
        (b'error:{"a": 1}\n', [Event(b'{"a": 1}', ERROR_EVENT)]),
        (b'data: 1\n\n{"a": 1}\n\ndata: 2\n\n', [Event(b"1"), Event(b'{"a": 1}', UNFRAMED_EVENT), Event(b"2")]),
        (
            b'data: 1\n\n{"a": 1}\n{"a": 2}\ndata: 2\n\n',
            [Event(b"1"), Event(b'{"a": 1}', UNFRAMED_EVENT), Event(b'{"a": 2}', UNFRAMED_EVENT), Event(b"2")],
        ),
        (
            b'data: 1\n\n{\n "a": {\n  "b": 1\n }\n}\n',
            [Event(b"1"), Event(b'{\n "a": {\n  "b": 1\n }\n}', UNFRAMED_EVENT)],
        ),
        (b'data: 1\n\n{"a": 1}', [Event(b"1"), Event(b'{"a": 1}', UNFRAMED_EVENT)]),
        (b'data: 1\n\n{"a":\n\ndata: 2\n\n', [Event(b"1"), Event(b'{"a":', UNFRAMED_EVENT), Event(b"2")]),
        (b'data: 1\n\n{"a":\ndata: 2\n\n', [Event(b"1"), Event(b'{"a":', UNFRAMED_EVENT), Event(b"2")]),
        (b"data: 1\n\nupstream error: gone\n", [Event(b"1"), Event(b"upstream error: gone", UNFRAMED_EVENT)]),
        (b"Internal Server Error", [Event(b"Internal Server Error", UNFRAMED_EVENT)]),
        (b": {\n\nretry: 7\nid: 1\nevent: x\ndata: 1\n\n", [Event(b"1", "x", "1")]),
    ],
)
def test_what_stands_between_the_fields_comes_out_too(content, events):
    assert events_of(content) == events


@pytest.mark.parametrize(
    ("content", "datas"),
    [
        (b'{"a": 1}\n{"a": 2}\n', [b'{"a": 1}', b'{"a": 2}']),
        (b'{"a": 1}\r\n\r\n{"a": 2}', [b'{"a": 1}', b'{"a": 2}']),
        (b'{"a": 1}\ndata: {"a": 2}\n\ndata: [DONE]\n', [b'{"a": 1}', b'{"a": 2}', b"[DONE]"]),
        (b'\xef\xbb\xbf\n {"a": 1}', [b'{"a": 1}']),
        (b'{\n  "a": 1\n}\n', [b'{\n  "a": 1\n}']),
        (b'{"a": 1}{"a": 2}', [b'{"a": 1}', b'{"a": 2}']),
        (b'[{"a": 1},\n{"a": 2}]\n', [b'{"a": 1}', b'{"a": 2}']),
        (b'[{"a": 1}]', [b'{"a": 1}']),
        (b'{"a": ', [b'{"a":']),
        (b"[1]", [b"[1]"]),
    ],
)
def test_json_without_a_frame_is_cut_into_its_objects(content, datas):
    assert [event.data for event in events_of(content, JsonSplitter)] == datas


def test_objects_on_lines_come_as_they_arrive():
    splitter = JsonSplitter(LIMIT)

    assert splitter.split(b'{"a": 1}') == []
    assert splitter.split(b'\n{"a"') == [Event(b'{"a": 1}')]
    assert splitter.split(b": 2}\n") == [Event(b'{"a": 2}')]
    assert splitter.last() == []


@pytest.mark.parametrize(
    ("make", "content"),
    [
        (LenientEventSplitter, b'{\n"a": 1,\n'),
        (LenientEventSplitter, b"{" + b"x" * 300),
        (JsonSplitter, b'{\n"a": 1,\n'),
        (JsonSplitter, b'{"a": 1}\n{"a": "' + b"x" * 300),
    ],
)
def test_what_is_too_long_is_held_no_further(make, content):
    splitter = make(200)
    splitter.split(content)
    for _ in range(100):
        splitter.split(b'"b": 2,\n' if content.endswith(b"\n") else b"x" * 9)
        if splitter.too_long:
            return
    pytest.fail("it is never too long")


# A whole reply


def data(**chunk: object) -> bytes:
    return b"data: " + json.dumps(chunk).encode() + b"\n\n"


def delta(**given: object) -> bytes:
    return data(model="m", choices=[{"index": 0, "delta": given, "finish_reason": None}])


PIECES = [
    delta(content="word "),
    delta(content="\ud83d"),
    delta(content="\ude00"),
    delta(content=["a", {"type": "output_text", "text": "b"}]),
    delta(reasoning="hm"),
    delta(images=[{"image_url": {"url": "data:image/png;base64,AA=="}}]),
    data(model="m", choices=[{"message": {"content": "said"}}]),
    data(model="m", choices=[{"text": "said"}]),
    data(model="m", choices=[{"index": 1, "delta": {"content": "other"}}]),
    data(model="m", choices=[{"index": 0, "delta": {}, "finish_reason": "null"}]),
    data(model="m", choices=[{"index": 0, "delta": {"content": "x"}, "finish_reason": "stop"}]),
    data(choices=[], usage={"prompt_tokens": 1, "completion_tokens": 2}, citations=["https://a.example/"]),
    data(error={"message": "boom", "code": 502}),
    data(code=50501, message="busy"),
    data(detail="gone"),
    b'error: {"message": "boom"}\n\n',
    b"event: error\ndata: boom\n\n",
    b'{"error": {"message": "boom"}}\n',
    b'{\n  "error": {\n    "message": "boom"\n  }\n}\n',
    b'{"model": "m", "choices": [{"delta": {"content": "unframed"}}]}\n',
    b'{"model": "m", "message": {"content": "ollama"}, "done": false}\n',
    b'{"model": "m", "message": {"content": ""}, "done": true}\n',
    b"data: : keepalive\n\n",
    b": keepalive\n\n",
    b"upstream error\n",
    b"data: null\n\n",
    b'data: "[DONE]"\n\n',
    b"data: [DONE]\n\n",
]


def outcome(blocks: list[bytes], whole: bytes) -> tuple[object, ...]:
    """All that a reader can tell of a reply that came in these blocks."""
    asked = {"model": "m"}
    reading, told = ReplyReader(asked, ErrorMapper(asked), PEER), []
    splitter = JsonSplitter(LIMIT) if looks_like_json(whole) else LenientEventSplitter(LIMIT)
    chunks: list[str] = []  # text and reasoning
    with notices_to(told.append):
        try:
            for block in blocks:
                for event in splitter.split(block):
                    chunks += [] if reading.done else [reading.read(event)]
            for event in splitter.last():
                chunks += [] if reading.done else [reading.read(event)]
            if not reading.done:
                chunks.append(reading.read_unfinished(splitter.unfinished()))
            chunks.append(reading.finish())
            reading.send_notices()
        except FlowGptError as error:
            return "".join(filter(is_text, chunks)), type(error), str(error), "".join(chunks)
    return "".join(filter(is_text, chunks)), reading.extras(), reading.usage(), told, "".join(chunks)


@settings(max_examples=400, deadline=None)
@given(
    st.lists(st.sampled_from(PIECES), max_size=7), st.lists(st.integers(0, 3_000)), st.sampled_from([b"\n", b"\r\n"])
)
@example([PIECES[0], PIECES[17]], [], b"\n")
@example([PIECES[19], PIECES[20], PIECES[21]], [], b"\n")
def test_a_reply_reads_the_same_wherever_its_bytes_are_cut(pieces, places, end):
    whole = b"".join(pieces).replace(b"\n", end)
    expected = outcome([whole], whole)

    assert outcome(cut(whole, places), whole) == expected
    assert outcome(cut(whole, range(len(whole))), whole) == expected


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from([*PIECES[:7], *PIECES[11:12]]), min_size=1, max_size=6), st.integers(0, 3_000))
def test_a_reply_that_was_cut_off_is_never_whole(pieces, place):
    whole = b"".join(pieces)[:place]

    found = outcome([whole], whole)

    assert isinstance(found[1], type), found
    assert issubclass(found[1], FlowGptError)


PLAIN = [*PIECES[:3], PIECES[4], PIECES[9], PIECES[11], b": keepalive\n\n"]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from(PLAIN), max_size=6), st.sampled_from([b"\n", b"\r\n", b"\r"]))
@example([PIECES[4]], b"\n")
def test_where_openais_client_reads_a_whole_reply_the_text_is_the_same(pieces, end):
    whole = b"".join([*pieces, PIECES[10], PIECES[11], b"data: [DONE]\n\n"]).replace(b"\n", end)

    def answer(_request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, content=whole, headers={"Content-Type": "text/event-stream"})

    http_client = httpx.Client(transport=httpx.MockTransport(answer))
    with openai.OpenAI(api_key="x", base_url="http://127.0.0.1:1/v1", http_client=http_client) as client:
        asked = {"model": "m", "messages": [{"role": "user", "content": "x"}]}
        chunks = client.chat.completions.create(**asked, stream=True)
        theirs = "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)

    assert outcome([whole], whole)[0] == theirs.encode("utf-16", "surrogatepass").decode("utf-16", "replace")

"""The lines of a FlowGPT reply: text, and failures in every shape that servers and proxies have for them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowgpt_magic.errors import (
    AuthenticationError,
    FlowGptError,
    PermissionDeniedError,
    ProtocolError,
    ProviderError,
    RateLimitError,
)
from flowgpt_magic.providers.flowgpt import FlowGpt
from flowgpt_magic.providers.flowgpt_events import REPORT_LIMIT, EventReader
from tests.servers import line, replying, serving

HELLO = [{"role": "user", "content": "hello"}]
WORDS = "the model is overloaded"


def read(body: bytes) -> tuple[list[str], ProviderError | None]:
    """The chunks of a body, and the failure that it ends in."""
    reader, chunks = EventReader(), []
    for each in body.split(b"\n"):
        text, failure = reader.read(each)
        chunks += [text] if text else []
        if failure is not None:
            return chunks, failure
    return chunks, reader.end()


SHAPES: dict[str, Any] = {
    "error as text": {"error": WORDS},
    "error as an object": {"error": {"message": WORDS, "code": 7}},
    "error as a list": {"errors": [{"detail": WORDS}]},
    "message": {"message": WORDS},
    "detail": {"detail": WORDS},
    "detail as a list": {"detail": [{"loc": ["body", "model"], "msg": WORDS}]},
    "msg": {"msg": WORDS},
    "code": {"code": 500, "reason": WORDS},
    "code as text": {"code": "503", "msg": WORDS},
    "status": {"status": 500, "detail": WORDS},
    "statusCode": {"statusCode": 500, "message": WORDS},
    "success": {"success": False, "msg": WORDS},
    "base_resp": {"base_resp": {"status_code": 1008, "status_msg": WORDS}},
    "null event": {"event": None, "error": WORDS},
    "inside data": {"event": None, "data": {"error": WORDS}},
    "code inside data": {"data": {"code": 500, "message": WORDS}},
    "event error": {"event": "error", "message": WORDS},
    "event error with data": {"event": "error", "data": WORDS},
    "event error with an object": {"event": "error", "data": {"message": WORDS}},
    "event ERROR": {"event": "ERROR", "error": {"message": WORDS}},
    "event stream_error": {"event": "stream_error", "msg": WORDS},
    "event failed": {"event": "reply.failed", "reason": WORDS},
    "event as an object": {"event": {"type": "error"}, "message": WORDS},
    "type error": {"type": "error", "error": {"type": "overloaded_error", "message": WORDS}},
    "another event with an error": {"event": "end", "error": WORDS},
    "another event with a status": {"event": "end", "statusCode": 500, "message": WORDS},
    "text without data": {"event": "text", "data": None, "error": {"message": WORDS}},
    "text with data null and a message": {"event": "text", "data": None, "message": WORDS},
    "text with an object": {"event": "text", "data": {"error": WORDS}},
    "event aborted": {"event": "aborted", "data": WORDS},
    "event timeout": {"event": "timeout", "data": WORDS},
    "another event whose data says so": {"event": "finish", "data": {"status": "error", "message": WORDS}},
    "exception": {"exception": WORDS},
    "list": [{"error": {"code": 500, "message": WORDS}}],
}


@pytest.mark.parametrize("before", [b"", line("half a re")], ids=["at once", "after a chunk"])
@pytest.mark.parametrize("frame", ["{}\n", "data: {}\n\n", "data:{}\r\n\r\n", "event: message\ndata: {}\n\n", "{}"])
@pytest.mark.parametrize("shape", list(SHAPES))
def test_a_failure_is_told_with_its_own_words_in_whatever_shape(shape: str, frame: str, before: bytes) -> None:
    chunks, failure = read(before + frame.format(json.dumps(SHAPES[shape])).encode())
    assert chunks == (["half a re"] if before else [])
    assert isinstance(failure, ProviderError)
    assert not isinstance(failure, ProtocolError)
    assert WORDS in str(failure)


@pytest.mark.parametrize("before", [b"", line("half a re")], ids=["at once", "after a chunk"])
@pytest.mark.parametrize(
    "body",
    [
        json.dumps({"error": {"message": WORDS}}, indent=2),
        json.dumps([{"error": {"message": WORDS}}], indent=1),
        json.dumps({"statusCode": 500, "details": [{}, {}], "message": WORDS}, indent="\t"),
        f'{{"statusCode": 500,\n"message": "{WORDS}"}}\n',
        f"event: error\ndata: {WORDS}\n\n",
        f'event: error\ndata: {{"reason": "{WORDS}"}}\n\n',
        f"error: {WORDS}\n",
        f'error: {{"message": "{WORDS}"}}\n',
        f': ping\n\nid: 7\nretry: 10\ndata: {{"error": "{WORDS}"}}',
    ],
)
def test_a_failure_may_stand_on_several_lines_or_in_an_event_stream(body: str, before: bytes) -> None:
    chunks, failure = read(before + body.encode())
    assert chunks == (["half a re"] if before else [])
    assert isinstance(failure, ProviderError)
    assert not isinstance(failure, ProtocolError)
    assert str(failure).endswith(f"{WORDS}.")


def test_text_that_comes_with_a_failure_is_delivered_before_it() -> None:
    chunks, failure = read(line("half a re", error=WORDS) + line("never"))
    assert chunks == ["half a re"]
    assert WORDS in str(failure)


@pytest.mark.parametrize(
    "event",
    [
        {"event": "end", "message": "goodbye", "code": "stop"},
        {"event": "metadata", "data": {"message": "x", "status": "ok"}},
        {"event": 7, "message": "x"},
        {"event": None},
        {"event": None, "data": "x"},
        {"id": 1, "status": "ok", "code": 0, "success": True, "error": None, "base_resp": {"status_code": 0}},
        {"code": 200, "message": "success"},
        {"statusCode": 200, "message": "OK"},
        {"event": "progress", "code": 100, "status": "running"},
    ],
)
def test_what_is_no_failure_is_skipped(event: dict[str, Any]) -> None:
    assert read(json.dumps(event).encode() + b"\n" + line("text")) == (["text"], None)


@pytest.mark.parametrize("more", [{"code": 0}, {"status": "ok"}, {"message": "x"}, {"error": None}, {"success": True}])
def test_what_stands_beside_text_is_no_failure(more: dict[str, Any]) -> None:
    assert read(line("text", **more)) == (["text"], None)


def test_an_event_stream_around_the_protocol_is_read_as_the_protocol() -> None:
    body = b": hello\n\n" + b"".join(b"event: message\nid: 3\ndata: " + line(text) + b"\n" for text in ("a", "b"))
    assert read(body + b"data: [DONE]\n\n") == (["a", "b"], None)


def test_the_name_of_an_event_holds_for_that_event_only() -> None:
    chunks, failure = read(b"event: error\n\ndata: " + line("a"))
    assert (chunks, failure) == (["a"], None)


@pytest.mark.parametrize(
    ("status", "kind"),
    [(401, AuthenticationError), (403, PermissionDeniedError), (429, RateLimitError), (500, ProviderError)],
)
def test_a_status_inside_the_body_makes_the_kind_of_the_error(status: int, kind: type[FlowGptError]) -> None:
    for report in ({"statusCode": status}, {"event": "error", "code": str(status)}, {"error": {"code": status}}):
        _, failure = read(json.dumps(report).encode())
        assert type(failure) is kind


def test_a_limit_inside_the_body_says_how_long_to_wait() -> None:
    _, failure = read(b'{"statusCode": 429, "message": "try again in 7.5s"}')
    assert isinstance(failure, RateLimitError)
    assert failure.retry_after == 7.5


PAGE = b"<!DOCTYPE html>\n<html><head><title>Sign in</title></head>\n<body><p>to the network</p></body>\n</html>"


@pytest.mark.parametrize("body", [PAGE, b"\n \n" + PAGE, PAGE + b"\n" + line("never"), b"<p>Sign in to the network"])
def test_a_page_is_told_as_one_with_its_text(body: bytes) -> None:
    chunks, failure = read(body)
    assert chunks == []
    assert type(failure) is ProtocolError
    assert failure.page
    assert str(failure).endswith("a web page: Sign in to the network.")


def test_a_page_without_an_end_is_given_up_after_some_lines() -> None:
    reader, count = EventReader(), 0
    failure = None
    while failure is None and count < REPORT_LIMIT:
        _, failure = reader.read(b"<p>Sign in")
        count += 1
    assert type(failure) is ProtocolError


@pytest.mark.parametrize(
    "broken", [b"{", b"[", b'{"event": "text",', b'{"event": "te', b"[1, 2]", b"data: hello", b"hello"]
)
def test_a_broken_line_is_quoted_at_the_latest_when_the_stream_goes_on_or_ends(broken: bytes) -> None:
    for body in (broken + b"\n" + line("never"), broken):
        chunks, failure = read(line("good") + body)
        assert chunks == ["good"]
        assert type(failure) is ProtocolError
        assert broken.decode() in str(failure)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["event", "data", "error", "message", "code", "status", "success", "base_resp", "x"]), inner
        )
    ),
)


@given(st.lists(JSON.map(lambda value: json.dumps(value).encode()) | st.binary(max_size=30), max_size=5))
def test_any_body_ends_with_its_text_or_with_one_of_our_errors(lines: list[bytes]) -> None:
    chunks, failure = read(b"\n".join(lines))
    assert all(type(chunk) is str for chunk in chunks)
    assert failure is None or "\n" not in str(failure)


async def test_a_client_gets_the_chunks_and_then_the_failure() -> None:
    body = [line("half a re"), json.dumps({"success": False, "msg": WORDS}, indent=1).encode()]
    async with serving(replying(*body)) as server:
        chunks = FlowGpt.create_async_generator("", HELLO, base_url=server.url)
        assert await anext(chunks) == "half a re"
        with pytest.raises(ProviderError, match=WORDS):
            await anext(chunks)


LINES = st.one_of(
    st.text(max_size=5).map(lambda text: json.dumps({"event": "text", "data": text}).encode()),
    st.text(max_size=5).map(lambda text: json.dumps({"event": "text", "data": text}, ensure_ascii=False).encode()),
    st.sampled_from(
        [
            *(b"", b" ", b"data: x", b'{"event": "text", "data": 1}', b'{"event": "text", "data": "a"} ', b"[1, 2]"),
            *(b'{"event": "text", "data": "a"}{}', b'{"event": "text", "data": "a", "error": "no"}', b'{"event": "x"}'),
            *(b'{"event": "text", "data": NaN}', b'"text"', b"{", b'{"event": "error", "data": "no"}', b"\xff", b"1"),
            b'{"event": "text", "data": "a"}\r',
        ]
    ),
)


@given(st.lists(LINES, max_size=6))
def test_lines_read_together_are_read_as_one_by_one(lines):
    reader, other = EventReader(), EventReader()

    texts = reader.read_texts(lines)

    if texts is not None:
        assert [(text, None) for text in texts] == [other.read(line) for line in lines]
        assert (reader.end(), reader.read(b"<p>")[0]) == (None, "")


def test_texts_alone_are_read_together():
    lines = [json.dumps({"event": "text", "data": text}).encode() for text in ("one ", "tw\u00f6 ", "")]

    assert EventReader().read_texts(lines) == ["one ", "tw\u00f6 ", ""]
    assert EventReader().read_texts([*lines, b""]) is None

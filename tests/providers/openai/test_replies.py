"""What a server of the OpenAI protocol answers, event by event."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from flowgpt_magic.errors import (
    AuthenticationError,
    FlowGptError,
    ProtocolError,
    ProviderError,
    ProviderStatusError,
    QuotaError,
    RateLimitError,
    StreamInterruptedError,
)
from flowgpt_magic.messages import Reasoning, Usage, is_text, notices_to
from flowgpt_magic.messages.extras import Citation
from flowgpt_magic.providers.http.connection import Endpoint, Proxy, Route
from flowgpt_magic.providers.http.lenient_events import UNFRAMED_EVENT, JsonSplitter
from flowgpt_magic.providers.http.server_sent_events import Event
from flowgpt_magic.providers.openai.errors import ErrorMapper
from flowgpt_magic.providers.openai.exchange import check_not_web_page, looks_like_json
from flowgpt_magic.providers.openai.replies import ReplyReader

PEER = Endpoint(URL("http://127.0.0.1:1/v1/chat/completions"), Proxy(), Route(token="hunter2"))
USAGE = {"prompt_tokens": 9, "completion_tokens": 12, "total_tokens": 21}


def answer(model: str = "m", *, framed: bool = True, **body: Any) -> ReplyReader:
    asked = {"model": model, **body}
    return ReplyReader(asked, ErrorMapper(asked), PEER, framed=framed)


def said(kind: str = "message", **chunk: Any) -> Event:
    return Event(json.dumps(chunk).encode(), kind)


def delta(reason: str | None = None, model: str = "m", **given: Any) -> Event:
    return said(model=model, choices=[{"index": 0, "delta": given, "finish_reason": reason}])


def read(reading: ReplyReader, *events: Event) -> tuple[str, list[str]]:
    """The whole text, and what was told beside it."""
    told: list[str] = []
    with notices_to(told.append):
        text = "".join(filter(is_text, map(reading.read, events))) + reading.finish()
        reading.send_notices()
    return text, told


def read_json(reading: ReplyReader, content: bytes) -> tuple[str, list[str]]:
    """The same, of a body that is JSON."""
    splitter = JsonSplitter(2**20)
    return read(reading, *splitter.split(content), *splitter.last())


END = delta("stop")
DONE = Event(b"[DONE]")


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
        (said(choices=[{"delta": {"content": "a"}}, {"index": 1, "delta": {"content": "b"}}]), "a"),
        (said(choices=[{"index": 1, "delta": {"content": "b"}}, {"index": 0, "delta": {"content": "a"}}]), "a"),
        (said(choices=[{"index": 1, "delta": {"content": "b"}}]), ""),
        (said(choices=[{"index": "0", "delta": {"content": "a"}}]), "a"),
        (
            Event(b'{"choices": [{"delta": {"content": "a"}}]}\n{"choices": [{"delta": {"content": "b"}}]}\n[DONE]'),
            "ab",
        ),
        (said(error=None, choices=[{"delta": {"content": "a"}}]), "a"),
        (delta(refusal="I cannot help with that."), "I cannot help with that."),
        (delta(content=[{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "a"}]), "a"),
        (delta(content=["a", {"type": "text", "text": "b"}, {"type": "output_text", "text": "c"}]), "abc"),
        (delta(content=[{"text": "a"}, {"type": "text", "text": {"value": "b"}}]), "ab"),
        (delta(content={"type": "text", "text": "a"}), "a"),
        (delta(text="a"), "a"),
        (delta(content=6), "6"),
        (delta(content=0), "0"),
        (delta(content=0.005), "0.005"),
        (said(choices=[{"delta": "a"}]), "a"),
        (said(choices=[{"message": {"role": "assistant", "content": "a"}}]), "a"),
        (said(choices=[{"delta": {}, "message": {"content": "a"}}]), "a"),
        (said(choices=[{"delta": None, "message": "a"}]), "a"),
        (said(choices=[{"text": "a"}]), "a"),
        (said(choices=[{"content": "a"}]), "a"),
        (said(model="m", message={"role": "assistant", "content": "a"}, done=False), "a"),
        (Event(b""), ""),
        (Event(b"  \n"), ""),
        (Event(b'{"choices": [{"delta": {"content": "\\ud83d\\ude00"}}]}'), "\U0001f600"),
        (Event(b"keepalive", "ping"), ""),
        (said("ping", time=1), ""),
    ],
)
def test_each_event_brings_the_text_it_holds(event, text):
    assert answer().read(event) == text


@pytest.mark.parametrize("data", [b"[DONE]", b" [DONE]", b"[DONE]\n", b'"[DONE]"', b"[done]"])
def test_the_server_says_when_it_is_done(data):
    reading = answer()

    assert reading.read(Event(data)) == ""
    assert (reading.done, reading.is_complete) == (True, True)


@pytest.mark.parametrize(
    "data",
    [
        b'{"choices": "x"}',
        b'{"choices": [{"delta": {"content": "a"',
        b'{"choices": [{"message": {"content": [true]}}]}',
        b'{"choices": [{"delta": {"tool_calls": [7]}}]}',
        b'{"choices": {"0": 1}}',
        b'{"choices": [7]}',
        b'{"choices": [{"delta": 7}]}',
        b'{"choices": [{"delta": {"content": true}}]}',
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
            assert isinstance(reading.finish(), str)
        except FlowGptError:
            return
        reading.send_notices()
        assert isinstance(reading.usage(), Usage)


# ErrorMapper


@pytest.mark.parametrize("begun", [True, False])
@pytest.mark.parametrize(
    "event",
    [
        said(error={"message": "boom", "code": 502}),
        said(error="boom"),
        said(error={"code": 500, "error": {"message": "boom"}}),
        said(object="error", message="boom"),
        said("error", message="boom"),
        Event(b"boom", "error"),
        Event(b'{"code": 400, "message": "boom"}', "error"),
        said(type="error", message="boom"),
        said(type="error", error={"type": "overloaded_error", "message": "boom"}),
        said(code=50501, message="boom"),
        said(code="InvalidParameter", message="boom", request_id="x"),
        said(detail="boom"),
        said(detail=[{"loc": ["body"], "msg": "boom"}]),
        said(msg="boom", code=1301),
        said(status=500, title="x", detail="boom"),
        said(status="error", message="boom"),
        said(status_code=429, reason="boom"),
        said(success=False, message="boom"),
        said(success=False, errors=[{"message": "boom", "code": 7003}]),
        said(ok=False, error_message="boom"),
        said(errmsg="boom", errcode=40001),
        said(choices=None, base_resp={"status_code": 1027, "status_msg": "boom"}),
        said(choices=[{"delta": {}}], base_resp={"status_code": 1027, "status_msg": "boom"}),
        said(choices=[], error={"message": "boom"}),
        said(choices=[{"delta": {"content": ""}, "finish_reason": "error"}], error={"message": "boom"}),
        said(choices=[{"delta": {"content": ""}, "finish_reason": "error", "error": {"message": "boom"}}]),
        said(choices=[{"delta": {}, "finish_reason": None, "error": {"message": "boom"}}]),
        said(choices=[{"error": "boom"}]),
        Event(b'[{"error": {"code": 503, "message": "boom", "status": "UNAVAILABLE"}}]'),
        Event(b'{"error": {"message": "boom"}}', UNFRAMED_EVENT),
        said(choices=[], x_groq={"id": "x", "error": "boom"}),
        said(error={"message": "Provider returned error", "metadata": {"raw": '{"detail": "boom"}'}}),
        said(error={"message": '{"error": {"code": 400, "message": "boom"}}'}),
    ],
)
def test_a_failure_is_raised_with_its_own_words_in_each_of_its_shapes(event, begun):
    reading = answer()
    if begun:
        reading.read(delta(content="half a"))

    with pytest.raises(ProviderError, match=r"reports a failure: .*boom"):
        reading.read(event)


@pytest.mark.parametrize(
    "event",
    [
        said(choices=[], prompt_filter_results=[{"prompt_index": 0}]),
        said(code=0, msg="success", choices=[]),
        said(code=200, message="ok"),
        said(success=True, message="ok"),
        said(status="queued"),
        said(type="ping"),
        said("status", message="loading the model"),
        said(error=None, choices=None, usage=USAGE),
        said(error={}, choices=[]),
        said(choices=[{"delta": {}}], base_resp={"status_code": 0, "status_msg": ""}),
    ],
)
def test_an_object_that_reports_none_is_no_failure(event):
    assert answer().read(event) == ""


@pytest.mark.parametrize(
    ("report", "kind", "status"),
    [
        ({"error": {"message": "Rate limit reached"}}, RateLimitError, 429),
        ({"code": 50501, "message": "System is really busy. Please try again later."}, ProviderStatusError, 503),
        ({"base_resp": {"status_code": 1008, "status_msg": "insufficient balance"}}, QuotaError, 429),
        ({"base_resp": {"status_code": 1004, "status_msg": "login fail"}}, AuthenticationError, 401),
        ({"error": {"status": "RESOURCE_EXHAUSTED", "message": "none"}}, RateLimitError, 429),
        ({"error": {"code": 400, "message": "API key not valid."}}, AuthenticationError, 400),
    ],
)
def test_a_failure_without_a_status_is_told_apart_by_its_words(report, kind, status):
    with pytest.raises(kind) as caught:
        answer().read(said(**report))
    assert (type(caught.value), caught.value.status) == (kind, status)


def test_a_failure_inside_a_reply_says_how_long_to_wait():
    with pytest.raises(RateLimitError) as caught:
        answer().read(said(error={"code": 429, "message": "Please try again in 1m2.5s."}))
    assert caught.value.retry_after == 62.5


def test_a_character_that_was_cut_in_two_is_mended_across_events():
    halves = [Event(b'{"choices": [{"delta": {"content": "%s"}}]}' % half) for half in (b"a\\ud83d", b"\\ude00b")]

    assert read(answer(), *halves, END)[0] == "a\U0001f600b"
    assert read(answer(), halves[0], END)[0] == "a\ufffd"


# How it ended


HALF = delta(content="half a sent")


@pytest.mark.parametrize(
    "events",
    [
        [],
        [HALF],
        [HALF, said(choices=[], usage=USAGE)],
        [HALF, delta("")],
        [HALF, delta("null")],
        [said(choices=[{"message": {"content": "half a"}}])],
        [said(choices=[{"message": {"content": "half a"}}]), said(choices=[{"message": {"content": " sent"}}])],
        [said(message={"role": "assistant", "content": "half"}, done=False)],
        [DONE],
        [delta(role="assistant"), DONE],
        [delta(content=""), said(choices=[], usage=USAGE), DONE],
        [HALF, Event(b"upstream error: read ECONNRESET"), DONE],
        [HALF, Event(b"upstream error", UNFRAMED_EVENT), DONE],
        [HALF, said(note="gone"), DONE],
    ],
)
def test_a_reply_that_nobody_ended_is_not_whole(events):
    with pytest.raises(StreamInterruptedError, match=r"127\.0\.0\.1:1 ended the reply before it was complete"):
        read(answer(), *events)


@pytest.mark.parametrize(
    "events",
    [
        [delta("stop", content="all")],
        [delta(content="all"), END],
        [delta(content="all"), DONE],
        [delta(content="all"), delta("null"), DONE],
        [delta("null", content="al"), delta("", content="l"), said(choices=[], usage=USAGE), DONE],
        [said(choices=[{"delta": {"content": "all"}, "finishReason": "stop"}])],
        [delta("stop", content="a"), delta("stop", content="l"), delta("stop", content="l")],
        [delta("stop", reasoning="hm"), delta(content="all"), END],
        [said(object="chat.completion", choices=[{"message": {"content": "all"}, "finish_reason": None}])],
        [Event(b": keepalive"), delta(content="al"), Event(b"ping"), delta(content="l"), DONE],
        [said(message={"content": "all"}, done=False), said(message={"content": ""}, done=True, done_reason="stop")],
        [delta("MAX_TOKENS", content="all")],
        [delta("some new reason", content="all")],
    ],
)
def test_a_reply_is_whole_when_its_server_says_so(events):
    assert read(answer(), *events)[0] == "all"


@pytest.mark.parametrize(
    "reason",
    [
        *("error", "abort", "network_error", "FAILED", "insufficient_system_resource", "MALFORMED_FUNCTION_CALL"),
        *("upstream_error", "engine_error", "interrupted", "incomplete", "internal_server_error", "timed_out"),
    ],
)
def test_a_reply_that_ended_with_an_error_is_none(reason):
    reading = answer()
    reading.read(delta(reason, content="half"))

    with pytest.raises(ProviderError, match="ended the reply"):
        reading.finish()


@pytest.mark.parametrize(
    ("reason", "told"), [("other", True), ("unknown", True), ("eos_token", False), ("STOP", False)]
)
def test_a_reason_for_the_end_that_is_not_known_is_told(reason, told):
    reading = answer()
    read(reading, delta(reason, content="all"))
    said: list[str] = []
    with notices_to(said.append):
        reading.send_notices()

    assert any("may be cut off" in each for each in said) is told


def test_the_words_of_an_error_may_come_after_the_reason():
    reading = answer()
    reading.read(delta("error", content="half"))

    with pytest.raises(ProviderError, match="boom"):
        reading.read(said(error={"message": "boom"}))


@pytest.mark.parametrize("reason", ["content_filter", "sensitive", "SAFETY"])
def test_a_content_filter_that_lets_nothing_through_is_a_failure_and_one_that_cuts_is_told(reason):
    with pytest.raises(ProviderError, match="the content filter of 127"):
        read(answer(), delta(reason))
    text, told = read(answer(), delta(content="a"), delta(reason))
    assert (text, told) == ("a", ["the content filter of 127.0.0.1:1 ended the reply"])


@pytest.mark.parametrize(
    "tail",
    [
        Event(b'"[DONE]"'),
        Event(b"null"),
        Event(b"</s>"),
        Event(b"[1]"),
        Event(b'{"choices": [{"delta": '),
        Event(b'{"choices": [7]}'),
        said(choices="x"),
        said(note="bye"),
        Event(b"bye", UNFRAMED_EVENT),
    ],
)
def test_after_its_end_nothing_makes_a_reply_a_failure(tail):
    assert read(answer(), delta(content="all"), END, tail, DONE) == ("all", [])


def test_of_what_is_not_of_the_protocol_the_first_is_quoted():
    with pytest.raises(StreamInterruptedError, match=r'the last thing it sent: \{"note": "one"\}'):
        read(answer(), delta(content="a"), said(note="one"), said(note="two"))


@pytest.mark.parametrize(
    "failure",
    [said(error="boom"), said(detail="boom"), said(choices=[{"index": 0, "delta": {}, "error": {"message": "boom"}}])],
)
def test_what_came_after_the_end_is_left_out_and_told(failure):
    late = [delta(content=" and"), delta(content=" more"), failure, said(error="bang")]

    text, told = read(answer(), delta("stop", content="all"), *late)

    assert text == "all"
    assert told == [
        "127.0.0.1:1 sent 9 characters after the end of the reply; they were left out",
        "127.0.0.1:1 reported a failure after the end of the reply: boom",
    ]


def test_the_usage_and_the_sources_may_come_after_the_end():
    reading = answer()

    read(reading, delta("stop", content="a"), said(choices=[], usage=USAGE, citations=["https://a.example/"]))

    assert reading.usage() == Usage(9, 12, "stop", answered_by="m")
    assert reading.extras().citations == (Citation("https://a.example/"),)


@pytest.mark.parametrize("beats", [[b"ping"], [b": keepalive"], [b"null"], [b"1"], [b'"alive"'], [b"[1]"], [b"[{"]])
def test_data_that_is_no_json_is_a_sign_of_life_unless_nothing_else_comes(beats):
    signs = [Event(beat) for beat in beats]

    assert read(answer(), *signs, delta(content="a"), *signs, END, DONE)[0] == "a"
    for end in ([], [DONE]):
        with pytest.raises(ProtocolError, match="the server sent an answer that is not a chat completion: ") as caught:
            read(answer(), *signs, *end)
        assert beats[0].decode() in str(caught.value)
        assert "Is http://127.0.0.1:1/v1 the right base URL" in str(caught.value)


def test_other_answers_than_the_first_are_left_out_and_told():
    def choice(index: int, text: str, reason: str | None = None) -> Event:
        return said(model="m", choices=[{"index": index, "delta": {"content": text}, "finish_reason": reason}])

    events = [choice(0, "Vi"), choice(1, "Gr"), choice(1, "een", "stop"), choice(0, "olet"), choice(0, "", "stop")]
    assert read(answer(), *events) == ("Violet", ["127.0.0.1:1 sent more than one answer; only the first one is used"])
    with pytest.raises(StreamInterruptedError):
        read(answer(), *events[:-1])


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

    assert reading.read_unfinished([Event(data)]) == text
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

    assert reading.usage() == Usage(prompt, completion, "stop", answered_by="m")


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
            ["the model called tools, which are not supported: look_up"],
        ),
        (
            {},
            [delta(reasoning_content="hm"), delta(reasoning="hmm"), delta(content="a"), END],
            [],
        ),
        (
            {"max_tokens": 3},
            [delta(reasoning_content="hm"), delta("length")],
            [
                "the model used all its tokens for reasoning (max_tokens = 3): "
                "allow more with --max-tokens, or less reasoning with --think low"
            ],
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
        ("claude-3-5-sonnet-latest", "claude-3-5-sonnet-20241022", False),
        ("anthropic/claude-3.5-sonnet", "anthropic/claude-3-5-sonnet-20241022", False),
        ("gpt-4o-2024-05-13", "gpt-4o", False),
        ("llama3.2", "llama3.2:latest", False),
        ("llama3.2:latest", "llama3.2:3b", False),
        ("gemini-flash-latest", "models/gemini-2.5-flash", False),
        ("mistral-large-latest", "mistral-large-2411", False),
        ("openrouter/auto", "google/gemini-2.5-pro", False),
        ("deepseek/deepseek-r1:free", "deepseek/deepseek-r1", False),
        ("gemini-flash-latest", "gemini-2.5-pro", True),
        ("claude-3-5-sonnet-latest", "claude-3-5-haiku-20241022", True),
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


def test_a_deployment_may_be_called_anything():
    azure = Endpoint(URL("https://name.openai.azure.com/openai/v1/chat/completions"), Proxy(), Route())
    asked = {"model": "our-deployment"}
    reading = ReplyReader(asked, ErrorMapper(asked), azure)

    assert read(reading, delta("stop", model="gpt-4o-2024-08-06", content="a")) == ("a", [])


# In one piece


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("reason", ["stop", None])
def test_a_reply_in_one_piece_is_read_too(indent, reason):
    reading = answer(framed=False)
    whole = {"model": "m", "choices": [{"message": {"content": "all"}, "finish_reason": reason}], "usage": USAGE}

    assert read_json(reading, json.dumps(whole, indent=indent).encode()) == ("all", [])
    assert reading.usage() == Usage(9, 12, reason, answered_by="m")


@pytest.mark.parametrize(
    ("content", "kind", "said"),
    [
        (b'{"error": {"message": "boom", "code": 500}}', ProviderError, "boom"),
        (b'{"object": "error", "message": "boom"}', ProviderError, "boom"),
        (b'[{"error": {"message": "boom", "code": 500}}]', ProviderError, "boom"),
        (b'{"id":"x","choices":null,"base_resp":{"status_code":1004,"status_msg":"boom"}}', ProviderError, "boom"),
        (b'{"status": "ok"}', ProtocolError, "an answer that is not a chat completion"),
        (b"{}", ProtocolError, "an answer that is not a chat completion"),
        (b"[1]", ProtocolError, "an answer that is not a chat completion"),
        (b'{"choices": [', StreamInterruptedError, "ended the reply before it was complete"),
        (b'{\n "choices": [\n', StreamInterruptedError, "ended the reply before it was complete"),
        (b'[{"choices": [{"delta": {"content": "ha', StreamInterruptedError, "ended the reply before it was complete"),
        (b'{"choices": oops}', ProtocolError, "not JSON"),
    ],
)
def test_another_object_or_a_part_of_one_in_its_place_is_an_error(content, kind, said):
    with pytest.raises(kind, match=said):
        read_json(answer(), content)


def test_an_error_about_another_server_at_that_address_says_that_v1_is_missing():
    endpoint = Endpoint(URL("http://127.0.0.1:1234/chat/completions"), Proxy(), Route())
    for content in (b'{"error": "Unexpected endpoint or method. (POST /chat/completions)"}', b'{"status": "ok"}'):
        reading = ReplyReader({"model": "m"}, ErrorMapper({"model": "m"}), endpoint)
        with pytest.raises(ProviderError, match=r"The base URL http://127\.0\.0\.1:1234 probably misses /v1"):
            read_json(reading, content)


def test_an_empty_answer_of_another_server_says_that_v1_is_missing():
    endpoint = Endpoint(URL("http://127.0.0.1:1234/chat/completions"), Proxy(), Route())

    with pytest.raises(StreamInterruptedError, match="probably misses /v1"):
        ReplyReader({"model": "m"}, ErrorMapper({"model": "m"}), endpoint).finish()
    with pytest.raises(StreamInterruptedError) as caught:
        answer().finish()
    assert "/v1" not in str(caught.value)


def test_a_failure_in_the_middle_of_a_reply_says_nothing_of_the_address():
    endpoint = Endpoint(URL("http://127.0.0.1:1234/chat/completions"), Proxy(), Route())
    reading = ReplyReader({"model": "m"}, ErrorMapper({"model": "m"}), endpoint)
    reading.read(HALF)
    with pytest.raises(ProviderError) as caught:
        reading.read(said(error="boom"))
    assert "/v1" not in str(caught.value)


def test_the_constants_that_pythons_json_has_are_no_reason_to_lose_the_text():
    choice = b'{"delta": {"content": "all"}, "logprobs": {"content": [{"token": "all", "logprob": -Infinity}]}}'
    reading = answer()

    assert reading.read(Event(b'{"choices": [' + choice + b"]}")) == "all"
    assert reading.extras().logprobs == ({"token": "all", "logprob": None},)


# Reasoning


def test_json_that_came_as_reasoning_is_the_text_where_json_was_asked_for():
    events = [delta(reasoning_content='{"name": '), delta(reasoning_content='"Oslo"}'), END, DONE]
    asked = {"response_format": {"type": "json_schema", "json_schema": {"schema": {}}}}

    reading = answer(**asked)
    text, told = read(reading, *events)
    assert text == '{"name": "Oslo"}'
    assert told[0] == "the text of the reply came as reasoning, and is used as its text"

    assert read(answer(**asked), delta(reasoning="hm"), END)[0] == ""
    assert read(answer(**asked), *events[:2], delta(content="x"), END)[0] == "x"
    text, told = read(answer(), *events)
    assert text == ""
    assert told[-1] == "the reply has no text beside its reasoning"


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
    assert looks_like_json(content) is json_


def test_a_web_page_is_told_with_what_it_says():
    page = b"\xef\xbb\xbf\n<!doctype html><html><head><title>Open WebUI</title></head><body>Log in</body></html>"
    with pytest.raises(ProtocolError, match=r"answered with a web page: Open WebUI Log in\. Is http://127") as caught:
        check_not_web_page(page, PEER)
    assert caught.value.page
    check_not_web_page(b"data: <html>", PEER)


def pieces(reading: ReplyReader, *events: Event) -> list[str]:
    """What is passed on for these events: text, and reasoning as ``Reasoning``."""
    found: list[str] = []
    for each in events:
        text = reading.read(each)
        if reading.reasoning:
            found.append(reading.take_reasoning())
        found += [text] if text else []
    return found


@pytest.mark.parametrize(
    ("events", "reasoning"),
    [
        ([delta(reasoning_content="h"), delta(reasoning_content="m")], ["h", "m"]),
        ([delta(reasoning="h"), delta(reasoning="m", reasoning_content="m")], ["h", "m"]),
        ([delta(role="assistant", content="", reasoning="h"), delta(content=None, reasoning="m")], ["h", "m"]),
        ([delta(reasoning="hm", reasoning_details=[{"type": "reasoning.text", "text": "hm"}])], ["hm"]),
        ([delta(reasoning_details=[{"type": "reasoning.summary", "summary": "hm"}])], ["hm"]),
        ([delta(thinking_blocks=[{"type": "thinking", "thinking": "hm"}])], ["hm"]),
        ([delta(content=[{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}])], ["hm"]),
        ([said(message={"role": "assistant", "content": "", "thinking": "hm"}, done=False, model="m")], ["hm"]),
        ([delta(reasoning_content="\ud83d"), delta(reasoning_content="\ude00")], ["\U0001f600"]),
        ([delta(reasoning_content=""), delta(reasoning_content=None), delta(reasoning_details=[])], []),
    ],
)
def test_reasoning_is_passed_on_while_it_arrives_in_whatever_field(events, reasoning):
    reading = answer()
    found = pieces(reading, *events, delta(content="all"), END)

    assert [piece for piece in found if isinstance(piece, Reasoning) and piece] == reasoning
    assert "".join(filter(is_text, found)) == "all"
    assert reading.extras().reasoning == "".join(reasoning)


def test_an_event_with_both_has_its_reasoning_before_its_text():
    assert pieces(answer(), delta(reasoning="hm", content="all"), END) == ["hm", "all"]


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning", "thinking"])
def test_many_chunks_of_reasoning_and_of_text_are_all_read(field):
    reading = answer()
    words = [f"w{number} " for number in range(60)]
    events = [delta(**{field: word}) for word in words] + [delta(content=word) for word in words]
    events += [delta(**{field: "again"}), delta(content="so"), END]

    found = pieces(reading, *events)

    assert "".join(piece for piece in found if isinstance(piece, Reasoning)) == "".join([*words, "again"])
    assert "".join(filter(is_text, found)) == "".join([*words, "so"])
    assert reading.extras().reasoning == "".join([*words, "again"])


def test_opaque_parts_of_reasoning_are_put_together_and_kept_and_others_are_not():
    details = [
        {"type": "reasoning.text", "text": "two ", "index": 0, "format": "f", "signature": None},
        {"type": "reasoning.text", "text": "and two", "index": 0},
        {"type": "reasoning.text", "signature": "abc", "index": 0},
        {"type": "reasoning.encrypted", "data": "xyz", "id": "r1", "index": 1},
    ]
    reading = answer()
    read(reading, *(delta(reasoning_details=[part]) for part in details), delta(content="4"), END)
    assert reading.extras().reasoning_parts == (
        {"type": "reasoning.text", "text": "two and two", "index": 0, "format": "f", "signature": "abc"},
        {"type": "reasoning.encrypted", "data": "xyz", "id": "r1", "index": 1},
    )

    blocks = [
        {"type": "thinking", "thinking": "two "},
        {"type": "thinking", "thinking": "and"},
        {"type": "thinking", "thinking": "", "signature": "abc"},
        {"type": "redacted_thinking", "data": "xyz"},
    ]
    reading = answer()
    read(reading, *(delta(thinking_blocks=[part]) for part in blocks), delta(content="4"), END)
    assert reading.extras().reasoning_parts == (
        {"type": "thinking", "thinking": "two and", "signature": "abc"},
        {"type": "redacted_thinking", "data": "xyz"},
    )

    reading = answer()
    read(reading, delta(reasoning_details=details[:1]), delta(content="4"), END)
    assert reading.extras().reasoning_parts == ()

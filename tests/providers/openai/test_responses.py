"""The Responses API of OpenAI: what is sent, what is read, and which of the two APIs is asked."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from yarl import URL

from flowgpt_magic.conversation import Conversation
from flowgpt_magic.errors import (
    AuthenticationError,
    ContextLengthError,
    FlowGptError,
    ModelNotFoundError,
    OptionError,
    ParameterRefusedError,
    ProtocolError,
    ProviderError,
    ProviderStatusError,
    QuotaError,
    RateLimitError,
    SchemaNotSupportedError,
    StreamInterruptedError,
)
from flowgpt_magic.messages import ImageUrl, Reasoning, Usage, is_text, notices_to
from flowgpt_magic.messages.extras import Citation, Extras
from flowgpt_magic.providers.openai.apis import CHAT, RESPONSES, chosen_api
from flowgpt_magic.providers.openai_compatible import OpenAICompatible
from flowgpt_magic.settings import load
from tests.openai_servers import STREAM, refusing, streaming
from tests.openai_servers import reply as chat_reply
from tests.responses_servers import (
    ONLY_RESPONSES,
    at_path,
    end,
    event,
    item_done,
    message,
    reply,
    response,
    speaking,
    start,
    thought,
    thoughts,
    word,
)
from tests.servers import Server, answering, framed, resetting, serving, stalling, whole

MESSAGES = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Capital of France?"}]
LIMIT = 10  # seconds in which a failure that must not hang has to be there

pytestmark = [
    pytest.mark.filterwarnings("ignore::flowgpt_magic.errors.FlowGptWarning"),
    pytest.mark.usefixtures("over_http_and_tls"),
]


def ask(server: Server, messages: Any = MESSAGES, **options: Any) -> AsyncGenerator[Any, None]:
    given = {"openai_base_url": f"{server.url}/v1", "openai_api": "responses", **options}
    return OpenAICompatible.create_async_generator("m", messages, **given)


async def read(chunks: AsyncGenerator[Any, None]) -> tuple[list[Any], FlowGptError | None]:
    """What was yielded beside the id of every reply, and how it failed if it did."""
    found: list[Any] = []

    async def collect() -> None:
        async for each in chunks:
            if each != Extras(request_id="resp_1"):
                found.append(each)

    try:
        await asyncio.wait_for(collect(), LIMIT)
    except FlowGptError as error:
        return found, error
    return found, None


async def good(*events: bytes, **options: Any) -> list[Any]:
    """What a reply that does not fail yields."""
    async with serving(streaming(b"".join(events))) as server:
        chunks, error = await read(ask(server, **options))
    assert error is None
    return chunks


async def fail(kind: type[FlowGptError], answer: Any, **options: Any) -> tuple[list[Any], str]:
    """The chunks before, and the text of, an error of this kind."""
    async with serving(answer) as server:
        chunks, error = await read(ask(server, **options))
    assert type(error) is kind, error
    return chunks, str(error)


async def sent(messages: Any = MESSAGES, **options: Any) -> Any:
    """The body of the request."""
    async with serving(speaking("x")) as server:
        _chunks, error = await read(ask(server, messages, **options))
    assert error is None
    assert server.requests[0].line == "POST /v1/responses HTTP/1.1"
    return server.requests[0].json


def texts(chunks: list[Any]) -> str:
    return "".join(chunk for chunk in chunks if isinstance(chunk, str) and is_text(chunk))


def reasoning(chunks: list[Any]) -> str:
    return "".join(chunk for chunk in chunks if isinstance(chunk, Reasoning))


# The request


async def test_nothing_is_stored_by_the_server_and_encrypted_reasoning_is_asked_for():
    assert await sent() == {
        "model": "m",
        "input": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Capital of France?"}],
        "stream": True,
        "store": False,
        "include": ["reasoning.encrypted_content"],
    }


@pytest.mark.parametrize(
    ("options", "fields"),
    [
        ({"max_tokens": 7}, {"max_output_tokens": 7}),
        ({"max_completion_tokens": 7}, {"max_output_tokens": 7}),
        ({"temperature": 0.5, "top_p": 0.1}, {"temperature": 0.5, "top_p": 0.1}),
        ({"reasoning_effort": "high"}, {"reasoning": {"effort": "high", "summary": "auto"}}),
        ({"reasoning_effort": "none"}, {"reasoning": {"effort": "none"}}),
        ({"verbosity": "low"}, {"text": {"verbosity": "low"}}),
        ({"service_tier": "flex"}, {"service_tier": "flex"}),
        ({"extra_body": {"truncation": "auto", "include": ["x"]}}, {"truncation": "auto"}),
        ({"response_format": {"type": "json_object"}}, {"text": {"format": {"type": "json_object"}}}),
    ],
)
async def test_parameters_become_the_fields_of_this_api(options, fields):
    body = await sent(**options)

    assert {name: body.get(name) for name in fields} == fields
    assert set(body) <= {"model", "input", "stream", "store", "include", *fields}


async def test_a_schema_is_the_format_of_the_text_and_is_not_nested():
    body = await sent(schema={"title": "City", "type": "object", "properties": {"name": {"type": "string"}}})

    form = body["text"]["format"]
    assert (form["type"], form["name"]) == ("json_schema", "City")
    assert form["schema"]["properties"] == {"name": {"type": "string"}}


async def test_images_are_parts_and_addresses_are_passed_on():
    images = ["data:image/png;base64,iVBORw0KGgo=", ImageUrl("https://example.org/a.jpg", "low")]
    body = await sent([{"role": "user", "content": "see", "images": images}])

    assert body["input"][0]["content"] == [
        {"type": "input_text", "text": "see"},
        {"type": "input_image", "image_url": images[0], "detail": "auto"},
        {"type": "input_image", "image_url": "https://example.org/a.jpg", "detail": "low"},
    ]


async def test_the_reasoning_of_a_turn_stands_before_its_text_as_the_server_encrypted_it():
    part = {**thoughts("why"), "status": None, "content": None}
    earlier = {
        "role": "assistant",
        "content": "Paris.",
        "reasoning_parts": [part, {"type": "thinking", "signature": "x"}],
    }
    body = await sent([*MESSAGES, earlier, {"role": "user", "content": "And of Italy?"}])

    assert body["input"][2:4] == [thoughts("why"), {"role": "assistant", "content": "Paris."}]


@pytest.mark.parametrize(
    ("options", "kind", "said"),
    [
        ({"stop": "END"}, ParameterRefusedError, "setting openai_api = chat"),
        ({"max_tokens": 1, "max_completion_tokens": 2}, OptionError, "not both"),
        ({"extra_body": {"input": []}}, OptionError, "extra_body cannot set input"),
    ],
)
async def test_what_this_api_does_not_take_is_refused_before_anything_is_sent(options, kind, said):
    async with serving(speaking("x")) as server:
        _chunks, error = await read(ask(server, **options))

    assert type(error) is kind
    assert said in str(error)
    assert server.requests == []


# The reply


async def test_words_come_as_chunks_and_the_counts_at_the_end():
    chunks = await good(reply("Par", "is."))

    assert chunks[:2] == ["Par", "is."]
    usage = chunks[-1]
    assert isinstance(usage, Usage)
    assert (usage.prompt_tokens, usage.completion_tokens, usage.reasoning_tokens, usage.cached_tokens) == (9, 12, 5, 4)
    assert (usage.finish_reason, usage.answered_by) == ("stop", "m")


async def test_reasoning_comes_before_the_text_and_its_parts_after_it():
    item = thoughts("First.", "Then.")
    events = [start(), thought("Fir"), thought("st."), thought("Then.", 1), item_done(item), word("Paris.", 1)]
    chunks = await good(*events, end("completed", item, message("Paris.")))

    assert reasoning(chunks) == "First.\n\nThen."
    assert texts(chunks) == "Paris."
    (extras,) = (chunk for chunk in chunks if isinstance(chunk, Extras))
    assert [dict(part) for part in extras.reasoning_parts] == [item]


async def test_raw_reasoning_is_read_too_and_not_twice_beside_its_summary():
    raw = event("response.reasoning_text.delta", item_id="rs1", output_index=0, content_index=0, delta="raw")
    item = {**thoughts("summed up"), "content": [{"type": "reasoning_text", "text": "raw"}]}

    assert (
        reasoning(await good(start(), raw, item_done(item), word("x", 1), end("completed", item, message("x"))))
        == "raw"
    )


@given(
    words=st.lists(st.text(st.characters(codec="utf-8"), min_size=1, max_size=8), min_size=1, max_size=30),
    places=st.lists(st.integers(1, 5000), max_size=5),
)
@hypothesis_settings(max_examples=30, deadline=None)
def test_any_text_is_read_back_wherever_the_network_cuts_it(words, places):
    content = reply(*words)
    cuts = [0, *sorted(place for place in set(places) if place < len(content)), len(content)]
    blocks = [content[begin:stop] for begin, stop in pairwise(cuts)]

    async def chunks() -> list[Any]:
        async with serving(streaming(*blocks)) as server:
            found, error = await read(ask(server))
        assert error is None
        return found

    assert texts(asyncio.run(chunks())) == "".join(words)


async def test_a_long_reply_with_obfuscation_is_read_to_the_letter():
    words = [f"wörd{number} " + '\\"\n'[number % 3] for number in range(60)]
    deltas = [word(text, obfuscation="ab" * (number % 4)) for number, text in enumerate(words)]

    assert texts(await good(start(), *deltas, end("completed", message("".join(words))))) == "".join(words)


async def test_text_that_no_delta_brought_is_taken_from_the_whole_item():
    assert texts(await good(start(), end("completed", message("Paris.")))) == "Paris."
    assert texts(await good(start(), word("Par"), item_done(message("Paris.")), end())) == "Paris."


async def test_a_gateway_that_does_not_stream_is_read_too():
    body = json.dumps(response("completed", thoughts("why"), message("Paris."))).encode()
    async with serving(answering(whole(body, Content_Type="application/json"))) as server:
        chunks, error = await read(ask(server))

    assert error is None
    assert (texts(chunks), reasoning(chunks)) == ("Paris.", "why")


async def test_messages_of_one_reply_are_parted():
    first = event("response.output_item.added", output_index=1, item={**message(""), "content": []})
    events = [start(), word("One."), item_done(message("One.")), first, word("Two.", 1)]

    assert texts(await good(*events, end("completed", message("One."), message("Two.")))) == "One.\n\nTwo."


async def test_a_refusal_is_text():
    refusal = event("response.refusal.delta", item_id="m1", output_index=0, content_index=0, delta="No.")

    assert texts(await good(start(), refusal, end())) == "No."


async def test_sources_images_and_calls_are_beside_the_text():
    source = {"type": "url_citation", "url": "https://a.b/", "title": "A", "start_index": 0, "end_index": 1}
    items = [
        message("Paris.", [source]),
        {"type": "image_generation_call", "id": "i1", "status": "completed", "result": "iVBORw0KGgo="},
        {"type": "function_call", "id": "f1", "call_id": "c1", "name": "look_up", "arguments": "{}"},
        {"type": "web_search_call", "id": "w1", "status": "completed"},
        {"type": "new_thing", "id": "n1"},
    ]
    notes: list[str] = []
    with notices_to(notes.append):
        chunks = await good(start(), word("Paris."), end("completed", *items))

    (extras,) = (chunk for chunk in chunks if isinstance(chunk, Extras))
    assert extras.citations == (Citation("https://a.b/", "A"),)
    assert extras.images == ("data:image/png;base64,iVBORw0KGgo=",)
    assert extras.tool_calls[0]["function"]["name"] == "look_up"
    assert [name for name, _items in extras.others] == ["new_thing"]
    assert chunks[-1].finish_reason == "tool_calls"
    assert notes == ["the model called tools, which are not supported: look_up"]


@pytest.mark.parametrize(
    ("reason", "finish", "said"),
    [
        ("max_output_tokens", "length", "the reply was cut off at max_tokens = 3"),
        ("content_filter", "content_filter", "the content filter of"),
    ],
)
async def test_why_it_is_incomplete_is_told(reason, finish, said):
    notes: list[str] = []
    with notices_to(notes.append):
        ending = end("incomplete", incomplete_details={"reason": reason})
        chunks = await good(start(), word("Par"), ending, max_tokens=3)

    assert (texts(chunks), chunks[-1].finish_reason) == ("Par", finish)
    assert any(said.replace("max_tokens", "max_output_tokens") in note or said in note for note in notes), notes


@pytest.mark.parametrize(
    "tail", [b"", b"data: [DONE]\n\n", event("response.in_progress", response=response("in_progress"))]
)
async def test_a_stream_that_ends_without_its_end_is_cut_off_and_keeps_its_text(tail):
    chunks, said = await fail(StreamInterruptedError, streaming(start() + word("Par") + tail))

    assert texts(chunks) == "Par"
    assert "before it was complete" in said


async def test_a_connection_that_breaks_is_an_error_after_the_text_and_none_after_the_end():
    chunks, _said = await fail(StreamInterruptedError, resetting(STREAM, framed(start() + word("Par"))))
    assert texts(chunks) == "Par"

    async with serving(resetting(STREAM, framed(reply("Paris.")))) as server:
        chunks, error = await read(ask(server))
    assert (texts(chunks), error) == ("Paris.", None)


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("server_error", ProviderStatusError),
        ("rate_limit_exceeded", RateLimitError),
        ("context_length_exceeded", ContextLengthError),
        ("insufficient_quota", QuotaError),
        ("invalid_api_key", AuthenticationError),
    ],
)
async def test_a_failure_in_the_stream_is_the_error_it_stands_for(code, kind):
    failure = {"code": code, "message": "boom"}
    for ending in (end("failed", error=failure), event("error", param=None, **failure)):
        chunks, said = await fail(kind, streaming(start() + word("Par") + ending))

        assert texts(chunks) == "Par"
        assert "boom" in said


@pytest.mark.parametrize(
    ("status", "error", "kind"),
    [
        (401, {"message": "Incorrect API key", "code": "invalid_api_key"}, AuthenticationError),
        (404, {"message": "The model 'm' does not exist", "code": "model_not_found"}, ModelNotFoundError),
        (429, {"message": "slow down"}, RateLimitError),
        (400, {"message": "Invalid schema", "param": "text.format.schema"}, SchemaNotSupportedError),
        (400, {"message": "Unsupported parameter: 'temperature'", "param": "temperature"}, ParameterRefusedError),
        (400, {"message": "Unsupported value: 'reasoning.effort'", "param": "reasoning.effort"}, ParameterRefusedError),
        (500, {"message": "boom"}, ProviderStatusError),
    ],
)
async def test_a_status_is_the_error_it_stands_for(status, error, kind):
    options = {"schema": {"title": "T", "type": "object"}, "temperature": 0.5, "reasoning_effort": "low"}
    chunks, said = await fail(kind, refusing(status, {"error": error}), **options)

    assert chunks == []
    assert error["message"].rstrip(".") in said


async def test_what_is_no_reply_of_this_api_is_one_clear_error():
    page = answering(whole(b"<html><body>Welcome to the shop</body></html>", Content_Type="text/html"))
    _chunks, said = await fail(ProtocolError, page)
    assert "answered with a web page" in said
    _chunks, said = await fail(ProtocolError, streaming(b'data: {"hello": 1}\n\n'))
    assert "an answer that is not of the Responses API" in said


@pytest.mark.parametrize("count", [-1, 10**15, "9", 1.5, True, None, [9]])
async def test_a_count_that_cannot_be_one_is_unknown(count):
    chunks = await good(start(), word("x"), end("completed", usage={"input_tokens": count, "output_tokens": 2}))

    assert (chunks[-1].prompt_tokens, chunks[-1].completion_tokens) == (None, 2)


async def test_leaving_early_closes_the_connection():
    async with serving(stalling(STREAM, framed(start() + b"".join(map(word, "abc"))))) as server:
        chunks = ask(server)
        assert await anext(chunks) == "a"
        await chunks.aclose()
        await asyncio.wait_for(server.gone.wait(), LIMIT)


# What a server does not accept


@pytest.mark.parametrize(
    "error",
    [
        {"code": "invalid_encrypted_content", "message": "The encrypted content for item rs1 could not be verified."},
        {"code": None, "message": "Item with id 'rs1' not found.", "param": "input"},
    ],
)
async def test_reasoning_that_the_server_cannot_read_is_left_out_once_and_said(error):
    async def answer(request, connection):
        has_reasoning = any(item.get("type") == "reasoning" for item in request.json["input"])
        await (refusing(400, {"error": error}) if has_reasoning else streaming(reply("fine")))(request, connection)

    notes: list[str] = []
    earlier = {"role": "assistant", "content": "Paris.", "reasoning_parts": [thoughts("why")]}
    async with serving(answer) as server:
        with notices_to(notes.append):
            chunks, failed = await read(ask(server, [*MESSAGES, earlier, {"role": "user", "content": "?"}]))

    assert (texts(chunks), failed) == ("fine", None)
    assert notes == ["the reasoning of earlier turns was left out, because the server refuses it"]
    assert len(server.requests) == 2


@pytest.mark.parametrize(
    ("param", "words"),
    [
        ("include", "Unknown include value: reasoning.encrypted_content"),
        ("include", "Encrypted content is not supported with this model."),
        ("reasoning.summary", "Your organization must be verified to generate reasoning summaries."),
        ("stream", "This model does not support streaming."),
    ],
)
async def test_a_part_that_can_be_left_out_is_and_is_remembered(param, words):
    async def answer(request, connection):
        field, _, inner = param.partition(".")
        there = request.json.get(field)
        is_there = bool(there.get(inner)) if inner and there else bool(there)
        refused = refusing(400, {"error": {"message": words, "param": param}})
        await (refused if is_there else streaming(reply("fine")))(request, connection)

    async with serving(answer) as server:
        for _time in range(2):
            chunks, error = await read(ask(server, reasoning_effort="low"))
            assert (texts(chunks), error) == ("fine", None)

    assert len(server.requests) == 3


# Which API


@pytest.mark.parametrize(
    ("setting", "url", "api"),
    [
        ("auto", "https://api.openai.com/v1", RESPONSES),
        ("auto", "https://eu.api.openai.com/v1", RESPONSES),
        ("auto", "https://me.openai.azure.com/openai/v1", RESPONSES),
        ("auto", "https://me.services.ai.azure.com/openai/v1/", RESPONSES),
        ("auto", "https://me.openai.azure.com/openai/deployments/x", CHAT),
        ("auto", "http://127.0.0.1:11434/v1", CHAT),
        ("auto", "https://openrouter.ai/api/v1", CHAT),
        ("auto", "https://api.openai.com.evil.example/v1", CHAT),
        ("chat", "https://api.openai.com/v1", CHAT),
        ("responses", "http://127.0.0.1:11434/v1", RESPONSES),
    ],
)
def test_the_host_decides_and_never_the_name_of_the_model(setting, url, api):
    assert {chosen_api(setting, URL(url), model) for model in ("gpt-4o", "o3-pro", "claude", "m")} == {api}


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (404, ONLY_RESPONSES["message"]),
        (400, "This model is not supported in the chat completions endpoint. Use the Responses API instead."),
        (400, "The chatCompletion operation does not work with the specified model. Please use /v1/responses."),
    ],
)
async def test_where_the_error_names_the_other_api_it_is_asked_once_remembered_and_said(status, words):
    async def answer(request, connection):
        is_chat = "/chat/completions" in request.line
        refused = refusing(status, {"error": {"message": words, "type": "invalid_request_error"}})
        await (refused if is_chat else streaming(reply("fine")))(request, connection)

    notes: list[str] = []
    async with serving(answer) as server:
        with notices_to(notes.append):
            for _time in range(2):
                chunks, error = await read(ask(server, openai_api="auto"))
                assert (texts(chunks), error) == ("fine", None)

    paths = [request.line.split()[1] for request in server.requests]
    assert paths == ["/v1/chat/completions", "/v1/responses", "/v1/responses"]
    assert notes == [
        "127.0.0.1 has m in the Responses API only, which is used from now on (setting openai_api = responses)"
    ]


async def test_a_setting_is_obeyed_and_the_error_says_what_would_help():
    for setting, other, answer in [
        ("chat", "responses", speaking("x")),
        (
            "responses",
            "chat",
            at_path("chat/completions", streaming(chat_reply("x")), {"message": "404 page not found"}),
        ),
    ]:
        async with serving(answer) as server:
            _chunks, error = await read(ask(server, openai_api=setting))

        assert isinstance(error, ProviderError)
        assert f"The setting openai_api is {setting}; {other} asks" in str(error)
        assert len(server.requests) == 1


async def test_a_server_that_has_neither_is_asked_twice_and_the_first_error_counts():
    refused = refusing(404, {"error": {"message": "Use v1/responses", "type": "invalid_request_error"}})
    async with serving(refused) as server:
        _chunks, error = await read(ask(server, openai_api="auto"))

    assert "Use v1/responses" in str(error)
    assert [request.line.split()[1] for request in server.requests] == ["/v1/chat/completions", "/v1/responses"]


async def test_which_api_would_be_asked_is_said_before():
    chosen = load({"openai_base_url": "http://127.0.0.1:1/v1", "openai_api": "responses"})

    assert (
        OpenAICompatible.would_answer(chosen, "m")
        == "if the server at http://127.0.0.1:1/v1 does, by the Responses API"
    )


async def test_a_conversation_sends_encrypted_reasoning_back_to_the_same_model_only():
    item = thoughts("why")
    stream = start() + item_done(item) + word("Paris.", 1) + end("completed", item, message("Paris."))
    async with serving(streaming(stream)) as server:
        settings = {"openai_base_url": f"{server.url}/v1", "openai_api": "responses"}
        chat = Conversation(configured=lambda: {"model": "openai_compatible:m", **settings})
        for model in ("m", "m", "other"):
            reply_of = chat.ask("And now?", model=f"openai_compatible:{model}")
            assert await reply_of == "Paris."

    bodies = [request.json["input"] for request in server.requests]
    assert [[each.get("type", each.get("role")) for each in body] for body in bodies] == [
        ["user"],
        ["user", "reasoning", "assistant", "user"],
        ["user", "assistant", "user", "assistant", "user"],
    ]
    assert reply_of.reasoning == "why"

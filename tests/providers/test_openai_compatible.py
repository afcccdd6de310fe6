"""OpenAICompatible against real servers on loopback that behave, and that do not."""

from __future__ import annotations

import asyncio
import gzip
import inspect
import json
import re
import traceback
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from flowgpt_magic import settings
from flowgpt_magic.conversation import Conversation
from flowgpt_magic.errors import (
    AuthenticationError,
    ContextLengthError,
    FlowGptError,
    MissingKeyError,
    ModelNotFoundError,
    ModelNotSupportedError,
    OptionError,
    ParameterRefusedError,
    PromptError,
    ProtocolError,
    ProviderConnectionError,
    ProviderError,
    ProviderStatusError,
    ProviderTimeoutError,
    QuotaError,
    RateLimitError,
    SchemaNotSupportedError,
    SettingError,
    StreamInterruptedError,
)
from flowgpt_magic.magics.state import Asked, ShellState
from flowgpt_magic.messages import Reasoning, Usage, is_text, notices_to
from flowgpt_magic.messages.extras import Extras
from flowgpt_magic.notebook.place import NO_CELL
from flowgpt_magic.providers import aliases
from flowgpt_magic.providers.aliases import Alias
from flowgpt_magic.providers.openai_compatible import OpenAICompatible
from flowgpt_magic.replies.dry_run import DryRun
from tests.openai_servers import (
    DONE,
    END,
    STREAM,
    USAGE,
    background,
    chunk,
    event,
    refusing,
    reply,
    speaking,
    streaming,
)
from tests.servers import (
    Connection,
    Request,
    Server,
    answering,
    closed_port,
    cut,
    framed,
    head,
    proxying,
    resetting,
    serving,
    stalling,
    whole,
)

MESSAGES = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Capital of France?"}]
SECRET = "s3cret-word"
PROMPT = 5  # seconds in which a failure that must not hang has to be there
AT_ONCE = 0.2  # seconds in which the server sees that the client has left
SCHEMA = {"type": "object", "properties": {}, "required": [], "additionalProperties": False}

pytestmark = [
    pytest.mark.filterwarnings("ignore::flowgpt_magic.errors.FlowGptWarning"),
    pytest.mark.usefixtures("over_http_and_tls"),
]


def ask(server: Server | str, messages: Any = MESSAGES, model: str = "m", **options: Any) -> AsyncGenerator[Any, None]:
    url = server if isinstance(server, str) else f"{server.url}/v1"
    return OpenAICompatible.create_async_generator(model, messages, **{"openai_base_url": url, **options})


async def read(chunks: AsyncGenerator[Any, None]) -> tuple[list[Any], FlowGptError | None]:
    """What was yielded beside the id of every reply, and how it failed if it did."""
    found: list[Any] = []

    async def collect() -> None:
        async for each in chunks:
            if each != Extras(request_id="chatcmpl-1"):
                found.append(each)

    try:
        await asyncio.wait_for(collect(), PROMPT)
    except FlowGptError as error:
        return found, error
    return found, None


async def good(answer: Any, **options: Any) -> tuple[list[str], Usage]:
    """The chunks of a reply that does not fail, and its usage."""
    async with serving(answer) as server:
        (*chunks, usage), error = await read(ask(server, **options))
    assert error is None
    assert isinstance(usage, Usage)
    return chunks, usage


async def fail(kind: type[FlowGptError], answer: Any, **options: Any) -> tuple[list[Any], str]:
    """The chunks before, and the text of, an error of this kind."""
    async with serving(answer) as server:
        chunks, error = await read(ask(server, **options))
    assert type(error) is kind, error
    return chunks, str(error)


# The request


async def test_a_request_says_what_is_set_and_nothing_more(monkeypatch):
    monkeypatch.setenv("MINE", SECRET)
    async with serving(speaking("x")) as server:
        await read(ask(server, openai_key="MINE"))

    [request] = server.requests
    assert request.line == "POST /v1/chat/completions HTTP/1.1"
    assert request.json == {
        "model": "m",
        "messages": MESSAGES,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    assert request.body.isascii()
    assert request.headers == {
        "Host": f"127.0.0.1:{server.port}",
        "User-Agent": "flowgpt_magic",
        "Accept": "text/event-stream, application/json",
        "Accept-Encoding": "identity",
        "Content-Type": "application/json",
        "Authorization": f"Bearer {SECRET}",
        "Connection": "close",
        "Content-Length": str(len(request.body)),
    }


@pytest.mark.parametrize(
    "given",
    [
        {"temperature": 0.0},
        {"max_tokens": 5},
        {"max_completion_tokens": 5},
        {"top_p": 0.5, "top_k": 4, "min_p": 0.1},
        {"seed": 0},
        {"presence_penalty": 1.0, "frequency_penalty": -1.0, "logit_bias": {"7": 1}},
        {"reasoning_effort": "low", "verbosity": "low", "service_tier": "flex"},
        {"response_format": {"type": "json_object"}},
        {"stop": ["a", "b"]},
    ],
)
async def test_each_parameter_is_a_field_of_the_same_name(given):
    async with serving(speaking("x")) as server:
        await read(ask(server, **given))

    sent = server.requests[0].json
    assert {name: sent[name] for name in sent if name not in ("model", "messages", "stream", "stream_options")} == given


async def test_further_fields_and_images_go_along():
    messages = [{"role": "user", "content": "What?", "images": ["data:image/png;base64,AAAA"]}]
    async with serving(speaking("x")) as server:
        await read(ask(server, messages, extra_body={"repetition_penalty": 1.1}))

    sent = server.requests[0].json
    assert sent["repetition_penalty"] == 1.1
    assert [part["type"] for part in sent["messages"][0]["content"]] == ["text", "image_url"]


def test_every_parameter_is_named_so_that_others_can_be_refused():
    signature = inspect.signature(OpenAICompatible.create_async_generator)
    named = {name for name, each in signature.parameters.items() if each.kind is each.KEYWORD_ONLY}

    assert set(OpenAICompatible.settings) <= named
    assert {"max_tokens", "max_completion_tokens", "response_format", "schema", "extra_body"} <= named


@pytest.mark.parametrize(
    ("error", "options"),
    [
        (ModelNotSupportedError, {"model": ""}),
        (PromptError, {"messages": []}),
        (OptionError, {"schema": SCHEMA, "response_format": {}}),
        (OptionError, {"extra_body": {"stream": False}}),
        (SettingError, {"openai_base_url": "nowhere"}),
        (SettingError, {"openai_key": "sk-hunter2-hunter2"}),
        (MissingKeyError, {"openai_key": "NOT_SET"}),
        (SettingError, {"read_timeout": 0}),
    ],
)
async def test_a_mistake_is_told_before_anything_is_sent_and_not_before_the_first_chunk(error, options):
    async with serving(speaking("x")) as server:
        chunks = ask(server, **options)

        found, failure = await read(chunks)

    assert type(failure) is error
    assert found == []
    assert server.requests == []
    assert "hunter2" not in str(failure)


async def test_openai_without_a_key_is_not_asked(monkeypatch):
    found, failure = await read(OpenAICompatible.create_async_generator("gpt-4o-mini", MESSAGES))

    assert type(failure) is MissingKeyError
    assert "OPENAI_API_KEY" in str(failure)
    assert found == []


async def test_openais_key_goes_to_nobody_else(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)
    async with serving(speaking("x")) as server:
        await read(ask(server))

    assert "Authorization" not in server.requests[0].headers


# The reply


async def test_a_reply_arrives_in_chunks_and_ends_with_its_usage():
    assert await good(speaking("Par", "is", "", ".")) == (["Par", "is", "."], Usage(9, 12, "stop", answered_by="m"))


@pytest.mark.parametrize(
    ("headers", "request_id"),
    [
        ({}, "chatcmpl-1"),
        ({"X_Request_Id": "req_9"}, "req_9"),
        ({"Request_Id": " r-2 "}, "r-2"),
        ({"X_Request_Id": ""}, "chatcmpl-1"),
        ({"X_Request_Id": "sk-" + "a1B2" * 12}, "sk-…"),
        ({"X_Request_Id": "9" * 300}, "9" * 199 + "…"),
    ],
)
async def test_the_id_of_the_request_is_kept_and_that_of_the_headers_wins(headers, request_id):
    async def answer(request: Request, connection: Connection) -> None:
        begun = head(Content_Type="text/event-stream", Transfer_Encoding="chunked", **headers)
        await connection.send(begun, framed(reply("a")), END)

    async with serving(answer) as server:
        chunks = [each async for each in ask(server)]

    extras = chunks[-2]
    assert isinstance(extras, Extras)
    if request_id.startswith("sk-"):
        assert "a1B2a1B2a1B2" not in extras.request_id
    else:
        assert extras == Extras(request_id=request_id)


async def test_a_chunk_is_there_before_the_next_one_is_sent():
    more = asyncio.Event()

    async def answer(request: Request, connection: Connection) -> None:
        await connection.send(STREAM, framed(chunk("a")))
        await more.wait()
        await connection.send(framed(chunk("b", "stop") + DONE), END)

    async with serving(answer) as server:
        chunks = ask(server)
        assert await asyncio.wait_for(anext(chunks), PROMPT) == "a"
        more.set()
        assert await asyncio.wait_for(anext(chunks), PROMPT) == "b"
        await chunks.aclose()


@pytest.mark.parametrize("end", ["\n", "\r", "\r\n"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
async def test_a_stream_is_read_with_every_line_end_and_cut_at_every_byte(end, mark):
    stream = mark + (b": hi\n\n" + reply("Fran\u00e7ais ", "\u6771\u4eac", "\U0001f600")).replace(b"\n", end.encode())

    for blocks in ([stream], [stream[:1], stream[1:]], cut(stream, range(len(stream)))):
        assert await good(streaming(*blocks)) == (
            ["Fran\u00e7ais ", "\u6771\u4eac", "\U0001f600"],
            Usage(9, 12, "stop", answered_by="m"),
        )


@given(
    st.lists(
        st.text(min_size=1).filter(lambda text: not any("\ud800" <= char <= "\udfff" for char in text)), max_size=8
    ),
    st.lists(st.integers(0, 10**6), max_size=8),
)
@hypothesis_settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_text_is_read_back_wherever_it_is_cut(words, places):
    async def once() -> None:
        chunks, _usage = await good(streaming(*cut(reply(*words), places)))
        assert chunks == words

    asyncio.run(once())


async def test_a_json_text_over_several_data_lines_is_one_event():
    said = json.dumps({"choices": [{"delta": {"content": "a"}, "finish_reason": "stop"}]}, indent=2)
    stream = "".join(f"data: {line}\n" for line in said.splitlines()) + "\n"

    assert (await good(streaming(stream.encode())))[0] == ["a"]


@pytest.mark.parametrize(
    "last",
    [
        b"data: [DONE]",
        b"data: [DONE]\n",
        b"data: [DONE]\n\n",
        b"data:[DONE]\r\n\r\n",
        chunk(reason="stop"),
        chunk(reason="stop")[:-2],
    ],
)
async def test_a_server_may_close_right_after_its_last_word(last):
    plain = head(Content_Type="text/event-stream", Connection="close")

    assert (await good(answering(plain, chunk("a"), last)))[0] == ["a"]
    assert (await good(streaming(chunk("a"), last)))[0] == ["a"]


async def test_the_text_of_an_event_that_only_the_end_ended_is_not_lost():
    chunks, _usage = await good(streaming(chunk("a"), chunk("b", "stop").rstrip()))

    assert chunks == ["a", "b"]


@pytest.mark.parametrize("blocks", [[], [b": hi\n\n"], [chunk("a")], [chunk("a"), chunk("b")[:-20]]])
async def test_a_reply_that_nobody_ended_is_interrupted_and_keeps_its_chunks(blocks):
    chunks, error = await fail(StreamInterruptedError, streaming(*blocks))

    assert chunks == (["a"] if len(blocks) and b'"a"' in blocks[0] else [])
    assert "ended the reply before it was complete" in error


async def test_a_connection_that_breaks_after_the_text_was_whole_takes_nothing_from_it():
    blocks = [STREAM, framed(chunk("a")), framed(chunk(reason="stop"))]

    assert await good(resetting(*blocks)) == (["a"], Usage(None, None, "stop", answered_by="m"))
    assert await good(stalling(*blocks), read_timeout=0.05) == (["a"], Usage(None, None, "stop", answered_by="m"))


async def test_a_connection_that_breaks_before_that_is_an_error_after_the_chunks():
    blocks = [STREAM, framed(chunk("a"))]

    assert (await fail(StreamInterruptedError, resetting(*blocks)))[0] == ["a"]
    assert (await fail(ProviderTimeoutError, stalling(*blocks), read_timeout=0.05))[0] == ["a"]


async def test_nothing_is_read_after_the_server_is_done():
    async with serving(stalling(STREAM, framed(reply("a") + b"data: {broken\n\n"))) as server:
        (*chunks, _usage), error = await read(ask(server))

        assert (chunks, error) == (["a"], None)
        await asyncio.wait_for(server.gone.wait(), PROMPT)


async def test_a_server_that_does_not_stream_is_read_too():
    found = {
        "choices": [{"message": {"role": "assistant", "content": "all of it"}, "finish_reason": "stop"}],
        "usage": USAGE,
    }
    for kind in ("application/json", "text/event-stream", "text/plain; charset=utf-8"):
        body = b"\n\n" + json.dumps(found, indent=1).encode()
        answer = answering(whole(body, Content_Type=kind))

        assert await good(answer) == (["all of it"], Usage(9, 12, "stop"))


async def test_such_a_reply_is_known_wherever_its_bytes_are_cut():
    found = {"choices": [{"message": {"content": "all"}, "finish_reason": "stop"}]}
    body = b"\xef\xbb\xbf\n " + json.dumps(found).encode()

    assert (await good(streaming(*cut(body, range(len(body))))))[0] == ["all"]


async def test_a_compressed_stream_is_read_all_the_same():
    answer = answering(whole(gzip.compress(reply("a", "b")), Content_Type="text/event-stream", Content_Encoding="gzip"))

    assert (await good(answer))[0] == ["a", "b"]


async def test_what_is_no_text_is_told_beside_it():
    told: list[str] = []
    stream = [chunk(reasoning_content="hm"), chunk("a"), chunk(reason="length"), event(choices=[], usage=USAGE), DONE]

    with notices_to(told.append):
        found = await good(streaming(*stream), max_tokens=3)

    assert found == (
        ["hm", "a", Extras(reasoning="hm", request_id="chatcmpl-1")],
        Usage(9, 12, "length", answered_by="m"),
    )
    assert told == ["the reply was cut off at max_tokens = 3"]


async def test_an_empty_reply_is_told():
    told: list[str] = []

    with notices_to(told.append):
        chunks, _usage = await good(speaking())

    assert chunks == []
    assert ["sent an empty reply" in text for text in told] == [True]


# What a server does not take


def not_taking(*fields: str, status: int = 400, words: str = "Unrecognized request argument supplied: ") -> Any:
    """A server that refuses the first of these fields that it gets."""

    async def answer(request: Request, connection: Connection) -> None:
        refused = [field for field in fields if field in request.json]
        if refused:
            return await refusing(status, {"error": {"message": words + refused[0]}})(request, connection)
        if request.json.get("stream"):
            return await streaming(reply("a"))(request, connection)
        found = {"choices": [{"message": {"content": "a"}, "finish_reason": "stop"}]}
        return await connection.send(whole(json.dumps(found).encode(), Content_Type="application/json"))

    return answer


@pytest.mark.parametrize("status", [400, 422])
async def test_a_server_that_knows_no_usage_is_asked_once_more_without(status):
    async with serving(not_taking("stream_options", status=status)) as server:
        (*chunks, _usage), error = await read(ask(server))

    assert (chunks, error) == (["a"], None)
    assert ["stream_options" in request.json for request in server.requests] == [True, False]


async def test_one_that_cannot_stream_is_asked_for_it_in_one_piece():
    async with serving(not_taking("stream_options", "stream")) as server:
        (*chunks, _usage), error = await read(ask(server))

    assert (chunks, error) == (["a"], None)
    assert len(server.requests) == 3


async def test_a_model_that_calls_its_limit_otherwise_gets_it_so():
    words = "Use 'max_completion_tokens' instead of "
    async with serving(not_taking("max_tokens", words=words)) as server:
        _chunks, error = await read(ask(server, max_tokens=7))

    assert error is None
    assert [request.json.get("max_completion_tokens") for request in server.requests] == [None, 7]


async def test_a_field_that_was_set_is_not_left_out_in_silence():
    async with serving(not_taking("temperature")) as server:
        _chunks, error = await read(ask(server, temperature=0.5))

    assert type(error) is ParameterRefusedError
    assert len(server.requests) == 1


async def test_a_server_that_refuses_all_is_not_asked_for_ever():
    async with serving(refusing(400, {"error": {"message": "stream_options and stream, no"}})) as server:
        _chunks, error = await read(ask(server))

    assert isinstance(error, ProviderStatusError)
    assert len(server.requests) == 3


async def test_a_schema_is_asked_for_and_a_server_that_takes_none_is_told_apart():
    async with serving(speaking("{}")) as server:
        await read(ask(server, schema=SCHEMA))
    sent = server.requests[0].json["response_format"]
    assert sent == {"type": "json_schema", "json_schema": {"name": "reply", "schema": SCHEMA, "strict": True}}

    await fail(SchemaNotSupportedError, not_taking("response_format"), schema=SCHEMA)


# ErrorMapper


def not_having(model: str, lists: Any) -> Any:
    """A server without ``model`` that lists its models with ``lists``."""

    async def answer(request: Request, connection: Connection) -> None:
        if request.line.startswith("GET /v1/models "):
            return await lists(request, connection)
        return await refusing(404, {"error": {"message": f"model {model} not found"}})(request, connection)

    return answer


@pytest.mark.parametrize(
    ("lists", "hint"),
    [
        (speaking(models=("qwen3:8b", "gpt-4o-mini")), "Did you mean gpt-4o-mini?"),
        (speaking(models=("qwen3:8b",)), ""),
        (refusing(500, "broken"), ""),
    ],
)
async def test_an_unknown_model_is_the_servers_error_with_the_closest_model_of_its_list(lists, hint):
    _chunks, error = await fail(ModelNotFoundError, not_having("gtp-4o", lists), model="gtp-4o")

    assert "model gtp-4o not found" in error
    assert "%flowgpt models openai_compatible lists its models." in error
    assert error.endswith(hint or "lists its models.")


@pytest.mark.parametrize(
    ("answer", "kind", "said"),
    [
        (refusing(429, {"error": {"message": "slow down"}}), RateLimitError, "answered 429: slow down"),
        (refusing(429, {"error": {"message": "x", "code": "insufficient_quota"}}), QuotaError, "waiting does not help"),
        (refusing(404, {"error": {"message": "model m not found"}}), ModelNotFoundError, "%flowgpt models"),
        (refusing(400, {"error": {"message": "maximum context length is 9"}}), ContextLengthError, "history_tokens"),
        (
            refusing(401, {"error": {"message": "no"}}),
            AuthenticationError,
            "No key was sent: set openai_key",
        ),
        (refusing(500, "<html><body>Oops</body></html>"), ProviderStatusError, "answered 500: Oops"),
        (answering(whole(b"", 307, Location="http://elsewhere/v1")), ProviderStatusError, "redirects to http://else"),
        (answering(whole(b"<html><title>Log in</title></html>")), ProtocolError, "a web page: Log in. Is http"),
        (answering(whole(b"{}", Content_Type="application/json")), ProtocolError, "not a chat completion"),
        (answering(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n{}"), StreamInterruptedError, "before the reply was"),
        (streaming(b"data: {broken\n\n"), ProtocolError, "a line that is not JSON: {broken"),
        (streaming(b"data: " + b"x" * 2000), ProtocolError, "longer than 1024 bytes"),
        (answering(whole(b'{"a": "' + b"x" * 2000)), ProtocolError, "longer than 1024 bytes"),
        (answering(), StreamInterruptedError, "closed the connection without an answer"),
    ],
)
async def test_each_failure_is_one_error_that_says_what_to_do(answer, kind, said):
    chunks, error = await fail(kind, answer, line_limit=1024)

    assert chunks == []
    assert said in error


@pytest.mark.parametrize(
    ("failure", "kind"),
    [
        (b'data: {"error": {"message": "boom", "code": 502}}\n\n', ProviderStatusError),
        (b'event: error\ndata: {"message": "boom"}\n\n', ProviderError),
        (b'data: {"object": "error", "message": "boom", "code": 429}\n\n', RateLimitError),
    ],
)
async def test_a_failure_inside_a_reply_comes_after_its_chunks(failure, kind):
    chunks, error = await fail(kind, streaming(chunk("a") + failure + chunk("b")))

    assert chunks == ["a"]
    assert "reports a failure: boom" in error


async def test_a_server_that_does_not_run_is_named():
    port = closed_port()
    _chunks, error = await read(ask(f"http://127.0.0.1:{port}/v1"))

    assert type(error) is ProviderConnectionError
    assert f"no connection to 127.0.0.1:{port}: connection refused; check that the server runs" in str(error)
    assert "openai_base_url" in str(error)


async def test_a_wrong_key_is_told_by_its_name_and_shown_nowhere(monkeypatch):
    monkeypatch.setenv("MINE", SECRET)
    echo = refusing(401, {"error": {"message": f"wrong: {SECRET}, {SECRET[:4]}***{SECRET[-3:]}"}})
    async with serving(echo) as server:
        _chunks, error = await read(ask(server, openai_key="MINE"))

    assert type(error) is AuthenticationError
    assert "MINE" in str(error)
    shown = "".join(traceback.format_exception(error))
    assert SECRET not in shown
    assert SECRET[:4] not in str(error)


@pytest.mark.parametrize(
    "answer",
    [
        refusing(500, {"error": {"message": f"you said Bearer {SECRET}"}}),
        streaming(b'data: {"error": "you said %s"}\n\n' % SECRET.encode()),
        streaming(b"data: you said %s\n\n" % SECRET.encode()),
        answering(whole(b"<html>you said %s</html>" % SECRET.encode())),
        answering(whole(b"[%s" % SECRET.encode())),
    ],
)
async def test_a_key_that_a_server_repeats_is_not_shown(monkeypatch, answer):
    monkeypatch.setenv("MINE", SECRET)
    async with serving(answer) as server:
        _chunks, error = await read(ask(server, openai_key="MINE"))

    assert "***" in str(error)
    assert SECRET not in "".join(traceback.format_exception(error))


async def test_a_proxy_is_used_and_learns_no_more_than_it_must(monkeypatch):
    monkeypatch.setenv("MINE", SECRET)
    async with serving(speaking("a"), tls=False) as server, proxying() as proxy:
        address = f"http://me:hunter2@127.0.0.1:{proxy.port}"
        (*chunks, _usage), error = await read(ask(server, openai_key="MINE", proxy=address))

    assert (chunks, error) == (["a"], None)
    assert proxy.requests[0].line.startswith(f"POST {server.url}/v1/chat/completions")
    assert "hunter2" not in str(server.requests[0].headers)


# Leaving


@pytest.mark.parametrize("blocks", [[], [STREAM], [STREAM, framed(b": hi\n\n")], [STREAM, framed(chunk("a"))]])
async def test_cancelling_closes_the_connection_at_once_whenever_it_comes(blocks):
    async with serving(stalling(*blocks)) as server:
        reading = asyncio.create_task(read(ask(server)))
        await asyncio.wait_for(server.asked.wait(), PROMPT)
        await asyncio.sleep(0)

        reading.cancel()

        with pytest.raises(asyncio.CancelledError):
            await reading
        await asyncio.wait_for(server.gone.wait(), PROMPT)


async def test_leaving_early_closes_the_connection():
    async with serving(stalling(STREAM, framed(chunk("a")), framed(chunk("b")))) as server:
        chunks = ask(server)
        assert await anext(chunks) == "a"

        await chunks.aclose()

        await asyncio.wait_for(server.gone.wait(), AT_ONCE * 10)


def test_code_that_is_not_async_reads_the_same():
    with background(speaking("a", "b")) as server:
        found = list(OpenAICompatible.create_completion("m", MESSAGES, openai_base_url=f"{server.url}/v1"))

    assert found == ["a", "b"]


# Its models


async def test_the_models_are_those_that_the_server_lists(monkeypatch):
    monkeypatch.setenv("MINE", SECRET)
    async with serving(speaking(models=["b", "a/x:free"], key=SECRET)) as server:
        found = await OpenAICompatible.list_models(openai_base_url=f"{server.url}/v1", openai_key="MINE", proxy="")

    assert found == ["b", "a/x:free"]
    assert server.requests[0].line == "GET /v1/models HTTP/1.1"
    assert server.requests[0].body == b""


@pytest.mark.parametrize(
    ("answer", "kind", "said"),
    [
        (speaking(models=[]), ProviderError, "lists no models; use one that it has with -m openai_compatible:MODEL"),
        (refusing(404, "404 page not found", Content_Type="text/plain"), ProviderStatusError, "the right base URL"),
        (refusing(429, {"error": "slow down"}), RateLimitError, "slow down"),
        (refusing(401, {"error": "no"}), AuthenticationError, "openai_key"),
        (answering(whole(b"<!doctype html><title>Hello</title>")), ProtocolError, "a web page: Hello"),
        (answering(whole(b'{"ok": true}')), ProtocolError, "something that is not a list of models"),
        (answering(whole(b"OK")), ProtocolError, "not JSON"),
        (answering(whole(b"x" * 3000)), ProtocolError, "longer than 1024 bytes"),
        (stalling(), ProviderTimeoutError, "silent for 0.05 s"),
    ],
)
async def test_a_server_that_lists_no_models_says_why_in_one_error(answer, kind, said):
    async with serving(answer) as server:
        with pytest.raises(kind) as caught:
            await OpenAICompatible.list_models(
                openai_base_url=f"{server.url}/v1",
                line_limit=1024,
                read_timeout=0.05 if kind is ProviderTimeoutError else 5,
            )

    assert type(caught.value) is kind
    assert said in str(caught.value)


async def test_the_models_of_a_server_that_is_not_there_are_not_listed():
    with pytest.raises(ProviderConnectionError, match="connection refused"):
        await OpenAICompatible.list_models(openai_base_url=f"http://127.0.0.1:{closed_port()}/v1")


# In a conversation


@pytest.fixture
def server():
    with background(speaking("Par", "is")) as found:
        yield found


def test_a_conversation_asks_it_like_anybody_else(server):
    chat = Conversation(configured=dict)

    reply = chat.ask("Capital?", model="openai_compatible:m", openai_base_url=f"{server.url}/v1", cell=NO_CELL)

    assert reply.text == "Paris"
    assert (reply.usage.prompt_tokens, reply.usage.finish_reason) == (9, "stop")
    assert chat.turns[0].parameters["openai_base_url"] == f"{server.url}/v1"


def test_a_parameter_that_it_does_not_take_is_refused_before_anything_is_sent(server):
    chat = Conversation(configured=lambda: {"openai_base_url": f"{server.url}/v1"})

    with pytest.raises(OptionError, match="takes no parameter max_token; did you mean max_tokens"):
        chat.ask("hi", model="openai_compatible:m", params={"max_token": 5}, cell=NO_CELL)
    assert chat.ask("hi", model="openai_compatible:m", params={"max_tokens": 5}, cell=NO_CELL).text == "Paris"
    assert server.requests[0].json["max_tokens"] == 5


@pytest.mark.parametrize("again", ["retry", "edit", "continue"])
def test_asking_again_asks_the_same_server_with_the_same_key(server, monkeypatch, again):
    monkeypatch.setenv("MINE", SECRET)
    chat = Conversation(configured=dict)
    options = {"openai_base_url": f"{server.url}/v1", "openai_key": "MINE"}
    list(chat.ask("Capital?", model="openai_compatible:m", **options, cell=NO_CELL))

    made = {"retry": chat.retry, "edit": lambda: chat.edit(1, "Why?"), "continue": chat.continue_}[again]()

    assert made.text.endswith("Paris")
    assert [request.headers["Authorization"] for request in server.requests] == [f"Bearer {SECRET}"] * 2


def test_asking_again_takes_the_key_that_is_named_for_that_server_now(server, monkeypatch):
    monkeypatch.setenv("NEW", SECRET)
    configured = {"openai_base_url": f"{server.url}/v1", "openai_key": "OLD"}
    chat = Conversation(configured=lambda: configured)
    with pytest.raises(MissingKeyError, match="OLD is not set"):
        _ = chat.ask("Capital?", model="openai_compatible:m", cell=NO_CELL).text

    configured["openai_key"] = "NEW"

    assert chat.retry().text == "Paris"


def test_asking_another_server_again_takes_no_key_along(server, monkeypatch):
    monkeypatch.setenv("MINE", SECRET)
    chat = Conversation(configured=dict)
    first = {"openai_base_url": f"http://127.0.0.1:{closed_port()}/v1", "openai_key": "MINE"}
    with pytest.raises(ProviderConnectionError):
        _ = chat.ask("Capital?", model="openai_compatible:m", **first, cell=NO_CELL).text

    assert chat.retry(openai_base_url=f"{server.url}/v1").text == "Paris"
    assert "Authorization" not in server.requests[0].headers


def test_an_alias_is_asked_at_its_endpoint_with_its_key(server, monkeypatch):
    monkeypatch.setenv("MINE", SECRET)
    aliases.save(Alias("fast", "openai_compatible:m", f"{server.url}/v1", key_variable="MINE"))
    chat = Conversation(configured=dict)

    assert chat.ask("Capital?", model="fast", cell=NO_CELL).text == "Paris"
    assert chat.retry().text == "Paris"
    assert [request.headers["Authorization"] for request in server.requests] == [f"Bearer {SECRET}"] * 2


def test_the_key_is_in_no_file_of_the_history(server, monkeypatch, tmp_path):
    monkeypatch.setenv("MINE", SECRET)
    file = tmp_path / "history.sqlite3"
    configured = {"openai_base_url": f"{server.url}/v1", "openai_key": "MINE", "history": str(file)}
    state = ShellState(lambda: configured, {})
    list(state.conversation().ask("Capital?", model="openai_compatible:m", cell=NO_CELL))
    state.notebook_history.flush()

    stored = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert b"Capital?" in stored
    assert b"MINE" in stored
    assert SECRET.encode() not in stored


def test_the_same_question_is_answered_from_the_history_whatever_its_key_is_called(server, monkeypatch):
    monkeypatch.setenv("ONE", SECRET)
    monkeypatch.setenv("TWO", SECRET)
    chat = Conversation(configured=lambda: {"openai_base_url": f"{server.url}/v1", "cache": True})
    for name in ("ONE", "TWO"):
        chat.clear()
        assert chat.ask("Capital?", model="openai_compatible:m", openai_key=name, cell=NO_CELL).text == "Paris"

    assert len(server.requests) == 1


def test_the_magic_asks_it_and_shows_who_answered(server, capsys):
    state = ShellState(lambda: {"openai_base_url": f"{server.url}/v1"}, {})

    state.ask(Asked.read("Capital?", {"model": "openai_compatible:meta-llama/llama-3:free"}), own_cell=False)

    shown = capsys.readouterr().out
    assert "Paris" in shown
    assert "openai_compatible:meta-llama/llama-3:free" in shown
    assert server.requests[0].json["model"] == "meta-llama/llama-3:free"


# Parameters and headers


def home(server: Any, **more: Any) -> Conversation:
    return Conversation(
        configured=lambda: {"openai_base_url": f"{server.url}/v1", "model": "openai_compatible:m", **more}
    )


@pytest.mark.parametrize("name", ["chat_template_kwargs", "structured_outputs", "repetition_penalty", "mirostat"])
def test_the_error_about_an_unknown_parameter_says_how_to_send_it(server, name):
    chat = home(server)

    with pytest.raises(OptionError, match=re.escape(f'write -P extra_body={{"{name}": {{"a": 1.1}}}}')):
        chat.ask("hi", params={name: {"a": 1.1}}, cell=NO_CELL)
    with pytest.raises(OptionError, match=re.escape(f'-P extra_body={{"{name}": 2}}, or extra_body=… in Python')):
        chat.ask("hi", **{name: 2}, cell=NO_CELL)
    assert not server.requests
    assert chat.ask("hi", extra_body={name: {"a": 1.1}}, cell=NO_CELL).text == "Paris"
    assert server.requests[0].json[name] == {"a": 1.1}


@pytest.mark.parametrize("name", ["model", "messages", "stream", "stream_options", "n"])
def test_what_makes_the_request_is_no_parameter(server, name):
    chat = home(server)
    ways: list[dict[str, Any]] = [{"params": {name: 1}}, {"extra_body": {name: 1}}]

    for how in ways:
        with pytest.raises(FlowGptError, match=name):
            chat.ask("hi", **how, cell=NO_CELL)
    assert not server.requests


def test_parameters_may_be_given_like_settings(server):
    chat = home(server)

    assert chat.ask("hi", top_p=0.5, stop=("a", "b"), extra_body={"top_a": 1}, cell=NO_CELL).text == "Paris"
    body = server.requests[0].json
    assert (body["top_p"], body["stop"], body["top_a"]) == (0.5, ["a", "b"], 1)
    assert chat.retry().text == "Paris"
    assert server.requests[1].json == body


@pytest.mark.parametrize(
    "how",
    [
        {"temperature": 0.5, "params": {"temperature": 0.5}},
        {"top_p": 0.5, "params": {"top_p": 0.5}},
        {"temperature": 0.5, "extra_body": {"temperature": 0.5}},
        {"params": {"top_p": 0.5, "extra_body": {"top_p": 0.5}}},
    ],
)
def test_a_parameter_that_is_there_twice_is_refused(server, how):
    with pytest.raises(FlowGptError, match="twice"):
        home(server).ask("hi", **how, cell=NO_CELL)
    assert not server.requests


@pytest.mark.parametrize("value", [{"a"}, float("nan"), object()])
def test_a_parameter_that_json_does_not_have_is_refused_by_name(server, value):
    with pytest.raises(SettingError, match="option: params seed is"):
        home(server).ask("hi", params={"seed": value}, cell=NO_CELL)
    assert not server.requests


def test_the_nearer_place_wins_where_a_setting_stands_in_extra_body_too(server):
    chat = home(server, params={"extra_body": {"temperature": 0.1, "top_a": 1}})

    assert chat.ask("hi", temperature=0.9, cell=NO_CELL).text == "Paris"
    assert (server.requests[0].json["temperature"], server.requests[0].json["top_a"]) == (0.9, 1)
    chat = home(server, temperature=0.1)
    assert chat.ask("hi", extra_body={"temperature": 0.9}, cell=NO_CELL).text == "Paris"
    assert server.requests[1].json["temperature"] == 0.9


@pytest.mark.parametrize("name", ["typed", "temprature", "retrys"])
def test_a_name_that_is_neither_setting_nor_parameter_is_refused(server, name):
    with pytest.raises(FlowGptError, match=name):
        home(server).ask("hi", **{name: 3}, cell=NO_CELL)
    assert not server.requests


def test_null_takes_back_what_the_settings_give(server):
    chat = home(server, temperature=0.1, max_tokens=5, params={"top_p": 0.5, "extra_body": {"a": 1}})

    again = {"temperature": None, "max_tokens": None, "top_p": None, "extra_body": None}
    assert chat.ask("hi", params=again, cell=NO_CELL).text == "Paris"
    assert not {*again, "a"} & server.requests[0].json.keys()


def test_max_tokens_that_is_set_is_sent_and_the_embedded_models_default_is_not(server):
    assert home(server).ask("hi", cell=NO_CELL).text == "Paris"
    assert home(server, max_tokens=50).ask("hi", cell=NO_CELL).text == "Paris"

    assert [request.json.get("max_tokens") for request in server.requests] == [None, 50]


@pytest.mark.parametrize("place", ["settings file", "conversation", "option", "alias"])
def test_headers_are_sent_and_written_down_nowhere(server, monkeypatch, tmp_path, caplog, place):
    monkeypatch.setenv("GATE", SECRET)
    given = {"HTTP-Referer": "https://a.b", "api-key": "$GATE"}
    chat, how = home(server), {}
    if place == "settings file":
        path = settings.settings_file()
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(
            f'openai_base_url = "{server.url}/v1"\n[extra_headers]\nHTTP-Referer = "https://a.b"\napi-key = "$GATE"\n'
        )
    elif place == "conversation":
        chat.set(extra_headers=given)
    elif place == "option":
        how = {"params": {"extra_headers": given}}
    else:
        aliases.save(Alias("fast", "openai_compatible:m", f"{server.url}/v1", params={"extra_headers": given}))
        how = {"model": "fast"}
    with caplog.at_level("DEBUG"):
        reply = chat.ask("hi", **how, cell=NO_CELL)
        assert reply.text == "Paris"

    sent = server.requests[0].headers
    assert (sent["HTTP-Referer"], sent["api-key"]) == ("https://a.b", SECRET)
    assert "extra_headers" not in chat.turns[0].parameters
    assert SECRET not in repr(chat.turns[0]) + caplog.text + DryRun(chat.preview("hi", **how)).text()


def test_a_secret_header_that_the_server_repeats_is_not_shown(monkeypatch):
    monkeypatch.setenv("GATE", SECRET)
    with background(refusing(403, {"error": {"message": f"wrong: {SECRET}"}})) as server:
        reply = home(server, extra_headers={"api-key": "$GATE"}).ask("hi", cell=NO_CELL)
        with pytest.raises(FlowGptError) as caught:
            list(reply)
        assert SECRET not in str(caught.value)
        assert "wrong: ***" in str(caught.value)


def test_the_models_are_listed_with_the_headers(monkeypatch):
    monkeypatch.setenv("GATE", SECRET)
    with background(speaking("hi")) as server:
        chosen = {"openai_base_url": f"{server.url}/v1", "extra_headers": {"api-key": "$GATE"}}
        assert asyncio.run(OpenAICompatible.list_models(**chosen)) == ["m"]
        assert server.requests[0].headers["api-key"] == SECRET


# Reasoning


async def test_reasoning_arrives_as_chunks_of_its_own_and_is_no_part_of_the_text():
    deltas = [chunk(reasoning_content=word) for word in ("two ", "and ", "two")]
    async with serving(streaming(*deltas, reply("four"))) as server:
        chunks = [each async for each in ask(server)]
        text = await OpenAICompatible.create_async("m", MESSAGES, openai_base_url=f"{server.url}/v1")

    assert [each for each in chunks if isinstance(each, Reasoning)] == ["two ", "and ", "two"]
    assert [each for each in chunks if is_text(each)] == ["four"]
    assert text == "four"


async def test_the_cost_may_stand_in_a_header():
    async def priced(request: Request, connection: Connection) -> None:
        await connection.send(
            head(Content_Type="text/event-stream", Transfer_Encoding="chunked", X_Litellm_Response_Cost="0.00125"),
            framed(reply("four")),
            END,
        )

    assert (await good(priced))[1].cost == 0.00125


async def test_opaque_parts_of_reasoning_are_sent_back_and_left_out_where_the_server_refuses_them():
    details = {"type": "reasoning.text", "text": "hm", "signature": "abc"}
    earlier = {"role": "assistant", "content": "4", "reasoning_parts": [details, {"type": "reasoning", "id": "rs"}]}
    messages = [{"role": "user", "content": "2 + 2?"}, earlier, {"role": "user", "content": "Sure?"}]

    async def strict(request: Request, connection: Connection) -> None:
        if any("reasoning_details" in message for message in request.json["messages"]):
            await refusing(400, {"error": {"message": "Invalid signature in reasoning_details"}})(request, connection)
        else:
            await streaming(reply("yes"))(request, connection)

    async with serving(streaming(reply("yes"))) as server, serving(strict) as other:
        for each in (server, other):
            base = f"{each.url}/v1"
            assert await OpenAICompatible.create_async("m", messages, openai_base_url=base) == "yes"

        (sent,) = (request.json["messages"][1] for request in server.requests)
        assert sent == {"role": "assistant", "content": "4", "reasoning_details": [details]}
        assert [len(request.json["messages"][1]) for request in other.requests] == [3, 2]

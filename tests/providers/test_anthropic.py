"""Anthropic against real servers on loopback that behave, and that do not."""

from __future__ import annotations

import asyncio
import inspect
import io
import json
import re
import traceback
from base64 import b64encode
from collections.abc import AsyncGenerator, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from pypdf import PdfWriter

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
    PermissionDeniedError,
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
from flowgpt_magic.messages import Reasoning, Usage, notices_to
from flowgpt_magic.messages.content_parts import document_url
from flowgpt_magic.messages.extras import Citation, Extras
from flowgpt_magic.providers import aliases
from flowgpt_magic.providers.aliases import Alias
from flowgpt_magic.providers.anthropic import Anthropic
from flowgpt_magic.settings import Settings, load
from flowgpt_magic.testing import check_provider
from tests.anthropic_servers import (
    MODEL,
    block,
    end,
    event,
    failure,
    in_turn,
    invalid,
    message,
    reply,
    report,
    speaking,
    start,
    text,
    thinking,
    word,
)
from tests.kernel_shell import KernelShell, shells
from tests.openai_servers import END, STREAM, background, refusing, streaming
from tests.openai_servers import speaking as speaking_openai
from tests.servers import Server, answering, closed_port, cut, framed, head, resetting, serving, stalling, whole

MESSAGES = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Capital of France?"}]
SECRET = "s3cret-word"
PROMPT = 5  # seconds in which a failure that must not hang has to be there
MARK = {"type": "ephemeral"}

pytestmark = [
    pytest.mark.filterwarnings("ignore::flowgpt_magic.errors.FlowGptWarning"),
    pytest.mark.usefixtures("over_http_and_tls"),
]


def ask(
    server: Server | str, messages: Any = MESSAGES, model: str = MODEL, **options: Any
) -> AsyncGenerator[Any, None]:
    url = server if isinstance(server, str) else server.url
    return Anthropic.create_async_generator(model, messages, **{"anthropic_base_url": url, **options})


async def read(chunks: AsyncGenerator[Any, None]) -> tuple[list[Any], FlowGptError | None]:
    """What was yielded beside the id of every reply, and how it failed if it did."""
    found: list[Any] = []

    async def collect() -> None:
        async for each in chunks:
            if each != Extras(request_id="msg_1"):
                found.append(each)

    try:
        await asyncio.wait_for(collect(), PROMPT)
    except FlowGptError as error:
        return found, error
    return found, None


async def good(answer: Any, **options: Any) -> tuple[list[Any], Usage]:
    """What a reply that does not fail yields, and its usage."""
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


async def sent(messages: Any = MESSAGES, **options: Any) -> Any:
    """The body of the request."""
    async with serving(speaking("x")) as server:
        _chunks, error = await read(ask(server, messages, **options))
    assert error is None
    return server.requests[0].json


# The request


async def test_a_request_says_what_is_set_and_nothing_more(monkeypatch):
    monkeypatch.setenv("MINE", SECRET)
    async with serving(speaking("x")) as server:
        await read(ask(server, anthropic_key="MINE", prompt_caching=False))

    [request] = server.requests
    assert request.line == "POST /v1/messages HTTP/1.1"
    assert request.json == {
        "model": MODEL,
        "system": "Be brief.",
        "messages": [{"role": "user", "content": "Capital of France?"}],
        "stream": True,
        "max_tokens": 32_000,
    }
    assert request.headers["x-api-key"] == SECRET
    assert request.headers["anthropic-version"] == "2023-06-01"
    assert request.headers["Accept-Encoding"] == "identity"


@pytest.mark.parametrize("ending", ["", "/", "/v1", "/v1/"])
async def test_a_base_url_works_with_and_without_its_version(ending):
    async with serving(speaking("x")) as server:
        (chunk, _usage), error = await read(ask(server.url + ending))

    assert (chunk, error) == ("x", None)


async def test_a_base_url_with_a_path_keeps_it():
    async with serving(streaming(reply("x"))) as server:
        await read(ask(f"{server.url}/anthropic"))

    assert server.requests[0].line == "POST /anthropic/v1/messages HTTP/1.1"


@pytest.mark.parametrize(
    ("url", "said"),
    [("http://h/v1/messages", "must not end in /messages"), ("http://h?key=1", "cannot have a ?query"), ("h", "base")],
)
async def test_an_address_that_is_none_is_refused_before_anything_is_sent(url, said):
    _chunks, error = await read(ask(url))

    assert type(error) is SettingError
    assert said in str(error)


async def test_roles_alternate_and_system_messages_are_one_field():
    body = await sent(
        [
            {"role": "system", "content": "A"},
            {"role": "user", "content": "1"},
            {"role": "user", "content": "2"},
            {"role": "assistant", "content": "3"},
            {"role": "system", "content": "B"},
            {"role": "assistant", "content": "4"},
            {"role": "user", "content": " "},
            {"role": "user", "content": "5"},
        ],
        prompt_caching=False,
    )

    assert [part["text"] for part in body["system"]] == ["A", "B"]
    assert [message["role"] for message in body["messages"]] == ["user", "assistant", "user"]
    assert [part["text"] for part in body["messages"][0]["content"]] == ["1", "2"]
    assert [part["text"] for part in body["messages"][1]["content"]] == ["3", "4"]
    assert body["messages"][2]["content"] == "5"


async def test_parameters_are_sent_under_their_names():
    body = await sent(
        temperature=1,
        top_p=0.5,
        top_k=3,
        stop="END",
        max_tokens=100,
        service_tier="auto",
        extra_body={"metadata": {"user_id": "me"}},
    )

    assert body["stop_sequences"] == ["END"]
    assert body["max_tokens"] == 100
    assert {name: body[name] for name in ("temperature", "top_p", "top_k", "service_tier", "metadata")} == {
        "temperature": 1,
        "top_p": 0.5,
        "top_k": 3,
        "service_tier": "auto",
        "metadata": {"user_id": "me"},
    }


@pytest.mark.parametrize(
    ("options", "thinking_field", "config"),
    [
        ({"reasoning_effort": "high"}, {"type": "adaptive", "display": "summarized"}, {"effort": "high"}),
        ({"reasoning_effort": "none"}, {"type": "disabled"}, None),
        ({"thinking": "adaptive"}, {"type": "adaptive", "display": "summarized"}, None),
        ({"thinking": "disabled", "reasoning_effort": "low"}, {"type": "disabled"}, {"effort": "low"}),
        ({"thinking": {"type": "between_tools"}}, {"type": "between_tools"}, None),
        ({"thinking_budget": 0}, {"type": "disabled"}, None),
        ({"thinking_budget": 2000}, {"type": "enabled", "budget_tokens": 2000, "display": "summarized"}, None),
        ({"extra_body": {"thinking": {"type": "disabled"}}}, {"type": "disabled"}, None),
        ({}, None, None),
    ],
)
async def test_reasoning_is_asked_for_in_the_words_of_the_api(options, thinking_field, config):
    body = await sent(**options)

    assert body.get("thinking") == thinking_field
    assert body.get("output_config") == config


async def test_a_large_budget_leaves_room_for_the_answer():
    assert (await sent(thinking_budget=30_000))["max_tokens"] == 38_192


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"temperature": 1.5}, "from 0 to 1, not 1.5"),
        ({"max_tokens": 0}, "at least 1"),
        ({"thinking_budget": 100}, "at least 1024"),
        ({"thinking_budget": 2048, "max_tokens": 2048}, "must be greater than thinking_budget"),
        ({"thinking": "adaptive", "thinking_budget": 2048}, "not both"),
        ({"thinking": 3}, "thinking is adaptive"),
        ({"extra_body": {"messages": []}}, "extra_body cannot set messages"),
        ({"extra_body": 3}, "extra_body is a mapping"),
        ({"stop": 3}, "stop must be"),
        ({"schema": 3}, "JSON Schema"),
    ],
)
async def test_a_parameter_that_claude_does_not_take_is_refused_before_anything_is_sent(options, said):
    _chunks, error = await read(ask(f"http://127.0.0.1:{closed_port()}", **options))

    assert type(error) is OptionError
    assert said in str(error)


@pytest.mark.parametrize(
    "messages", [[], [{"role": "system", "content": "A"}], [{"role": "user", "content": "  "}], [{"role": "tool"}]]
)
async def test_messages_without_a_prompt_are_refused_before_anything_is_sent(messages):
    _chunks, error = await read(ask(f"http://127.0.0.1:{closed_port()}", messages))

    assert type(error) is PromptError


async def test_a_model_has_to_be_named():
    _chunks, error = await read(ask("http://127.0.0.1:1", model=""))

    assert type(error) is ModelNotSupportedError
    assert "-m anthropic:" in str(error)


async def test_images_stand_before_the_text_as_data_or_as_an_address():
    picture = "data:image/png;base64,iVBORw0KGgo="
    body = await sent([{"role": "user", "content": "see", "images": [picture, "https://example.org/a.jpg"]}])

    assert body["messages"][0]["content"] == [
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}},
        {"type": "image", "source": {"type": "url", "url": "https://example.org/a.jpg"}},
        {"type": "text", "text": "see"},
    ]


async def test_a_schema_is_sent_closed_as_claude_requires_it():
    schema = {
        "type": "object",
        "properties": {"a": {"$ref": "#/$defs/A"}, "properties": {"type": "string", "enum": [{"properties": 1}]}},
        "$defs": {"A": {"type": "object", "properties": {}}, "Open": {"properties": {}, "additionalProperties": True}},
    }
    body = await sent(schema=schema, reasoning_effort="low")

    sent_schema = body["output_config"]["format"]["schema"]
    assert body["output_config"]["effort"] == "low"
    assert sent_schema["additionalProperties"] is False
    assert sent_schema["$defs"]["A"]["additionalProperties"] is False
    assert sent_schema["$defs"]["Open"]["additionalProperties"] is True
    assert sent_schema["properties"]["properties"] == {"type": "string", "enum": [{"properties": 1}]}
    assert "additionalProperties" not in schema


# Documents


def pdf(password: str = "") -> bytes:
    """A PDF file of one page."""
    writer, file = PdfWriter(), io.BytesIO()
    writer.add_blank_page(100, 100)
    if password:
        writer.encrypt(password)
    writer.write(file)
    return file.getvalue()


def document_of(content: bytes, title: str) -> dict[str, Any]:
    """The block of a document."""
    source = {"type": "base64", "media_type": "application/pdf", "data": b64encode(content).decode()}
    return {"type": "document", "source": source, "title": title, "citations": {"enabled": True}}


@pytest.mark.parametrize("shape", ["file", "input_file", "document", "images"])
async def test_a_document_in_a_message_is_sent_whole(shape):
    content = pdf()
    data = b64encode(content).decode()
    parts = {
        "file": {"file": {"filename": "a b.pdf", "file_data": f"data:application/pdf;base64,{data}"}},
        "input_file": {"filename": "a b.pdf", "file_data": data},
        "document": {"title": "a b.pdf", "source": {"type": "base64", "media_type": "application/pdf", "data": data}},
    }
    message = {"role": "user", "content": [{"type": "text", "text": "read"}, {"type": shape, **parts.get(shape, {})}]}
    if shape == "images":
        message = {"role": "user", "content": "read", "images": [document_url(content, "a b.pdf")]}
    body = await sent([message])

    assert body["messages"][0]["content"] == [document_of(content, "a b.pdf"), {"type": "text", "text": "read"}]


async def test_documents_are_not_cited_where_the_reply_is_json():
    body = await sent(
        [{"role": "user", "content": "read", "images": [document_url(pdf(), "a.pdf")]}],
        schema={"type": "object", "properties": {}},
    )

    assert "citations" not in body["messages"][0]["content"][0]


@pytest.mark.parametrize(
    "part",
    [
        {"type": "file"},
        {"type": "file", "file": {"file_id": "file-1"}},
        {"type": "input_file", "file_data": "no base64!"},
        {"type": "document", "source": {"type": "url", "url": "https://example.org/a.pdf"}},
    ],
)
async def test_a_document_without_its_data_is_refused_before_anything_is_sent(part):
    _chunks, error = await read(ask(f"http://127.0.0.1:{closed_port()}", [{"role": "user", "content": [part]}]))

    assert type(error) is PromptError
    assert "document" in str(error)


@pytest.fixture
def shell(tmp_path, monkeypatch) -> Iterator[Any]:
    """A kernel's shell in a folder with a PDF file and one that has a password."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "paper.pdf").write_bytes(pdf())
    (tmp_path / "locked.pdf").write_bytes(pdf("secret"))
    for kernel_shell in shells(KernelShell):
        kernel_shell.run_line_magic("load_ext", "flowgpt_magic")
        yield kernel_shell


def test_cells_ask_claude_about_a_file_and_go_on(shell, capsys):
    answer = streaming(start() + thinking("hm") + text("fine", number=1) + end())
    with background(answer) as server:
        shell.run_line_magic("config", f"FlowGPT.anthropic_base_url = '{server.url}'")
        model = f"-m anthropic:{MODEL}"
        shell.run_cell(f"%%flowgpt -a paper.pdf {model} --think low\nWhat does it say?").raise_error()
        shell.run_cell(f"%%flowgpt {model}\nAnd then?").raise_error()
        shell.run_cell("%flowgpt edit 1 What does it really say?").raise_error()
        shell.run_cell(f"%%flowgpt {model}\nAnd then?").raise_error()
        locked = shell.run_cell(f"%%flowgpt -a locked.pdf {model}\nAnd this?")

    first, second, third, fourth = (request.json["messages"] for request in server.requests)
    document = document_of(Path("paper.pdf").read_bytes(), "paper.pdf")
    for messages, prompt in ((first, "What does it say?"), (third, "What does it really say?")):
        assert messages[0]["content"][0] == document
        assert messages[0]["content"][1]["text"].startswith(prompt)
    for messages in (second, fourth):
        assert messages[0]["content"][0] == document
        assert messages[-2]["content"] == [
            {"type": "thinking", "thinking": "hm", "signature": "c2lnbmVk"},
            {"type": "text", "text": "fine", "cache_control": MARK},
        ]
    assert "locked.pdf is encrypted: save a copy without its password" in str(locked.error_in_exec)
    assert len(server.requests) == 4


def test_a_document_is_for_providers_that_take_one(tmp_path):
    (tmp_path / "paper.pdf").write_bytes(pdf())
    with background(streaming(reply("fine"))) as server, background(speaking_openai("fine")) as other:
        where = {"anthropic_base_url": server.url, "openai_base_url": f"{other.url}/v1", "history": "off"}
        talk = Conversation(model=f"anthropic:{MODEL}", **where)
        assert talk.ask("read", images=tmp_path / "paper.pdf").text == "fine"
        next_one = talk.ask("and?", model="openai_compatible:m")
        assert next_one.text == "fine"
        with pytest.raises(OptionError, match="openai_compatible takes no PDF documents"):
            talk.ask("read", images=tmp_path / "paper.pdf", model="openai_compatible:m")

        told = talk.ask("and?", model="echo").sent.unsent
    assert told == ("1 earlier document not sent: echo takes none",)
    assert other.requests[0].json["messages"][0]["content"] == "read\n\n[document paper.pdf]"
    assert next_one.sent.unsent == ("1 earlier document not sent: openai_compatible takes none",)


# The cache


def marks(body: Any) -> list[str]:
    """The texts of the blocks that are marked for the cache."""
    contents = [body.get("system"), *(message["content"] for message in body["messages"])]
    parts = [part for content in contents if isinstance(content, list) for part in content]
    return [part["text"] for part in parts if part.get("cache_control") == MARK]


async def test_the_stable_part_of_the_prompt_is_marked():
    history = [{"role": "user", "content": "1"}, {"role": "assistant", "content": "2"}]

    assert marks(await sent()) == ["Be brief."]
    assert marks(await sent([MESSAGES[0], *history, MESSAGES[1]])) == ["Be brief.", "2"]
    assert marks(await sent([MESSAGES[0], *history, MESSAGES[1]], prompt_caching=False)) == []
    assert marks(await sent([MESSAGES[1]])) == []


async def test_a_server_that_refuses_the_marks_gets_none_from_then_on():
    refuse = "system.0.cache_control: Extra inputs are not permitted"
    async with serving(in_turn(invalid(refuse), streaming(reply("x")))) as server:
        first, second = await read(ask(server)), await read(ask(server))

    assert (first[1], second[1]) == (None, None)
    assert [marks(request.json) for request in server.requests] == [["Be brief."], [], []]


async def test_the_second_turn_of_a_conversation_has_the_marks_and_the_counts_of_the_cache(tmp_path):
    counts = {"input_tokens": 9, "cache_read_input_tokens": 2000, "cache_creation_input_tokens": 50, "output_tokens": 1}
    answer = in_turn(streaming(reply("one")), streaming(start(counts), text("two"), end()))
    with background(answer) as server:
        talk = Conversation(
            model=f"anthropic:{MODEL}",
            anthropic_base_url=server.url,
            system="Be brief.",
            history=str(tmp_path / "h.db"),
        )
        assert talk.ask("first").text == "one"
        second = talk.ask("second")
        assert second.text == "two"

    assert marks(server.requests[1].json) == ["Be brief.", "one"]
    assert second.usage.prompt_tokens == 2059
    assert (second.usage.cached_tokens, second.usage.cache_write_tokens) == (2000, 50)


# Reasoning


async def test_reasoning_comes_before_the_text_and_its_parts_after_it():
    redacted = block(1, {"type": "redacted_thinking", "data": "b3BhcXVl"})
    stream = start() + thinking("Let ", "me") + redacted + text("Paris", number=2) + end()
    (*chunks, extras), _usage = await good(streaming(stream))

    assert chunks == ["Let ", "me", "Paris"]
    assert [type(chunk) for chunk in chunks] == [Reasoning, Reasoning, str]
    assert extras.reasoning == "Let me"
    assert extras.reasoning_parts == (
        {"type": "thinking", "thinking": "Let me", "signature": "c2lnbmVk"},
        {"type": "redacted_thinking", "data": "b3BhcXVl"},
    )


async def test_reasoning_that_the_server_omits_has_its_signature_still():
    (text_chunk, extras), _usage = await good(streaming(start() + thinking() + text("Paris", number=1) + end()))

    assert text_chunk == "Paris"
    assert extras.reasoning_parts == ({"type": "thinking", "thinking": "", "signature": "c2lnbmVk"},)


async def test_reasoning_without_a_signature_is_not_sent_back():
    (_reasoning, _text, extras), _usage = await good(
        streaming(start() + thinking("hm", signature="") + text("x", number=1) + end())
    )

    assert extras.reasoning == "hm"
    assert extras.reasoning_parts == ()


PARTS = [{"type": "thinking", "thinking": "hm", "signature": "c2ln"}, {"type": "redacted_thinking", "data": "eA=="}]
REASONED = [
    {"role": "user", "content": "1"},
    {"role": "assistant", "content": "2", "reasoning_parts": [*PARTS, {"type": "reasoning", "id": "of another"}]},
    {"role": "user", "content": "3"},
]


async def test_parts_of_the_reasoning_stand_before_the_text_of_their_turn():
    body = await sent(REASONED)

    assert body["messages"][1]["content"] == [*PARTS, {"type": "text", "text": "2", "cache_control": MARK}]


@pytest.mark.parametrize(
    "words",
    [
        "messages.1.content.0: Invalid `signature` in `thinking` block",
        "messages.1.content.0: `thinking` or `redacted_thinking` blocks cannot be modified",
    ],
)
async def test_a_signature_that_the_server_refuses_is_left_out_once_and_said(words):
    notices: list[str] = []
    with notices_to(notices.append):
        async with serving(in_turn(invalid(words), streaming(reply("x")))) as server:
            (chunk, _usage), error = await read(ask(server, REASONED))

    assert (chunk, error) == ("x", None)
    assert server.requests[1].json["messages"][1]["content"] == [{"type": "text", "text": "2", "cache_control": MARK}]
    assert notices == ["the reasoning of earlier turns was left out, because the server refuses its signature"]


async def test_a_server_that_refuses_for_ever_is_asked_twice():
    async with serving(invalid("Invalid `signature` in `thinking` block")) as server:
        _chunks, error = await read(ask(server, REASONED))

    assert type(error) is ProviderStatusError
    assert len(server.requests) == 2


async def test_a_reply_ends_with_the_assistants_words_without_their_reasoning():
    body = await sent([REASONED[0], {**REASONED[1], "content": "Paris is \n"}])

    assert body["messages"][-1] == {"role": "assistant", "content": "Paris is"}


@pytest.mark.parametrize(
    "words",
    [
        "adaptive thinking is not supported on this model",
        "thinking.type: Input should be 'enabled' or 'disabled'",
        "output_config.effort: Extra inputs are not permitted",
        "This model does not support the effort parameter.",
    ],
)
async def test_a_model_without_efforts_gets_a_number_of_tokens_from_then_on(words):
    async with serving(in_turn(invalid(words), streaming(reply("x")))) as server:
        first = await read(ask(server, reasoning_effort="medium"))
        second = await read(ask(server, reasoning_effort="medium"))

    assert (first[1], second[1]) == (None, None)
    for request in server.requests[1:]:
        assert request.json["thinking"] == {"type": "enabled", "budget_tokens": 8192, "display": "summarized"}
        assert "output_config" not in request.json
    assert len(server.requests) == 3


@pytest.mark.parametrize(("think", "effort"), [("high", "high"), ("off", "none")])
async def test_think_is_an_effort_and_a_model_that_refuses_it_names_it(think, effort):
    parameters = Anthropic.think_parameters(MODEL, think)
    assert parameters == {"reasoning_effort": effort}

    words = '"thinking.type.disabled" is not supported for this model.'
    if think == "off":
        async with serving(invalid(words)) as server:
            _chunks, error = await read(ask(server, **parameters))
        assert isinstance(error, ParameterRefusedError)
        assert error.parameter == "reasoning_effort"


async def test_a_model_without_budgets_says_what_to_use():
    words = '"thinking.type.enabled" is not supported for this model. Use "thinking.type.adaptive" and "output_config"'
    async with serving(invalid(words)) as server:
        _chunks, error = await read(ask(server, thinking_budget=2048))

    assert isinstance(error, ParameterRefusedError)
    assert error.parameter == "thinking_budget"
    assert "reasoning_effort=high" in str(error)


# Limits that the server names


async def test_a_model_that_writes_less_gets_the_largest_limit_it_names():
    words = "max_tokens: 32000 > 8192, which is the maximum allowed number of output tokens for claude-old"
    async with serving(in_turn(invalid(words), streaming(reply("x")))) as server:
        (chunk, _usage), error = await read(ask(server))

    assert (chunk, error) == ("x", None)
    assert server.requests[1].json["max_tokens"] == 8192


async def test_a_limit_that_the_user_gave_stays():
    words = "max_tokens: 9000 > 8192, which is the maximum allowed number of output tokens for claude-old"
    async with serving(invalid(words)) as server:
        _chunks, error = await read(ask(server, max_tokens=9000))

    assert isinstance(error, ParameterRefusedError)
    assert error.parameter == "max_tokens"
    assert len(server.requests) == 1


# The text


async def test_words_come_as_chunks_and_the_counts_at_the_end():
    details = {"output_tokens": 12, "output_tokens_details": {"thinking_tokens": 7}}
    stream = start({**USAGE_WITH_CACHE, "service_tier": "priority"}) + text("Pa", "ris") + end(usage=details)
    chunks, usage = await good(streaming(stream))

    assert chunks == ["Pa", "ris"]
    assert usage == Usage(
        prompt_tokens=60,
        completion_tokens=12,
        finish_reason="end_turn",
        reasoning_tokens=7,
        cached_tokens=20,
        cache_write_tokens=30,
        service_tier="priority",
        answered_by=MODEL,
    )


USAGE_WITH_CACHE = {
    "input_tokens": 10,
    "cache_read_input_tokens": 20,
    "cache_creation_input_tokens": 30,
    "output_tokens": 1,
}


@pytest.mark.parametrize("wrong", [-1, 10**15, "9", 1.5, True, None, [9]])
async def test_a_count_that_cannot_be_one_is_unknown(wrong):
    counts = {"input_tokens": wrong, "cache_read_input_tokens": wrong, "output_tokens": wrong}
    _chunks, usage = await good(streaming(start(counts) + text("x") + end(usage={"output_tokens": wrong})))

    assert (usage.prompt_tokens, usage.completion_tokens, usage.cached_tokens) == (None, None, None)


@given(places=st.lists(st.integers(0, 10_000), max_size=12))
@hypothesis_settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_it_is_the_same_wherever_the_network_cuts_it(places):
    stream = start() + thinking("é", "\U0001f600") + text("Pa", "\U0001f600", "ris", number=1) + end()
    chunks, _usage = await good(streaming(*cut(stream.replace(b"\n", b"\r\n"), places)))

    assert "".join(chunk for chunk in chunks if type(chunk) is str) == "Pa\U0001f600ris"


async def test_halves_of_an_emoji_in_two_events_are_one():
    halves = word("\ud83d") + word("\ude00")
    chunks, _usage = await good(
        streaming(
            start(), event("content_block_start", index=0, content_block={"type": "text", "text": ""}), halves, end()
        )
    )

    assert "".join(chunks) == "\U0001f600"


async def test_a_gateway_that_does_not_stream_is_read_too():
    blocks = [
        {"type": "thinking", "thinking": "hm", "signature": "c2ln"},
        {"type": "text", "text": "Paris", "citations": None},
    ]
    (chunk, extras), usage = await good(answering(whole(message(*blocks), Content_Type="application/json")))

    assert (chunk, extras.reasoning) == ("Paris", "hm")
    assert extras.reasoning_parts == ({"type": "thinking", "thinking": "hm", "signature": "c2ln"},)
    assert (usage.prompt_tokens, usage.completion_tokens, usage.finish_reason) == (9, 12, "end_turn")


async def test_unknown_events_and_blocks_do_no_harm():
    unknown = event("weather", index=0) + event("content_block_delta", index=7, delta={"type": "mood", "mood": 1})
    odd = block(1, {"type": "hologram", "beam": [1]}, {"type": "beam_delta", "beam": 2})
    stream = start() + unknown + text("a") + odd + b": comment\n\n" + b"data: [DONE]\n\n" + end()
    (chunk, extras), _usage = await good(streaming(stream))

    assert chunk == "a"
    assert extras.others == (("content of type hologram", [{"type": "hologram", "beam": [1]}]),)


async def test_blocks_of_the_servers_own_tools_part_the_text():
    used = block(1, {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}})
    found = block(2, {"type": "web_search_tool_result", "tool_use_id": "s", "content": []})
    chunks, _usage = await good(
        streaming(start() + text("Look.") + used + found + text("It", " is.", number=3) + end())
    )

    assert "".join(chunks) == "Look.\n\nIt is."


async def test_a_tool_that_nobody_offered_is_told_and_kept():
    pieces = [{"type": "input_json_delta", "partial_json": piece} for piece in ('{"city"', ': "Paris"}')]
    tool = block(1, {"type": "tool_use", "id": "t1", "name": "weather", "input": {}}, *pieces)
    notices: list[str] = []
    with notices_to(notices.append):
        (_chunk, extras), usage = await good(streaming(start() + text("x") + tool + end("tool_use")))

    function = {"name": "weather", "arguments": '{"city": "Paris"}'}
    assert extras.tool_calls == ({"id": "t1", "type": "function", "function": function},)
    assert usage.finish_reason == "tool_use"
    assert notices == ["the model called tools, which are not supported: weather"]


def page(number: int, end_number: int, title: str | None = "paper.pdf") -> dict[str, Any]:
    return {
        "type": "page_location",
        "cited_text": "…",
        "document_index": 0,
        "document_title": title,
        "start_page_number": number,
        "end_page_number": end_number,
    }


async def test_sources_are_numbered_where_the_text_cites_them():
    web = {"type": "web_search_result_location", "url": "https://example.org", "title": "Example", "cited_text": "…"}
    stream = (
        start()
        + text("Grass is green", citations=[page(1, 2)])
        + text(". Sky is ", "blue", number=1, citations=[page(3, 6), web])
        + text(" and green.\n", number=2, citations=[page(1, 2)])
        + end()
    )
    (*chunks, extras), _usage = await good(streaming(stream))

    assert "".join(chunks) == "Grass is green [1]. Sky is blue [2][3] and green.\n[1]"
    assert extras.citations == (
        Citation("", "paper.pdf, page 1", ("…",)),
        Citation("", "paper.pdf, pages 3 to 5", ("…",)),
        Citation("https://example.org", "Example", ("…",)),
    )


# The end of a reply


@pytest.mark.parametrize(
    ("reason", "said"),
    [
        ("end_turn", ""),
        ("stop_sequence", ""),
        ("max_tokens", "cut off at max_tokens = 32000; --max-tokens N (max_tokens) allows more"),
        ("model_context_window_exceeded", "context window"),
        ("pause_turn", "paused a long reply"),
        ("refusal", "the model refuses to go on"),
        ("boredom", "for an unknown reason, so it may be cut off: boredom"),
    ],
)
async def test_why_it_ended_is_told_where_it_is_not_the_end_of_the_answer(reason, said):
    notices: list[str] = []
    with notices_to(notices.append):
        chunks, usage = await good(streaming(reply("a", reason=reason)))

    assert chunks == ["a"]
    assert usage.finish_reason == reason
    assert len(notices) == bool(said)
    assert all(said in told for told in notices)


async def test_a_refusal_before_the_first_word_is_an_error_with_its_reason():
    details = {"type": "refusal", "category": "bio", "explanation": "Not this."}
    _chunks, error = await fail(ProviderError, streaming(start() + end("refusal", stop_details=details)))

    assert "refused to answer: bio: Not this." in error


async def test_an_empty_reply_is_told():
    notices: list[str] = []
    with notices_to(notices.append):
        chunks, _usage = await good(streaming(start() + end()))

    assert chunks == []
    assert "sent an empty reply" in notices[0]


@pytest.mark.parametrize(
    "stream",
    [b"", start(), start() + word("a"), start() + text("a"), start() + thinking("hm"), start() + word("a")[:-9]],
)
@pytest.mark.parametrize("ending", [END, b""])
async def test_a_stream_that_ends_without_its_end_is_cut_off(stream, ending):
    chunks, _error = await fail(StreamInterruptedError, answering(STREAM, framed(stream), ending))

    assert [chunk for chunk in chunks if type(chunk) is str] == (["a"] if b'"a"' in stream else [])


async def test_a_connection_that_breaks_after_the_end_has_lost_nothing():
    stream = start() + text("a") + end().partition(b"event: message_stop")[0]
    chunks, _usage = await good(resetting(STREAM, framed(stream)))

    assert chunks == ["a"]


async def test_a_failure_after_the_end_is_a_notice():
    notices: list[str] = []
    late = end().partition(b"event: message_stop")[0] + failure("overloaded_error", "Overloaded")
    with notices_to(notices.append):
        chunks, _usage = await good(streaming(start() + text("a") + late))

    assert chunks == ["a"]
    assert "reported a failure after the end of the reply: Overloaded" in notices[0]


async def test_reasoning_received_before_a_failure_is_kept():
    stream = start() + thinking("hm") + word("a", 1) + failure("api_error", "Internal server error")
    (*chunks, extras), error = await fail(ProviderStatusError, streaming(stream))

    assert chunks == ["hm", "a"]
    assert extras.reasoning_parts
    assert "Internal server error" in error


# Failures


@pytest.mark.parametrize(
    ("kind", "said", "status", "error_kind"),
    [
        ("overloaded_error", "Overloaded", 529, ProviderStatusError),
        ("api_error", "Internal server error", 500, ProviderStatusError),
        ("timeout_error", "Took too long", 504, ProviderStatusError),
        ("rate_limit_error", "Slow down", 429, RateLimitError),
        ("authentication_error", "invalid x-api-key", 401, AuthenticationError),
        ("permission_error", "not for you", 403, PermissionDeniedError),
    ],
)
@pytest.mark.parametrize("chunks_before", [[], ["a"]])
async def test_a_failure_in_the_stream_has_the_status_it_stands_for(kind, said, status, error_kind, chunks_before):
    stream = start() + b"".join(map(word, chunks_before)) + failure(kind, said) + word("b")
    async with serving(streaming(stream)) as server:
        chunks, error = await read(ask(server))

    assert type(error) is error_kind
    assert [chunk for chunk in chunks if type(chunk) is str] == chunks_before
    assert error.status == status
    assert said in str(error)


@pytest.mark.parametrize(
    ("status", "kind", "words", "error_kind", "said"),
    [
        (401, "authentication_error", "invalid x-api-key", AuthenticationError, "MINE"),
        (403, "permission_error", "not for you", PermissionDeniedError, "MINE"),
        (402, "billing_error", "pay", QuotaError, "quota or credit"),
        (400, "invalid_request_error", "Your credit balance is too low to access the API", QuotaError, "credit"),
        (404, "not_found_error", "model: claude-test-1", ModelNotFoundError, "%flowgpt models anthropic"),
        (413, "request_too_large", "Request exceeds the maximum size", ProviderStatusError, "smaller pictures"),
        (429, "rate_limit_error", "slow", RateLimitError, "wait 7"),
        (500, "api_error", "boom", ProviderStatusError, "boom"),
        (529, "overloaded_error", "Overloaded", ProviderStatusError, "529"),
        (
            400,
            "invalid_request_error",
            "prompt is too long: 208310 tokens > 200000 maximum",
            ContextLengthError,
            "200,000 tokens",
        ),
        (400, "invalid_request_error", "`temperature` is deprecated for this model.", ParameterRefusedError, "deprec"),
        (400, "invalid_request_error", "stop_sequences: each must contain non-whitespace", ProviderStatusError, "each"),
    ],
)
async def test_a_status_becomes_the_error_that_says_what_to_do(monkeypatch, status, kind, words, error_kind, said):
    monkeypatch.setenv("MINE", SECRET)
    answer = refusing(status, report(kind, words), Retry_After="7" if status == 429 else "")
    _chunks, error = await fail(error_kind, answer, anthropic_key="MINE", temperature=0.5, stop=[" "], max_tokens=5)

    assert said in error
    assert SECRET not in error


async def test_a_model_that_is_not_there_is_suggested():
    missing = refusing(404, report("not_found_error", "model: claude-tset-1"))
    listing = speaking(models=["claude-test-1", "other"])
    async with serving(in_turn(missing, listing)) as server:
        _chunks, error = await read(ask(server, model="claude-tset-1"))

    assert type(error) is ModelNotFoundError
    assert "Did you mean claude-test-1?" in str(error)


async def test_a_schema_that_the_model_does_not_take_is_an_error_of_its_own():
    words = "output_config.format.schema: For 'object' type, property 'minimum' is not supported"
    await fail(SchemaNotSupportedError, invalid(words), schema={"type": "object", "properties": {}})


@pytest.mark.parametrize(
    ("answer", "kind", "said"),
    [
        (answering(whole(b"<html><title>Hello</title></html>")), ProtocolError, "a web page: Hello"),
        (answering(whole(b"OK")), ProtocolError, "anthropic_base_url"),
        (answering(whole(b'{"object": "chat.completion", "choices": []}')), ProtocolError, "not of Claude's API"),
        (answering(whole(b'{"error": "boom"}')), ProviderError, "boom"),
        (streaming(start(), b"data: {oops}\n\n"), ProtocolError, "not JSON"),
        (streaming(start(), event("content_block_delta", index=0)), ProtocolError, "not of Claude's API"),
        (streaming(start(), word(3)), ProtocolError, "not of Claude's API"),  # type: ignore[arg-type]
        (streaming(b"data: " + b"x" * 3000), ProtocolError, "longer than 1024 bytes"),
        (answering(head(200, Content_Length="99") + b"{"), StreamInterruptedError, "before the reply was complete"),
        (resetting(STREAM, framed(start())), StreamInterruptedError, ""),
        (resetting(), StreamInterruptedError, ""),
        (stalling(STREAM, framed(start())), ProviderTimeoutError, "silent for 0.05 s"),
        (refusing(404, "404 page not found", Content_Type="text/plain"), ProviderStatusError, "anthropic_base_url"),
    ],
)
async def test_a_server_that_misbehaves_is_one_clear_error(answer, kind, said):
    limit = 0.05 if kind is ProviderTimeoutError else 5
    _chunks, error = await fail(kind, answer, line_limit=1024, read_timeout=limit)

    assert said in error


async def test_a_server_that_does_not_run_is_named():
    port = closed_port()
    _chunks, error = await read(ask(f"http://127.0.0.1:{port}"))

    assert type(error) is ProviderConnectionError
    assert f"127.0.0.1:{port}" in str(error)
    assert "anthropic_base_url" in str(error)


async def test_an_overloaded_server_is_asked_again_before_the_first_chunk():
    busy = streaming(failure("overloaded_error", "Overloaded"))
    with background(in_turn(busy, streaming(reply("fine")))) as server:
        said = Conversation(model=f"anthropic:{MODEL}", anthropic_base_url=server.url, history="off").ask("hi")

        assert said.text == "fine"
    assert "asked again after it answered 529" in said.notices


async def test_a_parameter_from_the_settings_that_the_model_refuses_is_left_out():
    with background(
        in_turn(invalid("`temperature` is deprecated for this model."), streaming(reply("fine")))
    ) as server:
        talk = Conversation(model=f"anthropic:{MODEL}", anthropic_base_url=server.url, history="off", temperature=0.5)
        said = talk.ask("hi")

        assert said.text == "fine"
    assert "temperature" not in server.requests[1].json


async def test_an_id_in_the_headers_names_the_request():
    async def answer(request, connection):
        await connection.send(STREAM[:-2] + b"request-id: req_7\r\n\r\n", framed(reply("a")), END)

    (_chunk, extras), _usage = await good(answer)

    assert extras.request_id == "req_7"


# Keys


def server_of(environ: dict[str, str], **options: Any) -> Any:
    return Anthropic.find_server(load(options, environ=environ))


def test_anthropics_own_server_gets_the_key_it_is_known_for():
    assert server_of({}).key_name == "ANTHROPIC_API_KEY"
    assert str(server_of({}).url) == "https://api.anthropic.com/v1"


@pytest.mark.parametrize("url", ["https://gateway.example", "http://api.anthropic.com", "https://evil-anthropic.com"])
def test_no_other_server_gets_that_key(url):
    assert server_of({}, anthropic_base_url=url).key_name == ""


def test_a_server_that_the_environment_names_gets_the_key_beside_it(monkeypatch):
    environ = {"ANTHROPIC_BASE_URL": "https://gateway.example", "ANTHROPIC_API_KEY": SECRET}
    monkeypatch.setenv("ANTHROPIC_BASE_URL", environ["ANTHROPIC_BASE_URL"])

    assert str(server_of(environ).url) == "https://gateway.example/v1"
    assert server_of(environ).key_name == "ANTHROPIC_API_KEY"
    # That key is the gateway's: neither Anthropic's server nor another one gets it.
    for url in ("https://api.anthropic.com", "https://other.example"):
        assert server_of(environ, anthropic_base_url=url).key_name == ""


def test_a_key_named_for_one_server_is_not_sent_to_another():
    environ = {"FLOWGPT_ANTHROPIC_BASE_URL": "https://gateway.example", "FLOWGPT_ANTHROPIC_KEY": "GATEWAY_KEY"}

    assert server_of(environ).key_name == "GATEWAY_KEY"
    assert server_of(environ, anthropic_base_url="https://other.example").key_name == ""
    assert load({}, environ=environ).openai_key == ""


async def test_a_key_that_is_missing_is_named_before_anything_is_sent():
    _chunks, error = await read(ask("https://api.anthropic.com"))

    assert type(error) is MissingKeyError
    assert "ANTHROPIC_API_KEY" in str(error)
    assert "anthropic_key" in str(error)
    assert Anthropic.would_answer(Settings()).startswith("no: the environment variable ANTHROPIC_API_KEY")


async def test_a_gateway_gets_the_key_as_a_bearer_token_too(monkeypatch):
    monkeypatch.setenv("MINE", SECRET)
    async with serving(speaking("x", key=SECRET)) as server:
        await read(ask(server, anthropic_key="MINE"))

    assert server.requests[0].headers["Authorization"] == f"Bearer {SECRET}"


@pytest.mark.parametrize(
    "answer",
    [
        refusing(500, report("api_error", f"you said Bearer {SECRET}")),
        refusing(401, report("authentication_error", f"wrong key {SECRET}")),
        streaming(failure("api_error", f"you said {SECRET}")),
        streaming(b"data: you said %s\n\n" % SECRET.encode()),
        answering(whole(b"<html>you said %s</html>" % SECRET.encode())),
    ],
)
async def test_a_key_that_a_server_repeats_is_not_shown(monkeypatch, answer):
    monkeypatch.setenv("MINE", SECRET)
    async with serving(answer) as server:
        _chunks, error = await read(ask(server, anthropic_key="MINE"))

    assert SECRET not in "".join(traceback.format_exception(error))


async def test_an_alias_has_its_server_key_and_headers(monkeypatch):
    monkeypatch.setenv("GATEWAY_KEY", SECRET)
    monkeypatch.setenv("ANTHROPIC_API_KEY", "never-sent")
    with background(speaking("x", key=SECRET)) as server:
        alias = Alias(
            "claude",
            f"anthropic:{MODEL}",
            base_url=server.url,
            key_variable="GATEWAY_KEY",
            extra_headers={"X-Team": "a"},
        )
        aliases.save(alias)
        said = Conversation(model="claude", history="off").ask("hi")
        assert said.text == "x"

    headers = server.requests[0].headers
    assert headers["X-Team"] == "a"
    assert "never-sent" not in str(headers)


async def test_headers_set_for_the_openai_compatible_server_are_not_sent_here(monkeypatch):
    monkeypatch.setenv("FLOWGPT_EXTRA_HEADERS", json.dumps({"X-Team": "openai"}))
    with background(speaking("x")) as server:
        talk = Conversation(model=f"anthropic:{MODEL}", anthropic_base_url=server.url, history="off")
        assert talk.ask("hi").text == "x"
        assert talk.ask("hi", extra_headers={"anthropic-beta": "b", "anthropic-version": "2026-10-21"}).text == "x"
        await read(ask(server))

    first, second, third = (request.headers for request in server.requests)
    assert "X-Team" not in {*first, *second, *third}
    assert (second["anthropic-beta"], second["anthropic-version"]) == ("b", "2026-10-21")


# Leaving, and the models


async def test_leaving_early_closes_the_connection():
    async with serving(stalling(STREAM, framed(start() + word("a")))) as server:
        chunks = ask(server)
        assert await anext(chunks) == "a"

        await chunks.aclose()

        await asyncio.wait_for(server.gone.wait(), PROMPT)


async def test_the_models_come_page_by_page_with_their_contexts(monkeypatch):
    monkeypatch.setenv("MINE", SECRET)
    names = ["claude-a", "claude-b", "claude-c", "claude-d", "claude-e"]
    async with serving(speaking(models=names, key=SECRET)) as server:
        models = await Anthropic.list_models(anthropic_base_url=server.url, anthropic_key="MINE")

    assert models == names
    assert models[0].context_length == 200_000  # type: ignore[attr-defined]
    assert [re.sub(r".*limit=1000", "", request.line) for request in server.requests] == [
        " HTTP/1.1",
        "&after_id=claude-b HTTP/1.1",
        "&after_id=claude-d HTTP/1.1",
    ]


async def test_a_list_that_never_ends_is_read_once():
    listed = json.dumps({"data": [{"id": "a"}], "has_more": True, "last_id": "a"}).encode()
    async with serving(answering(whole(listed))) as server:
        assert await Anthropic.list_models(anthropic_base_url=server.url) == ["a"]

    assert len(server.requests) == 2


async def test_a_server_that_lists_no_models_says_so():
    async with serving(speaking(models=[])) as server:
        with pytest.raises(ProviderError, match="lists no models; use one that it has with -m anthropic:MODEL"):
            await Anthropic.list_models(anthropic_base_url=server.url)


# The contract


def test_each_parameter_is_documented():
    documented = re.findall(r"^ {4}(\w+|\*\*kwargs):", inspect.getdoc(Anthropic.create_async_generator) or "", re.M)

    assert documented == [
        f"**{name}" if name == "kwargs" else name
        for name in inspect.signature(Anthropic.create_async_generator).parameters
    ]


async def test_it_keeps_the_contract_of_a_provider():
    async def answer(request, connection):
        words = ['{"count": ', "3}"] if b"json_schema" in request.body else ["one ", "two"]
        await speaking(*words)(request, connection)

    async with serving(answer) as server:
        where = {"model": MODEL, "anthropic_base_url": server.url}
        kept = await asyncio.to_thread(check_provider, Anthropic, name="anthropic", **where)

    assert kept

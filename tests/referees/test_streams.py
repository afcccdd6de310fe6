"""The makers' own clients make the same of a stream as we do: its text, reasoning, counts and errors.

The streams have the shapes that the makers document. Where a client makes something else of one, the table says what.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from typing import Any

import anthropic
import httpx
import openai
import pytest

from flowgpt_magic.providers.anthropic import Anthropic
from flowgpt_magic.providers.openai_compatible import OpenAICompatible
from tests import anthropic_servers as claude
from tests import openai_servers as chat
from tests import responses_servers as responses
from tests.referees.comparing import Made, both
from tests.servers import Answer

pytestmark = pytest.mark.filterwarnings("ignore::flowgpt_magic.errors.FlowGptWarning")

MESSAGES = [{"role": "user", "content": "Capital of France?"}]
CUT = "the client takes a stream that only stops for a whole reply; we say that it was cut off"
LEFT = "the client leaves a failure in the stream to its user, as an event; we raise its error"
LATER = "the client shows deltas only; we also take text that only the whole item has"


@dataclass(frozen=True)
class Stream:
    """A stream; ``differs`` says in which fields the clients differ, and why."""

    name: str
    answer: Answer
    differs: dict[str, str] = field(default_factory=dict)

    def __repr__(self) -> str:
        return self.name


def stream(name: str, *events: bytes, **differs: str) -> Stream:
    return Stream(name, chat.streaming(*events), differs)


def refused(name: str, status: int, error: Any) -> Stream:
    return Stream(name, chat.refusing(status, error))


def status_of(error: Exception) -> int | str:
    """The HTTP status of an error; ``failed`` for one in a reply that began well."""
    status = getattr(error, "status_code", None) or 0
    return status if status >= 400 else "failed"


# Chat completions


def last(**more: Any) -> bytes:
    return chat.chunk(reason="stop") + chat.event(choices=[], usage={**chat.USAGE, **more}) + chat.DONE


def deltas(**delta: Any) -> bytes:
    return chat.chunk(**delta)


WORDS = ["Par", "is ", "is ", "the ", "capital ", "of ", "Fran\u00e7e", " \U0001f1eb\U0001f1f7", "\n\n", "* a\n"]
DETAILS = {"completion_tokens_details": {"reasoning_tokens": 5}, "prompt_tokens_details": {"cached_tokens": 4}}
OPENAI_ERRORS = [
    (400, {"error": {"message": "bad", "type": "invalid_request_error", "param": None, "code": None}}),
    (401, {"error": {"message": "Incorrect API key", "type": "invalid_request_error", "code": "invalid_api_key"}}),
    (403, {"error": {"message": "no", "type": "permission_error"}}),
    (404, {"error": {"message": "The model does not exist", "code": "model_not_found"}}),
    (429, {"error": {"message": "slow down", "code": "rate_limit_exceeded"}}),
    (500, {"error": {"message": "boom", "type": "server_error"}}),
    (503, {"error": {"message": "overloaded"}}),
]
CHAT = [
    stream("one word", chat.reply("Paris.")),
    stream("many words", chat.reply(*WORDS)),
    stream("a hundred words", chat.reply(*(f"word{number} " for number in range(100)))),
    stream("an empty first delta", deltas(role="assistant", text=""), deltas(text="x"), last()),
    stream("an empty reply", chat.reply()),
    stream("counts of all kinds", deltas(text="x"), last(**DETAILS)),
    stream("no counts", deltas(text="x"), chat.chunk(reason="stop"), chat.DONE),
    stream(
        "reasoning first", deltas(reasoning_content="why "), deltas(reasoning_content="not"), deltas(text="x"), last()
    ),
    stream("reasoning under its other name", deltas(reasoning="why"), deltas(text="x"), last()),
    stream("a refusal", deltas(refusal="No."), last()),
    stream("the limit", deltas(text="x"), chat.chunk(reason="length"), chat.DONE),
    stream("the content filter", deltas(text="x"), chat.chunk(reason="content_filter"), chat.DONE),
    stream("a comment as a keep-alive", b": ping\n\n", deltas(text="x"), b": ping\n\n", last()),
    stream("line ends of Windows", chat.reply("a", "b").replace(b"\n", b"\r\n")),
    stream("no space after the colon", chat.reply("a", "b").replace(b"data: ", b"data:")),
    stream("cut at every event", *(event + b"\n\n" for event in chat.reply("a", "b").split(b"\n\n") if event)),
    stream("no end", deltas(text="Par"), error=CUT),
    stream("only [DONE] at the end", deltas(text="Paris."), chat.DONE),
    stream(
        "an error in the stream",
        deltas(text="Par"),
        b'data: {"error": {"message": "boom", "type": "server_error", "code": null}}\n\n',
    ),
    *(refused(f"status {status}", status, error) for status, error in OPENAI_ERRORS),
]


async def with_openai_chat(url: str, made: Made) -> None:
    async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="nobody", max_retries=0) as client:
        try:
            options: dict[str, Any] = {"stream": True, "stream_options": {"include_usage": True}}
            async for found in await client.chat.completions.create(model="m", messages=MESSAGES, **options):
                for choice in found.choices:
                    delta = choice.delta
                    made.text += (delta.content or "") + (delta.refusal or "")
                    made.reasoning += getattr(delta, "reasoning_content", None) or getattr(delta, "reasoning", "") or ""
                if found.usage:
                    read, written = found.usage.prompt_tokens_details, found.usage.completion_tokens_details
                    made.counts = {
                        "prompt_tokens": found.usage.prompt_tokens,
                        "completion_tokens": found.usage.completion_tokens,
                        "reasoning_tokens": written and written.reasoning_tokens,
                        "cached_tokens": read and read.cached_tokens,
                    }
        except (openai.APIError, httpx.HTTPError) as error:
            made.error = status_of(error)


def ask_chat(url: str) -> AsyncGenerator[Any, None]:
    return OpenAICompatible.create_async_generator("m", MESSAGES, openai_base_url=f"{url}/v1", openai_api="chat")


# Responses

ITEM = responses.thoughts("why")
RESPONSES = [
    stream("one word", responses.reply("Paris.")),
    stream("many words", responses.reply(*WORDS)),
    stream("a hundred words", responses.reply(*(f"word{number} " for number in range(100)))),
    stream("an empty reply", responses.start() + responses.end()),
    stream(
        "a summary of reasoning",
        responses.start() + responses.thought("why ") + responses.thought("not"),
        responses.item_done(responses.thoughts("why not")),
        responses.word("x", 1) + responses.end("completed", responses.thoughts("why not"), responses.message("x")),
    ),
    stream(
        "raw reasoning",
        responses.start(),
        responses.event("response.reasoning_text.delta", item_id="r", output_index=0, content_index=0, delta="why"),
        responses.word("x", 1) + responses.end("completed", responses.message("x")),
    ),
    stream(
        "a refusal",
        responses.start(),
        responses.event("response.refusal.delta", item_id="m1", output_index=0, content_index=0, delta="No."),
        responses.end(),
    ),
    stream(
        "the limit",
        responses.start() + responses.word("Par"),
        responses.end("incomplete", incomplete_details={"reason": "max_output_tokens"}),
    ),
    stream(
        "the content filter",
        responses.start() + responses.word("Par"),
        responses.end("incomplete", incomplete_details={"reason": "content_filter"}),
    ),
    stream("no counts", responses.start() + responses.word("x") + responses.end("completed", usage=None)),
    stream(
        "unknown events",
        responses.start() + responses.event("response.new_thing.delta", delta="?"),
        responses.word("x"),
        responses.end(),
    ),
    stream(
        "obfuscated", responses.start(), *(responses.word(word, obfuscation="abc") for word in WORDS), responses.end()
    ),
    stream(
        "text in the whole item only",
        responses.start() + responses.end("completed", responses.message("x")),
        text=LATER,
    ),
    stream("a comment as a keep-alive", b": ping\n\n", responses.reply("x")),
    stream("line ends of Windows", responses.reply("a", "b").replace(b"\n", b"\r\n")),
    stream("no end", responses.start() + responses.word("Par"), error=CUT),
    stream(
        "a failed response",
        responses.start() + responses.word("Par"),
        responses.end("failed", error={"code": "server_error", "message": "boom"}),
        error=LEFT,
    ),
    stream(
        "an error in the stream",
        responses.start()
        + responses.word("Par")
        + responses.event("error", code="server_error", message="boom", param=None),
        error=LEFT,
    ),
    *(refused(f"status {status}", status, error) for status, error in OPENAI_ERRORS if status != 404),
]


async def with_openai_responses(url: str, made: Made) -> None:
    async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="nobody", max_retries=0) as client:
        try:
            async for found in await client.responses.create(model="m", input=MESSAGES, stream=True):
                if found.type in ("response.output_text.delta", "response.refusal.delta"):
                    made.text += found.delta
                elif found.type in ("response.reasoning_summary_text.delta", "response.reasoning_text.delta"):
                    made.reasoning += found.delta
                elif found.type in ("response.completed", "response.incomplete") and found.response.usage:
                    usage = found.response.usage
                    made.counts = {
                        "prompt_tokens": usage.input_tokens,
                        "completion_tokens": usage.output_tokens,
                        "reasoning_tokens": usage.output_tokens_details.reasoning_tokens,
                        "cached_tokens": usage.input_tokens_details.cached_tokens,
                    }
        except (openai.APIError, httpx.HTTPError) as error:
            made.error = status_of(error)


def ask_responses(url: str) -> AsyncGenerator[Any, None]:
    options = {"openai_base_url": f"{url}/v1", "openai_api": "responses"}
    return OpenAICompatible.create_async_generator("m", MESSAGES, **options)


# Messages

CACHE = {"input_tokens": 9, "cache_creation_input_tokens": 3, "cache_read_input_tokens": 4, "output_tokens": 1}
CLAUDE_ERRORS = [
    (400, "invalid_request_error"),
    (401, "authentication_error"),
    (403, "permission_error"),
    (413, "request_too_large"),
    (429, "rate_limit_error"),
    (500, "api_error"),
    (529, "overloaded_error"),
]
CLAUDE = [
    stream("one word", claude.reply("Paris.")),
    stream("many words", claude.reply(*WORDS)),
    stream("a hundred words", claude.reply(*(f"word{number} " for number in range(100)))),
    stream("an empty reply", claude.start() + claude.end()),
    stream(
        "thinking first", claude.start() + claude.thinking("why ", "not") + claude.text("x", number=1) + claude.end()
    ),
    stream("thinking without its text", claude.start() + claude.thinking() + claude.text("x", number=1) + claude.end()),
    stream("counts of the cache", claude.start(CACHE) + claude.text("x") + claude.end()),
    stream(
        "counts at the end only",
        claude.start({"input_tokens": 0, "output_tokens": 0})
        + claude.text("x")
        + claude.end(usage={"input_tokens": 7, "output_tokens": 3}),
    ),
    stream("the limit", claude.start() + claude.text("x") + claude.end("max_tokens")),
    stream("a stop sequence", claude.start() + claude.text("x") + claude.end("stop_sequence", stop_sequence="END")),
    stream(
        "pings everywhere",
        claude.start() + claude.event("ping") + claude.text("x") + claude.event("ping") + claude.end(),
    ),
    stream("unknown events", claude.start() + claude.event("new_thing", a=1) + claude.text("x") + claude.end()),
    stream("two blocks of text", claude.start() + claude.text("a") + claude.text("b", number=1) + claude.end()),
    stream("line ends of Windows", claude.reply("a", "b").replace(b"\n", b"\r\n")),
    stream("cut at every event", *(event + b"\n\n" for event in claude.reply("a", "b").split(b"\n\n") if event)),
    stream("no end", claude.start() + claude.text("Par"), error=CUT),
    stream(
        "overloaded in mid-stream",
        claude.start() + claude.text("Par") + claude.failure("overloaded_error", "Overloaded"),
    ),
    *(refused(f"status {status}", status, claude.report(kind, "no")) for status, kind in CLAUDE_ERRORS),
]


async def with_anthropic(url: str, made: Made) -> None:
    async with anthropic.AsyncAnthropic(base_url=url, api_key="nobody", max_retries=0) as client:
        try:
            async with client.messages.stream(model="m", messages=MESSAGES, max_tokens=99) as found:
                async for event in found:
                    if event.type == "content_block_delta" and event.delta.type == "text_delta":
                        made.text += event.delta.text
                    elif event.type == "content_block_delta" and event.delta.type == "thinking_delta":
                        made.reasoning += event.delta.thinking
                usage = (await found.get_final_message()).usage
                read, written = usage.cache_read_input_tokens, usage.cache_creation_input_tokens
                made.counts = {
                    "prompt_tokens": usage.input_tokens + (read or 0) + (written or 0),
                    "completion_tokens": usage.output_tokens,
                    "reasoning_tokens": None,
                    "cached_tokens": read,
                }
        except (anthropic.APIError, httpx.HTTPError) as error:
            made.error = status_of(error)


def ask_claude(url: str) -> AsyncGenerator[Any, None]:
    return Anthropic.create_async_generator("m", MESSAGES, anthropic_base_url=url, max_tokens=99)


def check(case: Stream, own: Made, other: Made) -> None:
    """Nothing differs but what the table explains."""
    known = {name: count for name, count in own.counts.items() if count is not None}
    theirs = {name: count for name, count in other.counts.items() if count is not None}
    same = {
        "text": own.text == other.text,
        "reasoning": own.reasoning == other.reasoning,
        "counts": known == theirs or bool(own.error),
        "error": own.error == other.error or bool(own.error and other.error == "failed"),
    }
    assert {name for name, is_same in same.items() if not is_same} == set(case.differs), (own, other)


@pytest.mark.parametrize("case", CHAT, ids=repr)
async def test_a_chat_completion_is_read_as_the_openai_client_reads_it(case):
    check(case, *await both(case.answer, ask_chat, with_openai_chat))


@pytest.mark.parametrize("case", RESPONSES, ids=repr)
async def test_a_response_is_read_as_the_openai_client_reads_it(case):
    check(case, *await both(case.answer, ask_responses, with_openai_responses))


@pytest.mark.parametrize("case", CLAUDE, ids=repr)
async def test_a_message_is_read_as_the_anthropic_client_reads_it(case):
    check(case, *await both(case.answer, ask_claude, with_anthropic))


def test_there_are_sixty_streams():
    assert len([*CHAT, *RESPONSES, *CLAUDE]) >= 60

"""The makers' own clients send the same requests as we do, field by field; where they do not, the table says why."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import anthropic
import openai
import pydantic
import pytest

from flowgpt_magic.providers.anthropic import Anthropic
from flowgpt_magic.providers.openai_compatible import OpenAICompatible
from flowgpt_magic.replies.schema import schema_of
from tests import anthropic_servers, openai_servers, responses_servers
from tests.referees.comparing import both, differences, plain

pytestmark = pytest.mark.filterwarnings("ignore::flowgpt_magic.errors.FlowGptWarning")

PNG = "data:image/png;base64,iVBORw0KGgo="
ADDRESS = "https://example.org/a.jpg"
PDF = "JVBERi0xLjQK"
USER = {"role": "user", "content": "Capital of France?"}
SYSTEM = {"role": "system", "content": "Be brief."}
TALK = [USER, {"role": "assistant", "content": "Paris."}, {"role": "user", "content": "And of Italy?"}]


class City(pydantic.BaseModel):
    """A city."""

    name: str
    people: int


SCHEMA = schema_of(City).json_schema
# What we send in every request, and the makers' clients only if they are told to.
USAGE_TOO = "without it no counts come: stream_options.include_usage"
STATELESS = "nothing is stored by the server, and reasoning comes back encrypted: store, include"
ALWAYS = {
    "chat": {"stream_options": USAGE_TOO},
    "responses": {"store": STATELESS, "include": STATELESS},
    "messages": {},
}


@dataclass(frozen=True)
class Call:
    """One call: our messages and options, and the arguments of the maker's client. ``why`` explains differences."""

    name: str
    messages: list[dict[str, Any]]
    options: dict[str, Any]
    theirs: dict[str, Any]
    why: dict[str, str] = field(default_factory=dict)

    def __repr__(self) -> str:
        return self.name


def image_part(url: str, **more: Any) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": url, **more}}


def input_image(url: str) -> dict[str, Any]:
    return {"type": "input_image", "image_url": url, "detail": "auto"}


SUMMARY = "a summary of the reasoning is asked for, to show it"
CHAT = [
    Call("a prompt", [USER], {}, {"messages": [USER]}),
    Call("a system prompt", [SYSTEM, USER], {}, {"messages": [SYSTEM, USER]}),
    Call("a conversation", TALK, {}, {"messages": TALK}),
    Call("temperature", [USER], {"temperature": 0.5}, {"messages": [USER], "temperature": 0.5}),
    Call("top_p and seed", [USER], {"top_p": 0.1, "seed": 3}, {"messages": [USER], "top_p": 0.1, "seed": 3}),
    Call("a limit", [USER], {"max_tokens": 9}, {"messages": [USER], "max_tokens": 9}),
    Call("the newer limit", [USER], {"max_completion_tokens": 9}, {"messages": [USER], "max_completion_tokens": 9}),
    Call("one stop", [USER], {"stop": "END"}, {"messages": [USER], "stop": ["END"]}),
    Call("several stops", [USER], {"stop": ["A", "B"]}, {"messages": [USER], "stop": ["A", "B"]}),
    Call(
        "penalties",
        [USER],
        {"presence_penalty": 1, "frequency_penalty": 0.5},
        {"messages": [USER], "presence_penalty": 1, "frequency_penalty": 0.5},
    ),
    Call("logit bias", [USER], {"logit_bias": {"50256": -100}}, {"messages": [USER], "logit_bias": {"50256": -100}}),
    Call("effort", [USER], {"reasoning_effort": "high"}, {"messages": [USER], "reasoning_effort": "high"}),
    Call("verbosity", [USER], {"verbosity": "low"}, {"messages": [USER], "verbosity": "low"}),
    Call("a tier", [USER], {"service_tier": "flex"}, {"messages": [USER], "service_tier": "flex"}),
    Call("further fields", [USER], {"extra_body": {"top_k": 4}}, {"messages": [USER], "extra_body": {"top_k": 4}}),
    Call(
        "an image as data",
        [{"role": "user", "content": "see", "images": [PNG]}],
        {},
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "see"}, image_part(PNG)]}]},
    ),
    Call(
        "an image by its address",
        [{"role": "user", "content": "see", "images": [ADDRESS]}],
        {},
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "see"}, image_part(ADDRESS)]}]},
    ),
    Call(
        "JSON",
        [USER],
        {"response_format": {"type": "json_object"}},
        {"messages": [USER], "response_format": {"type": "json_object"}},
    ),
]
FORMAT = {"type": "json_schema", "name": "City", "strict": True}
RESPONSES = [
    Call("a prompt", [USER], {}, {"input": [USER]}),
    Call("a system prompt", [SYSTEM, USER], {}, {"input": [SYSTEM, USER]}),
    Call("a conversation", TALK, {}, {"input": TALK}),
    Call("a limit", [USER], {"max_tokens": 9}, {"input": [USER], "max_output_tokens": 9}),
    Call("temperature", [USER], {"temperature": 0.5}, {"input": [USER], "temperature": 0.5}),
    Call("top_p", [USER], {"top_p": 0.1}, {"input": [USER], "top_p": 0.1}),
    Call(
        "effort",
        [USER],
        {"reasoning_effort": "high"},
        {"input": [USER], "reasoning": {"effort": "high"}},
        {"reasoning.summary": SUMMARY},
    ),
    Call("no effort", [USER], {"reasoning_effort": "none"}, {"input": [USER], "reasoning": {"effort": "none"}}),
    Call("verbosity", [USER], {"verbosity": "low"}, {"input": [USER], "text": {"verbosity": "low"}}),
    Call("a tier", [USER], {"service_tier": "flex"}, {"input": [USER], "service_tier": "flex"}),
    Call("further fields", [USER], {"extra_body": {"truncation": "auto"}}, {"input": [USER], "truncation": "auto"}),
    Call(
        "an image as data",
        [{"role": "user", "content": "see", "images": [PNG]}],
        {},
        {"input": [{"role": "user", "content": [{"type": "input_text", "text": "see"}, input_image(PNG)]}]},
    ),
    Call(
        "an image by its address",
        [{"role": "user", "content": "see", "images": [ADDRESS]}],
        {},
        {"input": [{"role": "user", "content": [{"type": "input_text", "text": "see"}, input_image(ADDRESS)]}]},
    ),
    Call(
        "JSON",
        [USER],
        {"response_format": {"type": "json_object"}},
        {"input": [USER], "text": {"format": {"type": "json_object"}}},
    ),
    Call(
        "reasoning of an earlier turn",
        [USER, {**TALK[1], "reasoning_parts": [responses_servers.thoughts("why")]}, TALK[2]],
        {},
        {"input": [USER, responses_servers.thoughts("why"), TALK[1], TALK[2]]},
    ),
]
LIMITED = {"max_tokens": 1000}
UNMARKED = {"prompt_caching": False, **LIMITED}
SOURCE = {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}
MARK = {"cache_control": {"type": "ephemeral"}}


def marked(text: str) -> list[dict[str, Any]]:
    """A text at whose end the cached part of the prompt ends."""
    return [{"type": "text", "text": text, **MARK}]


MARKED_TALK = [USER, {"role": "assistant", "content": marked("Paris.")}, TALK[2]]
DOCUMENT = {"type": "base64", "media_type": "application/pdf", "data": PDF}
SHOWN = "a summary of the thinking is asked for, to show it"
MESSAGES = [
    Call("a prompt", [USER], UNMARKED, {"messages": [USER], **LIMITED}),
    Call("a system prompt", [SYSTEM, USER], UNMARKED, {"system": "Be brief.", "messages": [USER], **LIMITED}),
    Call("a conversation", TALK, UNMARKED, {"messages": TALK, **LIMITED}),
    Call(
        "a conversation for the cache",
        [SYSTEM, *TALK],
        LIMITED,
        {"system": marked("Be brief."), "messages": MARKED_TALK, **LIMITED},
    ),
    Call(
        "temperature",
        [USER],
        {"temperature": 0.5, **UNMARKED},
        {"messages": [USER], "extra_body": {"temperature": 0.5}, **LIMITED},
    ),
    Call(
        "sampling",
        [USER],
        {"top_p": 0.5, "top_k": 3, **UNMARKED},
        {"messages": [USER], "extra_body": {"top_p": 0.5, "top_k": 3}, **LIMITED},
    ),
    Call("stops", [USER], {"stop": "END", **UNMARKED}, {"messages": [USER], "stop_sequences": ["END"], **LIMITED}),
    Call(
        "a tier",
        [USER],
        {"service_tier": "auto", **UNMARKED},
        {"messages": [USER], "service_tier": "auto", **LIMITED},
    ),
    Call(
        "an image as data",
        [{"role": "user", "content": "see", "images": [PNG]}],
        UNMARKED,
        {
            "messages": [
                {"role": "user", "content": [{"type": "image", "source": SOURCE}, {"type": "text", "text": "see"}]}
            ],
            **LIMITED,
        },
    ),
    Call(
        "an image by its address",
        [{"role": "user", "content": "see", "images": [ADDRESS]}],
        UNMARKED,
        {
            "messages": [
                {
                    "role": "user",
                    "content": [
                        {"type": "image", "source": {"type": "url", "url": ADDRESS}},
                        {"type": "text", "text": "see"},
                    ],
                }
            ],
            **LIMITED,
        },
    ),
    Call(
        "a document",
        [
            {
                "role": "user",
                "content": [
                    {"type": "document", "title": "a.pdf", "source": DOCUMENT},
                    {"type": "text", "text": "see"},
                ],
            }
        ],
        UNMARKED,
        {
            "messages": [
                {
                    "role": "user",
                    "content": [
                        {"type": "document", "title": "a.pdf", "source": DOCUMENT, "citations": {"enabled": True}},
                        {"type": "text", "text": "see"},
                    ],
                }
            ],
            **LIMITED,
        },
    ),
    Call(
        "an effort",
        [USER],
        {"reasoning_effort": "high", **UNMARKED},
        {
            "messages": [USER],
            "thinking": {"type": "adaptive", "display": "summarized"},
            "output_config": {"effort": "high"},
            **LIMITED,
        },
    ),
    Call(
        "a budget",
        [USER],
        {"thinking_budget": 2000, "max_tokens": 4000, "prompt_caching": False},
        {"messages": [USER], "thinking": {"type": "enabled", "budget_tokens": 2000}, "max_tokens": 4000},
        {"thinking.display": SHOWN},
    ),
    Call(
        "thinking of an earlier turn",
        [USER, {**TALK[1], "reasoning_parts": [{"type": "thinking", "thinking": "why", "signature": "c2ln"}]}, TALK[2]],
        UNMARKED,
        {
            "messages": [
                USER,
                {
                    "role": "assistant",
                    "content": [
                        {"type": "thinking", "thinking": "why", "signature": "c2ln"},
                        {"type": "text", "text": "Paris."},
                    ],
                },
                TALK[2],
            ],
            **LIMITED,
        },
    ),
]


async def bodies(provider: Any, answer: Any, options: dict[str, Any], call: Call, theirs: Any) -> tuple[Any, Any]:
    """The bodies that we and they have sent."""
    seen: list[Any] = []

    async def recording(request: Any, connection: Any) -> None:
        seen.append(request.json)
        await answer(request, connection)

    def ask(url: str) -> Any:
        address = {name: value.format(url=url) for name, value in options.items()}
        return provider.create_async_generator("m", call.messages, **address, **call.options)

    _own, other = await both(recording, ask, theirs)
    assert _own.error == other.error == ""
    their_body, own_body = seen
    return plain(own_body), plain(their_body)


def check(call: Call, own: Any, other: Any, api: str) -> None:
    """Nothing differs but what the table explains."""
    found = differences(own, other)
    explained = {**ALWAYS[api], **call.why}
    assert {
        place for place in found if not any(place == each or place.startswith(f"{each}.") for each in explained)
    } == set()
    for place in call.why:
        assert place in found, f"{place} no longer differs"


def openai_client(url: str) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="a-key-for-nobody", max_retries=0)


@pytest.mark.parametrize("call", CHAT, ids=repr)
async def test_chat_completions_are_asked_for_as_the_openai_client_does(call):
    async def theirs(url: str, _made: Any) -> None:
        async with openai_client(url) as client:
            async for _chunk in await client.chat.completions.create(model="m", stream=True, **call.theirs):
                pass

    answer = openai_servers.streaming(openai_servers.reply("x"))
    own, other = await bodies(OpenAICompatible, answer, {"openai_base_url": "{url}/v1"}, call, theirs)

    check(call, own, other, "chat")


@pytest.mark.parametrize("call", RESPONSES, ids=repr)
async def test_responses_are_asked_for_as_the_openai_client_does(call):
    async def theirs(url: str, _made: Any) -> None:
        async with openai_client(url) as client:
            async for _event in await client.responses.create(model="m", stream=True, **call.theirs):
                pass

    options = {"openai_base_url": "{url}/v1", "openai_api": "responses"}
    own, other = await bodies(OpenAICompatible, responses_servers.speaking("x"), options, call, theirs)

    check(call, own, other, "responses")


@pytest.mark.parametrize("call", MESSAGES, ids=repr)
async def test_messages_are_asked_for_as_the_anthropic_client_does(call):
    async def theirs(url: str, _made: Any) -> None:
        async with anthropic.AsyncAnthropic(base_url=url, api_key="a-key-for-nobody", max_retries=0) as client:
            async for _event in await client.messages.create(model="m", stream=True, **call.theirs):
                pass

    answer = anthropic_servers.speaking("x")
    own, other = await bodies(Anthropic, answer, {"anthropic_base_url": "{url}"}, call, theirs)

    check(call, own, other, "messages")


async def test_the_openai_client_makes_the_same_schema_of_a_pydantic_model():
    async def theirs(url: str, _made: Any) -> None:
        async with (
            openai_client(url) as client,
            client.responses.stream(model="m", input=[USER], text_format=City) as stream,
        ):
            async for _event in stream:
                pass

    item = responses_servers.message('{"name": "Oslo", "people": 1}')
    added = responses_servers.event("response.output_item.added", output_index=0, item={**item, "content": []})
    reply = openai_servers.streaming(responses_servers.start() + added + responses_servers.end("completed", item))
    call = Call("a schema", [USER], {"schema": SCHEMA}, {})
    own, other = await bodies(
        OpenAICompatible, reply, {"openai_base_url": "{url}/v1", "openai_api": "responses"}, call, theirs
    )

    own_form, their_form = own["text"]["format"], other["text"]["format"]
    assert (own_form["type"], own_form["name"]) == (their_form["type"], their_form["name"])
    assert own_form["schema"]["properties"].keys() == their_form["schema"]["properties"].keys()
    assert own_form["schema"]["required"] == their_form["schema"]["required"]


def test_there_are_forty_calls():
    assert len([*CHAT, *RESPONSES, *MESSAGES]) >= 40

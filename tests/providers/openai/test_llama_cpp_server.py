"""OpenAICompatible against a server of another make: the one that the embedded model's runtime brings."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from typing import Any

import openai
import pytest

from flowgpt_magic.conversation import Conversation
from flowgpt_magic.errors import (
    AuthenticationError,
    ContextLengthError,
    ParameterRefusedError,
    ProviderStatusError,
    SchemaNotSupportedError,
)
from flowgpt_magic.magics.state import Asked, ShellState
from flowgpt_magic.messages import Usage, notices_to
from flowgpt_magic.messages.extras import Extras
from flowgpt_magic.notebook.place import NO_CELL
from flowgpt_magic.providers import aliases
from flowgpt_magic.providers.aliases import Alias
from flowgpt_magic.providers.llama_cpp import weights
from flowgpt_magic.providers.openai_compatible import OpenAICompatible
from tests import processes
from tests.models_on_disk import weights_on_disk

pytestmark = pytest.mark.filterwarnings("ignore:the reply was cut off")
KEY = "s3cret-word"
MODEL = "smollm2"
SYSTEM = "You are a helpful assistant."
SERVE = """
import sys, xllamacpp
chosen = xllamacpp.CommonParams()
chosen.model.path = sys.argv[1]
chosen.n_ctx, chosen.n_parallel, chosen.verbosity = 2048, 1, 0
chosen.n_batch = chosen.n_ubatch = 64
chosen.cpuparams.n_threads = chosen.cpuparams_batch.n_threads = 2
chosen.hostnames, chosen.port = ["127.0.0.1"], 0
chosen.api_keys, chosen.ui = [sys.argv[2]], False
server = xllamacpp.Server(chosen)
print(server.listening_address, flush=True)
sys.stdin.read()  # until its parent closes this
"""
SCHEMA = {
    "title": "City",
    "type": "object",
    "properties": {"name": {"type": "string", "maxLength": 30}, "large": {"type": "boolean"}},
    "required": ["name", "large"],
    "additionalProperties": False,
}
STORY = "Write a long story about a dragon who lives in a mountain, and a knight who is afraid of heights."


@pytest.fixture(scope="module")
def base_url() -> Iterator[str]:
    """The address of the server, in a process of its own."""
    model = str(weights_on_disk() / weights.SMOLLM2.filename)
    command = [sys.executable, "-c", SERVE, model, KEY]
    patient = {**os.environ, "OMP_WAIT_POLICY": "PASSIVE"}  # or else its threads are slow beside a busy neighbour
    with processes.running(command, **{**processes.TEXT, "stderr": None}, env=patient) as process:
        yield f"{process.stdout.readline().strip()}/v1"


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNTIME_KEY", KEY)


def ask(base_url: str, prompt: str, **options: Any) -> AsyncGenerator[str | Usage, None]:
    given = {"openai_base_url": base_url, "openai_key": "RUNTIME_KEY", "temperature": 0, **options}
    messages = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": prompt}]
    return OpenAICompatible.create_async_generator(MODEL, messages, **given)


async def test_it_streams_the_same_text_as_the_client_of_openai_reads(base_url):
    prompt = "What is the capital of France?"
    async with openai.AsyncOpenAI(base_url=base_url, api_key=KEY) as client:
        stream = await client.chat.completions.create(
            model=MODEL,
            messages=[
                {"role": "system", "content": SYSTEM},
                {"role": "user", "content": prompt},
            ],
            stream=True,
            stream_options={"include_usage": True},
            temperature=0,
            max_tokens=40,
        )
        theirs = [found async for found in stream]

    *chunks, extras, usage = [each async for each in ask(base_url, prompt, max_tokens=40)]

    expected = [found.choices[0].delta.content for found in theirs if found.choices and found.choices[0].delta.content]
    assert chunks == expected
    assert isinstance(extras, Extras)
    assert extras.request_id.startswith("chatcmpl-")
    assert "Paris" in "".join(map(str, chunks))
    assert isinstance(usage, Usage)
    counted = theirs[-1].usage
    assert counted is not None
    assert (usage.prompt_tokens, usage.completion_tokens) == (counted.prompt_tokens, counted.completion_tokens)


async def test_its_model_is_listed(base_url):
    (name,) = await OpenAICompatible.list_models(openai_base_url=base_url, openai_key="RUNTIME_KEY")

    assert name.endswith(weights.SMOLLM2.filename)


async def test_a_limit_is_kept_and_told(base_url):
    told: list[str] = []

    with notices_to(told.append):
        *chunks, _extras, usage = [each async for each in ask(base_url, STORY, max_tokens=5)]

    assert len(chunks) <= 5
    assert isinstance(usage, Usage)
    assert usage.finish_reason == "length"
    assert told == ["the reply was cut off at max_tokens = 5"]


async def test_a_reply_fits_the_schema_it_was_asked_with(base_url):
    *chunks, _extras, _usage = [
        each async for each in ask(base_url, "Tell me of Paris, as JSON.", schema=SCHEMA, max_tokens=60)
    ]

    found = json.loads("".join(map(str, chunks)))
    assert set(found) == {"name", "large"}
    assert isinstance(found["large"], bool)


@pytest.mark.parametrize(
    ("options", "kind", "said"),
    [
        ({"openai_key": "WRONG_KEY"}, AuthenticationError, "from the environment variable WRONG_KEY"),
        ({"openai_key": ""}, AuthenticationError, "No key was sent"),
        ({"schema": {"type": "nonsense"}}, SchemaNotSupportedError, "nonsense"),
        ({"extra_body": {"temperature": "hot"}}, ParameterRefusedError, "temperature"),
    ],
)
async def test_what_it_refuses_is_an_error_of_ours(base_url, monkeypatch, options, kind, said):
    monkeypatch.setenv("WRONG_KEY", "hunter2")

    with pytest.raises(kind, match=said) as caught:
        await anext(ask(base_url, "hi", **options))
    assert type(caught.value) is kind
    assert "hunter2" not in str(caught.value)


async def test_an_address_with_nothing_behind_it_is_told(base_url):
    with pytest.raises(ProviderStatusError, match=r"File Not Found\. The base URL .*/nothing probably misses /v1"):
        await anext(ask(base_url.replace("/v1", "/nothing"), "hi"))


async def test_a_prompt_that_is_too_long_is_told_with_both_numbers(base_url):
    with pytest.raises(ContextLengthError, match=r"tokens\) exceeds the available context size \(2048 tokens\)"):
        await anext(ask(base_url, "a b " * 3000))


async def test_a_model_that_sees_nothing_says_so(base_url):
    messages = [{"role": "user", "content": "What is this?", "images": ["data:image/png;base64,AAAA"]}]
    chunks = OpenAICompatible.create_async_generator(
        MODEL, messages, openai_base_url=base_url, openai_key="RUNTIME_KEY"
    )

    with pytest.raises(ProviderStatusError, match="image input is not supported"):
        await anext(chunks)


async def test_a_reply_that_is_left_does_not_hold_up_the_next_one(base_url):
    async with aclosing(ask(base_url, STORY, max_tokens=1500)) as chunks:
        assert isinstance(await anext(chunks), str)

    *_chunks, usage = [each async for each in ask(base_url, "Say yes.", max_tokens=5)]

    assert isinstance(usage, Usage)


def test_a_conversation_goes_on_with_it_over_an_alias(base_url):
    aliases.save(Alias("mine", f"openai_compatible:{MODEL}", base_url, "Be brief.", 0.0, "RUNTIME_KEY"))
    chat = Conversation(configured=lambda: {"model": "mine"})

    first = chat.ask("What is the capital of France?", params={"max_tokens": 20}, cell=NO_CELL)
    assert "Paris" in first.text
    second = chat.ask("And of Italy?", params={"max_tokens": 20}, cell=NO_CELL)
    assert second.text
    assert (second.usage.prompt_tokens or 0) > (first.usage.prompt_tokens or 0)
    assert first.usage.first_chunk_seconds is not None


def test_the_magic_asks_it(base_url, capsys):
    state = ShellState(lambda: {"openai_base_url": base_url, "openai_key": "RUNTIME_KEY"}, {})
    given = {"model": f"openai_compatible:{MODEL}", "temperature": 0.0, "system": SYSTEM, "max-tokens": 30}

    state.ask(Asked.read("What is the capital of France?", given), own_cell=False)

    shown = capsys.readouterr().out
    assert "Paris" in shown
    assert f"openai_compatible:{MODEL}" in shown

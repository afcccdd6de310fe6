"""How a program uses this package, with the types it may rely on: checked with ``mypy --strict``, and run.

``assert_type`` is a statement about types; when this runs it does nothing.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, TypedDict

import flowgpt_magic
from flowgpt_magic import (
    AsyncGeneratorProvider,
    ChatPanel,
    Conversation,
    FlowGpt,
    FlowGptError,
    ProviderModelMixin,
    Reply,
    Usage,
    ask,
    compare,
    map_prompts,
)
from flowgpt_magic.batch.batch import Batch
from flowgpt_magic.batch.comparison import BatchComparison
from flowgpt_magic.batch.results import Result
from flowgpt_magic.errors import ProviderError, RateLimitError
from flowgpt_magic.messages import Messages, Turn, Waiting
from flowgpt_magic.providers.models import find_model
from flowgpt_magic.providers.registry import Target
from flowgpt_magic.replies.code_blocks import CodeBlock
from flowgpt_magic.testing import ContractError, check_provider

if TYPE_CHECKING:
    from typing_extensions import assert_type
else:

    def assert_type(value: Any, _type: Any) -> Any:
        return value


class City(TypedDict):
    name: str
    people: int


def ask_and_read() -> str:
    reply = ask("one two", model="echo", temperature=0.2, history=False)
    assert_type(reply, Reply[Any])
    for chunk in reply:
        assert_type(chunk, str)
    assert_type(reply.text, str)
    assert_type(str(reply), str)
    assert_type(f"{reply:>10}", str)
    assert_type(reply.code_blocks, list[CodeBlock])
    assert_type(reply.usage, Usage)
    assert_type(reply.usage.first_chunk_seconds, float | None)
    assert_type(reply.usage.prompt_tokens, int | None)
    assert_type(reply.ended, bool)
    assert_type(reply.elapsed, float)
    assert_type(reply.waiting, Waiting | None)
    assert_type(reply.error, BaseException | None)
    assert_type(reply.notices, list[str])
    reply.cancel()
    return f"{reply.provider}:{reply.model} {reply.status}"


async def ask_and_await(conversation: Conversation) -> str:
    reply = conversation.ask("one two")
    assert_type(await reply, str)
    async for chunk in conversation.ask("three", system="be brief", params={"pace": 0.0}):
        assert_type(chunk, str)
    async for chunk in (left := conversation.ask("four five", append=True)):
        assert_type(chunk, str)
        break
    return f"{len(conversation.turns)} {left.status}"


def ask_for_values(conversation: Conversation) -> City:
    typed = conversation.ask('{"name": "Bern", "people": 135000}', schema=City)
    assert_type(typed, Reply[City])
    assert_type(typed.data, City)
    untyped = ask("[1, 2]", schema={"type": "array"}, model="echo", history=False)
    assert_type(untyped.data, Any)
    return typed.data


def change(conversation: Conversation) -> list[str]:
    turns = conversation.turns
    assert_type(turns, list[Turn])
    conversation.edit(1, "another one")
    conversation.retry()
    conversation.set(temperature=0.5, model="echo:words")
    branch = conversation.branch("another")
    assert_type(branch, Conversation)
    assert_type(branch.clear(), int)
    assert_type(branch.undo(), str)
    assert_type(branch.redo(), str)
    assert_type(conversation.turn(-1).usage, Usage)
    assert_type(conversation.versions(turns[0]), list[Turn])
    return [turn.prompt for turn in turns]


def begin(name: str) -> Conversation:
    conversation = Conversation(name, model="echo:words", system="be brief", params={"pace": 0.0})
    assert_type(conversation.name, str)
    return conversation


def show(conversation: Conversation) -> ChatPanel:
    return ChatPanel(conversation)


async def ask_many(conversation: Conversation, words: Sequence[str]) -> list[str | None]:
    batch = conversation.map(words, "say {}", concurrency=2, progress=False)
    assert_type(batch, Batch)
    async for result in batch.as_completed():
        assert_type(result, Result)
    again = map_prompts(words, model="echo", progress=False)
    results = await again
    assert_type(results, list[Result])
    assert_type(results[0].text, str)
    assert_type(results[0].error, BaseException | None)
    assert_type(again.failed, list[Result])
    return again.texts


def ask_several(prompt: str) -> dict[str, list[str | None]]:
    comparison = compare(prompt, ["echo", "echo:messages"], temperature=0.5)
    assert_type(comparison.texts, dict[str, str | None])
    assert_type(comparison[0].text, str)
    assert_type(comparison["echo"].text, str)
    assert_type(comparison.keep(2), Turn)
    batches = map_prompts([prompt], models=["echo", "echo:messages"], progress=False)
    assert_type(batches, BatchComparison)
    assert_type(batches.results[0]["echo"], Result)
    return batches.texts


def catch(prompt: str) -> str:
    try:
        return ask(prompt, model="echo", params={"fail_after": 0}, history=False).text
    except RateLimitError as error:
        return f"wait {assert_type(error.retry_after, float | None)} s"
    except ProviderError as error:
        return f"failed: {error}"
    except FlowGptError as error:
        return f"not asked: {error}"


def ask_flowgpt(url: str) -> Iterator[str]:
    """The provider itself, as the FlowGPT examples use one."""
    messages = [{"role": "user", "content": "hi"}]
    assert_type(FlowGpt.get_models(), list[str])
    assert_type(FlowGpt.get_model("gemini"), str)
    chunks = FlowGpt.create_completion("gpt-4-turbo", messages, base_url=url, temperature=0.1)
    assert_type(chunks, Iterator[str])
    return chunks


async def ask_flowgpt_async(url: str) -> AsyncIterator[str]:
    messages = [{"role": "user", "content": "hi"}]
    whole = await FlowGpt.create_async("gpt-4-turbo", messages, base_url=url, proxy=None)
    assert_type(whole, str)
    async for chunk in FlowGpt.create_async_generator("gpt-4-turbo", messages, base_url=url):
        if isinstance(chunk, Usage):
            assert_type(chunk.completion_tokens, int | None)
        else:
            yield chunk


class Parrot(AsyncGeneratorProvider, ProviderModelMixin):
    """A provider of one's own."""

    url: ClassVar[str] = "https://parrot.example"
    default_model: ClassVar[str] = "grey"
    models: ClassVar[list[str]] = ["grey", "green"]
    model_aliases: ClassVar[dict[str, str]] = {"ara": "green"}
    settings: ClassVar[tuple[str, ...]] = ("pace",)

    @classmethod
    async def create_async_generator(
        cls,
        model: str,
        messages: Messages,
        proxy: str | None = None,
        temperature: float = 0.7,
        *,
        times: int = 2,
        **kwargs: Any,
    ) -> AsyncGenerator[str | Usage, None]:
        colour = cls.get_model(model)
        last: Mapping[str, Any] = messages[-1]
        for _ in range(times):
            yield f"{colour} says {last['content']} "
        yield Usage(completion_tokens=times, finish_reason="stop")


def check_parrot() -> list[str]:
    try:
        return check_provider(Parrot, model="green", prompt="hello", failing=(), times=3)
    except ContractError as error:
        return assert_type(error.violations, list[str])


def find() -> type[AsyncGeneratorProvider]:
    target = find_model("echo:messages", {"mine": "echo"})
    assert_type(target, Target)
    assert_type(str(target), str)
    return target.provider_class


def version() -> str:
    return str(flowgpt_magic.__version__)

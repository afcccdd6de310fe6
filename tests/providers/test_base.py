"""What a provider inherits: its models' names, and two ways to read it besides the one it writes."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator
from typing import Any

import pytest

from flowgpt_magic import bridge
from flowgpt_magic.errors import ModelNotSupportedError, ProviderError
from flowgpt_magic.messages import Usage
from flowgpt_magic.providers.base import AsyncGeneratorProvider, ProviderModelMixin
from flowgpt_magic.settings import Settings

LIMIT = 10  # seconds after which a test has failed; none waits as long


class Talker(AsyncGeneratorProvider, ProviderModelMixin):
    """Says three words, waits for the test after the first one if told to, and notes what happens to it."""

    default_model = "small"
    models = ["small", "large"]  # noqa: RUF012 - declared ClassVar in the mixin
    model_aliases = {"big": "large"}  # noqa: RUF012
    calls: list[tuple[str, Any, dict[str, Any]]]
    thread: threading.Thread | None
    closed: threading.Event

    @classmethod
    async def create_async_generator(
        cls, model: str, messages: Any, **kwargs: Any
    ) -> AsyncGenerator[str | Usage, None]:
        cls.calls.append((model, messages, kwargs))
        cls.thread = threading.current_thread()
        closed = cls.closed  # this test's own
        try:
            yield "one "
            if kwargs.get("wait"):
                await asyncio.Event().wait()
            if kwargs.get("fail"):
                raise ProviderError("it broke")
            yield "two "
            yield "three"
            yield Usage(completion_tokens=3)
        finally:
            closed.set()


class Plain(AsyncGeneratorProvider, ProviderModelMixin):
    default_model = "only"


@pytest.fixture
def talker():
    Talker.calls, Talker.thread, Talker.closed = [], None, threading.Event()
    return Talker


def test_the_list_of_models_is_the_callers_own():
    Talker.get_models().clear()

    assert Talker.get_models() == ["small", "large"]


def test_without_a_list_the_default_is_the_only_model():
    assert Plain.get_models() == ["only"]
    assert Plain.get_model("only") == "only"


@pytest.mark.parametrize(
    ("name", "model"), [("", "small"), (None, "small"), ("small", "small"), ("large", "large"), ("big", "large")]
)
def test_a_model_goes_by_its_name_an_alias_or_nothing(name, model):
    assert Talker.get_model(name) == model


def test_an_unknown_model_is_answered_with_the_known_ones():
    with pytest.raises(
        ModelNotSupportedError, match=r"^Talker has no model 'lrage'; did you mean large\? Known: small"
    ):
        Talker.get_model("lrage")


def test_a_provider_says_what_it_can_only_where_it_differs():
    assert (Plain.supports_stream, Plain.needs_auth, Plain.working) == (True, False, True)


async def test_the_models_that_are_known_are_those_one_can_ask_for_where_no_server_tells():
    found = await Talker.list_models(token="x", proxy="")

    assert found == ["small", "large"]
    found.clear()
    assert Talker.get_models() == ["small", "large"]


@pytest.mark.parametrize(
    ("about", "token", "answer"),
    [
        ({}, "", ""),
        ({"needs_auth": True}, "", "no: the setting token is empty"),
        ({"needs_auth": True}, "x", ""),
        ({"working": False}, "", "no: the provider is marked as not working"),
    ],
)
def test_what_is_missing_is_told_from_what_a_provider_says_of_itself(about, token, answer):
    provider = type("Some", (Plain,), about)

    assert provider.would_answer(Settings(token=token)) == answer


def test_whatever_a_provider_does_not_say_of_itself_it_cannot_do():
    assert (Plain.supports_images, Plain.supports_schema, Plain.address_setting) == (False, False, "base_url")


def test_a_provider_without_its_one_method_says_so():
    with pytest.raises(NotImplementedError, match="Plain must define create_async_generator"):
        Plain.create_async_generator("only", [])
    with pytest.raises(NotImplementedError, match="Plain must define"):
        list(Plain.create_completion("only", []))


async def test_the_whole_reply_is_text_alone(talker):
    assert await talker.create_async("small", [], extra=1) == "one two three"
    assert talker.calls == [("small", [], {"extra": 1})]


async def test_a_cancelled_reply_is_closed_at_once(talker):
    task = asyncio.create_task(talker.create_async("small", [], wait=True))
    while not talker.calls:  # noqa: ASYNC110 - the provider is a class, which has no loop for an event
        await asyncio.sleep(0)

    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task
    assert talker.closed.is_set()


def test_chunks_are_read_without_a_loop(talker):
    assert list(talker.create_completion("small", [])) == ["one ", "two ", "three"]


async def test_chunks_are_read_inside_a_running_loop_which_stays_as_it_is(talker):
    loop = asyncio.get_running_loop()

    assert list(talker.create_completion("small", [])) == ["one ", "two ", "three"]

    assert asyncio.get_running_loop() is loop
    assert talker.thread is not threading.current_thread()


def test_a_chunk_is_there_before_the_next_one_is_asked_for(talker):
    chunks = talker.create_completion("small", [], wait=True)

    assert next(chunks) == "one "
    chunks.close()


def test_closing_early_closes_the_provider(talker):
    chunks = talker.create_completion("small", [], wait=True)
    next(chunks)
    assert not talker.closed.is_set()

    chunks.close()

    assert talker.closed.wait(LIMIT)


def test_a_loop_that_is_left_closes_the_provider(talker):
    for _chunk in talker.create_completion("small", [], wait=True):
        break

    assert talker.closed.wait(LIMIT)


def test_nothing_is_asked_before_the_first_chunk_is_wanted(talker):
    talker.create_completion("small", []).close()

    assert talker.calls == []


def test_an_error_comes_after_the_chunks_before_it(talker):
    chunks = talker.create_completion("small", [], fail=True)

    assert next(chunks) == "one "
    with pytest.raises(ProviderError, match="it broke"):
        next(chunks)
    assert talker.closed.is_set()


def test_two_threads_read_two_replies_at_once(talker):
    texts: list[str] = []

    def read() -> None:
        texts.append("".join(talker.create_completion("small", [])))

    threads = [threading.Thread(target=read) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LIMIT)

    assert texts == ["one two three"] * 2


def test_every_reply_runs_on_the_one_worker(talker):
    list(talker.create_completion("small", []))

    assert talker.thread is bridge.worker().thread

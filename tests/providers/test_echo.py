"""The provider that repeats what it hears."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowgpt_magic.errors import ModelNotSupportedError, ProviderError
from flowgpt_magic.messages import Usage
from flowgpt_magic.providers.echo import Echo


def asked(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]


async def heard(model: str, messages: list[dict[str, str]], **options: object) -> list[str | Usage]:
    return [chunk async for chunk in Echo.create_async_generator(model, messages, **options)]


async def test_the_last_message_comes_back_a_word_at_a_time():
    chunks = await heard("words", [*asked("not this"), *asked("one  two\nthree")])

    assert chunks[:-1] == ["one  ", "two\n", "three"]


async def test_the_model_messages_shows_what_was_sent():
    sent = [{"role": "system", "content": "be brief"}, *asked("hi")]

    assert await Echo.create_async("messages", sent) == "system: be brief\nuser: hi"


async def test_it_ends_with_the_counts():
    chunks = await heard("", asked("one two"))

    assert chunks[-1] == Usage(prompt_tokens=2, completion_tokens=2, finish_reason="stop")


async def test_without_messages_it_has_nothing_to_say():
    assert await heard("words", []) == [Usage(prompt_tokens=0, completion_tokens=0, finish_reason="stop")]


async def test_it_fails_after_as_many_chunks_as_it_is_told():
    chunks = Echo.create_async_generator("words", asked("one two three"), fail_after=2)

    assert [await anext(chunks), await anext(chunks)] == ["one ", "two "]
    with pytest.raises(ProviderError, match="after 2 chunks"):
        await anext(chunks)


async def test_it_can_fail_before_the_first_chunk():
    with pytest.raises(ProviderError):
        await heard("words", asked("one"), fail_after=0)


async def test_it_takes_its_time_when_told_to(monkeypatch):
    begun = time.perf_counter()
    await heard("words", asked("one two three"), pace=0.02)
    assert time.perf_counter() - begun > 0.05

    monkeypatch.setenv("FLOWGPT_PACE", "0.02")
    begun = time.perf_counter()
    await heard("words", asked("one two three"))
    assert time.perf_counter() - begun > 0.05


async def test_a_model_it_does_not_have_is_refused_when_it_is_read():
    chunks = Echo.create_async_generator("wrods", asked("hi"))

    with pytest.raises(ModelNotSupportedError, match="did you mean words"):
        await anext(chunks)


@given(st.text())
async def test_nothing_of_a_prompt_is_lost(text):
    assert await Echo.create_async("words", asked(text), pace=0) == text

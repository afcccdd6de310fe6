"""Requests that are answered from a reply to the same request: what is told of them beside their conversations."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from typing import Any

from flowgpt_magic.replies.cache import ReplyCache
from flowgpt_magic.replies.reply import Reply


def reply_of(*chunks: str) -> Reply:
    """A reply that has not been read yet."""
    return Reply(saying(*chunks), provider="test", model="script", messages=[])


def saying(*chunks: str) -> Callable[[], AsyncGenerator[Any, None]]:
    async def say() -> AsyncGenerator[Any, None]:
        for chunk in chunks:
            yield chunk

    return say


async def test_one_that_is_complete_is_followed_until_its_connection_is_closed():
    cache, first, second = ReplyCache(lambda _key: None), reply_of("one ", "two"), reply_of()
    connection = cache.answer(first, "key", saying("one ", "two"), refresh=False)
    await anext(connection)
    assert [chunk async for chunk in first] == ["one ", "two"]

    chunks = [chunk async for chunk in cache.answer(second, "key", saying("asked twice"), refresh=False)]
    await connection.aclose()

    assert chunks == ["one ", "two", first.extras]
    assert second.replayed

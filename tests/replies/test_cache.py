"""A request is answered from an equal one: from the history, or while its reply is still arriving."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from typing import Any

import pytest

from flowgpt_magic.errors import FlowGptError, ProviderError
from flowgpt_magic.messages import Usage
from flowgpt_magic.messages.extras import Extras
from flowgpt_magic.replies.cache import ReplyCache, request_key
from flowgpt_magic.replies.reply import Reply
from tests.records import conversation_record, notebook_record, turn_record
from tests.replies.test_request import request, turn


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


async def test_an_equal_request_in_the_history_is_not_sent_again():
    turn = turn_record(conversation_record(notebook_record()), text="blue", status="complete")
    cache, reply = ReplyCache({"key": turn}.get), reply_of()

    chunks = [chunk async for chunk in cache.answer(reply, "key", saying("asked twice"), refresh=False)]

    assert (chunks[0], reply.replayed) == ("blue", True)


async def test_refresh_sends_it_again():
    turn = turn_record(conversation_record(notebook_record()), text="blue", status="complete")
    cache, reply = ReplyCache({"key": turn}.get), reply_of()

    assert [chunk async for chunk in cache.answer(reply, "key", saying("red"), refresh=True)] == ["red"]
    assert not reply.replayed


async def test_a_request_that_failed_is_sent_again_by_the_next_one():
    async def failing() -> AsyncGenerator[Any, None]:
        raise ProviderError("the server failed")
        yield

    cache = ReplyCache(lambda _key: None)
    with pytest.raises(ProviderError):
        await anext(cache.answer(reply_of(), "key", failing, refresh=False))

    assert [chunk async for chunk in cache.answer(reply_of(), "key", saying("red"), refresh=False)] == ["red"]


def test_requests_are_equal_where_nothing_that_changes_the_reply_differs():
    key = request_key(request(), [])

    assert request_key(request(pace=0.5, proxy="http://127.0.0.1:1"), []) == key
    for other in (request("ho"), request(temperature=1), request(system="be brief"), request(model="echo:messages")):
        assert request_key(other, []) != key
    assert request_key(request(), [turn()]) != key


def test_a_parameter_that_is_not_json_cannot_be_stored():
    with pytest.raises(FlowGptError, match="a parameter cannot be stored"):
        request_key(request(), [], {"odd": object()})


async def test_reasoning_of_a_stored_reply_comes_before_its_text_with_its_own_seconds():
    stored = turn_record(
        conversation_record(notebook_record()),
        text="four",
        status="complete",
        extras=Extras(reasoning="two and two", request_id="r"),
        usage=Usage(reasoning_seconds=12.0),
    )
    cache = ReplyCache({"key": stored}.get)
    reply = Reply(
        lambda: cache.answer(reply, "key", saying("asked twice"), refresh=False),
        provider="test",
        model="script",
        messages=[],
    )

    assert (reply.text, reply.extras, reply.usage.reasoning_seconds) == ("four", stored.extras, 12.0)

"""Answer a request from an equal one: from the history, or from a reply that is arriving right now."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from flowgpt_magic import settings
from flowgpt_magic.errors import FlowGptError, ProviderError
from flowgpt_magic.messages import NewSplit, Reasoning, Turn
from flowgpt_magic.providers.inner_generator import InnerGenerator
from flowgpt_magic.replies.events import ReasoningEvent, TextEvent
from flowgpt_magic.replies.received import CheckedChunks
from flowgpt_magic.replies.request import Request

if TYPE_CHECKING:
    from flowgpt_magic.replies.reply import Reply


class ReplyCache:
    """The replies in flight in this process, by request key, and those in the history.

    ``find`` looks up a key in the history. It may block, so it is called in a thread.
    """

    def __init__(self, find: Callable[[str], Turn | None]) -> None:
        self._find = find
        self._in_flight: dict[str, Reply] = {}

    async def answer(self, reply: Reply, key: str, ask: Callable[[], CheckedChunks], *, refresh: bool) -> CheckedChunks:
        """The chunks for ``reply``: from an equal request in flight, from the history, or else from ``ask``.

        ``refresh`` always uses ``ask``. Runs on the worker's loop. Raises ``ProviderError`` if the equal request is
        stopped after its first chunk.
        """
        other = None if refresh else self._in_flight.get(key)
        if other is not None and not (other.ended and other.status != "complete"):  # a complete one may be closing
            async with InnerGenerator(_follow(reply, other)) as chunks:
                async for chunk in chunks:
                    yield chunk
            if reply.replayed:
                return
        self._in_flight[key] = reply  # before the first await, so that equal requests follow this one
        try:
            turn = None if refresh else await asyncio.to_thread(self._find, key)
            if turn is not None:
                reply.replayed = True
                if turn.extras.reasoning:
                    yield Reasoning(turn.extras.reasoning)
                yield turn.text
                yield turn.extras
                yield replace(turn.usage, first_chunk_seconds=None, seconds=None)
                return
            async with InnerGenerator(ask()) as chunks:
                async for chunk in chunks:
                    yield chunk
        finally:
            if self._in_flight.get(key) is reply:
                del self._in_flight[key]


async def _follow(reply: Reply, other: Reply) -> CheckedChunks:
    """The chunks of ``other``; none if it is stopped before its first chunk."""
    if other.schema is not None:  # its attempts that did not fit are no part of it
        async for chunk in other:
            reply.replayed = True
            yield chunk
    else:
        async for event in other.events():
            if isinstance(event, (TextEvent, ReasoningEvent)):
                reply.replayed = True
                yield event.text if isinstance(event, TextEvent) else Reasoning(event.text)
            elif isinstance(event, NewSplit):
                yield event
    if not reply.replayed:
        return
    yield other.extras
    if other.status != "complete":
        raise ProviderError("the same request was running for another cell and was stopped: run this cell again")


def request_key(request: Request, turns: Sequence[Turn], parameters: Mapping[str, Any] | None = None) -> str:
    """A digest that is equal for two requests if and only if provider, model, messages and parameters are equal.

    ``parameters`` are ``request.recorded_parameters``, if already computed. Raises ``FlowGptError`` for a parameter
    that is not JSON.
    """
    system = request.settings.system if request.settings.system.strip() else ""
    texts = [system, *(turn.digest for turn in turns), request.prompt, *request.images]
    parameters = request.recorded_parameters if parameters is None else parameters
    keyless = {name: value for name, value in parameters.items() if name not in settings.KEYS.values()}
    try:
        content = json.dumps([request.target.provider, request.target.model, texts, keyless], sort_keys=True)
    except (TypeError, ValueError) as error:
        raise FlowGptError(f"a parameter cannot be stored: {error}") from None
    return hashlib.sha256(content.encode()).hexdigest()

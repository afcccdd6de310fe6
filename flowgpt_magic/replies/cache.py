"""Answer a request that was answered before, or that is being answered just now, without asking again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from flowgpt_magic.errors import ProviderError
from flowgpt_magic.messages import NewAttempt, Turn, Usage, Waiting
from flowgpt_magic.messages.extras import Extras
from flowgpt_magic.providers.inner_generator import InnerGenerator

if TYPE_CHECKING:
    from flowgpt_magic.replies.reply import Reply

Chunks = AsyncGenerator[str | Usage | Extras | NewAttempt | Waiting, None]


class ReplyCache:
    """The requests of this process that are on their way, by key, and those the history knows.

    ``find`` looks a key up in the history; it may take a while, so it is called in a thread.
    """

    def __init__(self, find: Callable[[str], Turn | None]) -> None:
        self._find = find
        self._asked: dict[str, Reply] = {}

    async def answer(self, reply: Reply, key: str, ask: Callable[[], Chunks], *, refresh: bool) -> Chunks:
        """The chunks for ``reply``: from a reply to the same request, from the history, or from ``ask``.

        With ``refresh`` it is asked in any case. Runs on the worker's loop.
        """
        other = None if refresh else self._asked.get(key)
        if other is not None and not (other.ended and other.status != "complete"):  # it may still close its connection
            async with InnerGenerator(_along_with(reply, other)) as chunks:
                async for chunk in chunks:
                    yield chunk
            if reply.replayed:
                return
        self._asked[key] = reply  # before the first wait: whoever asks the same in the meantime comes along
        try:
            found = None if refresh else await asyncio.to_thread(self._find, key)
            if found is not None:
                reply.replayed = True
                yield found.text
                yield found.extras
                yield replace(found.usage, first_chunk_seconds=None, seconds=None)
                return
            async with InnerGenerator(ask()) as chunks:
                async for chunk in chunks:
                    yield chunk
        finally:
            if self._asked.get(key) is reply:
                del self._asked[key]


async def _along_with(reply: Reply, other: Reply) -> Chunks:
    """The chunks of another reply; nothing if that one is stopped before its first chunk."""
    async for chunk in other:
        reply.replayed = True
        yield chunk
    if not reply.replayed:
        return
    yield other.extras
    if other.status != "complete":
        raise ProviderError("the same request was being answered for another cell, and was stopped: run this again")

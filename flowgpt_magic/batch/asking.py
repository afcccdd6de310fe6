"""Send one prompt of a batch, and read the whole reply."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from typing import Any

from flowgpt_magic.batch.server_state import ServerState
from flowgpt_magic.batch.turns import PromptInFlight, Turns
from flowgpt_magic.messages import Message, NewAttempt, NewSplit, Usage
from flowgpt_magic.messages.extras import Extras
from flowgpt_magic.providers.inner_generator import InnerGenerator
from flowgpt_magic.replies.send import attempt_chunks, checked_chunks

Chunks = AsyncGenerator[str | Usage | Extras | NewSplit, None]


class PromptSender:
    """Sends prompts within the limits of ``server``; a reply that does not fit its schema is retried ``retries`` times.

    ``on_trial`` is called with the prompt whose request tests why the server refused others, and ``on_discarded`` with
    one whose reply is discarded before it is sent again.
    """

    def __init__(
        self,
        turns: Turns,
        server: ServerState,
        retries: int,
        *,
        on_trial: Callable[[PromptInFlight], None],
        on_discarded: Callable[[PromptInFlight], None],
    ) -> None:
        self._turns, self._server, self._retries = turns, server, retries
        self._on_trial, self._on_discarded = on_trial, on_discarded

    async def read(self, flight: PromptInFlight) -> None:
        """Send the prompt, and collect its reply in ``flight``."""
        request, received, tell = flight.request, flight.received, flight.notices.append

        def ask(messages: Sequence[Message], given: Mapping[str, Any]) -> Chunks:
            """One request, now or when its turn comes."""
            self._server.sent.discard(flight.item.index)
            return (self._now if self._server.pace.is_free else self._in_turn)(flight, messages, given)

        try:
            async with InnerGenerator(checked_chunks(request, ask, self._retries)) as chunks:
                async for chunk in chunks:
                    if isinstance(chunk, NewAttempt):
                        self._on_discarded(flight)
                        self._turns.again(flight, chunk.why)
                    else:
                        received.add(chunk, request.target.provider, tell)
        finally:
            self._server.sent.discard(flight.item.index)
        received.finish()

    async def _in_turn(self, flight: PromptInFlight, messages: Sequence[Message], given: Mapping[str, Any]) -> Chunks:
        await self._server.pace.turn()
        async with InnerGenerator(self._now(flight, messages, given)) as chunks:
            async for chunk in chunks:
                yield chunk

    def _now(self, flight: PromptInFlight, messages: Sequence[Message], given: Mapping[str, Any]) -> Chunks:
        flight.started, flight.begun = time.time(), time.monotonic()
        self._server.sent.add(flight.item.index)
        if self._server.concurrency.sent(flight.begun):
            self._on_trial(flight)
        return attempt_chunks(flight.request, flight.watch, messages, given)

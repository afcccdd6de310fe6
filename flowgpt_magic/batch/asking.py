"""Make the requests for one prompt of a batch, and read the whole reply."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from typing import Any

from flowgpt_magic.batch.server_state import Server
from flowgpt_magic.batch.turns import Flight, Turns
from flowgpt_magic.errors import FlowGptError
from flowgpt_magic.messages import Message, NewAttempt, Usage, Waiting
from flowgpt_magic.messages.extras import Extras
from flowgpt_magic.providers.inner_generator import InnerGenerator
from flowgpt_magic.replies.retry import listening
from flowgpt_magic.replies.structured_output import checked
from flowgpt_magic.replies.supported_parameters import Chunks as Asked
from flowgpt_magic.replies.supported_parameters import fitting

Once = AsyncGenerator[str | Usage | Extras, None]


class Asking:
    """Asks ``server``; a reply that does not fit its schema is asked again up to ``retries`` times.

    ``on_trial`` is called with the flight whose request shows why the server refused others.
    """

    def __init__(self, turns: Turns, server: Server, retries: int, *, on_trial: Callable[[Flight], None]) -> None:
        self._turns, self._server, self._retries, self._on_trial = turns, server, retries, on_trial
        request = turns.request
        self._given = request.parameters  # of each request: they have provider and settings in common
        listens = "read_timeout" in request.target.provider_class.settings
        self._silence = (
            None if listens or "read_timeout" not in request.settings.sources else request.settings.read_timeout
        )

    async def read(self, flight: Flight) -> None:
        """Ask, and put what comes into ``flight``."""
        parts, first, count = flight.parts, None, 0
        try:
            async with InnerGenerator(self._chunks(flight)) as chunks:
                async for chunk in chunks:
                    if isinstance(chunk, str):
                        if first is None:
                            first = time.monotonic() - flight.begun
                        count += 1
                        parts.append(chunk)
                    elif isinstance(chunk, Usage):
                        flight.usage = chunk
                    elif isinstance(chunk, Extras):
                        flight.extras = chunk
                        flight.notices.extend(chunk.notices)
                    elif isinstance(chunk, NewAttempt):
                        self._turns.begin_again(flight, chunk.why)
                        parts, first, count = flight.parts, None, 0
                    else:
                        raise FlowGptError(
                            f"{flight.request.target.provider} sent {type(chunk).__name__} where text was due"
                        )
        finally:
            self._server.sent.discard(flight.item.index)
        told, seconds = flight.usage, time.monotonic() - flight.begun
        flight.usage = Usage(told.prompt_tokens, told.completion_tokens, told.finish_reason, first, seconds, count)

    def _chunks(self, flight: Flight) -> AsyncGenerator[str | Usage | Extras | NewAttempt | Waiting, None]:
        """The chunks of one reply, or of several where the first ones do not fit the schema."""
        request = flight.request

        def ask(messages: Sequence[Message], further: Mapping[str, Any]) -> Asked:
            given = {**self._given, **further} if further else self._given
            return fitting(lambda fit: self._once(flight, messages, fit), given, request)

        if request.schema is None:
            return ask(request.messages, {})
        return checked(ask, request.schema, request.messages, native=request.native, further_tries=self._retries)

    def _once(self, flight: Flight, messages: Sequence[Message], given: Mapping[str, Any]) -> Once:
        """The chunks of one request: now, or when it is its turn."""
        self._server.sent.discard(flight.item.index)
        if self._server.pace.is_free:
            return self._now(flight, messages, given)
        return self._in_turn(flight, messages, given)

    async def _in_turn(self, flight: Flight, messages: Sequence[Message], given: Mapping[str, Any]) -> Once:
        await self._server.pace.turn()
        async with InnerGenerator(self._now(flight, messages, given)) as chunks:
            async for chunk in chunks:
                yield chunk

    def _now(self, flight: Flight, messages: Sequence[Message], given: Mapping[str, Any]) -> Once:
        flight.started, flight.begun = time.time(), time.monotonic()
        self._server.sent.add(flight.item.index)
        if self._server.concurrency.sent(flight.begun):
            self._on_trial(flight)
        target = flight.request.target
        asked = flight.watch.asking(target.provider_class.create_async_generator(target.model, messages, **given))
        return asked if self._silence is None else listening(asked, self._silence)

"""From a request to its reply: who is asked, how often, and what is checked."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from typing import Any

from flowgpt_magic.messages import LeftOut, Message, NewAttempt, Usage, Waiting
from flowgpt_magic.messages.extras import Extras
from flowgpt_magic.providers.inner_generator import InnerGenerator
from flowgpt_magic.replies.cache import ReplyCache
from flowgpt_magic.replies.continuation import Continuation
from flowgpt_magic.replies.reply import Recorder, Reply
from flowgpt_magic.replies.request import Request
from flowgpt_magic.replies.retry import listening, with_retries
from flowgpt_magic.replies.structured_output import checked
from flowgpt_magic.replies.supported_parameters import fitting
from flowgpt_magic.replies.tracing import Telemetry

Chunks = AsyncGenerator[str | Usage | Extras, None]
TriedChunks = AsyncGenerator[str | Usage | Extras | Waiting, None]
CheckedChunks = AsyncGenerator[str | Usage | Extras | NewAttempt | Waiting, None]
Ask = Callable[[Sequence[Message], Mapping[str, Any]], TriedChunks]


def attempt_chunks(
    request: Request, telemetry: Telemetry, messages: Sequence[Message], given: Mapping[str, Any]
) -> Chunks:
    """The chunks of the provider, which is asked once.

    Without a chunk for ``read_timeout`` it has failed, where that was set; providers that take this setting see to it.
    """
    provider, chosen = request.target.provider_class, request.settings
    chunks = telemetry.asking(provider.create_async_generator(request.target.model, messages, **given))
    if "read_timeout" not in chosen.sources or "read_timeout" in provider.settings:
        return chunks
    return listening(chunks, chosen.read_timeout)


def checked_chunks(request: Request, ask: Ask, further_tries: int) -> CheckedChunks:
    """The chunks of the reply to ``request``, checked by its schema and asked again up to ``further_tries`` times.

    ``ask`` gets messages and the parameters that the model takes.
    """

    def fitted(messages: Sequence[Message], further: Mapping[str, Any]) -> TriedChunks:
        given = {**request.parameters, **further} if further else request.parameters
        return fitting(lambda taken: ask(messages, taken), given, request)

    if request.schema is None:
        return fitted(request.messages, {})
    return checked(fitted, request.schema, request.messages, native=request.native, further_tries=further_tries)


def asked(request: Request, telemetry: Telemetry) -> CheckedChunks:
    """The chunks of the reply to ``request``: asked again where that may help, checked by its schema."""
    retries = request.settings.retries

    def ask(messages: Sequence[Message], given: Mapping[str, Any]) -> TriedChunks:
        who = request.target.provider
        return with_retries(lambda: attempt_chunks(request, telemetry, messages, given), who=who, retries=retries)

    chunks = checked_chunks(request, ask, retries)
    return _after(request.begins_with, chunks) if request.begins_with else chunks


async def _after(begin: str, chunks: CheckedChunks) -> CheckedChunks:
    """``begin``, and the chunks that go on with it; all reasoning in it stands at the start."""
    async with InnerGenerator(chunks) as tried:
        joined = Continuation(begin)
        yield joined.begin()
        async for chunk in tried:
            if isinstance(chunk, str):
                for piece in joined.add(chunk):
                    yield piece
            else:
                yield chunk
        for piece in joined.finish():
            yield piece


def create_reply(
    request: Request,
    replays: ReplyCache,
    recorder: Recorder | None = None,
    conversation_id: str = "",
    *,
    refresh: bool = False,
) -> Reply:
    """The reply to ``request``, which is asked for when it is first read.

    Args:
        request: What is asked, and of whom.
        replays: Where an answer that is known is found, if the setting ``cache`` is on.
        recorder: Keeps the turn; None keeps nothing.
        conversation_id: The conversation that it is kept in, for those who trace; "" for none.
        refresh: Ask also where an answer is known.
    """
    telemetry = Telemetry(request, conversation_id)

    def source() -> CheckedChunks:
        if request.settings.cache:
            return replays.answer(reply, request.key, lambda: asked(request, telemetry), refresh=refresh)
        return asked(request, telemetry)

    reply: Reply = Reply(
        source,
        provider=request.target.provider,
        model=request.target.model,
        messages=request.messages,
        schema=request.schema,
        observer=telemetry,
        recorder=recorder,
    )
    if request.left_out:
        reply.left_out = request.left_out
        reply.notices.append(LeftOut(request.left_out, f"history_tokens = {request.settings.history_tokens}"))
    return reply

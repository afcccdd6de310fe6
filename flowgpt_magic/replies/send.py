"""Turn a request into a reply: send it, retry it, check it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from flowgpt_magic.messages import LeftOut, Message
from flowgpt_magic.providers.inner_generator import InnerGenerator
from flowgpt_magic.replies.cache import ReplyCache
from flowgpt_magic.replies.continuation import continued
from flowgpt_magic.replies.cost import with_cost
from flowgpt_magic.replies.earlier_images import with_readable_images
from flowgpt_magic.replies.received import CheckedChunks, RetriedChunks, SplitChunks
from flowgpt_magic.replies.reply import Recorder, Reply
from flowgpt_magic.replies.request import Request
from flowgpt_magic.replies.retry import with_retries, with_silence_limit
from flowgpt_magic.replies.structured_output import Ask, with_schema_check
from flowgpt_magic.replies.supported_parameters import with_supported_parameters
from flowgpt_magic.replies.think_tags import split_think_tags
from flowgpt_magic.replies.tracing import Telemetry


def attempt_chunks(
    request: Request, telemetry: Telemetry, messages: Sequence[Message], parameters: Mapping[str, Any]
) -> SplitChunks:
    """The chunks of one attempt, with the reasoning between tags told apart if ``think_tags`` is on.

    If ``read_timeout`` was set and the provider does not support it, it is enforced here; reasoning counts as data.
    """
    provider, chosen = request.target.provider_class, request.settings
    chunks = telemetry.attempt(provider.create_async_generator(request.target.model, messages, **parameters))
    if "read_timeout" in chosen.sources and "read_timeout" not in provider.settings:
        chunks = with_silence_limit(chunks, chosen.read_timeout)
    return split_think_tags(chunks) if chosen.think_tags else chunks


def checked_chunks(request: Request, ask: Ask, retries: int) -> CheckedChunks:
    """The chunks of the reply to ``request``. One that does not fit the schema is retried up to ``retries`` times.

    ``ask`` gets the messages and the parameters that the model supports.
    """

    def ask_supported(messages: Sequence[Message], added: Mapping[str, Any]) -> RetriedChunks:
        parameters = {**request.parameters, **added} if added else request.parameters

        def ask_readable(readable: Sequence[Message]) -> RetriedChunks:
            return with_supported_parameters(lambda supported: ask(readable, supported), parameters, request)

        return with_readable_images(ask_readable, messages, request)

    if request.schema is None:
        return ask_supported(request.messages, {})
    return with_schema_check(ask_supported, request.schema, request.messages, native=request.native, retries=retries)


def reply_chunks(request: Request, telemetry: Telemetry) -> CheckedChunks:
    """The chunks of the reply to ``request``: retried after failures, checked against the schema."""
    retries = request.settings.retries

    def ask(messages: Sequence[Message], parameters: Mapping[str, Any]) -> RetriedChunks:
        who = request.target.provider
        return with_retries(lambda: attempt_chunks(request, telemetry, messages, parameters), who=who, retries=retries)

    chunks = checked_chunks(request, ask, retries)
    turn = request.continues
    return chunks if turn is None else continued(turn, chunks, think_tags=request.settings.think_tags)


async def _checked(check: Callable[[], None], chunks: CheckedChunks) -> CheckedChunks:
    """``chunks``, of which nothing is sent unless ``check`` returns."""
    await asyncio.to_thread(check)
    async with InnerGenerator(chunks) as inner:
        async for chunk in inner:
            yield chunk


def create_reply(
    request: Request,
    cache: ReplyCache,
    recorder: Recorder | None = None,
    conversation_id: str = "",
    *,
    refresh: bool = False,
    begin: Callable[[], None] | None = None,
    check: Callable[[], None] | None = None,
) -> Reply:
    """The reply to ``request``. The request is sent when the reply is first read.

    Args:
        request: the request.
        cache: where equal requests are looked up if the setting ``cache`` is on.
        recorder: records the turn; None records nothing.
        conversation_id: the conversation of the turn, for traces; "" for none.
        refresh: send the request even if its reply is known.
        begin: is called on the worker's loop just before the request is sent; None for nothing.
        check: is called in a thread before the request is sent, not before a stored reply is returned; raises the
            error for a request that must not be sent.
    """
    telemetry = Telemetry(request, conversation_id)

    def source() -> CheckedChunks:
        if begin is not None:
            begin()

        def send() -> CheckedChunks:
            chunks = reply_chunks(request, telemetry)
            return chunks if check is None else _checked(check, chunks)

        if request.settings.cache:
            return cache.answer(reply, request.key, send, refresh=refresh)
        return send()

    reply: Reply = Reply(
        source,
        provider=request.target.provider,
        model=request.target.model,
        messages=request.messages,
        schema=request.schema,
        observer=telemetry,
        recorder=recorder,
        charge=partial(with_cost, request),
    )
    reply.sent, reply.keep_reasoning = request.sent, request.settings.keep_reasoning
    if request.left_out:
        reply.left_out = request.left_out
        reply.notices.append(LeftOut(request.left_out, f"history_tokens = {request.settings.history_tokens}"))
    return reply

"""From a request to its reply: who is asked, how often, and what is checked."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any

from flowgpt_magic.messages import LeftOut, Message, NewAttempt, Usage, Waiting
from flowgpt_magic.messages.extras import Extras
from flowgpt_magic.providers.inner_generator import InnerGenerator
from flowgpt_magic.replies.cache import ReplyCache
from flowgpt_magic.replies.continuation import Continued
from flowgpt_magic.replies.reply import Recorder, Reply
from flowgpt_magic.replies.request import Request
from flowgpt_magic.replies.retry import with_retries
from flowgpt_magic.replies.structured_output import checked
from flowgpt_magic.replies.supported_parameters import Chunks as Asked
from flowgpt_magic.replies.supported_parameters import fitting
from flowgpt_magic.replies.tracing import Watch

Chunks = AsyncGenerator[str | Usage | Extras | NewAttempt | Waiting, None]
TriedChunks = AsyncGenerator[str | Usage | Extras | Waiting, None]


def asked(request: Request, watch: Watch) -> Chunks:
    """The chunks of the reply to ``request``: asked again where that may help, checked by its schema."""
    chosen, provider = request.settings, request.target.provider_class
    listens = "read_timeout" in provider.settings
    silence = None if listens or "read_timeout" not in chosen.sources else chosen.read_timeout

    def ask(messages: Sequence[Message], further: Mapping[str, Any]) -> Asked:
        def with_parameters(given: Mapping[str, Any]) -> Asked:
            return with_retries(
                lambda: watch.asking(provider.create_async_generator(request.target.model, messages, **given)),
                who=request.target.provider,
                retries=chosen.retries,
                silence=silence,
            )

        return fitting(with_parameters, {**request.parameters, **further}, request)

    if request.schema is None:
        return _after(request.begins_with, ask(request.messages, {}))
    return checked(ask, request.schema, request.messages, native=request.native, further_tries=chosen.retries)


async def _after(begin: str, chunks: TriedChunks) -> Chunks:
    """``begin``, if there is one, and the chunks that go on with it; all reasoning in it stands at the start."""
    async with InnerGenerator(chunks) as tried:
        joined = Continued(begin)
        if begin:
            yield joined.begin()
        async for chunk in tried:
            if begin and isinstance(chunk, str):
                for piece in joined.add(chunk):
                    yield piece
            else:
                yield chunk
        for piece in joined.finish() if begin else ():
            yield piece


def reply_to(
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
    watch = Watch(request, conversation_id)

    def source() -> Chunks:
        if request.settings.cache:
            return replays.answer(reply, request.key, lambda: asked(request, watch), refresh=refresh)
        return asked(request, watch)

    reply: Reply = Reply(
        source,
        provider=request.target.provider,
        model=request.target.model,
        messages=request.messages,
        schema=request.schema,
        watch=watch,
        recorder=recorder,
    )
    if request.left_out:
        reply.left_out = request.left_out
        reply.notices.append(LeftOut(request.left_out, f"history_tokens = {request.settings.history_tokens}"))
    return reply

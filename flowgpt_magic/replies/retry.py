"""Retry a request that failed before its first chunk, and give up on a silent provider.

``is_temporary`` and ``pause_before`` hold the rules, for single prompts and for batches.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable

from flowgpt_magic.errors import (
    AuthenticationError,
    MismatchError,
    ModelNotFoundError,
    ParameterRefusedError,
    ProviderConnectionError,
    ProviderError,
    ProviderStatusError,
    ProviderTimeoutError,
    QuotaError,
    SchemaNotSupportedError,
    StreamInterruptedError,
)
from flowgpt_magic.messages import Waiting, notice
from flowgpt_magic.providers.inner_generator import InnerGenerator
from flowgpt_magic.replies.received import Chunks, RetriedChunks, SplitChunks

# Seconds. Each pause is twice the previous one. The Python clients of OpenAI and Anthropic use the same two values.
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 8.0
LONGEST_WAIT = 120.0  # seconds; if the server asks for a longer wait, there is no retry
TEMPORARY_STATUSES = (408, 409, 425, 429)  # and all from 500 on
PERMANENT_ERRORS = (AuthenticationError, ModelNotFoundError, ParameterRefusedError, QuotaError, SchemaNotSupportedError)


async def with_retries(ask: Callable[[], SplitChunks], *, who: str, retries: int) -> RetriedChunks:
    """The chunks of ``ask``. If it fails before its first chunk, it is called again, up to ``retries`` times.

    Reasoning is a chunk: what has arrived is shown, kept and paid for, whether it is text or reasoning.

    ``who`` is the name of the provider, for the line that is shown during a pause. Each pause is announced by a
    ``Waiting``, and each kind of failure by one notice. Raises the last ``ProviderError`` if no retry is left, or if a
    retry would not help.
    """
    noticed: set[str] = set()
    for attempt in range(retries + 1):
        started = False
        try:
            async with InnerGenerator(ask()) as chunks:
                async for chunk in chunks:
                    started = True
                    yield chunk
            return
        except ProviderError as error:
            pause = pause_before(error, attempt)
            if started or attempt == retries or pause is None:
                raise
            why, failure = f"{who} {_what_happened(error)}", retry_notice(error)
        if failure not in noticed:
            noticed.add(failure)
            notice(failure)
        yield Waiting(why, time.monotonic() + pause)
        await asyncio.sleep(pause)


def is_temporary(error: ProviderError) -> bool:
    """Might the same request succeed a moment later?

    Temporary are: the statuses 408, 409, 425, 429 and from 500 on, any status with ``Retry-After``, a failure to
    connect, and a connection closed without an answer. Permanent are: a used-up quota, a refused key, an unknown model.
    A timeout counts as permanent: the server may still be working on the request, and would charge for both.
    """
    if isinstance(error, PERMANENT_ERRORS):
        return False
    if isinstance(error, ProviderStatusError):
        return error.status >= 500 or error.status in TEMPORARY_STATUSES or bool(error.retry_after)
    if isinstance(error, ProviderConnectionError):
        return not error.lasting
    return isinstance(error, StreamInterruptedError)


def pause_before(error: ProviderError, attempt: int) -> float | None:
    """Seconds to wait before the next attempt, or None if a retry would not help.

    ``attempt`` counts from 0. The pause doubles with each attempt. ``Retry-After`` replaces it if it is longer; if it
    is longer than ``LONGEST_WAIT``, the result is None.
    """
    requested = (error.retry_after or 0.0) if isinstance(error, ProviderStatusError) else 0.0
    if requested > LONGEST_WAIT or not is_temporary(error):
        return None
    # Random, so that requests that failed together are not all retried at the same moment.
    pause: float = min(FIRST_PAUSE * 2**attempt, LONGEST_PAUSE) * random.uniform(0.75, 1.0)  # noqa: S311
    return max(requested, pause)


def retry_notice(error: BaseException | None) -> str:
    """The notice that says, in few words, why the model is asked again. The reply's own error says the rest."""
    return f"asked again after it {_what_happened(error)}"


def _what_happened(error: BaseException | None) -> str:
    """The failure as a short predicate, for use after the name of the provider or ``it``."""
    if isinstance(error, ProviderStatusError):
        return f"answered {error.status}"
    if isinstance(error, ProviderConnectionError):
        return "could not be reached"
    if isinstance(error, StreamInterruptedError):
        return "closed the connection"
    return "sent a reply that does not fit" if isinstance(error, MismatchError) else "failed"


async def with_silence_limit(chunks: Chunks, seconds: float) -> Chunks:
    """``chunks``. Raises ``ProviderTimeoutError`` if the next one does not arrive within ``seconds``."""
    async with InnerGenerator(chunks) as inner:
        while True:
            try:
                chunk = await asyncio.wait_for(anext(inner), seconds)
            except StopAsyncIteration:
                return
            except asyncio.TimeoutError:
                advice = "allow more seconds with --timeout (setting read_timeout)"
                raise ProviderTimeoutError(f"nothing was received for {seconds:g} s: {advice}.") from None
            yield chunk

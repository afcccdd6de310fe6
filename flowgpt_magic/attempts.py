"""Ask again after a failure that came before the first chunk, and give up on a silent provider."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

from flowgpt_magic.errors import (
    ProviderConnectionError,
    ProviderError,
    ProviderStatusError,
    ProviderTimeoutError,
    QuotaError,
    RateLimitError,
    StreamInterruptedError,
)
from flowgpt_magic.messages import Usage, notice

Chunks = AsyncGenerator[str | Usage, None]

FIRST_PAUSE, LONGEST_PAUSE = 1.0, 30.0  # seconds; each pause is twice the one before it
LONGEST_WAIT = 120.0  # seconds; a server that asks for a longer one is not asked again
PASSING = (408, 409, 425)  # statuses below 500 that another try may not get


async def persistent(ask: Callable[[], Chunks], *, retries: int, silence: float | None) -> Chunks:
    """The chunks of ``ask``, which is called again up to ``retries`` times while it fails before its first chunk.

    The pauses grow, or are as long as the server asks for. With ``silence``, no chunk for so many seconds is a
    ``ProviderTimeoutError``. Each further try is told as a notice.
    """
    for attempt in range(retries + 1):
        begun = False
        try:
            async with aclosing(listening(ask(), silence)) as chunks:
                async for chunk in chunks:
                    begun = True
                    yield chunk
            return
        except ProviderError as error:
            pause = pause_before(error, attempt)
            if begun or attempt == retries or pause is None:
                raise
            notice(f"asked again after {type(error).__name__}: {error}")
        await asyncio.sleep(pause)


def pause_before(error: ProviderError, attempt: int) -> float | None:
    """Seconds to wait before another try after ``attempt`` earlier ones; None where it would fail the same way.

    The pause grows with every attempt. A longer wait that the server asks for replaces it; a shorter one, such as 0,
    does not.
    """
    if isinstance(error, QuotaError):
        return None
    asked = error.retry_after if isinstance(error, ProviderStatusError) else None
    if asked is not None and asked > LONGEST_WAIT:
        return None
    if isinstance(error, ProviderStatusError):
        passing = error.status >= 500 or error.status in PASSING or isinstance(error, RateLimitError)
    else:
        passing = isinstance(error, (ProviderConnectionError, ProviderTimeoutError, StreamInterruptedError))
    # Not all at the same moment: whoever failed together would fail together again.
    growing = min(FIRST_PAUSE * 2**attempt, LONGEST_PAUSE) * random.uniform(0.7, 1.0)  # noqa: S311
    return max(asked or 0.0, growing) if passing else None


async def listening(chunks: Chunks, silence: float | None) -> Chunks:
    """``chunks``; none for ``silence`` seconds is a ``ProviderTimeoutError``."""
    async with aclosing(chunks):
        while True:
            try:
                chunk = await asyncio.wait_for(anext(chunks), silence)
            except StopAsyncIteration:
                return
            except asyncio.TimeoutError:
                raise ProviderTimeoutError(f"no word for {silence:g} s") from None
            yield chunk

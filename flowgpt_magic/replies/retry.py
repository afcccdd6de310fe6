"""Retry a request that failed before its first chunk, and give up on a silent provider.

``is_temporary`` and ``pause_before`` hold the rules, for single prompts and for batches.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncGenerator, Callable

from flowgpt_magic.errors import (
    AuthenticationError,
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
from flowgpt_magic.messages import Usage, Waiting, notice
from flowgpt_magic.messages.extras import Extras
from flowgpt_magic.providers.inner_generator import InnerGenerator

Chunks = AsyncGenerator[str | Usage | Extras, None]

# Seconds. Each pause is twice the one before it. OpenAI's and Anthropic's own clients have the same two numbers.
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 8.0
LONGEST_WAIT = 120.0  # seconds; a server that asks for a longer wait is not asked again
PASSING = (408, 409, 425, 429)  # statuses below 500 that another try may not get
LASTING = (AuthenticationError, ModelNotFoundError, ParameterRefusedError, QuotaError, SchemaNotSupportedError)


async def with_retries(
    ask: Callable[[], Chunks], *, who: str, retries: int
) -> AsyncGenerator[str | Usage | Extras | Waiting, None]:
    """The chunks of ``ask``, which is called again while it fails before its first chunk.

    ``who`` names the provider to the person who waits. ``retries`` is the number of further calls at most.

    Before each pause comes a ``Waiting``. Each failure is told once as a notice. Raises the last failure where no try
    is left, or where another one would not help.
    """
    told: set[str] = set()
    for attempt in range(retries + 1):
        begun = False
        try:
            async with InnerGenerator(ask()) as chunks:
                async for chunk in chunks:
                    begun = True
                    yield chunk
            return
        except ProviderError as error:
            pause = pause_before(error, attempt)
            if begun or attempt == retries or pause is None:
                raise
            why, failure = f"{who} {failure_phrase(error)}", retry_notice(error)
        if failure not in told:
            told.add(failure)
            notice(failure)
        yield Waiting(why, time.monotonic() + pause)
        await asyncio.sleep(pause)


def is_temporary(error: ProviderError) -> bool:
    """Might the same request be answered a moment later?

    The statuses 408, 409, 425, 429 and those from 500 on may pass, and so may any other with which the server asks to
    wait, a failure to connect, and a connection that was closed without an answer. A quota that is used up, a key that
    is refused and a model that is not there do not pass. A request that was sent and met nothing
    but silence is not made again: the server may still work on it, and would do so, and charge for it, twice.
    """
    if isinstance(error, LASTING):
        return False
    if isinstance(error, ProviderStatusError):
        return error.status >= 500 or error.status in PASSING or bool(error.retry_after)
    if isinstance(error, ProviderConnectionError):
        return not error.lasting
    return isinstance(error, StreamInterruptedError)


def pause_before(error: ProviderError, attempt: int) -> float | None:
    """Seconds to wait before another try after ``attempt`` earlier ones; None where another try would not help.

    The pause grows with every attempt. A longer wait that the server asks for replaces it; a shorter one, such as 0,
    does not. A server that asks for more than ``LONGEST_WAIT`` is not asked again.
    """
    asked = (error.retry_after or 0.0) if isinstance(error, ProviderStatusError) else 0.0
    if asked > LONGEST_WAIT or not is_temporary(error):
        return None
    # Not all at the same moment: whoever failed together would fail together again.
    growing: float = min(FIRST_PAUSE * 2**attempt, LONGEST_PAUSE) * random.uniform(0.75, 1.0)  # noqa: S311
    return max(asked, growing)


def retry_notice(error: BaseException | None) -> str:
    """The notice that says why a prompt is asked once more."""
    return f"asked again after {type(error).__name__}: {error}"


def failure_phrase(error: ProviderError) -> str:
    """How a provider failed, in a few words that stand behind its name."""
    if isinstance(error, ProviderStatusError):
        return f"answered {error.status}"
    if isinstance(error, ProviderConnectionError):
        return "could not be reached"
    if isinstance(error, StreamInterruptedError):
        return "closed the connection"
    return "failed"


async def listening(chunks: Chunks, silence: float) -> Chunks:
    """``chunks``; none for ``silence`` seconds is a ``ProviderTimeoutError``."""
    async with InnerGenerator(chunks) as heard:
        while True:
            try:
                chunk = await asyncio.wait_for(anext(heard), silence)
            except StopAsyncIteration:
                return
            except asyncio.TimeoutError:
                longer = "allow more seconds with --timeout (setting read_timeout)"
                raise ProviderTimeoutError(f"no word for {silence:g} s: {longer}.") from None
            yield chunk

"""Further tries, and the patience with a silent provider."""

from __future__ import annotations

import asyncio
import time
from itertools import pairwise
from typing import Any

import pytest

from flowgpt_magic.errors import (
    AuthenticationError,
    ConnectTimeoutError,
    ModelNotFoundError,
    ParameterRefusedError,
    PermissionDeniedError,
    ProtocolError,
    ProviderConnectionError,
    ProviderError,
    ProviderStatusError,
    ProviderTimeoutError,
    QuotaError,
    RateLimitError,
    SchemaNotSupportedError,
    StreamInterruptedError,
)
from flowgpt_magic.messages import Waiting, notices_to
from flowgpt_magic.replies import retry as attempts
from flowgpt_magic.replies.retry import with_retries, with_silence_limit


class Failing:
    """Fails with these errors one after the other, each after so many chunks; then says ``done``."""

    def __init__(self, *errors: ProviderError, after: int = 0) -> None:
        self.errors, self.after, self.asked, self.closed = list(errors), after, 0, 0

    async def __call__(self):
        self.asked += 1
        try:
            for _ in range(self.after):
                yield "chunk"
            if self.errors:
                raise self.errors.pop(0)
            yield "done"
        finally:
            self.closed += 1


@pytest.fixture
def pauses(monkeypatch) -> list[float]:
    """The pauses that would have been made."""
    made: list[float] = []

    async def pass_over(seconds: float) -> None:
        made.append(seconds)

    monkeypatch.setattr(attempts.asyncio, "sleep", pass_over)
    return made


def quiet(asked: Any, silence: float | None) -> Any:
    """``asked``, which is given up after so many seconds of silence."""
    return asked if silence is None else lambda: with_silence_limit(asked(), silence)


async def read(
    asked: Failing, retries: int = 3, silence: float | None = None, waits: list[Waiting] | None = None
) -> list[object]:
    """The chunks; the pauses that were told go into ``waits``."""
    found: list[object] = []
    async for chunk in with_retries(quiet(asked, silence), who="fake", retries=retries):
        if isinstance(chunk, Waiting):
            (found if waits is None else waits).append(chunk)
        else:
            found.append(chunk)
    return [each for each in found if not isinstance(each, Waiting)]


PASSING = [
    ProviderConnectionError("refused"),
    ConnectTimeoutError("no connection"),
    StreamInterruptedError("cut"),
    ProviderStatusError("busy", 503),
    ProviderStatusError("too slow", 408),
    ProviderStatusError("conflict", 409),
    ProviderStatusError("too early", 425),
    RateLimitError("slow down", 429),
    PermissionDeniedError("too many requests at once", 403, 0.001),
]


@pytest.mark.parametrize("error", PASSING, ids=lambda error: type(error).__name__ + str(getattr(error, "status", "")))
async def test_a_failure_that_may_pass_is_followed_by_another_try(error, pauses):
    asked = Failing(error)
    told: list[str] = []

    with notices_to(told.append):
        chunks = await read(asked)

    assert (chunks, asked.asked, asked.closed, len(pauses)) == (["done"], 2, 2, 1)
    assert [line.partition(" it ")[0] for line in told] == ["asked again after"]
    assert str(error) not in told[0]  # the error of a reply that fails says it


@pytest.mark.parametrize(
    "error",
    [
        AuthenticationError("no", 401, 1.0),
        PermissionDeniedError("no", 403),
        PermissionDeniedError("no", 403, 0.0),
        ProtocolError("what?"),
        ProviderStatusError("no", 404),
        RateLimitError("pay first", 402),
        QuotaError("empty", 429),
        ModelNotFoundError("unknown", 500),
        SchemaNotSupportedError("no schema", 500),
        ParameterRefusedError("no top_k", 501, "top_k"),
        ProviderConnectionError("certificate refused", lasting=True),
        ProviderTimeoutError("silent"),
    ],
    ids=lambda error: type(error).__name__ + str(getattr(error, "status", "")),
)
async def test_one_that_would_come_again_is_not(error, pauses):
    asked = Failing(error)

    with pytest.raises(type(error)):
        await read(asked)

    assert (asked.asked, pauses) == (1, [])


async def test_after_the_first_chunk_nothing_is_asked_again(pauses):
    asked = Failing(StreamInterruptedError("cut"), after=1)

    with pytest.raises(StreamInterruptedError):
        await read(asked)

    assert asked.asked == 1


async def test_the_last_error_is_raised_and_the_pauses_grow(pauses):
    asked = Failing(*(ProviderConnectionError(str(number)) for number in range(9)))

    with notices_to(lambda _text: None), pytest.raises(ProviderConnectionError, match="6"):
        await read(asked, retries=6)

    assert asked.asked == 7
    assert all(one * 1.3 < other for one, other in pairwise(pauses[:5]))
    assert max(pauses) <= attempts.LONGEST_PAUSE


async def test_a_server_is_given_the_time_it_asks_for_but_not_any_time(pauses):
    asked = Failing(RateLimitError("wait", 429, 7.5), RateLimitError("wait", 429, 3600))

    with notices_to(lambda _text: None), pytest.raises(RateLimitError):
        await read(asked)

    assert (asked.asked, pauses) == (2, [7.5])


async def test_the_longest_wait_is_still_waited_for(pauses):
    asked = Failing(RateLimitError("wait", 429, attempts.LONGEST_WAIT))

    with notices_to(lambda _text: None):
        await read(asked)

    assert pauses == [attempts.LONGEST_WAIT]


@pytest.mark.parametrize("asked_for", [0.0, 0.001])
async def test_a_wait_of_nothing_does_not_remove_the_growing_pause(asked_for, pauses):
    asked = Failing(*(RateLimitError("wait", 429, asked_for) for _ in range(3)))

    with notices_to(lambda _text: None):
        await read(asked)

    assert pauses[0] >= attempts.FIRST_PAUSE / 2
    assert pauses[0] * 1.3 < pauses[1] < pauses[2]


async def test_before_each_pause_it_says_why_and_until_when(pauses):
    asked = Failing(RateLimitError("wait", 429, 7), ProviderConnectionError("refused"), StreamInterruptedError("cut"))
    waits: list[Waiting] = []
    begun = time.monotonic()

    with notices_to(lambda _text: None):
        await read(asked, waits=waits)

    assert [each.why for each in waits] == [
        "fake answered 429",
        "fake could not be reached",
        "fake closed the connection",
    ]
    assert str(waits[0]) == "fake answered 429; asking again in 7 s"
    for waiting, pause in zip(waits, pauses, strict=True):
        assert begun + pause <= waiting.until <= time.monotonic() + pause


async def test_failures_are_told_once_each_and_the_last_one_is_raised(pauses):
    asked = Failing(*(RateLimitError("busy", status) for status in (429, 429, 503, 429)), RateLimitError("closed", 429))
    told: list[str] = []

    with notices_to(told.append), pytest.raises(RateLimitError, match="closed"):
        await read(asked, retries=4)

    assert told == ["asked again after it answered 429", "asked again after it answered 503"]


async def test_without_retries_it_is_asked_once(pauses):
    asked = Failing(ProviderConnectionError("refused"))

    with pytest.raises(ProviderConnectionError):
        await read(asked, retries=0)

    assert asked.asked == 1


async def test_silence_is_a_failure_and_closes_what_was_asked():
    closed = asyncio.Event()

    async def silent():
        try:
            yield "first"
            await asyncio.Event().wait()
        finally:
            closed.set()

    chunks = with_retries(quiet(silent, 0.01), who="fake", retries=3)

    assert await anext(chunks) == "first"
    with pytest.raises(ProviderTimeoutError, match=r"nothing was received for 0\.01 s: .*--timeout"):
        await anext(chunks)
    assert closed.is_set()


async def test_leaving_early_closes_what_was_asked():
    asked = Failing(after=5)
    chunks = with_retries(asked, who="fake", retries=0)

    await anext(chunks)
    await chunks.aclose()

    assert asked.closed == 1

"""The queue of a gateway: which requests are answered, which wait, and when a refused client should retry."""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from statistics import fmean

from flowgpt_magic.gateway.requests import StatusError

RECENT_REPLIES = 32  # replies whose mean duration is used
INITIAL_WAIT = 1.0  # seconds, at least, to wait before the first reply has ended
WAIT_STEPS = 16  # different waits that are given then
MAX_WAIT = 3600.0  # seconds


def wait_headers(seconds: float) -> dict[str, str]:
    """Headers that ask a client to wait this long.

    ``Retry-After`` is in whole seconds (RFC 9110, section 10.2.3), at least 1; ``retry-after-ms`` is exact.
    """
    return {
        "Retry-After": f"{max(1, math.ceil(seconds))}",
        "retry-after-ms": f"{max(1, math.ceil(seconds * 1000))}",
    }


class RequestQueue:
    """Answers ``concurrency`` requests at a time, and lets ``waiting`` more wait for their turn.

    ``clock`` returns seconds.
    """

    def __init__(self, concurrency: int, waiting: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.admitted = 0  # requests that are being answered or wait
        self._concurrency = concurrency
        self._capacity = concurrency + waiting
        self._clock = clock
        self._slots = asyncio.Semaphore(concurrency)
        self._durations: deque[float] = deque(maxlen=RECENT_REPLIES)
        self._started: list[float] = []  # start times of the replies in flight
        self._initial_waits = 0  # waits given before the first reply has ended
        self._next_free = 0.0  # when a place is expected for the next refused client

    def check_capacity(self) -> None:
        """Raise ``StatusError``, a 429 with the time to wait, if the queue is full."""
        if self.admitted >= self._capacity:
            raise StatusError(429, "too many requests at once", wait_headers(self.next_wait()))

    @contextmanager
    def admit(self) -> Iterator[None]:
        """Take a place in the queue; raises ``StatusError`` if it is full."""
        self.check_capacity()
        self.admitted += 1
        try:
            yield
        finally:
            self.admitted -= 1

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[None]:
        """Wait for a free slot, first come first served. Only replies that succeed count for the mean duration."""
        async with self._slots:
            started = self._clock()
            self._started.append(started)
            try:
                yield
                self._durations.append(self._clock() - started)
            finally:
                self._started.remove(started)

    def next_wait(self) -> float:
        """Seconds after which a client that is refused now is likely to find a place.

        A place becomes free each time a reply ends. Each refused client is promised the next one, so that clients do
        not come back all together and no slot stays idle. Before the first reply has ended, the wait is as long as the
        replies in flight have taken so far, at least ``INITIAL_WAIT``, spread over ``WAIT_STEPS`` values.
        """
        now = self._clock()
        unfinished = [now - started for started in self._started]
        if not self._durations:
            self._initial_waits = (self._initial_waits + 1) % WAIT_STEPS
            return max(INITIAL_WAIT, *unfinished, 0.0) * (1 + self._initial_waits / WAIT_STEPS)
        # Unfinished replies count if they already take longer.
        seconds = max(fmean(self._durations), fmean(unfinished) if unfinished else 0.0)
        self._next_free = min(max(self._next_free, now) + seconds / self._concurrency, now + MAX_WAIT)
        return self._next_free - now

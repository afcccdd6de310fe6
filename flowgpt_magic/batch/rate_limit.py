"""The rate of requests: at equal intervals, and none while the server asks to wait.

A token bucket, as in most rate limiters, lets a full minute's requests go at once, and as many again within the same
minute. Here each request goes one interval after the previous one.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable

MINUTE = 60.0  # seconds
SLACK = 1.01  # factor of the intervals: a request that is delayed on its way must not meet the next one
MAX_CATCH_UP = 0.1  # seconds of a delay that the next requests make up for: a busy loop wakes late
RESTART_SPREAD = 1.0  # seconds over which requests that waited together are spread
PAUSE_SPREAD = 0.05  # random extra part of a pause, so that several clients of a server do not return together


class RateLimiter:
    """Allows ``per_minute`` requests in any 60-second window, at equal intervals; None means no limit.

    ``clock`` returns monotonic seconds, ``sleep`` waits. All calls come from one loop.
    """

    def __init__(
        self,
        per_minute: float | None,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._interval = MINUTE / per_minute * SLACK if per_minute else 0.0
        self._clock, self._sleep = clock, sleep
        self._next = self._open = 0.0
        self._queue = asyncio.Lock()  # its holder goes next

    def pause(self, seconds: float) -> None:
        """Allow no request for ``seconds``, because the server asks to wait."""
        longer = random.uniform(0, min(RESTART_SPREAD, PAUSE_SPREAD * seconds))  # noqa: S311
        self._open = max(self._open, self._clock() + seconds + longer)

    @property
    def is_free(self) -> bool:
        """May a request go now, without waiting for its turn?"""
        return not self._interval and not self.pausing

    @property
    def pausing(self) -> float:
        """Seconds left of the wait that the server asked for."""
        return max(0.0, self._open - self._clock()) if self._open else 0.0

    async def turn(self) -> None:
        """Return when one more request may go; waiting callers go in their order."""
        if self._interval:
            came = self._clock()
            async with self._queue:
                await self._wait_for(lambda: max(self._next, self._open))
                due = max(self._next, self._open, came)
                # A short delay is made up for, but a long one is not followed by a burst.
                self._next = max(due, self._clock() - MAX_CATCH_UP) + self._interval
        elif self.pausing:
            spread = min(RESTART_SPREAD, PAUSE_SPREAD * self.pausing)
            await self._wait_for(lambda: self._open)
            await self._sleep(random.uniform(0, spread))  # noqa: S311 # not all at once

    async def _wait_for(self, moment: Callable[[], float]) -> None:
        """Wait until ``moment()``, which may move meanwhile."""
        while (left := moment() - self._clock()) > 0:
            await self._sleep(left)

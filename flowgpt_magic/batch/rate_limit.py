"""How fast requests are made: evenly, so many a minute, and none while the server asks to wait.

A bucket of tokens, as most limits are kept with, lets as many go at once as fit into a minute, and then as many again
within the same minute. Here each request goes one interval after the one before it.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable

MINUTE = 60.0  # seconds
SLACK = 1.01  # intervals are so much longer: what is late on its way to the server must not meet what follows it
LATE = 0.1  # seconds of a delay that are made up for: a busy loop wakes nobody on time
RESTART_SPREAD = 1.0  # seconds over which those go on who have waited together
LONGER = 0.05  # of a pause, by which it is longer at random: several clients of a server do not come back together


class Pace:
    """Lets ``per_minute`` requests go in any minute, at equal intervals from the first one on; None lets all go.

    ``clock`` tells the seconds, ``sleep`` waits for some. All calls come from one loop.
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
        self._line = asyncio.Lock()  # who holds it goes next

    def pause(self, seconds: float) -> None:
        """Let nothing go for so long: the server asks for it."""
        longer = random.uniform(0, min(RESTART_SPREAD, LONGER * seconds))  # noqa: S311
        self._open = max(self._open, self._clock() + seconds + longer)

    @property
    def is_free(self) -> bool:
        """May a request be made now, without waiting for its turn?"""
        return not self._interval and not self.pausing

    @property
    def pausing(self) -> float:
        """Seconds that are left of the pause the server has asked for."""
        return max(0.0, self._open - self._clock()) if self._open else 0.0

    async def turn(self) -> None:
        """Return when one more request may be made; those who wait go in the order in which they came."""
        if self._interval:
            came = self._clock()
            async with self._line:
                await self._wait_for(lambda: max(self._next, self._open))
                due = max(self._next, self._open, came)
                # What was late is made up for, but no delay, however long, is followed by a crowd.
                self._next = max(due, self._clock() - LATE) + self._interval
        elif self.pausing:
            spread = min(RESTART_SPREAD, LONGER * self.pausing)
            await self._wait_for(lambda: self._open)
            await self._sleep(random.uniform(0, spread))  # noqa: S311 # not all at the same moment

    async def _wait_for(self, moment: Callable[[], float]) -> None:
        """Until that moment has come, which may be put off meanwhile."""
        while (left := moment() - self._clock()) > 0:
            await self._sleep(left)

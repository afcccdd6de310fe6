"""Who is answered now, who waits, and how long a client that finds no place is told to stay away."""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from statistics import fmean

from flowgpt_magic.gateway.requests import RefusedError

RECENT = 32  # replies whose duration counts
FIRST_WAIT = 1.0  # seconds to wait, or a little longer, while no reply has ended
STEPS = 16  # such waits are spread over so many moments
LONGEST_WAIT = 3600.0  # seconds; a longer wait is no advice


def wait_headers(seconds: float) -> dict[str, str]:
    """The headers that ask a client to wait this long.

    ``Retry-After`` is in whole seconds (RFC 9110, section 10.2.3), at least 1; ``retry-after-ms`` is exact, for
    clients that read it.
    """
    return {
        "Retry-After": f"{max(1, math.ceil(seconds))}",
        "retry-after-ms": f"{max(1, math.ceil(seconds * 1000))}",
    }


class Queue:
    """``concurrency`` replies are made at a time, and ``waiting`` more requests may wait for their turn.

    ``clock`` tells the time in seconds.
    """

    def __init__(self, concurrency: int, waiting: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.present = 0  # requests that are answered or wait for it
        self._concurrency = concurrency
        self._room = concurrency + waiting
        self._clock = clock
        self._seats = asyncio.Semaphore(concurrency)
        self._durations: deque[float] = deque(maxlen=RECENT)
        self._begun: list[float] = []  # when each reply began that is being made
        self._unsure = 0  # counts the waits that were told while no reply had ended
        self._next_free = 0.0  # when the client that is refused next may come

    def check_room(self) -> None:
        """Raise ``RefusedError``, a 429 that says when to come again, where every place is taken."""
        if self.present >= self._room:
            raise RefusedError(429, "too many requests at once", wait_headers(self.next_wait()))

    @contextmanager
    def place(self) -> Iterator[None]:
        """A place among those who are answered or wait; raises ``RefusedError`` where there is none."""
        self.check_room()
        self.present += 1
        try:
            yield
        finally:
            self.present -= 1

    @asynccontextmanager
    async def seat(self) -> AsyncIterator[None]:
        """A turn to be answered; it comes in the order of asking. One that fails says nothing of how long they take."""
        async with self._seats:
            begun = self._clock()
            self._begun.append(begun)
            try:
                yield
                self._durations.append(self._clock() - begun)
            finally:
                self._begun.remove(begun)

    def next_wait(self) -> float:
        """Seconds after which a client that is refused now is likely to find a place.

        A place becomes free each time a reply ends. Each client that is refused is promised the next one, so clients
        do not come back together, and no seat stays empty while they wait. While no reply has ended nothing can be
        promised: then clients are told to ask again soon, and as late again as the replies have taken so far.
        """
        now = self._clock()
        unfinished = [now - begun for begun in self._begun]
        if not self._durations:
            self._unsure = (self._unsure + 1) % STEPS
            return max(FIRST_WAIT, *unfinished, 0.0) * (1 + self._unsure / STEPS)
        # Those that are not finished count where they take longer than the others.
        seconds = max(fmean(self._durations), fmean(unfinished) if unfinished else 0.0)
        self._next_free = min(max(self._next_free, now) + seconds / self._concurrency, now + LONGEST_WAIT)
        return self._next_free - now

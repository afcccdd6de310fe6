"""The number of concurrent requests of a batch: fewer when the server refuses some, more when it accepts them again.

The limit follows TCP's congestion window (additive increase, multiplicative decrease, RFC 5681). A refusal says more
than a lost packet: the requests in flight that were not refused are as many as the server accepts.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Literal

from flowgpt_magic.replies.retry import LONGEST_WAIT

SPREAD = 0.05  # random extra part of a wait, so that clients do not return together
SHORTEST_TRIAL = 0.05  # seconds

Mode = Literal["unknown", "places", "rate"]


class Concurrency:
    """At most ``most`` concurrent requests, fewer while the server accepts fewer; ``clock`` returns monotonic seconds.

    A server refuses requests for one of two reasons: its places are taken (a full queue), or its rate limit is reached.
    With places, each reply makes room for another request, and nothing has to wait. With a rate limit, requests are
    refused until the requested wait is over. One test request, sent after a reply has arrived, tells which it is.
    """

    def __init__(self, most: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._most, self._clock = most, clock
        self._limit = float(most)
        self._steep = float(most)  # up to this limit, each reply adds one
        self._credits: dict[str, tuple[int, float]] = {}  # the rest of each of the server's limits, and until when
        self._mode: Mode = "unknown"
        self._wait = 0.0  # seconds that the server asks to wait, while the mode is unknown
        self._trial: float | None = None  # when the test request was sent
        self.trial_seconds = SHORTEST_TRIAL  # after which a request that was not refused counts as accepted

    @property
    def limit(self) -> int:
        """How many requests may be in flight now."""
        if self._trial is not None:
            return 0
        if not self._credits:
            return int(self._limit)
        now = self._clock()
        left = [count for count, until in self._credits.values() if until > now]
        return min(int(self._limit), *left) if left else int(self._limit)

    @property
    def held_for(self) -> float:
        """Seconds until the server accepts a request again according to its headers; 0 if it accepts some now."""
        if not self._credits:
            return 0.0
        now = self._clock()
        return max((until - now for count, until in self._credits.values() if count < 1 and until > now), default=0.0)

    def answered(self, sent_at: float) -> None:
        """A request sent at ``sent_at`` was answered: the limit grows."""
        self.taken(sent_at)
        self._limit = min(float(self._most), self._limit + (1.0 if self._limit < self._steep else 1.0 / self._limit))

    def refused(self, under_way: int, wait: float, sent_at: float) -> float:
        """A request sent at ``sent_at`` was refused while ``under_way`` others are in flight.

        ``wait`` is the requested wait in seconds. Returns the seconds for which no request may go at all.
        """
        self.trial_seconds = max(SHORTEST_TRIAL, 3 * (self._clock() - sent_at))
        if self._trial == sent_at:
            self._mode, self._trial = "rate", None
        self._steep = max(float(under_way), self._limit / 2)
        self._limit = max(1.0, min(self._limit, float(under_way)))
        if not under_way and self._mode == "places":
            self._mode = "unknown"
        if not under_way or self._mode == "rate":
            self._wait, self._trial = 0.0, None
            return wait
        if self._mode == "unknown" and wait > 0:
            self._wait = wait
        return 0.0

    def sent(self, at: float) -> bool:
        """A request goes out. Returns true if it is the test request; then ``taken`` has to be called soon."""
        if self._trial is not None or self._mode != "unknown" or not self._wait:
            return False
        self._trial = at
        return True

    def taken(self, sent_at: float) -> None:
        """The request sent at ``sent_at`` was not refused: the server had a place for it."""
        if self._trial == sent_at:
            self._mode, self._wait, self._trial = "places", 0.0, None

    def lost(self, sent_at: float) -> None:
        """The request sent at ``sent_at`` failed in another way, and tells nothing."""
        if self._trial == sent_at:
            self._trial = None

    @property
    def heeds_waits(self) -> bool:
        """Do requested waits apply while other requests are in flight?"""
        return self._mode != "places"

    def restart(self) -> None:
        """The server answers again after an outage: start with one request, and return to the old limit quickly."""
        self._steep = max(1.0, self._limit, self._steep / 2)
        self._limit = 1.0

    def told(self, dimension: str, left: float, seconds: float | None) -> None:
        """The server accepts ``left`` more requests in the next ``seconds``, according to one of its limits.

        A limit that resets later than ``LONGEST_WAIT`` is ignored until the server refuses something.
        """
        if seconds is None or seconds > LONGEST_WAIT:
            self._credits.pop(dimension, None)
            return
        seconds += random.uniform(0, min(1.0, SPREAD * seconds))  # noqa: S311
        self._credits[dimension] = (int(left), self._clock() + seconds)

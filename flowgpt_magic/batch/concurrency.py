"""How many requests a batch has under way: fewer when the server refuses some, more again when it takes them.

The limit grows and shrinks as TCP's window does (additive increase, multiplicative decrease, RFC 5681). A refusal
tells more here than a lost packet does there: the requests that were not refused are how many the server takes.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Literal

from flowgpt_magic.replies.retry import LONGEST_WAIT

SPREAD = 0.05  # of a wait, by which it is longer at random: clients do not come back together
SHORTEST_TRIAL = 0.05  # seconds

Mode = Literal["unknown", "places", "rate"]


class Concurrency:
    """At most ``most`` requests at once, fewer while the server takes fewer; ``clock`` tells the seconds.

    A server refuses for one of two reasons. Either it has so many places (a queue that is full), or it takes so many
    requests in a time. With places, each reply makes room for another request, so nobody waits. With a rate, requests
    before the wait that it asks for is over are refused too. It is found out with one request, when a reply has come.
    """

    def __init__(self, most: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._most, self._clock = most, clock
        self._limit = float(most)
        self._steep = float(most)  # up to here the limit grows by one with each reply
        self._credits: dict[str, tuple[int, float]] = {}  # what is left of each of the server's limits, and until when
        self._mode: Mode = "unknown"
        self._wait = 0.0  # seconds that the server asks to wait, while it is being found out why
        self._trial: float | None = None  # when the request was sent that shows why the server refuses
        self.trial_seconds = SHORTEST_TRIAL  # after which a request that was not refused has been taken

    @property
    def limit(self) -> int:
        """How many requests may be under way now."""
        if self._trial is not None:
            return 0
        if not self._credits:
            return int(self._limit)
        now = self._clock()
        left = [count for count, until in self._credits.values() if until > now]
        return min(int(self._limit), *left) if left else int(self._limit)

    @property
    def held_for(self) -> float:
        """Seconds until the server takes a request again, by its own headers; 0 where it takes some now."""
        if not self._credits:
            return 0.0
        now = self._clock()
        return max((until - now for count, until in self._credits.values() if count < 1 and until > now), default=0.0)

    def answered(self, sent_at: float) -> None:
        """A reply has come to a request that was sent at ``sent_at``: one more may be under way, a little later."""
        self.taken(sent_at)
        self._limit = min(float(self._most), self._limit + (1.0 if self._limit < self._steep else 1.0 / self._limit))

    def refused(self, under_way: int, wait: float, sent_at: float) -> float:
        """A request that was sent at ``sent_at`` was refused, while so many others are ``under_way``.

        ``wait`` is in seconds. Returns for how many seconds no request may go at all.
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
        """A request goes out. Is it the one that shows why the server refuses? Then ``taken`` is to be called soon."""
        if self._trial is not None or self._mode != "unknown" or not self._wait:
            return False
        self._trial = at
        return True

    def taken(self, sent_at: float) -> None:
        """The request that was sent at ``sent_at`` was not refused: the server had a place for it."""
        if self._trial == sent_at:
            self._mode, self._wait, self._trial = "places", 0.0, None

    def lost(self, sent_at: float) -> None:
        """The request that was sent at ``sent_at`` has failed in another way, and shows nothing."""
        if self._trial == sent_at:
            self._trial = None

    @property
    def heeds_waits(self) -> bool:
        """Do the waits that the server asks for have to be heeded while replies are under way?"""
        return self._mode != "places"

    def restart(self) -> None:
        """The server answers again after an outage: begin with one request, and soon have as many as before."""
        self._steep = max(1.0, self._limit, self._steep / 2)
        self._limit = 1.0

    def told(self, dimension: str, left: float, seconds: float | None) -> None:
        """The server takes ``left`` more requests in the next ``seconds``, by one of its limits.

        A moment that is further away than ``LONGEST_WAIT`` is not waited for before the server refuses something.
        """
        if seconds is None or seconds > LONGEST_WAIT:
            self._credits.pop(dimension, None)
            return
        seconds += random.uniform(0, min(1.0, SPREAD * seconds))  # noqa: S311
        self._credits[dimension] = (int(left), self._clock() + seconds)

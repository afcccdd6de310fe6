"""What a gateway logs: one line a request, and at most one line a minute about what repeats itself.

A line never holds a word that a client sent: neither prompts nor tokens, nor the bytes of a malformed request.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

logger = logging.getLogger("flowgpt_magic.gateway")

QUIET = 60.0  # seconds between two lines about the same thing


def log_request(status: int, model: str = "-", chunks: int = 0, seconds: float = 0.0) -> None:
    """Log how a request ended: its status, ``provider:model``, and what the reply took."""
    logger.info("%d %s %d chunks %.2f s", status, model, chunks, seconds)


class RepeatedWarning:
    """A warning that is logged at once, then at most once a minute, with the number of times in between."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._next = float("-inf")
        self._unsaid = 0

    def log(self, text: str) -> None:
        """Log ``text``, or count it where the last line about it is younger than a minute."""
        now = self._clock()
        if now < self._next:
            self._unsaid += 1
            return
        repeated = f" ({self._unsaid} more times since the last line about this)" if self._unsaid else ""
        logger.warning("%s%s", text, repeated)
        self._next, self._unsaid = now + QUIET, 0

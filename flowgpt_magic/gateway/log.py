"""Log lines of a gateway: one for each request, and at most one a minute for a repeated warning.

Nothing that a client sent is logged: no prompt, no token, no bytes of a malformed request.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

logger = logging.getLogger("flowgpt_magic.gateway")

WARNING_INTERVAL = 60.0  # seconds between two lines of the same warning


def log_request(status: int, model: str = "-", chunks: int = 0, seconds: float = 0.0) -> None:
    """Log the end of a request: HTTP status, ``provider:model``, chunks sent and seconds taken."""
    logger.info("%d %s %d chunks %.2f s", status, model, chunks, seconds)


class ThrottledWarning:
    """A warning that is logged at once and then at most once a minute, with the number of suppressed lines."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._next = float("-inf")
        self._suppressed = 0

    def log(self, text: str) -> None:
        """Log ``text``, or count it if the last line is less than a minute old."""
        now = self._clock()
        if now < self._next:
            self._suppressed += 1
            return
        repeated = f" ({self._suppressed} more since the last of these lines)" if self._suppressed else ""
        logger.warning("%s%s", text, repeated)
        self._next, self._suppressed = now + WARNING_INTERVAL, 0

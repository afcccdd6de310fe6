"""The waiting prompts of a batch: new ones in order, and retries, each when it is due."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

from flowgpt_magic.batch.turns import PromptInFlight


class PromptQueue:
    """The waiting prompts. ``clock`` returns monotonic seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.new: deque[PromptInFlight] = deque()
        self.again: dict[int, PromptInFlight] = {}
        self._clock = clock

    def __len__(self) -> int:
        return len(self.new) + len(self.again)

    def put_back(self, flight: PromptInFlight, pause: float) -> None:
        """Retry ``flight`` after ``pause`` seconds."""
        flight.due, flight.begun = self._clock() + pause, 0.0
        self.again[flight.item.index] = flight

    def return_first(self, flight: PromptInFlight) -> None:
        """Return a prompt that ``next`` returned, and that cannot be sent yet."""
        if flight.failures:
            self.again[flight.item.index] = flight
        else:
            self.new.appendleft(flight)

    def hurry(self) -> None:
        """Make all retries due now."""
        for flight in self.again.values():
            flight.due = 0.0

    def next(self, *, with_new: bool) -> PromptInFlight | None:
        """Remove and return the first due retry, or else, if ``with_new``, the next new prompt."""
        if self.again:
            now = self._clock()
            due = [index for index, flight in self.again.items() if flight.due <= now]
            if due:
                return self.again.pop(min(due))
        return self.new.popleft() if with_new and self.new else None

    def probe(self) -> PromptInFlight | None:
        """Remove and return the prompt that tests the server, due or not: the one with the fewest failures.

        Otherwise a prompt that crashes the server would be sent again and again.
        """
        if not self.again:
            return self.new.popleft() if self.new else None
        index = min(self.again, key=lambda index: (self.again[index].failures, index))
        if self.new and self.again[index].failures > 1:
            return self.new.popleft()
        return self.again.pop(index)

    @property
    def due_in(self) -> float | None:
        """Seconds until the next retry is due; None without retries."""
        if not self.again:
            return None
        return max(0.0, min(flight.due for flight in self.again.values()) - self._clock())

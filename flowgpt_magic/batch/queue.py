"""The prompts that a batch has to ask: new ones in order, and those that are asked again, each when it is due."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

from flowgpt_magic.batch.turns import Flight


class Line:
    """``clock`` tells the seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.new: deque[Flight] = deque()
        self.again: dict[int, Flight] = {}
        self._clock = clock

    def __len__(self) -> int:
        return len(self.new) + len(self.again)

    def put_back(self, flight: Flight, pause: float) -> None:
        """It is asked again, after ``pause`` seconds."""
        flight.due, flight.begun = self._clock() + pause, 0.0
        self.again[flight.item.index] = flight

    def hurry(self) -> None:
        """Nobody has to wait any more."""
        for flight in self.again.values():
            flight.due = 0.0

    def next(self, *, with_new: bool) -> Flight | None:
        """The first of those that are due, or else, ``with_new``, the next new one; it leaves the line."""
        if self.again:
            now = self._clock()
            due = [index for index, flight in self.again.items() if flight.due <= now]
            if due:
                return self.again.pop(min(due))
        return self.new.popleft() if with_new and self.new else None

    def probe(self) -> Flight | None:
        """One to ask the server with, due or not: the one that has failed least. It leaves the line.

        A prompt that brings the server down would else be asked again and again.
        """
        if not self.again:
            return self.new.popleft() if self.new else None
        index = min(self.again, key=lambda index: (self.again[index].failures, index))
        if self.new and self.again[index].failures > 1:
            return self.new.popleft()
        return self.again.pop(index)

    @property
    def due_in(self) -> float | None:
        """Seconds until the next one of those that are asked again is due; None where there is none."""
        if not self.again:
            return None
        return max(0.0, min(flight.due for flight in self.again.values()) - self._clock())

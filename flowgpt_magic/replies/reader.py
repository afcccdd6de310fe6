"""Read a growing reply, from synchronous code and from coroutines."""

from __future__ import annotations

import asyncio
import queue
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import suppress
from typing import Generic, Protocol, TypeVar

from flowgpt_magic import bridge
from flowgpt_magic.messages import Attempt

T = TypeVar("T")


class ChunkSource(Protocol):
    """What a reader needs from a reply."""

    @property
    def ended(self) -> bool:
        """Is the reply complete, cancelled or failed?"""

    @property
    def attempts(self) -> Sequence[Attempt]:
        """The discarded attempts, oldest first."""

    @property
    def splits(self) -> int:
        """How often what had arrived was split anew into reasoning and text. Then the chunks begin again."""

    def chunks_from(self, place: int) -> list[str]:
        """The chunks received so far, from index ``place`` on."""


class WakingReader(ABC, Generic[T]):
    """A reader that waits for new items until it is woken.

    ``take`` is for synchronous code, ``take_async`` for coroutines on any loop. Both return the items since the last
    call, and an empty list only after a timeout or at the end.
    """

    def __init__(self) -> None:
        # Not a threading.Event, which is not reentrant: the handler of an interrupt may call ``wake`` at any line here.
        self._awake: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._async_awake: asyncio.Event | None = None

    def wake(self, *, reasoning: bool = False) -> None:  # noqa: ARG002 - for readers of text
        """Signal that there is something new, such as ``reasoning``. Called by the reply, from any thread."""
        if not self._awake.empty():
            return
        self._awake.put(None)
        if self._loop and self._async_awake:
            with suppress(RuntimeError):  # the loop is closed, so nothing waits there
                self._loop.call_soon_threadsafe(self._async_awake.set)

    @abstractmethod
    def _new_items(self) -> tuple[list[T], bool]:
        """The new items, and whether to return them now even if there are none.

        Whether the reply has ended is read before the items, so that none is missed.
        """

    def _poll(self) -> tuple[list[T], bool]:
        """The same. The wake-up is cleared first, so that a later one is not lost."""
        with suppress(queue.Empty):
            self._awake.get_nowait()
        return self._new_items()

    def take(self, timeout: float | None = None) -> list[T]:
        """The new items. Waits for one up to ``timeout`` seconds; None: no limit."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            items, returns = self._poll()
            if items or returns:
                return items
            left = bridge.TICK if deadline is None else min(bridge.TICK, deadline - time.monotonic())
            if left <= 0:
                return []
            with suppress(queue.Empty):
                self._awake.get(timeout=left)

    async def take_async(self) -> list[T]:
        """The new items. Waits for one without a limit."""
        if self._async_awake is None:
            self._loop, self._async_awake = asyncio.get_running_loop(), asyncio.Event()
        while True:
            self._async_awake.clear()
            items, returns = self._poll()
            if items or returns:
                return items
            await self._async_awake.wait()


class Reader(WakingReader[str]):
    """One reader's position in a reply.

    When a new attempt begins, the reader gets the reason in brackets, then the chunks of the new attempt. With
    ``waits``, it gets nothing before the reply has ended, and only the last attempt.

    Text may turn out to be reasoning, see ``Reply.splits``. The reader then goes on with the text that is left.

    With ``reasoning``, both also return when reasoning has arrived, which is in ``reply.reasoning_so_far``. Then the
    list may be empty at any time, and ``done`` tells the end.
    """

    def __init__(self, reply: ChunkSource, *, waits: bool = False, reasoning: bool = False) -> None:
        super().__init__()
        self._reply = reply
        self._waits = waits
        self._wakes_for_reasoning = reasoning
        self._has_reasoning = False  # since the last call
        self._place = self._attempt = self._split = 0

    def wake(self, *, reasoning: bool = False) -> None:
        """Signal that there is something new. ``reasoning`` only wakes those who asked for that."""
        if reasoning and not self._wakes_for_reasoning:
            return
        self._has_reasoning = self._has_reasoning or reasoning
        super().wake()

    def _new_items(self) -> tuple[list[str], bool]:
        returns, self._has_reasoning = self._has_reasoning, False
        ended = self._reply.ended
        if self._waits and not ended:
            return [], returns
        attempts = self._reply.attempts
        reasons = [] if self._waits else [f"\n\n[{attempt.why}]\n\n" for attempt in attempts[self._attempt :]]
        if len(attempts) > self._attempt:
            self._attempt, self._place = len(attempts), 0
        if self._split != (splits := self._reply.splits):
            self._split, self._place = splits, 0
        chunks = self._reply.chunks_from(self._place)
        self._place += len(chunks)
        return reasons + chunks, ended or returns

    @property
    def done(self) -> bool:
        """Has the reply ended, and have all its chunks been taken?"""
        all_taken = self._attempt == len(self._reply.attempts) and not self._reply.chunks_from(self._place)
        return self._reply.ended and all_taken

"""One reader's place in a reply that grows, for synchronous code and for coroutines."""

from __future__ import annotations

import asyncio
import queue
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Protocol

from flowgpt_magic import bridge
from flowgpt_magic.messages import Attempt


class ChunkSource(Protocol):
    """What a reader has to know of a reply."""

    @property
    def ended(self) -> bool:
        """Will nothing more arrive?"""

    @property
    def attempts(self) -> Sequence[Attempt]:
        """What has come and will not do, the oldest first."""

    def chunks_from(self, place: int) -> list[str]:
        """The chunks that have arrived, without the first ``place`` ones."""


class Reader:
    """One reader's place in a reply: it takes what is new, and waits for more.

    ``take`` is for synchronous code and ``take_async`` for coroutines on any loop; both return the chunks that came
    since the last call, and an empty list only after a timeout or at the end. A reply that is asked again begins anew:
    one who looks on is told so among the chunks, while one who ``waits`` gets nothing before it is known to stay.
    """

    def __init__(self, reply: ChunkSource, *, waits: bool = False) -> None:
        self._reply = reply
        self._waits = waits
        self._place = self._attempt = 0
        # A queue and no threading.Event: an interrupt's handler cancels, and so wakes, in the middle of any line here.
        self._awake: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._async_awake: asyncio.Event | None = None

    def wake(self) -> None:
        """Called by the reply, on the worker's thread or the canceller's, when there is something new."""
        if not self._awake.empty():
            return
        self._awake.put(None)
        if self._loop and self._async_awake:
            with suppress(RuntimeError):  # that loop is closed: nobody waits there any more
                self._loop.call_soon_threadsafe(self._async_awake.set)

    def _look(self) -> tuple[list[str], bool]:
        """The new chunks, and whether the reply has ended.

        The order matters. Wake-ups are forgotten before anything is looked at, so that no later one is lost, and the
        end is looked at before the chunks, so that none of those is missed.
        """
        with suppress(queue.Empty):
            self._awake.get_nowait()
        ended = self._reply.ended
        if self._waits and not ended:
            return [], False
        attempts = self._reply.attempts
        said = [] if self._waits else [f"\n\n[{each.why}]\n\n" for each in attempts[self._attempt :]]
        if len(attempts) > self._attempt:
            self._attempt, self._place = len(attempts), 0
        chunks = self._reply.chunks_from(self._place)
        self._place += len(chunks)
        return said + chunks, ended

    @property
    def done(self) -> bool:
        """Has the reply ended, and all of it been taken?"""
        taken = self._attempt == len(self._reply.attempts) and not self._reply.chunks_from(self._place)
        return self._reply.ended and taken

    def take(self, timeout: float | None = None) -> list[str]:
        """The new chunks; waits at most ``timeout`` seconds for one, or as long as it takes."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            chunks, ended = self._look()
            if chunks or ended:
                return chunks
            left = bridge.TICK if deadline is None else min(bridge.TICK, deadline - time.monotonic())
            if left <= 0:
                return []
            with suppress(queue.Empty):
                self._awake.get(timeout=left)

    async def take_async(self) -> list[str]:
        """The new chunks; waits for one as long as it takes."""
        if self._async_awake is None:
            self._loop, self._async_awake = asyncio.get_running_loop(), asyncio.Event()
        while True:
            self._async_awake.clear()
            chunks, ended = self._look()
            if chunks or ended:
                return chunks
            await self._async_awake.wait()

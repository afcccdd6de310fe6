"""What requests that belong together share: connections, which the first one makes, and settings, which it reads.

A provider that knows nothing of this loses nothing.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from contextvars import ContextVar
from typing import Any, Protocol, TypeVar


class Closeable(Protocol):
    """What can be shared."""

    def close(self) -> Awaitable[object]:
        """Close it, and wait until it is closed."""


T = TypeVar("T")
C = TypeVar("C", bound=Closeable)


class Together:
    """The requests of one batch; all of them run on one loop."""

    def __init__(self) -> None:
        self._made: dict[Callable[[], Any], Any] = {}
        self._answers: dict[tuple[object, ...], Any] = {}
        self._stack = AsyncExitStack()

    def join(self) -> None:
        """What the current task asks from now on belongs to these."""
        _together.set(self)

    def share(self, make: Callable[[], C]) -> C:
        """What ``make`` has made; it is called once."""
        if make not in self._made:
            self._made[make] = made = make()
            self._stack.push_async_callback(_close, made)
        found: C = self._made[make]
        return found

    def ask_once(self, ask: Callable[[Mapping[str, Any]], T], given: Mapping[str, Any]) -> T:
        """What ``ask`` answers to ``given``; it is called once for the same."""
        key = (ask, *given.items())
        try:
            known = key in self._answers
        except TypeError:  # a value that cannot be hashed
            return ask(given)
        if not known:
            self._answers[key] = ask(given)
        found: T = self._answers[key]
        return found

    async def close(self) -> None:
        """Close what was made; no request may be under way any more."""
        self._made.clear()
        await self._stack.aclose()


async def _close(made: Closeable) -> None:
    await made.close()


_together: ContextVar[Together | None] = ContextVar("flowgpt_together", default=None)


def shared(make: Callable[[], C]) -> C | None:
    """What ``make`` has made for the requests that the current one belongs to; None where it is made by itself."""
    together = _together.get()
    return None if together is None else together.share(make)


def once(ask: Callable[[Mapping[str, Any]], T], given: Mapping[str, Any]) -> T:
    """What ``ask`` answers to ``given``; all requests that belong together ask it once."""
    together = _together.get()
    return ask(given) if together is None else together.ask_once(ask, given)

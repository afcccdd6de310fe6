"""What requests that belong together share: connections, which the first one makes, and settings, which it reads.

A provider that knows nothing of this loses nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextlib import AsyncExitStack
from contextvars import ContextVar
from typing import Any, Protocol, TypeVar


class Closeable(Protocol):
    """What can be shared."""

    def close(self) -> Awaitable[object]:
        """Close it, and wait until it is closed."""


T = TypeVar("T")
C = TypeVar("C", bound=Closeable)


class RequestGroup:
    """The requests of one batch; all of them run on one loop."""

    def __init__(self) -> None:
        self._made: dict[Callable[[], Any], Any] = {}
        self._answers: dict[tuple[object, ...], Any] = {}
        self._awaited: dict[tuple[object, ...], asyncio.Task[Any]] = {}
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
        key = _key(ask, given)
        try:
            known = key in self._answers
        except TypeError:  # a value that cannot be hashed
            return ask(given)
        if not known:
            self._answers[key] = ask(given)
        found: T = self._answers[key]
        return found

    async def await_once(
        self, ask: Callable[[Mapping[str, Any]], Coroutine[Any, Any, T]], given: Mapping[str, Any]
    ) -> T:
        """The same for a coroutine: all wait for one. After a failure the next request asks again."""
        key = _key(ask, given)
        try:
            task: asyncio.Task[T] | None = self._awaited.get(key)
        except TypeError:  # a value that cannot be hashed
            return await ask(given)
        if task is None:
            task = self._awaited[key] = asyncio.create_task(ask(given))
            task.add_done_callback(lambda task: self._forget_failure(key, task))
        # A request that is cancelled while it waits does not cancel what the others wait for.
        return task.result() if task.done() else await asyncio.shield(task)

    def _forget_failure(self, key: tuple[object, ...], task: asyncio.Task[Any]) -> None:
        if task.cancelled() or task.exception() is not None:
            self._awaited.pop(key, None)

    async def close(self) -> None:
        """Close what was made; no request may be under way any more."""
        self._made.clear()
        for task in self._awaited.values():
            task.cancel()
        await self._stack.aclose()


def _key(ask: Callable[..., object], given: Mapping[str, Any]) -> tuple[object, ...]:
    """What two questions have in common that are the same."""
    values = (("mapping", *each.items()) if type(each) is dict else each for each in given.values())
    return (ask, *given, *values)


async def _close(made: Closeable) -> None:
    await made.close()


_together: ContextVar[RequestGroup | None] = ContextVar("flowgpt_together", default=None)


def shared(make: Callable[[], C]) -> C | None:
    """What ``make`` has made for the requests that the current one belongs to; None where it is made by itself."""
    together = _together.get()
    return None if together is None else together.share(make)


def once(ask: Callable[[Mapping[str, Any]], T], given: Mapping[str, Any]) -> T:
    """What ``ask`` answers to ``given``; all requests that belong together ask it once."""
    together = _together.get()
    return ask(given) if together is None else together.ask_once(ask, given)


async def once_awaited(ask: Callable[[Mapping[str, Any]], Coroutine[Any, Any, T]], given: Mapping[str, Any]) -> T:
    """The same for a coroutine. It may not count on the task that calls it: another one may run it."""
    together = _together.get()
    return await (ask(given) if together is None else together.await_once(ask, given))

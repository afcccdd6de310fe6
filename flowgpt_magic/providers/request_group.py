"""Resources that the requests of one batch share: connections, and settings that are read only once.

Providers that do not use this module work all the same.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextlib import AsyncExitStack
from contextvars import ContextVar
from typing import Any, Protocol, TypeVar


class Closeable(Protocol):
    """A resource that requests can share."""

    def close(self) -> Awaitable[object]:
        """Close the resource and wait until it is closed."""


T = TypeVar("T")
C = TypeVar("C", bound=Closeable)


class RequestGroup:
    """The requests of one batch. All of them run on one event loop."""

    def __init__(self) -> None:
        self._resources: dict[Callable[[], Any], Any] = {}
        self._results: dict[tuple[object, ...], Any] = {}
        self._tasks: dict[tuple[object, ...], asyncio.Task[Any]] = {}
        self._stack = AsyncExitStack()

    def join(self) -> None:
        """Add all further requests of the current task to this group."""
        _current.set(self)

    def share(self, create: Callable[[], C]) -> C:
        """The resource that ``create`` returns; it is called once per group."""
        if create not in self._resources:
            self._resources[create] = resource = create()
            self._stack.push_async_callback(_close, resource)
        shared_resource: C = self._resources[create]
        return shared_resource

    def call_once(self, function: Callable[[Mapping[str, Any]], T], arguments: Mapping[str, Any]) -> T:
        """The result of ``function(arguments)``; it is called once for equal arguments."""
        key = _key(function, arguments)
        try:
            cached = key in self._results
        except TypeError:  # an argument that is not hashable
            return function(arguments)
        if not cached:
            self._results[key] = function(arguments)
        result: T = self._results[key]
        return result

    async def await_once(
        self, function: Callable[[Mapping[str, Any]], Coroutine[Any, Any, T]], arguments: Mapping[str, Any]
    ) -> T:
        """Like ``call_once`` for a coroutine function. After a failure the next request calls it again."""
        key = _key(function, arguments)
        try:
            task: asyncio.Task[T] | None = self._tasks.get(key)
        except TypeError:  # an argument that is not hashable
            return await function(arguments)
        if task is None:
            task = self._tasks[key] = asyncio.create_task(function(arguments))
            task.add_done_callback(lambda task: self._forget_failure(key, task))
        # Cancelling one waiting request must not cancel the task that the others wait for.
        return task.result() if task.done() else await asyncio.shield(task)

    def _forget_failure(self, key: tuple[object, ...], task: asyncio.Task[Any]) -> None:
        if task.cancelled() or task.exception() is not None:
            self._tasks.pop(key, None)

    async def close(self) -> None:
        """Close all shared resources. No request may be running any more."""
        self._resources.clear()
        for task in self._tasks.values():
            task.cancel()
        await self._stack.aclose()


def _key(function: Callable[..., object], arguments: Mapping[str, Any]) -> tuple[object, ...]:
    values = (("mapping", *value.items()) if type(value) is dict else value for value in arguments.values())
    return (function, *arguments, *values)


async def _close(resource: Closeable) -> None:
    await resource.close()


_current: ContextVar[RequestGroup | None] = ContextVar("flowgpt_request_group", default=None)


def shared_in_group(create: Callable[[], C]) -> C | None:
    """The resource that ``create`` returns, shared within the current group; None for a request without a group."""
    group = _current.get()
    return None if group is None else group.share(create)


def call_once(function: Callable[[Mapping[str, Any]], T], arguments: Mapping[str, Any]) -> T:
    """The result of ``function(arguments)``, computed once per group for equal arguments."""
    group = _current.get()
    return function(arguments) if group is None else group.call_once(function, arguments)


async def await_once(
    function: Callable[[Mapping[str, Any]], Coroutine[Any, Any, T]], arguments: Mapping[str, Any]
) -> T:
    """Like ``call_once`` for a coroutine function. It may run in a task other than the caller's."""
    group = _current.get()
    return await (function(arguments) if group is None else group.await_once(function, arguments))

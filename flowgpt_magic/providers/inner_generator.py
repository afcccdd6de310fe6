"""An async generator that only the code around it reads and closes.

When an event loop ends, it closes all async generators it knows at the same moment. If one generator reads another,
both are then closed twice, and Python reports "aclose(): asynchronous generator is already running". The loop learns of
a generator through ``sys.set_asyncgen_hooks`` at its first step. An inner generator takes that step without the hooks:
the outer one, which the loop knows, closes it.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator, Awaitable, Callable
from types import TracebackType
from typing import Generic, TypeVar

T = TypeVar("T")
U = TypeVar("U")


class InnerGenerator(Generic[T]):
    """Iterates over ``items`` within ``async with``, and closes them at its end.

    The iteration of ``items`` must not have started.
    """

    def __init__(self, items: AsyncGenerator[T, None]) -> None:
        self._items = items
        self._started = False

    async def __aenter__(self) -> InnerGenerator[T]:
        return self

    async def __aexit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def __aiter__(self) -> InnerGenerator[T]:
        return self

    def __anext__(self) -> Awaitable[T]:
        return self._items.__anext__() if self._started else self._first_step(self._items.__anext__)

    def aclose(self) -> Awaitable[None]:
        """Close ``items``."""
        return self._items.aclose() if self._started else self._first_step(self._items.aclose)

    def _first_step(self, step: Callable[[], Awaitable[U]]) -> Awaitable[U]:
        """Create the first step; the hooks are read at its creation, not when it is awaited."""
        self._started = True
        hooks = sys.get_asyncgen_hooks()
        sys.set_asyncgen_hooks(None, None)
        try:
            return step()
        finally:
            sys.set_asyncgen_hooks(*hooks)

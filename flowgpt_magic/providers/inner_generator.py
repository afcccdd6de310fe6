"""An async generator that only the code around it reads and closes.

An event loop closes every async generator that it knows when it ends, all at the same moment. Where one generator reads
another, both are then closed twice, and Python reports "aclose(): asynchronous generator is already running". The loop
learns of a generator by the hooks of ``sys.set_asyncgen_hooks``, in its first step. An inner generator takes that step
without them: the outer one, which the loop knows, closes it.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator, Awaitable, Callable
from types import TracebackType
from typing import Generic, TypeVar

T = TypeVar("T")
U = TypeVar("U")


class InnerGenerator(Generic[T]):
    """Iterates over ``items`` within ``async with``, and closes them when that is left.

    ``items`` must not have been iterated over before.
    """

    def __init__(self, items: AsyncGenerator[T, None]) -> None:
        self._items = items
        self._begun = False

    async def __aenter__(self) -> InnerGenerator[T]:
        return self

    async def __aexit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def __aiter__(self) -> InnerGenerator[T]:
        return self

    def __anext__(self) -> Awaitable[T]:
        return self._items.__anext__() if self._begun else self._begin(self._items.__anext__)

    def aclose(self) -> Awaitable[None]:
        """Close ``items``."""
        return self._items.aclose() if self._begun else self._begin(self._items.aclose)

    def _begin(self, step: Callable[[], Awaitable[U]]) -> Awaitable[U]:
        """The first step; it reads the hooks when it is made, not when it is awaited."""
        self._begun = True
        hooks = sys.get_asyncgen_hooks()
        sys.set_asyncgen_hooks(None, None)
        try:
            return step()
        finally:
            sys.set_asyncgen_hooks(*hooks)

"""An event loop whose time passes only while it would sleep: hours in a moment, and late whenever a test wants that."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class VirtualLoop(asyncio.SelectorEventLoop):
    """``lateness`` says by how many seconds each sleep is longer than it should be."""

    def __init__(self, lateness: Callable[[], float] = lambda: 0.0) -> None:
        selector = selectors.DefaultSelector()
        super().__init__(selector)
        self.now = 1000.0
        select = selector.select

        def pass_time(timeout: float | None = None) -> Any:
            if timeout is None:
                raise RuntimeError("everybody waits, and nothing will ever happen")
            if timeout > 0:
                self.now += timeout + lateness()
            return select(0)

        selector.select = pass_time  # type: ignore[method-assign]

    def time(self) -> float:
        return self.now


def run(main: Coroutine[Any, Any, T], lateness: Callable[[], float] = lambda: 0.0) -> T:
    """Run ``main`` in virtual time."""
    loop = VirtualLoop(lateness)
    try:
        return loop.run_until_complete(main)
    finally:
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()

"""Let an awaitable object be run as a task: ``asyncio.create_task`` and ``asyncio.run`` accept coroutines only."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import Coroutine
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

T_co = TypeVar("T_co", covariant=True)


class ReusableCoroutine(Coroutine[Any, Any, T_co]):
    """A coroutine that several tasks may run, at the same time or one after the other.

    Each task runs a new coroutine from ``_steps``.
    """

    _running: WeakKeyDictionary[asyncio.Task[Any], Coroutine[Any, Any, T_co]]

    @abstractmethod
    def _steps(self) -> Coroutine[Any, Any, T_co]:
        """A new coroutine that awaits this object."""

    def send(self, value: Any, /) -> Any:
        """Run the next step of the current task."""
        task, running = self._current()
        try:
            return running.send(value)
        except BaseException:
            self._running.pop(task, None)
            raise

    def throw(self, kind: Any, value: Any = None, traceback: Any = None, /) -> Any:
        """Raise an error where the current task waits."""
        task, running = self._current()
        try:
            return running.throw(kind) if value is None and traceback is None else running.throw(kind, value, traceback)
        except BaseException:
            self._running.pop(task, None)
            raise

    def close(self) -> None:
        """Close the coroutine of the current task, if it has one."""
        task = _current_task()
        running = vars(self).get("_running", {}).pop(task, None) if task is not None else None
        if running is not None:
            running.close()

    def _current(self) -> tuple[asyncio.Task[Any], Coroutine[Any, Any, T_co]]:
        task = _current_task()
        if task is None:
            raise RuntimeError("an event loop must run this as a task: use asyncio.run, or await it")
        if "_running" not in vars(self):
            self._running = WeakKeyDictionary()
        if task not in self._running:
            self._running[task] = self._steps()
        return task, self._running[task]


def _current_task() -> asyncio.Task[Any] | None:
    try:
        return asyncio.current_task()
    except RuntimeError:  # no loop runs here
        return None

"""Replies whose chunks a test sends one by one, and threads that read them."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import AsyncGenerator, Callable
from typing import Any

from flowgpt_magic import bridge
from flowgpt_magic.replies.reader import Reader
from flowgpt_magic.replies.reply import Reply

LIMIT = 30  # seconds after which a test has failed; none waits as long
END = object()


class Script:
    """A provider that says what the test tells it to, when it tells it to, and notes what happens to it."""

    def __init__(self, *lines: Any) -> None:
        self.calls = 0
        self.begun = threading.Event()
        self.closed = threading.Event()
        self._lines: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._more: asyncio.Event | None = None
        self.say(*lines)

    async def __call__(self) -> AsyncGenerator[Any, None]:
        self.calls += 1
        self._more = asyncio.Event()
        self.begun.set()
        try:
            while (line := await self._next()) is not END:
                if isinstance(line, BaseException):
                    raise line
                yield line
        finally:
            self.closed.set()

    async def _next(self) -> Any:
        assert self._more is not None
        while self._lines.empty():
            self._more.clear()
            if self._lines.empty():
                await self._more.wait()
        return self._lines.get()

    def say(self, *lines: Any) -> None:
        for line in lines:
            self._lines.put(line)
        if self._more is not None:
            bridge.worker().loop.call_soon_threadsafe(self._more.set)


def ask(source: Callable[[], AsyncGenerator[Any, None]], **options: Any) -> Reply:
    return Reply(source, provider="test", model="script", messages=[{"role": "user", "content": "hi"}], **options)


def take(reader: Reader, count: int) -> list[str]:
    """The next ``count`` chunks."""
    chunks: list[str] = []
    while len(chunks) < count:
        new = reader.take(LIMIT)
        assert new, "nothing came"
        chunks += new
    return chunks


class Thread(threading.Thread):
    """A thread whose result, or error, is handed to whoever joins it."""

    def __init__(self, work: Callable[[], Any]) -> None:
        super().__init__(daemon=True)
        self._work = work
        self.start()

    def run(self) -> None:
        self.value: Any = None
        self.error: BaseException | None = None
        try:
            self.value = self._work()
        except BaseException as error:
            self.error = error

    def result(self) -> Any:
        self.join(LIMIT)
        assert not self.is_alive(), "a reader still waits"
        if self.error is not None:
            raise self.error
        return self.value

"""Awaitable objects that run as tasks: replies and batches in asyncio's own functions."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from flowgpt_magic import Conversation, map_prompts
from flowgpt_magic.replies.task import ReusableCoroutine


class Steps(ReusableCoroutine[int]):
    """Waits for an event, then returns; notes how it ended."""

    def __init__(self) -> None:
        self.begun, self.ended = 0, []
        self.go_on, self.both_begun = asyncio.Event(), asyncio.Event()

    def __await__(self):
        return self._steps().__await__()

    async def _steps(self) -> int:
        self.begun += 1
        if self.begun == 2:
            self.both_begun.set()
        try:
            await self.go_on.wait()
        except BaseException as error:
            self.ended.append(type(error).__name__)
            raise
        return self.begun


async def test_two_tasks_of_one_object_have_steps_of_their_own():
    steps = Steps()
    tasks = [asyncio.create_task(steps) for _ in range(2)]
    await steps.both_begun.wait()

    steps.go_on.set()

    assert await asyncio.gather(*tasks) == [2, 2]
    assert await steps == 3


async def test_a_task_that_is_cancelled_ends_its_own_steps():
    steps = Steps()
    first, second = [asyncio.create_task(steps) for _ in range(2)]
    await steps.both_begun.wait()

    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    steps.go_on.set()

    assert (await second, steps.ended) == (2, ["CancelledError"])


def test_without_a_loop_it_says_how_it_is_run():
    async def make() -> Steps:
        return Steps()

    steps = asyncio.run(make())
    with pytest.raises(RuntimeError, match=r"use asyncio\.run, or await it"):
        steps.send(None)
    steps.close()


RUNS: list[Callable[[Any], Coroutine[Any, Any, Any]]] = [
    lambda asked: _task(asked),
    lambda asked: asyncio.wait_for(asked, 30),
    lambda asked: _gathered(asked),
    lambda asked: asked,
]


async def _task(asked: Any) -> Any:
    return await asyncio.create_task(asked)


async def _gathered(asked: Any) -> Any:
    (found,) = await asyncio.gather(asked)
    return found


@pytest.mark.parametrize("run", RUNS)
def test_a_reply_and_a_batch_run_in_every_function_of_asyncio(run):
    assert asyncio.run(run(Conversation("tasks").ask("hello", model="echo"))) == "hello"
    assert [each.text for each in asyncio.run(run(map_prompts(["a", "b"], model="echo", progress=False)))] == ["a", "b"]

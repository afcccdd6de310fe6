"""What is seen of code that runs on a loop of its own, and of what it leaves behind."""

from __future__ import annotations

import asyncio
import sys
import threading
import time
import warnings
from contextlib import suppress

import pytest

from flowgpt_magic.testing import check_provider
from flowgpt_magic.testing.isolation import IsolatedRuns, LoopBlockedError, interpreter_warnings
from tests.contracts import POINTS, broken, provider


async def never_awaited(cls, model, messages, **kwargs):
    cls.get_model(model)
    asyncio.sleep(0)
    yield "one "
    yield "two"


async def never_closed(cls, model, messages, **kwargs):
    cls.get_model(model)
    open(__file__, encoding="utf-8")  # noqa: SIM115, ASYNC230
    yield "one "
    yield "two"


class Fragile:
    def __del__(self):
        raise ValueError("in a place where nobody looks")


async def fails_unseen(cls, model, messages, **kwargs):
    cls.get_model(model)
    Fragile()
    yield "one "
    yield "two"


@pytest.mark.parametrize(
    ("method", "said"),
    [
        (never_awaited, "coroutine 'sleep' was never awaited"),
        (never_closed, "unclosed file"),
        (fails_unseen, "in a place where nobody looks"),
    ],
)
def test_what_the_interpreter_complains_of_is_told(method, said):
    found = broken(provider(method), failing=())

    assert all(each.startswith("the interpreter warns: ") for each in found)
    assert any(said in each for each in found)


def test_what_others_have_left_behind_is_not_told():
    class Cycle:
        def __init__(self):
            self.me = self
            self.file = open(__file__, encoding="utf-8")  # noqa: SIM115

    def leave_it_and_check() -> list[str]:
        Cycle()
        return check_provider(provider(), failing=())

    with pytest.warns(ResourceWarning, match="unclosed file"):
        kept = leave_it_and_check()
    assert kept == POINTS


# By itself


async def test_it_returns_what_the_code_returns_and_raises_what_it_raises():
    async def answer() -> int:
        return 42

    async def fail() -> None:
        raise KeyError("no")

    runs = IsolatedRuns()

    assert runs.run(answer, "asked", 30) == 42
    with pytest.raises(KeyError):
        runs.run(fail, "asked", 30)
    assert (runs.count, runs.leftovers) == (2, {})


def test_each_time_it_is_another_loop_in_another_thread():
    async def where() -> tuple[int, int]:
        return id(asyncio.get_running_loop()), threading.get_ident()

    kept = []
    runs = IsolatedRuns()
    for _ in range(3):
        kept.append(runs.run(where, "asked", 30))
        assert kept[-1][1] != threading.get_ident()


def test_what_does_not_come_back_is_given_up():
    released = threading.Event()

    async def stuck() -> None:
        released.wait(30)

    with pytest.raises(LoopBlockedError):
        IsolatedRuns().run(stuck, "asked", 0.01)
    released.set()


def test_a_task_that_cannot_be_cancelled_is_left_behind(monkeypatch):
    monkeypatch.setattr("flowgpt_magic.testing.isolation.GRACE", 0.01)
    released = threading.Event()
    tasks = []

    async def deaf() -> None:
        while not released.is_set():
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(0.01)

    async def start() -> None:
        tasks.append(asyncio.create_task(deaf()))

    runs = IsolatedRuns()
    runs.run(start, "asked", 30)
    released.set()

    assert any("a task that does not end when it is cancelled" in each for each in runs.leftovers)


def test_a_task_that_fails_unseen_is_told():
    async def fail() -> None:
        raise KeyError("nobody looks")

    async def start() -> None:
        asyncio.create_task(fail())  # noqa: RUF006
        await asyncio.sleep(0.01)

    runs = IsolatedRuns()
    runs.run(start, "asked", 30)

    assert runs.leftovers == {"Task exception was never retrieved": "asked"}


def test_a_loop_that_is_stopped_is_an_error():
    async def stop() -> None:
        asyncio.get_running_loop().stop()
        await asyncio.Event().wait()

    with pytest.raises((RuntimeError, asyncio.CancelledError)):
        IsolatedRuns().run(stop, "asked", 30)


def test_the_first_trial_may_take_its_time():
    async def block() -> None:
        time.sleep(0.2)  # noqa: ASYNC251

    runs = IsolatedRuns()
    runs.run(block, "asked", 30)
    assert runs.longest_block == 0
    runs.run(block, "asked", 30)
    assert runs.longest_block > 0.1


def test_the_interpreters_hooks_are_put_back():
    hook, filters = sys.unraisablehook, list(warnings.filters)
    with interpreter_warnings() as heard:
        warnings.warn("unclosed", ResourceWarning, stacklevel=1)

    assert (sys.unraisablehook, list(warnings.filters), heard) == (hook, filters, ["unclosed"])

"""Async replies read from synchronous code: interrupts, forks, the end of the process."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import linecache
import os
import signal
import subprocess
import sys
import textwrap
import threading
import weakref
from collections.abc import AsyncGenerator
from concurrent.futures import CancelledError, Future
from concurrent.futures import TimeoutError as FutureTimeoutError

import pytest

from flowgpt_magic import bridge
from tests import processes

LIMIT = 30  # seconds after which a test has failed; none waits as long


class Numbers:
    """Counts for ever, or waits after some numbers, and notes when it is closed."""

    def __init__(self, pause_after: int | None = None) -> None:
        self.closed = threading.Event()
        self.waiting = threading.Event()
        self._pause_after = pause_after

    async def __call__(self) -> AsyncGenerator[int, None]:
        number = 0
        try:
            while True:
                if number == self._pause_after:
                    self.waiting.set()
                    await asyncio.Event().wait()
                yield number
                number += 1
                await asyncio.sleep(0)
        finally:
            self.closed.set()


def interrupt() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def interrupt_at(line: str) -> None:
    """Interrupt the main thread as soon as it waits at this line of the bridge."""
    main = threading.main_thread().ident
    assert main is not None

    def there() -> bool:
        frame = sys._current_frames()[main]
        while frame and frame.f_code.co_filename != bridge.__file__:
            frame = frame.f_back
        return bool(frame and line in linecache.getline(bridge.__file__, frame.f_lineno))

    def watch() -> None:
        while not there():
            pass
        interrupt()

    threading.Thread(target=watch, daemon=True).start()


def python(code: str, *options: str) -> subprocess.CompletedProcess[str]:
    """Run ``code`` in a process of its own, with all of Python's warnings on."""
    return processes.run([sys.executable, "-X", "dev", *options, "-c", textwrap.dedent(code)])


# The worker


async def test_a_result_comes_back_with_and_without_a_running_loop():
    async def who() -> str:
        return threading.current_thread().name

    assert bridge.run(who()) == "flowgpt_magic"
    assert await asyncio.to_thread(bridge.run, who()) == "flowgpt_magic"


def test_there_is_one_worker_for_all():
    found: list[bridge.Worker] = []
    start = threading.Barrier(8)

    def ask() -> None:
        start.wait(LIMIT)
        found.append(bridge.worker())

    bridge.close_worker()
    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LIMIT)

    assert len(found) == 8
    assert len(set(found)) == 1


def test_a_closed_worker_is_replaced():
    old = bridge.worker()
    bridge.close_worker()

    assert not old.alive
    assert not old.thread.is_alive()
    assert bridge.worker() is not old
    assert bridge.worker().alive


def test_closing_lets_what_runs_close_its_connections():
    worker, begun, closed = bridge.Worker(), threading.Event(), threading.Event()

    async def connection() -> None:
        try:
            begun.set()
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            closed.set()

    future = worker.submit(connection())
    assert begun.wait(LIMIT)

    worker.close()

    assert closed.is_set()
    assert future.cancelled()
    assert worker.loop.is_closed()


def test_closing_twice_is_as_good_as_once():
    worker = bridge.Worker()

    worker.close()
    worker.close()

    assert not worker.alive


def test_a_result_comes_in_the_context_of_the_caller():
    variable = contextvars.ContextVar("variable", default="unset")

    async def look() -> str:
        return variable.get()

    variable.set("the caller's")

    assert bridge.run(look()) == "the caller's"


# Waiting


def test_an_error_comes_through():
    async def fail() -> None:
        raise ZeroDivisionError("here")

    with pytest.raises(ZeroDivisionError, match="here"):
        bridge.run(fail())


def test_a_timeout_of_the_coroutines_own_comes_through():
    async def fail() -> None:
        await asyncio.sleep(2 * bridge.TICK)
        raise asyncio.TimeoutError("its own")

    with pytest.raises(asyncio.TimeoutError, match="its own"):
        bridge.run(fail())


def test_a_result_that_comes_in_the_moment_of_a_tick_is_not_lost():
    class Late(Future):  # type: ignore[type-arg]
        def result(self, timeout: float | None = None) -> str:
            if not self.done():
                self.set_result("there")
                raise FutureTimeoutError
            return super().result(timeout)

    assert bridge.wait(Late()) == "there"


def test_an_interrupt_ends_the_wait_and_cancels_what_was_waited_for():
    cancelled = threading.Event()

    async def wait_for_ever() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    future = bridge.worker().submit(wait_for_ever())
    interrupt_at("future.result(TICK)")
    with pytest.raises(KeyboardInterrupt):
        bridge.wait(future)
    assert cancelled.wait(LIMIT)


# Iterating


def test_items_come_in_order_and_as_they_are_made():
    numbers = bridge.iterate(Numbers(pause_after=3))

    assert [next(numbers) for _ in range(3)] == [0, 1, 2]
    numbers.close()


def test_an_item_may_be_anything():
    async def items() -> AsyncGenerator[object, None]:
        for item in (None, "", 0, ValueError("a value")):
            yield item

    assert [type(item) for item in bridge.iterate(items)] == [type(None), str, int, ValueError]


def test_an_error_of_the_source_comes_after_its_items():
    async def items() -> AsyncGenerator[int, None]:
        yield 1
        raise ZeroDivisionError

    numbers = bridge.iterate(items)

    assert next(numbers) == 1
    with pytest.raises(ZeroDivisionError):
        next(numbers)


def test_closing_early_closes_the_source_even_while_it_waits():
    source = Numbers(pause_after=1)
    numbers = bridge.iterate(source)
    next(numbers)
    assert source.waiting.wait(LIMIT)

    numbers.close()

    assert source.closed.wait(LIMIT)


def test_an_interrupt_while_nothing_arrives_closes_the_source():
    source = Numbers(pause_after=1)
    numbers = bridge.iterate(source)
    next(numbers)

    interrupt_at("arrived.get(timeout=TICK)")
    with pytest.raises(KeyboardInterrupt):
        next(numbers)
    assert source.closed.wait(LIMIT)


def test_a_worker_that_ends_in_mid_stream_does_not_leave_its_reader_waiting():
    source = Numbers(pause_after=1)
    numbers = bridge.iterate(source)
    next(numbers)

    bridge.close_worker()

    with pytest.raises(CancelledError):
        next(numbers)
    assert source.closed.is_set()


# Interrupts


def test_the_first_interrupt_is_heard_and_the_second_raises():
    heard = []

    def interrupt_twice() -> None:
        interrupt()
        assert heard == ["first"]
        interrupt()

    with pytest.raises(KeyboardInterrupt):
        bridge.on_interrupt(lambda: heard.append("first"), interrupt_twice)
    assert heard == ["first"]


def test_afterwards_interrupts_are_as_they_were():
    before = signal.getsignal(signal.SIGINT)

    during = bridge.on_interrupt(lambda: None, lambda: signal.getsignal(signal.SIGINT))

    assert during is not before
    assert signal.getsignal(signal.SIGINT) is before
    with pytest.raises(KeyboardInterrupt):
        interrupt()


def test_afterwards_interrupts_are_as_they_were_even_after_an_error():
    before = signal.getsignal(signal.SIGINT)

    with pytest.raises(ZeroDivisionError):
        bridge.on_interrupt(lambda: None, lambda: 1 / 0)

    assert signal.getsignal(signal.SIGINT) is before


def test_afterwards_interrupts_are_as_they_were_even_where_the_second_comes_while_they_are_put_back():
    before, handlers = signal.getsignal(signal.SIGINT), []

    def raised_outside() -> None:
        handlers.append(signal.getsignal(signal.SIGINT))
        handlers[0](signal.SIGINT, None)
        with pytest.raises(KeyboardInterrupt):
            handlers[0](signal.SIGINT, None)
        assert signal.getsignal(signal.SIGINT) is before

    bridge.on_interrupt(lambda: None, raised_outside)


def test_work_that_is_whole_goes_on_after_an_interrupt_and_knows_its_context():
    variable = contextvars.ContextVar("variable", default="")
    go_on, over, found = threading.Event(), threading.Event(), []
    variable.set("the caller's")

    def work() -> None:
        go_on.wait(LIMIT)
        found.append(variable.get())
        over.set()

    interrupt_at("done.exception(min(left, TICK))")
    with pytest.raises(KeyboardInterrupt):
        bridge.whole(work)
    go_on.set()
    assert over.wait(LIMIT)
    assert found == ["the caller's"]


def test_work_that_is_whole_may_be_left_waiting_and_its_errors_are_raised():
    held = threading.Event()
    with pytest.raises(FutureTimeoutError):
        bridge.whole(held.wait, 0.01)
    held.set()
    with pytest.raises(ZeroDivisionError):
        bridge.whole(lambda: 1 / 0)


def test_one_inside_another_hears_its_own_interrupts():
    heard = []

    def outer() -> None:
        bridge.on_interrupt(lambda: heard.append("inner"), interrupt)
        interrupt()

    bridge.on_interrupt(lambda: heard.append("outer"), outer)

    assert heard == ["inner", "outer"]


def test_on_another_thread_nothing_is_changed():
    seen: list[object] = []

    def look() -> None:
        seen.append(bridge.on_interrupt(lambda: None, lambda: signal.getsignal(signal.SIGINT)))

    thread = threading.Thread(target=look)
    thread.start()
    thread.join(LIMIT)

    assert seen == [signal.getsignal(signal.SIGINT)]


# Forks and the end of the process

STREAM = """
    import asyncio
    from flowgpt_magic import bridge

    async def words():
        yield "one"
        await asyncio.Event().wait()
"""


@pytest.mark.parametrize(
    "rest",
    [
        pytest.param("", id="nothing was read"),
        pytest.param("bridge.worker()", id="an idle worker"),
        pytest.param("chunks = bridge.iterate(words); next(chunks)", id="a reply in mid-stream"),
        pytest.param("chunks = bridge.iterate(words); next(chunks); chunks.close()", id="a reply just left"),
        pytest.param("future = bridge.worker().submit(asyncio.sleep(1000))", id="a task nobody waits for"),
        pytest.param("import sys; next(bridge.iterate(words)); sys.exit(0)", id="sys.exit in mid-stream"),
    ],
)
def test_the_end_of_the_process_prints_nothing(rest):
    ended = python(textwrap.dedent(STREAM) + rest)

    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")


def test_the_end_of_the_process_prints_nothing_even_where_a_task_will_not_be_cancelled():
    ended = python("""
        import asyncio
        from flowgpt_magic import bridge

        async def stubborn():
            yield "one"
            while True:
                try:
                    await asyncio.Event().wait()
                except asyncio.CancelledError:
                    pass

        for chunk in bridge.iterate(stubborn):
            break
    """)

    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")


def test_the_end_of_the_process_does_not_wait_for_a_provider_that_blocks():
    ended = python("""
        import time
        from flowgpt_magic import bridge

        async def blocking():
            yield "one"
            time.sleep(1000)

        print(next(bridge.iterate(blocking)))
    """)

    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "one\n", "")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there are no forks here")
def test_after_a_fork_the_child_has_a_worker_of_its_own():
    ended = python(
        """
        import asyncio, os, sys
        from flowgpt_magic import bridge

        async def words():
            yield "one "
            yield "two"

        async def pid():
            return os.getpid()

        print(*bridge.iterate(words), flush=True)
        parents = bridge.worker()
        child = os.fork()
        if child == 0:
            assert not parents.alive
            assert bridge.worker() is not parents
            assert bridge.run(pid()) == os.getpid()
            print(*bridge.iterate(words), flush=True)
            sys.exit(3)
        _pid, status = os.waitpid(child, 0)
        assert os.waitstatus_to_exitcode(status) == 3
        assert bridge.worker() is parents
        print(*bridge.iterate(words))
        """,
        "-W",
        "ignore::DeprecationWarning",  # Python's, about forks beside threads
    )

    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout == "one  two\n" * 3


def test_a_task_that_nobody_holds_on_to_runs_to_its_end():
    begun, ended = threading.Event(), threading.Event()
    waiting: list[weakref.ref[asyncio.Event]] = []

    async def wait() -> None:
        event = asyncio.Event()
        waiting.append(weakref.ref(event))
        begun.set()
        await event.wait()
        ended.set()

    bridge.worker().submit(wait())
    assert begun.wait(LIMIT)
    gc.collect()

    event = waiting[0]()
    assert event is not None
    bridge.worker().loop.call_soon_threadsafe(event.set)
    assert ended.wait(LIMIT)

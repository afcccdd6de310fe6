"""A limit of requests a minute holds in every minute, and is reached."""

from __future__ import annotations

import asyncio
import random
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowgpt_magic.batch import rate_limit as pacing
from flowgpt_magic.batch.rate_limit import MAX_CATCH_UP, SLACK, RateLimiter
from tests import virtual_time


def pace_of(per_minute: float | None) -> RateLimiter:
    return RateLimiter(per_minute, clock=asyncio.get_running_loop().time)


async def moments(pace: RateLimiter, count: int, at_once: int = 8) -> list[float]:
    """When each of ``count`` requests went, of which ``at_once`` wait at a time."""
    went: list[float] = []
    left = iter(range(count))

    async def ask() -> None:
        for _ in left:
            await pace.turn()
            went.append(asyncio.get_running_loop().time())

    await asyncio.gather(*(ask() for _ in range(at_once)))
    return went


def paced(per_minute: float, count: int, lateness=lambda: 0.0, at_once: int = 8) -> list[float]:
    async def run() -> list[float]:
        return await moments(pace_of(per_minute), count, at_once)

    return virtual_time.run(run(), lateness)


@pytest.mark.parametrize("per_minute", [0.5, 1, 10, 60, 90, 1000])
def test_requests_go_at_equal_intervals_from_the_first_one_on(per_minute):
    went = paced(per_minute, 20)

    gaps = [other - one for one, other in pairwise(went)]
    assert min(gaps) == pytest.approx(max(gaps)) == pytest.approx(60 / per_minute * SLACK)


@given(
    st.integers(1, 3000),
    st.integers(1, 200),
    st.sampled_from([0.0, 0.001, 0.02, 0.5, 5.0]),
    st.integers(0, 2**32),
)
def test_no_minute_has_more_than_the_limit_however_late_the_loop_is(per_minute, at_once, worst, seed):
    dice = random.Random(seed)

    went = paced(per_minute, per_minute * 2 + 10, lambda: dice.uniform(0, worst), at_once)

    # One more than the limit allows, in a row, always takes a minute.
    assert all(other - one >= 60 for one, other in zip(went, went[per_minute:], strict=False))


@pytest.mark.parametrize("per_minute", [1, 7, 60, 600, 6000])
def test_the_limit_is_reached_though_the_loop_is_late(per_minute):
    dice = random.Random(1)

    went = paced(per_minute, per_minute * 3 + 1, lambda: dice.uniform(0, 0.02), at_once=50)

    assert len(went) - 1 >= 0.95 * per_minute * (went[-1] - went[0]) / 60


def test_after_a_long_delay_no_crowd_goes_at_once():
    late = iter([0.0, 0.0, 30.0])

    went = paced(600, 100, lambda: next(late, 0.0))

    after = [each for each in went if each > 1025]
    assert after[10] - after[0] >= 10 * 0.1 - MAX_CATCH_UP


def test_one_that_comes_late_is_not_made_up_for():
    async def run() -> list[float]:
        pace, loop = pace_of(600), asyncio.get_running_loop()
        await pace.turn()
        await asyncio.sleep(100)
        begun = loop.time()
        return [each - begun for each in await moments(pace, 3)]

    assert virtual_time.run(run()) == pytest.approx([0, 0.1 * SLACK, 0.2 * SLACK])


def test_those_who_wait_go_in_the_order_in_which_they_came():
    async def run() -> list[int]:
        pace, went = pace_of(60), []

        async def ask(number: int) -> None:
            await pace.turn()
            went.append(number)

        await asyncio.gather(*(ask(number) for number in range(20)))
        return went

    assert virtual_time.run(run()) == list(range(20))


def test_without_a_limit_nobody_waits():
    async def run() -> float:
        pace, begun = pace_of(None), asyncio.get_running_loop().time()
        await moments(pace, 1000)
        return asyncio.get_running_loop().time() - begun

    assert virtual_time.run(run()) == 0


@pytest.mark.parametrize("per_minute", [None, 600])
def test_while_the_server_asks_to_wait_nothing_goes(per_minute):
    async def run() -> tuple[list[float], float, float]:
        pace, loop = pace_of(per_minute), asyncio.get_running_loop()
        begun = loop.time()
        pace.pause(7)
        waiting = asyncio.create_task(moments(pace, 5))
        await asyncio.sleep(3)
        left = pace.pausing
        pace.pause(1)  # a shorter one does not end it earlier
        return [each - begun for each in await waiting], left, pace.pausing

    went, left, after = virtual_time.run(run())

    assert 4 <= left <= 4.7
    assert after == 0
    assert 7 <= min(went) <= 7.7 + 0.7
    assert max(went) <= 7 + 5 * pacing.RESTART_SPREAD


@pytest.mark.parametrize("per_minute", [None, 60])
def test_a_pause_that_comes_while_somebody_waits_holds_for_them_too(per_minute):
    async def run() -> list[float]:
        pace, loop = pace_of(per_minute), asyncio.get_running_loop()
        begun = loop.time()
        pace.pause(5)
        waiting = asyncio.create_task(moments(pace, 3))
        await asyncio.sleep(4)
        pace.pause(10)
        return [each - begun for each in await waiting]

    assert min(virtual_time.run(run())) >= 14


def test_after_a_pause_not_all_go_at_the_same_moment():
    async def run() -> list[float]:
        pace = pace_of(None)
        pace.pause(5)
        return await moments(pace, 50, at_once=50)

    went = virtual_time.run(run())

    assert len({round(each, 2) for each in went}) > 10


def test_one_who_is_cancelled_lets_the_next_one_go():
    async def run() -> float:
        pace, loop = pace_of(60), asyncio.get_running_loop()
        begun = loop.time()
        await pace.turn()
        gone = asyncio.create_task(pace.turn())
        await asyncio.sleep(0)
        waiting = asyncio.create_task(pace.turn())
        await asyncio.sleep(0.5)
        gone.cancel()
        await waiting
        return loop.time() - begun

    assert virtual_time.run(run()) == pytest.approx(SLACK)

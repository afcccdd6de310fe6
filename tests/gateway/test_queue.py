"""Places and seats of a gateway, and what a client is told that finds none."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowgpt_magic.gateway.queue import INITIAL_WAIT, MAX_WAIT, RequestQueue, wait_headers
from flowgpt_magic.gateway.requests import StatusError
from tests import virtual_time


async def reply(queue: RequestQueue, seconds: float) -> None:
    with queue.admit():
        async with queue.slot():
            await asyncio.sleep(seconds)


def in_virtual_time(concurrency: int, waiting: int, main: Any) -> Any:
    """Run ``main`` with a queue on the same clock."""

    async def run() -> Any:
        return await main(RequestQueue(concurrency, waiting, asyncio.get_running_loop().time))

    return virtual_time.run(run())


@given(st.floats(0, MAX_WAIT))
def test_no_client_is_told_less_than_its_wait_nor_nothing(seconds: float) -> None:
    headers = wait_headers(seconds)
    assert max(1, seconds) <= int(headers["Retry-After"]) <= seconds + 1
    assert max(1, seconds * 1000) <= int(headers["retry-after-ms"]) <= seconds * 1000 + 1


def test_clients_are_told_to_come_one_after_the_other_as_replies_end() -> None:
    async def main(queue: RequestQueue) -> list[float]:
        await asyncio.gather(*[reply(queue, 2) for _ in range(8)])
        return [queue.next_wait() for _ in range(3)]

    assert in_virtual_time(4, 4, main) == pytest.approx([0.5, 1.0, 1.5])


def test_promises_that_are_over_count_no_more() -> None:
    async def main(queue: RequestQueue) -> list[float]:
        await reply(queue, 2)
        waits = [queue.next_wait(), queue.next_wait()]
        await asyncio.sleep(60)
        return [*waits, queue.next_wait()]

    assert in_virtual_time(1, 4, main) == pytest.approx([2, 4, 2])


def test_a_reply_that_takes_longer_than_those_before_makes_the_wait_longer() -> None:
    async def main(queue: RequestQueue) -> tuple[float, float]:
        await reply(queue, 1)
        slow = asyncio.create_task(reply(queue, 100))
        await asyncio.sleep(0)
        first = queue.next_wait()
        await asyncio.sleep(50)
        second = queue.next_wait()
        slow.cancel()
        return first, second

    assert in_virtual_time(1, 4, main) == pytest.approx((1, 50))


def test_replies_that_fail_at_once_do_not_make_the_wait_short() -> None:
    async def main(queue: RequestQueue) -> float:
        await reply(queue, 5)
        for _ in range(40):
            with pytest.raises(ZeroDivisionError):
                async with queue.slot():
                    raise ZeroDivisionError
        return queue.next_wait()

    assert in_virtual_time(1, 4, main) == pytest.approx(5)


def test_the_wait_follows_the_last_replies() -> None:
    async def main(queue: RequestQueue) -> float:
        await reply(queue, 1000)
        for _ in range(40):
            await reply(queue, 3)
        return queue.next_wait()

    assert in_virtual_time(1, 4, main) == pytest.approx(3)


def test_before_the_first_reply_has_ended_clients_are_told_to_ask_again_soon_and_not_together() -> None:
    async def main(queue: RequestQueue) -> tuple[list[float], list[float]]:
        soon = [queue.next_wait() for _ in range(16)]
        slow = asyncio.create_task(reply(queue, 100))
        await asyncio.sleep(30)
        later = [queue.next_wait() for _ in range(16)]
        slow.cancel()
        return soon, later

    soon, later = in_virtual_time(2, 0, main)
    assert (min(soon), max(soon), len(set(soon))) == (INITIAL_WAIT, INITIAL_WAIT * 31 / 16, 16)
    assert (min(later), max(later)) == (30, 30 * 31 / 16)


def test_no_wait_is_longer_than_an_hour() -> None:
    async def main(queue: RequestQueue) -> float:
        await reply(queue, 1000)
        return max(queue.next_wait() for _ in range(9))

    assert in_virtual_time(1, 0, main) == MAX_WAIT


def test_a_place_and_a_seat_are_given_back_however_a_request_ends() -> None:
    async def main(queue: RequestQueue) -> None:
        for _ in range(3):
            leaving = asyncio.create_task(reply(queue, 100))
            waiting = asyncio.create_task(reply(queue, 100))
            await asyncio.sleep(1)
            with pytest.raises(StatusError) as refused, queue.admit():
                pass
            assert refused.value.status == 429
            assert refused.value.headers.keys() == {"Retry-After", "retry-after-ms"}
            leaving.cancel()
            waiting.cancel()
            await asyncio.wait([leaving, waiting])
        await asyncio.wait_for(reply(queue, 0), 1)
        assert queue.admitted == 0

    in_virtual_time(1, 1, main)


@pytest.mark.parametrize(("seconds", "clients"), [(0.2, 64), (0.2, 200), (20, 64)])
@pytest.mark.parametrize("exact", [True, False], ids=["in milliseconds", "in whole seconds"])
def test_clients_that_wait_as_they_are_told_keep_the_gateway_busy(seconds: float, clients: int, exact: bool) -> None:
    """200 prompts, each client asks its next one when it has a reply: at least 0.9 of what 4 seats can do."""
    waiting_prompts, refusals = list(range(200)), []

    async def client(queue: RequestQueue) -> None:
        while waiting_prompts:
            waiting_prompts.pop()
            while True:
                try:
                    await reply(queue, seconds)
                    break
                except StatusError as refused:
                    refusals.append(refused)
                    exactly = int(refused.headers["retry-after-ms"]) / 1000
                    await asyncio.sleep(exactly if exact else int(refused.headers["Retry-After"]))

    async def main(queue: RequestQueue) -> float:
        begun = asyncio.get_running_loop().time()
        await asyncio.gather(*[client(queue) for _ in range(clients)])
        return asyncio.get_running_loop().time() - begun

    taken = in_virtual_time(4, 32, main)
    print(f"{200 * seconds / 4 / taken:.2f} of what is possible, {len(refusals) / 200:.1f} refusals a prompt")
    assert 200 * seconds / 4 / taken >= 0.9

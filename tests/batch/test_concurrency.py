"""Fewer requests at once while the server refuses some, more again afterwards."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowgpt_magic.batch.concurrency import SHORTEST_TRIAL, SPREAD, Concurrency
from flowgpt_magic.replies.retry import LONGEST_WAIT

STEPS = ("refused", "answered", "sent", "taken", "lost", "restart")


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def refuse(concurrency: Concurrency, down_to: int, wait: float = 0.0, sent_at: float = 1000.0) -> list[float]:
    """All but ``down_to`` of those that are under way are refused."""
    return [concurrency.refused(left, wait, sent_at) for left in range(concurrency.limit - 1, down_to - 1, -1)]


def test_after_refusals_as_many_go_as_were_taken(clock):
    concurrency = Concurrency(64, clock=clock)
    refuse(concurrency, down_to=10)

    assert concurrency.limit == 10


def test_replies_bring_back_the_limit_and_no_more_than_that(clock):
    concurrency = Concurrency(64, clock=clock)
    refuse(concurrency, down_to=0)
    limits = []
    for _ in range(5000):
        concurrency.answered(clock.now)
        limits.append(concurrency.limit)

    assert limits[0] == 1 or limits[0] == 2
    assert limits == sorted(limits)
    assert limits[-1] == 64


def test_an_outage_begins_with_one_request_and_soon_has_many_again(clock):
    concurrency = Concurrency(32, clock=clock)
    concurrency.restart()
    first = concurrency.limit
    for _ in range(31):
        concurrency.answered(clock.now)

    assert (first, concurrency.limit) == (1, 32)


def test_with_nothing_under_way_the_wait_holds_for_all(clock):
    concurrency = Concurrency(8, clock=clock)

    assert refuse(concurrency, down_to=0, wait=5.0)[-1] == 5.0


def test_a_request_that_is_taken_after_a_refusal_shows_that_the_server_has_places(clock):
    concurrency = Concurrency(64, clock=clock)
    assert refuse(concurrency, down_to=10, wait=5.0) == [0.0] * 54
    clock.now += 0.01
    on_trial, another = concurrency.sent(clock.now), concurrency.sent(clock.now)
    held = concurrency.limit
    concurrency.taken(clock.now)

    assert (on_trial, another, held, concurrency.limit) == (True, False, 0, 10)
    assert not concurrency.heeds_waits
    assert concurrency.refused(10, 5.0, clock.now) == 0.0


def test_a_request_that_is_refused_after_a_refusal_shows_a_rate_and_the_wait_holds_for_all(clock):
    concurrency = Concurrency(64, clock=clock)
    refuse(concurrency, down_to=10, wait=5.0)
    clock.now += 0.01
    assert concurrency.sent(clock.now)

    assert concurrency.refused(9, 5.0, clock.now) == 5.0
    assert concurrency.heeds_waits
    assert concurrency.limit == 9
    assert concurrency.refused(8, 5.0, clock.now) == 5.0


def test_a_request_on_trial_that_fails_otherwise_shows_nothing(clock):
    concurrency = Concurrency(64, clock=clock)
    refuse(concurrency, down_to=10, wait=5.0)
    clock.now += 0.01
    concurrency.sent(clock.now)
    concurrency.lost(clock.now)

    assert concurrency.limit == 10
    assert concurrency.sent(clock.now + 1)


def test_a_trial_takes_three_times_as_long_as_a_refusal(clock):
    concurrency = Concurrency(8, clock=clock)
    before = concurrency.trial_seconds
    concurrency.refused(7, 0.0, clock.now - 0.2)

    assert before == SHORTEST_TRIAL
    assert concurrency.trial_seconds == pytest.approx(0.6)


def test_no_more_go_than_the_server_says_it_takes(clock):
    concurrency = Concurrency(64, clock=clock)
    concurrency.told("requests", 3, 10)
    few = concurrency.limit
    concurrency.told("requests", 0, 10)
    none, held_for = concurrency.limit, concurrency.held_for
    clock.now += 10 * (1 + SPREAD)

    assert (few, none) == (3, 0)
    assert 10 <= held_for <= 11
    assert (concurrency.limit, concurrency.held_for) == (64, 0)


def test_the_narrowest_limit_holds(clock):
    concurrency = Concurrency(64, clock=clock)
    concurrency.told("requests", 9, 10)
    concurrency.told("tokens", 2.7, 10)

    assert concurrency.limit == 2


@pytest.mark.parametrize("seconds", [None, LONGEST_WAIT + 1])
def test_a_reset_at_an_unknown_time_or_far_away_is_not_waited_for(clock, seconds):
    concurrency = Concurrency(64, clock=clock)
    concurrency.told("requests", 0, 10)
    concurrency.told("requests", 0, seconds)

    assert (concurrency.limit, concurrency.held_for) == (64, 0)


def test_a_reset_after_the_longest_wait_is_waited_for(clock):
    concurrency = Concurrency(64, clock=clock)
    concurrency.told("requests", 0, LONGEST_WAIT)

    assert concurrency.held_for >= LONGEST_WAIT


@given(
    st.integers(1, 100),
    st.lists(
        st.tuples(st.sampled_from(["refused", "answered", "sent", "taken", "lost", "restart"]), st.integers(0, 99))
    ),
)
def test_whatever_happens_somebody_may_go_or_is_on_trial(most, steps):
    clock = Clock()
    concurrency = Concurrency(most, clock=clock)
    trial = None
    for step, number in steps:
        clock.now += 1
        if step == "refused":
            concurrency.refused(min(number, most - 1), float(number % 3), clock.now - 1)
        elif step == "sent":
            trial = clock.now if concurrency.sent(clock.now) else trial
        elif step == "restart":
            concurrency.restart()
        else:
            getattr(concurrency, step)(float(number))
        assert 0 <= concurrency.limit <= most
    if trial is not None:
        concurrency.taken(trial)

    assert concurrency.limit >= 1

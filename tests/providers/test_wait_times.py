"""How long a server asks to wait, in headers, JSON and text."""

from __future__ import annotations

import time
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowgpt_magic.providers.wait_times import duration, requested_wait, retry_delay, seconds_from_now

GOOGLE = {
    "error": {
        "code": 429,
        "message": "Quota exceeded.",
        "details": [
            {"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [{"quotaValue": "15"}]},
            {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "34.074824224s"},
        ],
    }
}


@pytest.mark.parametrize(
    ("report", "seconds"),
    [
        (GOOGLE, 34.074824224),
        ({"error": {"details": [{"retryDelay": {"seconds": 7, "nanos": 500_000_000}}]}}, 7.5),
        ({"retry_after": 20}, 20),
        ({"retry_after": "20"}, 20),
        ({"error": {"retryAfter": "1m"}}, 60),
        ({"error": {"metadata": {"retry_after_seconds": 3}}}, 3),
        ({"error": {"retry_after_ms": 250}}, 0.25),
        ({"retry-after": 0}, 0),
        ({"retry_after": 10**9 - 1}, 10**9 - 1),
        ({"retry_after": 10**9}, None),
        ({"retry_after": None}, None),
        ({"retry_after": True}, None),
        ({"retry_after": -1}, None),
        ({"retry_after": "soon"}, None),
        ({"retryDelay": {"seconds": "x"}}, None),
        ({}, None),
    ],
)
def test_a_body_says_in_a_field_how_long_to_wait(report, seconds):
    assert requested_wait(report) == seconds


@pytest.mark.parametrize("unit", [1, 1000])
def test_a_body_says_until_when_to_wait(unit):
    reset = str(int((time.time() + 90) * unit))

    report = {"error": {"code": 429, "metadata": {"headers": {"X-RateLimit-Reset": reset}}}}

    assert requested_wait(report) == pytest.approx(90, abs=10)
    assert requested_wait({"X-RateLimit-Reset": str(10**9 + 1)}) == 0
    assert requested_wait({"X-RateLimit-Reset": "7"}) is None


@pytest.mark.parametrize(
    ("words", "seconds"),
    [
        ("Rate limit reached. Limit: 3 / min. Please try again in 20s. Contact support.", 20),
        ("Please try again in 7.66s.", 7.66),
        ("Please try again in 1m2s.", 62),
        ("Please try again in 1h2m3.5s", 3723.5),
        ("please try again in 6ms", 0.006),
        ("try again in 250 ms", 0.25),
        ("Please retry after 20 seconds.", 20),
        ("Please retry in 34.07s.", 34.07),
        ("Retry your request after 1 minute and 5 seconds", 65),
        ("retry after 2 minutes", 120),
        ("wait 30 sec", 30),
        ("your limit resets in 3 hours", 10_800),
        ("retry-after: 12", 12),
        ("'retry_after': 12, 'x': 3", 12),
        ("Try again later. A key may ask 60 times in 60 seconds.", None),
        ("retry after 20 tokens", None),
        ("timed out waiting 60 seconds", None),
        ("lock wait timeout of 60 seconds", None),
        ("connection reset after 30s", None),
        ("maximum of 5 retries within 10 s", None),
        ("try again", None),
        ("", None),
    ],
)
def test_words_say_how_long_to_wait(words, seconds):
    assert requested_wait({}, words) == pytest.approx(seconds)


@given(st.integers(0, 23), st.integers(0, 59), st.integers(0, 59), st.integers(0, 999))
def test_a_duration_is_the_sum_of_its_parts(hours, minutes, seconds, thousandths):
    found = duration(f"{hours}h{minutes} minutes, {seconds}.{thousandths:03}s")

    assert found == pytest.approx(hours * 3600 + minutes * 60 + seconds + thousandths / 1000)


@pytest.mark.parametrize("text", ["5 \u017f", "5 \u03bcs", "5 parsecs", "soon"])
def test_other_units_are_no_duration(text):
    assert duration(text) is None
    assert requested_wait({}, f"try again in {text}") is None


@pytest.mark.parametrize(
    ("number", "seconds"),
    [(0, 0), (7.5, 7.5), (10**9 - 1, 10**9 - 1), (10**9, 0), (2 * 10**9 + 5, 5), (10**11, 0), (2 * 10**12 + 500, 0.5)],
)
def test_a_large_number_is_a_moment_in_seconds_or_milliseconds(number, seconds):
    assert seconds_from_now(number, lambda: 2e9) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("7", 7),
        ("0.5", 0.5),
        (" 5.5 ", 5.5),
        ("7s", 7),
        ("2 seconds", 2),
        ("999999999", 999999999),
        ("", None),
        ("soon", None),
        ("-1", None),
        ("nan", None),
        ("inf", None),
        ("1e400", None),
        ("9" * 400, None),
        ("\u0663", None),
        ("Thu, 99 Foo 99999 99:99:99 GMT", None),
    ],
)
def test_retry_after_is_a_number_of_seconds(value: str, seconds: float | None) -> None:
    assert retry_delay({"Retry-After": value}) == seconds


@pytest.mark.parametrize(
    ("value", "seconds"), [("1500", 1.5), (" 20.5 ", 0.0205), ("soon", 7), ("-1", 7), ("", 7), ("1e9", 7)]
)
@pytest.mark.parametrize("name", ["retry-after-ms", "x-ms-retry-after-ms"])
def test_a_number_of_milliseconds_is_more_exact(name: str, value: str, seconds: float) -> None:
    assert retry_delay({name: value, "Retry-After": "7"}) == pytest.approx(seconds)


def test_retry_after_is_a_date() -> None:
    moment = datetime.now(timezone.utc) + timedelta(seconds=90)
    delay = retry_delay({"Retry-After": format_datetime(moment, usegmt=True)})
    assert delay == pytest.approx(90, abs=5)


def test_retry_after_may_be_seconds_since_1970():
    assert retry_delay({"Retry-After": f"{time.time() + 90:.0f}"}) == pytest.approx(90, abs=5)
    assert retry_delay({"Retry-After": "1400000000"}) == 0


def test_a_date_is_as_far_away_as_the_servers_own_clock_says():
    dates = {"Retry-After": "Wed, 21 Oct 2015 07:28:30 GMT", "Date": "Wed, 21 Oct 2015 07:28:00 GMT"}
    assert retry_delay(dates) == 30
    assert retry_delay({**dates, "Date": "soon"}) == 0


@given(st.text() | st.from_regex(r"[A-Z][a-z]{2}, ?-?[0-9]+ [A-Z][a-z]{2} [0-9]+ [0-9:]+ ?[+-]?[0-9]*"))
def test_a_wait_is_a_number_of_at_least_0_or_none_at_all(value: str) -> None:
    found = retry_delay({"Retry-After": value, "retry-after-ms": value, "Date": value})
    assert found is None or 0 <= found < float("inf")


def test_a_date_that_has_passed_asks_for_no_wait() -> None:
    assert retry_delay({"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}) == 0

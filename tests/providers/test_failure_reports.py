"""What a failure says in JSON, and how long it asks to wait."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowgpt_magic.providers.failure_reports import asked_wait, duration, failure_text, reports_failure

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
        ({"retry_after": None}, None),
        ({"retry_after": True}, None),
        ({"retry_after": -1}, None),
        ({"retry_after": "soon"}, None),
        ({"retryDelay": {"seconds": "x"}}, None),
        ({}, None),
    ],
)
def test_a_body_says_in_a_field_how_long_to_wait(report, seconds):
    assert asked_wait(report) == seconds


@pytest.mark.parametrize("unit", [1, 1000])
def test_a_body_says_until_when_to_wait(unit):
    reset = str(int((time.time() + 90) * unit))

    report = {"error": {"code": 429, "metadata": {"headers": {"X-RateLimit-Reset": reset}}}}

    assert asked_wait(report) == pytest.approx(90, abs=10)
    assert asked_wait({"X-RateLimit-Reset": str(10**9 + 1)}) == 0
    assert asked_wait({"X-RateLimit-Reset": "7"}) is None


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
    assert asked_wait({}, words) == pytest.approx(seconds)


@given(st.integers(0, 23), st.integers(0, 59), st.integers(0, 59), st.integers(0, 999))
def test_a_duration_is_the_sum_of_its_parts(hours, minutes, seconds, thousandths):
    found = duration(f"{hours}h{minutes} minutes, {seconds}.{thousandths:03}s")

    assert found == pytest.approx(hours * 3600 + minutes * 60 + seconds + thousandths / 1000)


@pytest.mark.parametrize(
    ("report", "words"),
    [
        ({"code": 500}, "code 500"),
        ({"success": False}, "it does not say why"),
        ({"base_resp": {"status_code": 1004, "status_msg": "login fail"}}, "login fail"),
        ({"errors": [{"code": 7003, "message": "no route"}], "success": False}, "no route"),
        (
            {"error": {"message": "Provider returned error", "metadata": {"raw": "slow down"}}},
            "Provider returned error: slow down",
        ),
        ({"error": {"message": "no", "metadata": {"raw": '{"error": {"message": "really no"}}'}}}, "no: really no"),
        ({"error": {"message": '{"error": {"code": 400, "message": "API key not valid."}}'}}, "API key not valid."),
        ({"msg": "a\n b"}, "a b"),
        ({"type": "about:blank", "title": "Out of memory", "status": 500}, "Out of memory"),
    ],
)
def test_a_failure_is_told_in_its_own_words(report, words):
    assert failure_text(report) == words


ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "error",
                    "code",
                    "status",
                    "message",
                    "detail",
                    "retryDelay",
                    "retry_after",
                    "metadata",
                    "raw",
                    "base_resp",
                    "success",
                    "errors",
                    "seconds",
                    "x",
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(
    st.dictionaries(st.sampled_from(["error", "code", "status", "message", "retry_after", "details"]), ANY), st.text()
)
def test_any_object_is_a_report_or_none(report, words):
    assert reports_failure(report) in (True, False)
    assert failure_text(report)
    assert asked_wait(report, words) is None or asked_wait(report, words) >= 0

"""What servers say of their limits, in the shapes that are in use."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowgpt_magic.providers.http import client as http
from flowgpt_magic.providers.http.connection import Route
from flowgpt_magic.providers.rate_limit_headers import (
    RateLimit,
    rate_limits_to,
    read_rate_limits,
    report_rate_limits,
    wait_until_reset,
)
from tests import servers

NOW = 1_780_000_000.0


def read(**headers: str) -> list[RateLimit]:
    return read_rate_limits({name.replace("_", "-"): value for name, value in headers.items()}, lambda: NOW)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("6m0s", 360.0),
        ("1s", 1.0),
        ("20ms", 0.02),
        ("1h2m3.5s", 3723.5),
        ("7.66s", 7.66),
        ("33011.38", 33011.38),
        ("0", 0.0),
        (f"{NOW + 30:.0f}", 30.0),
        (f"{(NOW + 30) * 1000:.0f}", 30.0),
        ("2026-05-28T20:26:50Z", 10.0),
        ("2026-05-28T22:26:50+02:00", 10.0),
        (f"{NOW - 30:.0f}", 0.0),
        ("soon", None),
        ("-5", None),
        ("1.2.3s", None),
        ("", None),
    ],
)
def test_the_moment_of_the_reset_is_read_in_every_shape(text, seconds):
    (limit,) = read(x_ratelimit_remaining_requests="3", x_ratelimit_reset_requests=text)

    assert limit.remaining == 3
    assert limit.seconds == (None if seconds is None else pytest.approx(seconds, abs=0.001))


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"x-ratelimit-remaining-tokens": "149984", "x-ratelimit-reset-tokens": "6s"}, ("tokens", 149984.0, 6.0)),
        ({"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": f"{NOW + 9:.0f}"}, ("", 0.0, 9.0)),
        ({"RateLimit-Remaining": "5", "RateLimit-Reset": "7"}, ("", 5.0, 7.0)),
        ({"RateLimit": "limit=10, remaining=4, reset=3"}, ("", 4.0, 3.0)),
        ({"RateLimit": '"default";r=50;t=30'}, ("", 50.0, 30.0)),
        ({"RateLimit": '"burst";r=2;t=1, "daily";r=900;t=8000'}, ("", 2.0, 1.0)),
        (
            {"x-ratelimit-remaining-tokens-minute": "8", "x-ratelimit-reset-tokens-minute": "1.5"},
            ("tokens-minute", 8.0, 1.5),
        ),
        ({"x-ratelimit-remaining-requests": "1"}, ("requests", 1.0, None)),
        (
            {
                "anthropic-ratelimit-requests-remaining": "2",
                "anthropic-ratelimit-requests-reset": "2026-05-28T20:26:45Z",
            },
            ("requests", 2.0, 5.0),
        ),
    ],
    ids=lambda value: str(value)[:40],
)
def test_each_servers_headers_are_understood(headers, expected):
    (limit,) = read_rate_limits(headers, lambda: NOW)

    assert (limit.dimension, limit.remaining, limit.seconds) == (
        expected[0],
        expected[1],
        expected[2] if expected[2] is None else pytest.approx(expected[2], abs=0.001),
    )


def test_limits_of_requests_and_of_tokens_are_told_apart():
    found = read(x_ratelimit_remaining_requests="3", x_ratelimit_remaining_tokens="70")

    assert {each.dimension: (each.remaining, each.counts_tokens) for each in found} == {
        "requests": (3.0, False),
        "tokens": (70.0, True),
    }


def test_headers_without_limits_say_nothing():
    assert read(Content_Type="text/event-stream", x_ratelimit_limit_requests="60", x_ratelimit_remaining="many") == []


@given(
    st.sampled_from(["RateLimit", "x-ratelimit-reset", "x-ratelimit-remaining", "anthropic-ratelimit-tokens-reset"]),
    st.text(max_size=300) | st.from_regex(r"[0-9:.TZhmsµ+=;, rt-]{0,60}", fullmatch=True),
)
def test_whatever_a_server_sends_does_no_harm(name, value):
    for limit in read_rate_limits({name: value, "x-ratelimit-remaining-requests": "1"}, lambda: NOW):
        assert limit.remaining >= 0
        assert limit.seconds is None or limit.seconds >= 0


def test_nobody_has_to_listen():
    report_rate_limits({"x-ratelimit-remaining": "1"})


@pytest.mark.parametrize("status", [200, 429])
async def test_a_listener_hears_of_every_response_refusals_too(status):
    heard: list[RateLimit] = []
    answer = servers.answering(
        servers.whole(b"{}", status, x_ratelimit_remaining_requests="0", x_ratelimit_reset_requests="2s")
    )
    async with servers.serving(answer) as server:
        with rate_limits_to(heard.extend):
            try:
                async with http.request(
                    "GET", http.resolve_endpoint(http.URL(server.url), Route()), {}, None
                ) as response:
                    await response.read_all()
            except http.ProviderError:
                assert status == 429
        report_rate_limits({"x-ratelimit-remaining": "9"})

    assert heard == [RateLimit("requests", 0.0, 2.0)]


def test_of_several_exhausted_limits_the_last_reset_counts():
    headers = {"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "7s"}
    headers |= {"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "2s"}

    assert wait_until_reset(headers) == 7
    assert wait_until_reset(headers | {"x-ratelimit-remaining-requests": "1"}) == 2
    assert wait_until_reset({"x-ratelimit-remaining-requests": "0"}) is None

"""What a gateway logs: a line a request, and what repeats itself at most once a minute."""

from __future__ import annotations

import logging

import pytest

from flowgpt_magic.gateway.log import WARNING_INTERVAL, ThrottledWarning, log_request


def test_a_warning_that_repeats_itself_is_logged_once_a_minute_with_its_number(
    caplog: pytest.LogCaptureFixture,
) -> None:
    now = 0.0
    warning = ThrottledWarning(lambda: now)
    for _ in range(1000):
        warning.log("cannot accept connections")
    now += WARNING_INTERVAL
    warning.log("cannot accept connections")
    now += WARNING_INTERVAL
    warning.log("cannot accept connections")

    assert caplog.messages == [
        "cannot accept connections",
        "cannot accept connections (999 more since the last of these lines)",
        "cannot accept connections",
    ]


def test_a_request_is_one_line_with_its_status_and_its_model(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    log_request(200, "echo:words", 3, 1.234)
    log_request(408)
    assert caplog.messages == ["200 echo:words 3 chunks 1.23 s", "408 - 0 chunks 0.00 s"]

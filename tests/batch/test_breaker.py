"""What a failure says about the server, when a batch pauses, and when it gives up."""

from __future__ import annotations

import pytest

from flowgpt_magic.batch.breaker import (
    FAILURES_TO_OPEN,
    LONGEST_PROBE,
    MAX_OUTAGE,
    NOBODY_LISTENS,
    PROBE_SILENCE,
    REFUSED_PROBES,
    Breaker,
    asked_wait,
    failure_kind,
    not_started,
)
from flowgpt_magic.errors import (
    AuthenticationError,
    ContextLengthError,
    MismatchError,
    MissingKeyError,
    ModelNotFoundError,
    ParameterRefusedError,
    PermissionDeniedError,
    ProtocolError,
    ProviderConnectionError,
    ProviderError,
    ProviderStatusError,
    ProviderTimeoutError,
    QuotaError,
    RateLimitError,
    SettingError,
    StreamInterruptedError,
)

DOWN = ProviderStatusError("error", 500)


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def opened(error: Exception, patience: float | None = None) -> tuple[Breaker, Clock]:
    clock = Clock()
    breaker = Breaker(patience, clock=clock)
    for prompt in range(FAILURES_TO_OPEN):
        breaker.failed(prompt, error, failure_kind(error, 120))
    return breaker, clock


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (RateLimitError("slow down", 429), "busy"),
        (RateLimitError("slow down", 429, 60), "busy"),
        (RateLimitError("tomorrow", 429, 3600), "final"),
        (ProviderStatusError("queue full", 503), "busy"),
        (ProviderStatusError("overloaded", 529), "busy"),
        (QuotaError("no credit", 429), "final"),
        (ProviderStatusError("error", 500), "down"),
        (ProviderStatusError("bad gateway", 502), "down"),
        (ProviderConnectionError("no connection"), "down"),
        (ProviderConnectionError("bad certificate", lasting=True), "refused"),
        (StreamInterruptedError("cut"), "down"),
        (ProviderTimeoutError("silent"), "down"),
        (AuthenticationError("no key", 401), "refused"),
        (PermissionDeniedError("not you", 403), "refused"),
        (PermissionDeniedError("your input was flagged", 403), "answer"),
        (ModelNotFoundError("no such model", 404), "refused"),
        (ProviderStatusError("nothing here", 404), "refused"),
        (ProviderStatusError("moved", 307), "refused"),
        (ParameterRefusedError("no safety_settings", 400, "safety_settings"), "refused"),
        (ProviderStatusError("violates our content policy", 400), "answer"),
        (ProviderStatusError("this prompt is odd", 422), "answer"),
        (ProviderStatusError("too large", 413), "answer"),
        (ContextLengthError("too long"), "answer"),
        (MismatchError("no JSON"), "answer"),
        (MissingKeyError("set KEY"), "final"),
        (SettingError("no"), "final"),
        (ProviderError("own words"), "unknown"),
        (ProtocolError("what?"), "unknown"),
        (ProtocolError("a web page", page=True), "refused"),
        (ProviderStatusError("what type is that?", 415), "refused"),
        (ProviderStatusError("body.top: Extra inputs are not permitted", 422), "refused"),
        (ProviderStatusError("Unrecognized request argument supplied: top", 400), "refused"),
        (ValueError("of a plug-in"), "unknown"),
    ],
    ids=lambda value: f"{type(value).__name__} {value}",
)
def test_each_failure_says_something_about_the_server(error, kind):
    assert failure_kind(error, 120) == kind


def test_what_certainly_was_not_worked_on_is_known():
    assert not_started(ProviderConnectionError("refused"))
    assert not_started(ProviderStatusError("queue full", 503))
    assert not not_started(ProviderStatusError("error", 500))
    assert not not_started(StreamInterruptedError("cut"))


def test_only_a_status_asks_to_wait():
    assert [asked_wait(error) for error in (RateLimitError("", 429, 7.0), RateLimitError("", 429), ValueError())] == [
        7.0,
        0.0,
        0.0,
    ]


def test_five_different_prompts_in_a_row_open_it_and_one_prompt_alone_never_does():
    breaker = Breaker(clock=Clock())
    assert not any(breaker.failed(7, DOWN, "down") for _ in range(50))

    assert [breaker.failed(prompt, DOWN, "down") for prompt in range(FAILURES_TO_OPEN - 1)] == [False] * 3 + [True]
    assert breaker.row == {0, 1, 2, 3, 7}


def test_an_answer_in_between_begins_the_count_anew():
    breaker = Breaker(clock=Clock())
    for prompt in range(FAILURES_TO_OPEN - 1):
        breaker.failed(prompt, DOWN, "down")
    breaker.answered()

    assert not breaker.failed(FAILURES_TO_OPEN, DOWN, "down")
    assert not breaker.open


def test_probes_come_less_and_less_often_until_the_patience_is_over_and_then_no_more():
    breaker, clock = opened(DOWN)
    begun, pauses = clock.now, []
    while not breaker.hopeless:
        pauses.append(breaker.due_in)
        clock.now += breaker.due_in
        breaker.failed(0, DOWN, "down", probe=True)

    assert clock.now - begun == pytest.approx(MAX_OUTAGE)
    assert pauses[0] <= 1 < pauses[2] < pauses[4] <= LONGEST_PROBE
    assert 10 <= len(pauses) <= 14


def test_a_failure_that_is_no_probe_moves_nothing():
    breaker, _clock = opened(DOWN)
    due = breaker.due_in
    breaker.failed(99, DOWN, "down")

    assert breaker.due_in == due


def test_a_wait_that_the_server_asks_for_replaces_the_growing_pause_and_0_does_not():
    assert 30 <= opened(RateLimitError("", 429, 30.0))[0].due_in <= 33
    assert opened(RateLimitError("", 429, 0.0))[0].due_in >= 0.75


def test_a_wait_that_is_longer_than_the_patience_is_not_begun():
    assert opened(RateLimitError("", 429, 30.0), patience=20)[0].hopeless


def test_where_nobody_listens_the_patience_is_shorter_unless_somebody_has_set_it():
    gone = ProviderConnectionError("refused", refused=True)

    assert opened(gone)[0].patience == NOBODY_LISTENS
    assert opened(gone, patience=600)[0].patience == 600
    assert opened(ProviderConnectionError("no route"))[0].patience == MAX_OUTAGE


def test_what_waiting_does_not_mend_is_probed_twice_and_a_quota_never():
    breaker, clock = opened(AuthenticationError("no", 401))
    for _ in range(REFUSED_PROBES):
        assert not breaker.hopeless
        clock.now += breaker.due_in
        breaker.failed(0, AuthenticationError("no", 401), "refused", probe=True)

    assert breaker.hopeless
    assert not breaker.may_recover
    assert opened(QuotaError("no credit", 429))[0].hopeless


def test_an_answer_ends_the_outage_and_gives_the_whole_patience_back():
    breaker, clock = opened(DOWN)
    clock.now += 100
    left = breaker.left
    was_open = breaker.answered()

    assert (left, was_open, breaker.open, breaker.left, breaker.due_in) == (20, True, False, MAX_OUTAGE, 0)


def test_a_probe_without_an_answer_is_followed_by_another_one():
    breaker, clock = opened(DOWN)
    clock.now += breaker.due_in
    breaker.probes()

    assert breaker.due_in == pytest.approx(PROBE_SILENCE)

"""What models have refused: which parameters are left out of later requests."""

from __future__ import annotations

import threading

import pytest

from flowgpt_magic.providers.refused_parameters import RefusedParameters

PLACE = ("http://a/v1", "openai_compatible", "m")
UNSUPPORTED = "Unsupported parameter: 'temperature' is not supported with this model."


@pytest.fixture
def refusals() -> RefusedParameters:
    return RefusedParameters()


def test_what_was_refused_is_known_for_that_server_and_model(refusals):
    assert refusals.learn(PLACE, "temperature", 0.5, UNSUPPORTED)

    assert refusals.known(PLACE, {"temperature": 0.2, "top_p": 1}) == ["temperature"]
    for other in (("http://b/v1", *PLACE[1:]), (*PLACE[:2], "other"), (PLACE[0], "local", "m")):
        assert refusals.known(other, {"temperature": 0.2}) == []


def test_it_is_new_once(refusals):
    assert refusals.learn(PLACE, "temperature", 0.5, UNSUPPORTED)
    assert not refusals.learn(PLACE, "temperature", 0.7, UNSUPPORTED)
    assert refusals.learn(PLACE, "top_p", 0.7, UNSUPPORTED)


def test_what_was_typed_is_never_left_out(refusals):
    refusals.learn(PLACE, "temperature", 0.5, UNSUPPORTED)

    assert refusals.known(PLACE, {"temperature": 0.5}, typed={"temperature"}) == []


@pytest.mark.parametrize(
    "words",
    [
        "max_tokens is too large: 100000. This model supports at most 16384 completion tokens",
        "Input should be less than or equal to 1",
        "temperature must be between 0 and 1",
        "temperature: range 0..1 expected, maximum is 1",
    ],
)
def test_where_a_limit_is_named_another_value_is_sent(refusals, words):
    refusals.learn(PLACE, "temperature", 1.5, words)

    assert refusals.known(PLACE, {"temperature": 1.5}) == ["temperature"]
    assert refusals.known(PLACE, {"temperature": 0.5}) == []


def test_something_is_told_once_by_whichever_thread_comes_first(refusals):
    told: list[bool] = []
    threads = [threading.Thread(target=lambda: told.append(refusals.first_time("a", "b"))) for _ in range(8)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()

    assert sorted(told) == [False] * 7 + [True]

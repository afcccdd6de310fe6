"""The errors, and how a notebook shows them."""

from __future__ import annotations

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowgpt_magic import errors
from flowgpt_magic.errors import (
    AuthenticationError,
    FlowGptError,
    FlowGptWarning,
    ProviderError,
    RateLimitError,
    ReplyInterrupted,
    closest,
)

EVERY_CLASS = [each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, BaseException)]


@pytest.mark.parametrize("error", EVERY_CLASS, ids=lambda each: each.__name__)
def test_every_error_has_the_one_root_and_says_what_it_means(error):
    assert issubclass(error, (FlowGptError, FlowGptWarning, ReplyInterrupted))
    assert error.__doc__


def test_what_a_provider_can_fail_with_is_caught_as_one():
    for error in (errors.ContextLengthError, errors.ProviderTimeoutError, errors.ProtocolError, RateLimitError):
        assert issubclass(error, ProviderError)


def test_an_error_with_a_status_keeps_its_numbers():
    error = RateLimitError("wait a little", 429, retry_after=2.5)

    assert (str(error), error.status, error.retry_after) == ("wait a little", 429, 2.5)
    assert AuthenticationError("no key", 401).status == 401


def test_a_refused_parameter_is_still_named_after_a_pickle():
    error = pickle.loads(pickle.dumps(errors.ParameterRefusedError("not this", 400, "temperature", 1.5)))

    assert (str(error), error.status, error.parameter, error.retry_after) == ("not this", 400, "temperature", 1.5)


def test_a_notebook_shows_an_error_in_its_own_words_and_without_a_traceback():
    assert FlowGptError("do this")._render_traceback_() == ["FlowGptError: do this"]


def test_an_interrupted_reply_is_an_interrupt_and_shows_one_line():
    stopped = ReplyInterrupted("Interrupted: nothing had come yet")

    assert isinstance(stopped, KeyboardInterrupt)
    assert not isinstance(stopped, Exception)
    assert stopped._render_traceback_() == ["Interrupted: nothing had come yet"]


def test_a_word_almost_right_is_answered_with_the_right_one():
    assert closest("temprature", ["model", "temperature"]) == "; did you mean temperature?"


def test_capitals_are_no_mistake_to_speak_of():
    assert closest("ECHO", ["Echo", "local"]) == "; did you mean Echo?"


def test_a_word_far_from_all_others_ends_the_sentence():
    assert closest("zebra", ["model", "temperature"]) == "."
    assert closest("zebra", []) == "."


@given(st.text(), st.lists(st.text()))
def test_only_a_known_word_is_ever_suggested(word, known):
    hint = closest(word, known)

    assert hint == "." or hint.removeprefix("; did you mean ").removesuffix("?") in known

"""A prompt is sent to the target of its alias, with the parameters that the provider supports."""

from __future__ import annotations

from typing import Any

import pytest

from flowgpt_magic import settings
from flowgpt_magic.errors import ModelNotSupportedError
from flowgpt_magic.providers import aliases
from flowgpt_magic.providers.aliases import Alias
from flowgpt_magic.replies.resolved import Resolved, resolve


def resolved(**options: Any) -> Resolved:
    return resolve(settings.within(settings.load(), conversation={}, options=options))


def test_an_alias_names_the_target_and_its_temperature():
    aliases.save(Alias("polly", "echo", temperature=0.5))

    polly = resolved(model="polly")

    assert (str(polly.target), polly.parameters["temperature"]) == ("echo:words", 0.5)


def test_a_parameter_that_the_provider_does_not_support_is_not_passed():
    parameters = resolved(model="echo", max_tokens=5, params={"fail_after": 2, "unknown": 1}).parameters

    assert parameters["fail_after"] == 2
    assert not parameters.keys() & {"max_tokens", "unknown"}


def test_a_setting_for_this_prompt_wins_over_the_same_field_in_extra_body():
    own = {"params": {"extra_body": {"max_tokens": 1, "top_a": 0.2}}}
    options = {"model": "openai_compatible:m", "max_tokens": 9}

    parameters = resolve(settings.within(settings.load(), conversation=own, options=options)).parameters

    assert (parameters["max_tokens"], parameters["extra_body"]) == (9, {"top_a": 0.2})


def test_without_a_proxy_or_a_temperature_none_is_passed():
    assert not resolved(model="echo").parameters.keys() & {"proxy", "temperature"}


def test_an_unknown_model_is_an_error():
    with pytest.raises(ModelNotSupportedError):
        resolved(model="no-such-model")

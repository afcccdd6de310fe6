"""A prompt is sent to the target of its alias, with the parameters that the provider supports."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from flowgpt_magic import settings
from flowgpt_magic.errors import FlowGptError, ModelNotSupportedError
from flowgpt_magic.providers import aliases
from flowgpt_magic.providers.aliases import Alias
from flowgpt_magic.replies.resolved import Resolved, resolve
from tests.openai_servers import refusing
from tests.servers import Answer, serving

MESSAGES = [{"role": "user", "content": "Hi"}]


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
    with pytest.raises(ModelNotSupportedError) as error:
        resolved(model="gtp-4")

    assert "did you mean gpt-4-turbo?" in str(error.value)
    assert "comes from" not in str(error.value)


def test_an_unknown_model_that_was_not_typed_says_where_it_was_set():
    with pytest.raises(ModelNotSupportedError, match=r"; the setting model comes from %config\.$"):
        resolve(settings.load(configured={"model": "gtp-4"}))


async def failure(polly: Alias, answer: Answer) -> str:
    """The error of a request to the alias ``polly``, with this server as its address."""
    async with serving(answer) as server:
        aliases.save(replace(polly, base_url=f"{server.url}/v1"))
        resolution = resolved(model="polly")
        create = resolution.target.provider_class.create_async_generator
        with pytest.raises(FlowGptError) as error:
            async for _chunk in create(resolution.target.model, MESSAGES, **resolution.parameters):
                pass
    return str(error.value)


POLLY = Alias("polly", "openai_compatible:m")


async def test_errors_of_an_alias_name_its_address_its_key_and_its_models(monkeypatch):
    unknown = refusing(404, {"error": {"message": "model m not found", "code": "model_not_found"}})
    denied = refusing(401, {"error": {"message": "no"}})
    monkeypatch.setenv("MINE", "sk-hunter2")

    assert "%flowgpt models polly lists its models." in await failure(POLLY, unknown)
    assert "%flowgpt update polly --key-variable NAME gives the alias polly" in await failure(POLLY, denied)
    assert "(alias polly): is it the key" in await failure(replace(POLLY, key_variable="MINE"), denied)
    assert "%flowgpt update polly --endpoint URL changes it" in await failure(POLLY, refusing(404, "page not found"))


async def test_an_address_of_an_alias_that_does_not_answer_is_named():
    async with serving(refusing(500, "")) as server:
        aliases.save(replace(POLLY, base_url=f"{server.url}/v1"))
    polly = resolved(model="polly")

    with pytest.raises(FlowGptError, match="The address is that of the alias polly; %flowgpt update polly --endpoint"):
        async for _chunk in polly.target.provider_class.create_async_generator("m", MESSAGES, **polly.parameters):
            pass

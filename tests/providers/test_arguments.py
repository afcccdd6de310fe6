"""Arguments of the wrong type: one clear error from every provider, before anything is sent."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowgpt_magic.errors import ModelNotSupportedError, OptionError, PromptError, SettingError
from flowgpt_magic.providers.arguments import check_messages, check_model, check_number, check_stop, check_temperature
from flowgpt_magic.providers.base import AsyncGeneratorProvider
from flowgpt_magic.providers.echo import Echo
from flowgpt_magic.providers.flowgpt import FlowGpt
from flowgpt_magic.providers.llm_models import Llm
from flowgpt_magic.providers.local import Local
from flowgpt_magic.providers.openai_compatible import OpenAICompatible
from tests.servers import replying, serving

HELLO = [{"role": "user", "content": "Hello"}]
PROVIDERS: list[tuple[type[AsyncGeneratorProvider], str]] = [
    (FlowGpt, ""),
    (OpenAICompatible, "some-model"),
    (Echo, ""),
    (Local, ""),
    (Llm, "some-model"),
]


def messages_from_a_generator() -> Iterator[dict[str, str]]:
    yield from HELLO


@pytest.mark.parametrize(("provider", "model"), PROVIDERS)
async def test_every_provider_refuses_arguments_of_the_wrong_type_before_it_sends_them(
    provider: type[AsyncGeneratorProvider], model: str
) -> None:
    wrong: list[tuple[Any, Any, Any, type[Exception]]] = [
        *((name, HELLO, 0.5, ModelNotSupportedError) for name in (5, 0, b"m", b"", ["m"], [], {"m": 1}, True)),
        (np.array(["a", "b"]), HELLO, 0.5, ModelNotSupportedError),
        *(
            (model, messages, 0.5, PromptError)
            for messages in (None, 5, "Hello", b"Hello", HELLO[0], ["Hello"], [None])
        ),
        *((model, messages, 0.5, PromptError) for messages in ([["user", "Hello"]], [{}], [{"role": "user"}])),
        *((model, messages, 0.5, PromptError) for messages in ([{"content": "x"}], [{"role": 5, "content": "x"}])),
        (model, [{"role": "user", "content": None}], 0.5, PromptError),
        (model, messages_from_a_generator(), 0.5, PromptError),
        (model, np.array([1, 2]), 0.5, PromptError),
        *((model, HELLO, temperature, OptionError) for temperature in ("hot", "0.5", [1], b"1", True, 1j)),
    ]
    async with serving(replying()) as server:
        for name, messages, temperature, kind in wrong:
            options = {"base_url": server.url, "openai_base_url": server.url, "openai_key": ""}
            with pytest.raises(kind) as raised:
                await provider.create_async(name, messages, temperature=temperature, **options)
            assert type(raised.value) is kind, (name, messages, temperature)
            assert str(raised.value).endswith(".")
            assert not str(raised.value).endswith("..")
    assert server.requests == []


def test_no_name_is_an_empty_one() -> None:
    assert (check_model(None, "X"), check_model("", "X"), check_model("m", "X")) == ("", "", "m")


@pytest.mark.parametrize("temperature", [0, 0.5, None, np.float32(0.5), np.int64(1), Fraction(1, 2)])
def test_any_kind_of_number_is_a_temperature_and_becomes_a_plain_one(temperature: Any) -> None:
    found = check_temperature(temperature)
    assert found == temperature
    assert type(found) in (int, float, type(None))


@pytest.mark.parametrize(("value", "found"), [(None, None), (40, 40), (np.int64(40), 40)])
def test_a_parameter_that_counts_becomes_a_plain_whole_number(value: Any, found: int | None) -> None:
    assert check_number("top_k", value, 1) == found
    assert type(check_number("top_k", value, 1)) is type(found)


@pytest.mark.parametrize("value", [True, 1.5, "40", np.float64(40), [40]])
def test_a_parameter_that_counts_must_be_a_whole_number(value: Any) -> None:
    with pytest.raises(OptionError, match=r"top_k must be a whole number such as 1, not .*\.$"):
        check_number("top_k", value, 1)


@pytest.mark.parametrize("stop", [5, b"END", [1], {"END": 1}, ["END", None], True])
async def test_words_that_end_a_reply_are_texts(stop: Any) -> None:
    for provider, model in ((OpenAICompatible, "m"), (Local, __file__ + ".gguf")):
        with pytest.raises(OptionError, match="stop must be"):
            await _asked(provider, model, stop=stop)
    assert check_stop(("a", "b")) == ["a", "b"]


@pytest.mark.parametrize("schema", [5, "object", [], int])
async def test_a_schema_is_a_mapping(schema: Any) -> None:
    for provider, model in ((OpenAICompatible, "m"), (Local, __file__ + ".gguf")):
        with pytest.raises(OptionError, match="schema must be"):
            await _asked(provider, model, schema=schema)


async def test_the_pace_of_the_echo_is_a_number() -> None:
    with pytest.raises(SettingError, match="pace"):
        await Echo.create_async("", HELLO, pace="slow")


async def _asked(provider: type[AsyncGeneratorProvider], model: str, **options: Any) -> str:
    return await provider.create_async(model, HELLO, openai_base_url="http://127.0.0.1:1", openai_key="", **options)


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text() | st.binary(), st.lists) | st.from_type(type))
def test_whatever_is_no_list_of_messages_is_a_prompt_error(messages: Any) -> None:
    if messages == []:
        assert check_messages(messages) == []
        return
    with pytest.raises(PromptError):
        check_messages(messages)


def test_messages_may_be_any_sequence_of_mappings() -> None:
    assert check_messages(tuple(HELLO)) == tuple(HELLO)
    assert check_messages([{"role": "user", "content": [{"type": "text", "text": "Hello"}]}])

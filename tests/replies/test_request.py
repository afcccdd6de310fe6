"""What is sent for a prompt, and which options are parameters."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from flowgpt_magic import settings
from flowgpt_magic.errors import OptionError, PromptError, SettingError
from flowgpt_magic.messages import Turn
from flowgpt_magic.messages.extras import Extras
from flowgpt_magic.replies.request import (
    EARLIER,
    EarlierImages,
    Request,
    build_messages,
    check_params,
    given_fields,
    prompt_of,
    read_images,
    read_prompt,
    repeat_options,
    split_options,
    turns_to_send,
)
from flowgpt_magic.replies.resolved import resolve
from tests.records import conversation_record, notebook_record, turn_record

PIXEL = "data:image/png;base64,iVBORw0KGgo="


def request(prompt: str = "hi", **options: Any) -> Request:
    chosen = settings.within(settings.load(), conversation={}, options={"model": "echo", **options})
    return Request(prompt, resolve(chosen))


def turn(prompt: str = "one", text: str = "two", **values: Any) -> Turn:
    record = conversation_record(notebook_record())
    return turn_record(record, prompt=prompt, text=text, status="complete", **values)


def test_the_last_of_several_messages_is_the_prompt():
    earlier, prompt = read_prompt([{"role": "system", "content": "be brief"}, {"role": "user", "content": "hi"}])

    assert (earlier, prompt) == ([{"role": "system", "content": "be brief"}], "hi")


@pytest.mark.parametrize(
    ("prompt", "error"),
    [
        ([], "not an empty list"),
        (5, "not int"),
        (" \n", "the prompt is empty"),
        ([{"role": "assistant", "content": "hi"}], "its role must be user, not assistant"),
    ],
)
def test_what_is_not_a_prompt_is_an_error(prompt, error):
    with pytest.raises(PromptError, match=error):
        read_prompt(prompt)


def test_the_system_prompt_and_the_turns_come_before_the_prompt():
    messages = build_messages(request(system="be brief"), [turn()])

    assert [(message["role"], message["content"]) for message in messages] == [
        ("system", "be brief"),
        ("user", "one"),
        ("assistant", "two"),
        ("user", "hi"),
    ]


def test_opaque_reasoning_goes_back_to_the_provider_and_model_that_sent_it_and_to_no_other():
    parts = ({"signature": "abc"},)
    of_this_model = turn(provider="echo", model="words", extras=Extras(reasoning_parts=parts))
    of_another = turn(provider="echo", model="characters", extras=Extras(reasoning_parts=parts))

    messages = build_messages(request(), [of_this_model, of_another])

    assert [message.get("reasoning_parts") for message in messages] == [None, [*parts], None, None, None]
    assert "reasoning_parts" not in of_this_model.messages[1]


def test_messages_that_were_given_replace_the_turns_and_the_system_prompt():
    earlier = [{"role": "system", "content": "shout"}]

    messages = build_messages(replace(request(system="be brief"), earlier=earlier), [turn()])

    assert [message["content"] for message in messages] == ["shout", "hi"]


def test_a_turn_without_an_answer_is_not_sent():
    chosen = settings.load()

    assert turns_to_send(chosen, [turn(text=" \n"), kept := turn()]) == ([kept], 0)


def test_a_repeated_turn_keeps_its_model_and_parameters_unless_the_options_name_a_model():
    parameters = {"temperature": 0.5, "fail_after": 3, EARLIER: "[]"}
    earlier = turn(parameters=parameters, system="be brief")

    options = repeat_options(earlier, {})
    assert (options["model"], options["temperature"], options["params"]) == ("echo:words", 0.5, {"fail_after": 3})

    elsewhere = repeat_options(earlier, {"model": "openai:m"})
    assert (elsewhere["model"], elsewhere["system"]) == ("openai:m", "be brief")
    assert not elsewhere.keys() & {"temperature", "params"}


def test_the_prompt_of_a_turn_is_given_back_with_the_messages_before_it():
    assert prompt_of(turn("one")) == "one"
    assert prompt_of(turn("one", parameters={EARLIER: '[{"role": "user", "content": "zero"}]'})) == [
        {"role": "user", "content": "zero"},
        {"role": "user", "content": "one"},
    ]


def test_images_are_an_error_for_a_provider_that_takes_none_but_are_dropped_from_a_repeated_turn():
    target = request().target

    with pytest.raises(OptionError, match="echo takes no images"):
        read_images([PIXEL], target)
    assert read_images(EarlierImages([PIXEL]), target) == []


def test_options_that_are_no_settings_are_parameters():
    assert split_options({"temperature": 1, "seed": 3, "params": {"top_p": 0.5}}) == (
        {"temperature": 1},
        {"seed": 3, "top_p": 0.5},
    )


@pytest.mark.parametrize("name", ["temperature", "seed"])
def test_a_parameter_that_is_given_twice_is_an_error(name):
    with pytest.raises(OptionError, match=f"{name} is given twice, as an option and as a parameter"):
        split_options({name: 1, "params": {name: 2}})


def test_the_given_fields_include_those_inside_extra_body():
    options = {"temperature": None, "seed": 1, "params": {"extra_body": {"top_a": 0.2}}}

    assert {"seed", "top_a"} <= given_fields(options)
    assert "temperature" not in given_fields(options)


def test_an_unknown_parameter_names_those_that_the_provider_takes():
    with pytest.raises(OptionError, match=r"echo takes no parameter top_p.* It takes .*fail_after"):
        check_params(request().target, {"top_p": 1})


def test_a_misspelt_setting_is_a_setting_error():
    with pytest.raises(SettingError, match="did you mean temperature"):
        check_params(request().target, {"temperatur": 1}, by_name=["temperatur"])


def test_opaque_reasoning_goes_to_no_other_server():
    extras = Extras(reasoning_parts=({"signature": "abc"},))
    chosen = settings.load({"model": "openai_compatible:m", "openai_base_url": "http://127.0.0.1:1/v1"})
    same, other = (
        turn(provider="openai_compatible", model="m", extras=extras, parameters={"openai_base_url": address})
        for address in ("http://127.0.0.1:1/v1", "http://127.0.0.1:2/v1")
    )

    messages = build_messages(Request("hi", resolve(chosen)), [same, other])

    assert ["reasoning_parts" in message for message in messages] == [False, True, False, False, False]

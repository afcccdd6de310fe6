"""A model that refuses a parameter: left out where it comes from the settings, an error where it was typed."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from flowgpt_magic import settings
from flowgpt_magic.conversation import Conversation
from flowgpt_magic.errors import OptionError, ParameterRefusedError, ProviderError, SettingError
from flowgpt_magic.notebook.place import NO_CELL
from flowgpt_magic.providers import aliases
from flowgpt_magic.providers.aliases import Alias
from tests.openai_servers import background, chunk, picky, refusing, reply, streaming

SAID = "'{}' is not supported with this model"
MODEL = "openai_compatible:m"


def conversation(server: Any, **configured: Any) -> Conversation:
    return Conversation(configured=lambda: {"openai_base_url": f"{server.url}/v1", "model": MODEL, **configured})


def bodies(server: Any) -> list[dict[str, Any]]:
    return [request.json for request in server.requests]


def settings_of(place: str, server: Any, monkeypatch: Any, values: dict[str, Any]) -> Conversation:
    """A conversation whose parameters are set at ``place``."""
    chat = conversation(server)
    if place == "settings file":
        path = settings.settings_file()
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("[params]\n" + "\n".join(f"{name} = {value}" for name, value in values.items()))
    elif place == "conversation":
        chat.set(params=values)
    elif place == "%config":
        chat = conversation(server, params=values)
    elif place == "environment":
        monkeypatch.setenv("FLOWGPT_PARAMS", str(values).replace("'", '"'))
    elif place == "alias":
        aliases.save(Alias("fast", MODEL, f"{server.url}/v1", params=values))
        chat = conversation(server, model="fast")
    else:
        chat = Conversation(params=values, configured=chat._configured)
    return chat


PLACES = ("settings file", "conversation", "%config", "environment", "alias", "Conversation(params=…)")


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("name", ["temperature", "top_p", "max_tokens", "seed"])
def test_one_from_the_settings_is_left_out_once_for_all(place, name, monkeypatch):
    with background(picky(name)) as server:
        chat = settings_of(place, server, monkeypatch, {name: 1})

        first, second = chat.ask("hi", cell=NO_CELL), chat.ask("hi", cell=NO_CELL)

        assert (first.text, second.text) == ("fine", "fine")
        assert [name in body for body in bodies(server)] == [True, False, False]
        (told,) = first.notices
        assert told.startswith(f"{name} (from ")
        assert SAID.format(name) in told
        assert "left out" in told
        assert not second.notices


def test_the_notice_names_where_it_comes_from():
    with background(picky("top_p")) as server:
        chat = conversation(server)
        chat.set(params={"top_p": 0.5})

        reply = chat.ask("hi", cell=NO_CELL)

        assert reply.text == "fine"
        assert reply.notices[0].startswith(
            "top_p (from this conversation) was left out, because the model refuses it: "
        )


@pytest.mark.parametrize(
    "typed",
    [
        {"temperature": 0.5},
        {"params": {"temperature": 0.5}},
        {"params": {"extra_body": {"temperature": 0.5}}},
        {"extra_body": {"temperature": 0.5}},
    ],
)
def test_one_that_was_typed_fails_and_says_what_to_do(typed):
    with background(picky("temperature")) as server:
        chat = conversation(server)
        for _time in range(2):
            reply = chat.ask("hi", cell=NO_CELL, **typed)
            with pytest.raises(ParameterRefusedError, match=re.escape(SAID.format("temperature"))) as caught:
                list(reply)
            said = str(caught.value)
            assert said.endswith("remove -t (-P temperature, or temperature= in Python), or ask another model.")
            assert ".." not in said
            assert caught.value.parameter == "temperature"
        assert len(server.requests) == 2


def test_one_that_was_typed_fails_though_the_settings_have_one_too():
    with background(picky("temperature")) as server:
        chat = conversation(server, temperature=0.2)
        assert chat.ask("hi", cell=NO_CELL).text == "fine"

        with pytest.raises(ParameterRefusedError):
            list(chat.ask("hi", temperature=0.5, cell=NO_CELL))


def test_several_are_left_out_one_after_the_other():
    with background(picky("temperature", "top_p", "seed")) as server:
        chat = conversation(server, temperature=0.2, params={"top_p": 0.5, "seed": 1, "stop": ["x"]})

        first, second = chat.ask("hi", cell=NO_CELL), chat.ask("hi", cell=NO_CELL)

        assert first.text == second.text == "fine"
        assert len(first.notices) == 3
        assert len(server.requests) == 5
        assert bodies(server)[-1]["stop"] == ["x"]


def test_a_field_of_extra_body_is_left_out_too():
    with background(picky("top_a")) as server:
        chat = conversation(server, params={"extra_body": {"top_a": 0.1, "mirostat": 2}})

        assert chat.ask("hi", cell=NO_CELL).text == "fine"
        assert (bodies(server)[1].get("top_a"), bodies(server)[1]["mirostat"]) == (None, 2)


def test_max_tokens_goes_by_its_other_name_and_is_left_out_where_that_is_refused():
    words = "Unsupported parameter: '{}' is not supported with this model. Use 'max_completion_tokens' instead."
    with background(picky("max_tokens", words=words)) as server:
        chat = conversation(server, params={"max_tokens": 7})
        assert chat.ask("hi", cell=NO_CELL).text == "fine"
        assert bodies(server)[-1]["max_completion_tokens"] == 7
    with background(picky("max_tokens", "max_completion_tokens", words=words)) as server:
        chat = conversation(server, params={"max_tokens": 7})
        reply = chat.ask("hi", cell=NO_CELL)
        assert reply.text == "fine"
        assert reply.notices[0].startswith("max_tokens (from %config) was left out")
        assert not {"max_tokens", "max_completion_tokens"} & bodies(server)[-1].keys()


@pytest.mark.parametrize(
    ("status", "report"),
    [
        (400, {"error": {"message": "Unsupported value: 'temperature' does not support 0.5 with this model."}}),
        (422, {"detail": [{"type": "extra_forbidden", "loc": ["body", "temperature"], "msg": "Extra inputs"}]}),
        (400, {"object": "error", "message": "[{'loc': ('body', 'temperature'), 'msg': 'Extra inputs'}]"}),
        (400, {"error": {"message": "UnsupportedParamsError: m does not support parameters: ['temperature']"}}),
        (400, {"error": {"message": "`temperature` and `top_p` cannot both be specified."}}),
        (400, {"error": "invalid option provided: temperature"}),
        (400, "temperature: unsupported parameter"),
    ],
)
def test_a_refusal_is_one_in_whichever_shape_it_is_told(status, report):
    async def answer(request: Any, connection: Any) -> None:
        refused = "temperature" in request.json
        await (refusing(status, report) if refused else streaming(reply("fine")))(request, connection)

    with background(answer) as server:
        chat = conversation(server, temperature=0.5, params={"top_p": 0.5})

        assert chat.ask("hi", cell=NO_CELL).text == "fine"
        assert ["temperature" in body for body in bodies(server)] == [True, False]
        assert bodies(server)[1]["top_p"] == 0.5


def test_a_batch_that_asks_one_at_a_time_is_refused_once_and_told_once():
    with background(picky("temperature")) as server:
        batch = conversation(server, temperature=0.5).map(["a", "b", "c"], concurrency=1, progress=False)

        told = [notice for result in batch.results for notice in result.notices]

        assert len(told) == 1
        assert "temperature" in told[0]
        assert len(server.requests) == 4


def test_an_edit_keeps_the_parameters_of_its_turn_and_takes_further_ones():
    with background(picky()) as server:
        chat = conversation(server)
        list(chat.ask("hi", top_p=0.5, extra_body={"top_a": 1}, cell=NO_CELL))

        list(chat.edit(1, "ho", params={"seed": 3, "top_p": 0.9}))

        body = bodies(server)[1]
        assert (body["top_p"], body["top_a"], body["seed"]) == (0.9, 1, 3)


def test_a_field_that_goes_by_another_name_is_refused_once():
    words = "Unsupported parameter: '{}' is not supported with this model. Use 'max_completion_tokens' instead."
    with background(picky("max_tokens", words=words)) as server:
        chat = conversation(server)
        for _time in range(3):
            assert chat.ask("hi", params={"max_tokens": 7}, cell=NO_CELL).text == "fine"

        assert [body.get("max_tokens") for body in bodies(server)] == [7, None, None, None]
        assert [body.get("max_completion_tokens") for body in bodies(server)] == [None, 7, 7, 7]


def test_a_field_is_not_taken_for_refused_where_the_request_fails_without_it_too():
    with background(refusing(400, {"error": {"message": "the stream of requests is broken"}})) as server:
        chat = conversation(server)
        for _time in range(2):
            with pytest.raises(ProviderError):
                list(chat.ask("hi", cell=NO_CELL))

        assert ["stream" in body for body in bodies(server)] == [True, False, True, False]


def test_a_value_that_is_too_large_is_left_out_and_a_smaller_one_is_sent():
    with background(picky("max_tokens", words="{} is too large: this model supports at most 4096 tokens")) as server:
        chat = conversation(server, params={"max_tokens": 9999})
        assert chat.ask("hi", cell=NO_CELL).text == "fine"
        assert chat.ask("hi", cell=NO_CELL).text == "fine"
        assert [body.get("max_tokens") for body in bodies(server)] == [9999, None, None]
        chat = conversation(server, params={"max_tokens": 9})
        assert chat.ask("hi", cell=NO_CELL).text == "fine"
        assert bodies(server)[3]["max_tokens"] == 9


def test_asking_again_what_the_settings_gave_leaves_it_out():
    with background(picky("temperature")) as server:
        chat = conversation(server, temperature=0.5)
        assert chat.ask("hi", cell=NO_CELL).text == "fine"

        assert chat.retry().text == "fine"
        assert chat.edit(1, "ho").text == "fine"
        assert len(server.requests) == 4

        with pytest.raises(ParameterRefusedError):
            list(chat.retry(temperature=0.7))


@pytest.mark.parametrize("concurrency", [1, 8])
def test_a_batch_is_refused_no_more_often_than_it_asks_at_once(concurrency):
    with background(picky("temperature")) as server:
        chat = conversation(server, temperature=0.5)

        batch = chat.map([f"prompt {number}" for number in range(40)], concurrency=concurrency, progress=False)

        assert batch.texts == ["fine"] * 40
        refused = sum("temperature" in body for body in bodies(server))
        assert 1 <= refused <= concurrency
        assert len(server.requests) == 40 + refused


def test_a_batch_with_a_typed_one_fails_with_what_to_do():
    with background(picky("temperature")) as server:
        batch = conversation(server).map(["a", "b"], temperature=0.5, progress=False)

        results = list(batch.results)

        assert {result.status for result in results} == {"failed"}
        assert all("remove -t" in str(result.error) for result in results)


def test_a_schema_is_asked_for_without_what_is_refused():
    words = streaming(reply('{"n": 1}'))

    async def answer(request: Any, connection: Any) -> None:
        if "temperature" in request.json:
            report = {"message": SAID.format("temperature"), "param": "temperature"}
            return await refusing(400, {"error": report})(request, connection)
        return await words(request, connection)

    with background(answer) as server:
        chat = conversation(server, temperature=0.5)
        schema = {"type": "object", "properties": {"n": {"type": "integer"}}}
        assert chat.ask("hi", schema=schema, cell=NO_CELL).data == {"n": 1}


REPORT = {"error": {"message": "Unsupported parameter: temperature", "param": "temperature", "code": 400}}
EVENT = b"data: %s\n\n" % json.dumps(REPORT).encode()


def test_a_failure_after_the_first_chunk_is_no_reason_to_ask_again():
    with background(streaming(chunk("half"), EVENT)) as server:
        reply = conversation(server, temperature=0.5).ask("hi", cell=NO_CELL)

        with pytest.raises(ParameterRefusedError):
            list(reply)
        assert len(server.requests) == 1


def test_a_refusal_inside_a_stream_is_one_too():
    async def answer(request: Any, connection: Any) -> None:
        await streaming(*([EVENT] if "temperature" in request.json else [reply("fine")]))(request, connection)

    with background(answer) as server:
        assert conversation(server, temperature=0.5).ask("hi", cell=NO_CELL).text == "fine"
        assert len(server.requests) == 2


def test_a_parameter_that_the_provider_does_not_take_is_told_once():
    chat = Conversation(configured=lambda: {"model": "echo", "params": {"odd_one": 1}})

    first, second = chat.ask("hi", cell=NO_CELL), chat.ask("hi", cell=NO_CELL)

    assert first.text == second.text == "hi"
    assert first.notices == ["odd_one (from %config) was left out: echo takes no such parameter"]
    assert second.notices == []


# --think


@pytest.mark.parametrize(("think", "effort"), [("low", "low"), ("high", "high"), ("off", "none")])
def test_think_is_sent_as_the_field_that_the_server_takes(think, effort):
    with background(streaming(reply("hello"))) as server:
        answer = conversation(server).ask("hi", think=think)

        assert answer.text == "hello"
        assert [body["reasoning_effort"] for body in bodies(server)] == [effort]
        assert answer.turn.parameters["think"] == think


def test_a_provider_that_takes_no_think_refuses_it_before_anything_is_sent_where_it_was_typed():
    with pytest.raises(OptionError, match=r"^echo takes no --think: how much its models think cannot be set\.$"):
        Conversation(configured=lambda: {"model": "echo"}).ask("hi", think="low")


def test_a_provider_that_takes_no_think_answers_without_it_where_it_comes_from_the_settings():
    chat = Conversation(configured=lambda: {"model": "echo", "think": "low"})

    first, second = chat.ask("hi"), chat.ask("hi")

    assert (first.text, second.text) == ("hi", "hi")
    assert first.notices == ["think (from %config) was left out: echo takes no such parameter"]
    assert second.notices == []


def test_a_server_that_refuses_it_where_it_was_typed_is_one_error_that_names_think():
    with background(picky("reasoning_effort")) as server:
        answer = conversation(server).ask("hi", think="off")

        with pytest.raises(ParameterRefusedError, match=r"remove --think \(-P think, or think= in Python\)"):
            _text = answer.text
        assert len(server.requests) == 1


def test_a_server_that_refuses_it_where_it_was_set_is_asked_without_it_from_then_on():
    with background(picky("reasoning_effort")) as server:
        chat = conversation(server, think="low")
        first, second = chat.ask("hi"), chat.ask("hi")

        assert (first.status, second.status) == (None, None)
        assert first.text == second.text
        assert ["reasoning_effort" in body for body in bodies(server)] == [True, False, False]
        assert first.notices[0].startswith("think (from %config) was left out, because the model refuses it")


def test_the_parameter_and_think_in_one_prompt_are_one_too_many():
    with background(streaming(reply("hello"))) as server, pytest.raises(OptionError, match="given twice"):
        conversation(server).ask("hi", think="low", params={"reasoning_effort": "high"})


@pytest.mark.parametrize(
    ("configured", "options", "effort"),
    [
        ({"think": "low"}, {"params": {"reasoning_effort": "high"}}, "high"),
        ({"params": {"reasoning_effort": "high"}}, {"think": "low"}, "low"),
        ({"params": {"extra_body": {"reasoning_effort": "high"}}}, {"think": "low"}, "low"),
        ({"params": {"reasoning_effort": "high"}, "think": "low"}, {}, "high"),
        ({"think": "low"}, {"params": {"think": "high"}}, "high"),
    ],
)
def test_what_was_set_closer_to_the_prompt_wins(configured, options, effort):
    with background(streaming(reply("hello"))) as server:
        assert conversation(server, **configured).ask("hi", **options).text == "hello"

        (body,) = bodies(server)
        assert body["reasoning_effort"] == effort


def test_a_turn_that_is_asked_again_thinks_as_much_and_may_be_told_otherwise():
    with background(streaming(reply("hello"))) as server:
        chat = conversation(server)
        for ask in (lambda: chat.ask("hi", think="high", cell=NO_CELL), chat.retry, lambda: chat.retry(think="off")):
            assert ask().text == "hello"

        assert [body["reasoning_effort"] for body in bodies(server)] == ["high", "high", "none"]


def test_an_alias_may_say_how_much_is_thought():
    with background(streaming(reply("hello"))) as server:
        aliases.save(Alias("deep", MODEL, f"{server.url}/v1", params={"think": "high"}))

        assert conversation(server, model="deep").ask("hi").text == "hello"
        assert [body["reasoning_effort"] for body in bodies(server)] == ["high"]


@pytest.mark.parametrize("value", ["hgih", True, 3, "none"])
def test_a_level_that_does_not_exist_is_an_error_that_lists_those_that_do(value):
    with pytest.raises(SettingError, match="low, medium, high, off"):
        Conversation(configured=lambda: {"model": MODEL}).ask("hi", think=value)

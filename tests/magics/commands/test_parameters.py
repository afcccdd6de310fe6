"""Parameters of the provider and own headers in ``%flowgpt set`` and ``%flowgpt config``."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from flowgpt_magic.errors import FlowGptError, SettingError
from tests.shell_states import new_state, run_line


@pytest.fixture
def openai() -> Callable[[str], Any]:
    """Run a line in a conversation that asks a server of the OpenAI protocol."""
    run = partial(run_line, new_state())
    run("set openai_base_url http://127.0.0.1:9/v1")
    run("set model openai_compatible:m")
    return run


def test_parameters_are_set_like_settings_each_beside_the_others(openai):
    assert openai("set top_p 0.5") == "top_p: 0.5 (this conversation)"
    assert (
        openai('set -P stop=["END", "a b"] -P seed=7')
        == 'stop: ["END", "a b"] (this conversation)\nseed: 7 (this conversation)'
    )
    assert openai('set extra_body {"top_a": 0.2}') == 'extra_body: {"top_a": 0.2} (this conversation)'
    assert openai("set seed") == "seed: 7 (this conversation)"
    assert openai("set params").startswith(
        'params: top_p = 0.5, stop = ["END", "a b"], seed = 7, extra_body = {"top_a": 0.2} ('
    )

    assert openai("set top_p none") == "top_p: none (default)"
    assert openai("set -P seed=null") == "seed: none (default)"
    assert openai("set params none").startswith("params: none (default)")
    assert openai("set stop").startswith("stop: none")


def test_a_parameter_that_is_a_setting_is_set_as_that(openai):
    assert (
        openai("set -P temperature=0.5 -P top_p=0.1").splitlines()[0].startswith("temperature: 0.5 (this conversation)")
    )
    assert openai("set temperature").startswith("temperature: 0.5")
    assert openai("set -P max_tokens=9").startswith("max_tokens: 9 (this conversation)")


def test_headers_are_set_and_shown_with_the_names_of_variables(openai):
    openai('set extra_headers {"api-key": "$GATE", "X-Title": "mine"}')

    rows = {row[0]: row[1:3] for row in openai("config").rows}
    assert rows["extra_headers.api-key"] == ("$GATE", "this conversation")
    assert rows["extra_headers.X-Title"] == ("mine", "this conversation")
    assert "extra_headers" not in rows
    with pytest.raises(SettingError, match="must give api-key the name of the environment variable") as caught:
        openai('set extra_headers {"api-key": "hunter2"}')
    assert "hunter2" not in str(caught.value)


def test_config_shows_each_parameter_with_its_source(openai):
    openai('set -P top_p=0.5 -P extra_body={"a": {"b": [1]}, "api_key": "hunter2"}')

    rows = {row[0]: row[1:3] for row in openai("config").rows}
    assert rows["params.top_p"] == ("0.5", "this conversation")
    assert rows["params.extra_body"] == ('{"a": {"b": [1]}}', "this conversation")
    assert "params" not in rows


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("set tpo_p 1", "there is no setting tpo_p; did you mean top_p?"),
        ("set zzz 1", "%flowgpt set extra_body {…} adds further fields to the request"),
        ("set -P zzz=1", 'write -P extra_body={"zzz": 1}'),
        ("set -P model=x", "model is no parameter: -m"),
        ('set extra_body {"stream": false}', "params cannot give extra_body.stream"),
        ("set stop [END]", "%flowgpt set stop: is read as [END], which is no JSON"),
        ("set -P top_p=1 more", "%flowgpt set -P takes only NAME=VALUE"),
        ("set -P top_p=1 -t 1", "%flowgpt set -P takes only NAME=VALUE"),
    ],
)
def test_a_parameter_that_cannot_be_set_is_refused(openai, line, said):
    with pytest.raises(FlowGptError, match=re.escape(said)):
        openai(line)

"""``%flowgpt set`` and ``%flowgpt config``."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from flowgpt_magic import settings
from flowgpt_magic.errors import FlowGptError, ModelNotSupportedError, OptionError, SettingError
from flowgpt_magic.magics.commands.settings import set_setting
from flowgpt_magic.providers import aliases
from flowgpt_magic.providers.aliases import Alias, save
from tests.shell_states import rows_by_name

SERVER = "http://127.0.0.1:8765"


@pytest.mark.parametrize(
    "line", ["temperature 0.5", "temperature=0.5", "temperature = 0.5", "temperature =0.5", 'temperature "0.5"']
)
def test_set_sets_it_for_this_conversation(state, run, line):
    assert run(f"set {line}") == "temperature: 0.5 (this conversation); 0 to 2; empty: the provider's default"
    assert state.conversation().settings().temperature == 0.5
    assert state.conversation("other").settings().temperature is None


def test_set_none_takes_it_back_and_says_what_is_in_force_then(state, run, monkeypatch):
    monkeypatch.setenv("FLOWGPT_TEMPERATURE", "1.5")
    run("set temperature 0.5")

    assert "temperature: 1.5 (environment variable FLOWGPT_TEMPERATURE)" in run("set temperature None")


def test_set_with_a_name_alone_shows_it(run):
    assert run("set format") == "format: markdown (default); how a reply is shown"


def test_set_keeps_the_spaces_and_signs_of_a_text(state, run):
    run("set system Don't  use a = b.")
    assert state.conversation().settings().system == "Don't  use a = b."

    run('set system "Be brief."')
    assert state.conversation().settings().system == "Be brief."


def test_set_model_keeps_an_alias_and_completes_a_name(state, run):
    save(Alias("polly", "echo:messages", system="Be kind."))

    assert run("set model polly").startswith("model: echo:messages (alias polly, this conversation)")
    assert state.conversation().record.model == "polly"
    run("set model messages")
    assert state.conversation().record.model == "echo:messages"
    with pytest.raises(ModelNotSupportedError, match="did you mean messages"):
        run("set model mesages")
    run("set model none")
    assert state.conversation().record.model == ""


def test_set_shows_no_secret_and_says_that_it_is_forgotten(run):
    shown = run("set token hunter2")

    assert "token: *** (this conversation)" in shown
    assert "a restart forgets it; FLOWGPT_TOKEN lasts" in shown
    assert "hunter2" not in shown
    assert "restart" not in run("set token none")


@pytest.mark.parametrize(
    ("line", "error", "said"),
    [
        ("", OptionError, "takes the name of a setting and a value; %flowgpt config lists the settings"),
        ("temprature 1", OptionError, "there is no setting temprature; did you mean temperature?"),
        ("zzz", OptionError, "there is no setting zzz. %flowgpt config lists the settings"),
        ("temperature hot", SettingError, "this conversation: temperature is 'hot'; it must be a number from 0 to 2"),
        ("images perhaps", SettingError, "must be on or off"),
        ("format markdwon", SettingError, "did you mean markdown?"),
        ("history off", OptionError, "history cannot be set for one conversation"),
        ("sources x", OptionError, "there is no setting sources"),
    ],
)
def test_set_says_what_is_wrong(state, run, line, error, said):
    with pytest.raises(error, match=re.escape(said)):
        run(f"set {line}".strip())
    assert dict(state.conversation().record.parameters) == {}


@given(st.sampled_from(sorted(settings.TABLE)), st.text(min_size=1, max_size=8))
@hypothesis_settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_set_takes_any_value_or_refuses_it_with_a_message(state, name, value):
    try:
        shown = set_setting(state, f"{name} {value}".strip())
    except FlowGptError as error:
        shown = f"{name}: {error}"
    assert str(shown).startswith(f"{name}: ")
    state.conversation().set(**dict.fromkeys(settings.TABLE))


def test_config_shows_every_setting_with_its_value_its_source_and_what_it_does(run):
    table = run("config")

    assert table.columns == ("setting", "value", "from", "what it does")
    assert [row[0] for row in table.rows] == list(settings.TABLE)
    assert rows_by_name(table)["model"]["value"] == "echo"
    assert rows_by_name(table)["model"]["from"] == "%config"
    assert rows_by_name(table)["images"] == {
        "setting": "images",
        "value": "off",
        "from": "default",
        "what it does": settings.TABLE["images"].metadata["help"],
    }
    assert rows_by_name(table)["temperature"]["value"] == "none"
    assert "settings.toml" in table.note


def test_config_knows_every_place_a_value_can_come_from(state, run, tmp_path, monkeypatch):
    file = settings.settings_file()
    file.parent.mkdir(parents=True)
    file.write_text("threads = 1")
    monkeypatch.chdir(tmp_path)
    project = tmp_path / "pyproject.toml"
    project.write_text("[tool.flowgpt_magic]\nretries = 2")
    monkeypatch.setenv("FLOWGPT_CONTEXT_SIZE", "3000")
    save(Alias("polly", "echo", temperature=0.25))
    run("set pace 0.5")
    run("set model polly")

    table = run("config")
    found = {name: (row["value"], row["from"]) for name, row in rows_by_name(table).items()}

    assert found["threads"] == ("1", str(file))
    assert found["retries"] == ("2", str(project))
    assert found["context_size"] == ("3000", "environment variable FLOWGPT_CONTEXT_SIZE")
    assert found["model"] == ("echo", "alias polly, this conversation")
    assert found["temperature"] == ("0.25", "alias polly")
    assert found["pace"] == ("0.5", "this conversation")
    assert found["cache"] == ("off", "default")
    assert str(project) in table.note


def test_config_shows_no_secret(run, monkeypatch):
    monkeypatch.setenv("FLOWGPT_TOKEN", "hunter2")
    monkeypatch.setenv("FLOWGPT_PROXY", "http://me:hunter2@proxy")
    monkeypatch.setenv("FLOWGPT_BASE_URL", "http://me:hunter2@host")

    table = run("config")

    assert rows_by_name(table)["token"]["value"] == rows_by_name(table)["proxy"]["value"] == "***"
    assert "hunter2" not in table.text()
    assert "hunter2" not in table.html()


def test_config_is_shown_though_the_key_of_an_alias_is_missing(run):
    save(Alias("polly", "flowgpt", SERVER, key_variable="POLLY_KEY"))
    run("set model polly")

    assert rows_by_name(run("config"))["base_url"]["value"] == SERVER
    assert rows_by_name(run("config"))["token"]["value"] == "none"


def test_the_settings_can_be_seen_and_set_though_the_aliases_are_damaged(run):
    path = aliases.aliases_file()
    path.parent.mkdir(parents=True)
    path.write_text("{")

    assert rows_by_name(run("config"))["model"]["value"] == "echo"
    assert run("set temperature 1").startswith("temperature: 1")
    assert run("set model echo:messages").startswith("model: echo:messages")


# Parameters of the provider, and headers


@pytest.fixture
def openai(run) -> Callable[[str], Any]:
    """Run a line in a conversation that asks a server of the OpenAI protocol."""
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


def test_without_its_last_parameter_a_conversation_has_none(state, openai):
    openai("set top_p 0.5")
    openai("set top_p none")

    assert "params" not in state.conversation().record.parameters


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
    with pytest.raises(SettingError, match="must set api-key to the name of the environment variable") as caught:
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
        ("set -P model=x", "model is no parameter: use -m"),
        ('set extra_body {"stream": false}', "params cannot set extra_body.stream"),
        ("set stop [END]", "%flowgpt set stop: is read as [END], which is not JSON"),
        ("set -P top_p=1 more", "%flowgpt set -P takes only NAME=VALUE"),
        ("set -P top_p=1 -t 1", "%flowgpt set -P takes only NAME=VALUE"),
    ],
)
def test_a_parameter_that_cannot_be_set_is_refused(openai, line, said):
    with pytest.raises(FlowGptError, match=re.escape(said)):
        openai(line)

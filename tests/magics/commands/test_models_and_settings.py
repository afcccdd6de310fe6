"""The subcommands about settings, about who can be asked, and about short names."""

from __future__ import annotations

import os
import re
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from flowgpt_magic import installing, settings
from flowgpt_magic.errors import (
    FlowGptError,
    ModelNotSupportedError,
    OptionError,
    PromptError,
    ProviderConnectionError,
    ProviderNotFoundError,
    ProviderTimeoutError,
    SettingError,
)
from flowgpt_magic.magics.commands.models_and_settings import COMMANDS
from flowgpt_magic.magics.state import ShellState
from flowgpt_magic.providers import aliases, models, registry
from flowgpt_magic.providers.aliases import Alias, AliasError, load, save
from flowgpt_magic.providers.echo import Echo
from flowgpt_magic.providers.llama_cpp import runtime, weights
from flowgpt_magic.tables import Table
from tests.openai_servers import background, speaking
from tests.servers import answering, closed_port, head, stalling, whole

SERVER = "http://127.0.0.1:8765"
PLUG_INS = """
from flowgpt_magic.providers.base import AsyncGeneratorProvider, ProviderModelMixin

class Parrot(AsyncGeneratorProvider, ProviderModelMixin):
    '''Says what it was told.

    Always.
    '''
    default_model = "grey"
    model_aliases = {"ara": "grey"}

class Keyed(Parrot):
    __doc__ = None
    url = "https://keyed.example"
    needs_auth = True
    settings = ("token",)

class Ill(Parrot):
    working = False

class Moody(Parrot):
    @classmethod
    def get_models(cls):
        raise RuntimeError("not today")

class Slow(Parrot):
    @classmethod
    async def list_models(cls, **settings):
        import asyncio
        await asyncio.Event().wait()
"""


@pytest.fixture
def state() -> ShellState:
    return ShellState(lambda: {"model": "echo"}, {})


@pytest.fixture
def run(state: ShellState) -> Callable[[str], Any]:
    """Run a line as the magic does: its first word is the subcommand."""

    def run_line(line: str) -> Any:
        word, _space, rest = line.partition(" ")
        return COMMANDS[word](state, rest.strip())

    return run_line


@pytest.fixture
def plug_ins(tmp_path, monkeypatch):
    """Five plug-ins that are installed, and one that cannot be loaded."""
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "flowgpt_birds.py").write_text(PLUG_INS)
    metadata = tmp_path / "flowgpt_birds-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: flowgpt_birds\nVersion: 1.0\n")
    points = [
        f"{name.lower()} = flowgpt_birds:{name}" for name in ("Parrot", "Keyed", "Ill", "Moody", "Slow", "Broken")
    ]
    (metadata / "entry_points.txt").write_text("\n".join(["[flowgpt_magic.providers]", *points]))
    registry._entry_points.cache_clear()
    yield
    sys.modules.pop("flowgpt_birds", None)
    registry._entry_points.cache_clear()


def rows(table: Table) -> dict[str, dict[str, str]]:
    """The rows by their first cell, each by its columns."""
    return {row[0]: dict(zip(table.columns, row, strict=True)) for row in table.rows}


def by_model(table: Table) -> dict[str, dict[str, str]]:
    found = (dict(zip(table.columns, row, strict=True)) for row in table.rows)
    return {f"{row['provider']}:{row['model']}": row for row in found}


def test_every_subcommand_says_in_one_line_what_it_does():
    for name, command in COMMANDS.items():
        assert command.about.endswith(".")
        assert len(command.about) < 105, name


def test_the_second_names_are_the_same_commands():
    for name, other in (("list", "models"), ("register", "alias"), ("delete", "dealias")):
        assert COMMANDS[name] is COMMANDS[other]


@pytest.mark.parametrize("command", ["config", "providers", "aliases"])
def test_what_takes_nothing_more_says_how_to_send_it(run, command):
    with pytest.raises(OptionError, match=f"%flowgpt {command} takes nothing more; to send it as a prompt"):
        run(f"{command} of my server")


# set


@pytest.mark.parametrize(
    "line", ["temperature 0.5", "temperature=0.5", "temperature = 0.5", "temperature =0.5", 'temperature "0.5"']
)
def test_set_sets_it_for_this_conversation(state, run, line):
    assert run(f"set {line}") == "temperature: 0.5 (this conversation); 0 to 2; empty for the provider's own"
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
    assert "a restart forgets it: FLOWGPT_TOKEN stays" in shown
    assert "hunter2" not in shown
    assert "restart" not in run("set token none")


@pytest.mark.parametrize(
    ("line", "error", "said"),
    [
        ("", OptionError, "takes the name of a setting and a value; %flowgpt config shows them all"),
        ("temprature 1", OptionError, "there is no setting temprature; did you mean temperature?"),
        ("zzz", OptionError, "there is no setting zzz. %flowgpt config shows them all"),
        ("temperature hot", SettingError, "this conversation: temperature is 'hot'; it must be a number from 0 to 2"),
        ("images perhaps", SettingError, "must be on or off"),
        ("format markdwon", SettingError, "did you mean markdown?"),
        ("history off", OptionError, "the history is one for all conversations"),
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
        shown = COMMANDS["set"](state, f"{name} {value}".strip())
    except FlowGptError as error:
        shown = f"{name}: {error}"
    assert str(shown).startswith(f"{name}: ")
    state.conversation().set(**dict.fromkeys(settings.TABLE))


# config


def test_config_shows_every_setting_with_its_value_its_source_and_what_it_does(run):
    table = run("config")

    assert table.columns == ("setting", "value", "from", "what it does")
    assert [row[0] for row in table.rows] == list(settings.TABLE)
    assert rows(table)["model"]["value"] == "echo"
    assert rows(table)["model"]["from"] == "%config"
    assert rows(table)["images"] == {
        "setting": "images",
        "value": "off",
        "from": "default",
        "what it does": settings.TABLE["images"].metadata["help"],
    }
    assert rows(table)["temperature"]["value"] == "none"
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
    found = {name: (row["value"], row["from"]) for name, row in rows(table).items()}

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

    assert rows(table)["token"]["value"] == rows(table)["proxy"]["value"] == "***"
    assert "hunter2" not in table.text()
    assert "hunter2" not in table.html()


def test_config_is_shown_though_the_key_of_an_alias_is_missing(run):
    save(Alias("polly", "flowgpt", SERVER, key_variable="POLLY_KEY"))
    run("set model polly")

    assert rows(run("config"))["base_url"]["value"] == SERVER
    assert rows(run("config"))["token"]["value"] == "none"


# models, providers


def installed(monkeypatch, *, with_runtime: bool, with_weights: bool) -> None:
    monkeypatch.setattr(runtime, "installed", lambda: with_runtime)
    if with_weights:
        weights.path().parent.mkdir(parents=True, exist_ok=True)
        weights.path().write_bytes(b"GGUF")


@pytest.mark.parametrize(
    ("with_runtime", "with_weights", "answer"),
    [
        (True, True, "yes"),
        (True, False, f"not installed: {installing.module('install-model')}"),
        (False, True, f"not installed: {installing.command('local')}"),
        (False, False, f"not installed: {installing.command('local')} && {installing.module('install-model')}"),
    ],
)
def test_the_embedded_model_answers_where_it_is_installed(run, monkeypatch, with_runtime, with_weights, answer):
    installed(monkeypatch, with_runtime=with_runtime, with_weights=with_weights)

    assert rows(run("providers"))["local"]["would it answer?"] == answer
    assert by_model(run("models local"))["local:smollm2-135m-instruct"]["would it answer?"] == answer


def test_the_public_service_is_not_known_to_answer_and_another_server_is_named(run):
    assert rows(run("providers"))["flowgpt"]["would it answer?"].startswith("not known to: set base_url")
    run(f"set base_url {SERVER}")

    assert rows(run("providers"))["flowgpt"]["would it answer?"] == f"if the server at {SERVER} does"
    assert by_model(run("models"))["flowgpt:gpt-4-turbo"]["would it answer?"] == f"if the server at {SERVER} does"


def test_an_alias_in_use_does_not_tell_of_the_other_models(run):
    save(Alias("polly", "flowgpt:gemini", SERVER))
    run("set model polly")

    for row in by_model(run("models flowgpt")).values():
        assert row["would it answer?"].startswith("not known to")


def test_models_lists_all_or_those_of_one_provider(run):
    table = run("models")

    assert {row[0] for row in table.rows} >= {"echo", "flowgpt", "local"}
    assert by_model(table)["echo:words (in use)"]["would it answer?"] == "yes"
    assert [row[:2] for row in run("list echo").rows] == [("echo", "words (in use)"), ("echo", "messages")]
    assert "echo:words is asked in this conversation" in table.note


def test_models_shows_both_kinds_of_aliases_and_what_only_they_name(run, tmp_path, monkeypatch):
    installed(monkeypatch, with_runtime=True, with_weights=True)
    file = tmp_path / "own.gguf"
    file.write_bytes(b"GGUF")
    save(Alias("own", f"local:{file}"))
    save(Alias("gone", f"local:{tmp_path / 'gone.gguf'}"))
    save(Alias("polly", "gemini", SERVER))
    save(Alias("pol", "polly"))
    save(Alias("nobody", "zzzzzz"))

    found = by_model(run("models"))

    assert found["flowgpt:google-gemini"]["alias"] == (
        "gemini, gemini-pro, pol (at its own endpoint), polly (at its own endpoint)"
    )
    local = [row for row in found.values() if row["provider"] == "local"]
    assert [(row["alias"], row["would it answer?"]) for row in local] == [
        ("smollm2", "yes"),
        ("gone", "no: there is no such file"),
        ("own", "yes"),
    ]
    assert not any("nobody" in row["alias"] for row in found.values())


def test_models_goes_on_where_nobody_is_asked(run, monkeypatch):
    save(Alias("polly", "echo"))
    run("set model polly")
    aliases.remove("polly")

    table = run("models echo")

    assert [row[1] for row in table.rows] == ["words", "messages"]
    assert "no model, provider or alias 'polly'" in table.note


def test_models_says_what_is_wrong(run):
    with pytest.raises(ProviderNotFoundError, match="did you mean echo"):
        run("models ecko")
    with pytest.raises(OptionError, match="the name of one provider or alias, or nothing"):
        run("models echo local")


def test_any_model_of_a_server_is_told_of_without_asking_it(run):
    row = rows(run("models"))["openai_compatible"]

    assert row["model"] == "any of its server's: %flowgpt models openai_compatible lists them"
    assert row["would it answer?"] == "no: the environment variable OPENAI_API_KEY is not set"


def test_a_server_that_needs_no_key_may_answer_and_another_one_that_is_named_is_missed(run, monkeypatch):
    def answer() -> str:
        return rows(run("providers"))["openai_compatible"]["would it answer?"]

    run("set openai_base_url http://127.0.0.1:11434/v1")
    assert answer() == "if the server at http://127.0.0.1:11434/v1 does"
    run("set openai_key MY_KEY")
    assert answer() == "no: the environment variable MY_KEY is not set"
    monkeypatch.setenv("MY_KEY", "hunter2")
    assert answer() == "if the server at http://127.0.0.1:11434/v1 does"
    run("set openai_base_url nowhere")
    assert answer().startswith("no: ")


def test_models_of_a_server_are_listed_by_asking_it(run):
    with background(speaking(models=["llama3.2", "qwen2.5:7b"])) as server:
        run(f"set openai_base_url {server.url}/v1")
        save(Alias("fast", "openai_compatible:qwen2.5:7b"))
        run("set model fast")

        table = run("models openai_compatible")

    assert by_model(table) == {
        "openai_compatible:llama3.2": {
            "provider": "openai_compatible",
            "model": "llama3.2",
            "alias": "",
            "would it answer?": "yes",
        },
        "openai_compatible:qwen2.5:7b (in use)": {
            "provider": "openai_compatible",
            "model": "qwen2.5:7b (in use)",
            "alias": "fast",
            "would it answer?": "yes",
        },
    }
    assert [request.line for request in server.requests] == ["GET /v1/models HTTP/1.1"]


def test_how_many_tokens_a_model_sees_is_shown_where_its_server_says_so(run):
    listed = b'{"data": [{"id": "a", "max_model_len": 8192}, {"id": "b"}]}'
    with background(answering(whole(listed, Content_Type="application/json"))) as server:
        run(f"set openai_base_url {server.url}/v1")

        table = run("models openai_compatible")

    assert {row[1]: row[3] for row in table.rows} == {"a": "yes; it sees 8,192 tokens", "b": "yes"}


def test_models_of_an_aliass_server_are_listed_by_asking_that_with_its_key(run, monkeypatch):
    monkeypatch.setenv("MY_KEY", "hunter2")
    with background(speaking(models=["llama3.2"], key="hunter2")) as server:
        save(Alias("fast", "openai_compatible:x", f"{server.url}/v1", key_variable="MY_KEY"))

        found = by_model(run("models fast"))

    assert found["openai_compatible:llama3.2"]["would it answer?"] == "yes"
    assert found["openai_compatible:x"]["alias"] == "fast (at its own endpoint)"


def test_a_server_that_lists_nothing_says_why(run):
    port = closed_port()
    run(f"set openai_base_url http://127.0.0.1:{port}/v1")

    with pytest.raises(ProviderConnectionError, match="connection refused; check that the server runs"):
        run("models openai_compatible")


def test_a_server_that_does_not_list_its_models_in_time_is_not_waited_for(run, monkeypatch):
    monkeypatch.setattr(models, "PATIENCE", 0.05)
    with background(stalling(head(Content_Type="application/json", Content_Length="9"))) as server:
        run(f"set openai_base_url {server.url}/v1")

        with pytest.raises(ProviderTimeoutError, match=r"was silent for 0\.05 s|has not listed its models"):
            run("models openai_compatible")


def test_a_plug_in_that_never_lists_its_models_is_not_waited_for(run, plug_ins, monkeypatch):
    monkeypatch.setattr(models, "PATIENCE", 0.05)

    with pytest.raises(ProviderTimeoutError, match=r"slow has not listed its models within 0\.1 s"):
        run("models slow")


def test_an_alias_of_such_a_provider_may_have_endpoint_and_key(run, monkeypatch):
    monkeypatch.setenv("MY_KEY", "hunter2")

    shown = run("alias fast openai_compatible:llama3.2 --endpoint http://127.0.0.1:11434/v1/ --key-variable MY_KEY")

    assert shown == "fast asks openai_compatible:llama3.2"
    assert load()["fast"] == Alias(
        "fast", "openai_compatible:llama3.2", "http://127.0.0.1:11434/v1", key_variable="MY_KEY"
    )
    assert "for now, the keyring" not in run("update fast --key-variable keyring:ollama/me")
    assert rows(run("aliases"))["fast"]["key variable"] == "keyring:ollama/me"


def test_plug_ins_are_listed_with_what_they_say_and_broken_ones_with_their_fault(run, plug_ins, monkeypatch):
    found = {name: (row["what it is"], row["would it answer?"]) for name, row in rows(run("providers")).items()}

    assert found["echo"] == ("Answers with the last message's own words.", "yes")
    assert found["parrot"] == ("Says what it was told.", "yes")
    assert found["keyed"] == ("https://keyed.example", "no: it needs a key, and the setting token is empty")
    assert found["ill"][1] == "no: it says itself that it does not work"
    assert found["broken"][0] == ""
    assert found["broken"][1].startswith("no: provider 'broken' cannot be loaded")

    listed = rows(run("models"))
    assert listed["parrot"]["alias"] == "ara"
    assert listed["moody"]["would it answer?"] == "no: not today"
    assert listed["broken"]["would it answer?"].startswith("no: provider 'broken' cannot be loaded")
    monkeypatch.setenv("FLOWGPT_TOKEN", "x")
    assert rows(run("providers"))["keyed"]["would it answer?"] == "yes"


def test_telling_who_would_answer_goes_to_no_network_and_loads_nothing(run, monkeypatch):
    monkeypatch.setattr(socket.socket, "connect", lambda *_args: pytest.fail("it went to a network"))
    monkeypatch.setattr(Echo, "create_async_generator", lambda *_args, **_more: pytest.fail("it asked"))
    before = "xllamacpp" in sys.modules

    for line in ("models", "list", "providers", "aliases", "config"):
        run(line)

    assert ("xllamacpp" in sys.modules) is before


# alias, update, dealias, aliases


def test_an_alias_is_made_with_all_it_may_carry(run):
    shown = run(
        f'alias polly gemini --endpoint {SERVER}/ -s "Be brief." -t 0.3 --key-variable POLLY_KEY',
    )

    assert load() == {"polly": Alias("polly", "gemini", SERVER, "Be brief.", 0.3, "POLLY_KEY")}
    assert shown == "polly asks flowgpt:google-gemini; for now, the environment variable POLLY_KEY is not set"
    assert str(models.find_model("polly")) == "flowgpt:google-gemini"


def test_the_options_may_stand_anywhere_and_be_written_in_both_ways(run, monkeypatch):
    monkeypatch.setenv("POLLY_KEY", "x")
    assert run(
        f"register --temperature=1 polly --system=short --endpoint={SERVER} gemini --key-variable=POLLY_KEY"
    ) == ("polly asks flowgpt:google-gemini")
    assert load()["polly"] == Alias("polly", "gemini", SERVER, "short", 1.0, "POLLY_KEY")


def test_a_system_prompt_may_come_from_a_file(run, tmp_path):
    (tmp_path / "kind.txt").write_text("Be kind.\n")

    run(f"alias polly echo -s @{tmp_path / 'kind.txt'}")

    assert load()["polly"].system == "Be kind."
    with pytest.raises(PromptError):
        run("update polly -s @/nowhere/at/all")


def test_an_alias_that_was_there_says_whom_it_asked(run):
    run("alias polly echo")

    assert run("alias polly messages") == "polly asks echo:messages; before, it asked echo"
    assert run("alias polly messages") == "polly asks echo:messages"


def test_alias_alone_shows_them(run):
    assert run("alias") == run("aliases")
    assert run("aliases").startswith("there are no aliases yet: %flowgpt alias NAME TARGET ")


@pytest.mark.parametrize(
    ("line", "error", "said"),
    [
        ("polly", OptionError, "%flowgpt alias takes NAME TARGET [--endpoint URL]"),
        ("-t 1", OptionError, "%flowgpt alias takes NAME TARGET"),
        ("polly echo -s be brief", OptionError, "quote texts with spaces"),
        ("polly echo -t", OptionError, "-t needs a value; none takes it away"),
        ("polly echo --system=", OptionError, "--system needs a value"),
        ("polly echo -t 1 --temperature 2", OptionError, "--temperature is there twice"),
        ("polly echo --endpiont x", OptionError, "has no option --endpiont; did you mean --endpoint?"),
        ("polly echo -x", OptionError, "has no option -x"),
        ("polly echo -t 3", SettingError, "temperature is '3'; it must be a number from 0 to 2"),
        ("polly ecko", ModelNotSupportedError, "did you mean echo?"),
        ("polly echo:wrods", ModelNotSupportedError, "did you mean words?"),
        ("polly parot:grey", ProviderNotFoundError, "no provider 'parot'"),
        ("polly polly", ModelNotSupportedError, "no model, provider or alias 'polly'"),
        ("echo words", AliasError, "echo is the name of a provider"),
        ("a:b words", AliasError, "without spaces, quotes, : /"),
        (f"polly echo --endpoint {SERVER}", OptionError, "--endpoint: echo takes none"),
        ("polly echo --key-variable POLLY_KEY", OptionError, "--key-variable: echo takes none"),
        ("polly flowgpt --endpoint host", AliasError, "the endpoint is no base URL"),
        ("polly flowgpt --key-variable sk-hunter2", AliasError, "give the name of the variable"),
    ],
)
def test_alias_says_what_is_wrong_and_keeps_nothing(run, line, error, said):
    with pytest.raises(error, match=re.escape(said)) as caught:
        run(f"alias {line}")
    assert "hunter2" not in str(caught.value)
    assert load() == {}


def test_a_circle_is_shown(run):
    run("alias a echo")
    run("alias b a")

    with pytest.raises(AliasError, match="a → b → a"):
        run("alias a b")


def test_update_changes_only_what_is_given(run, monkeypatch):
    monkeypatch.setenv("POLLY_KEY", "x")
    before = Alias("polly", "gemini", SERVER, "Be brief.", 0.3, "POLLY_KEY")
    save(before)

    assert run("update polly -t 1") == "polly asks flowgpt:google-gemini"
    assert load()["polly"] == Alias("polly", "gemini", SERVER, "Be brief.", 1.0, "POLLY_KEY")
    run("update polly gpt-4-turbo --endpoint none")
    assert load()["polly"] == Alias("polly", "gpt-4-turbo", "", "Be brief.", 1.0, "POLLY_KEY")
    run("update polly -s none -t None --key-variable none")
    assert load()["polly"] == Alias("polly", "gpt-4-turbo")


@pytest.mark.parametrize(
    ("line", "error", "said"),
    [
        ("", OptionError, "and of these only what changes"),
        ("polly", OptionError, "and of these only what changes"),
        ("polly a b", OptionError, "quote texts with spaces"),
        ("poly -t 1", OptionError, "there is no alias poly; did you mean polly?"),
        ("polly zzzzzz", ModelNotSupportedError, "no model, provider or alias 'zzzzzz'"),
        ("polly echo", OptionError, "--endpoint: echo takes none; --endpoint none takes it away"),
    ],
)
def test_update_says_what_is_wrong_and_changes_nothing(run, line, error, said):
    before = Alias("polly", "gemini", SERVER)
    save(before)

    with pytest.raises(error, match=re.escape(said)):
        run(f"update {line}".strip())
    assert load() == {"polly": before}


def test_dealias_forgets_it_and_says_what_it_asked(run):
    run("alias polly echo")

    assert run("dealias polly") == "polly is no alias any more; it asked echo"
    assert load() == {}


def test_dealias_says_who_is_left_behind(run):
    run("alias polly echo")
    run("alias pol polly")

    assert run("delete polly").endswith("pol pointed to it, and asks nobody now")
    assert rows(run("aliases"))["pol"]["asks"].startswith("nobody: alias pol: no model, provider or alias 'polly'")


def test_dealias_says_what_is_wrong(run):
    run("alias polly echo")

    with pytest.raises(OptionError, match=r"there is no alias poly; did you mean polly\?"):
        run("dealias poly")
    for line in ("", "polly pol"):
        with pytest.raises(OptionError, match="takes the name of an alias"):
            run(f"dealias {line}".strip())
    assert "polly" in load()


def test_aliases_shows_what_each_carries_and_never_a_key(run, monkeypatch):
    monkeypatch.setenv("POLLY_KEY", "hunter2")
    save(Alias("polly", "gemini", SERVER, "Be brief.", 0.0, "POLLY_KEY"))
    save(Alias("short", "polly", key_variable="OTHER_KEY"))

    table = run("aliases")

    assert table.rows == (
        ("polly", "gemini", "flowgpt:google-gemini", SERVER, "Be brief.", "0", "POLLY_KEY", ""),
        ("short", "polly", "flowgpt:google-gemini", "", "", "", "OTHER_KEY (not set)", ""),
    )
    assert "aliases.json" in table.note
    assert "hunter2" not in table.text()


@pytest.mark.parametrize("line", ["aliases", "models", "alias polly echo", "update polly echo", "dealias polly"])
def test_a_damaged_file_is_named(run, line):
    path: Path = aliases.aliases_file()
    path.parent.mkdir(parents=True)
    path.write_text("{")

    with pytest.raises(AliasError, match=re.escape(f"{path} cannot be used")):
        run(line)
    assert path.read_text() == "{"


def test_the_settings_can_be_seen_and_set_though_the_aliases_are_damaged(run):
    path = aliases.aliases_file()
    path.parent.mkdir(parents=True)
    path.write_text("{")

    assert rows(run("config"))["model"]["value"] == "echo"
    assert run("set temperature 1").startswith("temperature: 1")
    assert run("set model echo:messages").startswith("model: echo:messages")


@given(st.lists(st.sampled_from(["polly", "echo", "-t", "1", "-s", "be", "--endpoint", SERVER, "none", "'", "="])))
@hypothesis_settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_line_is_done_or_refused_with_a_message(state, words):
    for command in ("alias", "update", "dealias", "set", "models"):
        try:
            shown = COMMANDS[command](state, " ".join(words))
        except FlowGptError as error:
            shown = str(error)
        assert shown
    assert os.path.basename(aliases.aliases_file()) == "aliases.json"


def test_an_alias_is_made_with_parameters(run):
    made = run(
        "alias fast openai_compatible:m -P top_p=0.5 "
        '-P extra_body={"chat_template_kwargs": {"enable_thinking": false}} '
        '-P extra_headers={"HTTP-Referer": "https://a.b", "api-key": "$GATE"} -t 0.3 -s "be brief"'
    )

    assert made == "fast asks openai_compatible:m"
    assert load()["fast"] == Alias(
        "fast",
        "openai_compatible:m",
        system="be brief",
        temperature=0.3,
        params={"top_p": 0.5, "extra_body": {"chat_template_kwargs": {"enable_thinking": False}}},
        extra_headers={"HTTP-Referer": "https://a.b", "api-key": "$GATE"},
    )
    assert run("aliases").rows[0][-1].startswith('top_p=0.5 extra_body={"chat_template_kwargs"')

    run('update fast -P top_p=null -P seed=1 -P extra_body={"top_a": 1}')
    assert load()["fast"].params == {
        "seed": 1,
        "extra_body": {"chat_template_kwargs": {"enable_thinking": False}, "top_a": 1},
    }
    assert load()["fast"].extra_headers
    run("update fast -P none")
    assert load()["fast"] == Alias("fast", "openai_compatible:m", system="be brief", temperature=0.3)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("alias fast echo -P top_p=1", "echo takes no parameter top_p"),
        ("alias fast echo -P", "-P needs a value"),
        ("alias fast openai_compatible:m -P top_p", "-P: must be name=value"),
        ("alias fast openai_compatible:m -P top_p=1 -P top_p=2", "-P top_p=… is there twice"),
        ("alias fast openai_compatible:m -P stop=[END]", 'write stop=["END"]'),
    ],
)
def test_an_alias_with_a_wrong_parameter_is_not_made(run, line, said):
    with pytest.raises(FlowGptError, match=re.escape(said)):
        run(line)
    assert load() == {}

"""``%flowgpt alias``, ``update``, ``dealias`` and ``aliases``."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from flowgpt_magic.errors import (
    FlowGptError,
    ModelNotSupportedError,
    OptionError,
    PromptError,
    ProviderNotFoundError,
    SettingError,
)
from flowgpt_magic.magics.commands.table import SUBCOMMANDS
from flowgpt_magic.providers import aliases, models
from flowgpt_magic.providers.aliases import Alias, AliasError, load, save
from tests.shell_states import rows_by_name

SERVER = "http://127.0.0.1:8765"


def test_an_alias_of_such_a_provider_may_have_endpoint_and_key(run, monkeypatch):
    monkeypatch.setenv("MY_KEY", "hunter2")

    shown = run("alias fast openai_compatible:llama3.2 --endpoint http://127.0.0.1:11434/v1/ --key-variable MY_KEY")

    assert shown == "fast asks openai_compatible:llama3.2"
    assert load()["fast"] == Alias(
        "fast", "openai_compatible:llama3.2", "http://127.0.0.1:11434/v1", key_variable="MY_KEY"
    )
    assert "for now, the keyring" not in run("update fast --key-variable keyring:ollama/me")
    assert rows_by_name(run("aliases"))["fast"]["key variable"] == "keyring:ollama/me"


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

    assert run("alias polly messages") == "polly asks echo:messages; it asked echo before"
    assert run("alias polly messages") == "polly asks echo:messages"


def test_alias_alone_shows_them(run):
    assert run("alias") == run("aliases")
    assert run("aliases").startswith("there are no aliases yet: %flowgpt alias NAME TARGET ")


@pytest.mark.parametrize(
    ("line", "error", "said"),
    [
        ("polly", OptionError, "%flowgpt alias takes NAME TARGET [--endpoint URL]"),
        ("-t 1", OptionError, "%flowgpt alias takes NAME TARGET"),
        ("polly echo -s be brief", OptionError, "quote values with spaces"),
        ("polly echo -t", OptionError, "-t needs a value; none removes it"),
        ("polly echo --system=", OptionError, "--system needs a value"),
        ("polly echo -t 1 --temperature 2", OptionError, "--temperature is given twice"),
        ("polly echo --endpiont x", OptionError, "has no option --endpiont; did you mean --endpoint?"),
        ("polly echo -x", OptionError, "has no option -x"),
        ("polly echo -t 3", SettingError, "temperature is '3'; it must be a number from 0 to 2"),
        ("polly ecko", ModelNotSupportedError, "did you mean echo?"),
        ("polly echo:wrods", ModelNotSupportedError, "did you mean words?"),
        ("polly parot:grey", ProviderNotFoundError, "no provider 'parot'"),
        ("polly polly", ModelNotSupportedError, "no model, provider or alias 'polly'"),
        ("echo words", AliasError, "echo is the name of a provider"),
        ("a:b words", AliasError, "without spaces, quotes, : /"),
        (f"polly echo --endpoint {SERVER}", OptionError, "--endpoint: echo does not use it"),
        ("polly echo --key-variable POLLY_KEY", OptionError, "--key-variable: echo does not use it"),
        ("polly flowgpt --endpoint host", AliasError, "the endpoint is not a base URL"),
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
        ("", OptionError, "with only what changes"),
        ("polly", OptionError, "with only what changes"),
        ("polly a b", OptionError, "quote values with spaces"),
        ("poly -t 1", OptionError, "there is no alias poly; did you mean polly?"),
        ("polly zzzzzz", ModelNotSupportedError, "no model, provider or alias 'zzzzzz'"),
        ("polly echo", OptionError, "--endpoint: echo does not use it; --endpoint none removes it"),
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

    assert run("dealias polly") == "polly is no longer an alias; it asked echo"
    assert load() == {}


def test_dealias_says_who_is_left_behind(run):
    run("alias polly echo")
    run("alias pol polly")

    assert run("delete polly").endswith("Aliases that point to it no longer work: pol")
    assert rows_by_name(run("aliases"))["pol"]["asks"].startswith(
        "nobody: alias pol: no model, provider or alias 'polly'"
    )


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


@given(st.lists(st.sampled_from(["polly", "echo", "-t", "1", "-s", "be", "--endpoint", SERVER, "none", "'", "="])))
@hypothesis_settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_line_is_done_or_refused_with_a_message(state, words):
    for command in ("alias", "update", "dealias", "set", "models"):
        try:
            shown = SUBCOMMANDS[command](state, " ".join(words))
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
        ("alias fast openai_compatible:m -P top_p=1 -P top_p=2", "-P top_p=… is given twice"),
        ("alias fast openai_compatible:m -P stop=[END]", 'write stop=["END"]'),
    ],
)
def test_an_alias_with_a_wrong_parameter_is_not_made(run, line, said):
    with pytest.raises(FlowGptError, match=re.escape(said)):
        run(line)
    assert load() == {}

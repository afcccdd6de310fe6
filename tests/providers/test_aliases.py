"""Short names: what they may be, what they stand for, and the file they are kept in."""

from __future__ import annotations

import json
import os
import re
import stat
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from flowgpt_magic import settings
from flowgpt_magic.errors import FlowGptError, MissingKeyError, SettingError
from flowgpt_magic.providers import aliases
from flowgpt_magic.providers.aliases import Alias, AliasError, apply, key_for, load, remove, save, to_options
from flowgpt_magic.settings.parameters import origins

POLLY = Alias("polly", "flowgpt:gemini", "http://127.0.0.1:8765", "Be brief.", 0.3, "POLLY_KEY")
SERVER = "http://127.0.0.1:8765"


def write(content: object) -> Path:
    path = aliases.aliases_file()
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        path.write_text(json.dumps(content))
    return path


def entries(**found: object) -> dict[str, object]:
    return {"version": 1, "aliases": found}


# Keeping


def test_with_none_made_there_are_none_and_no_file():
    assert load() == {}
    assert not aliases.aliases_file().exists()
    assert not remove("polly")
    assert not aliases.aliases_file().exists()


def test_an_alias_is_kept_beside_the_settings_file_and_forgotten():
    save(POLLY)
    save(Alias("short", "echo"))

    assert load() == {"polly": POLLY, "short": Alias("short", "echo")}
    assert aliases.aliases_file().parent == settings.settings_file().parent
    assert remove("polly")
    assert not remove("polly")
    assert load() == {"short": Alias("short", "echo")}


def test_an_alias_of_the_same_name_takes_its_place():
    save(POLLY)
    save(Alias("polly", "echo"))

    assert load() == {"polly": Alias("polly", "echo")}


def test_the_file_says_its_version_and_only_what_is_given():
    save(Alias("short", " echo ", temperature=0))

    found = json.loads(aliases.aliases_file().read_text())
    assert found == {"version": 1, "aliases": {"short": {"target": "echo", "temperature": 0.0}}}


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such modes")
def test_nobody_else_may_read_the_file():
    path = write(entries())
    path.chmod(0o644)

    save(POLLY)

    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.skipif(sys.platform == "win32", reason="links need a right there")
def test_a_link_to_a_file_kept_elsewhere_stays_one(tmp_path):
    kept = tmp_path / "dotfiles.json"
    kept.write_text(json.dumps(entries()))
    path = aliases.aliases_file()
    path.parent.mkdir(parents=True)
    path.symlink_to(kept)

    save(POLLY)

    assert path.is_symlink()
    assert "polly" in json.loads(kept.read_text())["aliases"]


def test_a_file_that_could_not_be_written_is_the_old_one_and_nothing_lies_about(monkeypatch):
    save(POLLY)
    before = aliases.aliases_file().read_bytes()

    def full(*_args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(AliasError, match=r"aliases\.json cannot be written: No space left on device"):
        save(Alias("short", "echo"))

    assert aliases.aliases_file().read_bytes() == before
    assert [each.name for each in aliases.aliases_file().parent.iterdir()] == ["aliases.json"]


def test_a_file_in_the_place_of_the_folder_is_named():
    folder = aliases.aliases_file().parent
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.write_text("")

    with pytest.raises(AliasError, match="aliases"):
        save(POLLY)


def test_threads_that_save_at_once_lose_nothing():
    names = [f"name{number}" for number in range(12)]
    threads = [threading.Thread(target=save, args=(Alias(name, "echo"),)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(load()) == sorted(names)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "it is not JSON"),
        (b"{", "it is not JSON"),
        (b"\xff\xfe\x00", "it is not UTF-8 text"),
        (b"[" * 100_000, "it is nested too deeply"),
        ([], "it has no version"),
        ({"aliases": {}}, "it has no version"),
        ({"version": 1}, "it contains no aliases"),
        ({"version": 1, "aliases": []}, "it contains no aliases"),
        (entries(polly="echo"), "alias 'polly' has no target"),
        (entries(polly={}), "alias 'polly' has no target"),
        (entries(polly={"target": 3}), "alias polly: target must be text"),
        (entries(polly={"target": " "}), "alias polly needs a target"),
        (entries(polly={"target": "echo", "endpiont": "x"}), "has 'endpiont', which is none of target, base_url"),
        (entries(polly={"target": "echo", "temperature": 7}), "alias polly: temperature is 7"),
        (entries(polly={"target": "echo", "temperature": True}), "alias polly: temperature is True"),
        (entries(polly={"target": "echo", "key_variable": "sk-secret"}), "give the name of the variable"),
        (entries(**{"two words": {"target": "echo"}}), "the name of an alias has only printable characters"),
    ],
)
def test_a_damaged_file_is_named_and_left_as_it_is(content, said):
    path = write(content)
    before = path.read_bytes()

    for use in (load, lambda: save(POLLY), lambda: remove("polly"), lambda: to_options(POLLY)):
        with pytest.raises(AliasError) as caught:
            use()
        assert str(caught.value).startswith(f"{path} cannot be used: ")
        assert said in str(caught.value)
        assert "secret" not in str(caught.value)
    assert path.read_bytes() == before


def test_a_newer_file_is_left_as_it_is():
    path = write({"version": 2, "names": []})

    with pytest.raises(AliasError, match="was written by a newer flowgpt_magic: upgrade this one"):
        save(POLLY)
    assert json.loads(path.read_text()) == {"version": 2, "names": []}


def test_a_folder_in_the_place_of_the_file_is_named():
    aliases.aliases_file().mkdir(parents=True)

    with pytest.raises(AliasError, match=r"aliases\.json cannot be used: "):
        load()


def test_what_another_process_has_written_is_seen():
    save(POLLY)
    assert "other" not in load()

    write(entries(other={"target": "echo"}))

    assert load() == {"other": Alias("other", "echo")}


def test_the_file_is_read_only_when_it_has_changed(monkeypatch):
    path = write(entries(polly={"target": "echo"}))
    os.utime(path, (1, 1))
    load()
    monkeypatch.setattr(Path, "read_bytes", lambda _path: pytest.fail("it was read"))

    load()["polly"] = POLLY  # the caller's own

    assert load() == {"polly": Alias("polly", "echo")}


# What an alias may be


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("", "the name of an alias has"),
        ("two words", "without spaces"),
        ("a\tb", "without spaces"),
        ("a\nb", "without spaces"),
        ("a\u00a0b", "without spaces"),
        ("a:b", "without spaces, quotes, : /"),
        ("a/b", "without spaces, quotes, : /"),
        ("a\\b", "without"),
        ('a"b', "without"),
        ("a'b", "without"),
        ("a\x1b[31m", "printable"),
        ("\ud800", "printable"),
        ("-m", "has another meaning"),
        ("none", "has another meaning"),
        ("x" * 101, "at most 100 characters"),
        ("echo", "echo is the name of a provider"),
        ("local", "local is the name of a provider"),
        ("flowgpt", "flowgpt is the name of a provider"),
        (3, "the name of an alias has"),
    ],
)
def test_a_name_that_cannot_be_one_is_refused(name, said):
    with pytest.raises(AliasError, match=said):
        save(Alias(name, "echo:words"))
    assert load() == {}


@pytest.mark.parametrize("name", ["polly", "gpt-4.1", "ü", "猫", "a_b", "x" * 100, "Echo", "@home"])
def test_other_names_are_taken(name):
    save(Alias(name, "echo:words"))

    assert load()[name].target == "echo:words"


@given(st.text(max_size=12) | st.sampled_from(["echo", "none", "-x"]))
@hypothesis_settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_name_is_kept_as_it_is_or_refused(name):
    try:
        save(Alias(name, "echo"))
    except AliasError:
        assert name not in load()
        return
    assert load()[name] == Alias(name, "echo")
    assert len(name.split()) == 1
    assert not set(name) & set(":/")
    assert remove(name)


@given(
    st.text(min_size=1).filter(lambda text: text.strip()),
    st.text(),
    st.none() | st.floats(0, 2),
    st.sampled_from(["", SERVER, "https://host.example/api"]),
    st.from_regex(r"\A[A-Z_][A-Z_]{0,20}\Z"),
)
@hypothesis_settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_an_alias_carries_comes_back_from_the_file(target, system, temperature, base_url, variable):
    remove("polly")
    made = Alias("polly", target.strip(), base_url, system, temperature, variable)
    if made.target == "polly":
        return

    save(made)

    assert load() == {"polly": made}


@pytest.mark.parametrize(
    "key",
    [
        "sk-abc",
        "sk-proj-AbCdEf0123456789",
        "two words",
        "$KEY",
        "1KEY",
        "MY-KEY",
        "SCHLÜSSEL",
        "\ud800",
        "a\0b",
        "hf_AbCdEfGhIjKlMnOpQrStUvWxYz",
        "ghp_0123456789abcdefghijABCDEFGHIJ012345",
        "AIzaSyA0123456789abcdefghijklmnopqrstuv",
        "Ab1" * 14,
        "A1b_" * 11,
        "d41d8cd98f00b204e9800998ecf8427e",
    ],
)
def test_a_key_in_the_place_of_its_variable_is_refused_and_not_repeated(key):
    with pytest.raises(AliasError, match="give the name of the variable that holds the key") as caught:
        save(Alias("polly", "flowgpt", key_variable=key))
    assert key not in str(caught.value)
    assert not aliases.aliases_file().exists()


@pytest.mark.parametrize("name", ["OPENAI_API_KEY", "key", "_", "hf_token", "MY_COMPANY_S_OPENAI_KEY_FOR_PRODUCTION_2"])
def test_the_name_of_a_variable_is_taken(name):
    save(Alias("polly", "flowgpt", key_variable=name))

    assert load()["polly"].key_variable == name


def test_a_variable_that_is_set_is_one_whatever_it_is_called(monkeypatch):
    name = "MyTeamsKeyForTheProductionServer2"
    monkeypatch.setenv(name, "x")

    save(Alias("polly", "flowgpt", key_variable=name))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"target": ""}, "alias polly needs a target"),
        ({"target": 3}, "alias polly: target must be text"),
        ({"system": None}, "alias polly: system must be text"),
        ({"temperature": 3}, "alias polly: temperature is 3; it must be a number from 0 to 2"),
        ({"temperature": "hot"}, "alias polly: temperature is 'hot'"),
        ({"base_url": "host"}, "the endpoint is not a base URL"),
        ({"base_url": "ftp://host"}, "the endpoint is not a base URL"),
        ({"base_url": "http://"}, "the endpoint is not a base URL"),
        ({"base_url": "http://host:99999"}, "the endpoint is not a base URL"),
        ({"base_url": "http://host:x"}, "the endpoint is not a base URL"),
        ({"base_url": "http://[host"}, "the endpoint is not a base URL"),
        ({"base_url": "http://a b"}, "the endpoint is not a base URL"),
        ({"base_url": "http://host?key=hunter2"}, "the endpoint is not a base URL"),
        ({"base_url": "http://me:hunter2@host"}, "an endpoint cannot contain a password"),
    ],
)
def test_a_value_an_alias_cannot_have_is_refused(given, said):
    with pytest.raises((AliasError, SettingError), match=said) as caught:
        save(Alias(**{"name": "polly", "target": "flowgpt", **given}))
    assert "hunter2" not in str(caught.value)
    assert load() == {}


def test_the_errors_have_the_one_root():
    assert issubclass(AliasError, FlowGptError)
    assert issubclass(MissingKeyError, FlowGptError)


# Chains


def test_an_alias_may_point_to_another_one_and_changes_what_it_gives(monkeypatch):
    monkeypatch.setenv("POLLY_KEY", "secret")
    save(POLLY)
    save(Alias("kind", "polly", system="Be kind."))
    save(Alias("cold", "kind", temperature=0))

    assert aliases.target_of("cold") == "flowgpt:gemini"
    assert to_options(load()["cold"]) == {
        "model": "flowgpt:gemini",
        "system": "Be kind.",
        "temperature": 0,
        "base_url": SERVER,
        "token": "secret",
    }


def test_a_key_goes_to_no_other_server_than_the_one_it_was_given_for(monkeypatch):
    monkeypatch.setenv("POLLY_KEY", "secret")
    save(POLLY)

    assert to_options(Alias("other", "polly", base_url="http://other"))["token"] == ""
    monkeypatch.setenv("OTHER_KEY", "other")
    assert to_options(Alias("other", "polly", key_variable="OTHER_KEY"))["token"] == "other"


def test_a_circle_is_shown():
    save(Alias("a", "echo:words"))
    save(Alias("b", "a"))
    save(Alias("c", "b"))

    with pytest.raises(AliasError, match="the aliases form a cycle: a → c → b → a"):
        save(Alias("a", "c"))
    with pytest.raises(AliasError, match="form a cycle: d → d; a model of that name is written provider:d"):
        save(Alias("d", "d"))
    assert load()["a"].target == "echo:words"


@pytest.mark.parametrize("made", [Alias("d", "c"), Alias("z", "y")])
def test_at_most_three_point_one_to_the_next_whichever_end_is_made_last(made):
    for name, target in (("a", "z"), ("b", "a"), ("c", "b"), ("y", "echo:words")):
        save(Alias(name, target))

    with pytest.raises(AliasError, match="more than 3 aliases in a chain: "):
        save(made)


def test_a_circle_in_the_file_is_shown_when_it_is_followed_and_can_be_mended():
    write(entries(a={"target": "b"}, b={"target": "a"}, c={"target": "a"}, d={"target": "echo"}))

    for name, circle in (("a", "a → b → a"), ("c", "c → a → b → a")):
        with pytest.raises(AliasError, match=f"form a cycle: {circle}"):
            aliases.target_of(name)
    assert aliases.target_of("d") == "echo"
    save(Alias("b", "echo"))
    assert aliases.target_of("c") == "echo"


def test_a_name_that_is_no_alias_stands_for_nothing():
    assert aliases.target_of("polly") is None


@given(
    st.dictionaries(
        st.sampled_from("abcdef"), st.sampled_from(["a", "b", "c", "d", "e", "f", "echo"]), min_size=1, max_size=6
    )
)
@hypothesis_settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_can_be_saved_can_be_followed_in_any_order(wanted):
    for name in list(load()):
        remove(name)
    for name, target in wanted.items():
        try:
            save(Alias(name, target))
        except AliasError:
            continue
    for name in load():
        assert aliases.target_of(name) not in load()


# What it implies


def test_only_what_an_alias_gives_is_implied():
    assert to_options(Alias("polly", "echo")) == {"model": "echo"}
    assert to_options(Alias("polly", "echo", temperature=0)) == {"model": "echo", "temperature": 0}
    assert to_options(Alias("polly", "echo", system="Be kind.")) == {"model": "echo", "system": "Be kind."}


def test_a_server_without_a_key_gets_no_token():
    assert to_options(Alias("polly", "flowgpt", SERVER)) == {"model": "flowgpt", "base_url": SERVER, "token": ""}


def test_the_key_is_read_at_that_moment(monkeypatch):
    for value in ("one", "two"):
        monkeypatch.setenv("POLLY_KEY", value)
        assert to_options(POLLY)["token"] == value


@pytest.mark.parametrize("value", [None, ""])
def test_a_key_that_is_not_there_is_named(monkeypatch, value):
    if value is not None:
        monkeypatch.setenv("POLLY_KEY", value)

    with pytest.raises(MissingKeyError, match="alias polly has no key: the environment variable POLLY_KEY is not set"):
        to_options(POLLY)
    assert to_options(POLLY, need_key=False)["token"] == ""


# In the settings


@pytest.fixture
def polly(monkeypatch):
    monkeypatch.setenv("POLLY_KEY", "secret")
    save(POLLY)


def test_a_model_that_is_no_alias_changes_nothing(polly):
    for name in ("", "echo", "gemini", "echo:words", "a model with spaces"):
        chosen = settings.load({"model": name})
        assert apply(chosen) is chosen


def test_a_model_that_is_an_alias_brings_what_it_gives(polly):
    chosen = apply(settings.load({"model": "polly"}))

    assert (chosen.model, chosen.base_url, chosen.token) == ("flowgpt:gemini", SERVER, "secret")
    assert (chosen.system, chosen.temperature) == ("Be brief.", 0.3)
    assert chosen.sources["model"] == "alias polly, option"
    assert chosen.sources["token"] == chosen.sources["system"] == "alias polly"
    assert apply(chosen) is chosen
    assert "secret" not in repr(chosen)


@pytest.mark.parametrize(
    ("layers", "system"),
    [
        ({"options": {"model": "polly"}, "conversation": {"system": "Mine."}}, "Be brief."),
        ({"options": {"model": "polly", "system": "Mine."}}, "Mine."),
        ({"configured": {"model": "polly"}, "options": {"system": "Mine."}}, "Mine."),
        ({"configured": {"model": "polly"}, "environ": {"FLOWGPT_SYSTEM": "Mine."}}, "Be brief."),
        ({"environ": {"FLOWGPT_MODEL": "polly"}, "configured": {"system": "Mine."}}, "Mine."),
    ],
)
def test_what_was_set_nearer_to_the_prompt_than_the_model_stays(polly, layers, system):
    assert apply(settings.load(**layers)).system == system


@pytest.mark.parametrize(
    ("layers", "server", "token"),
    [
        # A token for another server is never sent to the alias's, wherever it is set.
        ({"options": {"model": "polly"}, "configured": {"token": "other"}}, SERVER, "secret"),
        ({"configured": {"model": "polly"}, "options": {"token": "other"}}, SERVER, "secret"),
        # And the alias's key is never sent to another server.
        ({"configured": {"model": "polly"}, "options": {"base_url": "http://x"}}, "http://x", ""),
        ({"options": {"model": "polly", "base_url": "http://x", "token": "y"}}, "http://x", "y"),
    ],
)
def test_a_server_and_its_key_go_together(polly, layers, server, token):
    chosen = apply(settings.load(**layers))

    assert (chosen.base_url, chosen.token) == (server, token)


def test_a_key_alone_goes_where_the_settings_say(monkeypatch):
    monkeypatch.setenv("POLLY_KEY", "secret")
    save(Alias("polly", "flowgpt", key_variable="POLLY_KEY"))

    assert apply(settings.load({"model": "polly"}, {"token": "other"})).token == "secret"
    assert apply(settings.load({"model": "polly", "token": "other"})).token == "other"


def test_without_its_key_an_alias_can_be_looked_at_but_not_asked(polly, monkeypatch):
    monkeypatch.delenv("POLLY_KEY")
    chosen = settings.load({"model": "polly"})

    with pytest.raises(MissingKeyError):
        apply(chosen)
    assert apply(chosen, need_key=False).base_url == SERVER


def test_asking_again_sends_each_server_its_own_token(polly):
    chosen = settings.load(configured={"base_url": "http://usual", "token": "usual"})

    assert key_for("base_url", "http://usual", chosen) == "usual"
    assert key_for("base_url", f"{SERVER}/", chosen) == "secret"
    assert key_for("base_url", "http://elsewhere", chosen) == ""
    remove("polly")
    assert key_for("base_url", SERVER, chosen) == ""


# For a provider with another address, whose key is known by its name


OLLAMA = Alias("fast", "openai_compatible:llama3.2", "http://127.0.0.1:11434/v1", key_variable="OLLAMA_KEY")


@pytest.fixture
def fast(monkeypatch):
    monkeypatch.setenv("OLLAMA_KEY", "secret")
    save(OLLAMA)


def test_endpoint_and_key_stand_for_the_settings_of_the_provider_that_is_asked(fast):
    save(Alias("faster", "fast", temperature=0))

    for name in ("fast", "faster"):
        implied = to_options(load()[name])
        assert implied["openai_base_url"] == "http://127.0.0.1:11434/v1"
        assert implied["openai_key"] == "OLLAMA_KEY"
        assert not implied.keys() & {"base_url", "token"}


def test_a_server_without_a_key_gets_none_of_another_one():
    implied = to_options(Alias("fast", "openai_compatible:llama3.2", "http://127.0.0.1:11434/v1"))

    assert implied["openai_key"] == ""


def test_the_key_itself_is_in_none_of_the_settings(fast):
    chosen = apply(settings.load({"model": "fast"}))

    assert (chosen.openai_base_url, chosen.openai_key) == ("http://127.0.0.1:11434/v1", "OLLAMA_KEY")
    assert "secret" not in repr(vars(chosen))


def test_the_key_of_a_fast_alias_that_is_not_there_is_named(fast, monkeypatch):
    monkeypatch.delenv("OLLAMA_KEY")

    with pytest.raises(MissingKeyError, match="alias fast has no key: the environment variable OLLAMA_KEY is not set"):
        apply(settings.load({"model": "fast"}))
    assert apply(settings.load({"model": "fast"}), need_key=False).openai_key == "OLLAMA_KEY"


def test_a_server_that_was_set_nearer_to_the_prompt_gets_no_key_of_the_alias(fast):
    chosen = apply(settings.load({"openai_base_url": "http://x/v1"}, {"model": "fast"}))

    assert (chosen.openai_base_url, chosen.openai_key) == ("http://x/v1", "")


def test_asking_again_names_each_server_its_own_key(fast):
    chosen = settings.load(configured={"openai_base_url": "http://usual/v1", "openai_key": "USUAL"})

    assert key_for("openai_base_url", "http://usual/v1", chosen, "OLD") == "USUAL"
    assert key_for("openai_base_url", "http://127.0.0.1:11434/v1", chosen, "OLD") == "OLLAMA_KEY"
    assert key_for("openai_base_url", "http://elsewhere/v1", chosen, "OLD") == "OLD"
    assert key_for("base_url", "http://127.0.0.1:11434/v1", chosen) == ""


def test_a_key_may_be_an_entry_of_the_keyring():
    made = Alias("fast", "openai_compatible:x", key_variable="keyring:openrouter/me")
    save(made)

    assert load() == {"fast": made}
    assert apply(settings.load({"model": "fast"})).openai_key == "keyring:openrouter/me"


# Parameters and headers


def test_an_alias_keeps_parameters_and_headers_by_the_names_of_variables():
    given = {"top_p": 0.5, "extra_body": {"top_a": 0.1}, "extra_headers": {"api-key": "$GATE"}, "temperature": 0.3}
    save(Alias("fast", "openai_compatible:m", params=given))

    found = load()["fast"]
    assert found.params == {"top_p": 0.5, "extra_body": {"top_a": 0.1}}
    assert found.extra_headers == {"api-key": "$GATE"}
    assert found.temperature == 0.3
    kept = json.loads(aliases.aliases_file().read_text())["aliases"]["fast"]
    assert kept["extra_headers"] == {"api-key": "$GATE"}


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"extra_headers": {"api-key": "hunter2"}}, "alias fast: extra_headers must set api-key to the name of"),
        ({"model": "x"}, "alias fast: params cannot set model"),
        ({"system": "x"}, "alias fast: system is not a parameter of an alias"),
        ({"proxy": "http://a:hunter2@b"}, "alias fast: proxy is not a parameter of an alias"),
        (
            {"openai_base_url": "http://hunter2"},
            "alias fast: openai_base_url is not a parameter of an alias",
        ),
        (
            {"openai_key": "hunter2"},
            "alias fast: openai_key is not a parameter; an alias names its key with",
        ),
        ({"max_tokens": "many"}, "alias fast: max_tokens is 'many'"),
        ({"top_p": float("nan")}, "alias fast: params top_p is nan"),
    ],
)
def test_what_an_alias_does_not_keep_is_refused_without_being_shown(params, said):
    with pytest.raises(FlowGptError, match=re.escape(said)) as caught:
        save(Alias("fast", "openai_compatible:m", params=params))
    assert "hunter2" not in str(caught.value)
    assert load() == {}


def test_a_temperature_that_is_there_twice_is_refused():
    with pytest.raises(AliasError, match="temperature is there twice"):
        save(Alias("fast", "openai_compatible:m", temperature=1.0, params={"temperature": 1}))


def test_its_parameters_stand_just_below_what_was_set_beside_it():
    save(
        Alias(
            "fast",
            "openai_compatible:m",
            params={"top_p": 0.5, "seed": 1, "max_tokens": 7, "extra_body": {"a": 1, "b": 1}},
        )
    )
    model = {"model": "fast"}

    far = apply(settings.load(model, {"params": {"top_p": 0.1, "stop": ["x"]}, "max_tokens": 1}))
    near = apply(settings.load({**model, "params": {"top_p": 0.9, "extra_body": {"b": 2}}, "max_tokens": 9}))

    assert far.params == {"stop": ["x"], "top_p": 0.5, "seed": 1, "extra_body": {"a": 1, "b": 1}}
    assert (far.max_tokens, far.sources["max_tokens"]) == (7, "alias fast")
    assert near.params == {"top_p": 0.9, "seed": 1, "extra_body": {"a": 1, "b": 2}}
    assert near.max_tokens == 9
    places = {name: each.source for name, each in origins(near.layers["params"]).items()}
    assert (places["seed"], places["top_p"]) == ("alias fast", "option")


def test_an_alias_of_an_alias_adds_to_its_parameters():
    save(Alias("slow", "openai_compatible:m", SERVER, params={"top_p": 0.5, "seed": 1}, extra_headers={"X-A": "1"}))
    save(Alias("fast", "slow", params={"top_p": 0.9}, extra_headers={"x-a": "2"}))
    save(Alias("away", "slow", "http://other"))

    assert to_options(load()["fast"])["params"] == {"top_p": 0.9, "seed": 1}
    assert to_options(load()["fast"])["extra_headers"] == {"x-a": "2"}
    assert to_options(load()["away"])["params"] == {"top_p": 0.5, "seed": 1}
    assert "extra_headers" not in to_options(load()["away"])


def test_headers_that_are_set_for_one_server_do_not_go_to_that_of_an_alias():
    save(Alias("away", "openai_compatible:m", "http://away/v1", extra_headers={"X-Away": "1"}))
    save(Alias("here", "openai_compatible:m", extra_headers={"X-Here": "1"}))
    home = {"openai_base_url": "http://home/v1", "extra_headers": {"api-key": "$HOME_KEY"}}

    away = apply(settings.load({"model": "away"}, home))
    here = apply(settings.load({"model": "here"}, home))
    conversation = apply(settings.load(None, {}, conversation={**home, "model": "away"}))
    typed = apply(settings.load({"model": "away", "extra_headers": {"X-Typed": "1"}}, home))

    assert (away.openai_base_url, away.extra_headers) == ("http://away/v1", {"X-Away": "1"})
    assert here.extra_headers == {"api-key": "$HOME_KEY", "X-Here": "1"}
    assert typed.extra_headers == {"X-Away": "1", "X-Typed": "1"}
    assert (conversation.openai_base_url, conversation.extra_headers) == ("http://home/v1", {"api-key": "$HOME_KEY"})

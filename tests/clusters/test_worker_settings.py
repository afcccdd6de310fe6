"""What travels to a worker: the settings in force, and no key."""

from __future__ import annotations

import json
import os
import pickle
from pathlib import Path

import pytest

from flowgpt_magic import Conversation, settings
from flowgpt_magic.clusters.worker_settings import collect_settings, is_free_of_secrets
from flowgpt_magic.errors import MissingKeyError, SettingError
from flowgpt_magic.history.current import current_history
from flowgpt_magic.providers import aliases
from flowgpt_magic.providers.aliases import Alias

SECRET = "sEcret-w0rd"


def test_what_is_set_anywhere_travels(monkeypatch):
    monkeypatch.setenv("FLOWGPT_TEMPERATURE", "0.25")
    settings.settings_file().parent.mkdir(parents=True, exist_ok=True)
    settings.settings_file().write_text('openai_base_url = "http://127.0.0.1:1/v1"\nopenai_key = "CLUSTER_KEY"\n')
    Conversation(current_history().current).set(model="openai_compatible:m", system="be brief")

    worker_settings = collect_settings()

    assert worker_settings.values == {
        "model": "openai_compatible:m",
        "system": "be brief",
        "temperature": 0.25,
        "openai_base_url": "http://127.0.0.1:1/v1",
        "openai_key": "CLUSTER_KEY",
        "base_url": settings.Settings().base_url,
        "anthropic_base_url": settings.Settings().anthropic_base_url,
    }


def test_an_address_that_is_not_set_travels_so_that_no_key_of_the_worker_goes_elsewhere(monkeypatch):
    monkeypatch.setenv("FLOWGPT_MODEL", "openai_compatible:m")
    worker_settings = collect_settings()

    monkeypatch.setenv("FLOWGPT_OPENAI_BASE_URL", "http://127.0.0.1:1/v1")
    chosen = settings.load(configured=worker_settings.configured())

    assert chosen.openai_base_url == settings.settings.OPENAI


def test_what_is_of_this_machine_alone_stays(monkeypatch, tmp_path):
    monkeypatch.setenv("FLOWGPT_MODEL", "echo")
    monkeypatch.setenv("FLOWGPT_HISTORY", str(tmp_path / "history.sqlite3"))
    monkeypatch.setenv("FLOWGPT_THREADS", "3")

    assert not {"history", "threads"} & set(collect_settings().values)


def test_no_secret_is_in_the_pickle(monkeypatch):
    for name in ("OPENAI_API_KEY", "CLUSTER_KEY", "GATE_KEY", "FLOWGPT_TOKEN"):
        monkeypatch.setenv(name, SECRET)
    monkeypatch.setenv("FLOWGPT_PROXY", f"http://me:{SECRET}@127.0.0.1:1")
    monkeypatch.setenv("FLOWGPT_OPENAI_BASE_URL", f"http://me:{SECRET}@127.0.0.1:1/v1")
    monkeypatch.setenv("FLOWGPT_OPENAI_KEY", "CLUSTER_KEY")
    aliases.save(Alias("gate", "flowgpt", "http://127.0.0.1:1", "be kind", 0.5, "GATE_KEY"))

    for model in ("gate", "flowgpt", "openai_compatible:m", "echo"):
        monkeypatch.setenv("FLOWGPT_MODEL", model)
        worker_settings = collect_settings()

        assert SECRET.encode() not in pickle.dumps(worker_settings)
        assert worker_settings.variables["token"] == ("GATE_KEY" if model == "gate" else "FLOWGPT_TOKEN")
        assert worker_settings.variables["proxy"] == "FLOWGPT_PROXY"
        assert worker_settings.variables["openai_base_url"] == "FLOWGPT_OPENAI_BASE_URL"


def test_a_secret_is_read_on_the_worker_under_its_name(monkeypatch):
    monkeypatch.setenv("GATE_KEY", SECRET)
    monkeypatch.setenv("FLOWGPT_MODEL", "gate")
    aliases.save(Alias("gate", "flowgpt", "http://127.0.0.1:1", "be kind", 0.5, "GATE_KEY"))
    worker_settings = collect_settings()
    aliases.remove("gate")
    monkeypatch.delenv("FLOWGPT_MODEL")
    monkeypatch.setenv("GATE_KEY", "the worker's own")

    chosen = settings.load(configured=worker_settings.configured())
    worker_settings.check(chosen)

    assert (chosen.model.split(":")[0], chosen.token, chosen.system) == ("flowgpt", "the worker's own", "be kind")
    monkeypatch.delenv("GATE_KEY")
    with pytest.raises(MissingKeyError, match=r"token is a secret .* set the environment variable GATE_KEY on each"):
        worker_settings.check(settings.load(configured=worker_settings.configured()))


def test_a_secret_that_nobody_uses_need_not_be_on_the_worker(monkeypatch):
    monkeypatch.setenv("FLOWGPT_TOKEN", SECRET)
    monkeypatch.setenv("FLOWGPT_PROXY", f"http://me:{SECRET}@127.0.0.1:1")
    monkeypatch.setenv("FLOWGPT_MODEL", "echo")
    worker_settings = collect_settings()
    for name in [each for each in os.environ if each.startswith("FLOWGPT_")]:
        monkeypatch.delenv(name)

    worker_settings.check(settings.load(configured=worker_settings.configured()))
    with pytest.raises(MissingKeyError, match=r"proxy is a secret .* FLOWGPT_PROXY"):
        worker_settings.check(settings.load({"model": "openai_compatible:m"}, worker_settings.configured()))


def test_headers_that_name_a_variable_travel_by_that_name(monkeypatch):
    headers = {"X-Api-Key": "$CLUSTER_KEY", "HTTP-Referer": "https://example.com"}
    monkeypatch.setenv("CLUSTER_KEY", SECRET)
    monkeypatch.setenv("FLOWGPT_MODEL", "openai_compatible:m")
    monkeypatch.setenv("FLOWGPT_EXTRA_HEADERS", json.dumps(headers))
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:1/v1")

    worker_settings = collect_settings()

    assert worker_settings.values["extra_headers"] == headers
    assert worker_settings.values["openai_base_url"] == "http://127.0.0.1:1/v1"
    assert SECRET.encode() not in pickle.dumps(worker_settings)


def test_a_parameter_of_the_call_stands_beside_those_of_an_alias(monkeypatch):
    monkeypatch.setenv("FLOWGPT_MODEL", "echo")
    aliases.save(Alias("fast", "openai_compatible:m", params={"top_p": 0.5, "seed": 1}))

    assert collect_settings().options({"model": "fast", "params": {"seed": 2}})["params"] == {"top_p": 0.5, "seed": 2}


def test_a_proxy_without_a_password_travels(monkeypatch):
    monkeypatch.setenv("FLOWGPT_MODEL", "echo")
    monkeypatch.setenv("FLOWGPT_PROXY", "http://127.0.0.1:3128")

    assert collect_settings().values["proxy"] == "http://127.0.0.1:3128"


def test_an_alias_of_the_sender_can_be_asked_on_the_worker(monkeypatch):
    monkeypatch.setenv("FLOWGPT_MODEL", "echo")
    aliases.save(Alias("fast", "openai_compatible:m", "http://127.0.0.1:1/v1", "be kind", 0.5, "FAST_KEY"))
    aliases.save(Alias("faster", "fast", temperature=0.7))
    worker_settings = collect_settings()
    Path(aliases.aliases_file()).unlink()

    monkeypatch.setenv("FAST_KEY", SECRET)
    assert worker_settings.options({"model": "faster", "system": "be brief"}) == {
        "model": "openai_compatible:m",
        "openai_base_url": "http://127.0.0.1:1/v1",
        "openai_key": "FAST_KEY",
        "system": "be brief",
        "temperature": 0.7,
    }
    monkeypatch.delenv("FAST_KEY")
    with pytest.raises(MissingKeyError, match="alias fast has no key"):
        worker_settings.options({"model": "fast"})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("token", SECRET),
        ("proxy", f"http://me:{SECRET}@127.0.0.1:1"),
        ("openai_base_url", f"http://me:{SECRET}@127.0.0.1:1/v1"),
        ("params", {"headers": {"Authorization": SECRET}}),
        ("params", {"body": [{"api_key": SECRET}]}),
    ],
)
def test_an_option_that_holds_a_secret_is_refused_without_being_quoted(monkeypatch, name, value):
    monkeypatch.setenv("FLOWGPT_MODEL", "echo")
    assert not is_free_of_secrets(name, value)

    with pytest.raises(SettingError, match=f"{name} contains a key or a password") as caught:
        collect_settings().options({name: value})
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("openai_key", "CLUSTER_KEY"),
        ("proxy", "http://127.0.0.1:1"),
        ("max_tokens", 30),
        ("params", {"stop": ["END"], "top_p": 0.5, "max_tokens": 3}),
        ("schema", {"properties": {"password": {"type": "string"}}}),
        ("token", ""),
    ],
)
def test_other_options_may_travel(name, value):
    assert is_free_of_secrets(name, value)

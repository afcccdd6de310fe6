"""``%flowgpt providers`` and ``%flowgpt models``."""

from __future__ import annotations

import socket
import sys

import pytest

from flowgpt_magic import installing
from flowgpt_magic.errors import (
    OptionError,
    ProviderConnectionError,
    ProviderNotFoundError,
    ProviderTimeoutError,
)
from flowgpt_magic.providers import aliases, local_servers, models, registry
from flowgpt_magic.providers.aliases import Alias, save
from flowgpt_magic.providers.echo import Echo
from flowgpt_magic.providers.llama_cpp import runtime, weights
from flowgpt_magic.tables import Table
from tests.openai_servers import background, speaking
from tests.servers import answering, closed_port, head, stalling, whole
from tests.shell_states import rows_by_name

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


def by_model(table: Table) -> dict[str, dict[str, str]]:
    found = (dict(zip(table.columns, row, strict=True)) for row in table.rows)
    return {f"{row['provider']}:{row['model']}": row for row in found}


def installed(monkeypatch, *, with_runtime: bool, with_weights: bool) -> None:
    monkeypatch.setattr(runtime, "is_installed", lambda: with_runtime)
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

    assert rows_by_name(run("providers"))["local"]["would it answer?"] == answer
    assert by_model(run("models local"))["local:smollm2-135m-instruct"]["would it answer?"] == answer


def test_the_public_service_is_not_known_to_answer_and_another_server_is_named(run):
    assert rows_by_name(run("providers"))["flowgpt"]["would it answer?"].startswith("unknown: set base_url")
    run(f"set base_url {SERVER}")

    assert rows_by_name(run("providers"))["flowgpt"]["would it answer?"] == f"if the server at {SERVER} does"
    assert by_model(run("models"))["flowgpt:gpt-4-turbo"]["would it answer?"] == f"if the server at {SERVER} does"


def test_an_alias_in_use_does_not_tell_of_the_other_models(run):
    save(Alias("polly", "flowgpt:gemini", SERVER))
    run("set model polly")

    for row in run("models flowgpt").rows:
        assert row[3].startswith(f"if the server at {SERVER}" if row[2] == "polly" else "unknown")


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

    gemini = [row[2:] for row in run("models").rows if row[1] == "google-gemini"]
    assert gemini[0][0] == "gemini, gemini-pro"
    assert gemini[1:] == [(name, f"if the server at {SERVER} does") for name in ("pol", "polly")]
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
    row = rows_by_name(run("models"))["openai_compatible"]

    assert row["model"] == "any model of its server: %flowgpt models openai_compatible lists them"
    assert row["would it answer?"] == "no: the environment variable OPENAI_API_KEY is not set"


def test_a_server_that_needs_no_key_may_answer_and_another_one_that_is_named_is_missed(run, monkeypatch):
    def answer() -> str:
        return rows_by_name(run("providers"))["openai_compatible"]["would it answer?"]

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

    assert {row[1]: row[3] for row in table.rows} == {"a": "yes; context window: 8,192 tokens", "b": "yes"}


def test_models_of_an_aliass_server_are_listed_by_asking_that_with_its_key(run, monkeypatch):
    monkeypatch.setenv("MY_KEY", "hunter2")
    with background(speaking(models=["llama3.2"], key="hunter2")) as server:
        save(Alias("fast", "openai_compatible:x", f"{server.url}/v1", key_variable="MY_KEY"))

        found = by_model(run("models fast"))

    assert found["openai_compatible:llama3.2"]["would it answer?"] == "yes"
    assert found["openai_compatible:x"]["alias"] == "fast"


def test_an_alias_with_a_server_of_its_own_misses_only_its_own_key(run, monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    save(Alias("free", "openai_compatible:x", f"{SERVER}/v1"))
    save(Alias("paid", "openai_compatible:x", f"{SERVER}/v1", key_variable="NO_SUCH_KEY"))
    run("set model free")

    rows = {row[2]: row for row in run("models").rows if row[0] == "openai_compatible"}

    assert rows["free"][1:] == ("x (in use)", "free", f"if the server at {SERVER}/v1 does")
    assert rows["paid"][1] == "x"
    assert "NO_SUCH_KEY is not set" in rows["paid"][3]
    assert "OPENAI_API_KEY" not in rows["paid"][3]


def test_the_models_of_an_alias_are_judged_by_its_own_address_and_key(run, monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with background(speaking(models=["m", "n"])) as server:
        address = f"{server.url}/v1"
        save(Alias("paid", "openai_compatible:m", f"{SERVER}/v1", key_variable="NO_SUCH_KEY"))
        save(Alias("down", "openai_compatible:m", f"http://127.0.0.1:{closed_port()}/v1"))
        save(Alias("gpu", "openai_compatible:x", address))
        save(Alias("gpu2", "openai_compatible:m", f"{address}/"))
        save(Alias("fast", "openai_compatible:m"))
        run("set model down")

        rows = [row[1:] for row in run("models gpu").rows]
        assert rows == [("m", "gpu2", "yes"), ("n", "", "yes"), ("x", "gpu", f"if the server at {address} does")]
        run("set model gpu2")
        assert run("models gpu").rows[0][1] == "m (in use)"
        with pytest.raises(ProviderConnectionError):
            run("models down")


def test_a_server_that_lists_nothing_says_why(run):
    port = closed_port()
    run(f"set openai_base_url http://127.0.0.1:{port}/v1")

    with pytest.raises(ProviderConnectionError, match="connection refused; check that the server runs"):
        run("models openai_compatible")


def test_a_server_that_does_not_list_its_models_in_time_is_not_waited_for(run, monkeypatch):
    monkeypatch.setattr(models, "LISTING_TIMEOUT", 0.05)
    with background(stalling(head(Content_Type="application/json", Content_Length="9"))) as server:
        run(f"set openai_base_url {server.url}/v1")

        with pytest.raises(ProviderTimeoutError, match=r"was silent for 0\.05 s|did not list its models"):
            run("models openai_compatible")


def test_a_plug_in_that_never_lists_its_models_is_not_waited_for(run, plug_ins, monkeypatch):
    monkeypatch.setattr(models, "LISTING_TIMEOUT", 0.05)

    with pytest.raises(ProviderTimeoutError, match=r"slow did not list its models within 0\.1 s"):
        run("models slow")


def test_plug_ins_are_listed_with_what_they_say_and_broken_ones_with_their_fault(run, plug_ins, monkeypatch):
    found = {name: (row["what it is"], row["would it answer?"]) for name, row in rows_by_name(run("providers")).items()}

    assert found["echo"] == ("Repeats the last message.", "yes")
    assert found["parrot"] == ("Says what it was told.", "yes")
    assert found["keyed"] == ("https://keyed.example", "no: the setting token is empty")
    assert found["ill"][1] == "no: the provider is marked as not working"
    assert found["broken"][0] == ""
    assert found["broken"][1].startswith("no: provider 'broken' cannot be loaded")

    listed = rows_by_name(run("models"))
    assert listed["parrot"]["alias"] == "ara"
    assert listed["moody"]["would it answer?"] == "no: not today"
    assert listed["broken"]["would it answer?"].startswith("no: provider 'broken' cannot be loaded")
    monkeypatch.setenv("FLOWGPT_TOKEN", "x")
    assert rows_by_name(run("providers"))["keyed"]["would it answer?"] == "yes"


def test_telling_who_would_answer_goes_to_no_network_and_loads_nothing(run, monkeypatch):
    asked = []

    def connect(_socket, address):
        asked.append(address)
        raise ConnectionRefusedError

    monkeypatch.setattr(socket.socket, "connect", connect)
    monkeypatch.setattr(Echo, "create_async_generator", lambda *_args, **_more: pytest.fail("it asked"))
    before = "xllamacpp" in sys.modules

    for line in ("list echo", "models echo", "providers", "aliases", "config", "install-model --list"):
        run(line)
    assert asked == []
    run("models")

    assert sorted(asked) == [("127.0.0.1", port) for port in sorted(local_servers.PORTS.values())]
    assert ("xllamacpp" in sys.modules) is before


# Servers of this machine


def test_a_server_of_this_machine_is_told_with_a_line_that_works(run, monkeypatch):
    monkeypatch.setattr(local_servers, "TIMEOUT", 30.0)
    with background(speaking("Hello", models=["nomic-embed-text", "llama3.2:3b", "qwen2.5:7b"])) as server:
        monkeypatch.setattr(local_servers, "PORTS", {"Ollama": server.port})

        note = run("models").note
        line = f"%flowgpt alias ollama openai_compatible:llama3.2:3b --endpoint {server.url}/v1"
        here = f"Ollama answers at 127.0.0.1:{server.port}"
        has = "2 models (llama3.2:3b, qwen2.5:7b)"
        assert f"{here} with {has}; after this line %%flowgpt ollama asks it:\n{line}\n" in note

        run(line.removeprefix("%flowgpt "))
        assert f"{here}: %%flowgpt ollama asks it" in run("models").note
        run("set model ollama")
        assert by_model(run("models ollama"))["openai_compatible:llama3.2:3b (in use)"]["would it answer?"] == "yes"


def test_an_alias_that_asks_something_else_keeps_its_name(run, monkeypatch):
    monkeypatch.setattr(local_servers, "TIMEOUT", 30.0)
    save(Alias("lm-studio", "echo"))
    with background(speaking(models=["m"])) as server:
        monkeypatch.setattr(local_servers, "PORTS", {"LM Studio": server.port})

        assert "%flowgpt alias lm-studio2 openai_compatible:m" in run("models").note


def test_a_server_without_a_model_says_so(run, monkeypatch):
    monkeypatch.setattr(local_servers, "TIMEOUT", 30.0)
    with background(speaking(models=[])) as server:
        monkeypatch.setattr(local_servers, "PORTS", {"Ollama": server.port})

        assert f"Ollama answers at 127.0.0.1:{server.port} and has no model yet" in run("models").note

"""Which server is asked, and which key it gets."""

from __future__ import annotations

import pytest
from yarl import URL

from flowgpt_magic.errors import FlowGptWarning, MissingKeyError, SettingError
from flowgpt_magic.messages import notices_to
from flowgpt_magic.providers import aliases
from flowgpt_magic.providers.openai.servers import Server, headers
from flowgpt_magic.settings import load

KEY = "sk-hunter2"


def server(**options: str) -> Server:
    return Server.chosen_by(load(options, environ={}))


def test_by_default_it_is_openais_with_the_key_it_is_known_for():
    assert server() == Server(URL("https://api.openai.com/v1"), "OPENAI_API_KEY")


@pytest.mark.parametrize(
    ("url", "key_name"),
    [
        ("https://api.openai.com/v1/", "OPENAI_API_KEY"),
        ("https://eu.api.openai.com/v1", "OPENAI_API_KEY"),
        ("http://api.openai.com/v1", ""),
        ("https://api.openai.com.example/v1", ""),
        ("https://notapi.openai.com/v1", ""),
        ("https://openrouter.ai/api/v1", ""),
        ("http://127.0.0.1:11434/v1", ""),
    ],
)
def test_no_other_server_gets_openais_key_unasked(url, key_name):
    assert server(openai_base_url=url).key_name == key_name
    assert server(openai_base_url=url, openai_key="MINE").key_name == "MINE"


@pytest.mark.parametrize(
    ("url", "call"),
    [
        ("http://127.0.0.1:11434/v1", "http://127.0.0.1:11434/v1/chat/completions"),
        (" https://host.example/a/b/v1/ ", "https://host.example/a/b/v1/chat/completions"),
        ("http://[::1]:8080", "http://[::1]:8080/chat/completions"),
        ("https://name.openai.azure.com/openai/v1", "https://name.openai.azure.com/openai/v1/chat/completions"),
    ],
)
def test_a_call_has_the_base_url_before_it(url, call):
    assert str(server(openai_base_url=url).url_for("chat/completions")) == call


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("localhost:11434/v1", "write scheme and host, such as http://127.0.0.1:11434/v1"),
        ("ftp://host/v1", "is not a base URL"),
        ("https://me:hunter2@host/v1", "cannot contain a user and password"),
        ("https://host/v1?api-version=1&key=hunter2", "cannot have a ?query; Azure has an address without one: "),
        ("https://host/v1#hunter2", "is not a base URL"),
        ("https://host/v1/chat/completions", "must not end in /chat/completions"),
        ("https://host/v1/responses/", "must not end in /responses"),
    ],
)
def test_an_address_that_is_no_base_url_is_refused_and_no_secret_in_it_shown(url, said):
    with pytest.raises(SettingError) as caught:
        server(openai_base_url=url)
    assert said in str(caught.value)
    assert "hunter2" not in str(caught.value)


async def test_the_key_is_read_when_it_is_needed(monkeypatch):
    monkeypatch.setenv("MINE", f"{KEY}\n")

    assert await server(openai_key="MINE").read_key() == KEY
    assert await server(openai_base_url="http://127.0.0.1:1/v1").read_key() == ""


@pytest.mark.parametrize("value", [None, ""])
async def test_a_key_that_is_missing_is_told_by_its_variables_name(monkeypatch, value):
    if value is not None:
        monkeypatch.setenv("OPENAI_API_KEY", value)

    with pytest.raises(MissingKeyError) as caught:
        await server().read_key()
    assert str(caught.value) == (
        "there is no key for api.openai.com: the environment variable OPENAI_API_KEY is not set. Set it, or name "
        "another one with the setting openai_key (FLOWGPT_OPENAI_KEY in the environment)."
    )


async def test_a_key_that_no_header_can_hold_is_refused_without_showing_it(monkeypatch):
    monkeypatch.setenv("MINE", "hunter2 hunter2")

    with pytest.raises(SettingError, match="the environment variable MINE: the token contains a space") as caught:
        await server(openai_key="MINE").read_key()
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "open_"),
    [
        ("http://host.example/v1", True),
        ("http://8.8.8.8/v1", True),
        ("https://host.example/v1", False),
        ("http://127.0.0.1:8000/v1", False),
        ("http://192.168.1.5:8000/v1", False),
        ("http://gpu-box:8000/v1", False),
        ("http://gpu.lan:8000/v1", False),
    ],
)
async def test_a_key_that_anybody_on_the_way_could_read_is_told_of(monkeypatch, url, open_):
    monkeypatch.setenv("MINE", KEY)
    told: list[str] = []

    with notices_to(told.append):
        await server(openai_base_url=url, openai_key="MINE").read_key()

    assert bool(told) is open_
    assert KEY not in "".join(told)


async def test_without_a_key_nothing_could_be_read(recwarn):
    assert await server(openai_base_url="http://host.example/v1").read_key() == ""
    assert not [each for each in recwarn if issubclass(each.category, FlowGptWarning)]


@pytest.mark.parametrize(
    ("url", "program"),
    [
        ("http://127.0.0.1:11434/v1", "Port 11434 is the default of Ollama (ollama serve). "),
        ("http://localhost:1234/v1", "Port 1234 is the default of LM Studio (lms server start). "),
        ("http://[::1]:8080/v1", "Port 8080 is the default of llama.cpp (llama-server -m FILE). "),
        ("http://127.0.0.1:8000/v1", "Port 8000 is the default of vLLM (vllm serve MODEL). "),
        ("http://127.0.0.1:5005/v1", ""),
        ("http://host.example:11434/v1", ""),
    ],
)
def test_what_usually_listens_on_a_port_of_this_machine_is_named(url, program):
    route = server(openai_base_url=url).route(load(environ={}), "")

    assert route.unreachable == (
        f"{program}The address is the setting openai_base_url, FLOWGPT_OPENAI_BASE_URL in the environment."
    )


def test_who_is_not_let_in_learns_where_the_key_came_from():
    chosen = load(environ={})

    assert (
        "from the environment variable OPENAI_API_KEY (setting openai_key)" in server().route(chosen, KEY).unauthorized
    )
    assert "keyring's entry s of me" in server(openai_key="keyring:s/me").route(chosen, KEY).unauthorized
    assert "No key was sent" in server(openai_base_url="http://x/v1").route(chosen, "").unauthorized
    assert KEY not in repr(server().route(chosen, KEY))


def test_a_key_goes_into_its_header_and_without_one_there_is_none():
    assert headers(KEY)["Authorization"] == f"Bearer {KEY}"
    assert "Authorization" not in headers("")
    assert headers("")["Accept-Encoding"] == "identity"


CORP = "http://gateway.example/v1"


def in_environment(environ: dict[str, str], **options: str) -> Server:
    return Server.chosen_by(load(options, environ=environ))


@pytest.mark.parametrize("name", ["OPENAI_BASE_URL", "OPENAI_API_BASE"])
def test_the_server_of_openais_clients_is_asked_where_no_other_is_set_and_gets_their_key(monkeypatch, name):
    environ = {name: f" {CORP}/ ", "OPENAI_API_KEY": KEY}

    assert in_environment(environ) == Server(URL(CORP), "OPENAI_API_KEY")
    assert in_environment({name: CORP}) == Server(URL(CORP), "")
    assert load(environ=environ).sources["openai_base_url"] == f"environment variable {name}"
    assert load(environ=environ).sources["openai_key"] == f"environment variable {name}"


def test_of_two_variables_the_newer_one_counts():
    environ = {"OPENAI_API_BASE": "http://old.example/v1", "OPENAI_BASE_URL": CORP}

    assert in_environment(environ).url == URL(CORP)
    assert in_environment(environ | {"OPENAI_BASE_URL": " "}).url == URL("http://old.example/v1")


def test_an_address_of_ours_comes_before_that_of_openais_clients_and_gets_no_key_of_theirs(tmp_path):
    environ = {"OPENAI_BASE_URL": CORP, "OPENAI_API_KEY": KEY}
    file = tmp_path / "settings.toml"
    file.write_text('openai_base_url = "http://mine.example/v1"')

    for chosen in (
        load(environ=environ, path=file),
        load({"openai_base_url": "http://mine.example/v1"}, environ=environ),
        load(environ=environ | {"FLOWGPT_OPENAI_BASE_URL": "http://mine.example/v1"}),
    ):
        assert Server.chosen_by(chosen) == Server(URL("http://mine.example/v1"), "")


def test_a_key_that_is_named_for_openai_does_not_go_to_the_server_of_a_variable(tmp_path):
    file = tmp_path / "settings.toml"
    file.write_text('openai_key = "MINE"')
    environ = {"OPENAI_BASE_URL": CORP, "OPENAI_API_KEY": KEY}

    assert Server.chosen_by(load(environ=environ, path=file)) == Server(URL(CORP), "OPENAI_API_KEY")
    assert in_environment(environ | {"FLOWGPT_OPENAI_KEY": "MINE"}).key_name == "MINE"
    assert in_environment(environ, openai_key="MINE").key_name == "MINE"


@pytest.mark.parametrize(
    ("address", "key_name"),
    [
        (None, "OPENAI_API_KEY"),
        ("https://api.openai.com/v1", "OPENAI_API_KEY"),
        ("https://eu.api.openai.com/v1", "OPENAI_API_KEY"),
        (CORP, ""),
        ("gateway.example", ""),
    ],
)
def test_openai_gets_no_key_that_is_meant_for_another_server(monkeypatch, address, key_name):
    if address is not None:
        monkeypatch.setenv("OPENAI_BASE_URL", address)
    chosen = load({"openai_base_url": "https://api.openai.com/v1"})

    assert Server.chosen_by(chosen).key_name == key_name
    said = Server.chosen_by(chosen).route(chosen, "").unauthorized
    assert ("OPENAI_API_KEY is for the server that OPENAI_BASE_URL names." in said) is (key_name == "")


def test_an_alias_with_an_address_of_its_own_is_asked_there(monkeypatch):
    monkeypatch.setenv("OPENAI_BASE_URL", CORP)
    aliases.save(aliases.Alias("mine", "openai_compatible:m", base_url="http://mine.example/v1"))
    monkeypatch.setenv("FLOWGPT_MODEL", "mine")

    assert Server.chosen_by(aliases.apply(load())).url == URL("http://mine.example/v1")


def test_headers_of_ones_own_take_the_place_of_ours(monkeypatch):
    monkeypatch.setenv("GATE", "hunter2")
    own = server(openai_base_url="http://host/v1").user_headers(
        {"user-agent": "me", "api-key": "$GATE", "X-Gone": None}
    )

    found = headers("key", own)

    assert (found["user-agent"], found["api-key"], found["Authorization"]) == ("me", "hunter2", "Bearer key")
    assert "User-Agent" not in found
    assert "X-Gone" not in found
    assert "hunter2" not in repr(own)
    assert headers("", server().user_headers(None)) == headers("")


def test_a_secret_header_that_anybody_on_the_way_could_read_is_told_of(monkeypatch):
    monkeypatch.setenv("GATE", "hunter2")
    told: list[str] = []

    with notices_to(told.append):
        server(openai_base_url="http://host.example/v1").user_headers({"X-Title": "mine"})
        assert told == []
        server(openai_base_url="http://host.example/v1").user_headers({"api-key": "$GATE"})

    assert told == ["the extra_headers go to host.example unencrypted; use https if that server can"]


def test_what_can_be_no_header_is_refused_at_the_server_too():
    with pytest.raises(SettingError, match="extra_headers cannot set Authorization"):
        server().user_headers({"Authorization": "hunter2"})

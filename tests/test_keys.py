"""Names of keys: what can be one, and what is found there."""

from __future__ import annotations

import asyncio
import sys
import threading

import keyring
import pytest
from hypothesis import given
from hypothesis import strategies as st
from keyring.backend import KeyringBackend
from keyring.errors import NoKeyringError

from flowgpt_magic import keys
from flowgpt_magic.errors import FlowGptError, MissingKeyError

KEY = "sk-hunter2"


class Ring(KeyringBackend):
    """A keyring in memory that can be told to wait, and to fail."""

    priority = 1

    def __init__(self) -> None:
        self.entries: dict[tuple[str, str], str] = {}
        self.opened = threading.Event()
        self.opened.set()
        self.asked = threading.Event()
        self.failure: Exception | None = None

    def get_password(self, service: str, username: str) -> str | None:
        self.asked.set()
        self.opened.wait(10)
        if self.failure is not None:
            raise self.failure
        return self.entries.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self.entries[service, username] = password


@pytest.fixture
def ring():
    """The keyring in use, for this test."""
    before, made = keyring.get_keyring(), Ring()
    keyring.set_keyring(made)
    yield made
    made.opened.set()
    keyring.set_keyring(before)


@pytest.mark.parametrize(
    "name", ["OPENAI_API_KEY", "key", "_", "keyring:openrouter/me", "keyring:https://a.example/x/me"]
)
def test_the_name_of_a_variable_or_an_entry_is_one(name):
    assert keys.is_name(name)
    assert keys.check_name(f" {name} ") == name


def test_no_name_is_none_and_is_taken():
    assert not keys.is_name("")
    assert keys.check_name(" ") == ""


@pytest.mark.parametrize(
    "value",
    [
        KEY,
        "sk-proj-AbCdEf0123456789",
        "hf_AbCdEfGhIjKlMnOpQrStUvWxYz",
        "d41d8cd98f00b204e9800998ecf8427e",
        "two words",
        "keyring:",
        "keyring:service",
        "keyring:service/",
        "keyring:/me",
        "keyring:a/\nb",
        f"keyring:service/{'Ab1' * 14}",
        7,
        None,
    ],
)
def test_a_key_or_anything_else_in_the_place_of_a_name_is_refused_and_not_repeated(value):
    with pytest.raises(ValueError, match="the name of what holds the key") as caught:
        keys.check_name(value)
    assert str(value) not in str(caught.value).replace("keyring:SERVICE/USER", "")


def said(text: str) -> str:
    try:
        return keys.check_name(text)
    except ValueError as error:
        return str(error)


@given(st.text())
def test_any_text_is_taken_as_it_is_or_refused_without_being_shown(text):
    assert said(text) in (text.strip(), said(KEY))


def test_a_key_is_read_from_its_variable_at_that_moment(monkeypatch):
    for value in ("one", "two"):
        monkeypatch.setenv("MY_KEY", f" {value}\n")
        assert keys.read("MY_KEY") == value
        assert keys.missing("MY_KEY") == ""


@pytest.mark.parametrize("value", [None, "", " \n"])
def test_a_variable_that_holds_no_key_is_named(monkeypatch, value):
    if value is not None:
        monkeypatch.setenv("MY_KEY", value)

    assert keys.missing("MY_KEY") == "the environment variable MY_KEY is not set"
    with pytest.raises(MissingKeyError, match=r"^the environment variable MY_KEY is not set\.$"):
        keys.read("MY_KEY")


async def test_a_key_is_read_from_the_keyring(ring):
    keyring.set_password("a/service", "me", KEY)

    assert keys.missing("keyring:a/service/me") == ""
    assert keys.read("keyring:a/service/me") == KEY
    assert await keys.read_soon("keyring:a/service/me") == KEY


async def test_an_entry_that_is_not_there_is_named_with_the_command_that_makes_it(ring):
    empty = "entry service of me is empty; `keyring set service me` sets it"
    with pytest.raises(MissingKeyError, match=empty):
        keys.read("keyring:service/me")
    with pytest.raises(MissingKeyError, match=empty):
        await keys.read_soon("keyring:service/me")


@pytest.mark.parametrize("failure", [NoKeyringError(KEY), RuntimeError(KEY)])
def test_a_keyring_that_cannot_be_read_is_told_without_its_words(ring, failure):
    ring.failure = failure

    with pytest.raises(MissingKeyError, match=rf"cannot be read \({type(failure).__name__}\)") as caught:
        keys.read("keyring:service/me")
    assert KEY not in str(caught.value)
    assert isinstance(caught.value, FlowGptError)


def test_without_its_library_the_command_that_installs_it_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "keyring", None)
    monkeypatch.setattr(keys, "find_spec", lambda _name: None)

    with pytest.raises(MissingKeyError, match=r"pip install .*\[keyring\]"):
        keys.read("keyring:service/me")


async def test_a_keyring_that_waits_for_its_user_holds_up_nobody(ring):
    ring.opened.clear()
    keyring.set_password("service", "me", KEY)

    reading = asyncio.create_task(keys.read_soon("keyring:service/me"))
    while not ring.asked.is_set():  # noqa: ASYNC110 - it is set on another thread
        await asyncio.sleep(0)
    assert not reading.done()
    ring.opened.set()

    assert await reading == KEY


async def test_a_wait_for_the_keyring_can_be_cancelled(ring):
    ring.opened.clear()
    reading = asyncio.create_task(keys.read_soon("keyring:service/me"))
    while not ring.asked.is_set():  # noqa: ASYNC110
        await asyncio.sleep(0)

    reading.cancel()

    with pytest.raises(asyncio.CancelledError):
        await reading
    waiting = [each for each in threading.enumerate() if each.name == "flowgpt_magic keyring"]
    assert all(each.daemon for each in waiting)
    ring.opened.set()
    for each in waiting:
        each.join(10)

"""Whom a panel's conversation can be told to ask."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest

from flowgpt_magic.conversation import Conversation
from flowgpt_magic.panel.model_choices import LISTING, Choice, Choices
from flowgpt_magic.providers import aliases, registry
from flowgpt_magic.providers.aliases import Alias
from flowgpt_magic.providers.echo import Echo
from tests.openai_servers import background, speaking
from tests.servers import closed_port

GROUP = "openai_compatible"


class Changes:
    """Is told when the list has changed."""

    def __init__(self) -> None:
        self._changed = threading.Condition()

    def __call__(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def wait(self, until: Callable[[], object]) -> None:
        """Wait until something is so; other providers' lists change too."""
        with self._changed:
            assert self._changed.wait_for(until, 20)


@pytest.fixture
def changes() -> Changes:
    return Changes()


@pytest.fixture
def chosen(changes: Changes) -> Iterator[Callable[..., Choices]]:
    def choices(**settings: object) -> Choices:
        conversation = Conversation(configured=lambda: {"model": "echo", **settings})
        return Choices(lambda: conversation, changes)

    return choices


def of(choices: Choices, group: str, *, anew: bool = False) -> list[Choice]:
    return [each for each in choices(anew=anew) if each.group == group]


def test_what_providers_know_is_listed_with_what_is_missing(chosen, monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    listed = list(chosen()())

    assert Choice("echo", "echo:words") in listed
    (compatible,) = [each for each in listed if each.group == GROUP]
    assert (compatible.name, compatible.able) == ("", False)
    assert "OPENAI_API_KEY" in compatible.note
    assert not any(each.able for each in listed if each.group == "flowgpt")  # no server is known to answer


def test_a_server_is_asked_for_its_models_and_they_come_later_and_again_when_they_are_wanted_anew(chosen, changes):
    has = ["llama3.2"]
    with background(speaking(models=has)) as server:
        choices = chosen(openai_base_url=f"{server.url}/v1")
        listing = [Choice(GROUP, "", LISTING, able=False)]
        before = of(choices, GROUP)
        changes.wait(lambda: of(choices, GROUP) != listing)
        after = of(choices, GROUP)
        has.append("qwen2.5:7b")
        of(choices, GROUP)
        asked = len(server.requests)
        of(choices, GROUP, anew=True)
        changes.wait(lambda: of(choices, GROUP) != after)

    assert before in (listing, after)  # the server may answer at once
    assert after == [Choice(GROUP, f"{GROUP}:llama3.2")]
    assert asked == 1
    assert of(choices, GROUP) == [*after, Choice(GROUP, f"{GROUP}:qwen2.5:7b")]


def test_why_a_server_lists_none_is_said(chosen, changes):
    choices = chosen(openai_base_url=f"http://127.0.0.1:{closed_port()}/v1")
    changes.wait(lambda: [each.note for each in of(choices, GROUP)] != [LISTING])  # it may be known at once
    (listed,) = of(choices, GROUP)

    assert not listed.able
    assert "refused" in listed.note


def test_an_alias_is_listed_with_whom_it_asks(chosen):
    aliases.save(Alias("fast", "echo:words"))

    assert of(chosen(), "aliases") == [Choice("aliases", "fast", "echo:words")]


def test_an_alias_without_its_key_cannot_be_chosen(chosen, monkeypatch):
    monkeypatch.delenv("NO_SUCH_KEY", raising=False)
    aliases.save(Alias("gate", "openai_compatible:m", base_url="http://127.0.0.1:9/v1", key_variable="NO_SUCH_KEY"))

    (choice,) = of(chosen(), "aliases")

    assert not choice.able
    assert choice.note.startswith("openai_compatible:m: ")
    assert "NO_SUCH_KEY" in choice.note


def test_a_provider_that_cannot_be_asked_costs_no_other_its_place(chosen, monkeypatch):
    def broken() -> list[str]:
        raise RuntimeError("secret")

    monkeypatch.setattr(Echo, "get_models", broken)
    listed = list(chosen()())

    assert Choice("echo", "", "cannot be asked: RuntimeError", able=False) in listed
    assert {each.group for each in listed} == set(registry.provider_names())

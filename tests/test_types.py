"""The types that a program may rely on: those it sees, and that they are true."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from flowgpt_magic import Conversation
from flowgpt_magic.providers.echo import Echo
from flowgpt_magic.testing.check import STAGES
from tests import typed_uses
from tests.servers import line, replying, serving

REPOSITORY = Path(__file__).parent.parent
WRONG = """
from flowgpt_magic import Conversation, FlowGpt, ask

number: int = ask("hi").text
ask(prompt=3)
Conversation(3)
Conversation().ask("hi", schema=int).data.upper()
FlowGpt.create_async("m", "not messages")
"""


def mypy(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", *arguments],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )


def test_the_uses_are_typed_as_they_say():
    checked = mypy("tests/typed_uses.py")

    assert (checked.stdout, checked.stderr, checked.returncode) == ("", "", 0)


def test_a_wrong_use_is_seen_by_the_checker(tmp_path):
    (tmp_path / "wrong.py").write_text(WRONG)
    checked = mypy(str(tmp_path / "wrong.py"))

    lines = [line.split(":")[1] for line in checked.stdout.splitlines() if ": error:" in line]
    assert sorted(set(lines)) == ["4", "5", "6", "7", "8"]


@pytest.fixture
def chat() -> Conversation:
    conversation = Conversation(configured=lambda: {"model": "echo"})
    assert conversation.ask("first").text == "first"
    return conversation


def test_a_reply_is_read_in_every_way():
    assert typed_uses.ask_and_read() == "echo:words complete"


async def test_also_by_coroutines(chat):
    assert await typed_uses.ask_and_await(chat) in ("4 cancelled", "4 complete")


def test_a_value_is_of_the_type_that_was_asked_for(chat):
    assert typed_uses.ask_for_values(chat) == {"name": "Bern", "people": 135000}


def test_a_conversation_is_changed(chat):
    assert typed_uses.change(chat) == ["first"]


def test_a_conversation_begins_with_what_it_is_asked_with():
    conversation = typed_uses.begin("typed")

    assert (conversation.name, conversation.ask("hi").text) == ("typed", "hi")


async def test_many_are_asked(chat):
    assert await typed_uses.ask_many(chat, ["one", "two"]) == ["one", "two"]


def test_several_models_answer_one_prompt_or_many():
    assert typed_uses.ask_several("one") == {"echo": ["one"], "echo:messages": ["user: one"]}


def test_an_error_is_caught_by_its_kind():
    assert typed_uses.catch("hi") == "failed: echo was told to fail after 0 chunks."


async def test_the_provider_of_flowgpt_is_asked_by_itself():
    async with serving(replying(line("one "), line("two"))) as server:
        assert [chunk async for chunk in typed_uses.ask_flowgpt_async(server.url)] == ["one ", "two"]
        chunks = typed_uses.ask_flowgpt(server.url)
        assert await _in_thread(chunks) == ["one ", "two"]


async def _in_thread(chunks) -> list[str]:
    import asyncio

    return await asyncio.to_thread(list, chunks)


def test_a_provider_of_ones_own_keeps_the_contract():
    assert typed_uses.check_parrot() == [point.__doc__ for stage in STAGES for point in stage]


def test_a_model_is_found():
    assert typed_uses.find() is Echo
    assert typed_uses.version()

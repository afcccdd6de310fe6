"""The state of the magics in one shell."""

from __future__ import annotations

import asyncio

import pytest

from flowgpt_magic.conversation import Conversation
from flowgpt_magic.desk import Desk
from flowgpt_magic.errors import ProviderError
from flowgpt_magic.notebook import NO_CELL
from flowgpt_magic.providers.echo import Echo


@pytest.fixture
def desk() -> Desk:
    return Desk(lambda: {"model": "echo"}, {})


def ask(desk: Desk, prompt: str) -> None:
    str(desk.conversation().ask(prompt, cell=NO_CELL))


def prompts(desk: Desk) -> list[str]:
    return [turn.prompt for turn in desk.conversation().turns]


def test_a_reply_is_shown_and_a_failed_one_fails_the_cell(desk, capsys):
    conversation = desk.conversation()
    good, bad = (conversation.ask(prompt, cell=NO_CELL) for prompt in ("hello there", "two words"))
    bad._source = lambda: Echo.create_async_generator("words", bad.messages, fail_after=1)

    assert desk.show(good, conversation) is good
    with pytest.raises(ProviderError):
        desk.show(bad, conversation)

    shown = capsys.readouterr().out
    assert "hello there\n[echo:words" in shown
    assert "two \n[echo:words" in shown


def test_stop_cancels_what_is_in_flight(desk):
    async def endless():
        yield "word "
        await asyncio.Event().wait()

    conversation = desk.conversation()
    reply = conversation.ask("hi", cell=NO_CELL)
    reply._source = endless
    desk._replies.append(reply)
    reply.open().take()

    assert (desk.stop(), reply.status, desk.stop()) == (1, "cancelled", 0)


def test_another_file_in_the_configuration_is_used_at_once(tmp_path):
    configured = {"model": "echo"}
    desk = Desk(lambda: configured, {})
    ask(desk, "one")

    configured["history"] = str(tmp_path / "history.sqlite3")
    ask(desk, "two")

    assert prompts(desk) == ["two"]
    assert desk.journal.location == str(tmp_path / "history.sqlite3")
    assert desk.journal.flush()
    assert (tmp_path / "history.sqlite3").exists()


def test_closing_the_desk_leaves_a_conversation_in_a_variable_going_on(desk):
    chat = Conversation(configured=lambda: {"model": "echo"})
    ask(desk, "one")

    desk.close()
    str(chat.ask("two", cell=NO_CELL))

    assert [turn.prompt for turn in chat.turns] == ["one", "two"]

"""Asking, and what is remembered of it."""

from __future__ import annotations

import asyncio
import copy
import pickle
import threading
from dataclasses import replace
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowgpt_magic.conversation import LONGEST_NAME, Conversation, asked_before_edit, first_words
from flowgpt_magic.errors import (
    ConversationNameError,
    ConversationNotFoundError,
    ModelNotSupportedError,
    PromptError,
    ProviderError,
    SettingError,
    TurnNotFoundError,
)
from flowgpt_magic.history.current import close_all, current_history
from flowgpt_magic.history.database import History
from flowgpt_magic.history.notebook_history import NotebookHistory
from flowgpt_magic.history.timeline import Timeline
from flowgpt_magic.history.turn_recorder import TurnRecorder
from flowgpt_magic.messages import LeftOut, Sent, Turn, notice
from flowgpt_magic.messages.token_estimate import tokens_in
from flowgpt_magic.notebook.place import NO_CELL, Cell, Place
from flowgpt_magic.prompt.magic_line import words
from flowgpt_magic.providers import aliases
from flowgpt_magic.providers.aliases import Alias
from flowgpt_magic.providers.echo import Echo
from flowgpt_magic.providers.models import find_model
from flowgpt_magic.providers.registry import Target
from flowgpt_magic.replies.reply import Reply
from flowgpt_magic.replies.request import Request, build_messages, turns_to_send
from flowgpt_magic.replies.resolved import Resolved
from flowgpt_magic.settings import load
from tests.openai_servers import background, speaking
from tests.records import conversation_record, notebook_record, turn_record

CONVERSATION = conversation_record(notebook_record())


@pytest.fixture
def conversation() -> Conversation:
    return Conversation(configured=lambda: {"model": "echo"})


def test_a_prompt_is_answered_and_remembered(conversation):
    reply = conversation.ask("one two")

    assert reply.text == "one two"
    (turn,) = conversation.turns
    assert (turn.prompt, turn.text, turn.status) == ("one two", "one two", "complete")
    assert (turn.provider, turn.model, turn.turn_id) == ("echo", "words", reply.turn_id)


def test_nothing_is_asked_or_remembered_before_the_reply_is_read(conversation):
    reply = conversation.ask("one")

    assert (reply.status, conversation.turns) == (None, [])


def test_each_prompt_is_sent_with_the_turns_before_it(conversation):
    assert conversation.ask("one").text == "one"

    second = conversation.ask("two", model="echo:messages")

    assert second.text == "user: one\nassistant: one\nuser: two"
    assert second.messages == [
        {"role": "user", "content": "one"},
        {"role": "assistant", "content": "one"},
        {"role": "user", "content": "two"},
    ]


def test_the_system_prompt_comes_first_and_is_no_turn(conversation):
    reply = conversation.ask("hi", model="echo:messages", system="be brief")

    assert reply.text == "system: be brief\nuser: hi"
    assert [turn.prompt for turn in conversation.turns] == ["hi"]
    assert conversation.ask("again", model="echo:messages").messages[0]["role"] == "user"


def test_a_prompt_stays_exactly_as_it_was_written(conversation):
    prompt = "  {x} ${y} \\n\ttrailing  \n"

    assert conversation.ask(prompt).text == prompt


async def test_a_cancelled_reply_is_remembered_with_its_text(conversation):
    async def stopping_after_a_word():
        yield "one "
        await asyncio.Event().wait()

    reply = conversation.ask("one two three")
    reply._source = stopping_after_a_word
    async for _chunk in reply:
        reply.cancel()

    assert [(turn.prompt, turn.text, turn.status) for turn in conversation.turns] == [
        ("one two three", "one ", "cancelled")
    ]
    assert [message["content"] for message in conversation.ask("go on").messages] == [
        "one two three",
        "one ",
        "go on",
    ]


def test_a_failed_reply_is_remembered_but_without_text_not_sent(conversation):
    broken = conversation.ask("lost")
    broken._source = lambda: Echo.create_async_generator("words", broken.messages, fail_after=0)

    with pytest.raises(ProviderError):
        _ = broken.text

    assert [(turn.prompt, turn.text, turn.status) for turn in conversation.turns] == [("lost", "", "failed")]
    assert conversation.ask("two").messages == [{"role": "user", "content": "two"}]


def test_the_turn_is_remembered_before_a_reader_comes_to_the_end(conversation):
    for prompt in map(str, range(50)):
        for _chunk in (reply := conversation.ask(prompt)):
            pass
        assert conversation.turns[-1].turn_id == reply.turn_id


def test_a_reply_read_twice_is_one_turn(conversation):
    reply = conversation.ask("one")

    assert (reply.text, str(reply), len(conversation.turns)) == ("one", "one", 1)


def test_cleared_turns_are_not_sent(conversation):
    list(conversation.ask("one"))

    conversation.clear()

    assert conversation.turns == []
    assert conversation.ask("two").messages == [{"role": "user", "content": "two"}]


@pytest.mark.parametrize("prompt", ["", "  \n\t"])
def test_an_empty_prompt_is_not_sent(conversation, prompt):
    with pytest.raises(PromptError, match="the prompt is empty"):
        conversation.ask(prompt)


def test_a_prompt_is_text(conversation):
    with pytest.raises(PromptError, match="a prompt is text, or a list of messages with role and content, not int"):
        conversation.ask(42)


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({"temperature": 3}, SettingError, "option: temperature"),
        ({"temprature": 1}, SettingError, "did you mean temperature"),
        ({"model": "echo:wrods"}, ModelNotSupportedError, "did you mean words"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_sent(conversation, options, error, said):
    with pytest.raises(error, match=said):
        conversation.ask("hi", **options)


def test_an_option_goes_before_what_is_configured(conversation):
    assert conversation.settings().model == "echo"
    assert conversation.settings(model=None).model == "echo"
    assert conversation.settings(model="echo:messages").model == "echo:messages"


def test_what_is_configured_is_looked_up_for_each_prompt():
    configured = {"model": "echo"}
    conversation = Conversation(configured=lambda: configured)
    list(conversation.ask("one"))

    configured["model"] = "echo:messages"

    assert conversation.ask("two").model == "messages"


def test_two_conversations_know_nothing_of_each_other():
    one, other = (Conversation(name, configured=lambda: {"model": "echo"}) for name in ("one", "other"))
    list(one.ask("secret"))

    assert other.ask("hi").messages == [{"role": "user", "content": "hi"}]


def test_a_provider_gets_what_it_takes_and_what_was_set():
    class Picky(Echo):
        settings = ("read_timeout",)

    target = Target("picky", Picky, "words")

    assert Resolved(load({"read_timeout": 5}), target).parameters == {"read_timeout": 5.0}
    assert Resolved(load({"read_timeout": 5, "temperature": 0, "proxy": "http://p:1"}), target).parameters == {
        "read_timeout": 5.0,
        "temperature": 0.0,
        "proxy": "http://p:1",
    }
    assert Resolved(load({"pace": 0.5}), find_model("echo")).parameters == {"pace": 0.5}


def test_a_conversation_shows_its_name_and_length(conversation):
    list(conversation.ask("one"))

    assert repr(conversation) == "<Conversation 'main', 1 turn>"


async def failing_after(reply: Reply, text: str):
    yield text
    async for chunk in Echo.create_async_generator("words", reply.messages, fail_after=0):
        yield chunk


def sent(reply: Reply) -> list[str]:
    return [message["content"] for message in reply.messages]


class Counting(Echo):
    """Repeats the prompt, counts how often it was asked, and waits where it is told to."""

    asked: ClassVar[list[str]] = []
    gate: ClassVar[threading.Event | None] = None

    @classmethod
    async def create_async_generator(cls, model, messages, proxy=None, temperature=0.7, **kwargs):
        cls.asked.append(messages[-1]["content"])
        yield f"{len(cls.asked)}: "
        while cls.gate is not None and not cls.gate.is_set():  # noqa: ASYNC110 - the test is in another thread
            await asyncio.sleep(0.001)
        yield messages[-1]["content"]


@pytest.fixture
def counting(monkeypatch) -> type[Counting]:
    target = Target("counting", Counting, "words")
    monkeypatch.setattr("flowgpt_magic.replies.resolved.find_target", lambda _name, _others: target)
    Counting.asked, Counting.gate = [], None
    return Counting


class TestReplay:
    def test_the_same_request_is_answered_from_the_history(self, counting):
        first = Conversation("one").ask("hello", cache=True)
        again = Conversation("two").ask("hello", cache=True)

        assert (first.text, first.replayed) == ("1: hello", False)
        assert (again.text, again.replayed, again.status) == ("1: hello", True, "complete")
        assert Conversation("two").turns[-1].replayed
        assert counting.asked == ["hello"]

    def test_without_the_option_it_is_asked_again(self, counting):
        assert [Conversation(name).ask("hello").text for name in "ab"] == ["1: hello", "2: hello"]

    def test_refresh_asks_again_and_its_answer_is_the_one_replayed_from_then_on(self, counting):
        for name in "ab":
            list(Conversation(name).ask("hello", cache=True, refresh=name == "b"))

        assert Conversation("c").ask("hello", cache=True).text == "2: hello"

    @pytest.mark.parametrize(
        "other", [{"prompt": "hello!"}, {"temperature": 1}, {"system": "be brief"}, {"model": "echo:messages"}]
    )
    def test_another_request_is_asked(self, other):
        conversation = [Conversation(name, configured=lambda: {"model": "echo", "cache": True}) for name in "ab"]
        list(conversation[0].ask("hello"))

        reply = conversation[1].ask(**{"prompt": "hello", **other})

        assert (reply.text != "", reply.replayed) == (True, False)

    @pytest.mark.parametrize("same", [{"pace": 0.001}, {"read_timeout": 5}, {"token": "another"}])
    def test_what_does_not_change_the_answer_does_not_make_another_request(self, same):
        conversation = [Conversation(name, configured=lambda: {"model": "echo", "cache": True}) for name in "ab"]
        list(conversation[0].ask("hello"))
        reply = conversation[1].ask("hello", **same)

        assert (reply.text, reply.replayed) == ("hello", True)

    def test_a_reply_that_was_cancelled_or_failed_is_no_answer(self, counting):
        counting.gate = threading.Event()
        stopped = Conversation("one").ask("hello", cache=True)
        for _chunk in stopped:
            stopped.cancel()
        counting.gate = None

        assert Conversation("two").ask("hello", cache=True).text == "2: hello"

    def test_two_of_the_same_at_once_are_asked_once(self, counting):
        counting.gate = threading.Event()
        first, second = (Conversation(name).ask("hello", cache=True) for name in "ab")
        readers = [first.open(), second.open()]
        assert readers[0].take() == ["1: "]
        assert readers[1].take() == ["1: "]

        counting.gate.set()

        assert [first.text, second.text] == ["1: hello", "1: hello"]
        assert [first.replayed, second.replayed] == [False, True]
        assert counting.asked == ["hello"]

    def test_where_the_first_of_two_is_stopped_the_second_says_so(self, counting):
        counting.gate = threading.Event()
        first, second = (Conversation(name).ask("hello", cache=True) for name in "ab")
        first.open().take()
        second.open().take()

        first.cancel()

        with pytest.raises(ProviderError, match="was stopped: run this cell again"):
            list(second)
        assert second.text_so_far == "1: "

    def test_leaving_the_second_of_two_does_not_stop_the_first(self, counting):
        counting.gate = threading.Event()
        first, second = (Conversation(name).ask("hello", cache=True) for name in "ab")
        first.open().take()
        second.open().take()

        second.cancel()
        counting.gate.set()

        assert (first.text, second.status) == ("1: hello", "cancelled")


class TestCells:
    @pytest.fixture
    def run(self, conversation):
        """Run a cell that asks these prompts; returns what was sent with each."""
        runs = iter(map(str, range(100)))

        def run_cell(cell_id: str, *prompts: str, **how: Any) -> list[list[str]]:
            cell, replies = Cell(cell_id, next(runs)), []
            for prompt in prompts:
                replies.append(conversation.ask(prompt, cell=cell, **how))
                list(replies[-1])
            return [sent(reply) for reply in replies]

        return run_cell

    def prompts(self, conversation: Conversation) -> list[str]:
        return [turn.prompt for turn in conversation.turns]

    def test_a_cell_that_is_run_again_replaces_its_turn_and_sees_those_before_it(self, conversation, run):
        for cell in ("a", "b", "c"):
            run(cell, cell)

        (messages,) = run("b", "other b")

        assert messages == ["a", "a", "other b"]
        assert self.prompts(conversation) == ["a", "other b", "c"]
        assert [turn.prompt for turn in conversation.versions(conversation.turn(2))] == ["b", "other b"]

    def test_a_loop_in_a_cell_is_as_many_turns_and_run_again_it_replaces_them(self, conversation, run):
        run("a", "one", "two", "three")
        run("b", "after")

        messages = run("a", "un", "deux")

        assert messages == [["un"], ["un", "un", "deux"]]
        assert self.prompts(conversation) == ["un", "deux", "after"]

    def test_a_loop_that_has_grown_goes_on_after_the_others(self, conversation, run):
        run("a", "one")
        run("b", "after")

        messages = run("a", "un", "deux")

        assert messages[1] == ["un", "un", "after", "after", "deux"]
        assert self.prompts(conversation) == ["un", "after", "deux"]

    def test_an_appended_turn_is_replaced_by_the_next_run_and_the_one_before_it_stays(self, conversation, run):
        run("a", "one")
        run("a", "two", append=True)

        run("a", "three")

        assert self.prompts(conversation) == ["one", "three"]

    def test_without_history_nothing_is_sent_or_kept(self, conversation, run):
        run("a", "one")

        assert run("a", "two", history=False) == [["two"]]
        assert self.prompts(conversation) == ["one"]

    def test_a_turn_that_is_edited_or_retried_stays_with_its_cell(self, conversation, run):
        run("a", "one")
        list(conversation.edit(1, "edited"))
        list(conversation.retry())

        run("a", "again")

        assert self.prompts(conversation) == ["again"]

    def test_a_failed_reply_does_not_take_the_place_of_a_good_one(self, conversation, run):
        run("a", "one")
        broken = conversation.ask("lost", cell=Cell("a", "later"))
        broken._source = lambda: Echo.create_async_generator("words", broken.messages, fail_after=0)

        with pytest.raises(ProviderError):
            _ = broken.text

        assert self.prompts(conversation) == ["one"]
        assert [turn.status for turn in conversation.versions(conversation.turn(1))] == ["complete", "failed"]

    def test_one_that_failed_after_some_text_does(self, conversation, run):
        run("a", "one")
        broken = conversation.ask("two words", cell=Cell("a", "later"))
        broken._source = lambda: Echo.create_async_generator("words", broken.messages, fail_after=1)

        with pytest.raises(ProviderError):
            _ = broken.text

        assert [(turn.text, turn.status) for turn in conversation.turns] == [("two ", "failed")]
        assert "told to fail" in conversation.turns[0].error

    def test_what_is_tried_again_in_the_same_run_takes_the_same_place(self, conversation, run):
        run("a", "one")
        run("b", "later")
        cell = Cell("a", "again")
        broken = conversation.ask("one", cell=cell)
        broken._source = lambda: Echo.create_async_generator("words", broken.messages, fail_after=0)
        with pytest.raises(ProviderError):
            list(broken)

        list(conversation.ask("one", cell=cell))

        assert self.prompts(conversation) == ["one", "later"]

    def test_in_vs_code_a_restart_and_run_all_rebuilds_the_conversation(self, vs_code):
        first = [("W0sZmlsZQ==", "one"), ("W1sZmlsZQ==", "two"), ("W2sZmlsZQ==", "one")]

        assert vs_code(first, first) == ["one", "two", "one"]

    def test_in_vs_code_a_document_opened_again_rebuilds_it_too(self, vs_code):
        numbered_as_made = [("W0sZmlsZQ==", "one"), ("W7sZmlsZQ==", "two"), ("W3sZmlsZQ==", "three")]
        from_the_top = [("W1sZmlsZQ==", "one"), ("W2sZmlsZQ==", "two"), ("W3sZmlsZQ==", "three")]

        assert vs_code(numbered_as_made, from_the_top) == ["one", "two", "three"]

    def test_in_vs_code_a_number_that_means_another_cell_takes_nobodys_place(self, vs_code):
        assert vs_code([("W1", "one"), ("W2", "two")], [("W1", "new"), ("W2", "one"), ("W3", "two")]) == [
            *("one", "two"),
            "new",
        ]


@pytest.fixture
def vs_code(tmp_path):
    """Runs of a notebook's cells, each in a kernel of its own; returns the prompts that count at the end."""
    place = Place("vscode", "", "a.ipynb", "/home/ada/a.ipynb")

    def run(*kernels: list[tuple[str, str]]) -> list[str]:
        for number, cells in enumerate(kernels):
            notebook_history = NotebookHistory(place, str(tmp_path / "history.sqlite3"))
            notebook_history.__class__ = type("InAKernel", (NotebookHistory,), {"kernel": f"{number} 2 elsewhere"})
            chat = Conversation(configured=lambda: {"model": "echo"}, notebook_history=notebook_history)
            for cell_id, prompt in cells:
                list(chat.ask(prompt, cell=Cell(cell_id, f"{number} {cell_id}")))
            notebook_history.close()
        return [turn.prompt for turn in chat.turns]

    return run


class TestInterruptedAtTheStart:
    def test_a_cancel_while_the_turn_is_begun_ends_it(self, conversation, monkeypatch):
        reply = conversation.ask("one")
        begin_turn = TurnRecorder._begin

        def interrupted(*values: Any) -> Any:
            reply.cancel()  # as a signal's handler does, in the middle of anything
            return begin_turn(*values)

        monkeypatch.setattr(TurnRecorder, "_begin", interrupted)

        assert list(reply) == []
        assert [turn.status for turn in conversation.turns] == ["cancelled"]

    def test_an_interrupt_while_the_turn_is_begun_leaves_nobody_waiting(self, conversation, monkeypatch):
        def interrupted(*_values: Any) -> Any:
            raise KeyboardInterrupt

        monkeypatch.setattr(TurnRecorder, "_begin", interrupted)
        reply = conversation.ask("one")

        with pytest.raises(KeyboardInterrupt):
            list(reply)
        assert (reply.text, reply.status) == ("", "cancelled")


class TestGoingOn:
    def test_one_that_fails_at_once_leaves_the_reply_as_it_was(self, conversation):
        list(conversation.ask("one two"))
        more = conversation.continue_()
        more._source = lambda: failing_after(more, "one two")

        with pytest.raises(ProviderError):
            list(more)

        assert [(turn.text, turn.status) for turn in conversation.turns] == [("one two", "complete")]

    def test_the_reply_goes_on_where_it_stopped(self, conversation):
        list(conversation.ask("one two"))

        more = conversation.continue_()

        assert more.text.startswith("one twoContinue exactly")
        assert sent(more)[:2] == ["one two", "one two"]
        assert [turn.prompt for turn in conversation.turns] == ["one two"]

    def test_with_nothing_to_go_on_with_it_says_so(self, conversation):
        with pytest.raises(TurnNotFoundError, match="there are no turns yet"):
            conversation.continue_()


class TestAskedAgain:
    def test_whom_the_conversation_names_now_is_asked_and_not_the_old_model(self, conversation):
        list(conversation.ask("one", temperature=0.3, system="Be brief."))
        conversation.set(model="echo:messages", temperature=0.9)

        list(conversation.retry())
        (turn,) = conversation.turns
        list(conversation.edit(1, "two"))

        assert (turn.model, turn.parameters["temperature"]) == ("messages", 0.3)
        assert turn.text == "system: Be brief.\nuser: one"
        assert (conversation.turns[0].prompt, conversation.turns[0].model) == ("two", "messages")

    def test_where_nobody_is_named_the_turn_keeps_its_model(self):
        chat = Conversation(configured=dict)
        list(chat.ask("one", model="echo:messages"))

        list(chat.retry())

        assert chat.turns[0].model == "messages"

    def test_a_reply_is_continued_by_the_model_that_began_it(self, conversation):
        list(conversation.ask("one", model="echo:messages"))

        list(conversation.continue_())

        assert conversation.turns[0].model == "messages"

    def test_an_alias_is_asked_at_its_own_address(self):
        with background(speaking("a")) as first, background(speaking("b")) as second:
            for name, server in (("first", first), ("second", second)):
                aliases.save(Alias(name, "openai_compatible:m", base_url=f"{server.url}/v1"))
            chat = Conversation(model="first")
            list(chat.ask("hello"))
            chat.set(model="second")

            list(chat.retry())

        assert (len(first.requests), len(second.requests)) == (1, 1)

    def test_another_provider_gets_the_parameters_that_it_takes(self, conversation):
        list(conversation.ask("one", fail_after=9))
        with background(speaking("fine")) as server:
            conversation.set(model="openai_compatible:m", openai_base_url=f"{server.url}/v1")

            assert conversation.retry().text == "fine"

    def test_the_turns_that_were_asked_before_an_edit_are_known_until_they_are_asked_again(self, conversation):
        for prompt in ("one", "two", "three"):
            list(conversation.ask(prompt, cell=NO_CELL))
        assert asked_before_edit(conversation.turns) == []

        list(conversation.edit(1, "another"))
        assert [turn.prompt for turn in asked_before_edit(conversation.turns)] == ["two", "three"]

        list(conversation.retry(2))
        list(conversation.retry(3))
        assert asked_before_edit(conversation.turns) == []

        conversation.undo()
        assert [turn.prompt for turn in asked_before_edit(conversation.turns)] == ["three"]

    def test_an_earlier_turn_that_is_answered_the_same_again_changes_nothing_for_the_turns_below(self, conversation):
        for prompt in ("one", "two", "three"):
            list(conversation.ask(prompt, cell=NO_CELL))

        list(conversation.retry(1))

        assert conversation.turn(1).started > conversation.turn(3).started
        assert asked_before_edit(conversation.turns) == []

    def test_a_cell_that_runs_again_marks_the_turns_below_only_with_another_text(self, conversation):
        def run(prompt: str, cell: str, number: int) -> None:
            list(conversation.ask(prompt, cell=Cell(cell, f"{cell} {number}")))

        for cell in ("a", "b", "c"):
            run(f"prompt of {cell}", cell, 1)
        for cell in ("a", "b"):  # the cell of the last turn is gone
            run(f"prompt of {cell}", cell, 2)
        assert asked_before_edit(conversation.turns) == []

        run("another prompt", "a", 3)
        assert [turn.cell_id for turn in asked_before_edit(conversation.turns)] == ["b", "c"]
        run("prompt of a", "a", 4)
        assert asked_before_edit(conversation.turns) == []

    def test_after_a_restart_prompts_answered_from_the_history_change_nothing_for_the_turns_below(self, tmp_path):
        place = Place("jupyter", "", "a.ipynb", "/home/ada/a.ipynb")

        def run(cells: str, kernel: str) -> list[Turn]:
            notebook_history = NotebookHistory(place, str(tmp_path / "history.sqlite3"))
            chat = Conversation(configured=lambda: {"model": "echo", "cache": True}, notebook_history=notebook_history)
            for cell in cells:
                list(chat.ask(f"prompt of {cell}", cell=Cell(cell, f"{kernel} {cell}")))
            turns = chat.turns
            notebook_history.close()
            return turns

        run("abcd", "first")
        turns = run("abc", "second")

        assert [turn.replayed for turn in turns] == [True, True, True, False]
        assert turns[0].started > turns[3].started
        assert asked_before_edit(turns) == []

    def test_a_version_that_is_chosen_again_marks_the_turns_that_were_asked_with_another_one(self, conversation):
        for prompt in ("one", "two"):
            list(conversation.ask(prompt, cell=NO_CELL))
        list(conversation.edit(1, "another"))
        list(conversation.retry(2))
        assert asked_before_edit(conversation.turns) == []

        conversation.choose(1, 1)
        assert [turn.prompt for turn in asked_before_edit(conversation.turns)] == ["two"]
        conversation.choose(2, 1)  # which was asked with that version
        assert asked_before_edit(conversation.turns) == []

    def test_a_branch_has_the_marks_of_its_turns(self, conversation):
        for prompt in ("one", "two"):
            list(conversation.ask(prompt, cell=NO_CELL))
        list(conversation.retry(1))
        assert asked_before_edit(conversation.branch("same").turns) == []

        list(conversation.edit(1, "another"))
        branch = conversation.branch("other")
        assert [turn.prompt for turn in asked_before_edit(branch.turns)] == ["two"]
        list(branch.retry(2))
        assert asked_before_edit(branch.turns) == []

    def test_the_turns_below_a_reply_that_arrives_again_are_not_marked_before_its_end(self, conversation):
        for prompt in ("one", "two"):
            list(conversation.ask(prompt, cell=NO_CELL))
        list(conversation.retry(1))
        first, second = conversation.turns

        assert asked_before_edit([replace(first, text="o", status="streaming"), second]) == []
        assert asked_before_edit([replace(first, text="o", status="cancelled"), second]) == [second]

    def test_turns_that_do_not_know_what_was_above_them_are_marked_by_their_times(self, conversation):
        for prompt in ("one", "two"):
            list(conversation.ask(prompt, cell=NO_CELL))
        list(conversation.retry(1))

        turns = [replace(turn, sent=Sent()) for turn in conversation.turns]
        assert asked_before_edit(turns) == [turns[1]]


class TestNamedByItsFirstPrompt:
    @staticmethod
    def chat() -> Conversation:
        chat = Conversation(current_history().generated_name(), configured=lambda: {"model": "echo"})
        chat.begin_anew()
        chat.name_by_first_prompt()
        return chat

    def test_only_the_first_prompt_names_it(self):
        chat = self.chat()
        assert chat.name == "chat 2"

        list(chat.ask("Why is the sky blue?"))
        list(chat.ask("And the sea?"))

        assert chat.name == "Why is the sky blue"
        assert current_history().names() == ["Why is the sky blue"]

    def test_a_name_is_given_once(self):
        for _time in range(2):
            list(self.chat().ask("hello there"))

        assert current_history().names() == ["hello there", "hello there (2)"]

    def test_a_name_that_somebody_gave_stays(self):
        chat = self.chat()
        chat.rename("mine")

        list(chat.ask("hello"))

        assert chat.name == "mine"

    @pytest.mark.parametrize(
        ("prompt", "name"),
        [
            ("Describe {frame} and `plot` it, please!", "Describe frame and plot it, please"),
            ('what\'s "new"?\nsecond line', "what\u2019s new ? second line"),
            ("???", ""),
            ("word " * 30, "word word word word word word word word"),
            ("x" * 90, "x" * 40),
        ],
    )
    def test_it_consists_of_the_first_words(self, prompt, name):
        assert first_words(prompt) == name

    @given(st.text())
    def test_a_name_is_short_and_can_be_typed_after_use(self, prompt):
        name = first_words(prompt)

        assert len(name) <= LONGEST_NAME
        assert name == name.strip()
        assert " ".join(words(name)) == name


class TestWhatIsLeftOut:
    def test_the_oldest_turns_go_whole_and_the_reply_says_how_many_messages(self, conversation):
        for letter in "abc":
            list(conversation.ask(letter * 40))

        reply = conversation.ask("last", history_tokens=45)

        assert sent(reply) == ["b" * 40, "b" * 40, "c" * 40, "c" * 40, "last"]
        assert (reply.left_out, reply.notices) == (2, ["1 older turn left out: history_tokens = 45"])
        assert (reply.text, conversation.turns[-1].left_out) == ("last", 2)

    @given(lengths=st.lists(st.integers(1, 200), max_size=12), limit=st.integers(1, 300))
    def test_what_is_sent_is_the_longest_end_that_fits_with_the_system_prompt(self, lengths, limit):
        turns = [turn_record(CONVERSATION, prompt="p", text="x" * length) for length in lengths]

        chosen = load({"history_tokens": limit, "system": "be brief"})
        sent, left_out = turns_to_send(chosen, turns)
        messages = build_messages(Request("prompt", Resolved(chosen, find_model("echo"))), sent)

        texts = [message["content"] for message in messages]
        kept = (len(texts) - 2) // 2
        assert (texts[0], texts[-1]) == ("be brief", "prompt")
        assert left_out == len(turns) - kept
        assert [len(text) for text in texts[2:-1:2]] == lengths[len(lengths) - kept :]
        tokens = [tokens_in("p") + tokens_in("x" * length) for length in lengths]
        assert sum(tokens[len(lengths) - kept :]) <= limit
        assert kept == len(turns) or sum(tokens[len(lengths) - kept - 1 :]) > limit

    def test_turns_that_fill_the_limit_to_the_last_token_are_sent(self):
        turns = [turn_record(CONVERSATION, prompt="p", text="x" * 40) for _ in range(3)]

        assert turns_to_send(load({"history_tokens": 2 * turns[0].tokens}), turns) == (turns[1:], 1)
        assert turns_to_send(load({"history_tokens": 2 * turns[0].tokens - 1}), turns) == (turns[2:], 2)

    def test_of_chinese_as_many_tokens_are_sent_as_of_english(self, conversation):
        for _ in range(3):
            list(conversation.ask("好" * 40))

        assert len(sent(conversation.ask("last", history_tokens=170))) == 2 * 2 + 1

    def test_what_the_provider_left_out_is_counted_too(self, conversation):
        async def shortening():
            notice(LeftOut(4, "the model sees 256 tokens"))
            yield "short"

        reply = conversation.ask("hi")
        reply._source = shortening

        assert (reply.text, reply.left_out, conversation.turns[-1].left_out) == ("short", 4, 4)

    def test_what_the_provider_left_out_comes_on_top_of_what_was_not_sent(self, conversation):
        async def shortening():
            notice(LeftOut(4, "the model sees 256 tokens"))
            yield "short"

        for letter in "abc":
            list(conversation.ask(letter * 40))
        reply = conversation.ask("last", history_tokens=45)
        reply._source = shortening

        assert (reply.text, reply.left_out, conversation.turns[-1].left_out) == ("short", 6, 6)


class TestSettingsOfItsOwn:
    def test_they_stand_between_an_option_and_what_is_configured(self, conversation):
        conversation.set(model="echo:messages", system="be kind", temperature=1)

        assert conversation.settings().model == "echo:messages"
        assert conversation.settings(model="echo").model == "echo"
        assert (conversation.settings().system, conversation.settings().temperature) == ("be kind", 1.0)
        conversation.set(model=None, temperature=None)
        assert (conversation.settings().model, conversation.settings().temperature) == ("echo", None)

    def test_a_bad_value_is_refused(self, conversation):
        with pytest.raises(SettingError, match="this conversation: temperature"):
            conversation.set(temperature=3)

    def test_another_one_of_the_same_name_has_them_too(self, conversation):
        conversation.set(system="be kind")

        assert Conversation().settings().system == "be kind"
        assert Conversation("other").settings().system == ""


class TestNames:
    @pytest.mark.parametrize("name", ["naïve", "a b", "'\";--", "☃", "../..", "%s{x}", "a\nb", "\ud83d", "x" * 5000])
    def test_any_characters_do(self, name):
        chat = Conversation(name, configured=lambda: {"model": "echo"})
        list(chat.ask("hi"))

        close_all()
        assert Conversation(name).name == name

    @pytest.mark.parametrize("name", ["", "  ", None, 5])
    def test_a_name_is_needed(self, name):
        with pytest.raises(ConversationNameError, match="needs a name"):
            Conversation(name)

    def test_a_renamed_conversation_keeps_its_turns_and_its_old_name_is_free(self, conversation):
        list(conversation.ask("one"))

        conversation.rename("other")

        assert [turn.prompt for turn in Conversation("other").turns] == ["one"]
        assert Conversation("main").turns == []

    def test_a_name_that_is_taken_is_refused(self, conversation):
        list(conversation.ask("one"))
        other = Conversation("other", configured=lambda: {"model": "echo"})
        list(other.ask("one"))

        with pytest.raises(ConversationNameError, match="there is already a conversation 'main'"):
            other.rename("main")

    def test_a_removed_conversation_leaves_the_list_and_its_name(self, conversation):
        list(conversation.ask("one"))

        conversation.remove()

        assert current_history().names() == []
        assert Conversation("main").turns == []


class TestBranching:
    def test_a_branch_begins_with_the_turns_so_far_and_the_two_go_their_ways(self, conversation):
        for prompt in ("one", "two", "three"):
            list(conversation.ask(prompt))

        branch = conversation.branch("idea", 2)
        list(branch.ask("other"))

        assert [turn.prompt for turn in branch.turns] == ["one", "two", "other"]
        assert [turn.prompt for turn in conversation.turns] == ["one", "two", "three"]

    def test_branching_again_sets_the_earlier_branch_aside(self, conversation):
        list(conversation.ask("one"))
        list(conversation.branch("idea").ask("old"))

        branch = conversation.branch("idea")

        assert [turn.prompt for turn in branch.turns] == ["one"]
        assert branch.undo() == "branch"
        assert [turn.prompt for turn in branch.turns] == ["one", "old"]

    def test_a_branch_needs_a_name_of_its_own(self, conversation):
        with pytest.raises(ConversationNameError, match="give the branch another name"):
            conversation.branch("main")

    def test_a_branch_is_asked_with_what_its_origin_is(self, conversation):
        conversation.set(system="be kind")

        assert conversation.branch("idea").settings().system == "be kind"

    def test_what_still_streams_is_not_taken_along(self, conversation):
        list(conversation.ask("one"))
        reply = conversation.ask("two three", pace=3600)
        reply.open()

        branch = conversation.branch("idea")
        reply.cancel()

        assert [turn.prompt for turn in branch.turns] == ["one"]


class TestWhereItIsKept:
    def test_a_removed_conversation_is_not_asked(self, conversation):
        list(conversation.ask("one"))
        conversation.remove()

        with pytest.raises(ConversationNotFoundError, match="was removed"):
            conversation.ask("two")

    def test_history_is_no_place_for_one_prompt(self, conversation):
        with pytest.raises(SettingError, match="True or False for one prompt"):
            conversation.ask("secret", history="off")

    def test_with_the_history_turned_off_a_conversation_in_a_variable_is_not_kept_either(self, tmp_path, monkeypatch):
        path = tmp_path / "history.sqlite3"
        monkeypatch.setenv("FLOWGPT_HISTORY", str(path))
        chat = Conversation(configured=lambda: {"model": "echo"})
        list(chat.ask("known"))

        monkeypatch.setenv("FLOWGPT_HISTORY", "OFF")
        list(chat.ask("classified"))
        close_all()

        assert b"known" in path.read_bytes()
        assert b"classified" not in path.read_bytes()

    def test_only_live_turns_are_read_and_an_undo_reads_the_rest(self, tmp_path, monkeypatch):
        monkeypatch.setenv("FLOWGPT_HISTORY", str(tmp_path / "history.sqlite3"))
        chat = Conversation(configured=lambda: {"model": "echo"})
        list(chat.ask("one"))
        list(chat.edit(1, "other one"))
        record = chat.record
        close_all()

        history = History(tmp_path / "history.sqlite3")
        kept = Timeline(
            record.conversation_id,
            history.turns(record.conversation_id),
            history.changes(record.conversation_id),
            history.newest_versions(record.conversation_id),
        )
        needed = kept.missing_turns()
        for turn in history.turns_by_id(needed):
            kept.update(turn)
        kept.undo()
        history.close()

        assert len(needed) == 1
        assert [turn.prompt for turn in kept.live] == ["one"]


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda chat: pickle.loads(pickle.dumps(chat))])
def test_a_copy_of_a_conversation_has_its_name_settings_parameters_and_turns(copied):
    chat = Conversation("copied", params={"pace": 0}, model="echo", temperature=0.5)
    assert chat.ask("one").text == "one"

    other = copied(chat)

    assert (other.name, other.settings().model, other.settings().temperature) == ("copied", "echo", 0.5)
    assert [turn.prompt for turn in other.turns] == ["one"]
    assert other._params == {"pace": 0}
    assert other._params is not chat._params
    assert other.ask("two").text == "two"
    assert [turn.prompt for turn in chat.turns] == ["one", "two"]


def test_a_pickled_conversation_holds_no_key():
    chat = Conversation("pickled", token="hunter2-hunter2")

    assert b"hunter2" not in pickle.dumps(chat)

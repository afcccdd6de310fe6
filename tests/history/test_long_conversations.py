"""A long conversation costs what a short one does: its oldest turns are in the file alone until somebody wants them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from flowgpt_magic.conversation import Conversation
from flowgpt_magic.errors import HistoryFileError, NothingToUndoError, ProviderError, TurnNotFoundError
from flowgpt_magic.history import conversation_state as kept
from flowgpt_magic.history import timeline
from flowgpt_magic.history.notebook_history import NotebookHistory
from flowgpt_magic.history.records import MEMORY, OFF
from flowgpt_magic.messages import Turn
from flowgpt_magic.notebook.place import NO_CELL, Cell, Place
from flowgpt_magic.providers import aliases
from flowgpt_magic.providers.aliases import Alias
from flowgpt_magic.replies.reply import Reply

Open = Callable[..., Conversation]


@pytest.fixture
def opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Open]:
    """Opens the conversation of a notebook, of which three turns stay in memory."""
    monkeypatch.setattr(kept, "TURNS_IN_MEMORY", 3)
    monkeypatch.setattr(timeline, "CHANGES_IN_MEMORY", 5)
    histories: list[NotebookHistory] = []

    def open_conversation(location: str = "", kind: str = "jupyter", tokens: int = 1) -> Conversation:
        place = Place(kind, "", "a notebook", "/a.ipynb")
        histories.append(NotebookHistory(place, location or str(tmp_path / "history.sqlite3")))
        return Conversation(
            configured=lambda: {"model": "echo", "history_tokens": tokens}, notebook_history=histories[-1]
        )

    yield open_conversation
    for notebook_history in histories:
        notebook_history.close()


def ask(conversation: Conversation, count: int, *, cells: bool = True) -> None:
    """Ask so many prompts, each in a cell of its own, each when the one before is in the file."""
    begin = conversation._timeline.count
    for number in range(begin, begin + count):
        cell = Cell(f"cell {number}", f"run {number}") if cells else NO_CELL
        assert conversation.ask(f"prompt {number}", cell=cell).text
        conversation._notebook_history.flush()


def read(reply: Reply) -> None:
    assert reply.text


def prompts(turns: list[Turn]) -> list[str]:
    return [turn.prompt for turn in turns]


def in_memory(conversation: Conversation) -> int:
    """The entries that the conversation's turns have in memory."""
    line = conversation._timeline
    assert len(line._turns) == len(line._at) == len(line._newest)
    return len(line._turns) + len(line._changes)


def calls(action: Callable[[], Any]) -> int:
    """How many functions of Python ``action`` calls."""
    count = 0

    def called(_frame: Any, event: str, _argument: Any) -> None:
        nonlocal count
        count += event == "call"

    sys.setprofile(called)
    try:
        action()
    finally:
        sys.setprofile(None)
    return count


def test_what_is_kept_in_memory_and_done_for_a_turn_does_not_grow_with_the_conversation(opened):
    conversation = opened()
    ask(conversation, 20)
    memory = in_memory(conversation)
    work = calls(lambda: conversation.ask("short", cell=Cell("short", "")))

    ask(conversation, 100)

    assert memory < 24
    assert in_memory(conversation) < 24
    assert len(conversation._state.runs) <= kept.CELLS_REMEMBERED
    assert calls(lambda: conversation.ask("long", cell=Cell("long", ""))) <= work * 1.1
    assert repr(conversation) == "<Conversation 'main', 120 turns>"


def test_all_turns_are_there_for_whoever_looks(opened):
    conversation = opened()
    ask(conversation, 20)
    assert in_memory(conversation) < 24

    turns = conversation.turns

    assert prompts(turns) == [f"prompt {number}" for number in range(20)]
    assert all(turn.text == turn.prompt for turn in turns)
    assert conversation.turns == turns


@pytest.mark.parametrize(("number", "prompt"), [(1, 0), (5, 4), (-20, 0), (-1, 19), (20, 19), (-3, 17)])
def test_a_turn_is_found_by_its_number(opened, number, prompt):
    conversation = opened()
    ask(conversation, 20)

    assert conversation.turn(number).prompt == f"prompt {prompt}"


@pytest.mark.parametrize("number", [0, 21, -21])
def test_a_number_too_large_is_refused_without_a_look_at_the_file(opened, number):
    conversation = opened()
    ask(conversation, 20)

    with pytest.raises(TurnNotFoundError, match="no turn"):
        conversation.turn(number)
    assert in_memory(conversation) < 24


def test_the_newest_turns_are_at_hand(opened):
    conversation = opened()
    ask(conversation, 20)

    conversation.turn(-1)
    read(conversation.retry())

    assert not conversation._timeline.is_loaded


@pytest.mark.parametrize("kind", ["jupyter", "vscode"])
def test_a_cell_that_is_run_again_takes_the_place_of_its_old_turn(opened, kind):
    conversation = opened(kind=kind)
    ask(conversation, 20)

    read(conversation.ask("again", cell=Cell("cell 2", "another run")))

    expected = [f"prompt {number}" for number in range(20)]
    assert prompts(conversation.turns) == [*expected[:2], "again", *expected[3:]]
    assert [each.version for each in conversation.versions(conversation.turn(3))] == [1, 2]


def test_a_cell_that_asks_many_prompts_goes_on_behind_them(opened):
    conversation = opened()
    for run in ("first", "second"):
        for number in range(30):
            read(conversation.ask(f"{run} {number}", cell=Cell("cell", run)))
            conversation._notebook_history.flush()

    assert prompts(conversation.turns) == [f"second {number}" for number in range(30)]


def test_how_many_turns_are_left_out_is_told(opened):
    conversation = opened()
    ask(conversation, 20)
    assert not conversation._timeline.is_loaded

    reply = conversation.ask("next", cell=NO_CELL)

    assert reply.left_out == 40
    assert [message["content"] for message in reply.messages] == ["next"]


def test_who_wants_all_turns_sent_has_them_sent(opened):
    conversation = opened()
    ask(conversation, 20)

    reply = conversation.ask("next", cell=NO_CELL, history_tokens=0)

    assert len(reply.messages) == 41
    assert reply.left_out == 0


def test_with_all_turns_sent_none_is_set_aside(opened):
    conversation = opened(tokens=0)
    ask(conversation, 20)

    assert conversation._timeline.is_loaded


def test_an_edit_of_an_old_turn_sends_what_is_before_it(opened):
    conversation = opened()
    ask(conversation, 20)

    reply = conversation.edit(3, "another", history_tokens=0)

    assert [message["content"] for message in reply.messages] == [*["prompt 0"] * 2, *["prompt 1"] * 2, "another"]


def test_every_change_can_be_undone_and_made_again(opened):
    conversation = opened()
    ask(conversation, 20, cells=False)

    for left in reversed(range(20)):
        conversation.undo()
        assert len(conversation.turns) == left
    with pytest.raises(NothingToUndoError):
        conversation.undo()
    for count in range(1, 21):
        conversation.redo()
        assert len(conversation.turns) == count


def test_a_new_turn_after_many_were_undone_has_a_number_of_its_own(opened):
    conversation = opened()
    ask(conversation, 20, cells=False)
    for _change in range(5):
        conversation.undo()

    read(conversation.ask("new", cell=NO_CELL))
    conversation.undo()

    assert prompts(conversation.turns) == [f"prompt {number}" for number in range(15)]


def test_what_was_cleared_comes_back(opened):
    conversation = opened()
    ask(conversation, 20)

    assert conversation.clear() == 20
    assert conversation.turns == []
    conversation.undo()

    assert len(conversation.turns) == 20
    assert all(
        turn.live
        for turn in conversation._notebook_history.read(lambda history: history.turns(turn_of(conversation)), ())
    )


def turn_of(conversation: Conversation) -> str:
    return conversation.record.conversation_id


def test_a_branch_has_all_turns(opened):
    conversation = opened()
    ask(conversation, 20)

    assert len(conversation.branch("other").turns) == 20


def test_the_next_kernel_finds_the_same_conversation(opened):
    conversation = opened()
    ask(conversation, 20)
    read(conversation.ask("again", cell=Cell("cell 2", "another run")))
    before = prompts(conversation.turns)
    conversation._notebook_history.close()

    assert prompts(opened().turns) == before


@pytest.mark.parametrize("location", [OFF, MEMORY])
def test_without_a_file_all_turns_stay_in_memory(opened, location):
    conversation = opened(location)
    ask(conversation, 20)

    assert conversation._timeline.is_loaded
    assert len(conversation.turns) == 20


def test_while_somebody_watches_all_turns_stay_in_memory(opened):
    conversation = opened()
    conversation._notebook_history.listeners.append(lambda _kept: None)
    ask(conversation, 20)

    assert conversation._timeline.is_loaded


def test_a_turn_that_is_not_in_the_file_yet_stays_in_memory(opened):
    conversation = opened()
    ask(conversation, 5)
    not_yet: Future[None] = Future()
    for _turn in range(20):
        conversation._state.unload(lambda: not_yet, lambda _turn: True)

    assert conversation._timeline.is_loaded


def test_a_turn_that_has_changed_since_it_was_saved_stays_in_memory(opened):
    conversation = opened(tokens=0)
    ask(conversation, 8)
    saved: Future[None] = Future()
    conversation._state.sent = 0
    conversation._state.unload(lambda: saved, lambda _turn: True)

    read(conversation.retry(1))
    saved.set_result(None)
    conversation._state.sent = 0
    conversation._state.unload(Future, lambda _turn: True)

    assert conversation._timeline.is_loaded


def test_where_the_file_cannot_be_read_it_says_so_and_new_prompts_are_asked(opened, monkeypatch):
    conversation = opened()
    ask(conversation, 20)

    def unreadable(*_question: Any) -> None:
        raise HistoryFileError("the disk is gone")

    monkeypatch.setattr(conversation._notebook_history._writer, "read", unreadable)

    with pytest.raises(HistoryFileError, match="the disk is gone"):
        conversation.turns  # noqa: B018
    assert conversation.ask("next", cell=NO_CELL).text == "next"


def test_a_comparison_whose_replies_end_before_others_begin_keeps_its_turns_in_memory(opened):
    for tenths, name in enumerate(["down", "off"]):
        aliases.save(Alias(name, "echo:words", temperature=tenths / 10, params={"fail_after": 0}))
    conversation = opened()
    ask(conversation, 12)
    comparison = conversation.compare("again", ["down", "off", "echo"], cell=Cell("cell 0", "second run"))

    for reply, following in pairwise(comparison):
        following._recorder = LateRecorder(following._recorder, after=lambda reply=reply: ended(reply, conversation))

    assert comparison[2].text == "again"
    assert comparison.live == 3
    assert prompts(conversation.turns)[0] == "again"


class LateRecorder:
    """Begins a turn after something else."""

    def __init__(self, recorder: Any, after: Callable[[], None]) -> None:
        self._recorder, self._after = recorder, after

    def __getattr__(self, name: str) -> Any:
        return getattr(self._recorder, name)

    def begin(self, reply: Reply) -> None:
        self._after()
        self._recorder.begin(reply)


def ended(reply: Reply, conversation: Conversation) -> None:
    """Wait until ``reply`` has failed and is in the file."""
    with suppress(ProviderError):
        list(reply)
    assert conversation._notebook_history.flush()

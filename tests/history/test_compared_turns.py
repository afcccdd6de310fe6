"""The replies of several models to one prompt: versions of one turn, of which one is live."""

from __future__ import annotations

from contextlib import suppress

import pytest

from flowgpt_magic.conversation import Conversation
from flowgpt_magic.errors import ComparisonError, NothingToUndoError
from flowgpt_magic.history.notebook_history import NotebookHistory
from flowgpt_magic.notebook.place import Cell, place_of
from flowgpt_magic.providers import aliases
from flowgpt_magic.providers.aliases import Alias
from flowgpt_magic.replies.comparison import Comparison

FIRST_RUN, SECOND_RUN = Cell("cell-1", "run-1", 1), Cell("cell-1", "run-2", 2)


@pytest.fixture
def conversation() -> Conversation:
    """A conversation, and the alias ``broken`` of a model that fails before its first word."""
    aliases.save(Alias("broken", "echo:words", params={"fail_after": 0}))
    aliases.save(Alias("breaking", "echo:words", params={"fail_after": 1}))
    return Conversation(configured=lambda: {"model": "echo"})


def compared(conversation: Conversation, prompt: str, *models: str, cell: Cell | None = None) -> Comparison:
    """A comparison whose replies have ended."""
    comparison = conversation.compare(prompt, models, cell=cell)
    with suppress(ComparisonError):
        comparison.read()
    return comparison


def states(conversation: Conversation, number: int = -1) -> list[tuple[int, str, bool]]:
    """Column, text and liveness of the versions of a turn."""
    versions = conversation.versions(conversation.turn(number))
    return [(turn.sent.column, turn.text, turn.live) for turn in versions]


def test_the_replies_are_versions_of_one_turn_and_the_first_is_live(conversation):
    compared(conversation, "one", "echo", "echo:messages")

    assert len(conversation.turns) == 1
    assert states(conversation) == [(1, "one", True), (2, "user: one", False)]


def test_the_next_prompt_is_sent_with_the_live_one_only(conversation):
    comparison = compared(conversation, "one", "echo:messages", "echo")

    comparison.keep(2)

    assert [message["content"] for message in conversation.ask("two").messages] == ["one", "one", "two"]


def test_undo_takes_a_choice_back_and_then_the_comparison(conversation):
    comparison = compared(conversation, "one", "echo", "echo:messages")
    comparison.keep("echo:messages")
    assert comparison.live == 2

    assert conversation.undo() == "choose"
    assert comparison.live == 1
    assert conversation.undo() == "ask"
    assert (comparison.live, conversation.turns) == (0, [])
    with pytest.raises(NothingToUndoError):
        conversation.undo()
    conversation.redo()
    assert comparison.live == 1


def test_a_cell_that_is_run_again_replaces_its_turn(conversation):
    first = compared(conversation, "one", "echo", "echo:messages", cell=FIRST_RUN)
    first.keep(2)

    second = compared(conversation, "two", "echo", "echo:messages", cell=SECOND_RUN)

    assert [turn.prompt for turn in conversation.turns] == ["two"]
    (turn,) = conversation.turns
    assert len(conversation.versions(turn)) == 4
    assert [version.version for version in conversation.compared(turn)] == [3, 4]
    assert second.live == 1
    conversation.undo()
    assert [turn.text for turn in conversation.turns] == ["user: one"]


def test_another_model_is_live_where_the_first_has_failed(conversation):
    comparison = compared(conversation, "one two", "breaking", "broken", "echo")

    assert comparison.live == 3
    assert states(conversation) == [(1, "one ", False), (2, "", False), (3, "one two", True)]
    assert conversation.undo() == "ask"
    assert conversation.turns == []


def test_the_first_with_a_text_is_live_where_none_is_complete(conversation):
    aliases.save(Alias("stopped", "echo:words", params={"fail_after": 1}, temperature=0.1))

    assert compared(conversation, "one two", "broken", "breaking", "stopped").live == 2


def test_the_place_goes_back_to_the_earlier_turn_where_all_have_failed(conversation):
    aliases.save(Alias("down", "echo:words", params={"fail_after": 0}, temperature=0.1))
    compared(conversation, "one", "echo", "echo:messages", cell=FIRST_RUN)

    comparison = compared(conversation, "two", "broken", "down", cell=SECOND_RUN)

    with pytest.raises(ComparisonError, match=r"all 2 models have failed\. broken: echo was told to fail"):
        comparison.raise_error()
    assert [turn.prompt for turn in conversation.turns] == ["one"]
    assert len(conversation.versions(conversation.turn(1))) == 4


def test_a_reply_that_the_user_has_chosen_meanwhile_stays_live(conversation):
    aliases.save(Alias("slow", "echo:words", params={"pace": 30}))
    comparison = conversation.compare("one", ["slow", "echo"])
    assert comparison[1].text == "one"
    assert comparison.live == 1

    comparison.keep(2)
    comparison.cancel()

    assert comparison.live == 2


def test_a_reply_that_was_stopped_before_it_was_sent_leaves_the_others(conversation):
    comparison = conversation.compare("one", ["echo", "echo:messages"])
    comparison[0].cancel()

    assert comparison[1].text == "user: one"
    assert comparison.live == 2


def test_another_process_reads_which_columns_there_were(tmp_path):
    for number in range(2):
        location = str(tmp_path / "history.sqlite3")
        notebook_history = NotebookHistory(place_of(str(tmp_path / "a.ipynb")), location)
        conversation = Conversation(configured=lambda: {"model": "echo"}, notebook_history=notebook_history)
        if not number:
            compared(conversation, "one", "echo", "echo:messages").keep(2)
        assert states(conversation) == [(1, "one", False), (2, "user: one", True)]
        assert [turn.sent.column for turn in conversation.compared(conversation.turn(1))] == [1, 2]
        notebook_history.close()

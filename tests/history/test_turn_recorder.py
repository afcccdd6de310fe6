"""A turn is saved when its reply begins, while it arrives, and when it ends."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from flowgpt_magic import Conversation
from flowgpt_magic.history.notebook_history import NotebookHistory
from flowgpt_magic.messages import Turn
from flowgpt_magic.notebook.place import Cell, Place

CELL = Cell("cell", "first run")
AGAIN = Cell("cell", "second run")


@pytest.fixture
def history() -> Iterator[NotebookHistory]:
    history = NotebookHistory(Place("jupyter", "", "a notebook", "/a.ipynb"), ":memory:")
    yield history
    history.close()


def ask(history: NotebookHistory, prompt: str, cell: Cell = CELL, **options: Any) -> Any:
    conversation = Conversation(configured=lambda: {"model": "echo"}, notebook_history=history)
    return conversation.ask(prompt, cell=cell, params=options)


def saved(history: NotebookHistory) -> list[Turn]:
    """All saved turns, by place and version."""
    record = history.load("main").record
    return list(history.read(lambda file: file.turns(record.conversation_id, live_only=False), ()))


def facts(turn: Turn) -> tuple[int, int, bool, str, str]:
    return turn.place, turn.version, turn.live, turn.status, turn.text


def test_a_reply_that_nobody_reads_has_no_turn(history):
    ask(history, "one")

    assert saved(history) == []


def test_a_turn_streams_until_its_reply_has_ended(history):
    statuses: list[str] = []
    history.listeners.append(lambda state: statuses.extend(turn.status for turn in state.timeline.live))
    list(ask(history, "one two"))

    (after,) = saved(history)
    assert (statuses[0], statuses[-1]) == ("streaming", "complete")
    assert facts(after) == (1, 1, True, "complete", "one two")
    assert after.ended is not None
    assert after.ended >= after.started
    assert (after.cell_id, after.run, after.prompt) == ("cell", "first run", "one two")


def test_a_cell_that_is_run_again_makes_another_version(history):
    list(ask(history, "one"))
    list(ask(history, "two", AGAIN))

    assert [facts(turn) for turn in saved(history)] == [
        (1, 1, False, "complete", "one"),
        (1, 2, True, "complete", "two"),
    ]


def test_an_empty_reply_that_fails_gives_the_place_back(history):
    list(ask(history, "one"))
    with pytest.raises(Exception, match="echo"):
        list(ask(history, "two", AGAIN, fail_after=0))
    list(ask(history, "three", AGAIN))

    assert [facts(turn) for turn in saved(history)] == [
        (1, 1, False, "complete", "one"),
        (1, 2, False, "failed", ""),
        (1, 3, True, "complete", "three"),
    ]


def test_a_reply_that_fails_after_some_text_keeps_the_place_and_the_text(history):
    list(ask(history, "one"))
    with pytest.raises(Exception, match="echo"):
        list(ask(history, "two words", AGAIN, fail_after=1))

    first, second = saved(history)
    assert (first.live, second.live, second.status) == (False, True, "failed")
    assert second.text.strip() == "two"
    assert "echo" in second.error

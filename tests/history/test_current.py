"""The histories that a process has open: one for each location, the last one in use."""

from __future__ import annotations

from pathlib import Path
from unittest.mock import Mock

import pytest

from flowgpt_magic import Conversation, settings
from flowgpt_magic.errors import FlowGptWarning
from flowgpt_magic.history import current
from flowgpt_magic.history.current import (
    HOMELESS,
    close_all,
    current_history,
    flush_all,
    location_of,
    streaming_replies,
)


def test_a_location_is_opened_once(tmp_path: Path):
    first = current_history()
    other = current_history(str(tmp_path / "history.sqlite3"))

    assert other is not first
    assert other is current_history(str(tmp_path / "history.sqlite3"))
    assert current_history() is first  # of the settings


def test_a_conversation_in_a_variable_keeps_its_history(tmp_path: Path):
    conversation = Conversation(notebook_history=current_history())
    other = current_history(str(tmp_path / "other.sqlite3"))

    list(conversation.ask("one", model="echo"))

    assert other.load("main").live() == []
    assert [turn.prompt for turn in current_history(":memory:").load("main").live()] == ["one"]


def test_a_history_that_is_no_longer_in_use_tells_its_listeners(tmp_path: Path):
    first, changes = current_history(), []
    first.listeners.append(changes.append)

    current_history()
    assert changes == []
    current_history(str(tmp_path / "other.sqlite3"))

    assert changes == [None]


@pytest.mark.parametrize("setting", ["off", ":memory:", "/a/b.sqlite3"])
def test_a_location_that_is_set_is_used_as_it_is(setting):
    assert location_of(setting) == setting


def test_without_a_setting_the_file_is_in_the_data_folder():
    assert location_of("") == str(settings.data_folder() / "history.sqlite3")


def test_without_a_home_turns_stay_in_memory_and_a_program_is_warned(monkeypatch):
    for name in ("HOME", "USERPROFILE", "FLOWGPT_DATA_DIR", "XDG_DATA_HOME", "FLOWGPT_HISTORY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(settings, "has_data_folder", lambda: False)

    assert location_of("") == ":memory:"
    with pytest.warns(FlowGptWarning) as warnings:
        current_history(":memory:")
    assert [str(warning.message) for warning in warnings] == [HOMELESS]


def test_the_replies_that_arrive_are_those_of_all_open_histories(tmp_path: Path):
    replies = [Mock(), Mock()]
    for location, reply in zip((":memory:", str(tmp_path / "history.sqlite3")), replies, strict=True):
        current_history(location).load("main").replies["id"] = reply

    assert streaming_replies() == replies


def test_all_histories_are_flushed_and_closed(tmp_path: Path):
    path = tmp_path / "history.sqlite3"
    first = current_history(str(path))
    list(Conversation(notebook_history=first).ask("one", model="echo"))

    flush_all()
    close_all()

    assert current._histories == []
    again = current_history(str(path))
    assert again is not first
    assert [turn.prompt for turn in again.read(lambda history: [*next(history.all_turns())], [])] == ["one"]

"""Histories of other files are added to this one, and nothing in it is doubled or changed."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from flowgpt_magic import Conversation, map_prompts, merge_history
from flowgpt_magic.errors import HistoryError, HistoryFileError, HistoryNewerError
from flowgpt_magic.history import migrations
from flowgpt_magic.history.current import current_history
from flowgpt_magic.history.database import History
from flowgpt_magic.history.merge import MergeResult, merge
from flowgpt_magic.history.notebook_history import NotebookHistory
from flowgpt_magic.magics.commands.files import import_file
from flowgpt_magic.magics.state import ShellState
from flowgpt_magic.messages import Turn
from tests.batches import batch_of, end, kernel
from tests.records import change_record, conversation_record, notebook_record, request_record, turn_record


def history_with(path: Path, *prompts: str, **values: object) -> list[Turn]:
    """A history file with a turn for each of these prompts in one conversation, and a change."""
    notebook = notebook_record(key=str(path))
    conversation = conversation_record(notebook)
    values = {"status": "complete", "ended": 1795537500.0, **values}
    turns = [turn_record(conversation, prompt=each, place=place, **values) for place, each in enumerate(prompts, 1)]
    with closing(History(path)) as history:
        history.save(notebook, conversation, *turns, change_record(conversation, added=(turns[0].turn_id,)))
    return turns


def saved(notebook_history: NotebookHistory) -> dict[str, Turn]:
    """All turns of the history, by their ids."""
    assert notebook_history.flush()
    found = notebook_history.read(lambda history: [turn for some in history.all_turns(2) for turn in some], [])
    assert len({turn.turn_id for turn in found}) == len(found)
    return {turn.turn_id: turn for turn in found}


def test_the_turns_and_changes_of_a_file_are_added(tmp_path):
    turns = history_with(tmp_path / "other.sqlite3", "one", "two", "three")
    mine = kernel(tmp_path)

    assert merge(mine, tmp_path / "other.sqlite3") == MergeResult(files=1, added=3, existing=0)
    assert saved(mine) == {turn.turn_id: turn for turn in turns}
    changes = mine.read(lambda history: history.changes(turns[0].conversation_id), ())
    assert [change.added for change in changes] == [(turns[0].turn_id,)]
    end(mine)


def test_a_second_merge_adds_only_what_is_new(tmp_path):
    path, mine = tmp_path / "other.sqlite3", kernel(tmp_path)
    (turn,) = history_with(path, "one")
    merge(mine, path)
    with closing(History(path)) as history:
        history.save(replace(turn, turn_id="another", place=2))

    assert merge(mine, path) == MergeResult(files=1, added=1, existing=1)
    assert set(saved(mine)) == {turn.turn_id, "another"}
    end(mine)


def test_the_requests_of_a_file_are_added_once(tmp_path):
    path, mine = tmp_path / "other.sqlite3", kernel(tmp_path)
    history_with(path, "one")
    with closing(History(path)) as history:
        history.save(*(request_record(history.notebooks()[0], request_id=name) for name in ("one", "two")))

    for _time in range(2):
        merge(mine, path)

    assert sum(row.requests for row in mine.read(lambda history: history.usage_rows(), ())) == 2
    end(mine)


def test_what_this_history_has_stays_as_it_is(tmp_path):
    path, mine = tmp_path / "other.sqlite3", kernel(tmp_path)
    (turn,) = history_with(path, "one")
    merge(mine, path)
    own = replace(turn, live=False, version=3)
    mine.take((), [own])

    merge(mine, path)

    assert saved(mine) == {turn.turn_id: own}
    end(mine)


def test_a_turn_that_was_streaming_here_gets_its_end(tmp_path):
    path, mine = tmp_path / "other.sqlite3", kernel(tmp_path)
    history_with(path, "one", turn_id="t", status="streaming", kernel=mine.kernel, ended=None)
    assert merge(mine, path).added == 0
    history_with(path, "one", turn_id="t", status="complete", text="all of it")

    assert merge(mine, path).added == 1
    assert saved(mine)["t"].text == "all of it"
    end(mine)


def test_a_file_that_is_merged_stays_as_it_is_to_the_byte(tmp_path):
    path = tmp_path / "other.sqlite3"
    history_with(path, "one")
    before = path.read_bytes()
    mine = kernel(tmp_path)

    merge(mine, path)

    assert path.read_bytes() == before
    end(mine)


def test_a_file_of_an_older_version_is_merged(tmp_path):
    path, mine = tmp_path / "other.sqlite3", kernel(tmp_path)
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        migrations.notebooks_conversations_turns(database)
        database.execute("PRAGMA user_version = 1")
        database.execute("INSERT INTO notebooks VALUES ('n', 'k', 'l', 'jupyter', '', 1, 1)")
        database.execute("INSERT INTO conversations VALUES ('c', 'n', 'main', '', '', '{}', 1, 1, 0)")
        database.execute(
            "INSERT INTO turns VALUES (1, 't', 'c', 1, 1, 1, 0, 'complete', 'echo', 'words', 0, 0, 1, 1, 1, 0, 0, '', "
            "0, 0, 0, 'key', '', '', '', '{}', '[]', '', '', 'an old prompt', 'an old reply')"
        )

    assert merge(mine, path) == MergeResult(files=1, added=1, existing=0)
    assert saved(mine)["t"].prompt == "an old prompt"
    end(mine)


def test_all_files_of_a_folder_are_merged(tmp_path):
    folder, mine = tmp_path / "answers", kernel(tmp_path)
    folder.mkdir()
    for name in ("a.sqlite3", "b.db"):
        history_with(folder / name, f"prompt of {name}")
    (folder / "notes.txt").write_text("no history")

    merged = merge(mine, folder)

    assert str(merged) == "2 turns added from 2 files"
    assert str(merge(mine, folder)) == "0 turns added from 2 files; 2 were already there"
    end(mine)


def test_what_a_batch_was_answered_elsewhere_is_not_asked_again(tmp_path, monkeypatch):
    there = kernel(tmp_path / "there", "b.ipynb")
    monkeypatch.setenv("FLOWGPT_HISTORY", str(tmp_path / "here.sqlite3"))
    Conversation("there", notebook_history=there, model="echo").map(["one", "two"], progress=False).read()
    end(there)

    merge_history(tmp_path / "there" / "history.sqlite3")

    asked = map_prompts(["one", "two", "three"], model="echo", progress=False).results
    assert [result.replayed for result in asked] == [True, True, False]


def test_an_open_conversation_sees_what_is_merged_into_it(tmp_path):
    (tmp_path / "copy").mkdir()
    mine, path = kernel(tmp_path), tmp_path / "copy" / "history.sqlite3"
    chat = Conversation(notebook_history=mine, model="echo")
    assert chat.ask("one").text
    assert mine.flush()
    with closing(History(path)) as history:
        turn = replace(chat.turns[0], turn_id="elsewhere", place=2, prompt="two")
        history.save(mine.notebook, chat.record, turn)

    merge(mine, path)

    assert [turn.prompt for turn in Conversation(notebook_history=mine).turns] == ["one", "two"]
    end(mine)


def test_the_command_merges_a_file_and_a_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("FLOWGPT_HISTORY", str(tmp_path / "here.sqlite3"))
    folder = tmp_path / "answers of workers"
    folder.mkdir()
    history_with(folder / "a.sqlite3", "one")
    state = ShellState(lambda: {"model": "echo"}, {})

    assert import_file(state, f'"{folder}"') == "1 turn added from 1 file"
    assert import_file(state, f'"{folder}/a.sqlite3"') == "0 turns added from 1 file; 1 were already there"


@pytest.mark.parametrize(
    ("content", "kind", "said"),
    [
        (None, HistoryFileError, "there is no history at"),
        (b"SQLite format 3\0" + b"x" * 4000, HistoryError, "damaged"),
        (b"no database at all" * 100, HistoryError, "damaged"),
    ],
)
def test_a_file_that_cannot_be_read_is_told(tmp_path, content, kind, said):
    path = tmp_path / "other.sqlite3"
    if content is not None:
        path.write_bytes(content)
    mine = kernel(tmp_path, "a.ipynb")

    with pytest.raises(kind, match=said):
        merge(mine, path)
    mine.close()


def test_a_file_of_a_newer_version_and_a_foreign_one_are_refused(tmp_path):
    mine, newer, foreign = kernel(tmp_path), tmp_path / "newer.sqlite3", tmp_path / "foreign.sqlite3"
    history_with(newer, "one")
    for path, sql in ((newer, "PRAGMA user_version = 99"), (foreign, "CREATE TABLE mine (x)")):
        with closing(sqlite3.connect(path)) as database:
            database.execute(sql)

    with pytest.raises(HistoryNewerError, match="newer version"):
        merge(mine, newer)
    with pytest.raises(HistoryFileError, match="another program"):
        merge(mine, foreign)
    (tmp_path / "empty").mkdir()
    with pytest.raises(HistoryFileError, match="has no history"):
        merge(mine, tmp_path / "empty")
    end(mine)


def test_nothing_is_merged_where_the_history_is_off(tmp_path, monkeypatch):
    monkeypatch.setenv("FLOWGPT_HISTORY", "off")
    history_with(tmp_path / "other.sqlite3", "one")

    with pytest.raises(HistoryError, match="the history is off"):
        merge(current_history(), tmp_path / "other.sqlite3")


def test_a_history_without_answers_is_merged_as_nothing(tmp_path):
    mine, path = kernel(tmp_path), tmp_path / "empty.sqlite3"
    path.touch()

    assert merge(mine, path) == MergeResult(files=1, added=0, existing=0)
    batch_of(["one"], notebook_history=mine).read()
    end(mine)

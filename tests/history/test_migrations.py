"""Tables and how older files get them: each step in one transaction with its mark, by however many processes."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Collection, Iterable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from flowgpt_magic.errors import HistoryFileError, HistoryNewerError
from flowgpt_magic.history import migrations
from flowgpt_magic.history.database import History
from flowgpt_magic.history.file import register
from flowgpt_magic.history.migrations import (
    APPLICATION_ID,
    COUNTS,
    MIGRATIONS,
    NEWEST,
    all_counts,
    check_owner,
    check_version,
    migrate,
    version_of,
)
from flowgpt_magic.history.rows import TURN, statement
from flowgpt_magic.messages import Turn, Usage
from tests import processes
from tests.records import conversation_record, notebook_record, request_record, turn_record

OPEN_AT_ONCE = """
import sys
from flowgpt_magic.history.database import History
from tests.records import notebook_record
print("ready", flush=True)
input()
history = History(sys.argv[1], patience=60)
history.save(notebook_record(key=sys.argv[2]))
history.close()
"""


NEWER = (*COUNTS, "cost_source")  # the columns that turns have got last


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "history.sqlite3"


@pytest.fixture
def database(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection as the history has one, to a file that is empty."""
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        register(database)
        yield database


def run(database: sqlite3.Connection, number: int) -> None:
    """Bring the file up to the migration of this number, as a release with so many did."""
    for migration in MIGRATIONS[:number]:
        migration(database)
    database.execute(f"PRAGMA user_version = {number}")


def insert(database: sqlite3.Connection, turns: Iterable[Turn], without: Collection[str]) -> None:
    """Insert turns as a release did that had no columns ``without`` yet."""
    for turn in turns:
        row = {name: value for name, value in zip(TURN, statement(turn)[1], strict=True) if name not in without}
        marks = ", ".join("?" * len(row))
        database.execute(f"INSERT INTO turns ({', '.join(row)}) VALUES ({marks})", tuple(row.values()))


def content(database: sqlite3.Connection) -> list[tuple[object, ...]]:
    """Everything there is: tables, indexes, triggers, version and owner."""
    schema = database.execute("SELECT type, name, sql FROM sqlite_master ORDER BY name").fetchall()
    marks = [database.execute(f"PRAGMA {name}").fetchone() for name in ("user_version", "application_id")]
    return [*schema, *marks]


def test_an_empty_file_becomes_the_newest(database):
    migrate(database, "here")

    assert version_of(database) == NEWEST
    assert database.execute("PRAGMA application_id").fetchone() == (APPLICATION_ID,)
    assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)


@pytest.mark.parametrize("version", range(NEWEST))
def test_a_file_of_every_older_version_becomes_the_same(version, tmp_path, database):
    run(database, version)
    migrate(database, "here")
    with closing(sqlite3.connect(tmp_path / "new.sqlite3", isolation_level=None)) as new:
        register(new)
        migrate(new, "here")

        assert content(database) == content(new)


def test_the_turns_of_a_file_without_an_index_are_found_after_it(database, path):
    run(database, 1)
    notebook = notebook_record()
    conversation = conversation_record(notebook)
    turn = turn_record(conversation, status="complete", text="the sky is blue", ended=2.0)
    for record in (notebook, conversation):
        database.execute(*statement(record))
    insert(database, [turn], without=("images", "extras", "sent", *NEWER))
    history = History(path)

    found = history.search("blue")

    assert [hit.turn for hit in found] == [turn]
    history.close()


def test_the_turns_of_an_older_file_are_its_requests(database, path):
    run(database, 4)
    notebook = notebook_record()
    conversation = conversation_record(notebook)
    turns = [turn_record(conversation, status="complete", started=86_400.0 * day, ended=1.0) for day in range(400)]
    for record in (notebook, conversation):
        database.execute(*statement(record))
    insert(database, turns, without=("sent", *NEWER))
    history = History(path)

    assert sum(row.requests for row in history.usage_rows()) == 400
    assert history.turns(conversation.conversation_id) != ()
    assert sum(row.requests for row in history.usage_rows(86_400.0 * 300)) == 100
    history.close()


def test_the_turns_of_an_older_file_have_no_further_counts_and_new_ones_keep_theirs(database, path):
    run(database, MIGRATIONS.index(all_counts))
    conversation = conversation_record(notebook := notebook_record())
    earlier = turn_record(conversation, status="complete", ended=1.0, usage=Usage(1, 2))
    counted = Usage(9, 8, "stop", 0.1, 0.2, 3, 4, 5, 6, "flex", "model-2026", 0.007, 8.5)
    later = turn_record(conversation, status="complete", ended=1.0, place=1, usage=counted)
    for record in (notebook, conversation):
        database.execute(*statement(record))
    insert(database, [earlier], without=NEWER)
    with closing(History(path)) as history:
        history.save(later, request_record(conversation, usage=counted))
    with closing(History(path)) as history:
        assert [turn.usage for turn in history.turns(conversation.conversation_id)] == [Usage(1, 2), counted]
    assert database.execute("SELECT cost, answered_by FROM requests WHERE cost > 0").fetchall() == [
        (0.007, "model-2026")
    ]


def test_a_file_that_is_the_newest_is_not_written(database):
    migrate(database, "here")
    before = database.total_changes
    database.execute("PRAGMA query_only = 1")

    migrate(database, "here")

    assert database.total_changes == before


@pytest.mark.parametrize("number", range(NEWEST))
def test_a_migration_that_fails_at_its_end_leaves_the_file_as_it_was(number, database, monkeypatch):
    def fails(database: sqlite3.Connection) -> None:
        MIGRATIONS[number](database)
        raise sqlite3.OperationalError("the power went")

    run(database, number)
    before = content(database)
    monkeypatch.setattr(migrations, "MIGRATIONS", (*MIGRATIONS[:number], fails, *MIGRATIONS[number + 1 :]))

    with pytest.raises(sqlite3.OperationalError, match="the power went"):
        migrate(database, "here")

    assert content(database) == before
    assert not database.in_transaction


def test_those_before_a_failing_one_are_kept_with_their_mark_and_the_next_try_goes_on(database, monkeypatch):
    def fails(_database: sqlite3.Connection) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(migrations, "MIGRATIONS", (MIGRATIONS[0], fails))
        with pytest.raises(KeyboardInterrupt):
            migrate(database, "here")
    assert version_of(database) == 1

    migrate(database, "here")

    assert version_of(database) == NEWEST


def test_a_process_killed_within_a_migration_leaves_the_file_as_it_was(path):
    killed = """
import os, sys
from flowgpt_magic.history import migrations
from flowgpt_magic.history.database import History
last = migrations.MIGRATIONS[-1]
def dies(database):
    last(database)
    database.execute("CREATE TABLE half AS SELECT randomblob(1000000) AS large")
    os._exit(9)
migrations.MIGRATIONS = (*migrations.MIGRATIONS[:-1], dies)
History(sys.argv[1])
"""
    ended = subprocess.run([sys.executable, "-c", killed, str(path)], timeout=60, check=False)
    assert ended.returncode == 9
    with closing(sqlite3.connect(path)) as database:
        assert version_of(database) == NEWEST - 1
        assert "half" not in str(content(database))

    History(path).close()

    with closing(sqlite3.connect(path)) as database:
        assert version_of(database) == NEWEST
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_several_processes_may_migrate_at_once(path):
    keys = [f"/home/ada/{number}.ipynb" for number in range(4)]
    results = processes.at_once(*([sys.executable, "-c", OPEN_AT_ONCE, str(path), key] for key in keys))

    assert results == [("", "")] * len(keys)

    history = History(path)
    assert sorted(notebook.key for notebook in history.notebooks()) == keys
    history.close()
    with closing(sqlite3.connect(path)) as database:
        assert version_of(database) == NEWEST
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_a_migration_that_another_process_did_meanwhile_is_not_done_again(database, path, monkeypatch):
    asked = []

    def the_other_is_quicker(database: sqlite3.Connection, location: str) -> int:
        version = check_version(database, location)
        if not asked:
            with closing(sqlite3.connect(path, isolation_level=None)) as other:
                register(other)
                other.execute("BEGIN")
                run(other, NEWEST)
                other.execute("COMMIT")
        asked.append(version)
        return version

    monkeypatch.setattr(migrations, "check_version", the_other_is_quicker)

    migrate(database, "here")

    assert asked == [0, NEWEST, NEWEST]


def test_a_newer_file_is_refused_by_name(database):
    run(database, NEWEST)
    database.execute(f"PRAGMA user_version = {NEWEST + 1}")

    with pytest.raises(HistoryNewerError, match=r"the history /a/b was written by a newer version of flowgpt_magic"):
        migrate(database, "/a/b")


class TestOwner:
    def test_an_empty_file_is_ours_to_fill_and_is_not_changed_yet(self, database):
        before = content(database)

        check_owner(database, "here")

        assert content(database) == before
        assert not database.in_transaction

    def test_a_history_is_ours_and_is_not_changed(self, database):
        run(database, NEWEST)
        database.execute("PRAGMA query_only = 1")  # so that a write raises

        check_owner(database, "here")

        assert version_of(database) == NEWEST
        assert not database.in_transaction

    @pytest.mark.parametrize(
        "sql", ["CREATE TABLE notebooks (a)", "CREATE TABLE history (a)", "PRAGMA application_id = 7"]
    )
    def test_another_programs_database_is_not(self, sql, database):
        database.execute(sql)

        with pytest.raises(HistoryFileError, match="here is the database of another program"):
            check_owner(database, "here")


def test_deleting_a_turn_takes_its_words_out_of_the_index():
    history = History(":memory:")
    notebook = notebook_record()
    conversation = conversation_record(notebook)
    texts = enumerate(("blue sky", "blue sea"), 1)
    kept, gone = (turn_record(conversation, status="complete", text=text, place=place) for place, text in texts)
    history.save(notebook, conversation, kept, gone)
    assert len(history.search("blue")) == 2

    history._database.execute("DELETE FROM turns WHERE turn_id = ?", (gone.turn_id,))

    assert [hit.turn.text for hit in history.search("blue")] == ["blue sky"]
    assert history.search("sea") == ()
    history._database.execute("INSERT INTO words (words) VALUES ('integrity-check')")

"""The file of the history: private, refused where it is not ours, moved aside where it is damaged."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from flowgpt_magic.errors import (
    HistoryDamagedError,
    HistoryError,
    HistoryFileError,
    HistoryLockedError,
    HistoryNewerError,
    HistoryRecordError,
)
from flowgpt_magic.history import file as history_file
from flowgpt_magic.history.database import History
from flowgpt_magic.history.file import CACHE_KIB, CODES, MEMORY, MOVE_LIMIT, code_of, is_damaged, move_aside, open_file
from flowgpt_magic.history.migrations import NEWEST
from tests import processes
from tests.records import conversation_record, notebook_record, turn_record

POSIX = pytest.mark.skipif(os.name != "posix", reason="modes and owners are a matter of POSIX")
OTHER = """
import sqlite3, sys
database = sqlite3.connect(sys.argv[1], isolation_level=None)
for line in sys.stdin:
    for sql in line.split(";"):
        database.execute(sql).fetchall()
    print("done", flush=True)
"""
MOVE_AT_ONCE = """
import sys
from flowgpt_magic.history.file import move_aside
print("ready", flush=True)
input()
print(move_aside(sys.argv[1]))
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "history.sqlite3"


@contextmanager
def another_process(path: Path) -> Iterator[Callable[[str], None]]:
    """A function that has another process run statements on the file; it ends at once, as if killed."""
    with processes.running([sys.executable, "-c", OTHER, str(path)], **processes.TEXT) as process:

        def run(sql: str) -> None:
            process.stdin.write(f"{sql}\n")
            process.stdin.flush()
            assert process.stdout.readline() == "done\n"

        yield run


def fill(path: Path, turns: int = 200) -> None:
    """A history with so many turns."""
    history = History(path)
    notebook = notebook_record()
    conversation = conversation_record(notebook)
    records = (
        turn_record(conversation, place=number, text=f"reply {number} " + "and so on " * 50, status="complete")
        for number in range(turns)
    )
    history.save(notebook, conversation, *records)
    history.close()


def modes(folder: Path) -> dict[str, int]:
    return {each.name: each.stat().st_mode & 0o777 for each in folder.iterdir()}


class TestAFileOfItsOwner:
    @POSIX
    def test_a_new_file_and_those_beside_it_are_for_its_owner_alone(self, path):
        history = History(path)
        history.save(notebook_record())

        assert modes(path.parent) == {path.name + end: 0o600 for end in ("", "-wal", "-shm")}
        history.close()

    @POSIX
    def test_a_new_folder_is_for_its_owner_alone(self, tmp_path):
        History(tmp_path / "new" / "history.sqlite3").close()

        assert modes(tmp_path) == {"new": 0o700}

    @POSIX
    def test_a_file_that_others_could_read_becomes_private(self, path):
        fill(path, 1)
        path.chmod(0o644)
        history = History(path)
        history.save(notebook_record())

        assert modes(path.parent) == {path.name + end: 0o600 for end in ("", "-wal", "-shm")}
        history.close()

    @POSIX
    def test_so_do_the_files_beside_it_that_another_process_has_open(self, path):
        fill(path, 1)
        path.chmod(0o644)
        with another_process(path) as run:
            run("BEGIN; SELECT * FROM turns; UPDATE turns SET place = 2; COMMIT")
            assert set(modes(path.parent).values()) == {0o644}
            history = History(path)

            assert modes(path.parent) == {path.name + end: 0o600 for end in ("", "-wal", "-shm")}
            history.close()

    def test_readers_and_a_writer_do_not_wait_for_each_other(self, path):
        fill(path, 3)
        history = History(path, patience=0)
        with another_process(path) as run:
            run("BEGIN IMMEDIATE; UPDATE turns SET text = 'other'")

            assert len(history.notebooks()) == 1
            run("COMMIT; BEGIN; SELECT * FROM turns")
            history.save(notebook_record())
            assert len(history.notebooks()) == 2
        assert history._database.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        history.close()

    def test_the_home_folder_may_be_written_as_a_tilde(self, monkeypatch, tmp_path):
        monkeypatch.setenv("HOME", str(tmp_path))
        monkeypatch.setenv("USERPROFILE", str(tmp_path))
        history = History("~/history.sqlite3")

        assert history.location == str(tmp_path / "history.sqlite3")
        assert os.path.exists(history.location)
        history.close()

    def test_a_home_folder_that_nobody_knows_is_a_name_like_any_other(self, monkeypatch, tmp_path):
        monkeypatch.chdir(tmp_path)
        history = History("~nobody-of-this-name/history.sqlite3")

        assert (tmp_path / "~nobody-of-this-name" / "history.sqlite3").exists()
        history.close()

    def test_a_path_may_have_any_signs_in_it(self, tmp_path):
        path = tmp_path / "a b%20?mode=ro#ü日.sqlite3"
        fill(path, 2)

        history = History.copied_into_memory(path)

        assert {each.name for each in tmp_path.iterdir()} <= {path.name + end for end in ("", "-wal", "-shm")}
        assert len(history.notebooks()) == 1


class TestRefused:
    """What is not ours, or newer than we are, stays as it is."""

    def refuses(self, path: Path, error: type[HistoryError], words: str) -> None:
        """Refuses the file with these words and leaves it, and its folder, as they are."""
        before = path.read_bytes(), path.stat().st_mode, sorted(os.listdir(path.parent))

        with pytest.raises(error, match=words):
            History(path)

        assert (path.read_bytes(), path.stat().st_mode, sorted(os.listdir(path.parent))) == before

    @pytest.mark.parametrize("mode", ["wal", "delete"])
    def test_a_newer_file(self, mode, path):
        fill(path)
        with closing(sqlite3.connect(path)) as database:
            database.execute(f"PRAGMA user_version = {NEWEST + 1}")
            assert database.execute(f"PRAGMA journal_mode = {mode}").fetchone() == (mode,)
        path.chmod(0o644)

        self.refuses(path, HistoryNewerError, "written by a newer version of flowgpt_magic: update this one")

    @pytest.mark.parametrize("mode", ["wal", "delete"])
    def test_another_programs_database(self, mode, path):
        with closing(sqlite3.connect(path, isolation_level=None)) as database:
            database.execute(f"PRAGMA journal_mode = {mode}")
            database.execute("CREATE TABLE turns (turn_id)")
        path.chmod(0o664)

        self.refuses(path, HistoryFileError, "is the database of another program: set another file")

    @pytest.mark.parametrize("content", [b"dear diary\n", b"{}" * 5000, b"\0" * 3000, b"SQLite format 2\0" * 99])
    def test_a_file_of_another_kind(self, content, tmp_path):
        path = tmp_path / "notes.txt"
        path.write_bytes(content)
        path.chmod(0o640)

        self.refuses(
            path, HistoryFileError, r"notes.txt is not a history and was not changed: set the path of another file"
        )

    def test_a_file_that_a_newer_package_changes_while_it_is_open_is_not_written_any_more(self, path):
        history = History(path)
        with another_process(path) as run:
            run(f"PRAGMA user_version = {NEWEST + 1}")

            with pytest.raises(HistoryNewerError):
                history.save(notebook_record())
            assert history.notebooks() == ()
        history.close()


class TestNoFileThere:
    def test_a_folder(self, tmp_path):
        with pytest.raises(HistoryFileError, match="is a folder: set the path of a file"):
            History(tmp_path)

    def test_a_place_below_a_file(self, tmp_path):
        (tmp_path / "file").write_text("x")

        with pytest.raises(HistoryFileError, match="cannot be created"):
            History(tmp_path / "file" / "folder" / "history.sqlite3")

    @pytest.mark.parametrize("name", ["x" * 400, "a\0b", "half \ud83d"])
    def test_a_name_that_no_file_can_have(self, name, tmp_path):
        with pytest.raises(HistoryFileError, match="cannot be created"):
            History(tmp_path / name)
        assert History.copied_into_memory(tmp_path / name).notebooks() == ()

    @POSIX
    def test_a_link_to_nowhere(self, tmp_path):
        (tmp_path / "link").symlink_to(tmp_path / "missing" / "history.sqlite3")

        with pytest.raises(HistoryFileError, match="cannot be created"):
            History(tmp_path / "link")

    @POSIX
    def test_a_device_or_pipe_keeps_its_mode(self, tmp_path):
        # /dev/null for root's eyes alone would stop every other program of the machine.
        os.mkfifo(tmp_path / "pipe", 0o644)
        os.chmod(tmp_path / "pipe", 0o666)

        with pytest.raises(HistoryFileError, match="which is not a file: set another path"):
            History(tmp_path / "pipe")

        assert modes(tmp_path) == {"pipe": 0o666}

    @pytest.mark.parametrize("end", ["-wal", "-journal"])
    def test_a_folder_in_the_place_of_the_files_beside_it(self, end, path):
        Path(f"{path}{end}").mkdir()

        with pytest.raises(HistoryFileError, match=r"make it and its folder writable|check its disk"):
            History(path)

    def test_a_connection_that_may_only_read(self, path):
        history = History(path)
        history._database.execute("PRAGMA query_only = 1")

        with pytest.raises(HistoryFileError, match="cannot be written: make it and its folder writable"):
            history.save(notebook_record())
        history.close()


AS_NOBODY = """
import os, sys, tempfile
from pathlib import Path
from flowgpt_magic.errors import HistoryError
from flowgpt_magic.history.database import History
from tests.records import notebook_record

what = sys.argv[1]
with tempfile.TemporaryDirectory(dir="/tmp") as name:
    folder = Path(name) / "folder"
    folder.mkdir()
    os.chmod(name, 0o755)
    path = folder / "history.sqlite3"
    if what != "empty folder":
        history = History(path)
        history.save(notebook_record(key="known"))
        history.close()
    modes = {"file": (0o444, 0o755), "folder": (0o666, 0o555), "hidden": (0o666, 0o000), "empty folder": (0, 0o555)}
    if path.exists():
        path.chmod(modes[what][0])
    folder.chmod(modes[what][1])
    child = os.fork()
    if child == 0:
        if os.getuid() == 0:
            os.setuid(65534)
        code = 1
        try:
            History(path)
        except HistoryError as error:
            keys = [each.key for each in History.copied_into_memory(path).notebooks()]
            print(f"{type(error).__name__} {error}|{keys}", flush=True)
            code = 0
        finally:
            os._exit(code)
    assert os.waitpid(child, 0)[1] == 0
    folder.chmod(0o700)
"""


@POSIX
class TestNotAllowed:
    """Seen from a process without privileges: root may write everywhere."""

    @pytest.mark.parametrize(
        ("what", "words", "known"),
        [
            ("file", "is read-only: make it writable, or set another path", True),
            ("folder", "cannot be written: make it and its folder writable", True),
            ("empty folder", "cannot be created (Permission denied): set a writable path", False),
            ("hidden", "cannot be created (Permission denied): set a writable path", False),
        ],
    )
    def test_it_is_said_and_what_can_be_read_is_read(self, what, words, known):
        ended = subprocess.run(
            [sys.executable, "-c", AS_NOBODY, what], capture_output=True, text=True, timeout=60, check=False
        )

        assert (ended.returncode, ended.stderr) == (0, "")
        error, keys = ended.stdout.rsplit("|", 1)
        assert error.startswith("HistoryFileError the history /tmp/")
        assert error.endswith(f"{words}.")
        assert keys.strip() == ("['known']" if known else "[]")


class TestLocked:
    def test_another_process_that_writes_is_waited_for(self, path):
        history = History(path, patience=60)
        with another_process(path) as run:
            run("BEGIN IMMEDIATE")
            letting_go = threading.Thread(target=run, args=("COMMIT",))
            history._database.set_trace_callback(
                lambda sql: letting_go.start() if sql.startswith("BEGIN") and not letting_go.ident else None
            )

            history.save(notebook_record())

            letting_go.join()
        assert len(history.notebooks()) == 1
        history.close()

    def test_one_that_does_not_let_go_is_named_after_that_patience(self, path):
        history = History(path, patience=0.05)
        with another_process(path) as run:
            run("BEGIN IMMEDIATE")
            begun = time.monotonic()

            with pytest.raises(HistoryLockedError, match="is locked by another process"):
                history.save(notebook_record())

            assert 0.04 < time.monotonic() - begun < 5
            run("COMMIT")
            history.save(notebook_record())
        assert len(history.notebooks()) == 1
        history.close()

    def test_a_new_file_that_is_locked_cannot_be_opened_yet(self, path):
        with another_process(path) as run:
            run("BEGIN EXCLUSIVE")

            with pytest.raises(HistoryLockedError):
                open_file(str(path), 0.01)
            run("COMMIT")
        open_file(str(path), 0.01).close()

    def test_a_file_whose_dead_turns_cannot_be_ended_now_is_opened_all_the_same(self, path):
        fill(path, 1)
        with closing(sqlite3.connect(path)) as database, database:
            gone = "1 2 somewhere"
            database.execute("UPDATE turns SET status = 'streaming', kernel = ?, grown = 7", (gone,))
        with another_process(path) as run:
            run("BEGIN IMMEDIATE")

            history = History(path, patience=0)

            (turn,) = history._turns("", ())
            assert (turn.status, turn.ended) == ("cancelled", 7)
            history.close()


class TestFullDisk:
    def test_it_is_said_and_what_was_saved_before_stays(self, path):
        fill(path, 1)
        history = History(path)
        notebook = history.notebooks()[0]
        pages = history._database.execute("PRAGMA page_count").fetchone()[0]
        history._database.execute(f"PRAGMA max_page_count = {pages}")
        conversation = conversation_record(notebook, name="large")

        with pytest.raises(HistoryFileError, match="the disk is full: free some space"):
            history.save(conversation, turn_record(conversation, text="x" * 10**6))

        assert history.conversation(notebook.notebook_id, "large") is None
        history._database.execute("PRAGMA max_page_count = 1000000")
        history.save(conversation, turn_record(conversation, text="x" * 10**6))
        assert history.conversation(notebook.notebook_id, "large") == conversation
        history.close()


def garbage(path: Path) -> None:
    path.write_bytes(bytes(range(256)) * 40)


def text(path: Path) -> None:
    path.write_text("this is no database\n")


def cut_short(path: Path) -> None:
    fill(path)
    os.truncate(path, path.stat().st_size // 2)


def cut_within_the_first_page(path: Path) -> None:
    fill(path)
    os.truncate(path, 1000)


def overwritten_schema(path: Path) -> None:
    fill(path)
    with open(path, "r+b") as file:
        file.seek(100)
        file.write(b"\xff" * 3996)


DAMAGES = [garbage, text, cut_short, cut_within_the_first_page, overwritten_schema]


class TestDamaged:
    @pytest.mark.parametrize("damage", DAMAGES)
    def test_it_is_found_when_the_file_is_opened_and_the_bytes_are_kept_under_a_name_that_says_so(self, damage, path):
        damage(path)
        before = path.read_bytes()

        with pytest.raises(HistoryDamagedError, match=r"the history .*history.sqlite3 is damaged"):
            History(path)
        aside = move_aside(str(path))

        assert aside.name.startswith("history.damaged-2")
        assert aside.suffix == ".sqlite3"
        assert aside.read_bytes() == before
        assert os.listdir(path.parent) == [aside.name]
        History(path).close()

    def test_a_page_in_the_middle_is_found_when_it_is_read(self, path):
        fill(path)
        history = History(path)
        with open(path, "r+b") as file:
            file.seek(4096 * 20)
            file.write(b"\xff" * 4096 * (path.stat().st_size // 4096 - 40))

        with pytest.raises(HistoryDamagedError):
            history._turns("", ())

        history.close()
        assert is_damaged(str(path))

    def test_a_damaged_index_is_damage_too(self, path):
        fill(path)
        with closing(sqlite3.connect(path)) as database:
            database.execute("DELETE FROM words_data")
            database.commit()

        assert is_damaged(str(path))

    @pytest.mark.parametrize("ends", [("",), ("", "-wal", "-shm"), ("", "-journal")])
    def test_what_stands_beside_it_goes_with_it(self, ends, path):
        contents = {end: f"no database {end}".encode() for end in ends}
        for end, content in contents.items():
            Path(f"{path}{end}").write_bytes(content)

        # Not by way of ``move_aside``, which has SQLite look into the files first, and take away what is of no use.
        aside = history_file._rename(path)

        assert {end: Path(f"{aside}{end}").read_bytes() for end in ends} == contents
        assert len(os.listdir(path.parent)) == len(ends)

    def test_an_earlier_one_is_never_overwritten(self, path, monkeypatch):
        monkeypatch.setattr(time, "strftime", lambda _format: "20260101-120000")
        asides = []
        for number in range(3):
            path.write_text(f"no database {number}")
            asides.append(move_aside(str(path)))

        assert [each.name for each in asides] == [
            "history.damaged-20260101-120000.sqlite3",
            "history.damaged-20260101-120000-2.sqlite3",
            "history.damaged-20260101-120000-3.sqlite3",
        ]
        assert [each.read_text()[-1] for each in asides] == ["0", "1", "2"]

    def test_a_sound_file_stays(self, path):
        fill(path, 2)
        before = path.read_bytes()

        assert move_aside(str(path)) is None
        assert path.read_bytes() == before

    def test_a_file_that_is_gone_needs_no_moving_and_is_not_made(self, path):
        assert move_aside(str(path)) is None
        assert os.listdir(path.parent) == []

    def test_a_file_that_another_process_locks_is_not_damaged(self, path, monkeypatch):
        fill(path, 1)
        with closing(sqlite3.connect(path)) as database:
            database.execute("PRAGMA journal_mode = DELETE")
        connect = sqlite3.connect
        monkeypatch.setattr(sqlite3, "connect", lambda *given, **named: connect(*given, **{"timeout": 0} | named))
        with another_process(path) as run:
            run("BEGIN EXCLUSIVE")

            assert not is_damaged(str(path))
            assert move_aside(str(path)) is None
        assert path.exists()

    def test_one_that_cannot_be_moved_is_said(self, tmp_path):
        (tmp_path / "file").write_text("x")

        with pytest.raises(HistoryFileError, match=r"is damaged and cannot be moved aside \(.*\): move it yourself"):
            move_aside(str(tmp_path / "file" / "history.sqlite3"))

    def test_the_home_folder_may_be_written_as_a_tilde(self, path, monkeypatch):
        monkeypatch.setenv("HOME", str(path.parent))
        monkeypatch.setenv("USERPROFILE", str(path.parent))
        text(path)

        assert move_aside("~/history.sqlite3").parent == path.parent


class TestTwoThatMove:
    def test_of_several_processes_one_moves_the_file_and_no_byte_is_lost(self, path):
        cut_short(path)
        before = path.read_bytes()
        told = processes.at_once(*[[sys.executable, "-c", MOVE_AT_ONCE, str(path)]] * 4)

        assert [complaint for _said, complaint in told] == [""] * 4
        (aside,) = [said.strip() for said, _complaint in told if said != "None\n"]
        assert Path(aside).read_bytes() == before
        assert os.listdir(path.parent) == [os.path.basename(aside)]

    def test_while_another_process_moves_it_nothing_is_done(self, path):
        text(path)
        os.mkdir(f"{path}.moving")

        assert move_aside(str(path)) is None
        assert path.exists()

    def test_the_mark_of_a_process_that_died_over_it_is_taken_away(self, path):
        text(path)
        os.mkdir(f"{path}.moving")
        long_ago = time.time() - MOVE_LIMIT - 1
        os.utime(f"{path}.moving", (long_ago, long_ago))

        aside = move_aside(str(path))

        assert os.listdir(path.parent) == [aside.name]

    def test_one_that_was_thought_dead_and_was_only_slow_finishes_all_the_same(self, path, monkeypatch):
        text(path)

        def slowly(location: str) -> bool:
            os.rmdir(f"{location}.moving")
            return True

        monkeypatch.setattr(history_file, "is_damaged", slowly)

        aside = move_aside(str(path))

        assert aside.read_text() == "this is no database\n"

    def test_a_sound_file_that_was_begun_meanwhile_stays(self, path):
        text(path)
        assert move_aside(str(path)) is not None
        fill(path, 1)

        assert move_aside(str(path)) is None
        assert not is_damaged(str(path))


class TestCopiedIntoMemory:
    def test_it_has_what_the_file_has_and_leaves_that_alone(self, path):
        fill(path, 3)
        before = path.read_bytes()
        history = History.copied_into_memory(path)

        assert len(history.search("reply")) == 3
        history.save(notebook_record())
        assert len(history.notebooks()) == 2
        assert path.read_bytes() == before

    def test_it_has_what_another_process_has_not_yet_moved_into_the_file(self, path):
        open_history = History(path)
        open_history.save(notebook_record(key="new"))

        assert [each.key for each in History.copied_into_memory(path).notebooks()] == ["new"]
        open_history.close()

    @pytest.mark.parametrize("damage", [garbage, text, cut_within_the_first_page, overwritten_schema, Path.mkdir])
    def test_where_nothing_can_be_read_it_begins_empty(self, damage, path):
        damage(path)
        history = History.copied_into_memory(path)

        assert history.notebooks() == ()
        history.save(notebook_record())

    @pytest.mark.parametrize(
        "sql", ["PRAGMA user_version = 99", "PRAGMA user_version = 1", "PRAGMA application_id = 9"]
    )
    def test_a_file_of_another_version_or_program_is_not_taken(self, sql, path):
        fill(path, 1)
        with closing(sqlite3.connect(path)) as database:
            database.execute(sql)

        assert History.copied_into_memory(path).notebooks() == ()

    def test_a_very_large_file_is_not_taken(self, path, monkeypatch):
        fill(path, 1)
        monkeypatch.setattr(history_file, "COPY_LIMIT", path.stat().st_size - 1)

        assert History.copied_into_memory(path).notebooks() == ()

    def test_a_file_that_is_missing_is_not_made(self, path):
        assert History.copied_into_memory(path).notebooks() == ()
        assert os.listdir(path.parent) == []


class TestErrorsByName:
    def test_pythons_before_3_11_know_the_same_causes_by_their_words(self, path):
        told = {}
        for name, provoke in PROVOKED.items():
            path.unlink(missing_ok=True)
            database = sqlite3.connect(path, isolation_level=None, timeout=0)
            with closing(database), pytest.raises(sqlite3.Error) as raised:
                provoke(database, path)
            told[name] = raised.value
        for name, error in told.items():
            assert code_of(type(error)(str(error))) == CODES[name], name
            if sys.version_info >= (3, 11):
                assert error.sqlite_errorcode & 0xFF == CODES[name], name

    def test_an_error_that_nobody_knows_is_told_in_sqlites_words(self):
        words = r"the history here cannot be used \(no such thing\): check its disk"

        with pytest.raises(HistoryFileError, match=words), history_file.translate_errors("here"):
            raise sqlite3.OperationalError("no such thing")

    @pytest.mark.parametrize("value", [2**64, {}, object()])
    def test_a_value_that_cannot_be_stored_is_the_records_fault(self, value):
        history = History(MEMORY)
        notebook = notebook_record(created=value)

        with pytest.raises(HistoryRecordError, match="a turn could not be saved to the history"):
            history.save(notebook)
        history.save(notebook_record())


def _locked(database: sqlite3.Connection, path: Path) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        database.execute("BEGIN IMMEDIATE")


def _malformed(database: sqlite3.Connection, path: Path) -> None:
    overwritten_schema(path)
    with closing(sqlite3.connect(path)) as other:
        other.execute("SELECT * FROM sqlite_master").fetchall()


def _no_database(database: sqlite3.Connection, path: Path) -> None:
    text(path)
    database.execute("SELECT * FROM sqlite_master")


def _full(database: sqlite3.Connection, path: Path) -> None:
    database.execute("PRAGMA max_page_count = 1")
    database.execute("CREATE TABLE a (b)")


def _read_only(database: sqlite3.Connection, path: Path) -> None:
    database.execute("PRAGMA query_only = 1")
    database.execute("CREATE TABLE a (b)")


def _no_opening(database: sqlite3.Connection, path: Path) -> None:
    with closing(sqlite3.connect(path.parent)) as other:
        other.execute("SELECT * FROM sqlite_master")


def _constraint(database: sqlite3.Connection, path: Path) -> None:
    database.execute("CREATE TABLE a (b NOT NULL)")
    database.execute("INSERT INTO a VALUES (NULL)")


def _too_big(database: sqlite3.Connection, path: Path) -> None:
    database.execute("SELECT zeroblob(2147483647) || 'x'")


PROVOKED = {
    "locked": _locked,
    "malformed": _malformed,
    "is not a database": _no_database,
    "disk is full": _full,
    "readonly": _read_only,
    "unable to open": _no_opening,
    "constraint failed": _constraint,
    "too big": _too_big,
}


def test_what_a_connection_keeps_in_memory_does_not_grow_with_the_file(tmp_path):
    history = History(tmp_path / "history.sqlite3")

    assert history._run("PRAGMA cache_size").fetchone() == (-CACHE_KIB,)  # in KiB, where it is negative
    history.close()

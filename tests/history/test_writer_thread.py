"""Saving where the file does not do: locked, damaged, gone, not ours, full; and records that cannot be saved."""

from __future__ import annotations

import os
import shutil
import sqlite3
import sys
import tempfile
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from flowgpt_magic.errors import FlowGptWarning, HistoryDamagedError
from flowgpt_magic.history.background_writer import BackgroundWriter
from flowgpt_magic.history.database import History
from flowgpt_magic.history.migrations import NEWEST
from flowgpt_magic.history.writer_thread import MAX_RECOVERIES, RECOVERY_COUNT
from flowgpt_magic.messages import Turn
from tests import processes
from tests.records import change_record, conversation_record, notebook_record, turn_record

LIMIT = 120  # seconds after which a test has failed; none waits as long
SELDOM = 3600.0  # an interval that does not pass during a test

notebook = notebook_record(notebook_id="notebook", key="key")
conversation = conversation_record(notebook, conversation_id="conversation")


class Told:
    """What the person was told, line by line."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.something = threading.Event()

    def __call__(self, line: str) -> None:
        self.lines.append(line)
        self.something.set()


Make = Callable[..., BackgroundWriter]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "history.sqlite3"


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def make(path: Path, told: Told) -> Iterator[Make]:
    """Makes writers that know a conversation."""
    made: list[BackgroundWriter] = []

    def make(location: Path = path, interval: float = SELDOM, patience: float = LIMIT) -> BackgroundWriter:
        writer = BackgroundWriter(location, warn=told, interval=interval, patience=patience)
        writer.save(notebook)
        writer.save(conversation)
        made.append(writer)
        return writer

    yield make
    for writer in made:
        assert writer.close(LIMIT)


def complete(turn_id: str, text: str = "", **values: object) -> Turn:
    return turn_record(conversation, turn_id=turn_id, text=text, status="complete", ended=time.time(), **values)


def turns(history: History) -> dict[str, str]:
    """The texts of a history, by the id of the turn."""
    return {turn.turn_id: turn.text for turn in history.turns("conversation", live_only=False)}


def stored(path: Path) -> dict[str, str]:
    """The texts that are in the file now, by the id of the turn."""
    with closing(History(path)) as history:
        return turns(history)


def fill(path: Path, number: int = 1, size: int = 0) -> None:
    """Make a history with turns ``old-0`` and so on, all of it in the file itself."""
    with closing(History(path)) as history:
        history.save(notebook, conversation, *(complete(f"old-{each}", "x" * size) for each in range(number)))


def sql(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        for statement in statements:
            database.execute(statement)


START = """
    import os, resource, sys
    from flowgpt_magic.history import database as history  # now: what cannot be read later is loaded
    from flowgpt_magic.history import file as history_file
    from flowgpt_magic.history.background_writer import BackgroundWriter
    from tests.records import conversation_record, notebook_record, turn_record

    notebook = notebook_record(notebook_id="notebook", key="key")
    conversation = conversation_record(notebook, conversation_id="conversation")
    lines = []

    def begin(path):
        writer = BackgroundWriter(path, warn=lines.append)
        writer.save(notebook)
        writer.save(conversation)
        return writer

    def complete(turn_id, text=""):
        return turn_record(conversation, turn_id=turn_id, text=text, status="complete", ended=1.0)

    def turns(history):
        return sorted(turn.turn_id for turn in history.turns("conversation"))
"""


def command(code: str, *arguments: object) -> list[str]:
    """The command that runs ``code`` with the names of ``START``."""
    program = textwrap.dedent(START) + textwrap.dedent(code)
    return [sys.executable, "-X", "dev", "-c", program, *map(str, arguments)]


def python(code: str, *arguments: object) -> list[str]:
    """The lines that ``code`` prints in a process of its own, which has nothing to complain of."""
    ended = processes.run(command(code, *arguments))
    assert (ended.returncode, ended.stderr) == (0, "")
    return ended.stdout.splitlines()


# Locked


def test_of_a_file_that_stays_locked_the_person_is_told_once_and_afterwards_all_is_there(make, path, told):
    History(path).close()
    with processes.locked(path):
        writer = make(patience=0.1)
        for number in range(100):
            writer.end(complete(f"early-{number}"))
        assert told.something.wait(LIMIT)
        for number in range(100):
            writer.end(complete(f"late-{number}"))

    assert writer.flush(LIMIT)
    assert len(stored(path)) == 200
    (line,) = told.lines
    assert line.startswith(f"The history {path} is locked by another process. New turns stay in memory")


def test_of_a_file_that_is_locked_again_the_person_is_not_told_again(make, path, told):
    writer = make(patience=0.0)
    for number in range(3):
        assert writer.flush(LIMIT)
        with processes.locked(path):
            writer.end(complete(str(number)))
            assert told.something.wait(LIMIT)
            assert not writer.flush(timeout=0.3)  # so that it has tried

    assert writer.flush(LIMIT)
    assert len(stored(path)) == 3
    assert len(told.lines) == 1


def test_of_a_file_that_is_let_go_in_time_the_person_is_not_told(make, path, told):
    History(path).close()
    with processes.locked(path):
        writer = make(patience=LIMIT)
        writer.end(complete("one"))
        assert not writer.flush(timeout=0.3)  # so that it has tried

    assert writer.flush(LIMIT)
    assert set(stored(path)) == {"one"}
    assert told.lines == []


def test_waiting_for_a_locked_file_costs_no_processor_time(make, path, told):
    writer = make(patience=1.0)
    assert writer.flush(LIMIT)
    with processes.locked(path):
        before = time.process_time()
        writer.end(complete("one"))
        assert told.something.wait(LIMIT)  # for more than a second
        used = time.process_time() - before

    assert used < 0.3


def test_closing_while_the_file_is_locked_does_not_wait_and_all_is_written_once_it_is_let_go(make, path, told):
    writer = make(patience=0.0)
    writer.begin(turn_record(conversation, turn_id="one"))
    assert writer.flush(LIMIT)
    with processes.locked(path):
        writer.begin(turn_record(conversation, turn_id="two"))
        assert told.something.wait(LIMIT)
        writer.grow("one", lambda: "grown")
        assert not writer.close(timeout=0)

    assert writer.close(LIMIT)
    assert stored(path) == {"one": "grown", "two": ""}


def test_texts_that_grow_while_the_file_is_locked_are_not_collected_before_it_is_let_go(make, path, told):
    writer, made = make(interval=0.001, patience=0.5), []
    writer.begin(turn_record(conversation, turn_id="one"))
    assert writer.flush(LIMIT)
    with processes.locked(path):
        writer.begin(turn_record(conversation, turn_id="two"))
        while not told.something.wait(0.001):
            writer.grow("one", lambda: made.append("text") or "grown")
        assert len(made) <= 1

    assert writer.read(turns, LIMIT)
    assert writer.flush(LIMIT)
    assert stored(path) == {"one": "grown", "two": ""}


def test_after_a_lock_turns_go_on_to_be_saved_though_a_record_was_bad(make, path, told):
    writer, saved = make(interval=0.01, patience=0.0), threading.Event()
    writer.begin(turn_record(conversation, turn_id="one"))
    assert writer.flush(LIMIT)
    with processes.locked(path):
        writer.save(complete("bad", place=2**70))
        assert told.something.wait(LIMIT)
        told.something.clear()
    assert told.something.wait(LIMIT)  # of the bad one

    writer.grow("one", lambda: saved.set() or "grown")

    assert saved.wait(LIMIT)


# Damaged


def garbage(path: Path) -> None:
    path.write_bytes(b"garbage" * 1000)


def overwritten(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(os.urandom(path.stat().st_size))


def zeroed(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(bytes(path.stat().st_size))


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2 + 100)


def kept_aside(path: Path) -> list[Path]:
    return [each for each in path.parent.glob("*.damaged-*") if each.suffix == path.suffix]


@pytest.mark.parametrize("damage", [garbage, overwritten, zeroed, cut])
def test_a_damaged_file_is_kept_under_a_name_that_is_told_and_the_conversation_goes_on(make, path, told, damage):
    fill(path, number=10, size=3000)
    damage(path)
    damaged = path.read_bytes()

    writer = make()
    writer.end(complete("new", "text"))
    assert writer.close(LIMIT)

    (aside,) = kept_aside(path)
    assert aside.read_bytes() == damaged
    assert told.lines == [f"The history {path} is damaged: it was renamed to {aside.name}, and a new one was started."]
    assert stored(path) == {"new": "text"}


@pytest.mark.parametrize("damage", [garbage, overwritten, zeroed, cut])
def test_of_a_file_that_is_damaged_while_it_is_open_the_new_one_holds_what_this_writer_knew(make, path, told, damage):
    fill(path, number=300, size=3000)
    writer = make()
    writer.end(complete("before", "text"))
    writer.save(change_record(conversation, change_id="change", added=("before",)))
    writer.begin(turn_record(conversation, turn_id="open"))
    writer.grow("open", "half")
    assert writer.flush(LIMIT)

    damage(path)
    writer.grow("open", "grown")
    writer.end(complete("after"))
    found = writer.read(lambda history: (turns(history), history.changes("conversation")), LIMIT)

    assert found[0] == {"before": "text", "open": "grown", "after": ""}
    assert [change.change_id for change in found[1]] == ["change"]
    assert writer.close(LIMIT)
    (aside,) = kept_aside(path)
    assert told.lines == [f"The history {path} is damaged: it was renamed to {aside.name}, and a new one was started."]
    assert stored(path) == found[0]


def test_of_several_kernels_that_find_the_damage_at_once_none_moves_the_new_file_away(path):
    fill(path, number=2000, size=3000)
    cut(path)
    code = """
        print("ready", flush=True)
        sys.stdin.readline()
        writer = begin(sys.argv[1])
        for number in range(50):
            writer.end(complete(f"{sys.argv[2]}-{number}"))
        print(writer.close(30), *lines, sep="\\n")
    """
    results = processes.at_once(*(command(code, path, number) for number in range(6)))

    (aside,) = kept_aside(path)
    assert [err for _out, err in results] == [""] * 6
    assert [out.splitlines()[0] for out, _err in results] == ["True"] * 6
    told = [line for out, _err in results for line in out.splitlines()[1:]]
    assert told == [f"The history {path} is damaged: it was renamed to {aside.name}, and a new one was started."]
    assert set(stored(path)) == {f"{one}-{number}" for one in range(6) for number in range(50)}


def test_while_another_kernel_looks_through_a_large_damaged_file_this_one_waits_for_it(make, path, told):
    fill(path)
    garbage(path)
    other = Path(f"{path}.moving")
    other.mkdir()

    writer = make()
    writer.end(complete("one"))
    assert not told.something.wait(0.6)  # more than 20 tries took when they came one every 20 ms
    other.rmdir()

    assert writer.flush(LIMIT)
    assert set(stored(path)) == {"one"}
    assert "a new one was started" in told.lines[0]


def test_a_search_that_finds_damage_is_answered(make, path):
    writer = make()
    writer.end(complete("one", "rhubarb"))
    assert writer.close(LIMIT)  # with the turn in the index
    sql(path, "UPDATE words_data SET block = x'0102030405060708' WHERE id > 1000")

    writer = make()
    writer.end(complete("two", "rhubarb"))

    assert "two" in [hit.turn.turn_id for hit in writer.read(lambda history: history.search("rhubarb"), LIMIT)]


def test_damage_that_stays_is_not_fought_without_end(make, path, told):
    """The question stands for damage that SQLite's own check does not see, so that the file stays where it is."""
    writer, asked = make(), []
    writer.end(complete("one", "text"))

    def ask(history: History) -> dict[str, str]:
        asked.append(history.location)
        if history.location == str(path):
            raise HistoryDamagedError(f"the history {path} is damaged")
        return turns(history)

    assert writer.read(ask, LIMIT) == {"one": "text"}
    assert len(asked) <= MAX_RECOVERIES + 2
    (line,) = told.lines
    assert line.endswith("is damaged. Until this kernel is restarted, its turns are only in memory.")
    assert stored(path) == {"one": "text"}


# Not ours, or not to be used


def newer(path: Path) -> str:
    fill(path)
    sql(path, "PRAGMA user_version = 1000")
    return "newer version"


def of_another_program(path: Path) -> str:
    sql(path, "CREATE TABLE recipes (name)", "INSERT INTO recipes VALUES ('rhubarb pie')")
    return "another program"


def folder(path: Path) -> str:
    path.mkdir()
    (path / "file").write_text("kept")
    return "is a folder"


def below_a_file(path: Path) -> str:
    path.parent.rmdir()
    path.parent.write_text("kept")
    return "cannot be created"


def contents(folder: Path) -> dict[str, bytes]:
    """All files of a folder, but for those that SQLite puts beside one to read it."""
    files = [each for each in sorted(folder.rglob("*")) if each.is_file() and not each.name.endswith(("-shm", "-wal"))]
    return {str(each.relative_to(folder)): each.read_bytes() for each in files}


@pytest.mark.parametrize("prepare", [newer, of_another_program, folder, below_a_file])
def test_what_cannot_be_used_stays_as_it_is_and_the_conversation_goes_on_in_memory(make, tmp_path, told, prepare):
    path = tmp_path / "folder" / "history.sqlite3"
    path.parent.mkdir()
    reason = prepare(path)
    before = contents(tmp_path)

    writer = make(path)
    writer.begin(turn_record(conversation, turn_id="one"))
    writer.grow("one", "grown")
    writer.end(complete("two", "text"))
    found = writer.read(turns, LIMIT)
    writer.end(complete("three"))

    assert found == {"one": "grown", "two": "text"}
    assert set(writer.read(turns)) == {"one", "two", "three"}
    (line,) = told.lines
    assert reason in line
    assert line.endswith(". Until this kernel is restarted, its turns are only in memory.")
    assert writer.close(LIMIT)
    assert contents(tmp_path) == before


def test_text_that_is_no_database_stays_as_it_is_where_its_name_does_not_say_it_is_one(make, tmp_path, told):
    notes = tmp_path / "notes.txt"
    notes.write_text("not to be touched " * 100)

    writer = make(notes)
    writer.end(complete("one"))

    assert writer.read(turns, LIMIT) == {"one": ""}
    assert "is not a history and was not changed" in told.lines[0]
    assert contents(tmp_path) == {"notes.txt": b"not to be touched " * 100}


@pytest.mark.skipif(os.name != "posix", reason="rights are other things elsewhere")
def test_a_file_that_can_only_be_read_is_read_and_the_conversation_goes_on_in_memory():
    folder = Path(tempfile.mkdtemp())  # one that others than its owner can look into
    try:
        path = folder / "history.sqlite3"
        fill(path, number=3)
        path.chmod(0o444)
        folder.chmod(0o555)
        before = contents(folder)

        lines = python(
            """
            if os.getuid() == 0:  # who may do anything
                os.setuid(65534)
            writer = begin(sys.argv[1])
            writer.end(complete("new"))
            print(writer.read(turns), *lines, sep="\\n")
            """,
            path,
        )

        assert lines == [
            "['new', 'old-0', 'old-1', 'old-2']",
            f"The history {path} is read-only: make it writable, or set another path. "
            "Until this kernel is restarted, its turns are only in memory.",
        ]
        assert contents(folder) == before
    finally:
        folder.chmod(0o755)
        shutil.rmtree(folder)


@pytest.mark.skipif(os.name != "posix", reason="there is no such limit here")
def test_where_the_disk_takes_no_more_the_conversation_goes_on_in_memory_with_all_that_was_saved(path):
    """The limit of a file's size stands for the disk."""
    fill(path, number=3)

    *lines, found = python(
        """
        resource.setrlimit(resource.RLIMIT_FSIZE, (600_000, 600_000))
        writer = begin(sys.argv[1])
        for number in range(300):
            writer.end(complete(f"new-{number:03}", "x" * 5000))
        found = writer.read(turns, 20)
        print(*lines, sep="\\n")
        print(len(found), found[0], found[-1])
        """,
        path,
    )

    (line,) = lines
    assert line.startswith(f"The history {path} cannot be ")
    assert line.endswith(". Until this kernel is restarted, its turns are only in memory.")
    assert found == "303 new-000 old-2"
    assert {"old-0", "old-1", "old-2", "new-000"} <= set(stored(path))


def test_a_file_that_a_newer_version_takes_over_while_it_is_open_is_left_to_it(make, path, told):
    writer = make()
    writer.end(complete("one", "text"))
    assert writer.flush(LIMIT)
    sql(path, "PRAGMA user_version = 1000")

    writer.end(complete("two"))

    assert writer.read(turns) == {"one": "text", "two": ""}
    assert ["newer version" in line for line in told.lines] == [True]
    sql(path, f"PRAGMA user_version = {NEWEST}")
    assert stored(path) == {"one": "text"}


# Gone


def deleted(path: Path) -> None:
    path.unlink()


def moved(path: Path) -> None:
    path.rename(path.with_name("elsewhere.sqlite3"))


def deleted_with_its_folder(path: Path) -> None:
    shutil.rmtree(path.parent)


@pytest.mark.skipif(os.name == "nt", reason="an open file cannot be deleted on Windows")
@pytest.mark.parametrize("lose", [deleted, moved, deleted_with_its_folder])
def test_in_place_of_a_file_that_is_gone_there_is_a_new_one_with_what_this_writer_knew(make, path, told, lose):
    fill(path)
    writer = make()
    writer.end(complete("before", "text"))
    writer.begin(turn_record(conversation, turn_id="open"))
    assert writer.flush(LIMIT)

    lose(path)
    writer.grow("open", "grown")

    assert writer.read(turns) == {"before": "text", "open": "grown"}
    writer.end(complete("after"))
    assert writer.close(LIMIT)
    assert stored(path) == {"before": "text", "open": "grown", "after": ""}
    assert told.lines == []


@pytest.mark.skipif(os.name == "nt", reason="an open file cannot be moved on Windows")
def test_a_file_that_was_moved_away_keeps_what_was_in_it(make, path):
    fill(path)
    writer = make()
    writer.end(complete("before"))
    assert writer.flush(LIMIT)

    moved(path)
    writer.end(complete("after"))
    assert writer.close(LIMIT)

    assert "old-0" in stored(path.with_name("elsewhere.sqlite3"))
    assert "old-0" not in stored(path)


@pytest.mark.skipif(os.name == "nt", reason="an open file cannot be deleted on Windows")
def test_no_more_than_the_newest_turns_are_remembered(make, path):
    writer = make()
    for number in range(RECOVERY_COUNT + 5):
        writer.end(complete(str(number)))
    assert writer.flush(LIMIT)

    deleted(path)

    assert list(writer.read(turns, LIMIT)) == [str(number) for number in range(5, RECOVERY_COUNT + 5)]


# Records that cannot be saved


@pytest.mark.parametrize(
    "values",
    [
        pytest.param({"place": 2**70}, id="a number beyond 64 bits"),
        pytest.param({"cell_id": object()}, id="a value of no type that SQLite has"),
        pytest.param({"conversation_id": "unknown"}, id="of a conversation that is not there"),
        pytest.param({"notices": (1,)}, id="a notice that is no text"),
    ],
)
def test_of_a_record_that_cannot_be_saved_the_person_is_told_and_the_others_are_saved(make, path, told, values):
    History(path).close()
    with processes.locked(path):  # so that all come together
        writer = make()
        for number in range(50):
            writer.end(complete(str(number)))
            if number == 20:
                writer.end(replace(complete("bad"), **values))

    assert writer.flush(LIMIT)
    assert set(stored(path)) == set(map(str, range(50)))
    (line,) = told.lines
    assert line.startswith("A turn could not be saved to the history: ")


def test_a_turn_whose_conversation_is_not_in_the_file_is_saved_behind_it(path, told):
    writer = BackgroundWriter(path, warn=told, interval=SELDOM, patience=LIMIT)
    writer.save(conversation)  # before its notebook: it is refused
    assert writer.flush(LIMIT)
    writer.save(notebook)
    for number in range(3):
        writer.end(complete(f"turn-{number}"))

    assert writer.close(LIMIT)

    assert sorted(stored(path)) == ["turn-0", "turn-1", "turn-2"]
    assert len(told.lines) == 1  # of the conversation


def test_the_same_trouble_is_told_once_and_another_one_too(make, told):
    writer = make()
    writer.end(complete("one", place=2**70))
    writer.end(complete("two", place=2**70))
    writer.end(replace(complete("three"), conversation_id="unknown"))
    writer.end(replace(complete("four"), conversation_id="unknown"))

    assert writer.read(turns) == {}
    assert len(told.lines) == len(set(told.lines)) == 2


def test_a_text_that_cannot_be_made_is_left_out_and_the_turn_goes_on(make, told):
    writer = make()
    writer.begin(turn_record(conversation, turn_id="one"))
    writer.grow("one", lambda: str(1 / 0))
    assert writer.read(turns) == {"one": ""}
    writer.grow("one", "grown")

    assert writer.read(turns) == {"one": "grown"}
    assert told.lines == ["The text of a turn could not be saved to the history: division by zero."]


# Telling


def test_unless_said_otherwise_the_person_is_told_by_a_warning(tmp_path):
    writer = BackgroundWriter(tmp_path)
    with pytest.warns(FlowGptWarning, match="is a folder"):
        writer.read(lambda history: None)
    assert writer.close(LIMIT)


def test_where_warnings_are_errors_saving_goes_on():
    def warn(line: str) -> None:
        raise FlowGptWarning(line)

    writer = BackgroundWriter(Path(__file__).parent, warn=warn)
    writer.save(notebook)

    assert writer.read(History.notebooks) == (notebook,)
    assert writer.close(LIMIT)

"""What a locked history keeps out at the end of a program is kept beside it, and taken in by the next one, once."""

from __future__ import annotations

import os
import stat
import sys
import textwrap
from contextlib import closing
from pathlib import Path

import pytest

from flowgpt_magic.errors import HistoryError, HistoryFileError
from flowgpt_magic.history.background_writer import BackgroundWriter
from flowgpt_magic.history.database import History
from flowgpt_magic.history.records import ChangeRecord
from flowgpt_magic.history.rescue import rescue, take_rescued
from flowgpt_magic.messages import Turn
from tests import processes
from tests.records import conversation_record, notebook_record, request_record, turn_record

LIMIT = 120  # seconds after which a test has failed
notebook = notebook_record(notebook_id="notebook", key="key")
conversation = conversation_record(notebook, conversation_id="conversation", system="Be brief.")
change = ChangeRecord("change", "conversation", 1, "ask", ("one",), (), False, 1.0)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "history.sqlite3"


def complete(turn_id: str, text: str = "said") -> Turn:
    return turn_record(conversation, turn_id=turn_id, text=text, status="complete", ended=1.0)


def beside(path: Path) -> list[str]:
    """The files that were rescued, by name."""
    return sorted(each.name for each in path.parent.iterdir() if ".rescued-" in each.name)


def texts(path: Path) -> dict[str, str]:
    """The texts that are in the file now, by the id of the turn; nothing is taken in for that."""
    with closing(History.read_only(path)) as history:
        return {turn.turn_id: turn.text for some in history.all_turns() for turn in some}


def take(path: Path) -> int:
    with closing(History(path)) as history:
        return take_rescued(history)


def test_what_is_rescued_is_taken_in_once_and_whole(path: Path) -> None:
    records = [notebook, conversation, complete("one", "half \ud83d"), complete("two"), change]
    rescued = rescue(str(path), [*records, request_record(notebook)])

    assert stat.S_IMODE(rescued.stat().st_mode) == 0o600
    assert beside(path) == [rescued.name]
    assert take(path) == 2
    assert beside(path) == []
    assert take(path) == 0
    with closing(History(path)) as history:
        assert [turn.text for turn in history.turns("conversation")] == ["half \ud83d", "said"]
        assert history.changes("conversation") == (change,)
        assert history.all_conversations()[0].system == "Be brief."
        assert [row.requests for row in history.usage_rows()] == [1]


def test_what_was_saved_later_stays(path: Path) -> None:
    rescue(str(path), [notebook, conversation, complete("one", "earlier")])
    with closing(History(path)) as history:
        history.save(notebook, conversation_record(notebook, conversation_id="conversation", system="Be long."))
        history.save(complete("two"))

    assert take(path) == 1
    assert texts(path) == {"one": "earlier", "two": "said"}
    with closing(History(path)) as history:
        assert history.all_conversations()[0].system == "Be long."


def test_a_record_that_cannot_be_stored_costs_no_other(path: Path) -> None:
    nowhere = turn_record(conversation_record(notebook), turn_id="nowhere", status="complete", ended=1.0)

    rescue(str(path), [notebook, conversation, complete("one"), nowhere, complete("two")])

    assert take(path) == 2


def test_a_file_that_is_not_whole_or_cannot_be_read_is_left_where_it_is(path: Path) -> None:
    names = [f"history.sqlite3.rescued-{'0' * 32}", f"history.sqlite3.rescued-{'1' * 32}.part"]
    for name in names:
        (path.parent / name).write_text("no history", "utf-8")

    assert take(path) == 0
    assert beside(path) == names


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_where_no_file_can_be_made_an_error_says_so(path: Path) -> None:
    path.parent.chmod(0o500)
    try:
        with pytest.raises(HistoryFileError):
            rescue(str(path), [notebook])
    finally:
        path.parent.chmod(0o700)


def test_a_folder_that_is_gone_is_an_error_and_nothing_to_take_in(path: Path) -> None:
    blocked = path.parent / "file"
    blocked.write_text("", "utf-8")

    with pytest.raises(HistoryError):
        rescue(str(blocked / "history.sqlite3"), [notebook])


def test_what_a_locked_history_does_not_take_waits_for_the_next_time(path: Path) -> None:
    rescue(str(path), [notebook, conversation, complete("one")])
    with closing(History(path, patience=0)) as history:
        with processes.locked(path), pytest.raises(HistoryError):
            take_rescued(history)
        assert len(beside(path)) == 1

        assert take_rescued(history) == 1


TAKE = """
from flowgpt_magic.history.database import History
from flowgpt_magic.history.rescue import take_rescued
import sys
history = History(sys.argv[1], patience=30)
print("ready", flush=True)
sys.stdin.readline()
print(take_rescued(history), flush=True)
history.close()
"""


def test_of_several_processes_at_once_one_takes_a_file_in(path: Path) -> None:
    for number in range(10):
        rescue(str(path), [notebook, conversation, complete(f"turn-{number}")])
    counts = [int(out) for out, _err in processes.at_once(*[[sys.executable, "-c", TAKE, str(path)]] * 3)]

    assert sum(counts) + take(path) == 10
    assert len(texts(path)) == 10
    assert beside(path) == []


PROGRAM = """
import sys
from flowgpt_magic import Conversation
from flowgpt_magic.history.current import flush_all
chat = Conversation(system="Be brief.", model="echo")
assert chat.ask("before the lock").text
flush_all()
print("ready", flush=True)
sys.stdin.readline()
for number in range(3):
    assert chat.ask(f"prompt {number}").text
chat.branch("other")
"""


def test_a_program_that_ends_while_another_one_locks_the_history_loses_nothing(path: Path) -> None:
    environment = {**os.environ, "FLOWGPT_HISTORY": str(path)}
    command = [sys.executable, "-c", textwrap.dedent(PROGRAM)]
    with processes.running(command, env=environment, cwd=path.parent, **processes.TEXT) as process:
        assert process.stdout.readline() == "ready\n"
        with processes.locked(path):
            _out, err = process.communicate("go on\n", timeout=LIMIT)
    assert list(texts(path).values()) == ["before the lock"]
    (name,) = beside(path)
    assert f"the turns are in {path.parent / name} and will be added when the history is next used" in " ".join(
        err.split()
    )

    told: list[str] = []
    writer = BackgroundWriter(path, warn=told.append)
    found = writer.read(lambda history: [turn.text for some in history.all_turns() for turn in some], LIMIT)
    assert writer.close(LIMIT)

    assert sorted(found) == sorted(["before the lock", *(f"prompt {n}" for n in range(3))] * 2)
    assert told == [
        "7 turns of an earlier program were added to the history, which was locked when that program ended."
    ]
    assert beside(path) == []

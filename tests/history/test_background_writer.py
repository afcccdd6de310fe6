"""Saving without waiting: what is handed over, when it is written, and processes that fork, end or are killed."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from flowgpt_magic.errors import HistoryError, HistoryLockedError
from flowgpt_magic.history.background_writer import BackgroundWriter
from flowgpt_magic.history.database import History
from flowgpt_magic.messages import Turn
from flowgpt_magic.messages.extras import Extras
from tests import processes
from tests.records import conversation_record, notebook_record, turn_record

LIMIT = 120  # seconds after which a test has failed; none waits as long
SELDOM = 3600.0  # an interval that does not pass during a test
NAME = "flowgpt_magic history"  # of the thread

notebook = notebook_record(notebook_id="notebook", key="key")
conversation = conversation_record(notebook, conversation_id="conversation")

Make = Callable[..., BackgroundWriter]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "history.sqlite3"


@pytest.fixture
def make(path: Path) -> Iterator[Make]:
    """Makes writers that know a conversation, and that must not have anything to tell."""
    made: list[BackgroundWriter] = []
    told: list[str] = []

    def make(location: Path | str = path, interval: float = SELDOM) -> BackgroundWriter:
        writer = BackgroundWriter(location, warn=told.append, interval=interval, patience=LIMIT)
        writer.save(notebook)
        writer.save(conversation)
        made.append(writer)
        return writer

    yield make
    for writer in made:
        writer.close()
    assert told == []


def ended(turn: Turn, text: str) -> Turn:
    return replace(turn, text=text, status="complete", ended=turn.started + 1)


def complete_turn(turn_id: str) -> Turn:
    return turn_record(conversation, turn_id=turn_id, status="complete", ended=1.0)


def stored(path: Path) -> dict[str, Turn]:
    """The turns that are in the file now, by their id."""
    with closing(History(path)) as history:
        return {turn.turn_id: turn for turn in history.turns("conversation", live_only=False)}


def turns(history: History) -> dict[str, str]:
    """The texts of a history, by the id of the turn: what these tests ask a writer for."""
    return {turn.turn_id: turn.text for turn in history.turns("conversation", live_only=False)}


START = """
    import os, sys, threading
    from flowgpt_magic.history.background_writer import BackgroundWriter
    from tests.records import conversation_record, notebook_record, turn_record

    notebook = notebook_record(notebook_id="notebook", key="key")
    conversation = conversation_record(notebook, conversation_id="conversation")

    def begin(path, interval=0.05):
        writer = BackgroundWriter(path, warn=lambda line: print(line, file=sys.stderr, flush=True), interval=interval)
        writer.save(notebook)
        writer.save(conversation)
        return writer

    def complete(turn_id, text=""):
        return turn_record(conversation, turn_id=turn_id, text=text, status="complete", ended=1.0)
"""


def command(code: str, *arguments: object) -> list[str]:
    """The command that runs ``code`` with the names of ``START``."""
    program = textwrap.dedent(START) + textwrap.dedent(code)
    return [sys.executable, "-X", "dev", "-W", "ignore::DeprecationWarning", "-c", program, *map(str, arguments)]


def python(code: str, *arguments: object) -> str:
    """What ``code`` prints in a process of its own, which has nothing to complain of."""
    ended = processes.run(command(code, *arguments))
    assert (ended.returncode, ended.stderr) == (0, "")
    return ended.stdout


# Handing over


def test_what_was_handed_over_is_in_the_file_afterwards(make, path):
    writer, turn = make(), turn_record(conversation)

    writer.begin(turn)
    writer.grow(turn.turn_id, "half")
    writer.end(ended(turn, "half and half"))
    assert writer.flush(LIMIT)

    assert stored(path) == {turn.turn_id: ended(turn, "half and half")}


def test_while_another_process_locks_the_file_nothing_waits_or_fails_and_afterwards_all_is_there(make, path):
    History(path).close()
    one, two = turn_record(conversation, turn_id="one"), turn_record(conversation, turn_id="two")
    with processes.locked(path):
        writer = make()
        writer.begin(one)
        writer.grow("one", "half")
        writer.end(ended(one, "whole"))
        writer.begin(two)
        writer.grow("two", "half")
        writer.save(replace(ended(one, "whole"), live=False))
        assert not writer.flush(timeout=0)

    assert writer.flush(LIMIT)
    assert {turn_id: (turn.text, turn.live) for turn_id, turn in stored(path).items()} == {
        "one": ("whole", False),
        "two": ("half", True),
    }


def test_a_turn_that_begins_is_saved_at_once(make, path):
    writer = make()

    writer.begin(turn_record(conversation, turn_id="one", prompt="what is it?"))
    assert writer.flush(LIMIT)

    assert stored(path)["one"].prompt == "what is it?"
    assert stored(path)["one"].status == "streaming"


def test_ended_turns_enter_the_full_text_index_by_themselves(make, path):
    writer = make()
    writer.end(ended(turn_record(conversation), "rhubarb"))
    assert writer.close(LIMIT)

    with closing(sqlite3.connect(path)) as database:
        assert database.execute("SELECT indexed FROM turns").fetchall() == [(1,)]
    with closing(History(path)) as history:
        assert [hit.turn.text for hit in history.search("rhubarb")] == ["rhubarb"]


def test_all_threads_share_one_saving_thread(make):
    writer, together = BackgroundWriter(":memory:"), threading.Barrier(8)

    def use(number: int) -> None:
        together.wait(LIMIT)
        writer.save(notebook_record(key=str(number)))

    threads = [threading.Thread(target=use, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LIMIT)

    assert sum(thread.name == NAME for thread in threading.enumerate()) == 1
    assert len(writer.read(History.notebooks)) == 8
    assert writer.close(LIMIT)


# Growing


def test_a_wait_for_what_was_saved_does_not_write_growing_texts_and_a_flush_does(make):
    writer, calls = make(), []
    writer.begin(turn_record(conversation, turn_id="one"))
    writer.grow("one", lambda: calls.append("joined") or "text")

    writer.saved().result(LIMIT)
    assert calls == []

    assert writer.flush(LIMIT)
    assert calls == ["joined"]


def test_a_turn_that_grows_is_saved_at_most_once_in_an_interval_by_the_writers_own_thread(make):
    interval = 0.05
    writer, written, enough = make(interval=interval), [], threading.Event()

    def text() -> str:
        written.append((time.monotonic(), threading.current_thread().name))
        if len(written) == 4:
            enough.set()
        return "text"

    writer.begin(turn_record(conversation, turn_id="one"))
    grown = 0
    while not enough.wait(0.001):
        writer.grow("one", text)
        grown += 1

    moments = [moment for moment, _thread in written]
    gaps = [later - earlier for earlier, later in pairwise(moments)]
    assert grown > len(written)
    assert {thread for _moment, thread in written} == {NAME}
    assert min(gaps) >= interval


def test_the_newest_text_counts_and_those_before_it_are_not_even_made(make):
    writer, made = make(), []
    writer.begin(turn_record(conversation, turn_id="one"))
    for number in range(100):
        writer.grow("one", lambda number=number: made.append(number) or str(number))

    assert writer.read(turns) == {"one": "99"}
    assert made == [99]


def test_growth_reaches_the_file_by_itself(make, path):
    writer, written = make(interval=0.01), threading.Event()
    writer.begin(turn_record(conversation, turn_id="one"))
    writer.grow("one", lambda: written.set() or "grown")

    assert written.wait(LIMIT)
    assert writer.close(LIMIT)  # collects nothing, all was taken
    assert stored(path)["one"].text == "grown"


def test_a_turn_that_ended_is_not_overwritten_by_what_it_was_before(make):
    writer, turn, asked = make(), turn_record(conversation, turn_id="one"), []
    writer.begin(turn)
    writer.grow("one", lambda: asked.append("text") or "half")
    writer.end(ended(turn, "whole"))

    assert writer.read(turns) == {"one": "whole"}
    assert asked == []


# Reading


def test_a_read_finds_what_was_handed_over_before_it(make):
    writer = make()
    for number in range(200):
        writer.begin(turn_record(conversation, turn_id=str(number)))
        writer.grow(str(number), f"text {number}")

        assert writer.read(lambda history, number=number: history.turn(str(number)).text) == f"text {number}"


def test_a_read_raises_what_was_raised_in_it_and_the_next_one_is_answered(make):
    writer = make()

    with pytest.raises(ZeroDivisionError):
        writer.read(lambda history: 1 / 0)
    assert writer.read(turns) == {}


def test_while_another_process_locks_the_file_a_read_finds_what_was_written_before(make, path):
    writer = make()
    writer.begin(turn_record(conversation, turn_id="one"))
    assert writer.flush(LIMIT)

    with processes.locked(path):
        writer.begin(turn_record(conversation, turn_id="two"))
        assert writer.read(turns, LIMIT) == {"one": ""}

    assert writer.flush(LIMIT)
    assert writer.read(turns) == {"one": "", "two": ""}


def test_a_read_that_gets_no_answer_in_time_says_so_and_is_not_asked_later(make, path):
    asked = []
    path.touch()
    with processes.locked(path):
        writer = make()
        with pytest.raises(HistoryLockedError, match="did not answer within"):
            writer.read(asked.append, timeout=0.1)

    assert writer.read(turns, LIMIT) == {}
    assert asked == []


def test_an_interrupt_ends_the_wait_for_an_answer(make):
    writer, go_on = make(), threading.Event()

    def ask(history: History) -> bool:
        os.kill(os.getpid(), signal.SIGINT)
        return go_on.wait(LIMIT)

    with pytest.raises(KeyboardInterrupt):
        writer.read(ask, LIMIT)
    go_on.set()
    assert writer.read(turns) == {}


# The beginning and the end


def test_nothing_is_opened_or_started_before_the_first_use(path):
    writer = BackgroundWriter(path)

    assert writer.flush()
    assert not path.exists()
    assert NAME not in [thread.name for thread in threading.enumerate()]
    assert writer.close()
    assert not path.exists()


def test_closing_writes_everything_and_leaves_no_thread_and_no_open_file(make, path):
    writer = make()
    writer.begin(turn_record(conversation, turn_id="one"))
    writer.grow("one", lambda: "grown")
    for number in range(100):
        writer.end(ended(turn_record(conversation), str(number)))

    assert writer.close(LIMIT)

    assert len(stored(path)) == 101
    assert stored(path)["one"].text == "grown"
    assert NAME not in [thread.name for thread in threading.enumerate()]
    assert os.listdir(path.parent) == [path.name]  # SQLite takes the others away with the last connection


def test_after_closing_every_call_is_harmless(make, path):
    writer = make()
    assert writer.close(LIMIT)

    writer.save(notebook)
    writer.begin(turn_record(conversation, turn_id="late"))
    writer.grow("late", "later")
    writer.end(turn_record(conversation, turn_id="late"))
    with pytest.raises(HistoryError, match="closed"):
        writer.read(turns)

    assert writer.flush()
    assert writer.close()
    assert stored(path) == {}


def test_off_saves_nothing(make, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    writer = make("off")
    turn = turn_record(conversation)
    writer.begin(turn)
    writer.grow(turn.turn_id, "half")
    writer.end(ended(turn, "whole"))

    assert writer.read(turns) == {}
    assert writer.close(LIMIT)
    assert os.listdir(tmp_path) == []


def test_in_memory_everything_is_found_and_nothing_is_written(make, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    writer = make(":memory:")
    writer.begin(turn_record(conversation, turn_id="one"))
    writer.grow("one", "grown")

    assert writer.read(turns) == {"one": "grown"}
    assert writer.close(LIMIT)
    assert os.listdir(tmp_path) == []


def test_a_relative_path_means_the_same_file_when_the_notebook_changes_its_folder(make, tmp_path, monkeypatch):
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    writer = make("history.sqlite3")
    writer.begin(turn_record(conversation, turn_id="one"))
    assert writer.flush(LIMIT)

    monkeypatch.chdir("elsewhere")
    writer.begin(turn_record(conversation, turn_id="two"))
    assert writer.close(LIMIT)

    assert set(stored(tmp_path / "history.sqlite3")) == {"one", "two"}
    assert os.listdir() == []


def test_the_end_of_the_process_writes_everything(path):
    python(
        """
        writer = begin(sys.argv[1], interval=3600)
        writer.end(complete("one", "whole"))
        writer.begin(turn_record(conversation, turn_id="two"))
        writer.grow("two", lambda: "half")
        """,
        path,
    )

    found = stored(path)
    assert (found["one"].status, found["one"].text) == ("complete", "whole")
    assert (found["two"].status, found["two"].text) == ("cancelled", "half")


def test_a_reply_that_the_end_of_the_process_stops_is_saved_as_it_ended(path):
    python(
        """
        import asyncio
        from flowgpt_magic import bridge
        writer = begin(sys.argv[1], interval=3600)
        begun = threading.Event()

        async def reply():
            writer.begin(turn_record(conversation, turn_id="one"))
            begun.set()
            try:
                await asyncio.Event().wait()
            finally:
                writer.end(complete("one", "what came"))

        future = bridge.worker().submit(reply())  # kept, or else the garbage collector takes the task away
        begun.wait()
        """,
        path,
    )

    assert (stored(path)["one"].status, stored(path)["one"].text) == ("complete", "what came")


def test_turns_that_cannot_be_written_before_the_program_ends_are_counted_in_a_warning_and_written_later(path):
    code = """
        writer = begin(sys.argv[1])
        writer.flush()
        print("ready", flush=True)
        sys.stdin.readline()
        for number in range(3):
            writer.end(complete(f"turn-{number}"))
    """
    with processes.running(command(code, path), **processes.TEXT) as process:
        assert process.stdout.readline() == "ready\n"
        with processes.locked(path):
            _out, err = process.communicate("go on\n", timeout=LIMIT)

    assert "FlowGptWarning: 3 turns could not be saved before the program ended" in err
    assert str(path) in err
    begun = processes.run(command("writer = begin(sys.argv[1]); writer.flush(); assert writer.close()", path))
    assert (
        begun.stderr
        == "3 turns of an earlier program were added to the history, which was locked when that program ended.\n"
    )
    assert sorted(stored(path)) == ["turn-0", "turn-1", "turn-2"]


def test_the_future_of_what_was_handed_over_is_done_when_it_is_in_the_file_and_not_before(make, path):
    writer = make()
    assert writer.flush(LIMIT)
    with processes.locked(path):
        writer.end(complete_turn("one"))
        saved = writer.saved()
        assert writer.read(turns) == {}  # an answer comes after a try to write
        assert not saved.done()
    saved.result(LIMIT)

    assert set(stored(path)) == {"one"}


@pytest.mark.parametrize("location", [":memory:", "off"])
def test_where_there_is_no_file_nothing_is_waited_for(make, location):
    assert make(location).saved() is None


# Several processes


def test_eight_processes_write_ten_thousand_turns_at_once_and_none_is_lost(path):
    code = """
        writer = begin(sys.argv[1])
        print("ready", flush=True)
        sys.stdin.readline()
        for number in range(1250):
            writer.end(complete(f"{sys.argv[2]}-{number}", "short"))
        print(writer.close(60))
    """
    results = processes.at_once(*(command(code, path, number) for number in range(8)))

    assert results == [("True\n", "")] * 8
    assert set(stored(path)) == {f"{one}-{number}" for one in range(8) for number in range(1250)}


STREAM = """
    import itertools, time
    writer = begin(sys.argv[1], float(sys.argv[3]))
    writer.begin(turn_record(conversation, turn_id=sys.argv[2], prompt="what is said?"))
    writer.flush()
    for number in itertools.count(1):
        writer.grow(sys.argv[2], "".join(f"{each} " for each in range(number)))
        print(number, time.time(), flush=True)
        time.sleep(0.005)
"""


def test_reasoning_that_grows_is_saved_before_the_end_beside_the_text(make, path):
    writer = make()
    writer.begin(turn_record(conversation, turn_id="one"))

    writer.grow("one", "", lambda: "two and two")
    assert writer.flush(LIMIT)
    reasoned = stored(path)["one"]
    writer.grow("one", "fo", "two and two")
    assert writer.flush(LIMIT)

    assert (reasoned.text, reasoned.extras) == ("", Extras(reasoning="two and two"))
    assert (stored(path)["one"].text, stored(path)["one"].extras) == ("fo", Extras(reasoning="two and two"))


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="there is no kill -9 here")
def test_a_kernel_that_is_killed_in_mid_stream_loses_no_more_than_the_last_interval(path):
    interval, slack = 0.1, 0.4  # seconds; the slack is for a busy machine
    for number in range(6):
        with processes.running(command(STREAM, path, f"turn-{number}", interval), **processes.TEXT) as kernel:
            for _ in range(random.randrange(30, 120)):
                kernel.stdout.readline()
            kernel.kill()
            out, _err = kernel.communicate(timeout=LIMIT)
        said = [line.split() for line in out.splitlines() if line.count(" ") == 1]  # after those that were read
        died = float(said[-1][1]) if said else time.time()

        turn = stored(path)[f"turn-{number}"]

        assert (turn.prompt, turn.status) == ("what is said?", "cancelled")
        assert turn.text
        assert turn.ended > died - interval - slack


# Forks

forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="there are no forks here")


@forks
def test_a_forked_child_saves_by_a_thread_of_its_own_and_its_parent_goes_on(path):
    said = python(
        """
        writer = begin(sys.argv[1])
        writer.end(complete("before"))
        child = os.fork()
        if child == 0:
            writer.end(complete("of the child"))
            assert writer.read(lambda history: history.turn("of the child"))
            print(*[thread.name for thread in threading.enumerate()], sep=", ")
            sys.exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        writer.end(complete("after"))
        print(sorted(writer.read(lambda history: [turn.turn_id for turn in history.turns("conversation")])))
        """,
        path,
    )

    assert said == "MainThread, flowgpt_magic history\n['after', 'before', 'of the child']\n"
    assert set(stored(path)) == {"before", "of the child", "after"}


@forks
def test_what_the_parent_has_not_written_at_a_fork_is_no_hindrance_for_the_child(path):
    python(
        """
        writer = begin(sys.argv[1])
        child = os.fork()
        if child == 0:
            writer.end(complete("of the child"))
            sys.exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        """,
        path,
    )

    assert set(stored(path)) == {"of the child"}


@forks
def test_children_of_a_process_that_is_busy_saving_are_not_locked_out(path):
    python(
        """
        writer, over = begin(sys.argv[1]), threading.Event()

        def save():
            while not over.wait(0.001):
                writer.end(complete("of the parent", "x" * 200_000))

        thread = threading.Thread(target=save)
        thread.start()
        try:
            for number in range(25):
                child = os.fork()
                if child == 0:
                    writer.end(complete(f"of child {number}"))
                    os._exit(not writer.close(60))
                assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        finally:
            over.set()
            thread.join()
        """,
        path,
    )

    assert set(stored(path)) == {"of the parent", *(f"of child {number}" for number in range(25))}


@forks
def test_what_a_child_saves_after_its_parent_has_closed_is_not_lost(path):
    python(
        """
        writer = begin(sys.argv[1])
        writer.end(complete("of the parent"))
        writer.flush()
        (reading, said), (waiting, go_on) = os.pipe(), os.pipe()
        child = os.fork()
        if child == 0:
            writer.end(complete("before"))
            writer.flush()
            os.write(said, b"1")
            os.read(waiting, 1)
            writer.end(complete("after"))
            os._exit(not writer.close())
        os.read(reading, 1)
        assert writer.close()
        os.write(go_on, b"1")
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        """,
        path,
    )

    assert set(stored(path)) == {"of the parent", "before", "after"}


@forks
def test_a_fork_leaves_what_is_kept_in_memory_where_it_is():
    said = python(
        """
        writer = begin(":memory:")
        writer.end(complete("one"))
        child = os.fork()
        if child == 0:
            os._exit(len(writer.read(lambda history: history.turns("conversation"))))
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        print(len(writer.read(lambda history: history.turns("conversation"))))
        """
    )

    assert said == "1\n"


@forks
def test_a_child_that_was_forked_while_a_writer_started_ends(path):
    python(
        """
        writer = BackgroundWriter(sys.argv[1])
        writer.save(notebook)
        started, over = threading.Event(), threading.Event()

        def start():
            with writer._starting:
                started.set()
                over.wait()

        threading.Thread(target=start).start()
        started.wait()
        child = os.fork()
        if child == 0:
            writer.close()
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        over.set()
        """,
        path,
    )


def test_one_whose_file_cannot_be_made_says_that_it_is_in_memory(tmp_path):
    (tmp_path / "file").touch()
    told: list[str] = []
    writer = BackgroundWriter(str(tmp_path / "file" / "history.sqlite3"), warn=told.append)
    assert not writer.in_memory

    writer.flush()
    writer.read(lambda _history: None)

    assert writer.in_memory
    assert len(told) == 1
    writer.close()

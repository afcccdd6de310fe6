"""One process's part of the history: its notebook, and what becomes of it when files are moved, copied and replaced."""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from flowgpt_magic.conversation import Conversation
from flowgpt_magic.errors import ConversationNotFoundError, TurnNotFoundError
from flowgpt_magic.history.database import History
from flowgpt_magic.history.notebook_history import NotebookHistory
from flowgpt_magic.history.records import NotebookRecord
from flowgpt_magic.notebook.place import Cell, Place, place_of

PROGRAM = """
from flowgpt_magic import Conversation
chat = Conversation(configured=lambda: {"model": "echo:messages"})
print(chat.ask("hello").text)
"""


def save(path: Path, *cells: str, at: float | None = None) -> Path:
    """A notebook with cells of these ids, saved at this time."""
    content = [{"cell_type": "code", "id": each, "metadata": {}, "source": ""} for each in cells]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": content}))
    if at is not None:
        os.utime(path, (at, at))
    return path


def new_ids(count: int) -> list[str]:
    return [str(uuid4()) for _ in range(count)]


@pytest.fixture
def kernel(tmp_path: Path) -> Iterator[Callable[..., NotebookHistory]]:
    """Open the history of a kernel whose notebook is at a path; all share one history."""
    started: list[NotebookHistory] = []

    def start(place: Path | Place, **how) -> NotebookHistory:
        where = place if isinstance(place, Place) else place_of(str(place))
        started.append(NotebookHistory(where, str(tmp_path / "history.sqlite3"), **how))
        return started[-1]

    yield start
    for each in started:
        each.close()


def ask(kernel: NotebookHistory, prompt: str, cell_id: str = "", name: str = "main") -> None:
    list(
        Conversation(name, configured=lambda: {"model": "echo"}, notebook_history=kernel).ask(
            prompt, cell=Cell(cell_id, prompt)
        )
    )


def prompts(kernel: NotebookHistory, name: str = "main") -> list[str]:
    return [turn.prompt for turn in Conversation(name, notebook_history=kernel).turns]


def end(kernel: NotebookHistory) -> None:
    assert kernel.flush()
    kernel.close()


def test_the_next_kernel_of_a_notebook_goes_on_where_the_last_one_ended(kernel, tmp_path):
    first = kernel(tmp_path / "a.ipynb")
    ask(first, "one")
    end(first)

    assert prompts(kernel(tmp_path / "a.ipynb")) == ["one"]
    assert prompts(kernel(tmp_path / "b.ipynb")) == []


def test_names_are_known_once_the_notebook_was_looked_for(kernel, tmp_path):
    first = kernel(tmp_path / "a.ipynb")
    ask(first, "one")
    end(first)
    second = kernel(tmp_path / "a.ipynb")

    assert second.known_names() == []
    assert second.names() == second.known_names() == ["main"]


def test_a_name_is_free_where_no_conversation_of_it_has_turns_and_none_is_opened_to_tell(kernel, tmp_path):
    first = kernel(tmp_path / "a.ipynb")
    for name in ("talk", "talk (2)"):
        ask(first, "one", name=name)
    Conversation("empty", notebook_history=first).begin_anew()
    end(first)
    second = kernel(tmp_path / "a.ipynb")
    ask(second, "two", name="here")

    free = [second.free_name(name) for name in ("talk", "empty", "new", "here")]

    assert free == ["talk (3)", "empty", "new", "here (2)"]
    assert list(second._states) == ["here"]


def test_a_notebook_that_was_moved_between_two_kernels_takes_its_history_along(kernel, tmp_path):
    cells = new_ids(3)
    path = save(tmp_path / "a.ipynb", *cells)
    first = kernel(path)
    ask(first, "one", cells[0])
    end(first)
    moved = path.rename(tmp_path / "b.ipynb")

    second = kernel(moved)
    found = prompts(second)
    end(second)

    assert found == ["one"]
    assert second.take_notices() == ["this notebook was a.ipynb before: its history is taken over"]
    third = kernel(moved)
    assert prompts(third) == ["one"]
    assert third.take_notices() == []


def test_too_few_cells_are_no_proof_but_a_hint(kernel, tmp_path):
    cells = new_ids(4)
    path = save(tmp_path / "a.ipynb", *cells)
    first = kernel(path)
    for number, cell in enumerate(cells):
        ask(first, str(number), cell)
    end(first)
    path.unlink()

    second = kernel(save(tmp_path / "b.ipynb", cells[0], *new_ids(3)))

    assert prompts(second) == []
    assert second.take_notices() == [
        f"this notebook has cells of a.ipynb, which no longer exists: %flowgpt adopt {path} takes over its history"
    ]


def test_a_copy_starts_from_the_originals_turns_and_does_not_change_them(kernel, tmp_path):
    cells = new_ids(2)
    first = kernel(save(tmp_path / "a.ipynb", *cells))
    ask(first, "one", cells[0])
    first.flush()

    copy = kernel(save(tmp_path / "copy.ipynb", *cells))
    ask(copy, "other one", cells[0])
    copy.flush()

    assert prompts(copy) == ["other one"]
    (turn,) = Conversation(notebook_history=copy).turns
    assert turn.notices == ("this notebook is a copy of a.ipynb: it starts with a copy of its history",)
    end(first)
    assert prompts(kernel(tmp_path / "a.ipynb")) == ["one"]


class TestAnotherNotebookOfTheSameName:
    """``Untitled.ipynb`` is renamed while its kernel runs, and the next new notebook is ``Untitled.ipynb`` again."""

    @pytest.fixture
    def renamed(self, kernel, tmp_path) -> tuple[NotebookHistory, list[str]]:
        cells = new_ids(2)
        path = save(tmp_path / "Untitled.ipynb", *cells)
        first = kernel(path)
        ask(first, "secret", cells[0])
        first.flush()
        path.rename(tmp_path / "analysis.ipynb")
        return first, cells

    def test_it_begins_anew(self, kernel, tmp_path, renamed):
        second = kernel(save(tmp_path / "Untitled.ipynb", *new_ids(1), at=2e9))

        assert prompts(second) == []
        assert (
            "Untitled.ipynb was another notebook before: this one starts with an empty history"
            in second.take_notices()[0]
        )

    def test_the_first_one_goes_on_in_its_kernel_and_is_found_by_its_next(self, kernel, tmp_path, renamed):
        first, cells = renamed
        second = kernel(save(tmp_path / "Untitled.ipynb", *new_ids(1), at=2e9))
        ask(second, "other")

        ask(first, "more", cells[1])
        end(first)

        assert prompts(kernel(tmp_path / "analysis.ipynb")) == ["secret", "more"]
        assert prompts(second) == ["other"]

    def test_what_was_said_under_that_name_can_be_adopted(self, kernel, tmp_path, renamed):
        path = save(tmp_path / "Untitled.ipynb", *new_ids(1), at=2e9)
        second = kernel(path)
        ask(second, "other")

        assert second.adopt(str(path)) == "Untitled.ipynb"
        assert prompts(second) == ["secret"]

    def test_cells_that_are_not_saved_yet_do_not_make_it_another(self, kernel, tmp_path, renamed):
        second = kernel(save(tmp_path / "Untitled.ipynb", *new_ids(1), at=1e9))

        assert prompts(second) == ["secret"]

    def test_neither_does_a_cell_that_runs_and_has_a_turn(self, kernel, tmp_path, renamed):
        _first, cells = renamed
        path = save(tmp_path / "Untitled.ipynb", *new_ids(1), at=2e9)

        second = kernel(path, running_cell=lambda: Cell(cells[0], "1"))

        assert prompts(second) == ["secret"]


class TestAdopting:
    def test_the_history_of_another_path_is_taken_over(self, kernel, tmp_path):
        first = kernel(tmp_path / "old.ipynb")
        ask(first, "one")
        end(first)
        second = kernel(tmp_path / "new.ipynb")
        ask(second, "other")

        label = second.adopt(str(tmp_path / "old.ipynb"))
        second.flush()

        assert (label, prompts(second)) == ("old.ipynb", ["one"])
        assert prompts(kernel(tmp_path / "new.ipynb")) == ["one"]

    def test_of_an_unknown_path_nothing_is_known(self, kernel, tmp_path):
        with pytest.raises(ConversationNotFoundError, match="there is no history of a notebook at"):
            kernel(tmp_path / "a.ipynb").adopt("/nowhere/b.ipynb")

    def test_a_notebook_has_its_own_history_already(self, kernel, tmp_path):
        mine = kernel(tmp_path / "a.ipynb")
        ask(mine, "one")
        mine.flush()

        with pytest.raises(ConversationNotFoundError, match="there is no other history of a notebook at"):
            mine.adopt(str(tmp_path / "a.ipynb"))

    def test_of_a_notebook_that_is_still_there_it_takes_a_copy(self, kernel, tmp_path):
        first = kernel(save(tmp_path / "a.ipynb", *new_ids(1)))
        ask(first, "one")
        end(first)
        second = kernel(save(tmp_path / "b.ipynb", *new_ids(1)))

        second.adopt(str(tmp_path / "a.ipynb"))
        ask(second, "two")
        end(second)

        assert prompts(kernel(tmp_path / "b.ipynb")) == ["one", "two"]
        assert prompts(kernel(tmp_path / "a.ipynb")) == ["one"]

    def test_its_own_conversation_of_that_name_gets_another(self, kernel, tmp_path):
        first, second = kernel(tmp_path / "old.ipynb"), kernel(tmp_path / "new.ipynb")
        ask(second, "mine")
        ask(first, "theirs")
        end(first)

        second.adopt(str(tmp_path / "old.ipynb"))

        assert (prompts(second), prompts(second, "main (2)")) == (["theirs"], ["mine"])

    def test_what_was_adopted_moves_along_with_the_notebook(self, kernel, tmp_path):
        cells = new_ids(1)
        path = save(tmp_path / "n.ipynb", *cells)
        first, second = kernel(tmp_path / "old.ipynb"), kernel(path)
        ask(first, "theirs", name="adopted")
        end(first)
        ask(second, "mine", cells[0])
        second.adopt(str(tmp_path / "old.ipynb"))
        end(second)
        moved = path.rename(tmp_path / "m.ipynb")

        third = kernel(moved)

        assert (prompts(third), prompts(third, "adopted")) == (["mine"], ["theirs"])


class TestRestoring:
    def test_of_several_removed_conversations_of_a_name_the_newest_comes_back(self, kernel, tmp_path):
        notebook = kernel(tmp_path / "a.ipynb")
        for prompt in ("older", "newer"):
            ask(notebook, prompt)
            Conversation(notebook_history=notebook).remove()

        assert notebook.restore("main")
        assert prompts(notebook) == ["newer"]

    def test_without_a_removed_conversation_of_that_name_nothing_changes(self, kernel, tmp_path):
        notebook = kernel(tmp_path / "a.ipynb")
        ask(notebook, "one")
        changes: list[object] = []
        notebook.listeners.append(changes.append)

        assert not notebook.restore("main")
        assert not notebook.restore("other")
        assert (changes, prompts(notebook)) == ([], ["one"])


class TestALockedFile:
    @pytest.fixture
    def locked(self, tmp_path) -> Iterator[sqlite3.Connection]:
        with contextlib.closing(sqlite3.connect(tmp_path / "history.sqlite3", isolation_level=None)) as database:
            yield database

    def test_a_notebook_that_was_moved_is_found_though_nothing_can_be_written_just_now(self, kernel, tmp_path, locked):
        cells = new_ids(1)
        path = save(tmp_path / "a.ipynb", *cells)
        first = kernel(path)
        ask(first, "one", cells[0])
        end(first)
        moved = path.rename(tmp_path / "b.ipynb")

        locked.execute("BEGIN IMMEDIATE")
        second = kernel(moved)
        found = prompts(second)
        locked.execute("ROLLBACK")
        end(second)

        assert found == ["one"]
        assert prompts(kernel(moved)) == ["one"]


class TestRenamedUnderTheRunningKernel:
    def test_over_the_name_of_another_that_is_gone(self, kernel, tmp_path):
        older = kernel(tmp_path / "b.ipynb")
        ask(older, "older")
        end(older)
        path = save(tmp_path / "a.ipynb", *new_ids(1))
        moved = tmp_path / "b.ipynb"
        first = kernel(path, find_path=lambda: str(moved))
        ask(first, "one")
        path.rename(moved)

        first.follow_file()
        end(first)

        assert prompts(kernel(moved)) == ["one"]

    def test_its_place_in_the_history_follows_the_file(self, kernel, tmp_path):
        path = save(tmp_path / "a.ipynb", *new_ids(1))
        moved = tmp_path / "b.ipynb"
        first = kernel(path, find_path=lambda: str(moved))
        ask(first, "one")
        path.rename(moved)

        first.follow_file()
        end(first)

        assert first.place.label == "b.ipynb"
        assert prompts(kernel(moved)) == ["one"]

    def test_the_next_prompt_looks_for_a_file_that_is_gone(self, kernel, tmp_path):
        path = save(tmp_path / "a.ipynb", *new_ids(1))
        moved = tmp_path / "b.ipynb"
        asked = threading.Event()
        let_go = threading.Event()

        def find_path() -> str:
            asked.set()
            let_go.wait(10)
            return str(moved)

        first = kernel(path, find_path=find_path)
        ask(first, "one")
        path.rename(moved)

        ask(first, "two")  # and does not wait for the answer
        assert asked.wait(10)
        (look,) = [thread for thread in threading.enumerate() if thread.name == "flowgpt_magic notebook"]
        let_go.set()
        look.join(10)

        assert first.place.label == "b.ipynb"
        assert prompts(first) == ["one", "two"]

    @pytest.mark.parametrize("told", [None, "/nowhere/at/all.ipynb"])
    def test_where_nobody_knows_it_stays(self, kernel, tmp_path, told):
        first = kernel(save(tmp_path / "a.ipynb", *new_ids(1)), find_path=lambda: told)

        first.follow_file()

        assert first.place.label == "a.ipynb"


class TestFolders:
    def test_a_terminal_goes_on_with_its_folder_and_says_so(self, kernel):
        place = Place("terminal", "", "terminal in /work", "folder:/work")
        first = kernel(place)
        ask(first, "one")
        end(first)

        second = kernel(place)

        assert prompts(second) == ["one"]
        assert second.take_notices() == [
            "main continues with 1 turn from terminal in /work; %flowgpt clear starts afresh"
        ]


def test_of_two_conversations_begun_at_once_the_later_one_gets_another_name(kernel, tmp_path):
    first, second = kernel(tmp_path / "a.ipynb"), kernel(tmp_path / "a.ipynb")
    assert prompts(first) == prompts(second) == []
    for each, prompt in ((first, "one"), (second, "other")):
        ask(each, prompt)
        each.flush()

    third = kernel(tmp_path / "a.ipynb")

    assert (prompts(third), prompts(third, "main (2)")) == (["one"], ["other"])
    assert third.take_notices() == ["another conversation was also called main: it is now called main (2)"]


class TestTurnsByTheirId:
    def test_a_turn_of_any_notebook_is_found_by_how_its_id_begins(self, kernel, tmp_path):
        first = kernel(tmp_path / "a.ipynb")
        ask(first, "one")
        (turn,) = Conversation(notebook_history=first).turns
        end(first)

        found = kernel(tmp_path / "b.ipynb").turn(turn.turn_id[:8])

        assert (found.turn_id, found.prompt) == (turn.turn_id, "one")

    @pytest.mark.parametrize("beginning", ["", "zzz", "%", "~"])
    def test_none_is_an_error(self, kernel, tmp_path, beginning):
        with pytest.raises(TurnNotFoundError, match="no turn has an id that begins"):
            kernel(tmp_path / "a.ipynb").turn(beginning)

    def test_so_are_several(self, kernel, tmp_path):
        first = kernel(tmp_path / "a.ipynb")
        for number in range(40):  # more than there are hexadecimal digits
            ask(first, str(number))
        many = [turn.turn_id[0] for turn in Conversation(notebook_history=first).turns]
        twice = next(letter for letter in many if many.count(letter) > 1)

        with pytest.raises(TurnNotFoundError, match="several turns have"):
            first.turn(twice)


def test_without_a_history_conversations_live_in_memory(tmp_path):
    kernel = NotebookHistory(place_of(str(tmp_path / "a.ipynb")), "off")

    ask(kernel, "one")
    ask(kernel, "two", name="other")

    assert (prompts(kernel), kernel.names()) == (["one"], ["main", "other"])
    assert list(tmp_path.iterdir()) == []
    kernel.close()


def test_a_history_that_cannot_be_used_is_said_once_and_the_conversation_goes_on(tmp_path):
    (tmp_path / "folder").mkdir()
    kernel = NotebookHistory(place_of(str(tmp_path / "a.ipynb")), str(tmp_path / "folder"))

    ask(kernel, "one")
    ask(kernel, "two")
    said = [
        notice for turn in Conversation(notebook_history=kernel).turns for notice in turn.notices
    ] + kernel.take_notices()

    assert prompts(kernel) == ["one", "two"]
    assert len(said) == 1
    assert "which is a folder: set the path of a file" in said[0]
    kernel.close()


def test_what_is_said_after_the_file_was_lost_is_in_the_new_one(kernel, tmp_path):
    """Also in a conversation that was there before this kernel: its record was never this kernel's to save."""
    first = kernel(tmp_path / "a.ipynb")
    ask(first, "one")
    end(first)
    second = kernel(tmp_path / "a.ipynb")
    assert prompts(second) == ["one"]

    for path in tmp_path.glob("history.sqlite3*"):
        path.unlink()
    ask(second, "two")
    end(second)

    assert second.take_notices() == []
    assert "two" in prompts(kernel(tmp_path / "a.ipynb"))


def test_a_program_is_told_of_trouble_by_a_warning(tmp_path):
    (tmp_path / "folder").mkdir()
    environment = {**os.environ, "FLOWGPT_HISTORY": str(tmp_path / "folder")}

    ended = subprocess.run([sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, check=True)

    assert ended.stdout == "user: hello\n"
    assert ended.stderr.count("which is a folder: set the path of a file") == 1


def test_a_program_begins_anew_each_time_and_is_kept(tmp_path):
    path = tmp_path / "history.sqlite3"
    environment = {**os.environ, "FLOWGPT_HISTORY": str(path)}

    printed = [
        subprocess.run([sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, check=True)
        for _ in range(2)
    ]

    assert [each.stdout for each in printed] == ["user: hello\n"] * 2
    assert [each.stderr for each in printed] == [""] * 2
    history = History(path)
    assert len(history.search("hello")) == 2
    history.close()


# Threads and processes that end without a word


THREADS = """
import sys
from concurrent.futures import ThreadPoolExecutor
from flowgpt_magic import Conversation
sys.setswitchinterval(1e-6)  # as many changes of threads as can be
with ThreadPoolExecutor(20) as pool:
    list(pool.map(lambda number: Conversation(f"c{number % 4}").ask(f"question {number}").text, range(40)))
"""

CHILDREN = """
import multiprocessing, os, sys
from flowgpt_magic import Conversation, ask, map_prompts

def replies(number):
    for each in range(5):
        Conversation(f"child {number}").ask(f"question {number} {each}").text
    os._exit(0)  # no atexit function runs

def batch(number):
    batch = map_prompts([f"item {number} {each}" for each in range(100)], progress=False)
    assert len(batch.results) == 100 and batch.status == "complete"
    os._exit(0)

if __name__ == "__main__":
    ask("of the parent").text
    context = multiprocessing.get_context(sys.argv[1])
    children = [context.Process(target=globals()[sys.argv[2]], args=(number,)) for number in range(4)]
    for each in children:
        each.start()
    for each in children:
        each.join()
    assert [each.exitcode for each in children] == [0] * 4
    os._exit(0)
"""


def run_program(folder: Path, program: str, *arguments: str) -> int:
    """Run ``program`` from a file on the echo provider; the number of turns in its history afterwards."""
    file, history = folder / "program.py", folder / "history.sqlite3"
    file.write_text(program)
    environment = {**os.environ, "FLOWGPT_MODEL": "echo", "FLOWGPT_HISTORY": str(history)}
    done = subprocess.run(
        [sys.executable, str(file), *arguments], env=environment, capture_output=True, text=True, timeout=120
    )
    assert (done.returncode, done.stderr) == (0, "")
    with contextlib.closing(sqlite3.connect(history)) as database:
        return int(database.execute("SELECT count(*) FROM turns WHERE status = 'complete'").fetchone()[0])


def test_threads_that_ask_as_the_first_thing_in_a_process_lose_no_turn(tmp_path):
    assert run_program(tmp_path, THREADS) == 40


def test_no_turn_comes_before_its_notebook_however_threads_change(kernel, tmp_path, monkeypatch):
    here = kernel(save(tmp_path / "work.ipynb", *new_ids(2)))
    kept = here.load("main")
    handed_over: list[str] = []
    other = threading.Thread(target=lambda: here.save(kept, changed=True))

    def slow_save(record: object) -> None:
        if isinstance(record, NotebookRecord) and not other.ident:
            other.start()
            other.join(0.2)  # it has to wait; without a lock it would be through by then
        handed_over.append(type(record).__name__)

    monkeypatch.setattr(here._writer, "save", slow_save)
    here.save(kept)
    other.join()

    assert handed_over[:2] == ["NotebookRecord", "ConversationRecord"]


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_process_that_ends_at_once_after_its_replies_were_complete_has_saved_them(tmp_path, method):
    assert run_program(tmp_path, CHILDREN, method, "replies") == 21


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_process_that_ends_at_once_after_its_batch_was_complete_has_saved_it(tmp_path, method):
    assert run_program(tmp_path, CHILDREN, method, "batch") == 401


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_child_that_was_forked_while_a_thread_held_the_locks_can_ask(tmp_path):
    program = """
import warnings
warnings.simplefilter("ignore", DeprecationWarning)  # from Python 3.12 on a fork beside threads warns
import os, sys, threading
from flowgpt_magic import Conversation
from flowgpt_magic import bridge
from flowgpt_magic.history import current
chat = Conversation()
chat.ask("of the parent").text
here = current.current_history()
held, over = threading.Event(), threading.Event()

def hold():
    with here._lock, chat._state.lock, bridge._starting, current._lock:
        held.set()
        over.wait()

threading.Thread(target=hold).start()
held.wait()
if not os.fork():
    chat.ask("of the child").text
    os._exit(0)
over.set()
assert os.wait()[1] == 0
"""
    assert run_program(tmp_path, program) == 2

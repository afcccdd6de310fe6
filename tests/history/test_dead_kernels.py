"""A turn that its killed kernel left streaming reads as cancelled."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

from flowgpt_magic.history.database import History
from flowgpt_magic.history.dead_kernels import PRESUMED_DEAD_AFTER, is_abandoned
from flowgpt_magic.history.processes import this_kernel
from tests.records import conversation_record, notebook_record, turn_record


@pytest.fixture
def killed_kernel() -> str:
    """The name of a process of this machine that was killed."""
    code = "from flowgpt_magic.history.processes import this_kernel; print(this_kernel(), flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as it:
        assert it.stdout is not None
        name = it.stdout.readline().strip()
        it.kill()
    return name


def test_a_killed_kernel_has_abandoned_its_turns_at_once(killed_kernel):
    assert is_abandoned(killed_kernel, time.time())


def test_a_kernel_that_runs_has_not_however_long_it_is_silent():
    assert not is_abandoned(this_kernel(), 0.0)


def test_a_kernel_that_cannot_be_seen_has_after_a_long_silence(monkeypatch):
    now = 1_000_000.0
    monkeypatch.setattr(time, "time", lambda: now)

    assert not is_abandoned("1 2 elsewhere", now - PRESUMED_DEAD_AFTER)
    assert is_abandoned("1 2 elsewhere", now - PRESUMED_DEAD_AFTER - 0.1)


def test_its_turn_is_shown_as_cancelled_and_the_next_kernel_saves_that(killed_kernel, tmp_path):
    path = tmp_path / "history.sqlite3"
    notebook = notebook_record()
    conversation = conversation_record(notebook)
    turn = turn_record(conversation, kernel=killed_kernel, text="half an answ")
    history = History(path)
    history.save(notebook, conversation, turn)

    def saved_status() -> str:
        return str(history._run("SELECT status FROM turns").fetchone()[0])

    shown = history.turn(turn.turn_id)
    assert shown is not None
    assert (shown.status, shown.text, saved_status()) == ("cancelled", "half an answ", "streaming")
    history.close()
    history = History(path)

    assert saved_status() == "cancelled"
    assert history.turn(turn.turn_id) == shown
    history.close()

"""The bar of a terminal."""

from __future__ import annotations

import io
from types import SimpleNamespace

import pytest

from flowgpt_magic.batch.progress import HiddenBar, Pause, TerminalBar, terminal_bar
from flowgpt_magic.batch.results import BatchCounts
from flowgpt_magic.tables import Table
from tests.batches import batch_of


def ending() -> Table:
    return Table(("",), ())


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def terminal(monkeypatch) -> Terminal:
    screen = Terminal()
    # Not sys.stderr itself: pytest sets that again when the test begins.
    monkeypatch.setattr("flowgpt_magic.batch.progress.sys", SimpleNamespace(stderr=screen))
    return screen


def test_a_terminal_shows_how_many_have_ended(terminal):
    bar = terminal_bar(1000)
    bar.show(BatchCounts(complete=400, failed=3, replayed=100))
    bar._bar.refresh()
    shown = terminal.getvalue().rpartition("\r")[2]
    bar.show(BatchCounts(complete=1000))
    bar.close(ending)

    assert isinstance(bar, TerminalBar)
    assert "403/1000" in shown
    assert "3 failed, 100 from the history" in shown
    assert "1000/1000" in terminal.getvalue().rpartition("\r")[2]
    assert terminal.getvalue().endswith("\n")


def test_a_generator_of_unknown_length_has_a_bar_too(terminal):
    bar = terminal_bar(None)
    bar.show(BatchCounts(complete=7))
    bar.close(ending)

    assert "7 prompts" in terminal.getvalue()


def test_a_long_pause_that_the_server_asks_for_is_told(terminal):
    bar = terminal_bar(10)
    bar.show(BatchCounts(), Pause(30))
    bar.close(ending)

    assert "waiting 30 s, as the server asks" in terminal.getvalue()


def test_a_short_pause_is_not_told(terminal):
    bar = terminal_bar(10)
    bar.show(BatchCounts(), Pause(1.5))
    bar.close(ending)

    assert "waiting" not in terminal.getvalue()


def test_a_server_that_fails_for_all_is_told_with_the_patience_that_is_left_and_that_it_is_over(terminal):
    bar = terminal_bar(10)
    bar.show(BatchCounts(), Pause(1, patience=93))
    told = terminal.getvalue()
    bar.show(BatchCounts(), None)
    bar.close(ending)

    assert "the server fails: next try in 1 s, giving up in 93 s" in told
    assert "the server fails" not in terminal.getvalue().rpartition("\r")[2]


def test_while_the_server_is_asked_again_this_is_told():
    assert str(Pause(0.0, patience=12.2)) == "the server fails: trying again, giving up in 13 s"


def test_a_log_gets_no_bar(monkeypatch):
    monkeypatch.setattr("flowgpt_magic.batch.progress.sys", SimpleNamespace(stderr=io.StringIO()))

    assert isinstance(terminal_bar(10), HiddenBar)


def test_a_program_without_an_error_output_gets_none(monkeypatch):
    monkeypatch.setattr("flowgpt_magic.batch.progress.sys", SimpleNamespace(stderr=None))

    assert isinstance(terminal_bar(10), HiddenBar)


def test_a_batch_in_a_terminal_shows_it_and_closes_it_also_when_it_is_left_early(terminal):
    batch = batch_of([f"prompt {n}" for n in range(100)])
    batch.has_progress = True
    for _result in batch:
        break

    assert "/100" in terminal.getvalue()
    assert terminal.getvalue().endswith("\n")


def test_without_progress_nothing_is_written(terminal):
    batch_of(["one"]).read()

    assert terminal.getvalue() == ""

"""The cells of a reply, one after the other below the cell that runs."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from flowgpt_magic.magics.next_cells import NextCells
from tests.kernel_shell import KernelShell, request, shells


@pytest.fixture
def shell() -> Iterator[Any]:
    yield from shells(KernelShell)


@pytest.fixture
def cells(shell: Any) -> Iterator[NextCells]:
    shell.message = request("cell", allow_stdin=True)
    cells = NextCells()
    yield cells
    cells.forget()


def run(shell: Any, code: str, *, success: bool = True) -> str | None:
    """Run a cell; returns what is put below it."""
    shell.message = {**request("other", allow_stdin=True), "header": {"msg_id": code, "msg_type": "execute_request"}}
    shell.rl_next_input = None
    shell.events.trigger("post_run_cell", SimpleNamespace(info=SimpleNamespace(raw_cell=code), success=success))
    return shell.rl_next_input


def test_one_cell_is_put_below_and_nothing_follows(shell, cells):
    assert cells.put(["x = 1"], "jupyter") == ""

    assert shell.rl_next_input == "x = 1"
    assert run(shell, "x = 1") is None


def test_each_cell_follows_when_the_one_before_has_run_even_if_it_was_edited(shell, cells):
    said = cells.put(["print('one')", "two()", "three()"], "vscode")

    assert said == "3 cells: each of the others appears when the one before it has run"
    assert shell.rl_next_input == "print('one')"
    assert run(shell, "an_unrelated_cell = [1, 2, 3]") is None
    assert run(shell, "print('one')", success=False) is None
    assert run(shell, "print('one!')") == "two()"
    assert run(shell, "two()") == "three()"
    assert run(shell, "three()") is None


def test_the_end_of_the_cell_that_puts_them_there_does_not_count(shell, cells):
    cells.put(["one()", "two()"], "vscode")
    shell.rl_next_input = None

    result = SimpleNamespace(info=SimpleNamespace(raw_cell="one()"), success=True)
    shell.events.trigger("post_run_cell", result)

    assert shell.rl_next_input is None


def test_new_cells_take_the_place_of_those_that_were_to_follow(shell, cells):
    cells.put(["one()", "two()"], "vscode")
    cells.put(["other()"], "vscode")

    assert run(shell, "one()") is None


def test_where_nobody_looks_on_no_cell_is_put_below(shell, cells):
    shell.message = request("cell", allow_stdin=False)

    assert cells.put(["one()", "two()"], "nbclient") is None
    assert run(shell, "one()") is None


def test_in_a_notebook_a_page_that_inserts_all_of_them_ends_the_waiting(shell, cells):
    assert cells.put(["one()", "two()", "three()"], "jupyter") == ""
    inserter = cells._inserter

    assert (inserter.cell, inserter.first, inserter.others) == ("cell", "one()", ["two()", "three()"])
    inserter._hear(inserter, {"inserted": True}, None)

    assert run(shell, "one()") is None

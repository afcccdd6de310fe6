"""Tables get the widths of their cells, code its colours."""

from __future__ import annotations

import pytest

from flowgpt_magic.markdown.terminal.blocks import MAX_TABLE_ROWS, Colours, TerminalTable, cells_of
from flowgpt_magic.markdown.terminal.inline import painted


def rows_of(table: TerminalTable) -> list[str]:
    return painted(table.take(), colours=False).splitlines()


@pytest.mark.parametrize(
    ("line", "cells"),
    [
        ("| a | b |", ["a", "b"]),
        ("a|b", ["a", "b"]),
        ("|a||", ["a", ""]),
        (r"|a\|b|", ["a|b"]),
        ("|$|x|$|c|", ["$|x|$", "c"]),
    ],
)
def test_a_line_is_split_into_cells(line, cells):
    assert cells_of(line) == cells


def test_columns_are_as_wide_as_their_longest_cells():
    table = TerminalTable("|a|b|", "|-|-:|", "", 40)
    table.add("|long|1|")

    assert rows_of(table) == ["a    │ b", "─────┼──", "long │ 1"]


def test_later_rows_keep_the_widths_of_the_first():
    table = TerminalTable("|a|b|", "|-|-|", "", 40)
    rows_of(table)
    table.add("|c|d|")

    assert table.full
    assert rows_of(table) == ["c │ d"]


def test_a_table_of_many_rows_is_full():
    table = TerminalTable("|a|", "|-|", "", 40)
    for _ in range(MAX_TABLE_ROWS - 1):
        table.add("|b|")
    assert not table.full

    table.add("|b|")

    assert table.full


def test_code_of_an_unknown_language_has_no_colours():
    assert Colours("klingon").spans("if x:") == [("if x:", "")]
    assert ("if", "35") in Colours("python").spans("if x:")

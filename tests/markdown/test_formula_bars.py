"""Bars of formulas end no cell of a table."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowgpt_magic.markdown.formula_bars import hide_bars, show_bars
from flowgpt_magic.markdown.harmless import code_tokens, harmless
from flowgpt_magic.markdown.html.changes import GrowingMarkup, blocks_of
from flowgpt_magic.markdown.terminal.blocks import cells_of


@given(st.lists(st.sampled_from([*"|$\\`()[] x5\n", "\\|", "$|x|$", "\\(", "\\)", "]:"])).map("".join))
def test_a_text_has_its_bars_again_and_its_length_always(text):
    assert len(hide_bars(text)) == len(text)
    assert show_bars(hide_bars(text)) == text


TABLES = [
    ("| $|x|$ | b |", ["$|x|$", "b"]),
    ("| $P(A|B)$ | b |", ["$P(A|B)$", "b"]),
    ("| $P(A | B)$ | b |", ["$P(A | B)$", "b"]),
    (r"| \(|x|\) | b |", [r"\(|x|\)", "b"]),
    (r"| $\{x | x = 1\}$ | b |", [r"$\{x | x = 1\}$", "b"]),
    (r"| $\|x\|$ | b |", [r"$\|x\|$", "b"]),
    (r"| $P(A\|B)$ | b |", ["$P(A|B)$", "b"]),
    ("| $5 | $7 |", ["$5", "$7"]),
    ("| 5 $ | 7 $ |", ["5 $", "7 $"]),
    ("| $ 5 | $ 7 |", ["$ 5", "$ 7"]),
    ("| `$` | `$` |", ["`$`", "`$`"]),
    (r"| \$ | \$ |", [r"\$", r"\$"]),
]


@pytest.mark.parametrize(("row", "cells"), TABLES)
def test_a_row_has_the_cells_that_a_reader_sees(row, cells):
    table = f"| a | b |\n|---|---|\n{row}\n"

    assert cells_of(row) == cells
    assert harmless(table).splitlines()[2].count(" | ") == 1 + (" | " in cells[0] and r"\vert" not in harmless(table))
    assert "".join(blocks_of(table)).count("<td") == 2


def test_a_row_that_streams_is_the_same_at_the_end():
    table = "| $|a|$ | b |\n|---|---|\n| $|x|$ | c |\n| $P(A|B)$ | d |\n"
    markup = GrowingMarkup()
    for character in table:
        markup.feed(character)
        markup.change()
    markup.finish()
    markup.change()

    assert markup.blocks == blocks_of(table)
    assert "".join(markup.blocks).count("<math>") == 3


def test_code_keeps_its_bars():
    text = "```sh\necho $a | grep $|x|$ | b\n```\n"

    assert harmless(text).strip() == text.strip()
    assert code_tokens(text)[0].content == "echo $a | grep $|x|$ | b\n"
    assert "$|x|$" in blocks_of(text)[0]

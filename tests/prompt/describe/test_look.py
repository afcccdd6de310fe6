"""The look of a value on one line."""

from __future__ import annotations

import numpy
import pandas
import polars
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowgpt_magic.prompt.describe.look import look


class Broken:
    def __repr__(self):
        raise RuntimeError("no")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (3, "3 (int)"),
        (None, "None (NoneType)"),
        ("ab", "'ab' (str, 2 characters)"),
        ([1, 2], "[1, 2] (list, 2 items)"),
        ({"a": 1}, "{'a': 1} (dict, 1 item)"),
        (numpy.zeros((2, 3)), "numpy array, shape (2, 3), float64"),
        (Broken(), "<Broken; its repr failed: RuntimeError: no> (Broken)"),
    ],
)
def test_a_value_is_shown_with_its_type_and_size(value, text):
    assert look(value, 300) == text


def test_of_a_table_the_columns_are_shown_and_no_cell():
    frame = pandas.DataFrame({"sales": [1234.5], "where": [True], 3: [1]})
    other = polars.DataFrame({"sales": [1234.5]})

    assert look(frame, 300).endswith("3 columns; columns: 'sales' (float64), 'where' (bool), 3 (int64)")
    assert look(other, 300) == "polars DataFrame, 1 row \N{MULTIPLICATION SIGN} 1 column; columns: 'sales' (Float64)"
    assert "1234" not in look(frame, 300) + look(other, 300)


def test_row_labels_that_are_no_numbers_are_named():
    frame = pandas.DataFrame({"n": [1]}, index=pandas.Index(["a"], name="day"))
    levels = pandas.DataFrame({"n": [1]}, index=pandas.MultiIndex.from_tuples([(1, 2)], names=["x", "y"]))

    assert "; index: 'day' (" in look(frame, 300)
    assert "; index: 'x' (int64), 'y' (int64); columns: 'n' (int64)" in look(levels, 300)
    assert "'n'" in look(frame["n"], 300)


def test_many_columns_are_counted():
    frame = pandas.DataFrame({f"column {number}": [1] for number in range(100)})

    text = look(frame, 200)

    assert len(text) <= 200
    assert "'column 0' (int64)" in text
    assert text.endswith(" more columns")


def test_secrets_are_masked(monkeypatch):
    monkeypatch.setenv("MY_TOKEN", "a-very-long-token-indeed")

    assert "hidden" not in look({"password": "hidden"}, 300)
    assert "token-indeed" not in look("it is a-very-long-token-indeed", 300)


@given(
    st.recursive(st.text() | st.integers(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)),
    st.integers(1, 200),
)
def test_a_look_is_one_line_of_the_given_length(value, room):
    text = look(value, room)

    assert len(text) <= room
    assert "\n" not in text

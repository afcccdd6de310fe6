"""Tables of every kind: their rows, and the same table with more columns."""

from __future__ import annotations

import datetime
from typing import Any

import numpy
import pandas
import polars
import pytest

from flowgpt_magic.clusters.tables import partition_table
from flowgpt_magic.errors import PromptError

ADDED = {"text": ["a", None], "error": [None, None]}


def test_a_frame_of_pandas_keeps_its_index_and_types():
    frame = pandas.DataFrame(
        {"n": numpy.array([1, 2], "int8"), "c": pandas.Categorical(["x", "y"]), "d": [datetime.date(2024, 1, 2)] * 2},
        index=pandas.Index([7, 7], name="id"),
    )

    table = partition_table(frame)
    whole = table.with_columns(ADDED)

    assert list(table.items()) == [
        {"n": 1, "c": "x", "d": datetime.date(2024, 1, 2)},
        {"n": 2, "c": "y", "d": datetime.date(2024, 1, 2)},
    ]
    pandas.testing.assert_frame_equal(whole[["n", "c", "d"]], frame)
    assert list(whole.columns) == ["n", "c", "d", "text", "error"]
    assert list(frame.columns) == ["n", "c", "d"]


def test_added_columns_are_text_whatever_is_in_them():
    for rows in (0, 2):
        frame = pandas.DataFrame({"n": [1, 2]}).iloc[:rows]
        columns = {name: values[:rows] for name, values in ADDED.items()}

        whole = partition_table(frame).with_columns(columns)
        polar = partition_table(polars.DataFrame(frame)).with_columns(columns)

        assert [str(whole[name].dtype) for name in ADDED] == ["string", "string"]
        assert [polar[name].dtype for name in ADDED] == [polars.String, polars.String]


def test_a_frame_of_polars_comes_back_as_one():
    frame = polars.DataFrame({"n": [1, 2], "d": [datetime.date(2024, 1, 2)] * 2})

    table = partition_table(frame)

    assert next(table.items()) == {"n": 1, "d": datetime.date(2024, 1, 2)}
    assert table.with_columns(ADDED).rows()[0] == (1, datetime.date(2024, 1, 2), "a", None)


def test_a_mapping_of_arrays_comes_back_as_one():
    arrays = {"n": numpy.array([1, 2]), "word": numpy.array(["x", "y"])}

    whole = partition_table(arrays).with_columns(ADDED)

    assert list(partition_table(arrays).items())[1] == {"n": 2, "word": "y"}
    assert isinstance(whole["text"], numpy.ndarray)
    assert whole["text"].tolist() == ["a", None]
    assert whole["n"] is arrays["n"]
    assert partition_table({"n": [1, 2]}).with_columns(ADDED)["text"] == ["a", None]


def test_a_name_that_is_taken_begins_with_reply():
    table = partition_table({"text": [], "error": [], "reply_error": []})

    assert [table.free_name(name) for name in ("text", "status", "error")] == [
        *("reply_text", "status", "reply_reply_error")
    ]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (pandas.DataFrame([[1, 2, 3]], columns=["a", "b", "a"]), "several columns called 'a'"),
        (pandas.DataFrame([[1, 2]], columns=[1, "1"]), "several columns called '1'"),
        ({"a": [1, 2], "b": [1]}, "not of equal length: a has 2 values, b has 1 value"),
        ({"a": "text"}, "the column 'a' of the table is str"),
        ({"a": 1}, "the column 'a' of the table is int"),
        (pandas.Series(["a"]), "a partition is a table .* not Series"),
        (["a"], "a partition is a table .* not list"),
    ],
)
def test_what_is_no_table_is_refused(given: Any, said: str):
    with pytest.raises(PromptError, match=said):
        partition_table(given)

"""Tables and arrays: what is in them, and that only a part of a large one is looked at."""

from __future__ import annotations

import datetime
import math
import re
import time

import numpy as np
import pandas as pd
import polars as pl
import pytest

from flowgpt_magic.prompt.attachments import describe
from flowgpt_magic.prompt.describe import tables
from tests.described import TIMES, Broken, fits, notice, split


def frame(rows: int = 10_000) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "number": np.linspace(0, 1, rows),
            "count": np.arange(rows) + 1_000_000,
            "when": pd.date_range("2026-01-01", periods=rows, freq="s"),
            "good": np.arange(rows) % 4 == 0,
            "city": ["Rome", "Oslo|x", None, "a\nb"] * (rows // 4),
            "kind": pd.Categorical(["u", "v"] * (rows // 2)),
            "object": [{"password": "s3cr3t"}, Broken()] * (rows // 2),
        }
    )


class TestPandas:
    def test_a_frame_shows_its_shape_columns_and_first_rows(self):
        text = describe("df", frame(), 400)

        lines = text.splitlines()
        assert lines[0] == f"df: pandas DataFrame, 10,000 rows {TIMES} 7 columns"
        assert "| number | float64 | 0 | 0 to 1, mean 0.5 |" in lines
        assert "| count | int64 | 0 | 1000000 to 1009999, mean 1.005e+06 |" in lines
        assert "| good | bool | 0 | 25% true |" in lines
        city = r"^\| city \| \w+ \| 2,500 \| 3 different, such as Rome, Oslo\\\|x, a b \|$"
        assert re.search(city, text, re.MULTILINE)
        assert "| kind | category | 0 | 2 different, such as u, v |" in lines
        assert "| object | object | 0 |  |" in lines
        assert "|  | number | count | when | good | city | kind | object |" in lines
        assert "| 0 | 0 | 1000000 | 2026-01-01 00:00:00 | True | Rome | u | {'password': ***} |" in lines
        assert re.fullmatch(r"… 9,99\d of 10,000 rows are not shown", lines[-1])
        assert fits(text, 400)

    def test_a_small_frame_is_shown_whole(self):
        text = describe("df", pd.DataFrame({"a": range(40)}), 500)

        assert "| 39 | 39 |" in text
        assert not split(text)[1]

    def test_a_wide_frame_says_how_many_columns_are_left_out(self):
        wide = pd.DataFrame(np.zeros((10_000, 40)), columns=[f"column {n}" for n in range(40)])

        assert re.fullmatch(r"… 9,99\d of 10,000 rows, \d+ of 40 columns are not shown", notice(wide, 500))

    def test_a_frame_for_which_there_is_no_room_shows_its_columns(self):
        assert "Columns: ['number', 'count', 'when'" in describe("df", frame(), 50)

    def test_a_series_is_shown_as_its_only_column(self):
        text = describe("s", pd.Series([1.5, None], name="price", index=["x", "y"]), 200)

        assert text.startswith("s: pandas Series, 2 rows\n")
        assert "| price | float64 | 1 | 1.5 to 1.5, mean 1.5 |" in text
        assert "| y | nan |" in text

    @pytest.mark.parametrize(
        "odd",
        [
            pd.DataFrame(),
            pd.DataFrame({"a": []}),
            pd.DataFrame(index=range(1000)),
            pd.DataFrame([[1, 2], [3, 4]], columns=["x", "x"]),
            pd.DataFrame({("a", 1): [1], ("b", 2): [2]}),
            pd.DataFrame({1: [1j], None: [b"x"]}),
            pd.DataFrame({"a": [1, 2]}, index=pd.MultiIndex.from_tuples([("x", 1), ("y", 2)])),
            pd.DataFrame({"a": pd.array([1, None], dtype="Int64"), "b": pd.array([True, None], dtype="boolean")}),
            pd.DataFrame({"a": [pd.Timedelta(1), pd.NaT], "p": pd.period_range("2026", periods=2)}),
            pd.DataFrame({"a": [math.inf, math.nan], "b": [None, None]}),
            pd.Series([], dtype=object),
            pd.Series([[1], {2}], index=[1.5, 0.5]),
        ],
    )
    @pytest.mark.parametrize("budget", [0, 5, 40, 200, 2000])
    def test_odd_frames_are_shown_too(self, odd, budget):
        text = describe("df", odd, budget)

        assert fits(text, budget)
        assert budget < 40 or text.startswith("df: pandas ")

    def test_the_names_of_what_labels_the_rows_are_told(self):
        index = pd.MultiIndex.from_product([["x", "y"], [1, 2], ["p", "q"]], names=["city", None, "half"])

        lines = describe("df", pd.DataFrame({"v": range(8)}, index=index), 500).splitlines()

        assert "| city, None, half | v |" in lines
        assert "| ('x', 1, 'p') | 0 |" in lines

    def test_five_thousand_columns_take_a_moment_and_say_how_many_are_left_out(self):
        wide = pd.DataFrame(np.zeros((3, 5_000)), columns=[f"column {n}" for n in range(5_000)])

        assert re.search(r"4,9\d\d of 5,000 columns are not shown", notice(wide, 1_000))

    def test_texts_under_names_of_secrets_are_masked_and_numbers_are_not(self):
        table = pd.DataFrame(
            {
                "user": ["me"],
                "password": ["s3cr3t"],
                "api_key": [{"k": "s3cr3t"}],
                "token": [7],
                "url": ["postgres://me:s3cr3t@host/db"],
            }
        )

        for value in (table, table["password"], pl.DataFrame({"password": ["s3cr3t"], "url": ["http://a:s3cr3t@b"]})):
            text = describe("df", value, 500)
            assert "s3cr3t" not in text
            assert text.splitlines()[-1] == "… values marked *** are not shown"
        lines = describe("df", table, 500).splitlines()
        assert "| 0 | me | *** | *** | 7 | postgres://***@host/db |" in lines
        assert re.search(r"\| token \| int64 \| 0 \| 7 to 7, mean 7 \|", "\n".join(lines))
        assert "| 0 | me | s3cr3t |" in describe("df", table, 500, forced=True)

    def test_texts_in_rows_with_names_of_secrets_are_masked(self):
        table = pd.DataFrame({"user": ["me", "you"], "password": ["s3cr3t", "s3cr3t"], "logins": [7, 8]})
        nested = pd.concat({"api_key": pd.Series(["s3cr3t"])})

        for value in (table.iloc[0], table.T, table.T.tail(1), table.stack(), nested, {"row": table.iloc[0]}):
            assert "s3cr3t" not in describe("it", value, 500)
        text = describe("row", table.iloc[0], 500)
        assert "| user | me |" in text
        assert "| logins | 7 |" in text
        assert "| password | s3cr3t |" in describe("row", table.iloc[0], 500, forced=True)

    def test_a_long_frame_is_looked_at_in_part_and_says_so(self, monkeypatch):
        monkeypatch.setattr(tables, "SAMPLE_ROWS", 1_000)
        looked = []
        whole = pd.Series.notna
        monkeypatch.setattr(pd.Series, "notna", lambda self: looked.append(len(self)) or whole(self))

        text = describe("df", frame(), 1_000)

        assert "Missing values and summary are of every 10th row." in text
        assert "| city |" in text
        assert re.search(r"\| city \| \w+ \| \d+\.\d% \|", text)
        assert max(looked) == 1_000

    def test_ten_million_rows_are_neither_copied_nor_read_to_the_end(self):
        import tracemalloc

        big = pd.DataFrame({"a": np.zeros(10_000_000), "b": np.ones(10_000_000, dtype=np.int8)})
        describe("df", big.head(10), 100)  # what is loaded the first time does not count
        tracemalloc.start()
        try:
            begun = time.process_time()
            describe("df", big, 1_000)
            seconds = time.process_time() - begun
            most = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

        assert most < 10_000_000
        assert seconds < 2


class TestPolars:
    def test_a_frame_shows_its_shape_columns_and_first_rows(self):
        table = pl.DataFrame(
            {
                "a": [1, None, 3] * 1000,
                "s": ["x", "y|z", None] * 1000,
                "t": [datetime.date(2026, 1, 1)] * 3000,
                "b": [True, False, True] * 1000,
                "l": [[1], [2, 3], []] * 1000,
            }
        )

        lines = describe("df", table, 400).splitlines()

        assert lines[0] == f"df: polars DataFrame, 3,000 rows {TIMES} 5 columns"
        assert "| a | Int64 | 1,000 | 1 to 3, mean 2 |" in lines
        assert "| t | Date | 0 | 2026-01-01 to 2026-01-01 |" in lines
        assert "| b | Boolean | 0 | 67% true |" in lines
        assert "| 1 | None | y\\|z | 2026-01-01 | False | [2, 3] |" in lines

    @pytest.mark.parametrize("budget", [0, 5, 40, 200, 2000])
    def test_odd_ones_are_shown_too(self, budget):
        for odd in (pl.DataFrame(), pl.DataFrame({"a": []}), pl.Series("x", [1, None]), pl.Series([{"a": [1]}])):
            assert fits(describe("df", odd, budget), budget)


class TestNumpy:
    def test_a_small_array_is_shown_whole(self):
        assert describe("it", np.arange(6.0).reshape(2, 3), 100) == (
            "it: numpy array, shape (2, 3), float64\n```\nmin 0, max 5, mean 2.5\n[[0., 1., 2.],\n [3., 4., 5.]]\n```"
        )

    def test_texts_in_fields_with_names_of_secrets_are_masked(self):
        people = np.array([("me", "s3cr3t", 1)] * 2, dtype=[("user", "U9"), ("password", "U9"), ("size", int)])

        for array in (people, people[:1], people.reshape(2, 1), people.view(np.recarray)):
            text = describe("it", array, 500)
            assert "{'user': 'me', 'password': ***, 'size': 1}" in text
            assert "s3cr3t" not in text

    def test_a_big_array_shows_a_corner(self):
        text = describe("it", np.zeros((3000, 1000)), 200)

        assert "min 0, max 0, mean 0 (of every 30th item)\nThe first items:\n[[0., 0.," in text
        assert re.fullmatch(r"… 2,999,\d{3} of 3,000,000 items are not shown", split(text)[1])

    @pytest.mark.parametrize(
        "array",
        [
            np.array(5),
            np.zeros((0, 3)),
            np.zeros((3, 4, 50, 60)),
            np.zeros((1,) * 30),
            np.zeros((2,) * 12),
            np.array([math.nan, math.inf, 1]),
            np.array([math.nan] * 3),
            np.array([1 + 2j]),
            np.array([True, False]),
            np.array(["a" * 1000, "b"] * 500),
            np.array([Broken(), {"token": "s3cr3t"}, None], dtype=object),
            np.zeros(300, dtype=[("a", int), ("b", "U3")]),
            np.arange("2026-01", "2027-01", dtype="datetime64[D]"),
            np.zeros((1000, 1000))[::7, ::-3].T,
            np.array([2**62, 2**63 - 1]),
            np.array([3], dtype=np.float16),
            np.ma.masked_array([1, 2], [True, False]),
            np.zeros(3, dtype="V8"),
        ],
    )
    @pytest.mark.parametrize("budget", [0, 5, 30, 200, 2000])
    def test_arrays_of_any_kind_are_shown(self, array, budget):
        text = describe("it", array, budget)

        assert fits(text, budget)
        assert "s3cr3t" not in text
        assert budget < 30 or text.startswith("it: numpy array") or isinstance(array, np.ma.MaskedArray)

    def test_an_array_is_not_copied_to_be_looked_at(self):
        import tracemalloc

        big = np.broadcast_to(np.float64(1), (100_000, 100_000))  # 80 GB, if someone copied it
        tracemalloc.start()
        try:
            describe("it", big, 500)
            assert tracemalloc.get_traced_memory()[1] < 20_000_000
        finally:
            tracemalloc.stop()

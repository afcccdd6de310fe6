"""What values look like to a language model: short, true about what is left out, and without secrets."""

from __future__ import annotations

import collections
import dataclasses
import datetime
import enum
import functools
import linecache
import math
import os
import re
import sys
import textwrap
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar, NamedTuple
from unittest.mock import MagicMock

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import polars as pl
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowgpt_magic import attachment_kinds
from flowgpt_magic.attachments import Attachment, AttachmentError, attach, describe
from flowgpt_magic.errors import FlowGptError

TIMES = "\N{MULTIPLICATION SIGN}"
NOTICE = re.compile(r"… .* are not shown")
LONGEST_NOTICE = 200  # characters


def split(text: str) -> tuple[str, str]:
    """A description, and the line that says what is left out of it, "" if nothing is."""
    body, _newline, last = text.rpartition("\n")
    return (body, last) if NOTICE.fullmatch(last) else (text, "")


def fits(text: str, budget: int) -> bool:
    body, notice = split(text)
    return len(body) <= 4 * budget and len(notice) <= LONGEST_NOTICE


def notice(value: object, budget: int) -> str:
    text = describe("it", value, budget)
    assert fits(text, budget)
    return split(text)[1]


@dataclasses.dataclass
class Point:
    x: int
    y: list[int]
    password: str = "s3cr3t"
    quiet: int = dataclasses.field(default=3, repr=False)


class Pair(NamedTuple):
    left: int
    right: str


class Model(pydantic.BaseModel):
    size: int = 1
    token: str = "s3cr3t"


class Plain:
    def __init__(self) -> None:
        self.size = 1
        self.api_key = "s3cr3t"
        self._own = 2


class Broken:
    def __repr__(self) -> str:
        raise ValueError("no\nway")


class Leaving:
    def __repr__(self) -> str:
        raise SystemExit


class Slow:
    asked = 0

    def __repr__(self) -> str:
        Slow.asked += 1
        time.sleep(30)
        return "at last"


class Color(enum.IntEnum):
    RED = 1


@pytest.fixture
def impatient(monkeypatch):
    """Nobody waits for two seconds here."""
    seconds = attachment_kinds.Look.__init__.__defaults__
    monkeypatch.setattr(attachment_kinds.Look.__init__, "__defaults__", (*seconds[:-2], 0.2, *seconds[-1:]))


class TestText:
    def test_a_text_is_inserted_as_it_is(self):
        text = "a ```block``` of {braces}\n\n  and spaces  \n"

        assert describe("it", text, 100) == text

    def test_a_long_text_is_cut_and_says_so(self):
        assert describe("it", "abc" * 1000, 10) == "abc" * 13 + "a\n… 2,960 of 3,000 characters are not shown"

    def test_a_text_of_a_class_of_its_own_is_a_text(self):
        class Shout(str):
            def __getitem__(self, place):
                raise AssertionError

            def __str__(self):
                return "wrong"

        assert describe("it", Shout("quiet"), 100) == "quiet"
        assert describe("it", [Shout("quiet")], 100) == "['quiet']"

    def test_bytes_say_how_many_they_are(self):
        assert describe("it", b"a\0b", 100) == "it: bytes, 3 bytes\n```\nb'a\\x00b'\n```"
        assert notice(bytearray(10_000), 50) == "… 9,973 of 10,000 bytes are not shown"


class TestPlainValues:
    @pytest.mark.parametrize(
        ("value", "text"),
        [
            (3, "3"),
            (2.5, "2.5"),
            (True, "True"),
            (None, "None"),
            (1j, "1j"),
            (np.float32(1.5), "1.5"),
            (np.int64(7), "7"),
            (np.bool_(True), "True"),
            (datetime.date(2026, 1, 2), "datetime.date(2026, 1, 2)"),
            (Color.RED, "<Color.RED: 1>"),
            (range(3), "range(0, 3)"),
            (pydantic.SecretStr("s3cr3t"), "SecretStr('**********')"),
            (Path("/nowhere/at/all"), repr(Path("/nowhere/at/all"))),
        ],
    )
    def test_a_value_is_what_python_says_it_is(self, value, text):
        assert describe("it", value, 100) == text

    def test_an_integer_that_python_does_not_write_out_is_told_by_its_size(self):
        assert describe("it", 10**9000, 100) == "<integer of 29,898 bits>"

    def test_a_repr_that_raises_is_told_with_what_it_raised(self):
        assert describe("it", Broken(), 100) == "<Broken; its repr failed: ValueError: no way>"
        assert describe("it", [Leaving(), 1], 100) == "[<Leaving; its repr failed: SystemExit: >, 1]"

    def test_a_repr_longer_than_the_budget_is_cut(self):
        class Long:
            def __repr__(self):
                return "long " * 1_000_000

        assert notice(Long(), 10) == "… 4,999,960 of 5,000,000 characters are not shown"

    @pytest.mark.usefixtures("impatient")
    def test_a_repr_that_never_ends_is_not_waited_for(self):
        assert describe("it", Slow(), 100) == "<Slow; its repr took longer than 2 s>"
        assert describe("it", {"a": Slow(), "b": 1}, 100) == "{'a': <Slow; its repr took longer than 2 s>, 'b': 1}"

    @pytest.mark.usefixtures("impatient")
    def test_many_slow_objects_are_waited_for_no_longer_than_one(self):
        Slow.asked = 0

        text = describe("it", [Slow() for _ in range(100)], 2_000)

        assert Slow.asked == 1
        assert "was not asked for: others took longer than 2 s" in text

    def test_an_object_is_asked_on_a_thread_that_does_not_keep_the_program_alive(self):
        class Curious:
            def __repr__(self):
                return f"{threading.current_thread().daemon} {threading.current_thread() is threading.main_thread()}"

        assert describe("it", Curious(), 100) == "True False"

    def test_an_interrupt_in_a_property_of_the_users_goes_on(self):
        class Interrupted(dict):
            pass

        class Fields:
            __slots__ = ()

            @property
            def __dict__(self):
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            describe("it", Fields(), 100)


class TestOwnWords:
    def test_what_an_object_says_for_models_comes_first(self):
        class Said(list):
            def _repr_llm_(self):
                return "in my words"

        assert describe("it", Said([1]), 100) == "in my words"

    @pytest.mark.parametrize(
        ("said", "text"),
        [
            ({"text/plain": "plain", "text/markdown": "**md**"}, "**md**"),
            ({"text/html": "<b>"}, "<b>"),
            ({"application/json": {"a": 1}}, '{"a": 1}'),
            ({"image/png": b"x"}, "<other>"),
            (None, "<other>"),
        ],
    )
    def test_it_may_say_it_in_several_types(self, said, text):
        class Said:
            def _ai_repr_(self):
                return said

            def __repr__(self):
                return "<other>"

        assert describe("it", Said(), 100) == text

    def test_what_would_have_to_be_awaited_is_skipped(self):
        class Later:
            async def _repr_llm_(self):
                raise AssertionError

            def _ai_repr_(self):
                async def later():
                    raise AssertionError

                return later()

            def __repr__(self):
                return "<now>"

        assert describe("it", Later(), 100) == "<now>"

    def test_one_that_raises_is_skipped(self):
        class Wrong:
            def _repr_llm_(self):
                raise RuntimeError

            def _ai_repr_(self):
                return "second"

        assert describe("it", Wrong(), 100) == "second"

    def test_an_object_that_answers_to_every_name_is_shown_by_its_repr(self):
        assert describe("it", MagicMock(name="any"), 100).startswith("<MagicMock name='any'")


class TestContainers:
    @pytest.mark.parametrize(
        "value",
        [[1, 2.5, "a"], (1,), (1, 2), {1}, {"a": [1, {"b": None}]}, [], {}, (), ["it's"], [True, b"x", 1j]],
    )
    def test_a_short_one_is_what_python_says_it_is(self, value):
        assert describe("it", value, 100) == repr(value)

    @pytest.mark.parametrize(
        ("value", "text"),
        [
            (frozenset({1}), "frozenset({1})"),
            (collections.OrderedDict(a=1), "OrderedDict({'a': 1})"),
            (collections.deque([1, 2]), "deque([1, 2])"),
            ({"a": 1}.keys(), "dict_keys(['a'])"),
            (collections.UserDict(a=1), "UserDict({'a': 1})"),
            (Pair(1, "r"), "Pair(left=1, right='r')"),
            (SimpleNamespace(a=1), "SimpleNamespace(a=1)"),
        ],
    )
    def test_one_of_another_class_says_its_name(self, value, text):
        assert describe("it", value, 100) == text

    def test_a_long_list_shows_its_length_and_its_first_items(self):
        text = describe("xs", list(range(10_000)), 60)

        assert text.startswith("xs: list, 10,000 items\n```\n[0, 1, 2, 3,")
        assert re.search(r", 26, …\]\n```\n… 9,973 of 10,000 items are not shown$", text)
        assert fits(text, 60)

    def test_a_dict_has_a_line_for_each_item(self):
        text = describe("it", {f"name {n}": {"value": n, "list": list(range(n))} for n in range(30)}, 300)

        assert "\n 'name 2': {'value': 2, 'list': [0, 1]},\n" in text
        assert split(text)[1] == "… parts marked … are not shown"

    def test_a_circle_ends(self):
        circle: list[Any] = [1]
        circle.append({"again": circle})

        assert describe("it", circle, 100) == "[1, {'again': <the same list again>}]"

    def test_what_is_there_twice_without_a_circle_is_shown_twice(self):
        once = [1]

        assert describe("it", [once, once], 100) == "[[1], [1]]"

    def test_a_deep_one_is_cut_at_some_depth(self):
        deep: list[Any] = []
        for _ in range(100_000):
            deep = [deep]

        assert describe("it", deep, 100) == (
            "it: list, 1 item\n```\n[[[[[[… 1 item]]]]]]\n```\n… parts marked … are not shown"
        )

    def test_tables_and_arrays_inside_say_what_they_are(self):
        text = describe("it", {"frame": pd.DataFrame({"a": [1]}), "array": np.zeros((2, 3))}, 100)

        assert f"'frame': <pandas DataFrame, 1 row {TIMES} 1 column>" in text
        assert "'array': <numpy array, shape (2, 3), float64>" in text

    def test_a_huge_one_is_only_begun(self):
        class Counted(list):
            looked = 0

            def __iter__(self):
                raise AssertionError

            def __repr__(self):
                raise AssertionError

        text = describe("it", Counted(range(1_000_000)), 50)

        assert text.startswith("it: Counted, 1,000,000 items\n```\nCounted([0, 1, 2")

    def test_a_dataclass_shows_the_fields_that_it_would_show(self):
        assert describe("it", Point(1, [2]), 100) == "Point(x=1, y=[2], password=***)"
        assert notice(Point(1, list(range(1000))), 60).endswith("parts marked … are not shown")

    def test_a_dataclass_with_words_of_its_own_keeps_them(self):
        @dataclasses.dataclass
        class Discreet:
            x: int = 1

            def __repr__(self):
                return "<nothing to see>"

        assert describe("it", Discreet(), 100) == "<nothing to see>"

    def test_a_pydantic_model_shows_its_fields(self):
        assert describe("it", Model(), 100) == "Model(size=1, token=***)"

    def test_an_object_of_which_python_says_only_its_address_shows_what_it_has(self):
        assert describe("it", Plain(), 100) == "Plain(size=1, api_key=***)"

    def test_an_item_that_cannot_be_read_does_not_let_the_whole_be_shown_unmasked(self, monkeypatch):
        def fail(*_):
            raise RuntimeError

        monkeypatch.setattr(attachment_kinds, "secret_name", fail)

        assert describe("it", {"password": "s3cr3t"}, 100) == "<dict that cannot be read>"


class TestSecrets:
    def test_values_under_names_of_secrets_are_masked_at_any_depth(self):
        value = {"user": "me", "API_KEY": "s3cr3t", "deep": [{"db": {"password": ["s3cr3t"], b"token": "s3cr3t"}}]}

        text = describe("it", value, 200)

        assert "s3cr3t" not in text
        assert text.count("***") == 3
        assert "'user': 'me'" in text

    def test_passwords_in_addresses_are_masked_also_where_the_text_is_cut(self):
        url = "postgres://me:" + "s3cr3t" * 20 + "@host/db"

        for budget in (20, 50, 500):
            assert "s3cr3t" not in describe("it", {"url": url}, budget)

    def test_the_environment_is_masked(self, monkeypatch):
        monkeypatch.setenv("MY_SERVICE_TOKEN", "s3cr3t-token")
        monkeypatch.setenv("MY_SERVICE_HOST", "example.org")

        text = describe("it", os.environ, 10_000)

        assert "'MY_SERVICE_TOKEN': ***" in text
        assert "'MY_SERVICE_HOST': 'example.org'" in text

    def test_nothing_is_masked_where_it_is_meant(self):
        assert describe("it", {"api_key": "s3cr3t"}, 100, forced=True) == "{'api_key': 's3cr3t'}"

    def test_a_secret_that_is_not_there_says_so(self):
        assert describe("it", {"api_key": None, "token": False}, 100) == "{'api_key': None, 'token': False}"


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

    def test_a_long_frame_is_looked_at_in_part_and_says_so(self, monkeypatch):
        monkeypatch.setattr(attachment_kinds, "SAMPLE", 1_000)
        looked = []
        whole = pd.Series.notna
        monkeypatch.setattr(pd.Series, "notna", lambda self: looked.append(len(self)) or whole(self))

        text = describe("df", frame(), 1_000)

        assert "Missing values and summary are of every 10th row." in text
        assert "| city |" in text
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


class TestMatplotlib:
    @pytest.fixture
    def figure(self):
        figure, (left, right) = plt.subplots(1, 2)
        figure.suptitle("Both")
        left.plot([1, 2, 3], [4, 5, math.nan], label="measured")
        left.set(title="Left", xlabel="time / s", yscale="log")
        left.legend()
        right.bar([1, 2], [3, 4], label="counts")
        right.scatter([1, 2], [3, 4])
        right.imshow(np.zeros((3, 4)))
        yield figure
        plt.close(figure)

    def test_a_figure_is_told_in_words(self, figure):
        text = describe("fig", figure, 500)

        assert text.startswith("fig: matplotlib figure, 2 axes, 'Both'\n- axes 1: 'Left'\n  - x: 'time / s', linear, ")
        assert "  - y: '', log, " in text
        assert "  - legend: measured\n" in text
        assert "  - line 'measured': 3 points, x 1 to 3, y 4 to 5\n" in text
        assert "  - bars 'counts': 2, heights 3 to 4\n" in text
        assert "2 points, x 1 to 2, y 3 to 4\n" in text
        assert "  - image of (3, 4), 0 to 0" in text

    def test_axes_are_told_without_the_others(self, figure):
        text = describe("ax", figure.axes[0], 500)

        assert text.startswith("ax: matplotlib axes\n- axes 1: 'Left'")
        assert "bars" not in text

    def test_one_with_much_in_it_is_cut_by_lines(self):
        figure, axes = plt.subplots()
        axes.plot(np.zeros((2, 200)))

        assert re.fullmatch(r"… \d+ of 203 lines are not shown", notice(figure, 200))
        plt.close(figure)


def in_a_cell(source: str, number: int = 7) -> dict[str, Any]:
    """What ``source`` defines, as if it had been run in a cell of a notebook."""
    source = textwrap.dedent(source)
    name = f"<ipython-input-{number}-abcdef>"
    linecache.cache[name] = (len(source), None, source.splitlines(True), name)
    names: dict[str, Any] = {"__name__": "__main__"}
    exec(compile(source, name, "exec"), names)
    return names


def a_documented_function(x: int) -> int:
    """Doubles."""
    return 2 * x


class TestCode:
    def test_a_function_is_its_source(self):
        assert describe("f", a_documented_function, 100) == (
            "f: function a_documented_function\n```python\n"
            'def a_documented_function(x: int) -> int:\n    """Doubles."""\n    return 2 * x\n```'
        )

    def test_a_wrapped_function_is_the_source_of_what_it_wraps(self):
        assert "return 2 * x" in describe("f", functools.lru_cache(a_documented_function), 100)

    def test_functions_and_classes_of_a_cell_have_their_source(self):
        names = in_a_cell(
            """\
            import dataclasses

            def double(x):
                return 2 * x  # in a cell

            @dataclasses.dataclass
            class Box:
                size: int  # in centimetres

            class Lid:
                def close(self):
                    return "closed"
            """
        )

        assert "def double(x):\n    return 2 * x  # in a cell\n" in describe("f", names["double"], 100)
        assert "```python\n@dataclasses.dataclass\nclass Box:\n    size: int  # in centimetres\n```" in describe(
            "Box", names["Box"], 100
        )
        assert 'def close(self):\n        return "closed"' in describe("Lid", names["Lid"], 100)

    def test_the_class_of_the_last_cell_is_meant(self):
        in_a_cell("class Twice:\n    first = 1\n", 8)
        names = in_a_cell("class Twice:\n    second = 2\n", 9)

        assert "second = 2" in describe("it", names["Twice"], 100)

    def test_a_long_source_is_cut_at_a_line(self):
        source = "def long():\n" + "".join(f"    x{n} = {n}\n" for n in range(100))

        text = describe("f", in_a_cell(source, 10)["long"], 50)

        assert fits(text, 50)
        assert re.search(r"    x\d+ = \d+\n```\n… \d+ of 101 lines are not shown$", text)

    def test_without_a_source_there_is_the_help(self):
        text = describe("it", len, 100)

        assert text.startswith("it: function len, source unknown\n(obj, /)\nReturn the number of items")
        assert "Public names: clear, copy, fromkeys" in describe("it", dict, 300)

    def test_a_module_shows_its_doc_and_its_public_names(self):
        text = describe("it", textwrap, 200)

        assert text.startswith("it: module textwrap\nText wrapping and filling.\n\nPublic names: TextWrapper, dedent,")

    def test_a_fence_is_longer_than_those_inside(self):
        text = describe("it", in_a_cell('def f():\n    """\n    ````\n    """\n', 11)["f"], 100)

        assert "\n`````python\n" in text
        assert text.endswith("\n`````")


def raised(call: Any, *args: Any) -> BaseException:
    try:
        call(*args)
    except BaseException as error:
        return error
    raise AssertionError


class TestErrors:
    def test_an_error_has_its_message_and_the_users_lines(self):
        names = in_a_cell("def f(x):\n    y = 0\n    return x / y\n", 12)

        text = describe("err", raised(names["f"], 1), 300)

        assert text.startswith("err: ZeroDivisionError\n```\n")
        assert "cell 12, line 3, in f\n     1 def f(x):\n     2     y = 0\n→    3     return x / y\n" in text
        assert text.endswith("\nZeroDivisionError: division by zero\n```")

    def test_frames_of_a_library_are_one_line(self):
        text = describe("err", raised(lambda: pd.DataFrame({"a": [1]})["b"]), 500)

        assert re.search(r"\n\(library\) pandas/core/\S+, line \d+, in get_loc\nKeyError: 'b'\n", text)
        assert text.count("(library)") == 2
        assert "It was caused by:\n" in text

    def test_what_it_came_from_is_told(self):
        names = in_a_cell(
            """\
            def cause():
                try:
                    {}["key"]
                except KeyError as error:
                    raise ValueError("bad {value}") from error

            def context():
                try:
                    {}["key"]
                except KeyError:
                    1 / 0

            def alone():
                try:
                    {}["key"]
                except KeyError:
                    raise ValueError from None
            """,
            13,
        )

        both = r"ValueError: bad \{value\}\n\nIt was caused by:\n.*KeyError: 'key'\n"
        assert re.search(both, describe("e", raised(names["cause"]), 500), re.DOTALL)
        assert "\n\nIt came up while this was handled:\n" in describe("e", raised(names["context"]), 500)
        assert "KeyError: 'key'" not in describe("e", raised(names["alone"]), 500)

    def test_errors_that_cause_each_other_end(self):
        one, other = ValueError("one"), ValueError("other")
        one.__cause__, other.__cause__ = other, one

        assert describe("e", one, 100) == (
            "e: ValueError\n```\nValueError: one\n\nIt was caused by:\nValueError: other\n```"
        )

    def test_a_deep_recursion_shows_its_end(self):
        names = in_a_cell("def f(n):\n    return f(n + 1)\n", 14)

        text = describe("err", raised(names["f"], 0), 200)

        assert fits(text, 200)
        assert re.search(r"\n… \d+ frames before\n", text)
        assert "RecursionError: maximum recursion depth exceeded" in text
        assert re.search(r"… \d+ of \d+ frames are not shown$", text)

    def test_a_syntax_error_shows_the_place(self):
        text = describe("err", raised(compile, "x = = 1", "<cell>", "exec"), 300)

        assert "    x = = 1\n        ^\n" in text

    def test_the_message_stays_where_there_is_little_room(self):
        text = describe("err", raised(in_a_cell("def f():\n    1 / 0\n", 15)["f"]), 25)

        assert "ZeroDivisionError: division by zero" in text

    def test_a_message_that_raises_is_no_trouble(self):
        class MuteError(Exception):
            def __str__(self):
                raise RuntimeError

        assert "MuteError" in describe("err", MuteError(), 100)

    @pytest.mark.skipif(sys.version_info < (3, 11), reason="there are no groups of errors")
    def test_a_group_shows_its_errors(self):
        text = describe("err", ExceptionGroup("many", [ValueError("one"), TypeError("two")]), 200)  # noqa: F821

        assert "One of its errors:\nValueError: one\n\nOne of its errors:\nTypeError: two\n" in text


class TestFiles:
    def test_a_file_of_text_is_its_contents(self, tmp_path):
        path = tmp_path / "code.py"
        path.write_bytes(b"x = 1\r\ny = '\xc3\xa9'\n")

        assert describe("it", path, 100) == "it: file code.py, 16 bytes\n```py\nx = 1\ny = 'é'\n```"

    @pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "latin-1"])
    def test_the_encoding_is_found(self, tmp_path, encoding):
        path = tmp_path / "a.txt"
        path.write_text("größer", encoding=encoding)

        assert "```txt\ngrößer\n```" in describe("it", path, 100)

    def test_a_long_file_is_read_in_part(self, tmp_path):
        path = tmp_path / "long.txt"
        with path.open("wb") as file:
            file.write(b"line\n" * 100)
            file.truncate(10**10)

        path.write_text("é" * 10**6)

        assert re.fullmatch(r"… 1,999,\d{3} of 2,000,000 bytes are not shown", notice(path, 50))

    @pytest.mark.parametrize("data", [b"\x89PNG\r\n\x1a\n\0\0", b"abc\0", bytes(range(256))])
    def test_a_binary_file_is_refused(self, tmp_path, data):
        path = tmp_path / "image.png"
        path.write_bytes(data)

        with pytest.raises(AttachmentError, match=r"image\.png is not a text file: only text can be sent along"):
            describe("it", path, 100)

    def test_a_folder_is_the_names_in_it(self, tmp_path):
        (tmp_path / "b").mkdir()
        (tmp_path / "a.txt").touch()

        assert describe("it", tmp_path, 100).endswith("\n```\na.txt\nb\n```")

    @pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes")
    def test_a_pipe_is_not_waited_for(self, tmp_path):
        os.mkfifo(tmp_path / "pipe")

        with pytest.raises(AttachmentError, match="is neither a file nor a folder"):
            describe("it", tmp_path / "pipe", 100)

    def test_a_broken_link_says_what_is_wrong(self, tmp_path):
        (tmp_path / "link").symlink_to(tmp_path / "gone")

        with pytest.raises(AttachmentError, match="link cannot be read: No such file"):
            describe("it", tmp_path / "link", 100)

    @pytest.mark.parametrize("name", [".env", "id_rsa", "server.pem"])
    def test_a_file_of_secrets_is_refused_unless_meant(self, tmp_path, name):
        path = tmp_path / name
        path.write_text("A=s3cr3t")

        with pytest.raises(AttachmentError, match="looks like a secret"):
            describe("it", path, 100)
        assert "A=s3cr3t" in describe("it", path, 100, forced=True)

    def test_a_private_key_is_known_by_its_contents(self, tmp_path):
        path = tmp_path / "notes.txt"
        path.write_text("-----BEGIN OPENSSH PRIVATE KEY-----\ns3cr3t")

        with pytest.raises(AttachmentError, match="looks like a secret"):
            describe("it", path, 100)


LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.complex_numbers()
    | st.text(max_size=200)
    | st.binary(max_size=50)
    | st.dates()
    | st.builds(Broken)
    | st.builds(Leaving)
    | st.builds(Plain)
    | st.builds(ValueError, st.text())
    | st.sampled_from([Point, len, math, Color.RED])
    | st.builds(np.zeros, st.integers(0, 9))
)
NESTED = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner)
        | st.lists(inner).map(tuple)
        | st.dictionaries(st.text(max_size=20) | st.integers(), inner)
        | st.lists(inner).map(collections.deque)
        | st.builds(Point, inner, inner)
        | st.builds(SimpleNamespace, a=inner, b=inner)
        | st.sets(st.integers())
    ),
    max_leaves=40,
)


def depth(value: object) -> int:
    return 1 + max(map(depth, value), default=0) if isinstance(value, (list, tuple)) else 0


class TestAnyValue:
    @given(NESTED, st.integers(-1, 300), st.text(max_size=200))
    def test_nothing_is_longer_than_its_budget_and_nothing_raises(self, value, budget, name):
        assert fits(describe(name, value, budget), max(0, budget))

    @given(NESTED, st.integers(0, 300))
    def test_circles_end(self, value, budget):
        circle: list[Any] = [value, {"a": value}]
        circle[1]["circle"] = circle
        circle.append(SimpleNamespace(again=circle))

        assert fits(describe("it", circle, budget), budget)

    @given(NESTED)
    def test_no_secret_is_shown(self, value):
        text = describe("it", {"more": [{"db_password": ["s3cr3t"]}], "value": value}, 2_000)

        assert "s3cr3t" not in text

    @given(st.recursive(st.integers() | st.text(max_size=5), lambda inner: st.lists(inner) | st.tuples(inner, inner)))
    def test_what_is_short_is_shown_whole(self, value):
        if not isinstance(value, str) and len(repr(value)) < 80 and depth(value) < 6:
            assert describe("it", value, 100) == repr(value)

    @given(st.text(), st.integers(0, 50))
    def test_a_text_is_whole_or_begins_as_it_does(self, text, budget):
        body, left_out = split(describe("it", text, budget))

        if len(text) <= 4 * budget:
            assert describe("it", text, budget) == text
        else:
            assert body == text[: 4 * budget]
            assert left_out


class TestAttach:
    NAMES: ClassVar = {
        "frame": pd.DataFrame({"price": [1, 2]}),
        "xs": [[1, 2], {"k": "v"}],
        "api_key": "s3cr3t",
        "_hidden": 1,
    }

    def texts(self, *specs: str, **rest: Any) -> list[str]:
        return [each.text for each in attach(specs, self.NAMES, **{"budget": 1_000, **rest})]

    def test_variables_and_what_is_in_them(self):
        assert attach(['xs[1]["k"]', " xs[0] "], self.NAMES, budget=100) == [
            Attachment('xs[1]["k"]', "v", False),
            Attachment("xs[0]", "[1, 2]", False),
        ]
        assert self.texts("frame")[0].startswith(f"frame: pandas DataFrame, 2 rows {TIMES} 1 column")

    def test_nothing_is_sent_twice_and_nothing_for_nothing(self):
        assert self.texts("xs[0]", "", "xs[0]", "  ") == ["[1, 2]"]

    def test_cells_are_counted_as_ipython_does(self):
        cells = ["", "a = 1", "b = 2", "c = 3"]

        assert self.texts("cell:1", "cell:-1", cells=cells) == [
            "cell:1: In[1]\n```python\na = 1\n```",
            "cell:-1: In[3]\n```python\nc = 3\n```",
        ]

    def test_outputs_are_found_by_their_number(self):
        assert self.texts("out:3", "out:-1", outputs={3: [1], 12: "last"}) == ["[1]", "last"]

    @pytest.mark.parametrize(
        ("spec", "said"),
        [
            ("cell:9", "cell:9: there is no such cell; the last one is cell:2"),
            ("cell:0", "cell:0: there is no such cell; the last one is cell:2"),
            ("cell:-3", "cell:-3: there is no such cell; the last one is cell:2"),
            ("cell:x", "cell:x: cell is followed by a number, as in cell:3 or cell:-1"),
            ("out:1", "out:1: there is no such out; there is none yet"),
            ("err", "err: there was no error yet"),
        ],
    )
    def test_a_wrong_number_says_which_there_are(self, spec, said):
        with pytest.raises(AttachmentError, match=re.escape(said)):
            self.texts(spec, cells=["", "a", "b"])

    def test_the_last_error_is_sent(self):
        assert "ValueError: wrong" in self.texts("err", error=ValueError("wrong"))[0]

    def test_a_file_is_found_from_the_folder_and_from_home(self, tmp_path, monkeypatch):
        (tmp_path / "notes.md").write_text("# Notes")
        monkeypatch.setenv("HOME", str(tmp_path))
        monkeypatch.setenv("USERPROFILE", str(tmp_path))

        for spec in ("notes.md", "~/notes.md", str(tmp_path / "notes.md")):
            assert "# Notes" in self.texts(spec, folder=tmp_path)[0]

    @pytest.mark.parametrize(
        ("spec", "said"),
        [
            ("frme", "frme: there is no variable and no file of this name; did you mean frame?"),
            ("frame.prize", "did you mean frame.price?"),
            ("notes.mb", "did you mean notes.md?"),
            ("sub/date.csv", f"did you mean {os.path.join('sub', 'data.csv')}?"),
            ("zzz", "zzz: there is no variable and no file of this name."),
            ("a\0b", "there is no variable and no file of this name."),
            ("~nobody-of-this-name/x", "there is no variable and no file of this name."),
            ("frame.head()", "there is no variable and no file of this name"),
        ],
    )
    def test_what_is_unknown_names_the_closest(self, spec, said, tmp_path):
        (tmp_path / "notes.md").touch()
        (tmp_path / "sub").mkdir()
        (tmp_path / "sub" / "data.csv").touch()

        with pytest.raises(AttachmentError, match=re.escape(said)) as raised:
            self.texts(spec, folder=tmp_path)
        assert isinstance(raised.value, FlowGptError)

    def test_a_secret_is_refused_and_the_way_to_send_it_said(self):
        said = "api_key looks like a secret, so it is not sent; if you mean it: --attach api_key!"
        with pytest.raises(AttachmentError, match=re.escape(said)) as raised:
            self.texts("api_key")
        assert "s3cr3t" not in str(raised.value)

    def test_a_secret_that_is_meant_is_sent(self):
        assert self.texts("api_key!") == ["s3cr3t"]
        assert self.texts("api_key", forced=True) == ["s3cr3t"]
        assert attach(["api_key!"], self.NAMES, budget=10)[0].label == "api_key"

    def test_code_about_secrets_is_none(self):
        def get_token():
            return "code"

        assert "def get_token" in attach(["get_token"], {"get_token": get_token}, budget=100)[0].text

    def test_secrets_inside_are_masked_unless_meant(self):
        names = {"config": {"password": "s3cr3t"}, "os": os}

        assert attach(["config"], names, budget=100)[0].text == "{'password': ***}"
        assert attach(["config!"], names, budget=100)[0].text == "{'password': 's3cr3t'}"
        with pytest.raises(AttachmentError):
            attach(['config["password"]'], names, budget=100)
        assert attach(["os.environ"], names, budget=100)

    def test_a_file_of_secrets_is_refused_unless_meant(self, tmp_path):
        (tmp_path / ".env").write_text("A=s3cr3t")

        with pytest.raises(AttachmentError, match=re.escape("--attach .env!")):
            self.texts(".env", folder=tmp_path)
        assert "A=s3cr3t" in self.texts(".env!", folder=tmp_path)[0]

    def test_what_is_cut_is_marked(self):
        found = attach(["long", "short"], {"long": "x" * 1000, "short": "y"}, budget=100)

        assert [each.cut for each in found] == [True, False]

    @given(st.lists(st.text(max_size=2_000), max_size=5), st.integers(0, 500))
    def test_all_of_it_fits_into_the_budget(self, values, budget):
        names = {f"v{place}": value for place, value in enumerate(values)}

        found = attach(list(names), names, budget=budget)

        assert sum(len(split(each.text)[0]) for each in found) <= 4 * budget
        assert [each.label for each in found] == list(names)

    def test_a_short_one_leaves_its_room_to_the_others(self):
        found = attach(["short", "long"], {"short": "x", "long": "y" * 390}, budget=100)

        assert not found[1].cut


def test_no_library_is_loaded_to_look_at_values():
    import subprocess

    code = """
import sys
from flowgpt_magic.attachments import attach, describe
from flowgpt_magic.references import resolve
heavy = {"inspect", "ast", "linecache", "IPython", "pandas", "numpy", "matplotlib", "polars", "asyncio"}
before = heavy & set(sys.modules)
describe("it", [1, {"a": 2}, describe], 100)
print(*(before - {"inspect", "ast", "linecache"}), *({"IPython", "pandas", "numpy", "matplotlib"} & set(sys.modules)))
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)

    assert (ended.stdout.strip(), ended.stderr) == ("", "")

"""Calls in braces look at a table of pandas or polars, and nothing else is ever run."""

from __future__ import annotations

import random
from contextlib import suppress

import numpy
import pandas
import polars
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowgpt_magic.prompt.looks import LOOKS, LookError, calls_of, look, names_secret_argument

RUN: list[str] = []


class Plain(pandas.DataFrame):
    @property
    def _constructor(self):
        RUN.append("constructor")
        return Plain

    def __len__(self):
        RUN.append("len")
        return 3


class Own(pandas.DataFrame):
    def head(self, n=5):
        RUN.append("head")
        return self


class Fake:
    __class__ = pandas.DataFrame  # type: ignore[assignment]
    shape = (1,)

    def head(self, n=5):
        RUN.append("head")
        return self


class Thing:
    def __hash__(self):
        RUN.append("hash")
        return 1

    def __eq__(self, other):
        RUN.append("eq")
        return True


FRAME = pandas.DataFrame({"sales": [1, 2, 2], "the city": ["a", "b", "b"]})
NAMES = {
    "frame": FRAME,
    "series": FRAME["sales"],
    "table": polars.DataFrame({"sales": [1, 2, 2], "city": ["a", "b", "b"]}),
    "lazy": polars.LazyFrame({"sales": [1]}),
    "plain": Plain(FRAME),
    "own": Own(FRAME),
    "fake": Fake(),
    "things": pandas.DataFrame({"thing": [Thing(), Thing()], "n": [1, 2]}),
    "mixed": pandas.DataFrame({"x": ["a", 1, None, 2.5]}),
    "people": pandas.DataFrame({"password": ["hunter2", "swordfish"], "n": [1, 2]}),
    "person": pandas.Series({"name": "me", "password": "hunter2"}),
    "tables": {"it's": [FRAME]},
    "len": len,
}


@pytest.fixture(autouse=True)
def nothing_of_the_users_is_run():
    RUN.clear()
    yield
    assert RUN == []


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("frame.head(2)", FRAME.head(2)),
        ("frame.head()", FRAME),
        ("frame.head(n=1)", FRAME.head(1)),
        ("frame.head(-1)", FRAME.head(2)),
        ("frame.head(1000000000)", FRAME),
        ("frame.tail(1)", FRAME.tail(1)),
        ("frame.describe()", FRAME.describe()),
        ("frame.describe(include='all')", FRAME.describe(include="all")),
        ("frame.describe([0.1, 0.9])", FRAME.describe([0.1, 0.9])),
        ('frame["the city"].value_counts()', FRAME["the city"].value_counts()),
        ("frame.sales.value_counts(normalize=True).head(1)", FRAME.sales.value_counts(normalize=True).head(1)),
        ('tables["it\'s"][0].tail(1)', FRAME.tail(1)),
        ("series.head(1)", FRAME.sales.head(1)),
        ("plain.head(2)", FRAME.head(2)),
        ("things.head(1).n", pandas.Series([1], name="n")),
        ("things.describe()", pandas.DataFrame({"n": [1, 2]}).describe()),
        ("mixed.x.value_counts()", NAMES["mixed"].x.value_counts()),
    ],
)
def test_a_call_that_looks_is_made(expression, expected):
    value = look(expression, NAMES)

    assert type(value) is type(expected)
    assert value.equals(expected)


def test_what_is_no_table_comes_out_too(capsys):
    assert look("frame.head(2).shape", NAMES) == (2, 2)
    assert look('frame.sales.describe()["max"]', NAMES) == 2
    assert "2 columns" in look("frame.info()", NAMES)
    assert "the city" in look("frame.info(verbose=True)", NAMES)
    assert capsys.readouterr() == ("", "")


def test_polars_is_looked_at_too():
    assert look("table.head(1)", NAMES).equals(polars.DataFrame({"sales": [1], "city": ["a"]}))
    assert look("table.describe()", NAMES).height == 9
    assert look('table["city"].value_counts()', NAMES).height == 2
    assert look("table.sample(2)", NAMES).height == 2


def test_a_sample_is_the_same_each_time_and_changes_no_random_numbers():
    states = random.getstate(), numpy.random.get_state()[1].tolist()

    assert look("frame.sample(2)", NAMES).equals(look("frame.sample(n=2)", NAMES))
    assert (random.getstate(), numpy.random.get_state()[1].tolist()) == states
    assert look("frame.sample(2, random_state=1)", NAMES).equals(FRAME.sample(2, random_state=1))


@pytest.mark.parametrize(
    ("expression", "reason"),
    [
        ("len(frame)", "only head(), tail()"),
        ("frame.to_csv('x')", "only head(), tail()"),
        ("frame.groupby('sales').head()", "only head(), tail()"),
        ("fake.head()", "only head(), tail()"),
        ("frame.head(1).to_dict()", "only head(), tail()"),
        ("tables.values().head()", "only head(), tail()"),
        ("own.head()", "Own has a head of its own, which is not called"),
        ("lazy.head()", "a LazyFrame has no rows before collect()"),
        ("table.info()", "a DataFrame of polars has no info"),
        ("frame.head(10**9)", "not literal"),
        ("frame.head(len)", "not literal"),
        ("frame.head(n=series)", "not literal"),
        ("frame.head(*[1])", "not literal"),
        ("frame.head(lambda: 1)", "not literal"),
        ("frame.head(-'x')", "not literal"),
        ("frame.head(1, 2)", "too many arguments"),
        ("frame.head(m=1)", "head is called with n only"),
        ("frame.info(memory_usage='deep')", "info is called with"),
        ("frame.info(1)", "too many arguments"),
        ("frame.sample(1, replace=True)", "sample is called with"),
        ("frame.sample(9)", "sample failed: ValueError"),
        ("frame.head('a')", "head failed: TypeError"),
        ("frame.nosuch.head()", "frame.nosuch cannot be read"),
        ("nosuch.head()", "nosuch cannot be read"),
        ("frame._mgr.head()", "frame._mgr cannot be read"),
        ("things.value_counts()", "value_counts would run the code of the objects in thing"),
        ("things.describe(include='all')", "describe would run the code of the objects in thing"),
        ("people.value_counts()", "password looks like a secret"),
        ("people.password.value_counts()", "password looks like a secret"),
        ("person.value_counts()", "password looks like a secret"),
        ("person.describe()", "password looks like a secret"),
        ("frame.head(", "only head(), tail()"),
        ("frame" + ".head()" * 1000, "too long"),
    ],
)
def test_nothing_else_is_called_and_the_error_says_why(expression, reason):
    with pytest.raises(LookError) as error:
        look(expression, NAMES)

    assert reason in str(error.value)


def test_a_function_that_was_set_on_a_table_is_not_called():
    frame = FRAME.copy()
    object.__setattr__(frame, "head", lambda: RUN.append("set"))

    assert look("frame.head(1)", {"frame": frame}).equals(FRAME.head(1))


def test_the_calls_of_a_value_are_known_without_running_code():
    assert calls_of(FRAME) == calls_of(NAMES["plain"]) == list(LOOKS)
    assert calls_of(NAMES["own"]) == [name for name in LOOKS if name != "head"]
    assert calls_of(NAMES["table"]) == [name for name in LOOKS if name not in ("info", "value_counts")]
    assert calls_of(NAMES["fake"]) == calls_of(NAMES["lazy"]) == calls_of(1) == []


def test_a_call_that_names_a_secret_is_recognized():
    assert names_secret_argument("people.head(1).password")
    assert names_secret_argument("people.value_counts(subset=['password'])")
    assert not names_secret_argument("frame.sales.value_counts().head(3)")


class Watched(pandas.DataFrame):
    """Every method of the user's tells that it was run."""

    def __getattribute__(self, name):
        if name in ("to_csv", "pipe", "apply", "eval", "query"):
            RUN.append(name)
        return super().__getattribute__(name)


ARGUMENTS = st.lists(st.sampled_from(["1", "-2", "'a'", "[1]", "n=3", "10**9", "len", "frame", "x=1", "include='all'"]))
CALLS = st.tuples(st.sampled_from([*LOOKS, "to_csv", "pipe", "apply", "eval", "query", "sales", "nosuch"]), ARGUMENTS)


@given(st.sampled_from([*NAMES, "watched", "nobody"]), st.lists(CALLS, max_size=3))
def test_whatever_is_called_gives_a_value_or_one_error(name, calls):
    expression = name + "".join(f".{method}({', '.join(arguments)})" for method, arguments in calls)
    before = FRAME.copy()

    with suppress(LookError):
        look(expression, {**NAMES, "watched": Watched(FRAME)})
    assert RUN == []
    assert FRAME.equals(before)

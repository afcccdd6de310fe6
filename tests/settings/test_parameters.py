"""Parameters from several places: what can be one, and which one counts."""

from __future__ import annotations

import enum
import json
import math
import re
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowgpt_magic.settings.parameters import (
    MAX_VALUE_DEPTH,
    Layer,
    checked,
    fields,
    joined,
    merged,
    origins,
    plain,
    without,
)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
OBJECTS = st.dictionaries(
    st.sampled_from("abc"), st.recursive(st.integers(), lambda i: st.dictionaries(st.sampled_from("abc"), i))
)


class Effort(str, enum.Enum):
    LOW = "low"


class Odd:
    pass


def layer(rank: float, **values: object) -> Layer:
    return Layer(f"place {rank}", rank, values)


@given(JSON)
def test_what_is_json_stays_as_it_is(value):
    assert plain(value, "x") == value


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (("a", "b"), ["a", "b"]),
        ({50256: -100}, {"50256": -100}),
        (Effort.LOW, "low"),
        ({Effort.LOW: 1}, {"low": 1}),
        (Decimal("0.5"), 0.5),
        (Fraction(1, 2), 0.5),
    ],
)
def test_what_python_has_for_json_becomes_json(value, found):
    assert plain(value, "x") == found
    assert json.loads(json.dumps(plain(value, "x"))) == found


def test_numbers_and_arrays_of_numpy_become_numbers_and_lists():
    numpy = pytest.importorskip("numpy")

    found = plain({"a": numpy.float32(0.5), "b": numpy.int64(3), "c": numpy.bool_(True), "d": numpy.arange(2)}, "x")

    assert found == {"a": 0.5, "b": 3, "c": True, "d": [0, 1]}
    assert [type(each) for each in found.values()] == [float, int, bool, list]


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({"a"}, "x is a set, which has no order: use a list"),
        ({"a": [Odd()]}, "x.a[0] is of type Odd, which JSON does not support"),
        (math.nan, "x is nan, which JSON does not support"),
        ([math.inf], "x[0] is inf, which JSON does not support"),
        (Decimal("NaN"), "x is nan, which JSON does not support"),
        (1 + 2j, "x is a number that JSON does not support"),
        (b"bytes", "x is of type bytes"),
        ((each for each in "ab"), "x is of type generator"),
        ({1.5: "a"}, "x has the key 1.5: the keys of an object must be strings"),
        ({True: "a"}, "x has the key True"),
        (Odd, "x is of type type"),
    ],
)
def test_what_json_has_no_value_for_is_named_with_its_place(value, said):
    with pytest.raises(ValueError, match=re.escape(said)):
        plain(value, "x")


def test_a_value_without_an_end_is_refused():
    circle: list[object] = []
    circle.append(circle)

    with pytest.raises(ValueError, match=f"is nested more than {MAX_VALUE_DEPTH} levels deep"):
        plain(circle, "x")


def test_parameters_may_be_a_table_or_a_json_object():
    assert checked({"top_p": 0.5}) == checked('{"top_p": 0.5}') == {"top_p": 0.5}
    assert checked(None) is checked("") is None
    assert checked({}) == {}


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("top_p=1", "must be a JSON object"),
        ('{"top_p": NaN}', "must be a JSON object"),
        ("[1]", "must be a table of names and values"),
        (3, "must be a table of names and values"),
        ({"top-p": 1}, "has the name 'top-p'"),
        ({1: 1}, "has the name 1"),
        ({"model": "x"}, "cannot set model: use -m, or model= in Python"),
        ({"messages": []}, "cannot set messages"),
        ({"stream": False}, "cannot set stream"),
        ({"extra_body": {"model": "x"}}, "cannot set extra_body.model"),
        ({"extra_body": {"stream": False}}, "cannot set extra_body.stream"),
        ({"extra_body": [1]}, "has an extra_body that is not a table"),
        ({"top_k": 1, "extra_body": {"top_k": 2}}, "contains top_k twice: as a parameter and in extra_body"),
    ],
)
def test_what_cannot_be_parameters_is_refused(value, said):
    with pytest.raises(ValueError, match=re.escape(said)):
        checked(value)


@given(OBJECTS, OBJECTS)
def test_two_objects_are_joined_key_by_key_and_the_upper_one_is_whole(below, above):
    found = joined(below, above)

    assert found.keys() == below.keys() | above.keys()
    assert joined(found, above) == found
    for name, value in above.items():
        if not isinstance(value, dict):
            assert found[name] == value
    for name in below.keys() - above.keys():
        assert found[name] == below[name]


def test_the_nearer_place_counts_name_by_name():
    layers = [layer(2, top_p=0.5), layer(0, top_p=0.1, seed=1, stop=["a"]), layer(1, stop=["b"])]

    assert merged(layers) == {"seed": 1, "stop": ["b"], "top_p": 0.5}
    assert {name: each.rank for name, each in origins(layers).items()} == {"top_p": 2, "seed": 0, "stop": 1}


def test_only_extra_body_is_merged_and_that_at_every_depth():
    far = layer(0, logit_bias={"1": 1}, extra_body={"provider": {"order": ["a"], "zdr": True}, "top_a": 0.1})
    near = layer(1, logit_bias={"2": 2}, extra_body={"provider": {"order": ["b"]}, "min": None})

    assert merged([far, near]) == {
        "logit_bias": {"2": 2},
        "extra_body": {"provider": {"order": ["b"], "zdr": True}, "top_a": 0.1, "min": None},
    }
    assert origins([far, near])["extra_body.top_a"] is far
    assert origins([far, near])["extra_body.provider"] is near


def test_null_takes_back_what_stands_further_away():
    far = layer(0, top_p=0.5, extra_body={"top_a": 0.1})

    assert merged([far, layer(1, top_p=None, extra_body=None)]) == {"top_p": None}
    assert merged([far, layer(1, extra_body=None), layer(2, extra_body={"b": 1})])["extra_body"] == {"b": 1}


def test_a_field_counts_once_however_the_nearer_place_writes_it():
    assert merged([layer(0, extra_body={"top_k": 1}), layer(1, top_k=2)]) == {"top_k": 2}
    assert merged([layer(0, top_k=1), layer(1, extra_body={"top_k": 2})]) == {"extra_body": {"top_k": 2}}


def test_fields_are_those_of_the_request():
    given_ = {"top_p": 1, "extra_body": {"top_a": 2, "b": 3}}

    assert fields(given_) == {"top_p": 1, "top_a": 2, "b": 3}
    assert without(given_, ["top_a", "top_p"]) == {"extra_body": {"b": 3}}
    assert fields({"extra_body": None}) == {}

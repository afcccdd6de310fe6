"""Containers and objects with fields, and that no secret in them is shown."""

from __future__ import annotations

import collections
import dataclasses
import os
import re
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from flowgpt_magic.prompt.attachments import describe
from flowgpt_magic.prompt.describe import containers
from tests.described import TIMES, Model, Pair, Plain, Point, fits, notice, split


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
        text = describe("it", {f"name {n}": {"value": n, "list": list(range(n))} for n in range(30)}, 600)

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

        monkeypatch.setattr(containers, "is_secret_name", fail)

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


def test_secrets_of_the_environment_are_masked_even_where_the_environment_is_meant(monkeypatch):
    for name in list(os.environ):
        monkeypatch.delenv(name)
    monkeypatch.setenv("MY_API_KEY", "very-secret")
    monkeypatch.setenv("LANGUAGE", "en")

    text = describe("os.environ", os.environ, 500, forced=True)

    assert "very-secret" not in text
    assert "'LANGUAGE': 'en'" in text
    assert "very-secret" in describe("d", {"MY_API_KEY": "very-secret"}, 500, forced=True)

"""Exceptions, and what led to them."""

from __future__ import annotations

import os
import re
import sys

import pandas as pd
import pytest

from flowgpt_magic.prompt.attachments import describe
from flowgpt_magic.prompt.describe.tracebacks import MAX_CAUSES
from tests.described import fits, in_a_cell, raised


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
        assert "\n\nIt was raised while this was handled:\n" in describe("e", raised(names["context"]), 500)
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


def test_frames_of_this_package_are_library_frames():
    from flowgpt_magic.prompt.references import look_up

    try:
        look_up("missing", {})
    except LookupError as error:
        text = describe("e", error, 500)

    assert f"(library) prompt{os.sep}references.py, line " in text
    assert "→" in text  # the user's own line


def test_of_a_long_chain_of_causes_the_nearest_are_shown():
    error: Exception = ValueError("0")
    for number in range(1, 10):
        cause, error = error, ValueError(str(number))
        error.__cause__ = cause

    assert describe("e", error, 2_000).count("It was caused by:") == MAX_CAUSES - 1

"""Plain values and odd objects: what they say of themselves, and for how long they are asked."""

from __future__ import annotations

import datetime
import threading
from pathlib import Path

import numpy as np
import psutil
import pydantic
import pytest

from flowgpt_magic.prompt.attachments import describe
from flowgpt_magic.prompt.describe import budget
from tests.described import Broken, Color, Leaving, Slow, notice


@pytest.fixture
def impatient(monkeypatch):
    """Nobody waits for two seconds here."""
    seconds = budget.Inspection.__init__.__defaults__
    monkeypatch.setattr(budget.Inspection.__init__, "__defaults__", (*seconds[:-3], 0.2, *seconds[-2:]))


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

    @pytest.mark.skipif(psutil.virtual_memory().available < 4 * 2**30, reason="there is too little memory")
    def test_a_repr_of_a_gigabyte_is_begun_and_that_is_said(self):
        class Huge:
            def __repr__(self):
                return "x" * 10**9

        text = describe("it", Huge(), 100)

        assert text == f"{'x' * 400}\n… 999,999,600 of 1,000,000,000 characters are not shown"

    @pytest.mark.usefixtures("impatient")
    def test_a_repr_that_never_ends_is_not_waited_for(self):
        assert describe("it", Slow(), 100) == "<Slow; its repr took longer than 2 s>"
        assert describe("it", {"a": Slow(), "b": 1}, 100) == "{'a': <Slow; its repr took longer than 2 s>, 'b': 1}"

    @pytest.mark.usefixtures("impatient")
    def test_many_slow_objects_are_waited_for_no_longer_than_one(self):
        Slow.asked = 0

        text = describe("it", [Slow() for _ in range(100)], 2_000)

        assert Slow.asked == 1
        assert "was not called: others took longer than 2 s" in text

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

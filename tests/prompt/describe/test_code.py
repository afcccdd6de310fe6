"""Functions, classes and modules."""

from __future__ import annotations

import functools
import linecache
import re
import textwrap

from flowgpt_magic.prompt.attachments import describe
from flowgpt_magic.prompt.describe.code import is_cell
from tests.described import fits, in_a_cell


def a_documented_function(x: int) -> int:
    """Doubles."""
    return 2 * x


def test_a_cell_is_told_from_a_file_by_either_way_of_noting_it(tmp_path, monkeypatch):
    file = tmp_path / "module.py"
    file.touch()
    cell = str(tmp_path / "ipykernel_1" / "2.py")

    for name, changed in ((str(file), 1.0), (cell, None), ("<ipython-input-1-ab>", 1.0)):
        monkeypatch.setitem(linecache.cache, name, (0, changed, ["pass\n"], name))

    assert is_cell(cell)
    assert is_cell("<ipython-input-1-ab>")
    assert not is_cell(str(file))
    assert not is_cell("what nobody has read")


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

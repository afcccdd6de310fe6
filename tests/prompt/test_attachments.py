"""What values look like to a language model: short, true about what is left out, and without secrets."""

from __future__ import annotations

import collections
import math
import os
import re
import subprocess
import sys
from types import SimpleNamespace
from typing import Any, ClassVar
from unittest.mock import MagicMock

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure

from flowgpt_magic.errors import FlowGptError
from flowgpt_magic.messages.token_estimate import tokens_in
from flowgpt_magic.prompt.attachments import Attachment, AttachmentError, attach, describe
from flowgpt_magic.prompt.magic_line import read_line
from tests.described import TIMES, Broken, Color, Leaving, Plain, Point, fits, notice, split
from tests.prompt.test_images import PNG


class TestText:
    def test_a_text_is_inserted_as_it_is(self):
        text = "a ```block``` of {braces}\n\n  and spaces  \n"

        assert describe("it", text, 100) == text

    def test_a_long_text_is_cut_and_says_so(self):
        assert describe("it", "abc" * 1000, 10) == "abc" * 13 + "a\n… 2,960 of 3,000 characters are not shown"

    @pytest.mark.parametrize(
        "value",
        [
            "第一批船进港的时候港口还很安静" * 1000,
            {"城市": ["奥斯陆", "卑尔根"] * 2000},
            "".join(f"{n * 1.37:.4f};{n}\n" for n in range(5000)),
            pd.DataFrame({"名称": ["奥斯陆市中心"] * 500, "x": [0.123456789] * 500}),
        ],
        ids=["text", "dict", "figures", "table"],
    )
    def test_it_is_cut_by_its_tokens_and_not_by_its_characters(self, value):
        text, _notice = split(describe("it", value, 1000))

        assert 200 < tokens_in(text) <= 1000

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
            Attachment('xs[1]["k"]', "v", False, about='xs[1]["k"]'),
            Attachment("xs[0]", "[1, 2]", False, about="xs[0]"),
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
            ("cell:9", "cell:9 does not exist; the last one is cell:2"),
            ("cell:0", "cell:0 does not exist; the last one is cell:2"),
            ("cell:-3", "cell:-3 does not exist; the last one is cell:2"),
            ("cell:x", "cell:x: cell needs a number, as in cell:3 or cell:-1"),
            ("out:1", "out:1 does not exist; there is none yet"),
            ("err", "err: no error has occurred"),
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
            ("frme", "frme: no variable or file has this name; did you mean frame?"),
            ("frame.prize", "did you mean frame.price?"),
            ("notes.mb", "did you mean notes.md?"),
            ("sub/date.csv", f"did you mean {os.path.join('sub', 'data.csv')}?"),
            ("zzz", "zzz: no variable or file has this name."),
            ("a\0b", "no variable or file has this name."),
            ("~nobody-of-this-name/x", "no variable or file has this name."),
            ("frame.head()", "no variable or file has this name"),
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

        assert [each.is_cut for each in found] == [True, False]

    @given(st.lists(st.text(max_size=2_000), max_size=5), st.integers(0, 500))
    def test_all_of_it_fits_into_the_budget(self, values, budget):
        names = {f"v{place}": value for place, value in enumerate(values)}

        found = attach(list(names), names, budget=budget)

        assert sum(len(split(each.text)[0]) for each in found) <= 4 * budget
        assert [each.label for each in found] == list(names)

    def test_a_short_one_leaves_its_room_to_the_others(self):
        found = attach(["short", "long"], {"short": "x", "long": "y" * 390}, budget=100)

        assert not found[1].is_cut

    def test_two_long_ones_get_half_of_the_budget_each(self):
        found = attach(["one", "two"], {"one": "x" * 3_000, "two": "y" * 3_000}, budget=400)

        first, second = (len(split(attachment.text)[0]) for attachment in found)
        assert 600 < first < 1_000
        assert second > 600


class TestWhatIsSaidBelowTheReply:
    def said(self, spec: str, names: dict[str, object], **how: Any) -> tuple[str, str]:
        (attachment,) = attach([spec], names, budget=200, **how)
        return attachment.about, attachment.unsent

    @pytest.mark.parametrize(
        ("value", "about"),
        [
            (pd.DataFrame({"a": range(60), "b": range(60)}), f"it (60 {TIMES} 2)"),
            (pd.Series(range(1_500)), "it (1,500)"),
            (np.zeros((3, 4)), f"it (3 {TIMES} 4)"),
            (np.array(1), "it"),
            ([1, 2], "it"),
        ],
    )
    def test_a_table_is_said_with_its_size(self, value, about):
        assert self.said("it", {"it": value}) == (about, "")

    def test_a_file_is_said_by_its_name(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        (tmp_path / "notes.txt").write_text("x")

        assert self.said("notes.txt", {}) == ("notes.txt", "")

    @pytest.mark.parametrize("value", [Figure(figsize=(1, 1)), PNG])
    def test_a_picture_is_sent_or_said_not_to_be(self, value):
        assert self.said("plot", {"plot": value}, with_images=True) == ("1 picture", "")
        assert self.said("plot", {"plot": value}, model="local") == (
            "plot in words",
            "picture not sent: local reads text",
        )

    def test_so_is_a_picture_in_a_file(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        (tmp_path / "plot.png").write_bytes(PNG)

        assert self.said("plot.png", {}, with_images=True) == ("1 picture", "")
        assert self.said("plot.png", {}, model="local") == (
            "the name of plot.png",
            "picture not sent: local reads text",
        )


class TestNamesOfFiles:
    @pytest.mark.parametrize("name", ["a,b.txt", "two words.txt", "größe.txt", "#3.txt", "it's.txt", "a=b.txt"])
    def test_any_name_can_be_attached(self, name, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        (tmp_path / name).write_text("its text")

        quoted = f'"{name}"'
        for line in (f"-a {quoted}", f"--attach={quoted}"):
            read = read_line(f"{line} prompt", lambda _word: False)
            assert read.prompt == "prompt"
            assert "its text" in attach(read.options["attach"], {}, budget=100)[0].text

    def test_a_comma_separates_where_no_file_has_it_in_its_name(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        (tmp_path / "a,b.txt").touch()

        read = read_line('-a "c, a,b.txt ,d" prompt', lambda _word: False)

        assert read.options["attach"] == ["c", "a,b.txt", "d"]

    @pytest.mark.parametrize("address", ["https://example.org/a.csv", "http://x", "file:///etc/hosts", "s3://b/k"])
    def test_an_address_says_that_nothing_is_fetched(self, address):
        with pytest.raises(
            AttachmentError, match=f"{address} is an address, and nothing is fetched: download it first"
        ):
            attach([address], {}, budget=100)


def test_no_library_is_loaded_to_look_at_values():

    code = """
import sys
from flowgpt_magic.prompt.attachments import attach, describe
from flowgpt_magic.prompt.references import resolve
heavy = {"inspect", "ast", "linecache", "IPython", "pandas", "numpy", "matplotlib", "polars"}
before = heavy & set(sys.modules)
describe("it", [1, {"a": 2}, describe], 100)
print(*(before - {"inspect", "ast", "linecache"}), *({"IPython", "pandas", "numpy", "matplotlib"} & set(sys.modules)))
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)

    assert (ended.stdout.strip(), ended.stderr) == ("", "")

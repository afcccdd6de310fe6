"""What of the user's names is offered, and that none of them is asked."""

from __future__ import annotations

import sys
from types import ModuleType

import pytest

from flowgpt_magic.completion.names import attributes
from flowgpt_magic.completion.values import CompletionSources
from tests.tabs import tab


@pytest.mark.parametrize(
    "lead", ["%%flowgpt\n", "%%flowgpt\r\nmore\r\n", "%flowgpt tell me ", "%%flowgpt -- ", "%flowgpt "]
)
def test_variables_are_offered_behind_an_open_brace_of_a_prompt(lead):
    assert tab(lead + "{na|") == ["name", "Name"]
    assert tab(lead + "{Na|") == ["Name", "name"]
    assert tab(lead + "{name} and {nu|") == ["number"]
    assert tab(lead + "{na|me} is it") == ["name", "Name"]
    assert tab(lead + "{GR|") == ["größe"]
    assert tab(lead + "🙂 {grö|ße}") == ["größe"]
    assert tab(lead + "{_|") == ["_private"]
    assert tab(lead + "{|") == ["d", "größe", "In", "Name", "name", "number", "rows", "slots", "thing"]


def test_attributes_are_offered_and_none_is_asked():
    assert tab("%%flowgpt\n{thing.|") == ["label", "kind", "loud", "method"]
    assert tab("%%flowgpt\n{thing.LA|") == ["label"]
    assert tab("%%flowgpt\n{thing._|") == []
    assert tab("%%flowgpt\n{thing.loud.|") == []
    assert tab("%%flowgpt\n{thing.missing.|") == []
    assert tab("%%flowgpt\n{thing.label['|") == ["size']"]
    assert tab("%%flowgpt\n{slots.|") == ["left", "right"]
    assert tab("%%flowgpt\n{nobody.|") == []


@pytest.mark.parametrize(
    ("text", "offered"),
    [
        ("{d[|", ['"kind"]', '"two words"]', "'quo\"te']", "7]", "-8]"]),
        ('{d["|', ['kind"]', 'two words"]']),
        ("{d['|", ["kind']", "two words']", "quo\"te']"]),
        ('{d["two w|', ['two words"]']),
        ('{d["two w|"]}', ["two words"]),
        ("{d[7|", ["7]"]),
        ("{d[-|]", ["-8"]),
        ('{d["kind"]["i|', ['inner"]']),
        ("{rows[0]['f|", ["first']"]),
        ("{rows[5]['f|", []),
        ("{rows[|", []),
        ("{name[|", []),
        ('{d["tok|', []),
    ],
)
def test_keys_are_offered_as_they_are_written(text, offered):
    assert tab("%%flowgpt\n" + text) == offered


def test_no_dict_is_changed_by_looking(monkeypatch):
    from collections import defaultdict

    table = defaultdict(dict, a={"inner": 1})

    assert tab("%%flowgpt\n{t['a']['|", CompletionSources(names={"t": table})) == ["inner']"]
    assert tab("%%flowgpt\n{t['b']['|", CompletionSources(names={"t": table})) == []
    assert list(table) == ["a"]


def test_the_calls_of_a_table_are_offered_as_they_are_typed():
    import pandas
    import polars

    known = CompletionSources(names={"frame": pandas.DataFrame({"height": [1]}), "table": polars.DataFrame()})

    assert tab("%%flowgpt\n{frame.he|", known) == ["height", "head()"]
    assert tab("%%flowgpt\n{frame.value_c|", known) == ["value_counts()"]
    assert tab("%%flowgpt\n{table.desc|", known) == ["describe()"]


def test_columns_of_a_table_are_offered_if_pandas_is_loaded(monkeypatch):
    class DataFrame:
        columns = ("price", "amount paid", 3)

    class Computed(DataFrame):
        @property
        def columns(self):
            raise AssertionError

    known = CompletionSources(names={"frame": DataFrame(), "computed": Computed()})
    monkeypatch.delitem(sys.modules, "pandas", raising=False)
    assert tab("%%flowgpt\n{frame.pr|", known) == []

    module = ModuleType("pandas")
    module.DataFrame = DataFrame
    monkeypatch.setitem(sys.modules, "pandas", module)

    assert tab("%%flowgpt\n{frame.pr|", known) == ["price"]
    assert tab("%%flowgpt\n{frame[|", known) == ['"price"]', '"amount paid"]', "3]"]
    assert tab("%%flowgpt\n{computed[|", known) == []


def test_columns_of_a_real_table_are_offered():
    import pandas

    frame = pandas.DataFrame({"price": [1], "amount paid": [2], 2026: [3]})

    assert tab("%%flowgpt\n{frame.pr|", CompletionSources(names={"frame": frame}))[0] == "price"
    assert tab("%%flowgpt\n{frame['|", CompletionSources(names={"frame": frame})) == ["price']", "amount paid']"]


def test_a_dict_that_a_class_computes_is_not_asked_for():
    calls = []

    class Computed:
        @property
        def __dict__(self):
            calls.append("asked")
            return {"hidden": 1}

    assert "hidden" not in {candidate.text for candidate in attributes(Computed())}
    assert calls == []

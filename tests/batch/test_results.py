"""Results as tables: of pandas, and as the sums below a cell."""

from __future__ import annotations

import builtins

import pandas
import polars
import pytest

from flowgpt_magic.batch.results import BatchCounts, Result, table
from flowgpt_magic.errors import NotInstalledError, ProviderError
from flowgpt_magic.messages import Usage
from tests.batch.test_batch import failing_at
from tests.batches import batch_of

OURS = ["prompt", "text", "status", "error", "model", "prompt_tokens", "completion_tokens", "seconds", "replayed"]


def test_a_list_becomes_a_table_with_a_row_for_each_prompt():
    frame = batch_of(["one", "bad"], failing_at("bad")).to_frame()

    assert list(frame.columns) == OURS
    assert list(frame.index) == [0, 1]
    assert frame["text"].tolist() == ["one", None]
    assert frame["status"].tolist() == ["complete", "failed"]
    assert frame["error"].tolist() == [None, "ProviderError: no bad."]
    assert frame["model"].tolist() == ["told:words"] * 2


def test_the_code_of_a_result_is_that_of_its_text():
    (block,) = Result(0, 0, "a", "a", "<think>```\ndraft\n```</think>\n```py\n1\n```").code_blocks

    assert (block, block.language) == ("1\n", "py")


def test_the_columns_have_the_same_types_whatever_is_in_them():
    good, bad = batch_of(["one"]).to_frame(), batch_of(["bad"], failing_at("bad")).to_frame()

    assert good.dtypes.to_dict() == bad.dtypes.to_dict()
    assert str(good["prompt_tokens"].dtype) == "Int64"


def test_a_table_keeps_its_own_columns_and_its_index():
    own = pandas.DataFrame({"word": ["rot", "blau"], "n": [1, 2]}, index=["x", "x"])

    frame = batch_of(own, template="{word}").to_frame()

    assert list(frame.columns) == ["word", "n", *OURS]
    assert list(frame.index) == ["x", "x"]
    assert frame["n"].tolist() == [1, 2]
    assert frame["text"].tolist() == ["rot", "blau"]
    assert list(own.columns) == ["word", "n"]


def test_a_column_of_ours_gives_way_to_one_of_the_tables():
    own = pandas.DataFrame({"text": ["a", "b"], "status": ["new", "old"]})

    frame = batch_of(own, template="Sum up: {text}").to_frame()

    assert frame["text"].tolist() == ["a", "b"]
    assert frame["reply_text"].tolist() == ["Sum up: a", "Sum up: b"]
    assert frame["reply_status"].tolist() == ["complete"] * 2
    assert frame["status"].tolist() == ["new", "old"]


def test_a_column_and_a_mapping_keep_their_labels():
    assert list(batch_of(pandas.Series(["a", "b"], index=[7, 9])).to_frame().index) == [7, 9]
    assert list(batch_of({"x": "a", "y": "b"}).to_frame().index) == ["x", "y"]


def test_a_table_of_polars_becomes_one_of_pandas():
    frame = batch_of(polars.DataFrame({"word": ["rot"]}), template="{word}").to_frame()

    assert (frame["word"].tolist(), frame["text"].tolist()) == (["rot"], ["rot"])


def test_with_a_schema_there_is_a_column_for_the_value():
    async def answer(prompt):
        yield '{"n": 1}' if prompt[:4] == "good" else "no"

    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    frame = batch_of(["good", "bad"], answer, options={"schema": schema}).to_frame()

    assert frame["data"].tolist() == [{"n": 1}, None]
    assert frame["text"].tolist() == ['{"n": 1}', "no"]


def test_after_an_early_end_there_is_a_row_for_what_was_not_asked_too():
    batch = batch_of(["one", "two"])
    batch.cancel()

    frame = batch.to_frame()

    assert frame["prompt"].tolist() == ["one", "two"]
    assert frame["status"].tolist() == [None, None]
    assert frame["text"].tolist() == [None, None]


def test_without_pandas_it_says_what_to_install(monkeypatch):
    batch = batch_of(["one"])
    batch.read()
    found = builtins.__import__

    def without_pandas(name, *rest):
        if name == "pandas":
            raise ImportError(name)
        return found(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without_pandas)

    with pytest.raises(NotInstalledError, match="pip install pandas"):
        batch.to_frame()


# Sums


def result(index: int, **values) -> Result:
    return Result(index, index, "item", "prompt", **values)


def test_sums_leave_out_what_came_from_the_history():
    counts = BatchCounts()
    counts.add(result(0, status="complete", usage=Usage(10, 20)))
    counts.add(result(1, status="complete", usage=Usage(10, 20), replayed=True))
    counts.add(result(2, status="complete"))

    assert (counts.complete, counts.replayed, counts.prompt_tokens, counts.completion_tokens) == (3, 1, 10, 20)


def test_a_table_tells_how_many_and_the_first_answers():
    counts = BatchCounts()
    for number, why in enumerate(["one\n<b>", "two.", "three"]):
        counts.add(result(number, status="failed", error=ProviderError(why)))
    counts.add(result(3, status="complete", replayed=True))
    counts.add(result(4, status="cancelled"))

    shown = table(counts, model="echo:words", total=1200, seconds=61.25, notes=["run it again"])

    assert shown.headline == (
        "echo:words · 1 complete · 3 failed · 1 cancelled · 1,195 not sent · 1 from the history · 61.2 s"
    )
    assert shown.rows == (
        ("0", "prompt", "ProviderError: one <b>.", "failed"),
        ("1", "prompt", "ProviderError: two.", "failed"),
        ("2", "prompt", "ProviderError: three.", "failed"),
        ("3", "prompt", "", "from the history"),
        ("4", "prompt", "", "cancelled"),
    )
    assert shown.note == "run it again"
    assert "<b>" not in shown.html()

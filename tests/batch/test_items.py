"""What a batch asks: items of all kinds, made prompts."""

from __future__ import annotations

import math
import sqlite3
import warnings
from collections import defaultdict, namedtuple
from dataclasses import dataclass
from typing import NamedTuple

import numpy
import pandas
import polars
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowgpt_magic.batch.items import Items, Template, _unknown, is_missing
from flowgpt_magic.errors import FlowGptWarning, PromptError

Row = namedtuple("Row", "title year")


@dataclass
class Book:
    title: str
    year: int = 1949

    @property
    def secret(self) -> str:
        return "is no field"


def prompts(given, template=None, values=None) -> list[str]:
    items = list(Items(given, template, values))
    assert [item.error for item in items] == [None] * len(items)
    return [item.prompt for item in items]


# Templates


@pytest.mark.parametrize(
    "item",
    [
        {"title": "1984", "year": 1949},
        Row("1984", 1949),
        Book("1984"),
        pandas.Series({"title": "1984", "year": 1949}),
        defaultdict(str, title="1984", year=1949),
    ],
    ids=lambda item: type(item).__name__,
)
def test_a_template_takes_keys_and_fields(item):
    assert Template("{title} of {year}").fill(item) == "1984 of 1949"


def test_a_template_takes_the_columns_of_a_row_of_a_database():
    with sqlite3.connect(":memory:") as database:
        database.row_factory = sqlite3.Row
        rows = database.execute("SELECT '1984' AS title, 1949 AS year")

        assert prompts(rows, "{title} of {year}") == ["1984 of 1949"]


def test_a_template_takes_the_fields_of_a_pydantic_model():
    from pydantic import BaseModel

    class Film(BaseModel):
        title: str

    assert Template("{title}").fill(Film(title="Brazil")) == "Brazil"


@pytest.mark.parametrize("item", ["text", 42, 1.5, ("a", "b"), ["a"], {"a": 1}])
def test_empty_braces_stand_for_the_whole_item(item):
    assert Template("<{}>").fill(item) == f"<{item}>"


def test_values_are_the_same_for_all_items_and_an_item_goes_before_them():
    template = Template("Translate to {language}: {}{title}", {"language": "French", "title": ""})

    assert template.fill("hello") == "Translate to French: hello"
    assert Template("{title}", {"title": "no"}).fill({"title": "yes"}) == "yes"


def test_doubled_braces_are_braces():
    assert Template('{{"title": "{}"}} {{}} {{{}}}').fill("x") == '{"title": "x"} {} {x}'


def test_a_name_may_have_spaces_dots_and_signs():
    item = {"first name": "Ada", "user.mail": "a@b", "n-1": 3, "a:b": "c", "x!r": "y", "z[0]": "w"}

    assert Template("{first name} {user.mail} {n-1} {a:b} {x!r} {z[0]} { n-1 }").fill(item) == "Ada a@b 3 c y w 3"


@given(st.text(), st.text(), st.text())
def test_what_is_inserted_is_never_looked_at_again(before, value, after):
    doubled = [text.replace("{", "{{").replace("}", "}}") for text in (before, after)]

    filled = Template(f"{doubled[0]}{{}}{{name}}{doubled[1]}", {"name": value}).fill(value)

    assert filled == before + value + value + after


@given(st.text(alphabet="{}ab.[]!:", max_size=12))
def test_any_text_is_a_template_or_a_clear_error(text):
    told, filled = "", ""
    try:
        filled = Template(text, {"a": 1, "b": 2, "ab": 3}).fill("item")
    except PromptError as error:
        told = str(error)

    assert bool(filled) != ("template" in told)


@pytest.mark.parametrize("name", ["secret", "__class__", "title.__class__", "title[0]", "title!r", "title:>9"])
def test_a_template_reads_no_attributes_and_runs_no_formats(name):
    with pytest.raises(PromptError, match="Available: title, year"):
        Template(f"{{{name}}}").fill(Book("1984"))


def test_a_lookup_makes_no_key():
    item = defaultdict(str, title="1984")

    with pytest.raises(PromptError):
        Template("{titel}").fill(item)

    assert list(item) == ["title"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("no field", "the template has no field, so all prompts would be equal"),
        ("", "the template has no field"),
        ("{{}}", "the template has no field"),
        ("a { b {}", "the template has a single {: write {{ for a literal brace"),
        ("a } b {}", "the template has a single }: write }}"),
        (42, "a template is text, not int"),
    ],
)
def test_what_is_no_template_is_refused(text, said):
    with pytest.raises(PromptError) as caught:
        Template(text)

    assert said in str(caught.value)


def test_an_unknown_name_is_told_with_the_nearest_one():
    with pytest.raises(PromptError, match=r"uses {titel}; did you mean title\? Available: title, year\.$"):
        Template("{titel}").fill(Row("a", 1))
    with pytest.raises(PromptError, match=r"the items have no names: write \{\}"):
        Template("{title}").fill("1984")
    with pytest.raises(PromptError, match="A literal brace is doubled"):
        Template('{"title": 1}').fill(Row("a", 1))


def test_a_value_that_cannot_be_made_text_is_that_items_error():
    class Broken:
        def __str__(self) -> str:
            raise RuntimeError("no")

    with pytest.raises(PromptError, match="cannot become text: RuntimeError"):
        Template("{}").fill(Broken())


MISSING = [None, float("nan"), numpy.nan, pandas.NA, pandas.NaT, numpy.datetime64("NaT", "s")]


@pytest.mark.parametrize("value", MISSING, ids=repr)
def test_what_tables_hold_where_nothing_is_known_is_missing(value):
    assert is_missing(value)
    with pytest.raises(PromptError, match=r"the value for \{name\} is missing"):
        Template("{name}").fill({"name": value})
    with pytest.raises(PromptError, match="it is missing"):
        Template("<{}>").fill(value)


@pytest.mark.parametrize(
    "value", ["", 0, False, [], numpy.array([1, 2]), numpy.array([]), pandas.DataFrame({"a": [1]})]
)
def test_what_is_empty_is_not_missing(value):
    assert not is_missing(value)


# Items


def test_items_come_from_whatever_can_be_walked_along():
    expected = ["one", "two"]

    assert prompts(["one", "two"]) == expected
    assert prompts(("one", "two")) == expected
    assert prompts({"a": "one", "b": "two"}) == expected
    assert prompts(iter(["one", "two"])) == expected
    assert prompts(pandas.Series(["one", "two"])) == expected
    assert prompts(pandas.Index(["one", "two"])) == expected
    assert prompts(polars.Series(["one", "two"])) == expected
    assert prompts(numpy.array(["one", "two"])) == expected
    assert sorted(prompts({"one", "two"})) == expected
    assert {type(prompt) for prompt in prompts(numpy.array(["one", "two"]))} == {str}


def test_rows_of_a_table_are_filled_in_by_their_columns():
    columns = {"title": ["1984", "Emma"], "year": [1949, 1815], "text": ["{year}", "b"]}
    template = "{title} ({year}): {text}"

    for frame in (pandas.DataFrame(columns, index=["x", "y"]), polars.DataFrame(columns)):
        assert prompts(frame, template) == ["1984 (1949): {year}", "Emma (1815): b"]


def test_columns_that_are_no_text_have_their_name_in_text():
    assert prompts(pandas.DataFrame([["a", "b"]]), "{0} and {1}") == ["a and b"]


def test_an_item_is_called_as_its_owner_calls_it():
    def labels(given, template=None):
        return [item.label for item in Items(given, template)]

    assert labels({"a": "one", "b": "two"}) == ["a", "b"]
    assert labels(pandas.Series(["one", "two"], index=[7, 9])) == [7, 9]
    assert labels(pandas.DataFrame({"t": ["one", "two"]}, index=["x", "y"]), "{t}") == ["x", "y"]
    assert labels(iter(["one", "two"])) == [0, 1]


def test_a_list_of_messages_is_a_prompt_with_what_stands_before_it():
    messages = [{"role": "system", "content": "be brief"}, {"role": "user", "content": "hi"}]

    (item,) = Items([messages])

    assert (item.prompt, item.earlier) == ("hi", messages[:1])


async def test_items_of_an_async_generator_come_one_after_the_other_and_it_is_closed():
    closed = []

    async def numbers():
        try:
            for number in range(10):
                yield number
        finally:
            closed.append(True)

    flow = Items(numbers(), "number {}").flow()
    first = [(await anext(flow)).prompt, (await anext(flow)).prompt]
    await flow.aclose()

    assert (first, closed) == (["number 0", "number 1"], [True])


# What is refused, and when


@pytest.mark.parametrize(
    ("given", "template", "said"),
    [
        ([], None, "there are no prompts: the batch is empty"),
        ({}, None, "there are no prompts"),
        (pandas.Series([], dtype=object), None, "there are no prompts"),
        (pandas.DataFrame({"a": []}), "{a}", "there are no prompts"),
        ("hello", None, "a batch needs several prompts: put a single one into a list"),
        (b"hello", None, "put a single one into a list"),
        (None, None, "NoneType is not iterable"),
        (42, None, "int is not iterable: pass a list, a column or a generator"),
        (["one", 2, 3], None, "prompt 1: it is int, not text; template='{}' converts it, and 1 other "),
        (["one", math.nan], None, r"prompt 1: it is missing \(nan\); remove it, for instance with dropna\(\)\.$"),
        (pandas.Series(["a", None], index=["x", "y"]), None, "prompt 'y': it is missing"),
        (["one", "  "], None, r"prompt 1: it is empty\.$"),
        ([{"a": 1}, {"b": 1}], "{a}", r"prompt 1: the template uses {a}; did you mean b\?|Available: b"),
        (pandas.DataFrame({"title": ["x"]}), None, r"a row of a table is not a text: pass a template"),
        (pandas.DataFrame({"title": ["x"]}), "{titel}", r"uses {titel}; did you mean title\?"),
        (
            pandas.DataFrame({"title": ["x", None]}),
            "{title}",
            r"prompt 1: the value for {title} is missing \((None|nan)\)",
        ),
        ([[{"role": "robot", "content": "x"}]], None, "prompt 0: a message must have a role"),
    ],
)
def test_what_is_at_hand_and_cannot_be_asked_is_said_at_once(given, template, said):
    with pytest.raises(PromptError, match=said):
        Items(given, template)


def test_values_without_a_template_are_a_mistake():
    with pytest.raises(PromptError, match="values= needs a template="):
        Items(["a"], None, {"a": 1})


def test_what_a_generator_brings_that_cannot_be_asked_is_that_items_error():
    items = list(Items(each for each in ("one", 2, None, "", "two")))

    assert [item.prompt for item in items] == ["one", "", "", "", "two"]
    assert [str(item.error) for item in items[1:4]] == [
        "it is int, not text; template='{}' converts it.",
        "it is missing (None); remove it, for instance with dropna().",
        "it is empty.",
    ]


def test_a_generator_is_not_touched_before_it_is_walked_along():
    touched = []

    def numbers():
        touched.append(True)
        yield "one"

    items = Items(numbers())

    assert (touched, items.total, items.at_hand) == ([], None, False)
    assert [item.prompt for item in items] == ["one"]


def test_what_tells_its_length_but_is_not_in_memory_is_not_walked_along_twice():
    class Dataset:
        def __len__(self) -> int:
            return 2

        def __iter__(self):
            return iter(["one", "two"])

    items = Items(Dataset())

    assert (items.total, items.at_hand) == (2, False)


# Tables whose columns share a name, and columns of secrets

DOUBLED = {
    "one name twice": pandas.DataFrame([["left", "right"]], columns=["text", "text"]),
    "a number and its digits": pandas.DataFrame([["left", "right"]], columns=[1, "1"]),
    "one of several levels": pandas.DataFrame(
        [["left", "right"]], columns=pandas.MultiIndex.from_tuples([("a", "text"), ("a", "text")])
    ),
}


@pytest.mark.parametrize("frame", DOUBLED.values(), ids=DOUBLED)
@pytest.mark.parametrize("template", ["{}", "{text}"])
def test_two_columns_of_one_name_are_refused_with_that_name(frame, template):
    with pytest.raises(PromptError, match="the table has duplicate column names: ") as refused:
        Items(frame, template)

    assert str(frame.columns[0]) in str(refused.value)


def test_columns_of_several_levels_can_be_asked_for():
    frame = pandas.DataFrame([["left", "right"]], columns=pandas.MultiIndex.from_tuples([("a", "text"), ("b", "text")]))

    assert prompts(frame, "{('b', 'text')} of {('a', 'text')}") == ["right of left"]


def test_a_row_of_a_query_with_two_columns_of_one_name_is_refused():
    connection = sqlite3.connect(":memory:")
    connection.row_factory = sqlite3.Row
    (item,) = Items(iter(connection.execute("SELECT 'left' AS text, 'right' AS text")), "{text}")
    connection.close()

    assert "the item has duplicate column names: text" in str(item.error)


@pytest.mark.parametrize("name", ["api_key", "API key", "password", "github_token", "clientSecret"])
def test_a_column_named_like_a_secret_stays_as_typed_and_this_is_told(name):
    frame = pandas.DataFrame({"user": ["ada"], name: ["s3cr3t"]})

    with pytest.warns(FlowGptWarning, match="looks like a secret, so it stays as typed; to send it: "):
        assert prompts(frame, f"{{user}}: {{{name}}}") == [f"ada: {{{name}}}"]


def test_a_secret_that_is_meant_is_sent():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert prompts([{"token": "Haus", "monkey": "ape"}], "{token!} {monkey}") == ["Haus ape"]
        assert Template("{key} {}", {"key": "C major"}).fill("x") == "C major x"


def test_a_mark_behind_another_name_is_a_part_of_it():
    assert Template("{really!}").fill({"really!": "yes"}) == "yes"


def test_a_field_of_a_secret_that_is_not_there_is_an_error_too():
    with pytest.warns(FlowGptWarning), pytest.raises(PromptError, match=r"uses \{api_key\}"):
        prompts(pandas.DataFrame({"user": ["ada"]}), "{user} {api_key}")


class Account(NamedTuple):
    user: str
    password: str


@pytest.mark.parametrize(
    "item",
    [
        {"user": "ada", "password": "s3cr3t"},
        Account("ada", "s3cr3t"),
        pandas.Series({"user": "ada", "password": "s3cr3t"}),
    ],
    ids=lambda item: type(item).__name__,
)
def test_a_whole_item_is_sent_with_its_secrets_masked(item):
    assert Template("{}").fill(item) == "{'user': 'ada', 'password': '***'}"


def test_a_call_in_a_template_is_refused_and_the_error_says_why():
    for known in ([], ["name"]):
        assert "Nothing is called or computed in a template." in str(_unknown("frame.head(3)", known))

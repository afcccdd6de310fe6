"""Which JSON of a reply is the one that was meant."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowgpt_magic.errors import MismatchError
from flowgpt_magic.markdown.json_text import MOST_JSON_LINES, MOST_STARTS, container_in, values_in
from flowgpt_magic.replies.schema import json_of, schema_of

NUMBER = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)
CONTAINERS = st.dictionaries(st.text(), JSON_VALUES, min_size=1) | st.lists(st.text(), min_size=1)
OSLO = {"name": "Oslo"}


@pytest.mark.parametrize(
    "text",
    [
        '{"name": "Oslo"}',
        'See the census [1]. The answer is:\n\n{"name": "Oslo"}',
        'Options: [] were empty.\n{"name": "Oslo"}',
        'As in [2], here:\n```json\n{"name": "Oslo"}\n```',
        'As in [2]: {"name": "Oslo"}, says [3].',
        '{"name": "Oslo"}\n\n[1]: https://example.org\n[2] Another one\n',
        '{"name": "Oslo"}\n\nSources:\n[1]\n[2]\n',
        'Draft:\n```json\n{"name": "Bergen"}\n```\nFinal:\n```json\n{"name": "Oslo"}\n```\nAnything else?',
        'The shape is {"name": "string"}. So:\n\n{\n  "name": "Oslo"\n}\n\nHope this helps [1].',
        '```python\nprint([1, 2])\n```\n```\n{"name": "Oslo"}\n```\n```python\n["not", "this"]\n```',
        '- a list:\n\n  ```json\n  {"name": "Oslo"}\n  ```\n',
        '> ~~~json\n> {"name": "Oslo"}\n> ~~~\n',
        '<answer>\n{"name": "Oslo"}\n</answer>',
        '<answer>{"name": "Oslo"}</answer>',
        '<details>\n```json\n{"name": "Oslo"}\n```\n</details>',
        '<think>Maybe {"name": "Bergen"}?\n{"name": "Narvik"}\n</think>\n{"name": "Oslo"}',
        'Maybe {"name": "Bergen"}?\n</think>\n\n{"name": "Oslo"}',
        'Broken: {"name": Oslo}\r\n\r\n{\r\n"name": "Oslo"\r\n}\r\n',
        '{oops\n  {"name": "Bergen"}\n}\n{"name": "Oslo"}',
        '```json\n{"name": "Oslo"}\n```\nSee [docs] for more.',
        '{"name": "Oslo"}\n\nReferences: [1]',
        'Result: {"name": "Oslo"}. Note [1].',
        'Here is `the` result: {"name": "Oslo"}',
        'Sure! [thinking] See [1] for details: {"name": "Oslo"}',
        '{"name": "Bergen"} is wrong. {"name": "Oslo"} is right.',
        "".join(f"[{n}] and [a link](x) and [{n}, {n}]\n" for n in range(300)) + '{"name": "Oslo"}',
    ],
)
def test_the_last_value_that_stands_alone_is_the_one_that_is_meant(text):
    assert json_of(text) == OSLO


@pytest.mark.parametrize(
    "text",
    [
        "nothing",
        "See the census [1].",
        "As [1, 2] say, [] is empty.",
        '<think>{"a": 1}</think>There is no answer.',
        '<think>\n{"a": 1}\n',
        "[a link](https://example.org) and [another]",
    ],
)
def test_a_footnote_a_link_and_a_draft_are_no_data(text):
    with pytest.raises(MismatchError, match="no JSON in the reply; schema= asks for some"):
        json_of(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("[1]", [1]),
        ("The ids are:\n[1, 2]\n", [1, 2]),
        ("```json\n[]\n```", []),
        ('They are ["a", "b"].', ["a", "b"]),
        ("[\n  [1, 2],\n  [3, 4]\n]", [[1, 2], [3, 4]]),
        ('Rows:\n[\n[1, "a"],\n[2, "b"]\n]\n', [[1, "a"], [2, "b"]]),
        ("3", 3),
        (' "yes"\n', "yes"),
        ("<think>1?</think>\n\n2", 2),
    ],
)
def test_a_list_of_numbers_and_a_single_value_are_data_where_they_stand_alone(text, value):
    assert json_of(text) == value


def test_with_a_schema_the_last_value_that_fits_is_taken():
    schema = schema_of(NUMBER)

    assert schema.read('{"n": 1}\n{"n": 2}\n{"m": 3}') == {"n": 2}
    assert schema.read('<think>{"n": 1}</think>{"m": 2} {"n": 3} [4]') == {"n": 3}
    assert schema_of({"type": "array", "items": {"type": "integer"}}).read("As in [1]:\n```\n[2, 3]\n```") == [2, 3]


@given(value=st.dictionaries(st.text(), JSON_VALUES) | st.lists(JSON_VALUES), before=st.text("abc .\n"))
def test_every_object_and_list_is_found_behind_any_words(value, before):
    assert value in list(values_in(f"{before}\n{json.dumps(value)}\nand so on"))


@given(draft=CONTAINERS, value=CONTAINERS, indent=st.none() | st.integers(0, 4), before=st.text("abc .[1]\n"))
def test_the_last_block_wins_however_it_is_laid_out(draft, value, indent, before):
    laid_out = json.dumps(value, indent=indent)

    assert container_in(f"{json.dumps(draft)}\n\n{before} words\n\n{laid_out}\n\nmore [1] words") == value
    assert container_in(f"{json.dumps(draft)}\n\n```json\n{laid_out}\n```\n") == value


@given(text=st.text(st.sampled_from('{}[]",:1a `\n'), max_size=200))
def test_no_text_makes_it_fail(text):
    assert isinstance(list(values_in(text)), list)
    container_in(text)


@pytest.mark.parametrize("text", ["[" * 200_000, "{" * 200_000, '{"a":' * 100_000, '["' * 100_000])
def test_a_text_made_to_cost_much_is_looked_at_in_a_few_places_only(text, monkeypatch):
    tried, schema = [], schema_of(NUMBER)
    decode = json.JSONDecoder.raw_decode
    monkeypatch.setattr(json.JSONDecoder, "raw_decode", lambda *a, **k: tried.append(a) or decode(*a, **k))
    monkeypatch.setattr(
        "flowgpt_magic.markdown.json_text._decode", lambda *a: tried.append(a) or decode(json.JSONDecoder(), *a)
    )

    with pytest.raises(MismatchError):
        schema.read(text)

    assert len(tried) <= MOST_STARTS + 2


@pytest.mark.parametrize("line", ['["\n', '{"a": [1,\n', "[[[[[[[[1\n", '{"a": 1\n'])
def test_many_lines_that_begin_like_a_value_are_looked_at_only_up_to_a_limit(line, monkeypatch):
    places: list[int] = []
    decode = json.JSONDecoder().raw_decode

    def counted(text: str, place: int) -> object:
        places.append(place)
        return decode(text, place)

    monkeypatch.setattr("flowgpt_magic.markdown.json_text._decode", counted)

    assert container_in(line * 20_000) is None
    assert len(places) <= MOST_JSON_LINES + MOST_STARTS

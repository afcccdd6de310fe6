"""Parameters on the line of a magic: what is typed after ``-P``, and the value that it is."""

from __future__ import annotations

import json
import re
import shlex
from typing import Any

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from flowgpt_magic.errors import OptionError
from flowgpt_magic.prompt.magic_line import read_line
from flowgpt_magic.prompt.parameter_syntax import merged

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


def read(line: str) -> tuple[list[tuple[str, Any]], str]:
    """The parameters of a line, and its prompt; only ``m:x`` names a model."""
    found = read_line(line, lambda word: word == "m:x")
    return found.options.get("param", []), found.prompt


def value(written: str) -> Any:
    """What ``-P x=…`` gives; the prompt behind it is whole."""
    params, prompt = read(f"m:x -P x={written} hello, world")
    assert prompt == "hello, world"
    ((name, found),) = params
    assert name == "x"
    return found


@given(VALUES, st.sampled_from([None, (",", ":"), (" , ", " : ")]), st.booleans())
@example(["END"], None, False)
@example({"a b": {"c": ["d'e", 'f"g', "\\"]}}, None, False)
@example("'", None, True)
@example(1e300, None, False)
def test_any_json_arrives_equal_however_it_is_spaced(wanted, separators, ascii_only):
    assert value(json.dumps(wanted, separators=separators, ensure_ascii=ascii_only)) == wanted


@given(VALUES)
def test_any_json_arrives_equal_in_the_quotes_of_a_shell(wanted):
    written = json.dumps(wanted)
    assume("'" not in written)

    assert value(f"'{written}'") == wanted
    for whole in (f"'x={written}'", shlex.quote(f"x={written}")):
        assert read(f"m:x -P {whole} hello") == ([("x", wanted)], "hello")
    assert read(f"m:x --param={'x='}{written} hello") == ([("x", wanted)], "hello")


@given(st.text(st.sampled_from("ab='\"\\[]{}:, 1.e-")))
@example("1 -a1")
def test_whatever_stands_behind_p_is_read_or_refused_with_one_clear_error(text):
    try:
        params, prompt = read(f"-P x={text}")
    except OptionError as error:
        assert str(error).startswith(("-", "there is no option"))  # noqa: PT017 - much of it is none
        return
    assert all(name == "x" for name, _value in params) or not text.strip()
    assert text.endswith(prompt)


@pytest.mark.parametrize(
    ("line", "params"),
    [
        ('-P stop=["END"] hi', {"stop": ["END"]}),
        ('-P stop=["END", "STOP"] hi', {"stop": ["END", "STOP"]}),
        ("-P 'stop=[\"END\"]' hi", {"stop": ["END"]}),
        ("-P stop='[\"END\"]' hi", {"stop": ["END"]}),
        ('-P "stop=["END"]" hi', {"stop": ["END"]}),
        (r'-P "stop=[\"END\"]" hi', {"stop": ["END"]}),
        (r'-P stop="[\"END\"]" hi', {"stop": '["END"]'}),
        ('--param stop=["END"] hi', {"stop": ["END"]}),
        ('--param=stop=["END"] hi', {"stop": ["END"]}),
        ("-P stop=END hi", {"stop": "END"}),
        ('-P stop="END" hi', {"stop": "END"}),
        ("-P stop='END' hi", {"stop": "END"}),
        ("-P stop='two words' hi", {"stop": "two words"}),
        ("-P stop=' two' -P x=' ' hi", {"stop": " two", "x": " "}),
        ('-P stop="two words" hi', {"stop": "two words"}),
        (r'-P stop="\n\n" hi', {"stop": "\n\n"}),
        (r"-P stop=['\n'] hi".replace("['", '["').replace("']", '"]'), {"stop": ["\n"]}),
        ("-P 'logit_bias={\"50256\": -100}' hi", {"logit_bias": {"50256": -100}}),
        ('-P logit_bias={"50256": -100} hi', {"logit_bias": {"50256": -100}}),
        (
            '-P extra_body={"chat_template_kwargs": {"enable_thinking": false}} hi',
            {"extra_body": {"chat_template_kwargs": {"enable_thinking": False}}},
        ),
        (
            '-P extra_body={"top_a": 0.2} -P extra_body={"mirostat": 2} hi',
            {"extra_body": {"top_a": 0.2, "mirostat": 2}},
        ),
        (
            '-P extra_body={"provider": {"order": ["a"]}} -P extra_body={"provider": {"sort": "price"}} hi',
            {"extra_body": {"provider": {"order": ["a"], "sort": "price"}}},
        ),
        ('-P extra_headers={"HTTP-Referer": "https://a.b"} hi', {"extra_headers": {"HTTP-Referer": "https://a.b"}}),
        ("-P max_tokens=100 -P seed=7 hi", {"max_tokens": 100, "seed": 7}),
        ("-P max_tokens=1e3 hi", {"max_tokens": 1000}),
        ("-P top_p=.5 hi", {"top_p": 0.5}),
        ("-P top_p=1. hi", {"top_p": 1.0}),
        ("-P presence_penalty=-0.5 hi", {"presence_penalty": -0.5}),
        ("-P presence_penalty=+0.5 hi", {"presence_penalty": 0.5}),
        ('-P user="123" hi', {"user": "123"}),
        ("-P user=007 hi", {"user": "007"}),
        ('-P x="" hi', {"x": ""}),
        ("-P x=true -P y=True -P z=false hi", {"x": True, "y": True, "z": False}),
        ("-P x=null -P y=None hi", {"x": None, "y": None}),
        ("-P user=O'Brien hi", {"user": "O'Brien"}),
        ("-P x={} -P y=[] hi", {"x": {}, "y": []}),
        ("-P stop=«fin» hi", {"stop": "«fin»"}),
    ],
)
def test_lines_that_people_type(line, params):
    found, prompt = read(f"m:x {line}")

    assert merged(found) == params
    assert [type(each) for each in merged(found).values()] == [type(each) for each in params.values()]
    assert prompt == "hi"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (
            "-P stop=[END] hi",
            'is read as [END], which is not JSON (Expecting value at character 2); write stop=["END"]',
        ),
        (
            "-P stop=['END'] hi",
            "is read as ['END'], which is not JSON (Expecting value at character 2); write stop=[\"END\"]",
        ),
        ("-P stop=[“END”] hi", 'write stop=["END"]'),
        ("-P x={'a': True, 'b': None} hi", 'write x={"a": true, "b": null}'),
        ("-P x={a: 1} hi", 'write x={"a": 1}'),
        ('-P x={"a": tru} hi', 'is read as {"a": tru}, which is not JSON'),
        ('-P x={"a": 1 hi', 'as in stop=["END"]'),
        ('-P x=["a"]hi', 'is read as ["a"]'),
        ("-P x={nonsense: {} hi", "which is not JSON"),
        ("-P 'x={\"a\": }' hi", 'is read as {"a": }, which is not JSON'),
        ("-P x=[NaN] hi", "JSON has no number NaN"),
        ("-P x=NaN hi", "is NaN, a number that JSON does not have"),
        ("-P x=1e999 hi", "is too large a number"),
        ("-P x=[" + "[" * 5000, "which is not JSON"),
        ("-P top_p=0.9,top_k=5 hi", "is read as one value, 0.9,top_k=5: write -P before each parameter"),
        ("-P top_p 0.9 hi", "must be name=value without spaces around the =, such as top_p=0.9"),
        ("-P top_p = 0.9 hi", "must be name=value without spaces around the ="),
        ("-P top-p=0.9 hi", "Did you mean top_p=0.9?"),
        ("-P top_p= hi", 'has no value: write top_p="" for an empty text, or top_p=null'),
        ("-P", "-P needs a value: -P NAME=VALUE"),
        ("-P a=1 -P a=2 hi", "-P a=… is given twice"),
        ('-P extra_body={"a": 1} -P extra_body={"a": 2} hi', "-P extra_body=… gives a twice"),
        ('-P extra_body={"a": {"b": 1}} -P extra_body={"a": {"b": 1}} hi', "gives a.b twice"),
        ('-P extra_body={"a": {"b": 1}} -P extra_body={"a": 2} hi', "gives a twice"),
    ],
)
def test_what_cannot_be_read_shows_what_was_read_and_how_to_write_it(line, said):
    with pytest.raises(OptionError, match=re.escape(said)) as caught:
        read(line)
    assert str(caught.value).startswith("-P")
    assert len(str(caught.value)) < 400


def test_a_header_that_cannot_be_read_is_not_shown():
    for line in ('-P extra_headers={"api-key": "hunter2"', "-P extra_headers={'api-key': 'hunter2'} hi"):
        with pytest.raises(OptionError, match="cannot be read as JSON: write extra_headers=") as caught:
            read(line)
        assert "hunter2" not in str(caught.value)

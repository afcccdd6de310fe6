"""``%ai`` and ``%%ai``, which are answered while they are on."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowgpt_magic.errors import OptionError
from flowgpt_magic.magics.ai_alias import AiAlias, translate_line
from flowgpt_magic.prompt import magic_line
from flowgpt_magic.providers.models import is_model_name
from tests.ai_magics import Magics, of, ours


def test_ai_is_answered_while_it_is_on_and_by_nobody_after_that():
    magics = Magics()
    alias = AiAlias(ours, magics.registered.get, magics.put)

    assert (alias.switch(on=True), magics.registered) == ("", {"line": ours, "cell": ours})
    assert (alias.switch(on=True), magics.registered) == ("", {"line": ours, "cell": ours})
    assert (alias.switch(on=False), magics.registered) == ("", {})
    assert (alias.switch(on=False), magics.registered) == ("", {})


def test_what_was_registered_before_is_covered_and_comes_back():
    theirs = of("jupyter_ai_magics.magics")
    magics = Magics(line=theirs, cell=theirs)
    alias = AiAlias(ours, magics.registered.get, magics.put)

    assert alias.switch(on=True) == alias.switch(on=True) == "jupyter_ai_magics"
    assert magics.registered == {"line": ours, "cell": ours}

    assert alias.switch(on=False) == "jupyter_ai_magics"
    assert magics.registered == {"line": theirs, "cell": theirs}


def test_what_was_registered_since_stays():
    later = of("later")
    magics = Magics()
    alias = AiAlias(ours, magics.registered.get, magics.put)
    alias.switch(on=True)
    magics.put("cell", later)

    assert alias.switch(on=False) == "later"
    assert magics.registered == {"cell": later}

    assert alias.switch(on=True) == "later"
    assert alias.switch(on=False) == "later"


def test_a_magic_of_the_notebook_or_of_nobody_is_called_so():
    for module, name in (("__main__", "this notebook"), ("", "another extension")):
        magics = Magics(line=of(module))

        assert AiAlias(ours, magics.registered.get, magics.put).switch(on=True) == name


@pytest.mark.parametrize(
    ("line", "cell", "expected"),
    [
        ("echo -f code", "x", "echo -f code"),
        ("list openai", None, "list openai"),
        ("what does -m {} do?", None, "what does -m {} do?"),
        ("echo -m {}", "x", "echo"),
        ('echo -f math -m {"temperature":0.2}', "x", "echo -f math -t 0.2"),
        ("""echo -m '{"temperature": 1, "max_tokens": 5}' -f text""", "x", "echo -t 1 --max-tokens 5 -f text"),
        ('error echo --model-parameters={"stop":["it\'s"]}', None, "error echo -P 'stop=[\"it'\"'\"'s\"]'"),
        ('-m {"top_p": 0.5} echo', "x", "-P top_p=0.5 echo"),
        ("-m echo", "x", "-m echo"),
    ],
)
def test_a_line_of_jupyter_ai_is_read_as_it_is_meant_there(line, cell, expected):
    assert translate_line(line, cell) == expected


@pytest.mark.parametrize("line", ["echo -m {temperature:1}", "echo -m '{'"])
def test_parameters_that_are_no_json_are_an_error(line):
    with pytest.raises(OptionError, match="%%ai -m takes parameters in JSON"):
        translate_line(line, "x")


@given(st.dictionaries(st.sampled_from(["stop", "top_p", "seed"]), st.text() | st.integers() | st.lists(st.text())))
def test_parameters_arrive_as_they_were_written(parameters):
    line = translate_line(f"echo -m {json.dumps(parameters)}", "x")

    assert dict(magic_line.read_line(line, is_model_name).options.get("param", [])) == parameters

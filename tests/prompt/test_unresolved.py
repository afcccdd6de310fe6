"""Braces that look meant are named if they were sent as typed, and those of code and formulas are not."""

from __future__ import annotations

import time
from types import SimpleNamespace

import pandas
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowgpt_magic.prompt.compose import PromptContext, compose

NAMES = {
    "frame": pandas.DataFrame({"sales": [1, 2], "the city": ["a", "b"]}),
    "name": "Ada",
    "n": 3,
    "x": 1.5,
    "numbers": [1, 2],
    "config": {"a": {"b": 1}, "model": "m"},
    "point": SimpleNamespace(left=1),
    "api_key": "hunter2",
}


def unsent(prompt: str, **how) -> tuple[str, ...]:
    return compose(prompt, PromptContext(NAMES), budget=200, **how).unsent


@pytest.mark.parametrize(
    ("inside", "reason"),
    [
        ("nosuch", "no variable has this name"),
        ("nam", "no variable has this name (did you mean name?)"),
        ("Frame", "no variable has this name (did you mean frame?)"),
        ("fram.head(3)", "no variable has this name (did you mean frame?)"),
        ("nobody.sales", "no variable has this name"),
        ("frame.slaes", "frame has no slaes (did you mean sales?)"),
        ("frame.slaes.head()", "frame has no slaes (did you mean sales?)"),
        ('frame["sale"]', "frame has no key 'sale' (did you mean sales?)"),
        ("config['a']['c']", "config['a'] has no key 'c'"),
        ("config.modle", "config has no modle"),
        ("numbers[5]", "numbers has no item 5"),
        ("point.lfet", "point has no lfet"),
        ("len(frame)", "nothing is computed in braces; put the result into a variable"),
        ("x + 1", "nothing is computed in braces; put the result into a variable"),
        ("numbers[0:1]", "nothing is computed in braces; put the result into a variable"),
        ("numbers[n]", "nothing is computed in braces; put the result into a variable"),
        ("frame.head(10**9)", "its arguments are not literal"),
        ("x:.2f", "formats are not applied; {x} is filled in"),
        ("x!r", "formats are not applied; {x} is filled in"),
        ("x=", "formats are not applied; {x} is filled in"),
        (" x ", "spaces are not allowed there"),
        (" frame.head(3) ", "spaces are not allowed there"),
        ("frame._mgr", "private names are not read"),
        ("api_key", "it looks like a secret"),
    ],
)
@pytest.mark.parametrize(
    "around", ["{}", "What is {}?", "- **{}**, please", "```\n{{}}\n```\n{}", "it's {} (or {})", "看 {}"]
)
def test_what_looks_meant_is_named_once(inside, reason, around):
    prompt = around.replace("{}", f"{{{inside}}}").replace("{{{", "{").replace("}}}", "}")

    (clause,) = unsent(prompt)

    assert clause.startswith(f"{{{inside}}} sent as typed: {reason}")


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        ("frame.to_csv('x')", "only head(), tail(), describe(), info(), sample(), value_counts()"),
        ("frame.head('a')", "head failed: TypeError"),
    ],
)
def test_a_call_that_is_not_made_is_named_with_its_reason(call, reason):
    assert unsent(f"Look: {{{call}}}")[0].startswith(f"{{{call}}} sent as typed: {reason}")


def test_a_property_that_fails_is_not_called_missing():
    class Thermometer:
        @property
        def degrees(self) -> float:
            raise RuntimeError("no sensor")

    sent = compose("{device.degrees}", PromptContext({"device": Thermometer()}), budget=200)

    assert sent.unsent == ("{device.degrees} sent as typed: device.degrees cannot be read",)


INNOCENT = [
    '{"a": 1, "name": {"b": [1, 2]}}',
    "{name: 1}",
    "{1, 2} {a, b} {}",
    "{x | x > 0}",
    "the set of {n in N}",
    "`{nosuch}`",
    "```python\n{nosuch} {x + 1}\n```",
    "~~~\n{nosuch}\n~~~",
    "````\n```\n{nosuch}\n```\n````",
    "    {nosuch}",
    "\t{nosuch}",
    "$a {nosuch} b$",
    r"\frac{a}{b} x^{k} y_{k + 1}",
    r"\begin{align} {nosuch} \end{align}",
    'println!("{nosuch} files")',
    'logger.info("User {nosuch} did {action}", name)',
    'Console.WriteLine($"Hello {nosuch}")',
    'var hello = $"Hello {nosuch}";',
    '"welcome": "Hello {nosuch}",',
    "title = {nosuch},",
    "func main() { nosuch }",
    "if (x) {nosuch} else {nosuch}",
    "try { nosuch } catch (error) { nosuch }",
    "enum Colour { nosuch }",
    "use std::{nosuch};",
    "draw(line, {nosuch})",
    "{count, plural, one {nosuch} other {nosuch}}",
    "query { user { nosuch } }",
    "items.filter { it }",
    "{{nosuch}} {{ nosuch }}",
    'f"{nosuch}"',
    "print('{nosuch}')",
    '"hi {nosuch}".format(nosuch=1)',
    "body{margin:0} p { color: red; }",
    "https://host/users/{id}/posts",
    "/users/{id} and {id}/posts",
    "${nosuch} #{nosuch} %{nosuch}",
    "const {a} = b",
    "import {useState} from 'react'",
    "<div class={style}>{user.name}</div>",
    "if (x) {return}",
    "struct p = {x};",
    "for i in y: {\n  {nosuch};\n}",
    "{class} {None} {return}",
    "{foo()} {foo(1).bar()}",
    "{your name here}",
]


@pytest.mark.parametrize("text", INNOCENT)
def test_the_braces_of_code_formulas_and_templates_are_not_named(text):
    assert unsent(text) == ()


def test_with_raw_nothing_is_named():
    assert unsent("{nosuch} {frame.head()}", raw=True) == ()


def test_of_many_braces_the_first_are_named_and_the_others_counted():
    assert unsent(" ".join(f"{{a{number}}}" for number in range(10)))[2:] == (
        "{a2} sent as typed: no variable has this name",
        "7 more in braces sent as typed",
    )


def test_what_is_filled_in_is_said():
    composed = compose('{frame.head(1)} {n} {config} {frame["sales"].describe()}', PromptContext(NAMES), budget=200)

    assert composed.unsent == ()
    assert composed.included == (
        *("frame.head(1) (1 row \N{MULTIPLICATION SIGN} 2 columns)", "config", 'frame["sales"].describe() (8 rows)'),
    )
    assert "pandas DataFrame, 1 row" in composed


def test_what_a_call_shows_is_cut_and_masked(monkeypatch):
    monkeypatch.setenv("MY_TOKEN", "correct-horse-battery")
    names = {
        "frame": pandas.DataFrame({"text": ["correct-horse-battery"] * 1000, "password": ["hunter2"] * 1000}),
        "wide": pandas.DataFrame({f"column{number}": [1] for number in range(5000)}),
    }
    text = compose("{frame.head(1000000)} {frame.describe(include='all')}", PromptContext(names), budget=200)

    assert "hunter2" not in text
    assert "correct-horse-battery" not in text
    assert len(text) < 3_000
    assert len(compose("{wide.info(verbose=True)}", PromptContext(names), budget=100)) < 1_000


PIECES = [*INNOCENT, "{x}", "{n}", "see {name}", "it's", "\n", "\n\n", " ", "```\n", "`", "$"]


@given(st.lists(st.sampled_from([*INNOCENT, "see {x}", "it has {n} rows", "plain words"]), max_size=6))
def test_no_mixture_of_innocent_paragraphs_is_named(parts):
    assert unsent("\n\n".join(parts)) == ()


@given(st.lists(st.sampled_from(PIECES) | st.text(max_size=4), max_size=12).map("".join))
def test_any_text_can_be_looked_through(text):
    clauses = unsent(text)

    assert len(clauses) <= 4
    assert all("\n" not in clause and not clause.endswith(".") for clause in clauses)


@given(st.text("{}xn .()[]'\"+1:=!|", max_size=30))
def test_any_text_of_signs_can_be_looked_through(text):
    composed = compose(text, PromptContext({"x": 1}), budget=100)

    assert len(composed.unsent) <= 4


@pytest.mark.parametrize(
    "part", ["{a}{", "{x + 1} ", "{w.a} ", "```\n{a}\n", "`{a}", "{x:1} ", "{f(x)} ", "{frame.head(} "]
)
def test_a_long_prompt_takes_no_longer_for_each_character(part):
    begun = time.process_time()

    unsent(part * 100_000)

    assert time.process_time() - begun < 5

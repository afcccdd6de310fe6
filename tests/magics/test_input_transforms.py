"""What happens to a cell before IPython reads it."""

from __future__ import annotations

import ast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from IPython.core.inputtransformer2 import TransformerManager

from flowgpt_magic.magics.input_transforms import (
    AI_TRANSFORMERS,
    TRANSFORMERS,
    complete_cell,
    is_whole_cell,
    keep_automagic_question,
    keep_question_marks,
)


def lines(text: str) -> list[str]:
    return text.splitlines(keepends=True)


def asked(typed: str) -> tuple[str, str]:
    """The line and the body that the magic is called with."""
    (call,) = complete_cell(lines(typed))
    name, line, body = ast.literal_eval(call.strip().removeprefix("get_ipython().run_cell_magic"))
    assert name == "flowgpt"
    return line, body


@pytest.mark.parametrize(
    ("typed", "line", "body"),
    [
        ("%%flowgpt", "", "\n"),
        ("%%flowgpt\n", "", "\n"),
        ("# a comment\n\n%%flowgpt -t 1\nhi\n", "-t 1", "hi\n"),
        ("  %%flowgpt\nhi", "", "hi"),
        ("%%flowgpt -s  'be  brief' \n>>> 1 + 1\n2\n", "-s  'be  brief'", ">>> 1 + 1\n2\n"),
    ],
)
def test_a_cell_is_the_call_of_its_magic_and_may_have_no_body(typed, line, body):
    assert asked(typed) == (line, body)


@pytest.mark.parametrize(
    "typed", ["", "# only\n# comments\n", "x = 1\n%%flowgpt\n", "%%flowgptx\nhi", "%%flowgpt?", "%%time\n1"]
)
def test_every_other_cell_stays_as_it_is(typed):
    assert complete_cell(lines(typed)) == lines(typed)


@pytest.mark.parametrize(
    ("typed", "prompt"),
    [
        ("%flowgpt what is a list?", "what is a list?"),
        ("r = %flowgpt why?  \n", "why?"),
        ('    %flowgpt it\'s "so"??\n', 'it\'s "so"??'),
        ("a, b[0] = %flowgpt echo:words which {x}?", "echo:words which {x}?"),
        ("first = second = %flowgpt why?\n", "why?"),
        ("reply: Reply[int] = %flowgpt why?\n", "why?"),
        ("replies['one'] = %flowgpt why?\n", "why?"),
        ("text += %flowgpt why?\n", "why?"),
        ("if x == 'a': %flowgpt why?\n", "why?"),
        ("else: %flowgpt why?\n", "why?"),
        ("    for each in names: r = %flowgpt why?\n", "why?"),
        ("async with it as x: %flowgpt why?\n", "why?"),
        ("%flowgpt why %flowgpt?\n", "why %flowgpt?"),
        ("%flowgpt what is C:\\?\n", "what is C:\\?"),
    ],
)
def test_a_question_reaches_the_model_with_its_mark(typed, prompt):
    (read,) = keep_question_marks([typed])
    before, _call, argument = read.partition("get_ipython().run_line_magic('flowgpt', ")

    assert eval(argument.rstrip()[:-1]) == prompt
    assert before == typed[: typed.index("%")]


@pytest.mark.parametrize(
    ("typed", "call"),
    [
        ("%time %flowgpt -m echo why?\n", "get_ipython().run_line_magic('time', '%flowgpt -m echo why?')\n"),
        ("r = %time %flowgpt why?\n", "r = get_ipython().run_line_magic('time', '%flowgpt why?')\n"),
        ("%time r = %flowgpt why?\n", "get_ipython().run_line_magic('time', 'r = %flowgpt why?')\n"),
        (
            "%timeit -n1 -r1 %flowgpt why?\nx = 1\n",
            "get_ipython().run_line_magic('timeit', '-n1 -r1 %flowgpt why?')\nx = 1\n",
        ),
        (
            "r = %flowgpt why \\\n  is it \\\nso?\nx = 1\n",
            "r = get_ipython().run_line_magic('flowgpt', 'why   is it so?')\nx = 1\n",
        ),
    ],
)
def test_a_question_behind_another_magic_or_over_several_lines_is_kept_whole(typed, call):
    assert "".join(keep_question_marks(lines(typed))) == call


@pytest.mark.parametrize(
    "typed",
    [
        "%flowgpt?\n",
        "%time%flowgpt?\n",
        "%time print?\n",
        "# %flowgpt why?\n",
        "!echo %flowgpt why?\n",
        "x == %flowgpt why?\n",
        "print(%flowgpt why?\n",
        "'%flowgpt why?\n",
        "%flowgpt why \\\n is it\n",
        "%%time\n%%flowgpt?\n",
        "print?\n",
        "x = '%flowgpt why?'\n",
        "x = 'y = %flowgpt why?\n",
        '"""\n%flowgpt why?\n"""\n',
        "%flowgpt no question\n",
    ],
)
def test_what_is_no_such_question_stays_as_it_is(typed):
    assert keep_question_marks(lines(typed)) == lines(typed)


@pytest.mark.parametrize(
    ("typed", "code"),
    [
        ("flowgpt what is a list?\n", "get_ipython().run_line_magic('flowgpt', 'what is a list?')\n"),
        ("  flowgpt why??", "  get_ipython().run_line_magic('flowgpt', 'why??')\n"),
        ("flowgpt?\n", None),
        ("flowgpt = 5?\n", None),
        ("flowgpt why\n", None),
        ("ai why?\n", None),
        ("x = 1\nflowgpt why?\n", None),
        ("flowgpt why?\nx = 1\n", None),
    ],
)
def test_a_question_reaches_the_model_without_a_percent_sign_where_ipython_knows_it_so(typed, code):
    found = keep_automagic_question(lines(typed), on=lambda name: name == "flowgpt")

    assert "".join(found) == (code or typed)
    assert keep_automagic_question(lines(typed), on=lambda name: False) == lines(typed)


@pytest.mark.parametrize(("magic", "transformers"), [("flowgpt", TRANSFORMERS), ("ai", AI_TRANSFORMERS)])
def test_a_cell_that_is_typed_in_a_terminal_goes_on_until_a_line_is_left_empty(magic, transformers):
    shell = TransformerManager()
    shell.cleanup_transforms[:0] = transformers

    assert shell.check_complete(f"%%{magic} -t 1")[0] == "incomplete"
    assert shell.check_complete(f"%%{magic}\nfirst line\n  second line")[0] == "incomplete"
    assert shell.check_complete(f"%%{magic}\nfirst line\n  second line\n\n")[0] == "complete"
    assert shell.check_complete(f"%{magic} what is it?")[0] == "complete"


@given(st.text(), st.sampled_from([complete_cell, keep_question_marks]))
def test_no_cell_without_the_magic_is_changed(text, transform):
    typed = lines(text.replace("%", "/"))

    assert transform(typed) == typed


@given(st.text())
def test_the_body_of_a_cell_is_never_changed(body):
    """Not by IPython either, which takes the prompts of a pasted session and an indentation away."""
    typed = "%%flowgpt\n" + body
    shell = TransformerManager()
    shell.cleanup_transforms[:0] = TRANSFORMERS

    assert asked(typed) == ("", body or "\n")
    whole = typed if typed.endswith("\n") else f"{typed}\n"  # as IPython completes every cell
    assert shell.transform_cell(typed) == "".join(complete_cell(lines(whole)))


@pytest.mark.parametrize(
    ("code", "whole"),
    [
        ("%%flowgpt\nhi", True),
        ("# why\n%%flowgpt\nhi", True),
        ("%%time\n%%flowgpt\nhi", False),
        ("%flowgpt hi", False),
        ("", False),
    ],
)
def test_a_cell_is_whole_where_the_magic_is_all_of_it(code, whole):
    assert is_whole_cell({"content": {"code": code}}) is whole
    assert not is_whole_cell({})

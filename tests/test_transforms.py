"""What happens to a cell before IPython reads it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowgpt_magic.transforms import complete_cell, is_whole_cell, keep_question_marks


def lines(text: str) -> list[str]:
    return text.splitlines(keepends=True)


@pytest.mark.parametrize(
    ("typed", "read"),
    [
        ("%%flowgpt", "%%flowgpt\n\n"),
        ("%%flowgpt\n", "%%flowgpt\n\n"),
        ("# a comment\n\n%%flowgpt -t 1\nhi\n", "%%flowgpt -t 1\nhi\n"),
        ("  %%flowgpt\nhi", "  %%flowgpt\nhi"),
    ],
)
def test_a_cell_has_its_magic_in_the_first_line_and_a_body(typed, read):
    assert "".join(complete_cell(lines(typed))) == read


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
    ],
)
def test_a_question_reaches_the_model_with_its_mark(typed, prompt):
    (read,) = keep_question_marks([typed])
    before, _call, argument = read.partition("get_ipython().run_line_magic('flowgpt', ")

    assert eval(argument.rstrip()[:-1]) == prompt
    assert before == typed[: typed.index("%")]


@pytest.mark.parametrize(
    "typed",
    [
        "%flowgpt?\n",
        "print?\n",
        "x = '%flowgpt why?'\n",
        '"""\n%flowgpt why?\n"""\n',
        "%%flowgpt\n%flowgpt why?\n",
        "%flowgpt no question\n",
    ],
)
def test_what_is_no_such_question_stays_as_it_is(typed):
    assert keep_question_marks(lines(typed)) == lines(typed)


@given(st.text(), st.sampled_from([complete_cell, keep_question_marks]))
def test_no_cell_without_the_magic_is_changed(text, transform):
    typed = lines(text.replace("%", "/"))

    assert transform(typed) == typed


@given(st.text())
def test_the_body_of_a_cell_is_never_changed(body):
    typed = ["%%flowgpt\n", *lines(body)]

    for transform in (complete_cell, keep_question_marks):
        assert transform(typed)[1:] == (lines(body) or ["\n"] if transform is complete_cell else lines(body))


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

"""The elements of a reply, one by one."""

from __future__ import annotations

import pytest

from flowgpt_magic.markdown.html.elements import PageOptions, code_head, code_html, code_tail, displayed, language_of
from tests.shown import text_of


@pytest.mark.parametrize(
    ("info", "language"),
    [
        *[("python", "python"), ("Python title=x", "python"), ("{.r}", "r"), ("c++", "c++"), ("f#", "f#"), ("", "")],
        *[('x"onclick="y', ""), ("<b>", ""), ("a" * 41, ""), ("\u0130", "")],
    ],
)
def test_a_language_is_a_word_without_anything_odd(info, language):
    assert language_of(info) == language


def test_a_block_of_code_has_its_language_and_its_runs():
    html = code_html("x = 1 < 2", "python", "X2O2NX", PageOptions())

    assert (
        html == '<pre dir="ltr" data-language="python"><code>x = 1 &lt; 2</code><span data-runs="X2O2NX"></span></pre>'
    )


def test_a_block_of_code_on_a_static_page_has_its_colours():
    html = code_html("x = 1", "python", "X2O2N", PageOptions(static=True))

    assert html == (
        '<pre dir="ltr" data-language="python"><code>x <span class="fg-operator">= </span>'
        '<span class="fg-number">1</span></code></pre>'
    )
    assert text_of(html) == "x = 1"


def test_the_later_parts_of_a_code_have_their_number():
    assert code_head("r") + code_tail("") == '<pre dir="ltr" data-language="r"><code></code></pre>'
    assert 'data-part="2"' in code_head("r", 2)


def test_a_formula_that_cannot_be_typeset_is_its_source():
    assert displayed("x", "$$x$$", True).startswith('<div class="fg-scroll"><math display="block">')
    assert displayed("x", "$$x$$", False) == displayed(r"\foo", "$$x$$", True)
    assert displayed("x", "$$x$$", False) == '<pre class="fg-tex" dir="ltr"><code>$$x$$</code></pre>'

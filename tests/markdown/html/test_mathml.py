"""Formulas become MathML that shows them, or stay what was typed."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flowgpt_magic.markdown.html.changes import blocks_of
from flowgpt_magic.markdown.html.mathml import DEEPEST_FORMULA, LONGEST_TYPESET, mathml
from flowgpt_magic.markdown.html.sanitize import cleaned
from flowgpt_magic.markdown.tex_names import TEX_COMMANDS, TEX_ENVIRONMENTS
from tests.shown import bad_in, text_of

ORDINARY = [
    ("x^2", "<msup><mi>x</mi><mn>2</mn></msup>"),
    (r"\frac{a}{b}", "<mfrac><mi>a</mi><mi>b</mi></mfrac>"),
    (r"\sqrt[3]{x}", "<mroot><mi>x</mi><mn>3</mn></mroot>"),
    (r"x < y \le z", "<mi>x</mi><mo>&lt;</mo><mi>y</mi><mo>≤</mo><mi>z</mi>"),
    (r"\mathbb{R}", "<mi>\N{DOUBLE-STRUCK CAPITAL R}</mi>"),
    (r"\mathbf{12}", "<mn>\N{MATHEMATICAL BOLD DIGIT ONE}\N{MATHEMATICAL BOLD DIGIT TWO}</mn>"),
    (r"\boldsymbol{\theta}", "<mi>𝜽</mi>"),
    (r"\boxed{42}", '<mrow class="fg-boxed"><mn>42</mn></mrow>'),
    (r"\color{red}x", '<mstyle mathcolor="red"><mi>x</mi></mstyle>'),
    (r"90\degree", "<mn>90</mn><msup><mrow></mrow><mo>∘</mo></msup>"),
    (r"x \tag{1}", '<mi>x</mi><mspace width="2em"></mspace><mtext>(1)</mtext>'),
    (r"a \& b", "<mi>a</mi><mi>&amp;</mi><mi>b</mi>"),
]


@pytest.mark.parametrize(("tex", "inside"), ORDINARY, ids=[tex for tex, _ in ORDINARY])
def test_a_formula_is_typeset(tex, inside):
    assert mathml(tex, False) == f"<math>{inside}</math>"
    assert mathml(tex, True) == f'<math display="block">{inside}</math>'


UNMADE = """
    CD array drcases drcases* empheq eqnarray flalign flalign* numcases prooftree rcases rcases* smallmatrix*
    spreadlines
    subnumcases
"""


@pytest.mark.parametrize("name", sorted(TEX_ENVIRONMENTS - set(UNMADE.split())))
def test_an_environment_is_a_table_of_its_cells(name):
    arguments = "{2}" if "alignat" in name or name == "alignedat" else "{c}" if "subarray" in name else ""
    shown = mathml(rf"\begin{{{name}}}{arguments} a & b \\ c & d \end{{{name}}}", True)

    if name.startswith("equation"):  # it has one line
        assert shown is None
        assert mathml(rf"\begin{{{name}}} a \end{{{name}}}", True) == '<math display="block"><mi>a</mi></math>'
    else:
        assert shown is not None
        assert re.sub(r"[^a-d]", "", text_of(shown)) == "abcd"
        assert (shown.count("<mtr>"), shown.count("</mtd>")) == (2, 4)


# Those of proof trees, chemistry and boxed equations, and those that mean something only beside others.
_NEEDS_OTHERS = """
    AXC AxiomC BIC BinaryInf BinaryInfC Axiom LL LeftLabel QuaternaryInf QuaternaryInfC QuinaryInf QuinaryInfC RL
    RightLabel TIC TrinaryInf TrinaryInfC UIC UnaryInf UnaryInfC fCenter alwaysDashedLine alwaysNoLine
    alwaysRootAtBottom
    alwaysRootAtTop alwaysSingleLine alwaysSolidLine dashedLine noLine rootAtBottom rootAtTop singleLine solidLine
    bond ce pu tripledash begin end cline hline hdashline left middle right of root minCDarrowheight minCDarrowwidth
    textasciicircum textasciitilde textasteriskcentered textbackslash textbar textborn textbraceleft textbraceright
    textcompwordmark textdollar textunderscore
"""
NEEDS_OTHERS = frozenset(
    [*_NEEDS_OTHERS.split(), *(name for name in TEX_COMMANDS if name.startswith("empheq") or name.endswith("oldstyle"))]
)


def test_nearly_every_command_that_may_be_typeset_is():
    def works(command: str) -> bool:
        tries = (rf"\{command}", rf"\{command}{{x}}", rf"\{command}{{x}}{{y}}", rf"x \{command} y", rf"\{command}( x")
        return any(mathml(tex, False) for tex in tries)

    missing = {command for command in TEX_COMMANDS - NEEDS_OTHERS if not works(command)}

    assert len(missing) < 0.03 * len(TEX_COMMANDS), missing


@pytest.mark.parametrize(
    ("tex", "letters"),
    [
        (r"\ket{\psi}", "|ψ⟩"),
        (r"\braket{\phi|\psi}", "⟨ϕ|ψ⟩"),
        (r"f\colon X", "f:X"),
        (r"x \coloneqq 1", "x≔1"),
        (r"\sum_{\mathclap{i}} x", "∑ix"),
        (r"\cancelto{0}{x}", "x0"),
        (r"\set{x}", "{x}"),
        (r"\bbox[yellow]{x}", "x"),
        (r"\symbb{R}", "\N{DOUBLE-STRUCK CAPITAL R}"),
        (r"\texteuro", "€"),
        (r"a \hspace{1em} b", "ab"),
    ],
)
def test_a_command_that_the_library_does_not_know_is_what_it_means(tex, letters):
    assert text_of(mathml(tex, False) or "") == letters


def test_only_the_formula_that_cannot_be_typeset_is_its_source():
    (shown,) = blocks_of(r"Let $x$ be $\ce{H2O}$ and $y$ too.")

    assert shown.count("<math>") == 2
    assert re.findall("<code[^>]*>(.*?)</code>", shown) == [r"$\ce{H2O}$"]


@pytest.mark.parametrize(
    "tex",
    [
        r"\href{javascript:pwned()}{x}",
        r"\text{<img src=x onerror=pwned()>}",
        r"\text{&lt;script&gt;}",
        r"\unknown",
        r"\frac{a}",
        "{",
        "a & b",
        r"\left( x",
        "x_1_2",
        "",
        " ",
        "x" * (LONGEST_TYPESET + 1),
        "{" * (DEEPEST_FORMULA + 1) + "x" + "}" * (DEEPEST_FORMULA + 1),
        r"\def\x{y}\x",
        r"\newcommand{\x}{y}\x",
    ],
)
def test_a_formula_that_nobody_knows_is_not_typeset(tex):
    assert mathml(tex, False) is None


_PIECES = r"""
    x 1 + = ( ) { } ^ _ & < > ' \\ \frac \sqrt \text \text{ \mathbf \mathrm{ \left( \right) \begin{align} \end{align}
    \begin{cases} \end{cases} \sum \int \color{red} \boxed{ \, \{ \} \& \% \quad \hat \vec \operatorname{ \tag{1} &lt;
    &#60; &amp; <b> </math> "
"""


@settings(max_examples=500)
@given(st.lists(st.sampled_from([*_PIECES.split(), " "]), max_size=25).map(" ".join))
def test_no_mix_of_tex_is_anything_but_a_formula(tex):
    shown = mathml(tex, False)

    if shown is not None:
        assert bad_in(shown) == []
        assert cleaned(shown).replace("&nbsp;", "\xa0") == shown


@settings(max_examples=300)
@given(st.text(max_size=40))
def test_no_text_stops_it(tex):
    assert bad_in(mathml(tex, True) or "") == []


def test_the_letters_of_a_text_are_never_html():
    assert "<" not in text_of(mathml(r"\text{a \lt b}", False) or "")
    assert (mathml(r"\text{a b}", False) or "").count("<") == 4

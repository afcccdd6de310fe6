"""Where mathematics stands in a text, and which of it may be typeset."""

from __future__ import annotations

import pytest

from flowgpt_magic.markdown.formulas import OpenFormula, find_formula, harmless_formula, reads_as_text


@pytest.mark.parametrize(
    ("lines", "tex"),
    [
        (["$$", "x", "$$"], "\nx\n"),
        (["$$x$$"], "x"),
        ([r"\[ x", r"+ y \]"], " x\n+ y "),
        ([r"\begin{align}", "x", r"\end{align}"], "\\begin{align}\nx\n\\end{align}"),
        (["$$", "", "v = s / t", "", r"\text{where it is the speed of a thing}", "", "$$"], None),
    ],
)
def test_a_formula_ends_where_its_mark_does(lines, tex):
    formula = OpenFormula(lines[0])
    for line in lines[1:]:
        assert formula.is_open
        formula.add(f"{line}\n")

    assert formula.is_formula
    assert not formula.is_open
    assert formula.tex == (tex or "\n".join(lines)[2:-2])
    assert formula.source == "\n".join(lines)


@pytest.mark.parametrize(
    "lines",
    [
        ["$$", "a `b`"],
        ["$$", "", "and then there was light"],
        ["$$ is what bash prints", ""],
        ["$$", "", "# Title"],
        ["$$", "", "costs $5"],
        ["$$", "a $$ b"],
        ["$$ a $$ b"],
        [r"\[", r"\["],
        ["text"],
        [r"\begin{x}"],
    ],
)
def test_what_cannot_be_a_formula_any_more_is_none(lines):
    formula = OpenFormula(lines[0])
    for line in lines[1:]:
        formula.add(line)

    assert not formula.is_open
    assert not formula.is_formula


@pytest.mark.parametrize(
    "tex",
    [
        r"f\colon X \to Y",
        r"a \hspace{1em} b",
        r"x \coloneqq 1",
        r"\sum_{\mathclap{i, j}} x",
        r"\braket{\phi}",
        r"\color{#ff0000}{x}",
        r"\color[RGB]{255, 0, 0}{x}",
        r"\bbox[yellow, 5px]{x}",
        r"\enclose{circle, box}{x}",
        r"\colorbox{red}{x}",
        r"\verb|x = 1|",
        r"\begin{multlined} a \\\\ b \end{multlined}",
    ],
)
def test_a_formula_of_harmless_commands_stays_as_it_is(tex):
    assert harmless_formula(tex) == tex


@pytest.mark.parametrize(
    ("signs", "shown"),
    [
        ("A -> B", "A \u27f6 B"),
        ("A <=> B", "A \u21cc B"),
        ("A <- B", r"A \longleftarrow  B"),
        ("HC#CH", r"HC\bond{3}CH"),
        ("A ->[x] B", "A \u27f6[x] B"),
    ],
)
def test_the_arrows_of_chemistry_need_no_angle_bracket(signs, shown):
    assert harmless_formula(rf"\ce{{{signs}}}") == rf"\ce{{{shown}}}"


@pytest.mark.parametrize(
    "text", ["$x$", "$ x $", r"$\alpha $", r"\(x\)", r"\[x\]", "$$x$$", r"\begin{align}x\end{align}"]
)
def test_a_formula_is_found_from_its_first_mark_to_its_last(text):
    assert (find_formula(text + " y", 0, len(text) + 2) or ("", False, 0))[2] == len(text)


@pytest.mark.parametrize(
    "text", ["$5 and $7", "$ 5 and $ 6", "$x $y", "$x and $", "$ x\n$", "$ ls -l $", "$$ $$", r"\(x"]
)
def test_a_price_a_variable_or_a_prompt_is_no_formula(text):
    assert find_formula(text, 0, len(text)) is None


@pytest.mark.parametrize("line", ["and then there was light", "# Title", "costs $5", "| a | b |"])
def test_a_line_of_words_reads_as_text(line):
    assert reads_as_text(line)


@pytest.mark.parametrize("line", ["E = mc^2", r"\text{for all of these numbers}", "speed = distance / time", "- b"])
def test_a_line_of_signs_does_not(line):
    assert not reads_as_text(line)

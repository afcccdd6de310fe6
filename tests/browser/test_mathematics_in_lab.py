"""Mathematics, tables and Chinese in a cell, beside JupyterLab's own Markdown of the same text."""

# ruff: noqa: RUF001 - Chinese punctuation is what some of this is about

from __future__ import annotations

from tests.browser.conftest import in_each_theme

MATHEMATICS = r"""
The derivative of $ f(x) = x^2 $ is $ 2x $.

Commands: $f\colon X \to Y$, $a \hspace{1em} b$, $x \coloneqq 1$, $\ket{\psi}$, $\sum_{\mathclap{1 \le i \le n}} i$,
$\ce{2H2 + O2 -> 2H2O}$, $\ce{A <=> B}$, $\braket{\phi|\psi}$, $\cancelto{0}{x}$, $\bbox[yellow]{x}$.

| formula | name |
|---|---|
| $|x|$ | absolute value |
| $P(A|B)$ | conditional |
| $\|x\|_2$ | norm |

$$
\begin{CD} A @>f>> B \\ @VVgV @VVhV \\ C @>k>> D \end{CD}
$$
"""

BEYOND = """\
$$

E = mc^2

$$

**注意（重要）：**请看https://example.com/docs。然后（见https://example.com/faq）下一步。含**「重点」**内容。

It costs $5 and $7, or $ 5 and $ 6.
"""

FORMULAS = """
node => [...node.querySelectorAll("mjx-container")].map(
    each => each.querySelector("mjx-assistive-mml").textContent.replace(/[\\s\\u2061-\\u2064]+/g, ""))
"""
ALIKE = str.maketrans({"⟶": "→", "∣": "|", "∥": "‖", "\u2016": "‖"})


def test_a_cell_shows_at_least_what_the_own_markdown_of_jupyterlab_shows(open_notebook, page):
    own = f"from IPython.display import Markdown\nMarkdown({MATHEMATICS!r})"
    notebook = open_notebook(own, f"%%flowgpt\n{MATHEMATICS}", f"%%flowgpt\n{BEYOND}")
    notebook.run(1)
    notebook.run(2)
    notebook.run(3)
    own_output, ours, beyond = (notebook.output(number) for number in (1, 2, 3))
    for output in (own_output, ours, beyond):
        output.locator("mjx-container").first.wait_for()

    for _theme in in_each_theme(page):
        wanted = [formula.translate(ALIKE) for formula in own_output.evaluate(FORMULAS)]
        assert len(wanted) == 16
        assert [formula.translate(ALIKE) for formula in ours.evaluate(FORMULAS)] == wanted
        assert ours.locator("td").all_inner_texts()[1::2] == own_output.locator("td").all_inner_texts()[1::2]
        assert ours.locator("code").count() == 0
        assert ours.locator("mjx-merror").count() == 0
        assert beyond.locator("mjx-container").count() == 1
        assert beyond.locator("strong").all_inner_texts() == ["注意（重要）：", "「重点」"]
        assert [link.get_attribute("href") for link in beyond.locator("a").all()] == [
            "https://example.com/docs",
            "https://example.com/faq",
        ]
        assert "It costs $5 and $7, or $ 5 and $ 6." in beyond.inner_text()


def test_a_table_of_a_command_typesets_nothing(open_notebook):
    notebook = open_notebook("%flowgpt -- the $x$ of $y$", "%flowgpt history")
    notebook.run(1)
    notebook.output(1).locator("mjx-container").first.wait_for()

    notebook.run(2)
    table = notebook.output(2).locator("table")

    assert "the $x$ of $y$" in table.inner_text()
    assert table.locator("mjx-container").count() == 0

"""Markdown for a terminal: its look, that nothing is lost, and that nothing but colours reaches the terminal."""

# ruff: noqa: RUF001 - Chinese punctuation is what some of these tests are about

from __future__ import annotations

import itertools
import re
import subprocess
import sys
import time
import unicodedata

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from flowgpt_magic.markdown.code_lexer import LANGUAGES
from flowgpt_magic.markdown.terminal import markdown as terminal_markdown
from flowgpt_magic.markdown.terminal.blocks import MAX_TABLE_ROWS
from flowgpt_magic.markdown.terminal.inline import clean
from flowgpt_magic.markdown.terminal.markdown import MAX_COLOURED, MAX_HELD_LINES, MIN_STREAMED, TerminalMarkdown

SGR = re.compile(r"\x1b\[[0-9;]+m")
STYLED = re.compile(r"\x1b\[[1-9][0-9;]*m([^\x1b\n]+)\x1b\[0m")  # a style begins, is used and ends in one line

PIECES = [
    *["*", "**", "***", "_", "__", "~~", "`", "``", "[", "](", ")", "![", "\\", "\\(", "\\)", "\\[", "$", "$$", "<br>"],
    *["<br ", "<https://a.b/c>", "https://a.b/c_d", "&amp;", "&#27;", "&#x202e;", "[link](https://a.b)", "|", "|a|b|"],
    *[
        "\n",
        "\n",
        "\n",
        "\n\n",
        "\r\n",
        "\r",
        " ",
        " ",
        "    ",
        "\t",
        "- ",
        "* ",
        "1. ",
        "> ",
        "> > ",
        "# ",
        "### ",
        "---",
    ],
    *["\n```\n", "\n```python\n", "\n~~~~ js\n", "\n~~~~\n", "\n|-|-|\n", "\n|a|b|\n|:-|-:|\n|c|d|", "/*", "*/", '"""'],
    *[
        "\n- [ ] ",
        "\n  - ",
        "\n$$\n",
        "\n\\begin{align}\n",
        "\\end{align}",
        "def f(): ",
        "中文字。",
        "e\u0301",
        "👩\u200d🔬",
    ],
    *["\x1b[31m", "\x1b]0;x\x07", "\x1b", "\x9b", "\x07", "\b", "\x00", "\u202e", "\u2066", "\u2028", "\x85", "\ud800"],
    *["word", "two words", "a", "it's", "x" * 70, "many words in a row " * 12],
]
WILD = st.lists(st.sampled_from(PIECES) | st.text(max_size=4), max_size=40).map("".join)
SAMPLE = """# Title #

Some *emphasis* and **strong
text** with `code`, [a link](https://example.org) and $a*b*c$.

- one
  - two

1. three

   ```python
   x = 1  # a comment
   ```

> quoted
> > twice

| a | b |
|---|--:|
| 1 | 22 |

***
"""


def shown(text: str, width: int = 60, colours: bool = False) -> str:
    terminal = TerminalMarkdown(width, colours)
    return terminal.add(text) + terminal.finish()


def in_chunks(text: str, cuts: list[int], width: int = 60, colours: bool = True) -> list[str]:
    terminal = TerminalMarkdown(width, colours)
    places = sorted({0, len(text), *(cut % (len(text) + 1) for cut in cuts)})
    parts = [terminal.add(text[start:end]) for start, end in itertools.pairwise(places)]
    return [*parts, terminal.finish()]


def columns(line: str) -> int:
    return sum(
        0 if unicodedata.category(c) in ("Mn", "Me", "Cf") else 2 if unicodedata.east_asian_width(c) in "WF" else 1
        for c in line
    )


# -- whatever comes --------------------------------------------------------------------------------------------------


@given(WILD, st.lists(st.integers(0, 10_000), max_size=12), st.integers(1, 90), st.booleans())
@settings(max_examples=250)
def test_the_output_does_not_depend_on_how_the_text_is_cut(text, cuts, width, colours):
    assert "".join(in_chunks(text, cuts, width, colours)) == shown(text, width, colours)


@given(WILD)
@settings(max_examples=100)
@example("many words in a row " * 12 + "*a* `b c` <br /> $x$ [d](e) " * 9)
@example("> - " + "many words in a row " * 12 + "*never closed and **more** words " + "\n" + "end*")
def test_the_output_is_the_same_for_one_character_at_a_time(text):
    assert "".join(in_chunks(text, list(range(len(text))))) == shown(text, colours=True)


@given(WILD, st.lists(st.integers(0, 10_000), max_size=6))
@settings(max_examples=200)
def test_only_our_own_colours_reach_the_terminal_and_each_ends_in_its_line(text, cuts):
    parts = in_chunks(text, cuts)

    for part in parts:  # so after each of them the terminal is in its normal state
        rest = STYLED.sub(r"\1", part)
        assert all(c == "\n" or unicodedata.category(c) not in ("Cc", "Zl", "Zp", "Cs") for c in rest)
        assert not re.search("[\u202a-\u202e\u2066-\u2069]", rest)
    assert "".join(parts)[-1:] in ("", "\n")


@given(WILD)
@settings(max_examples=100)
def test_without_colours_it_is_the_same_text(text):
    assert SGR.sub("", shown(text, colours=True)) == shown(text)


@given(WILD, st.integers(0, 10_000))
@settings(max_examples=100)
def test_what_was_written_stands_whatever_comes_after(text, cut):
    terminal = TerminalMarkdown(60, True)
    written = terminal.add(text[: cut % (len(text) + 1)])

    assert shown(text, colours=True).startswith(written)


MARKS = [
    " ",
    "\n",
    "\n\n",
    " **",
    "** ",
    " *",
    "* ",
    " _",
    " `",
    "` ",
    "\n- ",
    "\n  - ",
    "\n1. ",
    "\n> ",
    "\n# ",
    " | ",
]
MORE = [
    "\n```\n",
    "\n```w\n",
    "\n|-|-|\n",
    "\n| ",
    " |\n",
    "\n---\n",
    "\n    ",
    "\n$$\n",
    " [",
    "](",
    ") ",
    " <",
    "> ",
    "~~",
    "\t",
]


@given(st.lists(st.sampled_from(MARKS + MORE), max_size=60), st.integers(10, 90))
@settings(max_examples=300)
def test_all_the_words_are_there_in_their_order(marks, width):
    text = "".join(f"w{number}{mark}" for number, mark in enumerate(marks))
    output = shown(text, width)

    words = re.findall(r"w\d*", output)
    if "─┼─" in output:  # cells of several rows stand side by side
        assert sorted(words) == sorted(re.findall(r"w\d*", text))
    else:
        assert words == re.findall(r"w\d*", text)


@given(st.lists(st.text(alphabet="ab中。 e\u0301👍", min_size=1, max_size=12), max_size=40), st.integers(20, 60))
@settings(max_examples=100)
def test_no_row_of_text_is_wider_than_the_terminal(words, width):
    rows = shown(" ".join(["a", *words]), width).split("\n")

    assert all(columns(row) <= width or len(row.split()) == 1 for row in rows)


@pytest.mark.parametrize("text", ["", "\n", "\n\n", " ", "\r\n", "\t\n"])
def test_a_text_of_nothing_shows_nothing(text):
    assert shown(text).strip() == ""
    assert shown("") == ""


# -- what it looks like ----------------------------------------------------------------------------------------------

LOOKS = {
    "a heading loses its signs": ("## Title ##\ntext\n", "Title\ntext\n"),
    "a sign without a space is no heading": ("#tag\n", "#tag\n"),
    "emphasis loses its marks": ("*a* **b** ***c*** _d_ __e__ ~~f~~ `g`\n", "a b c d e f g\n"),
    "names, products and approximations keep their marks": (
        "snake_case 2 * 3 * 4 ~5 to ~6 a*\n",
        "snake_case 2 * 3 * 4 ~5 to ~6 a*\n",
    ),
    "backslashes and references show what they mean": (r"\*a\* C:\dir &lt;b&gt; &#27;", "*a* C:\\dir <b> &#27;\n"),
    "emphasis in Chinese text needs no spaces": ("前**「强调」**后\n", "前「强调」后\n"),
    "a link shows its address": ("[text](https://a.b/c 'title')\n", "text (https://a.b/c)\n"),
    "a link that is its address shows it once": (
        "[https://a.b](https://a.b) <https://c.d>\n",
        "https://a.b https://c.d\n",
    ),
    "an address with brackets is whole": ("[x](https://a.b/c_(d)_e)\n", "x (https://a.b/c_(d)_e)\n"),
    "an image is its address": ("![](https://a.b/p.png) ![alt](x.png)\n", "https://a.b/p.png alt (x.png)\n"),
    "an image in a link shows both": ("[![a](b)](c)\n", "a (b) (c)\n"),
    "lists keep numbers and indents": ("- a\n  * b\n    + c\n7. d\n8) e\n", "• a\n  • b\n    • c\n7. d\n8) e\n"),
    "tasks have boxes": ("- [ ] a\n- [x] b\n", "• ☐ a\n• ☑ b\n"),
    "quotes have bars": ("> a\n> > b\n>\n> - c\n\nd\n", "│ a\n│ │ b\n│\n│ • c\n\nd\n"),
    "a quote in a list has its bar": ("- > a\n  > b\n", "• │ a\n  │ b\n"),
    "mathematics stays as it is": (r"$a_1*b*c$ \(x_1 * y_1\) $5 and $7", "$a_1*b*c$ \\(x_1 * y_1\\) $5 and $7\n"),
    "a formula on its own lines stays as it is": ("$$\na \\\\ *b*\n$$\n*c*\n", "$$\na \\\\ *b*\n$$\nc\n"),
    "an environment stays as it is": ("\\begin{x}\n*a* \\\\\n\\end{x}\n", "\\begin{x}\n*a* \\\\\n\\end{x}\n"),
    "a formula that never ends ends before a text": ("\\[\n*a*\n\nand *b* it is\n", "\\[\n*a*\n\nand b it is\n"),
    "a formula may have blank lines": ("$$\n\n*a*\n\n\n$$\n*b*\n", "$$\n\n*a*\n\n$$\nb\n"),
    "a formula with spaces inside stays as it is": ("the $ a*b*c $ is\n", "the $ a*b*c $ is\n"),
    "a bar in a formula ends no cell": ("|a|b|\n|-|-|\n|$|x|$|c|\n", "a     │ b\n──────┼──\n$|x|$ │ c\n"),
    "emphasis may stand beside Chinese punctuation": ("**注意（重要）：**请看\n", "注意（重要）：请看\n"),
    "an address ends before Chinese punctuation": ("见https://a.b/c*。*好*\n", "见https://a.b/c。好*\n"),
    "marks of the reading direction have names in code": (
        "a\u202eb `c\u202ed`\n```\ne\u2066f\n```\n",
        "a\ufffdb c[U+202E]d\n    e[U+2066]f\n",
    ),
    "blank lines are one": ("\n\na\n\n\n\nb\n\n", "a\n\nb\n"),
    "line ends of other systems are line ends": ("a\r\nb\r\n\r\nc\rd", "a\nb\n\nc\nd\n"),
    "code keeps its lines, marks and spaces": ("```\n*a*\n\n\n  b\tc\n```\nd\n", "    *a*\n\n\n      b c\nd\n"),
    "code says its language": ("```python\nx\n```\n", "── python\n    x\n"),
    "a fence that is never closed ends with the text": ("~~~\na\n```\nb", "    a\n    ```\n    b\n"),
    "a longer fence holds a shorter one": ("````\n```\na\n```\n````\nb\n", "    ```\n    a\n    ```\nb\n"),
    "code in a list has the indent of its item": (
        "1. a\n\n   ```\n     b\n   ```\n2. c\n",
        "1. a\n\n         b\n2. c\n",
    ),
    "code in a quote ends with the quote": ("> ```\n> a\nb *c*\n", "│     a\nb c\n"),
    "indented code stays as it is": ("a\n\n    *b*\n      c\n\nd\n", "a\n\n    *b*\n      c\n\nd\n"),
    "tabs indent": ("- a\n\t- b\n", "• a\n    • b\n"),
    "emphasis goes over lines": ("a **b\nc** d\n", "a b\nc d\n"),
    "emphasis ends with its paragraph": ("a *b\n\nc* d\n", "a *b\n\nc* d\n"),
    "a table has columns": (
        "| a | b | c |\n|:--|--:|:-:|\n| **1** | 2 | x |\n| longer | 345 | long |\nend\n",
        "a      │   b │  c\n───────┼─────┼─────\n1      │   2 │  x\nlonger │ 345 │ long\nend\n",
    ),
    "a table without outer bars is one too": ("a | b\n--|--\n1 | 2\n", "a │ b\n──┼──\n1 │ 2\n"),
    "bars in cells can be escaped": ("|a|b|\n|-|-|\n|`x\\|y`|z|\n", "a   │ b\n────┼──\nx|y │ z\n"),
    "wide characters take two columns": ("|a|b|\n|-|-|\n|中文|c|\n|d|e|\n", "a    │ b\n─────┼──\n中文 │ c\nd    │ e\n"),
    "bars without a rule are text": ("a | *b*\nc\n", "a | b\nc\n"),
    "cells too many are kept": ("|a|b|\n|-|-|\n|1|2|3|\n|4|\n", "a │ b │\n──┼───┼──\n1 │ 2 │ 3\n4 │   │\n"),
}


@pytest.mark.parametrize("name", LOOKS)
def test_it_looks_as_it_should(name):
    text, wanted = LOOKS[name]

    assert [line.rstrip() for line in shown(text).split("\n")] == wanted.split("\n")


def test_rows_hang_below_the_text_they_belong_to():
    text = "- one two three four five\n> six seven eight nine ten\n\n10. one two three four five\n"

    assert shown(text, 16) == (
        "• one two three\n  four five\n│ six seven\n│ eight nine ten\n\n10. one two\n    three four\n    five\n"
    )


def test_chinese_breaks_between_characters_but_not_before_a_full_stop():
    assert shown("一二三四五六。七八九十", 12) == "一二三四五\n六。七八九十\n"


def test_an_address_longer_than_a_row_stays_whole():
    address = "https://example.org/" + "x" * 60

    assert shown(f"see {address} there", 40) == f"see\n{address}\nthere\n"


def test_a_table_wider_than_the_terminal_wraps_its_longest_cells():
    rows = shown(f"|a|b|\n|-|-|\n|one|{'some words ' * 9}|\n|two|{'x' * 90}|\n", 40).splitlines()

    assert all(columns(row) <= 40 for row in rows)
    assert sum(row.count("some") for row in rows) == 9
    assert sum(row.count("x") for row in rows) == 90


def test_each_look_has_its_colour():
    text = "# h\n**b** *i* ~~s~~ `c` **b *both***\n"

    assert shown(text, colours=True) == (
        "\x1b[1mh\x1b[0m\n\x1b[1mb\x1b[0m \x1b[3mi\x1b[0m \x1b[9ms\x1b[0m \x1b[36mc\x1b[0m "
        "\x1b[1mb \x1b[0m\x1b[1;3mboth\x1b[0m\n"
    )


def test_a_style_over_two_rows_is_closed_and_opened_again():
    assert shown("**one two**", 5, colours=True) == "\x1b[1mone two\x1b[0m\n"  # ten columns at least
    assert shown("**one two three**", 10, colours=True) == "\x1b[1mone two\x1b[0m\n\x1b[1mthree\x1b[0m\n"


# -- code ------------------------------------------------------------------------------------------------------------


def looks_of_code(language: str, code: str) -> str:
    return shown(f"```{language}\n{code}\n```\n", 80, colours=True).partition("\n")[2]


def test_code_is_coloured_line_by_line_and_a_string_of_several_lines_stays_one():
    written = looks_of_code("python", '"""a\ndef\n"""\ndef f(): pass  # c')

    assert written.split("\n")[1] == "    \x1b[32mdef\x1b[0m"
    assert "\x1b[35mdef\x1b[0m \x1b[34mf\x1b[0m" in written
    assert "\x1b[2m# c\x1b[0m" in written


def test_a_comment_of_several_lines_is_one_in_languages_like_c():
    written = looks_of_code("js", "/**\n * for this\n */\nconst a = 1")

    assert written.split("\n")[1] == "    \x1b[2m * for this\x1b[0m"
    assert "\x1b[35mconst\x1b[0m" in written


@pytest.mark.parametrize("language", sorted(LANGUAGES))
def test_no_language_loses_anything_of_its_code_or_hangs_on_it(language):
    code = [
        "x = 'a",
        '"b" /* c',
        "*/ {",
        "<?php $a <b c='d'>",
        "${e",
        "a: - |",
        "(" * 300,
        "\\" * 300,
        "a\\" * 200,
        "end",
    ]

    written = looks_of_code(language, "\n".join(code))

    assert SGR.sub("", written) == "".join(f"    {line}\n" for line in code)


def test_code_in_a_language_that_is_not_known_is_plain():
    assert looks_of_code("klingon", "if x: pass") == "    if x: pass\n"


def test_no_more_code_is_coloured_than_there_is_time_for():
    line = "x = 'some text' + 1\n"
    written = looks_of_code("python", line * (2 * MAX_COLOURED // len(line)))

    assert "\x1b" in written[:1000]
    assert "\x1b" not in written[-1000:]


def test_pygments_is_loaded_only_for_code_in_a_language_that_is_known():
    code = (
        "import sys; from flowgpt_magic.markdown.terminal.markdown import TerminalMarkdown as T\n"
        "t = T(60, True); t.add('a *b*\\n```\\nx\\n```\\n'); t.finish(); print('pygments' in sys.modules)\n"
        "t = T(60, True); t.add('```python\\nx\\n'); print('pygments' in sys.modules)"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert ended.stdout.split() == ["False", "True"]


# -- while it arrives ------------------------------------------------------------------------------------------------


def test_a_finished_line_goes_out_at_once():
    terminal = TerminalMarkdown(60, False)

    assert [terminal.add(chunk) for chunk in ["on", "e\ntw", "o\n", "```py\nx\ny", "\n"]] == [
        *["", "one\n", "two\n", "── py\n    x\n", "    y\n"],
    ]


def test_a_long_paragraph_goes_out_word_by_word():
    terminal = TerminalMarkdown(60, False)
    written = [terminal.add("word ") for _ in range(MIN_STREAMED)]

    assert not any(written[: MIN_STREAMED // 5 - 1])
    assert all("".join(written[at : at + 8]) for at in range(MIN_STREAMED // 5, MIN_STREAMED - 8))


def test_a_line_whose_emphasis_is_open_waits_but_not_forever():
    terminal = TerminalMarkdown(60, False)

    written = [terminal.add("*a\n") for _ in range(MAX_HELD_LINES)]

    assert written == [""] * (MAX_HELD_LINES - 1) + ["*a\n" * MAX_HELD_LINES]


def test_a_table_waits_for_its_end_but_not_forever():
    terminal = TerminalMarkdown(60, False)
    assert terminal.add("|a|b|\n|-|-|\n") == ""

    written = [terminal.add("|one|two|\n") for _ in range(MAX_TABLE_ROWS + 5)]

    assert not any(written[: MAX_TABLE_ROWS - 1])
    assert written[-1] == "one │ two\n"
    assert terminal.finish() == ""


def test_a_table_of_few_but_long_rows_does_not_wait_either():
    terminal = TerminalMarkdown(60, False)
    terminal.add("|a|b|\n|-|-|\n")

    assert any(terminal.add(f"|{'word ' * 2000}|b|\n") for _ in range(8))


@pytest.mark.parametrize("cut", range(0, len(SAMPLE), 7))
def test_a_text_that_ends_anywhere_leaves_whole_lines(cut):
    written = shown(SAMPLE[:cut], colours=True)

    assert written[-1:] in ("", "\n")
    assert "\x1b" not in STYLED.sub("", written)


LONG_LINES = [
    "*a ",
    "**a _b ",
    "[a ",
    "[a](b ",
    "[a](    ",
    "`a ``b ",
    "\\(a ",
    "$a ",
    "![",
    "> ",
    "- + ",
    "# ",
    "_a*b_c*",
    "<br ",
    "漢",
    "漢字，**a**",
    "http://漢",
]


@pytest.mark.parametrize("junk", [*LONG_LINES, "a\n*b", "|a|b\n", "a|b\n-|-\n", "\x1b]", "~~~ \n", " ", "`"])
def test_each_character_is_read_a_few_times_at_most_whatever_the_chunks(junk, monkeypatch):
    read = 0

    class Counting(terminal_markdown.Inline):
        def __init__(self, text: str) -> None:
            nonlocal read
            read += len(text)
            super().__init__(text)

    cleaned = 0

    def counting_clean(text: str) -> str:
        nonlocal cleaned
        cleaned += len(text)
        return clean(text)

    monkeypatch.setattr(terminal_markdown, "Inline", Counting)
    monkeypatch.setattr(terminal_markdown, "clean", counting_clean)
    text = (junk * 20_000)[:20_000] + "x"
    in_chunks(text, list(range(0, 20_000, 40)))

    assert read < 5 * len(text)
    assert cleaned < 6 * len(text)


@pytest.mark.parametrize("rule", ["-{}|x", "|-|-{}|x"])
def test_a_rule_of_a_table_is_looked_for_in_time_that_is_in_proportion(rule):
    begun = time.process_time()
    in_chunks(f"a|b\n{rule.format(' ' * 50_000)}\n", [])

    assert time.process_time() - begun < 1

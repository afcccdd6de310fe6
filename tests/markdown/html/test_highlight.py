"""What the characters of a code are is told in few bytes, and for any code."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flowgpt_magic.markdown.code_lexer import LANGUAGES, MAX_COLOURED_LINE
from flowgpt_magic.markdown.html import highlight
from flowgpt_magic.markdown.html.highlight import CODE_KINDS, LONGEST_CODE, PLAIN, CodeRuns, runs_of, spans_of
from flowgpt_magic.markdown.html.sanitize import CODE_WORDS
from tests.panel_page import CASES, cases

PYTHON = '''\
@decorate
class Reader(Base):
    """It reads
    lines."""

    async def read(self, size: int = 10) -> str:
        return f"{size} é😀" + 'x\\n'  # why
'''
CODES = {
    "python": (PYTHON, {"class ": "keyword", "Reader": "function", "10": "number", "# why\n": "comment"}),
    "js": (
        "/* two\n lines */\nconst x = async () => `a${1}`; // end\n",
        {"const ": "keyword", "/* two\n lines */\n": "comment", "1": "number"},
    ),
    "json": ('{"a": [1, true, null, "b"]}', {"1": "number", "true": "atom", '"b"': "string"}),
    "bash": ("for x in *; do echo $x; done # all\n", {"for ": "keyword", "$x": "variable", "# all\n": "comment"}),
    "html": ('<p class="x">text</p><!-- c -->\n', {"p ": "tag", "class": "attribute", "<!-- c -->\n": "comment"}),
    "sql": ("SELECT a FROM b WHERE c = 'd' -- e\n", {"SELECT ": "keyword", "'d' ": "string", "-- e\n": "comment"}),
    "diff": ("-gone\n+come\n", {"-gone\n": "error", "+come\n": "number"}),
}


@pytest.mark.parametrize("language", CODES)
def test_the_words_of_a_code_have_their_kinds(language):
    code, expected = CODES[language]

    spans = list(spans_of(code, runs_of(code, language)))

    assert "".join(words for words, _ in spans) == code
    assert expected.items() <= dict(spans).items()


@pytest.mark.parametrize("case", cases("runs").values(), ids=cases("runs"))
def test_runs_are_written_as_the_script_of_the_panel_is_tested_with(case):
    runs = runs_of(case["code"], case["language"])

    assert runs == case["runs"]
    pieces = [(piece, CODE_KINDS[kind].name if kind else "") for kind, piece in case["pieces"]]
    assert list(spans_of(case["code"], runs)) == pieces


def test_the_script_of_the_panel_is_tested_with_all_kinds():
    assert CASES["kinds"] == {letter: kind.variable for letter, kind in CODE_KINDS.items()}


def test_the_example_of_the_format_is_true():
    code = "def f(x): return 1"

    assert f'data-runs="{runs_of(code, "python")}"' in (highlight.__doc__ or "")
    assert list(spans_of(code, runs_of(code, "python"))) == [
        *[("def ", "keyword"), ("f", "function"), ("(x): ", ""), ("return ", "keyword"), ("1", "number")]
    ]


def test_runs_cost_less_than_half_of_the_code():
    assert len(runs_of(PYTHON * 10, "python")) < len(PYTHON * 10) / 2


CODE = st.lists(st.sampled_from([*"\"'`#/*\\(){}[]<>$@%&;:=. \n", "def ", "/*", "*/", "x", "1", "é", "😀", '"""'])).map(
    "".join
)


@settings(max_examples=300)
@given(CODE, st.sampled_from(sorted(LANGUAGES)))
def test_any_code_can_be_told_in_runs(code, language):
    runs = runs_of(code, language)

    assert re.fullmatch(r"(?:[A-Z](?:[1-9a-z][0-9a-z]*)?)*", runs)
    assert "".join(words for words, _ in spans_of(code, runs)) == code


@settings(max_examples=200)
@given(st.text(st.characters(codec="utf-8")))
def test_lengths_are_counted_as_javascript_counts_them(code):
    units = sum(int(length or "1", 36) for _, length in re.findall("([A-Z])([0-9a-z]*)", runs_of(code, "python")))

    assert units <= len(code.encode("utf-16-le")) // 2 + 1


@pytest.mark.parametrize("language", ["", "unheard-of", "text", "Python\n"])
def test_a_code_in_an_unknown_language_has_no_runs(language):
    assert runs_of("def f(): pass", language) == ""


def test_a_long_code_and_a_long_line_are_plain():
    assert runs_of("x = 1\n" * LONGEST_CODE, "python") == ""
    assert "N" not in runs_of("x = 1;" * MAX_COLOURED_LINE + "\nx", "python")


def test_a_code_read_line_by_line_has_the_runs_of_the_whole():
    runs = CodeRuns("python")
    for line in PYTHON.splitlines(keepends=True):
        runs.add(line)

    assert runs.written == runs_of(PYTHON.removesuffix("\n"), "python")


def test_every_kind_has_a_letter_and_a_class_that_may_be_shown():
    assert all(re.fullmatch("[A-Z]", letter) and letter != PLAIN for letter in CODE_KINDS)
    assert {kind.name for kind in CODE_KINDS.values()} == set(CODE_WORDS.split())


def test_no_language_is_told_wrongly_by_a_line_made_for_that():
    for language in sorted(LANGUAGES):
        for line in ("(" * 900, "'" * 900, "<" * 900, '"\\' * 400, "/*" * 400, "a=" * 400):
            assert "".join(words for words, _ in spans_of(line, runs_of(line, language))) == line


def test_a_token_of_no_length_takes_no_character():
    assert runs_of("// c\nconst a = 1", "js").startswith("C5K6")

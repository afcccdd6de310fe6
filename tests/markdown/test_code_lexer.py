"""Code is read line by line, and what cannot be read is left alone."""

from __future__ import annotations

import pytest

from flowgpt_magic.markdown.code_lexer import LANGUAGES, MAX_COLOURED_LINE, CodeLexer, longest_match


def test_the_tokens_of_a_line_are_the_line_with_its_end():
    tokens = CodeLexer("python").tokens("def f(): pass  # c")

    assert "".join(value for _, value in tokens) == "def f(): pass  # c\n"
    assert (("Keyword",), "def") in tokens
    assert (("Comment", "Single"), "# c") in tokens


def test_a_string_of_several_lines_is_one():
    lexer = CodeLexer("python")
    lexer.tokens('x = """a')

    assert [token[:2] for token, value in lexer.tokens("def") if value == "def"] == [("Literal", "String")]


@pytest.mark.parametrize("language", ["", "klingon"])
def test_an_unknown_language_has_no_tokens(language):
    lexer = CodeLexer(language)

    assert not lexer.reads
    assert lexer.tokens("x = 1") == []


def test_a_lexer_that_is_stopped_reads_no_more():
    lexer = CodeLexer("python")
    lexer.stop()

    assert not lexer.reads
    assert lexer.tokens("x = 1") == []


def test_a_very_long_line_is_one_plain_token():
    line = "x = 1;" * MAX_COLOURED_LINE

    assert CodeLexer("python").tokens(line) == [((), line + "\n")]


@pytest.mark.parametrize("language", sorted(LANGUAGES))
def test_no_language_loses_anything_of_a_line(language):
    lexer = CodeLexer(language)
    for line in ("x = 'a", '"b" /* c', "*/ {", "${e", "(" * 300, "a\\" * 200):
        values = "".join(value for _, value in lexer.tokens(line))
        assert values == (line + "\n" if lexer.reads else "")


def test_the_longest_beginning_of_a_token_type_counts():
    table = {("Name",): "n", ("Name", "Function"): "f"}

    assert longest_match(table, ("Name", "Function", "Magic")) == "f"
    assert longest_match(table, ("Name", "Class")) == "n"
    assert longest_match(table, ("Keyword",)) == ""

"""The cells that the code blocks of a reply become."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowgpt_magic.notebook.code_cells import cell_source, code_cells, compiles

LANGUAGES = ["", "python", "py", "bash", "sh", "console", "js", "text"]


@pytest.mark.parametrize(
    ("language", "code", "source"),
    [
        ("python", "x = 1\n", "x = 1"),
        ("python", "\n\n    x = 1\n    y = 2\n\n", "    x = 1\n    y = 2"),
        ("python", "print 'as it is'", "print 'as it is'"),
        ("python", "%matplotlib inline\nplot()", "%matplotlib inline\nplot()"),
        ("python", "!pip install x\nimport x", "!pip install x\nimport x"),
        ("bash", "ls\ncd /\n", "%%bash\nls\ncd /"),
        ("sh", "# look\nls", "%%bash\n# look\nls"),
        ("bash", "!ls", "!ls"),
        ("", "x = [1]", "x = [1]"),
        ("", "!ls", "!ls"),
        ("", "await load()", "await load()"),
    ],
)
def test_python_is_a_cell_as_it_is_and_shell_commands_are_a_shell_cell(language, code, source):
    assert cell_source(language, code) == source


@pytest.mark.parametrize(
    ("language", "code", "source"),
    [
        ("bash", "pip install pandas", "%pip install pandas"),
        ("", "pip install pandas", "%pip install pandas"),
        ("python", "!pip install pandas", "%pip install pandas"),
        ("python", "$ pip install pandas", "%pip install pandas"),
        ("sh", "$ python3 -m pip install -U pip", "%pip install -U pip"),
        ("bash", "pip install pandas>=2 'polars'", "%pip install 'pandas>=2' 'polars'"),
        ("bash", "# two\npip install a\npip3 install \\\n  b", "# two\n%pip install a\n%pip install b"),
        ("bash", "pip install a && ls", "%%bash\npip install a && ls"),
        ("bash", "pip install a > log", "%%bash\npip install a > log"),
        ("bash", "pip install a\nls", "%%bash\npip install a\nls"),
    ],
)
def test_what_only_installs_packages_installs_them_for_this_kernel(language, code, source):
    assert cell_source(language, code) == source


@pytest.mark.parametrize(
    ("language", "code", "source"),
    [
        (
            "python",
            ">>> x = 1\n>>> for i in [x]:\n...     print(i)\n...\n1\n>>> x\n1\n",
            "x = 1\nfor i in [x]:\n    print(i)\n\nx",
        ),
        ("", ">>> x\n1", "x"),
        ("ipython", "In [1]: def f():\n   ...:     pass\n\nIn [2]: f()\nOut[2]: 1", "def f():\n    pass\nf()"),
        ("bash", "$ ls\na  b\n$ pwd\n/", "%%bash\nls\npwd"),
        ("console", "me@host:~/x$ ls\na\n", "%%bash\nls"),
        ("", "$ ls \\\n  -l\nfile", "%%bash\nls \\\n  -l"),
        ("bash", "ls\n$ x", "%%bash\nls\n$ x"),
    ],
)
def test_prompts_and_output_of_a_pasted_session_are_left_out(language, code, source):
    assert cell_source(language, code) == source


@pytest.mark.parametrize(
    ("language", "code"),
    [
        ("", "3.14"),
        ("", "[1, -2]"),
        ("", "{'a': (1,)}"),
        ("", "x"),
        ("text", "x = 1"),
        ("output", "1"),
        ("python", " \n"),
    ],
)
def test_a_printed_value_is_no_cell_and_is_not_mentioned(language, code):
    assert code_cells([(language, code)]) == code_cells([])


def test_other_languages_are_named_once():
    cells = code_cells([("js", "f()"), ("sql", "select 1"), ("", "no code here"), ("JS", "g()"), ("python", "x = 1")])

    assert cells.sources == ("x = 1",)
    assert cells.remark == "not put into a cell: js, sql, code of an unknown language; only Python and shell code is"
    assert code_cells([("python", "x")]).remark == ""


def test_a_block_that_is_repeated_is_one_cell():
    assert code_cells([("python", "x = 1\n"), ("bash", "ls"), ("py", "x = 1")]).sources == ("x = 1", "%%bash\nls")


def test_a_cell_compiles_with_its_magics():
    assert compiles("%time x = 1\n!ls\nawait x")
    assert not compiles("x = = 1")
    assert not compiles("\0")


@given(st.sampled_from(LANGUAGES), st.text(max_size=200) | st.text("$>. \n!%#'\"\\ab[]()=:1", max_size=80))
def test_any_block_becomes_one_cell_or_none(language, code):
    source = cell_source(language, code)

    assert not source or source.strip()
    if language in ("js", "text"):
        assert source == ""


@given(st.text("ab=1\n (", min_size=1, max_size=60).filter(lambda code: code.strip()))
def test_python_keeps_every_character_of_its_lines(code):
    assert cell_source("python", code).strip() == code.strip()

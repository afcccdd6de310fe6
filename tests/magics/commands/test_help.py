"""The help: what it lists, and that each of its examples runs."""

from __future__ import annotations

from collections.abc import Iterator
from html import unescape
from pathlib import Path

import pytest
from IPython.core.interactiveshell import InteractiveShell

from flowgpt_magic.errors import OptionError
from flowgpt_magic.magics.commands.help import HelpPage, page
from flowgpt_magic.magics.commands.table import SUBCOMMANDS
from flowgpt_magic.magics.commands.topics import GROUP_TITLES, OPTION_EXAMPLES, TOPICS
from flowgpt_magic.prompt.magic_line import OPTIONS
from flowgpt_magic.tables import bundle
from tests.example_shell import example_shell, fix_with_a_correction, keep_history_of_moved_notebooks, prepare, run_cell

EXAMPLES = {
    **{f"{name} {n}": text for name, each in SUBCOMMANDS.items() for n, text in enumerate(each.examples, 1)},
    **{f"--{name} {n}": text for name, each in OPTION_EXAMPLES.items() for n, text in enumerate(each, 1)},
    **{f"topic {name} {n}": text for name, each in TOPICS.items() for n, text in enumerate(each.examples, 1)},
}


@pytest.fixture
def shell(monkeypatch, tmp_path: Path) -> Iterator[InteractiveShell]:
    with example_shell(monkeypatch, tmp_path) as shell:
        yield shell


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_runs_as_it_stands(shell, name, monkeypatch, capsys):
    example = EXAMPLES[name]
    if "adopt" in example:
        keep_history_of_moved_notebooks(monkeypatch)
    if not name.startswith("--") or "cell:" in example:  # the examples of options need no conversation
        prepare(shell)
    if "apply" in example:
        fix_with_a_correction(shell)
    capsys.readouterr()

    run_cell(shell, example)

    assert "Traceback" not in capsys.readouterr().out


def test_every_subcommand_option_and_topic_has_two_examples():
    assert list(OPTION_EXAMPLES) == [option.name for option in OPTIONS]
    for examples in (*(command.examples for command in SUBCOMMANDS.values()), *OPTION_EXAMPLES.values()):
        assert len(set(examples)) == 2
    assert all(text.strip() for text in EXAMPLES.values())


def test_the_overview_names_every_subcommand_once_with_its_second_names_and_every_option(run):
    text = run("help").text()
    subcommands = [line for line in text.partition("Options:")[0].splitlines() if line[2:3].strip()]

    for first in {id(command): name for name, command in reversed(SUBCOMMANDS.items())}.values():
        assert sum(line.split()[0] == first for line in subcommands if line.startswith("  ")) == 1, first
    assert "clear [reset]" in text
    assert all(f"--{option.name}" in text for option in OPTIONS)
    assert all(f"help {name}" in text for name in TOPICS)
    assert all(f"{title}:" in text for title in GROUP_TITLES.values())
    assert max(map(len, text.splitlines())) <= 130


def test_the_overview_has_a_row_for_every_option(run):
    table = run("help").html().partition("<b>Options</b>")[2].partition("</tbody>")[0]
    rows = [unescape(row) for row in table.split("<tr>")[2:]]  # the first is the head

    assert len(rows) == len(OPTIONS)
    for option, row in zip(OPTIONS, rows, strict=True):
        assert f"--{option.name}" in row
        assert option.value in row
        assert option.text in row


@pytest.mark.parametrize("word", [*SUBCOMMANDS, *TOPICS, *OPTION_EXAMPLES, "-m", "--schema"])
def test_a_page_has_its_two_examples_in_html_and_in_text(word):
    found = page(word, SUBCOMMANDS)

    assert isinstance(found, HelpPage)
    assert found.text().count("\n\n  ") >= 2
    assert found.html().count("<pre") >= 2
    assert "``" not in (found.text() + found.html()).replace("```", "")


def test_a_page_in_a_notebook_is_a_table_whose_text_is_escaped(run):
    data = bundle(run("help"))

    assert "<th" in data["text/html"]
    assert "VARIABLE &lt;&lt;" in data["text/html"]
    assert "VARIABLE <<" in data["text/plain"]


@pytest.mark.parametrize(("word", "near"), [("udno", "undo"), ("attahc", "attach"), ("--shcema", "--schema")])
def test_help_for_an_unknown_word_names_the_closest(run, word, near):
    with pytest.raises(OptionError, match=f"there is no help for {word}; did you mean {near}"):
        run(f"help {word}")


def test_no_topic_hides_behind_a_subcommand():
    assert not set(TOPICS) & set(SUBCOMMANDS)

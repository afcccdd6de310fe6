"""Tab in JupyterLab: what is typed is completed with ours, and with nothing of Python's."""

from __future__ import annotations

import pytest

from flowgpt_magic.magics.commands.table import SUBCOMMANDS
from flowgpt_magic.prompt.magic_line import BY_FLAG


@pytest.fixture
def cell(open_notebook):
    """Type into an empty cell, press Tab, and give the cell and the list that opens, if one does."""
    notebook = open_notebook("")

    def press_tab(*lines: str):
        cell = notebook.cell(1).locator(".cm-content")
        cell.click()
        notebook.page.keyboard.press("Control+a")
        notebook.page.keyboard.press("Delete")
        for number, line in enumerate(lines):
            if number:
                notebook.page.keyboard.press("Enter")
            notebook.page.keyboard.type(line)
        notebook.page.keyboard.press("Tab")
        return cell, notebook.page.locator(".jp-Completer:visible .jp-Completer-item")

    return press_tab


def names(items) -> list[str]:
    items.first.wait_for()
    return items.locator(".jp-Completer-match").all_inner_texts()


def test_tab_completes_a_subcommand_an_option_and_a_model(cell, page):
    typed, items = cell("%flowgpt un")
    assert names(items) == ["undo"]
    page.keyboard.press("Enter")
    assert typed.inner_text() == "%flowgpt undo"

    _typed, items = cell("%flowgpt re")
    assert names(items) == sorted(name for name in SUBCOMMANDS if name.startswith("re"))
    assert "subcommand: redo the change" in items.first.inner_text().replace("\N{NO-BREAK SPACE}", " ")
    assert set(items.locator(".jp-Completer-monogram").all_inner_texts()) == {"s"}
    page.keyboard.press("Escape")

    _typed, items = cell("%%flowgpt --no")
    assert names(items) == sorted(flag for flag in BY_FLAG if flag.startswith("--no"))
    assert set(items.locator(".jp-Completer-monogram").all_inner_texts()) == {"o"}
    page.keyboard.press("Escape")

    _typed, items = cell("%%flowgpt -m echo:")
    assert names(items) == ["echo:messages", "echo:words"]


def test_tab_completes_a_variable_in_a_prompt(cell, page, open_notebook):
    typed, items = cell("%%flowgpt -f md", "how big is {In")

    page.wait_for_timeout(1000)
    assert typed.inner_text().splitlines()[-1].startswith("how big is {In")
    assert set(items.locator(".jp-Completer-match").all_inner_texts()) <= {"In"}


def test_tab_in_the_words_of_a_prompt_offers_no_python(cell, page):
    _typed, items = cell("%%flowgpt", "import o")

    page.wait_for_timeout(2000)
    assert not {"or", "os", "object", "open"} & set(items.locator(".jp-Completer-match").all_inner_texts())

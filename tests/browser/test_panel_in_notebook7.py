"""The chat panel in Notebook 7, which is made of JupyterLab's parts but is no JupyterLab."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.browser.conftest import Front, Lab, Notebook
from tests.browser.panels import OPEN, Panel, in_cell


@pytest.fixture
def open_notebook(page: Page, lab: Lab, request: pytest.FixtureRequest) -> Callable[..., Notebook]:
    """Open a new notebook with these cells, the extension loaded by the first of them."""
    return Front(lab, notebook7=True).opener(page, request.node.name)


def test_ask_in_the_panel_and_in_a_cell(open_notebook):
    notebook = open_notebook("%config FlowGPT.pace = 0.02", OPEN, "%%flowgpt\nfrom a cell")
    notebook.run(1)
    panel = in_cell(notebook, 2)

    panel.answered("from the **panel**")
    expect(panel.reply(1).locator("strong")).to_have_text("panel")
    notebook.run(3)

    expect(panel.reply(2)).to_have_text("from a cell")
    assert not notebook.page.locator(".flowgpt-transcript").first.is_visible()


def test_stop_before_the_first_chunk_and_while_a_cell_runs(open_notebook):
    notebook = open_notebook("%config FlowGPT.pace = 60", OPEN, "import time; time.sleep(20)")
    notebook.run(1)
    panel = in_cell(notebook, 2)
    panel.ask("never comes")
    panel.send.click()
    panel.ended()
    expect(panel.turn(1)).to_contain_text("interrupted")
    panel.ask("never comes either")
    panel.turn(2).wait_for()
    notebook.begin(3)

    panel.send.click()
    panel.ended()

    expect(panel.turn(2)).to_contain_text("interrupted")
    assert notebook.cell(3).locator(".jp-InputPrompt").inner_text().strip() == "[*]:"


def test_after_a_reload_the_panel_is_back(open_notebook, page):
    notebook = open_notebook(OPEN)
    panel = in_cell(notebook, 1)
    panel.answered("before")
    notebook.save()

    page.reload()

    expect(Panel(page).reply(1)).to_have_text("before")


def test_code_is_put_into_a_cell_below(open_notebook):
    notebook = open_notebook(OPEN)
    panel = in_cell(notebook, 1)
    panel.answered("```python\nx = 1\n```")

    panel.root.get_by_role("button", name="Insert a cell below with the code").click()

    expect(notebook.cell(2).locator(".cm-content")).to_have_text("x = 1")


def test_shortcuts_of_the_notebook_stay_out_and_the_keyboard_is_enough(open_notebook, page):
    notebook = open_notebook(OPEN)
    panel = in_cell(notebook, 1)
    expect(panel.prompt).to_be_focused()
    page.keyboard.type("one\n")
    expect(panel.reply(1)).to_have_text("one")
    panel.ended()
    cells = notebook.page.locator(".jp-Notebook .jp-Cell").count()

    page.keyboard.press("Escape")
    expect(panel.log).to_be_focused()
    page.keyboard.press("Tab")
    expect(panel.button("Edit and ask again", panel.turn(1))).to_be_focused()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    expect(panel.button("Ask again", panel.turn(1))).to_be_focused()
    page.keyboard.type("ddbax")
    assert Axe().run(page, context=".flowgpt-panel").response["violations"] == []
    panel.prompt.focus()
    page.keyboard.type("two\n")

    expect(panel.reply(2)).to_have_text("two")
    assert notebook.page.locator(".jp-Notebook .jp-Cell").count() == cells


def test_a_line_above_the_panel_that_a_page_does_not_hide_goes_when_the_panel_has_opened(open_notebook, page):
    notebook = open_notebook(OPEN)
    # As in a front end that does not know the rule, such as the classic Notebook.
    page.add_style_tag(content=".jp-OutputArea-child:has(.flowgpt-transcript) { display: block !important; }")
    line = notebook.cell(1).get_by_text("Run this cell to open the chat panel.")
    notebook.start(1)
    line.wait_for()
    panel = Panel(page)

    expect(line).to_have_count(0)
    expect(notebook.cell(1).locator(".flowgpt-transcript")).to_have_text("")
    panel.answered("one")
    expect(panel.reply(1)).to_have_text("one")
    expect(notebook.cell(1).locator(".flowgpt-transcript")).to_have_text("")

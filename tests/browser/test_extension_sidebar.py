"""The chat panel in the sidebar: the same conversation as the notebook's cells, and what to do where there is none."""

from __future__ import annotations

import re
import time

from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import Front

SHORTCUT = "Control+Shift+Enter"
ASK = "args => { window.jupyterapp.commands.execute('flowgpt_magic:ask-in-panel', args) }"


def sidebar(page: Page) -> Locator:
    return page.locator(".flowgpt-sidebar")


def field(page: Page) -> Locator:
    return sidebar(page).get_by_role("textbox", name="Prompt", exact=True)


def answer(page: Page, text: str) -> Locator:
    return sidebar(page).locator(".fg-answer").filter(has_text=text)


def test_the_shortcut_leads_to_the_panel_and_back_and_cells_and_panel_share_a_conversation(open_in_front):
    notebook = open_in_front("%%flowgpt\nasked in a cell", "%flowgpt history")
    page = notebook.page
    notebook.cell(1).locator(".cm-content").click()

    page.keyboard.press(SHORTCUT)
    expect(field(page)).to_be_focused()
    page.keyboard.type("asked in the sidebar")
    page.keyboard.press("Enter")
    expect(answer(page, "asked in the sidebar")).to_be_visible()
    page.keyboard.press(SHORTCUT)
    expect(notebook.cell(1).locator(".cm-content")).to_be_focused()
    page.keyboard.press("Control+Enter")

    expect(answer(page, "asked in a cell")).to_be_visible()
    notebook.run(2)
    expect(notebook.output(2)).to_contain_text("asked in the sidebar")


def test_one_click_loads_the_extension_and_what_was_typed_survives_a_restart_and_a_reload(page: Page, front: Front):
    notebook = front.open(page, front.lab.write(f"restart-{time.monotonic_ns()}.ipynb", "1 + 1"))
    page.evaluate("window.jupyterapp.commands.execute('flowgpt_magic:open-panel')")
    expect(sidebar(page)).to_contain_text("is not loaded in this kernel")

    page.keyboard.press("Enter")  # the button has the focus
    expect(field(page)).to_be_focused()
    page.keyboard.type("before the restart")
    page.keyboard.press("Enter")
    expect(answer(page, "before the restart")).to_be_visible()
    page.keyboard.type("half a thought")
    restart(page)
    expect(sidebar(page)).to_contain_text("is not loaded in this kernel")
    expect(answer(page, "before the restart")).to_be_visible()
    sidebar(page).get_by_role("button", name="Load it").click()

    expect(field(page)).to_be_focused()
    expect(field(page)).to_have_value("half a thought")
    expect(answer(page, "before the restart")).to_be_visible()
    page.reload()
    notebook.wait_for_idle()
    if front.notebook7:
        page.evaluate("window.jupyterapp.commands.execute('flowgpt_magic:open-panel')")
    expect(field(page)).to_have_value("half a thought")
    expect(answer(page, "before the restart")).to_be_visible()


def restart(page: Page) -> None:
    """Restart the kernel of the notebook in front, without asking whether that is wanted."""
    page.evaluate("() => window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.restart()")


def test_what_is_typed_while_the_panel_opens_is_in_its_field_and_not_in_the_cell(open_in_front):
    notebook = open_in_front("price = 'of a variable'", "f'{price}'")
    page = notebook.page
    notebook.cell(1).locator(".cm-content").click()
    page.keyboard.press("Control+Enter")
    notebook.cell(2).locator(".cm-content").click()
    page.keyboard.press("Alt+Shift+Q")
    page.keyboard.type("why {price}?")

    expect(field(page)).to_be_focused()
    expect(field(page)).to_have_value(re.compile(r"```python\nf'\{price\}'\n```\n\nwhy \{price\}\?$"))
    expect(notebook.cell(2).locator(".cm-content")).to_have_text("f'{price}'")
    page.keyboard.press("Enter")
    expect(answer(page, "why of a variable?")).to_contain_text("f'{price}'")


def test_a_command_fills_the_field_below_what_is_typed_or_sends_and_leaves_that_alone(open_notebook):
    page = open_notebook().page
    page.evaluate(ASK, {"text": "from a command", "attached": ["notes.md"]})

    expect(field(page)).to_be_focused()
    expect(field(page)).to_have_value("from a command")
    expect(sidebar(page).locator(".fg-chip")).to_have_text("notes.md")
    page.evaluate(ASK, {"text": "sent at once", "send": True})

    expect(answer(page, "sent at once")).to_be_visible()
    expect(field(page)).to_have_value("from a command")

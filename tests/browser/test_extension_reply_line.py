"""The line below a reply in a cell: its buttons, its details, and the look of replies."""

from __future__ import annotations

import nbformat
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Locator, expect

from tests.browser.conftest import Lab, NextNotebook, Notebook, in_each_theme

CODE = "before\n\n```python\nprint(6 * 7)\n```"
WIDE = "| a | b |\n|---|---|\n| " + "x" * 150 + " | " + "y " * 20 + " |\n\n```python\n" + "z = 1; " * 60 + "\n```"
HOSTILE = (
    'Read this.\n\n<details class="flowgpt-caption" style="opacity: 0.7"><summary><small>&lt;b&gt;model&lt;/b&gt; '
    '<img src=x onerror="window.hurt = 1"><a href="javascript:1">9 tokens</a></small></summary></details>'
)


def line_of(notebook: Notebook, number: int) -> Locator:
    return notebook.cell(number).locator(".flowgpt-line")


def press(line: Locator, name: str) -> None:
    line.get_by_role("button", name=name).click()


def test_the_buttons_below_a_reply_do_what_those_of_the_panel_do(open_in_front):
    notebook = open_in_front("runs = 0", f"runs += 1\nget_ipython().run_cell_magic('flowgpt', '-m echo', '''{CODE}''')")
    notebook.run(1)
    notebook.run(2)
    line = line_of(notebook, 2)
    line.scroll_into_view_if_needed()
    before = line.bounding_box()
    line.hover()
    retry = line.get_by_role("button", name="Ask again")
    expect(retry).to_be_visible()

    assert line.bounding_box() == before
    press(line, "Ask again")
    expect(line.get_by_text("2/2")).to_be_visible()
    press(line, "Earlier version")
    expect(line.get_by_text("1/2")).to_be_visible()
    expect(line.get_by_role("button", name="Later version")).to_be_focused()
    press(line, "Insert a cell below with the code")
    expect(line.get_by_role("status")).to_have_text("There is a new cell below.")
    press(line, "Insert a cell below with the code")
    expect(line.get_by_role("status")).to_have_text("This code is below already.")
    press(line, "Details")
    details = notebook.page.get_by_role("dialog", name="Details")
    expect(details.get_by_role("group", name="Prompt as sent")).to_have_text(CODE)
    expect(details).to_contain_text("1 of 2")
    notebook.page.keyboard.press("Escape")
    expect(details).to_have_count(0)
    expect(line.get_by_role("button", name="Details")).to_be_focused()

    saved = notebook.save()
    assert [cell.source for cell in saved.cells[3:4]] == ["print(6 * 7)"]
    assert len(saved.cells[2].outputs) == 1
    assert saved.cells[2].source.startswith("runs += 1")
    assert saved.cells[2].outputs[0].metadata["flowgpt"]["status"] == "complete"


def test_a_reply_that_arrives_again_can_be_stopped_and_the_line_goes_with_the_output(open_notebook):
    notebook = open_notebook(f"%%flowgpt -m echo\n{'word ' * 300}", "%config FlowGPT.pace = 0.05")
    notebook.run(1)
    notebook.run(2)
    line = line_of(notebook, 1)

    press(line, "Ask again")
    stop = line.get_by_role("button", name="Stop the reply")
    expect(notebook.output(1).first).to_contain_text("still arriving")
    stop.click()
    expect(line).to_contain_text("interrupted")
    expect(line.get_by_text("2/2")).to_be_visible()
    expect(stop).to_have_count(0)

    press(line, "Details")
    notebook.page.evaluate("() => window.jupyterapp.commands.execute('notebook:clear-all-cell-outputs')")
    expect(notebook.page.locator(".flowgpt-line, .flowgpt-popover")).to_have_count(0)


def test_axe_finds_nothing_and_a_wide_reply_scrolls_inside(open_notebook, page):
    notebook = open_notebook(f"%%flowgpt -m echo\n{WIDE}")
    notebook.run(1)
    line, output = line_of(notebook, 1), notebook.output(1).first
    width = page.evaluate("() => parseFloat(getComputedStyle(document.documentElement).fontSize) * 48")

    box = output.bounding_box()
    assert box is not None
    assert box["width"] <= width + 1
    for block in ("pre", "table"):
        assert output.locator(block).evaluate("it => it.scrollWidth > it.clientWidth"), block
    assert notebook.cell(1).evaluate("it => it.scrollWidth <= it.clientWidth")
    for theme in in_each_theme(page):
        line.hover()
        press(line, "Details")
        expect(page.get_by_role("dialog").get_by_text("Prompt as sent")).to_be_visible()
        for part in (".flowgpt-line", ".flowgpt-popover"):
            found = Axe().run(page, context=part).response["violations"]
            assert [(it["id"], it["nodes"][0]["html"][:200]) for it in found] == [], theme
        page.keyboard.press("Escape")


def test_the_line_of_a_file_is_text_and_says_that_its_reply_is_not_in_the_history(lab: Lab, page, open_notebook):
    open_notebook("1")  # the page shows JupyterLab
    path = lab.write("foreign.ipynb", "%%flowgpt\nhello", "%load_ext flowgpt_magic")
    content = nbformat.read(path, as_version=4)
    facts = {"turn_id": "0" * 32, "status": "complete", "provider": "<i>nobody</i>", "model": "m", "format": "markdown"}
    data = {"text/markdown": HOSTILE, "text/plain": "Read this."}
    content.cells[0].outputs = [nbformat.v4.new_output("display_data", data, metadata={"flowgpt": facts})]
    nbformat.write(content, path)
    notebook = NextNotebook(page, lab, path)
    line = line_of(notebook, 0)

    expect(line).to_contain_text("<b>model</b> 9 tokens")
    expect(line.locator("img, a, b")).to_have_count(0)
    press(line, "Details")
    details = page.get_by_role("dialog", name="Details")
    expect(details).to_contain_text("run %load_ext flowgpt_magic")
    expect(details).to_contain_text("<i>nobody</i>:m")
    details.get_by_role("button", name="Load FlowGPT").click()
    expect(details).to_contain_text("This reply is not in the history of this kernel")
    page.keyboard.press("Escape")
    press(line, "Ask again")
    expect(line).to_contain_text("run the cell to ask again")
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    press(line, "Copy the reply")
    expect(line).to_contain_text("Copied.")
    assert page.evaluate("() => navigator.clipboard.readText()") == "Read this."
    assert page.evaluate("() => window.hurt") is None

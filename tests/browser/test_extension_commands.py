"""The extension's commands on cells: fix an error, turn cells into prompts, ask, run with another model, stop."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import Notebook
from tests.openai_servers import background, speaking

FAILING = "prices = [3, 4]\nprint(sum(prcies))"
CORRECTED = "prices = [3, 4]\nprint(sum(prices))"
REPLY = f"The name is mistyped.\n\n```python\n{CORRECTED}\n```\n"
# The command as the palette and the menus run it.
COMMAND = "([name, args]) => window.jupyterapp.commands.execute(`flowgpt_magic:${name}`, args ?? {})"
CAPTION = "name => window.jupyterapp.commands.caption(`flowgpt_magic:${name}`, {})"
ENABLED = "name => window.jupyterapp.commands.isEnabled(`flowgpt_magic:${name}`, {})"


@pytest.fixture(scope="session")
def corrector() -> Iterator[str]:
    """A cell that lets a server answer that corrects ``FAILING``."""
    with background(speaking(REPLY)) as server:
        base = f"%config FlowGPT.openai_base_url = 'http://127.0.0.1:{server.port}/v1'"
        yield f"{base}\n%config FlowGPT.model = 'openai_compatible:m'"


def source(notebook: Notebook, number: int) -> str:
    """What is in a cell, whether it is code or not."""
    script = "n => window.jupyterapp.shell.currentWidget.content.widgets[n].model.sharedModel.getSource()"
    return str(notebook.page.evaluate(script, number))


def command(notebook: Notebook, name: str) -> None:
    notebook.page.evaluate(COMMAND, [name])


def select(notebook: Notebook, number: int) -> None:
    """Make a cell the active one, in command mode."""
    notebook.cell(number).locator(".cm-content").click()
    notebook.page.keyboard.press("Escape")


def correction(notebook: Notebook, number: int) -> Locator:
    return notebook.cell(number).get_by_role("region", name="Correction of")


def slow(pace: float) -> str:
    return f"%config FlowGPT.model = 'echo'\n%config FlowGPT.pace = {pace}"


def focused(page: Page) -> str:
    return str(page.evaluate("() => document.activeElement.className"))


# -- Fix ---------------------------------------------------------------------------------------------------------------


def test_a_failed_cell_is_corrected_with_the_keyboard(open_in_front: Callable[..., Notebook], corrector: str):
    notebook = open_in_front(corrector, FAILING)
    page = notebook.page
    notebook.run(1)
    notebook.run(2)
    button = notebook.cell(2).get_by_role("button", name="Fix this error")
    button.focus()
    page.keyboard.press("Enter")
    view = correction(notebook, 2)

    expect(view.get_by_role("list", name="1 line added, 1 line removed")).to_be_visible()
    expect(view).to_be_focused()
    expect(view.get_by_role("listitem").filter(has_text="removed: ")).to_contain_text("print(sum(prcies))")
    expect(view.get_by_role("listitem").filter(has_text="added: ")).to_contain_text("print(sum(prices))")
    expect(view.get_by_text("The name is mistyped.")).to_be_visible()
    view.get_by_role("button", name="Apply", exact=True).press("Enter")
    assert source(notebook, 2) == CORRECTED
    expect(view).to_have_count(0)
    notebook.cell(2).locator(".cm-content").click()
    page.keyboard.press("Control+z")
    assert source(notebook, 2) == FAILING

    page.keyboard.press("Alt+Shift+F")
    view.get_by_role("button", name="Apply and run").click()
    expect(notebook.output(2)).to_have_text("7")


def test_a_cell_that_was_changed_since_is_not_overwritten(open_notebook: Callable[..., Notebook], corrector: str):
    notebook = open_notebook(corrector, FAILING)
    notebook.run(1)
    notebook.run(2)
    notebook.cell(2).get_by_role("button", name="Fix this error").click()
    view = correction(notebook, 2)
    view.get_by_role("button", name="Apply", exact=True).wait_for()

    notebook.cell(2).locator(".cm-content").click()
    notebook.page.keyboard.press("Control+End")
    notebook.page.keyboard.type("  # mine")

    expect(view.get_by_text("The cell was changed since it failed, so it is not overwritten.")).to_be_visible()
    expect(view.get_by_role("button")).to_have_text(["Insert below", "Copy", "Discard"])
    view.get_by_role("button", name="Insert below").click()
    assert source(notebook, 2) == f"{FAILING}  # mine"
    assert source(notebook, 3) == CORRECTED


def test_a_fix_is_stopped_discarded_and_asked_once_at_a_time(open_notebook: Callable[..., Notebook]):
    notebook = open_notebook(slow(0.1), "1 / 0", "unknown")
    page = notebook.page
    for number in (1, 2, 3):
        notebook.run(number)
    notebook.cell(2).get_by_role("button", name="Fix this error").click()
    view = correction(notebook, 2)
    expect(view.locator(".flowgpt-fix-arriving")).to_contain_text("This failed")

    notebook.cell(3).get_by_role("button", name="Fix this error").click()
    expect(page.get_by_text("is still arriving: wait, or stop it.").first).to_be_visible()
    expect(correction(notebook, 3)).to_have_count(0)
    view.get_by_role("button", name="Stop").click()
    expect(view.get_by_text("Stopped: the ")).to_be_visible()
    view.get_by_role("button", name="Close").focus()
    page.keyboard.press("Escape")
    expect(view).to_have_count(0)
    assert "jp-Cell" in focused(page) or "jp-Notebook" in focused(page)


def test_a_reply_without_a_correction_and_a_lost_kernel_are_said_in_one_line(open_notebook: Callable[..., Notebook]):
    notebook = open_notebook(slow(0), "1 / 0", slow(0.2))
    page = notebook.page
    notebook.run(1)
    notebook.run(2)
    notebook.cell(2).get_by_role("button", name="Fix this error").click()
    view = correction(notebook, 2)
    expect(view.get_by_text("The reply to %flowgpt fix repeats the code that failed")).to_be_visible()
    view.get_by_role("button", name="Close").click()

    notebook.run(3)
    notebook.cell(2).get_by_role("button", name="Fix this error").click()
    expect(view.locator(".flowgpt-fix-arriving")).to_be_visible()
    page.evaluate("() => window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.restart()")
    expect(view.get_by_text("The kernel was restarted or has ended.")).to_be_visible()


def test_only_errors_of_python_cells_have_the_button(open_notebook: Callable[..., Notebook]):
    notebook = open_notebook("1 / 0", "%%flowgpt -m nobody_at_all\nhello", "%flowgpt show 99")
    for number in (1, 2, 3):
        notebook.run(number)
        expect(notebook.output(number).first).to_be_visible()

    expect(notebook.page.get_by_role("button", name="Fix this error")).to_have_count(1)
    before = notebook.output(1).bounding_box()
    notebook.page.add_style_tag(content=".flowgpt-fix-this { display: none !important }")
    assert notebook.output(1).bounding_box() == before
    select(notebook, 2)
    assert not notebook.page.evaluate(ENABLED, "fix")
    assert notebook.page.evaluate(CAPTION, "fix") == "This cell shows no Python error."


# -- Prompts and back --------------------------------------------------------------------------------------------------


def test_a_cell_becomes_a_prompt_and_code_again(open_in_front: Callable[..., Notebook]):
    notebook = open_in_front("first\nsecond", "%%flowgpt -m echo -t 0\nthe prompt", "%%bash\nls")
    page = notebook.page
    notebook.cell(1).locator(".cm-content").click()
    page.keyboard.press("Control+End")
    page.keyboard.type("!")
    page.keyboard.press("Escape")

    page.keyboard.press("p")
    assert source(notebook, 1) == "%%flowgpt\nfirst\nsecond!"
    page.keyboard.press("Enter")
    page.keyboard.type("?")
    assert source(notebook, 1) == "%%flowgpt\nfirst\nsecond!?"
    page.keyboard.press("Control+z")
    page.keyboard.press("Control+z")
    assert source(notebook, 1) == "first\nsecond!"

    select(notebook, 2)
    page.keyboard.press("Shift+P")
    assert source(notebook, 2) == "the prompt"
    page.keyboard.press("p")
    assert source(notebook, 2) == "%%flowgpt -m echo -t 0\nthe prompt"

    select(notebook, 3)
    page.keyboard.press("p")
    expect(page.get_by_text("A cell that begins with %%bash cannot be a prompt").first).to_be_visible()
    assert source(notebook, 3) == "%%bash\nls"


def test_a_markdown_cell_becomes_a_prompt_with_its_text_and_markdown_again(open_notebook: Callable[..., Notebook]):
    notebook = open_notebook("# A title\n\nand text")
    page = notebook.page
    select(notebook, 1)
    page.keyboard.press("m")
    page.keyboard.press("p")
    assert source(notebook, 1) == "%%flowgpt\n# A title\n\nand text"
    expect(notebook.cell(1)).to_be_visible()

    command(notebook, "to-code")

    assert source(notebook, 1) == "# A title\n\nand text"
    expect(page.locator(".jp-Notebook .jp-MarkdownCell")).to_have_count(1)


def test_a_notebook_that_cannot_be_changed_says_so(open_notebook: Callable[..., Notebook]):
    notebook = open_notebook("1 / 0")
    notebook.run(1)
    notebook.page.evaluate("() => { window.jupyterapp.shell.currentWidget.context.model.readOnly = true }")
    select(notebook, 1)

    assert not notebook.page.evaluate(ENABLED, "to-prompt")
    assert notebook.page.evaluate(CAPTION, "to-prompt") == "This notebook cannot be changed."


# -- Ask, run with another model, stop ---------------------------------------------------------------------------------


def test_a_question_about_a_cell_begins_in_the_panel_with_its_code(open_in_front: Callable[..., Notebook]):
    notebook = open_in_front("1 / 0", "first\nsecond")
    page = notebook.page
    notebook.run(1)
    select(notebook, 1)
    page.keyboard.press("Alt+Shift+Q")
    field = page.locator(".flowgpt-sidebar textarea[aria-label='Prompt']").first
    whole = "Cell [2]:\n\n```python\n1 / 0\n```\n\nIts error:\n\n```text\nZeroDivisionError: division by zero\n```"
    expect(field).to_have_value(re.compile(re.escape(whole) + r"\s+"))

    field.fill("")
    notebook.cell(2).locator(".cm-content").click()
    page.keyboard.press("Control+Home")
    page.keyboard.press("Shift+ArrowDown")
    page.keyboard.press("Alt+Shift+Q")
    expect(field).to_have_value(re.compile(r"From the cell:\n\n```python\nfirst\n```"))


def test_a_prompt_is_run_once_with_a_model_from_the_list(open_in_front: Callable[..., Notebook]):
    notebook = open_in_front("%%flowgpt\nhello")
    page = notebook.page
    select(notebook, 1)
    page.keyboard.press("Alt+Shift+M")
    page.get_by_role("combobox", name="Model").fill("echo")
    expect(page.get_by_role("option", name="echo:words")).to_have_attribute("aria-selected", "true")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")

    expect(notebook.cell(1)).to_contain_text("echo:messages · ")
    assert source(notebook, 1) == "%%flowgpt\nhello"


def test_a_prompt_cell_is_stopped_while_it_runs(open_in_front: Callable[..., Notebook]):
    notebook = open_in_front(slow(0.1), "%%flowgpt\n" + "word " * 500)
    notebook.run(1)
    notebook.begin(2)
    expect(notebook.output(2).first).to_contain_text("word")

    select(notebook, 2)
    notebook.page.keyboard.press("Alt+Shift+S")

    notebook.finished(2)
    expect(notebook.cell(2)).to_contain_text("interrupted")

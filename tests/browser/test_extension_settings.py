"""The page of FlowGPT in JupyterLab's settings editor, and what it changes in kernels."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import Front, Lab, Notebook

KEY = "sk-" + "proj-abcdefghijklmnop1234"
BARE = "import os\nos.environ.pop('FLOWGPT_MODEL', None)\n%load_ext flowgpt_magic"
OURS = "'flowgpt_preferences' in vars(get_ipython())"


def file_of(lab: Lab) -> Path:
    return lab.settings / "flowgpt_magic" / "settings.jupyterlab-settings"


@contextmanager
def settings(lab: Lab, **values: object) -> Iterator[None]:
    """The server with these settings of the user."""
    file_of(lab).parent.mkdir(exist_ok=True)
    file_of(lab).write_text(json.dumps(values), "utf-8")
    try:
        yield
    finally:
        file_of(lab).unlink()


def run_all(notebook: Notebook, last: int) -> None:
    notebook.page.evaluate("() => window.jupyterapp.commands.execute('notebook:run-all-cells')")
    notebook.finished(last)


@pytest.mark.own_page
def test_the_settings_count_in_cells_that_were_run_before_the_page_was_connected(page: Page, front: Front):
    path = front.lab.write("settings-from-start.ipynb", BARE, "%%flowgpt\nhello there", "%flowgpt set temperature")
    with settings(front.lab, model="echo:messages", temperature=0.7, format="text"):
        notebook = front.open(page, path)
        run_all(notebook, 2)

    expect(notebook.cell(1)).to_contain_text("echo:messages")
    expect(notebook.output(2)).to_contain_text("0.7 (JupyterLab's settings)")


def editor(page: Page) -> Locator:
    """The form of FlowGPT in the settings editor."""
    page.evaluate("() => window.jupyterapp.commands.execute('settingeditor:open', { query: 'FlowGPT' })")
    return page.locator(".jp-SettingsForm").filter(has_text="Format of replies")


def close_editor(page: Page) -> None:
    page.locator(".jp-mod-current .lm-TabBar-tabCloseIcon, .lm-mod-current .lm-TabBar-tabCloseIcon").last.click()


def test_the_editor_has_one_page_that_keeps_no_key_and_changes_running_kernels(page: Page, lab: Lab, open_notebook):
    notebook = open_notebook("%flowgpt set temperature", OURS)
    notebook.run(2)
    expect(notebook.output(2)).to_have_text("False")  # nothing is set, and so nothing was sent

    form = editor(page)
    model, temperature = form.locator("input[id$='_model']"), form.locator("input[id$='_temperature']")
    model.fill(KEY)
    expect(form.get_by_text("must NOT be valid").first).to_be_visible()
    assert page.locator(".jp-PluginList-entry").count() == 1
    model.fill("ecko")
    with page.expect_response(lambda answer: answer.request.method == "PUT" and "flowgpt_magic" in answer.url) as saved:
        temperature.fill("0.7")
    assert KEY not in (saved.value.request.post_data or "") + file_of(lab).read_text("utf-8")
    close_editor(page)
    notebook.run(1)
    expect(notebook.output(1)).to_contain_text("0.7 (JupyterLab's settings)")
    notice = page.get_by_text("did you mean echo?")
    expect(notice).to_have_count(1)
    notice.click()

    form = editor(page)
    form.get_by_role("button", name="Restore to Defaults").click()
    expect(form.locator("input[id$='_temperature']")).to_have_value("")
    close_editor(page)
    notebook.run(1)
    expect(notebook.output(1)).to_contain_text("none (default)")

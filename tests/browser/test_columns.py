"""The replies of several models in JupyterLab: columns, and which of them the conversation continues with."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import nbformat
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import NextNotebook, Notebook, in_each_theme
from tests.browser.panels import OPEN, in_cell

SLOW = "%flowgpt alias slow echo:words -P pace=0.1\n%flowgpt alias broken echo:words -P fail_after=3"
PROMPT = """Why is the **sky** blue?

- Light of *short* waves
- is scattered more: $I \\propto \\lambda^{-4}$

| colour | nm |
|---|---|
| blue | 450 |
| red | 700 |

```python
def scattered(wave: float) -> float:
    return 1 / wave ** 4  # of Rayleigh
```
"""


@pytest.fixture(scope="module", autouse=True)
def aliases_of_this_file(lab) -> Iterator[None]:
    """The aliases that these tests make are in no list of models of other tests."""
    yield
    (lab.configuration / "flowgpt_magic" / "aliases.json").unlink(missing_ok=True)


def columns_of(notebook: Notebook, number: int) -> Locator:
    """The columns in the output of a cell."""
    return notebook.output(number).locator("[role=group]")


def wait_for_columns(page: Page, count: int) -> None:
    """Wait until so many columns stand side by side."""
    page.wait_for_function(
        "count => new Set([...document.querySelectorAll('.jp-OutputArea-output div[style*=inline-block]')]"
        ".map((it) => it.getBoundingClientRect().x)).size === count",
        arg=count,
    )


@contextmanager
def wide(page: Page) -> Iterator[None]:
    """The page with room for three columns; afterwards it is as before."""
    before = page.viewport_size
    page.set_viewport_size({"width": 1500, "height": 900})
    try:
        yield
    finally:
        page.set_viewport_size(before)


@pytest.fixture
def compared(open_notebook) -> Notebook:
    """A notebook with a comparison of three models."""
    notebook = open_notebook(SLOW, f"%%flowgpt -m echo,echo:messages,broken\n{PROMPT}")
    notebook.run(1)
    notebook.run(2)
    return notebook


def test_columns_stand_side_by_side_or_one_below_the_other(compared, page):
    columns = columns_of(compared, 2)
    expect(columns).to_have_count(3)
    expect(columns.nth(1)).to_contain_text("echo:messages")
    expect(columns.nth(2)).to_contain_text("echo was told to fail after 3 chunks.")
    with wide(page):
        wait_for_columns(page, 3)
        for theme in in_each_theme(page):
            found = Axe().run(page, context=".jp-OutputArea-output").response["violations"]
            assert [(it["id"], it["nodes"][0]["html"][:200]) for it in found] == [], theme
        page.set_viewport_size({"width": 620, "height": 900})
        wait_for_columns(page, 1)
    assert compared.cell(2).locator(".flowgpt-line").count() == 0


def test_an_untrusted_notebook_has_columns_too(compared, page):
    compared.save()
    content = nbformat.read(compared.path, as_version=4)
    (output,) = content.cells[2].outputs
    assert output.metadata["flowgpt"]["columns"][0]["name"] == "echo"
    copy = compared.path.with_name(f"untrusted-{compared.path.name}")
    content.cells[0].source = "'another notebook'"
    nbformat.write(content, copy)

    with wide(page):
        NextNotebook(page, compared.lab, copy)
        wait_for_columns(page, 3)


def test_an_interrupt_stops_all_columns(open_notebook):
    notebook = open_notebook(SLOW, f"%%flowgpt -m slow,echo\n{'word ' * 300}")
    notebook.run(1)
    notebook.begin(2)
    columns = columns_of(notebook, 2)
    expect(columns.nth(0)).to_contain_text("word word word")

    notebook.page.keyboard.press("Escape")
    notebook.page.keyboard.press("i")
    notebook.page.keyboard.press("i")
    notebook.finished(2)

    expect(columns.nth(0)).to_contain_text("interrupted")
    expect(columns.nth(1)).not_to_contain_text("interrupted")


def test_a_panel_shows_the_other_replies_and_keeps_one(compared, page):
    page.evaluate("() => window.jupyterapp.commands.execute('notebook:insert-cell-below')")
    compared.cell(3).locator(".cm-content").fill(OPEN)
    panel = in_cell(compared, 3)
    others = panel.turn(1).get_by_role("group", name="Replies of other models")
    expect(panel.button("Keep 3 echo:words")).to_be_enabled()

    others.locator("summary").first.focus()
    page.keyboard.press("Enter")
    expect(others).to_contain_text("user: Why is the sky blue?")
    for theme in in_each_theme(page):
        found = Axe().run(page, context=".flowgpt-panel").response["violations"]
        assert [(it["id"], it["nodes"][0]["html"][:200]) for it in found] == [], theme
    panel.button("Keep 2 echo:messages").press("Enter")

    expect(panel.reply(1)).to_contain_text("user: Why is the sky blue?")
    expect(panel.button("Keep 1 echo:words")).to_be_visible()

"""The panel for everybody: what axe-core finds in each of its states, forced colours, a page at 200 %, the keyboard."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.browser.conftest import in_each_theme
from tests.browser.panels import OPEN, Panel, in_cell

TABLES = """\
## Heading

| a | b |
|---|---|
| 1 | 2 |

Some `code`, **bold**, and $x^2$.

| c | d |
|---|---|
| 3 | 4 |

```python
def f(): return 1
```

```python
def g(): return 2
```
"""
BROKEN = "%flowgpt alias broken openai_compatible:m --endpoint http://127.0.0.1:9/v1"
SLOW = "%config FlowGPT.pace = 60\n%flowgpt new waiting"
NOT_SHOWN = "element => getComputedStyle(element).borderTopStyle === 'none'"


def check(page: Page, state: str) -> None:
    """Axe finds nothing in the panel, in light and in dark colours."""
    for theme in in_each_theme(page):
        found = Axe().run(page, context=".flowgpt-panel")
        violations = [
            (it["id"], [node["html"][:200] for node in it["nodes"][:3]]) for it in found.response["violations"]
        ]
        assert violations == [], f"{state}, {theme}"


def fill_and_check(panel: Panel, text: str) -> None:
    """A list of completions is open."""
    panel.prompt.focus()
    panel.page.keyboard.type(text)
    panel.options.first.wait_for()
    check(panel.page, f"the list after {text}")
    panel.prompt.fill("")


def test_axe_finds_nothing_in_any_state(open_notebook, page):
    elsewhere = open_notebook("%%flowgpt\na zebra in another notebook")
    elsewhere.run(1)
    notebook = open_notebook("table = [1]", OPEN, BROKEN, SLOW)
    notebook.run(1)
    panel = in_cell(notebook, 2)
    panel.root.locator(".fg-example").first.wait_for()
    check(page, "empty")
    fill_and_check(panel, "/")
    fill_and_check(panel, "{ta")

    panel.answered(TABLES)
    panel.answered("another")
    panel.button("Edit and ask again", panel.turn(1)).click()
    check(page, "editing")
    panel.turn(1).get_by_label("The prompt of this turn").press("Enter")
    expect(panel.turn(1).locator(".fg-count")).to_have_text("2/2")
    expect(panel.turn(2)).to_contain_text("asked before the edit above")
    panel.ended()
    check(page, "a turn asked before an edit")

    panel.model.click()
    panel.root.get_by_role("option", name="more").click()
    check(page, "the models")
    page.keyboard.press("Escape")
    panel.button("More").click()
    check(page, "the menu")
    page.keyboard.press("Escape")
    panel.button("System prompt and temperature").click()
    check(page, "the drawer")
    panel.button("Attach a value or a file by name").click()
    panel.root.get_by_label("What to attach").fill("table")
    panel.button("Attach").click()
    panel.button("Search").click()
    panel.root.get_by_label("Words to look for").fill("zebra")
    panel.root.get_by_role("group", name="Found").get_by_role("button").first.wait_for()
    check(page, "the search, and something attached")
    panel.root.get_by_role("group", name="Found").get_by_role("button").first.click()
    expect(panel.button("Back to main")).to_be_focused()
    expect(panel.root.locator(".fg-reading")).to_contain_text("a zebra in another notebook")
    check(page, "another notebook")
    page.keyboard.press("Escape")
    expect(panel.log).to_be_focused()
    panel.button("Search").click()

    notebook.run(3)
    panel.choose_model("broken")
    panel.ask("hello")
    panel.root.locator(".fg-trouble:not([hidden])").first.wait_for()
    panel.ended()
    panel.root.evaluate("root => { root.style.width = '420px' }")
    check(page, "an error, narrow")
    notebook.run(4)
    panel.ask("never comes")
    panel.root.locator(".fg-waiting:not([hidden])").first.wait_for()
    check(page, "waiting")
    panel.send.click()
    panel.ended()


@pytest.fixture
def emulate(page: Page):
    """Another way to see the page; in the end it is as before."""

    def as_seen(**media: str) -> None:
        page.emulate_media(**media)

    yield as_seen
    page.emulate_media(forced_colors="none", reduced_motion="no-preference")
    page.set_viewport_size({"width": 1100, "height": 900})


def test_with_forced_colours_edges_are_seen_and_at_200_percent_nothing_is_cut(
    open_notebook, page, emulate: Callable[..., None]
):
    panel = in_cell(open_notebook(OPEN), 1)
    panel.answered(TABLES)

    emulate(forced_colors="active")
    for edge in (".fg-bubble", ".fg-send", ".fg-tool", ".fg-input", ".fg-code"):
        assert not panel.root.locator(edge).first.evaluate(NOT_SHOWN), edge
    emulate(forced_colors="none")

    page.set_viewport_size({"width": 640, "height": 450})  # 1280 by 900 at 200 %
    expect(panel.reply(1)).to_be_visible()
    assert panel.root.evaluate("root => root.scrollWidth <= root.clientWidth")
    assert panel.log.evaluate("box => box.scrollWidth <= box.clientWidth")


def test_the_field_is_ready_in_an_empty_panel_and_escape_leads_out_of_it(open_notebook, page):
    notebook = open_notebook("numbers = [1, 2, 3]", OPEN)
    notebook.run(1)
    panel = in_cell(notebook, 2)

    expect(panel.prompt).to_be_focused()
    panel.root.locator(".fg-example").filter(has_text="{numbers}").click()
    expect(panel.prompt).to_have_value("What stands out in {numbers}?")
    expect(panel.prompt).to_be_focused()
    page.keyboard.press("Escape")
    expect(panel.log).to_be_focused()
    page.keyboard.press("Escape")
    assert page.evaluate("() => document.activeElement.closest('.flowgpt-panel')") is None
    page.keyboard.press("b")  # the notebook's command mode: a cell below
    expect(notebook.page.locator(".jp-Notebook .jp-CodeCell")).to_have_count(4)

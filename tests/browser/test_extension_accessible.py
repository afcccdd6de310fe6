"""What the extension adds to a page, for everybody: axe-core, the keyboard, forced colours, 200 %, a quiet console."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import ConsoleMessage, Error, Locator, Page, expect

from tests.browser.conftest import Notebook, in_each_theme
from tests.openai_servers import background, speaking

FAILING = "prices = [3, 4]\nprint(sum(prcies))"
REPLY = "The name is mistyped.\n\n```python\nprices = [3, 4]\nprint(sum(prices))\n```\n"
COMMAND = "name => { void window.jupyterapp.commands.execute(`flowgpt_magic:${name}`, {}); }"
SETTINGS = "() => window.jupyterapp.commands.execute('settingeditor:open', { query: 'FlowGPT' })"
OURS = "/extensions/flowgpt_magic/"
PANEL = "Control+Shift+Enter"
SLOW = "%config FlowGPT.model = 'echo'\n%config FlowGPT.pace = 60"
NOT_SHOWN = "element => getComputedStyle(element).borderTopStyle === 'none'"


@pytest.fixture(scope="module")
def corrector() -> Iterator[str]:
    """A cell that lets a server answer that corrects ``FAILING``."""
    with background(speaking(REPLY)) as server:
        base = f"%config FlowGPT.openai_base_url = 'http://127.0.0.1:{server.port}/v1'"
        yield f"{base}\n%config FlowGPT.model = 'openai_compatible:m'"


@pytest.fixture
def said(page: Page) -> Iterator[list[str]]:
    """What our scripts write to the console of this page, and their errors."""
    lines: list[str] = []

    def hear(message: ConsoleMessage) -> None:
        if OURS in message.location["url"]:
            lines.append(message.text)

    def fail(error: Error) -> None:
        if OURS in (error.stack or ""):
            lines.append(str(error))

    page.on("console", hear)
    page.on("pageerror", fail)
    yield lines
    page.remove_listener("console", hear)
    page.remove_listener("pageerror", fail)


def check(page: Page, state: str, *places: str) -> None:
    """Axe finds nothing in these elements, in light and in dark colours."""
    for theme in in_each_theme(page):
        for place in places:
            assert page.locator(place).count(), f"{state}: there is no {place}"
            found = Axe().run(page, context=place).response["violations"]
            violations = [(it["id"], [node["html"][:200] for node in it["nodes"][:3]]) for it in found]
            assert violations == [], f"{state}, {theme}"


def field(page: Page) -> Locator:
    """The field of the panel in the sidebar."""
    return page.locator(".flowgpt-sidebar").get_by_role("textbox", name="Prompt", exact=True)


def tab_to(page: Page, name: str, key: str = "Tab") -> None:
    """Go on to the element of this name, as one does who has only a keyboard."""
    for _ in range(40):
        page.keyboard.press(key)
        if page.evaluate("() => document.activeElement.ariaLabel || document.activeElement.textContent") == name:
            return
    raise AssertionError(f"{key} does not lead to {name}")


def fix(notebook: Notebook, number: int) -> Locator:
    """Run a cell that fails, and ask for its correction with the keyboard."""
    notebook.run(number)
    notebook.page.keyboard.press("Alt+Shift+F")
    view = notebook.cell(number).get_by_role("region", name="Correction of")
    view.get_by_role("button", name="Apply", exact=True).wait_for()
    return view


def test_axe_finds_nothing_in_what_is_added_to_the_page_and_the_console_is_quiet(
    open_notebook: Callable[..., Notebook], page: Page, corrector: str, said: list[str]
):
    notebook = open_notebook(corrector, FAILING, "%%flowgpt\nhello")
    notebook.run(1)
    notebook.run(2)
    check(page, "an error", ".flowgpt-fix-this")
    view = fix(notebook, 2)
    check(page, "a correction", "[role=region][aria-label^='Correction of']")
    view.get_by_role("button", name="Discard").click()

    notebook.cell(3).locator(".cm-content").click()
    page.evaluate(COMMAND, "run-with-model")
    page.locator(".flowgpt-models-list [role=option]").first.wait_for()
    check(page, "the models", ".jp-Dialog-content")
    page.keyboard.press("Escape")
    expect(page.locator(".jp-Dialog")).to_have_count(0)

    page.keyboard.press(PANEL)
    expect(field(page)).to_be_focused()
    page.keyboard.type("in the sidebar")
    page.keyboard.press("Enter")
    page.locator(".flowgpt-sidebar .fg-answer").filter(has_text="mistyped").first.wait_for()
    check(page, "the sidebar", ".flowgpt-sidebar")

    page.evaluate(SETTINGS)
    page.locator(".flowgpt-shortcuts").wait_for()
    expect(page.locator(".flowgpt-shortcuts dt").filter(has_text="Fix Error")).to_be_visible()
    check(page, "the settings", ".flowgpt-shortcuts")
    page.locator(".lm-TabBar-tab.lm-mod-current .lm-TabBar-tabCloseIcon").last.click()
    assert said == []


def test_the_panel_and_a_fix_need_nothing_but_the_keyboard(
    open_notebook: Callable[..., Notebook], page: Page, corrector: str, said: list[str]
):
    notebook = open_notebook(corrector, FAILING, SLOW)
    notebook.cell(1).locator(".cm-content").click()
    page.keyboard.press("Escape")
    page.keyboard.press("Shift+Enter")
    notebook.finished(1)
    page.keyboard.press("Control+Enter")
    notebook.finished(2)

    page.keyboard.press("Alt+Shift+F")
    expect(notebook.cell(2).get_by_role("button", name="Apply", exact=True)).to_be_visible()
    tab_to(page, "Apply and run")
    page.keyboard.press("Enter")
    expect(notebook.output(2)).to_have_text("7")

    page.keyboard.press("Escape")
    page.keyboard.press(PANEL)
    expect(field(page)).to_be_focused()
    tab_to(page, "Attach a value or a file by name", "Shift+Tab")
    page.keyboard.press("Enter")
    page.keyboard.type("prices")
    page.keyboard.press("Enter")
    expect(page.locator(".flowgpt-sidebar .fg-chip")).to_have_text("prices")
    expect(field(page)).to_be_focused()
    page.keyboard.type("what are they?")
    page.keyboard.press("Enter")
    expect(page.locator(".flowgpt-sidebar .fg-answer").filter(has_text="mistyped")).to_be_visible()

    page.keyboard.press(PANEL)
    expect(field(page)).not_to_be_focused()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Control+Enter")
    notebook.finished(3)
    page.keyboard.press(PANEL)
    page.keyboard.type("never comes")
    page.keyboard.press("Enter")
    tab_to(page, "Stop")
    page.keyboard.press("Enter")
    expect(page.locator(".flowgpt-sidebar .fg-send")).to_have_attribute("aria-label", "Send")
    assert said == []


@pytest.fixture
def emulate(page: Page) -> Iterator[Callable[..., None]]:
    """Another way to see the page; in the end it is as before."""
    yield lambda **media: page.emulate_media(**media)
    page.emulate_media(forced_colors="none", reduced_motion="no-preference")
    page.set_viewport_size({"width": 1100, "height": 900})


def test_a_correction_keeps_its_edges_in_forced_colours_is_not_cut_at_200_percent_and_does_not_move(
    open_notebook: Callable[..., Notebook], page: Page, corrector: str, emulate: Callable[..., None]
):
    notebook = open_notebook(corrector, FAILING)
    notebook.run(1)
    emulate(forced_colors="active", reduced_motion="reduce")
    view = fix(notebook, 2)

    assert not view.evaluate(NOT_SHOWN)
    for mark in ("added: ", "removed: "):  # which colours alone do not say
        expect(view.get_by_role("listitem").filter(has_text=mark)).not_to_have_count(0)
    moving = "element => element.getAnimations({ subtree: true }).filter(it => it.playState === 'running').length"
    assert view.evaluate(moving) == 0

    page.evaluate("() => window.jupyterapp.shell.collapseRight()")  # another test may have left the sidebar open
    page.set_viewport_size({"width": 640, "height": 450})  # 1280 by 900 at 200 %
    for name in ("Apply", "Apply and run", "Discard"):
        button = view.get_by_role("button", name=name, exact=True)
        button.scroll_into_view_if_needed()
        expect(button).to_be_in_viewport(ratio=1)

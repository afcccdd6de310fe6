"""Pictures and files in the chat panel, in an output without the extension: pasted, dropped, chosen, sent, shown."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Locator, expect

from tests.browser.conftest import SCREENSHOTS, Lab, Notebook, in_each_theme
from tests.browser.panels import OPEN, Panel
from tests.browser.pictures import SVG, copy, hand_over, paste, png

LOAD = "%load_ext flowgpt_magic"
# The model that answers reads pictures; what it got is printed.
SEES = "from flowgpt_magic.providers.echo import Echo; Echo.supports_images = True"
BLIND = "Echo.supports_images = False"
GOT = """\
from flowgpt_magic import Conversation
from flowgpt_magic.history.current import current_history
turns = [turn for name in current_history().names() for turn in Conversation(name).turns]
print(len(max(turns, key=lambda turn: turn.started).images), "pictures")
"""


@pytest.fixture(scope="module")
def notebook(browser: Browser, lab: Lab) -> Iterator[Notebook]:
    """One notebook with a panel for all tests of this file."""
    context = browser.new_context(viewport={"width": 1100, "height": 900})
    page = context.new_page()
    notebook = Notebook(page, lab, lab.write("pictures.ipynb", LOAD, OPEN, SEES, BLIND, GOT))
    notebook.run(0)
    notebook.run(2)
    yield notebook
    context.close()


@pytest.fixture
def panel(notebook: Notebook, request: pytest.FixtureRequest) -> Iterator[Panel]:
    """A panel with an empty conversation, and nothing typed or attached in it."""
    notebook.page.evaluate("sessionStorage.clear()")
    notebook.run(1)
    panel = Panel(notebook.page)
    conversation = panel.root.get_by_label("Conversation", exact=True).first
    before = conversation.input_value()
    panel.button("New conversation").click()
    expect(conversation).not_to_have_value(before)
    panel.prompt.focus()
    yield panel
    if getattr(request.node, "failed", False):
        SCREENSHOTS.mkdir(exist_ok=True)
        notebook.page.screenshot(path=SCREENSHOTS / f"{request.node.name}.png")


def tray(panel: Panel) -> Locator:
    return panel.root.get_by_role("list", name="Pictures to send").get_by_role("listitem")


def ready(panel: Panel, count: int) -> None:
    """So many pictures are with the kernel."""
    expect(tray(panel)).to_have_count(count)
    expect(panel.root.locator(".fg-picture[aria-busy]")).to_have_count(0)


def test_a_pasted_picture_goes_with_the_prompt_and_its_turn_shows_it_large(panel, notebook):
    paste(notebook.page, png(60, 40))
    ready(panel, 1)
    expect(panel.status).to_have_text(re.compile("^Picture added: "))
    expect(tray(panel)).to_contain_text("60 \u00d7 40")
    panel.root.get_by_label(re.compile("^Description of ")).fill("a red field")
    panel.answered("what is this?")
    ready(panel, 0)
    notebook.run(4)
    expect(notebook.output(4)).to_have_text("1 pictures\n")

    small = panel.turn(1).get_by_role("button", name="Show the picture large: a red field")
    expect(small.locator("img")).to_have_js_property("naturalWidth", 60)
    small.click()
    large = panel.root.get_by_role("dialog", name="a red field")
    expect(large.get_by_role("img", name="a red field")).to_have_js_property("naturalWidth", 60)
    expect(panel.button("Close the picture")).to_be_focused()
    notebook.page.keyboard.press("Escape")
    expect(large).to_be_hidden()
    expect(small).to_be_focused()


def test_what_is_dropped_is_taken_or_refused_with_a_reason_and_nothing_is_sent_of_it(panel, notebook):
    files = {
        "one.png": png(),
        "two.png": png(20, 20, (0, 0, 200)),
        "logo.svg": SVG,
        "empty.png": b"",
        "not.png": b"GIF",
    }
    assert hand_over(panel.log, "drop", files, folders=["photos"])
    ready(panel, 2)
    for reason in (
        "photos is a folder",
        "logo.svg is an SVG drawing",
        "empty.png is empty",
        "not.png is not a picture",
    ):
        expect(panel.note).to_contain_text(reason)

    hand_over(panel.prompt, "drop", {"data.csv": b"a,b\n1,2\n"})
    expect(panel.root.get_by_role("group", name="Attached")).to_contain_text("data.csv")
    with notebook.page.expect_file_chooser() as choosing:
        panel.button("Attach a picture or a file").click()
    choosing.value.set_files({"name": "three.png", "mimeType": "image/png", "buffer": png(9, 9)})
    ready(panel, 3)


def test_pasted_text_stays_text_and_copied_files_are_pictures(panel, notebook):
    copy(notebook.page, image_png=png(), text_plain=b"a,b")
    notebook.page.keyboard.press("Control+V")
    expect(panel.prompt).to_have_value("a,b")
    expect(panel.hint).to_contain_text("the text was pasted")
    ready(panel, 0)

    hand_over(panel.prompt, "paste", {"cat.png": png()}, text="/home/me/cat.png")
    ready(panel, 1)
    expect(panel.prompt).to_have_value("a,b")


def test_pictures_are_kept_with_the_draft_and_removed_with_the_keyboard(panel, notebook):
    conversation = panel.root.get_by_label("Conversation", exact=True).first
    panel.prompt.fill("draft")
    hand_over(panel.prompt, "drop", {"one.png": png(), "two.png": png(20, 20)})
    ready(panel, 2)
    panel.root.get_by_label("Description of one").fill("first")
    one = conversation.input_value()
    panel.button("New conversation").click()
    expect(conversation).not_to_have_value(one)
    ready(panel, 2)  # they come along with the text
    notebook.run(1)
    reopened = Panel(notebook.page)
    ready(reopened, 2)
    expect(reopened.root.get_by_label("Description of one")).to_have_value("first")
    expect(tray(reopened).first.locator("img")).to_have_js_property("naturalWidth", 30)

    remove = reopened.root.get_by_role("button", name=re.compile("^Remove "))
    remove.first.focus()
    notebook.page.keyboard.press("Delete")
    expect(reopened.status).to_have_text(re.compile("^Picture removed: one"))
    expect(remove).to_have_count(1)
    expect(remove).to_be_focused()
    notebook.page.keyboard.press("Enter")
    expect(reopened.prompt).to_be_focused()


def test_an_edited_turn_keeps_its_pictures_and_takes_others(panel, notebook):
    paste(notebook.page, png(60, 40))
    panel.answered("what is this?")
    panel.button("Edit and ask again", panel.turn(1)).click()
    field = panel.turn(1).get_by_label("The prompt of this turn")
    field.focus()
    paste(notebook.page, png(20, 20))
    ready(panel, 2)
    field.fill("and these?")
    field.press("Enter")
    panel.ended()
    expect(panel.asked(1)).to_have_text("and these?")
    shown = panel.turn(1).get_by_role("button", name=re.compile("^Show the picture large"))
    expect(shown).to_have_count(2)
    panel.button("Ask again", panel.turn(1)).click()
    expect(panel.turn(1).locator(".fg-count")).to_have_text("3/3")
    panel.ended()
    notebook.run(4)
    expect(notebook.output(4)).to_have_text("2 pictures\n")
    expect(shown).to_have_count(2)


def test_a_model_that_reads_text_only_is_named_before_anything_is_sent(panel, notebook):
    notebook.run(3)
    try:
        hand_over(panel.prompt, "drop", {"one.png": png()})
        expect(panel.note).to_contain_text("echo reads text only")
        ready(panel, 0)
    finally:
        notebook.run(2)


def test_a_large_photo_does_not_hold_up_the_page(panel, notebook, tmp_path):
    photo = tmp_path / "photo.png"
    photo.write_bytes(png(12000, 8000))
    notebook.page.evaluate(
        "() => { window.longest = 0; new PerformanceObserver((list) => list.getEntries().forEach("
        "({ duration }) => { window.longest = Math.max(window.longest, duration); })).observe({ type: 'longtask' }); }"
    )
    panel.root.locator("input[type=file]").first.set_input_files(photo)
    ready(panel, 1)
    expect(tray(panel)).to_contain_text("1568 \u00d7 1045")
    assert notebook.page.evaluate("window.longest") < 500  # milliseconds, on a machine that does other things too


def test_axe_finds_nothing_and_the_tray_fits_a_sidebar(panel, notebook):
    page = notebook.page
    paste(page, png(60, 40))
    panel.answered("what is this?")
    hand_over(panel.prompt, "drop", {"a long name of a photo from the holidays.png": png(), "two.png": png(20, 40)})
    ready(panel, 2)
    for width in ("100%", "260px"):
        panel.root.evaluate("(root, width) => { root.style.width = width; }", width)
        for theme in in_each_theme(page):
            found = Axe().run(page, context=".flowgpt-panel")
            assert [violation["id"] for violation in found.response["violations"]] == [], f"{width}, {theme}"
        assert panel.root.evaluate("root => root.scrollWidth <= root.clientWidth")
    panel.root.evaluate("root => { root.style.width = ''; }")

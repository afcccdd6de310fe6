"""Pictures and files in prompt cells: pasted, dropped and chosen; in the text, in the metadata, in the tray."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import NextNotebook, Notebook, in_each_theme
from tests.browser.pictures import SVG, copy, hand_over, paste, png, size_of

REFERENCE = re.compile(r"!\[(.*?)\]\(attachment:([\w-]+\.png)\)")
FRONTS = pytest.mark.parametrize("front", ["JupyterLab", "JupyterLab 4.2", "Notebook 7"], indirect=True)
CELL = """
number => {
  const { sharedModel } = window.jupyterapp.shell.currentWidget.content.widgets[number].model;
  return [sharedModel.getSource(), sharedModel.getMetadata("flowgpt_magic")?.attachments ?? {}];
}
"""


SEES = "from flowgpt_magic.providers.echo import Echo; Echo.supports_images = True"
GOT = "from flowgpt_magic import Conversation; print(len(Conversation().turns[-1].images), 'pictures')"
MAKE_READ_ONLY = "() => { window.jupyterapp.shell.currentWidget.content.model.readOnly = true; }"


def state(page: Page, number: int) -> tuple[str, dict[str, bytes]]:
    """The text of a cell, and the pictures in its metadata."""
    source, attachments = page.evaluate(CELL, number)
    return source, {name: base64.b64decode(bundle["image/png"]) for name, bundle in attachments.items()}


def open_seeing(open_one: Callable[..., Notebook], *cells: str) -> Notebook:
    """A notebook with these cells; the model that answers reads pictures."""
    notebook = open_one(*cells, SEES)
    notebook.run(len(cells) + 1)
    return notebook


def tray(notebook: Notebook, number: int) -> Locator:
    return notebook.cell(number).locator(".flowgpt-pictures")


def begin(notebook: Notebook, number: int) -> None:
    """The cursor is at the end of a cell."""
    notebook.cell(number).locator(".cm-content").click()
    notebook.page.keyboard.press("Control+End")


def kept_matches_text(page: Page, number: int) -> bool:
    source, attachments = state(page, number)
    return {name for _text, name in REFERENCE.findall(source)} == set(attachments)


@FRONTS
def test_a_pasted_picture_is_in_the_text_and_in_the_metadata_and_one_undo_takes_both_back(open_in_front, page):
    notebook = open_seeing(open_in_front, "%%flowgpt\nwhat is this?", "1 + 1")
    begin(notebook, 1)
    paste(page, png(text="secret"))
    rows = tray(notebook, 1).get_by_role("listitem")
    expect(rows).to_have_count(1)
    source, attachments = state(page, 1)
    [(description, name)] = REFERENCE.findall(source)
    assert source == f"%%flowgpt\nwhat is this?![](attachment:{name})"
    assert description == ""
    assert list(attachments) == [name]
    assert size_of(attachments[name]) == (30, 20)
    assert b"secret" not in attachments[name]

    page.keyboard.type(" tell me")
    page.keyboard.press("Control+z")
    page.keyboard.press("Control+z")
    expect(rows).to_have_count(0)
    assert state(page, 1) == ("%%flowgpt\nwhat is this?", {})
    page.keyboard.press("Control+Shift+z")
    expect(rows).to_have_count(1)
    assert state(page, 1)[1] == attachments


def rows(notebook: Notebook, number: int) -> Locator:
    return tray(notebook, number).get_by_role("listitem")


def said(notebook: Notebook, number: int) -> Locator:
    return tray(notebook, number).get_by_role("status")


def test_dropped_pictures_are_described_removed_and_sent(open_notebook, page):
    notebook = open_notebook("%%flowgpt", SEES, GOT, "1 + 1")
    notebook.run(2)
    editor = notebook.cell(1).locator(".cm-content")
    files = {"cat.png": png(), "dog.png": png(20, 20), "logo.svg": SVG}
    assert hand_over(editor, "drop", files, folders=["photos"])
    expect(rows(notebook, 1)).to_have_count(2)
    expect(said(notebook, 1)).to_contain_text("logo.svg is an SVG drawing")
    source, attachments = state(page, 1)
    assert re.fullmatch(r"%%flowgpt\n!\[\]\(attachment:cat-\w+\.png\)\n!\[\]\(attachment:dog-\w+\.png\)", source)
    assert len(attachments) == 2

    tray(notebook, 1).get_by_label("Description of cat").fill("my [cat]")
    expect(editor).to_contain_text("![my \\[cat\\]](attachment:cat-")
    notebook.run(1)
    notebook.run(3)
    expect(notebook.output(3)).to_have_text("2 pictures\n")
    tray(notebook, 1).get_by_role("button", name="Remove dog").press("Delete")
    expect(rows(notebook, 1)).to_have_count(1)
    expect(tray(notebook, 1).get_by_role("button", name="Remove cat")).to_be_focused()
    assert kept_matches_text(page, 1)
    assert "dog" not in state(page, 1)[0]

    begin(notebook, 4)
    paste(page, png())
    page.keyboard.type("2")  # what comes before it has been handled
    assert state(page, 4) == ("1 + 12", {})


def test_pictures_go_where_their_text_goes_and_nothing_is_left_behind(open_notebook, page):
    notebook = open_seeing(open_notebook, "%%flowgpt\n", "%%flowgpt\n", "pass")
    begin(notebook, 1)
    paste(page, png())
    expect(rows(notebook, 1)).to_have_count(1)
    name = next(iter(state(page, 1)[1]))
    copied = state(page, 1)[0]

    page.keyboard.press("Control+a")
    page.keyboard.press("Delete")
    page.keyboard.type("%%flowgpt")
    expect(rows(notebook, 1)).to_have_count(0)
    page.wait_for_function(
        "() => !window.jupyterapp.shell.currentWidget.content.widgets[1].model.sharedModel.getMetadata('flowgpt_magic')"
    )
    begin(notebook, 2)
    copy(page, text_plain=copied.partition("\n")[2].encode())
    page.keyboard.press("Control+V")
    expect(rows(notebook, 2)).to_have_count(1)
    page.wait_for_function(
        "() => window.jupyterapp.shell.currentWidget.content.widgets[2].model.sharedModel.getMetadata('flowgpt_magic')"
    )
    assert list(state(page, 2)[1]) == [name]

    for command in ("copy-cell", "paste-cell-below"):
        page.evaluate("command => window.jupyterapp.commands.execute(`notebook:${command}`)", command)
    expect(rows(notebook, 3)).to_have_count(1)
    assert list(state(page, 3)[1]) == [name]
    saved = notebook.save()
    assert list(saved.cells[3].metadata["flowgpt_magic"]["attachments"]) == [name]
    assert "flowgpt_magic" not in saved.cells[1].metadata


def test_a_notebook_that_is_opened_gives_its_pictures_to_the_kernel(open_notebook, page, lab):
    first = open_seeing(open_notebook, "%%flowgpt\n")
    begin(first, 1)
    paste(page, png(7, 7))
    expect(rows(first, 1)).to_have_count(1)
    first.save()
    lab.folder.joinpath("copied.ipynb").write_text(first.path.read_text("utf-8"))

    notebook = NextNotebook(page, lab, lab.folder / "copied.ipynb")
    expect(rows(notebook, 1).locator("img")).to_have_js_property("naturalWidth", 7)
    notebook.run(0)
    notebook.run(2)
    notebook.run(1)
    expect(notebook.cell(1)).to_contain_text("1 picture")


@FRONTS
def test_files_of_the_file_browser_are_dropped_into_a_prompt(open_in_front, page, front):
    if front.notebook7:
        pytest.skip("Notebook 7 has no file browser beside a notebook")
    front.lab.folder.joinpath("seen.png").write_bytes(png(50, 40))
    front.lab.folder.joinpath("data.csv").write_text("a,b\n1,2\n")
    notebook = open_seeing(open_in_front, "%%flowgpt\nwhat?")
    page.evaluate("() => window.jupyterapp.commands.execute('filebrowser:activate')")
    page.evaluate("() => window.jupyterapp.commands.execute('filebrowser:refresh')")
    expect(page.locator(".jp-DirListing-item").filter(has_text="seen.png")).to_be_visible()
    for name in ("seen.png", "data.csv"):
        drag(page, page.locator(".jp-DirListing-item").filter(has_text=name), notebook.cell(1).locator(".cm-content"))
        expect(notebook.cell(1).locator(".cm-content")).to_contain_text(name.partition(".")[0])
    expect(rows(notebook, 1)).to_have_count(1)
    source, attachments = state(page, 1)
    assert source.startswith("%%flowgpt -a ./data.csv\n")
    assert [size_of(picture) for picture in attachments.values()] == [(50, 40)]


def drag(page: Page, source: Locator, target: Locator) -> None:
    """Drag with the mouse, as JupyterLab's own drags need it."""
    source.click()
    expect(source).to_have_class(re.compile("jp-mod-selected"))
    start, end = source.bounding_box(), target.bounding_box()
    page.mouse.move(start["x"] + 20, start["y"] + start["height"] / 2)
    page.mouse.down()
    page.mouse.move(start["x"] + 60, start["y"] + 20, steps=5)
    page.mouse.move(end["x"] + 40, end["y"] + end["height"] / 2, steps=10)
    page.mouse.up()


def test_a_command_chooses_files_and_a_read_only_notebook_takes_none(open_notebook, page):
    notebook = open_seeing(open_notebook, "%%flowgpt\nwhat?")
    begin(notebook, 1)
    with page.expect_file_chooser() as choosing:
        page.evaluate("() => { window.jupyterapp.commands.execute('flowgpt_magic:attach'); }")
    choosing.value.set_files({"name": "chosen.png", "mimeType": "image/png", "buffer": png(9, 9)})
    expect(rows(notebook, 1)).to_have_count(1)
    for theme in in_each_theme(page):
        found = Axe().run(page, context=".flowgpt-pictures")
        assert [violation["id"] for violation in found.response["violations"]] == [], theme

    before = state(page, 1)
    page.evaluate(MAKE_READ_ONLY)
    begin(notebook, 1)
    paste(page, png(8, 8))
    expect(said(notebook, 1)).to_contain_text("This notebook is read-only")
    assert state(page, 1) == before

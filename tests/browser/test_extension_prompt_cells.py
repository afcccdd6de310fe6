"""Prompt cells are prose to the editor of JupyterLab and Notebook, and all other cells stay as they are."""

from __future__ import annotations

import re

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Locator, expect

from tests.browser.conftest import Notebook, in_each_theme

SOURCE = "n => window.jupyterapp.shell.currentWidget.content.widgets[n].model.sharedModel.getSource()"
CHANGE = """([n, from, to, text]) =>
    window.jupyterapp.shell.currentWidget.content.widgets[n].model.sharedModel.updateSource(from, to, text)"""
WATCH = """kind => {  // `answered` waits for a message of this kind
  const { kernel } = window.jupyterapp.shell.currentWidget.sessionContext.session;
  window.answered = new Promise((run) => {
    const hear = (_kernel, { msg }) => {
      if (msg.header.msg_type !== kind) return;
      kernel.anyMessage.disconnect(hear);
      setTimeout(run, 100);  // until what it brought is shown
    };
    kernel.anyMessage.connect(hear);
  });
}"""
COMMAND = "name => window.jupyterapp.commands.execute(name)"
PROSE = re.compile("cm-lineWrapping")


def editor(notebook: Notebook, number: int) -> Locator:
    return notebook.cell(number).locator(".cm-content")


def source(notebook: Notebook, number: int) -> str:
    return str(notebook.page.evaluate(SOURCE, number))


def anew(notebook: Notebook, number: int, text: str = "") -> Locator:
    """The editor of a cell, with nothing in it but the typed text."""
    place = editor(notebook, number)
    place.click()
    notebook.page.keyboard.press("Control+a")
    notebook.page.keyboard.press("Delete")
    notebook.page.keyboard.type(text)
    return place


def expect_prose(place: Locator) -> None:
    expect(place).to_have_attribute("data-language", "prompt")
    expect(place).to_have_attribute("aria-label", "Prompt")
    expect(place).to_have_class(PROSE)


def expect_python(place: Locator) -> None:
    expect(place).to_have_attribute("data-language", "python")
    expect(place).not_to_have_attribute("aria-label", "Prompt")
    expect(place).not_to_have_class(PROSE)


def marked(place: Locator, kind: str) -> list[str]:
    return place.locator(f".fg-prompt-{kind}").all_inner_texts()


def test_a_cell_is_prose_as_soon_as_its_first_line_is_typed_and_code_again_without_it(open_in_front):
    notebook = open_in_front("", "name = 'Ada'")
    keyboard = notebook.page.keyboard
    place = anew(notebook, 1, "%%flowgp")
    expect_python(place)
    keyboard.type("t -m echo -t 0.5")
    expect_prose(place)
    keyboard.press("Enter")
    keyboard.type("**Who** is (it's {name} or {nosuch}")
    keyboard.press("Enter")
    keyboard.type("if so:")
    keyboard.press("Enter")
    keyboard.type("tell `me`")

    text = "%%flowgpt -m echo -t 0.5\n**Who** is (it's {name} or {nosuch}\nif so:\ntell `me`"
    assert source(notebook, 1) == text  # nothing was indented or closed
    assert marked(place, "command") == ["%%flowgpt"]
    assert marked(place, "option") == ["-m", "-t"]
    assert (marked(place, "model"), marked(place, "value")) == (["echo"], ["0.5"])
    expect(place.locator(".fg-prompt-missing")).to_have_count(2)
    notebook.run(2)
    expect(place.locator(".fg-prompt-missing")).to_have_text(["{nosuch}"])
    expect(place.locator(".fg-prompt-missing")).to_have_attribute("title", "not defined in the kernel")
    expect(place.locator(".fg-prompt-reference")).to_have_text(["{name}"])
    expect(place).to_have_attribute("aria-description", "nosuch: not defined in the kernel")

    place.click()
    keyboard.press("Control+Home")
    keyboard.press("Delete")
    expect_python(place)
    assert not marked(place, "command")
    keyboard.press("Control+z")
    expect_prose(place)
    keyboard.press("Control+Shift+z")
    expect_python(place)
    keyboard.type("%")
    expect_prose(place)
    assert source(notebook, 1) == text


def test_a_fence_is_coloured_in_its_own_language_and_code_has_no_wrong_names(open_notebook):
    notebook = open_notebook("%%flowgpt\n# One\n\n```python\ndef f({x}): {class}\n```\n`{code}` {print} {In}", "1")
    place = editor(notebook, 1)
    notebook.run(2)

    expect(place.locator(".fg-prompt-reference")).to_have_text(["{In}"])
    assert not marked(place, "missing")
    keyword = place.locator(".cm-line", has_text="def f").locator("span").first
    expect(keyword).to_have_text("def")
    plain = place.locator(".cm-line", has_text="def f").evaluate("line => getComputedStyle(line).color")
    expect(keyword).not_to_have_css("color", plain)


def test_a_change_from_elsewhere_switches_the_editor_too_and_keeps_the_selection(open_notebook, page):
    notebook = open_notebook("one\ntwo three\n")
    place = editor(notebook, 1)
    place.click()
    page.keyboard.press("Control+Home")
    for key in ("ArrowDown", "Shift+End"):
        page.keyboard.press(key)
    selected = "() => getSelection().toString()"

    page.evaluate(CHANGE, [1, 0, 0, "%%flowgpt\n"])
    expect_prose(place)
    assert page.evaluate(selected) == "two three"
    page.evaluate(CHANGE, [1, 0, 2, ""])
    expect_python(place)
    assert page.evaluate(selected) == "two three"


def test_a_composition_goes_on_while_the_editor_becomes_one_of_prose(open_notebook, page):
    notebook = open_notebook("")
    place = anew(notebook, 1, "flowgpt {name}")
    page.keyboard.press("Control+Home")
    method = page.context.new_cdp_session(page)
    for text in ("%", "%%"):
        method.send("Input.imeSetComposition", {"selectionStart": len(text), "selectionEnd": len(text), "text": text})
    expect_prose(place)
    method.send("Input.insertText", {"text": "%%"})
    page.keyboard.press("Control+End")
    for text in ("k", "か", "かん"):
        method.send("Input.imeSetComposition", {"selectionStart": len(text), "selectionEnd": len(text), "text": text})
    method.send("Input.insertText", {"text": "漢"})

    assert source(notebook, 1) == "%%flowgpt {name}漢"


def test_tab_offers_what_the_kernel_does_and_no_piece_of_the_prose(open_notebook, page):
    notebook = open_notebook("", "name = 1")
    notebook.run(2)
    offered = page.locator(".jp-Completer:visible .jp-Completer-match")
    anew(notebook, 1)
    page.keyboard.insert_text("%%flowgpt\n\n**bold** words\n\n# more\n\nsay {na")
    page.keyboard.press("Tab")
    expect(offered).to_have_text(["name"])
    page.keyboard.press("Enter")
    page.keyboard.type("} or im")
    page.evaluate(WATCH, "complete_reply")
    page.keyboard.press("Tab")
    page.evaluate("() => window.answered")

    expect(offered).to_have_count(0)
    assert source(notebook, 1).endswith("say {name} or im")


def test_another_cell_and_one_that_is_a_prompt_no_more_look_as_without_the_extension(open_notebook, page):
    notebook = open_notebook("x = (1, 'two')", "x = (1, 'two')", "print(x)")
    place = editor(notebook, 1)
    place.click()
    page.keyboard.press("Control+Home")
    for _ in range(100):
        page.evaluate(CHANGE, [1, 0, 0, "%%flowgpt\n"])
        page.evaluate(CHANGE, [1, 0, 10, ""])
    expect_python(place)
    notebook.cell(3).locator(".cm-content").click()  # both lose the focus
    looks = [
        notebook.cell(number)
        .locator(".cm-editor")
        .evaluate(
            'editor => editor.outerHTML.replace(/aria-activedescendant=\\S+|style="[^"]*"|aria-\\w+="cm-\\S+"/g, \'\')'
        )
        for number in (1, 2)
    ]

    assert looks[0] == looks[1]
    assert "fg-" not in looks[1]


def test_nothing_of_it_is_saved_and_cells_can_be_split_merged_copied_and_converted(open_notebook, page):
    notebook = open_notebook("%%flowgpt -m echo\nHello\n\nworld")
    place = editor(notebook, 1)
    place.click()
    page.keyboard.press("Control+Home")
    for _ in range(2):
        page.keyboard.press("ArrowDown")
    page.evaluate(COMMAND, "notebook:split-cell-at-cursor")
    expect(page.locator(".jp-Notebook .jp-CodeCell")).to_have_count(3)
    expect_prose(editor(notebook, 1))
    expect_python(editor(notebook, 2))
    page.evaluate(COMMAND, "notebook:merge-cell-above")
    expect(page.locator(".jp-Notebook .jp-CodeCell")).to_have_count(2)
    expect_prose(editor(notebook, 1))
    page.evaluate(COMMAND, "notebook:change-cell-to-markdown")
    expect(page.locator(".jp-Notebook .jp-CodeCell")).to_have_count(1)
    page.evaluate(COMMAND, "notebook:change-cell-to-code")
    expect_prose(editor(notebook, 1))
    page.evaluate(COMMAND, "notebook:copy-cell")
    page.evaluate(COMMAND, "notebook:paste-cell-below")
    expect_prose(editor(notebook, 2))

    cells = notebook.save().cells
    assert not any(set(cell.metadata) - {"trusted"} for cell in cells)
    assert cells[1].source == cells[2].source
    assert cells[1].source.startswith("%%flowgpt -m echo\nHello")


def test_the_other_magic_is_ours_when_the_kernel_says_so(open_notebook):
    notebook = open_notebook("%%ai\nHello", "%flowgpt ai-alias on", "%flowgpt ai-alias off")
    place = editor(notebook, 1)
    expect_python(place)
    notebook.run(2)
    expect_prose(place)
    notebook.run(3)
    expect_python(place)


@pytest.mark.own_page
def test_without_the_package_in_the_kernel_a_prompt_is_prose_and_no_name_is_wrong(lab, page):
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text) if message.type in ("error", "warning") else None)
    notebook = Notebook(page, lab, lab.write("without-package.ipynb", "x = 1", "%%flowgpt\nSay {nosuch}."))
    notebook.run(0)
    place = editor(notebook, 1)
    expect_prose(place)
    expect(place.locator(".fg-prompt-reference")).to_have_text(["{nosuch}"])
    page.evaluate("() => window.jupyterapp.shell.currentWidget.sessionContext.shutdown()")
    page.get_by_text("No Kernel").first.wait_for()

    expect(place.locator(".fg-prompt-reference")).to_have_text(["{nosuch}"])
    assert not [text for text in said if "flowgpt" in text and "to activate" not in text]  # a slow machine is Lab's


def test_axe_finds_nothing_in_a_prompt_cell_in_light_and_dark(open_notebook, page):
    notebook = open_notebook("%%flowgpt -m echo -t 0.5 --system 'be brief'\n# One\n\nSay {nosuch} and {In}.", "1")
    notebook.run(2)
    editor(notebook, 1).locator(".fg-prompt-missing").wait_for()
    for theme in in_each_theme(page):
        rules = {"runOnly": ["color-contrast", "aria-valid-attr", "aria-allowed-attr", "aria-input-field-name"]}
        result = Axe().run(page, context=".fg-prompt-editor", options=rules)
        assert not result.response["violations"], (theme, result.generate_report())

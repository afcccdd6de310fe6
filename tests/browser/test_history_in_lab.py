"""The history in JupyterLab: cells run, run again and edited, the kernel restarted, the notebook renamed."""

from __future__ import annotations

from playwright.sync_api import Page

from tests.browser.conftest import Lab, Notebook, in_each_theme


def choose(page: Page, menu: str, item: str) -> None:
    page.get_by_role("menuitem", name=menu, exact=True).click()
    page.locator(".lm-Menu-itemLabel").get_by_text(item, exact=True).click()


def restart(notebook: Notebook) -> None:
    """Restart the kernel, and load the extension again."""
    page = notebook.page
    choose(page, "Kernel", "Restart Kernel…")
    page.locator(".jp-Dialog .jp-mod-accept").click()
    page.locator(".jp-Dialog").wait_for(state="detached")
    notebook.wait_for_idle()
    notebook.run(0)


def rename(notebook: Notebook, name: str) -> None:
    page = notebook.page
    choose(page, "File", "Rename Notebook…")
    page.locator(".jp-Dialog input").fill(name)
    page.locator(".jp-Dialog .jp-mod-accept").click()
    page.locator(".jp-Dialog").wait_for(state="detached")
    page.locator(".lm-TabBar-tabLabel", has_text=name).first.wait_for()
    notebook.path = notebook.path.with_name(name)


def edit(notebook: Notebook, number: int, text: str) -> None:
    notebook.cell(number).locator(".cm-content").click()
    notebook.page.keyboard.press("Control+a")
    notebook.page.keyboard.type(text)


def turns(notebook: Notebook, number: int) -> list[list[str]]:
    """Prompt and reply of each turn, as the table in the output of a cell shows them."""
    notebook.run(number)
    rows = notebook.output(number).locator("tbody tr")
    return [row.locator("td").all_inner_texts()[1:3] for row in rows.all()]


def test_the_history_stays_in_step_with_the_cells(open_notebook):
    notebook = open_notebook("%%flowgpt\none", "%%flowgpt\ntwo", "%flowgpt history")
    notebook.run(1)
    notebook.run(2)
    assert turns(notebook, 3) == [["one", "one"], ["two", "two"]]

    notebook.run(1)  # run again
    assert turns(notebook, 3) == [["one", "one"], ["two", "two"]]

    edit(notebook, 1, "%%flowgpt\nother one")
    notebook.run(1)
    assert turns(notebook, 3) == [["other one", "other one"], ["two", "two"]]

    notebook.save()
    restart(notebook)
    assert turns(notebook, 3) == [["other one", "other one"], ["two", "two"]]

    rename(notebook, f"renamed-{notebook.path.name}")
    notebook.run(2)
    assert turns(notebook, 3) == [["other one", "other one"], ["two", "two"]]

    restart(notebook)
    assert turns(notebook, 3) == [["other one", "other one"], ["two", "two"]]


def test_a_new_notebook_under_an_old_name_begins_anew(open_notebook, page, lab: Lab):
    first = open_notebook("%%flowgpt\nsecret", "%flowgpt history")
    first.run(1)
    first.save()
    old = first.path.name
    rename(first, f"renamed-{old}")

    lab.write(old, "%load_ext flowgpt_magic", "%%flowgpt echo:messages\nhello", "%flowgpt history")
    second = Notebook(page, lab, lab.folder / old)
    second.run(0)
    second.run(1)

    assert second.output(1).first.inner_text().startswith("user: hello")
    assert [prompt for prompt, _reply in turns(second, 2)] == ["hello"]


def test_tables_and_whole_turns_look_right(open_notebook, page):
    notebook = open_notebook(
        "%%flowgpt\nWhat is **bold** & <b>?", "%flowgpt history", "%flowgpt show 1", "%flowgpt", "%flowgpt search bold"
    )
    for number in range(1, 6):
        notebook.run(number)

    for _theme in in_each_theme(page):
        row = notebook.output(2).locator("tbody tr").first.locator("td")
        assert row.nth(1).inner_text() == "What is **bold** & <b>?"
        assert notebook.output(3).locator("blockquote strong").inner_text() == "bold"
        assert "main, 1 turn" in notebook.output(4).locator("table").inner_text()
        assert notebook.output(5).locator("tbody tr").count() >= 1

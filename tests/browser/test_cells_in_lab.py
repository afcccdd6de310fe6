"""``%%flowgpt`` cells as a user sees them in JupyterLab."""

from __future__ import annotations

import json

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import in_each_theme
from tests.payloads import PAYLOADS
from tests.xss_payloads import NAMED

EVERYTHING = [*PAYLOADS, *NAMED.values()]

MARKDOWN = """\
## A heading

It costs $5 and $7, **bold**, `code <b>`, and \\(e^{i\\pi} + 1 = 0\\).

- one
- two

| a | b |
|---|---|
| 1 | 2 |

```python
def reverse_string(text):
    return text[::-1]
```
"""


def test_a_reply_is_seen_while_it_arrives_and_is_one_output_at_the_end(open_notebook):
    notebook = open_notebook("%config FlowGPT.pace = 0.03", "%%flowgpt\n" + "many words here\n\n" * 60)
    notebook.run(1)

    notebook.start(2)
    notebook.output(2).first.get_by_text("many").first.wait_for()
    early = notebook.cell(2).locator(".jp-InputPrompt").inner_text()
    notebook.finished(2)

    assert early == "[*]:"
    assert notebook.output(2).count() == 1
    assert notebook.output(2).inner_text().count("many words here") == 60


def test_markdown_mathematics_money_and_code_look_right(open_notebook, page):
    notebook = open_notebook(f"%%flowgpt\n{MARKDOWN}")

    notebook.run(1)
    output = notebook.output(1)
    output.locator("mjx-container").first.wait_for()

    for _theme in in_each_theme(page):
        assert "It costs $5 and $7" in output.inner_text()
        assert output.locator("h2").inner_text().startswith("A heading")
        assert output.locator("code", has_text="code <b>").count() == 1
        assert output.locator("mjx-container").count() == 1
        assert output.locator("table td").count() == 2
        assert output.locator("pre").inner_text().startswith("def reverse_string")
        assert "echo:words" in output.locator("summary small").inner_text()


@pytest.mark.own_page
def test_no_reply_runs_a_script_or_fetches_anything(open_notebook, page):
    """Every payload, as the whole reply and as a growing one, in an output that JupyterLab trusts."""
    asked: list[str] = []
    dialogs: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
    one_by_one = (
        f"import json\nfrom IPython import get_ipython\nfor payload in json.loads({json.dumps(EVERYTHING)!r}):\n"
        "    get_ipython().run_line_magic('flowgpt', '-- ' + payload)\n"
    )
    together = "\n\n".join(EVERYTHING).encode("utf-8", "replace").decode()  # a file cannot hold half a surrogate pair
    notebook = open_notebook(one_by_one, f"%%flowgpt\n{together}")
    page.evaluate("() => { window.ran = []; window.alert = window.pwned = (...given) => window.ran.push(given); }")
    page.evaluate("() => pwned('seen')")
    seen = page.evaluate("() => window.ran.pop()")
    asked.clear()

    notebook.run(1)
    notebook.run(2)
    notebook.output(2).first.scroll_into_view_if_needed()
    page.mouse.move(300, 400)

    foreign = [url for url in asked if not url.startswith((notebook.lab.url, notebook.lab.url.replace("http", "ws")))]
    assert seen == ["seen"]
    assert page.evaluate("() => window.ran") == []
    assert dialogs == []
    assert foreign == []
    for element in ("script", "iframe", "img", "object", "embed", "style", "link", "form", "svg:not([data-icon])"):
        assert notebook.output(2).locator(element).count() == 0, element


FORMULAS = "".join(
    f"Paragraph {n} has $x_{{{n}}}$ and {'some words ' * 30}.\n\n$$\ny_{{{n}}} = x^{{{n}}}\n$$\n\n" for n in range(14)
)
KEEP = """
() => {
  const cell = document.querySelectorAll(".jp-Notebook .jp-CodeCell")[2];
  const outputs = [...cell.querySelectorAll(".jp-OutputArea-output")].slice(0, -2); // without the open end and the line
  window.kept = outputs.map((output) => [output, output.firstElementChild, output.getBoundingClientRect().top]);
  window.touched = 0;
  const observer = new MutationObserver((mutations) => { window.touched += mutations.length; });
  for (const [output] of window.kept) observer.observe(output, { childList: true, subtree: true, characterData: true });
  return window.kept.length;
}
"""
AS_BEFORE = """
() => window.kept.map(([output, first, top]) =>
    output.isConnected && output.firstElementChild === first && output.getBoundingClientRect().top === top)
"""


def test_blocks_with_formulas_stay_where_they_are_when_the_reply_ends(open_notebook, page):
    text = f"{FORMULAS}{'the end ' * 60}."
    notebook = open_notebook("%config FlowGPT.pace = 0.005", f"%%flowgpt\n{text}")
    notebook.run(1)
    notebook.start(2)
    notebook.output(2).get_by_text("the end the end").first.wait_for()
    page.wait_for_function("() => document.querySelectorAll('mjx-container').length === 28")
    kept = page.evaluate(KEEP)
    notebook.finished(2)
    notebook.cell(2).locator(".jp-OutputArea-child").last.get_by_text("echo:words").last.wait_for()

    saved = notebook.save()

    assert kept > 5
    assert page.evaluate(AS_BEFORE) == [True] * kept
    assert page.evaluate("() => window.touched") == 0
    assert "".join(output.data["text/plain"] for output in saved.cells[2].outputs) == text
    assert {key for output in saved.cells[2].outputs for key in output.data} == {"text/markdown", "text/plain"}
    assert saved.cells[2].outputs[-1].metadata["flowgpt"]["status"] == "complete"


SELECT = """
() => {
  const cell = document.querySelectorAll(".jp-Notebook .jp-CodeCell")[2];
  const paragraphs = [...cell.querySelectorAll(".jp-OutputArea-output p")];
  window.selected = paragraphs.find((p) => p.innerText.includes("number 3,"));
  getSelection().selectAllChildren(window.selected);
}
"""


def test_a_selection_in_a_finished_paragraph_stays_while_the_next_ones_grow(open_notebook, page):
    text = "\n\n".join(f"Sentence number {n}, of a **slow** reply." for n in range(1, 25))
    notebook = open_notebook("%config FlowGPT.pace = 0.03", f"%%flowgpt\n{text}")
    notebook.run(1)
    notebook.start(2)
    notebook.output(2).get_by_text("number 4,").first.wait_for()
    page.evaluate(SELECT)
    notebook.output(2).get_by_text("number 20,").first.wait_for()

    assert page.evaluate("() => window.selected.isConnected")
    assert page.evaluate("() => getSelection().toString().trim()") == "Sentence number 3, of a slow reply."
    notebook.finished(2)


def test_the_stop_button_keeps_the_text(open_notebook, page):
    notebook = open_notebook("%config FlowGPT.pace = 0.05", "%%flowgpt\n" + "word " * 2000)
    notebook.run(1)
    notebook.start(2)
    notebook.output(2).get_by_text("word word").first.wait_for()

    page.keyboard.press("Escape")
    page.keyboard.press("i")
    page.keyboard.press("i")
    notebook.finished(2)

    assert notebook.output(2).count() == 1
    assert notebook.cell(2).locator(".jp-OutputArea").inner_text().lower().count("interrupted") == 1
    assert notebook.output(2).locator("[data-mime-type*=error]").count() == 0
    assert "word word" in notebook.output(2).inner_text()


def test_the_saved_notebook_holds_the_reply_and_nothing_of_how_it_came(open_notebook):
    notebook = open_notebook("%config FlowGPT.pace = 0.01", "%%flowgpt\n" + "some **bold** words\n\n" * 40)
    notebook.run(1)
    notebook.run(2)

    saved = notebook.save()

    (output,) = saved.cells[2].outputs
    assert output.data["text/plain"] == ("some **bold** words\n\n" * 40).strip("\n")
    assert set(output.data) == {"text/markdown", "text/plain"}
    assert output.metadata["flowgpt"]["status"] == "complete"


def test_each_block_of_a_reply_becomes_a_cell_below_in_their_order(open_notebook):
    blocks = "```bash\necho one\n```\n\n```python\ntwo = 2\n```\n\n```js\nf()\n```\n\n```python\nthree = 3\n```"
    notebook = open_notebook(f"%%flowgpt --raw --next-cell\n{blocks}", "'the last cell'")
    sources = [cell.source for cell in notebook.save().cells]

    notebook.run(1)
    expect(notebook.page.locator(".jp-Notebook .jp-CodeCell")).to_have_count(6)

    assert "not put into a cell: js" in notebook.output(1).last.inner_text()
    inserted = [cell.source for cell in notebook.save().cells]
    assert inserted == [*sources[:2], "%%bash\necho one", "two = 2", "three = 3", sources[2]]

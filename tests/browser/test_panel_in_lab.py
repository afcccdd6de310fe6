"""The chat panel as a user sees it in JupyterLab."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator

import pytest
from playwright.sync_api import Error, Page, expect

from tests.browser.conftest import Lab, Notebook
from tests.browser.panels import OPEN, Panel, in_cell
from tests.browser.test_history_in_lab import choose, restart
from tests.payloads import PAYLOADS
from tests.xss_payloads import NAMED

MARKDOWN = """\
## A heading

It costs $5 and $7, **bold**, `code <b>`, and \\(e^{i\\pi} + 1 = 0\\).

- [x] one
- [ ] two

| a | b |
|---|---|
| 1 | 2 |

```python
def reverse_string(text):
    return text[::-1]
```

![a picture](https://pictures.example/x.png) and [a link](https://example.org).
"""


# JupyterLab's own word about the notebook that was open before, where its kernel had not answered yet.
CLOSED_EARLY = "Canceled future for create_subshell_request message before replies were done"


@pytest.fixture
def faults(page: Page) -> Iterator[list[str]]:
    """What the page complains of; nothing, at the end of the test."""
    found: list[str] = []

    def complain(error: Error) -> None:
        if CLOSED_EARLY not in str(error):
            found.append(str(error))

    page.on("pageerror", complain)
    yield found
    page.remove_listener("pageerror", complain)
    assert found == []


# What of all replies should not be there: as the page stands, and with each turn scrolled into view.
FORBIDDEN = """
async () => {
  const names = "script, iframe, img, object, embed, style, link, form, input, svg:not(.fg-icon), [onerror], [onload]";
  const forbidden = () => [...document.querySelectorAll(".flowgpt-panel .fg-blocks")]
    .map((each) => each.querySelector(names)?.outerHTML).filter(Boolean).join("\\n");
  const log = document.querySelector(".flowgpt-panel [role=log]"), found = [forbidden()];
  while (log.scrollTop > 0) {
    log.scrollTop -= 800;
    do await new Promise(requestAnimationFrame); while (document.querySelector(".flowgpt-panel .fg-loading"));
    found.push(forbidden());
  }
  return found;
}
"""
END_KERNEL = """
async (name) => {
  const told = await (await fetch("/api/sessions")).json();
  const { id } = told.find((each) => each.path === name);
  const token = document.cookie.match(/_xsrf=([^;]*)/)[1];
  return (await fetch(`/api/sessions/${id}`, { method: "DELETE", headers: { "X-XSRFToken": token } })).status;
}
"""


def pace(seconds: float) -> str:
    return f"%config FlowGPT.pace = {seconds}"


def sixty_turns(words: str) -> str:
    """What a cell runs to ask 60 prompts: ``words`` is how many words the one of number ``n`` has."""
    return (
        "from flowgpt_magic import Conversation\nchat = Conversation()\n"
        f"for n in range(60): chat.ask(f'number {{n}} ' + 'word ' * ({words})).text"
    )


def test_a_prompt_is_sent_and_its_reply_seen_while_it_arrives(open_notebook, faults):
    notebook = open_notebook(pace(0.03), OPEN, "%flowgpt history")
    notebook.run(1)
    panel = in_cell(notebook, 2)

    panel.ask("many words here\n\n" * 20)
    panel.reply(1).get_by_text("many").first.wait_for()
    early = panel.send.get_attribute("aria-label")
    panel.ended()

    assert early == "Stop"
    expect(panel.turn(1)).to_contain_text(re.compile(r"\d\.\d s"))
    assert panel.reply(1).inner_text().count("many words here") == 20
    assert "echo:words" in panel.turn(1).inner_text()
    assert panel.status.inner_text() == "The reply is complete."
    expect(panel.prompt).to_be_focused()
    notebook.run(3)
    assert "many words here" in notebook.output(3).locator("tbody").inner_text()


def test_markdown_looks_right_and_an_image_is_fetched_on_a_click_only(open_notebook, page, faults):
    fetched: list[str] = []
    page.route("https://pictures.example/**", lambda route: (fetched.append(route.request.url), route.abort()))
    panel = in_cell(open_notebook(OPEN), 1)

    panel.answered(MARKDOWN)
    reply = panel.reply(1)

    expect(reply).to_contain_text("It costs $5 and $7")
    assert reply.locator("strong").inner_text() == "bold"
    assert reply.locator("td").all_inner_texts() == ["1", "2"]
    assert reply.locator("math").count() == 1
    assert reply.locator(".fg-language").inner_text() == "python"
    assert reply.locator("pre code").inner_text().startswith("def reverse_string(text):\n    return")
    assert reply.locator(".fg-keyword").first.inner_text().strip() == "def"
    assert reply.locator("a").get_attribute("rel") == "noopener noreferrer"
    assert (fetched, reply.locator("img").count()) == ([], 0)
    reply.locator("button.fg-image").click()
    reply.locator("img").wait_for(state="attached")
    page.wait_for_timeout(0)
    assert fetched == ["https://pictures.example/x.png"]


def test_stop_works_before_the_first_chunk(open_notebook):
    notebook = open_notebook(pace(60), OPEN)
    notebook.run(1)
    panel = in_cell(notebook, 2)
    panel.ask("never comes")
    expect(panel.send).to_have_attribute("aria-label", "Stop")

    begun = time.monotonic()
    panel.send.click()
    panel.ended()
    seconds = time.monotonic() - begun

    print(f"Stop before the first chunk: {seconds * 1000:.0f} ms, click and look included")
    expect(panel.turn(1)).to_contain_text("interrupted")
    expect(panel.status).to_have_text("The reply was stopped.")
    assert seconds < 2


def test_stop_keeps_what_came(open_notebook):
    notebook = open_notebook(pace(0.05), OPEN)
    notebook.run(1)
    panel = in_cell(notebook, 2)
    panel.ask("word " * 500)
    panel.reply(1).get_by_text("word word").wait_for()

    panel.send.click()
    panel.ended()

    words = panel.reply(1).inner_text().count("word")
    assert 2 <= words < 500
    expect(panel.turn(1)).to_contain_text("interrupted")


def test_stop_gets_through_while_a_cell_runs(open_notebook):
    notebook = open_notebook(pace(0.05), OPEN, "import time; time.sleep(20)")
    notebook.run(1)
    panel = in_cell(notebook, 2)
    panel.ask("word " * 500)
    panel.reply(1).get_by_text("word word").wait_for()
    notebook.begin(3)
    before = panel.reply(1).inner_text()
    expect(panel.reply(1)).not_to_have_text(before)  # it goes on arriving beside the cell

    begun = time.monotonic()
    panel.send.click()
    panel.ended()
    seconds = time.monotonic() - begun

    assert notebook.cell(3).locator(".jp-InputPrompt").inner_text() == "[*]:"
    print(f"Stop while a cell runs: {seconds * 1000:.0f} ms, click and look included")
    choose(notebook.page, "Kernel", "Interrupt Kernel")
    notebook.finished(3)


def test_a_prompt_can_be_asked_while_a_cell_runs(open_notebook):
    notebook = open_notebook(OPEN, "import time; time.sleep(20)")
    panel = in_cell(notebook, 1)
    notebook.begin(2)

    panel.answered("beside the cell")

    expect(panel.reply(1)).to_have_text("beside the cell")
    assert notebook.cell(2).locator(".jp-InputPrompt").inner_text() == "[*]:"
    choose(notebook.page, "Kernel", "Interrupt Kernel")
    notebook.finished(2)


def test_a_turn_is_edited_retried_and_its_versions_turned_over(open_notebook, faults):
    panel = in_cell(open_notebook(OPEN), 1)
    panel.answered("one")
    panel.answered("two")

    panel.turn(1).hover()
    panel.button("Edit and ask again", panel.turn(1)).click()
    field = panel.turn(1).get_by_label("The prompt of this turn")
    expect(field).to_be_focused()
    field.fill("other")
    field.press("Enter")
    expect(panel.reply(1)).to_have_text("other")
    panel.ended()
    panel.button("Ask again", panel.turn(1)).click()
    expect(panel.turn(1).locator(".fg-count")).to_have_text("3/3")
    panel.ended()

    panel.button("Earlier version", panel.turn(1)).evaluate("it => { it.click(); it.click(); }")  # nobody waits between
    expect(panel.reply(1)).to_have_text("one")
    expect(panel.turn(1).locator(".fg-count")).to_have_text("1/3")
    expect(panel.reply(2)).to_have_text("two")
    panel.choose("Undo the last change")
    expect(panel.turn(1).locator(".fg-count")).to_have_text("2/3")


def test_conversations_are_begun_renamed_branched_and_switched(open_notebook, faults):
    notebook = open_notebook(OPEN, "%flowgpt chats", "%%flowgpt\nfrom a cell")
    panel = in_cell(notebook, 1)
    panel.answered("in main")

    panel.button("New conversation").click()
    expect(panel.log).to_contain_text("Nothing was asked in chat 2 yet")
    panel.button("Rename the conversation").click()
    name = panel.root.get_by_label("New name of the conversation")
    name.fill("plan")
    name.press("Enter")
    expect(panel.root.get_by_label("Conversation").first).to_have_value("plan")
    notebook.run(3)
    expect(panel.reply(1)).to_have_text("from a cell")
    panel.button("Branch from here", panel.turn(1)).click()
    expect(panel.root.locator("select").first).to_have_value("plan branch")

    panel.root.locator("select").first.select_option("main")
    expect(panel.reply(1)).to_have_text("in main")
    notebook.run(2)
    assert "main (in use)" in notebook.output(2).inner_text()


def test_what_a_cell_says_shows_in_the_panel_while_it_arrives(open_notebook, faults):
    notebook = open_notebook(pace(0.05), OPEN, "%%flowgpt\n" + "word " * 60, "%flowgpt undo", "%flowgpt redo")
    notebook.run(1)
    panel = in_cell(notebook, 2)

    notebook.start(3)
    panel.reply(1).get_by_text("word word").wait_for()
    early = notebook.cell(3).locator(".jp-InputPrompt").inner_text()
    notebook.finished(3)
    expect(panel.turn(1)).to_contain_text("in a cell")
    assert early == "[*]:"
    assert panel.reply(1).inner_text().count("word") == 60
    expect(panel.status).to_have_text("The reply is complete.")

    notebook.run(4)
    expect(panel.root.get_by_role("article")).to_have_count(0)
    notebook.run(5)
    expect(panel.reply(1)).to_contain_text("word")


def test_the_panel_stops_what_a_cell_asks(open_notebook):
    notebook = open_notebook(pace(0.05), OPEN, "%%flowgpt\n" + "word " * 500)
    notebook.run(1)
    panel = in_cell(notebook, 2)
    notebook.start(3)
    panel.reply(1).get_by_text("word word").wait_for()
    caret = "element => getComputedStyle(element, '::after').content"
    assert "▌" in panel.reply(1).locator("p").last.evaluate(caret)

    panel.send.click()
    notebook.finished(3)

    expect(panel.turn(1).locator(".fg-caption > summary")).to_contain_text("interrupted")
    assert panel.reply(1).locator("p").last.evaluate(caret) == "none"
    expect(notebook.cell(3)).to_contain_text("interrupted")
    expect(panel.turn(1)).to_contain_text("interrupted")


@pytest.mark.own_page
def test_after_a_reload_the_panel_is_back_also_in_the_middle_of_a_reply(open_notebook, page, faults):
    notebook = open_notebook(pace(0.05), OPEN)
    notebook.run(1)
    panel = in_cell(notebook, 2)
    panel.answered("before")
    panel.ask("word " * 160)
    panel.reply(2).get_by_text("word word").wait_for()
    panel.prompt.fill("a draft")
    notebook.save()

    page.reload()
    panel = Panel(page)

    expect(panel.reply(1)).to_have_text("before")
    expect(panel.prompt).to_have_value("a draft")
    panel.reply(2).get_by_text("word word").wait_for()
    panel.ended()
    assert panel.reply(2).inner_text().count("word") == 160


def test_after_a_restart_the_panel_says_what_to_do_and_loses_nothing(open_notebook, faults):
    notebook = open_notebook(OPEN)
    panel = in_cell(notebook, 1)
    panel.answered("before")
    expect(panel.reply(1)).to_have_text("before")  # a page asks for what is in view, and nobody would answer
    panel.prompt.fill("not sent yet")

    restart(notebook)

    expect(panel.note).to_contain_text("run this panel's cell again")
    expect(panel.reply(1)).to_have_text("before")
    panel.prompt.press("Enter")
    expect(panel.note).to_contain_text("Nothing was sent")
    expect(panel.prompt).to_have_value("not sent yet")
    panel = in_cell(notebook, 1)
    expect(panel.reply(1)).to_have_text("before")
    expect(panel.prompt).to_have_value("not sent yet")
    assert panel.root.get_by_role("article").count() == 1
    panel.prompt.press("Enter")
    expect(panel.reply(2)).to_have_text("not sent yet")


def test_another_kernel_is_said_and_what_is_typed_is_kept(open_notebook, page, faults):
    notebook = open_notebook(OPEN)
    panel = in_cell(notebook, 1)
    panel.answered("before")
    panel.prompt.fill("not sent yet")

    choose(page, "Kernel", "Change Kernel…")
    page.locator(".jp-Dialog select").select_option(index=0)
    page.locator(".jp-Dialog button.jp-mod-accept").click()

    expect(panel.note).to_contain_text("run this panel's cell again")
    panel.prompt.press("Enter")
    expect(panel.note).to_contain_text("Nothing was sent")
    expect(panel.prompt).to_have_value("not sent yet")


def test_a_view_of_its_own_is_as_high_as_its_place(open_notebook, page, faults):
    notebook = open_notebook(OPEN)
    panel = in_cell(notebook, 1)
    panel.answered("before")
    panel.root.click(button="right", position={"x": 5, "y": 250})
    page.locator(".lm-Menu-itemLabel", has_text="Create New View for Cell Output").click()

    view = Panel(page, 1)
    expect(view.reply(1)).to_have_text("before")
    view.answered("there")
    expect(panel.reply(2)).to_have_text("there")
    place, own = page.locator(".jp-LinkedOutputView").bounding_box(), view.root.bounding_box()
    assert 0.9 * place["height"] < own["height"] < place["height"]


def test_everything_is_done_with_the_keyboard_alone(open_notebook, page, faults):
    notebook = open_notebook("table = [1, 2, 3]", OPEN)
    notebook.run(1)
    panel = in_cell(notebook, 2)
    cells = notebook.page.locator(".jp-Notebook .jp-Cell").count()
    panel.prompt.focus()

    page.keyboard.type("first line")
    page.keyboard.press("Shift+Enter")
    page.keyboard.type("d d")  # in command mode this deletes the cell
    page.keyboard.press("Enter")
    expect(panel.reply(1)).to_have_text("first line d d", use_inner_text=False)
    panel.ended()
    page.keyboard.press("ArrowUp")
    expect(panel.prompt).to_have_value("first line\nd d")
    page.keyboard.press("Control+a")
    page.keyboard.type("what is {ta")
    expect(panel.options.first).to_contain_text("table")
    page.keyboard.press("Enter")
    expect(panel.prompt).to_have_value("what is {table}")
    page.keyboard.press("Enter")
    expect(panel.reply(2)).to_contain_text("[1, 2, 3]")
    panel.ended()
    page.keyboard.type("/un")
    expect(panel.options.first).to_contain_text("undo")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(panel.root.get_by_role("article")).to_have_count(1)

    panel.button("Copy the reply", panel.turn(1)).focus()
    page.keyboard.type("ddx")  # in command mode this takes cells away
    panel.prompt.focus()
    reached = set()
    for _ in range(25):
        page.keyboard.press("Shift+Tab")
        reached.add(page.evaluate("() => document.activeElement.getAttribute('aria-label')"))
    assert {"Conversation", "Model: echo:words", "Search", "More", "New conversation", "Copy the reply"} <= reached
    assert not {"Ask again", "Branch from here", "Edit and ask again"} & reached  # a turn is one tab stop
    panel.button("Copy the reply", panel.turn(1)).focus()
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    expect(panel.button("Ask again", panel.turn(1))).to_be_focused()
    assert notebook.page.locator(".jp-Notebook .jp-Cell").count() == cells


def test_what_is_set_below_the_head_is_in_force(open_notebook, faults):
    notebook = open_notebook(OPEN, "%flowgpt")
    panel = in_cell(notebook, 1)

    panel.choose_model("echo:messages")
    panel.button("System prompt and temperature").click()
    panel.root.get_by_label("System prompt", exact=True).fill("Be brief.")
    panel.root.get_by_label("Temperature", exact=True).fill("0.4")
    panel.button("Save").click()
    panel.answered("hi")

    expect(panel.reply(1)).to_contain_text("system: Be brief.")
    notebook.run(2)
    shown = notebook.output(2).inner_text()
    assert "echo:messages" in shown
    assert "0.4" in shown


def test_words_are_found_and_gone_to(open_notebook, faults):
    notebook = open_notebook(sixty_turns("80"), OPEN)
    notebook.run(1)
    panel = in_cell(notebook, 2)
    expect(panel.turn(60)).to_be_visible()
    assert panel.turn(3).count() == 0

    panel.button("Search").click()
    panel.root.get_by_label("Words to look for").fill("number 2 word")
    panel.root.get_by_role("group", name="Found").get_by_role("button").first.click()

    expect(panel.turn(3)).to_be_in_viewport()
    assert panel.turn(3).evaluate("turn => getComputedStyle(turn).backgroundColor").endswith("0.14)")  # it can be read
    assert panel.turn(60).count() == 0
    panel.button("To the end").click()
    expect(panel.turn(60)).to_be_in_viewport()


def test_the_keys_go_to_the_ends_of_a_long_conversation(open_notebook, page, faults):
    notebook = open_notebook(sixty_turns("30 + 90 * (n % 4)"), OPEN)
    notebook.run(1)
    panel = in_cell(notebook, 2)
    expect(panel.turn(60)).to_be_in_viewport()
    panel.log.focus()

    page.keyboard.press("Home")
    expect(panel.asked(1)).to_be_in_viewport()
    expect(panel.reply(1)).to_contain_text("number 0")
    assert panel.log.evaluate("box => box.scrollTop") == 0
    page.keyboard.press("PageDown")
    assert panel.log.evaluate("box => box.scrollTop / box.clientHeight") == pytest.approx(0.9, abs=0.02)
    page.keyboard.press("PageUp")
    assert panel.log.evaluate("box => box.scrollTop") == 0
    page.keyboard.press("End")
    expect(panel.turn(60)).to_be_in_viewport()
    expect(panel.button("To the end")).to_be_hidden()
    assert panel.log.evaluate("box => box.scrollHeight - box.scrollTop - box.clientHeight") < 4

    # Of two keys in one moment the second counts, though what the first one scrolled is told after it.
    keys = "box => { for (const key of %s) box.dispatchEvent(new KeyboardEvent('keydown', { key, bubbles: true })); }"
    panel.log.evaluate(keys % ["Home", "End"])
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    expect(panel.turn(60)).to_be_in_viewport()
    expect(panel.button("To the end")).to_be_hidden()


def test_prompt_reply_and_code_are_copied_as_they_were_written(open_notebook, page, lab: Lab, faults):
    page.context.grant_permissions(["clipboard-read", "clipboard-write"], origin=lab.url)
    panel = in_cell(open_notebook(OPEN), 1)
    text = "**bold** & <b>\n\n```python\nx = 1 < 2\n\ny = 2\n```"
    panel.answered(text)

    copied = []
    for button in ("Copy the prompt", "Copy the reply", "Copy the code"):
        panel.root.get_by_role("button", name=button, exact=True).click()
        expect(panel.hint).to_have_text("Copied.")
        copied.append(page.evaluate("() => navigator.clipboard.readText()"))
        page.evaluate("() => { document.querySelector('.fg-composer > .fg-hint').textContent = '' }")

    assert copied == [text, text, "x = 1 < 2\n\ny = 2"]


def test_values_are_attached_as_chips(open_notebook, faults):
    notebook = open_notebook("numbers = [7, 8]", OPEN)
    notebook.run(1)
    panel = in_cell(notebook, 2)

    panel.button("Attach a value or a file by name").click()
    panel.page.keyboard.type("numb")
    panel.options.filter(has_text="numbers").first.click()
    panel.page.keyboard.press("Enter")
    expect(panel.root.get_by_role("group", name="Attached")).to_have_text("numbers")
    panel.answered("what are these?")

    expect(panel.turn(1).locator(".fg-question .fg-chip")).to_have_text("numbers")
    expect(panel.reply(1)).to_contain_text("[7, 8]")


TEMPLATE = """
from pathlib import Path
folder = Path(".flowgpt/templates")
folder.mkdir(parents=True, exist_ok=True)
(folder / "review.md").write_text("Review for {who}:\\n\\n{body}")
"""


def test_a_template_is_found_behind_a_slash_and_asked(open_notebook, faults):
    notebook = open_notebook(TEMPLATE, OPEN)
    notebook.run(1)
    panel = in_cell(notebook, 2)

    panel.prompt.press_sequentially("/template re")
    panel.options.filter(has_text="review").first.click()
    panel.prompt.press_sequentially(" x = 1")
    panel.page.keyboard.press("Enter")
    expect(panel.root).to_contain_text("the template review needs who: write who=")
    panel.prompt.fill("/template review who=beginners x = 1")
    panel.page.keyboard.press("Enter")

    expect(panel.reply(1)).to_contain_text("Review for beginners:")
    expect(panel.prompt).to_have_value("")


def test_code_is_put_into_a_cell_below(open_notebook, faults):
    notebook = open_notebook(OPEN, "'the last cell'")
    panel = in_cell(notebook, 1)
    panel.answered("```python\nx = 1 < 2\n```\n\nand\n\n```\ny = 2\n```")

    panel.root.get_by_role("button", name="Insert a cell below with the code").nth(0).click()
    panel.root.get_by_role("button", name="Insert a cell below with the code").nth(1).click()

    expect(notebook.cell(2).locator(".cm-content")).to_have_text("x = 1 < 2")
    expect(notebook.cell(3).locator(".cm-content")).to_have_text("y = 2")
    expect(notebook.cell(4).locator(".cm-content")).to_have_text("'the last cell'")


def test_two_panels_that_edit_at_once_lose_nothing_that_is_typed(open_notebook, faults):
    notebook = open_notebook(OPEN, OPEN)
    one = in_cell(notebook, 1)
    one.answered("first")
    notebook.run(2)
    other = Panel(notebook.page, 1)
    for panel in (one, other):
        panel.button("Edit and ask again", panel.turn(1)).click()
    one.turn(1).get_by_label("The prompt of this turn").fill("from one")
    other.turn(1).get_by_label("The prompt of this turn").fill("from the other")

    one.button("Ask", one.turn(1)).click()
    expect(one.reply(1)).to_have_text("from one")
    expect(other.turn(1)).to_contain_text("This turn has changed since")
    expect(other.turn(1).get_by_label("The prompt of this turn")).to_have_value("from the other")
    other.button("Ask", other.turn(1)).click()

    expect(one.reply(1)).to_have_text("from the other")
    expect(one.turn(1).locator(".fg-count")).to_have_text("3/3")


# A reply that goes on after its beginning, and after its middle, when a file of that name is there.
IN_PARTS = """
import asyncio, pathlib
from flowgpt_magic.providers.echo import Echo

async def in_parts(*_args, **_how):
    yield "select these words\\n\\n"
    for name in ("middle", "end"):
        while not pathlib.Path(name).exists():
            await asyncio.sleep(0.01)
        for _ in range(75):
            yield "word word word\\n\\n"
            await asyncio.sleep(0.01)

Echo.create_async_generator = staticmethod(in_parts)
"""


def test_the_reader_is_not_moved_and_keeps_what_is_selected(open_notebook, page, lab: Lab, faults):
    notebook = open_notebook(IN_PARTS, OPEN)
    notebook.run(1)
    panel = in_cell(notebook, 2)
    panel.ask("first")
    panel.reply(1).get_by_text("select these words").wait_for()
    panel.reply(1).get_by_text("select these words").select_text()
    (lab.folder / "middle").touch()
    page.wait_for_function("() => document.querySelector('.flowgpt-panel .fg-log').scrollTop > 1000")
    panel.log.hover()
    page.mouse.wheel(0, -4000)
    panel.button("To the end").wait_for()
    assert panel.send.get_attribute("aria-label") == "Stop"
    top = panel.log.evaluate("box => box.scrollTop")

    (lab.folder / "end").touch()
    panel.ended()

    assert page.evaluate("() => document.getSelection().toString()").strip() == "select these words"
    assert abs(panel.log.evaluate("box => box.scrollTop") - top) < 2
    panel.button("To the end").click()
    expect(panel.button("To the end")).to_be_hidden()
    assert panel.log.evaluate("box => box.scrollHeight - box.scrollTop - box.clientHeight") < 4


def test_a_saved_notebook_holds_a_transcript_beside_the_panel_and_in_its_place_when_closed(open_notebook, page, faults):
    notebook = open_notebook(OPEN)
    panel = in_cell(notebook, 1)
    panel.answered("what is **kept**?")
    assert not page.locator(".flowgpt-transcript").first.is_visible()
    page.wait_for_function("() => document.querySelector('.flowgpt-transcript').textContent.includes('kept')")

    saved = notebook.save()
    transcript, widget = saved.cells[1].outputs
    assert "what is \\*\\*kept" in transcript.data["text/markdown"] or "kept" in transcript.data["text/markdown"]
    assert "<strong>kept</strong>" in transcript.data["text/html"]
    assert "application/vnd.jupyter.widget-view+json" in widget.data

    panel.choose("Close the panel")
    page.locator(".flowgpt-transcript").wait_for()
    saved = notebook.save()
    assert "<strong>kept</strong>" in page.locator(".flowgpt-transcript").inner_html()
    assert all("widget" not in kind for output in saved.cells[1].outputs for kind in output.data)


def test_a_page_that_was_loaded_again_saves_what_was_said_since_and_no_dead_widget(
    open_notebook, page, lab: Lab, faults
):
    notebook = open_notebook(OPEN)
    panel = in_cell(notebook, 1)
    panel.answered("before it")
    page.wait_for_function("() => document.querySelector('.flowgpt-transcript').textContent.includes('before it')")
    notebook.save()

    again = Notebook(page, lab, notebook.path)  # the kernel is the same
    panel = Panel(page)
    expect(panel.reply(1)).to_have_text("before it")
    panel.answered("after it")
    page.wait_for_function("() => document.querySelector('.flowgpt-transcript').textContent.includes('after it')")
    expect(panel.reply(2)).to_have_text("after it")
    transcript, widget = again.save().cells[1].outputs
    assert all("before it" in text and "after it" in text for text in transcript.data.values())
    assert "application/vnd.jupyter.widget-view+json" in widget.data

    panel.choose("Close the panel")
    page.locator(".flowgpt-transcript").wait_for()
    expect(panel.root).to_have_count(0)
    transcript, widget = again.save().cells[1].outputs
    assert "after it" in transcript.data["text/markdown"]
    assert widget.data == {"text/plain": ""}


def test_a_notebook_whose_kernel_is_gone_shows_the_transcript_and_no_dead_widget(open_notebook, page, lab: Lab, faults):
    notebook = open_notebook(OPEN)
    panel = in_cell(notebook, 1)
    panel.answered("what was said")
    page.wait_for_function("() => document.querySelector('.flowgpt-transcript').textContent.includes('what was said')")
    notebook.save()
    assert page.evaluate(END_KERNEL, notebook.path.name) == 204

    again = Notebook(page, lab, notebook.path)  # with another kernel

    again.page.locator(".flowgpt-transcript").wait_for()
    assert "what was said" in again.output(1).first.inner_text()
    expect(page.get_by_text("Error displaying widget")).to_be_hidden()


@pytest.mark.own_page
def test_nothing_runs_or_is_fetched_in_a_trusted_notebook_that_is_opened_again(open_notebook, page, lab: Lab, faults):
    dialogs: list[str] = []
    page.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
    page.add_init_script("window.ran = []; window.alert = window.pwned = (...given) => ran.push(given);")
    payloads = [*PAYLOADS, *NAMED.values()]
    prompts = ["\n\n".join(payloads[start::20]) for start in range(20)]
    (lab.folder / "payloads.json").write_text(json.dumps(prompts))
    ask = (
        "import json\nfrom flowgpt_magic import Conversation\nchat = Conversation()\n"
        "for text in json.load(open('payloads.json')): chat.ask(text).text"
    )
    cell = "%%flowgpt\n" + "\n\n".join(text for text in NAMED.values() if text.isascii())
    notebook = open_notebook(OPEN, ask, "%flowgpt history", "chat", cell)
    for number in range(1, 6):
        notebook.run(number)
    panel = Panel(page)
    expect(panel.turn(len(prompts) + 1)).to_be_attached()
    panel.choose("Close the panel")
    page.locator(".flowgpt-transcript").first.wait_for()
    notebook.save()
    assert page.evaluate(END_KERNEL, notebook.path.name) == 204

    fetched: list[str] = []
    page.on("request", lambda request: fetched.append(request.url))
    again = Notebook(page, lab, notebook.path)
    outputs = page.locator(".jp-OutputArea-output")
    expect(again.output(1).first).to_contain_text("Conversation main")
    for number in range(outputs.count()):
        outputs.nth(number).scroll_into_view_if_needed()
    page.evaluate(
        "() => new Promise((done) => setTimeout(() => requestAnimationFrame(done), 500))"
    )  # what an image takes

    found = again.cell(1).locator(".jp-RenderedHTMLCommon[data-mime-type='text/html']")
    assert "jp-mod-trusted" in found.first.get_attribute("class")
    assert (page.evaluate("() => ran"), dialogs) == ([], [])
    own = lab.url, lab.url.replace("http", "ws"), "blob:", "data:"
    assert [url for url in fetched if not url.startswith(own)] == []


@pytest.mark.own_page
def test_no_reply_runs_a_script_or_fetches_anything(open_notebook, page, lab: Lab, faults):
    asked: list[str] = []
    dialogs: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
    payloads = [*PAYLOADS, *NAMED.values()]
    assert len(payloads) >= 150
    (lab.folder / "payloads.json").write_text(json.dumps(payloads))
    one_by_one = (
        "import json\nfrom flowgpt_magic import Conversation\nfor payload in json.load(open('payloads.json')):\n"
        "    Conversation().ask(payload).text\n"
    )
    together = "\n\n".join(payloads).encode("utf-8", "replace").decode()
    notebook = open_notebook(OPEN, one_by_one, pace(0.001))
    panel = in_cell(notebook, 1)
    page.evaluate("() => { window.ran = []; window.alert = window.pwned = (...given) => window.ran.push(given); }")
    page.evaluate("() => pwned('seen')")
    seen = page.evaluate("() => window.ran.pop()")
    asked.clear()

    notebook.run(2)
    notebook.run(3)
    panel.ask(together)  # as it arrives
    expect(panel.prompt).to_have_value("")
    panel.ended()
    found = page.evaluate(FORBIDDEN)
    page.mouse.move(300, 400)

    foreign = [
        url for url in asked if not url.startswith((notebook.lab.url, notebook.lab.url.replace("http", "ws"), "blob:"))
    ]
    assert seen == ["seen"]
    assert (page.evaluate("() => window.ran"), dialogs, foreign) == ([], [], [])
    expect(panel.turn(1)).to_be_visible()
    assert len(found) > 20
    assert set(found) == {""}


@pytest.mark.parametrize("width", [320, 640])
def test_it_fits_into_a_narrow_place(open_notebook, width, faults):
    panel = in_cell(open_notebook(OPEN), 1)
    panel.answered(
        MARKDOWN + "\n" + "long" * 200 + "\n\n| " + "wide | " * 30 + "\n|" + "---|" * 30 + "\n\nמה שלומך היום?"
    )

    panel.root.evaluate(f"root => {{ root.style.width = '{width}px' }}")

    expect(panel.reply(1).get_by_text("מה שלומך")).to_be_in_viewport()  # narrower is higher, and the end is followed
    assert panel.root.evaluate("root => root.scrollWidth <= root.clientWidth")
    assert panel.log.evaluate("box => box.scrollWidth <= box.clientWidth")
    assert panel.reply(1).locator(".fg-scroll").last.evaluate("box => box.scrollWidth > box.clientWidth")
    assert panel.reply(1).evaluate(
        "reply => Math.abs(reply.getBoundingClientRect().top"
        " - reply.closest('article').getBoundingClientRect().top - reply.closest('article').turn.into) < 1"
    )  # where the page believes that the reply begins, which decides what of it is in the page
    assert panel.reply(1).get_by_text("מה שלומך").evaluate("p => getComputedStyle(p).direction") == "rtl"
    for control in ("Conversation", "Model: echo:words", "Prompt"):
        box = panel.root.get_by_label(control, exact=True).first.bounding_box()
        whole = panel.root.bounding_box()
        assert box["x"] + box["width"] <= whole["x"] + whole["width"] + 1

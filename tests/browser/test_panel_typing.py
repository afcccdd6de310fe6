"""What is typed in the chat panel stays where it was typed, goes where it was meant for, and is never lost."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Locator, expect

from tests.browser.conftest import SCREENSHOTS, Lab, Notebook
from tests.browser.panels import OPEN, Panel

LOAD = "%load_ext flowgpt_magic"
# A kernel that answers one request of a page only when the file "now" is there, as if it was busy.
LATE = """\
import pathlib, time
from flowgpt_magic.panel import actions as panel_actions
prompt_before = panel_actions.ACTIONS["recall"]
def late(panel, request):
    while not pathlib.Path("now").exists(): time.sleep(0.01)
    return prompt_before(panel, request)
panel_actions.ACTIONS["recall"] = late
"""
PACES = "%config FlowGPT.pace = 600", "%config FlowGPT.pace = 0"
BELOW = """
panel => panel.querySelector(".fg-composer").getBoundingClientRect().bottom - panel.getBoundingClientRect().bottom
"""
PUT_DRAFT = """
name => {
  const known = Object.keys(sessionStorage).find((each) => each.startsWith("flowgpt-prompt:"));
  sessionStorage.setItem(known.replace(/[^:]*$/, name), JSON.stringify({ text: "kept", attached: [] }));
}
"""
TWO_ENTERS = """
it => { for (const n of [1, 2]) it.dispatchEvent(new KeyboardEvent("keydown", { key: "Enter", bubbles: true })) }
"""
IN_TIME = "panel_actions.ACTIONS['recall'] = prompt_before"


@pytest.fixture(scope="module")
def shared(browser: Browser, lab: Lab) -> Iterator[Notebook]:
    """One notebook with a panel for all tests of this file."""
    page = browser.new_page(viewport={"width": 1100, "height": 900})
    notebook = Notebook(
        page, lab, lab.write("typing.ipynb", LOAD, OPEN, LATE, IN_TIME, "numbers = [7, 8]", *PACES, "pass")
    )
    notebook.run(0)
    notebook.run(4)
    notebook.faults = []  # what the page complains of
    page.on("pageerror", lambda error: notebook.faults.append(str(error)))
    yield notebook
    page.context.close()


@pytest.fixture
def notebook(shared: Notebook, request: pytest.FixtureRequest) -> Iterator[Notebook]:
    """That notebook, with no faults noted yet."""
    shared.faults.clear()
    yield shared
    if getattr(request.node, "failed", False):
        SCREENSHOTS.mkdir(exist_ok=True)
        shared.page.screenshot(path=SCREENSHOTS / f"{request.node.name}.png")
    assert shared.faults == []


@pytest.fixture
def panel(notebook: Notebook) -> Panel:
    """A panel with an empty conversation, and nothing typed in it."""
    notebook.page.evaluate("sessionStorage.clear()")
    notebook.run(1)
    panel = Panel(notebook.page)
    panel.prompt.fill("")
    begin(panel)
    return panel


def begin(panel: Panel) -> str:
    """Another conversation; its name."""
    before = chats(panel).input_value()
    panel.button("New conversation").click()
    expect(chats(panel)).not_to_have_value(before)
    expect(panel.log).to_contain_text("Nothing was asked in")
    return chats(panel).input_value()


def chats(panel: Panel) -> Locator:
    return panel.root.get_by_label("Conversation", exact=True).first


def go(panel: Panel, name: str, begins: str = "") -> None:
    """Go on with another conversation, and wait until it is there."""
    chats(panel).select_option(name)
    expect(panel.log).to_contain_text(begins or f"Nothing was asked in {name} yet")


def edited(panel: Panel) -> Locator:
    return panel.turn(1).get_by_label("The prompt of this turn")


def edit(panel: Panel) -> None:
    """Begin to edit the first turn."""
    panel.button("Edit and ask again", panel.turn(1)).click()
    edited(panel).fill("half typed")


def test_a_prompt_that_is_edited_waits_in_its_own_conversation(panel):
    panel.answered("in one")
    one = chats(panel).input_value()  # its first prompt has named it
    edit(panel)

    begin(panel)
    panel.answered("in the other")
    other = edited(panel).count()
    go(panel, one, "in one")

    assert other == 0
    expect(panel.prompt).to_have_value("")
    expect(edited(panel)).to_have_value("half typed")


def test_a_renamed_conversation_keeps_what_is_typed_and_one_that_is_removed_gives_it_back(panel, notebook):
    panel.answered("one")
    edit(panel)
    panel.button("Rename the conversation").click()
    panel.root.get_by_label("New name of the conversation").fill("renamed just now")
    panel.root.get_by_label("New name of the conversation").press("Enter")
    expect(chats(panel)).to_have_value("renamed just now")
    expect(panel.button("Rename the conversation")).to_be_focused()
    expect(edited(panel)).to_have_value("half typed")

    panel.choose("Clear the conversation")
    expect(panel.prompt).to_have_value("half typed")
    expect(panel.note).to_contain_text("your text is below")


def test_each_conversation_has_its_draft(panel):
    one = chats(panel).input_value()
    panel.prompt.fill("for the one")
    other = begin(panel)
    expect(panel.prompt).to_have_value("for the one")  # it comes along, and is nowhere else
    panel.prompt.fill("for the other")
    panel.prompt.press("Control+a")
    go(panel, one)
    expect(panel.prompt).to_have_value("for the other")
    panel.prompt.fill("for the one again")
    panel.page.evaluate(PUT_DRAFT, other)

    go(panel, other)
    expect(panel.prompt).to_have_value("kept")
    go(panel, one)
    expect(panel.prompt).to_have_value("for the one again")
    panel.prompt.fill(f"/use {other}")
    panel.prompt.press("Escape")
    panel.prompt.press("Enter")
    expect(chats(panel)).to_have_value(other)
    expect(panel.prompt).to_have_value("kept")
    go(panel, one)
    expect(panel.prompt).to_have_value("kept")  # where a command was typed there is no draft any more


def test_a_command_leaves_what_is_attached(panel):
    panel.button("Attach a value or a file by name").click()
    panel.page.keyboard.type("numbers")
    panel.button("Attach").click()
    panel.prompt.fill("/temperature 0.3")
    panel.prompt.press("Enter")
    expect(panel.prompt).to_have_value("")

    expect(panel.root.get_by_role("group", name="Attached")).to_have_text("numbers")
    panel.answered("what are these?")
    expect(panel.root.get_by_role("group", name="Attached")).to_be_hidden()


def test_a_prompt_of_before_comes_step_by_step_and_never_over_what_was_typed_meanwhile(panel, notebook, lab):
    for prompt in ("first", "second", "third"):
        panel.answered(prompt)
    panel.prompt.focus()
    for key in ("ArrowUp", "ArrowUp"):
        panel.page.keyboard.press(key)  # nobody waits between
    expect(panel.prompt).to_have_value("second")
    panel.prompt.fill("")

    now = lab.folder / "now"
    notebook.run(2)
    panel.prompt.focus()
    panel.page.keyboard.press("ArrowUp")
    panel.page.keyboard.type("typed meanwhile")
    now.touch()
    panel.button("Search").click()
    panel.root.get_by_label("Words to look for").fill("first")
    panel.root.get_by_role("group", name="Found").get_by_role("button").first.wait_for()  # it has answered by now
    panel.button("Search").click()
    now.unlink()
    notebook.run(3)

    expect(panel.prompt).to_have_value("typed meanwhile")


def test_what_is_below_the_head_is_set_only_where_it_was_changed_and_where_it_was_meant(panel, notebook):
    drawer, system = panel.button("System prompt and temperature"), panel.root.get_by_label("System prompt", exact=True)
    drawer.click()
    system.fill("For this one.")
    panel.button("Save").click()
    expect(system).to_be_hidden()
    drawer.click()
    panel.root.get_by_label("Temperature", exact=True).fill("0.4")
    begin(panel)

    panel.button("Save").click()
    expect(panel.note).to_contain_text("The panel shows another conversation now")
    expect(system).to_be_visible()
    panel.button("Save").click()
    expect(system).to_be_hidden()
    drawer.click()

    expect(system).to_have_value("")
    expect(panel.root.get_by_label("Temperature", exact=True)).to_have_value("0.4")
    panel.button("Cancel").click()


def test_a_key_that_is_not_for_the_list_goes_to_the_prompt(panel):
    panel.prompt.focus()
    panel.page.keyboard.type("what is {numb")
    expect(panel.options.first).to_contain_text("numbers")
    panel.page.keyboard.press("Shift+Enter")
    expect(panel.prompt).to_have_value("what is {numb\n")

    panel.prompt.fill("")
    panel.page.keyboard.type("what is {numb")
    expect(panel.options.first).to_contain_text("numbers")
    panel.page.keyboard.press("Home")
    panel.page.keyboard.press("Enter")
    expect(panel.reply(1)).to_have_text("what is {numb")
    panel.ended()


def test_two_clicks_in_a_row_ask_once(panel):
    panel.answered("one")
    names = chats(panel).locator("option").count()

    panel.button("New conversation").dblclick()
    expect(chats(panel).locator("option")).to_have_count(names + 1)
    panel.answered("in another")
    panel.button("Ask again", panel.turn(1)).evaluate("it => { it.click(); it.click(); }")
    expect(panel.turn(1).locator(".fg-count")).to_have_text("2/2")
    panel.ended()
    panel.button("Edit and ask again", panel.turn(1)).click()
    edited(panel).fill("edited")
    edited(panel).evaluate(TWO_ENTERS)
    expect(panel.reply(1)).to_have_text("edited")
    panel.ended()
    panel.answered("and on")

    expect(panel.turn(1).locator(".fg-count")).to_have_text("3/3")
    expect(chats(panel).locator("option")).to_have_count(names + 1)


def test_a_name_that_is_left_by_a_click_keeps_the_focus_where_it_was_put(panel):
    panel.button("Rename the conversation").click()
    panel.page.keyboard.type("left by a click")
    panel.prompt.click()
    panel.page.keyboard.type("typed at once")

    expect(panel.prompt).to_have_value("typed at once")
    expect(chats(panel)).to_have_value("left by a click")


def test_what_is_typed_in_a_turn_outlives_the_page(panel, notebook):
    panel.answered("one")
    edit(panel)
    notebook.save()

    panel.page.reload()
    panel = Panel(panel.page)
    notebook.wait_for_idle()  # before that it says that it cannot reach the kernel
    expect(edited(panel)).to_have_value("half typed")
    panel.button("Ask", panel.turn(1)).click()  # by now the front end may have taken the focus
    expect(panel.reply(1)).to_have_text("half typed")
    panel.ended()
    notebook.save()
    panel.page.reload()
    panel = Panel(panel.page)

    expect(panel.reply(1)).to_have_text("half typed")
    expect(edited(panel)).to_have_count(0)


def test_the_focus_stays_at_the_button_that_was_pressed(panel):
    for prompt in ("one", "two"):
        panel.answered(prompt)
    for name, then in [
        ("Ask again", "Ask again"),
        ("Earlier version", "Later version"),
        ("Later version", "Earlier version"),
        ("Continue the reply", "Continue the reply"),
        ("Branch from here", "Branch from here"),
    ]:
        panel.button(name, panel.turn(2)).focus()
        panel.page.keyboard.press("Enter")
        panel.ended()
        expect(panel.button(then, panel.turn(2))).to_be_focused()
        panel.page.keyboard.type("dd")  # in command mode this deletes the cell


def test_who_reads_on_while_it_is_asked_again_is_not_taken_back_to_the_button(panel, notebook):
    panel.answered("word " * 400)
    notebook.run(5)
    panel.button("Ask again", panel.turn(1)).focus()
    panel.page.keyboard.press("Enter")
    expect(panel.log).to_be_focused()
    panel.page.keyboard.press("Space")
    panel.send.click()
    panel.ended()
    panel.log.focus()
    notebook.run(6)
    panel.log.focus()
    panel.page.keyboard.press("Space")

    panel.answered("and on")
    expect(panel.turn(1).locator(".fg-count")).to_have_text("1/2")  # nothing had come of the second


def test_an_edit_that_was_out_of_view_is_there_again(panel):
    for number in range(8):
        panel.answered(f"number {number} " + "word " * 200)
    panel.log.focus()
    panel.page.keyboard.press("Home")
    edit(panel)
    panel.log.focus()
    panel.page.keyboard.press("End")
    expect(panel.turn(1)).to_have_count(0)
    panel.page.keyboard.press("Home")

    expect(edited(panel)).to_be_visible()
    expect(edited(panel)).to_have_value("half typed")


def test_what_is_typed_in_a_conversation_that_is_removed_costs_no_other_its_draft(panel, notebook):
    panel.answered("one")
    name = chats(panel).input_value()
    panel.prompt.fill("comes along")
    panel.page.evaluate(PUT_DRAFT, "main")
    edit(panel)

    notebook.cell(7).locator(".cm-content").click()
    panel.page.keyboard.press("Control+a")
    panel.page.keyboard.type(f"%flowgpt rm '{name}'")
    notebook.run(7)

    expect(panel.prompt).to_have_value("kept\n\nhalf typed")
    expect(chats(panel)).to_have_value("main")


def test_a_draft_in_another_conversation_is_named_when_the_panel_is_opened(panel, notebook):
    name = chats(panel).input_value()
    panel.prompt.fill("half typed")
    panel.page.evaluate(PUT_DRAFT, "another")
    panel.prompt.fill("/new another")
    panel.prompt.press("Escape")
    panel.prompt.press("Enter")
    expect(panel.prompt).to_have_value("kept")
    panel.page.evaluate(PUT_DRAFT, name)
    panel.answered("sent")

    notebook.run(1)
    panel = Panel(panel.page)
    expect(panel.note).to_have_text(f"What you typed is kept in {name}.")


def test_a_reply_whose_turn_was_set_aside_can_be_stopped(panel, notebook):
    notebook.run(5)  # slow
    panel.ask("never comes")
    expect(panel.turn(1)).to_be_visible()
    panel.prompt.fill("another")
    panel.prompt.press("Enter")
    expect(panel.note).to_contain_text("A reply is still arriving")
    panel.prompt.fill("/clear")
    panel.prompt.press("Escape")
    panel.prompt.press("Enter")

    expect(panel.log).to_contain_text("Nothing was asked in")
    expect(panel.hint).to_contain_text("the turns are set aside")
    expect(panel.send).to_have_attribute("aria-label", "Stop")
    panel.send.click()
    panel.ended()
    notebook.run(6)


def test_a_note_that_a_reply_arrives_goes_with_it(panel, notebook):
    notebook.run(5)
    panel.ask("never comes")
    expect(panel.turn(1)).to_be_visible()
    panel.prompt.fill("another")
    panel.prompt.press("Enter")
    expect(panel.note).to_contain_text("A reply is still arriving")

    panel.send.click()
    expect(panel.note).to_be_hidden()
    expect(panel.prompt).to_have_value("another")
    notebook.run(6)


def test_one_drawer_is_open_at_a_time_and_the_composer_stays_in_view(panel):
    panel.root.evaluate("root => { root.style.height = root.parentElement.style.width = '320px' }")
    panel.button("System prompt and temperature").click()
    panel.button("Search").click()

    expect(panel.root.get_by_label("System prompt", exact=True)).to_be_hidden()
    expect(panel.root.get_by_label("Words to look for")).to_be_focused()
    panel.button("System prompt and temperature").click()
    expect(panel.root.get_by_label("Words to look for")).to_be_hidden()
    assert panel.root.evaluate(BELOW) <= 0
    panel.button("Cancel").click()
    panel.root.evaluate("root => { root.style.height = root.parentElement.style.width = '' }")


def test_what_is_typed_below_the_head_is_there_again_unless_it_was_given_up(panel):
    drawer, system = panel.button("System prompt and temperature"), panel.root.get_by_label("System prompt", exact=True)
    drawer.click()
    system.fill("a long system prompt")
    system.press("Escape")
    expect(system).to_be_hidden()
    drawer.click()
    expect(system).to_have_value("a long system prompt")

    panel.button("Cancel").click()
    drawer.click()
    expect(system).to_have_value("")
    panel.button("Cancel").click()

"""What a person sees of a model's reasoning: one line that opens while it arrives, in a cell and in the panel."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Locator, expect

from tests.browser.conftest import Lab
from tests.browser.panels import OPEN, in_cell

# A model that reasons until the file "now" is there, and then answers.
THINKER = """
import asyncio, pathlib
from flowgpt_magic.messages import Reasoning
from flowgpt_magic.providers.echo import Echo

async def reasoned(*_args, **_how):
    number = 0
    while not pathlib.Path("now").exists():
        number += 1
        yield Reasoning(f"thought <b>{number}</b>. ")
        await asyncio.sleep(0.05)
    yield "the answer"

Echo.create_async_generator = staticmethod(reasoned)
"""
THINKING = re.compile(r"^Thinking… \d+ s")
THOUGHT = re.compile(r"^Thought for \d+ s$")


@pytest.fixture
def now(lab: Lab) -> Iterator[Path]:
    """The file that lets the answer begin."""
    yield lab.folder / "now"
    (lab.folder / "now").unlink(missing_ok=True)


def grows(fold: Locator) -> None:
    """Wait until the reasoning that is shown has become more."""
    before = fold.inner_text()
    expect(fold).not_to_have_text(before, use_inner_text=True)


def test_in_a_cell_the_line_stays_open_through_repaints_and_is_gone_at_the_first_word(open_notebook, now):
    notebook = open_notebook(THINKER, "%%flowgpt\nhello")
    notebook.run(1)

    notebook.begin(2)

    fold = notebook.output(2).locator("details.flowgpt-reasoning")
    summary = fold.locator("summary")
    expect(summary).to_have_text(THINKING)
    expect(fold).not_to_have_attribute("open", "")
    summary.focus()
    notebook.page.keyboard.press("Enter")
    expect(fold).to_have_attribute("open", "")
    expect(fold).to_contain_text("thought <b>1</b>.")
    grows(fold)
    grows(fold)
    expect(fold).to_have_attribute("open", "")
    expect(summary).to_be_focused()
    now.touch()
    notebook.finished(2)
    expect(fold).to_have_count(0)
    expect(notebook.output(2)).to_contain_text("the answer")
    expect(notebook.output(2)).to_contain_text(re.compile(r"thought \d+ s"))
    saved = notebook.save().cells[2]
    assert saved.outputs[0].data["text/plain"] == "the answer"
    assert not re.search("(<|&lt;)b(>|&gt;)1", str(saved))


def test_what_is_kept_is_folded_and_not_in_the_plain_text(open_notebook, now):
    notebook = open_notebook(THINKER, "%config FlowGPT.keep_reasoning = True", "%%flowgpt\nhello")
    notebook.run(1)
    notebook.run(2)
    notebook.begin(3)
    fold = notebook.output(3).locator("details.flowgpt-reasoning")
    fold.locator("summary").click()
    expect(fold).to_contain_text("thought <b>9</b>.")

    now.touch()
    notebook.finished(3)

    expect(fold.locator("summary")).to_have_text(THOUGHT)
    expect(fold).not_to_have_attribute("open", "")
    fold.locator("summary").click()
    expect(fold).to_contain_text("thought <b>9</b>.")
    (output,) = notebook.save().cells[3].outputs
    assert output.data["text/plain"] == "the answer"


def test_in_the_panel_the_line_opens_with_the_keyboard_closes_at_the_first_word_and_opens_again(open_notebook, now):
    notebook = open_notebook(THINKER, OPEN)
    notebook.run(1)
    panel = in_cell(notebook, 2)
    panel.ask("hello")
    fold = panel.turn(1).locator(".fg-thoughts")
    summary = fold.locator("summary")

    expect(summary).to_have_text(THINKING)
    expect(panel.status).to_have_text("The model is thinking.")
    summary.focus()
    notebook.page.keyboard.press("Enter")
    expect(fold).to_contain_text("thought <b>1</b>. thought <b>2</b>.")
    grows(fold)
    grows(fold)
    expect(summary).to_be_focused()
    now.touch()
    panel.ended()
    expect(panel.reply(1)).to_have_text("the answer")
    expect(summary).to_have_text(THOUGHT)
    expect(fold).not_to_have_attribute("open", "")
    summary.click()
    expect(fold).to_contain_text("thought <b>3</b>.")

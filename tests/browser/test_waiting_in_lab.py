"""What a person sees while nothing of a reply has come, in a cell and in the panel."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Locator, expect

from tests import servers
from tests.browser.conftest import Lab
from tests.browser.panels import OPEN, in_cell

SAVED = r"(?: · still arriving: %flowgpt show has the rest)?\s*$"  # in a cell, not in a panel
COUNTS = re.compile(rf"^echo:words · \d+ s{SAVED}")
ASKING_AGAIN = re.compile(rf"^flowgpt answered 429; asking again in \d+ s{SAVED}")


@pytest.fixture
def refusing() -> Iterator[str]:
    """What a cell runs so that the provider flowgpt asks a server that wants a minute between two requests."""
    with servers.served(servers.answering(servers.whole(b"{}", 429, Retry_After="60"))) as url:
        yield f"%config FlowGPT.base_url = '{url}'\n%config FlowGPT.model = 'flowgpt'"


# A reply that begins when the file "now" is there: a busy machine may show no second of a few.
LATE = """
import asyncio, pathlib
from flowgpt_magic.providers.echo import Echo

async def late(*_args, **_how):
    while not pathlib.Path("now").exists():
        await asyncio.sleep(0.01)
    yield "hello"

Echo.create_async_generator = staticmethod(late)
"""


@pytest.fixture
def now(lab: Lab) -> Iterator[Path]:
    """The file that lets a late reply begin."""
    yield lab.folder / "now"
    (lab.folder / "now").unlink(missing_ok=True)


def counts(shown: Locator) -> None:
    """Wait until the seconds are shown, and have become more."""
    expect(shown).to_have_text(COUNTS)
    first = shown.inner_text()
    expect(shown).not_to_have_text(first)
    expect(shown).to_have_text(COUNTS)


def test_a_cell_counts_the_seconds_until_the_first_text(open_notebook, now):
    notebook = open_notebook(LATE, "%%flowgpt\nhello")
    notebook.run(1)

    notebook.begin(2)

    counts(notebook.output(2))
    now.touch()
    notebook.finished(2)
    (output,) = notebook.save().cells[2].outputs
    assert output.data["text/plain"] == "hello"
    assert not re.search(r"· \d+ s", str(output))


def test_a_cell_says_when_it_is_asked_again_and_stop_ends_that(open_notebook, refusing):
    notebook = open_notebook(refusing, "%%flowgpt\nhello")
    notebook.run(1)
    notebook.begin(2)
    expect(notebook.output(2)).to_have_text(ASKING_AGAIN)

    notebook.page.keyboard.press("Escape")
    notebook.page.keyboard.press("i")
    notebook.page.keyboard.press("i")

    notebook.finished(2)
    expect(notebook.output(2)).to_contain_text(" · interrupted")
    assert "asking again in" not in str(notebook.save().cells[2])


def test_a_panel_counts_the_seconds_until_the_first_text(open_notebook, now):
    notebook = open_notebook(LATE, OPEN)
    notebook.run(1)
    panel = in_cell(notebook, 2)

    panel.ask("hello")

    who = panel.turn(1).locator(".fg-caption > summary")
    counts(who)
    now.touch()
    panel.ended()
    expect(who).to_have_text(re.compile(r"^echo:words · .* · \d+\.\d s$"))
    expect(panel.reply(1)).to_have_text("hello")


def test_a_panel_says_when_it_is_asked_again_and_stop_ends_that(open_notebook, refusing):
    notebook = open_notebook(refusing, OPEN)
    notebook.run(1)
    panel = in_cell(notebook, 2)
    panel.ask("hello")
    waiting = panel.turn(1).locator(".fg-waiting")
    expect(waiting).to_have_text(ASKING_AGAIN)
    first = waiting.text_content()
    expect(waiting).not_to_have_text(first)
    expect(panel.status).to_have_text("flowgpt answered 429; asking again in 60 s.")

    panel.send.click()

    panel.ended()
    expect(waiting).to_be_hidden()
    expect(panel.turn(1)).to_contain_text("interrupted")
    expect(panel.asked(1)).to_have_text("hello")


READING = """
import asyncio, pathlib
from flowgpt_magic.messages import progress
from flowgpt_magic.providers.echo import Echo

async def reading(*_args, **_how):
    progress("reads the prompt, 40 %")
    while not pathlib.Path("now").exists():
        await asyncio.sleep(0.01)
    yield "read"

Echo.create_async_generator = staticmethod(reading)
"""


def test_a_cell_and_a_panel_say_what_the_provider_does_until_the_first_text(open_notebook, now):
    notebook = open_notebook(READING, "%%flowgpt\nhello", OPEN)
    notebook.run(1)

    notebook.begin(2)
    expect(notebook.output(2)).to_have_text(re.compile(rf"^echo:words · \d+ s · reads the prompt, 40 %{SAVED}"))
    now.touch()
    notebook.finished(2)
    now.unlink()
    panel = in_cell(notebook, 3)
    panel.ask("hello")

    who = panel.turn(2).locator(".fg-caption > summary")
    expect(who).to_have_text(re.compile(r"^echo:words · \d+ s · reads the prompt, 40 %$"))
    now.touch()
    panel.ended()
    expect(who).to_have_text(re.compile(r"^echo:words · .* · \d+\.\d s$"))

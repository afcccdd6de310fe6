"""A chat panel in a page, driven as a person would."""

from __future__ import annotations

import re

from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import Notebook

OPEN = "%flowgpt panel"


class Panel:
    """The panel that is shown in the output of a cell, by default of the first that shows one."""

    def __init__(self, page: Page, number: int = 0) -> None:
        self.page = page
        self.root = page.locator(".flowgpt-panel").nth(number)
        self.root.wait_for()
        self.prompt = self.root.get_by_label("Prompt", exact=True)
        self.send = self.root.locator(".fg-send")
        self.log = self.root.get_by_role("log")
        self.status = self.root.get_by_role("status")
        self.note = self.root.get_by_role("alert")
        self.options = self.root.locator(".fg-list").get_by_role("option")
        self.hint = self.root.locator(".fg-composer > .fg-hint")

    def ask(self, text: str) -> None:
        """Type a prompt and send it; do not wait for the reply."""
        self.prompt.fill(text)
        self.prompt.press("Enter")

    def ended(self) -> None:
        """Wait until nothing arrives."""
        expect(self.send).to_have_attribute("aria-label", "Send")

    def answered(self, text: str) -> None:
        """Ask, and wait for the end of the reply."""
        self.ask(text)
        expect(self.prompt).to_have_value("")
        self.ended()

    def turn(self, number: int) -> Locator:
        return self.root.get_by_role("article", name=f"Turn {number} of")

    def reply(self, number: int) -> Locator:
        return self.turn(number).locator(".fg-answer > .fg-blocks")

    def asked(self, number: int) -> Locator:
        return self.turn(number).locator(".fg-prompt")

    def button(self, name: str, inside: Locator | None = None) -> Locator:
        return (inside or self.root).get_by_role("button", name=name, exact=True)

    @property
    def model(self) -> Locator:
        """The button that names the model."""
        return self.root.get_by_role("button", name=re.compile("^Model: "))

    def choose_model(self, name: str) -> None:
        """Choose a model from the list, with a part of its name."""
        self.model.click()
        self.root.get_by_label("Find a model").fill(name)
        self.root.get_by_role("option").filter(has_text=name).first.click()
        expect(self.model).to_contain_text(name)

    def choose(self, item: str) -> None:
        """An item of the menu."""
        self.button("More").click()
        self.root.get_by_role("menuitem", name=item, exact=True).click()


def in_cell(notebook: Notebook, number: int) -> Panel:
    """Run the cell that shows a panel."""
    notebook.run(number)
    return Panel(notebook.page)

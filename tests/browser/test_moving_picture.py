"""Makes ``notebooks/flowgpt.gif`` from the running product: ``pytest -m picture`` writes it anew.

The embedded model answers, at its own pace.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Browser, Page

from tests.browser.conftest import LIMIT, Lab, Notebook
from tests.browser.panels import Panel
from tests.models_on_disk import weights_on_disk

PICTURE = Path(__file__).parents[2] / "notebooks" / "flowgpt.gif"
SIZE = {"width": 820, "height": 600}
PAUSE = 150  # milliseconds between two frames
LAST = 3_000  # milliseconds that the last frame stays
COLOURS = 48
LARGEST = 2**21  # bytes

PROMPT = "%%flowgpt -t 0\nWrite a Python function that reverses a string."


class Film:
    """The frames of a page; equal ones become one that stays longer."""

    def __init__(self, page: Page) -> None:
        self._page = page
        self._frames: list[Image.Image] = []
        self._durations: list[int] = []
        self._before = b""

    def frame(self) -> None:
        area = self._page.locator(".jp-Notebook").bounding_box()
        assert area is not None
        shot = self._page.screenshot(clip=area)
        if shot == self._before:
            self._durations[-1] += PAUSE
            return
        self._before = shot
        image = Image.open(io.BytesIO(shot)).convert("RGB")
        self._frames.append(image.quantize(COLOURS, dither=Image.Dither.NONE))
        self._durations.append(PAUSE)

    def until(self, ended: Callable[[], bool]) -> None:
        """Frames until ``ended``, and one after it."""
        while not ended():
            self.frame()
            self._page.wait_for_timeout(PAUSE)
        self.frame()

    def type(self, text: str) -> None:
        for number, character in enumerate(text):
            self._page.keyboard.type(character)
            if number % 4 == 0:
                self.frame()
        self.frame()

    def save(self, path: Path) -> None:
        self._durations[-1] = LAST
        first, *others = self._frames
        first.save(path, save_all=True, append_images=others, duration=self._durations, loop=0, optimize=True)


@pytest.fixture
def notebook(browser: Browser, tmp_path: Path) -> Iterator[Notebook]:
    """A notebook whose prompts the embedded model answers, in a page of its own."""
    lab = Lab(tmp_path)
    lab.environment |= {"FLOWGPT_MODEL": "local", "FLOWGPT_DATA_DIR": str(weights_on_disk())}
    with lab.running(), browser.new_context(viewport=SIZE) as context:  # type: ignore[arg-type]
        context.set_default_timeout(1000 * LIMIT)
        path = lab.write("chat.ipynb", "%load_ext flowgpt_magic", "", "%flowgpt panel")
        yield Notebook(context.new_page(), lab, path)


@pytest.mark.picture
def test_the_moving_picture_shows_a_cell_and_the_panel(notebook: Notebook):
    page = notebook.page
    page.evaluate("window.jupyterapp.shell.collapseLeft()")
    notebook.run(0)
    film = Film(page)
    notebook.cell(1).locator(".cm-content").click()
    film.type(PROMPT)
    page.keyboard.press("Control+Enter")
    film.until(lambda: "[2]" in notebook.cell(1).locator(".jp-InputPrompt").inner_text())

    notebook.run(2)
    panel = Panel(page)
    panel.root.scroll_into_view_if_needed()
    panel.prompt.click()
    film.type("And one that counts the vowels.")
    page.keyboard.press("Enter")
    film.until(lambda: panel.send.get_attribute("aria-label") == "Send" and panel.prompt.input_value() == "")
    film.save(PICTURE)

    assert PICTURE.stat().st_size < LARGEST

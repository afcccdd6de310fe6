"""Show a batch in a notebook: a bar while it runs, and in its place what has become of it.

A bar is a widget, and a saved notebook would keep it as it was when it appeared: at nought.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Protocol
from uuid import uuid4

from flowgpt_magic.batch.progress import Bar, NoBar, Pause, advance, text_bar
from flowgpt_magic.display.show import show_answer, widget_view
from flowgpt_magic.notebook.ipython import headless, in_console, in_kernel, publish
from flowgpt_magic.tables import bundle

if TYPE_CHECKING:
    from collections.abc import Callable

    from flowgpt_magic.batch.results import Tally
    from flowgpt_magic.messages import Status
    from flowgpt_magic.tables import Table

INTERVAL = 0.1  # seconds between two looks of a bar


class WidgetBar:
    """The bar of a notebook, in an output of its own that becomes a table at the end."""

    def __init__(self, total: int | None) -> None:
        from tqdm.notebook import tqdm

        self._bar = tqdm(total=total, unit=" prompts", display=False)
        self._name = f"flowgpt-batch-{uuid4().hex[:12]}"
        self._shown_at = 0.0
        container = self._bar.container
        self._publish(widget_view(container.model_id, repr(container)), update=False)

    def show(self, tally: Tally, pause: Pause | None = None) -> None:
        """So many have ended."""
        if time.monotonic() - self._shown_at >= INTERVAL:
            self._shown_at = time.monotonic()
            advance(self._bar, tally, pause)

    def close(self, ending: Callable[[], Table]) -> None:
        """A table takes its place, and the widgets go."""
        container, shown = self._bar.container, ending()
        self._bar.close()
        self._publish(bundle(shown), update=True)
        for widget in (*container.children, container):
            widget.close()

    def _publish(self, data: Any, *, update: bool) -> None:
        publish(data, transient={"display_id": self._name}, update=update)


class ShownBatch(Protocol):
    """A batch, as far as it is looked at to show it."""

    @property
    def status(self) -> Status | None:
        """None before it is read."""

    @property
    def has_progress(self) -> bool:
        """Is a bar shown while it runs?"""

    def read(self) -> object:
        """Ask all of it."""

    def table(self) -> Table:
        """What has become of it."""


def bar(total: int | None) -> Bar:
    """The bar of this shell."""
    if not in_kernel():
        return text_bar(total)
    return WidgetBar(total) if has_widgets() else NoBar()


def has_widgets() -> bool:
    """Does a front end look on that shows widgets? A console shows none, and a run without a person saves them."""
    return in_kernel() and not headless() and not in_console()


def show(batch: ShownBatch) -> None:
    """Read a batch that is the value of a cell's last line to its end, and show what has become of it.

    Fails the cell where the batch was interrupted, or stopped. One that is read already is shown as it is.
    """
    if batch.status is not None:
        show_answer(batch.table(), [])
        return
    in_place = batch.has_progress and has_widgets()  # the bar becomes the table
    try:
        batch.read()
    finally:
        if not in_place:
            show_answer(batch.table(), [])

"""Show a batch in a notebook: a bar while it runs, replaced by a table at the end.

A saved notebook would keep the bar, which is a widget, in its first state: at zero.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Protocol
from uuid import uuid4

from flowgpt_magic.batch.progress import HiddenBar, Pause, ProgressBar, advance, terminal_bar
from flowgpt_magic.display.show import show_answer, widget_view
from flowgpt_magic.notebook.ipython import headless, in_console, in_kernel, publish
from flowgpt_magic.tables import bundle

if TYPE_CHECKING:
    from collections.abc import Callable

    from flowgpt_magic.batch.results import BatchCounts
    from flowgpt_magic.messages import Status
    from flowgpt_magic.tables import Table

INTERVAL = 0.1  # seconds between two updates of a bar


class WidgetBar:
    """The bar of a notebook, in its own output, which becomes a table at the end."""

    def __init__(self, total: int | None) -> None:
        from tqdm.notebook import tqdm

        self._bar = tqdm(total=total, unit=" prompts", display=False)
        self._name = f"flowgpt-batch-{uuid4().hex[:12]}"
        self._shown_at = 0.0
        container = self._bar.container
        self._publish(widget_view(container.model_id, repr(container)), update=False)

    def show(self, counts: BatchCounts, pause: Pause | None = None) -> None:
        """Show the counts and the current ``pause``."""
        if time.monotonic() - self._shown_at >= INTERVAL:
            self._shown_at = time.monotonic()
            advance(self._bar, counts, pause)

    def close(self, ending: Callable[[], Table]) -> None:
        """Replace the bar by a table, and close the widgets."""
        container, shown = self._bar.container, ending()
        self._bar.close()
        self._publish(bundle(shown), update=True)
        for widget in (*container.children, container):
            widget.close()

    def _publish(self, data: Any, *, update: bool) -> None:
        publish(data, transient={"display_id": self._name}, update=update)


class ShownBatch(Protocol):
    """What is needed of a batch to show it."""

    @property
    def status(self) -> Status | None:
        """None before it is read."""

    @property
    def has_progress(self) -> bool:
        """Does it show a bar while it runs?"""

    def read(self) -> object:
        """Read it to its end."""

    def table(self) -> Table:
        """Its summary."""


def bar(total: int | None) -> ProgressBar:
    """The progress bar for this shell."""
    if not in_kernel():
        return terminal_bar(total)
    return WidgetBar(total) if has_widgets() else HiddenBar()


def has_widgets() -> bool:
    """Is there a front end that shows widgets? A console shows none, and a headless run would save them."""
    return in_kernel() and not headless() and not in_console()


def show(batch: ShownBatch) -> None:
    """Read the batch in a cell's last line to its end, and show its summary.

    Fails the cell if the batch was interrupted or stopped. A batch that was read before is shown as it is.
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

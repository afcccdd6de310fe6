"""The progress of a batch: a tqdm bar on a terminal's error output. ``notebook_bar`` has the one for notebooks."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from flowgpt_magic.batch.results import BatchCounts
from flowgpt_magic.tables import Table

PAUSE_SHOWN = 2.0  # seconds; a shorter requested pause is not shown


@dataclass(frozen=True)
class Pause:
    """No request goes out for ``seconds``; 0 while a probe is in flight.

    ``patience`` is the seconds left to wait for a server that fails for all; None if the server only asks to wait.
    """

    seconds: float
    patience: float | None = None

    def __str__(self) -> str:
        if self.patience is None:
            return f"waiting {math.ceil(self.seconds)} s, as the server asks"
        when = f"next try in {math.ceil(self.seconds)} s" if self.seconds else "trying again"
        return f"the server fails: {when}, giving up in {math.ceil(self.patience)} s"

    @property
    def shown(self) -> bool:
        """Is it long enough to be shown?"""
        return self.patience is not None or self.seconds > PAUSE_SHOWN


class ProgressBar(Protocol):
    """Shows the progress of a batch."""

    def show(self, counts: BatchCounts, pause: Pause | None = None) -> None:
        """Show the counts and the current ``pause``."""

    def close(self, ending: Callable[[], Table]) -> None:
        """The batch has ended; ``ending`` returns its summary."""


class HiddenBar:
    """Shows nothing."""

    def show(self, counts: BatchCounts, pause: Pause | None = None) -> None:
        """Show nothing."""

    def close(self, ending: Callable[[], Table]) -> None:
        """Show nothing."""


class TerminalBar:
    """A line that is rewritten."""

    def __init__(self, total: int | None) -> None:
        from tqdm import tqdm

        self._bar = tqdm(total=total, unit=" prompts", file=sys.stderr, dynamic_ncols=True)

    def show(self, counts: BatchCounts, pause: Pause | None = None) -> None:
        advance(self._bar, counts, pause)

    def close(self, ending: Callable[[], Table]) -> None:  # noqa: ARG002 # a terminal shows the summary on request
        self._bar.close()


def advance(bar: Any, counts: BatchCounts, pause: Pause | None) -> None:
    """Update a tqdm bar with ``counts``; it draws itself anew ten times a second at most."""
    parts = [f"{counts.failed:,} failed"] if counts.failed else []
    if counts.replayed:
        parts.append(f"{counts.replayed:,} from the history")
    if pause is not None and pause.shown:
        parts.append(str(pause))
    before, words = bar.postfix or "", ", ".join(parts)
    bar.set_postfix_str(words, refresh=False)
    if not bar.update(counts.ended - bar.n) and words != before:
        bar.refresh()


def terminal_bar(total: int | None) -> ProgressBar:
    """The bar of a terminal; a hidden one if stderr is not a terminal, for example a log."""
    return TerminalBar(total) if sys.stderr is not None and sys.stderr.isatty() else HiddenBar()

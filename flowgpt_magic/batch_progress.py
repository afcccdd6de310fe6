"""How far a batch is: a bar of tqdm on the error output of a terminal.

``display_batch`` has the one for a notebook. Where nobody looks on, there is none.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, Protocol

from flowgpt_magic.batch_results import Tally
from flowgpt_magic.tables import Table

PAUSE_SHOWN = 2.0  # seconds; a shorter pause that the server asks for is not worth a word


class Bar(Protocol):
    """Shows how far a batch is."""

    def show(self, tally: Tally, pausing: float = 0.0) -> None:
        """So many have ended; the server has asked to wait for ``pausing`` more seconds."""

    def close(self, ending: Callable[[], Table]) -> None:
        """It is over; ``ending`` tells what has become of it."""


class NoBar:
    """Shows nothing."""

    def show(self, tally: Tally, pausing: float = 0.0) -> None:
        """Nothing."""

    def close(self, ending: Callable[[], Table]) -> None:
        """Nothing."""


class TextBar:
    """A line that is written again and again."""

    def __init__(self, total: int | None) -> None:
        from tqdm import tqdm

        self._bar = tqdm(total=total, unit=" prompts", file=sys.stderr, dynamic_ncols=True)

    def show(self, tally: Tally, pausing: float = 0.0) -> None:
        advance(self._bar, tally, pausing)

    def close(self, ending: Callable[[], Table]) -> None:  # noqa: ARG002 # a terminal shows it where it is asked for
        self._bar.close()


def advance(bar: Any, tally: Tally, pausing: float) -> None:
    """Let a bar of tqdm show ``tally``; it draws itself anew ten times a second at most."""
    parts = [f"{tally.failed:,} failed"] if tally.failed else []
    if tally.replayed:
        parts.append(f"{tally.replayed:,} from the history")
    if pausing > PAUSE_SHOWN:
        parts.append(f"waiting {pausing:.0f} s, as the server asks")
    bar.set_postfix_str(", ".join(parts), refresh=False)
    if not bar.update(tally.ended - bar.n) and pausing > PAUSE_SHOWN:
        bar.refresh()


def text_bar(total: int | None) -> Bar:
    """The bar of a terminal; none where the error output is no terminal, such as a log."""
    return TextBar(total) if sys.stderr is not None and sys.stderr.isatty() else NoBar()

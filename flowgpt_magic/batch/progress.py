"""How far a batch is: a bar of tqdm on the error output of a terminal.

``display_batch`` has the one for a notebook. Where nobody looks on, there is none.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from flowgpt_magic.batch.results import Tally
from flowgpt_magic.tables import Table

PAUSE_SHOWN = 2.0  # seconds; a shorter pause that the server asks for is not worth a word


@dataclass(frozen=True)
class Pause:
    """No request goes for ``seconds``; 0 while one is under way that shows whether the server answers again.

    ``patience`` is for how many seconds more a server is waited for that fails for all; None where the server only asks
    to wait.
    """

    seconds: float
    patience: float | None = None

    def __str__(self) -> str:
        if self.patience is None:
            return f"waiting {math.ceil(self.seconds)} s, as the server asks"
        when = f"asked again in {math.ceil(self.seconds)} s" if self.seconds else "it is being asked again"
        return f"the server fails: {when}, for {math.ceil(self.patience)} s more"

    @property
    def shown(self) -> bool:
        """Is it worth a word?"""
        return self.patience is not None or self.seconds > PAUSE_SHOWN


class Bar(Protocol):
    """Shows how far a batch is."""

    def show(self, tally: Tally, pause: Pause | None = None) -> None:
        """So many have ended; at the moment there is this ``pause``."""

    def close(self, ending: Callable[[], Table]) -> None:
        """It is over; ``ending`` tells what has become of it."""


class NoBar:
    """Shows nothing."""

    def show(self, tally: Tally, pause: Pause | None = None) -> None:
        """Nothing."""

    def close(self, ending: Callable[[], Table]) -> None:
        """Nothing."""


class TextBar:
    """A line that is written again and again."""

    def __init__(self, total: int | None) -> None:
        from tqdm import tqdm

        self._bar = tqdm(total=total, unit=" prompts", file=sys.stderr, dynamic_ncols=True)

    def show(self, tally: Tally, pause: Pause | None = None) -> None:
        advance(self._bar, tally, pause)

    def close(self, ending: Callable[[], Table]) -> None:  # noqa: ARG002 # a terminal shows it where it is asked for
        self._bar.close()


def advance(bar: Any, tally: Tally, pause: Pause | None) -> None:
    """Let a bar of tqdm show ``tally``; it draws itself anew ten times a second at most."""
    parts = [f"{tally.failed:,} failed"] if tally.failed else []
    if tally.replayed:
        parts.append(f"{tally.replayed:,} from the history")
    if pause is not None and pause.shown:
        parts.append(str(pause))
    before, words = bar.postfix or "", ", ".join(parts)
    bar.set_postfix_str(words, refresh=False)
    if not bar.update(tally.ended - bar.n) and words != before:
        bar.refresh()


def text_bar(total: int | None) -> Bar:
    """The bar of a terminal; none where the error output is no terminal, such as a log."""
    return TextBar(total) if sys.stderr is not None and sys.stderr.isatty() else NoBar()

"""The line that a person sees while nothing of a reply has arrived: who is asked, and for how long.

It is gone when the first text comes or the reply ends, and it is never part of what a run without a person shows.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from flowgpt_magic import printing
from flowgpt_magic.text import cut, escaped, one_line

if TYPE_CHECKING:
    from flowgpt_magic.display.shown_reply import ShownReply

SHOWN_AFTER = 0.5  # seconds without text after which the line is shown
SAVE, RESTORE = "\x1b7", "\x1b8"  # the cursor's position; what stands before it on its line stays
WRAP_OFF, WRAP_ON, ERASE_REST = "\x1b[?7l", "\x1b[?7h", "\x1b[K"
DIM, NORMAL = "\x1b[2m", "\x1b[0m"

Publish = Callable[..., None]


def waiting_text(reply: ShownReply) -> str:
    """Who is asked, since when and what happens there, or why nobody is asked before some moment, on one line."""
    waiting = reply.waiting
    if waiting is not None:
        return one_line(str(waiting))
    words = [f"{reply.provider}:{reply.model}", f"{max(1, round(reply.elapsed))} s", reply.progress]
    return one_line(" · ".join(filter(None, words)))


class WaitingLine:
    """Says when the line for ``reply`` has changed; ``now`` is when somebody began to wait, on ``time.monotonic()``.

    The elapsed time changes once a second, and so does the time that is left of a pause.
    """

    def __init__(self, reply: ShownReply, now: float) -> None:
        self._reply = reply
        self._begun = now
        self._shown = ""

    def change(self, now: float) -> str:
        """The line, where it is another one than before; else empty."""
        if min(now - self._begun, self._reply.elapsed) < SHOWN_AFTER and self._reply.waiting is None:
            return ""
        text = waiting_text(self._reply)
        if text == self._shown:
            return ""
        self._shown = text
        return text

    def replaced(self) -> None:
        """Text has taken the place of the line, which is shown anew if somebody still waits."""
        self._shown = ""


class Line(Protocol):
    """Where the line is shown; ``behind_text`` says whether that can be behind text that stays."""

    behind_text: bool

    def show(self, text: str) -> None:
        """Show ``text`` in place of what was shown before."""

    def remove(self) -> None:
        """Take the line away, if it is there."""


class NoLine:
    """Where nothing can be taken back, nothing is shown."""

    behind_text = False

    def show(self, text: str) -> None:
        """Nothing: it would stay."""

    def remove(self) -> None:
        """Nothing is there."""


class TerminalLine:
    """Behind the cursor of a terminal that is ``columns`` wide; the cursor is where it was when the line is gone."""

    behind_text = True

    def __init__(self, columns: int) -> None:
        self._columns = columns
        self._shown = False

    def show(self, text: str) -> None:
        """Write over the line before."""
        shown = cut(text, max(1, self._columns - 1))
        begin = RESTORE if self._shown else SAVE
        printing.write(f"{begin}{WRAP_OFF}{DIM}{shown}{NORMAL}{ERASE_REST}{WRAP_ON}")
        self._shown = True

    def remove(self) -> None:
        """Erase it."""
        if self._shown:
            printing.write(f"{RESTORE}{ERASE_REST}")
        self._shown = False


class OutputLine:
    """In an output of a cell, called ``name``.

    ``clear`` clears the cell before its next output, where the cell shows nothing else; without it, the output stays
    and is empty in the end.
    """

    behind_text = False

    def __init__(self, publish: Publish, name: str, clear: Callable[[], None] | None = None) -> None:
        self._publish, self._name, self._clear = publish, name, clear
        self._shown = False

    def show(self, text: str) -> None:
        """Publish it, or update what was published."""
        self._send({"text/markdown": f"*{escaped(text)}*"}, {})
        self._shown = True

    def remove(self) -> None:
        """Clear the cell, or empty the output."""
        if not self._shown:
            return
        if self._clear is not None:
            self._clear()
        else:
            self._send({"text/plain": ""}, {})
        self._shown = False

    def replace(self, data: dict[str, str], metadata: dict[str, Any]) -> None:
        """Put a bundle into the place of the line, or into an output of its own where no line was shown."""
        if self._shown:
            self._send(data, metadata)
        else:
            self._publish(data, metadata)

    def _send(self, data: dict[str, str], metadata: dict[str, Any]) -> None:
        self._publish(data, metadata, transient={"display_id": self._name}, update=self._shown)

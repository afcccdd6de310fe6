"""The status line that is shown until a reply arrives: which model is asked, and for how long.

While the model reasons, the line opens to the reasoning, except in a terminal. It disappears when the first text
arrives or the reply ends. Headless runs never show it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from flowgpt_magic import printing
from flowgpt_magic.text import cut, one_line
from flowgpt_magic.transcripts.caption import STILL_ARRIVING, line_html
from flowgpt_magic.transcripts.reasoning import folded, thinking_line

if TYPE_CHECKING:
    from flowgpt_magic.display.shown_reply import ShownReply

SHOWN_AFTER = 0.5  # seconds without text
SHOWN_THOUGHTS = 4_000  # characters of reasoning below the line; each change of the line sends them again
SLOWING = 1.1  # a line that opens is next changed after this multiple of its seconds: many pages close it then
SAVE, RESTORE = "\x1b7", "\x1b8"  # the position of the cursor; text before it stays
WRAP_OFF, WRAP_ON, ERASE_REST = "\x1b[?7l", "\x1b[?7h", "\x1b[K"
DIM, NORMAL = "\x1b[2m", "\x1b[0m"

Publish = Callable[..., None]


class Thinking(str):
    """A status line that opens to the last of the reasoning so far."""

    reply: ShownReply
    seconds: float

    def __new__(cls, reply: ShownReply) -> Thinking:
        seconds = reply.usage.reasoning_seconds
        line = super().__new__(cls, thinking_line(seconds))
        line.reply, line.seconds = reply, seconds or 0.0
        return line


def waiting_text(reply: ShownReply) -> str:
    """The model, the seconds so far and the provider's progress; that it reasons; or why the next attempt waits."""
    waiting = reply.waiting
    if waiting is not None:
        return one_line(str(waiting))
    if reply.reasons:
        return Thinking(reply)
    words = [f"{reply.provider}:{reply.model}", f"{max(1, round(reply.elapsed))} s", reply.progress]
    return one_line(" · ".join(filter(None, words)))


def saved_line(text: str) -> str:
    """The line as Markdown, and that there will be more: a notebook that is saved now, or reloaded, keeps it."""
    line = f"{text} · {STILL_ARRIVING}"
    if isinstance(text, Thinking):
        return folded(line, text.reply.reasoning_so_far, limit=SHOWN_THOUGHTS)
    return line_html(line)


class WaitingLine:
    """Tells when the status line of ``reply`` changes, about once a second.

    ``now`` is when the wait began. All times are those of ``time.monotonic()``. ``opens``: can a line of reasoning be
    opened? It changes less and less often, so that there is time to read.
    """

    def __init__(self, reply: ShownReply, now: float, *, opens: bool = False) -> None:
        self._reply = reply
        self._begun = now
        self._opens = opens
        self._shown = ""

    def change(self, now: float) -> str:
        """The line if it differs from the last one, else an empty string."""
        if min(now - self._begun, self._reply.elapsed) < SHOWN_AFTER and self._reply.waiting is None:
            return ""
        text, before = waiting_text(self._reply), self._shown
        if text == before:
            return ""
        if self._opens and _is_soon(text, before):
            return ""
        self._shown = text
        return text

    def replaced(self) -> None:
        """Text has replaced the line. It is shown again if the reply stalls."""
        self._shown = ""


def _is_soon(text: str, before: str) -> bool:
    """Is ``text`` too soon after ``before`` for those who read the reasoning?"""
    if not (isinstance(text, Thinking) and isinstance(before, Thinking)):
        return False
    return before.seconds <= text.seconds < SLOWING * before.seconds


class StatusLine(Protocol):
    """Where the status line is shown. ``behind_text`` says whether it can follow text that stays."""

    behind_text: bool

    def show(self, text: str) -> None:
        """Show ``text`` instead of the line before."""

    def remove(self) -> None:
        """Remove the line if it is shown."""


class NoStatusLine:
    """No status line, for output of which nothing can be removed."""

    behind_text = False

    def show(self, text: str) -> None:
        """Do nothing."""

    def remove(self) -> None:
        """Do nothing."""


class TerminalStatusLine:
    """A line after the cursor of a terminal ``columns`` wide. Removing it puts the cursor back."""

    behind_text = True

    def __init__(self, columns: int) -> None:
        self._columns = columns
        self._shown = False

    def show(self, text: str) -> None:
        """Overwrite the line before."""
        line = cut(text, max(1, self._columns - 1))
        begin = RESTORE if self._shown else SAVE
        printing.write(f"{begin}{WRAP_OFF}{DIM}{line}{NORMAL}{ERASE_REST}{WRAP_ON}")
        self._shown = True

    def remove(self) -> None:
        """Erase the line."""
        if self._shown:
            printing.write(f"{RESTORE}{ERASE_REST}")
        self._shown = False


class OutputStatusLine:
    """A line in the cell output with the display id ``name``.

    ``clear`` clears the cell before its next output. Without it, as where the cell shows something else, an empty
    output stays.
    """

    behind_text = False

    def __init__(self, publish: Publish, name: str, clear: Callable[[], None] | None = None) -> None:
        self._publish, self._name, self._clear = publish, name, clear
        self._shown = False

    def show(self, text: str) -> None:
        """Publish the line, or update it."""
        self._show(saved_line(text))

    def remove(self) -> None:
        """Clear the cell or empty the output."""
        if not self._shown:
            return
        if self._clear is not None:
            self._clear()
        else:
            self._send({"text/plain": ""}, {})
        self._shown = False

    def restart(self, text: str) -> None:
        """Clear the cell, and show the line, which is a caption, as its first output."""
        if self._clear is not None:
            self._clear()
            self._shown = False
            self._show(line_html(text))

    def replace(self, data: dict[str, str], metadata: dict[str, Any]) -> None:
        """Put a bundle in place of the line, or into a new output if no line was shown."""
        if self._shown:
            self._send(data, metadata)
        else:
            self._publish(data, metadata)

    def _show(self, line: str) -> None:
        self._send({"text/markdown": line}, {})
        self._shown = True

    def _send(self, data: dict[str, str], metadata: dict[str, Any]) -> None:
        self._publish(data, metadata, transient={"display_id": self._name}, update=self._shown)

"""How often a growing reply may be repainted, and what a repaint sends.

Repainting the whole text for every chunk sends the square of its length. Here a repaint is paid for out of a budget
that grows with the text and with time, and finished Markdown blocks are left alone while only the last part is sent.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from flowgpt_magic import printing
from flowgpt_magic.markdown import GrowingMarkdown, harmless, plain
from flowgpt_magic.plain_text import escaped
from flowgpt_magic.waiting_line import Line, NoLine

FRAME = 0.055  # seconds between two repaints once a reply has been going for a while: 18 a second
SLOW = 0.015  # seconds; chunks further apart than this are painted as they come, as long as BURST lasts
BURST = 120  # repaints a slow reply has at hand before it is held to FRAME
PER_CHARACTER = 1.0  # bytes that repaints may send for each character of the reply
PER_SECOND = 6_000  # bytes they may send for each second besides, so that a slow reply is not shown in jumps
MESSAGE = 120  # bytes of a message's content that are not text: keys, display id
SLOTS = 44  # outputs a cell shows at once while it streams: JupyterLab hides those after the fiftieth
SMALLEST_SLOT = 600  # characters; shorter finished blocks share an output
SHARE = 24  # an output holds at least this part of all that is finished, so that there are never many

Publish = Callable[..., None]


class Budget:
    """Says when the next repaint is due. Times are seconds on one monotonic clock."""

    def __init__(self, now: float) -> None:
        self._begun = self._last_chunk = now
        self._next_frame = now
        self._gap: float | None = None
        self._burst = float(BURST)
        self._bytes = 0
        self._allowed = 0.0

    def arrived(self, chunks: int, size: int, now: float) -> None:
        """``chunks`` chunks of ``size`` bytes together have come."""
        gap = (now - self._last_chunk) / chunks
        first = self._allowed == 0
        if not first:
            self._gap = gap if self._gap is None else 0.8 * self._gap + 0.2 * gap
        self._last_chunk = now
        self._allowed += PER_CHARACTER * size

    @property
    def _unhurried(self) -> bool:
        """Do the chunks come slowly enough to paint each as it comes?"""
        return self._burst >= 1 and (self._gap is None or self._gap >= SLOW)

    def wait(self, cost: int, now: float) -> float:
        """Seconds until ``cost`` bytes may be sent; 0 or less means now."""
        if self._unhurried:
            return 0.0
        owed = self._bytes + cost - self._allowed - PER_SECOND * (now - self._begun)
        return max(self._next_frame - now, owed / PER_SECOND)

    def spent(self, messages: int, size: int, now: float) -> None:
        """A repaint of ``size`` bytes in ``messages`` messages went out."""
        if now < self._next_frame:
            self._burst -= messages
        else:
            self._bytes += size
        self._next_frame = now + FRAME * messages


@dataclass(frozen=True)
class Ending:
    """What stays when a reply has ended: a display bundle with its metadata, and a line that says who answered."""

    data: dict[str, str]
    metadata: dict[str, Any]
    caption: str
    body: str = ""  # what a terminal shows of it


class Sink(Protocol):
    """Where a reply is shown while it arrives."""

    @property
    def at_end(self) -> bool:
        """Is nothing of the reply shown before its end?"""

    def show_waiting(self, line: str) -> None:
        """Show this line, behind an attempt that is shown already, until the next text takes its place."""

    def add(self, text: str) -> None:
        """Take new text; shows nothing yet."""

    def cost(self) -> int:
        """The bytes a repaint would send, 0 where there is nothing new."""

    def paint(self) -> tuple[int, int]:
        """Show what there is; returns how many messages that took, and how many bytes for the budget to count."""

    def finish(self, ending: Ending) -> None:
        """Show the end: one output with the whole reply."""


class AtEnd:
    """Shows the end only, and until then a line that says who is asked.

    A run without a person in front, such as nbclient's, has no such line. ``close`` shows the end, in place of the
    line.
    """

    def __init__(self, close: Callable[[Ending], None], line: Line | None = None) -> None:
        self._close = close
        self._line = line or NoLine()

    @property
    def at_end(self) -> bool:
        """Nothing is shown before the end."""
        return True

    def show_waiting(self, line: str) -> None:
        """Stands until the end."""
        self._line.show(line)

    def add(self, text: str) -> None:
        """Nothing to do: the end comes with all of it."""

    def cost(self) -> int:
        """Nothing is ever painted before the end."""
        return 0

    def paint(self) -> tuple[int, int]:
        """Nothing is ever painted before the end."""
        return 0, 0

    def finish(self, ending: Ending) -> None:
        """The one output."""
        self._close(ending)


class Looks(Protocol):
    """Turns text that grows into what is written, of which nothing is taken back."""

    def add(self, text: str) -> str:
        """What to write now that ``text`` has come."""

    def finish(self) -> str:
        """What is left to write."""


class AsItIs:
    """Text that is written as it comes."""

    def add(self, text: str) -> str:
        """All of it."""
        return plain(text)

    def finish(self) -> str:
        """Nothing was kept back."""
        return ""


class Appended:
    """Text, appended to what the cell prints; in a notebook and in a terminal."""

    def __init__(self, close: Callable[[Ending], None], looks: Looks | None = None, line: Line | None = None) -> None:
        self._new: list[str] = []
        self._begun = False
        self._close = close
        self._looks = looks or AsItIs()
        self._line = line or NoLine()

    @property
    def at_end(self) -> bool:
        """Text is shown as it comes."""
        return False

    def show_waiting(self, line: str) -> None:
        """Stands until the next text comes; nothing where it could stand before the first text only."""
        if not self._begun or self._line.behind_text:
            self._line.show(line)

    def add(self, text: str) -> None:
        """Keep it for the next repaint."""
        self._new.append(text)
        self._begun = True

    def cost(self) -> int:
        """Only what is new is sent."""
        return sum(map(len, self._new))

    def paint(self) -> tuple[int, int]:
        """Print what is new."""
        text = self._looks.add("".join(self._new))
        self._line.remove()
        printing.write(text)
        self._new.clear()
        return 1, len(text)

    def finish(self, ending: Ending) -> None:
        """Print the rest, and what comes after it."""
        if self._new:
            self.paint()
        self._line.remove()
        printing.write(self._looks.finish())
        self._close(ending)


class OneOutput:
    """Markdown in one output that is sent again as a whole, however much else the cell shows."""

    def __init__(self, publish: Publish, name: str, *, images: bool) -> None:
        self._publish = publish
        self._name = name
        self._images = images
        self._text = ""
        self._new = False
        self._shown = False

    @property
    def at_end(self) -> bool:
        """Text is shown as it comes."""
        return False

    def show_waiting(self, line: str) -> None:
        """Stands behind the text, if there is some, until the next text comes."""
        shown = harmless(self._text, images=self._images)
        self._send({"text/markdown": f"{shown}\n\n*{escaped(line)}*".lstrip("\n")}, {})

    def add(self, text: str) -> None:
        """Keep it for the next repaint."""
        self._text += text
        self._new = True

    def cost(self) -> int:
        """The whole text is sent."""
        return len(self._text) + MESSAGE if self._new else 0

    def paint(self) -> tuple[int, int]:
        """Send the whole text."""
        shown = harmless(self._text, images=self._images)
        self._send({"text/markdown": shown}, {})
        self._new = False
        return 1, len(shown) + MESSAGE

    def finish(self, ending: Ending) -> None:
        """The last repaint is what the notebook keeps."""
        self._send(ending.data, ending.metadata)

    def _send(self, data: dict[str, str], metadata: dict[str, Any]) -> None:
        self._publish(data, metadata, transient={"display_id": self._name}, update=self._shown)
        self._shown = True


class Slots:
    """Markdown in a cell of its own: finished blocks stay in their outputs, only the last output is sent again.

    At the end the outputs become one, so nothing else may be shown in this cell meanwhile. Many outputs become one in
    between too, each time the text has grown by a factor, so that all of that costs less than one and a half times the
    text; the budget does not count it, or the reply would stand still for a while after each time.
    """

    def __init__(self, publish: Publish, clear: Callable[[], None], name: str, *, images: bool) -> None:
        self._publish = publish
        self._clear = clear
        self._name = name
        self._growing = GrowingMarkdown(images=images)
        self._sealed: list[str] = []  # what stands in the outputs that are finished
        self._pending: list[str] = []  # finished blocks in the last output, which has room for more
        self._sealed_size = self._pending_size = self._open_size = 0  # characters
        self._count = 0  # of outputs made
        self._shown = self._new = False

    @property
    def at_end(self) -> bool:
        """Text is shown as it comes."""
        return False

    def show_waiting(self, line: str) -> None:
        """Stands behind what the last output shows, if there is something, until the next text comes."""
        self._send("\n\n".join([*self._last_output(), f"*{escaped(line)}*"]))

    def add(self, text: str) -> None:
        """Keep it for the next repaint."""
        self._growing.add(text)
        self._open_size += len(text)
        self._new = True

    def cost(self) -> int:
        """The last output is sent."""
        return self._pending_size + self._open_size + MESSAGE if self._new else 0

    def paint(self) -> tuple[int, int]:
        """Send the last output; begin another where it is full."""
        self._new = False
        slot_size = max(SMALLEST_SLOT, self._sealed_size // SHARE)
        self._take_finished(slot_size)
        messages, size = 0, 0
        if self._pending_size >= slot_size:
            messages, size = self._seal()
        shown = "\n\n".join(self._last_output())
        if shown:
            self._send(shown)
            messages, size = messages + 1, size + len(shown) + MESSAGE
        return messages, size

    def _last_output(self) -> list[str]:
        return [*self._pending, *filter(None, [self._growing.open_shown])]

    def _take_finished(self, slot_size: int) -> None:
        blocks = self._growing.take_finished()
        if self._open_size > 2 * slot_size:
            blocks += self._growing.cut_open(slot_size)
        for block in blocks:
            self._pending.append(block.shown.strip("\n"))
            self._pending_size += len(block.source)
            self._open_size -= len(block.source)

    def _seal(self) -> tuple[int, int]:
        """Finish the last output; where there are many, make them one."""
        text = "\n\n".join(self._pending)
        self._send(text)
        self._sealed.append(text)
        self._sealed_size += self._pending_size
        self._pending, self._pending_size, self._shown = [], 0, False
        if len(self._sealed) < SLOTS:
            return 1, len(text) + MESSAGE
        self._sealed = ["\n\n".join(self._sealed)]
        self._clear()
        self._send(self._sealed[0])
        self._shown = False
        return 3, len(text) + MESSAGE

    def _send(self, text: str) -> None:
        if not self._shown:
            self._count += 1
        transient = {"display_id": f"{self._name}-{self._count}"}
        self._publish({"text/markdown": text}, {}, transient=transient, update=self._shown)
        self._shown = True

    def finish(self, ending: Ending) -> None:
        """One output takes the place of all."""
        if self._count == 1 and self._shown:
            transient = {"display_id": f"{self._name}-1"}
            self._publish(ending.data, ending.metadata, transient=transient, update=True)
            return
        if self._count:
            self._clear()
        self._publish(ending.data, ending.metadata)

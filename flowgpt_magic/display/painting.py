"""How often a growing reply may be repainted, and what a repaint sends.

Repainting the whole text for every chunk sends the square of its length. Here a repaint is paid for out of a budget
that grows with the text and with time, and finished Markdown blocks are left alone while only the last part is sent.
The smaller a repaint is, the sooner the next one may follow; text that is appended does not wait.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from flowgpt_magic import printing
from flowgpt_magic.display.formats import LONGEST
from flowgpt_magic.display.waiting_line import Line, NoLine
from flowgpt_magic.markdown.growing import GrowingMarkdown, harmless, plain
from flowgpt_magic.text import escaped

FRAME = 0.055  # seconds; the longest time between two repaints that are paid for
RATE = 5_500  # bytes a second that a front end draws with ease: 300 bytes, and the next repaint is 0.055 s later
SLOW = 0.015  # seconds; chunks further apart than this are painted as they come, as long as the reserve lasts
SMALL = 300  # bytes of a repaint that needs no time between it and the next one while the reserve lasts
MESSAGE = 120  # bytes of a message's content that are not text: keys, display id
STREAM = 32  # the same of a message with text that is appended
PAUSE = 1.0  # seconds of a pause between two chunks that earn bytes
SLOTS = 44  # outputs a cell shows at once while it streams: JupyterLab hides those after the fiftieth
SMALLEST_SLOT = 120  # characters; shorter finished blocks share an output
SMALLEST_PART = 600  # characters of an open block that is never cut
SHARE = 24  # an output holds at least this part of all that is finished, so that there are never many

Publish = Callable[..., None]


@dataclass(frozen=True)
class Terms:
    """What the repaints of one reply may send, in bytes with the messages around the text."""

    per_character: float  # for each character of the reply
    per_second: int  # for each second besides, so that a slow reply is not shown in jumps
    reserve: int = 0  # for a reply whose chunks come slowly, besides
    frame: float | None = None  # seconds between two repaints; None where they depend on the size of a repaint

    def until_next(self, size: int) -> float:
        """Seconds between a repaint of so many bytes and the next one."""
        return min(FRAME, size / RATE) if self.frame is None else self.frame


# With the last message, which holds the text twice, and with outputs that become one, these are at most six times the
# reply. A server drops messages when a kernel sends more than a thousand a second.
APPENDING = Terms(per_character=3.4, per_second=1_000, frame=0.008)
BLOCKS = Terms(per_character=1.0, per_second=4_500, reserve=64_000)
WHOLE = Terms(per_character=1.0, per_second=6_000, reserve=64_000)


class Budget:
    """Says when the next repaint is due. Times are seconds on one monotonic clock."""

    def __init__(self, now: float, terms: Terms) -> None:
        self._terms = terms
        self._last_chunk = self._counted = self._next_frame = now
        self._gap: float | None = None
        self._reserve = terms.reserve
        self._earned = 0.0  # bytes that may be sent, as of the moment ``_counted``
        self._begun = self._painted = self._waits = False  # ``_waits``: has text come since the last repaint?

    def arrived(self, chunks: int, size: int, now: float) -> None:
        """``chunks`` chunks of ``size`` characters together have come."""
        gap = (now - self._last_chunk) / chunks
        if self._begun:
            self._gap = gap if self._gap is None else 0.8 * self._gap + 0.2 * gap
        self._last_chunk, self._begun = now, True
        self._count(now)
        self._earned += self._terms.per_character * size
        self._waits = True

    def _count(self, now: float) -> None:
        """Add what the time since the last call has earned; a pause in which nothing waits earns little."""
        seconds = now - self._counted
        self._earned += self._terms.per_second * (seconds if self._waits else min(seconds, PAUSE))
        self._counted = now

    def _has_reserve(self, cost: int) -> bool:
        """Do the chunks come slowly enough to paint each as it comes, and may that still be done?"""
        return self._reserve >= cost and (self._gap is None or self._gap >= SLOW)

    def wait(self, cost: int, now: float) -> float:
        """Seconds until ``cost`` bytes may be sent; 0 or less means now."""
        if not self._painted or (cost <= SMALL and self._has_reserve(cost)):
            return 0.0
        self._count(now)
        owed = 0 if self._has_reserve(cost) else cost - self._earned
        return max(self._next_frame - now, owed / self._terms.per_second)

    def spent(self, messages: int, size: int, now: float) -> None:
        """A repaint of ``size`` bytes in ``messages`` messages went out."""
        self._count(now)
        early = now < self._next_frame or self._earned < size
        if early and self._has_reserve(size):
            self._reserve -= size
        else:
            self._earned -= size
        self._painted, self._waits = True, False
        self._next_frame = now + self._terms.until_next(size) * messages


@dataclass(frozen=True)
class Ending:
    """What stays when a reply has ended: a display bundle with its metadata, and a line that says who answered."""

    data: dict[str, str]
    metadata: dict[str, Any]
    caption: str
    body: str = ""  # what a terminal shows of it


class Sink(Protocol):
    """Where a reply is shown while it arrives."""

    terms: Terms

    @property
    def at_end(self) -> bool:
        """Is nothing more of the reply shown before its end?"""

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

    terms = WHOLE

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


class Beginning:
    """What is shown of a text while it arrives: its first `LONGEST` characters, or the ``whole``."""

    def __init__(self, *, whole: bool = False) -> None:
        self._room = None if whole else LONGEST

    @property
    def is_full(self) -> bool:
        """Is nothing more of the text shown?"""
        return self._room == 0

    def part(self, text: str) -> str:
        """What is shown of the next piece."""
        if self._room is None:
            return text
        shown = text[: self._room]
        self._room -= len(shown)
        return shown


class Appended:
    """Text, appended to what the cell prints; in a notebook and in a terminal.

    ``replaced`` says that ``close`` puts the whole reply in its place, so that a very long one is not sent twice.
    """

    terms = APPENDING

    def __init__(
        self,
        close: Callable[[Ending], None],
        looks: Looks | None = None,
        line: Line | None = None,
        *,
        replaced: bool = False,
    ) -> None:
        self._new: list[str] = []
        self._begun = False
        self._beginning = Beginning(whole=not replaced)
        self._close = close
        self._looks = looks or AsItIs()
        self._line = line or NoLine()

    @property
    def at_end(self) -> bool:
        """Text is shown as it comes, up to a limit."""
        return self._beginning.is_full

    def show_waiting(self, line: str) -> None:
        """Stands until the next text comes; nothing where it could stand before the first text only."""
        if not self._begun or self._line.behind_text:
            self._line.show(line)

    def add(self, text: str) -> None:
        """Keep it for the next repaint."""
        if shown := self._beginning.part(text):
            self._new.append(shown)
            self._begun = True

    def cost(self) -> int:
        """Only what is new is sent."""
        return sum(map(len, self._new)) + STREAM if self._new else 0

    def paint(self) -> tuple[int, int]:
        """Print what is new."""
        text = self._looks.add("".join(self._new))
        self._line.remove()
        printing.write(text)
        self._new.clear()
        return 1, len(text) + STREAM

    def finish(self, ending: Ending) -> None:
        """Print the rest, and what comes after it."""
        if self._new:
            self.paint()
        self._line.remove()
        printing.write(self._looks.finish())
        self._close(ending)


def _sent(markdown: str) -> int:
    """The bytes of a message that shows this, about; in JSON the end of a line is two."""
    return len(markdown) + markdown.count("\n") + MESSAGE


class OneOutput:
    """Markdown in one output that is sent again as a whole, however much else the cell shows."""

    terms = WHOLE

    def __init__(self, publish: Publish, name: str, *, images: bool) -> None:
        self._publish = publish
        self._name = name
        self._images = images
        self._beginning = Beginning()
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
        if shown := self._beginning.part(text):
            self._text += shown
            self._new = True

    def cost(self) -> int:
        """The whole text is sent."""
        return len(self._text) + MESSAGE if self._new else 0

    def paint(self) -> tuple[int, int]:
        """Send the whole text."""
        shown = harmless(self._text, images=self._images)
        self._send({"text/markdown": shown}, {})
        self._new = False
        return 1, _sent(shown)

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

    terms = BLOCKS

    def __init__(self, publish: Publish, clear: Callable[[], None], name: str, *, images: bool) -> None:
        self._publish = publish
        self._clear = clear
        self._name = name
        self._beginning = Beginning()
        self._growing = GrowingMarkdown(images=images)
        self._sealed: list[str] = []  # what stands in the outputs that are finished
        self._pending: list[str] = []  # finished blocks in the last output, which has room for more
        self._sealed_size = self._pending_size = self._open_size = 0  # characters
        self._count = 0  # of outputs made
        self._shown = self._new = False

    @property
    def at_end(self) -> bool:
        """Text is shown as it comes, up to a limit."""
        return self._beginning.is_full

    def show_waiting(self, line: str) -> None:
        """Stands behind what the last output shows, if there is something, until the next text comes."""
        self._send("\n\n".join([*self._last_output(), f"*{escaped(line)}*"]))

    def add(self, text: str) -> None:
        """Keep it for the next repaint."""
        if shown := self._beginning.part(text):
            self._growing.add(shown)
            self._open_size += len(shown)
            self._new = True

    def cost(self) -> int:
        """The last output is sent."""
        return self._pending_size + self._open_size + MESSAGE if self._new else 0

    def paint(self) -> tuple[int, int]:
        """Send the last output; begin another where it is full."""
        self._new = False
        slot_size = max(SMALLEST_SLOT, self._sealed_size // SHARE)
        self._take_finished(max(SMALLEST_PART, slot_size))
        messages, size = 0, 0
        if self._pending_size >= slot_size or (self.at_end and self._pending):
            messages, size = self._seal()
        shown = "\n\n".join(self._last_output())
        if shown:
            self._send(shown)
            messages, size = messages + 1, size + _sent(shown)
        return messages, size

    def _last_output(self) -> list[str]:
        return [*self._pending, *filter(None, [self._growing.open_shown])]

    def _take_finished(self, part_size: int) -> None:
        blocks = self._growing.finish() if self.at_end else self._growing.take_finished()
        if self._open_size > 2 * part_size:
            blocks += self._growing.cut_open(part_size)
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
            return 1, _sent(text)
        self._sealed = ["\n\n".join(self._sealed)]
        self._clear()
        self._send(self._sealed[0])
        self._shown = False
        return 3, _sent(text)

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


class Painting:
    """Shows a reply in ``sink`` while it arrives, as often as its budget allows; ``now`` is when it was asked."""

    def __init__(self, sink: Sink, now: float) -> None:
        self._sink, self._budget = sink, Budget(now, sink.terms)

    def step(self, chunks: list[str], now: float) -> tuple[bool, float | None]:
        """Take what has come and show it if that is due.

        Returns whether something was shown, and the seconds until there will be something to show without any more
        text, None where all is shown.
        """
        if chunks:
            text = "".join(chunks)
            self._budget.arrived(len(chunks), len(text), now)
            self._sink.add(text)
        cost = self._sink.cost()
        pause = self._budget.wait(cost, now) if cost else None
        if pause is None or pause > 0:
            return False, pause
        self._budget.spent(*self._sink.paint(), now)
        return True, None

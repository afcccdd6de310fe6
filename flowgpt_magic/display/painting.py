"""Repaint a growing reply: how often, and what each repaint sends.

Sending the whole text for every chunk costs the square of its length. So each repaint is paid from a budget that grows
with the text and with time, and finished Markdown blocks are not sent again. The smaller a repaint, the sooner the next
one may follow.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce
from itertools import zip_longest
from operator import add
from typing import Any, Protocol

from flowgpt_magic import printing
from flowgpt_magic.control_characters import clean
from flowgpt_magic.display.caret import with_caret
from flowgpt_magic.display.formats import MAX_CHARACTERS
from flowgpt_magic.display.waiting_line import NoStatusLine, StatusLine, saved_line
from flowgpt_magic.markdown.growing import FinishedBlock, GrowingMarkdown, formula_count, harmless
from flowgpt_magic.transcripts.caption import small

MAX_FRAME = 0.055  # seconds between two repaints that the budget allows, at most
BYTES_PER_SECOND = 5_500  # that a front end draws easily: the repaint after one of 300 bytes comes 0.055 s later
SLOW_GAP = 0.015  # seconds; chunks further apart are painted as they arrive while the reserve lasts
SMALL_REPAINT = 300  # bytes; a repaint of that size need not wait while the reserve lasts
MESSAGE_BYTES = 180  # bytes of a display message besides its text: keys, display id, the id of the turn
STREAM_BYTES = 32  # the same for a message that appends text
EARNING_PAUSE = 1.0  # seconds of a pause between chunks that add to the budget
MAX_OUTPUTS = 44  # outputs of a streaming cell; JupyterLab hides those after the fiftieth
MIN_OUTPUT = 40  # characters; shorter blocks share an output
MIN_OPEN_PART = 600  # characters; shorter open blocks are never cut
OUTPUT_SHARE = 24  # after a merge an output holds at least 1/24 of the merged text, so that merges stay few
FORMULA_BYTES = 300  # a front end needs as long for a formula as for so many bytes of text
FEW_FORMULAS = 4  # with fewer, the outputs of a reply become one at the end
HEAVY = 6_000  # bytes, with FORMULA_BYTES for each formula: more at once keeps a front end busy for 50 ms
MIN_STAYING = 600  # characters; an output without formulas that stays holds at least as many

_DEFINITION = re.compile(r"^[ >]*\[[^\]\n]+\]:", re.MULTILINE)  # of a link: an output cannot use those of another one

Publish = Callable[..., None]


@dataclass(frozen=True)
class Allowance:
    """What the repaints of one reply may send, in bytes, including the message around the text."""

    per_character: float  # for each character of the reply
    per_second: int  # and for each second, so that a slow reply does not jump
    reserve: int = 0  # extra, for replies whose chunks arrive slowly
    frame: float | None = None  # seconds between two repaints; None: it depends on the size of the repaint

    def until_next(self, size: int) -> float:
        """Seconds between a repaint of ``size`` bytes and the next one."""
        return min(MAX_FRAME, size / BYTES_PER_SECOND) if self.frame is None else self.frame


# Together with the last message, which holds the text twice, and with the merging of outputs, these stay below six
# times the reply. A Jupyter server drops messages when a kernel sends more than a thousand a second.
APPENDING = Allowance(per_character=3.4, per_second=1_000, frame=0.008)
BLOCKS = Allowance(per_character=1.0, per_second=4_500, reserve=64_000)
WHOLE = Allowance(per_character=1.0, per_second=6_000, reserve=64_000)


class Budget:
    """Decides when the next repaint is due. Times are seconds of one monotonic clock."""

    def __init__(self, now: float, allowance: Allowance) -> None:
        self._allowance = allowance
        self._last_chunk = self._counted = self._next_frame = now
        self._gap: float | None = None
        self._reserve = allowance.reserve
        self._earned = 0.0  # bytes that may be sent, as of ``_counted``
        self._begun = self._painted = self._waits = False  # ``_waits``: text arrived after the last repaint

    def arrived(self, chunks: int, size: int, now: float) -> None:
        """Note that ``chunks`` chunks with ``size`` characters in total have arrived."""
        gap = (now - self._last_chunk) / chunks
        if self._begun:
            self._gap = gap if self._gap is None else 0.8 * self._gap + 0.2 * gap
        self._last_chunk, self._begun = now, True
        self._count(now)
        self._earned += self._allowance.per_character * size
        self._waits = True

    def _count(self, now: float) -> None:
        """Add the bytes for the time since the last call. A pause without waiting text adds little."""
        seconds = now - self._counted
        self._earned += self._allowance.per_second * (seconds if self._waits else min(seconds, EARNING_PAUSE))
        self._counted = now

    def _has_reserve(self, cost: int) -> bool:
        """Do chunks arrive slowly enough to paint each at once, and does the reserve cover ``cost``?"""
        return self._reserve >= cost and (self._gap is None or self._gap >= SLOW_GAP)

    def wait(self, cost: int, now: float) -> float:
        """Seconds until ``cost`` bytes may be sent; 0 or less: now."""
        if not self._painted or (cost <= SMALL_REPAINT and self._has_reserve(cost)):
            return 0.0
        self._count(now)
        owed = 0 if self._has_reserve(cost) else cost - self._earned
        return max(self._next_frame - now, owed / self._allowance.per_second)

    def spent(self, messages: int, size: int, now: float) -> None:
        """Note that a repaint has sent ``size`` bytes in ``messages`` messages."""
        self._count(now)
        early = now < self._next_frame or self._earned < size
        if early and self._has_reserve(size):
            self._reserve -= size
        else:
            self._earned -= size
        self._painted, self._waits = True, False
        self._next_frame = now + self._allowance.until_next(size) * messages


@dataclass(frozen=True)
class Ending:
    """The final output of a reply: a display bundle, its metadata and its caption."""

    data: dict[str, str]
    metadata: dict[str, Any]
    caption: str
    body: str = ""  # what a terminal shows
    below: str = ""  # the Markdown of the caption, with which the bundle's Markdown ends
    above: str = ""  # the reasoning that is kept, with which it begins


class Sink(Protocol):
    """Where a reply is shown while it arrives."""

    allowance: Allowance

    @property
    def at_end(self) -> bool:
        """Is the rest of the reply shown only at its end?"""

    def show_waiting(self, line: str) -> None:
        """Show this line, behind an attempt that is shown already, until the next text takes its place."""

    def show_arriving(self, line: str) -> None:
        """Show until the end, beside the text, a line for those who save the notebook or reload the page meanwhile."""

    def add(self, text: str) -> None:
        """Take new text; shows nothing yet."""

    def cost(self) -> int:
        """The bytes a repaint would send, 0 where there is nothing new."""

    def paint(self) -> tuple[int, int]:
        """Show what there is; returns how many messages that took, and how many bytes for the budget to count."""

    def finish(self, ending: Ending) -> None:
        """Show the end."""


class AtEnd:
    """Shows the end only, and until then a line that says who is asked.

    A run without a person in front, such as nbclient's, has no such line. ``close`` shows the end, in place of the
    line.
    """

    allowance = WHOLE

    def __init__(self, close: Callable[[Ending], None], line: StatusLine | None = None) -> None:
        self._close = close
        self._line = line or NoStatusLine()

    @property
    def at_end(self) -> bool:
        """Nothing is shown before the end."""
        return True

    def show_waiting(self, line: str) -> None:
        """Show the line until the end."""
        self._line.show(line)

    def show_arriving(self, line: str) -> None:
        """Do nothing: the line that is shown says it."""

    def add(self, text: str) -> None:
        """Do nothing: the ending has all the text."""

    def cost(self) -> int:
        """Nothing is painted before the end."""
        return 0

    def paint(self) -> tuple[int, int]:
        """Nothing is painted before the end."""
        return 0, 0

    def finish(self, ending: Ending) -> None:
        """Show the whole reply."""
        self._close(ending)


class TextWriter(Protocol):
    """Turns growing text into terminal output. Nothing that was written is changed later."""

    def add(self, text: str) -> str:
        """The output for ``text``, as far as it is certain."""

    def finish(self) -> str:
        """The rest of the output."""


class PlainText:
    """Text as it arrives, without control characters."""

    def add(self, text: str) -> str:
        """All of ``text``."""
        return clean(text)

    def finish(self) -> str:
        """Nothing: all text is written at once."""
        return ""


class VisiblePart:
    """The part of a text that is shown while it arrives: its first ``MAX_CHARACTERS``, or the ``whole``."""

    def __init__(self, *, whole: bool = False) -> None:
        self._room = None if whole else MAX_CHARACTERS

    @property
    def is_full(self) -> bool:
        """Is no more of the text shown?"""
        return self._room == 0

    def part(self, text: str) -> str:
        """The visible part of the next piece."""
        if self._room is None:
            return text
        shown = text[: self._room]
        self._room -= len(shown)
        return shown


class Appended:
    """Text that is appended to the printed output, in a notebook and in a terminal.

    ``restart`` is for a cell in which ``close`` replaces the text with the whole reply. It clears the cell and shows a
    line at its top. A very long reply must not be sent twice there.
    """

    allowance = APPENDING

    def __init__(
        self,
        close: Callable[[Ending], None],
        writer: TextWriter | None = None,
        line: StatusLine | None = None,
        *,
        restart: Callable[[str], None] | None = None,
    ) -> None:
        self._restart = restart
        self._printed: list[str] = []  # until the line is at the top
        self._marked = False  # is it there?
        self._new: list[str] = []
        self._begun = False
        self._beginning = VisiblePart(whole=restart is None)
        self._close = close
        self._text_writer = writer or PlainText()
        self._line = line or NoStatusLine()

    @property
    def at_end(self) -> bool:
        """After ``MAX_CHARACTERS``."""
        return self._beginning.is_full

    def show_waiting(self, line: str) -> None:
        """Show the line until the next text; nothing if it can only stand before the first text."""
        if not self._begun or self._line.behind_text:
            self._line.show(line)

    def show_arriving(self, line: str) -> None:
        """Show the line above the text, where all of it can be removed again; otherwise do nothing."""
        if self._restart is not None and not self._marked:
            self._restart(line)
            self._marked = True
            printing.write("".join(self._printed))
            self._printed.clear()

    def add(self, text: str) -> None:
        """Hold the text for the next repaint."""
        if shown := self._beginning.part(text):
            self._new.append(shown)
            self._begun = True

    def cost(self) -> int:
        """The new text."""
        return sum(map(len, self._new)) + STREAM_BYTES if self._new else 0

    def paint(self) -> tuple[int, int]:
        """Print the new text."""
        text = self._text_writer.add("".join(self._new))
        self._remove_line()
        printing.write(text)
        if self._restart is not None and not self._marked:
            self._printed.append(text)
        self._new.clear()
        return 1, len(text) + STREAM_BYTES

    def finish(self, ending: Ending) -> None:
        """Print the rest and the ending."""
        if self._new:
            self.paint()
        self._remove_line()
        printing.write(self._text_writer.finish())
        self._close(ending)

    def _remove_line(self) -> None:
        if not self._marked:  # else it stays until the cell is cleared
            self._line.remove()


def _sent(markdown: str) -> int:
    """About how many bytes a message with this Markdown has. JSON writes a newline as two."""
    return len(markdown) + markdown.count("\n") + MESSAGE_BYTES


class OneOutput:
    """Markdown in one output that every repaint sends again, for a cell that shows other things too."""

    allowance = WHOLE

    def __init__(self, publish: Publish, name: str, *, images: bool) -> None:
        self._publish = publish
        self._name = name
        self._images = images
        self._beginning = VisiblePart()
        self._text = ""
        self._arriving = ""
        self._new = False
        self._shown = False

    @property
    def at_end(self) -> bool:
        """Never: text is shown as it arrives."""
        return False

    def show_waiting(self, line: str) -> None:
        """Show the line after the text so far, until the next text."""
        shown = harmless(self._text, images=self._images)
        self._send({"text/markdown": f"{shown}\n\n{saved_line(line)}".lstrip("\n")}, {})

    def show_arriving(self, line: str) -> None:
        """Show the line below the text, with each repaint."""
        self._arriving = f"\n\n{small(line)}"
        self.paint()

    def add(self, text: str) -> None:
        """Hold the text for the next repaint."""
        if shown := self._beginning.part(text):
            self._text += shown
            self._new = True

    def cost(self) -> int:
        """The whole text."""
        return len(self._text) + MESSAGE_BYTES if self._new else 0

    def paint(self) -> tuple[int, int]:
        """Send the whole text."""
        shown = with_caret(harmless(self._text, images=self._images)) + self._arriving
        self._send({"text/markdown": shown}, {})
        self._new = False
        return 1, _sent(shown)

    def finish(self, ending: Ending) -> None:
        """Replace the text with the final output, which the notebook saves."""
        self._send(ending.data, ending.metadata)

    def _send(self, data: dict[str, str], metadata: dict[str, Any]) -> None:
        self._publish(data, metadata, transient={"display_id": self._name}, update=self._shown)
        self._shown = True


@dataclass(frozen=True)
class SealedOutput:
    """An output that is not sent again: its Markdown, and the part of the reply that it shows."""

    shown: str
    source: str

    def __add__(self, other: SealedOutput) -> SealedOutput:
        return SealedOutput("\n\n".join(filter(None, [self.shown, other.shown])), self.source + other.source)

    @property
    def data(self) -> dict[str, str]:
        """The display bundle of an output that stays in the notebook."""
        return {"text/markdown": self.shown, "text/plain": clean(self.source)}


class BlockOutputs:
    """Markdown in a cell of its own. Finished blocks stay in their outputs; only the last output is sent again.

    A front end draws an output anew when it is sent again, and what a reader has selected in it is lost. So a finished
    block gets an output of its own while there are few. At the end the outputs become one, so nothing else may be shown
    in the cell. Too many outputs are merged earlier, each time the text has grown by a factor: all merges together cost
    less than 1.6 times the text. The budget does not count them, because the reply would stall after each.

    A front end needs milliseconds for each formula, and would typeset all of them again in that one output. So the
    outputs of a reply with many formulas stay: the text so far becomes one output, and each output after it is sealed
    when it has a formula, and stays in the notebook. Their plain texts, joined, are the reply.
    """

    allowance = BLOCKS

    def __init__(self, publish: Publish, clear: Callable[[], None], name: str, *, images: bool) -> None:
        self._publish = publish
        self._clear = clear
        self._name = name
        self._images = images
        self._beginning = VisiblePart()
        self._growing = GrowingMarkdown(images=images)
        self._sealed: list[SealedOutput] = []
        self._pending: list[FinishedBlock] = []  # finished blocks in the last output
        self._sealed_size = self._pending_size = self._open_size = 0  # characters
        self._merged_size = 0  # characters in the first output since the last merge
        self._sealed_formulas = 0
        self._stay = False  # do the outputs stay at the end?
        self._count = 0  # outputs so far, without that of the line
        self._shown = self._new = False
        self._arriving = ""  # the line in the output below the last one
        self._line_shown = False
        self._uncounted = 0  # bytes of that line that the budget does not know yet

    @property
    def at_end(self) -> bool:
        """After ``MAX_CHARACTERS``."""
        return self._beginning.is_full

    def show_waiting(self, line: str) -> None:
        """Show the line at the end of the last output, until the next text."""
        self._send({"text/markdown": "\n\n".join([*self._last_output(), saved_line(line)])})

    def show_arriving(self, line: str) -> None:
        """Show the line in an output of its own, below the text; a new output takes its place, and it moves on."""
        self._arriving = small(line)
        self._send_line()

    def add(self, text: str) -> None:
        """Hold the text for the next repaint."""
        if shown := self._beginning.part(text):
            self._growing.add(shown)
            self._open_size += len(shown)
            self._new = True

    def cost(self) -> int:
        """The last output."""
        return self._pending_size + self._open_size + MESSAGE_BYTES if self._new else 0

    def paint(self) -> tuple[int, int]:
        """Send the last output; begin another one if it is full."""
        self._new = False
        slot_size = max(MIN_OUTPUT, self._merged_size // OUTPUT_SHARE)
        self._take_finished(max(MIN_OPEN_PART, slot_size))
        messages, size = 0, 0
        if self._is_full(slot_size) or (self.at_end and self._pending):
            messages, size = self._seal()
        shown = "\n\n".join(self._last_output())
        if shown:
            self._send({"text/markdown": with_caret(shown) if self._growing.open.strip() else shown})
            messages, size = messages + 1, size + _sent(shown) + FORMULA_BYTES * formula_count(shown)
        size, self._uncounted = size + self._uncounted, 0
        return messages, size

    def _is_full(self, slot_size: int) -> bool:
        if not self._stay:
            return self._pending_size >= slot_size
        weight = self._pending_size + FORMULA_BYTES * self._pending_formulas
        share = (self._sealed_size + FORMULA_BYTES * self._sealed_formulas) // OUTPUT_SHARE
        return weight >= (share if self._pending_formulas else max(MIN_STAYING, 2 * share))

    @property
    def _pending_formulas(self) -> int:
        return sum(block.formulas for block in self._pending)

    def _last_output(self) -> list[str]:
        blocks = [block.shown.strip("\n") for block in self._pending]
        return [*blocks, *filter(None, [self._growing.open_shown])]

    def _take_finished(self, part_size: int) -> None:
        blocks = self._growing.finish() if self.at_end else self._growing.take_ended()
        if self._open_size > 2 * part_size and not self._stay:
            blocks += self._growing.cut_open(part_size)
        for block in blocks:
            self._pending.append(block)
            self._pending_size += len(block.source)
            self._open_size -= len(block.source)

    def _seal(self) -> tuple[int, int]:
        """Finish the last output; merge the outputs if there are too many."""
        output = SealedOutput(
            "\n\n".join(block.shown.strip("\n") for block in self._pending),
            "".join(block.source for block in self._pending),
        )
        self._send(output.data if self._stay else {"text/markdown": output.shown})
        self._sealed.append(output)
        self._sealed_size += self._pending_size
        self._sealed_formulas += self._pending_formulas
        self._pending, self._pending_size, self._shown = [], 0, False
        return 1 + self._merge(), _sent(output.shown)

    def _merge(self) -> int:
        """Merge outputs if that is due; returns how many messages that took."""
        if not self._stay and self._has_many_formulas and not self._growing.is_cut:
            source = "".join(output.source for output in self._sealed)
            self._sealed, self._stay = [SealedOutput(harmless(source, images=self._images), source)], True
        elif len(self._sealed) < MAX_OUTPUTS:
            return 0
        elif self._stay:  # by twos: a front end shows each message for itself, and answers the reader in between
            pairs = zip_longest(self._sealed[::2], self._sealed[1::2], fillvalue=SealedOutput("", ""))
            self._sealed = [one + other for one, other in pairs]
        else:
            self._sealed, self._merged_size = [reduce(add, self._sealed)], self._sealed_size
        self._clear()
        self._count, self._line_shown = self._count + self._line_shown, False
        for output in self._sealed:
            self._count += 1
            data = output.data if self._stay else {"text/markdown": output.shown}
            self._publish_output(data, self._count, update=False)
        if self._arriving:
            self._send_line()
        return 1 + len(self._sealed)

    @property
    def _has_many_formulas(self) -> bool:
        weight = self._sealed_size + FORMULA_BYTES * self._sealed_formulas
        return self._sealed_formulas >= FEW_FORMULAS and weight >= HEAVY

    def _send(self, data: dict[str, str], metadata: dict[str, Any] | None = None) -> None:
        begins = not self._shown
        self._count += begins
        self._publish_output(data, self._count, metadata, update=not begins or self._line_shown)
        self._shown = True
        if begins and self._arriving:
            self._line_shown = False
            self._send_line()

    def _send_line(self) -> None:
        self._publish_output({"text/markdown": self._arriving}, self._count + 1, update=self._line_shown)
        self._line_shown = True
        self._uncounted += _sent(self._arriving)

    def _publish_output(
        self, data: dict[str, str], number: int, metadata: dict[str, Any] | None = None, *, update: bool
    ) -> None:
        transient = {"display_id": f"{self._name}-{number}"}
        self._publish(data, metadata or {}, transient=transient, update=update)

    def finish(self, ending: Ending) -> None:
        """Replace all outputs with the final one; where they stay, end the last one."""
        if self._stay and not ending.above and self._end_last(ending):
            return
        if self._count == 1 and self._shown and not self._line_shown:
            self._send(ending.data, ending.metadata)
            return
        if self._count:
            self._clear()
        self._publish(ending.data, ending.metadata)

    def _end_last(self, ending: Ending) -> bool:
        """Show the rest of the reply with the ending; false if the outputs do not show this reply as it is."""
        self._pending += self._growing.finish()
        last = "".join(block.source for block in self._pending)
        source = clean("".join(output.source for output in self._sealed) + last)
        self._arriving, shown, plain = "", "\n\n".join(self._last_output()), clean(last)
        if source != ending.data["text/plain"] or _DEFINITION.search(source) or (self._shown and not shown):
            return False
        if self._line_shown and shown:  # the caption takes the place of the line
            self._send({"text/markdown": shown, "text/plain": plain})
            self._shown, shown, plain = False, "", ""
        shown = f"{shown}\n\n{ending.below}".lstrip("\n")
        self._send({"text/markdown": shown, "text/plain": plain}, ending.metadata)
        return True


class Painting:
    """Shows a growing reply in ``sink`` as often as the budget allows. ``now`` is when the request started."""

    def __init__(self, sink: Sink, now: float) -> None:
        self._sink, self._budget = sink, Budget(now, sink.allowance)

    def step(self, chunks: list[str], now: float) -> tuple[bool, float | None]:
        """Add ``chunks`` and repaint if that is due.

        Returns whether a repaint was sent, and the seconds until the next one is due without further text, None if
        everything is shown.
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

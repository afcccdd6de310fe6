"""Show the replies of several models to one prompt: in columns in a notebook, one below the other in a terminal.

In a notebook all columns are one output of HTML, which every repaint sends again. A budget limits the repaints, so that
in total they stay within a few times the texts; while long replies arrive, their middle is left out. The layout is
inline CSS: a grid in a trusted notebook. An untrusted one drops the grid, and the columns become inline blocks, which
wrap too.
"""

from __future__ import annotations

import html
import re
import time
from collections.abc import Sequence
from itertools import accumulate, takewhile
from typing import TYPE_CHECKING, Any, Protocol

from flowgpt_magic import bridge, printing
from flowgpt_magic.control_characters import clean
from flowgpt_magic.display.formats import MAX_CHARACTERS, STREAMED_FORMATS, format_reply
from flowgpt_magic.display.painting import MESSAGE_BYTES, Allowance, Budget
from flowgpt_magic.display.show import Extent, kept_reasoning, metadata_of, raise_interrupt, show, show_remark
from flowgpt_magic.display.waiting_line import WaitingLine, saved_line
from flowgpt_magic.errors import ComparisonError
from flowgpt_magic.markdown.html.changes import GrowingMarkup, static_blocks_of
from flowgpt_magic.notebook.ipython import execution, headless, in_console, in_kernel, publish
from flowgpt_magic.redaction import redact
from flowgpt_magic.transcripts.caption import caption, caption_html, caption_text, line_html, small

if TYPE_CHECKING:
    from flowgpt_magic.display.shown_reply import ShownReader, ShownReply

COLUMNS = Allowance(per_character=2.0, per_second=12_000, reserve=24_000)
LARGEST_PAGE = 16_000  # bytes of the columns together while they arrive: more would be repainted too seldom
POLL_SECONDS = 0.03  # between two looks at the replies
MIN_WIDTH = "16em"  # of a column; in a narrower output the columns are one below the other
# ``!important`` keeps the grid out of untrusted notebooks, where JupyterLab drops the other half of its layout.
GRID = (
    f"display: grid !important; grid-template-columns: repeat(auto-fit, minmax(min({MIN_WIDTH}, 100%), 1fr)); "
    "gap: 1em 1.5em; align-items: start"
)
COLUMN = (
    "display: inline-block; box-sizing: border-box; vertical-align: top; min-width: min(16em, 100%); overflow-x: auto; "
    "overflow-wrap: break-word; margin-bottom: 0.5em"
)
HEADING = "font-weight: bold; border-bottom: 1px solid; margin-bottom: 0.5em; overflow-wrap: anywhere"
_RUNS = re.compile(r'<span data-runs="[^"]*"></span>')  # what a page colours code by
_COLOURED = re.compile(r'<span class="fg-(\w+)">')
# For each kind of token in code, the last part of the name of Jupyter's CSS variable.
_COLOURS = {"keyword": "keyword", "string": "string", "comment": "comment", "number": "number", "function": "def"}
_STYLED = {
    '<div class="fg-scroll">': '<div style="overflow-x: auto">',
    '<pre class="fg-plain">': '<pre style="white-space: pre-wrap">',
    '<li class="fg-task">': '<li style="list-style: none; margin-left: -1.2em">',
}


class ShownColumn(Protocol):
    """One column: the name of its model, and its reply."""

    @property
    def name(self) -> str:
        """The name as it was given."""

    @property
    def reply(self) -> ShownReply:
        """The reply."""


class ShownComparison(Protocol):
    """Replies that arrive at the same time."""

    shown_in: str
    display_id: str

    @property
    def columns(self) -> Sequence[ShownColumn]:
        """The columns in their order."""

    @property
    def live(self) -> int:
        """The number of the column whose reply is part of the conversation, from 1; 0 for none."""

    @property
    def ended(self) -> bool:
        """Have all replies ended?"""

    @property
    def interrupt_summary(self) -> str:
        """What an interrupt left of the replies, in words."""

    def cancel(self) -> None:
        """Stop all replies."""

    def start(self) -> None:
        """Send the prompt to all models."""

    def raise_error(self) -> None:
        """Raise an error if all models have failed."""


def show_comparison(
    comparison: ShownComparison, *, form: str = "markdown", images: bool = False, extent: Extent = "all"
) -> None:
    """Show the replies as they arrive. Returns when all have ended.

    The first interrupt stops all of them and keeps their texts; the second raises ``KeyboardInterrupt`` at once.

    Args:
        comparison: the replies; the requests are sent if necessary.
        form: a key of ``FORMATTERS``; Markdown by default.
        images: whether Markdown may load images; not by default.
        extent: "all", only the "end", or "nothing".
    """
    comparison.shown_in = execution()
    for column in comparison.columns:
        column.reply.shown_in = execution()
    bridge.whole(comparison.start)
    in_cell = headless() or (in_kernel() and not in_console())
    if in_cell or extent == "nothing":
        painter = ColumnsPainter(comparison, form, images=images, extent="end" if headless() else extent)
        bridge.on_interrupt(lambda: bridge.apart(comparison.cancel), painter.follow)
    else:
        bridge.on_interrupt(
            lambda: bridge.apart(comparison.cancel), lambda: _show_in_terminal(comparison, form, images, extent)
        )


def _show_in_terminal(comparison: ShownComparison, form: str, images: bool, extent: Extent) -> None:
    """Show the first reply as it arrives, then what has arrived of the next one, and so on."""
    for number, column in enumerate(comparison.columns, 1):
        printing.write_line(f"{'' if number == 1 else chr(10)}{number} {clean(column.name)}")
        show(column.reply, form=form, images=images, extent=extent, cancel=comparison.cancel)
        if (error := _error_of(column.reply)) and column.reply.status == "failed":
            printing.write_line(clean(error))
    show_remark(_below(comparison))


def raise_ending(comparison: ShownComparison, *, shown: bool = True) -> None:
    """Raise if all models have failed, or if the replies were stopped, so that Run All stops at this cell.

    ``shown``: are the replies, with their captions, in the output?
    """
    if shown and all(column.reply.error is not None for column in comparison.columns):
        raise ComparisonError(f"none of the {len(comparison.columns)} models has answered; the reasons are above")
    comparison.raise_error()
    if any(column.reply.status == "cancelled" for column in comparison.columns):
        raise_interrupt(comparison.interrupt_summary, shown=shown)


def show_result(comparison: ShownComparison) -> None:
    """Show a comparison that is the value of a cell's last line, unless this run of the cell has shown it already."""
    if comparison.shown_in == execution():
        if not in_kernel():
            printing.write_line("the replies above")  # after IPython's Out[3]:
        return
    is_new = not comparison.ended
    show_comparison(comparison, extent="all" if is_new else "end")
    if is_new:
        raise_ending(comparison)


def _error_of(reply: ShownReply) -> str:
    return "" if reply.error is None else redact(str(reply.error))


def _below(comparison: ShownComparison) -> str:
    """The line below the columns: which one counts, and how to choose another one."""
    if not comparison.live or not comparison.columns[comparison.live - 1].reply.text_so_far.strip():
        return ""
    other = next(number for number in range(1, len(comparison.columns) + 1) if number != comparison.live)
    name = comparison.columns[comparison.live - 1].name
    # True also after another one was chosen elsewhere, as in a panel.
    return f"the conversation continues with {comparison.live} {name}, unless another is kept: %flowgpt keep {other}"


class ColumnsPainter:
    """Shows the columns of one comparison in the output of a cell."""

    def __init__(self, comparison: ShownComparison, form: str, *, images: bool, extent: Extent) -> None:
        self._comparison, self._form, self._images, self._extent = comparison, form, images, extent
        self._columns = [
            ColumnView(number, column, form, images=images) for number, column in enumerate(comparison.columns, 1)
        ]
        self._shown = False
        self._budget = Budget(time.monotonic(), COLUMNS)

    def follow(self) -> None:
        """Show the replies until all have ended, and then the final output, which the notebook saves."""
        try:
            for view in self._columns:
                view.open()
            self._follow()
        finally:
            for view in self._columns:
                view.close()
            if self._extent != "nothing":
                self._send(*self.final())

    def _follow(self) -> None:
        while unfinished := [view for view in self._columns if not view.done]:
            for view in unfinished:
                chunks = view.read(POLL_SECONDS if view is unfinished[0] else 0)
                if chunks:
                    self._budget.arrived(len(chunks), sum(map(len, chunks)), time.monotonic())
            now = time.monotonic()
            states = [view.is_new(now) for view in self._columns]  # of all: each looks at its waiting line
            if self._extent == "all" and any(states):
                self._paint(now)

    def _paint(self, now: float) -> None:
        cost = sum(view.size for view in self._columns) + MESSAGE_BYTES
        if self._budget.wait(cost, now) > 0:
            return
        room = LARGEST_PAGE // len(self._columns)
        page = grid([view.growing(room) for view in self._columns])
        self._send({"text/html": page}, {})
        self._budget.spent(1, len(page) + MESSAGE_BYTES, now)

    def final(self) -> tuple[dict[str, str], dict[str, Any]]:
        """The final output and its metadata."""
        below = _below(self._comparison)
        plain = [view.plain() for view in self._columns]
        data = {
            "text/html": grid([view.final() for view in self._columns]) + (line_html(below) if below else ""),
            "text/plain": "\n\n".join([*plain, *([f"[{clean(below)}]"] if below else [])]),
        }
        columns = [
            {"name": view.name, **metadata_of(column.reply, self._form)["flowgpt"]}
            for view, column in zip(self._columns, self._comparison.columns, strict=True)
        ]
        return data, {"flowgpt": {"columns": columns, "format": self._form}}

    def _send(self, data: dict[str, str], metadata: dict[str, Any]) -> None:
        if self._extent == "end" and not self._shown:
            publish(data, metadata)
        else:
            publish(data, metadata, transient={"display_id": self._comparison.display_id}, update=self._shown)
        self._shown = True


class ColumnView:
    """One column as HTML, while its reply arrives and at its end."""

    def __init__(self, number: int, column: ShownColumn, form: str, *, images: bool) -> None:
        self.name = column.name
        self.size = 0  # of what ``growing`` returns, about
        self._title = f"{number} {clean(column.name)}"
        self._reply, self._form, self._images = column.reply, form, images
        self._reader: ShownReader | None = None
        self._markup, self._text = GrowingMarkup(), ""
        self._waiting = WaitingLine(column.reply, time.monotonic(), opens=True)
        self._line = ""  # that is shown until the text arrives
        self._page = ""
        self._is_new = True
        self._has_ended = False

    def open(self) -> None:
        """Begin to read."""
        self._reader = self._reply.open()

    def close(self) -> None:
        """Stop reading."""
        if self._reader is not None:
            self._reply.detach(self._reader)

    @property
    def done(self) -> bool:
        """Has everything been read?"""
        return self._reader is not None and self._reader.done

    def read(self, timeout: float) -> list[str]:
        """The chunks since the last call. Waits for one for ``timeout`` seconds."""
        chunks = self._reader.take(timeout) if self._reader is not None else []
        if chunks and self._form in STREAMED_FORMATS:
            self._line, self._is_new = "", True
            self._waiting.replaced()
        return chunks

    def is_new(self, now: float) -> bool:
        """Does ``growing`` return something new?"""
        if self._reply.ended and not self._has_ended:
            self._has_ended = self._is_new = True
        elif (line := self._change_of_line(now)) and not self._reply.ended:
            self._line, self._is_new = line, True
        return self._is_new

    def _change_of_line(self, now: float) -> str:
        """The line that is shown until text arrives, if it has changed."""
        is_shown = not self._reply.usage.chunks or self._form not in STREAMED_FORMATS
        return self._waiting.change(now) if is_shown else ""

    def growing(self, room: int) -> str:
        """The column as it is now, in about ``room`` bytes at most."""
        if self._is_new:
            self._is_new = False
            if self._form in STREAMED_FORMATS:
                self._grow()
            if self._reply.ended and len(self._reply.text_so_far) < room:
                self._page = self.final()
            else:
                line = saved_line(self._line) if self._line else small(clean(caption(self._reply)))
                blocks = [styled(block).replace(' dir="auto"', "") for block in self._markup.blocks]
                self._page = self._column("".join(without_middle(blocks, room)) + line)
            self.size = len(self._page)
        return self._page

    def _grow(self) -> None:
        """Take the new text. It begins anew with another attempt, and where its beginning turns out to be reasoning."""
        text = self._reply.text_so_far[:MAX_CHARACTERS]
        if not text.startswith(self._text):
            self._markup, self._text = GrowingMarkup(), ""
        self._markup.feed(text[len(self._text) :])
        self._markup.change()
        self._text = text

    def final(self) -> str:
        """The column at the end: the reply in its format, with its error and its caption."""
        formatted = format_reply(self._reply.text_so_far, self._form, images=self._images)
        if formatted.notice and formatted.notice not in self._reply.notices:
            self._reply.notices.append(formatted.notice)
        page = formatted.data.get("text/html", "")
        if not page:
            markdown = self._reply.text_so_far[:MAX_CHARACTERS]
            if self._form not in STREAMED_FORMATS:
                markdown = formatted.data["text/markdown"]
            page = "".join(styled(block) for block in static_blocks_of(markdown))
        error = _error_of(self._reply)
        trouble = f"<p><b>{html.escape(clean(error))}</b></p>" if error else ""
        return self._column(kept_reasoning(self._reply, self._form) + page + trouble + caption_html(self._reply))

    def plain(self) -> str:
        """The column as text."""
        parts = [self._title, clean(self._reply.text_so_far), clean(_error_of(self._reply)), caption_text(self._reply)]
        return "\n".join(filter(None, parts))

    def _column(self, content: str) -> str:
        label = html.escape(self._title)
        heading = f'<div style="{HEADING}">{label}</div>'
        return f'<div role="group" aria-label="{label}" style="{COLUMN}">{heading}{content}</div>'


def grid(columns: Sequence[str]) -> str:
    """The columns side by side, and one below the other where there is no room."""
    return f'<div class="mathjax_ignore tex2jax_ignore" style="{GRID}">{"".join(columns)}</div>'


def without_middle(blocks: Sequence[str], room: int) -> list[str]:
    """The blocks; if they are longer than ``room``, the first and the last ones, with a line between them."""
    if sum(map(len, blocks)) <= room:
        return list(blocks)
    first = _fitting(blocks, room // 2)
    last = max(1, _fitting(blocks[:first:-1], room // 2))
    if not (left_out := sum(map(len, blocks[first:-last]))):
        return list(blocks)
    return [*blocks[:first], small(f"… about {left_out:,} characters, shown at the end …"), *blocks[-last:]]


def _fitting(blocks: Sequence[str], room: int) -> int:
    """How many of the blocks fit."""
    ends = accumulate(map(len, blocks))
    return sum(1 for _end in takewhile(lambda end: end <= room, ends))


def styled(block: str) -> str:
    """A block of the page's HTML with inline styles in place of classes, for outputs, which have no style sheet."""
    for plain, with_style in _STYLED.items():
        block = block.replace(plain, with_style)
    return _COLOURED.sub(_coloured, _RUNS.sub("", block))


def _coloured(span: re.Match[str]) -> str:
    name = _COLOURS.get(span[1])
    return f'<span style="color: var(--jp-mirror-editor-{name}-color)">' if name else "<span>"

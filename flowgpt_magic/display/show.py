"""Show a reply: in a notebook cell, in a terminal, in a run without a person in front of it.

Everything here runs in the thread that runs the cell. Output made elsewhere would land in whichever cell runs by then.
"""

from __future__ import annotations

import html
import os
import shutil
import sys
import time
from typing import TYPE_CHECKING, Any, Literal

from flowgpt_magic import bridge, printing
from flowgpt_magic.errors import ReplyInterrupted
from flowgpt_magic.notebook.ipython import clear, execution, headless, in_console, in_kernel, publish
from flowgpt_magic.text import escaped

if TYPE_CHECKING:
    from flowgpt_magic.display.painting import Ending, Looks, Sink
    from flowgpt_magic.display.shown_reply import ShownReader, ShownReply
    from flowgpt_magic.display.waiting_line import Line
    from flowgpt_magic.messages import Turn
    from flowgpt_magic.tables import Showable

Extent = Literal["all", "end", "nothing"]
GLANCE = 0.1  # seconds between two looks at how long nothing has come
DIM, NORMAL = "\x1b[2m", "\x1b[0m"


def widget_view(model_id: str, text: str) -> dict[str, Any]:
    """Display data that shows a widget of ipywidgets, of any release; ``text`` is for front ends without widgets."""
    view = {"version_major": 2, "version_minor": 0, "model_id": model_id}
    return {"application/vnd.jupyter.widget-view+json": view, "text/plain": text}


def show_answer(answer: str | Showable | Turn | None, troubles: list[str]) -> None:
    """Show what a subcommand has to say, after the ``troubles``, which go to the error output."""
    from flowgpt_magic.messages import Turn
    from flowgpt_magic.tables import Showable, Table, bundle
    from flowgpt_magic.transcripts.bundles import turn_bundle

    for trouble in troubles:
        sys.stderr.write(f"{trouble}\n")
    if isinstance(answer, Table) and not in_kernel() and sys.stdout.isatty():
        printing.write_line(answer.text(shutil.get_terminal_size().columns))
    elif isinstance(answer, Showable):
        _publish_or_print(bundle(answer))
    elif isinstance(answer, Turn):
        _publish_or_print(turn_bundle(answer))
    elif answer:
        printing.write_line(answer)


def _publish_or_print(data: dict[str, str]) -> None:
    if in_kernel():
        publish(data)
    else:
        printing.write_line(data["text/plain"])


def show(
    reply: ShownReply, *, form: str = "markdown", images: bool = False, own_cell: bool = False, extent: Extent = "all"
) -> None:
    """Show ``reply`` as it arrives, and at the end as one output; returns when it has ended, however it ended.

    ``own_cell`` says that the reply is all that this cell shows, ``extent`` that only its ``"end"`` is shown, or
    ``"nothing"``. The first interrupt cancels the reply and keeps its
    text, the second raises ``KeyboardInterrupt`` at once.
    """
    reply.shown_in = execution()

    def follow() -> None:
        reader = reply.open()
        sink: Sink | None = None
        try:
            sink = _sink(reply, form, images=images, own_cell=own_cell, extent=extent)
            _follow(reader, reply, sink)
        finally:
            reply.leave(reader)
            if sink is not None:
                sink.finish(_ending(reply, form, images=images))

    # The handler does not wait: the line that it interrupts may hold a lock of the reply.
    bridge.on_interrupt(lambda: bridge.apart(reply.cancel), follow)


def raise_ending(reply: ShownReply) -> None:
    """Fail the cell where the reply failed or was cancelled, so that Run All stops here."""
    reply.raise_error()
    if reply.status == "cancelled":
        raise ReplyInterrupted(f"Interrupted: {reply.kept}")


def show_result(reply: ShownReply) -> None:
    """Show a reply that is the value of a cell's last line; nothing more if this very cell has shown it already."""
    if reply.shown_in == execution():
        if not in_kernel():
            printing.write_line("the reply above")  # behind IPython's Out[3]:
        return
    if reply.ended:
        reply.shown_in = execution()
        sink = _sink(reply, "markdown", images=False, own_cell=False, extent="end")
        sink.finish(_ending(reply, "markdown", images=False))
        return
    show(reply)
    raise_ending(reply)


def _sink(reply: ShownReply, form: str, *, images: bool, own_cell: bool, extent: Extent) -> Sink:
    # Imported while the provider is at work: the Markdown parser takes longer to load than all the rest.
    from flowgpt_magic.display import painting
    from flowgpt_magic.display.formats import GROWING
    from flowgpt_magic.display.waiting_line import OutputLine

    if extent == "nothing":
        return painting.AtEnd(lambda _ending: None)
    if headless():
        return painting.AtEnd(_publish)
    if not in_kernel() or in_console():
        return _terminal_sink(form, extent)
    name = f"flowgpt-{reply.turn_id[:12]}"
    line = OutputLine(publish, name, clear if own_cell else None)
    appended = form == "text" or (form not in GROWING and own_cell)
    if extent == "end" or not (appended or form in GROWING):
        return painting.AtEnd(lambda ending: line.replace(ending.data, ending.metadata), line)
    if appended:
        close = _end_of_cell_text if own_cell else _end_of_text
        return painting.Appended(close, line=line, replaced=own_cell)
    if own_cell:
        return painting.Slots(publish, clear, name, images=images)
    return painting.OneOutput(publish, name, images=images)


def _terminal_sink(form: str, extent: Extent) -> Sink:
    """Appended text; what cannot be shown before its end, and all with ``extent`` ``"end"``, comes then."""
    from flowgpt_magic.display import painting
    from flowgpt_magic.display.formats import GROWING

    line = _terminal_line()
    if extent == "end" or form not in (*GROWING, "text"):
        looks = _looks("text" if form == "html" else "markdown")
        return painting.AtEnd(lambda ending: _print_whole(ending, looks, line), line)
    return painting.Appended(_end_of_text, _looks(form), line)


def _terminal_line() -> Line:
    """Where a terminal says how long it has waited; what is captured or piped does not."""
    from flowgpt_magic.display.waiting_line import NoLine, TerminalLine

    if not sys.stdout.isatty() or os.environ.get("TERM") == "dumb":
        return NoLine()
    return TerminalLine(shutil.get_terminal_size().columns)


def _looks(form: str) -> Looks:
    """How a growing reply is written into this terminal."""
    from flowgpt_magic.display.formats import GROWING
    from flowgpt_magic.display.painting import AsItIs

    if form not in GROWING or not sys.stdout.isatty():
        return AsItIs()
    from flowgpt_magic.markdown.terminal.markdown import TerminalMarkdown

    return TerminalMarkdown(shutil.get_terminal_size().columns, colours="NO_COLOR" not in os.environ)


def _publish(ending: Ending) -> None:
    publish(ending.data, ending.metadata)


def _print_whole(ending: Ending, looks: Looks, line: Line) -> None:
    """A reply that is shown at its end only, in a terminal."""
    line.remove()
    printing.write(looks.add(ending.body) + looks.finish())
    _end_of_text(ending)


def _follow(reader: ShownReader, reply: ShownReply, sink: Sink) -> None:
    from flowgpt_magic.display.painting import Painting
    from flowgpt_magic.display.waiting_line import WaitingLine

    now = time.monotonic()
    painting, line = Painting(sink, now), WaitingLine(reply, now)
    chunks: list[str] = []
    while chunks or not reader.done:
        now = time.monotonic()
        painted, pause = painting.step(chunks, now)
        if painted:
            line.replaced()
        if sink.at_end or not reply.usage.chunks:  # or those of an attempt before this one
            if changed := line.change(now):
                sink.show_waiting(changed)
            pause = GLANCE if pause is None else min(pause, GLANCE)
        chunks = reader.take(pause)


def _ending(reply: ShownReply, form: str, *, images: bool) -> Ending:
    from flowgpt_magic.display.formats import LONGEST, shown
    from flowgpt_magic.display.painting import Ending
    from flowgpt_magic.markdown.growing import plain
    from flowgpt_magic.transcripts.caption import caption

    text = plain(reply.text_so_far)
    made = shown(reply.text_so_far, form, images=images)
    if made.notice and made.notice not in reply.notices:
        reply.notices.append(made.notice)
    below = plain(caption(reply))
    data = {**made.data, "text/plain": text}
    if "text/html" in data:
        data["text/html"] += f"<small>{html.escape(below)}</small>"
    else:
        data["text/markdown"] = f"{data['text/markdown']}\n\n*{escaped(below)}*".lstrip("\n")
    whole = form in ("markdown", "md", "text", "html") or len(text) > LONGEST
    return Ending(data, _metadata(reply), below, text if whole else made.data["text/markdown"])


def _metadata(reply: ShownReply) -> dict[str, Any]:
    usage = reply.usage
    times = {"first_chunk_seconds": usage.first_chunk_seconds, "seconds": usage.seconds}
    return {
        "flowgpt": {
            "turn_id": reply.turn_id,
            "provider": reply.provider,
            "model": reply.model,
            "status": reply.status,
            "notices": reply.notices,
            "replayed": reply.replayed,
            "left_out": reply.left_out,
            "chunks": usage.chunks,
            "prompt_tokens": usage.prompt_tokens,
            "completion_tokens": usage.completion_tokens,
            **{name: None if value is None else round(value, 3) for name, value in times.items()},
        }
    }


def _end_of_cell_text(ending: Ending) -> None:
    clear()
    _publish(ending)


def _end_of_text(ending: Ending) -> None:
    """The text stands there already, and what else the cell printed must stay: nothing is cleared."""
    colours = (DIM, NORMAL) if sys.stdout.isatty() else ("", "")
    text = ending.data["text/plain"]
    newline = "\n" if text and not text.endswith("\n") else ""
    printing.write_line(f"{newline}{colours[0]}[{ending.caption}]{colours[1]}")

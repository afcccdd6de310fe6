"""Show a reply in a notebook cell, in a terminal or in a headless run.

Everything here runs in the thread of the cell. Output from another thread would land in whichever cell runs by then.
"""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

from flowgpt_magic import bridge, printing
from flowgpt_magic.errors import ReplyInterrupted
from flowgpt_magic.notebook.ipython import clear, execution, headless, in_console, in_kernel, publish

if TYPE_CHECKING:
    from flowgpt_magic.display.formats import FormattedReply
    from flowgpt_magic.display.painting import Ending, Sink, TextWriter
    from flowgpt_magic.display.shown_reply import ShownReader, ShownReply
    from flowgpt_magic.display.waiting_line import StatusLine
    from flowgpt_magic.messages import Turn, Usage
    from flowgpt_magic.tables import Showable
    from flowgpt_magic.transcripts.bundles import TurnWithReasoning

Extent = Literal["all", "end", "nothing"]
POLL_SECONDS = 0.1  # how often the status line is checked
WITHOUT_REASONING = ("code", "json", "image")  # formats that show a part of the reply
DIM, NORMAL = "\x1b[2m", "\x1b[0m"


def widget_view(model_id: str, text: str) -> dict[str, Any]:
    """Display data for a widget of any release of ipywidgets; ``text`` is for front ends without widgets."""
    view = {"version_major": 2, "version_minor": 0, "model_id": model_id}
    return {"application/vnd.jupyter.widget-view+json": view, "text/plain": text}


def show_answer(answer: str | Showable | Turn | TurnWithReasoning | None, troubles: list[str]) -> None:
    """Show the answer of a subcommand, after the ``troubles``, which go to stderr."""
    from flowgpt_magic.tables import Showable, Table, bundle

    for trouble in troubles:
        sys.stderr.write(f"{trouble}\n")
    if isinstance(answer, Table) and not in_kernel() and sys.stdout.isatty():
        printing.write_line(answer.text(shutil.get_terminal_size().columns))
    elif isinstance(answer, Showable):
        _publish_or_print(bundle(answer))
    elif isinstance(answer, str):
        printing.write_line(answer) if answer else None
    elif answer is not None:
        _show_turn(answer)


def _show_turn(shown: Turn | TurnWithReasoning) -> None:
    from flowgpt_magic.messages import Turn
    from flowgpt_magic.transcripts.bundles import turn_bundle

    if isinstance(shown, Turn):
        _publish_or_print(turn_bundle(shown))
    else:
        _publish_or_print(turn_bundle(shown.turn, reasoning=True))


def show_remark(text: str) -> None:
    """Show one grey line about what happened, or what can be done next; nothing if it is empty."""
    from flowgpt_magic.transcripts.caption import line_html

    if text and in_kernel() and not in_console():
        publish({"text/markdown": line_html(text), "text/plain": text})
    elif text:
        _print_dim(text)


def _publish_or_print(data: dict[str, str]) -> None:
    if in_kernel():
        publish(data)
    else:
        printing.write_line(data["text/plain"])


def show(
    reply: ShownReply,
    *,
    form: str = "markdown",
    images: bool = False,
    own_cell: bool = False,
    extent: Extent = "all",
    cancel: Callable[[], object] | None = None,
) -> None:
    """Show ``reply`` as it arrives. Returns when it is complete, cancelled or failed.

    At its end it is one output; a long one with many formulas in a cell of its own stays several, which hold its parts.
    The first interrupt cancels the reply and keeps its text; the second raises ``KeyboardInterrupt`` at once.

    Args:
        reply: the reply; the request is started if necessary.
        form: a key of ``FORMATTERS``; Markdown by default.
        images: whether Markdown may load images; not by default.
        own_cell: whether the reply is all that this cell shows; not by default.
        extent: "all", only the "end", or "nothing".
        cancel: what the first interrupt calls; by default it cancels this reply.
    """
    reply.shown_in = execution()

    def follow() -> None:
        reader = reply.open()
        sink: Sink | None = None
        try:
            sink = _sink(reply, form, images=images, own_cell=own_cell, extent=extent)
            _follow(reader, reply, sink)
        finally:
            reply.detach(reader)
            if sink is not None:
                sink.finish(_ending(reply, form, images=images))

    # The handler does not wait: the interrupted line may hold a lock of the reply.
    bridge.on_interrupt(lambda: bridge.apart(cancel or reply.cancel), follow)


def show_elsewhere(reply: ShownReply, publish: Callable[..., None], *, form: str, images: bool) -> None:
    """Show ``reply`` through ``publish`` as it arrives, as one output. Returns when it has ended.

    It may run on any thread: nothing goes to the running cell, and no interrupt is noticed.

    Args:
        reply: the reply; the request is started if necessary.
        publish: takes the data and the metadata of the output, each time it has changed.
        form: a key of ``FORMATTERS``.
        images: whether Markdown may load images.
    """
    from flowgpt_magic.display import painting
    from flowgpt_magic.display.formats import STREAMED_FORMATS
    from flowgpt_magic.display.waiting_line import OutputStatusLine

    name, publish_part = _name(reply), _publisher(reply, publish)
    line = OutputStatusLine(publish_part, name)
    sink: Sink = painting.AtEnd(lambda ending: line.replace(ending.data, ending.metadata), line)
    if form in STREAMED_FORMATS:
        sink = painting.OneOutput(publish_part, name, images=images)
    reader = reply.open()
    try:
        _follow(reader, reply, sink)
    finally:
        reply.detach(reader)
        sink.finish(_ending(reply, form, images=images))


def output_of(
    turn: Turn, form: str, *, images: bool = False, keep_reasoning: bool = False
) -> tuple[dict[str, str], dict[str, Any]]:
    """The display bundle and the metadata with which the reply of a turn that has ended is shown in a cell.

    Args:
        turn: the turn.
        form: a key of ``FORMATTERS``.
        images: whether Markdown may load images; not by default.
        keep_reasoning: whether its reasoning, folded, stands above it.
    """
    from flowgpt_magic.display.formats import format_reply

    formatted = format_reply(turn.text, form, images=images)
    if formatted.notice and formatted.notice not in turn.notices:
        turn = replace(turn, notices=(*turn.notices, formatted.notice))
    above = _folded(turn.extras.reasoning, turn.usage, form) if keep_reasoning else ""
    ending = _ended(turn, formatted, form, above)
    return ending.data, ending.metadata


def raise_ending(reply: ShownReply, *, shown: bool = True) -> None:
    """Raise if the reply failed or was cancelled, so that Run All stops at this cell.

    ``shown``: is the reply, with its caption, in the output?
    """
    reply.raise_error()
    if reply.status == "cancelled":
        raise_interrupt(reply.interrupt_summary, shown=shown)


def raise_interrupt(summary: str, *, shown: bool) -> None:
    """Raise ``ReplyInterrupted``. ``shown``: is the text, with a caption, in the output?"""
    interrupt = ReplyInterrupted(f"Interrupted: {summary}")
    interrupt.shown = shown
    raise interrupt


def show_interrupt(interrupt: ReplyInterrupted) -> None:
    """Show one grey line for an interrupt, unless the caption of the reply says it already."""
    if not interrupt.shown:
        show_remark(str(interrupt))


def show_result(reply: ShownReply) -> None:
    """Show a reply that is the value of a cell's last line, unless this run of the cell has shown it already."""
    if reply.shown_in == execution():
        if not in_kernel():
            printing.write_line("the reply above")  # after IPython's Out[3]:
        return
    if reply.ended:
        reply.shown_in = execution()
        sink = _sink(reply, "markdown", images=False, own_cell=False, extent="end")
        sink.finish(_ending(reply, "markdown", images=False))
        return
    show(reply)
    raise_ending(reply)


def _sink(reply: ShownReply, form: str, *, images: bool, own_cell: bool, extent: Extent) -> Sink:
    # Imported while the provider works: the Markdown parser loads slower than everything else.
    from flowgpt_magic.display import painting
    from flowgpt_magic.display.formats import STREAMED_FORMATS
    from flowgpt_magic.display.waiting_line import OutputStatusLine

    if extent == "nothing":
        return painting.AtEnd(lambda _ending: None)
    if headless():
        return painting.AtEnd(_publish)
    if not in_kernel() or in_console():
        return _terminal_sink(form, extent)
    name, publish_part = _name(reply), _publisher(reply, publish)
    line = OutputStatusLine(publish_part, name, clear if own_cell else None)
    appended = form == "text" or (form not in STREAMED_FORMATS and own_cell)
    if extent == "end" or not (appended or form in STREAMED_FORMATS):
        return painting.AtEnd(lambda ending: line.replace(ending.data, ending.metadata), line)
    if appended:
        close = _end_of_cell_text if own_cell else _end_of_text
        return painting.Appended(close, line=line, restart=line.restart if own_cell else None)
    if own_cell:
        return painting.BlockOutputs(publish_part, clear, name, images=images)
    return painting.OneOutput(publish_part, name, images=images)


def _name(reply: ShownReply) -> str:
    """The display id of its output, or the beginning of those of its outputs."""
    return f"flowgpt-{reply.turn_id[:12]}"


def _publisher(reply: ShownReply, publish: Callable[..., None]) -> Callable[..., None]:
    """``publish`` for the outputs of ``reply``: each says which turn it shows, before the end too."""
    identity = {"flowgpt": {"turn_id": reply.turn_id}}

    def publish_part(data: dict[str, str], metadata: dict[str, Any], **how: Any) -> None:
        publish(data, metadata or identity, **how)

    return publish_part


def _terminal_sink(form: str, extent: Extent) -> Sink:
    """Text as it arrives; only the end for formats that need the whole reply, and for ``extent="end"``."""
    from flowgpt_magic.display import painting
    from flowgpt_magic.display.formats import STREAMED_FORMATS

    line = _terminal_line()
    if extent == "end" or form not in (*STREAMED_FORMATS, "text"):
        writer = _text_writer("text" if form == "html" else "markdown")
        return painting.AtEnd(lambda ending: _print_whole(ending, writer, line), line)
    return painting.Appended(_end_of_text, _text_writer(form), line)


def _terminal_line() -> StatusLine:
    """The status line of a terminal; none for captured or piped output."""
    from flowgpt_magic.display.waiting_line import NoStatusLine, TerminalStatusLine

    if not sys.stdout.isatty() or os.environ.get("TERM") == "dumb":
        return NoStatusLine()
    return TerminalStatusLine(shutil.get_terminal_size().columns)


def _text_writer(form: str) -> TextWriter:
    """How a growing reply is written to this terminal."""
    from flowgpt_magic.display.formats import STREAMED_FORMATS
    from flowgpt_magic.display.painting import PlainText

    if form not in STREAMED_FORMATS or not sys.stdout.isatty():
        return PlainText()
    from flowgpt_magic.markdown.terminal.markdown import TerminalMarkdown

    return TerminalMarkdown(shutil.get_terminal_size().columns, colours="NO_COLOR" not in os.environ)


def _publish(ending: Ending) -> None:
    publish(ending.data, ending.metadata)


def _print_whole(ending: Ending, writer: TextWriter, line: StatusLine) -> None:
    """Print a reply in a terminal, all at once."""
    line.remove()
    printing.write(writer.add(ending.body) + writer.finish())
    _end_of_text(ending)


def _follow(reader: ShownReader, reply: ShownReply, sink: Sink) -> None:
    from flowgpt_magic.display.painting import Painting
    from flowgpt_magic.display.waiting_line import SHOWN_AFTER, WaitingLine
    from flowgpt_magic.transcripts.caption import caption

    now, first_text = time.monotonic(), 0.0
    painting, line = Painting(sink, now), WaitingLine(reply, now, opens=in_kernel() and not in_console())
    arriving = False  # does the sink show that the reply is still arriving?
    chunks: list[str] = []
    while chunks or not reader.done:
        now = time.monotonic()
        painted, pause = painting.step(chunks, now)
        if painted:
            line.replaced()
        if not arriving and reply.usage.chunks and not reader.done:
            first_text = first_text or now
            if arriving := now - first_text >= SHOWN_AFTER:
                sink.show_arriving(caption(reply))
            pause = POLL_SECONDS if pause is None else min(pause, POLL_SECONDS)
        if sink.at_end or not reply.usage.chunks:  # or only those of an earlier attempt
            if changed := line.change(now):
                sink.show_waiting(changed)
            pause = POLL_SECONDS if pause is None else min(pause, POLL_SECONDS)
        chunks = reader.take(pause)


def _ending(reply: ShownReply, form: str, *, images: bool) -> Ending:
    from flowgpt_magic.display.formats import format_reply

    formatted = format_reply(reply.text_so_far, form, images=images)
    if formatted.notice and formatted.notice not in reply.notices:
        reply.notices.append(formatted.notice)
    return _ended(reply, formatted, form, kept_reasoning(reply, form))


def _ended(reply: ShownReply | Turn, formatted: FormattedReply, form: str, above: str) -> Ending:
    """The final output of a reply, which ``formatted`` shows in the format ``form``; ``above`` is its reasoning."""
    from flowgpt_magic.control_characters import clean
    from flowgpt_magic.display.formats import MAX_CHARACTERS
    from flowgpt_magic.display.painting import Ending
    from flowgpt_magic.transcripts.caption import caption, caption_html

    text = clean(reply.text_so_far)
    below = caption_html(reply)
    data = {**formatted.data, "text/plain": text}
    if "text/html" in data:
        data["text/html"] = f"{above}{data['text/html']}{below}"
    else:
        data["text/markdown"] = "\n\n".join(filter(None, [above, data["text/markdown"], below]))
    whole = form in ("markdown", "md", "text", "html") or len(text) > MAX_CHARACTERS
    body = text if whole else formatted.data["text/markdown"]
    return Ending(data, metadata_of(reply, form), clean(caption(reply)), body, below, above)


def kept_reasoning(reply: ShownReply, form: str) -> str:
    """The reasoning, folded, that stays above the reply in the output of a cell; empty unless it is to be kept."""
    return _folded(reply.reasoning_so_far, reply.usage, form) if reply.keep_reasoning else ""


def _folded(reasoning: str, usage: Usage, form: str) -> str:
    from flowgpt_magic.transcripts.reasoning import folded, thought_line

    if not reasoning or form in WITHOUT_REASONING:
        return ""
    return folded(thought_line(usage.reasoning_seconds), reasoning)


def metadata_of(reply: ShownReply | Turn, form: str) -> dict[str, Any]:
    """The metadata of the output that shows a reply in the format ``form``."""
    usage = reply.usage
    times = {"first_chunk_seconds": usage.first_chunk_seconds, "seconds": usage.seconds}
    return {
        "flowgpt": {
            "turn_id": reply.turn_id,
            "format": form,
            "provider": reply.provider,
            "model": reply.model,
            "status": reply.status,
            "notices": list(reply.notices),
            "replayed": reply.replayed,
            "left_out": reply.left_out,
            "sent": reply.sent.as_json(),
            **({"request_id": reply.request_id} if reply.request_id else {}),
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
    """Print the caption below the text, which is there already."""
    text = ending.data["text/plain"]
    if text and not text.endswith("\n"):
        printing.write("\n")
    _print_dim(f"[{ending.caption}]")


def _print_dim(line: str) -> None:
    colours = (DIM, NORMAL) if sys.stdout.isatty() else ("", "")
    printing.write_line(f"{colours[0]}{line}{colours[1]}")

"""The output of a cell that shows a panel: a transcript and the widget.

A page that shows the widget hides the transcript. A page without the widget shows it: a saved notebook, on GitHub or
after a restart.
"""

from __future__ import annotations

import hashlib
import html
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from flowgpt_magic import printing
from flowgpt_magic.display.show import widget_view
from flowgpt_magic.messages import Turn
from flowgpt_magic.notebook.ipython import headless, in_console, in_kernel, publish
from flowgpt_magic.text import counted, escaped
from flowgpt_magic.transcripts.caption import caption_html, caption_text
from flowgpt_magic.transcripts.pictures import Thumbnails, pictures_of, thumbnails_of

if TYPE_CHECKING:
    from flowgpt_magic.conversation import Conversation
    from flowgpt_magic.notebook.place import Kind

# Characters of the transcript: of an open panel, which a page reads whole at each update, and of a closed one.
MAX_OPEN_OUTPUT = 20_000
MAX_CLOSED_OUTPUT = 1_000_000
REOPEN = "Run this cell to open the chat panel."
NOT_OPENED = (
    f"{REOPEN} If it ran and no panel opened, {{program}} lacks {{packages}}: run pip install {{packages}} in the "
    "environment of {program}, and reload the page."
)
NO_WIDGETS = (
    "This chat panel needs a front end with widgets, such as JupyterLab, Notebook or VS Code. "
    "Here %%flowgpt asks in a cell, and %flowgpt history shows the conversation."
)
OWN_WIDGETS = ("vscode", "colab")  # they include what shows a widget, and report a failure themselves
# JupyterLab's widget manager shows an error for a widget that is gone; the transcript replaces it. Without that manager
# the next output says what to do, and stays.
HIDDEN = (
    ".jp-OutputArea-child:has(.flowgpt-transcript) + "
    ".jp-OutputArea-child:has(> .jupyter-widgets):not(:has(.flowgpt-panel)) {display: none}"
)
# In an open notebook as high as the panel was, so that closing it moves nothing; in an exported page, all of it.
SCROLL_STYLE = "@media screen {.jp-NotebookPanel .flowgpt-transcript {max-height: 600px; overflow: auto}}"
_HEADING = re.compile(r"<(/?)h[1-6]\b[^>]*>")


def transcript(conversation: Conversation, room: int = MAX_CLOSED_OUTPUT) -> dict[str, str]:
    """The transcript of the last turns that fit ``room`` characters; a longer last turn is cut."""
    turns = conversation.turns
    shown = [
        replace(turn, prompt=_begun(turn.prompt, room), text=_begun(turn.text, room)) for turn in _last(turns, room)
    ]
    thumbnails = thumbnails_of(shown, conversation.notebook_history.pictures.find, room)
    left_out = len(turns) - len(shown)
    lines = [f"Conversation {conversation.name}, {counted(len(turns), 'turn')}. {REOPEN}"]
    if left_out:
        lines.append(f"{counted(left_out, 'earlier turn')}: %flowgpt history")
    return {
        "text/html": _html(lines, shown, thumbnails),
        "text/markdown": _markdown(lines, shown, thumbnails),
        "text/plain": _plain(lines, shown),
    }


def marked(data: Mapping[str, str]) -> dict[str, Any]:
    """An output's ``data`` and ``metadata``, with a ``stamp`` that identifies the transcript.

    The kernel cannot update the outputs of a page that was reloaded. The stamp tells the page that its transcript is
    outdated, and it requests this one.
    """
    digest = hashlib.blake2s(data["text/markdown"].encode("utf-8", "surrogatepass"), digest_size=8)
    return {"data": data, "metadata": {"flowgpt": {"stamp": digest.hexdigest()}}}


def _last(turns: Sequence[Turn], room: int) -> list[Turn]:
    kept = 0
    for turn in reversed(turns):
        room -= len(turn.prompt) + len(turn.text)
        if room < 0 and kept:
            break
        kept += 1
    return list(turns[len(turns) - kept :])


def _begun(text: str, room: int) -> str:
    return text if len(text) <= room else f"{text[:room]} …\n\n(%flowgpt show shows all of it)"


def _html(lines: Sequence[str], turns: Sequence[Turn], thumbnails: Thumbnails | None = None) -> str:
    from flowgpt_magic.transcripts.html_page import STYLE, turns_html

    captions = "".join(f"<p class='fg-caption'>{html.escape(line)}</p>" for line in lines)
    shown = turns_html(turns, thumbnails)
    # Headings become bold: JupyterLab's table of contents lists headings of outputs, hidden ones too.
    body = _HEADING.sub(lambda heading: "</strong></p>" if heading[1] else "<p><strong>", shown)
    # The formulas are typeset already. MathJax, which JupyterLab runs on every output, would take $5 and $7 for one.
    classes = "flowgpt-transcript fg-transcript mathjax_ignore tex2jax_ignore"
    return (
        f"<div class='{classes}'>{captions}{body}</div><style>{STYLE + SCROLL_STYLE if turns else ''}{HIDDEN}</style>"
    )


def _markdown(lines: Sequence[str], turns: Sequence[Turn], thumbnails: Thumbnails | None = None) -> str:
    from flowgpt_magic.markdown.growing import harmless

    parts = [f"*{line}*" for line in map(escaped, lines)]
    for turn in turns:
        quoted = "\n".join(f"> {line}" for line in harmless(turn.prompt).splitlines())
        pictures = [picture.markdown for picture in pictures_of(turn, thumbnails)]
        parts += [quoted, *pictures, harmless(turn.text), caption_html(turn, error=turn.error)]
    return "\n\n".join(filter(None, parts))


def _line(line: str) -> dict[str, str]:
    """One line instead of the transcript, or nothing."""
    shown = [line] if line else []
    return {"text/html": _html(shown, []), "text/markdown": _markdown(shown, []), "text/plain": line}


def _plain(lines: Sequence[str], turns: Sequence[Turn]) -> str:
    from flowgpt_magic.control_characters import clean

    parts = list(lines)
    for turn in turns:
        pictures = [picture.line for picture in pictures_of(turn)]
        parts += [f"> {turn.prompt}", *pictures, turn.text, caption_text(turn, error=turn.error)]
    return clean("\n\n".join(filter(None, parts)))


def can_open(kind: Kind) -> bool:
    """Can a panel open for this request, from a place of this ``kind``?

    A headless run would save a widget that never works. A console ignores widgets; the classic Notebook, which sends no
    cell id either, shows them.
    """
    return in_kernel() and not headless() and (kind == "jupyter" or not in_console())


def not_opened(kind: Kind) -> str:
    """The line above a panel until it opens: what to do if it does not. Empty if the front end says so itself."""
    if kind in OWN_WIDGETS:
        return ""
    if in_console():
        return NOT_OPENED.format(program="Notebook", packages="anywidget widgetsnbextension")
    return NOT_OPENED.format(program="JupyterLab or Notebook", packages="anywidget")


class Output:
    """A cell's output with a panel; ``name`` is unique, ``kind`` is the place's."""

    def __init__(self, name: str, kind: Kind = "jupyter") -> None:
        self._ids = f"flowgpt-transcript-{name}", f"flowgpt-panel-{name}"
        self._kind: Kind = kind

    def show(self, model_id: str, conversation: Conversation) -> bool:
        """Show the panel, or the transcript if no panel can open. Returns true if the panel is shown."""
        if not can_open(self._kind):
            self._publish(0, transcript(conversation))
            return False
        self._publish(0, _line(not_opened(self._kind)))
        self._publish(1, widget_view(model_id, NO_WIDGETS))
        return True

    def opened(self) -> None:
        """A page shows the panel: remove the line above it, which not every front end hides."""
        self._publish(0, _line(""), update=True)

    def keep(self, conversation: Conversation, room: int = MAX_OPEN_OUTPUT) -> Mapping[str, Any]:
        """Update the transcript in the output, and return it."""
        kept = marked(transcript(conversation, room))
        self._publish(0, **kept, update=True)
        return kept

    def close(self, conversation: Conversation) -> Mapping[str, Any]:
        """Replace the panel by the transcript, and return it."""
        kept = self.keep(conversation, MAX_CLOSED_OUTPUT)
        self._publish(1, {"text/plain": ""}, update=True)
        return kept

    def _publish(
        self, which: int, data: Mapping[str, Any], metadata: Mapping[str, Any] | None = None, *, update: bool = False
    ) -> None:
        if not in_kernel():
            if not update:
                printing.write_line(data["text/plain"])  # as a shell shows a value
            return
        publish(data, metadata, transient={"display_id": self._ids[which]}, update=update)

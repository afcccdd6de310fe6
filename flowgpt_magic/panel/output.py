"""The output of a cell that shows a panel, and what stays of it.

Two outputs: a transcript, and the widget. A page that shows the widget hides the transcript; where there is no widget,
in a saved notebook, on a page of GitHub or after a restart, the transcript is what is read.
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
from flowgpt_magic.transcripts.caption import caption

if TYPE_CHECKING:
    from flowgpt_magic.conversation import Conversation
    from flowgpt_magic.notebook.place import Kind

MAX_OPEN_OUTPUT = (
    20_000  # characters that are kept in the output while the panel is open: a page reads all of it each time
)
MAX_CLOSED_OUTPUT = 1_000_000  # and when it is closed
REOPEN = "Run this cell to open the chat panel."
NOT_OPENED = (
    f"{REOPEN} Did it run, and none opened? Then the {{program}} that you see misses {{packages}}: "
    "pip install {packages} where that is installed, and reload the page."
)
NO_WIDGETS = (
    "This is a chat panel, which needs a front end with widgets, such as JupyterLab, Notebook or VS Code. "
    "Here %%flowgpt asks in a cell, and %flowgpt history shows the conversation."
)
OWN_WIDGETS = ("vscode", "colab")  # they bring what shows a widget, and say themselves where that fails
# A widget that is gone is an error message of JupyterLab's widget manager; the transcript stands for it. Without that
# manager the next output says what to do, and stays.
HIDDEN = (
    ".jp-OutputArea-child:has(.flowgpt-transcript) + "
    ".jp-OutputArea-child:has(> .jupyter-widgets):not(:has(.flowgpt-panel)) {display: none}"
)
# As high as the panel was, so that closing it moves nothing; on paper all of it.
SCROLL_STYLE = "@media screen {.flowgpt-transcript {max-height: 560px; overflow: auto}}"
_HEADING = re.compile(r"<(/?)h[1-6]\b[^>]*>")


def transcript(conversation: Conversation, room: int = MAX_CLOSED_OUTPUT) -> dict[str, str]:
    """The conversation to read: its last turns, as many as have ``room`` characters, and no more of the last one."""
    turns = conversation.turns
    shown = [
        replace(turn, prompt=_begun(turn.prompt, room), text=_begun(turn.text, room)) for turn in _last(turns, room)
    ]
    left_out = len(turns) - len(shown)
    lines = [f"Conversation {conversation.name}, {counted(len(turns), 'turn')}. {REOPEN}"]
    if left_out:
        lines.append(f"{counted(left_out, 'earlier turn')}: %flowgpt history")
    return {
        "text/html": _html(lines, shown),
        "text/markdown": _markdown(lines, shown),
        "text/plain": _plain(lines, shown),
    }


def marked(data: Mapping[str, str]) -> dict[str, Any]:
    """An output's ``data`` and ``metadata``, with a ``stamp`` in it that tells one transcript from another.

    A page that was loaded again does not know the kernel's outputs any more, and the kernel cannot update them. By the
    stamp it sees that what it would save is of another moment, and asks for this.
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


def _html(lines: Sequence[str], turns: Sequence[Turn]) -> str:
    from flowgpt_magic.transcripts.html_page import STYLE, turns_html

    told = "".join(f"<p class='fg-caption'>{html.escape(line)}</p>" for line in lines)
    # Headings become bold words: JupyterLab's table of contents lists those of outputs too, also of hidden ones.
    said = _HEADING.sub(lambda found: "</strong></p>" if found[1] else "<p><strong>", turns_html(turns))
    # The formulas are there already; to MathJax, which JupyterLab sends through every output, $5 and $7 would be one.
    classes = "flowgpt-transcript fg-transcript mathjax_ignore tex2jax_ignore"
    return f"<div class='{classes}'>{told}{said}</div><style>{STYLE + SCROLL_STYLE if turns else ''}{HIDDEN}</style>"


def _markdown(lines: Sequence[str], turns: Sequence[Turn]) -> str:
    from flowgpt_magic.control_characters import clean
    from flowgpt_magic.markdown.growing import harmless

    parts = [f"*{line}*" for line in map(escaped, lines)]
    for turn in turns:
        quoted = "\n".join(f"> {line}" for line in harmless(turn.prompt).splitlines())
        parts += [quoted, harmless(turn.text), f"*{escaped(clean(caption(turn, error=turn.error)))}*"]
    return "\n\n".join(filter(None, parts))


def _told(line: str) -> dict[str, str]:
    """One line in the place of the transcript, or nothing there."""
    shown = [line] if line else []
    return {"text/html": _html(shown, []), "text/markdown": _markdown(shown, []), "text/plain": line}


def _plain(lines: Sequence[str], turns: Sequence[Turn]) -> str:
    from flowgpt_magic.control_characters import clean

    parts = list(lines)
    for turn in turns:
        parts += [f"> {turn.prompt}", turn.text, f"[{caption(turn, error=turn.error)}]"]
    return clean("\n\n".join(filter(None, parts)))


def can_open(kind: Kind) -> bool:
    """Can a panel open for this request, from a place of this ``kind``?

    In a run without a person a widget would be saved with the notebook and never work. A console ignores widgets; the
    classic Notebook, which sends no cell's id either, shows them.
    """
    return in_kernel() and not headless() and (kind == "jupyter" or not in_console())


def not_opened(kind: Kind) -> str:
    """What stands above a panel until it opens: what to do where it does not; empty where the front end says it."""
    if kind in OWN_WIDGETS:
        return ""
    if in_console():
        return NOT_OPENED.format(program="Notebook", packages="anywidget widgetsnbextension")
    return NOT_OPENED.format(program="JupyterLab or Notebook", packages="anywidget")


class Output:
    """One cell's output with a panel in it; ``name`` tells it from others, ``kind`` is that of the place."""

    def __init__(self, name: str, kind: Kind = "jupyter") -> None:
        self._ids = f"flowgpt-transcript-{name}", f"flowgpt-panel-{name}"
        self._kind: Kind = kind

    def show(self, model_id: str, conversation: Conversation) -> bool:
        """Show the panel; where none can open, what is in it. Does the panel show?"""
        if not can_open(self._kind):
            self._publish(0, transcript(conversation))
            return False
        self._publish(0, _told(not_opened(self._kind)))
        self._publish(1, widget_view(model_id, NO_WIDGETS))
        return True

    def opened(self) -> None:
        """A page shows the panel: take the line above it away, which not every front end hides."""
        self._publish(0, _told(""), update=True)

    def keep(self, conversation: Conversation, room: int = MAX_OPEN_OUTPUT) -> Mapping[str, Any]:
        """Put what was said by now into the output, which is returned."""
        kept = marked(transcript(conversation, room))
        self._publish(0, **kept, update=True)
        return kept

    def close(self, conversation: Conversation) -> Mapping[str, Any]:
        """Leave the transcript in the place of the panel; it is returned."""
        kept = self.keep(conversation, MAX_CLOSED_OUTPUT)
        self._publish(1, {"text/plain": ""}, update=True)
        return kept

    def _publish(
        self, which: int, data: Mapping[str, Any], metadata: Mapping[str, Any] | None = None, *, update: bool = False
    ) -> None:
        if not in_kernel():
            if not update:
                printing.write_line(data["text/plain"])  # a shell shows a value so
            return
        publish(data, metadata, transient={"display_id": self._ids[which]}, update=update)

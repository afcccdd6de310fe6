"""The chat panel: a widget that shows one conversation live, beside the cells that ask in it.

``PanelState`` holds the state, ``static/panel.js`` is the page, and this widget passes messages between them. State is
in the traits, which a page gets when it shows the widget; events are custom messages.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

import anywidget
import traitlets

from flowgpt_magic.conversation import Conversation
from flowgpt_magic.history.current import current_history
from flowgpt_magic.notebook.comms import BUFFERS, answer_on_its_own_thread
from flowgpt_magic.panel.actions import answer
from flowgpt_magic.panel.output import Output, can_open
from flowgpt_magic.panel.protocol import Facts
from flowgpt_magic.panel.state import PanelError, PanelState
from flowgpt_magic.replies.log import logger

STATIC = Path(__file__).parent / "static"
SETTLING = 1.0  # seconds without a change after which the cell's output is updated


class ChatPanel(anywidget.AnyWidget):
    """A chat panel.

    ``conversation`` is the conversation to show, or its name; the default is the one that the notebook's cells use now.
    Leave the panel as the last line of a cell to show it. The traits can be read and observed; setting one changes
    nothing.
    """

    _esm = (STATIC / "panel.js").read_text("utf-8")
    _css = (STATIC / "panel.css").read_text("utf-8")
    name = traitlets.Unicode(help="the conversation's name").tag(sync=True)
    conversation_id = traitlets.Unicode(help="the conversation's id, which a rename does not change").tag(sync=True)
    names = traitlets.List(traitlets.Unicode(), help="the names of the notebook's conversations").tag(sync=True)
    model = traitlets.Unicode(help="the model that answers: provider:model").tag(sync=True)
    alias = traitlets.Unicode(help="the alias that names that model; empty for none").tag(sync=True)
    chosen = traitlets.Unicode(help="the model set for this conversation").tag(sync=True)
    system = traitlets.Unicode(help="the system prompt in force").tag(sync=True)
    temperature = traitlets.Float(None, allow_none=True, help="None for the provider's default").tag(sync=True)
    status = traitlets.Unicode(help="streaming while a reply arrives, otherwise empty").tag(sync=True)
    trouble = traitlets.Unicode(help="why no prompt can be sent at the moment").tag(sync=True)
    closed = traitlets.Bool(False, help="was it closed?").tag(sync=True)
    _flowgpt_id = traitlets.Unicode().tag(sync=True)  # the page finds its cell by this id

    def __init__(self, conversation: Conversation | str | None = None) -> None:
        super().__init__()
        if isinstance(conversation, str):
            conversation = Conversation(conversation)
        self._setting, self._keeping = threading.RLock(), threading.Lock()
        self._shown = self._covered = self._opened = False
        self._timer: threading.Timer | None = None
        self._state = PanelState(conversation, send=self._tell, show=self._set, settled=self._settle)
        self._output = Output(uuid4().hex[:12], self._state.notebook_history.place.kind)
        self.on_msg(self._hear)
        answer_on_its_own_thread(self.comm)

    @property
    def conversation(self) -> Conversation:
        """The conversation that is shown."""
        return self._state.conversation

    def __repr__(self) -> str:
        return f"<ChatPanel of {self.conversation!r}>"

    def open(self) -> None:
        """Create the widget in the front end, unless no panel can open: a headless run would save all of it."""
        if can_open(current_history().place.kind):
            super().open()
            self._flowgpt_id = self.model_id

    def _ipython_display_(self) -> None:
        self.show()

    def show(self) -> None:
        """Show the panel in the output of the running cell. Raises ``PanelError`` if it was closed."""
        if self.closed:
            raise PanelError("this panel was closed: %flowgpt panel opens another one")
        self.open()
        self._shown = self._output.show(self._flowgpt_id, self.conversation) or self._shown

    def close(self, *, transcript: bool = True) -> None:
        """Close the panel. A ``transcript`` replaces it. Replies in flight continue."""
        if self.closed:
            return
        self._state.close()
        if self._timer is not None:
            self._timer.cancel()
        self._set({"closed": True})
        if self._shown and transcript:
            with self._keeping:
                self._tell({"kind": "kept", **self._output.close(self.conversation)})
        super().close()

    # From and to the pages

    def _hear(self, _widget: Any, request: Any, buffers: Any) -> None:
        """Handle a page's message, on the thread of the shell that received it."""
        if not isinstance(request, dict) or self.closed:
            return
        if request.get("kind") == "close":
            self.close()
            return
        if request.get("kind") == "covers":
            self._covered = True
            self._settle()
            return
        if request.get("kind") == "open" and not self._opened:
            self._opened = True
            self._later(self._clear_line)
        response = answer(self._state, request, buffers or ())
        if response is not None:
            buffers = response.pop(BUFFERS, ())
            self._tell(response, buffers)

    def _tell(self, message: Facts, buffers: Sequence[bytes] = ()) -> None:
        self.send(message, *([list(buffers)] if buffers else []))

    def _set(self, values: Facts) -> None:
        with self._setting:
            changed = {name: value for name, value in values.items() if getattr(self, name) != value}
            if changed:
                with self.hold_sync():
                    for name, value in changed.items():
                        self._set_one(name, value)

    def _set_one(self, name: str, value: Any) -> None:
        try:
            self.set_trait(name, value)
        except Exception:  # noqa: BLE001 - an observer is foreign code; the trait is set, and the panel goes on
            logger.exception("an observer of the trait %s of a chat panel failed", name)

    def _settle(self) -> None:
        """Update the output a moment later, if a page shows the panel and hides the output."""
        if not (self._shown and self._covered and len(self._state.pages)):
            return
        self._later(self._keep)

    def _later(self, run: Callable[[], None]) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = threading.Timer(SETTLING, run)
        self._timer.daemon = True
        self._timer.start()

    def _clear_line(self) -> None:
        """Clear the line above the panel if a page shows the panel and does not hide the line."""
        with self._keeping:
            if self._shown and not (self.closed or self._covered):
                self._output.opened()

    def _keep(self) -> None:
        with self._keeping:  # never after the transcript of a closed panel
            if not self.closed:
                self._tell({"kind": "kept", "metadata": self._output.keep(self.conversation)["metadata"]})

"""The chat panel: a widget that shows one conversation live, beside the cells that ask in it.

The state is ``PanelState``, the page is ``static/panel.js``; this passes messages between them. What is true is in the
traits, which a page has as soon as it shows the widget, and what happens goes out as custom messages.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import anywidget
import traitlets

from flowgpt_magic.control_characters import join_surrogates
from flowgpt_magic.conversation import Conversation
from flowgpt_magic.history.current import current_history
from flowgpt_magic.notebook.ipython import shell
from flowgpt_magic.panel.actions import answer
from flowgpt_magic.panel.output import Output, can_open
from flowgpt_magic.panel.protocol import Facts
from flowgpt_magic.panel.state import PanelError, PanelState
from flowgpt_magic.replies.log import logger

STATIC = Path(__file__).parent / "static"
QUIET = 1.0  # seconds without a change after which the cell's output is brought up to date


class ChatPanel(anywidget.AnyWidget):
    """A chat panel.

    ``conversation`` is the one it shows, or its name; without one it is the conversation that the notebook's cells ask
    in, and stays so when they go on with another. Leave it as the last line of a cell to show it. The traits can be
    read and observed; they follow what happens, setting one changes nothing.
    """

    _esm = (STATIC / "panel.js").read_text("utf-8")
    _css = (STATIC / "panel.css").read_text("utf-8")
    name = traitlets.Unicode(help="the conversation's name").tag(sync=True)
    conversation_id = traitlets.Unicode(help="which one that is, whatever it is called").tag(sync=True)
    names = traitlets.List(traitlets.Unicode(), help="the names of the notebook's conversations").tag(sync=True)
    model = traitlets.Unicode(help="who is asked: provider:model").tag(sync=True)
    chosen = traitlets.Unicode(help="what this conversation has set as its model").tag(sync=True)
    system = traitlets.Unicode(help="the system prompt in force").tag(sync=True)
    temperature = traitlets.Float(None, allow_none=True, help="None for the provider's own").tag(sync=True)
    status = traitlets.Unicode(help="streaming while a reply arrives, else empty").tag(sync=True)
    trouble = traitlets.Unicode(help="why nobody could be asked just now").tag(sync=True)
    closed = traitlets.Bool(False, help="was it closed?").tag(sync=True)
    _flowgpt_id = traitlets.Unicode().tag(sync=True)  # by which the page finds the cell that it is in

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
        _send_to_its_own_thread(self)
        if shell() is not None:
            shell().events.register("post_run_cell", self._cell_has_run)

    @property
    def conversation(self) -> Conversation:
        """The conversation that is shown."""
        return self._state.conversation

    def __repr__(self) -> str:
        return f"<ChatPanel of {self.conversation!r}>"

    def open(self) -> None:
        """Tell the front end of this widget, unless no panel can open: a run without a person would save all of it."""
        if can_open(current_history().place.kind):
            super().open()
            self._flowgpt_id = self.model_id

    def _ipython_display_(self) -> None:
        self.show()

    def show(self) -> None:
        """Show the panel in the output of the cell that runs. Raises ``PanelError`` where it was closed."""
        if self.closed:
            raise PanelError("this panel was closed: %flowgpt panel opens another one")
        self.open()
        self._shown = self._output.show(self._flowgpt_id, self.conversation) or self._shown

    def close(self, *, transcript: bool = True) -> None:
        """Close the panel; a ``transcript`` stays in its place. What was asked goes on to its end."""
        if self.closed:
            return
        self._state.close()
        if shell() is not None:
            with suppress(ValueError):  # nobody listens any more: the shell was made anew
                shell().events.unregister("post_run_cell", self._cell_has_run)
        if self._timer is not None:
            self._timer.cancel()
        self._set({"closed": True})
        if self._shown and transcript:
            with self._keeping:
                self._tell({"kind": "kept", **self._output.close(self.conversation)})
        super().close()

    # From and to the pages

    def _hear(self, _widget: Any, request: Any, _buffers: Any) -> None:
        """A page's message, on the thread of the shell that it came by."""
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
        told = answer(self._state, request)
        if told is not None:
            self._tell({"kind": "answer", **_names_of(request), **told})

    def _cell_has_run(self, _result: Any) -> None:
        """A cell may have set something, such as the model, that nobody tells of."""
        self._state.look()

    def _tell(self, message: Facts) -> None:
        self.send(message)

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
            logger.exception("what observes %s of a chat panel failed", name)

    def _settle(self) -> None:
        """Bring the output up to date a moment later, where a page shows the panel and not the output."""
        if not (self._shown and self._covered and len(self._state.pages)):
            return
        self._later(self._keep)

    def _later(self, run: Callable[[], None]) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = threading.Timer(QUIET, run)
        self._timer.daemon = True
        self._timer.start()

    def _clear_line(self) -> None:
        """Where a page shows the panel and does not hide what stands above it, nothing is to stand there."""
        with self._keeping:
            if self._shown and not (self.closed or self._covered):
                self._output.opened()

    def _keep(self) -> None:
        with self._keeping:  # not behind what is kept when the panel is closed
            if not self.closed:
                self._tell({"kind": "kept", "metadata": self._output.keep(self.conversation)["metadata"]})


def _names_of(request: dict[str, Any]) -> Facts:
    """The page and the number of a request, as JSON can carry them back."""
    found = {name: request.get(name) for name in ("page", "id")}
    return {name: join_surrogates(each) if isinstance(each, str) else each for name, each in found.items()}


def _send_to_its_own_thread(panel: ChatPanel) -> None:
    """Let a page's message reach the panel while a cell runs.

    JupyterLab sends it by a subshell of its own. ipykernel 7.4 sends it on to the shell that last published something
    on this comm, so that one which was made in a cell waits until that cell has ended. Other releases do not.
    """
    if hasattr(panel.comm, "_reply_subshell_for"):
        panel.comm._reply_subshell_for = lambda _data, default: default

"""The chat panel in the sidebar of JupyterLab or Notebook: the kernel's half of one page's panel.

It is the panel of ``ChatPanel`` without a widget, so it needs no ipywidgets. The traits are messages of the kind
``state``, each with the values that changed; all other messages are those of ``PanelState``.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

from flowgpt_magic.lab.page_comm import PageComm
from flowgpt_magic.notebook.comms import BUFFERS
from flowgpt_magic.panel.actions import answer
from flowgpt_magic.panel.protocol import Facts
from flowgpt_magic.panel.state import PanelState


class Sidebar(PageComm):
    """The panel that a page shows through ``comm``: of the conversation that the notebook's cells use."""

    def __init__(self, comm: Any) -> None:
        super().__init__(comm)
        self._sending = threading.RLock()
        self._values: Facts = {}  # the traits as the page has them
        self._state = PanelState(None, send=self.tell, show=self._show)

    def hear(self, request: Facts, buffers: Sequence[memoryview]) -> None:
        if request.get("kind") == "open":  # the page may have missed messages
            with self._sending:
                self.tell({"kind": "state", "values": self._values})
        response = answer(self._state, request, buffers)
        if response is not None:
            parts = response.pop(BUFFERS, ())
            self.tell(response, parts)

    def ended(self) -> None:
        self._state.close()

    def _show(self, values: Facts) -> None:
        with self._sending:
            changed = {name: value for name, value in values.items() if self._values.get(name, ...) != value}
            if changed:
                self._values = {**self._values, **changed}
                self.tell({"kind": "state", "values": changed})

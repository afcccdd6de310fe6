"""A comm that a page of JupyterLab opened: messages in both directions, and whether the page still holds it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flowgpt_magic.lab.page import Facts
from flowgpt_magic.notebook.comms import answer_on_its_own_thread


class PageComm:
    """What a page says arrives in ``hear``; ``ended`` is called once, when either side has closed the comm."""

    def __init__(self, comm: Any) -> None:
        self._comm = comm
        self._open = True
        self._heard = True  # since the last ping
        comm.on_msg(self._arrived)
        comm.on_close(lambda _message: self._end())
        answer_on_its_own_thread(comm)

    def hear(self, request: Facts, buffers: Sequence[memoryview]) -> None:
        """The page has sent ``request``."""
        raise NotImplementedError

    def ended(self) -> None:
        """The comm is closed."""
        raise NotImplementedError

    def tell(self, message: Facts, buffers: Sequence[bytes] = ()) -> None:
        """Send a message that answers nothing."""
        self._comm.send(message, buffers=list(buffers))

    @property
    def comm_id(self) -> str:
        return str(self._comm.comm_id)

    def is_alive(self) -> bool:
        """Whether the page has sent something since this was asked before; the page is told to answer."""
        alive, self._heard = self._open and self._heard, False
        if alive:
            self.tell({"kind": "ping"})
        return alive

    def farewell(self) -> None:
        """Tell the page that this comm has ended."""
        if self._open:
            self.tell({"kind": "closed"})
            self._end()

    def _arrived(self, message: dict[str, Any]) -> None:
        self._heard = True
        request = message["content"]["data"]
        if request.get("kind") != "pong":
            self.hear(request, message.get("buffers", []))

    def _end(self) -> None:
        if self._open:
            self._open = False
            self._comm._closed = True  # or else the end of the object sends ``comm_close`` to all pages
            self.ended()

"""A page's connection with this kernel: its requests, and the answers.

A request has a ``kind``, which names what is wanted, and an ``id``, which the answer repeats. JupyterLab 4.4 and later
sends requests on a subshell of its own, so they are answered while a cell runs; older releases wait for the cell.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.metadata import version
from typing import Any

from flowgpt_magic.errors import FlowGptError
from flowgpt_magic.lab.names import own_magics
from flowgpt_magic.lab.page import OTHER_VERSION, Facts
from flowgpt_magic.lab.page_comm import PageComm
from flowgpt_magic.lab.preferences import preferences
from flowgpt_magic.lab.requests import REQUESTS
from flowgpt_magic.notebook.comms import BUFFERS, response_of

PROTOCOL = 1  # that of labextension/src/kernel/protocol.ts


class Connection(PageComm):
    """One page that is connected through ``comm``."""

    def __init__(self, comm: Any, opening: Facts) -> None:
        super().__init__(comm)
        self._misfit = _misfit(opening)
        self._closers: list[Callable[[], None]] = []
        about = {"version": version("flowgpt_magic"), "protocol": PROTOCOL, "magics": own_magics()}
        sent = preferences()
        self.tell({"kind": "hello", **about, "preferences": dict(sent.given), "notice": sent.notice})

    def when_closed(self, run: Callable[[], None]) -> None:
        """Call ``run`` when the page or the kernel has closed the connection."""
        self._closers.append(run)

    def hear(self, request: Facts, buffers: Sequence[memoryview]) -> None:
        answer = response_of(lambda: self._answer(request, buffers))
        if answer is not None:
            parts = answer.pop(BUFFERS, ())
            self.tell({"kind": "answer", "id": request.get("id"), **answer}, parts)

    def ended(self) -> None:
        while self._closers:
            self._closers.pop()()

    def _answer(self, request: Any, buffers: Sequence[memoryview]) -> Facts | None:
        if self._misfit:
            raise FlowGptError(self._misfit)
        run = REQUESTS.get(str(request.get("kind")))
        if run is None:
            raise FlowGptError(OTHER_VERSION)
        return run(self, request, buffers)


def connect(comm: Any, opening: Facts) -> PageComm | None:
    """Take the connection that a page opened for the purpose that ``opening``, its first message, names."""
    if opening.get("purpose") == "page":
        return Connection(comm, opening)
    if opening.get("purpose") == "panel":
        from flowgpt_magic.lab.sidebar import Sidebar

        return Sidebar(comm)
    comm.close()
    return None


def _misfit(opening: Facts) -> str:
    """What to do about a page with which this kernel cannot speak; empty if it can."""
    page, kernel, protocol = opening.get("version"), version("flowgpt_magic"), opening.get("protocol")
    if protocol == PROTOCOL:
        return ""
    if isinstance(protocol, int) and protocol > PROTOCOL:
        return (
            f"the kernel has flowgpt_magic {kernel}, which is too old for the extension of JupyterLab ({page}): "
            "upgrade it with %pip install --upgrade flowgpt_magic, then restart the kernel"
        )
    return (
        f"the extension of JupyterLab ({page}) is too old for the kernel, which has flowgpt_magic {kernel}: "
        "upgrade flowgpt_magic in JupyterLab's environment, then reload the page"
    )

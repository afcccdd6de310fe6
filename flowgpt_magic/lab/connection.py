"""A page's connection with this kernel: its requests, and the answers.

A request has a ``kind``, which names what is wanted, and an ``id``, which the answer repeats. JupyterLab 4.4 and later
sends requests on a subshell of its own, so they are answered while a cell runs; older releases wait for the cell.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.metadata import version
from typing import Any

from flowgpt_magic.control_characters import join_surrogates
from flowgpt_magic.errors import FlowGptError
from flowgpt_magic.lab.names import own_magics
from flowgpt_magic.lab.page import Facts
from flowgpt_magic.lab.preferences import preferences
from flowgpt_magic.lab.requests import REQUESTS
from flowgpt_magic.notebook.comms import BUFFERS, answer_on_its_own_thread
from flowgpt_magic.redaction import redact
from flowgpt_magic.text import sentences

PROTOCOL = 1  # that of labextension/src/kernel/protocol.ts
OTHER_VERSION = "JupyterLab and the kernel run different versions of flowgpt_magic: reload the page"


class Connection:
    """One page that is connected through ``comm``."""

    def __init__(self, comm: Any, opening: Facts) -> None:
        self._comm = comm
        self._misfit = _misfit(opening)
        self._open = True
        self._heard = True  # since the last ping
        self._closers: list[Callable[[], None]] = []
        comm.on_msg(self._hear)
        comm.on_close(lambda _message: self._end())
        answer_on_its_own_thread(comm)
        about = {"version": version("flowgpt_magic"), "protocol": PROTOCOL, "magics": own_magics()}
        sent = preferences()
        self.tell({"kind": "hello", **about, "preferences": dict(sent.given), "notice": sent.notice})

    def tell(self, message: Facts, buffers: Sequence[bytes] = ()) -> None:
        """Send a message that answers nothing."""
        self._comm.send(message, buffers=list(buffers))

    def when_closed(self, run: Callable[[], None]) -> None:
        """Call ``run`` when the page or the kernel has closed the connection."""
        self._closers.append(run)

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
        """Tell the page that this connection has ended."""
        if self._open:
            self.tell({"kind": "closed"})
            self._end()

    def _hear(self, message: dict[str, Any]) -> None:
        self._heard = True
        request, buffers = message["content"]["data"], message.get("buffers", [])
        if request.get("kind") == "pong":
            return
        answer = self._answer(request, buffers)
        if answer is not None:
            parts = answer.pop(BUFFERS, ())
            self.tell({"kind": "answer", "id": request.get("id"), **answer}, parts)

    def _answer(self, request: Any, buffers: Sequence[memoryview]) -> Facts | None:
        try:
            if self._misfit:
                raise FlowGptError(self._misfit)
            run = REQUESTS.get(str(request.get("kind")))
            if run is None:
                raise FlowGptError(OTHER_VERSION)
            return run(self, request, buffers)
        except FlowGptError as error:
            return {"error": join_surrogates(redact(str(error)))}
        except Exception as error:  # noqa: BLE001 - the user's objects are foreign code; a comm would hide its error
            return {"error": join_surrogates(redact(sentences(f"{type(error).__name__}: {error}")))}

    def _end(self) -> None:
        """The connection has ended, at either side."""
        self._open = False
        self._comm._closed = True  # or else the end of the object sends ``comm_close`` to all pages
        while self._closers:
            self._closers.pop()()


def connect(comm: Any, opening: Facts) -> Connection | None:
    """Take the connection that a page opened for the purpose that ``opening``, its first message, names."""
    if opening.get("purpose") == "page":
        return Connection(comm, opening)
    if opening.get("purpose") == "panel":
        from flowgpt_magic.lab.sidebar import Sidebar

        Sidebar(comm)
    else:
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

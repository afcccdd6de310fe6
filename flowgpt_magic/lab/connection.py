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

    def __init__(self, comm: Any) -> None:
        self._comm = comm
        self._closers: list[Callable[[], None]] = []
        comm.on_msg(self._hear)
        comm.on_close(lambda _message: self._closed())
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

    def _hear(self, message: dict[str, Any]) -> None:
        request, buffers = message["content"]["data"], message.get("buffers", [])
        answer = self._answer(request, buffers)
        if answer is not None:
            parts = answer.pop(BUFFERS, ())
            self.tell({"kind": "answer", "id": request.get("id"), **answer}, parts)

    def _answer(self, request: Any, buffers: Sequence[memoryview]) -> Facts | None:
        try:
            run = REQUESTS.get(str(request.get("kind")))
            if run is None:
                raise FlowGptError(OTHER_VERSION)
            return run(self, request, buffers)
        except FlowGptError as error:
            return {"error": join_surrogates(redact(str(error)))}
        except Exception as error:  # noqa: BLE001 - the user's objects are foreign code; a comm would hide its error
            return {"error": join_surrogates(redact(sentences(f"{type(error).__name__}: {error}")))}

    def _closed(self) -> None:
        while self._closers:
            self._closers.pop()()


def connect(comm: Any, opening: Facts) -> None:
    """Take the connection that a page opened for the purpose that ``opening``, its first message, names."""
    if opening.get("purpose") == "page":
        Connection(comm)
    elif opening.get("purpose") == "panel":
        from flowgpt_magic.lab.sidebar import Sidebar

        Sidebar(comm)
    else:
        comm.close()

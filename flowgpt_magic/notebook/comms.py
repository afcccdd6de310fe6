"""What the kernel knows of the comms that pages hold."""

from __future__ import annotations

from typing import Any

BUFFERS = "buffers"  # among the values of an answer: bytes, which are sent beside it and not as JSON


def answer_on_its_own_thread(comm: Any) -> None:
    """Let a page's message arrive while a cell runs.

    JupyterLab sends it on a subshell. ipykernel 7.4 forwards it to the shell that last published on this comm, which is
    the main one after a cell has done so, and it would arrive only when that cell has ended. Other releases do not
    forward it.
    """
    if hasattr(comm, "_reply_subshell_for"):
        comm._reply_subshell_for = lambda _data, default: default

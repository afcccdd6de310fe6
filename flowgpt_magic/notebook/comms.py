"""The comms that pages hold: on which thread their messages arrive, and how a request is answered."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flowgpt_magic.control_characters import join_surrogates
from flowgpt_magic.errors import FlowGptError
from flowgpt_magic.redaction import redact
from flowgpt_magic.text import sentences

BUFFERS = "buffers"  # among the values of an answer: bytes, which are sent beside it and not as JSON


def answer_on_its_own_thread(comm: Any) -> None:
    """Let a page's message arrive while a cell runs.

    JupyterLab sends it on a subshell. ipykernel 7.4 forwards it to the shell that last published on this comm, which is
    the main one after a cell has done so, and it would arrive only when that cell has ended. Other releases do not
    forward it.
    """
    if hasattr(comm, "_reply_subshell_for"):
        comm._reply_subshell_for = lambda _data, default: default


def response_of(run: Callable[[], dict[str, Any] | None]) -> dict[str, Any] | None:
    """What ``run`` returns as the response to a page's request. An error is a response, too, without secrets."""
    try:
        return run()
    except FlowGptError as error:
        return {"error": join_surrogates(redact(str(error)))}
    except Exception as error:  # noqa: BLE001 - a value in a prompt is foreign code; a comm handler would hide its error
        return {"error": join_surrogates(redact(sentences(f"{type(error).__name__}: {error}")))}

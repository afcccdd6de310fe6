"""Records for tests, complete but for what a test is about."""

from __future__ import annotations

import time
from typing import Any
from uuid import uuid4

from flowgpt_magic.history.processes import this_kernel
from flowgpt_magic.history.records import ChangeRecord, ConversationRecord, NotebookRecord, RequestRecord
from flowgpt_magic.messages import Turn, Usage


def notebook_record(**values: Any) -> NotebookRecord:
    """A notebook of its own, unless ``key`` says which."""
    notebook_id = uuid4().hex
    known = {
        "notebook_id": notebook_id,
        "key": f"/home/a/{notebook_id}.ipynb",
        "label": "a notebook",
        "kind": "jupyter",
    }
    return NotebookRecord(**{**known, "path": "/home/a/a.ipynb", "created": time.time(), "seen": time.time()} | values)


def conversation_record(notebook: NotebookRecord, **values: Any) -> ConversationRecord:
    """A conversation of ``notebook``."""
    known: dict[str, Any] = {"conversation_id": uuid4().hex, "notebook_id": notebook.notebook_id, "name": "main"}
    known |= {"system": "", "model": "", "parameters": {}, "created": time.time(), "changed": time.time()}
    return ConversationRecord(**known | values)


def turn_record(conversation: ConversationRecord, **values: Any) -> Turn:
    """A turn of ``conversation`` that this process streams."""
    known: dict[str, Any] = {
        "turn_id": uuid4().hex,
        "conversation_id": conversation.conversation_id,
        "place": 1,
        "version": 1,
        "live": True,
        "cell_id": "cell",
        "run": "",
        "prompt": "what is it?",
        "text": "",
        "status": "streaming",
        "error": "",
        "provider": "echo",
        "model": "words",
        "system": "",
        "parameters": {},
        "request_key": "",
        "usage": Usage(),
        "notices": (),
        "left_out": 0,
        "replayed": False,
        "kernel": this_kernel(),
        "started": time.time(),
        "ended": None,
    }
    return Turn(**known | values)


def request_record(notebook: NotebookRecord | ConversationRecord, **values: Any) -> RequestRecord:
    """A request of ``notebook``, or of that of a conversation."""
    known: dict[str, Any] = {"request_id": uuid4().hex, "notebook_id": notebook.notebook_id, "provider": "echo"}
    known |= {"model": "words", "status": "complete", "started": time.time(), "usage": Usage()}
    return RequestRecord(**known | values)


def change_record(conversation: ConversationRecord, **values: Any) -> ChangeRecord:
    """A change of ``conversation``."""
    known: dict[str, Any] = {"change_id": uuid4().hex, "conversation_id": conversation.conversation_id, "number": 1}
    known |= {"kind": "ask", "added": (), "removed": (), "undone": False, "made": time.time()}
    return ChangeRecord(**known | values)

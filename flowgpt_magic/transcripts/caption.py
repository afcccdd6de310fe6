"""The caption below a reply: who answered, when, how long it took, and what else a reader should know.

Cells, the panel's saved output, ``%flowgpt show``, other hosts than IPython and every transcript take it from here.
The live panel builds its own from the same facts, in ``panel/src/turn.js``.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Protocol

from flowgpt_magic.messages import Status, Usage
from flowgpt_magic.redaction import redact
from flowgpt_magic.text import one_line

STATUS_WORDS = {
    None: "not sent yet: reply.text sends it",
    "complete": "",
    "cancelled": "interrupted",
    "failed": "failed before its end",
    "streaming": "still arriving",
}


class Captioned(Protocol):
    """What a caption tells of a reply, of a turn in the history and of one in a file."""

    @property
    def provider(self) -> str: ...
    @property
    def model(self) -> str: ...
    @property
    def usage(self) -> Usage: ...
    @property
    def replayed(self) -> bool: ...
    @property
    def status(self) -> Status | None: ...
    @property
    def notices(self) -> Iterable[str]: ...


def caption(reply: Captioned, *, started: float | None = None, error: str = "") -> str:
    """The caption on one line, without passwords. ``started`` is in Unix seconds."""
    model = ":".join(filter(None, [reply.provider, reply.model])) or "nobody"
    seconds = reply.usage.seconds
    facts = [
        model,
        time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(started)) if started is not None else "",
        "" if seconds is None else f"{seconds:.1f} s",
        "replayed" if reply.replayed else "",
        STATUS_WORDS[reply.status],
        *map(redact, [*reply.notices, error]),
    ]
    return one_line(" · ".join(filter(None, facts)))

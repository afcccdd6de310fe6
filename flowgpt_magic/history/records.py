"""The records of the history, as plain values. Times are Unix seconds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from flowgpt_magic.messages import Turn
from flowgpt_magic.redaction import redacted_repr

OFF, MEMORY = "off", ":memory:"  # locations of a history that is not a file
MAIN = "main"  # the first conversation of every notebook


@dataclass(frozen=True)
class NotebookRecord:
    """A notebook.

    ``key`` identifies it across kernels, for example its absolute path. ``path`` is where it was last seen, and
    ``label`` is shown to people.
    """

    notebook_id: str
    key: str
    label: str
    kind: str
    path: str
    created: float
    seen: float


@dataclass(frozen=True)
class ConversationRecord:
    """A conversation of a notebook, with its own settings."""

    conversation_id: str
    notebook_id: str
    name: str
    system: str
    model: str
    parameters: Mapping[str, Any] = field(repr=False)  # may contain a key
    created: float
    changed: float
    removed: bool = False

    def __repr__(self) -> str:
        return redacted_repr(self)


@dataclass(frozen=True)
class ChangeRecord:
    """A change of a conversation that can be undone: the ids of turns that became live, and that stopped being live."""

    change_id: str
    conversation_id: str
    number: int
    kind: str
    added: tuple[str, ...]
    removed: tuple[str, ...]
    undone: bool
    made: float


@dataclass(frozen=True)
class PartialText:
    """The text received so far for a streaming turn."""

    turn_id: str
    text: str


@dataclass(frozen=True)
class KeyChange:
    """Gives every notebook with the key ``old`` the key ``new``."""

    old: str
    new: str


Record = NotebookRecord | ConversationRecord | Turn | ChangeRecord | KeyChange


@dataclass(frozen=True)
class ConversationSummary:
    """A conversation, the number of its live turns, and when the newest of them started."""

    conversation: ConversationRecord
    turns: int
    last_used: float


@dataclass(frozen=True)
class SearchHit:
    """A turn that contains all words of a search; ``snippet`` is the line around the first one."""

    turn: Turn
    conversation: ConversationRecord
    notebook: NotebookRecord
    snippet: str


@dataclass(frozen=True)
class UsageRow:
    """The usage of one model on one day.

    ``day`` is ``YYYY-MM-DD`` in local time. The last two are means; None if no turn has the value.
    """

    day: str
    provider: str
    model: str
    turns: int
    prompt_tokens: int
    completion_tokens: int
    first_chunk_seconds: float | None
    chunks_per_second: float | None

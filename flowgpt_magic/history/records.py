"""What the history keeps, as plain values. Times are Unix seconds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from flowgpt_magic.messages import Turn
from flowgpt_magic.redaction import redacted_repr

OFF, MEMORY = "off", ":memory:"  # what a history can be instead of a file
MAIN = "main"  # the conversation that a notebook has from the beginning


@dataclass(frozen=True)
class NotebookRecord:
    """A notebook.

    ``key`` says which one it is and stays the same between kernels, such as its absolute path; ``path`` is where it was
    last seen, and ``label`` what people read.
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
    """A conversation of a notebook, with what it is asked with."""

    conversation_id: str
    notebook_id: str
    name: str
    system: str
    model: str
    parameters: Mapping[str, Any] = field(repr=False)  # a key may be among them
    created: float
    changed: float
    removed: bool = False

    def __repr__(self) -> str:
        return redacted_repr(self)


@dataclass(frozen=True)
class ChangeRecord:
    """One change of a conversation that can be undone: the turns that became live by it and those that stopped."""

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
    """The text that a streaming turn has by now."""

    turn_id: str
    text: str


@dataclass(frozen=True)
class KeyChange:
    """Every notebook of the key ``old`` has the key ``new`` from now on."""

    old: str
    new: str


Record = NotebookRecord | ConversationRecord | Turn | ChangeRecord | KeyChange


@dataclass(frozen=True)
class ConversationSummary:
    """A conversation with the number of its live turns and the time the newest of them began."""

    conversation: ConversationRecord
    turns: int
    last_used: float


@dataclass(frozen=True)
class SearchHit:
    """A turn that has all the words that were searched for.

    ``snippet`` is one line of its prompt or reply around the first of them.
    """

    turn: Turn
    conversation: ConversationRecord
    notebook: NotebookRecord
    snippet: str


@dataclass(frozen=True)
class UsageRow:
    """What one model of one provider did on one day.

    ``day`` is ``YYYY-MM-DD`` in local time. The means are None where no turn tells.
    """

    day: str
    provider: str
    model: str
    turns: int
    prompt_tokens: int
    completion_tokens: int
    first_chunk_seconds: float | None
    chunks_per_second: float | None

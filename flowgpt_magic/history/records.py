"""The records of the history, as plain values. Times are Unix seconds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from flowgpt_magic.messages import Status, Turn, Usage
from flowgpt_magic.prompt.pictures import Picture
from flowgpt_magic.redaction import redacted_repr

OFF, MEMORY = "off", ":memory:"  # locations of a history that is not a file
MAIN = "main"  # the first conversation of every notebook


@dataclass(frozen=True)
class NotebookRecord:
    """A notebook.

    Args:
        notebook_id: unique in the history.
        key: identifies the notebook across kernels, for example its absolute path.
        label: the name that is shown.
        kind: the kind of its place, such as ``jupyter`` or ``terminal``.
        path: where its file was last seen; "" if unknown.
        created: when its record was made.
        seen: when it was last seen.
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
    """A conversation of a notebook, with its own settings.

    Args:
        conversation_id: unique in the history.
        notebook_id: the notebook.
        name: its name in the notebook.
        system: the system prompt; "" for that of the settings.
        model: the model; "" for that of the settings.
        parameters: further settings and parameters.
        created: when its record was made.
        changed: when its record last changed.
        removed: whether it was removed.
    """

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
    """A change of a conversation that can be undone.

    Args:
        change_id: unique in the history.
        conversation_id: the conversation.
        number: the order of the changes, from 1; negative if it can no longer be redone.
        kind: what was done.
        added: the ids of the turns that became live.
        removed: the ids of the turns that stopped being live.
        undone: whether it is undone now.
        made: when it was made.
    """

    change_id: str
    conversation_id: str
    number: int
    kind: str
    added: tuple[str, ...]
    removed: tuple[str, ...]
    undone: bool
    made: float


@dataclass(frozen=True)
class RequestRecord:
    """A request that was sent, for the usage: without its texts, and never changed.

    Args:
        request_id: unique in the history; the id of its turn, if it has one.
        notebook_id: the notebook that sent it.
        provider: the name of the provider.
        model: the name of the model.
        status: how it ended.
        started: when it was sent.
        usage: token counts and times.
        estimated: whether a token count is estimated, because the server told none.
    """

    request_id: str
    notebook_id: str
    provider: str
    model: str
    status: Status
    started: float
    usage: Usage
    estimated: bool = False


@dataclass(frozen=True)
class PictureRecord:
    """A picture, which the history keeps once, however many turns have it.

    ``asked`` says whether it was sent with a prompt. One that was not is removed some time after it was ``added``.
    """

    picture: Picture
    asked: bool
    added: float


@dataclass(frozen=True)
class PartialText:
    """The text and the reasoning received so far for a streaming turn."""

    turn_id: str
    text: str
    reasoning: str = ""


@dataclass(frozen=True)
class KeyChange:
    """Gives every notebook with the key ``old`` the key ``new``."""

    old: str
    new: str


Record = NotebookRecord | ConversationRecord | Turn | ChangeRecord | RequestRecord | KeyChange | PictureRecord


@dataclass(frozen=True)
class ConversationSummary:
    """A conversation, the number of its live turns, and when the newest of them started."""

    conversation: ConversationRecord
    turns: int
    last_used: float


@dataclass(frozen=True)
class SearchHit:
    """A turn that contains all words of a search.

    Args:
        turn: the turn; of several versions or copies the best one.
        conversation: its conversation.
        notebook: the notebook of that.
        snippet: the line with most of the words.
        number: the number of the turn in its conversation; 0 for one that is not live.
    """

    turn: Turn
    conversation: ConversationRecord
    notebook: NotebookRecord
    snippet: str
    number: int = 0


@dataclass(frozen=True)
class UsageRow:
    """The usage of one model on one day.

    Args:
        day: ``YYYY-MM-DD`` in local time.
        provider: the name of the provider.
        model: the name of the model.
        requests: the number of requests.
        prompt_tokens: tokens of all prompts.
        completion_tokens: tokens of all replies.
        first_chunk_seconds: mean seconds until the first chunk; None if no request has one.
        chunks_per_second: mean rate after the first chunk; None if no request has one.
        estimated: the number of requests with an estimated token count.
        reasoning_tokens: tokens of the reasoning, which are among those of the replies.
        cached_tokens: tokens of the prompts that servers read from their caches.
        cost: dollars of the requests whose cost is known.
        computed: the number of requests whose cost is computed from tokens and a price.
        unpriced: the number of requests that may cost something, without a price.
    """

    day: str
    provider: str
    model: str
    requests: int
    prompt_tokens: int
    completion_tokens: int
    first_chunk_seconds: float | None
    chunks_per_second: float | None
    estimated: int = 0
    reasoning_tokens: int = 0
    cached_tokens: int = 0
    cost: float = 0.0
    computed: int = 0
    unpriced: int = 0

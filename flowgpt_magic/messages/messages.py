"""The plain values that travel between the parts: messages, turns, usage, notices."""

from __future__ import annotations

import hashlib
import json
import math
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, TypedDict

from flowgpt_magic.errors import FlowGptWarning
from flowgpt_magic.messages.extras import Extras
from flowgpt_magic.messages.reasoning import answer_of
from flowgpt_magic.messages.token_estimate import tokens_in
from flowgpt_magic.redaction import redact, redacted_repr

Role = Literal["system", "user", "assistant"]
Status = Literal["streaming", "complete", "cancelled", "failed"]


class _Said(TypedDict):
    role: Role
    content: str


class Message(_Said, total=False):
    """One thing said, with its speaker; ``images`` are URLs, which begin with ``data:image/``, ``https://`` or ``http://``."""

    images: list[str]


Messages = Sequence[Mapping[str, Any]]
"""What a provider gets: mappings with at least ``role`` and ``content``, oldest first; ``content_parts`` reads them."""


class ComposedPrompt(str):
    """A prompt as it is sent; ``images`` are the URLs of those that go along."""

    images: tuple[str, ...]

    def __new__(cls, text: str, images: Sequence[str] = ()) -> ComposedPrompt:
        composed = super().__new__(cls, text)
        composed.images = tuple(images)
        return composed


class ImageUrl(str):
    """The URL of an image that is to be looked at in this ``detail``: ``low``, ``high`` or ``auto``."""

    detail: str

    def __new__(cls, url: str, detail: str = "auto") -> ImageUrl:
        found = super().__new__(cls, url)
        found.detail = detail
        return found


@dataclass(frozen=True)
class Usage:
    """What a reply cost.

    A provider may yield one of these after its last chunk, with the token counts it knows. The reply adds the times it
    measured itself, in seconds since the request was made.
    """

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    finish_reason: str | None = None
    first_chunk_seconds: float | None = None
    seconds: float | None = None
    chunks: int = 0

    @property
    def chunks_per_second(self) -> float | None:
        """Chunks a second after the first one, or None where too little arrived to tell."""
        if self.first_chunk_seconds is None or self.seconds is None or self.chunks < 2:
            return None
        streaming = self.seconds - self.first_chunk_seconds
        return (self.chunks - 1) / streaming if streaming > 0 else None


@dataclass(frozen=True)
class NewAttempt:
    """What has come of a reply will not do, because of ``why``, and it is being asked for again."""

    why: str


@dataclass(frozen=True)
class Waiting:
    """A pause before a request is made again.

    ``why`` says who failed and how, in a few words. ``until`` is when the pause is over, in seconds of the clock
    ``time.monotonic()``.
    """

    why: str
    until: float

    @property
    def left(self) -> float:
        """Seconds until the request is made again; 0 when that moment has come."""
        return max(0.0, self.until - time.monotonic())

    def __str__(self) -> str:
        return f"{self.why}; asking again in {math.ceil(self.left)} s"


@dataclass(frozen=True)
class Attempt:
    """A reply that was asked again: its text, and why it would not do."""

    text: str
    why: str


@dataclass(frozen=True)
class Turn:
    """One prompt with its reply, at one place of a conversation.

    A place has as many versions as were asked there; the live one is what the conversation goes on from. ``run`` is the
    run of the cell that asked it: a cell may ask several prompts in one run.
    """

    turn_id: str
    conversation_id: str
    place: int
    version: int
    live: bool
    cell_id: str
    run: str
    prompt: str
    text: str
    status: Status
    error: str
    provider: str
    model: str
    system: str
    parameters: Mapping[str, Any]
    request_key: str
    usage: Usage
    notices: tuple[str, ...]
    left_out: int
    replayed: bool
    kernel: str
    started: float
    ended: float | None
    images: tuple[str, ...] = ()
    extras: Extras = field(default=Extras())

    def __repr__(self) -> str:
        return redacted_repr(self)

    @cached_property
    def answer(self) -> str:
        """What of the reply is sent with later turns: its text without the reasoning at its start."""
        return answer_of(self.text)

    @cached_property
    def tokens(self) -> int:
        """The tokens of what is sent of it, about; images are not counted."""
        return tokens_in(self.prompt) + tokens_in(self.answer)

    @cached_property
    def messages(self) -> tuple[Message, Message]:
        """The turn as it is sent with later ones; made once, however many replies hold on to it."""
        return said(self.prompt, self.images), {"role": "assistant", "content": self.answer}

    @cached_property
    def digest(self) -> str:
        """What makes two turns the same to a model: the SHA-256 of prompt, images and answer, which are sent."""
        return hashlib.sha256(json.dumps([self.prompt, self.answer, *self.images]).encode()).hexdigest()


def said(prompt: str, images: Sequence[str] = ()) -> Message:
    """What a user said, with the images that go along."""
    return {"role": "user", "content": prompt, **({"images": list(images)} if images else {})}  # type: ignore[typeddict-item]


_listener: ContextVar[Callable[[str], None] | None] = ContextVar("flowgpt_notice_listener", default=None)
_onlooker: ContextVar[Callable[[str], None] | None] = ContextVar("flowgpt_progress_listener", default=None)


class LeftOut(str):
    """The notice that older messages were not sent, because they did not fit; ``messages`` is how many."""

    messages: int

    def __new__(cls, count: int, why: str) -> LeftOut:
        notice = super().__new__(cls, f"{count} older messages were left out: {why}")
        notice.messages = count
        return notice


def notice(text: str) -> None:
    """Tell the person something that is no failure.

    Whoever reads the reply decides how: a ``Reply`` collects notices and shows them with its text; without one, in a
    script, it is a Python warning.
    """
    listener, masked = _listener.get(), redact(text)
    text = text if masked == text else masked  # it may be a ``LeftOut``
    if listener is None:
        warnings.warn(text, FlowGptWarning, stacklevel=3)
    else:
        listener(text)


@contextmanager
def notices_to(listener: Callable[[str], None]) -> Iterator[None]:
    """Send the notices of this context (a task, with all that it awaits) to ``listener``."""
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)


def progress(text: str) -> None:
    """Tell whoever waits for the first text what the provider does until then; empty takes it back.

    Unlike a notice it is not kept, and is nothing where nobody listens.
    """
    if (onlooker := _onlooker.get()) is not None:
        onlooker(text)


@contextmanager
def progress_to(onlooker: Callable[[str], None]) -> Iterator[None]:
    """Send the progress of this context (a task, with all that it awaits) to ``onlooker``."""
    token = _onlooker.set(onlooker)
    try:
        yield
    finally:
        _onlooker.reset(token)

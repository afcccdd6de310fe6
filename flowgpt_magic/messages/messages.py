"""Value types shared by all packages: messages, turns, usage, notices."""

from __future__ import annotations

import hashlib
import json
import math
import time
import warnings
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, TypedDict, TypeGuard

from flowgpt_magic.errors import FlowGptWarning
from flowgpt_magic.messages.extras import Extras
from flowgpt_magic.messages.reasoning import answer_of
from flowgpt_magic.messages.sent import Sent
from flowgpt_magic.messages.token_estimate import tokens_in
from flowgpt_magic.redaction import redact, redacted_repr
from flowgpt_magic.text import counted

Role = Literal["system", "user", "assistant"]
Status = Literal["streaming", "complete", "cancelled", "failed"]


class _TextMessage(TypedDict):
    role: Role
    content: str


class Message(_TextMessage, total=False):
    """A message; ``images`` are URLs that begin with ``data:image/``, ``https://`` or ``http://``.

    ``reasoning_parts`` is in messages of the assistant only, see ``Extras.reasoning_parts``. A provider sends them if
    it knows them, and never as text.
    """

    images: list[str]
    reasoning_parts: list[Mapping[str, Any]]


Messages = Sequence[Mapping[str, Any]]
"""What a provider receives: mappings with at least ``role`` and ``content``, oldest first; see ``content_parts``."""


class ComposedPrompt(str):
    """A prompt as it is sent, with the URLs of its images.

    Attributes:
        images: the URLs of the images that are sent with it.
        included: a few words for each thing that was inserted or attached, such as ``frame (60 rows, 2 columns)``.
        unsent: a clause for each thing that looks meant but was not sent, such as ``{nosuch} sent as typed``.
    """

    images: tuple[str, ...]
    included: tuple[str, ...]
    unsent: tuple[str, ...]

    def __new__(
        cls, text: str, images: Sequence[str] = (), *, included: Sequence[str] = (), unsent: Sequence[str] = ()
    ) -> ComposedPrompt:
        composed = super().__new__(cls, text)
        composed.images, composed.included, composed.unsent = tuple(images), tuple(included), tuple(unsent)
        return composed


class Reasoning(str):
    """A chunk of the model's reasoning. A provider may yield it beside the text, of which it is no part."""

    __slots__ = ()


def is_text(chunk: object) -> TypeGuard[str]:
    """Is ``chunk`` a part of the text of a reply, and not of its reasoning?"""
    return isinstance(chunk, str) and not isinstance(chunk, Reasoning)


class ImageUrl(str):
    """The URL of an image, and the ``detail`` to read it with: ``low``, ``high`` or ``auto``."""

    detail: str

    def __new__(cls, url: str, detail: str = "auto") -> ImageUrl:
        image = super().__new__(cls, url)
        image.detail = detail
        return image


@dataclass(frozen=True)
class Usage:
    """What a reply cost.

    A provider may yield one of these after its last chunk, with the token counts it knows. The reply adds the times it
    measured itself, in seconds since the request was made. None means unknown.

    Args:
        prompt_tokens: tokens of the request, those of ``cached_tokens`` and ``cache_write_tokens`` among them.
        completion_tokens: tokens of the reply, those of ``reasoning_tokens`` among them.
        finish_reason: why the model stopped, in the server's words, such as ``stop`` or ``length``.
        first_chunk_seconds: seconds until the first chunk of text.
        seconds: seconds until the end of the reply.
        chunks: the number of chunks of text.
        reasoning_tokens: tokens of the reasoning.
        cached_tokens: tokens of the request that the server read from its cache.
        cache_write_tokens: tokens of the request that the server wrote to its cache.
        service_tier: the server's class of service, in its words; empty if it does not tell.
        answered_by: the model that answered, in the server's words; empty if it does not tell.
        cost: what the request costs, in US dollars. A provider sets it only if the server tells.
        reasoning_seconds: seconds from the first chunk of reasoning to the first one of text, or to the end.
        cost_source: ``server`` if the server tells the cost, ``computed`` if it is computed from the tokens and a
            price, ``unknown`` if the server may charge and there is no price; empty if nothing is charged or known.
    """

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    finish_reason: str | None = None
    first_chunk_seconds: float | None = None
    seconds: float | None = None
    chunks: int = 0
    reasoning_tokens: int | None = None
    cached_tokens: int | None = None
    cache_write_tokens: int | None = None
    service_tier: str = ""
    answered_by: str = ""
    cost: float | None = None
    reasoning_seconds: float | None = None
    cost_source: str = ""

    @property
    def chunks_per_second(self) -> float | None:
        """Chunks per second after the first chunk, or None with fewer than two chunks."""
        if self.first_chunk_seconds is None or self.seconds is None or self.chunks < 2:
            return None
        streaming = self.seconds - self.first_chunk_seconds
        return (self.chunks - 1) / streaming if streaming > 0 else None


@dataclass(frozen=True)
class NewAttempt:
    """Signals that the text so far is discarded and a new attempt begins; ``why`` says why."""

    why: str


@dataclass(frozen=True)
class NewSplit:
    """Signals that what has arrived so far is this ``reasoning`` and this ``text``, and not what it was taken for."""

    reasoning: str
    text: str


@dataclass(frozen=True)
class Waiting:
    """A pause before a retry.

    ``why`` says in a few words what failed. ``until`` is the end of the pause, in seconds of ``time.monotonic()``.
    """

    why: str
    until: float

    @property
    def left(self) -> float:
        """Seconds until the retry, at least 0."""
        return max(0.0, self.until - time.monotonic())

    def __str__(self) -> str:
        return f"{self.why}; asking again in {math.ceil(self.left)} s"


@dataclass(frozen=True)
class Attempt:
    """A rejected attempt at a reply: its text, and why it was rejected."""

    text: str
    why: str


@dataclass(frozen=True)
class Turn:
    """A prompt with its reply, at one place of a conversation.

    A place may have several versions; the conversation continues from the live one.

    Args:
        turn_id: unique in the history.
        conversation_id: the conversation of the turn.
        place: its place in the conversation.
        version: its number among the versions of the place.
        live: whether the conversation continues from this version.
        cell_id: the cell with the prompt.
        run: identifies the run of the cell, which may ask several prompts.
        prompt: the prompt.
        text: the reply, or the text received so far.
        status: whether the reply is still arriving, and otherwise how it ended.
        error: why the turn failed; "" if it did not.
        provider: the name of the provider.
        model: the name of the model.
        system: the system prompt; "" for none.
        parameters: the settings and parameters of the request.
        request_key: equal for equal requests.
        usage: token counts and times.
        notices: what the user was told about the reply.
        left_out: the number of older messages that were not sent.
        replayed: whether the reply comes from the history.
        kernel: the kernel that ran the cell.
        started: when the request was made, in seconds since 1970.
        ended: when the reply ended, in seconds since 1970; None before.
        images: URLs of the images in the prompt.
        extras: additional data of the reply.
        sent: what the request contained, and what it did not.
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
    sent: Sent = field(default=Sent())

    def __repr__(self) -> str:
        return redacted_repr(self)

    @property
    def text_so_far(self) -> str:
        """The same as ``text``."""
        return self.text

    @property
    def request_id(self) -> str:
        """How the server names the request, for its support and its logs; empty if it did not say."""
        return self.extras.request_id

    @cached_property
    def answer(self) -> str:
        """The part of the reply that later requests contain: its text without the reasoning at its start."""
        return answer_of(self.text)

    @cached_property
    def tokens(self) -> int:
        """An estimate of the tokens that later requests contain of this turn, without images."""
        return tokens_in(self.prompt) + tokens_in(self.answer)

    @cached_property
    def messages(self) -> tuple[Message, Message]:
        """The turn as later requests contain it. Cached, so that all replies share it."""
        return user_message(self.prompt, self.images), {"role": "assistant", "content": self.answer}

    @cached_property
    def digest(self) -> str:
        """The SHA-256 of prompt, images and answer: turns with the same digest are the same to a model."""
        return hashlib.sha256(json.dumps([self.prompt, self.answer, *self.images]).encode()).hexdigest()


def checksum(turns: Iterable[Turn], before: int = 0) -> int:
    """A checksum of the prompts, images and answers of ``turns``; ``before`` is that of the turns above them."""
    for turn in turns:
        before = zlib.crc32(turn.digest.encode(), before)
    return before


def user_message(prompt: str, images: Sequence[str] = ()) -> Message:
    """The user's message with this prompt and these images."""
    return {"role": "user", "content": prompt, **({"images": list(images)} if images else {})}  # type: ignore[typeddict-item]


_listener: ContextVar[Callable[[str], None] | None] = ContextVar("flowgpt_notice_listener", default=None)
_onlooker: ContextVar[Callable[[str], None] | None] = ContextVar("flowgpt_progress_listener", default=None)


class LeftOut(str):
    """The notice that older turns did not fit and were not sent.

    Attributes:
        messages: the number of their messages.
        turns: the number of these turns.
    """

    messages: int
    turns: int

    def __new__(cls, count: int, why: str) -> LeftOut:
        turns = -(-count // 2)
        notice = super().__new__(cls, f"{counted(turns, 'older turn')} left out: {why}")
        notice.messages, notice.turns = count, turns
        return notice


def notice(text: str) -> None:
    """Tell the user something that is not a failure.

    A ``Reply`` collects notices and shows them below its text. Without a listener it is a Python warning.
    """
    listener, masked = _listener.get(), redact(text)
    text = text if masked == text else masked  # it may be a ``LeftOut``
    if listener is None:
        warnings.warn(text, FlowGptWarning, stacklevel=3)
    else:
        listener(text)


@contextmanager
def notices_to(listener: Callable[[str], None]) -> Iterator[None]:
    """Send the notices of this context (a task and everything that it awaits) to ``listener``."""
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)


def progress(text: str) -> None:
    """Show what the provider does before its first text; an empty text removes it.

    Unlike a notice it is not stored, and without a listener nothing happens.
    """
    if (onlooker := _onlooker.get()) is not None:
        onlooker(text)


@contextmanager
def progress_to(onlooker: Callable[[str], None]) -> Iterator[None]:
    """Send the progress of this context (a task and everything that it awaits) to ``onlooker``."""
    token = _onlooker.set(onlooker)
    try:
        yield
    finally:
        _onlooker.reset(token)

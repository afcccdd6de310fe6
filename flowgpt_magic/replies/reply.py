"""One reply, while it arrives and afterwards.

A reply sends nothing until it is read. It then runs once, on the worker's loop, with any number of readers. A late
reader gets the text received so far, then follows. When the last reader leaves before the end, the reply is cancelled
and keeps its text.
"""

from __future__ import annotations

import asyncio
import threading
import time
import typing
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError  # the built-in one from Python 3.11 on
from contextlib import aclosing, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Protocol
from uuid import uuid4
from weakref import WeakKeyDictionary

from flowgpt_magic import bridge
from flowgpt_magic.errors import FlowGptError, MismatchError, ProviderError, ReplyInterrupted
from flowgpt_magic.messages import (
    Attempt,
    LeftOut,
    Message,
    NewAttempt,
    NewSplit,
    Reasoning,
    Sent,
    Status,
    Turn,
    Usage,
    Waiting,
    notices_to,
    progress_to,
)
from flowgpt_magic.messages.extras import Extras, HasExtras
from flowgpt_magic.messages.reasoning import answer_of
from flowgpt_magic.replies.code_blocks import CodeBlock, code_blocks_of
from flowgpt_magic.replies.events import (
    EventReader,
    NoticeEvent,
    ReasoningEvent,
    ReplyEvent,
    ReplyEvents,
    TextEvent,
)
from flowgpt_magic.replies.reader import Reader, WakingReader
from flowgpt_magic.replies.received import CheckedChunks, ReceivedContent
from flowgpt_magic.replies.task import ReusableCoroutine

if TYPE_CHECKING:
    from typing_extensions import TypeVar

    from flowgpt_magic.replies.schema import Schema

    T = TypeVar("T", default=Any, covariant=True)
else:
    from typing import TypeVar

    T = TypeVar("T", covariant=True)

R = typing.TypeVar("R", bound=WakingReader[Any])
U = typing.TypeVar("U")
CANCEL_TIMEOUT = 0.5  # seconds to wait for a cancelled reply to end
# Attributes that are not part of a pickle or a copy.
TRANSIENT = ("schema", "_source", "_observer", "_recorder", "_readers", "_lock", "_task", "_running", "_cancel_all")


class Observer(Protocol):
    """Is notified of the start and the end of a reply."""

    def begin(self, reply: Reply) -> None:
        """The request is about to be sent."""

    def end(self, reply: Reply, status: Status) -> None:
        """The reply has ended."""


class Recorder(Observer, Protocol):
    """Records the turn of a reply."""

    def grow(self, reply: Reply) -> None:
        """A chunk has arrived."""

    def restart(self, reply: Reply, why: str) -> None:
        """The text so far is discarded because of ``why``, and a new attempt begins."""

    async def until_saved(self, reply: Reply) -> None:
        """Wait until the turn is saved, or a notice says why it is not."""


class AsyncItems(Generic[U]):
    """The iterator of ``async for``, over chunks or events.

    After a ``break``, an async generator is closed by its loop, some iterations later. This one detaches at once, so
    that the reply is already cancelled in the next line.
    """

    def __init__(self, reply: Reply, reader: WakingReader[U]) -> None:
        self._reply = reply
        self._buffer: deque[U] = deque()
        self._reader: WakingReader[U] | None = reader

    def __aiter__(self) -> AsyncItems[U]:
        return self

    async def __anext__(self) -> U:
        if not self._buffer and self._reader:
            try:
                self._buffer.extend(await self._reader.take_async())
            finally:
                if not self._buffer:  # at the end, or if the reading task was cancelled
                    self.leave()
        if self._buffer:
            return self._buffer.popleft()
        self._reply.raise_error()
        raise StopAsyncIteration

    def leave(self) -> None:
        """Stop reading."""
        if self._reader:
            reader, self._reader = self._reader, None
            self._buffer.clear()
            self._reply.detach(reader)

    async def aclose(self) -> None:
        """Stop reading, for ``contextlib.aclosing``."""
        self.leave()

    def __del__(self) -> None:
        """The garbage collector may run at any time, even while this thread waits for the lock of the reply."""
        if self._reader:
            self._reply.detach_soon(self.leave)


def _event(entry: str | NoticeEvent | NewSplit | NewAttempt | Extras | Usage) -> ReplyEvent:
    """The event for an entry of the log, in which a string is a chunk."""
    if isinstance(entry, Reasoning):
        return ReasoningEvent(str(entry))
    return TextEvent(entry) if isinstance(entry, str) else entry


@dataclass(frozen=True)
class MarkdownText:
    """Markdown that a host displays in place of a reply."""

    text: str

    def _repr_markdown_(self) -> str:
        return self.text


class Reply(HasExtras, ReusableCoroutine[str], Generic[T]):
    """The reply of a model to ``messages``.

    Read it with ``reply.text`` or ``await reply`` (the whole text), with ``for chunk in reply`` or ``async for chunk in
    reply``, or make it the last line of a cell. Each of these sends the request; ``repr``, ``str`` and copying do not.
    Reading raises the error of a failed reply. After the end, ``text`` is the text received.

    With a schema, the reply is checked at its end, and may be retried. Its chunks are returned only after that.

    ``citations``, ``reasoning``, ``logprobs``, ``images``, ``audio`` and ``tool_calls`` are sent by some providers in
    addition to the text. They read to the end first; ``extras`` has what has arrived so far.

    Attributes:
        turn_id: the id of its turn.
        provider: the name of the provider.
        model: the name of the model.
        messages: the messages sent.
        error: why it failed; None if it has not.
        notices: texts to show to the user, such as warnings.
        attempts: the earlier replies that did not fit the schema, oldest first.
        schema: what the reply has to fit, or None.
        turn: the turn as recorded last; None if it is not recorded.
        replayed: is the text from the history?
        left_out: the number of messages not sent because they did not fit into ``history_tokens`` or the model.
        sent: what was sent with the prompt, and what was not.
        shown_in: the run of the cell that has displayed it.
        keep_reasoning: is its reasoning, folded, a part of what a cell shows at its end?
        splits: how often what had arrived was split anew into reasoning and text, because a tag came that ends
            reasoning. Then ``text_so_far`` no longer begins with the text of before, and ``chunks_from`` counts anew.
    """

    _waiting: Waiting | None = None
    _progress = ""
    _cancel_all: Callable[[], None] | None = None

    def __init__(
        self,
        source: Callable[[], CheckedChunks],
        *,
        provider: str,
        model: str,
        messages: Sequence[Message],
        schema: Schema | None = None,
        observer: Observer | None = None,
        recorder: Recorder | None = None,
        charge: Callable[[Usage, str], Usage] | None = None,
    ) -> None:
        """Create a reply that sends nothing yet.

        Args:
            source: sends the request; returns the chunks.
            provider: the name of the provider.
            model: the name of the model.
            messages: the messages of the request.
            schema: what the reply has to fit.
            observer: is notified of the start and the end, for the log and for traces.
            recorder: records the turn.
            charge: adds the cost to the usage, given the text.
        """
        self.turn_id = uuid4().hex
        self.provider = provider
        self.model = model
        self.messages = list(messages)
        self.error: BaseException | None = None
        self.notices: list[str] = []
        self.attempts: list[Attempt] = []
        self.schema = schema
        self.turn: Turn | None = None
        self.replayed = False
        self.left_out = 0
        self.sent = Sent()
        self.shown_in = ""
        self.keep_reasoning = False
        self._source = source
        self._observer = observer
        self._recorder = recorder
        self._status: Status | None = None
        self._closed = self._saving = False
        self.splits = 0
        self._received = ReceivedContent(charge)
        self._data: list[Any] = []  # the value in the text, once it has been read
        self._readers: list[WakingReader[Any]] = []
        self._log: list[str | NoticeEvent | NewSplit | NewAttempt | Extras | Usage] = []  # see ``_event``
        self._lock = threading.RLock()
        self._task: asyncio.Task[None] | None = None

    # State

    @property
    def status(self) -> Status | None:
        """``streaming``, ``complete``, ``cancelled`` or ``failed``; None before the first read."""
        return self._status

    @property
    def ended(self) -> bool:
        """Is it complete, cancelled or failed?"""
        return self._status not in (None, "streaming")

    @property
    def waiting(self) -> Waiting | None:
        """The pause before the next attempt, with its reason and the seconds left; None if there is no pause."""
        waiting = self._waiting
        return waiting if waiting is not None and waiting.left and not self.ended else None

    @property
    def progress(self) -> str:
        """What the provider does before the first chunk, such as ``waits for another reply``; afterwards empty."""
        return self._progress if self._received.is_empty and not self.ended else ""

    @property
    def usage(self) -> Usage:
        """Token counts, and times in seconds, as far as known."""
        return self._received.usage

    @property
    def extras(self) -> Extras:
        """What the provider has sent in addition to the text so far."""
        return self._received.extras

    @property
    def request_id(self) -> str:
        """How the server names the request, for its support and its logs; empty before the end, and if it does not."""
        return self.extras.request_id

    @property
    def elapsed(self) -> float:
        """Seconds from sending the request until now, or until the end; 0 before."""
        if self.usage.seconds is not None:
            return self.usage.seconds
        return time.monotonic() - self._received.begun if self._status is not None else 0.0

    @property
    def text(self) -> str:
        """The whole text. Reads to the end first if necessary, and then raises the error of a failed reply."""
        if not self.ended:
            for _chunk in self:
                pass
        return self.text_so_far

    @property
    def text_so_far(self) -> str:
        """The text received so far. Sends nothing and does not wait."""
        with self._lock:
            return self._received.text

    @property
    def reasoning_so_far(self) -> str:
        """The reasoning received so far. Sends nothing and does not wait."""
        with self._lock:
            return self._received.reasoning

    @property
    def reasons(self) -> bool:
        """Does the model reason now: is reasoning the last thing that has arrived, and the reply still running?"""
        return self._received.reasons and not self.ended

    @property
    def code_blocks(self) -> list[CodeBlock]:
        """The code blocks in the text, in order, without those in reasoning at its start. Reads to the end first."""
        return code_blocks_of(self.text)

    @property
    def data(self) -> T:
        """The value that fits the schema. Without a schema: the JSON value of the text, or its last object or list.

        Reasoning at the start of the text is ignored. Reads to the end first. Raises ``MismatchError`` if there is no
        such value.
        """
        from flowgpt_magic.replies.schema import json_of

        text = self.text
        self.raise_error()
        if self.status == "cancelled":
            raise MismatchError("the reply was stopped before its end, so it has no value; its text is kept")
        if not self._data:
            self._data.append(json_of(text) if self.schema is None else self.schema.read(text))
        value: T = self._data[0]
        return value

    def _whole_extras(self) -> Extras:
        _text = self.text
        return self.extras

    def chunks_from(self, place: int) -> list[str]:
        """The chunks received so far, from index ``place`` on."""
        with self._lock:
            return self._received.chunks[place:]

    def reasoning_from(self, place: int) -> list[str]:
        """The chunks of reasoning received so far, from index ``place`` on. Another attempt or split counts anew."""
        with self._lock:
            return self._received.reasoning_from(place)

    # Reading

    def start(self) -> None:
        """Send the request, unless it was sent before. An interrupt does not leave it half started."""
        if self._status is None:
            bridge.whole(self._start)

    def _start(self) -> None:
        with self._lock:
            if self._status is not None:
                return
            self._status, self._received.begun = "streaming", time.monotonic()
            self._log = [NoticeEvent(text) for text in self.notices]
            try:
                for observer in (self._observer, self._recorder):
                    if observer is not None:
                        observer.begin(self)
            except BaseException as error:  # no task will end it
                self._end("failed" if isinstance(error, Exception) else "cancelled", error)
                raise
        bridge.worker().submit(self._run()).add_done_callback(self._finish)

    def events_from(self, place: int) -> list[ReplyEvent]:
        """The events so far, from index ``place`` on."""
        with self._lock:
            return [_event(entry) for entry in self._log[place:]]

    def events(self) -> ReplyEvents:
        """Everything that happens to the reply, in order: text, reasoning, notices, corrections, extra data, usage.

        ``for event in reply.events()`` or ``async for``; see ``ReplyEvent`` for the types. Reading sends the request,
        and a late reader gets all events from the start. After the last event, which is the ``Usage`` of the whole
        reply, the error of a failed reply is raised. With a schema, attempts that do not fit are among the events.
        """

        def opened() -> EventReader:
            return self._opened(EventReader(self))

        return ReplyEvents(lambda: self._each(opened), lambda: AsyncItems(self, opened()))

    def open(self, *, waits: bool = False, reasoning: bool = False) -> Reader:
        """A new reader at the first chunk. Sends the request if necessary. Release it with ``detach``.

        With ``waits``, it gets the chunks of a reply with a schema only after the check. With ``reasoning``, its calls
        also return when reasoning has arrived.
        """
        return self._opened(Reader(self, waits=waits and self.schema is not None, reasoning=reasoning))

    def _opened(self, reader: R) -> R:
        try:
            with self._lock:
                self._readers.append(reader)
            self.start()
        except BaseException:
            self.detach(reader)
            raise
        return reader

    def detach_soon(self, leave: Callable[[], None]) -> None:
        """Call ``leave`` without blocking: now, or on the worker if another thread holds the lock."""
        if not self._lock.acquire(blocking=False):
            bridge.worker().loop.call_soon_threadsafe(leave)
            return
        self._lock.release()
        leave()

    def detach(self, reader: WakingReader[Any]) -> None:
        """Release ``reader``. The reply is cancelled if it was the last one."""
        with self._lock:
            if reader in self._readers:
                self._readers.remove(reader)
            unread = not self._readers and not self.ended
        if unread:
            self._cancel_whole(if_unread=True)

    def __iter__(self) -> Iterator[str]:
        return self._each(lambda: self.open(waits=True))

    def _each(self, opened: Callable[[], WakingReader[U]]) -> Iterator[U]:
        """The items of a new reader; then the error of a failed reply is raised."""
        try:
            reader = opened()
            try:
                while items := reader.take():
                    yield from items
            finally:
                self.detach(reader)
        except KeyboardInterrupt:
            (self._cancel_all or self.cancel)()
            raise ReplyInterrupted(f"Interrupted: {self.interrupt_summary}") from None
        self.raise_error()

    @property
    def interrupt_summary(self) -> str:
        """How much text and reasoning remains after an interrupt, in words."""
        count, reasoning = len(self.text_so_far), len(self.reasoning_so_far)
        if count:
            return f"the {count:,} characters received so far are kept"
        if reasoning:
            return f"the {reasoning:,} characters of reasoning received so far are kept; the answer had not begun"
        return "nothing had arrived yet"

    def __aiter__(self) -> AsyncItems[str]:
        return AsyncItems(self, self.open(waits=True))

    def __await__(self) -> Generator[Any, None, str]:
        return self._steps().__await__()

    async def _steps(self) -> str:
        reader = self.open()
        try:
            while await reader.take_async():
                pass
        finally:
            self.detach(reader)
        self.raise_error()
        return self.text_so_far

    def __str__(self) -> str:
        """The text received so far. Sends nothing and does not wait, because debuggers call it."""
        return repr(self) if self._status is None else self.text_so_far

    def _repr_llm_(self) -> str:
        """The text for a reference in a prompt: the answer, or the text so far if there is no answer yet."""
        text = self.text_so_far
        return answer_of(text).strip() or text

    def __format__(self, spec: str) -> str:
        return format(str(self), spec)

    def __repr__(self) -> str:
        if self._status is None:
            return f"<Reply of {self.provider}:{self.model}, not sent yet: reply.text sends it>"
        return f"<Reply of {self.provider}:{self.model}, {self._status}, {len(self.text_so_far)} characters>"

    def _repr_markdown_(self) -> str:
        """The text received so far, for hosts other than IPython. Sends nothing."""
        from flowgpt_magic.markdown.growing import harmless
        from flowgpt_magic.transcripts.caption import caption_html

        below = caption_html(self, error=str(self.error or ""))
        return f"{harmless(self.text_so_far)}\n\n{below}".lstrip("\n")

    def _display_(self) -> MarkdownText:
        """The whole reply, for marimo. Sends the request and waits.

        marimo calls this only to display a value.
        """
        with suppress(FlowGptError):  # it is shown below the text
            _text = self.text
        return MarkdownText(self._repr_markdown_())

    def _ipython_display_(self) -> None:
        from flowgpt_magic.display.show import show_result

        show_result(self)

    def __getstate__(self) -> dict[str, Any]:
        """The state for a pickle or a copy: with ``data``, but without the schema."""
        if not self.ended:
            raise TypeError("this reply has not ended: read it first (reply.text), then it can be pickled and copied")
        if self.schema is not None and self.status == "complete":
            _value = self.data
        return {name: value for name, value in vars(self).items() if name not in TRANSIENT}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(dict.fromkeys(TRANSIENT), **state)
        self._readers, self._lock, self._running = [], threading.RLock(), WeakKeyDictionary()

    def raise_error(self) -> None:
        """Raise the error of a failed reply."""
        if self.error is not None:
            raise self.error

    # Running and ending

    def cancel(self) -> None:
        """Stop the reply, from any thread. It keeps the text received so far. No effect after the end."""
        if not self.ended:
            self._cancel_whole()

    def cancel_all_with(self, cancel_all: Callable[[], None]) -> None:
        """Let an interrupt while it is read call ``cancel_all``, because other replies belong to it."""
        self._cancel_all = cancel_all

    def _cancel_whole(self, *, if_unread: bool = False) -> None:
        """Cancel it without being interrupted halfway.

        The garbage collector or a signal handler may call this while this thread holds a lock that it needs. Then the
        reply is cancelled when the lock is released.
        """
        with suppress(FutureTimeoutError):
            bridge.whole(lambda: self._cancel(if_unread=if_unread), CANCEL_TIMEOUT)

    def _cancel(self, *, if_unread: bool) -> None:
        with self._lock:
            if if_unread and self._readers:
                return
            if self._closed and not self._saving:  # its task may still be closing a connection
                return
            if self._status is None:
                self._received.begun = time.monotonic()
            self._end("cancelled")  # no effect if it is only being saved
        if (task := self._task) is not None:
            with suppress(RuntimeError):  # the loop is closed
                task.get_loop().call_soon_threadsafe(task.cancel)

    async def _run(self) -> None:
        self._task = asyncio.current_task()
        if self.ended:
            return
        try:
            with notices_to(self._add_notice), progress_to(self._set_progress):
                async with aclosing(self._source()) as chunks:
                    async for chunk in chunks:
                        if self.ended:  # cancelled, and the provider ignored it
                            return
                        self._add(chunk)
            await self._save()
        except SystemExit as error:  # it would end the worker and all other replies
            raise ProviderError(f"{self.provider} tried to end the process") from error

    def _add(self, chunk: str | Usage | Extras | NewSplit | NewAttempt | Waiting) -> None:
        with self._lock:
            if self._closed:
                return
            if isinstance(chunk, Waiting):
                self._waiting = chunk
                return
            if isinstance(chunk, NewAttempt):
                self._begin_again(chunk.why)
                return
            self.splits += isinstance(chunk, NewSplit)
            changed = self._received.add(chunk, self.provider, self._add_notice)
            if chunk and not isinstance(chunk, Usage):  # the whole usage comes at the end
                self._log.append(chunk)
            if changed:
                self._wake_for(chunk)
                if self._recorder is not None:
                    self._recorder.grow(self)

    def _wake_for(self, chunk: object) -> None:
        """Wake the readers that ``chunk`` concerns."""
        if not isinstance(chunk, Reasoning):
            self._wake()
        if isinstance(chunk, (Reasoning, NewSplit)):
            self._wake(reasoning=True)

    def _begin_again(self, why: str) -> None:
        """Keep the text so far as an attempt, and begin the next one."""
        self._received.finish()
        self._log += [self._received.usage, NewAttempt(why)]
        if self._recorder is not None:
            self._recorder.restart(self, why)
        self.attempts = [*self.attempts, Attempt(self._received.text, why)]
        self._received.clear()
        self._received.begun = time.monotonic()
        self._wake()

    def _set_progress(self, text: str) -> None:
        self._progress = text

    def _add_notice(self, text: str) -> None:
        if self.attempts and text in self.notices:  # repeated from an earlier attempt
            return
        self.notices.append(text)
        with self._lock:
            self._log.append(NoticeEvent(text))
            self._wake(reasoning=True)
        if isinstance(text, LeftOut):
            self.left_out += text.messages
            self.sent = self.sent.without_turns(text.turns)

    def _finish(self, future: Future[None]) -> None:
        if future.cancelled():
            self._end("cancelled")
        elif (error := future.exception()) is not None:
            self._end("failed", error)
        else:
            self._end("complete")

    async def _save(self) -> None:
        """End as complete after the turn is in the history file, so that nothing is lost if the process ends then."""
        with self._lock:
            recorder = self._recorder
            if self._closed or recorder is None:
                return
            self._saving = True
        try:
            self._end("complete", wait=True)
            await recorder.until_saved(self)
        finally:
            self._settle("complete")

    def _end(self, status: Status, error: BaseException | None = None, *, wait: bool = False) -> None:
        """Record how it ended. With ``wait``, the readers are woken later, by ``_settle``."""
        with self._lock:
            if self._closed:
                return
            self._closed, self.error = True, error
            self._received.finish()
            # Recorded before readers are woken, so that they find the turn in its conversation. They are woken even if
            # recording fails.
            try:
                if self._recorder is not None:
                    self._recorder.end(self, status)
            finally:
                try:
                    if self._observer is not None:
                        self._observer.end(self, status)
                finally:
                    if not wait:
                        self._settle(status)

    def _settle(self, status: Status) -> None:
        with self._lock:
            told = sum(isinstance(entry, NoticeEvent) for entry in self._log)
            self._log += [*map(NoticeEvent, self.notices[told:]), self._received.usage]
            self._status, self._saving = status, False
            # Notebooks keep replies; do not keep all earlier messages alive through them.
            self._observer = self._recorder = None
            self._wake()

    def _wake(self, *, reasoning: bool = False) -> None:
        for reader in self._readers:
            reader.wake(reasoning=reasoning)

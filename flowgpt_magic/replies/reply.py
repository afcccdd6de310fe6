"""One answer, while it arrives and after.

A reply does nothing until somebody reads it. It then runs once, on the worker's loop, however many readers it has; a
reader that comes late gets what has arrived and then follows. When the last reader leaves before the end, the reply is
cancelled and keeps its text.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable, Generator, Iterator, Sequence
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
from flowgpt_magic.replies.reader import Reader
from flowgpt_magic.replies.received import ReceivedContent
from flowgpt_magic.replies.task import ReusableCoroutine
from flowgpt_magic.text import escaped

if TYPE_CHECKING:
    from typing_extensions import TypeVar

    from flowgpt_magic.replies.schema import Schema

    T = TypeVar("T", default=Any, covariant=True)
else:
    from typing import TypeVar

    T = TypeVar("T", covariant=True)

Source = Callable[[], AsyncGenerator[str | Usage | Extras | NewAttempt | Waiting, None]]
CANCEL_PATIENCE = 0.5  # seconds that whoever cancels waits for its end
# What a pickle or a copy of a reply leaves behind.
LIVING = (*("schema", "_source", "_observer", "_recorder", "_readers", "_lock", "_task", "_running"),)


class Observer(Protocol):
    """Is told of a reply's begin and end."""

    def begin(self, reply: Reply) -> None:
        """The reply is about to be asked for."""

    def end(self, reply: Reply, status: Status) -> None:
        """The reply has ended."""


class Recorder(Observer, Protocol):
    """Keeps the turn of a reply."""

    def grow(self, reply: Reply) -> None:
        """A chunk has come."""

    def again(self, reply: Reply, why: str) -> None:
        """What has come will not do, and the reply begins anew."""

    async def until_saved(self, reply: Reply) -> None:
        """Wait until the turn is saved, or the person is told why it is not."""


class ChunkIterator:
    """What ``async for`` walks along.

    An async generator that is left by ``break`` is closed by its loop, some turns later; this leaves at once, so that
    the next line finds the reply cancelled.
    """

    def __init__(self, reply: Reply) -> None:
        self._reply = reply
        self._taken: deque[str] = deque()
        self._reader: Reader | None = reply.open(waits=True)

    def __aiter__(self) -> ChunkIterator:
        return self

    async def __anext__(self) -> str:
        if not self._taken and self._reader:
            try:
                self._taken.extend(await self._reader.take_async())
            finally:
                if not self._taken:  # at its end, or because the reading task was cancelled
                    self.leave()
        if self._taken:
            return self._taken.popleft()
        self._reply.raise_error()
        raise StopAsyncIteration

    def leave(self) -> None:
        """Read no more."""
        if self._reader:
            reader, self._reader = self._reader, None
            self._taken.clear()
            self._reply.detach(reader)

    async def aclose(self) -> None:
        """The same, as ``contextlib.aclosing`` wants it."""
        self.leave()

    def __del__(self) -> None:
        """The garbage collector may come in the middle of anything, also of what waits for the reply's lock."""
        if self._reader:
            self._reply.detach_soon(self.leave)


@dataclass(frozen=True)
class MarkdownText:
    """Markdown for a host that asks what to display in the place of a reply."""

    text: str

    def _repr_markdown_(self) -> str:
        return self.text


class Reply(HasExtras, ReusableCoroutine[str], Generic[T]):
    """The answer of ``model`` of ``provider`` to ``messages``.

    Read it with ``reply.text`` or ``await reply`` (the whole text), ``for chunk in reply``, ``async for chunk in
    reply``, or leave it as the last line of a cell. Each of these asks; looking at it (``repr``, ``str``, copying) does
    not. Whoever waits for its end gets the error it ended with; a reply that has ended is a value, and ``text`` is what
    arrived.

    One that was asked with a schema is checked at its end, and may be asked again: its chunks come when it is known
    that they stay, ``data`` is the value, and ``attempts`` are the replies that did not fit.

    What a provider sends beside the text is in ``citations``, ``reasoning``, ``logprobs``, ``images``, ``audio`` and
    ``tool_calls``, which read to the end first; ``extras`` has what arrived by now.
    """

    _waiting: Waiting | None = None
    _progress = ""

    def __init__(
        self,
        source: Source,
        *,
        provider: str,
        model: str,
        messages: Sequence[Message],
        schema: Schema | None = None,
        observer: Observer | None = None,
        recorder: Recorder | None = None,
    ) -> None:
        self.turn_id = uuid4().hex
        self.provider = provider
        self.model = model
        self.messages = list(messages)
        self.error: BaseException | None = None
        self.notices: list[str] = []
        self.attempts: list[Attempt] = []  # what did not fit the schema, the oldest first
        self.schema = schema
        self.turn: Turn | None = None  # as it was kept when it began, and when it had ended; None if it is not kept
        self.replayed = False  # did the text come from the history?
        self.left_out = 0  # messages that were not sent, because they did not fit
        self.shown_in = ""  # the run of the cell that has shown it
        self._source = source
        self._observer = observer
        self._recorder = recorder
        self._status: Status | None = None
        self._closed = self._saving = False
        self._received = ReceivedContent()
        self._read: list[Any] = []  # the value in the text, once somebody has asked for it
        self._readers: list[Reader] = []
        self._lock = threading.RLock()
        self._task: asyncio.Task[None] | None = None

    # What it is now

    @property
    def status(self) -> Status | None:
        """``streaming``, ``complete``, ``cancelled`` or ``failed``; None before the first read."""
        return self._status

    @property
    def ended(self) -> bool:
        """Will nothing more arrive?"""
        return self._status not in (None, "streaming")

    @property
    def waiting(self) -> Waiting | None:
        """The pause before the next try, while it lasts: why it is made, and how long it still is; else None."""
        waiting = self._waiting
        return waiting if waiting is not None and waiting.left and not self.ended else None

    @property
    def progress(self) -> str:
        """What the provider says it does before the first text, such as ``waits for another reply``; else empty."""
        return "" if self.ended or self._received.chunks else self._progress

    @property
    def usage(self) -> Usage:
        """Token counts and times, as far as they are known."""
        return self._received.usage

    @property
    def extras(self) -> Extras:
        """What has arrived beside the text."""
        return self._received.extras

    @property
    def elapsed(self) -> float:
        """Seconds since it was asked, until now or until its end; 0 before."""
        if self.usage.seconds is not None:
            return self.usage.seconds
        return time.monotonic() - self._received.begun if self._status is not None else 0.0

    @property
    def text(self) -> str:
        """The whole text; before the end, reads to the end first. Raises what the reply failed with while reading."""
        if not self.ended:
            for _chunk in self:
                pass
        return self.text_so_far

    @property
    def text_so_far(self) -> str:
        """What has arrived by now; starts nothing and waits for nothing."""
        with self._lock:
            return self._received.text

    @property
    def code_blocks(self) -> list[CodeBlock]:
        """What of the text is shown as code, in order; what a model thought at its start is left out."""
        return code_blocks_of(self.text)

    @property
    def data(self) -> T:
        """The value that the schema was asked for; without one, the last JSON object or list that stands alone.

        What a model thought at the start of the text is left out. Reads to the end first. Raises ``MismatchError``
        where there is no such value.
        """
        from flowgpt_magic.replies.schema import json_of

        text = self.text
        self.raise_error()
        if self.status == "cancelled":
            raise MismatchError("the reply was stopped before its end, so it has no value; its text is kept")
        if not self._read:
            self._read.append(json_of(text) if self.schema is None else self.schema.read(text))
        value: T = self._read[0]
        return value

    def _whole_extras(self) -> Extras:
        _text = self.text
        return self.extras

    def chunks_from(self, place: int) -> list[str]:
        """The chunks that have arrived, without the first ``place`` ones."""
        with self._lock:
            return self._received.chunks[place:]

    # Reading

    def start(self) -> None:
        """Ask the provider, unless that has been done; an interrupt leaves nothing that has begun by half."""
        if self._status is None:
            bridge.whole(self._start)

    def _start(self) -> None:
        with self._lock:
            if self._status is not None:
                return
            self._status, self._received.begun = "streaming", time.monotonic()
            try:
                for each in (self._observer, self._recorder):
                    if each is not None:
                        each.begin(self)
            except BaseException as error:  # nothing will run that could end it
                self._end("failed" if isinstance(error, Exception) else "cancelled", error)
                raise
        bridge.worker().submit(self._run()).add_done_callback(self._finish)

    def open(self, *, waits: bool = False) -> Reader:
        """A new reader, from the first chunk on; the reply is started. Give it back with ``leave``.

        One that ``waits`` gets the chunks of a reply with a schema when it is known that they stay.
        """
        reader = Reader(self, waits=waits and self.schema is not None)
        try:
            with self._lock:
                self._readers.append(reader)
            self.start()
        except BaseException:
            self.detach(reader)
            raise
        return reader

    def detach_soon(self, leave: Callable[[], None]) -> None:
        """Have a reader leave: now, or where that would have to wait for another thread, on the worker's."""
        if not self._lock.acquire(blocking=False):
            bridge.worker().loop.call_soon_threadsafe(leave)
            return
        self._lock.release()
        leave()

    def detach(self, reader: Reader) -> None:
        """``reader`` reads no more; with nobody left to read it, the reply is cancelled."""
        with self._lock:
            if reader in self._readers:
                self._readers.remove(reader)
            unread = not self._readers and not self.ended
        if unread:
            self._cancel_whole(if_unread=True)

    def __iter__(self) -> Iterator[str]:
        try:
            reader = self.open(waits=True)
            try:
                while chunks := reader.take():
                    yield from chunks
            finally:
                self.detach(reader)
        except KeyboardInterrupt:
            self.cancel()
            raise ReplyInterrupted(f"Interrupted: {self.interrupt_summary}") from None
        self.raise_error()

    @property
    def interrupt_summary(self) -> str:
        """What an interrupt leaves of it, in words."""
        count = len(self.text_so_far)
        return f"the {count:,} characters received so far are kept" if count else "nothing had arrived yet"

    def __aiter__(self) -> ChunkIterator:
        return ChunkIterator(self)

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
        """The text received so far. It asks nothing and waits for nothing: debuggers and hovers call it."""
        return repr(self) if self._status is None else self.text_so_far

    def _repr_llm_(self) -> str:
        """What a prompt gets that names this reply in braces: the answer, or what there is before one comes."""
        text = self.text_so_far
        return answer_of(text).strip() or text

    def __format__(self, spec: str) -> str:
        return format(str(self), spec)

    def __repr__(self) -> str:
        if self._status is None:
            return f"<Reply of {self.provider}:{self.model}, not asked yet: reply.text asks>"
        return f"<Reply of {self.provider}:{self.model}, {self._status}, {len(self.text_so_far)} characters>"

    def _repr_markdown_(self) -> str:
        """What hosts that are not IPython show of it: what has come by now. It asks nothing."""
        from flowgpt_magic.markdown.growing import harmless
        from flowgpt_magic.transcripts.caption import caption

        below = escaped(caption(self, error=str(self.error or "")))
        return f"{harmless(self.text_so_far)}\n\n*{below}*".lstrip("\n")

    def _display_(self) -> MarkdownText:
        """As the last line of a cell of marimo: the whole reply, which is asked for by this and waited for.

        marimo calls this where it displays something, and nowhere else.
        """
        with suppress(FlowGptError):  # it stands below the text
            _text = self.text
        return MarkdownText(self._repr_markdown_())

    def _ipython_display_(self) -> None:
        # Imported when IPython asks, never before: the display knows the reply, not the other way round.
        from flowgpt_magic.display.show import show_result

        show_result(self)

    def __getstate__(self) -> dict[str, Any]:
        """Its values, for a pickle or a copy; the value a schema made of the text goes along, the schema does not."""
        if not self.ended:
            raise TypeError("this reply has not ended: read it first (reply.text), then it can be pickled and copied")
        if self.schema is not None and self.status == "complete":
            _value = self.data
        return {name: value for name, value in vars(self).items() if name not in LIVING}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(dict.fromkeys(LIVING), **state)
        self._readers, self._lock, self._running = [], threading.RLock(), WeakKeyDictionary()

    def raise_error(self) -> None:
        """Raise what the reply failed with, if it did."""
        if self.error is not None:
            raise self.error

    # Running and ending

    def cancel(self) -> None:
        """Stop it, from any thread. What has arrived stays, what comes after this does not; no effect after the end."""
        if not self.ended:
            self._cancel_whole()

    def _cancel_whole(self, *, if_unread: bool = False) -> None:
        """Cancel it; an interrupt does not leave it half ended.

        The garbage collector, or a signal's handler, may call this while this thread holds a lock that it needs: then
        it is cancelled when that is released.
        """
        with suppress(FutureTimeoutError):
            bridge.whole(lambda: self._cancel(if_unread=if_unread), CANCEL_PATIENCE)

    def _cancel(self, *, if_unread: bool) -> None:
        with self._lock:
            if if_unread and self._readers:
                return
            if self._closed and not self._saving:  # its task may be closing a connection, which this would cut short
                return
            if self._status is None:
                self._received.begun = time.monotonic()
            self._end("cancelled")  # no effect on one that is only being saved
        if (task := self._task) is not None:
            with suppress(RuntimeError):  # the loop is closed, and its tasks with it
                task.get_loop().call_soon_threadsafe(task.cancel)

    async def _run(self) -> None:
        self._task = asyncio.current_task()
        if self.ended:
            return
        try:
            with notices_to(self._add_notice), progress_to(self._set_progress):
                async with aclosing(self._source()) as chunks:
                    async for chunk in chunks:
                        if self.ended:  # cancelled, and the provider did not listen
                            return
                        self._add(chunk)
            await self._save()
        except SystemExit as error:  # it would end the worker's thread, and every other reply with it
            raise ProviderError(f"{self.provider} tried to end the process") from error

    def _add(self, chunk: str | Usage | Extras | NewAttempt | Waiting) -> None:
        with self._lock:
            if self._closed:
                return
            if isinstance(chunk, Waiting):
                self._waiting = chunk
                return
            if isinstance(chunk, NewAttempt):
                self._begin_again(chunk.why)
                return
            if self._received.add(chunk, self.provider, self._add_notice):
                self._wake()
                if self._recorder is not None:
                    self._recorder.grow(self)

    def _begin_again(self, why: str) -> None:
        """What has come is kept as an attempt; the next chunk is the first of another one."""
        self._received.finish()
        if self._recorder is not None:
            self._recorder.again(self, why)
        self.attempts = [*self.attempts, Attempt(self._received.text, why)]
        self._received.clear()
        self._received.begun = time.monotonic()
        self._wake()

    def _set_progress(self, text: str) -> None:
        self._progress = text

    def _add_notice(self, text: str) -> None:
        if self.attempts and text in self.notices:  # said of an earlier attempt too
            return
        self.notices.append(text)
        if isinstance(text, LeftOut):
            self.left_out += text.messages

    def _finish(self, future: Future[None]) -> None:
        if future.cancelled():
            self._end("cancelled")
        elif (error := future.exception()) is not None:
            self._end("failed", error)
        else:
            self._end("complete")

    async def _save(self) -> None:
        """End as complete once the turn is in the history's file: a process that ends right then loses nothing."""
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
        """Record how it ended. With ``wait``, ``_settle`` tells its readers later."""
        with self._lock:
            if self._closed:
                return
            self._closed, self.error = True, error
            self._received.finish()
            # Recorded before anybody is told: whoever has read to the end finds the turn in its conversation. Nobody
            # waits for ever where that fails.
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
            self._status, self._saving = status, False
            # They hold on to all that was said before, and a notebook keeps its replies.
            self._observer = self._recorder = None
            self._wake()

    def _wake(self) -> None:
        for reader in self._readers:
            reader.wake()

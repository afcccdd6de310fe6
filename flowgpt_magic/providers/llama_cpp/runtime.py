"""The runtime of the embedded model: the one model in memory, and the thread that owns it.

The thread takes replies from a queue, one after the other, loads the model when the first of them needs it, and lives
as long as the process. So a model is never loaded or run on an event loop, there is one in memory however many
conversations there are, and a reply that is given up while the runtime still works on it holds up the next one until
the runtime has let go.
"""

from __future__ import annotations

import asyncio
import atexit
import os
import queue
import secrets
import sys
import tempfile
import threading
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from flowgpt_magic import installing
from flowgpt_magic.errors import (
    ContextLengthError,
    FlowGptError,
    NotInstalledError,
    ProviderError,
    SchemaNotSupportedError,
)
from flowgpt_magic.messages import LeftOut, Usage
from flowgpt_magic.providers.llama_cpp.repetition import Repetition

BATCH = 8  # tokens read between two looks for a cancel; 128 reads 1.4 times as fast, and stops only in a second
CACHE_MIB = 64  # states kept of conversations that take turns; the runtime's own limit is 8 GiB
REUSE = 64  # tokens; stretches of at least this length are reused where older turns were dropped before them
REPLY_SHARE = 4  # a quarter of the context window is kept free for the reply, or max_tokens where that is less
MESSAGE_OVERHEAD = 32  # tokens, more than chat templates put around one message
MOST_THREADS = 8  # more of them wait for each other longer than they compute on a model this small
SOCKET_PATH_LIMIT = 100  # bytes; the system's own limit is 104 on macOS, 108 on Linux
LONG_PROMPT = 100  # tokens; of those that take longer to read it is said how far they are read
RESPONSE_FORMAT = "response_format"  # the option that holds a reply to a schema
REPEATED = "the reply was stopped because it repeated itself; -P may_repeat=true lets it go on"
RUNTIME_EXIT_TIMEOUT = 30.0  # seconds; loading a model cannot be interrupted
CPU_QUOTA = Path("/sys/fs/cgroup/cpu.max")


ChatMessages = Sequence[Mapping[str, str]]


def is_installed() -> bool:
    """Is the runtime there? Looks for it without importing it."""
    return find_spec("xllamacpp") is not None


@dataclass(frozen=True)
class ModelConfig:
    """What a model in memory was made from; another value of any of these is another model."""

    path: Path
    context_size: int
    threads: int


@dataclass(frozen=True)
class GenerationRequest:
    """One reply to be made.

    ``options`` are the runtime's own names for how to sample. A reply that repeats itself is stopped, unless it
    ``may_repeat``.
    """

    source: ModelConfig
    messages: ChatMessages
    max_tokens: int
    options: Mapping[str, Any]
    may_repeat: bool = False


@dataclass(frozen=True)
class Notice:
    """Something to tell the person who reads the reply."""

    text: str


@dataclass(frozen=True)
class Progress:
    """What happens before the first chunk; empty when that is over."""

    text: str


JobItem = str | Usage | Notice | Progress | FlowGptError | None


@dataclass
class ReplyJob:
    """A request on its way: what has arrived for its reader, and whether the reader has gone."""

    request: GenerationRequest
    loop: asyncio.AbstractEventLoop
    arrived: asyncio.Queue[JobItem] = field(default_factory=asyncio.Queue)
    cancelled: threading.Event = field(default_factory=threading.Event)

    def put(self, item: JobItem) -> None:
        """Hand ``item`` to the reader, from any thread; None is the end."""
        try:
            self.loop.call_soon_threadsafe(self.arrived.put_nowait, item)
        except RuntimeError:  # the reader's loop is closed
            self.cancelled.set()


def _turns(messages: ChatMessages) -> list[list[int]]:
    """The positions of each turn's messages: a user's and all up to the next user's. System messages are in none."""
    found: list[list[int]] = []
    for position, message in enumerate(messages):
        if message["role"] == "system":
            continue
        if message["role"] == "user" or not found:
            found.append([])
        found[-1].append(position)
    return found


def newest_that_fit(messages: ChatMessages, fits: Callable[[ChatMessages], bool]) -> ChatMessages:
    """``messages`` without as many of the oldest turns as must go for the others to fit.

    System messages stay, and so does the last turn, whether it fits or not. ``fits`` is asked about log2 as many times
    as there are turns; what fits must still fit with fewer turns.
    """
    turns = _turns(messages)

    def without(left_out: int) -> ChatMessages:
        gone = {position for turn in turns[:left_out] for position in turn}
        return [message for position, message in enumerate(messages) if position not in gone]

    most = max(len(turns) - 1, 0)
    return without(bisect_left(range(most), True, key=lambda left_out: fits(without(left_out))))


def processors() -> int:
    """How many processors this process may use; a container's share can be less than the machine has."""
    count = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    try:
        share, period = CPU_QUOTA.read_text("ascii").split()
        return max(1, min(count, int(share) // int(period)))
    except (OSError, ValueError):  # not Linux, or no limit is set
        return count


def threads_for(processors: int) -> int:
    """Half of the processors, at least 2 where there are 2, and at most 8.

    On a machine with two, one thread reads a prompt at 0.6 times the speed of two.
    """
    return max(min(processors, 2), min(processors // 2, MOST_THREADS))


def _import_runtime() -> Any:
    """The runtime's module.

    OpenMP's threads spin while they wait for work unless its library finds this variable when it is loaded; with two
    busy processes beside it that cost 95 % of the speed. The variable is there for the import only, so that programs
    started from here do not inherit it.
    """
    unset = "OMP_WAIT_POLICY" not in os.environ
    if unset:
        os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
    try:
        import xllamacpp
    except ImportError as error:
        raise NotInstalledError(_import_hint(str(error))) from error
    finally:
        if unset:
            del os.environ["OMP_WAIT_POLICY"]
    return xllamacpp


def _import_hint(cause: str) -> str:
    if "libgomp" in cause:
        return (
            "the embedded model needs the system library libgomp: install the package libgomp1 "
            "(Debian, Ubuntu) or libgomp (Fedora, Alpine), then restart the kernel"
        )
    again = installing.command("local", "--force-reinstall")
    return f"the embedded model's runtime cannot be loaded ({cause}): {again} installs it again"


def _parameters(runtime: Any, source: ModelConfig, folder: Path) -> Any:
    """The runtime's parameters for ``source``; ``folder`` is where its socket may be."""
    chosen = runtime.CommonParams()
    chosen.model.path = str(source.path)
    chosen.n_ctx = source.context_size
    chosen.n_parallel = 1
    chosen.n_batch = chosen.n_ubatch = BATCH
    chosen.cache_ram_mib = CACHE_MIB
    chosen.n_cache_reuse = REUSE
    chosen.cpuparams.n_threads = chosen.cpuparams_batch.n_threads = source.threads
    chosen.verbosity = 0
    _shut_the_door(chosen, folder)
    return chosen


def _shut_the_door(chosen: Any, folder: Path) -> None:
    """Let nobody in through the HTTP server that the runtime insists on opening, by default on a port without a key.

    It listens on a socket file that is removed before anybody could use it, and wants a key that nobody knows. Windows
    has the key only.
    """
    socket = str(folder / "closed.sock")
    if os.name == "posix" and len(os.fsencode(socket)) <= SOCKET_PATH_LIMIT:
        chosen.hostnames = [socket]
    chosen.api_keys = [secrets.token_urlsafe(32)]
    chosen.cors_origins = "http://127.0.0.1"
    chosen.endpoint_slots = False
    chosen.n_threads_http = 1
    chosen.ui = False


class RuntimeEventReader:
    """Turns the runtime's events into chunks for the reader of a job, and remembers how the reply ended."""

    def __init__(self, job: ReplyJob) -> None:
        self.job = job
        self.repetition = (
            None if job.request.may_repeat else Repetition(structured=RESPONSE_FORMAT in job.request.options)
        )
        self.finish_reason: str | None = None
        self._progress = ""
        self._prompt_tokens: int | None = None
        self._tokens = 0
        self.usage: Usage | None = None
        self.error: Mapping[str, Any] | None = None

    def take(self, event: Mapping[str, Any]) -> bool:
        """Handle one event; True stops the runtime."""
        self.error = event.get("error", self.error)
        for choice in event.get("choices", ()):
            self.finish_reason = choice["finish_reason"] or self.finish_reason
            if text := choice["delta"].get("content"):
                self._tokens += 1
                self._pass(text if self.repetition is None else self.repetition.feed(text))
        if read := event.get("prompt_progress"):
            self._read(read)
        if self.looped:
            return True
        if counts := event.get("usage"):
            self.usage = Usage(counts["prompt_tokens"], counts["completion_tokens"], self.finish_reason)
        return self.job.cancelled.is_set()

    @property
    def looped(self) -> bool:
        """Was the reply stopped because it repeats itself?"""
        return self.repetition is not None and self.repetition.found

    def _pass(self, text: str) -> None:
        if text and not self.job.cancelled.is_set():
            self.job.put(text)

    def _read(self, read: Mapping[str, int]) -> None:
        """Say how much of the prompt is read; what was read for an earlier reply takes no time."""
        self._prompt_tokens = read["total"]
        due = read["total"] - read["cache"]
        if due < LONG_PROMPT:
            return
        progress = f"reads the prompt, {100 * (read['processed'] - read['cache']) // due} %"
        if progress != self._progress:
            self._progress = progress
            self.job.put(Progress(progress))

    def result(self) -> Usage:
        """The rest of the text goes out; returns the token counts, raises what went wrong.

        Of a reply that was stopped because it repeats itself the tokens are counted by its chunks.
        """
        if self.looped:
            return Usage(self._prompt_tokens, self._tokens, "repetition")
        if self.repetition is not None:
            self._pass(self.repetition.finish())
        if self.error is not None:
            raise ProviderError(f"the embedded model cannot answer this: {self.error.get('message', self.error)}")
        if self.usage is None or self.finish_reason is None:
            raise ProviderError("the embedded model stopped in the middle of its reply")
        return self.usage


class LoadedModel:
    """A model in memory; only the thread that made it uses it.

    ``context_size`` is the window in force: the model's own limit where more was asked for.
    """

    def __init__(self, source: ModelConfig) -> None:
        self.source = source
        self.context_size = source.context_size
        self.server = self._load(_import_runtime())
        self._filler = " a" * source.context_size
        doubled, single = (self._tokens([{"role": "user", "content": self._filler * times}]) for times in (2, 1))
        self._filler_tokens = doubled - single
        self._template_tokens = max(single - self._filler_tokens, 0)

    def _load(self, runtime: Any) -> Any:
        with tempfile.TemporaryDirectory(prefix="flowgpt-", ignore_cleanup_errors=True) as folder:
            try:
                return runtime.Server(_parameters(runtime, self.source, Path(folder)))
            except RuntimeError as error:
                raise ProviderError(
                    f"{self.source.path} cannot be loaded: it is damaged, or of a kind that xllamacpp "
                    f"{runtime.__version__} does not know, or needs more memory than there is"
                ) from error

    def _chat(self, body: Mapping[str, Any], take: Callable[[Mapping[str, Any]], bool]) -> None:
        """Have the runtime answer; ``take`` gets its events and stops it by returning True."""
        always = {"stream": True, "return_progress": True, "stream_options": {"include_usage": True}}
        try:
            self.server.handle_chat_completions({**body, **always}, take)
        except (RuntimeError, ValueError) as error:
            if RESPONSE_FORMAT in body:
                raise SchemaNotSupportedError(f"the embedded model does not take this schema: {error}", 400) from error
            raise ProviderError(f"the embedded model cannot answer this: {error}") from error

    def _tokens(self, messages: ChatMessages) -> int:
        """The tokens of a prompt that is longer than the context window; 0 for one that is not."""
        found: Mapping[str, Any] = {}

        def take(event: Mapping[str, Any]) -> bool:
            nonlocal found
            found = event.get("error", {})
            return True

        self._chat({"messages": messages, "max_tokens": 1}, take)
        self.context_size = found.get("n_ctx", self.context_size)
        return int(found.get("n_prompt_tokens", 0))

    def count(self, messages: ChatMessages) -> int:
        """The tokens of the prompt that the model's template makes of ``messages``, to within one or two.

        The runtime counts without computing only where it refuses a prompt as too long, in a few milliseconds. So the
        last message is made too long, and what was added is taken off again.
        """
        *others, last = messages
        return self._tokens([*others, {**last, "content": last["content"] + self._filler}]) - self._filler_tokens

    def fit(self, request: GenerationRequest) -> ChatMessages:
        """The messages to send: all of them, or fewer turns where the context window is too small for all.

        Raises ``ContextLengthError`` where the last turn alone is too long.
        """
        room = self.context_size - min(request.max_tokens, self.context_size // REPLY_SHARE)
        # A token is at least a byte, so most prompts need no counting.
        if self._template_tokens + sum(map(_most_tokens, request.messages)) <= room:
            return request.messages
        kept = newest_that_fit(request.messages, lambda messages: self.count(messages) <= room)
        if (tokens := self.count(kept)) >= self.context_size:
            raise ContextLengthError(self._too_long(tokens))
        return kept

    def _too_long(self, tokens: int) -> str:
        limited = self.context_size < self.source.context_size
        way_out = "this model sees no more" if limited else "or raise the setting context_size"
        return f"the prompt has {tokens} tokens, the context window {self.context_size}: shorten it, {way_out}"

    def answer(self, job: ReplyJob) -> None:
        """Make the reply, chunk by chunk, until it ends or its reader has gone."""
        request = job.request
        kept = self.fit(request)
        if gone := len(request.messages) - len(kept):
            job.put(Notice(LeftOut(gone, f"the model sees {self.context_size} tokens")))
        reading = RuntimeEventReader(job)
        self._chat({"messages": kept, "max_tokens": request.max_tokens, **request.options}, reading.take)
        if job.cancelled.is_set():
            return
        usage = reading.result()
        if reading.looped:
            job.put(Notice(REPEATED))
        if usage.finish_reason == "length":
            full = (usage.completion_tokens or 0) < request.max_tokens
            limit = f"context_size = {self.context_size}" if full else f"max_tokens = {request.max_tokens}"
            job.put(Notice(f"the reply was cut off at {limit}"))
        job.put(usage)


def _most_tokens(message: Mapping[str, str]) -> int:
    return len(message["content"].encode()) + MESSAGE_OVERHEAD


class Runner:
    """The thread that owns the runtime, and the replies that wait for it."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.jobs: queue.SimpleQueue[ReplyJob | None] = queue.SimpleQueue()
        self.current: ReplyJob | None = None
        self.closing = threading.Event()
        self.thread = threading.Thread(target=self._run, name="flowgpt_magic.local", daemon=True)
        self.thread.start()

    @property
    def alive(self) -> bool:
        """Can it answer? After a fork the thread is gone, though its object is not."""
        return self.thread.is_alive() and not self.closing.is_set()

    def submit(self, job: ReplyJob) -> None:
        """Answer ``job`` when those before it are answered."""
        if self.current is not None or not self.jobs.empty():
            job.put(Progress("waits for another reply"))
        self.jobs.put(job)

    def _run(self) -> None:
        # Held by this frame alone: a forked process, where the model's own threads are missing, never destroys it.
        loaded: list[LoadedModel] = []
        try:
            for job in iter(self.jobs.get, None):
                self.current = job
                if self.closing.is_set():
                    return
                job.put(Progress(""))
                self._serve(job, loaded)
                self.current = None
        finally:
            self._give_up()

    def _serve(self, job: ReplyJob, loaded: list[LoadedModel]) -> None:
        if job.cancelled.is_set():
            return
        try:
            if not loaded or loaded[0].source != job.request.source:
                job.put(Progress("loads the model"))
                loaded.clear()  # before the next one is loaded: there is never room for two
                loaded.append(LoadedModel(job.request.source))
                job.put(Progress(""))
            if not job.cancelled.is_set():
                loaded[0].answer(job)
        except FlowGptError as error:
            job.put(error)
        job.put(None)

    def _give_up(self) -> None:
        """Leave no reader waiting for a thread that has ended."""
        waiting = [self.current] if self.current else []
        while not self.jobs.empty():
            waiting += [job for job in [self.jobs.get()] if job]
        for job in waiting:
            job.put(ProviderError("the embedded model has ended; run the cell again"))

    def close(self) -> None:
        """Stop what runs and end the thread; a process that exits while the runtime computes is aborted."""
        if not self.alive:
            return
        self.closing.set()
        if current := self.current:
            current.cancelled.set()
        self.jobs.put(None)
        self.thread.join(RUNTIME_EXIT_TIMEOUT)


_runners: list[Runner] = []  # at most one that is alive: two would be two models in memory
_starting = threading.Lock()


def runner() -> Runner:
    """The runner of this process, started on first use.

    Raises ``ProviderError`` in a process that was forked from one that had used the model: the runtime's own threads
    are missing there, and it would wait for them for ever when the model is let go.
    """
    with _starting:
        if _runners and _runners[-1].pid != os.getpid():
            raise ProviderError("the embedded model does not answer in a forked process; start it with 'spawn'")
        if not (_runners and _runners[-1].alive):
            _runners[:] = [Runner()]
        return _runners[-1]


@atexit.register
def close_runner() -> None:
    """Take the model out of memory; the next reply loads it again."""
    while _runners:
        _runners.pop().close()

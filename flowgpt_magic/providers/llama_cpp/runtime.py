"""The runtime of the embedded model: the one model in memory, and the thread that owns it.

The thread takes replies from a queue, loads the model when the first one needs it, and lives as long as the process. So
no model is ever loaded or run on an event loop, and there is only one in memory however many conversations there are. A
reply that was cancelled while the runtime is busy delays the next one until the runtime has stopped.
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
from flowgpt_magic.providers.llama_cpp.downloads import size_text
from flowgpt_magic.providers.llama_cpp.gguf import memory_needed, read_header, size_of
from flowgpt_magic.providers.llama_cpp.machine import Machine, this_machine
from flowgpt_magic.providers.llama_cpp.repetition import Repetition

BATCH_TOKENS = 8  # read between two checks for cancellation; 128 is 1.4 times as fast, but takes a second to stop
CACHE_MIB = 64  # for the states of alternating conversations; the runtime's default is 8 GiB
MIN_REUSED_TOKENS = 64  # of a stretch that is reused after older turns were dropped before it
REPLY_SHARE = 4  # a quarter of the context window is reserved for the reply, or max_tokens if that is less
MESSAGE_OVERHEAD = 32  # tokens; more than chat templates add to one message
MAX_THREADS = 8  # with more, they wait for each other longer than they compute
SOCKET_PATH_LIMIT = 100  # bytes; the system's own limit is 104 on macOS, 108 on Linux
PROGRESS_FROM = 100  # tokens; progress is shown while a prompt of this size is read
SCHEMA_OPTION = "response_format"  # the option with the schema of the reply
REPETITION_NOTICE = "the reply was stopped because it repeated itself; -P may_repeat=true prevents that"
RUNTIME_EXIT_TIMEOUT = 30.0  # seconds; loading a model cannot be interrupted
CPU_QUOTA_FILE = Path("/sys/fs/cgroup/cpu.max")

ChatMessages = Sequence[Mapping[str, str]]


def is_installed() -> bool:
    """Is the runtime installed? Does not import it."""
    return find_spec("xllamacpp") is not None


@dataclass(frozen=True)
class ModelConfig:
    """How to load a model. A different value means a different model in memory."""

    path: Path
    context_size: int
    threads: int


@dataclass(frozen=True)
class GenerationRequest:
    """A request for one reply.

    Args:
        model: the model and how it is loaded.
        messages: the messages.
        max_tokens: tokens after which the reply ends.
        options: sampling options by the runtime's names.
        may_repeat: turns off the detection of repetition.
    """

    model: ModelConfig
    messages: ChatMessages
    max_tokens: int
    options: Mapping[str, Any]
    may_repeat: bool = False


@dataclass(frozen=True)
class Notice:
    """A notice for the user."""

    text: str


@dataclass(frozen=True)
class Progress:
    """What happens before the first chunk; empty when it is over."""

    text: str


JobItem = str | Usage | Notice | Progress | FlowGptError | None


@dataclass
class ReplyJob:
    """A request in the queue, and the items of its reply for the reader. ``cancelled``: the reader has gone."""

    request: GenerationRequest
    loop: asyncio.AbstractEventLoop
    items: asyncio.Queue[JobItem] = field(default_factory=asyncio.Queue)
    cancelled: threading.Event = field(default_factory=threading.Event)

    def put(self, item: JobItem) -> None:
        """Pass ``item`` to the reader, from any thread; None is the end."""
        try:
            self.loop.call_soon_threadsafe(self.items.put_nowait, item)
        except RuntimeError:  # the reader's loop is closed
            self.cancelled.set()


def _turns(messages: ChatMessages) -> list[list[int]]:
    """The positions of each turn's messages, from a user message to the next. System messages are in no turn."""
    turns: list[list[int]] = []
    for position, message in enumerate(messages):
        if message["role"] == "system":
            continue
        if message["role"] == "user" or not turns:
            turns.append([])
        turns[-1].append(position)
    return turns


def newest_that_fit(messages: ChatMessages, fits: Callable[[ChatMessages], bool]) -> ChatMessages:
    """``messages`` without the oldest turns, as few as possible, so that ``fits`` is true.

    System messages and the last turn always stay. ``fits`` is called log2 of the number of turns times; it must be
    monotonic.
    """
    turns = _turns(messages)

    def without(count: int) -> ChatMessages:
        dropped = {position for turn in turns[:count] for position in turn}
        return [message for position, message in enumerate(messages) if position not in dropped]

    return without(bisect_left(range(max(len(turns) - 1, 0)), True, key=lambda count: fits(without(count))))


def processors() -> int:
    """The number of processors this process may use, which in a container can be less than the machine has."""
    count = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    try:
        share, period = CPU_QUOTA_FILE.read_text("ascii").split()
        return max(1, min(count, int(share) // int(period)))
    except (OSError, ValueError):  # not Linux, or no limit
        return count


def threads_for(processors: int) -> int:
    """Half of the processors, at least 2 if there are 2, and at most ``MAX_THREADS``.

    On a machine with two, one thread reads a prompt at 0.6 times the speed of two.
    """
    return max(min(processors, 2), min(processors // 2, MAX_THREADS))


def _import_runtime() -> Any:
    """Import the runtime.

    OpenMP's threads spin while they wait for work unless ``OMP_WAIT_POLICY`` is set when the library is loaded; with
    two busy processes beside it that cost 95 % of the speed. The variable is set during the import only, so that child
    processes do not inherit it.
    """
    is_unset = "OMP_WAIT_POLICY" not in os.environ
    if is_unset:
        os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
    try:
        import xllamacpp
    except ImportError as error:
        raise NotInstalledError(_import_hint(str(error))) from error
    finally:
        if is_unset:
            del os.environ["OMP_WAIT_POLICY"]
    return xllamacpp


def _import_hint(cause: str) -> str:
    if "libgomp" in cause:
        return (
            "the embedded model needs the system library libgomp: install the package libgomp1 "
            "(Debian, Ubuntu) or libgomp (Fedora, Alpine), then restart the kernel"
        )
    command = installing.command("local", "--force-reinstall")
    return f"the embedded model's runtime cannot be loaded ({cause}); reinstall it with {command}"


def _parameters(runtime: Any, config: ModelConfig, folder: Path) -> Any:
    """The runtime's parameters for ``config``. ``folder`` is for its socket."""
    parameters = runtime.CommonParams()
    parameters.model.path = str(config.path)
    parameters.n_ctx = config.context_size
    parameters.n_parallel = 1
    parameters.n_batch = parameters.n_ubatch = BATCH_TOKENS
    parameters.cache_ram_mib = CACHE_MIB
    parameters.n_cache_reuse = MIN_REUSED_TOKENS
    parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = config.threads
    parameters.verbosity = 0
    # Reasoning stays in the text, between its tags; the runtime would hand it over in a field of its own.
    parameters.reasoning_format = runtime.common_reasoning_format.COMMON_REASONING_FORMAT_NONE
    _block_http_access(parameters, folder)
    return parameters


def _block_http_access(parameters: Any, folder: Path) -> None:
    """Make the HTTP server that the runtime insists on starting unreachable; by default it has a port and no key.

    It listens on a socket file that is deleted before anyone can use it, and requires a random key. On Windows there is
    only the key.
    """
    socket = str(folder / "closed.sock")
    if os.name == "posix" and len(os.fsencode(socket)) <= SOCKET_PATH_LIMIT:
        parameters.hostnames = [socket]
    parameters.api_keys = [secrets.token_urlsafe(32)]
    parameters.cors_origins = "http://127.0.0.1"
    parameters.endpoint_slots = False
    parameters.n_threads_http = 1
    parameters.ui = False


def _has_graphics_memory(runtime: Any) -> bool:
    """Is there a device with memory of its own, to which the runtime may move the model?"""
    kinds = runtime.ggml_backend_dev_type
    shared = (kinds.GGML_BACKEND_DEVICE_TYPE_CPU, kinds.GGML_BACKEND_DEVICE_TYPE_ACCEL)
    return any(device["type"] not in shared for device in runtime.get_device_info())


def check_memory(config: ModelConfig, machine: Machine) -> None:
    """Raise ``ProviderError`` if the model is larger than the free memory: the system could end the process."""
    free = machine.memory if machine.free_memory is None else machine.free_memory
    needed = memory_needed(size_of(config.path), config.context_size, read_header(config.path))
    if free is not None and needed > free:
        raise ProviderError(
            f"{config.path.name} needs about {size_text(needed)} of memory with a context of {config.context_size:,} "
            f"tokens, and {size_text(free)} are free: close what takes memory, lower the setting context_size, or use "
            "a smaller model"
        )


class RuntimeEventReader:
    """Turns the runtime's events into the chunks of a job, and records how the reply ended."""

    def __init__(self, job: ReplyJob) -> None:
        self.job = job
        self.repetition = (
            None if job.request.may_repeat else Repetition(structured=SCHEMA_OPTION in job.request.options)
        )
        self.finish_reason: str | None = None
        self._progress = ""
        self._prompt_tokens: int | None = None
        self._tokens = 0
        self.usage: Usage | None = None
        self.error: Mapping[str, Any] | None = None

    def handle(self, event: Mapping[str, Any]) -> bool:
        """Handle one event. True stops the runtime."""
        self.error = event.get("error", self.error)
        for choice in event.get("choices", ()):
            self.finish_reason = choice["finish_reason"] or self.finish_reason
            if text := choice["delta"].get("content"):
                self._tokens += 1
                self._put_text(text if self.repetition is None else self.repetition.feed(text))
        if progress := event.get("prompt_progress"):
            self._put_progress(progress)
        if self.looped:
            return True
        if counts := event.get("usage"):
            self.usage = Usage(counts["prompt_tokens"], counts["completion_tokens"], self.finish_reason)
        return self.job.cancelled.is_set()

    @property
    def looped(self) -> bool:
        """Was the reply stopped because it repeated itself?"""
        return self.repetition is not None and self.repetition.found

    def _put_text(self, text: str) -> None:
        if text and not self.job.cancelled.is_set():
            self.job.put(text)

    def _put_progress(self, progress: Mapping[str, int]) -> None:
        """Report how much of the prompt is read, without the part that was read for an earlier reply."""
        self._prompt_tokens = progress["total"]
        new_tokens = progress["total"] - progress["cache"]
        if new_tokens < PROGRESS_FROM:
            return
        text = f"reads the prompt, {100 * (progress['processed'] - progress['cache']) // new_tokens} %"
        if text != self._progress:
            self._progress = text
            self.job.put(Progress(text))

    def result(self) -> Usage:
        """Pass on the rest of the text and return the token counts. Raises ``ProviderError``.

        The tokens of a reply that was stopped for repetition are counted by its chunks.
        """
        if self.looped:
            return Usage(self._prompt_tokens, self._tokens, "repetition")
        if self.repetition is not None:
            self._put_text(self.repetition.finish())
        if self.error is not None:
            raise ProviderError(f"the embedded model cannot answer this: {self.error.get('message', self.error)}")
        if self.usage is None or self.finish_reason is None:
            raise ProviderError("the embedded model stopped in the middle of the reply")
        return self.usage


class LoadedModel:
    """A model in memory. Only the thread that created it uses it.

    ``context_size`` is the window in force: the model's own limit if the configured size is larger.
    """

    def __init__(self, config: ModelConfig) -> None:
        self.config = config
        self.context_size = config.context_size
        runtime = _import_runtime()
        if not _has_graphics_memory(runtime):
            check_memory(config, this_machine(config.path.parent))
        self.server = self._load(runtime)
        self._filler = " a" * config.context_size
        doubled, single = (self._tokens([{"role": "user", "content": self._filler * times}]) for times in (2, 1))
        self._filler_tokens = doubled - single
        self._template_tokens = max(single - self._filler_tokens, 0)

    def _load(self, runtime: Any) -> Any:
        with tempfile.TemporaryDirectory(prefix="flowgpt-", ignore_cleanup_errors=True) as folder:
            try:
                return runtime.Server(_parameters(runtime, self.config, Path(folder)))
            except RuntimeError as error:
                raise ProviderError(
                    f"{self.config.path} cannot be loaded: it is damaged, or of a type that xllamacpp "
                    f"{runtime.__version__} does not support, or needs more memory than there is"
                ) from error

    def _chat(self, body: Mapping[str, Any], handle: Callable[[Mapping[str, Any]], bool]) -> None:
        """Run the runtime on ``body``; ``handle`` gets its events and stops it by returning True."""
        always = {"stream": True, "return_progress": True, "stream_options": {"include_usage": True}}
        try:
            self.server.handle_chat_completions({**body, **always}, handle)
        except (RuntimeError, ValueError) as error:
            if SCHEMA_OPTION in body:
                raise SchemaNotSupportedError(
                    f"the embedded model does not support this schema: {error}", 400
                ) from error
            raise ProviderError(f"the embedded model cannot answer this: {error}") from error

    def _tokens(self, messages: ChatMessages) -> int:
        """The tokens of a prompt that is longer than the context window; 0 for any other."""
        error: Mapping[str, Any] = {}

        def handle(event: Mapping[str, Any]) -> bool:
            nonlocal error
            error = event.get("error", {})
            return True

        self._chat({"messages": messages, "max_tokens": 1}, handle)
        self.context_size = error.get("n_ctx", self.context_size)
        return int(error.get("n_prompt_tokens", 0))

    def count(self, messages: ChatMessages) -> int:
        """The tokens of ``messages`` in the model's template, accurate to one or two.

        The runtime counts tokens without computing only when it rejects a prompt as too long, which takes a few
        milliseconds. So the last message is made too long, and the added tokens are subtracted.
        """
        *others, last = messages
        return self._tokens([*others, {**last, "content": last["content"] + self._filler}]) - self._filler_tokens

    def fit(self, request: GenerationRequest) -> ChatMessages:
        """The messages that fit into the context window, without older turns if necessary.

        Raises ``ContextLengthError`` if the last turn alone is too long.
        """
        room = self.context_size - min(request.max_tokens, self.context_size // REPLY_SHARE)
        # A token has at least one byte, so most prompts need no counting.
        if self._template_tokens + sum(map(_max_tokens, request.messages)) <= room:
            return request.messages
        messages = newest_that_fit(request.messages, lambda messages: self.count(messages) <= room)
        if (tokens := self.count(messages)) >= self.context_size:
            raise ContextLengthError(self._too_long(tokens))
        return messages

    def _too_long(self, tokens: int) -> str:
        is_model_limit = self.context_size < self.config.context_size
        advice = "this model has no larger one" if is_model_limit else "or raise the setting context_size"
        return f"the prompt has {tokens} tokens, the context window {self.context_size}: shorten it, {advice}"

    def generate(self, job: ReplyJob) -> None:
        """Generate the reply, chunk by chunk, until it ends or is cancelled."""
        request = job.request
        messages = self.fit(request)
        if left_out := len(request.messages) - len(messages):
            job.put(Notice(LeftOut(left_out, f"the model sees {self.context_size} tokens")))
        reader = RuntimeEventReader(job)
        self._chat({"messages": messages, "max_tokens": request.max_tokens, **request.options}, reader.handle)
        if job.cancelled.is_set():
            return
        usage = reader.result()
        if reader.looped:
            job.put(Notice(REPETITION_NOTICE))
        if usage.finish_reason == "length":
            window_is_full = (usage.completion_tokens or 0) < request.max_tokens
            limit = f"context_size = {self.context_size}" if window_is_full else f"max_tokens = {request.max_tokens}"
            job.put(Notice(f"the reply was cut off at {limit}"))
        job.put(usage)


def _max_tokens(message: Mapping[str, str]) -> int:
    return len(message["content"].encode()) + MESSAGE_OVERHEAD


class Runner:
    """The thread that owns the runtime, and the queue of replies."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.jobs: queue.SimpleQueue[ReplyJob | None] = queue.SimpleQueue()
        self.current: ReplyJob | None = None
        self.closing = threading.Event()
        self.thread = threading.Thread(target=self._run, name="flowgpt_magic.local", daemon=True)
        self.thread.start()

    @property
    def alive(self) -> bool:
        """Is the thread running? After a fork the object exists but the thread does not."""
        return self.thread.is_alive() and not self.closing.is_set()

    def submit(self, job: ReplyJob) -> None:
        """Queue ``job``."""
        if self.current is not None or not self.jobs.empty():
            job.put(Progress("waits for another reply"))
        self.jobs.put(job)

    def _run(self) -> None:
        # Only this frame refers to the model: a forked process, which lacks the model's threads, never destroys it.
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
            self._fail_pending()

    def _serve(self, job: ReplyJob, loaded: list[LoadedModel]) -> None:
        if job.cancelled.is_set():
            return
        try:
            if not loaded or loaded[0].config != job.request.model:
                job.put(Progress("loads the model"))
                loaded.clear()  # first: there may be no room for two
                loaded.append(LoadedModel(job.request.model))
                job.put(Progress(""))
            if not job.cancelled.is_set():
                loaded[0].generate(job)
        except FlowGptError as error:
            job.put(error)
        job.put(None)

    def _fail_pending(self) -> None:
        """Fail all queued jobs when the thread ends."""
        pending = [self.current] if self.current else []
        while not self.jobs.empty():
            pending += [job for job in [self.jobs.get()] if job]
        for job in pending:
            job.put(ProviderError("the embedded model has ended; run the cell again"))

    def close(self) -> None:
        """Cancel the current reply and end the thread: a process that exits while the runtime computes is aborted."""
        if not self.alive:
            return
        self.closing.set()
        if current := self.current:
            current.cancelled.set()
        self.jobs.put(None)
        self.thread.join(RUNTIME_EXIT_TIMEOUT)


_runners: list[Runner] = []  # at most one that is alive: two would be two models in memory
_runner_lock = threading.Lock()


def runner() -> Runner:
    """The runner of this process, started on first use.

    Raises ``ProviderError`` in a process forked from one that had used the model: the runtime's threads are missing
    there, and releasing the model would wait for them for ever.
    """
    with _runner_lock:
        if _runners and _runners[-1].pid != os.getpid():
            raise ProviderError("the embedded model does not answer in a forked process; start it with 'spawn'")
        if not (_runners and _runners[-1].alive):
            _runners[:] = [Runner()]
        return _runners[-1]


@atexit.register
def close_runner() -> None:
    """Unload the model. The next reply loads it again."""
    while _runners:
        _runners.pop().close()

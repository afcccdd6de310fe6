"""Servers that die, refuse and push back, and that count what they were asked and what they answered."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from flowgpt_magic import map_prompts
from flowgpt_magic.batch.batch import Batch
from flowgpt_magic.bridge import Worker
from tests import anthropic_servers, openai_servers, responses_servers
from tests.openai_servers import END, STREAM
from tests.servers import Connection, framed, read_request, whole

SLOW_DOWN = {"error": {"message": "slow down", "code": "rate_limit_exceeded"}}


@dataclass(frozen=True)
class Refusal:
    """A status with headers; ``report`` is the JSON of its body."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    report: Any = field(default_factory=lambda: SLOW_DOWN)


@dataclass(frozen=True)
class Good:
    """A whole reply, after ``seconds``; with ``cut`` the connection ends in the middle of it."""

    seconds: float = 0.0
    headers: dict[str, str] = field(default_factory=dict)
    cut: bool = False


RESET = "reset"  # the connection is reset without an answer
Decision = Refusal | Good | str
Decide = Callable[[str, int], Decision]


@dataclass(frozen=True)
class Protocol:
    """How a server speaks: the events of a reply with this text, and the provider and settings that ask it.

    ``messages`` is the field of a request with the conversation.
    """

    reply: Callable[[str], bytes]
    provider: str
    address: str
    messages: str = "messages"
    api: str = ""

    def __repr__(self) -> str:
        return self.api or self.provider


OPENAI = Protocol(openai_servers.reply, "openai_compatible", "openai_base_url")
RESPONSES = Protocol(responses_servers.reply, "openai_compatible", "openai_base_url", "input", "responses")
CLAUDE = Protocol(anthropic_servers.reply, "anthropic", "anthropic_base_url")


class Hostile:
    """``decide`` says what becomes of each request, by its prompt and its number, from 1."""

    def __init__(self, decide: Decide, protocol: Protocol = OPENAI) -> None:
        self.decide, self.protocol = decide, protocol
        self.asked: Counter[str] = Counter()
        self.answered: Counter[str] = Counter()
        self.refused = 0
        self.arrivals: list[float] = []
        self.open = 0
        self.port = 0
        self._listener: socket.socket | None = None
        self._worker = Worker()
        self._tasks: set[asyncio.Task[Any]] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def listen(self) -> None:
        """Listen, again at the same port."""
        self._worker.submit(self._listen()).result(10)

    def die(self) -> None:
        """Stop listening, and reset every connection."""
        self._worker.submit(self._die()).result(10)

    def close(self) -> None:
        self.die()
        self._worker.close()

    async def _listen(self) -> None:
        # asyncio's server, and its sock_accept, may lose a connection that arrives while they stop, and never close it.
        self._listener = socket.socket()
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._listener.bind(("127.0.0.1", self.port))
        self._listener.listen(100)
        self._listener.setblocking(False)
        self.port = self._listener.getsockname()[1]
        asyncio.get_running_loop().add_reader(self._listener, self._accept, self._listener)

    def _start(self, coroutine: Any) -> None:
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _accept(self, listener: socket.socket) -> None:
        with suppress(BlockingIOError):  # the client has gone already
            accepted, _address = listener.accept()
            accepted.setblocking(False)
            self._start(self._serve(accepted))

    async def _die(self) -> None:
        if self._listener is not None:
            asyncio.get_running_loop().remove_reader(self._listener)
            self._listener.close()
            self._listener = None
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def _serve(self, accepted: socket.socket) -> None:
        connection = Connection(*await asyncio.open_connection(sock=accepted, limit=2**24))
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError):
                await self._answer(connection)
        except asyncio.CancelledError:
            connection.reset()
            raise
        finally:
            connection.writer.close()

    async def _answer(self, connection: Connection) -> None:
        request = await read_request(connection.reader)
        prompt = request.json[self.protocol.messages][-1]["content"]
        self.asked[prompt] += 1
        self.arrivals.append(time.monotonic())
        decision = self.decide(prompt, len(self.arrivals))
        if isinstance(decision, Refusal):
            self.refused += 1
            body = json.dumps(decision.report).encode()
            await connection.send(whole(body, decision.status, Content_Type="application/json", **_named(decision)))
        elif isinstance(decision, Good):
            self.open += 1
            try:
                await asyncio.sleep(decision.seconds)
                await self._reply(prompt, decision, connection)
            finally:
                self.open -= 1
        else:
            connection.reset()

    async def _reply(self, prompt: str, decision: Good, connection: Connection) -> None:
        start = STREAM[:-2] + b"".join(f"{name}: {value}\r\n".encode() for name, value in decision.headers.items())
        events = self.protocol.reply(f"answer to {prompt}")
        if decision.cut:
            await connection.send(start + b"\r\n", framed(events[: len(events) // 2]))
            connection.reset()
            return
        await connection.send(start + b"\r\n")
        # Counted in the same step in which it is sent: a client may have read it before this task goes on.
        self.answered[prompt] += 1
        await connection.send(framed(events) + END)


def _named(decision: Refusal) -> dict[str, str]:
    return {name.replace("-", "_"): value for name, value in decision.headers.items()}


@contextmanager
def hostile(decide: Decide, protocol: Protocol = OPENAI) -> Iterator[Hostile]:
    """A server that does as it is told while the context lasts."""
    server = Hostile(decide, protocol)
    server.listen()
    try:
        yield server
    finally:
        server.close()


def words(count: int) -> list[str]:
    """So many prompts."""
    return [f"prompt number {number}" for number in range(count)]


def batch_at(server: Hostile, prompts: Any, **how: Any) -> Batch:
    """A batch that asks this server."""
    given = {"progress": False, server.protocol.address: server.url, **how}
    if server.protocol.api:
        given["openai_api"] = server.protocol.api
    return map_prompts(prompts, model=f"{server.protocol.provider}:m", **given)

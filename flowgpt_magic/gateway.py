"""A server that speaks the FlowGPT v3 protocol in front of any provider.

One machine has the model or the key, and ``FlowGpt`` asks it from everywhere else. ``python -m flowgpt_magic.gateway``
runs one until it is interrupted, ``start`` runs one beside a notebook, ``running`` one inside an async program.

Clients name the models of the protocol, which few providers have. So the model a gateway is started with answers
every request, whatever it names. Started with a provider alone (``echo``, not ``echo:words``), it also lets clients
choose among that provider's listed models.

Listening on loopback, a gateway answers this machine only; anywhere else it must be given a token. A web page gets
nothing from it: there are no CORS headers, and a foreign ``Host`` is refused.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from flowgpt_magic import aliases, bridge
from flowgpt_magic.errors import (
    ContextLengthError,
    FlowGptError,
    NotInstalledError,
    PromptError,
    ProviderError,
    ProviderTimeoutError,
    RateLimitError,
    SettingError,
)
from flowgpt_magic.gateway_requests import (
    Doorkeeper,
    Question,
    RefusedError,
    choose_model,
    is_loopback,
    read_question,
)
from flowgpt_magic.messages import notices_to
from flowgpt_magic.models import find_model
from flowgpt_magic.providers.flowgpt import PATH
from flowgpt_magic.providers.http import check_token
from flowgpt_magic.settings import load

logger = logging.getLogger(__name__)

TOKEN_VARIABLE = "FLOWGPT_GATEWAY_TOKEN"  # noqa: S105 - the name of a variable
PORT = 8765
RETRY_AFTER = 5  # seconds; how long replies take is not known
HEARTBEAT = 10.0  # seconds without a chunk after which an empty line, which clients skip, shows that we are there
WRITE_TIMEOUT = 60.0  # seconds for a client to read what it asked for
STOPPING = "the gateway stops"
GRACE = 5.0  # seconds for the replies in flight when the gateway stops
CANNOT_BLOCK = 2**14  # bytes that a connection takes at once
CLIENT_GONE = 499  # what the log shows for a reply nobody waited for


@dataclass(frozen=True)
class Options:
    """How a gateway is run.

    ``concurrency`` replies are made at a time, ``queue`` more requests wait; beyond that the answer is 429.
    ``max_body`` is in bytes, ``grace`` in seconds.
    """

    model: str = ""
    host: str = "127.0.0.1"
    port: int = PORT
    token: str = field(default="", repr=False)
    concurrency: int = 4
    queue: int = 32
    max_body: int = 4 * 2**20
    grace: float = GRACE

    def check(self) -> None:
        """Raises ``SettingError`` for what cannot be run, or must not be."""
        check_token(self.token, "the gateway's token")
        if not self.token and not is_loopback(self.host):
            raise SettingError(
                f"listening on {self.host} lets others in, so the gateway needs a token: set {TOKEN_VARIABLE}"
            )
        if not 0 <= self.port <= 65535:
            raise SettingError(f"port {self.port} is not from 0 to 65535")
        if self.concurrency < 1 or self.queue < 0 or self.max_body < 1:
            raise SettingError("concurrency and max_body must be at least 1, queue at least 0")


class Outlet:
    """The lines that go to one client. The HTTP status goes out with the first of them."""

    def __init__(self, request: web.Request) -> None:
        self._request = request
        self._lock = asyncio.Lock()
        self.response = web.StreamResponse(
            headers={
                "Content-Type": "text/event-stream",
                "Cache-Control": "no-store",
                "X-Accel-Buffering": "no",  # a reverse proxy must not collect chunks
            }
        )
        self.model = "-"  # nobody yet
        self.chunks = 0
        self.lines = 0
        self.lost = False  # is the client gone, or as good as gone?
        self.status = 200  # how it ended, whatever the status that went out first

    @property
    def begun(self) -> bool:
        """Has anything gone out? Then the status has, too."""
        return self.response.prepared

    def say_who_answers(self, model: str) -> None:
        """Let client and log see ``provider:model``."""
        self.model = model
        self.response.headers["X-FlowGPT-Model"] = model

    async def send(self, event: dict[str, Any] | None) -> None:
        """Send one event, or with None an empty line; raises ``ConnectionError`` when the client is gone."""
        line = json.dumps(event).encode() + b"\n" if event is not None else b"\n"
        async with self._lock:
            await self._in_time(self._write(line), len(line))
        self.lines += 1

    async def finish(self) -> None:
        """The reply is complete, or as complete as it will be."""
        with suppress(ConnectionError):
            await self._in_time(self.response.write_eof(), 0)

    async def _write(self, line: bytes) -> None:
        await self.response.prepare(self._request)
        await self.response.write(line)

    async def _in_time(self, writing: Coroutine[Any, Any, None], size: int) -> None:
        transport = self._request.transport
        try:
            if transport is not None and transport.get_write_buffer_size() + size < CANNOT_BLOCK:
                await writing
            else:
                await asyncio.wait_for(writing, WRITE_TIMEOUT)
        except ConnectionError:
            self.lost = True
            raise
        except asyncio.TimeoutError:
            self.lost = True
            if transport is not None:
                transport.abort()
            raise ConnectionError("the client does not read its reply") from None

    async def send_chunk(self, chunk: str) -> None:
        await self.send({"event": "text", "data": chunk})
        self.chunks += 1


class Gateway:
    """One server. ``url`` is what clients set as their base URL."""

    def __init__(self, options: Options) -> None:
        options.check()
        self.options = options
        chosen = aliases.apply(load({"model": options.model or None}))
        self.target = find_model(chosen.model)
        names = [name for name in self.target.provider_class.settings if name in chosen.sources]
        self._settings = {name: getattr(chosen, name) for name in names}
        self._doorkeeper = Doorkeeper(options.host, options.token)
        self._seats = asyncio.Semaphore(options.concurrency)
        self._present = 0  # requests that are answered or wait for it
        self._replies: set[asyncio.Task[None]] = set()
        self._runner: web.AppRunner | None = None
        self._port = 0
        self._closing = False

    @property
    def url(self) -> str:
        """The base URL: scheme, host and port."""
        host = self.options.host
        if host in ("0.0.0.0", "::", ""):  # noqa: S104 - every address of this machine; clients need one
            host = socket.gethostname()
        return f"http://[{host}]:{self._port}" if ":" in host else f"http://{host}:{self._port}"

    async def open(self) -> None:
        """Begin to listen; raises ``SettingError`` where that address cannot be listened on."""
        app = web.Application(client_max_size=self.options.max_body)
        app.router.add_route("*", "/{anything:.*}", self._handle)
        self._runner = web.AppRunner(app, handler_cancellation=True, access_log=None, shutdown_timeout=1.0)
        await self._runner.setup()
        # The name may stand for several addresses, which would get a port each.
        host = "127.0.0.1" if self.options.host == "localhost" else self.options.host
        try:
            await web.TCPSite(self._runner, host, self.options.port).start()
        except OSError as error:
            await self._runner.cleanup()
            raise SettingError(f"cannot listen on {host} port {self.options.port}: {_reason(error)}") from None
        self._port = self._runner.addresses[0][1]

    async def close(self) -> None:
        """Stop listening, give the replies in flight their grace, and cut off those that need longer."""
        if self._runner is None:
            return
        self._closing = True
        for site in list(self._runner.sites):
            await site.stop()
        if self._replies:
            await asyncio.wait(self._replies, timeout=self.options.grace)
        for reply in self._replies:
            reply.cancel()
        await self._runner.cleanup()
        self._runner = None

    def stop(self) -> None:
        """Close a gateway that ``start`` started."""
        bridge.run(self.close())

    def __enter__(self) -> Gateway:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        """Answer one request, refusals in the shape of the protocol, and log it."""
        begun = asyncio.get_running_loop().time()
        outlet = Outlet(request)
        status = CLIENT_GONE
        try:
            await self._answer(request, outlet)
            status = outlet.status
            return outlet.response
        except RefusedError as refused:
            status = refused.status
            return _refusal(status, str(refused), refused.headers)
        except web.HTTPException as refused:
            status = refused.status
            return _refusal(status, refused.reason, {})
        finally:
            seconds = asyncio.get_running_loop().time() - begun
            status = CLIENT_GONE if outlet.lost else status
            logger.info("%d %s %d chunks %.2f s", status, outlet.model, outlet.chunks, seconds)

    async def _answer(self, request: web.Request, outlet: Outlet) -> None:
        if request.path != PATH:
            raise RefusedError(404, f"there is nothing here but {PATH}")
        if request.method != "POST":
            raise RefusedError(405, "only POST is answered", {"Allow": "POST"})
        if self._closing:
            raise RefusedError(503, STOPPING)
        self._doorkeeper.check(request)
        async with self._place():
            question = await read_question(request)
            model = self._model(question)
            outlet.say_who_answers(f"{self.target.provider}:{model}")
            await self._reply(question, model, outlet)

    def _model(self, question: Question) -> str:
        """The provider's model that answers; only listed ones can be chosen, for others may be paths of files."""
        provider_class = self.target.provider_class
        if self.options.model.strip() != self.target.provider:
            return self.target.model
        choices = [*provider_class.get_models(), *provider_class.model_aliases]
        return provider_class.get_model(choose_model(question.model, self.target.model, choices))

    @asynccontextmanager
    async def _place(self) -> AsyncIterator[None]:
        if self._present >= self.options.concurrency + self.options.queue:
            raise RefusedError(429, "too many requests at once", {"Retry-After": str(RETRY_AFTER)})
        self._present += 1
        try:
            yield
        finally:
            self._present -= 1

    async def _reply(self, question: Question, model: str, outlet: Outlet) -> None:
        """Send the reply to its end, and whatever becomes of it; cancelled when the client goes away."""
        reply = asyncio.create_task(self._send_chunks(question, model, outlet))
        self._replies.add(reply)
        try:
            await self._wait(reply, outlet)
        finally:
            reply.cancel()
            await asyncio.wait({reply})
            self._replies.discard(reply)
            failure = RefusedError(503, STOPPING) if reply.cancelled() else reply.exception()
        with suppress(ConnectionError):
            await self._end(failure, outlet)

    async def _wait(self, reply: asyncio.Task[None], outlet: Outlet) -> None:
        """Until the reply has ended; an empty line goes out where nothing else does."""
        lines = -1
        while not outlet.lost and not (await asyncio.wait({reply}, timeout=HEARTBEAT))[0]:
            if outlet.lines == lines or not outlet.begun:
                with suppress(ConnectionError):
                    await outlet.send(None)
            lines = outlet.lines

    async def _end(self, failure: BaseException | None, outlet: Outlet) -> None:
        """Say how it ended: with a status where none has gone out, else with a line of the stream."""
        if outlet.lost:
            return
        if failure is not None:
            refused = as_refusal(failure)
            if not outlet.begun:
                raise refused
            outlet.status = refused.status
            await outlet.send({"event": "error", "statusCode": refused.status, "message": str(refused)})
        elif not outlet.begun:
            await outlet.send(None)
        await outlet.finish()

    async def _send_chunks(self, question: Question, model: str, outlet: Outlet) -> None:
        options = dict(self._settings)
        if question.temperature is not None:
            options["temperature"] = question.temperature
        async with AsyncExitStack() as stack:
            stack.enter_context(notices_to(logger.warning))  # the protocol has no place for them
            await stack.enter_async_context(self._seats)
            source = self.target.provider_class.create_async_generator(model, question.messages, **options)
            chunks = await stack.enter_async_context(aclosing(source))
            async for chunk in chunks:
                if isinstance(chunk, str):
                    await outlet.send_chunk(chunk)


def as_refusal(failure: BaseException) -> RefusedError:
    """The status and the text for what a provider raised; only our own errors are known to be fit to be told."""
    if isinstance(failure, RefusedError):
        return failure
    if not isinstance(failure, FlowGptError):
        logger.error("the provider raised %s", type(failure).__name__)
        return RefusedError(500, "the provider failed")
    if isinstance(failure, RateLimitError):
        return RefusedError(429, str(failure), {"Retry-After": f"{failure.retry_after or RETRY_AFTER:.0f}"})
    by_kind: list[tuple[type[FlowGptError], int]] = [
        (PromptError, 400),
        (ContextLengthError, 400),
        (ProviderTimeoutError, 504),
        (ProviderError, 502),
        (NotInstalledError, 503),
    ]
    status = next((status for kind, status in by_kind if isinstance(failure, kind)), 500)
    return RefusedError(status, str(failure))


def _refusal(status: int, text: str, headers: Mapping[str, str]) -> web.Response:
    # What is left of a body nobody read would be taken for the next request.
    headers = {**headers, "Connection": "close"}
    return web.json_response({"statusCode": status, "message": text}, status=status, headers=headers)


def _reason(error: OSError) -> str:
    if isinstance(error, socket.gaierror):
        return "there is no such host"
    reason = os.strerror(error.errno) if error.errno else str(error)
    return f"{reason}; choose another port, or 0 for a free one"


@asynccontextmanager
async def running(model: str = "", **options: Any) -> AsyncIterator[Gateway]:
    """A gateway in front of ``model`` while the context lasts; ``options`` are the fields of ``Options``."""
    server = Gateway(Options(model, **options))
    await server.open()
    try:
        yield server
    finally:
        await server.close()


def start(model: str = "", **options: Any) -> Gateway:
    """A gateway that runs beside synchronous code until its ``stop`` is called, or the ``with`` block ends.

    ``options`` are the fields of ``Options``.
    """

    async def open_gateway() -> Gateway:
        server = Gateway(Options(model, **options))
        await server.open()
        return server

    return bridge.run(open_gateway())


async def serve(options: Options) -> None:
    """Run a gateway until SIGINT or SIGTERM."""
    server = Gateway(options)
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        # Windows has no such handlers; there Ctrl-C cancels this coroutine.
        with suppress(NotImplementedError):
            asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    await server.open()
    try:
        sys.stdout.write(f"FLOWGPT_BASE_URL={server.url}\n")
        sys.stdout.flush()
        await stopped.wait()
    finally:
        await server.close()


def read_options(words: Sequence[str]) -> Options:
    """The options on the command line; the token is better kept in the environment, where others do not see it."""
    default = Options()
    parser = argparse.ArgumentParser(prog="python -m flowgpt_magic.gateway", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--model", default="", help="who answers: provider:model or a provider; else the default")
    parser.add_argument("--host", default=default.host, help="address to listen on (%(default)s)")
    parser.add_argument("--port", type=int, default=default.port, help="0 takes a free one (%(default)s)")
    parser.add_argument("--token", default=os.environ.get(TOKEN_VARIABLE, ""), help=f"better set {TOKEN_VARIABLE}")
    parser.add_argument("--concurrency", type=int, default=default.concurrency, help="replies at a time (%(default)s)")
    parser.add_argument("--queue", type=int, default=default.queue, help="requests that may wait (%(default)s)")
    parser.add_argument("--max-body", type=int, default=default.max_body, help="bytes of a request (%(default)s)")
    found = parser.parse_args(words)
    return Options(**vars(found))


def main(words: Sequence[str] | None = None) -> int:
    """The program: returns its exit status."""
    options = read_options(sys.argv[1:] if words is None else words)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    try:
        asyncio.run(serve(options))
    except FlowGptError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())

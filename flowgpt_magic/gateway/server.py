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

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, aclosing, asynccontextmanager, suppress
from typing import Any

from aiohttp import web

from flowgpt_magic import bridge
from flowgpt_magic.errors import (
    ContextLengthError,
    FlowGptError,
    NotInstalledError,
    PromptError,
    ProviderError,
    ProviderStatusError,
    ProviderTimeoutError,
    QuotaError,
    RateLimitError,
    SettingError,
)
from flowgpt_magic.gateway.connections import (
    SERVER,
    Connection,
    Connections,
    Listener,
    TurnedAway,
    owner_of,
    refusal,
)
from flowgpt_magic.gateway.log import RepeatedWarning, log_request, logger
from flowgpt_magic.gateway.options import HEALTH, Options
from flowgpt_magic.gateway.queue import FIRST_WAIT, Queue, wait_headers
from flowgpt_magic.gateway.requests import (
    Doorkeeper,
    Question,
    RefusedError,
    choose_model,
    read_question,
)
from flowgpt_magic.gateway.response import Outlet
from flowgpt_magic.messages import notices_to
from flowgpt_magic.providers import aliases
from flowgpt_magic.providers.flowgpt import PATH, TEMPERATURE
from flowgpt_magic.providers.models import find_model, with_implied_model
from flowgpt_magic.redaction import redact_environment
from flowgpt_magic.settings import load

__all__ = ["Gateway", "Options", "running", "start"]

HEARTBEAT = 10.0  # seconds without a chunk after which an empty line, which clients skip, shows that we are there
STOPPING = "the gateway stops"
CLIENT_GONE = 499  # what the log shows for a reply nobody waited for
BODY_LINGER = 5.0  # seconds to read and drop the rest of a refused body, so that its client can read why
CUT_OFF = 1.0  # seconds for the connections to close when the gateway has stopped


class Gateway:
    """One server. ``url`` is what clients set as their base URL."""

    def __init__(self, options: Options) -> None:
        options.check()
        self.options = options
        chosen = aliases.apply(with_implied_model(load({"model": options.model or None})))
        self.target = find_model(chosen.model)
        names = [name for name in self.target.provider_class.settings if name in chosen.sources]
        self._settings = {name: getattr(chosen, name) for name in names}
        self._doorkeeper = Doorkeeper(options.host, options.token)
        self._queue = Queue(options.concurrency, options.queue)
        self._replies: set[asyncio.Task[None]] = set()
        self._server: web.Server | None = None
        self._connections = Connections(options.limits)
        self._listener = Listener(self._connections, self._connect)
        self._crowded = RepeatedWarning()
        self._closing = False

    @property
    def url(self) -> str:
        """The base URL: scheme, host and port."""
        host = self.options.host
        if host in ("0.0.0.0", "::", ""):  # noqa: S104 - every address of this machine; clients need one
            host = socket.gethostname()
        return f"http://[{host}]:{self._listener.port}" if ":" in host else f"http://{host}:{self._listener.port}"

    async def open(self) -> None:
        """Begin to listen; raises ``SettingError`` where that address cannot be listened on."""
        self._server = web.Server(self._handle, handler_cancellation=True)
        # The name may stand for several addresses.
        host = "127.0.0.1" if self.options.host == "localhost" else self.options.host
        try:
            await self._listener.open(host, self.options.port)
        except OSError as error:
            raise SettingError(f"cannot listen on {host} port {self.options.port}: {_reason(error)}.") from None

    async def close(self) -> None:
        """Stop listening, give the replies in flight their grace, and cut off those that need longer."""
        if self._server is None:
            return
        self._closing = True
        await self._listener.close()
        if self._replies:
            await asyncio.wait(self._replies, timeout=self.options.grace)
        for reply in self._replies:
            reply.cancel()
        self._server.pre_shutdown()
        await self._server.shutdown(CUT_OFF)
        self._server = None

    def stop(self) -> None:
        """Close a gateway that ``start`` started."""
        bridge.run(self.close())

    def __enter__(self) -> Gateway:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _connect(self, address: str) -> asyncio.Protocol:
        """What serves a new connection from ``address``."""
        owner = owner_of(address)
        if self._server is None or not self._connections.make_room(owner):
            self._crowded.log("there are too many connections, and all of them wait for a reply")
            return TurnedAway(wait_headers(self._queue.next_wait())["Retry-After"])
        idle = self.options.idle_timeout + self.options.head_timeout  # the library's own limit must not be the first
        return Connection(
            self._server,
            owner,
            self._connections,
            access_log=None,
            keepalive_timeout=idle,
            lingering_time=BODY_LINGER,
        )

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request, refusals in the shape of the protocol, and log it."""
        connection = request.protocol
        assert isinstance(connection, Connection)  # noqa: S101 - for the type checker
        connection.head_arrived()
        last = True
        try:
            if request.path == HEALTH:
                response: web.StreamResponse = self._health(request)
            else:
                response = await self._answer_and_log(request, connection)
            last = response.status >= 400
            return response
        finally:
            connection.request_ended(last=last)

    def _health(self, request: web.BaseRequest) -> web.Response:
        """Whether the gateway takes requests; nothing is logged."""
        try:
            self._doorkeeper.check_host(request)
            if request.method not in ("GET", "HEAD"):
                raise RefusedError(405, "only GET and HEAD are answered", {"Allow": "GET, HEAD"})
        except RefusedError as refused:
            return refusal(refused.status, str(refused), refused.headers)
        headers = {"Cache-Control": "no-store", **SERVER}
        if self._closing:
            return web.json_response({"status": "stopping"}, status=503, headers=headers)
        return web.json_response({"status": "ok"}, headers=headers)

    async def _answer_and_log(self, request: web.BaseRequest, connection: Connection) -> web.StreamResponse:
        begun = asyncio.get_running_loop().time()
        outlet = Outlet(request)
        status = CLIENT_GONE
        try:
            await self._answer(request, connection, outlet)
            status = outlet.status
            return outlet.response
        except RefusedError as refused:
            status = refused.status
            return refusal(status, str(refused), refused.headers)
        finally:
            seconds = asyncio.get_running_loop().time() - begun
            log_request(CLIENT_GONE if outlet.lost else status, outlet.model, outlet.chunks, seconds)

    async def _answer(self, request: web.BaseRequest, connection: Connection, outlet: Outlet) -> None:
        if request.path != PATH:
            raise RefusedError(404, f"there is nothing here but {PATH} and {HEALTH}")
        if request.method != "POST":
            raise RefusedError(405, "only POST is answered", {"Allow": "POST"})
        if self._closing:
            raise RefusedError(503, STOPPING)
        self._doorkeeper.check(request)
        self._queue.check_room()
        question = await read_question(request, self.options.max_body)
        connection.request_arrived()
        with self._queue.place():  # not before, or a body that does not come would hold one
            model = self._model(question)
            outlet.say_who_answers(redact_environment(f"{self.target.provider}:{model}"))
            await self._reply(question, model, outlet)

    def _model(self, question: Question) -> str:
        """The provider's model that answers; only listed ones can be chosen, for others may be paths of files."""
        provider_class = self.target.provider_class
        if self.options.model.strip() != self.target.provider:
            return self.target.model
        choices = [*provider_class.get_models(), *provider_class.model_aliases]
        return provider_class.get_model(choose_model(question.model, self.target.model, choices))

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
            refused = as_refusal(failure, self._queue.next_wait)
            if not outlet.begun:
                raise refused
            outlet.status = refused.status
            event = {"event": "error", "statusCode": refused.status, "message": str(refused)}
            if wait := refused.headers.get("retry-after-ms"):
                event["retryAfterMs"] = int(wait)  # there are no headers any more
            await outlet.send(event)
        elif not outlet.begun:
            await outlet.send(None)
        await outlet.finish()

    async def _send_chunks(self, question: Question, model: str, outlet: Outlet) -> None:
        options = dict(self._settings)
        own = getattr(self.target.provider_class, "own_temperature", False)
        not_given = (None, TEMPERATURE) if own else (None,)
        if question.temperature not in not_given:
            options["temperature"] = question.temperature
        async with AsyncExitStack() as stack:
            stack.enter_context(notices_to(_log_notice))  # the protocol has no place for them
            await stack.enter_async_context(self._queue.seat())
            source = self.target.provider_class.create_async_generator(model, question.messages, **options)
            chunks = await stack.enter_async_context(aclosing(source))
            async for chunk in chunks:
                if isinstance(chunk, str):
                    await outlet.send_chunk(chunk)


def _log_notice(text: str) -> None:
    logger.warning("%s", redact_environment(text))


def as_refusal(failure: BaseException, next_wait: Callable[[], float]) -> RefusedError:
    """The status and the text for what a provider raised; only our own errors are known to be fit to be told.

    A wait that the provider asks for is passed on. Where it sets a limit without one, ``next_wait`` tells the seconds.
    """
    if isinstance(failure, RefusedError):
        return failure
    if not isinstance(failure, FlowGptError):
        logger.error("the provider raised %s", type(failure).__name__)
        return RefusedError(500, "the provider failed")
    by_kind: list[tuple[type[FlowGptError], int]] = [
        (QuotaError, 402),  # waiting does not help
        (RateLimitError, 429),
        (PromptError, 400),
        (ContextLengthError, 400),
        (ProviderTimeoutError, 504),
        (ProviderError, 502),
        (NotInstalledError, 503),
    ]
    status = next((status for kind, status in by_kind if isinstance(failure, kind)), 500)
    wait = None
    if isinstance(failure, ProviderStatusError):
        status = 503 if failure.status == 503 else status
        wait = failure.retry_after
    if status == 429 and wait is None:
        wait = max(FIRST_WAIT, next_wait())
    return RefusedError(status, redact_environment(str(failure)), {} if wait is None else wait_headers(wait))


def _reason(error: OSError) -> str:
    if isinstance(error, socket.gaierror):
        return "there is no such host"
    reason = os.strerror(error.errno) if error.errno else str(error)
    return f"{reason}; choose another port, or 0 for a free one"


@asynccontextmanager
async def running(model: str = "", **options: Any) -> AsyncIterator[Gateway]:
    """A gateway in front of ``model`` while the context lasts.

    ``options`` are the fields of ``Options``, by name. Raises ``SettingError`` for options that cannot be used or an
    address that cannot be listened on, ``ProviderNotFoundError`` and ``ModelNotSupportedError`` for a model that is
    not known.
    """
    server = Gateway(Options.given(model, **options))
    await server.open()
    try:
        yield server
    finally:
        await server.close()


def start(model: str = "", **options: Any) -> Gateway:
    """A gateway in front of ``model`` that runs beside synchronous code, such as the cells of a notebook.

    It runs until its ``stop`` is called, or the ``with`` block ends. ``options`` are the fields of ``Options``, by
    name. Raises the errors of ``running``.
    """

    async def open_gateway() -> Gateway:
        server = Gateway(Options.given(model, **options))
        await server.open()
        return server

    return bridge.run(open_gateway())

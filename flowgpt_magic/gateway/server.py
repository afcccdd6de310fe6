"""A server that speaks the FlowGPT v3 protocol in front of any provider.

One machine has the model or the key; ``FlowGpt`` sends requests to it from other machines. ``start`` runs a gateway
beside a notebook, ``running`` inside an async program, ``python -m flowgpt_magic.gateway`` until it is interrupted.

Clients name models of the FlowGPT protocol, which few providers have. So every request is answered by the model that
the gateway was started with. If it was started with a provider alone (``echo``, not ``echo:words``), clients can also
choose one of the provider's listed models.

On loopback a gateway answers this machine only; on any other host it requires a token. Web pages cannot use it: it
sends no CORS headers and refuses a foreign ``Host``.
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
    SERVER_HEADER,
    Connection,
    ConnectionListener,
    Connections,
    RejectedConnection,
    client_of,
    error_response,
)
from flowgpt_magic.gateway.log import ThrottledWarning, log_request, logger
from flowgpt_magic.gateway.options import HEALTH_PATH, Options
from flowgpt_magic.gateway.queue import INITIAL_WAIT, RequestQueue, wait_headers
from flowgpt_magic.gateway.requests import (
    Authenticator,
    ChatRequest,
    StatusError,
    choose_model,
    read_chat_request,
)
from flowgpt_magic.gateway.response import ReplyStream
from flowgpt_magic.messages import is_text, notices_to
from flowgpt_magic.providers import aliases
from flowgpt_magic.providers.flowgpt import PATH, TEMPERATURE
from flowgpt_magic.providers.models import find_model, with_implied_model
from flowgpt_magic.redaction import redact_environment
from flowgpt_magic.replies.think_tags import split_think_tags
from flowgpt_magic.settings import load

HEARTBEAT = 10.0  # seconds without a chunk after which an empty line, which clients skip, keeps the connection alive
STOPPING = "the gateway is stopping"
CLIENT_DISCONNECTED = 499  # in the log only
BODY_LINGER = 5.0  # seconds to discard the rest of a refused body, so that the client can read the response
SHUTDOWN_TIMEOUT = 1.0  # seconds for the connections to close after the grace


class Gateway:
    """A server; ``url`` is the base URL for its clients."""

    def __init__(self, options: Options) -> None:
        options.check()
        self.options = options
        chosen = aliases.apply(with_implied_model(load({"model": options.model or None})))
        self.target = find_model(chosen.model)
        names = [name for name in self.target.provider_class.settings if name in chosen.sources]
        self._settings = {name: getattr(chosen, name) for name in names}
        self._splits_tags = chosen.think_tags
        self._authenticator = Authenticator(options.host, options.token)
        self._queue = RequestQueue(options.concurrency, options.queue)
        self._replies: set[asyncio.Task[None]] = set()
        self._server: web.Server | None = None
        self._connections = Connections(options.limits)
        self._listener = ConnectionListener(self._connections, self._connect)
        self._overload_warning = ThrottledWarning()
        self._closing = False

    @property
    def url(self) -> str:
        """The base URL: scheme, host and port."""
        host = self.options.host
        if host in ("0.0.0.0", "::", ""):  # noqa: S104 - clients need one address of this machine
            host = socket.gethostname()
        return f"http://[{host}]:{self._listener.port}" if ":" in host else f"http://{host}:{self._listener.port}"

    async def open(self) -> None:
        """Start listening; raises ``SettingError`` if the address cannot be used."""
        self._server = web.Server(self._handle, handler_cancellation=True)
        # The name may have several addresses.
        host = "127.0.0.1" if self.options.host == "localhost" else self.options.host
        try:
            await self._listener.open(host, self.options.port)
        except OSError as error:
            raise SettingError(f"cannot listen on {host} port {self.options.port}: {_reason(error)}.") from None

    async def close(self) -> None:
        """Stop listening, let the replies in flight finish within the grace, and end those that take longer."""
        if self._server is None:
            return
        self._closing = True
        await self._listener.close()
        if self._replies:
            await asyncio.wait(self._replies, timeout=self.options.grace)
        for reply in self._replies:
            reply.cancel()
        self._server.pre_shutdown()
        await self._server.shutdown(SHUTDOWN_TIMEOUT)
        self._server = None

    def stop(self) -> None:
        """Close a gateway that ``start`` returned."""
        bridge.run(self.close())

    def __enter__(self) -> Gateway:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _connect(self, address: str) -> asyncio.Protocol:
        """The protocol for a new connection from ``address``."""
        client = client_of(address)
        if self._server is None or not self._connections.make_room(client):
            self._overload_warning.log("too many connections; all of them wait for a reply")
            return RejectedConnection(wait_headers(self._queue.next_wait())["Retry-After"])
        idle = self.options.idle_timeout + self.options.head_timeout  # aiohttp must not time out first
        return Connection(
            self._server,
            client,
            self._connections,
            access_log=None,
            keepalive_timeout=idle,
            lingering_time=BODY_LINGER,
        )

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer a request; errors in the format of the protocol."""
        connection = request.protocol
        assert isinstance(connection, Connection)  # noqa: S101 - for the type checker
        connection.head_arrived()
        last = True
        try:
            if request.path == HEALTH_PATH:
                response: web.StreamResponse = self._health(request)
            else:
                response = await self._answer_and_log(request, connection)
            last = response.status >= 400
            return response
        finally:
            connection.request_ended(last=last)

    def _health(self, request: web.BaseRequest) -> web.Response:
        """Whether the gateway accepts requests; not logged."""
        try:
            self._authenticator.check_host(request)
            if request.method not in ("GET", "HEAD"):
                raise StatusError(405, "only GET and HEAD are supported", {"Allow": "GET, HEAD"})
        except StatusError as error:
            return error_response(error.status, str(error), error.headers)
        headers = {"Cache-Control": "no-store", **SERVER_HEADER}
        if self._closing:
            return web.json_response({"status": "stopping"}, status=503, headers=headers)
        return web.json_response({"status": "ok"}, headers=headers)

    async def _answer_and_log(self, request: web.BaseRequest, connection: Connection) -> web.StreamResponse:
        started = asyncio.get_running_loop().time()
        stream = ReplyStream(request)
        status = CLIENT_DISCONNECTED
        try:
            await self._answer(request, connection, stream)
            status = stream.status
            return stream.response
        except StatusError as error:
            status = error.status
            return error_response(status, str(error), error.headers)
        finally:
            seconds = asyncio.get_running_loop().time() - started
            log_request(CLIENT_DISCONNECTED if stream.disconnected else status, stream.model, stream.chunks, seconds)

    async def _answer(self, request: web.BaseRequest, connection: Connection, stream: ReplyStream) -> None:
        if request.path != PATH:
            raise StatusError(404, f"the only paths are {PATH} and {HEALTH_PATH}")
        if request.method != "POST":
            raise StatusError(405, "only POST is supported", {"Allow": "POST"})
        if self._closing:
            raise StatusError(503, STOPPING)
        self._authenticator.check(request)
        self._queue.check_capacity()
        chat_request = await read_chat_request(request, self.options.max_body)
        connection.request_arrived()
        with self._queue.admit():  # only now: a body that never arrives must not hold a place
            model = self._model(chat_request)
            stream.set_model(redact_environment(f"{self.target.provider}:{model}"))
            await self._reply(chat_request, model, stream)

    def _model(self, chat_request: ChatRequest) -> str:
        """The model that answers. Clients can choose listed models only, because other names may be file paths."""
        provider_class = self.target.provider_class
        if self.options.model.strip() != self.target.provider:
            return self.target.model
        choices = [*provider_class.get_models(), *provider_class.model_aliases]
        return provider_class.get_model(choose_model(chat_request.model, self.target.model, choices))

    async def _reply(self, chat_request: ChatRequest, model: str, stream: ReplyStream) -> None:
        """Send the reply and how it ended; cancelled when the client disconnects."""
        reply = asyncio.create_task(self._send_chunks(chat_request, model, stream))
        self._replies.add(reply)
        try:
            await self._wait(reply, stream)
        finally:
            reply.cancel()
            await asyncio.wait({reply})
            self._replies.discard(reply)
            failure = StatusError(503, STOPPING) if reply.cancelled() else reply.exception()
        with suppress(ConnectionError):
            await self._end(failure, stream)

    async def _wait(self, reply: asyncio.Task[None], stream: ReplyStream) -> None:
        """Wait for the end of the reply; send an empty line every ``HEARTBEAT`` seconds without a chunk."""
        lines = -1
        while not stream.disconnected and not (await asyncio.wait({reply}, timeout=HEARTBEAT))[0]:
            if stream.lines == lines or not stream.started:
                with suppress(ConnectionError):
                    await stream.send(None)
            lines = stream.lines

    async def _end(self, failure: BaseException | None, stream: ReplyStream) -> None:
        """Report a failure: as the HTTP status if none has been sent, else as an event; then end the response."""
        if stream.disconnected:
            return
        if failure is not None:
            error = as_status_error(failure, self._queue.next_wait)
            if not stream.started:
                raise error
            stream.status = error.status
            event = {"event": "error", "statusCode": error.status, "message": str(error)}
            if wait := error.headers.get("retry-after-ms"):
                event["retryAfterMs"] = int(wait)  # the headers have been sent
            await stream.send(event)
        elif not stream.started:
            await stream.send(None)
        await stream.finish()

    async def _send_chunks(self, chat_request: ChatRequest, model: str, stream: ReplyStream) -> None:
        options = dict(self._settings)
        # The protocol's clients always send a temperature; its default must not override a provider's own.
        own = getattr(self.target.provider_class, "own_temperature", False)
        unset = (None, TEMPERATURE) if own else (None,)
        if chat_request.temperature not in unset:
            options["temperature"] = chat_request.temperature
        async with AsyncExitStack() as stack:
            stack.enter_context(notices_to(_log_notice))  # the protocol has no field for notices
            await stack.enter_async_context(self._queue.slot())
            source = self.target.provider_class.create_async_generator(model, chat_request.messages, **options)
            split = split_think_tags(source) if self._splits_tags else source
            chunks = await stack.enter_async_context(aclosing(split))
            async for chunk in chunks:
                if is_text(chunk):
                    await stream.send_text(chunk)


def _log_notice(text: str) -> None:
    logger.warning("%s", redact_environment(text))


def as_status_error(failure: BaseException, next_wait: Callable[[], float]) -> StatusError:
    """The status and text for an exception of the provider. Texts of foreign exceptions are not passed on.

    A wait that the provider asks for is passed on. For a rate limit without one, ``next_wait`` gives the seconds.
    """
    if isinstance(failure, StatusError):
        return failure
    if not isinstance(failure, FlowGptError):
        logger.error("the provider raised %s", type(failure).__name__)
        return StatusError(500, "the provider failed")
    statuses: list[tuple[type[FlowGptError], int]] = [
        (QuotaError, 402),  # waiting does not help
        (RateLimitError, 429),
        (PromptError, 400),
        (ContextLengthError, 400),
        (ProviderTimeoutError, 504),
        (ProviderError, 502),
        (NotInstalledError, 503),
    ]
    status = next((status for kind, status in statuses if isinstance(failure, kind)), 500)
    wait = None
    if isinstance(failure, ProviderStatusError):
        status = 503 if failure.status == 503 else status
        wait = failure.retry_after
    if status == 429 and wait is None:
        wait = max(INITIAL_WAIT, next_wait())
    return StatusError(status, redact_environment(str(failure)), {} if wait is None else wait_headers(wait))


def _reason(error: OSError) -> str:
    if isinstance(error, socket.gaierror):
        return "the host is unknown"
    reason = os.strerror(error.errno) if error.errno else str(error)
    return f"{reason}; choose another port, or 0 for a free one"


@asynccontextmanager
async def running(model: str = "", **options: Any) -> AsyncIterator[Gateway]:
    """Run a gateway in front of ``model`` inside an ``async with`` block.

    ``options`` are the fields of ``Options``. Raises ``SettingError`` for invalid options or an address that cannot be
    used, and ``ProviderNotFoundError`` or ``ModelNotSupportedError`` for an unknown model.
    """
    server = Gateway(Options.from_keywords(model, **options))
    await server.open()
    try:
        yield server
    finally:
        await server.close()


def start(model: str = "", **options: Any) -> Gateway:
    """Start a gateway in front of ``model`` beside synchronous code, such as the cells of a notebook.

    It runs until ``stop`` is called or its ``with`` block ends. ``options`` are the fields of ``Options``. Raises the
    same errors as ``running``.
    """

    async def open_gateway() -> Gateway:
        server = Gateway(Options.from_keywords(model, **options))
        await server.open()
        return server

    return bridge.run(open_gateway())

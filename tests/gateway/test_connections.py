"""The connections of a gateway: how many, how long, and what becomes of those that are no HTTP."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

from flowgpt_magic.gateway import Gateway, running
from flowgpt_magic.gateway.connections import (
    Connection,
    ConnectionLimits,
    Connections,
    client_of,
    descriptor_limit,
)
from flowgpt_magic.gateway.options import HEALTH_PATH
from flowgpt_magic.providers.flowgpt import PATH, FlowGpt, request_body, request_headers
from tests.gateways import HELLO, PROMPT, SECRET, until


def head(length: int | None = None, *, token: str = "", **changes: str) -> bytes:
    """The head of a request; in header names ``_`` stands for ``-``."""
    headers = {"Host": "localhost", **request_headers(token)}
    headers |= {} if length is None else {"Content-Length": str(length)}
    headers |= {name.replace("_", "-"): value for name, value in changes.items()}
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"POST {PATH} HTTP/1.1\r\n{lines}\r\n".encode("latin-1")


def body(text: str = "hello big world") -> bytes:
    return json.dumps(request_body("m", [{"role": "user", "content": text}], 0.5)).encode()


@asynccontextmanager
async def connected(server: Gateway) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", int(server.url.rpartition(":")[2]))
    try:
        yield reader, writer
    finally:
        writer.close()


async def told(server: Gateway, *blocks: bytes) -> str:
    """All that a client gets that sends ``blocks`` and then waits for the end of the connection."""
    async with connected(server) as (reader, writer):
        for block in blocks:
            writer.write(block)
            await asyncio.sleep(0)
        return (await asyncio.wait_for(reader.read(), PROMPT)).decode("latin-1")


async def ask(server: Gateway) -> str:
    return await asyncio.wait_for(FlowGpt.create_async("", HELLO, base_url=server.url), PROMPT)


# How long


async def test_a_client_that_says_nothing_is_disconnected() -> None:
    async with running("echo", port=0, head_timeout=0.05) as server:
        assert await told(server) == ""


async def test_a_head_that_comes_too_slowly_is_answered_408(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    async with running("echo", port=0, head_timeout=0.05) as server:
        answer = await told(server, b"POST / HTTP/1.1\r\nAuthorization: Bearer " + SECRET.encode())
    assert answer.startswith("HTTP/1.1 408 ")
    assert json.loads(answer.partition("\r\n\r\n")[2])["statusCode"] == 408
    assert caplog.messages == ["408 - 0 chunks 0.00 s"]


@pytest.mark.parametrize("unsent", [0, 9])
async def test_a_client_that_does_not_read_the_end_of_its_reply_is_cut_off(unsent: int) -> None:
    """A connection that is only closed would wait until what is unsent has been read."""

    class Wire(asyncio.Transport):
        ended = ""

        def get_write_buffer_size(self) -> int:
            return unsent

        def is_closing(self) -> bool:
            return bool(self.ended)

        def close(self) -> None:
            self.ended = self.ended or "closed"

        def abort(self) -> None:
            self.ended = self.ended or "aborted"

    wire = Wire()
    limits = ConnectionLimits(total=1, per_address=1, head_timeout=PROMPT, idle_timeout=0)
    connection = Connection(web.Server(lambda _request: None), "somebody", Connections(limits))
    connection.connection_made(wire)

    connection.request_ended(last=False)
    await until(wire.is_closing)
    connection.connection_lost(None)

    assert wire.ended == ("aborted" if unsent else "closed")


async def test_between_two_requests_a_connection_is_closed_without_a_word() -> None:
    async with running("echo:words", port=0, idle_timeout=0.05) as server:
        answer = await told(server, head(len(body())) + body())
    assert answer.endswith("\r\n0\r\n\r\n")


async def test_a_second_head_has_a_limit_of_its_own() -> None:
    async with running("echo:words", port=0, head_timeout=0.1, idle_timeout=60) as server, connected(server) as client:
        reader, writer = client
        writer.write(head(len(body())) + body())
        await asyncio.wait_for(reader.readuntil(b"\r\n0\r\n\r\n"), PROMPT)
        writer.write(b"POST /")
        assert b" 408 " in await asyncio.wait_for(reader.read(), PROMPT)


async def test_a_reply_may_take_longer_than_the_limits_of_the_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLOWGPT_PACE", "0.1")
    async with running("echo:words", port=0, head_timeout=0.05, idle_timeout=0.05) as server:
        assert await ask(server) == "hello big world"


async def test_the_rest_of_a_body_that_is_refused_is_read_so_that_the_client_learns_why() -> None:
    async with running("echo", port=0, max_body=1000) as server:
        answer = await told(server, head(4_000_000), b"x" * 4_000_000)
    assert answer.startswith("HTTP/1.1 413 ")
    assert answer.count("HTTP/1.1") == 1


async def test_a_connection_that_is_refused_closes() -> None:
    async with running("echo", port=0, idle_timeout=60, head_timeout=60) as server:
        assert (await told(server, head(3) + b"[1]")).startswith("HTTP/1.1 400 ")


# How many


@pytest.mark.parametrize(
    "beginning",
    [lambda: b"", lambda: b"POST / HT", lambda: head(900) + b"{"],
    ids=["nothing", "half a head", "half a body"],
)
async def test_connections_that_keep_us_waiting_make_room_for_new_ones(beginning: Callable[[], bytes]) -> None:
    async with running("echo:words", port=0, connections=8, concurrency=2, queue=2) as server:
        idle = [await asyncio.open_connection("127.0.0.1", int(server.url.rpartition(":")[2])) for _ in range(20)]
        for _reader, writer in idle:
            writer.write(beginning())
        assert await ask(server) == "hello big world"
        assert len(server._connections) <= 8
        for reader, _writer in idle[:10]:
            assert await asyncio.wait_for(reader.read(), PROMPT) == b""
        for _reader, writer in idle:
            writer.close()


async def test_one_address_does_not_take_the_connections_of_another() -> None:
    async with running("echo:words", host="0.0.0.0", token=SECRET, port=0, connections_per_address=2) as server:
        other = socket.socket()
        other.bind(("127.0.0.2", 0))
        other.setblocking(False)
        await asyncio.get_running_loop().sock_connect(other, ("127.0.0.1", int(server.url.rpartition(":")[2])))
        idle = [await asyncio.open_connection("127.0.0.1", int(server.url.rpartition(":")[2])) for _ in range(5)]
        for reader, _writer in idle[:3]:
            assert await asyncio.wait_for(reader.read(), PROMPT) == b""
        await asyncio.get_running_loop().sock_sendall(other, f"GET {HEALTH_PATH} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        assert b" 200 " in await asyncio.wait_for(asyncio.get_running_loop().sock_recv(other, 1000), PROMPT)
        for _reader, writer in idle:
            writer.close()
        other.close()


async def test_where_all_connections_wait_for_a_reply_a_new_one_is_told_so(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("FLOWGPT_PACE", "60")
    async with running("echo:words", port=0, connections=1, grace=0) as server, connected(server) as (_, writer):
        writer.write(head(len(body())) + body())
        while not server._queue.admitted:  # noqa: ASYNC110 - what the gateway does inside is no event
            await asyncio.sleep(0.001)
        answers = [await told(server, head(len(body())) + body()) for _ in range(3)]
    for answer in answers:
        assert answer.startswith("HTTP/1.1 503 ")
        assert "\r\nRetry-After: " in answer
        assert json.loads(answer.partition("\r\n\r\n")[2])["statusCode"] == 503
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == [
        "too many connections; all of them wait for a reply"
    ]


@pytest.mark.parametrize(
    ("address", "client"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
    ],
)
def test_an_ipv6_network_counts_as_one_address(address: str, client: str) -> None:
    assert client_of(address) == client


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such limit")
def test_half_of_the_file_descriptors_are_for_connections() -> None:
    program = "import resource as r; r.setrlimit(r.RLIMIT_NOFILE, (100, 100))\n"
    program += "from flowgpt_magic.gateway import Options\n"
    program += "print(Options().limits.total, Options(connections=9).limits.total)"
    shown = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert shown.split() == ["50", "9"]
    assert descriptor_limit()


EXHAUSTED = """
    import logging, os, resource, sys
    from flowgpt_magic import gateway
    logging.basicConfig(format="%(message)s")
    resource.setrlimit(resource.RLIMIT_NOFILE, (200, 200))
    with gateway.start("echo:words", port=0) as server:
        taken = []
        try:
            while True:
                taken.append(os.open(os.devnull, os.O_RDONLY))
        except OSError:
            for number in taken[-4:]:
                os.close(number)
        print(server.url, flush=True)
        sys.stdin.read()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such limit")
async def test_without_file_descriptors_it_logs_one_line_and_goes_on() -> None:
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    program = await asyncio.create_subprocess_exec(sys.executable, "-c", textwrap.dedent(EXHAUSTED), **pipes)
    assert program.stdout is not None
    url = (await program.stdout.readline()).decode().strip()
    idle = [await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2])) for _ in range(12)]
    # The first ones are closed to let the others in.
    for reader, _writer in idle[:4]:
        assert await asyncio.wait_for(reader.read(), PROMPT) == b""
    assert await asyncio.wait_for(FlowGpt.create_async("", HELLO, base_url=url), PROMPT) == "hello big world"
    for _reader, writer in idle:
        writer.close()
    _, log = await asyncio.wait_for(program.communicate(b""), PROMPT)
    assert log.decode().splitlines() == ["cannot accept connections: Too many open files"]


async def test_every_address_of_this_machine_is_listened_on_with_one_port() -> None:
    async with running("echo:words", host="", token=SECRET, port=0) as server:
        port = server.url.rpartition(":")[2]
        families = [listening.family for listening in server._listener._sockets]
        assert socket.AF_INET in families
        for host in ["127.0.0.1", *["[::1]" for family in families if family == socket.AF_INET6]]:
            url = f"http://{host}:{port}"
            assert await FlowGpt.create_async("", HELLO, base_url=url, token=SECRET) == "hello big world"


# What is no HTTP


MALFORMED = {
    "no request line": f"Authorization: Bearer {SECRET}\r\n\r\n".encode(),
    "no version": f"POST /{SECRET}\r\n\r\n".encode(),
    "version": head(3).replace(b"HTTP/1.1", b"HTTP/9.9") + SECRET.encode(),
    "method": SECRET.encode() * 99 + b" / HTTP/1.1\r\n\r\n",
    "header name": head(3, token=SECRET).replace(b"Authorization:", b"Autho rization:"),
    "header value": head(3, token=SECRET).replace(SECRET.encode(), SECRET.encode() + b"\x00"),
    "header size": head(3, X=SECRET * 2000),
    "folded header": head(3).replace(b"Accept:", b"X: a\r\n " + SECRET.encode() + b"\r\nAccept:"),
    "length": head(None, Content_Length=SECRET) + body(SECRET),
    "two lengths": head(3).replace(b"\r\n\r\n", b"\r\nContent-Length: 4\r\n\r\n") + SECRET.encode(),
    "length and chunks": head(3, Transfer_Encoding="chunked") + SECRET.encode(),
    "chunk size": head(None, Transfer_Encoding="chunked") + f"{SECRET}\r\n{SECRET}\r\n".encode(),
    "chunk length": head(None, Transfer_Encoding="chunked") + f"3\r\n{SECRET}\r\n".encode(),
    "transfer coding": head(None, Transfer_Encoding=SECRET),
    "content coding": head(9, Content_Encoding="gzip") + SECRET.encode()[:9],
    "unknown coding": head(9, Content_Encoding=SECRET) + SECRET.encode()[:9],
    "URL": head(0).replace(PATH.encode(), b"http://[::" + SECRET.encode()),
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + SECRET.encode() * 30,
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + SECRET.encode(),
    "no host": head(len(body(SECRET))).replace(b"Host: localhost\r\n", b"") + body(SECRET),
    "no UTF-8": head(len(SECRET) + 1) + SECRET.encode() + b"\xff",
    "deep JSON": head(len(SECRET) + 20_000) + SECRET.encode() + b"[" * 20_000,
    "second request": head(0) + body(SECRET) + b"\r\n\r\n",
    "web socket": b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Key: " + SECRET.encode() + b"\r\nSec-WebSocket-Version: 13\r\n\r\n",
    "CONNECT": b"CONNECT example.com:443 HTTP/1.1\r\nHost: localhost\r\nX: " + SECRET.encode() + b"\r\n\r\n",
    "expectation": head(len(body(SECRET)), Expect=SECRET) + body(SECRET),
}


@pytest.mark.parametrize("kind", list(MALFORMED))
async def test_a_malformed_request_is_refused_and_none_of_its_words_is_logged(
    kind: str, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    async with running("echo:words", port=0) as server:
        answer = await told(server, MALFORMED[kind])
        assert await ask(server) == "hello big world"
    status, _, report = answer.partition("\r\n\r\n")
    assert status.split(" ")[1][0] == "4"
    assert json.loads(report)["statusCode"] == int(status.split(" ")[1])
    assert SECRET not in answer + caplog.text + "".join(capfd.readouterr())
    lines = [record.getMessage() for record in caplog.records if record.name.startswith(("flowgpt", "aiohttp"))]
    assert len(lines) == 2


async def test_what_the_library_cannot_read_at_all_is_refused_too(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(_connection: Any, data: bytes) -> None:
        raise ValueError(data)

    caplog.set_level(logging.INFO)
    async with running("echo:words", port=0) as server:
        with monkeypatch.context() as patch:
            patch.setattr(web.RequestHandler, "data_received", fail)
            answer = await told(server, f"POST http://[{SECRET} HTTP/1.1\r\n".encode())
    assert answer.startswith("HTTP/1.1 400 ")
    assert caplog.messages == ["400 - 0 chunks 0.00 s"]


async def test_what_the_library_does_not_expect_is_logged_by_its_kind_alone(caplog: pytest.LogCaptureFixture) -> None:
    async with running("echo:words", port=0) as server, connected(server) as (reader, writer):
        writer.write(f"GET {HEALTH_PATH} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        await asyncio.wait_for(reader.readline(), PROMPT)
        [connection] = server._connections
        connection.log_exception("Unhandled exception", exc_info=ZeroDivisionError(SECRET))
        connection.log_exception("Unhandled exception", exc_info=ConnectionError(SECRET))
    assert caplog.messages == ["a connection failed with ZeroDivisionError"]


# What is allowed, and rare


async def test_a_client_that_waits_to_be_asked_for_its_body_is_asked_after_the_checks() -> None:
    async with running("echo:words", port=0, token=SECRET) as server:
        async with connected(server) as (reader, writer):
            writer.write(head(len(body()), token=SECRET, Expect="100-continue", Connection="close"))
            assert await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), PROMPT) == b"HTTP/1.1 100 Continue\r\n\r\n"
            writer.write(body())
            assert b"HTTP/1.1 200 OK" in await asyncio.wait_for(reader.read(), PROMPT)
        answer = await told(server, head(0, Expect="100-continue"))
    assert answer.startswith("HTTP/1.1 401 ")


@pytest.mark.parametrize("host", [b"Host: localhost\r\n", b""], ids=["with a host", "without a host"])
async def test_an_old_client_gets_its_reply_unframed(host: bytes) -> None:
    request = (head(len(body())) + body()).replace(b"HTTP/1.1", b"HTTP/1.0").replace(b"Host: localhost\r\n", host)
    async with running("echo:words", port=0) as server:
        answer = await told(server, request.replace(b"Connection: keep-alive\r\n", b""))
    assert answer.startswith("HTTP/1.0 200 ")
    assert answer.partition("\r\n\r\n")[2].splitlines()[-1] == '{"event": "text", "data": "world"}'


async def test_requests_that_come_one_behind_the_other_are_answered_in_their_order() -> None:
    texts = ["one", "two", "three"]
    requests = [head(len(body(text))) + body(text) for text in texts[:-1]]
    requests.append(head(len(body(texts[-1])), Connection="close") + body(texts[-1]))
    async with running("echo:words", port=0) as server:
        answer = await told(server, b"".join(requests))
    assert [answer.index(f'"data": "{text}"') for text in texts] == sorted(
        answer.index(f'"data": "{text}"') for text in texts
    )
    assert answer.count("HTTP/1.1 200 OK") == 3


async def test_answers_do_not_tell_which_software_is_behind() -> None:
    async with running("echo:words", port=0) as server:
        for request in (head(len(body()), Connection="close") + body(), head(0), b"\xff\r\n\r\n"):
            answer: Any = await told(server, request)
            assert "\r\nServer: flowgpt_magic\r\n" in answer
            assert "aiohttp" not in answer

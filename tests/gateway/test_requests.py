"""Which requests a gateway lets in, and what it reads in their bodies."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from flowgpt_magic.errors import AuthenticationError, PermissionDeniedError, ProtocolError
from flowgpt_magic.gateway import requests, running
from flowgpt_magic.gateway.requests import Authenticator, StatusError
from flowgpt_magic.providers.flowgpt import PATH, FlowGpt, request_headers, sign
from tests.gateways import HELLO, PROMPT, SECRET, ask, posted, read, status


async def test_a_request_without_a_signature_is_refused() -> None:
    async with running("echo", port=0) as server:
        for name in ("x-signature", "x-nonce", "x-timestamp"):
            assert (await status(server, headers={name: None}))[0] == 403
        assert (await status(server, headers={"x-signature": "0" * 32}))[0] == 403
        assert (await status(server, headers={"Authorization": "Bearer other"}))[0] == 403


@pytest.mark.parametrize("off", [-600, 600])
async def test_a_request_of_another_time_is_refused(off: int) -> None:
    timestamp = str(int(time.time()) + off)
    nonce = "0123456789abcdef"
    signed = {"x-timestamp": timestamp, "x-nonce": nonce, "x-signature": sign(timestamp, nonce, "Bearer null")}
    async with running("echo", port=0) as server:
        number, message = await status(server, headers=signed)
    assert number == 403
    assert "clocks" in message


async def test_a_request_made_twice_is_refused_the_second_time() -> None:
    headers = request_headers("")
    async with running("echo", port=0) as server:
        async with posted(server, headers=headers) as response:
            assert response.status == 200
        number, message = await status(server, headers=headers)
    assert number == 403
    assert "before" in message


@pytest.mark.parametrize("off", [-299, 0, 299])
def test_a_nonce_is_refused_for_as_long_as_its_timestamp_is_accepted(off: int) -> None:
    authenticator = Authenticator("127.0.0.1", "")
    authenticator._check_nonce("first", 1000 + off, now=1000)
    for count in range(20_000):
        authenticator._check_nonce(f"nonce-{count}", 1000, now=1000)
    with pytest.raises(StatusError, match="before"):
        authenticator._check_nonce("first", 1000 + off, now=1000 + off + requests.CLOCK_SKEW)
    authenticator._check_nonce("other", 2000, now=2000)
    assert authenticator._nonces == {"other"}


def test_where_too_many_nonces_are_kept_new_requests_wait_and_none_is_forgotten(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(requests, "MAX_NONCES", 2)
    authenticator = Authenticator("127.0.0.1", "")
    authenticator._check_nonce("one", 1000, now=1000)
    authenticator._check_nonce("two", 1000, now=1000)
    with pytest.raises(StatusError) as refused:
        authenticator._check_nonce("three", 1010, now=1010)
    assert (refused.value.status, refused.value.headers) == (503, {"Retry-After": "290"})
    with pytest.raises(StatusError, match="before"):
        authenticator._check_nonce("one", 1010, now=1010)


@pytest.mark.parametrize("ahead", [-requests.CLOCK_SKEW, requests.CLOCK_SKEW])
def test_a_signed_request_is_answered_once_however_long_its_timestamp_is_accepted(
    monkeypatch: pytest.MonkeyPatch, ahead: int
) -> None:
    """A client whose clock is ``ahead`` seconds ahead sends a request, and somebody sends it again later."""
    start = 1_000_000
    timestamp, nonce = str(start + ahead), "0123456789abcdef"
    headers = {"x-timestamp": timestamp, "x-nonce": nonce, "x-signature": sign(timestamp, nonce, "")}
    authenticator = Authenticator("127.0.0.1", "")
    clock = iter(range(start, start + 2 * requests.CLOCK_SKEW + 2))
    monkeypatch.setattr(requests.time, "time", lambda: next(clock))
    authenticator._check_signature(headers)

    for _later in range(2 * requests.CLOCK_SKEW + 1):
        with pytest.raises(StatusError, match=r"was sent before|clocks"):
            authenticator._check_signature(headers)


@pytest.mark.parametrize("behind", [requests.CLOCK_SKEW, -requests.CLOCK_SKEW])
def test_clocks_may_differ_by_the_skew_and_no_more(monkeypatch: pytest.MonkeyPatch, behind: int) -> None:
    timestamp = 1_000_000
    monkeypatch.setattr(requests.time, "time", lambda: now)

    def headers(nonce: str) -> dict[str, str]:
        return {"x-timestamp": str(timestamp), "x-nonce": nonce, "x-signature": sign(str(timestamp), nonce, "")}

    now = timestamp + behind
    Authenticator("127.0.0.1", "")._check_signature(headers("the-first"))
    now += 1 if behind > 0 else -1
    with pytest.raises(StatusError, match="the clocks of client and gateway differ by"):
        Authenticator("127.0.0.1", "")._check_signature(headers("the-second"))


async def test_a_token_is_asked_for_where_there_is_one(caplog: pytest.LogCaptureFixture) -> None:
    async with running("echo", port=0, token=SECRET) as server:
        for wrong in (None, "other", SECRET + "x"):
            _, error = await read(ask(server, token=wrong))
            assert type(error) is AuthenticationError
        assert await read(ask(server, token=SECRET)) == (["hello ", "big ", "world"], None)
    assert SECRET not in caplog.text + repr(server.options) + repr(server)


async def test_with_a_token_others_may_ask() -> None:
    async with running("echo", host="0.0.0.0", port=0, token=SECRET) as server:
        here = f"http://127.0.0.1:{server.url.rpartition(':')[2]}"
        assert await FlowGpt.create_async("", HELLO, base_url=here, token=SECRET) == "hello big world"


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "[", ""])
async def test_a_page_that_gave_our_address_its_own_name_is_refused(host: str) -> None:
    async with running("echo", port=0) as server:
        assert (await status(server, headers={"Host": host}))[0] in (400, 403)


async def test_behind_a_token_any_name_of_the_host_is_accepted() -> None:
    """As behind a reverse proxy on the same machine."""
    async with running("echo", port=0, token=SECRET) as server:
        headers = {**request_headers(SECRET), "Host": "teacher.example"}
        async with posted(server, headers=headers) as response:
            assert response.status == 200


@pytest.mark.parametrize("host", ["localhost:1234", "127.0.0.1", "[::1]:80"])
async def test_every_name_of_this_machine_is_its_own(host: str) -> None:
    async with running("echo", port=0) as server, posted(server, headers={"Host": host}) as response:
        assert response.status == 200


@pytest.mark.parametrize(
    ("changes", "number"),
    [
        ({"body": b"{"}, 400),
        ({"body": b"[" * 100_000}, 400),
        ({"body": b"\xff"}, 400),
        ({"body": b"[]"}, 400),
        ({"fields": {"question": None}}, 400),
        ({"fields": {"history": "x"}}, 400),
        ({"fields": {"history": [{"role": "tool", "content": "x"}]}}, 400),
        ({"fields": {"history": [{"role": "user", "content": ["x"]}]}}, 400),
        ({"fields": {"history": ["x"]}}, 400),
        ({"fields": {"system": 1}}, 400),
        ({"fields": {"model": 1}}, 400),
        ({"fields": {"temperature": "hot"}}, 400),
        ({"fields": {"temperature": 3}}, 400),
        ({"fields": {"temperature": True}}, 400),
        ({"headers": {"Content-Type": "text/plain"}}, 415),
        ({"path": "/v3/chat"}, 404),
        ({"body": b'{"question": "' + b"x" * 5000 + b'"}'}, 413),
    ],
)
async def test_a_request_that_is_not_the_protocol_is_refused_with_a_reason(
    changes: dict[str, Any], number: int
) -> None:
    async with running("echo", port=0, max_body=150_000 if number != 413 else 4096) as server:
        found, message = await status(server, **changes)
    assert found == number
    assert message


async def test_a_body_that_does_not_come_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requests, "BODY_TIMEOUT", 0.1)
    async with running("echo", port=0) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(server.url.rpartition(":")[2]))
        lines = "".join(f"{name}: {value}\r\n" for name, value in request_headers("").items())
        writer.write(f"POST {PATH} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n{lines}\r\n".encode())
        assert b" 408 " in await asyncio.wait_for(reader.readline(), PROMPT)
        writer.close()


async def test_a_client_s_mistake_reads_well_in_its_error() -> None:
    async with running("echo", port=0) as server:
        _, error = await read(ask(server, temperature=5))
    assert str(error) == f"{server.url[7:]} answered 400: temperature must be a number from 0 to 2."
    assert not isinstance(error, PermissionDeniedError | ProtocolError)

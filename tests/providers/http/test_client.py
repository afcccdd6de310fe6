"""What every HTTP provider shares: lines from bytes, base URLs, proxies and redirects."""

from __future__ import annotations

import errno
import tracemalloc
from functools import partial

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from flowgpt_magic.errors import PromptError, ProtocolError, ProviderStatusError, ProxyError, SettingError
from flowgpt_magic.providers.flowgpt import FlowGpt
from flowgpt_magic.providers.http.client import (
    BOM,
    LineSplitter,
    Response,
    _closed_by_server,
    check_base_url,
    check_token,
    crosses_open_network,
    encode_json,
    read_object,
)
from flowgpt_magic.providers.http.connection import Endpoint, Proxy, Route, find_proxy, read_proxy
from flowgpt_magic.providers.openai_compatible import OpenAICompatible
from flowgpt_magic.text import printable
from tests import openai_servers
from tests.servers import Answer, Connection, Request, cut, line, serving, whole

SECRET = "s3cret"
MESSAGES = [{"role": "user", "content": "hello"}]


def split_all(blocks: list[bytes], limit: int = 2**20) -> list[bytes]:
    splitter = LineSplitter(limit)
    return [line for block in blocks for line in splitter.split(block)] + splitter.last()


@given(st.lists(st.binary(max_size=40)), st.lists(st.integers(0, 10_000)))
def test_lines_are_the_same_wherever_the_bytes_are_cut(lines: list[bytes], places: list[int]) -> None:
    data = b"\n".join(lines)
    expected = data.split(b"\n")
    if expected[-1] == b"":
        expected.pop()
    if expected:
        expected[0] = expected[0].removeprefix(BOM)
    assert split_all(cut(data, places)) == expected


@given(st.lists(st.integers(0, 30), max_size=8), st.lists(st.integers(0, 10_000)))
def test_the_lines_before_one_that_is_too_long_come_out_and_none_after_it(
    lengths: list[int], places: list[int]
) -> None:
    lines = [b"x" * length for length in lengths]
    splitter = LineSplitter(10)
    found = [line for block in cut(b"".join(line + b"\n" for line in lines), places) for line in splitter.split(block)]
    first = next((index for index, line in enumerate(lines) if len(line) > 10), len(lines))
    assert found == lines[:first]
    assert splitter.too_long == (first < len(lines))


def test_a_line_as_long_as_the_limit_is_not_too_long() -> None:
    splitter = LineSplitter(10)
    assert splitter.split(b"x" * 10) == []
    assert not splitter.too_long
    assert splitter.split(b"\n") == [b"x" * 10]


@pytest.mark.parametrize("size", [1, 1000])
def test_a_line_without_end_takes_no_more_memory_than_the_limit(size: int) -> None:
    splitter = LineSplitter(100_000)
    tracemalloc.start()
    for _ in range(300_000 // size):
        assert splitter.split(bytes(size)) == []
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert splitter.too_long
    assert peak < 400_000


@pytest.mark.parametrize(
    ("line", "what"),
    [
        (b"<html>", "not JSON"),
        (b'{"a": 1} {"b": 2}', "not JSON"),
        (b'{"a": 1},', "not JSON"),
        (b'{"a": NaN}', "not JSON"),
        (b'{"a": 1}\xc2\xa0', "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b'["text"]', "not an object"),
        (b"null", "not an object"),
        (b'{"a": "\xff"}', "not UTF-8"),
        ('{"a": 1}'.encode("utf-16"), "not UTF-8"),
    ],
)
def test_a_line_that_is_no_object_is_quoted_in_the_error(line: bytes, what: str) -> None:
    with pytest.raises(ProtocolError, match=what) as caught:
        read_object(line)
    assert printable(line.decode("utf-8", "replace").strip())[:200] in str(caught.value)


def test_of_a_long_line_two_hundred_characters_are_quoted() -> None:
    with pytest.raises(ProtocolError) as caught:
        read_object(b"\xe6\x9d\xb1" * 300)
    assert str(caught.value).count("\u6771") == 200


def test_json_white_space_around_an_object_is_no_error() -> None:
    assert read_object(b'\t {"a": "\xc3\xa9"} \r') == {"a": "\u00e9"}


@pytest.mark.parametrize("body", [{"temperature": float("nan")}, {"extra": object()}, {"extra": b"bytes"}])
def test_what_json_cannot_say_is_an_error_about_the_prompt(body: object) -> None:
    with pytest.raises(PromptError, match="JSON"):
        encode_json(body)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "127.0.0.1:80",
        "localhost",
        "ftp://x",
        "http://",
        "http://:80",
        "http://x:99999",
        "http://x?a=b",
        "http://x#a",
    ],
)
def test_a_base_url_that_is_none_is_refused_with_an_example(url: str) -> None:
    with pytest.raises(SettingError, match=r"option: .*http://127\.0\.0\.1:8765"):
        check_base_url(url, "option")


def test_a_base_url_with_a_password_is_refused_without_showing_it() -> None:
    with pytest.raises(SettingError) as caught:
        check_base_url(f"http://me:{SECRET}@x", "option")
    assert SECRET not in str(caught.value)


def test_what_stands_behind_a_base_url_is_refused_without_showing_it() -> None:
    for url in (f"http://x?key={SECRET}", f"http://x/#{SECRET}"):
        with pytest.raises(SettingError, match=r"option: 'http://x/?\?…' is not a base URL") as caught:
            check_base_url(url, "option")
        assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "open_"),
    [
        ("http://host.example", True),
        ("http://8.8.8.8", True),
        ("http://[2001:4860:4860::8888]", True),
        ("https://host.example", False),
        ("http://localhost:8765", False),
        ("http://127.0.0.1", False),
        ("http://[::1]", False),
        ("http://10.0.0.7", False),
        ("http://box", False),
        ("http://box.local", False),
    ],
)
def test_what_crosses_networks_of_others_is_known(url: str, open_: bool) -> None:
    assert crosses_open_network(URL(url)) is open_


def test_a_base_url_may_stand_before_a_path_of_a_reverse_proxy() -> None:
    assert str(check_base_url(" https://hub/user/me/proxy/8765/ ", "option")) == "https://hub/user/me/proxy/8765"


@pytest.mark.parametrize("token", ["two words", "line\nbreak", "n\u00e9"])
def test_a_token_no_header_can_hold_is_refused_without_showing_it(token: str) -> None:
    with pytest.raises(SettingError) as caught:
        check_token(token, "option")
    assert token not in str(caught.value)


@pytest.mark.parametrize(
    "proxy",
    [
        f"socks5://me:{SECRET}@host:1080",
        f"ftp://me:{SECRET}@host",
        f"me:{SECRET}@host:3128",
        "host:3128",
        f"http://me:{SECRET}@",
        f"http://me:{SECRET}@host:port",
        f"http://me:{SECRET}@host:99999",
        f"http://m%3Ae:{SECRET}@host:3128",
    ],
)
def test_a_proxy_that_cannot_be_used_is_refused_without_showing_its_password(proxy: str) -> None:
    with pytest.raises(ProxyError) as caught:
        read_proxy(proxy)
    assert SECRET not in f"{caught.value!r} {caught.value.__cause__!r}"


def test_the_password_of_a_proxy_is_in_no_repr() -> None:
    proxy = read_proxy(f"http://me:{SECRET}@host:3128")
    assert SECRET not in repr(proxy)
    assert proxy.password == SECRET


def test_the_environment_names_a_proxy_only_when_asked_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "host:3128")
    url = URL("http://example.invalid")
    assert find_proxy(url, "", trust_env=False).url is None
    assert find_proxy(url, "", trust_env=True).url == URL("http://host:3128")
    assert find_proxy(url, "http://other:1", trust_env=True).url == URL("http://other:1")


def test_a_proxy_of_the_environment_says_where_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, scheme in (("http_proxy", "http"), ("HTTPS_PROXY", "https")):
        monkeypatch.setenv(name, f"http://me:{SECRET}@host:3128")
        found = find_proxy(URL(f"{scheme}://example.invalid"), "", trust_env=True)
        assert (found.url, found.source) == (URL("http://host:3128"), f"{name} in the environment")
    assert read_proxy("http://host:3128").source == "setting proxy"


@pytest.mark.parametrize(
    ("value", "trust_env", "proxy", "named"),
    [
        (f"http://me:{SECRET}@host:3128", False, Proxy(), "http://host:3128"),
        (f"http://me:{SECRET}@host:3128", True, Proxy(), None),
        (f"http://me:{SECRET}@host:3128", False, Proxy(URL("http://other:1")), None),
        (f"socks5://me:{SECRET}@host:3128", False, Proxy(), None),
        ("", False, Proxy(), None),
    ],
)
def test_a_proxy_of_the_environment_that_is_not_used_is_known(
    monkeypatch: pytest.MonkeyPatch, value: str, trust_env: bool, proxy: Proxy, named: str | None
) -> None:
    monkeypatch.setenv("https_proxy", value)
    endpoint = Endpoint(URL("https://example.invalid"), proxy, Route(trust_env=trust_env))
    assert endpoint.unused_proxy.url == (URL(named) if named else None)


def test_hosts_the_environment_excepts_are_reached_directly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://host:3128")
    monkeypatch.setenv("no_proxy", "example.invalid")
    assert find_proxy(URL("http://example.invalid"), "", trust_env=True).url is None


@pytest.mark.parametrize(
    ("failure", "closed"),
    [
        (aiohttp.ServerDisconnectedError(), True),
        (aiohttp.ClientOSError(errno.ECONNRESET, "reset"), True),
        (aiohttp.ClientOSError(errno.EPIPE, "broken pipe"), True),
        (aiohttp.ClientConnectionResetError("cannot write"), True),
        (aiohttp.ClientOSError(errno.ETIMEDOUT, "an upload that timed out"), False),
        (aiohttp.ServerTimeoutError(), False),
    ],
)
def test_only_what_a_closed_connection_says_is_sent_again(failure: Exception, closed: bool) -> None:
    assert _closed_by_server(failure) is closed


class Body:
    """A body in these blocks; ``until_closed`` as a ``BodyReader`` has it."""

    until_closed = False

    def __init__(self, *blocks: bytes) -> None:
        self._blocks = iter(blocks)

    async def read(self) -> bytes:
        return next(self._blocks, b"")


async def test_a_body_as_long_as_the_limit_is_read_and_a_longer_one_is_an_error() -> None:
    endpoint = Endpoint(URL("http://x"), Proxy(), Route())

    assert await Response("", Body(b"ab", b"cd"), endpoint, 4).read_all() == b"abcd"
    with pytest.raises(ProtocolError, match="longer than 3 bytes"):
        await Response("", Body(b"ab", b"cd"), endpoint, 3).read_all()


# Redirects


def sending_on(location: str, status: int = 307, times: int = 1) -> Answer:
    """A server that sends so many requests on, and answers the next one."""
    left = iter(range(times))

    async def answer(request: Request, connection: Connection) -> None:
        if next(left, None) is None:
            body = openai_servers.reply("hi") if "/v1/" in request.line else line("hi")
            if request.line.startswith("GET"):
                body = b'{"data": [{"id": "hi"}]}'
            await connection.send(whole(body))
        else:
            await connection.send(whole(b"elsewhere", status, Location=location))

    return answer


@pytest.mark.parametrize("status", [307, 308])
@pytest.mark.parametrize("location", ["/elsewhere/", "http://127.0.0.1:{port}/elsewhere/#there", "../elsewhere/"])
async def test_a_redirect_within_the_same_server_is_followed_with_method_body_and_token(
    location: str, status: int
) -> None:
    async with serving(lambda request, connection: answer(request, connection)) as server:
        answer = sending_on(location.format(port=server.port), status)
        found = await FlowGpt.create_async("", MESSAGES, base_url=server.url, token=SECRET)

    assert found == "hi"
    first, second = server.requests
    assert second.line == "POST /elsewhere/ HTTP/1.1"
    assert second.body == first.body
    assert second.headers == first.headers


async def test_every_call_follows_it() -> None:
    for call in (OpenAICompatible.list_models, partial(OpenAICompatible.create_async, "m", MESSAGES)):
        async with serving(sending_on("/v1/elsewhere")) as server:
            assert "hi" in await call(openai_base_url=f"{server.url}/v1")
        assert len(server.requests) == 2


@pytest.mark.parametrize("location", ["/v3/chat-anonymous", "/another", "?again"])
async def test_a_redirect_in_a_circle_ends(location: str) -> None:
    async with serving(sending_on(location, times=99)) as server:
        with pytest.raises(ProviderStatusError, match="answered 307: it redirects to"):
            await FlowGpt.create_async("", MESSAGES, base_url=server.url)
    assert len(server.requests) <= 5


@pytest.mark.parametrize(
    "location",
    [
        "https://127.0.0.1:{port}/x",
        "http://localhost:{port}/x",
        "http://me:pw@127.0.0.1:{port}/x",
        "http://[",
        "",
        "//x",
    ],
)
async def test_a_redirect_to_anywhere_else_is_not_followed(location: str) -> None:
    async with serving(lambda request, connection: answer(request, connection)) as server:
        answer = sending_on(location.format(port=server.port))
        with pytest.raises(ProviderStatusError, match="where nothing was sent"):
            await FlowGpt.create_async("", MESSAGES, base_url=server.url)
    assert len(server.requests) == 1

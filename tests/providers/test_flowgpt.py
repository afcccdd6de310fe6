"""FlowGpt against a real server that behaves, and one that does not: the wire protocol, row by row."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import json
import re
import subprocess
import sys
import threading
import time
import traceback
import warnings
import zlib
from collections.abc import AsyncGenerator
from copy import deepcopy
from typing import Any

import brotli
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowgpt_magic.errors import (
    AuthenticationError,
    ConnectTimeoutError,
    FlowGptError,
    FlowGptWarning,
    ModelNotSupportedError,
    PermissionDeniedError,
    PromptError,
    ProtocolError,
    ProviderConnectionError,
    ProviderError,
    ProviderStatusError,
    ProviderTimeoutError,
    ProxyError,
    RateLimitError,
    SettingError,
    StreamInterruptedError,
)
from flowgpt_magic.messages import notices_to
from flowgpt_magic.providers.flowgpt import FlowGpt
from flowgpt_magic.providers.flowgpt_events import EventReader
from flowgpt_magic.providers.http.client import LineSplitter
from tests import certificates
from tests.servers import (
    CHUNKED,
    END,
    Connection,
    Request,
    Server,
    answering,
    closed_port,
    cut,
    framed,
    head,
    line,
    listening,
    proxying,
    replying,
    resetting,
    serving,
    stalling,
    whole,
)

MESSAGES = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Bonjour \u00e0 tous \U0001f600"},
    {"role": "assistant", "content": "Bonjour", "id": 7},
    {"role": "user", "content": "Capital of France?"},
]
SECRET = "s3cret-word"
PROMPT = 30  # seconds in which a failure that must not hang has to be there
AT_ONCE = 5  # seconds in which the server sees that the client has left, which no timeout makes it do

pytestmark = pytest.mark.usefixtures("over_http_and_tls")


def ask(server: Server | str, messages: Any = MESSAGES, model: str = "", **options: Any) -> AsyncGenerator[str, None]:
    url = server if isinstance(server, str) else server.url
    return FlowGpt.create_async_generator(model, messages, base_url=url, **options)  # type: ignore[return-value]


async def read(chunks: AsyncGenerator[str, None]) -> tuple[list[str], FlowGptError | None]:
    """The chunks, and how it failed if it did."""
    found: list[str] = []

    async def collect() -> None:
        async for chunk in chunks:
            found.append(chunk)

    try:
        await asyncio.wait_for(collect(), PROMPT)
    except FlowGptError as error:
        return found, error
    return found, None


async def fail(kind: type[FlowGptError], answer: Any, **options: Any) -> tuple[list[str], str]:
    """The chunks before, and the text of, an error of this kind."""
    async with serving(answer) as server:
        chunks, error = await read(ask(server, **options))
    assert type(error) is kind, error
    return chunks, str(error)


# The request


async def test_the_request_has_every_header_of_the_protocol() -> None:
    async with serving(replying(line("x"))) as server:
        await read(ask(server))
    [request] = server.requests
    sent = request.headers
    authorization, nonce, timestamp = sent["Authorization"], sent.pop("x-nonce"), sent.pop("x-timestamp")
    assert request.line == "POST /v3/chat-anonymous HTTP/1.1"
    assert sent.pop("x-signature") == hashlib.md5(f"{timestamp}-{nonce}-{authorization}".encode()).hexdigest()
    assert re.fullmatch("[0-9a-f]{32}", nonce)
    assert abs(int(timestamp) - time.time()) < 60
    assert re.fullmatch("f-[a-z0-9]{19}", sent.pop("x-flow-device-id"))
    assert int(sent.pop("Content-Length")) == len(request.body)
    assert sent.pop("Host") == f"127.0.0.1:{server.port}"
    assert sent == {
        "User-Agent": "Mozilla/5.0 (X11; Ubuntu; Linux x86_64; rv:122.0) Gecko/20100101 Firefox/122.0",
        "Accept": "*/*",
        "Accept-Language": "en-US;q=0.7,en;q=0.3",
        "Accept-Encoding": "gzip, deflate, br",
        "Referer": "https://flowgpt.com/",
        "Origin": "https://flowgpt.com",
        "Content-Type": "application/json",
        "Authorization": "Bearer null",
        "Connection": "keep-alive",
        "Sec-Fetch-Dest": "empty",
        "Sec-Fetch-Mode": "cors",
        "Sec-Fetch-Site": "same-site",
        "TE": "trailers",
    }


async def test_nonce_and_device_are_fresh_in_every_request() -> None:
    async with serving(replying(line("x"))) as server:
        for _ in range(3):
            await read(ask(server))
    for name in ("x-nonce", "x-flow-device-id", "x-signature"):
        assert len({request.headers[name] for request in server.requests}) == 3


def test_brotli_is_offered_only_where_it_can_be_read() -> None:
    program = (
        "import sys; sys.modules['brotli'] = sys.modules['brotlicffi'] = None\n"
        "from flowgpt_magic.providers.flowgpt import request_headers; print(request_headers('')['Accept-Encoding'])"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "gzip, deflate"


async def test_a_token_is_sent_and_signed() -> None:
    async with serving(replying(line("x"))) as server:
        await read(ask(server, token=SECRET))
    sent = server.requests[0].headers
    assert sent["Authorization"] == f"Bearer {SECRET}"
    signed = f"{sent['x-timestamp']}-{sent['x-nonce']}-Bearer {SECRET}"
    assert sent["x-signature"] == hashlib.md5(signed.encode()).hexdigest()


async def test_the_body_is_ascii_json_with_its_keys_in_order() -> None:
    async with serving(replying(line("x"))) as server:
        await read(ask(server, model="gemini", temperature=0.25))
    body = server.requests[0].body
    assert body.isascii()
    expected = {
        "model": "google-gemini",
        "nsfw": False,
        "question": "Capital of France?",
        "history": [{"role": "assistant", "content": "Hello, how can I help you today?"}, *MESSAGES[1:3]],
        "system": "Be brief.",
        "temperature": 0.25,
        "promptId": "model-google-gemini",
        "documentIds": [],
        "chatFileDocumentIds": [],
        "generateImage": False,
        "generateAudio": False,
    }
    assert json.loads(body) == expected
    assert list(json.loads(body)) == list(expected)


@pytest.mark.parametrize(
    ("messages", "question", "history", "system"),
    [
        (
            [{"role": "user", "content": "hi"}],
            "hi",
            [],
            "You are helpful assistant. Follow the user's instructions carefully.",
        ),
        (
            [{"role": "system", "content": "a"}, {"role": "user", "content": "hi"}, {"role": "system", "content": "b"}],
            "b",
            [{"role": "user", "content": "hi"}],
            "a\nb",
        ),
        (
            [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "yes"}],
            "yes",
            [{"role": "user", "content": "hi"}],
            "You are helpful assistant. Follow the user's instructions carefully.",
        ),
        ([{"role": "system", "content": "only"}], "only", [], "only"),
    ],
)
async def test_question_history_and_system_prompt_come_from_the_messages(
    messages: list[dict[str, str]], question: str, history: list[dict[str, str]], system: str
) -> None:
    async with serving(replying(line("x"))) as server:
        await read(ask(server, messages))
    sent = server.requests[0].json
    assert (sent["question"], sent["history"][1:], sent["system"]) == (question, history, system)
    assert sent["temperature"] == 0.7


async def test_nothing_is_sent_or_judged_before_the_first_chunk_is_asked_for() -> None:
    async with serving(replying(line("x"))) as server:
        generator = ask(server, [], "no-such-model", proxy="socks5://x", temperature="hot", line_limit=-1)
        await asyncio.sleep(0)
        assert server.requests == []
        await generator.aclose()
    assert server.requests == []


async def test_the_messages_are_not_changed() -> None:
    messages = deepcopy(MESSAGES)
    async with serving(replying(line("x"))) as server:
        await read(ask(server, messages))
    assert messages == MESSAGES


def test_the_models_are_those_of_the_protocol() -> None:
    assert FlowGpt.get_models() == [
        "gpt-3.5-turbo",
        "gpt-3.5-long",
        "gpt-4-turbo",
        "google-gemini",
        "claude-instant",
        "claude-v1",
        "claude-v2",
        "llama2-13b",
        "mythalion-13b",
        "pygmalion-13b",
        "chronos-hermes-13b",
        "Mixtral-8x7B",
        "Dolphin-2.6-8x7B",
    ]
    assert FlowGpt.model_aliases == {"gemini": "google-gemini", "gemini-pro": "google-gemini"}
    assert (FlowGpt.get_model(""), FlowGpt.get_model(None)) == ("gpt-3.5-turbo", "gpt-3.5-turbo")
    assert (FlowGpt.url, FlowGpt.working) == ("https://flowgpt.com/chat", False)
    assert FlowGpt.supports_message_history
    assert FlowGpt.supports_system_message
    assert FlowGpt.supports_stream
    assert not FlowGpt.needs_auth


@pytest.mark.parametrize(
    ("options", "kind", "says"),
    [
        ({"model": "gpt-4-trubo"}, ModelNotSupportedError, "did you mean gpt-4-turbo"),
        ({"messages": []}, PromptError, "no message"),
        ({"messages": [{"role": "user"}]}, PromptError, "content"),
        ({"messages": [{"role": "user", "content": None}]}, PromptError, "text"),
        ({"messages": ["hi"]}, PromptError, "role"),
        ({"messages": [{"role": "user", "content": "hi"}, {"role": "user", "content": "x", "y": {1}}]}, None, ""),
        ({"messages": [{"role": "user", "content": "x", "y": {1}}] * 2}, PromptError, "JSON"),
        ({"temperature": float("inf")}, PromptError, "JSON"),
        ({"proxy": "socks5://127.0.0.1:1080"}, ProxyError, "socks5"),
        ({"token": "a b"}, SettingError, "token"),
        ({"read_timeout": -1}, SettingError, "read_timeout"),
        ({"line_limit": "few"}, SettingError, "line_limit"),
    ],
)
async def test_what_cannot_be_sent_is_an_error_before_anything_is_sent(
    options: dict[str, Any], kind: type[FlowGptError] | None, says: str
) -> None:
    async with serving(replying(line("x"))) as server:
        _, error = await read(ask(server, **options))
    if kind is None:
        assert error is None
        return
    assert type(error) is kind
    assert says in str(error)
    assert server.requests == []


async def test_the_address_and_the_token_come_from_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(replying(line("x"))) as server:
        monkeypatch.setenv("FLOWGPT_BASE_URL", server.url)
        monkeypatch.setenv("FLOWGPT_TOKEN", SECRET)
        assert await FlowGpt.create_async("", MESSAGES, unknown_option=1) == "x"
    assert server.requests[0].headers["Authorization"] == f"Bearer {SECRET}"


async def test_a_base_url_that_is_none_says_where_it_was_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLOWGPT_BASE_URL", "localhost:8765")
    with pytest.raises(SettingError, match="FLOWGPT_BASE_URL"):
        await FlowGpt.create_async("", MESSAGES)


# The stream


async def test_a_chunk_is_there_as_soon_as_its_line_is() -> None:
    read_first = asyncio.Event()

    async def answer(request: Request, connection: Connection) -> None:
        await connection.send(CHUNKED, framed(line("first")))
        await read_first.wait()
        await connection.send(framed(line("second")), END)

    async with serving(answer) as server:
        chunks = ask(server)
        assert await asyncio.wait_for(anext(chunks), PROMPT) == "first"
        read_first.set()
        assert [chunk async for chunk in chunks] == ["second"]


@pytest.mark.parametrize(
    ("body", "chunks"),
    [
        (line("a") + line("b"), ["a", "b"]),
        (line("a").replace(b"\n", b"\r\n") + line("b"), ["a", "b"]),
        (line("a") + line("b").rstrip(b"\n"), ["a", "b"]),
        (b"\n \t\r\n\x0b\x0c\n" + line("a") + b"\n\n", ["a"]),
        (b'{"id": 1}\n' + line("a"), ["a"]),
        (b'{"event": "end"}\n{"event": "metadata", "data": {"x": 1}}\n' + line("a"), ["a"]),
        (b'{"event": 7, "error": null}\n{"error": null}\n' + line("a"), ["a"]),
        (line("a") + line("") + line("b"), ["a", "b"]),
        (line("one\ntwo\r\n\nthree"), ["one\ntwo\r\n\nthree"]),
        (line("a", index=3, done=False), ["a"]),
        (b"\xef\xbb\xbf" + line("a"), ["a"]),
        (b"\xef\xbb\xbf\n" + line("a"), ["a"]),
        (b'{"event":"text","data":"\xc3\xa9\xf0\x9f\x98\x80"}\n', ["\u00e9\U0001f600"]),
        (line("\u2028 \x85 \x1c"), ["\u2028 \x85 \x1c"]),
    ],
)
async def test_the_stream_is_read_as_the_protocol_says(body: bytes, chunks: list[str]) -> None:
    async with serving(replying(body)) as server:
        assert await read(ask(server)) == (chunks, None)
    async with serving(replying(*cut(body, range(len(body))))) as server:
        assert await read(ask(server)) == (chunks, None)


@pytest.mark.parametrize(
    "response",
    [whole(line("a") + line("b")), head(Connection="close") + line("a") + line("b")],
    ids=["with a length", "until the connection closes"],
)
async def test_a_body_need_not_be_chunked(response: bytes) -> None:
    async with serving(answering(response)) as server:
        assert await read(ask(server)) == (["a", "b"], None)


async def test_a_server_that_names_its_request_changes_nothing_in_what_is_yielded() -> None:
    async with serving(answering(whole(line("a"), X_Request_Id="req-7"))) as server:
        chunks = [chunk async for chunk in ask(server)]

    assert chunks == ["a"]


@given(st.lists(st.text()), st.lists(st.integers(0, 100_000)), st.booleans())
def test_any_text_is_read_back_wherever_it_is_cut(texts: list[str], places: list[int], ascii_only: bool) -> None:
    events = [{"event": "text", "data": text} for text in texts]
    data = b"\n".join(json.dumps(event, ensure_ascii=ascii_only).encode() for event in events)
    splitter = LineSplitter(2**20)
    lines = [found for block in cut(data, places) for found in splitter.split(block)] + splitter.last()
    reader = EventReader()
    assert [reader.read(found) for found in lines] == [(text, None) for text in texts]


async def test_half_a_character_that_stays_alone_becomes_a_sign_that_can_be_stored() -> None:
    async with serving(replying(line("a\ud83d"), line("b"), line("\ude00c\ud83d"))) as server:
        chunks, error = await read(ask(server))
    assert "".join(chunks) == "a\ufffdb\ufffdc\ufffd"
    assert error is None


ENCODERS = {
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "br": brotli.compress,
}


@pytest.mark.parametrize("encoding", list(ENCODERS))
async def test_a_compressed_body_is_read_wherever_it_is_cut(encoding: str) -> None:
    body = ENCODERS[encoding](line("Bonjour \u00e0 ") + line("tous \U0001f600") * 40)
    for blocks in ([body], cut(body, range(len(body)))):
        async with serving(replying(*blocks, Content_Encoding=encoding)) as server:
            chunks, error = await read(ask(server))
        assert error is None
        assert chunks == ["Bonjour \u00e0 ", *["tous \U0001f600"] * 40]


async def test_a_compressed_line_is_there_as_soon_as_it_is_flushed() -> None:
    read_first = asyncio.Event()

    async def answer(request: Request, connection: Connection) -> None:
        packer = zlib.compressobj(wbits=31)
        start = head(Transfer_Encoding="chunked", Content_Encoding="gzip")
        await connection.send(start, framed(packer.compress(line("first")) + packer.flush(zlib.Z_SYNC_FLUSH)))
        await read_first.wait()
        await connection.send(framed(packer.compress(line("second")) + packer.flush()), END)

    async with serving(answer) as server:
        chunks = ask(server)
        assert await asyncio.wait_for(anext(chunks), PROMPT) == "first"
        read_first.set()
        assert [chunk async for chunk in chunks] == ["second"]


@pytest.mark.parametrize("size", [2**19, 2**22])
async def test_a_line_may_be_longer_than_the_http_library_allows(size: int) -> None:
    async with serving(replying(line("x" * size))) as server:
        chunks, error = await read(ask(server))
    assert error is None
    assert [len(chunk) for chunk in chunks] == [size]


# What goes wrong inside the stream


@pytest.mark.parametrize(
    "broken",
    [
        b"data: hello\n",
        b'{"event": "text", "data": "unfinished\n',
        b'["event", "text"]\n',
        b'{"event": "text"}\n',
        b'{"event": "text", "data": 7}\n',
        b'{"event": "text", "data": null}\n',
        b"<html>nothing here</html>\n",
        b'{"event": "text", "data": "unfinished',
    ],
)
async def test_a_line_that_is_not_the_protocol_is_quoted_after_the_chunks_before_it(broken: bytes) -> None:
    chunks, text = await fail(ProtocolError, replying(line("good") + broken + line("never")))
    assert chunks == ["good"]
    assert broken.split(b"\n")[0].decode() in text


async def test_bytes_that_are_not_utf8_are_an_error() -> None:
    chunks, text = await fail(ProtocolError, replying(line("good") + b'{"event":"text","data":"\xff\xfe"}\n'))
    assert chunks == ["good"]
    assert "UTF-8" in text


async def test_a_line_longer_than_the_limit_is_an_error_after_the_chunks_before_it() -> None:
    chunks, text = await fail(ProtocolError, stalling(CHUNKED, framed(line("good") + b"x" * 3000)), line_limit=2048)
    assert chunks == ["good"]
    assert "2048" in text


@pytest.mark.parametrize(
    ("report", "says"),
    [
        ({"event": "error", "message": "model overloaded"}, "model overloaded"),
        ({"event": "error", "data": "model overloaded"}, "model overloaded"),
        ({"statusCode": 400, "message": ["no promptId"], "error": "Bad Request"}, "no promptId"),
        ({"error": {"message": "quota"}}, "quota"),
        ({"message": "gone"}, "gone"),
    ],
)
async def test_a_failure_the_server_reports_is_an_error_with_its_text(report: dict[str, Any], says: str) -> None:
    chunks, text = await fail(ProviderError, replying(line("good") + json.dumps(report).encode() + b"\n"))
    assert chunks == ["good"]
    assert says in text
    assert text.count("\n") == 0


GOOD = framed(line("good"))


@pytest.mark.parametrize(
    "answer",
    [
        answering(CHUNKED, GOOD),
        answering(CHUNKED + GOOD),
        answering(CHUNKED, GOOD, b'40\r\n{"event"'),
        answering(CHUNKED, GOOD + b'40\r\n{"event"'),
        answering(head(Content_Length="1000"), line("good")),
        answering(head(Content_Length="1000") + line("good") + b'{"event": "te'),
        resetting(CHUNKED, GOOD),
        stalling(CHUNKED, GOOD, b"this is no size\r\n"),
        stalling(CHUNKED, GOOD + b"this is no size\r\n"),
        stalling(CHUNKED + GOOD + b"this is no size\r\n"),
        stalling(CHUNKED + GOOD + b"5\r\nmore than five\r\n"),
        stalling(CHUNKED, GOOD, b"-5\r\nhello\r\n"),
        stalling(CHUNKED, GOOD, b"ffffffffffffffffff\r\nhello\r\n"),
    ],
)
async def test_a_stream_that_breaks_off_says_so_at_once_and_its_chunks_are_kept(answer: Any) -> None:
    chunks, text = await fail(StreamInterruptedError, answer)
    assert chunks == ["good"]
    assert "127.0.0.1" in text


@pytest.mark.parametrize(
    "body",
    [zlib.compress(line("good") * 9)[:-12], b"this is not compressed"],
    ids=["cut", "not compressed"],
)
async def test_a_compressed_body_that_is_damaged_is_a_stream_that_broke_off(body: bytes) -> None:
    _, text = await fail(StreamInterruptedError, replying(body, Content_Encoding="deflate"))
    assert "127.0.0.1" in text


async def test_a_slow_reader_gets_every_chunk_that_came_before_the_break() -> None:
    lost = asyncio.Event()

    async def answer(request: Request, connection: Connection) -> None:
        await connection.send(CHUNKED, *[framed(line(str(index))) for index in range(50)])
        connection.writer.close()
        await connection.writer.wait_closed()
        lost.set()

    async with serving(answer) as server:
        chunks = ask(server)
        found = [await anext(chunks)]
        await asyncio.wait_for(lost.wait(), PROMPT)  # the bytes wait to be read
        more, error = await read(chunks)
    assert found + more == [str(index) for index in range(50)]
    assert type(error) is StreamInterruptedError


@pytest.mark.parametrize("answer", [answering(), resetting()], ids=["closed", "reset"])
async def test_a_connection_that_ends_without_an_answer_is_an_interrupted_stream(answer: Any) -> None:
    _, text = await fail(StreamInterruptedError, answer)
    assert "127.0.0.1" in text


async def test_what_is_not_http_is_a_protocol_error() -> None:
    await fail(ProtocolError, stalling(b"220 mail.example ESMTP\r\n"))


@pytest.mark.parametrize("blocks", [(), (CHUNKED,), (CHUNKED, GOOD)], ids=["at all", "of the body", "more"])
async def test_silence_ends_with_a_timeout(blocks: tuple[bytes, ...]) -> None:
    chunks, text = await fail(ProviderTimeoutError, stalling(*blocks), read_timeout=0.2)
    assert chunks == ["good"] * (len(blocks) == 2)
    assert "was silent for 0.2 s; to wait longer, use --timeout SECONDS (setting read_timeout)." in text


async def test_a_server_that_does_not_read_the_request_ends_with_a_timeout() -> None:
    async def ignore(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.pause_reading()
        await asyncio.Event().wait()

    async with listening(ignore, Server()) as server:
        messages = [{"role": "user", "content": "x" * 40_000_000}]
        _, error = await read(ask(server, messages, read_timeout=0.3))
    assert type(error) is ProviderTimeoutError


async def test_a_reply_may_take_longer_than_the_timeouts() -> None:
    async def answer(request: Request, connection: Connection) -> None:
        await connection.send(CHUNKED)
        for index in range(6):
            await asyncio.sleep(0.25)
            await connection.send(framed(line(str(index))))
        await connection.send(END)

    async with serving(answer) as server:
        chunks, error = await read(ask(server, read_timeout=1.2, connect_timeout=1.2))
    assert error is None
    assert len(chunks) == 6


@pytest.mark.parametrize("body", [b"", b"\n\n", b'{"event": "end"}\n', line("")])
async def test_an_empty_reply_is_complete_and_noticed(body: bytes) -> None:
    notices: list[str] = []
    async with serving(replying(body)) as server:
        with notices_to(notices.append):
            assert await read(ask(server)) == ([], None)
        with pytest.warns(FlowGptWarning, match="empty"):
            await read(ask(server))
    assert len(notices) == 1
    assert "empty" in notices[0]


# Statuses


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, ProviderStatusError),
        (401, AuthenticationError),
        (402, RateLimitError),
        (403, PermissionDeniedError),
        (404, ProviderStatusError),
        (429, RateLimitError),
        (500, ProviderStatusError),
        (503, ProviderStatusError),
        (307, ProviderStatusError),
    ],
)
async def test_a_status_is_an_error_with_its_number(status: int, kind: type[ProviderStatusError]) -> None:
    async with serving(answering(whole(b"because", status))) as server:
        chunks, error = await read(ask(server))
    assert chunks == []
    assert type(error) is kind
    assert error.status == status
    assert isinstance(error, ProviderStatusError)
    assert str(status) in str(error)
    assert ("because" in str(error)) == (status >= 400)


@pytest.mark.parametrize(("value", "seconds"), [("12", 12), ("Wed, 21 Oct 2015 07:28:00 GMT", 0), ("soon", None)])
async def test_too_many_requests_say_how_long_to_wait(value: str, seconds: float | None) -> None:
    async with serving(answering(whole(b"", 429, Retry_After=value))) as server:
        _, error = await read(ask(server))
    assert isinstance(error, RateLimitError)
    assert error.retry_after == seconds


async def test_of_the_body_of_a_status_five_hundred_characters_are_shown() -> None:
    _, text = await fail(ProviderStatusError, answering(whole(b"A" * 600, 500)))
    assert text.count("A") == 500


async def test_an_html_page_is_shown_as_its_text() -> None:
    page = b"<html><head><style>x{}</style></head><body><h1>Oops</h1><p>try &amp; again</p></body></html>"
    _, text = await fail(ProviderStatusError, answering(whole(page, 502, Content_Type="text/html")))
    assert text.endswith("502: Oops try & again.")


async def test_a_status_with_a_json_report_shows_its_message() -> None:
    _, text = await fail(ProviderStatusError, answering(whole(b'{"statusCode": 400, "message": "no model"}', 400)))
    assert text.endswith("400: no model.")


@pytest.mark.parametrize("title", ["Just a moment...", "Attention Required! | Cloudflare"])
async def test_a_bot_check_is_named_as_one(title: str) -> None:
    page = f"<!DOCTYPE html><html><head><title>{title}</title></head><body>x</body></html>".encode()
    _, text = await fail(PermissionDeniedError, answering(whole(page, 403, Content_Type="text/html")))
    assert "bot check" in text
    assert "x" not in text.split("bot check")[0][-4:]


@pytest.mark.parametrize(
    "answer", [stalling(head(500, Content_Length="99") + b"half"), answering(head(500, Content_Length="99") + b"half")]
)
async def test_a_status_whose_body_does_not_come_is_told_anyway(answer: Any) -> None:
    _, text = await fail(ProviderStatusError, answer, read_timeout=0.2)
    assert "500: half" in text


async def test_a_redirect_to_another_server_is_not_followed_and_the_token_goes_nowhere_else() -> None:
    async with serving(replying(line("x"))) as other:
        for status in (301, 302, 303, 307, 308):
            async with serving(answering(whole(b"", status, Location=f"{other.url}/v3/chat-anonymous"))) as server:
                _, error = await read(ask(server, token=SECRET))
            assert type(error) is ProviderStatusError
            assert other.url in str(error)
    assert other.requests == []


@pytest.mark.parametrize("status", [307, 308])
async def test_a_redirect_within_the_server_is_followed_with_all_of_the_request(status: int) -> None:
    async def answer(request: Request, connection: Connection) -> None:
        moved = whole(b"", status, Location="/eu/v3/chat-anonymous?x=1")
        await (answering(moved) if " /v3/" in request.line else replying(line("x")))(request, connection)

    async with serving(answer) as server:
        assert await read(ask(server, token=SECRET)) == (["x"], None)
    first, second = server.requests
    assert second.line == "POST /eu/v3/chat-anonymous?x=1 HTTP/1.1"
    assert second.body == first.body
    assert second.headers["Authorization"] == f"Bearer {SECRET}"


@pytest.mark.parametrize("kept", [0, 4, 12, -9])
async def test_a_compressed_reply_that_is_cut_is_never_whole(kept: int) -> None:
    body = gzip.compress(line("one ") + line("two"))[:kept]
    for answer in (replying(body, Content_Encoding="gzip"), answering(whole(body, Content_Encoding="gzip"))):
        async with serving(answer) as server:
            _, error = await read(ask(server))
        assert type(error) is StreamInterruptedError


async def test_a_token_the_server_repeats_is_not_shown() -> None:
    _, text = await fail(AuthenticationError, answering(whole(f"bad token {SECRET}".encode(), 401)), token=SECRET)
    assert SECRET not in text
    assert "FLOWGPT_TOKEN" in text
    report = {"event": "error", "message": f"bad token {SECRET}"}
    _, text = await fail(ProviderError, replying(json.dumps(report).encode()), token=SECRET)
    assert SECRET not in text
    _, text = await fail(ProtocolError, replying(f"Bearer {SECRET}".encode()), token=SECRET)
    assert SECRET not in text


async def test_a_token_that_would_cross_open_networks_unencrypted_is_noticed() -> None:
    notices: list[str] = []
    url = f"http://203.0.113.7.invalid:{closed_port()}"
    with notices_to(notices.append):
        await read(ask(url, token=SECRET))
        await read(ask(url))
        await read(ask(f"http://127.0.0.1:{closed_port()}", token=SECRET))
    assert len(notices) == 1
    assert "unencrypted" in notices[0]


# No connection


async def test_a_refused_connection_names_the_host_and_what_to_try() -> None:
    port = closed_port()
    _, error = await read(ask(f"http://127.0.0.1:{port}"))
    assert type(error) is ProviderConnectionError
    assert f"127.0.0.1:{port}" in str(error)
    assert "refused" in str(error)
    assert "FLOWGPT_BASE_URL" in str(error)


@pytest.mark.parametrize("trusted", [False, True])
async def test_a_failure_to_connect_names_the_proxy_of_the_environment(
    trusted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy = f"127.0.0.1:{closed_port()}"
    monkeypatch.setenv("HTTP_PROXY", f"http://me:{SECRET}@{proxy}")
    _, error = await read(ask(f"http://127.0.0.1:{closed_port()}", trust_env=trusted))
    assert type(error) is ProviderConnectionError
    assert f"proxy http://{proxy}" in str(error)
    assert "HTTP_PROXY in the environment" in str(error)
    assert ("setting trust_env" in str(error)) is not trusted
    assert SECRET not in str(error)


@pytest.mark.parametrize(
    "answer", [answering(), answering(whole(b"Oops.", 500)), answering(whole(b"", 401)), replying(b"{broken")]
)
async def test_an_error_ends_in_one_full_stop(answer: Any) -> None:
    async with serving(answer) as server:
        _, error = await read(ask(server))
    assert re.search(r"[^.]\.$", str(error))


@pytest.mark.parametrize("host", ["no-such-host.invalid", "a" * 64 + ".invalid"])
async def test_a_name_that_is_not_found_is_a_connection_error(host: str) -> None:
    _, error = await read(ask(f"http://{host}"))
    assert type(error) in (ProviderConnectionError, SettingError)
    assert host in str(error)


async def test_a_certificate_nobody_trusts_is_refused() -> None:
    async with serving(replying(line("x")), tls=certificates.server_context("unknown")) as server:
        _, error = await read(ask(server))
    assert type(error) is ProviderConnectionError
    assert "certificate" in str(error)
    assert server.requests == []


async def test_a_server_that_does_not_speak_tls_is_a_connection_error() -> None:
    async def complain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        await Connection(reader, writer).send(whole(b"this is http", 400))

    async with listening(complain, Server(), tls=False) as server:
        _, error = await read(ask(server.url.replace("http:", "https:")))
    assert type(error) is ProviderConnectionError
    assert "TLS" in str(error)


async def test_a_connection_that_does_not_come_about_is_a_timeout() -> None:
    async def ignore(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.Event().wait()

    async with listening(ignore, Server(), tls=False) as server:
        _, error = await read(ask(server.url.replace("http:", "https:"), connect_timeout=0.2))
    assert type(error) is ConnectTimeoutError
    assert "0.2 s" in str(error)


async def test_no_answer_of_the_public_service_says_what_else_there_is() -> None:
    async with proxying(refuse=502) as proxy:
        _, error = await read(FlowGpt.create_async_generator("", MESSAGES, proxy.url))  # type: ignore[arg-type]
    assert type(error) is ProviderConnectionError
    assert "FLOWGPT_BASE_URL" in str(error)
    assert "install-model" in str(error)


# Proxies


async def test_a_proxy_carries_the_request_and_learns_its_own_password_only() -> None:
    async with proxying() as proxy, serving(replying(line("x")), tls=False) as server:
        url = proxy.url.replace("//", f"//me:{SECRET}%C3%A9@")
        assert await read(ask(server, proxy=url)) == (["x"], None)
    sent = proxy.requests[0]
    assert sent.line == f"POST {server.url}/v3/chat-anonymous HTTP/1.1"
    assert sent.headers["Proxy-Authorization"].startswith("Basic ")
    assert sent.headers["Authorization"] == "Bearer null"


async def test_a_tunnel_is_asked_for_without_the_headers_of_the_request() -> None:
    async with proxying(refuse=502) as proxy:
        url = proxy.url.replace("//", f"//me:{SECRET}@")
        await read(ask("https://service.invalid", proxy=url, token="the-token"))
    [sent] = proxy.requests
    assert sent.line == "CONNECT service.invalid:443 HTTP/1.1"
    assert "the-token" not in str(sent.headers)
    assert not {"Authorization", "x-signature", "x-nonce", "Origin"} & set(sent.headers)
    assert sent.headers["Proxy-Authorization"].startswith("Basic ")


@pytest.mark.parametrize("base_url", ["http://service.invalid", "https://service.invalid"])
async def test_a_proxy_that_wants_another_password_is_a_connection_error(base_url: str) -> None:
    async with proxying(refuse=407) as proxy:
        url = proxy.url.replace("//", f"//me:{SECRET}@")
        _, error = await read(ask(base_url, proxy=url))
    assert type(error) is ProviderConnectionError
    assert "password" in str(error)
    everything = "".join(traceback.format_exception(error)) + repr(error)
    assert SECRET not in everything
    assert "Basic" not in everything


async def test_a_proxy_that_is_not_there_is_named_without_its_password() -> None:
    port = closed_port()
    _, error = await read(ask("http://service.invalid", proxy=f"http://me:{SECRET}@127.0.0.1:{port}"))
    assert type(error) is ProviderConnectionError
    assert f"proxy http://127.0.0.1:{port}" in str(error)
    assert SECRET not in "".join(traceback.format_exception(error)) + repr(error)


async def test_the_proxy_of_the_settings_is_used_unless_an_empty_one_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    async with proxying() as proxy, serving(replying(line("x"))) as server:
        monkeypatch.setenv("FLOWGPT_PROXY", proxy.url)
        await read(ask(server))
        assert len(proxy.requests) == 1
        await read(ask(server, proxy=""))
        assert len(proxy.requests) == 1


async def test_the_environment_s_proxy_is_used_only_when_a_setting_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    async with proxying() as proxy, serving(replying(line("x"))) as server:
        monkeypatch.setenv(f"{server.scheme}_proxy", proxy.url)
        await read(ask(server))
        assert proxy.requests == []
        await read(ask(server, trust_env=True))
    assert len(proxy.requests) == 1


# Leaving


async def leave_by_break(chunks: AsyncGenerator[str, None]) -> None:
    async for _ in chunks:
        break
    del chunks


async def leave_by_aclose(chunks: AsyncGenerator[str, None]) -> None:
    await anext(chunks)
    await chunks.aclose()


async def leave_by_cancelling(chunks: AsyncGenerator[str, None]) -> None:
    await anext(chunks)
    task = asyncio.create_task(anext(chunks))  # type: ignore[arg-type]
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def leave_by_an_error(chunks: AsyncGenerator[str, None]) -> None:
    await anext(chunks)
    with pytest.raises(RuntimeError, match="mine"):
        await chunks.athrow(RuntimeError("mine"))


@pytest.mark.parametrize("leave", [leave_by_break, leave_by_aclose, leave_by_cancelling, leave_by_an_error])
async def test_leaving_early_closes_the_connection_at_once(leave: Any) -> None:
    async with serving(stalling(CHUNKED, framed(line("a")))) as server:
        chunks = [ask(server)]
        await leave(chunks.pop())
        await asyncio.wait_for(server.gone.wait(), AT_ONCE)


async def test_cancelling_before_the_answer_closes_the_connection_at_once() -> None:
    async with serving(stalling()) as server:
        task = asyncio.create_task(FlowGpt.create_async("", MESSAGES, base_url=server.url))
        await asyncio.wait_for(server.asked.wait(), PROMPT)
        task.cancel()
        await asyncio.wait_for(server.gone.wait(), AT_ONCE)
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_leaving_while_the_server_reads_slowly_closes_the_connection_at_once() -> None:
    asked, gone = asyncio.Event(), asyncio.Event()

    async def ignore(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        received.append(await reader.read(2**16))
        writer.transport.pause_reading()
        asked.set()
        await left.wait()
        writer.transport.resume_reading()
        try:
            while block := await reader.read(2**20):
                received.append(block)
        finally:
            gone.set()

    left = asyncio.Event()
    received: list[bytes] = []
    async with listening(ignore, Server()) as server:
        messages = [{"role": "user", "content": "x" * 40_000_000}]
        task = asyncio.create_task(read(ask(server, messages)))
        await asyncio.wait_for(asked.wait(), PROMPT)  # all of the request is too much for what lies between
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        left.set()
        await asyncio.wait_for(gone.wait(), PROMPT)
    assert sum(map(len, received)) < 40_000_000


async def test_the_whole_reply_is_one_text_and_cancelling_it_closes_the_connection() -> None:
    async with serving(replying(line("Par"), line("is"))) as server:
        assert await FlowGpt.create_async("", MESSAGES, base_url=server.url) == "Paris"
    async with serving(stalling(CHUNKED, framed(line("a")))) as server:
        task = asyncio.create_task(FlowGpt.create_async("", MESSAGES, base_url=server.url))
        await asyncio.wait_for(server.asked.wait(), PROMPT)
        task.cancel()
        await asyncio.wait_for(server.gone.wait(), AT_ONCE)


async def test_a_reply_that_ends_closes_its_connection() -> None:
    async def answer(request: Request, connection: Connection) -> None:
        await connection.send(CHUNKED, framed(line("a")), END)
        await asyncio.Event().wait()

    async with serving(answer) as server:
        assert await read(ask(server)) == (["a"], None)
        await asyncio.wait_for(server.gone.wait(), AT_ONCE)


async def test_code_that_is_not_async_reads_chunks_as_they_arrive_while_a_loop_runs_around_it() -> None:
    """The server runs on a loop of another thread, since this one is blocked while the generator is read."""
    ready, done = threading.Event(), threading.Event()
    read_first: list[Any] = []
    servers: list[Server] = []

    async def answer(request: Request, connection: Connection) -> None:
        await connection.send(CHUNKED, framed(line("first")))
        await asyncio.get_running_loop().run_in_executor(None, proceed.wait, PROMPT)
        await connection.send(framed(line("second")))
        await asyncio.Event().wait()

    async def serve() -> None:
        async with serving(answer) as server:
            servers.append(server)
            ready.set()
            await asyncio.wait_for(server.gone.wait(), PROMPT)
            done.set()

    proceed = threading.Event()
    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    assert ready.wait(PROMPT)
    chunks = FlowGpt.create_completion("", MESSAGES, base_url=servers[0].url)
    read_first.append(next(chunks))
    proceed.set()
    assert [*read_first, next(chunks)] == ["first", "second"]
    chunks.close()  # type: ignore[attr-defined]
    assert done.wait(AT_ONCE)
    thread.join()


def test_code_that_is_not_async_needs_no_loop() -> None:
    with pytest.raises(ProviderConnectionError):
        list(FlowGpt.create_completion("", MESSAGES, base_url=f"http://127.0.0.1:{closed_port()}"))


def test_a_reply_leaves_nothing_open_behind() -> None:
    async def main() -> None:
        async with serving(replying(line("a"))) as server:
            assert await read(ask(server)) == (["a"], None)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        asyncio.run(main())

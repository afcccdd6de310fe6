"""Servers of the OpenAI protocol on loopback: what they send is made here, event by event."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.servers import Answer, Connection, Request, Server, framed, head, serving, whole

STREAM = head(Content_Type="text/event-stream", Transfer_Encoding="chunked")
END = b"0\r\n\r\n"
DONE = b"data: [DONE]\n\n"
USAGE = {"prompt_tokens": 9, "completion_tokens": 12, "total_tokens": 21}


def event(**more: Any) -> bytes:
    """One event of a reply."""
    said = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1795537475, "model": "m"}
    return b"data: %s\n\n" % json.dumps({**said, **more}).encode()


def chunk(text: str | None = None, reason: str | None = None, **delta: Any) -> bytes:
    """An event that brings text, or the reason why there is no more, or something else in its delta."""
    given = {**({} if text is None else {"content": text}), **delta}
    return event(choices=[{"index": 0, "delta": given, "finish_reason": reason}])


def reply(*words: str, reason: str = "stop", model: str = "m") -> bytes:
    """A whole reply, as OpenAI sends it."""
    first = event(
        choices=[{"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}], model=model
    )
    rest = b"".join(chunk(word) for word in words)
    return first + rest + chunk(reason=reason) + event(choices=[], usage=USAGE) + DONE


def streaming(*blocks: bytes) -> Answer:
    """A good chunked response with this body, whatever is asked."""

    async def answer(request: Request, connection: Connection) -> None:
        await connection.send(STREAM, *map(framed, blocks), END)

    return answer


def refusing(status: int, report: Any, **headers: str) -> Answer:
    """An error status with this report as JSON, or this text."""
    body = report.encode() if isinstance(report, str) else json.dumps(report).encode()

    async def answer(request: Request, connection: Connection) -> None:
        await connection.send(whole(body, status, **{"Content_Type": "application/json", **headers}))

    return answer


def speaking(*words: str, models: Any = ("m",), key: str = "") -> Answer:
    """A server that lists ``models``, and says ``words``; with a ``key`` only to those who bring it."""

    async def answer(request: Request, connection: Connection) -> None:
        if key and request.headers.get("Authorization") != f"Bearer {key}":
            return await refusing(401, {"error": {"message": "wrong key"}})(request, connection)
        if request.line.startswith("GET /v1/models "):
            listed = {"object": "list", "data": [{"id": name, "object": "model"} for name in models]}
            return await connection.send(whole(json.dumps(listed).encode(), Content_Type="application/json"))
        if request.line.startswith("POST /v1/chat/completions "):
            return await streaming(reply(*words))(request, connection)
        return await refusing(404, "404 page not found", Content_Type="text/plain")(request, connection)

    return answer


@contextmanager
def background(answer: Answer) -> Iterator[Server]:
    """The server on a thread of its own, for tests that are not async."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    context = serving(answer)
    try:
        yield asyncio.run_coroutine_threadsafe(context.__aenter__(), loop).result(10)
    finally:
        asyncio.run_coroutine_threadsafe(context.__aexit__(None, None, None), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


def blind() -> Answer:
    """A server whose model reads text only, and says ``fine``."""

    async def answer(request: Request, connection: Connection) -> None:
        if any(isinstance(message["content"], list) for message in request.json["messages"]):
            report = {"message": "image input is not supported", "type": "invalid_request_error", "code": 400}
            return await refusing(400, {"error": report})(request, connection)
        return await streaming(reply("fine"))(request, connection)

    return answer


def picky(*refused: str, words: str = "Unsupported parameter: '{}' is not supported with this model.") -> Answer:
    """A server whose model takes none of these fields, and says so in these words."""

    async def answer(request: Request, connection: Connection) -> None:
        if (name := next((each for each in refused if each in request.json), None)) is None:
            return await streaming(reply("fine"))(request, connection)
        report = {"message": words.format(name), "type": "invalid_request_error", "param": name, "code": "unsupported"}
        return await refusing(400, {"error": report})(request, connection)

    return answer

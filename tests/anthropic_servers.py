"""Servers of Claude's Messages API on loopback: what they send is made here, event by event."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from tests.openai_servers import refusing, streaming
from tests.servers import Answer, Connection, Request, whole

USAGE = {"input_tokens": 9, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0, "output_tokens": 1}
MODEL = "claude-test-1"


def event(kind: str, **more: Any) -> bytes:
    """One event of a reply."""
    return b"event: %s\ndata: %s\n\n" % (kind.encode(), json.dumps({"type": kind, **more}).encode())


def start(usage: Any = USAGE, **more: Any) -> bytes:
    """The event that begins a message."""
    said = {"id": "msg_1", "type": "message", "role": "assistant", "model": MODEL, "content": [], "stop_reason": None}
    return event("message_start", message={**said, "stop_sequence": None, "usage": usage, **more})


def block(number: int, fields: Any, *deltas: Any) -> bytes:
    """A whole content block."""
    events = [event("content_block_delta", index=number, delta=delta) for delta in deltas]
    begun = event("content_block_start", index=number, content_block=fields)
    return begun + b"".join(events) + event("content_block_stop", index=number)


def word(text: str, number: int = 0) -> bytes:
    """An event that brings text."""
    return event("content_block_delta", index=number, delta={"type": "text_delta", "text": text})


def text(*words: str, number: int = 0, citations: Sequence[Any] = ()) -> bytes:
    """A block of text."""
    deltas = [{"type": "text_delta", "text": each} for each in words]
    cited = [{"type": "citations_delta", "citation": each} for each in citations]
    return block(number, {"type": "text", "text": ""}, *deltas, *cited)


def thinking(*words: str, number: int = 0, signature: str = "c2lnbmVk") -> bytes:
    """A block of reasoning, and its signature unless that is empty."""
    deltas: list[Any] = [{"type": "thinking_delta", "thinking": each} for each in words]
    signed = [{"type": "signature_delta", "signature": signature}] if signature else []
    return block(number, {"type": "thinking", "thinking": "", "signature": ""}, *deltas, *signed)


def end(reason: str = "end_turn", usage: Any = None, **more: Any) -> bytes:
    """The events that end a message."""
    counts = {"output_tokens": 12} if usage is None else usage
    return event("message_delta", delta={"stop_reason": reason, **more}, usage=counts) + event("message_stop")


def failure(kind: str, message: str) -> bytes:
    """An event that reports a failure."""
    return event("error", error={"type": kind, "message": message})


def reply(*words: str, reason: str = "end_turn") -> bytes:
    """A whole reply, as Claude sends it."""
    return start() + event("ping") + text(*words) + end(reason)


def report(kind: str, message: str) -> dict[str, Any]:
    """The body of an error status."""
    return {"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_1"}


def invalid(message: str) -> Answer:
    """A server that refuses the request with these words."""
    return refusing(400, report("invalid_request_error", message))


def message(*content: Any, reason: str = "end_turn") -> bytes:
    """A reply in one JSON object."""
    said = {"id": "msg_1", "type": "message", "role": "assistant", "model": MODEL, "content": list(content)}
    return json.dumps({**said, "stop_reason": reason, "usage": {**USAGE, "output_tokens": 12}}).encode()


def speaking(*words: str, models: Any = (MODEL,), key: str = "") -> Answer:
    """A server that lists ``models``, two on a page, and says ``words``; with a ``key`` only to those who bring it."""

    async def answer(request: Request, connection: Connection) -> None:
        if key and request.headers.get("x-api-key") != key:
            return await refusing(401, report("authentication_error", "invalid x-api-key"))(request, connection)
        path = request.line.split(" ")[1]
        if request.line.startswith("GET /v1/models?"):
            names = [*models]
            begin = next((names.index(name) + 1 for name in names if path.endswith(f"after_id={name}")), 0)
            page = names[begin : begin + 2]
            entries = [{"type": "model", "id": name, "max_input_tokens": 200_000} for name in page]
            listed = {"data": entries, "has_more": begin + 2 < len(names), "last_id": page[-1] if page else None}
            return await connection.send(whole(json.dumps(listed).encode(), Content_Type="application/json"))
        if path == "/v1/messages":
            return await streaming(reply(*words))(request, connection)
        return await refusing(404, report("not_found_error", "Not found"))(request, connection)

    return answer


def in_turn(*answers: Answer) -> Answer:
    """A server that answers the first request in the first way, and so on; the last one also answers all others."""
    count = 0

    async def answer(request: Request, connection: Connection) -> None:
        nonlocal count
        count += 1
        await answers[min(count, len(answers)) - 1](request, connection)

    return answer

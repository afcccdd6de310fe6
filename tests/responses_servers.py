"""Servers of OpenAI's Responses API on loopback: what they send is made here, event by event."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from typing import Any

from tests.openai_servers import refusing, streaming
from tests.servers import Answer, Connection, Request

USAGE = {
    "input_tokens": 9,
    "input_tokens_details": {"cached_tokens": 4},
    "output_tokens": 12,
    "output_tokens_details": {"reasoning_tokens": 5},
    "total_tokens": 21,
}
ONLY_RESPONSES = {
    "message": "This model is only supported in v1/responses and not in v1/chat/completions.",
    "type": "invalid_request_error",
    "param": "model",
    "code": None,
}
_numbers = itertools.count()


def event(kind: str, **more: Any) -> bytes:
    """One event of a reply."""
    data = {"type": kind, "sequence_number": next(_numbers), **more}
    return b"event: %s\ndata: %s\n\n" % (kind.encode(), json.dumps(data).encode())


def response(status: str = "completed", *output: Any, usage: Any = USAGE, **more: Any) -> dict[str, Any]:
    """A whole response."""
    fields = {"parallel_tool_calls": True, "tool_choice": "auto", "tools": [], "created_at": 1795537475.0}
    said = {"id": "resp_1", "object": "response", "model": "m", "status": status, "output": list(output)}
    return {**fields, **said, "usage": usage, **more}


def message(text: str, annotations: Sequence[Any] = (), **more: Any) -> dict[str, Any]:
    """An item with the text of a reply."""
    content = [{"type": "output_text", "text": text, "annotations": list(annotations)}]
    return {"type": "message", "id": "m1", "role": "assistant", "status": "completed", "content": content, **more}


def thoughts(*summary: str, number: int = 1, encrypted: str | None = "opaque") -> dict[str, Any]:
    """An item with reasoning."""
    parts = [{"type": "summary_text", "text": text} for text in summary]
    return {"type": "reasoning", "id": f"rs{number}", "summary": parts, "encrypted_content": encrypted}


def start() -> bytes:
    """The event that begins a reply."""
    return event("response.created", response=response("in_progress", usage=None))


def word(text: str, index: int = 0, **more: Any) -> bytes:
    """An event that brings text."""
    place = {"item_id": "m1", "output_index": index, "content_index": 0}
    return event("response.output_text.delta", **place, delta=text, logprobs=[], **more)


def thought(text: str, part: int = 0) -> bytes:
    """An event that brings a summary of reasoning."""
    place = {"item_id": "rs1", "output_index": 0, "summary_index": part}
    return event("response.reasoning_summary_text.delta", **place, delta=text, obfuscation="x" * (len(text) % 3))


def item_done(item: Any, index: int = 0) -> bytes:
    """An event that brings a whole item."""
    return event("response.output_item.done", output_index=index, item=item)


def end(status: str = "completed", *output: Any, **more: Any) -> bytes:
    """The event that ends a reply."""
    return event(f"response.{status}", response=response(status, *output, **more))


def reply(*words: str) -> bytes:
    """A whole reply, as OpenAI sends it."""
    return start() + b"".join(map(word, words)) + end("completed", message("".join(words)))


def speaking(*words: str) -> Answer:
    """A server that answers this, at its Responses API only."""
    return at_path("responses", streaming(reply(*words)), ONLY_RESPONSES)


def at_path(path: str, good: Answer, error: Any) -> Answer:
    """``good`` for calls of this path, and a 404 with this error for others."""

    async def answer(request: Request, connection: Connection) -> None:
        is_right = request.line.split()[1].endswith(f"/{path}")
        await (good if is_right else refusing(404, {"error": error}))(request, connection)

    return answer

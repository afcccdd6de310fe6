"""Three servers on this machine that speak as the real ones do, for the notebook 09-models-of-today.

They multiply, and think first. ``/v1/chat/completions`` speaks as OpenAI-compatible servers do, ``/v1/responses`` as
OpenAI, ``/v1/messages`` as Claude. Nothing leaves this machine.
"""

from __future__ import annotations

import base64
import json
import re
import struct
import threading
import time
import zlib
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

PACE = 0.02  # seconds between two words
CHARACTERS = 4  # per token

Body = dict[str, Any]


def serve() -> str:
    """Start the server on a free port of 127.0.0.1, and return its address. It ends with the kernel."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_port}"


class Handler(BaseHTTPRequestHandler):
    """One request: the path says which protocol is spoken."""

    def do_GET(self) -> None:
        names = ("thinker", "painter", "claude-loopback")
        self._send("application/json", [json.dumps({"object": "list", "data": [{"id": name} for name in names]})])

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        events = {"/v1/chat/completions": chat, "/v1/responses": responses, "/v1/messages": claude}[self.path](body)
        self._send("text/event-stream", events)

    def _send(self, kind: str, blocks: Any) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.end_headers()
        for block in blocks:
            self.wfile.write(block.encode())
            self.wfile.flush()

    def log_message(self, *_args: object) -> None:
        """Be quiet."""


def solved(prompt: str) -> tuple[str, str]:
    """The reasoning and the answer."""
    if product := re.search(r"(\d+) *[x*] *(\d+)", prompt):
        a, b = map(int, product.groups())
        tens, ones = b // 10 * 10, b % 10
        steps = f"{a} * {tens} is {a * tens}. {a} * {ones} is {a * ones}. The sum of both is {a * b}."
        return steps, f"The product is **{a * b}**."
    count = len(prompt.split())
    return f"The prompt has {count} words. There is nothing to multiply.", f"I only multiply. You wrote {count} words."


def words(text: str) -> Iterator[str]:
    """The text in chunks, at the pace of a model."""
    for word in re.findall(r"\S+\s*", text):
        time.sleep(PACE)
        yield word


def tokens(text: Any) -> int:
    return max(1, len(text if isinstance(text, str) else json.dumps(text, ensure_ascii=False)) // CHARACTERS)


def last_text(messages: list[Body]) -> str:
    """The text of the last message."""
    content = messages[-1]["content"]
    return content if isinstance(content, str) else " ".join(part.get("text", "") for part in content)


def line(data: Body) -> str:
    """A server-sent event as chat servers send it."""
    return f"data: {json.dumps(data)}\n\n"


def named(data: Body) -> str:
    """A server-sent event that has the name of its type."""
    return f"event: {data['type']}\n{line(data)}"


def chat(body: Body) -> Iterator[str]:
    """Chat completions with ``reasoning_content``, pictures, and the cost of the request."""
    reasoning, answer = solved(last_text(body["messages"]))
    frame: Body = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "model": body["model"], "created": 0}

    def delta(fields: Body, reason: str | None = None) -> str:
        return line({**frame, "choices": [{"index": 0, "delta": fields, "finish_reason": reason}]})

    if body["model"] == "painter":
        reasoning, answer = "", "Here it is."
        yield delta({"images": [{"type": "image_url", "image_url": {"url": picture()}}]})
    for word in words(reasoning):
        yield delta({"reasoning_content": word})
    for word in words(answer):
        yield delta({"content": word})
    yield delta({}, "stop")
    sent, thought = tokens(body["messages"]), tokens(reasoning) if reasoning else 0
    usage = {"prompt_tokens": sent, "completion_tokens": thought + tokens(answer), "cost": 0.00042}
    yield line({**frame, "choices": [], "usage": {**usage, "completion_tokens_details": {"reasoning_tokens": thought}}})
    yield "data: [DONE]\n\n"


def responses(body: Body) -> Iterator[str]:
    """OpenAI's Responses API: a summary of the reasoning, its encrypted content, and the text."""
    reasoning, answer = solved(last_text([each for each in body["input"] if each.get("role") == "user"]))
    response: Body = {"id": "resp_1", "object": "response", "model": body["model"], "output": []}
    response["status"] = "in_progress"
    yield named({"type": "response.created", "response": response})
    thought: Body = {"id": "rs_1", "type": "reasoning", "summary": [], "encrypted_content": "opaque"}
    yield named({"type": "response.output_item.added", "output_index": 0, "item": thought})
    place: Body = {"item_id": "rs_1", "output_index": 0, "summary_index": 0}
    for word in words(reasoning):
        yield named({"type": "response.reasoning_summary_text.delta", **place, "delta": word})
    thought["summary"] = [{"type": "summary_text", "text": reasoning}]
    yield named({"type": "response.output_item.done", "output_index": 0, "item": thought})
    message: Body = {"id": "msg_1", "type": "message", "role": "assistant", "status": "in_progress", "content": []}
    yield named({"type": "response.output_item.added", "output_index": 1, "item": message})
    place = {"item_id": "msg_1", "output_index": 1, "content_index": 0}
    for word in words(answer):
        yield named({"type": "response.output_text.delta", **place, "delta": word})
    message |= {"status": "completed", "content": [{"type": "output_text", "text": answer, "annotations": []}]}
    yield named({"type": "response.output_item.done", "output_index": 1, "item": message})
    usage = {"input_tokens": tokens(body["input"]), "output_tokens": tokens(reasoning) + tokens(answer)}
    usage |= {"output_tokens_details": {"reasoning_tokens": tokens(reasoning)}}
    response |= {"status": "completed", "output": [thought, message], "usage": usage}
    yield named({"type": "response.completed", "response": response})


def claude(body: Body) -> Iterator[str]:
    """Claude's Messages API: thinking if it is asked for, a text that cites a document, and cached tokens."""
    prompt = last_text(body["messages"])
    reasoning, answer = solved(prompt)
    sent, cached = tokens(body["messages"]), 0 if len(body["messages"]) < 2 else tokens(body["messages"][:-2])
    usage = {"input_tokens": sent - cached, "cache_read_input_tokens": cached, "cache_creation_input_tokens": 0}
    message: Body = {"id": "msg_1", "type": "message", "role": "assistant", "model": body["model"], "content": []}
    yield named({"type": "message_start", "message": {**message, "usage": {**usage, "output_tokens": 1}}})
    if body.get("thinking", {}).get("type") not in (None, "disabled"):
        yield from block(0, {"type": "thinking", "thinking": "", "signature": ""}, "thinking", reasoning)
    yield from block(1, {"type": "text", "text": ""}, "text", answer, cited(body["messages"]))
    final = {"output_tokens": tokens(reasoning) + tokens(answer)}
    yield named({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": final})
    yield named({"type": "message_stop"})


def block(index: int, content: Body, kind: str, text: str, citations: tuple[Body, ...] = ()) -> Iterator[str]:
    """A content block of Claude's, word by word."""
    yield named({"type": "content_block_start", "index": index, "content_block": content})
    deltas = [{"type": f"{kind}_delta", kind: word} for word in re.findall(r"\S+\s*", text)]
    deltas += [{"type": "citations_delta", "citation": citation} for citation in citations]
    if kind == "thinking":
        deltas.append({"type": "signature_delta", "signature": "c2lnbmVk"})
    for delta in deltas:
        time.sleep(PACE)
        yield named({"type": "content_block_delta", "index": index, "delta": delta})
    yield named({"type": "content_block_stop", "index": index})


def cited(messages: list[Body]) -> tuple[Body, ...]:
    """A citation of the first document of the last message, if there is one."""
    content = messages[-1]["content"]
    documents = [part for part in content if isinstance(part, dict) and part.get("type") == "document"]
    if not documents:
        return ()
    title = documents[0].get("title", "the document")
    place = {"document_index": 0, "document_title": title, "start_page_number": 1, "end_page_number": 2}
    return ({"type": "page_location", "cited_text": "17 * 23 = 391", **place},)


def picture(side: int = 96) -> str:
    """A PNG with a gradient, as a data URL."""
    rows = b"".join(b"\0" + bytes(v for x in range(side) for v in (2 * x, 2 * y, 160)) for y in range(side))

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">2I5B", side, side, 8, 2, 0, 0, 0)
    png = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"

"""Read the events of Claude's Messages API: the text and the reasoning of a reply, and everything else in it.

A message consists of blocks, each with a start, deltas and a stop. A reply is complete when its server says so, with a
``stop_reason`` or ``message_stop``, or sends the message as one JSON object. Unknown events are ignored, as the API
demands. Text blocks follow each other without a gap; where another block stands between them, a blank line does.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from flowgpt_magic.control_characters import SurrogateJoiner, join_surrogates
from flowgpt_magic.errors import ProtocolError, ProviderError, StreamInterruptedError
from flowgpt_magic.messages import Reasoning, Usage, notice
from flowgpt_magic.messages.extras import Citation, Extras
from flowgpt_magic.providers.claude.errors import ClaudeErrorMapper
from flowgpt_magic.providers.claude.requests import LENGTH
from flowgpt_magic.providers.failure_reports import failure_text, reports_failure
from flowgpt_magic.providers.http import client as http
from flowgpt_magic.providers.http.connection import Endpoint
from flowgpt_magic.providers.http.lenient_events import CUT_EVENT, ERROR_EVENT, UNFRAMED_EVENT
from flowgpt_magic.providers.http.server_sent_events import MESSAGE_EVENT, Event
from flowgpt_magic.providers.openai.chunk_template import ChunkTemplate
from flowgpt_magic.providers.openai.errors import path_advice
from flowgpt_magic.providers.openai.exchange import EXCERPT_LIMIT, EventReader
from flowgpt_magic.text import cut, sentences

TEMPLATE_AFTER = 8  # chunks; only longer replies are worth a template
LARGEST_COUNT = 10**9  # tokens; a server that says more is wrong
TEXT, THINKING, REDACTED, TOOL = "text", "thinking", "redacted_thinking", "tool_use"
SERVER_BLOCKS = re.compile("server_tool_use|.*_tool_result|container_upload|fallback|compaction")  # of server tools
GOOD_REASONS = ("end_turn", "stop_sequence", "tool_use", "stop")
LENGTH_REASONS = ("max_tokens", "length")
COUNTS = ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")


@dataclass
class _Block:
    """A content block: its ``fields`` at its start, and the pieces of its deltas."""

    kind: str
    fields: Mapping[str, Any]
    pieces: list[str] = field(default_factory=list)
    signature: list[str] = field(default_factory=list)
    citations: list[int] = field(default_factory=list)

    @property
    def text(self) -> str:
        return "".join(self.pieces)


class ClaudeReplyReader(EventReader):
    """Reads the events of one reply.

    ``read`` returns the text of each event, or its ``Reasoning``, until ``done``. After the last event call ``finish``,
    ``send_notices``, ``extras`` and ``usage``.

    Args:
        body: the body of the request.
        errors: makes the errors for failures that the server reports.
        endpoint: the server, for messages.
        own_length: ``max_tokens`` is our default, not the user's.
    """

    def __init__(
        self, body: Mapping[str, Any], errors: ClaudeErrorMapper, endpoint: Endpoint, *, own_length: bool = False
    ) -> None:
        super().__init__()
        self._body = body
        self._errors = errors
        self._endpoint = endpoint
        self._own_length = own_length
        self._surrogates, self._reasoning_surrogates = SurrogateJoiner(), SurrogateJoiner()
        self._blocks: dict[Any, _Block] = {}  # by index
        self._begun = False  # has a message begun?
        self._last_character = ""  # of the text
        self._needs_gap = False  # has another block ended since the text?
        self._sources: dict[tuple[Any, ...], Citation] = {}
        self._other_blocks: dict[str, list[Any]] = {}  # unknown ones by type
        self._counts: dict[str, Any] = {}
        self._answered_by = ""
        self._stop_reason = ""
        self._stop_details: Mapping[str, Any] = {}
        self._unread = b""  # content outside the protocol
        self._template = ChunkTemplate("text", lambda message: message["delta"])
        self._text_block: _Block | None = None  # the block of the events that match the template
        self._text_chunks = 0
        self._late_failure = ""  # reported after the end of the text

    @property
    def has_content(self) -> bool:
        """Has any text or reasoning arrived?"""
        return any(block.pieces or block.kind in (REDACTED, TOOL) for block in self._blocks.values())

    @property
    def is_complete(self) -> bool:
        """Has the server said that the reply is complete?"""
        return self.done or bool(self._stop_reason)

    def read(self, event: Event) -> str:
        """The text or the ``Reasoning`` of an event.

        Raises the error that the server reports, and ``ProtocolError`` for content outside the protocol. After the end
        of the text nothing is an error.
        """
        data = event.data
        if self._text_block is not None:
            if text := self._template.text_of(data):
                return self._add_text(self._text_block, text)
            self._text_block = None
        if data[:1] != b"{" or event.type == CUT_EVENT:
            return self._read_other(event)
        try:
            message = http.read_object(data, constants=True)
            if message.get("type") != "content_block_delta":
                return self._read_event(message, event)
            text = self._read_delta(message)
            if message["delta"]["type"] == "text_delta" and text:
                self._text_chunks += 1
                if self._text_chunks > TEMPLATE_AFTER:
                    self._template.learn(data, message)
                    self._text_block = self._blocks[message.get("index")]
            return text
        except (AttributeError, TypeError, KeyError):
            error = http.unexpected_content(data, "an event that is not of Claude's API")
        except ProtocolError as protocol_error:
            error = protocol_error
        if self._stop_reason:
            return ""
        raise error

    def read_unfinished(self, events: list[Event]) -> str:
        """The text of events that the end of the connection completed; nothing for one that was cut off."""
        for event in events:
            try:
                if text := self.read(event):
                    return text
            except ProtocolError:
                self._unread = self._unread or event.data
        return ""

    # Events

    def _read_delta(self, message: Mapping[str, Any]) -> str:
        """The text of a delta, or its reasoning."""
        delta = message["delta"]
        kind = delta["type"]
        index = message.get("index")
        block = self._blocks.get(index)
        if kind == "text_delta":
            text = delta["text"]
            if block is None or block.kind != TEXT:
                block = self._begin(index, TEXT, {})
            return self._add_text(block, text) if text else ""
        if kind == "thinking_delta":
            if block is None or block.kind != THINKING:
                block = self._begin(index, THINKING, {})
            return self._add_reasoning(block, delta["thinking"])
        if block is None:
            return ""
        if kind == "signature_delta":
            block.signature.append(_string(delta["signature"]))
        elif kind == "input_json_delta":
            block.pieces.append(_string(delta["partial_json"]))
        elif kind == "citations_delta":
            self._add_citation(block, delta["citation"])
        return ""

    def _read_event(self, message: Mapping[str, Any], event: Event) -> str:
        """Read any event but a delta of a block."""
        kind = message.get("type") or (event.type if event.type not in (MESSAGE_EVENT, UNFRAMED_EVENT) else "")
        if kind == "content_block_start":
            return self._start_block(message.get("index"), message["content_block"])
        if kind == "content_block_stop":
            return self._stop_block(message.get("index"))
        if kind == "message_start":
            return self._read_message(message["message"])
        if kind == "message_delta":
            self._read_end(message.get("delta") or {}, message.get("usage"))
        elif kind == "message_stop":
            self.done = True
        elif kind == "message":
            return self._read_whole(message)
        elif kind == "error" or (not kind and reports_failure(message)):
            self._read_failure(message)
        elif not kind and message:
            self._unread = self._unread or event.data
        return ""

    def _read_message(self, message: Mapping[str, Any]) -> str:
        self._begun = True
        self.request_id = http.request_id_of(message.get("id"))
        self._answered_by = str(message.get("model") or "")
        self._read_end(message, message.get("usage"))
        texts = [self._whole_block(number, block) for number, block in enumerate(message.get("content") or ())]
        return "".join(texts)

    def _read_whole(self, message: Mapping[str, Any]) -> str:
        """Read a message that was sent as one object. Its reasoning is in ``extras`` alone."""
        text = self._read_message(message)
        self.done = True
        return text

    def _read_end(self, delta: Mapping[str, Any], counts: Any) -> None:
        """Read why the message ends, and the counts, which are totals."""
        if isinstance(counts, Mapping):
            self._counts |= {name: value for name, value in counts.items() if value is not None}
        if reason := delta.get("stop_reason"):
            self._stop_reason = str(reason)
        if isinstance(details := delta.get("stop_details"), Mapping):
            self._stop_details = details

    def _read_failure(self, report: Mapping[str, Any]) -> None:
        if not self._stop_reason:
            raise self._errors.for_report(report, self._endpoint, begun=self.has_content)
        self._late_failure = self._late_failure or failure_text(report)

    def _read_other(self, event: Event) -> str:
        """Read what is not an object: the text of a failure, or what some gateways add."""
        content = event.data.strip()
        if event.type == ERROR_EVENT and content and not self._stop_reason:
            raise self._errors.for_report({"error": {"message": content.decode("utf-8", "replace")}}, self._endpoint)
        if content and content != b"[DONE]" and event.type in (MESSAGE_EVENT, UNFRAMED_EVENT, CUT_EVENT):
            self._unread = self._unread or content
        return ""

    # Blocks

    def _begin(self, index: Any, kind: str, fields: Mapping[str, Any]) -> _Block:
        if index in self._blocks:  # a server that gives two blocks one index
            self._blocks[index, len(self._blocks)] = self._blocks.pop(index)
        self._begun = True
        block = self._blocks[index] = _Block(kind, fields)
        self._needs_gap = bool(self._last_character) if kind != TEXT else self._needs_gap
        if kind not in (TEXT, THINKING, REDACTED, TOOL) and not SERVER_BLOCKS.fullmatch(kind):
            self._other_blocks.setdefault(kind, []).append(dict(fields))
        return block

    def _start_block(self, index: Any, fields: Mapping[str, Any]) -> str:
        """Begin a block; its text, if it has some already."""
        block = self._begin(index, str(fields.get("type", "")), fields)
        for citation in fields.get("citations") or ():
            self._add_citation(block, citation)
        if block.kind == THINKING:
            if fields.get("signature"):
                block.signature.append(_string(fields["signature"]))
            return self._add_reasoning(block, fields.get("thinking") or "")
        return self._add_text(block, fields["text"]) if block.kind == TEXT and fields.get("text") else ""

    def _stop_block(self, index: Any) -> str:
        """The references to the sources of a text block, such as `` [1][2]``."""
        block = self._blocks.get(index)
        if block is None or not block.citations:
            return ""
        numbers = "".join(f"[{number}]" for number in dict.fromkeys(block.citations))
        block.citations.clear()
        return self._add_text(block, numbers if self._last_character.isspace() else f" {numbers}")

    def _whole_block(self, index: int, fields: Mapping[str, Any]) -> str:
        """The text of a block that is complete from its start."""
        text = self._start_block(index, fields)
        return ("" if isinstance(text, Reasoning) else text) + self._stop_block(index)

    def _add_text(self, block: _Block, text: Any) -> str:
        if type(text) is not str:
            raise TypeError(text)
        block.pieces.append(text)
        if self._needs_gap:
            self._needs_gap = False
            text = text if self._last_character.isspace() else f"\n\n{text}"
        self._last_character = text[-1]
        return self._surrogates.join(text)

    def _add_reasoning(self, block: _Block, text: Any) -> str:
        if type(text) is not str:
            raise TypeError(text)
        if not text:
            return ""
        block.pieces.append(text)
        return Reasoning(self._reasoning_surrogates.join(text))

    def _add_citation(self, block: _Block, citation: Mapping[str, Any]) -> None:
        """Note a source of the text; one that is cited again keeps its number."""
        key, source = _source_of(citation)
        source = self._sources.setdefault(key, source)
        quote = citation.get("cited_text")
        if isinstance(quote, str) and quote.strip() and join_surrogates(quote) not in source.quotes:
            self._sources[key] = replace(source, quotes=(*source.quotes, join_surrogates(quote)))
        block.citations.append(list(self._sources).index(key) + 1)

    # The end

    def finish(self) -> str:
        """The rest of the text. Raises the error for a reply that is not complete."""
        host = self._endpoint.host
        if not self._begun and not self.is_complete and self._unread:
            error = http.unexpected_content(self._unread, "an answer that is not of Claude's API")
            raise ProtocolError(sentences(str(error), path_advice(self._endpoint)))
        if not self.is_complete:
            quote = cut(self._endpoint.hide_secrets(self._unread.decode("utf-8", "replace")), EXCERPT_LIMIT)
            text = f"{host} ended the reply before it was complete"
            raise StreamInterruptedError(sentences(f"{text}; the last thing it sent: {quote}" if quote else text))
        if self._stop_reason == "refusal" and not self._last_character:
            raise ProviderError(sentences(f"{host} refused to answer{self._refusal}"))
        return self._surrogates.finish()

    @property
    def _refusal(self) -> str:
        """Why the model refused, as the server says it, after a colon; empty if it does not."""
        words = [self._stop_details.get(name) for name in ("category", "explanation")]
        text = ": ".join(str(word) for word in words if word)
        return f": {cut(self._endpoint.hide_secrets(text), EXCERPT_LIMIT * 3)}" if text else ""

    def extras(self) -> Extras:
        """Everything that came beside the text."""
        blocks = self._blocks.values()
        return Extras(
            reasoning="".join(block.text for block in blocks if block.kind == THINKING),
            citations=tuple(self._sources.values()),
            tool_calls=tuple(_tool_call(block) for block in blocks if block.kind == TOOL),
            others=tuple((f"content of type {kind}", found) for kind, found in self._other_blocks.items()),
            reasoning_parts=tuple(self._reasoning_parts()),
        )

    def _reasoning_parts(self) -> Iterator[Mapping[str, Any]]:
        """The blocks of reasoning, as the server accepts them back; none that was cut off."""
        for block in self._blocks.values():
            if block.kind == THINKING and (signature := "".join(block.signature)):
                yield {"type": THINKING, "thinking": block.text, "signature": signature}
            elif block.kind == REDACTED and isinstance(data := block.fields.get("data"), str):
                yield {"type": REDACTED, "data": data}

    def usage(self) -> Usage:
        """The token counts and the stop reason."""
        inputs = {name: _count(self._counts.get(name)) for name in COUNTS}
        details = self._counts.get("output_tokens_details")
        tier = self._counts.get("service_tier")
        own, *cached = inputs.values()
        return Usage(
            prompt_tokens=None if own is None else own + sum(count or 0 for count in cached),
            completion_tokens=_count(self._counts.get("output_tokens")),
            finish_reason=self._stop_reason or None,
            reasoning_tokens=_count(details.get("thinking_tokens")) if isinstance(details, Mapping) else None,
            cached_tokens=inputs["cache_read_input_tokens"],
            cache_write_tokens=inputs["cache_creation_input_tokens"],
            service_tier=tier if isinstance(tier, str) else "",
            answered_by=self._answered_by,
        )

    def send_notices(self) -> None:
        """Send notices about everything that the text does not show."""
        host, reason, extras = self._endpoint.host, self._stop_reason, self.extras()
        if reason in LENGTH_REASONS:
            advice = "; --max-tokens N (max_tokens) allows more" if self._own_length else ""
            notice(f"the reply was cut off at max_tokens = {self._body.get(LENGTH)}{advice}")
        elif reason == "model_context_window_exceeded":
            notice("the reply was cut off at the end of the model's context window")
        elif reason == "refusal":
            notice(f"{host} ended the reply{self._refusal or ': the model refuses to go on'}")
        elif reason == "pause_turn":
            notice(f"{host} paused a long reply; ask it to go on")
        elif reason and reason not in GOOD_REASONS:
            notice(f"{host} ended the reply for an unknown reason, so it may be cut off: {cut(reason)}")
        if extras.tool_calls:
            names = ", ".join(str(call["function"]["name"]) for call in extras.tool_calls)
            notice(f"the model called tools, which are not supported: {cut(names)}")
        if not self._last_character and not extras:
            notice(f"{host} sent an empty reply")
        elif not self._last_character and (extras.reasoning or extras.reasoning_parts):
            notice("the reply has no text beside its reasoning")
        if self._late_failure:
            failure = cut(self._endpoint.hide_secrets(self._late_failure))
            notice(f"{host} reported a failure after the end of the reply: {failure}")


def _string(value: Any) -> str:
    if type(value) is not str:
        raise TypeError(value)
    return value


def _count(value: Any) -> int | None:
    """A number of tokens; None for anything that cannot be one."""
    return value if type(value) is int and 0 <= value <= LARGEST_COUNT else None


def _tool_call(block: _Block) -> dict[str, Any]:
    """A tool call in the form of ``Extras.tool_calls``."""
    arguments = block.text or json.dumps(block.fields.get("input") or {})
    function = {"name": block.fields.get("name", ""), "arguments": arguments}
    return {"id": block.fields.get("id", ""), "type": "function", "function": function}


def _source_of(citation: Mapping[str, Any]) -> tuple[tuple[Any, ...], Citation]:
    """What tells the sources apart, and the source: a web page, or a document with its pages."""
    url = citation.get("url") or citation.get("source")
    if isinstance(url, str) and url:
        return (url,), Citation(url, str(citation.get("title") or ""))
    number = citation.get("document_index", citation.get("search_result_index"))
    name = citation.get("document_title") or citation.get("title")
    title = str(name or (f"document {number + 1}" if type(number) is int else "document"))
    first, end = citation.get("start_page_number"), citation.get("end_page_number")
    if type(first) is int and type(end) is int:  # the end is not part of it
        title += f", page {first}" if end <= first + 1 else f", pages {first} to {end - 1}"
    return (number, title), Citation("", title)

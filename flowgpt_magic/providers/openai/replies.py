"""Read the events of an OpenAI-compatible server: the text of a reply, how it ended, and what came beside the text.

A reply is complete when its server says so: with a ``finish_reason``, with ``[DONE]``, with Ollama's ``done``, or by
sending it as one JSON object. A connection that ends without any of these, however cleanly, has cut the reply off.
``[DONE]`` alone does not count if nothing came before it, or if the last event before it was outside the protocol:
servers end a stream like that after a failure.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, ClassVar

from flowgpt_magic.errors import ProtocolError
from flowgpt_magic.providers.failure_reports import failure_text, has_base_resp_error, reports_failure
from flowgpt_magic.providers.http import client as http
from flowgpt_magic.providers.http.connection import Endpoint
from flowgpt_magic.providers.http.lenient_events import CUT_EVENT, ERROR_EVENT, UNFRAMED_EVENT
from flowgpt_magic.providers.http.server_sent_events import MESSAGE_EVENT, Event
from flowgpt_magic.providers.openai.chunk_template import ChunkTemplate
from flowgpt_magic.providers.openai.errors import ErrorMapper
from flowgpt_magic.providers.openai.extras import CHOICE_FIELDS, CHUNK_FIELDS, CITATION_FIELDS, REASONING_FIELDS
from flowgpt_magic.providers.openai.reader import DONE, TEMPLATE_AFTER, Reader

PLAIN_DELTA = {"role", "content"}
TEXT_FIELDS = ("content", "text", "parts")  # of a delta or a message
CONTENT_PLACES = ("delta", "message", "text", "content")  # of a choice
NO_REASON = ("", "null", "none")  # some servers send these instead of null


class ReplyReader(Reader):
    """Reads the events of one reply of the chat completions API."""

    answer: ClassVar[str] = "a chat completion"

    def __init__(
        self,
        body: Mapping[str, Any],
        errors: ErrorMapper,
        endpoint: Endpoint,
        *,
        framed: bool = True,
        cost: object = None,
    ) -> None:
        super().__init__(body, errors, endpoint, framed=framed, cost=cost)
        self._is_one_object = False  # the reply is one complete message
        self._templates = {"content": ChunkTemplate()}  # by the field of the text or the reasoning
        self._template, self._use_template = self._templates["content"], False

    @property
    def _is_whole(self) -> bool:
        return self._is_one_object and self._chunks == 1

    def read(self, event: Event) -> str:
        """The text of an event, or its reasoning; see ``Reader.read``."""
        data = event.data
        if self._use_template and event.type == MESSAGE_EVENT and (text := self._template.text_of(data)):
            self._chunks += 1
            self._unread = b""
            if self._template.name == "content":
                return self._surrogates.join(text)
            self._extras.reasoning.append(text)
            return self._new_reasoning()
        self._use_template = False
        return self._with_reasoning(self._read(event))

    def _read(self, event: Event) -> str:
        """The text of an event that was read without a template."""
        data = event.data
        if data[:1] != b"{" or event.type in (ERROR_EVENT, CUT_EVENT):
            return self._read_other(event)
        try:
            chunk = http.read_object(data, constants=True)
            choices = chunk.get("choices")
            if not choices or chunk.get("error") or "base_resp" in chunk:
                return self._read_unusual(chunk, event)
            text = self._read_choice(chunk, choices)
            if self._use_template and self._chunks > TEMPLATE_AFTER:
                self._template.learn(data, chunk)
            return text
        except (AttributeError, TypeError, KeyError):
            error = http.unexpected_content(data, "a chunk that is not of the OpenAI protocol")
        except ProtocolError as protocol_error:
            error = protocol_error
            if b"\n" in data:  # events without blank lines between them
                return "".join(self._read(Event(line, event.type, event.id)) for line in data.split(b"\n"))
        if self._finish_reason:
            return ""
        raise error

    # Events

    def _read_choice(self, chunk: Mapping[str, Any], choices: Any) -> str:
        """The text of the first choice; others were not asked for."""
        if counts := chunk.get("usage"):
            self._counts = counts
        if not chunk.keys() <= CHUNK_FIELDS:
            self._extras.add_chunk(chunk)
        choice = choices[0]
        if len(choices) > 1 or choice.get("index"):
            choice = self._first_choice(choices)
            if choice is None:
                return ""
        if not self._chunks:
            self.request_id = http.request_id_of(chunk.get("id"))
        self._service_tier = chunk.get("service_tier") or self._service_tier
        self._answered_by = self._answered_by or chunk.get("model") or "?"
        self._unread = b""
        self._chunks += 1
        had_ended = self._ended_well
        reason = choice.get("finish_reason") or choice.get("finishReason")
        if reason:
            self._set_finish_reason(reason)
        if choice.get("error"):
            if not had_ended:
                raise self._errors.for_report(choice, self._endpoint)
            self._late_failure = self._late_failure or failure_text(choice)
        if choice.get("logprobs") or not choice.keys() <= CHOICE_FIELDS:
            self._extras.add_choice(choice)
        delta = choice.get("delta")
        text = delta["content"] if type(delta) is dict and "content" in delta and delta.keys() <= PLAIN_DELTA else None
        field = "content" if text and type(text) is str else _reasoning_field(delta)
        if field != "content":
            text = self._find_text(chunk, choice)
        if field and not (counts or reason or self._finish_reason or choice.get("logprobs")):
            self._use_template = len(choices) == 1 and chunk.keys() <= CHUNK_FIELDS and choice.keys() <= CHOICE_FIELDS
            self._template = self._templates.get(field) or self._templates.setdefault(field, ChunkTemplate(field))
        if not text:
            return ""
        if had_ended and not reason:  # a server that sends a reason with every chunk has not ended
            self._late_characters += len(text)
            return ""
        self._empty = False
        return self._surrogates.join(text)

    def _first_choice(self, choices: Any) -> Any:
        """The choice with index 0, or None if the chunk has only others."""
        first = [choice for choice in choices if choice.get("index") in (None, 0, "0")]
        self._has_other_choices = self._has_other_choices or len(first) < len(choices)
        return first[0] if first else None

    def _find_text(self, chunk: Mapping[str, Any], choice: Mapping[str, Any]) -> str:
        """The text of a choice that has it elsewhere than in ``delta.content``, or has more than text."""
        if "message" in choice and self._chunks == 1:
            kind = chunk.get("object")
            self._is_one_object = kind == "chat.completion" or (not self._framed and kind != "chat.completion.chunk")
        for place in CONTENT_PLACES:
            if (content := choice.get(place)) and (text := self._text_of(content)):
                return text
        return ""

    def _text_of(self, delta: Any) -> str:
        """The text of a delta or a message; everything else in it is collected."""
        if isinstance(delta, (str, list)):
            return self._content_text(delta)
        self._extras.add_delta(delta)
        text = next((text for field in TEXT_FIELDS if (text := self._content_text(delta.get(field)))), "")
        refusal = delta.get("refusal") or ""
        if not isinstance(refusal, str):
            raise TypeError(refusal)
        return text + refusal

    def _content_text(self, content: Any) -> str:
        """The text of a content: a string, or parts. Cloudflare sends digits as a number."""
        if isinstance(content, str):
            return content
        if type(content) in (int, float):
            return json.dumps(content)
        if not content:
            return ""
        parts = [content] if isinstance(content, dict) else content
        return "".join(part if isinstance(part, str) else self._extras.add_part(part) for part in parts)

    def _read_unusual(self, chunk: Mapping[str, Any], event: Event) -> str:
        """Read an object without choices: a failure, token counts, Ollama's own format, or a keep-alive."""
        choices = chunk.get("choices")
        has_type = event.type not in (MESSAGE_EVENT, UNFRAMED_EVENT)
        if (chunk.get("error") or has_base_resp_error(chunk)) and not self._ended_well:
            raise self._errors.for_report(chunk, self._endpoint, begun=self._chunks > 0)
        if choices:
            return self._read_choice(chunk, choices)
        if isinstance(chunk.get("message"), Mapping) and ("done" in chunk or "role" in chunk["message"]):
            return self._read_ollama(chunk)
        if not has_type and reports_failure(chunk):
            if not self._ended_well:
                raise self._errors.for_report(chunk, self._endpoint, begun=self._chunks > 0)
            self._late_failure = self._late_failure or failure_text(chunk)
            return ""
        if counts := chunk.get("usage"):
            self._counts = counts
        if not chunk.keys() <= CHUNK_FIELDS:
            self._extras.add_chunk(chunk)
        is_unknown = "choices" not in chunk and not counts and chunk.keys().isdisjoint(CITATION_FIELDS)
        if is_unknown and not has_type:
            self._unread = self._unread or event.data
        return ""

    def _read_ollama(self, chunk: Mapping[str, Any]) -> str:
        """Read a line of Ollama's own protocol, https://github.com/ollama/ollama/blob/main/docs/api.md."""
        self._chunks += 1
        self._answered_by = self._answered_by or chunk.get("model") or "?"
        text = self._text_of(chunk["message"])
        if chunk.get("done"):
            self._set_finish_reason(chunk.get("done_reason") or "stop")
            counts = (chunk.get("prompt_eval_count"), chunk.get("eval_count"))
            self._counts = dict(zip(("prompt_tokens", "completion_tokens"), counts, strict=True))
        self._empty = self._empty and not text
        return self._surrogates.join(text) if text else ""

    def _read_other(self, event: Event) -> str:
        """Read what is not an object: the end, the text of a failure, a list of objects, or a keep-alive."""
        content = event.data.strip()
        if event.type == CUT_EVENT:
            self._unread, self._is_cut_off = content, True
            return ""
        if DONE.fullmatch(content):
            self.done = True
            return ""
        if event.type == ERROR_EVENT and content and not self._ended_well:
            raise self._errors.for_report(_error_report(content), self._endpoint, begun=self._chunks > 0)
        if content.startswith(b"[{") and (objects := _objects(content)):
            events = [Event(json.dumps(value).encode(), event.type, event.id) for value in objects]
            return "".join(map(self._read, events))
        if content and event.type in (MESSAGE_EVENT, UNFRAMED_EVENT):
            self._unread = self._unread or content
        return ""

    def _set_finish_reason(self, reason: Any) -> None:
        if str(reason).strip().lower() not in NO_REASON:
            self._finish_reason = str(reason)


def _reasoning_field(delta: Any) -> str:
    """The field of a ``delta`` with reasoning and nothing else; empty for any other."""
    if type(delta) is not dict or delta.get("content"):
        return ""
    name = next((name for name in REASONING_FIELDS if delta.get(name)), "")
    return name if name and type(delta[name]) is str and delta.keys() <= {*PLAIN_DELTA, name} else ""


def _error_report(content: bytes) -> Mapping[str, Any]:
    """The report in a field ``error``: an object, or text."""
    try:
        value = json.loads(content)
    except (ValueError, RecursionError):
        value = content.decode("utf-8", "replace")
    return value if isinstance(value, dict) else {"message": value}


def _objects(content: bytes) -> list[Mapping[str, Any]]:
    """The objects of a JSON list; empty for anything else."""
    try:
        values = json.loads(content)
    except (ValueError, RecursionError):
        return []
    return values if all(isinstance(value, dict) for value in values) else []

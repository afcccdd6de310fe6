"""Read the events of an OpenAI-compatible server: the text of a reply, how it ended, and what came beside the text.

A reply is complete when its server says so: with a ``finish_reason``, with ``[DONE]``, with Ollama's ``done``, or by
sending it as one JSON object. A connection that ends without any of these, however cleanly, has cut the reply off.
``[DONE]`` alone does not count if nothing came before it, or if the last event before it was outside the protocol:
servers end a stream like that after a failure.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from flowgpt_magic.control_characters import SurrogateJoiner
from flowgpt_magic.errors import ProtocolError, ProviderError, ProviderStatusError, StreamInterruptedError
from flowgpt_magic.messages import Reasoning, Usage, notice
from flowgpt_magic.messages.extras import Extras
from flowgpt_magic.providers.failure_reports import failure_text, has_base_resp_error, reports_failure
from flowgpt_magic.providers.http import client as http
from flowgpt_magic.providers.http.connection import Endpoint
from flowgpt_magic.providers.http.lenient_events import CUT_EVENT, ERROR_EVENT, UNFRAMED_EVENT
from flowgpt_magic.providers.http.server_sent_events import MESSAGE_EVENT, Event
from flowgpt_magic.providers.openai.chunk_template import ChunkTemplate
from flowgpt_magic.providers.openai.errors import ErrorMapper, misses_version, path_advice
from flowgpt_magic.providers.openai.exchange import EXCERPT_LIMIT, EventReader
from flowgpt_magic.providers.openai.extras import (
    CHOICE_FIELDS,
    CHUNK_FIELDS,
    CITATION_FIELDS,
    REASONING_FIELDS,
    ExtrasCollector,
)
from flowgpt_magic.providers.openai.usage import usage_of
from flowgpt_magic.text import cut, sentences

DONE = re.compile(rb"\s*[\"']?\[DONE\][\"']?\s*", re.IGNORECASE)
TEMPLATE_AFTER = 8  # chunks; only longer replies are worth a template
LENGTH_PARAMETERS = ("max_tokens", "max_completion_tokens")
PLAIN_DELTA = {"role", "content"}
TEXT_FIELDS = ("content", "text", "parts")  # of a delta or a message
CONTENT_PLACES = ("delta", "message", "text", "content")  # of a choice
NO_REASON = ("", "null", "none")  # some servers send these instead of null
# Finish reasons that are failures, in the words of vLLM, SGLang, DeepSeek, Zhipu, Gemini, OpenRouter and proxies.
FAILED_REASON = re.compile(
    "error|fail|abort|cancel|interrupt|incomplete|exception|time[d_ -]*out|disconnect|malformed|crash|killed|"
    "unavailable|preempt|insufficient|overload"
)
BUSY_REASON = re.compile("insufficient_system_resource|overload|unavailable|server_error|internal_error")
# Known finish reasons that are no failures. For others there is a notice.
KNOWN_REASON = re.compile(
    "stop|eos|end|complete|finish|done|success|normal|length|limit|max|token|tool|function|content|^ok$"
)
FILTER_REASONS = ("content_filter", "sensitive", "safety", "recitation", "prohibited_content", "blocklist", "refusal")
LENGTH_REASONS = ("length", "max_tokens", "max_output_tokens", "model_context_window_exceeded", "model_length")
VAGUE_WORDS = {"auto", "default", "latest", "router"}  # in a model's name: the server chooses the model


class ReplyReader(EventReader):
    """Reads the events of one reply.

    ``read`` returns the text of each event until ``done``, or its reasoning as ``Reasoning``. If an event has both,
    its reasoning is in ``reasoning``. After the last event call ``finish``, ``send_notices``,
    ``extras`` and ``usage``.

    Args:
        body: the body of the request.
        errors: makes the errors for failures that the server reports.
        endpoint: the server, for messages.
        framed: the reply is an event stream, not JSON alone.
        cost: what the headers of the reply say about its cost.
    """

    def __init__(
        self,
        body: Mapping[str, Any],
        errors: ErrorMapper,
        endpoint: Endpoint,
        *,
        framed: bool = True,
        cost: object = None,
    ) -> None:
        super().__init__()
        self._body = body
        self._errors = errors
        self._endpoint = endpoint
        self._framed = framed
        self._cost = cost
        self._surrogates = SurrogateJoiner()
        self._extras = ExtrasCollector()
        self._empty = True
        self._chunks = 0
        self._finish_reason = ""
        self._is_one_object = False  # the reply is one complete message
        self._counts: Mapping[str, Any] = {}
        self._answered_by = ""  # the model that the server names; "?" if it names none
        self._unread = b""  # content outside the protocol since the last chunk
        self._is_cut_off = False  # the body ended in the middle of JSON
        self._late_failure = ""  # reported after the end of the text
        self._late_characters = 0  # of text after the end
        self._has_other_choices = False
        self._templates = {"content": ChunkTemplate()}  # by the field of the text or the reasoning
        self._template, self._use_template = self._templates["content"], False
        self._reasoning_surrogates = SurrogateJoiner()
        self._reasoning_read = 0  # pieces
        self._service_tier: object = ""

    @property
    def has_content(self) -> bool:
        """Has any text arrived?"""
        return not self._empty

    @property
    def is_complete(self) -> bool:
        """Has the server said that the text is complete?"""
        return self.done or bool(self._finish_reason)

    @property
    def _ended_well(self) -> bool:
        """Has the text ended without a failure? What comes after that is not part of it."""
        reason = self._finish_reason.lower()
        return bool(reason) and not self._empty and not FAILED_REASON.search(reason)

    def read(self, event: Event) -> str:
        """The text of an event, or its reasoning.

        Raises the error that the server reports, and ``ProtocolError`` for content that is neither a chunk nor a
        keep-alive. After the end of the text nothing is an error.
        """
        data = event.data
        if self._use_template and event.type == MESSAGE_EVENT and (text := self._template.text_of(data)):
            self._chunks += 1
            self._unread = b""
            if self._template.name == "content":
                return self._surrogates.join(text)
            self._extras.reasoning.append(text)
            return self._new_reasoning()
        self._use_template = False
        text = self._read(event)
        if self._reasoning_read == len(self._extras.reasoning):
            return text
        if not text:
            return self._new_reasoning()
        self.reasoning = self._new_reasoning()
        return text

    def _new_reasoning(self) -> Reasoning:
        """The reasoning that has arrived since the last call."""
        pieces = self._extras.reasoning
        new, self._reasoning_read = "".join(pieces[self._reasoning_read :]), len(pieces)
        return Reasoning(self._reasoning_surrogates.join(new))

    def take_reasoning(self) -> Reasoning:
        """The reasoning that ``read`` has not returned."""
        reasoning, self.reasoning = Reasoning(self.reasoning + self._new_reasoning()), ""
        return reasoning

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

    def read_unfinished(self, events: list[Event]) -> str:
        """The text of events that the end of the connection completed; nothing for one that was cut off."""
        text = ""
        for event in events:
            try:
                text += self._read(event)
            except ProtocolError:
                self._unread = self._unread or event.data
        return text

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

    # The end

    def finish(self) -> str:
        """The rest of the text. Raises the error for a reply that is not complete."""
        host, reason = self._endpoint.host, self._finish_reason.lower()
        has_content = not self._empty or bool(self.extras())
        if BUSY_REASON.search(reason):
            raise ProviderStatusError(f"{host} ended the reply before it was complete ({reason}).", 503)
        if FAILED_REASON.search(reason):
            raise ProviderError(f"{host} ended the reply with an error ({reason}), and does not say which.")
        if reason in FILTER_REASONS and not has_content:
            raise ProviderError(f"the content filter of {host} stopped the reply before its first word ({reason}).")
        if not (reason or (self._is_one_object and self._chunks == 1)):
            self._check_done(has_content)
        return self._surrogates.finish() or self._text_from_reasoning()

    def _check_done(self, has_content: bool) -> None:
        """Raise the error for a reply without a finish reason, unless ``[DONE]`` can be trusted."""
        quote = cut(self._endpoint.hide_secrets(self._unread.decode("utf-8", "replace")), EXCERPT_LIMIT)
        if quote and not self._chunks and not self._is_cut_off:
            error = http.unexpected_content(self._unread, "an answer that is not a chat completion")
            raise ProtocolError(sentences(str(error), path_advice(self._endpoint)))
        if not self.done or quote or not has_content:
            text = f"{self._endpoint.host} ended the reply before it was complete"
            advice = path_advice(self._endpoint) if not self._chunks and misses_version(self._endpoint) else ""
            raise StreamInterruptedError(
                sentences(f"{text}; the last thing it sent: {quote}" if quote else text, advice)
            )

    def _text_from_reasoning(self) -> str:
        """The JSON that was asked for, if all of it came as reasoning: vLLM and LM Studio do that."""
        reasoning = "".join(self._extras.reasoning).strip()
        if not self._empty or not reasoning or "json" not in str(self._body.get("response_format", "")):
            return ""
        try:
            http.read_object(reasoning.encode("utf-8", "replace"))
        except ProtocolError:
            return ""
        self._empty = False
        notice("the text of the reply came as reasoning, and is used as its text")
        return reasoning

    def extras(self) -> Extras:
        """Everything that came beside the text."""
        return self._extras.extras()

    def usage(self) -> Usage:
        """The token counts, the finish reason and the cost."""
        return usage_of(
            self._counts,
            finish_reason=self._finish_reason,
            service_tier=self._service_tier,
            answered_by="" if self._answered_by == "?" else self._answered_by,
            cost=self._cost,
        )

    def send_notices(self) -> None:
        """Send notices about everything that the text does not show."""
        self._notice_end()
        self._notice_content()
        answered_by = self._endpoint.hide_secrets(str(self._answered_by))
        if _is_other_model(str(self._body["model"]), answered_by) and not self._endpoint.host.endswith(".azure.com"):
            notice(f"{self._endpoint.host} says that another model answered: {cut(answered_by)}")

    def _notice_end(self) -> None:
        host, reason = self._endpoint.host, self._finish_reason.lower()
        if reason in LENGTH_REASONS:
            limits = [f"{name} = {self._body[name]}" for name in LENGTH_PARAMETERS if name in self._body]
            limit = limits[0] if limits else "the limit of the server"
            if self._empty and self._extras.reasoning:
                advice = "allow more with --max-tokens, or less reasoning with --think low"
                notice(f"the model used all its tokens for reasoning ({limit}): {advice}")
            else:
                notice(f"the reply was cut off at {limit}")
        if reason in FILTER_REASONS:
            notice(f"the content filter of {host} ended the reply")
        elif reason and not KNOWN_REASON.search(reason):
            notice(f"{host} ended the reply for an unknown reason, so it may be cut off: {cut(reason)}")

    def _notice_content(self) -> None:
        host, tools, reasoning = self._endpoint.host, self._extras.tool_names, bool(self._extras.reasoning)
        if tools:
            notice(f"the model called tools, which are not supported: {cut(', '.join(tools))}")
        if self._empty and not self.extras():
            notice(f"{host} sent an empty reply")
        elif self._empty and reasoning and self._finish_reason.lower() not in LENGTH_REASONS:
            notice("the reply has no text beside its reasoning")
        if self._has_other_choices:
            notice(f"{host} sent more than one answer; only the first one is used")
        if self._late_characters:
            notice(f"{host} sent {self._late_characters:,} characters after the end of the reply; they were left out")
        if self._late_failure:
            failure = cut(self._endpoint.hide_secrets(self._late_failure))
            notice(f"{host} reported a failure after the end of the reply: {failure}")


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


def _is_other_model(requested: str, answered_by: str) -> bool:
    """Is this another model? Servers omit or add its owner, its version and the path of its file."""
    if answered_by == "?":
        return False
    first, second = _plain_name(requested), _plain_name(answered_by)
    if first in second or second in first:
        return False
    words = set(first.split("-"))
    return not (words & VAGUE_WORDS and words - VAGUE_WORDS <= set(re.split("[-.]", second)))


def _plain_name(name: str) -> str:
    """A model's name without owner, file extension and date, in one spelling."""
    short = name.lower().removesuffix(".gguf").rpartition("/")[2].removesuffix(":latest")
    plain = re.sub("[._:@ -]+", "-", short)
    return re.sub(r"-(20[0-9]{6}|20[0-9]{2}-[0-9]{2}-[0-9]{2})$", "", plain)

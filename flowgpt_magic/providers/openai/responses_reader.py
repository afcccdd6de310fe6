"""Read the events of OpenAI's Responses API: the text and the reasoning of a reply, and everything else in it.

A reply is a list of items: messages, reasoning, calls of tools, images. Their deltas arrive first, then each whole
item, at last the whole response. A reply is complete when its server says so, with ``response.completed`` or
``response.incomplete``, or by sending the response as one JSON object; ``[DONE]`` does not count. Unknown events are
ignored. Messages of one reply are separated by a blank line, and so are the parts of a summary.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

from flowgpt_magic.errors import ProtocolError, ProviderError
from flowgpt_magic.messages import notice
from flowgpt_magic.messages.extras import Extras
from flowgpt_magic.providers.failure_reports import failure_text, reports_failure
from flowgpt_magic.providers.http import client as http
from flowgpt_magic.providers.http.connection import Endpoint
from flowgpt_magic.providers.http.lenient_events import CUT_EVENT, ERROR_EVENT, UNFRAMED_EVENT
from flowgpt_magic.providers.http.server_sent_events import MESSAGE_EVENT, Event
from flowgpt_magic.providers.openai.errors import ErrorMapper
from flowgpt_magic.providers.openai.event_template import EventTemplate
from flowgpt_magic.providers.openai.reader import DONE, TEMPLATE_AFTER, Reader
from flowgpt_magic.providers.openai.responses_body import PHASE, REASONING_ITEM, is_reasoning_item
from flowgpt_magic.text import cut

TEXT_DELTAS = ("response.output_text.delta", "response.refusal.delta")
REASONING_DELTA = re.compile(r"response\.reasoning(_summary_text|_summary|_text)?\.delta")
REASONING_PART = ("response.reasoning_summary_part.added", "response.content_part.added")
ARGUMENT_DELTAS = {  # with the type of their item, and its field
    "response.function_call_arguments.delta": ("function_call", "arguments"),
    "response.custom_tool_call_input.delta": ("custom_tool_call", "input"),
}
BEGINNINGS = ("response.created", "response.in_progress", "response.queued")
ENDS = ("response.completed", "response.incomplete", "response.failed", "response.cancelled", "response.done")
# The finish reasons of the chat completions API for what ends a reply here.
FINISH_REASONS = {"completed": "stop", "done": "stop", "max_output_tokens": "length"}
UNFINISHED = ("queued", "in_progress")  # the status of a response
CALLS = re.compile("(function|custom_tool|computer|local_shell|shell|apply_patch)_call")  # for us to run
SERVER_CALLS = re.compile("(web_search|file_search|mcp|tool_search)_call|mcp_list_tools|tool_search_output|compaction")


class ResponsesReader(Reader):
    """Reads the events of one reply of the Responses API."""

    answer: ClassVar[str] = "of the Responses API"
    trusts_done: ClassVar[bool] = False

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
        self._text: list[str] = []  # the pieces that were returned
        self._needs_gap = False  # has another message begun since the last piece of text?
        self._needs_reasoning_gap = False
        self._summarized: bool | None = None  # is the reasoning a summary? Servers that send both repeat it.
        self._summary_index: object = None
        self._items: dict[tuple[Any, str], dict[str, Any]] = {}  # by index and type, as far as they have arrived
        self._failure: ProviderError | None = None  # that the server reports at the end
        self._templates: dict[str, EventTemplate] = {}  # by the type of the events
        self._template: EventTemplate | None = None  # of the last event, if the next one may match it
        self._is_text = True  # are the events that match the template text, rather than reasoning?
        self._deltas = 0

    @property
    def _wants_json(self) -> bool:
        return "json" in str((self._body.get("text") or {}).get("format", ""))

    @property
    def _tool_names(self) -> list[str]:
        return [str(call["function"]["name"]) for call in self.extras().tool_calls]

    def read(self, event: Event) -> str:
        """The text of an event, or its reasoning; see ``Reader.read``."""
        if self._template is not None and (text := self._template.text_of(event.data)):
            self._unread = b""
            if self._is_text:
                self._text.append(text)
                return self._surrogates.join(text)
            self._extras.reasoning.append(text)
            return self._new_reasoning()
        self._template = None
        return self._with_reasoning(self._read(event))

    def _read(self, event: Event) -> str:
        data = event.data
        if data[:1] != b"{" or event.type == CUT_EVENT:
            return self._read_other(event)
        try:
            message = http.read_object(data, constants=True)
            kind = message.get("type") or (event.type if event.type not in (MESSAGE_EVENT, UNFRAMED_EVENT) else "")
            return self._read_event(kind, message, event)
        except (AttributeError, TypeError, KeyError):
            error = http.unexpected_content(data, "an event that is not of the Responses API")
        except ProtocolError as protocol_error:
            error = protocol_error
        if self.done:
            return ""
        raise error

    # Events

    def _read_text(self, message: Mapping[str, Any]) -> str:
        """The text of a delta."""
        if logprobs := message.get("logprobs"):
            self._extras.add_choice({"logprobs": logprobs})
        return self._add_text(_string(message["delta"]))

    def _read_reasoning(self, message: Mapping[str, Any], *, is_summary: bool) -> None:
        if self._summarized is None:
            self._summarized = is_summary
        if self._summarized is is_summary:
            index = message.get("summary_index")
            self._needs_reasoning_gap = self._needs_reasoning_gap or index != self._summary_index
            self._summary_index = index
            self._add_reasoning(_string(message["delta"]))

    def _learn(self, kind: str, message: Mapping[str, Any], data: bytes, *, is_text: bool) -> None:
        """Let the next events be read with a template if they are like this one."""
        self._deltas += 1
        if self._deltas > TEMPLATE_AFTER and not message.get("logprobs") and message["delta"]:
            self._template = self._templates.setdefault(kind, EventTemplate())
            self._template.learn(data, message)
            self._is_text = is_text

    def _add_text(self, text: str) -> str:
        if not text:
            return ""
        if self._needs_gap:
            self._needs_gap = False
            text = _gap_after(self._text[-1] if self._text else "") + text
        self._text.append(text)
        self._empty = False
        return self._surrogates.join(text)

    def _add_reasoning(self, text: str) -> None:
        if not text:
            return
        if self._needs_reasoning_gap:
            self._needs_reasoning_gap = False
            text = _gap_after(self._extras.reasoning[-1] if self._extras.reasoning else "") + text
        self._extras.reasoning.append(text)

    def _read_event(self, kind: str, message: Mapping[str, Any], event: Event) -> str:
        """The text of an event."""
        if kind.startswith("response."):
            self._chunks += 1
            self._unread = b""
        if kind in TEXT_DELTAS:
            text = self._read_text(message)
            self._learn(kind, message, event.data, is_text=True)
            return text
        if match := REASONING_DELTA.fullmatch(kind):
            self._read_reasoning(message, is_summary="summary" in (match[1] or ""))
            if self._summarized is ("summary" in kind):
                self._learn(kind, message, event.data, is_text=False)
        elif kind in ENDS:
            return self._read_end(kind.partition(".")[2], message.get("response") or {})
        elif kind in BEGINNINGS:
            self._read_beginning(message.get("response") or {})
        elif kind == "response.output_item.added":
            self._begin_item(message.get("output_index"), message["item"])
        elif kind == "response.output_item.done":
            return self._finish_item(message.get("output_index"), message["item"])
        elif kind in REASONING_PART:
            self._begin_part(kind, message["part"])
        elif kind == "response.output_text.annotation.added":
            self._add_annotations([message["annotation"]])
        elif kind in ARGUMENT_DELTAS:
            self._add_arguments(kind, message)
        elif kind == ERROR_EVENT or (not kind.startswith("response.") and reports_failure(message)):
            self._read_failure(message)
        elif message.get("object") == "response" or isinstance(message.get("output"), list):
            return self._read_end(str(message.get("status") or "completed"), message)
        elif not kind and message and event.type in (MESSAGE_EVENT, UNFRAMED_EVENT):
            self._unread = self._unread or event.data
        return ""

    def _read_other(self, event: Event) -> str:
        """Read what is not an object: the end of the stream, the text of a failure, or a keep-alive."""
        content = event.data.strip()
        if event.type == CUT_EVENT:
            self._unread, self._is_cut_off = content, True
        elif DONE.fullmatch(content):
            self.done = True
        elif event.type == ERROR_EVENT and content and not self._finish_reason:
            report = {"error": {"message": content.decode("utf-8", "replace")}}
            raise self._errors.for_report(report, self._endpoint, begun=self._chunks > 0)
        elif content and event.type in (MESSAGE_EVENT, UNFRAMED_EVENT):
            self._unread = self._unread or content
        return ""

    def _read_failure(self, message: Mapping[str, Any]) -> None:
        if not self._finish_reason:
            raise self._errors.for_report(message, self._endpoint, begun=self._chunks > 0)
        self._late_failure = self._late_failure or failure_text(message)

    def _read_beginning(self, response: Mapping[str, Any]) -> None:
        """Read the fields of a response that do not depend on its end."""
        self.request_id = self.request_id or http.request_id_of(response.get("id"))
        self._answered_by = response.get("model") or self._answered_by or "?"
        self._service_tier = response.get("service_tier") or self._service_tier

    # Items

    def _begin_item(self, index: Any, item: Mapping[str, Any]) -> None:
        self._set_item(index, item)
        self._needs_gap = self._needs_gap or item.get("type") == "message"
        self._needs_reasoning_gap = self._needs_reasoning_gap or item.get("type") == REASONING_ITEM

    def _begin_part(self, kind: str, part: Mapping[str, Any]) -> None:
        is_reasoning = kind == REASONING_PART[0] or part.get("type") == "reasoning_text"
        self._needs_reasoning_gap = self._needs_reasoning_gap or is_reasoning

    def _set_item(self, index: Any, item: Mapping[str, Any]) -> None:
        if not isinstance(item, Mapping) or not isinstance(item.get("type"), str):
            raise TypeError(item)
        self._items[index, item["type"]] = dict(item)

    def _add_arguments(self, kind: str, message: Mapping[str, Any]) -> None:
        """Add a piece of the arguments of a call, which count if the connection ends before the whole call."""
        item_type, name = ARGUMENT_DELTAS[kind]
        item = self._items.setdefault((message.get("output_index"), item_type), {"type": item_type})
        item[name] = _string(item.get(name) or "") + _string(message["delta"])

    def _finish_item(self, index: Any, item: Mapping[str, Any]) -> str:
        """Read a whole item; the text in it that no delta has brought."""
        self._set_item(index, item)
        return self._read_items(list(self._items.values()))

    def _read_items(self, items: Sequence[Mapping[str, Any]]) -> str:
        """Read the items as far as they are there; the text in them that no delta has brought."""
        reasoning = _joined(_reasoning_parts(items, summarized=self._summarized))
        known = "".join(self._extras.reasoning)
        if reasoning.startswith(known) and len(reasoning) > len(known):
            self._needs_reasoning_gap = False
            self._add_reasoning(reasoning[len(known) :])
        for part in _message_parts(items):
            self._add_annotations(part.get("annotations") or ())
        text, known = _joined(_texts(items)), "".join(self._text)
        if not text.startswith(known) or len(text) == len(known):
            return ""
        self._needs_gap = False
        return self._add_text(text[len(known) :])

    def _add_annotations(self, annotations: Sequence[Any]) -> None:
        if annotations:
            self._extras.add_part({"type": "output_text", "text": "", "annotations": list(annotations)})

    # The end

    def _read_end(self, status: str, response: Mapping[str, Any]) -> str:
        """Read the whole response; the text in it that no delta has brought."""
        self._chunks += 1
        self._unread = b""
        self._read_beginning(response)
        if counts := response.get("usage"):
            self._counts = _chat_counts(counts)
        arrived = {item["id"]: item for item in self._items.values() if isinstance(item.get("id"), str)}
        for number, item in enumerate(response.get("output") or ()):
            if number == 0:
                self._items.clear()
            fields = {name: value for name, value in item.items() if value is not None}
            self._set_item(number, {**arrived.get(str(item.get("id")), {}), **fields})
        text = self._read_items(list(self._items.values()))
        self._set_end(str(response.get("status") or status), response)
        return text

    def _set_end(self, status: str, response: Mapping[str, Any]) -> None:
        if status in UNFINISHED:
            return
        if (failure := response.get("error")) and status not in ("incomplete", "cancelled"):
            self._failure = self._errors.for_report({"error": failure}, self._endpoint, begun=not self._empty)
        elif status == "incomplete":
            status = str((response.get("incomplete_details") or {}).get("reason") or "unknown")
        has_calls = any(kind == "function_call" for _index, kind in self._items)
        reason = FINISH_REASONS.get(status, status)
        self._finish_reason = "tool_calls" if has_calls and reason == "stop" else reason
        self.done = True

    def finish(self) -> str:
        """The rest of the text. Raises the error for a reply that is not complete."""
        if self._failure is not None:
            raise self._failure
        return super().finish()

    def extras(self) -> Extras:
        """Everything that came beside the text."""
        calls = [_tool_call(item) for item in self._items.values() if CALLS.fullmatch(str(item.get("type")))]
        parts = (*filter(is_reasoning_item, self._items.values()), *_phases(self._items.values()))
        others: dict[str, list[Any]] = {}
        for item in self._items.values():
            if _is_unknown(item):
                others.setdefault(str(item["type"]), []).append(item)
        extras = self._extras.extras()
        return replace(
            extras,
            images=(*extras.images, *filter(None, map(_image, self._items.values()))),
            tool_calls=(*extras.tool_calls, *calls),
            others=(*extras.others, *others.items()),
            reasoning_parts=parts,
        )

    def send_notices(self) -> None:
        """Send notices about everything that the text does not show."""
        super().send_notices()
        for item in self._items.values():
            if item.get("type") == "image_generation_call" and isinstance(error := item.get("error"), Mapping):
                reason = cut(self._endpoint.hide_secrets(failure_text({"error": error})))
                notice(f"{self._endpoint.host} could not make an image: {reason}")


def _message_parts(items: Sequence[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    """The content parts of all messages."""
    for item in items:
        if item.get("type") == "message" and isinstance(content := item.get("content"), list):
            yield from (part for part in content if isinstance(part, Mapping))


def _texts(items: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """The text of each message, with that of a refusal."""
    for item in items:
        parts = _message_parts([item])
        yield "".join(_string(part.get("text") or part.get("refusal") or "") for part in parts)


def _reasoning_parts(items: Sequence[Mapping[str, Any]], *, summarized: bool | None) -> Iterator[str]:
    """The parts of the reasoning: those of the summary or of the content, if ``summarized`` says which; else either."""
    for item in items:
        if item.get("type") == REASONING_ITEM:
            summary, content = ([_part_text(part) for part in item.get(name) or ()] for name in ("summary", "content"))
            yield from (content if summarized is False else summary if summarized else summary or content)


def _part_text(part: Any) -> str:
    return _string(part.get("text") or "") if isinstance(part, Mapping) else _string(part)


def _joined(texts: Iterator[str]) -> str:
    """The texts with a blank line between them."""
    whole = ""
    for text in filter(None, texts):
        whole += _gap_after(whole) + text
    return whole


def _gap_after(text: str) -> str:
    """The line ends that make a blank line after ``text``; none after no text."""
    if not text or text.endswith("\n\n"):
        return ""
    return "\n" if text.endswith("\n") else "\n\n"


def _string(value: Any) -> str:
    if type(value) is not str:
        raise TypeError(value)
    return value


def _chat_counts(counts: Any) -> Mapping[str, Any]:
    """The counts under their names in the chat completions API; their details have the same names in both."""
    if not isinstance(counts, Mapping):
        return {}
    names = {"prompt_tokens": "input_tokens", "completion_tokens": "output_tokens"}
    return {**counts, **{name: counts.get(own, counts.get(name)) for name, own in names.items()}}


def _phases(items: Any) -> Iterator[Mapping[str, Any]]:
    """The phase of the last message, which the server wants back with its text."""
    phases = [item.get("phase") for item in items if item.get("type") == "message"]
    if phases and isinstance(phases[-1], str):
        yield {"type": PHASE, "phase": phases[-1]}


def _image(item: Mapping[str, Any]) -> str:
    """The ``data:`` URL of a generated image; empty if ``item`` is none."""
    data = item.get("result")
    if item.get("type") != "image_generation_call" or not isinstance(data, str) or not data:
        return ""
    form = str(item.get("output_format") or "png")
    return data if data.startswith("data:") else f"data:image/{'svg+xml' if form == 'svg' else form};base64,{data}"


def _tool_call(item: Mapping[str, Any]) -> dict[str, Any]:
    """A call of a tool in the form of ``Extras.tool_calls``."""
    arguments = item.get("arguments", item.get("input"))
    if not isinstance(arguments, str):
        arguments = json.dumps(item.get("action") or item.get("operation") or {})
    function = {"name": str(item.get("name") or item["type"]), "arguments": arguments}
    return {"id": str(item.get("call_id") or item.get("id") or ""), "type": "function", "function": function}


def _is_unknown(item: Mapping[str, Any]) -> bool:
    """Is it an item that is neither shown nor a call that the server has made itself?"""
    kind = str(item.get("type", ""))
    known = kind in ("", "message", REASONING_ITEM, "image_generation_call") or CALLS.fullmatch(kind)
    return not known and not SERVER_CALLS.fullmatch(kind)

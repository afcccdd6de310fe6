"""Collect what OpenAI-compatible servers send beside the text of a reply, as ``Extras``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from flowgpt_magic.control_characters import join_surrogates
from flowgpt_magic.messages.extras import Citation, Extras
from flowgpt_magic.providers.openai.reasoning_parts import PARTS_FIELDS, ReasoningParts

# Fields that are read elsewhere or are not about the reply. Of all other fields, lists, objects and sentences are kept;
# a number, a word or an id is a detail of the server.
CHUNK_FIELDS = frozenset(
    {
        *("id", "object", "created", "model", "choices", "usage", "system_fingerprint", "service_tier", "provider"),
        *("error", "errors", "obfuscation", "x_groq", "timings", "base_resp", "prompt_filter_results", "metrics"),
        *("prompt_annotations", "nvext", "kv_transfer_params", "prompt_logprobs", "prompt_token_ids", "time_info"),
        *("stats", "sla_metrics", "request_id", "stream_options", "metadata", "message", "done", "done_reason"),
        *("created_at", "context", "vertex_ai_safety_results", "vertex_ai_usage_metadata", "cost", "routing"),
    }
)
CHOICE_FIELDS = frozenset(
    {
        *("index", "delta", "message", "text", "finish_reason", "finishReason", "native_finish_reason", "stop_reason"),
        *("matched_stop", "content_filter_results", "content_filter_result", "content_filter_offsets", "token_ids"),
        *("prompt_token_ids", "hidden_states", "error", "seed", "logprobs", "content", "safety_ratings"),
        *("routed_experts", "finish_details"),
    }
)
DELTA_FIELDS = frozenset(
    {
        *("role", "content", "name", "refusal", "text", "tool_calls", "function_call", "reasoning_content"),
        *("reasoning", "thinking", "reasoning_details", "thinking_blocks", "reasoning_signature", "signature", "type"),
        *("provider_specific_fields", "token_ids", "parts"),
    }
)
CITATION_FIELDS = ("citations", "annotations", "search_results", "web_search", "sources", "references")
REASONING_FIELDS = ("reasoning_content", "reasoning", "thinking")  # servers that send two of them repeat the text
ADDRESS_FIELDS = ("url", "uri", "link", "href", "source")
TITLE_FIELDS = ("title", "name", "filename", "document_title")
SOURCE_OBJECTS = ("url_citation", "file_citation", "web", "document", "source", "chunk")
IMAGE_FIELDS = ("images", "image")
DETAIL_LIMIT = 200  # characters; a text without a space up to this length is a detail of the server


class ExtrasCollector:
    """Collects everything beside the text of one reply."""

    def __init__(self) -> None:
        self.reasoning: list[str] = []
        self._parts = ReasoningParts()
        self._citations: dict[str, str] = {}  # titles by address, or by title if there is no address
        self._logprobs: list[Mapping[str, Any]] = []
        self._images: dict[str, None] = {}
        self._audio: dict[str, dict[str, Any]] = {}  # by id
        self._tool_calls: dict[Any, dict[str, Any]] = {}  # by index or id
        self._other_values: dict[str, Any] = {}
        self._other_texts: dict[str, str] = {}

    def add_chunk(self, chunk: Mapping[str, Any]) -> None:
        """Add everything in a chunk beside its choices."""
        self._add_fields(chunk, CHUNK_FIELDS)

    def add_choice(self, choice: Mapping[str, Any]) -> None:
        """Add everything in a choice beside its text."""
        self._add_fields(choice, CHOICE_FIELDS)
        if logprobs := choice.get("logprobs"):
            self._logprobs += _logprobs(logprobs)

    def add_delta(self, delta: Mapping[str, Any]) -> None:
        """Add everything in a delta or a message beside its text."""
        self._add_fields(delta, DELTA_FIELDS, append=True)
        self._add_reasoning(delta)
        calls = delta.get("tool_calls") or []
        for position, call in enumerate(calls if isinstance(calls, list) else [calls]):
            self._add_tool_call(call, position)
        if function := delta.get("function_call"):
            self._add_tool_call({"index": "function_call", "function": function}, 0)

    def add_part(self, part: Mapping[str, Any]) -> str:
        """Add everything in a content part beside its text, and return the text."""
        kind = str(part.get("type", "text"))
        if "text" in part and kind not in REASONING_FIELDS:
            for name in CITATION_FIELDS:
                self._add_citations(part.get(name))
            text = part["text"]
            return str(text.get("value", "")) if isinstance(text, Mapping) else str(text or "")
        if kind in REASONING_FIELDS or any(name in part for name in REASONING_FIELDS):
            self._add_reasoning_text(_reasoning(part))
        elif kind == "refusal" or "refusal" in part:
            return str(part.get("refusal") or "")
        elif "image" in kind or "image_url" in part:
            self._add_image(part)
        elif "audio" in kind:
            self._add_audio(part.get("audio", part))
        else:
            self._add_other(f"content of type {kind}", [dict(part)])
        return ""

    @property
    def tool_names(self) -> list[str]:
        """The names of the tools that the model called."""
        names = (call.get("function", {}).get("name") for call in self._tool_calls.values())
        return [str(name) for name in names if name]

    def extras(self) -> Extras:
        """Everything collected so far."""
        return Extras(
            reasoning=join_surrogates("".join(self.reasoning)),
            citations=tuple(
                Citation(key, title) if "/" in key else Citation("", title or key)
                for key, title in self._citations.items()
            ),
            logprobs=tuple(self._logprobs),
            images=tuple(self._images),
            audio=tuple(self._audio.values()),
            tool_calls=tuple(self._tool_calls.values()),
            others=(*self._other_values.items(), *filter(_is_sentence, self._other_texts.items())),
            reasoning_parts=self._parts.opaque(),
        )

    def _add_reasoning(self, delta: Mapping[str, Any]) -> None:
        details = [part for name in PARTS_FIELDS for part in _objects(delta.get(name))]
        if details:
            self._parts.add(details)
        text = next((_reasoning(delta[name]) for name in REASONING_FIELDS if delta.get(name)), "")
        self._add_reasoning_text(text or _reasoning(details))

    def _add_reasoning_text(self, text: str) -> None:
        if text:
            self.reasoning.append(text)

    def _add_fields(self, fields: Mapping[str, Any], known: frozenset[str], *, append: bool = False) -> None:
        """Add the ``fields`` that are not ``known``. ``append``: a text continues the one in an earlier delta."""
        for name, value in fields.items():
            if name in known or not value or not isinstance(value, (list, dict, str)):
                continue
            if name in CITATION_FIELDS:
                self._add_citations(value)
            if name in IMAGE_FIELDS:
                for image in value if isinstance(value, list) else [value]:
                    self._add_image(image)
            elif name == "audio":
                self._add_audio(value)
            elif isinstance(value, str):
                self._other_texts[name] = self._other_texts.get(name, "") + value if append else value
            elif name not in ("citations", "annotations"):
                self._add_other(name, value)

    def _add_citations(self, sources: Any) -> None:
        for source in sources if isinstance(sources, list) else [sources] if isinstance(sources, dict) else ():
            for address, title in _addresses_and_titles(source):
                self._citations[address or title] = self._citations.get(address or title) or title

    def _add_image(self, image: Any) -> None:
        if isinstance(image, Mapping):
            url = image.get("image_url", image)
            url = url.get("url", url) if isinstance(url, Mapping) else url
            if not isinstance(url, str) and isinstance(data := image.get("b64_json") or image.get("data"), str):
                url = f"data:{image.get('mime_type', 'image/png')};base64,{data}"
            if not isinstance(url, str):
                self._add_other("image", [dict(image)])
                return
            image = url
        if isinstance(image, str) and image:
            self._images[image] = None

    def _add_audio(self, audio: Any) -> None:
        if isinstance(audio, Mapping):
            fields = self._audio.setdefault(str(audio.get("id") or next(reversed(self._audio), "")), {})
            for name, value in audio.items():
                append = name in ("data", "transcript") and isinstance(value, str)
                fields[name] = str(fields.get(name, "")) + value if append else value

    def _add_tool_call(self, call: Any, position: int) -> None:
        if not isinstance(call, Mapping):
            raise TypeError(call)
        key = call["index"] if call.get("index") is not None else call.get("id") or position
        fields = self._tool_calls.setdefault(str(key), {})
        fields |= {name: value for name, value in call.items() if name not in ("index", "function") and value}
        function = fields.setdefault("function", {})
        for name, value in (call.get("function") or {}).items():
            append = name == "arguments" and isinstance(value, str)
            if value:
                function[name] = str(function.get(name, "")) + value if append else value

    def _add_other(self, name: str, value: Any) -> None:
        """Add an unknown field: lists are extended, other values replaced."""
        previous = self._other_values.get(name)
        if isinstance(previous, list) and isinstance(value, list):
            value = [*previous, *(item for item in value if item not in previous)]
        self._other_values[name] = value


def _is_sentence(field: tuple[str, str]) -> bool:
    """Is the text of a field more than a detail of the server?"""
    _name, text = field
    return len(text.split()) > 1 or len(text) > DETAIL_LIMIT


def _addresses_and_titles(source: Any) -> Iterator[tuple[str, str]]:
    """Address and title of a ``source``: an address, an object, or an object inside of one."""
    if isinstance(source, str) and source:
        yield source, ""
    if not isinstance(source, Mapping):
        return
    for inner in (source.get(name) for name in SOURCE_OBJECTS):
        if isinstance(inner, Mapping):
            yield from _addresses_and_titles(inner)
            return
    address, title = (
        next((str(source[name]) for name in names if isinstance(source.get(name), str) and source[name]), "")
        for names in (ADDRESS_FIELDS, TITLE_FIELDS)
    )
    if address or title:
        yield address, title


def _reasoning(value: Any) -> str:
    """The text of a reasoning field: a string, an object or a list of them."""
    if isinstance(value, str):
        return value
    if isinstance(value, Mapping):
        names = (*REASONING_FIELDS, "text", "content", "summary")
        return next((_reasoning(value[name]) for name in names if value.get(name)), "")
    return "".join(map(_reasoning, value)) if isinstance(value, list) else ""


def _objects(value: Any) -> list[Mapping[str, Any]]:
    return [item for item in value if isinstance(item, Mapping)] if isinstance(value, list) else []


def _logprobs(value: Any) -> list[Mapping[str, Any]]:
    """One object per token; the older format has parallel lists instead."""
    if isinstance(value, list):
        return [token for token in value if isinstance(token, Mapping)]
    if not isinstance(value, Mapping):
        return []
    if isinstance(tokens := value.get("tokens"), list):
        numbers = value.get("token_logprobs")
        pairs = zip(tokens, numbers if isinstance(numbers, list) else [None] * len(tokens), strict=False)
        return [{"token": token, "logprob": number} for token, number in pairs]
    return [token for name in ("content", "refusal") for token in _logprobs(value.get(name) or [])]

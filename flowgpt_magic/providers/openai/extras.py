"""What servers of the OpenAI protocol send beside the text of a reply, each in its own place, as ``Extras``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from flowgpt_magic.messages.extras import Citation, Extras

# The fields that are read elsewhere, or tell nothing of the reply. Of other fields lists, objects and sentences are
# kept: a number, a word or an id is a detail of the server.
OF_CHUNK = frozenset(
    {
        *("id", "object", "created", "model", "choices", "usage", "system_fingerprint", "service_tier", "provider"),
        *("error", "errors", "obfuscation", "x_groq", "timings", "base_resp", "prompt_filter_results", "metrics"),
        *("prompt_annotations", "nvext", "kv_transfer_params", "prompt_logprobs", "prompt_token_ids", "time_info"),
        *("stats", "sla_metrics", "request_id", "stream_options", "metadata", "message", "done", "done_reason"),
        *("created_at", "context", "vertex_ai_safety_results", "vertex_ai_usage_metadata", "cost", "routing"),
    }
)
OF_CHOICE = frozenset(
    {
        *("index", "delta", "message", "text", "finish_reason", "finishReason", "native_finish_reason", "stop_reason"),
        *("matched_stop", "content_filter_results", "content_filter_result", "content_filter_offsets", "token_ids"),
        *("prompt_token_ids", "hidden_states", "error", "seed", "logprobs", "content", "safety_ratings"),
        *("routed_experts", "finish_details"),
    }
)
OF_DELTA = frozenset(
    {
        *("role", "content", "name", "refusal", "text", "tool_calls", "function_call", "reasoning_content"),
        *("reasoning", "thinking", "reasoning_details", "thinking_blocks", "reasoning_signature", "signature", "type"),
        *("provider_specific_fields", "token_ids", "parts"),
    }
)
SOURCES = (  # where sources are listed
    *("citations", "annotations", "search_results", "web_search", "sources", "references"),
)
REASONING = ("reasoning_content", "reasoning", "thinking")  # servers that send two of them send the same twice
ADDRESS = ("url", "uri", "link", "href", "source")
TITLE = ("title", "name", "filename", "document_title")
INNER = ("url_citation", "file_citation", "web", "document", "source", "chunk")
IMAGES = ("images", "image")
LONGEST_DETAIL = 200  # characters of a text without a space that is not kept


class Collected:
    """What has come beside the text so far."""

    def __init__(self) -> None:
        self.reasoning: list[str] = []
        self._citations: dict[str, str] = {}  # by its address, or its title where it has none, the title
        self._logprobs: list[Mapping[str, Any]] = []
        self._images: dict[str, None] = {}
        self._audio: dict[str, dict[str, Any]] = {}  # by id
        self._tools: dict[Any, dict[str, Any]] = {}  # by index, or id
        self._others: dict[str, Any] = {}
        self._texts: dict[str, str] = {}  # in fields that are not known

    def of_chunk(self, chunk: Mapping[str, Any]) -> None:
        """What a chunk has beside its choices."""
        self._of(chunk, OF_CHUNK)

    def of_choice(self, choice: Mapping[str, Any]) -> None:
        """What a choice has beside its text."""
        self._of(choice, OF_CHOICE)
        if probabilities := choice.get("logprobs"):
            self._logprobs += _logprobs(probabilities)

    def of_delta(self, delta: Mapping[str, Any]) -> None:
        """What a delta or a message has beside its text."""
        self._of(delta, OF_DELTA, grows=True)
        self.reasoning.append(next((_reasoning(delta[name]) for name in REASONING if delta.get(name)), ""))
        if not self.reasoning[-1]:
            self.reasoning[-1] = _reasoning(delta.get("reasoning_details") or delta.get("thinking_blocks"))
        calls = delta.get("tool_calls") or []
        for place, call in enumerate(calls if isinstance(calls, list) else [calls]):
            self._call(call, place)
        if function := delta.get("function_call"):
            self._call({"index": "function_call", "function": function}, 0)

    def of_part(self, part: Mapping[str, Any]) -> str:
        """The text of one part of a content; what it has beside that is kept."""
        kind = str(part.get("type", "text"))
        if "text" in part and kind not in REASONING:
            for name in SOURCES:
                self._cite(part.get(name))
            text = part["text"]
            return str(text.get("value", "")) if isinstance(text, Mapping) else str(text or "")
        if kind in REASONING or any(name in part for name in REASONING):
            self.reasoning.append(_reasoning(part))
        elif kind == "refusal" or "refusal" in part:
            return str(part.get("refusal") or "")
        elif "image" in kind or "image_url" in part:
            self._picture(part)
        elif "audio" in kind:
            self._sound(part.get("audio", part))
        else:
            self._keep(f"content of type {kind}", [dict(part)])
        return ""

    @property
    def asked_tools(self) -> list[str]:
        """The names of the tools that were asked for."""
        names = (call.get("function", {}).get("name") for call in self._tools.values())
        return [str(name) for name in names if name]

    def extras(self) -> Extras:
        """All of it."""
        return Extras(
            reasoning="".join(self.reasoning),
            citations=tuple(
                Citation(key, title) if "/" in key else Citation("", title or key)
                for key, title in self._citations.items()
            ),
            logprobs=tuple(self._logprobs),
            images=tuple(self._images),
            audio=tuple(self._audio.values()),
            tool_calls=tuple(self._tools.values()),
            others=(*self._others.items(), *filter(_says_something, self._texts.items())),
        )

    # Each kind

    def _of(self, found: Mapping[str, Any], known: frozenset[str], *, grows: bool = False) -> None:
        """The fields of ``found`` that are not ``known``; does a text in one ``grow`` with each that comes?"""
        for name, value in found.items():
            if name in known or not value or not isinstance(value, (list, dict, str)):
                continue
            if name in SOURCES:
                self._cite(value)
            if name in IMAGES:
                for each in value if isinstance(value, list) else [value]:
                    self._picture(each)
            elif name == "audio":
                self._sound(value)
            elif isinstance(value, str):
                self._texts[name] = self._texts.get(name, "") + value if grows else value
            elif name not in ("citations", "annotations"):
                self._keep(name, value)

    def _cite(self, sources: Any) -> None:
        for each in sources if isinstance(sources, list) else [sources] if isinstance(sources, dict) else ():
            for address, title in _sources(each):
                self._citations[address or title] = self._citations.get(address or title) or title

    def _picture(self, image: Any) -> None:
        if isinstance(image, Mapping):
            inner = image.get("image_url", image)
            inner = inner.get("url", inner) if isinstance(inner, Mapping) else inner
            if not isinstance(inner, str) and isinstance(data := image.get("b64_json") or image.get("data"), str):
                inner = f"data:{image.get('mime_type', 'image/png')};base64,{data}"
            if not isinstance(inner, str):
                self._keep("image", [dict(image)])
                return
            image = inner
        if isinstance(image, str) and image:
            self._images[image] = None

    def _sound(self, audio: Any) -> None:
        if isinstance(audio, Mapping):
            known = self._audio.setdefault(str(audio.get("id") or next(reversed(self._audio), "")), {})
            for name, value in audio.items():
                grows = name in ("data", "transcript") and isinstance(value, str)
                known[name] = str(known.get(name, "")) + value if grows else value

    def _call(self, call: Any, place: int) -> None:
        if not isinstance(call, Mapping):
            raise TypeError(call)
        key = call["index"] if call.get("index") is not None else call.get("id") or place
        known = self._tools.setdefault(str(key), {})
        known |= {name: value for name, value in call.items() if name not in ("index", "function") and value}
        function = known.setdefault("function", {})
        for name, value in (call.get("function") or {}).items():
            grows = name == "arguments" and isinstance(value, str)
            if value:
                function[name] = str(function.get(name, "")) + value if grows else value

    def _keep(self, name: str, value: Any) -> None:
        """A field that is known to no one here; what comes again takes the place of what came, lists grow."""
        known = self._others.get(name)
        if isinstance(known, list) and isinstance(value, list):
            value = [*known, *(each for each in value if each not in known)]
        self._others[name] = value


def _says_something(field: tuple[str, str]) -> bool:
    """Is the text of a field more than a detail of the server?"""
    _name, text = field
    return len(text.split()) > 1 or len(text) > LONGEST_DETAIL


def _sources(source: Any) -> Iterator[tuple[str, str]]:
    """The address and the title of each source in ``source``: an address, an object, or an object inside of one."""
    if isinstance(source, str) and source:
        yield source, ""
    if not isinstance(source, Mapping):
        return
    for inner in (source.get(name) for name in INNER):
        if isinstance(inner, Mapping):
            yield from _sources(inner)
            return
    address, title = (
        next((str(source[name]) for name in names if isinstance(source.get(name), str) and source[name]), "")
        for names in (ADDRESS, TITLE)
    )
    if address or title:
        yield address, title


def _reasoning(value: Any) -> str:
    """The text of what a model thought: a text, or parts that hold one."""
    if isinstance(value, str):
        return value
    if isinstance(value, Mapping):
        names = (*REASONING, "text", "content", "summary")
        return next((_reasoning(value[name]) for name in names if value.get(name)), "")
    return "".join(map(_reasoning, value)) if isinstance(value, list) else ""


def _logprobs(found: Any) -> list[Mapping[str, Any]]:
    """An object for each token; the older shape has three lists instead."""
    if isinstance(found, list):
        return [each for each in found if isinstance(each, Mapping)]
    if not isinstance(found, Mapping):
        return []
    if isinstance(tokens := found.get("tokens"), list):
        numbers = found.get("token_logprobs")
        pairs = zip(tokens, numbers if isinstance(numbers, list) else [None] * len(tokens), strict=False)
        return [{"token": token, "logprob": number} for token, number in pairs]
    return [each for name in ("content", "refusal") for each in _logprobs(found.get(name) or [])]

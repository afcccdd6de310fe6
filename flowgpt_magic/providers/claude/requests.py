"""The body of a request of Claude's Messages API, and the same without the parts that a server does not accept.

The system prompt is a field of its own, and roles alternate. ``cache_control`` marks the end of what the next request
repeats: the system prompt, and the last message before the prompt.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from flowgpt_magic.errors import OptionError, PromptError
from flowgpt_magic.messages import Message, Messages
from flowgpt_magic.messages.content_parts import document_name, is_document, read_messages
from flowgpt_magic.providers.arguments import check_number, check_schema
from flowgpt_magic.providers.openai.requests import extra_fields
from flowgpt_magic.settings.parameters import joined
from flowgpt_magic.text import cut

RESERVED_FIELDS = ("model", "messages", "stream", "system")  # not allowed in ``extra_body``
DEFAULT_LENGTH = 32_000  # tokens of a reply if the user sets no limit; the API requires one
SMALL_LENGTH = 4096  # the same if the server refuses that and does not say what it accepts
ANSWER_ROOM = 8192  # tokens for the answer beside the budget of the reasoning, if the user sets no limit
SMALLEST_BUDGET = 1024  # tokens
BUDGETS = {"low": 2048, "medium": 8192, "high": 16_384}  # tokens for an effort, if the model has no effort
LARGEST_BUDGET = 24_576
MARK = {"cache_control": {"type": "ephemeral"}}
DATA_URL = re.compile(r"data:(image/[a-z0-9.+-]+)(?:;[^,]*)?;base64,", re.IGNORECASE)
# Parts of a request that a server may not accept, and that can be left out or be sent in another way.
SIGNATURES, CACHE_MARKS, DISPLAY, ADAPTIVE, LENGTH = (
    "reasoning_parts",
    "cache_control",
    "thinking.display",
    "thinking.adaptive",
    "max_tokens",
)
PARAMETER_OF_FIELD = {"stop_sequences": "stop", "output_config": "reasoning_effort"}  # our name for a field


def request_body(model: str, messages: Messages, fields: Mapping[str, Any], *, marks: bool = True) -> dict[str, Any]:
    """The request body, without fields that are None. Raises ``PromptError`` for invalid messages.

    With ``marks`` the stable part of the prompt is marked for the server's cache.
    """
    system, others = _split(read_messages(messages, images=True, documents=True, who=""))
    has_schema = "format" in (fields.get("output_config") or {})  # Claude then cites nothing
    entries = [_entry(message, citations=not has_schema) for message in others]
    if entries[-1]["role"] == "assistant":  # the reply continues it: it has no reasoning and ends with a word
        last = [part for part in entries[-1]["content"] if part["type"] == "text"]
        entries[-1]["content"] = [{**part, "text": part["text"].rstrip()} for part in last]
    if marks and system:
        system[-1] |= MARK
    if marks and len(entries) > 1:
        entries[-2]["content"][-1] |= MARK
    return {
        "model": model,
        **({"system": _plain(system)} if system else {}),
        "messages": [{**entry, "content": _plain(entry["content"])} for entry in entries],
        "stream": True,
        **{name: value for name, value in fields.items() if value is not None},
    }


def _split(messages: Sequence[Message]) -> tuple[list[dict[str, Any]], list[list[Message]]]:
    """The blocks of the system prompt, and the other messages: those of one role in a row are together."""
    system = [_text(message["content"]) for message in messages if message["role"] == "system"]
    groups: list[list[Message]] = []
    for message in messages:
        if message["role"] == "system" or not (message["content"].strip() or message.get("images")):
            continue
        if groups and groups[-1][-1]["role"] == message["role"]:
            groups[-1].append(message)
        else:
            groups.append([message])
    if not groups:
        raise PromptError("there is no message to send besides the system prompt.")
    return system, groups


def _entry(messages: Sequence[Message], *, citations: bool) -> dict[str, Any]:
    """One message of the API, with the contents of ``messages``, which have the same role."""
    content: list[dict[str, Any]] = []
    for message in messages:
        content += [dict(part) for part in message.get("reasoning_parts", ()) if is_reasoning_part(part)]
        urls = message.get("images", ())
        content += [_document(url, citations=citations) if is_document(url) else _image(url) for url in urls]
        content += [_text(message["content"])] if message["content"].strip() else []
    return {"role": messages[0]["role"], "content": content}


def _text(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


def _plain(content: list[dict[str, Any]]) -> Any:
    """``content``, or its text if it is a single text without a mark."""
    return content[0]["text"] if len(content) == 1 and content[0].keys() == {"type", "text"} else content


def _image(url: str) -> dict[str, Any]:
    if (match := DATA_URL.match(url)) is None:
        return {"type": "image", "source": {"type": "url", "url": str(url)}}
    source = {"type": "base64", "media_type": match[1].lower(), "data": str(url[match.end() :])}
    return {"type": "image", "source": source}


def _document(url: str, *, citations: bool) -> dict[str, Any]:
    source = {"type": "base64", "media_type": "application/pdf", "data": url.partition(",")[2]}
    title = {"title": name} if (name := document_name(url)) else {}
    cited = {"citations": {"enabled": True}} if citations else {}
    return {"type": "document", "source": source, **title, **cited}


def is_reasoning_part(part: Mapping[str, Any]) -> bool:
    """Is ``part`` a block of reasoning of this API, as a reply brought it?"""
    kind = part.get("type")
    return (kind == "thinking" and bool(part.get("signature"))) or (kind == "redacted_thinking" and "data" in part)


# Fields


def with_extra_fields(fields: Mapping[str, Any], extra_body: Any) -> dict[str, Any]:
    """``fields`` with those of ``extra_body``, whose objects are merged key by key."""
    own = {name: value for name, value in fields.items() if value is not None}
    further = extra_fields(extra_body, RESERVED_FIELDS, "{'inference_geo': 'eu'}")
    merged: dict[str, Any] = joined(own, further)
    return merged


def reasoning_fields(thinking: Any, budget: Any, effort: str | None) -> dict[str, Any]:
    """The fields ``thinking`` and ``output_config`` for the parameters. Raises ``OptionError`` if they contradict.

    Args:
        thinking: the field itself, its type alone such as ``adaptive`` or ``disabled``, or None.
        budget: tokens of the reasoning, 0 for none, or None.
        effort: ``low``, ``medium``, ``high``, ``xhigh`` or ``max``; ``none`` switches the reasoning off.
    """
    if thinking is not None and budget is not None:
        raise OptionError("give either thinking or thinking_budget, not both")
    if effort == "none":
        thinking, effort = thinking or "disabled", None
    config = {"output_config": {"effort": effort}} if effort else {}
    if budget is not None:
        return {"thinking": _with_budget(budget), **config}
    if isinstance(thinking, str):
        thinking = {"type": thinking}
    if thinking is None and effort:
        thinking = {"type": "adaptive"}
    if thinking is None:
        return config
    if not isinstance(thinking, Mapping):
        raise OptionError(f"thinking is adaptive, disabled or an object with a type, not {cut(repr(thinking))}.")
    if thinking.get("type") == "adaptive":
        thinking = {"display": "summarized", **thinking}
    return {"thinking": dict(thinking), **config}


def _with_budget(budget: Any) -> dict[str, Any]:
    tokens = check_number("thinking_budget", budget, 4096)
    if not tokens:
        return {"type": "disabled"}
    if tokens < SMALLEST_BUDGET:
        raise OptionError(f"thinking_budget must be at least {SMALLEST_BUDGET} tokens, or 0 for none, not {tokens}.")
    return {"type": "enabled", "budget_tokens": tokens, "display": "summarized"}


def length(max_tokens: Any, thinking: Mapping[str, Any] | None) -> int:
    """The field ``max_tokens``. Raises ``OptionError`` if it leaves no room for an answer."""
    tokens = check_number("max_tokens", max_tokens, 1024)
    budget = (thinking or {}).get("budget_tokens")
    budget = budget if type(budget) is int else 0
    if tokens is None:
        return max(DEFAULT_LENGTH, budget + ANSWER_ROOM)
    if tokens < 1:
        raise OptionError(f"max_tokens must be at least 1, not {tokens}.")
    if tokens <= budget:
        raise OptionError(
            f"max_tokens ({tokens}) must be greater than thinking_budget ({budget}): the reasoning counts as part of "
            "the reply."
        )
    return int(tokens)


def output_format(schema: Any) -> dict[str, Any]:
    """The ``output_config`` for a JSON Schema. Claude requires that objects forbid further properties."""
    return {"format": {"type": "json_schema", "schema": _closed(check_schema(schema))}}


def _closed(schema: Any) -> Any:
    """``schema`` with ``additionalProperties: false`` in each object with properties that does not mention it."""
    if isinstance(schema, Mapping):
        values = {
            name: {key: _closed(inner) for key, inner in value.items()}
            if name in ("properties", "$defs", "definitions") and isinstance(value, Mapping)
            else value
            if name in ("enum", "const", "default", "examples")
            else _closed(value)
            for name, value in schema.items()
        }
        is_open = "properties" in schema and "additionalProperties" not in schema
        return {**values, "additionalProperties": False} if is_open else values
    return [_closed(item) for item in schema] if isinstance(schema, list) else schema


# Parts that can be left out


def optional_parts(body: Mapping[str, Any]) -> list[str]:
    """The parts of ``body`` that can be left out."""
    thinking = body.get("thinking")
    thinking = thinking if isinstance(thinking, Mapping) else {}
    blocks = list(_blocks(body))
    parts = {
        SIGNATURES: any(is_reasoning_part(block) for block in blocks),
        CACHE_MARKS: any("cache_control" in block for block in blocks),
        DISPLAY: "display" in thinking,
        ADAPTIVE: thinking.get("type") == "adaptive" and "effort" in (body.get("output_config") or {}),
    }
    return [name for name, is_there in parts.items() if is_there]


def without_part(body: Mapping[str, Any], part: str, limit: int | None = None) -> dict[str, Any]:
    """``body`` without one of its ``optional_parts``; for ``max_tokens`` with ``limit`` or ``SMALL_LENGTH``."""
    changed = dict(body)
    if part in (SIGNATURES, CACHE_MARKS):
        for name in ("system", "messages"):
            if isinstance(body.get(name), list):
                changed[name] = _without_blocks(body[name], part)
    elif part == DISPLAY:
        changed["thinking"] = {name: value for name, value in body["thinking"].items() if name != "display"}
    elif part == ADAPTIVE:
        changed |= _with_budget_of_effort(body)
    elif part == LENGTH:
        changed["max_tokens"] = limit or SMALL_LENGTH
    return {name: value for name, value in changed.items() if value is not None}


def _with_budget_of_effort(body: Mapping[str, Any]) -> dict[str, Any]:
    """The fields that replace an effort: a number of tokens, as older models take it."""
    config = dict(body["output_config"])
    budget = BUDGETS.get(str(config.pop("effort")), LARGEST_BUDGET)
    budget = min(budget, max(SMALLEST_BUDGET, int(body["max_tokens"]) // 2))
    display = {"display": body["thinking"]["display"]} if "display" in body["thinking"] else {}
    return {"thinking": {"type": "enabled", "budget_tokens": budget, **display}, "output_config": config or None}


def _without_blocks(entries: Iterable[Any], part: str) -> list[Any]:
    """``entries``, blocks or messages, without the blocks of reasoning or without the marks of the cache."""
    changed = []
    for entry in entries:
        if isinstance(entry.get("content"), list):
            changed.append({**entry, "content": _plain(_without_blocks(entry["content"], part))})
        elif part == CACHE_MARKS:
            changed.append({name: value for name, value in entry.items() if name != "cache_control"})
        elif not is_reasoning_part(entry):
            changed.append(entry)
    return changed


def _blocks(body: Mapping[str, Any]) -> Iterable[Mapping[str, Any]]:
    """All content blocks of the request."""
    contents = [body.get("system"), *(message["content"] for message in body.get("messages", ()))]
    return (block for content in contents if isinstance(content, list) for block in content)

"""The body of a chat completion request, and alternatives for fields that a server does not accept."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from flowgpt_magic.errors import OptionError
from flowgpt_magic.messages import ImageUrl, Message, Messages
from flowgpt_magic.messages.content_parts import read_messages
from flowgpt_magic.providers.arguments import check_schema
from flowgpt_magic.providers.openai.reasoning_parts import PARTS_FIELDS, sent_back

RESERVED_FIELDS = ("model", "messages", "input", "stream", "stream_options", "n")  # not allowed in ``extra_body``
VALUE_KEYWORDS = ("enum", "const", "default", "examples")  # of a JSON Schema; they contain values, no schemas
SCHEMA_NAME_LIMIT = 64  # characters

# A field that a server does not accept is replaced by another one, or left out.
REASONING_PARTS = "reasoning_parts"
REPLACEMENTS = {"stream_options": "", "stream": "", "max_tokens": "max_completion_tokens"}


def request_body(model: str, messages: Messages, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The request body, without parameters that are None. Raises ``PromptError`` for invalid messages."""
    fields = {name: value for name, value in parameters.items() if value is not None}
    return {
        "model": model,
        "messages": [_message(message) for message in read_messages(messages, images=True, who="")],
        "stream": True,
        "stream_options": {"include_usage": True},
        **fields,
    }


def _message(message: Message) -> dict[str, Any]:
    text = message["content"]
    content = _parts(text, message["images"]) if message.get("images") else text
    return {"role": message["role"], "content": content, **sent_back(message.get("reasoning_parts", ()))}


def _parts(text: str, images: Iterable[str]) -> list[dict[str, Any]]:
    """The content parts of a text with images."""
    parts = []
    for image in images:
        detail = {"detail": image.detail} if isinstance(image, ImageUrl) else {}
        parts.append({"type": "image_url", "image_url": {"url": str(image), **detail}})
    return [{"type": "text", "text": text}, *parts] if text else parts


def extra_fields(
    extra_body: Any, reserved_fields: Collection[str] = RESERVED_FIELDS, example: str = "{'top_k': 40}"
) -> dict[str, Any]:
    """The fields of ``extra_body``. Raises ``OptionError`` for fields that it cannot set."""
    if extra_body is None:
        return {}
    if not isinstance(extra_body, Mapping):
        raise OptionError(f"extra_body is a mapping of further fields, such as {example}")
    if reserved := [name for name in extra_body if name in reserved_fields]:
        raise OptionError(f"extra_body cannot set {', '.join(reserved)}: flowgpt_magic sets that itself")
    return {str(name): value for name, value in extra_body.items()}


def response_format(schema: Mapping[str, Any], explicit: Any) -> dict[str, Any]:
    """The ``response_format`` for ``schema``. Raises ``OptionError`` if there is an ``explicit`` one too."""
    if explicit is not None:
        raise OptionError("give either schema or response_format, not both")
    schema = check_schema(schema)
    name = re.sub("[^A-Za-z0-9_-]+", "_", str(schema.get("title", "")))[:SCHEMA_NAME_LIMIT].strip("_") or "reply"
    json_schema = {"name": name, "schema": dict(schema), "strict": _is_strict(schema)}
    return {"type": "json_schema", "json_schema": json_schema}


def _is_strict(schema: Any) -> bool:
    """Does every object forbid further properties and require all of its own? Only then OpenAI accepts ``strict``."""
    if isinstance(schema, list):
        return all(_is_strict(item) for item in schema)
    if not isinstance(schema, Mapping):
        return True
    if schema.get("type") == "object" or "properties" in schema:
        names = schema.get("properties", {})
        if schema.get("additionalProperties") is not False or set(schema.get("required", ())) != set(names):
            return False
    return all(_is_strict(value) for keyword, value in schema.items() if keyword not in VALUE_KEYWORDS)


def without_field(body: Mapping[str, Any], field: str) -> dict[str, Any]:
    """``body`` without ``field``, or with its replacement; ``reasoning_parts`` is a field of its messages."""
    if field == REASONING_PARTS:
        messages = [{n: v for n, v in message.items() if n not in PARTS_FIELDS} for message in body["messages"]]
        return {**body, "messages": messages}
    name = REPLACEMENTS[field]
    replacement = {name: body[field]} if name and field in body else {}
    return {**replacement, **{name: value for name, value in body.items() if name != field}}

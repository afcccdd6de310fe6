"""What a server of the OpenAI protocol is asked: the body of a chat completion, and what else it may be called."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from flowgpt_magic.errors import OptionError
from flowgpt_magic.messages import ImageUrl, Message, Messages
from flowgpt_magic.messages.content_parts import read_messages
from flowgpt_magic.providers.arguments import check_schema
from flowgpt_magic.providers.characters import whole

OURS = ("model", "messages", "stream", "stream_options", "n")  # fields that nobody else sets
VALUES = ("enum", "const", "default", "examples")  # what in a schema is no schema
LONGEST_NAME = 64  # characters of a schema's name

# Servers differ in what they take. A field that one refuses is sent once more by its other name, or not at all.
OTHER_NAMES = {"stream_options": "", "stream": "", "max_tokens": "max_completion_tokens"}


def request_body(model: str, messages: Messages, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """What is sent; parameters that are None are not. Raises ``PromptError`` for messages that are none."""
    given = {name: value for name, value in parameters.items() if value is not None}
    return {
        "model": model,
        "messages": [_message(message) for message in read_messages(messages, images=True, who="")],
        "stream": True,
        "stream_options": {"include_usage": True},
        **given,
    }


def _message(message: Message) -> dict[str, Any]:
    text = whole(message["content"])
    content = _parts(text, message["images"]) if message.get("images") else text
    return {"role": message["role"], "content": content}


def _parts(text: str, images: Iterable[str]) -> list[dict[str, Any]]:
    """A content that is a text with images."""
    shown = []
    for image in images:
        detail = {"detail": image.detail} if isinstance(image, ImageUrl) else {}
        shown.append({"type": "image_url", "image_url": {"url": str(image), **detail}})
    return [{"type": "text", "text": text}, *shown] if text else shown


def extra_fields(given: Mapping[str, Any] | None) -> dict[str, Any]:
    """Further fields of the body, as the server calls them; raises ``OptionError`` for those that are not theirs."""
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise OptionError("extra_body is a mapping of further fields, such as {'top_k': 40}")
    if taken := [name for name in given if name in OURS]:
        raise OptionError(f"extra_body cannot say {', '.join(taken)}: that is how the reply is asked for")
    return {str(name): value for name, value in given.items()}


def response_format(schema: Mapping[str, Any], otherwise: Any) -> dict[str, Any]:
    """The field that asks for a reply which fits ``schema``; raises ``OptionError`` where one is given besides."""
    if otherwise is not None:
        raise OptionError("give either schema or response_format, not both")
    schema = check_schema(schema)
    name = re.sub("[^A-Za-z0-9_-]+", "_", str(schema.get("title", "")))[:LONGEST_NAME].strip("_") or "reply"
    described = {"name": name, "schema": dict(schema), "strict": _is_strict(schema)}
    return {"type": "json_schema", "json_schema": described}


def _is_strict(schema: Any) -> bool:
    """Is every object closed, and all of it required? OpenAI refuses to promise a reply that fits anything else."""
    if isinstance(schema, list):
        return all(_is_strict(each) for each in schema)
    if not isinstance(schema, Mapping):
        return True
    if schema.get("type") == "object" or "properties" in schema:
        names = schema.get("properties", {})
        if schema.get("additionalProperties") is not False or set(schema.get("required", ())) != set(names):
            return False
    return all(_is_strict(each) for name, each in schema.items() if name not in VALUES)


def without(body: Mapping[str, Any], field: str) -> dict[str, Any]:
    """``body`` with ``field`` by its other name, or without it."""
    other = OTHER_NAMES[field]
    renamed = {other: body[field]} if other else {}
    return {**renamed, **{name: value for name, value in body.items() if name != field}}

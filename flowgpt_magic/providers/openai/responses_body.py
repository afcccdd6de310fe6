"""The body of a request of OpenAI's Responses API, and the same without the parts that a server does not accept.

Nothing is stored by the server: the whole conversation is sent each time, with the reasoning of earlier replies as the
server encrypted it. System messages stay where they stand in the conversation, which ``instructions`` could not say.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from flowgpt_magic.errors import OptionError, ParameterRefusedError
from flowgpt_magic.messages import ImageUrl, Message, Messages
from flowgpt_magic.messages.content_parts import read_messages
from flowgpt_magic.providers.openai.requests import REASONING_PARTS, extra_fields
from flowgpt_magic.settings.parameters import joined

ENCRYPTED = "reasoning.encrypted_content"  # of ``include``
REASONING_ITEM = "reasoning"
REASONING_FIELDS = ("type", "id", "summary", "content", "encrypted_content")  # of an item that is sent back
PHASE = "message"  # the type of the part of a reply that says which phase its text belongs to
NO_EFFORT = "none"
# Parts of a request that a server may not accept, and that can be left out.
STREAM, INCLUDE, SUMMARY = "stream", "include", "reasoning.summary"
LENGTHS = ("max_tokens", "max_completion_tokens")
MOVED = (*LENGTHS, "stop", "reasoning_effort", "verbosity", "response_format")  # parameters with another place


def request_body(
    model: str,
    messages: Messages,
    parameters: Mapping[str, Any],
    extra_body: Mapping[str, Any] | None = None,
    *,
    summary: bool = True,
) -> dict[str, Any]:
    """The request body, without parameters that are None. ``extra_body`` is merged key by key.

    ``summary`` asks for a summary of the reasoning, even if no effort is given. Raises ``PromptError`` for invalid
    messages, ``OptionError`` for fields that contradict, and ``ParameterRefusedError`` for what the API does not have.
    """
    if parameters.get("stop") is not None:
        raise ParameterRefusedError(
            "OpenAI's Responses API has no parameter stop; the chat completions API has (setting openai_api = chat).",
            400,
            "stop",
        )
    fields = {
        "max_output_tokens": _length(parameters),
        "reasoning": _reasoning(parameters.get("reasoning_effort"), summary=summary),
        "text": _text(parameters),
        **{name: value for name, value in parameters.items() if name not in MOVED},
    }
    extra = extra_fields(extra_body)
    include = extra.pop("include", None)
    own = {
        "model": model,
        "input": [item for message in read_messages(messages, images=True, who="") for item in _items(message)],
        "stream": True,
        "store": False,
        "include": list(dict.fromkeys([ENCRYPTED, *(include if isinstance(include, list) else ())])),
        **{name: value for name, value in fields.items() if value is not None},
    }
    body: dict[str, Any] = joined(own, extra)
    return body


# Input


def _items(message: Message) -> Iterable[dict[str, Any]]:
    """The items of a message: the reasoning before it, and its content."""
    parts = message.get("reasoning_parts", ())
    yield from (_reasoning_item(part) for part in parts if is_reasoning_item(part))
    phase = next((part["phase"] for part in parts if part.get("type") == PHASE and part.get("phase")), None)
    text, images = message["content"], message.get("images", ())
    kind = "output_text" if message["role"] == "assistant" else "input_text"
    parts_of_text = [{"type": kind, "text": text}] if text else []
    content = [*parts_of_text, *map(_image, images)] if images else text
    yield {"role": message["role"], "content": content, **({"phase": phase} if phase else {})}


def _image(image: str) -> dict[str, Any]:
    detail = image.detail if isinstance(image, ImageUrl) else "auto"
    return {"type": "input_image", "image_url": str(image), "detail": detail}


def is_reasoning_item(part: Mapping[str, Any]) -> bool:
    """Is ``part`` a reasoning item of this API that only the model can read, as a reply brought it?"""
    return part.get("type") == REASONING_ITEM and bool(part.get("encrypted_content"))


def _reasoning_item(part: Mapping[str, Any]) -> dict[str, Any]:
    """The item as servers accept it back: without its status, and without fields that are null."""
    fields = {name: part[name] for name in REASONING_FIELDS if part.get(name) is not None}
    return {"summary": [], **fields}


# Fields


def _length(parameters: Mapping[str, Any]) -> Any:
    lengths = {name: parameters[name] for name in LENGTHS if parameters.get(name) is not None}
    if len(set(map(str, lengths.values()))) > 1:
        raise OptionError(f"give either {' or '.join(lengths)}, not both")
    return next(iter(lengths.values()), None)


def _reasoning(effort: str | None, *, summary: bool) -> dict[str, Any] | None:
    if effort is None:
        return {"summary": "auto"} if summary else None
    return {"effort": effort} if effort == NO_EFFORT else {"effort": effort, "summary": "auto"}


def _text(parameters: Mapping[str, Any]) -> dict[str, Any] | None:
    form, verbosity = parameters.get("response_format"), parameters.get("verbosity")
    fields = {"format": _flat(form), "verbosity": verbosity}
    return {name: value for name, value in fields.items() if value is not None} or None


def _flat(form: Any) -> Any:
    """A ``response_format`` in the form of this API, in which the schema is not nested."""
    if not isinstance(form, Mapping) or not isinstance(schema := form.get("json_schema"), Mapping):
        return form
    return {"type": "json_schema", **{name: value for name, value in schema.items() if value is not None}}


# Parts that can be left out


def optional_parts(body: Mapping[str, Any]) -> list[str]:
    """The parts of ``body`` that can be left out; a summary that the user words otherwise is none."""
    reasoning = body.get("reasoning")
    parts = {
        STREAM: "stream" in body,
        INCLUDE: ENCRYPTED in (body.get("include") or ()),
        SUMMARY: isinstance(reasoning, Mapping) and reasoning.get("summary") == "auto",
        REASONING_PARTS: any(item.get("type") == REASONING_ITEM for item in body.get("input", ())),
    }
    return [name for name, is_there in parts.items() if is_there]


def without_part(body: Mapping[str, Any], part: str) -> dict[str, Any]:
    """``body`` without one of its ``optional_parts``."""
    field = {SUMMARY: "reasoning", REASONING_PARTS: "input"}.get(part, part)
    rest: Any = None
    if part == INCLUDE:
        rest = [name for name in body["include"] if name != ENCRYPTED]
    elif part == SUMMARY:
        rest = {name: value for name, value in body["reasoning"].items() if name != "summary"}
    elif part == REASONING_PARTS:
        rest = [item for item in body["input"] if item.get("type") != REASONING_ITEM]
    others = {name: value for name, value in body.items() if name != field}
    return {**others, field: rest} if rest else others

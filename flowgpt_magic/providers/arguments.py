"""Check the types of a provider's arguments, so that callers from Python get a clear error."""

from __future__ import annotations

import numbers
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from flowgpt_magic.errors import ModelNotSupportedError, OptionError, PromptError
from flowgpt_magic.messages import Messages
from flowgpt_magic.text import cut


def check_model(name: Any, provider: str) -> str:
    """The name of a model, empty for None. Raises ``ModelNotSupportedError`` if it is not a string."""
    if name is None or isinstance(name, str):
        return name or ""
    raise ModelNotSupportedError(
        f"{provider} has no model {cut(repr(name))}: the name of a model is text, not {type(name).__name__}."
    )


def check_messages(messages: Any) -> Messages:
    """``messages``, if they are a sequence of mappings with role and content. Raises ``PromptError``."""
    if isinstance(messages, (str, bytes, Mapping)) or not isinstance(messages, Sequence):
        raise PromptError(
            f"messages must be a list such as [{{'role': 'user', 'content': 'Hello'}}], not {type(messages).__name__}."
        )
    for message in messages:
        if type(message) is dict and type(message.get("role")) is type(message.get("content")) is str:
            continue  # the usual case, checked fast
        if not isinstance(message, Mapping):
            raise PromptError(f"a message must have a role and a content; it cannot be {type(message).__name__}.")
        if not isinstance(message.get("role"), str):
            raise PromptError("a message must have a role that is text, such as user.")
        # The parts of a list are checked by the provider. None from an assistant is a refusal or empty.
        is_empty = message.get("content") is None and message["role"] == "assistant"
        if not is_empty and not isinstance(message.get("content"), (str, list, tuple)):
            raise PromptError("a message must have a role, and a content that is text.")
    return messages


def check_temperature(temperature: Any) -> float | None:
    """The temperature as a float or int, or None. Raises ``OptionError`` if it is not a number."""
    return check_number("temperature", temperature, 0.7)


def check_number(name: str, value: Any, example: float) -> float | None:
    """The parameter ``name`` as a float or int, or None. Raises ``OptionError`` if it is not a number.

    If ``example`` is an int, the value must be an integer.
    """
    is_whole = type(example) is int
    if value is None or type(value) is int or (type(value) is float and not is_whole):
        return value
    if not isinstance(value, bool) and isinstance(value, numbers.Integral if is_whole else numbers.Real):
        return int(value) if isinstance(value, numbers.Integral) and is_whole else float(value)
    kind = "a whole number" if is_whole else "a number"
    raise OptionError(f"{name} must be {kind} such as {example:g}, not {cut(repr(value))}.")


def check_stop(stop: Any) -> list[str] | None:
    """The stop sequences as a list, or None. Raises ``OptionError`` for anything but a string or strings."""
    if stop is None or isinstance(stop, str):
        return None if stop is None else [stop]
    words: list[Any] = list(stop) if isinstance(stop, Iterable) and not isinstance(stop, (bytes, Mapping)) else [None]
    if all(isinstance(word, str) for word in words):
        return words
    raise OptionError(f"stop must be a string that ends the reply, or a list of strings, not {cut(repr(stop))}.")


def check_schema(schema: Any) -> Mapping[str, Any]:
    """``schema``, if it is a mapping. Raises ``OptionError``."""
    if isinstance(schema, Mapping):
        return schema
    raise OptionError(f"schema must be a JSON Schema such as {{'type': 'object'}}, not {cut(repr(schema))}.")

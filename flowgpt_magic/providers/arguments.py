"""Are the arguments of a provider of the right type? Callers from Python get one clear error where they are not."""

from __future__ import annotations

import numbers
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from flowgpt_magic.errors import ModelNotSupportedError, OptionError, PromptError
from flowgpt_magic.messages import Messages
from flowgpt_magic.text import cut


def check_model(name: Any, provider: str) -> str:
    """The name of a model, empty for None; raises ``ModelNotSupportedError`` for what is not text."""
    if name is None or isinstance(name, str):
        return name or ""
    raise ModelNotSupportedError(
        f"{provider} has no model {cut(repr(name))}: the name of a model is text, not {type(name).__name__}."
    )


def check_messages(messages: Any) -> Messages:
    """Raises ``PromptError`` for what is not a sequence of mappings, each with a role and a content."""
    if isinstance(messages, (str, bytes, Mapping)) or not isinstance(messages, Sequence):
        raise PromptError(
            f"messages must be a list such as [{{'role': 'user', 'content': 'Hello'}}], not {type(messages).__name__}."
        )
    for message in messages:
        if type(message) is dict and type(message.get("role")) is type(message.get("content")) is str:
            continue  # as they nearly all are, and a long conversation has many
        if not isinstance(message, Mapping):
            raise PromptError(f"a message must have a role and a content; it cannot be {type(message).__name__}.")
        if not isinstance(message.get("role"), str):
            raise PromptError("a message must have a role that is text, such as user.")
        # Which parts a list may hold is up to the provider. An assistant's None is a refusal, or nothing.
        empty = message.get("content") is None and message["role"] == "assistant"
        if not empty and not isinstance(message.get("content"), (str, list, tuple)):
            raise PromptError("a message must have a role, and a content that is text.")
    return messages


def check_temperature(temperature: Any) -> float | None:
    """The temperature as a plain number, or None; raises ``OptionError`` for what is no number."""
    return check_number("temperature", temperature, 0.7)


def check_number(name: str, value: Any, example: float) -> float | None:
    """The parameter ``name`` as a plain number, or None; raises ``OptionError`` for what is no number.

    It must be a whole one where the ``example`` is.
    """
    whole = type(example) is int
    if value is None or type(value) is int or (type(value) is float and not whole):
        return value
    if not isinstance(value, bool) and isinstance(value, numbers.Integral if whole else numbers.Real):
        return int(value) if isinstance(value, numbers.Integral) and whole else float(value)
    wanted = "a whole number" if whole else "a number"
    raise OptionError(f"{name} must be {wanted} such as {example:g}, not {cut(repr(value))}.")


def check_stop(stop: Any) -> list[str] | None:
    """One text that ends the reply, or several, as a list; raises ``OptionError`` for anything else."""
    if stop is None or isinstance(stop, str):
        return None if stop is None else [stop]
    words: list[Any] = list(stop) if isinstance(stop, Iterable) and not isinstance(stop, (bytes, Mapping)) else [None]
    if all(isinstance(word, str) for word in words):
        return words
    raise OptionError(f"stop must be a text that ends the reply, or a list of them, not {cut(repr(stop))}.")


def check_schema(schema: Any) -> Mapping[str, Any]:
    """Raises ``OptionError`` for what cannot be a JSON Schema."""
    if isinstance(schema, Mapping):
        return schema
    raise OptionError(f"schema must be a JSON Schema such as {{'type': 'object'}}, not {cut(repr(schema))}.")

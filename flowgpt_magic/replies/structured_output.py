"""Ask for a reply that fits a schema, check it at its end, and retry it if it does not fit."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from flowgpt_magic.errors import MismatchError, SchemaNotSupportedError
from flowgpt_magic.messages import Message, NewAttempt, NewSplit, is_text, notice
from flowgpt_magic.messages.reasoning import answer_of
from flowgpt_magic.providers.inner_generator import InnerGenerator
from flowgpt_magic.replies.received import CheckedChunks, RetriedChunks
from flowgpt_magic.replies.schema import Schema
from flowgpt_magic.text import counted

Ask = Callable[[Sequence[Message], Mapping[str, Any]], RetriedChunks]  # with messages and parameters

INSTRUCTION = "Answer with JSON and nothing else. It must be one value that fits this JSON Schema:"


def with_schema_instruction(messages: Sequence[Message], schema: Schema) -> list[Message]:
    """``messages`` with the schema at the end of the last one, for providers that do not support schemas."""
    *earlier, last = messages
    described = json.dumps(schema.json_schema, ensure_ascii=False)
    return [*earlier, {**last, "content": f"{last['content']}\n\n{INSTRUCTION}\n{described}"}]


def with_correction(messages: Sequence[Message], text: str, error: MismatchError) -> list[Message]:
    """``messages`` followed by the answer in the reply ``text`` and by the ``error`` in it.

    If the reply has no answer, only reasoning, the error is added to the last message: servers accept neither a blank
    answer nor two user messages in a row.
    """
    correction = f"This does not fit the schema: {error} Answer again, with JSON that fits and nothing else."
    answer = answer_of(text)
    if not answer.strip():
        *earlier, last = messages
        return [*earlier, {**last, "content": f"{last['content']}\n\nYour last reply held no answer. {correction}"}]
    return [*messages, {"role": "assistant", "content": answer}, {"role": "user", "content": correction}]


async def with_schema_check(
    ask: Ask, schema: Schema, messages: Sequence[Message], *, native: bool, retries: int
) -> CheckedChunks:
    """The chunks of ``ask``. While the reply does not fit ``schema``, a ``NewAttempt`` and a new reply follow.

    Raises ``MismatchError`` if the last attempt does not fit either.

    Args:
        ask: is called with messages and additional parameters for the provider.
        schema: what the reply has to fit.
        messages: the messages of the request.
        native: pass the schema to the provider as a parameter; if the server refuses it, and otherwise, it is added
            to the prompt.
        retries: the number of further attempts.
    """
    sent = list(messages) if native else with_schema_instruction(messages, schema)
    for retries_left in range(retries, -1, -1):
        text: list[str] = []
        try:
            async with InnerGenerator(_collected(ask, sent, schema if native else None, text)) as chunks:
                async for chunk in chunks:
                    yield chunk
        except SchemaNotSupportedError as error:
            if text or not native:
                raise
            notice(f"the schema was added to the prompt: {error}")
            native, sent = False, with_schema_instruction(messages, schema)
            async with InnerGenerator(_collected(ask, sent, None, text)) as chunks:
                async for chunk in chunks:
                    yield chunk
        try:
            schema.read("".join(text))
        except MismatchError as error:
            if not retries_left:
                tries = counted(retries + 1, "try", "tries")
                raise MismatchError(f"the reply does not fit {schema.name} after {tries}: {error}") from None
            yield NewAttempt(f"the reply does not fit {schema.name}: {error}")
            sent = with_correction(sent, "".join(text), error)
        else:
            return


async def _collected(ask: Ask, messages: Sequence[Message], schema: Schema | None, text: list[str]) -> RetriedChunks:
    """The chunks of ``ask``. Those of the text are also added to ``text``."""
    parameters = {"schema": dict(schema.json_schema)} if schema else {}
    async with InnerGenerator(ask(messages, parameters)) as chunks:
        async for chunk in chunks:
            if is_text(chunk):
                text.append(chunk)
            elif isinstance(chunk, NewSplit):
                text[:] = [chunk.text]
            yield chunk

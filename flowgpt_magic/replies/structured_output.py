"""A reply that has to fit a schema: asked for so, checked when it has ended, and asked again where it does not fit."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from typing import Any

from flowgpt_magic.errors import MismatchError, SchemaNotSupportedError
from flowgpt_magic.messages import Message, NewAttempt, Usage, Waiting, notice
from flowgpt_magic.messages.extras import Extras
from flowgpt_magic.messages.reasoning import answer_of
from flowgpt_magic.providers.inner_generator import InnerGenerator
from flowgpt_magic.replies.schema import Schema
from flowgpt_magic.text import counted

Chunks = AsyncGenerator[str | Usage | Extras | Waiting, None]
CheckedChunks = AsyncGenerator[str | Usage | Extras | NewAttempt | Waiting, None]
Ask = Callable[[Sequence[Message], Mapping[str, Any]], Chunks]

INSTRUCTION = "Answer with JSON and nothing else. It must be one value that fits this JSON Schema:"


def instructed(messages: Sequence[Message], schema: Schema) -> list[Message]:
    """``messages`` with the schema below the last one, for a model that cannot be given one otherwise."""
    *earlier, last = messages
    described = json.dumps(schema.json_schema, ensure_ascii=False)
    return [*earlier, {**last, "content": f"{last['content']}\n\n{INSTRUCTION}\n{described}"}]


def corrected(messages: Sequence[Message], text: str, wrong: MismatchError) -> list[Message]:
    """``messages``, the reply to them that does not fit, and what is wrong with it.

    Of the reply goes along what is no reasoning. Where nothing else came, the last message says what was wrong: no
    server takes a blank answer, or two messages of the user in a row.
    """
    told = f"This does not fit the schema: {wrong} Answer again, with JSON that fits and nothing else."
    answer = answer_of(text)
    if not answer.strip():
        *earlier, last = messages
        return [*earlier, {**last, "content": f"{last['content']}\n\nYour last reply held no answer. {told}"}]
    return [*messages, {"role": "assistant", "content": answer}, {"role": "user", "content": told}]


async def checked(
    ask: Ask, schema: Schema, messages: Sequence[Message], *, native: bool, further_tries: int
) -> CheckedChunks:
    """The chunks of ``ask``, asked again up to ``further_tries`` times while the text of the reply does not fit.

    ``ask`` gets messages and further parameters of the provider. Where ``native``, the provider takes the schema as one
    of them; a server that refuses it is asked in words. A ``NewAttempt`` is yielded before another try. Raises
    ``MismatchError`` when no try is left.
    """
    asked = list(messages) if native else instructed(messages, schema)
    for further in range(further_tries, -1, -1):
        text: list[str] = []
        try:
            async with InnerGenerator(_taken(ask, asked, schema if native else None, text)) as chunks:
                async for chunk in chunks:
                    yield chunk
        except SchemaNotSupportedError as error:
            if text or not native:
                raise
            notice(f"the schema was asked for in words: {error}")
            native, asked = False, instructed(messages, schema)
            async with InnerGenerator(_taken(ask, asked, None, text)) as chunks:
                async for chunk in chunks:
                    yield chunk
        try:
            schema.read("".join(text))
        except MismatchError as error:
            if not further:
                tries = counted(further_tries + 1, "try", "tries")
                raise MismatchError(f"the reply does not fit {schema.name} after {tries}: {error}") from None
            yield NewAttempt(f"the reply does not fit {schema.name}: {error}")
            asked = corrected(asked, "".join(text), error)
        else:
            return


async def _taken(ask: Ask, messages: Sequence[Message], schema: Schema | None, text: list[str]) -> Chunks:
    given = {"schema": dict(schema.json_schema)} if schema else {}
    async with InnerGenerator(ask(messages, given)) as chunks:
        async for chunk in chunks:
            if isinstance(chunk, str):
                text.append(chunk)
            yield chunk

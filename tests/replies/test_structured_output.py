"""Asking until the reply fits: what is sent, what comes out, when it is given up."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from typing import Any

import pytest

from flowgpt_magic.errors import MismatchError, ProviderError, SchemaNotSupportedError
from flowgpt_magic.messages import NewAttempt, Usage, notices_to
from flowgpt_magic.replies.schema import schema_of
from flowgpt_magic.replies.structured_output import INSTRUCTION, with_schema_check

SCHEMA = schema_of({"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"], "title": "Count"})
PROMPT = [{"role": "user", "content": "How many?"}]


class Answers:
    """Says one text after the other, and notes what it was asked."""

    def __init__(self, *texts: str | Exception) -> None:
        self.texts = list(texts)
        self.asked: list[tuple[list[Any], dict[str, Any]]] = []
        self.closed = 0

    async def __call__(self, messages: Any, further: Any) -> AsyncGenerator[str | Usage, None]:
        self.asked.append((list(messages), dict(further)))
        text = self.texts.pop(0)
        try:
            if isinstance(text, Exception):
                raise text
            for place in range(0, len(text), 3):
                yield text[place : place + 3]
            yield Usage(completion_tokens=len(text))
        finally:
            self.closed += 1


async def all_of(answers: Answers, *, native: bool = False, retries: int = 2) -> list[Any]:
    return [each async for each in with_schema_check(answers, SCHEMA, PROMPT, native=native, retries=retries)]


async def test_a_reply_that_fits_comes_through_as_it_is():
    answers = Answers('{"n": 3}')

    found = await all_of(answers)

    assert found == ['{"n', '": ', "3}", Usage(completion_tokens=8)]


async def test_a_provider_that_knows_no_schema_is_told_in_the_prompt():
    answers = Answers('{"n": 3}')

    await all_of(answers)

    ((messages, further),) = answers.asked
    assert messages[0]["content"].startswith(f"How many?\n\n{INSTRUCTION}\n")
    assert json.loads(messages[0]["content"].rpartition("\n")[2]) == SCHEMA.json_schema
    assert further == {}
    assert PROMPT == [{"role": "user", "content": "How many?"}]


async def test_a_provider_that_takes_a_schema_gets_it():
    answers = Answers('{"n": 3}')

    await all_of(answers, native=True)

    assert answers.asked == [(PROMPT, {"schema": SCHEMA.json_schema})]


async def test_a_server_that_refuses_the_schema_is_asked_in_words():
    answers = Answers(SchemaNotSupportedError("no response_format here", 400), "{}", '{"n": 3}')
    notices: list[str] = []

    with notices_to(notices.append):
        found = await all_of(answers, native=True)

    assert [further for _messages, further in answers.asked] == [{"schema": SCHEMA.json_schema}, {}, {}]
    assert INSTRUCTION in answers.asked[1][0][0]["content"]
    assert "".join(each for each in found if isinstance(each, str)) == '{}{"n": 3}'
    assert notices == ["the schema was added to the prompt: no response_format here."]


async def test_what_does_not_fit_is_asked_again_with_what_is_wrong():
    answers = Answers("three", '{"n": "three"}', '{"n": 3}')

    found = await all_of(answers)

    again = [each.why for each in found if isinstance(each, NewAttempt)]
    assert len(again) == 2
    assert again[1] == "the reply does not fit Count: at n: 'three' is not of type 'integer'."
    last = answers.asked[2][0]
    assert [message["role"] for message in last] == ["user", "assistant", "user", "assistant", "user"]
    assert last[3]["content"] == '{"n": "three"}'
    assert "at n: 'three' is not of type 'integer'" in last[4]["content"]


async def test_after_the_last_try_it_is_given_up():
    answers = Answers("a", "b", "c")

    with pytest.raises(MismatchError, match="the reply does not fit Count after 3 tries: "):
        await all_of(answers)

    assert len(answers.asked) == 3


async def test_with_no_further_try_it_is_asked_once():
    with pytest.raises(MismatchError, match="after 1 try: "):
        await all_of(Answers("a"), retries=0)


async def test_a_failure_that_is_none_of_the_schemas_is_not_asked_again():
    answers = Answers(ProviderError("down"))

    with pytest.raises(ProviderError, match="down"):
        await all_of(answers)

    assert len(answers.asked) == 1


async def test_whoever_leaves_early_closes_what_was_asked():
    answers = Answers('{"n": 3}')
    chunks = with_schema_check(answers, SCHEMA, PROMPT, native=False, retries=2)

    first = await anext(chunks)
    await chunks.aclose()

    assert (first, answers.closed) == ('{"n', 1)

"""A provider that repeats the prompt word by word: for tests, and to try things without a model."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator
from typing import Any

from flowgpt_magic.errors import ProviderError
from flowgpt_magic.messages import Messages, Usage
from flowgpt_magic.messages.content_parts import read_message
from flowgpt_magic.providers.arguments import check_messages, check_temperature
from flowgpt_magic.providers.base import AsyncGeneratorProvider, ProviderModelMixin
from flowgpt_magic.settings import load

WORD = re.compile(r"\S+\s*|\s+")


class Echo(AsyncGeneratorProvider, ProviderModelMixin):
    """Answers with the last message's own words.

    Model ``words`` repeats the prompt; ``messages`` repeats everything it was sent, a line for each message.
    """

    default_model = "words"
    about = "Answers with the last message's own words."
    settings = ("pace",)
    models = ["words", "messages"]  # noqa: RUF012 - declared ClassVar in the mixin

    @classmethod
    async def create_async_generator(
        cls,
        model: str,
        messages: Messages,
        proxy: str | None = None,  # noqa: ARG003 - the contract's
        temperature: float = 0.7,
        *,
        pace: float | None = None,
        fail_after: int | None = None,
        **kwargs: Any,  # noqa: ARG003
    ) -> AsyncGenerator[str | Usage, None]:
        """One chunk a word.

        ``pace`` is the number of seconds before each chunk, by default the setting of that name; after
        ``fail_after`` chunks it raises ``ProviderError``.
        """
        check_messages(messages)
        check_temperature(temperature)
        messages = [read_message(message) for message in messages]
        text = cls._answer(cls.get_model(model), messages)
        words = WORD.findall(text)
        pause = load({"pace": pace}).pace
        for count, word in enumerate(words):
            if count == fail_after:
                raise ProviderError(f"echo was told to fail after {fail_after} chunks")
            await asyncio.sleep(pause)
            yield word
        prompt_words = sum(len(WORD.findall(message["content"])) for message in messages)
        yield Usage(prompt_tokens=prompt_words, completion_tokens=len(words), finish_reason="stop")

    @staticmethod
    def _answer(model: str, messages: Messages) -> str:
        if model == "messages":
            return "\n".join(f"{message['role']}: {message['content']}" for message in messages)
        return str(messages[-1]["content"]) if messages else ""

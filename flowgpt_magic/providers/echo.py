"""A provider that repeats the prompt word by word, for tests and for trying things without a model."""

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

_WORD_AND_SPACE = re.compile(r"\S+\s*|\s+")


class Echo(AsyncGeneratorProvider, ProviderModelMixin):
    """Repeats the last message.

    The model ``words`` repeats the prompt, ``messages`` repeats all messages, one per line.
    """

    default_model = "words"
    about = "Repeats the last message."
    settings = ("pace",)
    models = ["words", "messages"]  # noqa: RUF012 - declared ClassVar in the mixin

    @classmethod
    async def create_async_generator(
        cls,
        model: str,
        messages: Messages,
        proxy: str | None = None,  # noqa: ARG003 - part of the contract
        temperature: float = 0.7,
        *,
        pace: float | None = None,
        fail_after: int | None = None,
        **kwargs: Any,  # noqa: ARG003
    ) -> AsyncGenerator[str | Usage, None]:
        """One chunk per word, then a ``Usage`` that counts words as tokens.

        Args:
            model: ``words`` or ``messages``; empty for ``words``.
            messages: the conversation.
            proxy: ignored.
            temperature: checked, but ignored.
            pace: seconds before each chunk; None for the setting.
            fail_after: raise ``ProviderError`` after this number of chunks; None for never.
            **kwargs: ignored.
        """
        check_messages(messages)
        check_temperature(temperature)
        messages = [read_message(message) for message in messages]
        text = cls._reply_text(cls.get_model(model), messages)
        words = _WORD_AND_SPACE.findall(text)
        pause = load({"pace": pace}).pace
        for count, word in enumerate(words):
            if count == fail_after:
                raise ProviderError(f"echo was told to fail after {fail_after} chunks")
            await asyncio.sleep(pause)
            yield word
        prompt_words = sum(len(_WORD_AND_SPACE.findall(message["content"])) for message in messages)
        yield Usage(prompt_tokens=prompt_words, completion_tokens=len(words), finish_reason="stop")

    @staticmethod
    def _reply_text(model: str, messages: Messages) -> str:
        if model == "messages":
            return "\n".join(f"{message['role']}: {message['content']}" for message in messages)
        return str(messages[-1]["content"]) if messages else ""

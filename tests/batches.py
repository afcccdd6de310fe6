"""Batches for tests: asked of a provider that does as it is told, and kept where the test says."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import replace
from typing import Any, ClassVar

from flowgpt_magic.batch.batch import Batch
from flowgpt_magic.batch.items import Items
from flowgpt_magic.batch.server_state import BatchLimits
from flowgpt_magic.batch.turns import Turns, record_for
from flowgpt_magic.conversation import Conversation
from flowgpt_magic.history.notebook_history import NotebookHistory
from flowgpt_magic.messages import Usage
from flowgpt_magic.notebook.place import place_of
from flowgpt_magic.providers.base import AsyncGeneratorProvider, ProviderModelMixin
from flowgpt_magic.providers.registry import Target

LIMIT = 60  # seconds after which something has not happened; none waits as long
Answer = Callable[[str], AsyncGenerator[str | Usage, None]]


class Asked:
    """What a provider was asked: the prompts in order, how many at once, how many are still open."""

    def __init__(self) -> None:
        self.prompts: list[str] = []
        self.open = self.most = 0


def provider_of(answer: Answer, asked: Asked) -> type[Any]:
    """A provider that answers a prompt with the chunks of ``answer``."""

    class Told(AsyncGeneratorProvider, ProviderModelMixin):
        default_model: ClassVar[str] = "words"

        @classmethod
        async def create_async_generator(
            cls, model: str, messages: Any, proxy: str | None = None, temperature: float = 0.7, **kwargs: Any
        ) -> AsyncGenerator[str | Usage, None]:
            prompt = messages[-1]["content"]
            asked.prompts.append(prompt)
            asked.open += 1
            asked.most = max(asked.most, asked.open)
            try:
                async for chunk in answer(prompt):
                    yield chunk
            finally:
                asked.open -= 1

    return Told


def when(happened: Callable[[], object], act: Callable[[], object]) -> None:
    """Act on another thread as soon as this has happened."""

    def watch() -> None:
        deadline = time.monotonic() + LIMIT
        while not happened() and time.monotonic() < deadline:
            time.sleep(0.001)
        act()

    threading.Thread(target=watch, daemon=True).start()


async def echo(prompt: str) -> AsyncGenerator[str | Usage, None]:
    """The prompt, in one chunk."""
    await asyncio.sleep(0)
    yield prompt
    yield Usage(prompt_tokens=1, completion_tokens=2)


def batch_of(
    prompts: Any,
    answer: Answer = echo,
    *,
    asked: Asked | None = None,
    notebook_history: NotebookHistory | None = None,
    template: str | None = None,
    concurrency: int = 4,
    per_minute: float | None = None,
    retries: int = 0,
    patience: float | None = None,
    options: Mapping[str, Any] | None = None,
    **how: Any,
) -> Batch:
    """A batch of ``prompts`` that ``answer`` answers; ``how`` is for ``Turns``."""
    chat = Conversation(configured=lambda: {"model": "echo"}, notebook_history=notebook_history)
    request, sent, own = chat.without_prompt(dict(options or {}), earlier=True)
    told = Target("told", provider_of(answer, asked or Asked()), "words")
    request = replace(request, resolved=replace(request.resolved, target=told))
    turns = Turns(request, sent, own, record_for(own, chat.name), **how)
    return Batch(
        Items(prompts, template), turns, BatchLimits(concurrency, per_minute, retries, patience), progress=False
    )


def kernel(folder: Any, name: str = "a.ipynb") -> NotebookHistory:
    """The history of a kernel of this notebook; all notebooks of a folder share one history."""
    return NotebookHistory(place_of(str(folder / name)), str(folder / "history.sqlite3"))


def end(notebook_history: NotebookHistory) -> None:
    """End a kernel, with everything written."""
    assert notebook_history.flush()
    notebook_history.close()

"""Ask, and remember what was said: the turns of one notebook under one name."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any

from flowgpt_magic import settings
from flowgpt_magic.errors import PromptError
from flowgpt_magic.messages import Message, Status, Turn
from flowgpt_magic.models import Target, find_model
from flowgpt_magic.reply import Reply


class Conversation:
    """The turns under one name, kept in memory, and what they are asked with.

    ``configured`` gives the settings that stand between a call's own options and the environment.
    """

    def __init__(self, name: str = "main", *, configured: Callable[[], Mapping[str, Any]] = dict) -> None:
        self.name = name
        self.turns: list[Turn] = []
        self._configured = configured
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"<Conversation {self.name!r}, {len(self.turns)} turns>"

    def settings(self, **options: Any) -> settings.Settings:
        """The settings in force for a call with these options; None means that an option is not given."""
        return settings.load(options, self._configured())

    def ask(self, prompt: str, **options: Any) -> Reply:
        """The reply to ``prompt``, which is not asked for before it is read.

        ``options`` are settings for this turn alone: ``model``, ``temperature``, ``system`` and so on. Raises
        ``PromptError`` for an empty prompt, and what an unknown model or a bad value raises, before anything is sent.
        """
        if not isinstance(prompt, str):
            raise PromptError(f"a prompt is text, not {type(prompt).__name__}")
        if not prompt.strip():
            raise PromptError("the prompt is empty: write what you want to ask")
        chosen = self.settings(**options)
        target = find_model(chosen.model)
        messages = self._messages(chosen.system, prompt)

        def record(reply: Reply, status: Status) -> None:
            turn = Turn(prompt, reply.text_so_far, status, target.provider, target.model, reply.turn_id)
            with self._lock:
                self.turns.append(turn)

        def source() -> Any:
            return target.provider_class.create_async_generator(target.model, messages, **parameters(target, chosen))

        return Reply(source, provider=target.provider, model=target.model, messages=messages, on_end=record)

    def _messages(self, system: str, prompt: str) -> list[Message]:
        messages: list[Message] = [{"role": "system", "content": system}] if system else []
        with self._lock:
            for turn in self.turns:
                if turn.text:  # a prompt that got no answer would stand beside the next one
                    messages.append({"role": "user", "content": turn.prompt})
                    messages.append({"role": "assistant", "content": turn.text})
        messages.append({"role": "user", "content": prompt})
        return messages

    def clear(self) -> None:
        """Forget the turns."""
        with self._lock:
            self.turns.clear()


def parameters(target: Target, chosen: settings.Settings) -> dict[str, Any]:
    """What a provider is called with besides model and messages: what is set, of what it takes."""
    found: dict[str, Any] = {name: getattr(chosen, name) for name in target.provider_class.settings}
    if chosen.proxy:
        found["proxy"] = chosen.proxy
    if chosen.temperature is not None:
        found["temperature"] = chosen.temperature
    return found

"""Pass earlier messages to the plug-ins of ``llm``.

Current plug-ins read ``prompt.messages``. Those from before llm 0.32 read ``conversation.responses``, which has a
response with prompt and text for each earlier turn. Plug-ins get both, and it is recorded whether they read either.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from flowgpt_magic.messages import Message, Messages
from flowgpt_magic.messages.content_parts import read_messages


class WatchedResponses(list[Any]):
    """The responses of a conversation. ``was_read``: a plug-in has read them."""

    was_read = False

    def __iter__(self) -> Iterator[Any]:
        self.was_read = True
        return super().__iter__()

    def __reversed__(self) -> Iterator[Any]:
        self.was_read = True
        return super().__reversed__()

    def __getitem__(self, index: Any) -> Any:
        self.was_read = True
        return super().__getitem__(index)


@dataclass
class PendingResponse:
    """A response that is not requested yet, after ``earlier`` messages.

    ``dropped``: the earlier messages were left out because the model supports no conversations.
    """

    response: Any
    earlier: int
    dropped: bool
    responses: WatchedResponses = field(default_factory=WatchedResponses)

    @property
    def unread(self) -> int:
        """How many earlier messages the plug-in did not read: all or none."""
        was_read = self.responses.was_read or self.response.prompt.was_read
        return 0 if was_read and not self.dropped else self.earlier


async def prepare(model: Any, messages: Messages, options: Mapping[str, Any]) -> PendingResponse:
    """The response of ``model`` to ``messages``. Nothing is sent before it is read. Raises ``PromptError``.

    A model that supports no conversations gets the system prompt and the last message.
    """
    import llm

    plain = read_messages(messages, images=False, who=f"llm:{model.model_id}")
    system = "\n".join(message["content"] for message in plain if message["role"] == "system")
    kinds = {"system": llm.system, "user": llm.user, "assistant": llm.assistant}
    prompt = plain.pop()["content"] if plain[-1]["role"] == "user" else None  # older plug-ins read it here
    turns = [message for message in plain if message["role"] != "system"]
    dropped = not model.supports_conversation and prompt is not None
    earlier = [message for message in plain if message["role"] == "system"] if dropped else plain
    pairs = [] if dropped else _pairs(turns)
    responses = WatchedResponses([await _past_response(pair, system, is_async=_is_async(model)) for pair in pairs])
    conversation = model.conversation()
    conversation.responses = responses
    response = conversation.prompt(
        prompt,
        system=system or None,
        messages=[kinds[message["role"]](message["content"]) for message in earlier],
        options=dict(options),
    )
    response.prompt = _watched(response.prompt)
    responses.was_read = False
    return PendingResponse(response, len(turns), dropped, responses)


def _is_async(model: Any) -> bool:
    import llm

    return isinstance(model, (llm.AsyncModel, llm.AsyncKeyModel))


def _pairs(turns: Sequence[Message]) -> list[tuple[str, str]]:
    """Prompts with their replies. Consecutive messages of one role are joined."""
    pairs: list[list[list[str]]] = []
    for message in turns:
        if not pairs or (message["role"] == "user" and pairs[-1][1]):
            pairs.append([[], []])
        pairs[-1][message["role"] == "assistant"].append(message["content"])
    return [("\n\n".join(prompts), "\n\n".join(replies)) for prompts, replies in pairs]


async def _past_response(turn: tuple[str, str], system: str, *, is_async: bool) -> Any:
    """A completed response, made by a model that returns the recorded text."""
    import llm

    prompt, text = turn

    class Recorded(llm.Model):
        model_id = "flowgpt_magic/recorded"

        def execute(self, *_args: Any, **_kwargs: Any) -> Iterator[str]:
            yield text

    class RecordedAsync(llm.AsyncModel):
        model_id = "flowgpt_magic/recorded"

        async def execute(self, *_args: Any, **_kwargs: Any) -> Any:
            yield text

    response: Any = (RecordedAsync if is_async else Recorded)().prompt(prompt, system=system or None)
    if is_async:
        await response
    else:
        response.text()
    return response


def _watched(prompt: Any) -> Any:
    """A copy of ``prompt`` that records whether its messages were read."""
    import llm

    class Watched(llm.Prompt):
        was_read = False

        @property
        def messages(self) -> list[Any]:
            self.was_read = True
            messages: list[Any] = super().messages
            return messages

    watched = Watched.__new__(Watched)
    vars(watched).update(vars(prompt))
    return watched

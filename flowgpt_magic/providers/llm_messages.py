"""What was said before, as the plug-ins of ``llm`` want it.

Those of today read ``prompt.messages``. Those from before llm 0.32 read ``conversation.responses``: a response for each
earlier turn, with its prompt and its text. Both get both, and it is seen whether they read either.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from flowgpt_magic.messages import Message, Messages
from flowgpt_magic.messages.content_parts import read_messages


class WatchedResponses(list[Any]):
    """The responses of a conversation, which know whether somebody has looked at them."""

    was_read = False

    def __iter__(self) -> Iterator[Any]:
        self.was_read = True
        return super().__iter__()

    def __reversed__(self) -> Iterator[Any]:
        self.was_read = True
        return super().__reversed__()

    def __getitem__(self, place: Any) -> Any:
        self.was_read = True
        return super().__getitem__(place)


@dataclass
class PendingResponse:
    """A response that has not been asked for yet, and what a plug-in may read of the ``earlier`` messages.

    They are ``dropped`` where the model says that it takes no conversations.
    """

    response: Any
    earlier: int
    dropped: bool
    responses: WatchedResponses = field(default_factory=WatchedResponses)

    @property
    def unread(self) -> int:
        """How many of the earlier messages the plug-in did not look at: all or none."""
        was_read = self.responses.was_read or self.response.prompt.was_read
        return 0 if was_read and not self.dropped else self.earlier


async def begin(model: Any, messages: Messages, options: Mapping[str, Any]) -> PendingResponse:
    """What ``model`` will answer to ``messages``; nothing is sent before the response is read.

    A model that takes no conversations gets the system prompt and the last message. Raises ``PromptError``.
    """
    import llm

    said = read_messages(messages, images=False, who=f"llm:{model.model_id}")
    system = "\n".join(message["content"] for message in said if message["role"] == "system")
    kinds = {"system": llm.system, "user": llm.user, "assistant": llm.assistant}
    prompt = said.pop()["content"] if said[-1]["role"] == "user" else None  # older plug-ins look for it here
    turns = [message for message in said if message["role"] != "system"]
    dropped = not model.supports_conversation and prompt is not None
    before = [message for message in said if message["role"] == "system"] if dropped else said
    pairs = [] if dropped else _pairs(turns)
    responses = WatchedResponses([await _past(each, system, is_async=_is_async(model)) for each in pairs])
    conversation = model.conversation()
    conversation.responses = responses
    response = conversation.prompt(
        prompt,
        system=system or None,
        messages=[kinds[message["role"]](message["content"]) for message in before],
        options=dict(options),
    )
    response.prompt = _watched(response.prompt)
    responses.was_read = False
    return PendingResponse(response, len(turns), dropped, responses)


def _is_async(model: Any) -> bool:
    import llm

    return isinstance(model, (llm.AsyncModel, llm.AsyncKeyModel))


def _pairs(turns: Sequence[Message]) -> list[tuple[str, str]]:
    """Prompts with their answers: what stands in a row by one speaker is one text."""
    pairs: list[list[list[str]]] = []
    for message in turns:
        if not pairs or (message["role"] == "user" and pairs[-1][1]):
            pairs.append([[], []])
        pairs[-1][message["role"] == "assistant"].append(message["content"])
    return [("\n\n".join(asked), "\n\n".join(answered)) for asked, answered in pairs]


async def _past(turn: tuple[str, str], system: str, *, is_async: bool) -> Any:
    """A response that is over. A model that says what was said then has made it, so it is one like any other."""
    import llm

    prompt, text = turn

    class Said(llm.Model):
        model_id = "flowgpt_magic/said"

        def execute(self, *_given: Any, **_named: Any) -> Iterator[str]:
            yield text

    class SaidAsync(llm.AsyncModel):
        model_id = "flowgpt_magic/said"

        async def execute(self, *_given: Any, **_named: Any) -> Any:
            yield text

    response: Any = (SaidAsync if is_async else Said)().prompt(prompt, system=system or None)
    if is_async:
        await response
    else:
        response.text()
    return response


def _watched(prompt: Any) -> Any:
    """``prompt``, which knows from now on whether somebody has read its messages."""
    import llm

    class Watched(llm.Prompt):
        was_read = False

        @property
        def messages(self) -> list[Any]:
            self.was_read = True
            found: list[Any] = super().messages
            return found

    watched = Watched.__new__(Watched)
    vars(watched).update(vars(prompt))
    return watched

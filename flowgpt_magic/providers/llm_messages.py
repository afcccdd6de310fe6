"""Pass earlier messages to the plug-ins of ``llm``.

Current plug-ins read ``prompt.messages``. Those from before llm 0.32 read ``conversation.responses``, which has a
response with prompt and text for each earlier turn. Plug-ins get both, and it is recorded whether they read either.

Images become attachments, for models that take them. ``conversation.responses`` only says how many there were.
"""

from __future__ import annotations

import base64
import binascii
import mimetypes
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from flowgpt_magic.errors import ImagesRefusedError, PromptError
from flowgpt_magic.messages import Message, Messages
from flowgpt_magic.messages.content_parts import read_messages
from flowgpt_magic.text import counted


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
    """The response of ``model`` to ``messages``. Nothing is sent before it is read.

    Raises ``PromptError``, and ``ImagesRefusedError`` if there are images of a type that the model does not take.

    A model that supports no conversations gets the system prompt and the last message.
    """
    import llm

    plain = read_messages(messages, images=True, who=f"llm:{model.model_id}")
    attachments = [_attachments(message, model) for message in plain]
    system = "\n".join(message["content"] for message in plain if message["role"] == "system")
    kinds = {"system": llm.system, "user": llm.user, "assistant": llm.assistant}
    prompt, attached = None, None
    if plain[-1]["role"] == "user":
        prompt, attached = plain.pop()["content"], attachments.pop()  # older plug-ins read them here
    turns = [message for message in plain if message["role"] != "system"]
    dropped = not model.supports_conversation and prompt is not None
    earlier = [
        kinds[message["role"]](message["content"], *images)
        for message, images in zip(plain, attachments, strict=True)
        if message["role"] == "system" or not dropped
    ]
    pairs = [] if dropped else _pairs(turns)
    responses = WatchedResponses([await _past_response(pair, system, is_async=_is_async(model)) for pair in pairs])
    conversation = model.conversation()
    conversation.responses = responses
    response = conversation.prompt(
        prompt,
        system=system or None,
        messages=earlier,
        attachments=attached or None,
        options=dict(options),
    )
    response.prompt = _watched(response.prompt)
    responses.was_read = False
    return PendingResponse(response, len(turns), dropped, responses)


def _attachments(message: Message, model: Any) -> list[Any]:
    """The images of a message as attachments of llm. That of an address is passed on, and not fetched here."""
    import llm

    attachments = []
    for url in message.get("images", ()):
        kind, content = _image(url)
        if kind not in model.attachment_types:
            kinds = sorted(taken for taken in model.attachment_types if taken.startswith("image/"))
            what = f"no {kind}, only {', '.join(kinds)}" if kinds else "no images"
            raise ImagesRefusedError(f"llm:{model.model_id} takes {what}.", 400)
        attachments.append(llm.Attachment(type=kind, content=content, url=None if content else str(url)))
    return attachments


def _image(url: str) -> tuple[str, bytes | None]:
    """The MIME type of an image, and its content; None for one that has an address. Raises ``PromptError``.

    The type of an address is that of its suffix, or JPEG: llm would ask the server for it.
    """
    if not url.startswith("data:"):
        kind = mimetypes.guess_type(urlsplit(url).path)[0] or ""
        return kind if kind.startswith("image/") else "image/jpeg", None
    head, _comma, data = url.partition(",")
    try:
        return head.removeprefix("data:").partition(";")[0].lower(), base64.b64decode(data, validate=True)
    except binascii.Error:
        raise PromptError("the data of an image must be in base64.") from None


def _is_async(model: Any) -> bool:
    import llm

    return isinstance(model, (llm.AsyncModel, llm.AsyncKeyModel))


def _pairs(turns: Sequence[Message]) -> list[tuple[str, str]]:
    """Prompts with their replies. Consecutive messages of one role are joined."""
    pairs: list[list[list[str]]] = []
    for message in turns:
        if not pairs or (message["role"] == "user" and pairs[-1][1]):
            pairs.append([[], []])
        count = len(message.get("images", ()))
        mark = [f"[{counted(count, 'picture')}]"] if count else []
        pairs[-1][message["role"] == "assistant"].append("\n\n".join([message["content"], *mark]))
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

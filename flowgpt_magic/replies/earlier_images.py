"""Send the images of earlier turns only to models that read them; the first refusal is remembered."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from flowgpt_magic.errors import ImagesRefusedError
from flowgpt_magic.messages import Message, Waiting, notice
from flowgpt_magic.providers import registry
from flowgpt_magic.providers.inner_generator import InnerGenerator
from flowgpt_magic.replies.received import RetriedChunks
from flowgpt_magic.replies.request import Request, unsent_pictures, without_images
from flowgpt_magic.replies.resolved import IMAGES

ADVICE = "Ask a model that reads pictures (-m NAME), or leave the picture out."


async def with_readable_images(
    ask: Callable[[Sequence[Message]], RetriedChunks], messages: Sequence[Message], request: Request
) -> RetriedChunks:
    """The chunks of ``ask``, called with ``messages``.

    If the model refuses images and only earlier turns have some, the request is sent again with their number instead.
    A notice says so, and later requests to the same server and model leave them out from the start. Raises
    ``ImagesRefusedError``, with advice, for images that were given for this prompt.
    """
    started = False
    try:
        async with InnerGenerator(ask(messages)) as chunks:
            async for chunk in chunks:
                started = started or not isinstance(chunk, Waiting)
                yield chunk
        return
    except ImagesRefusedError as error:
        count = sum(len(message.get("images") or ()) for message in messages)
        if started or not count:
            raise
        registry.refused_parameters().learn(request.resolved.model_key, IMAGES, None, "")
        if request.images or request.earlier is not None:
            raise ImagesRefusedError(f"{error} {ADVICE}", error.status, retry_after=error.retry_after) from None
    notice(unsent_pictures(count, request.resolved))
    async with InnerGenerator(ask([without_images(message) for message in messages])) as chunks:
        async for chunk in chunks:
            yield chunk

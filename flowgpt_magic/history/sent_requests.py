"""What is recorded of a request that was sent: whose, when and how many tokens, but none of its texts.

The usage is counted from these records. A reply may take several requests, such as one for each attempt that did not
fit a schema. A reply from the history takes none.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from flowgpt_magic.errors import FlowGptError, ProviderConnectionError, ProviderError, ProviderTimeoutError
from flowgpt_magic.history.records import RequestRecord
from flowgpt_magic.messages import Status, Turn, Usage
from flowgpt_magic.messages.token_estimate import estimated_tokens

if TYPE_CHECKING:
    from flowgpt_magic.replies.received import RecordedReply
    from flowgpt_magic.replies.request import Request


def sent_request(
    request: Request,
    answer: RecordedReply,
    status: Status,
    *,
    request_id: str,
    notebook_id: str,
    started: float,
) -> RequestRecord | None:
    """The record of one request with its reply; None if nothing was sent.

    Token counts that the server did not tell are estimated from the texts, without images.

    Args:
        request: the request.
        answer: its reply, or the attempt that ends now.
        status: how it ended.
        request_id: the id of the record.
        notebook_id: the notebook that sent it.
        started: when it was sent, in Unix seconds.
    """
    text = answer.text_so_far
    received = text != request.begins_with
    if answer.replayed or not (received or _was_sent(answer.error)):
        return None
    usage, estimated = answer.usage, False
    if received or _may_have_read(answer.error):
        usage, estimated = _completed(
            usage,
            lambda: sum(estimated_tokens(message["content"]) for message in answer.messages),
            lambda: max(estimated_tokens(text) - estimated_tokens(request.begins_with), 0),
        )
    target = request.target
    return RequestRecord(request_id, notebook_id, target.provider, target.model, status, started, usage, estimated)


def request_of_dead_turn(turn: Turn, notebook_id: str) -> RequestRecord:
    """The record of the request of a turn whose kernel was killed meanwhile."""
    usage, estimated = _completed(
        turn.usage,
        lambda: estimated_tokens(turn.system) + estimated_tokens(turn.prompt),
        lambda: estimated_tokens(turn.text),
    )
    names = (turn.turn_id, notebook_id, turn.provider, turn.model)
    return RequestRecord(*names, "cancelled", turn.started, usage, estimated)


def _completed(usage: Usage, prompt: Callable[[], int], completion: Callable[[], int]) -> tuple[Usage, bool]:
    """``usage`` with both token counts, and whether one of them was missing."""
    if usage.prompt_tokens is not None and usage.completion_tokens is not None:
        return usage, False
    prompt_tokens = prompt() if usage.prompt_tokens is None else usage.prompt_tokens
    completion_tokens = completion() if usage.completion_tokens is None else usage.completion_tokens
    return replace(usage, prompt_tokens=prompt_tokens, completion_tokens=completion_tokens), True


def _was_sent(error: BaseException | None) -> bool:
    """Did the request of a reply without text leave this machine?"""
    if isinstance(error, ProviderError):
        return not isinstance(error, ProviderConnectionError)
    return not isinstance(error, FlowGptError)  # such as a missing key


def _may_have_read(error: BaseException | None) -> bool:
    """May the server have read the prompt, though no text came? A refused prompt costs nothing."""
    return error is None or isinstance(error, ProviderTimeoutError)

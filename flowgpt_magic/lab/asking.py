"""Which models a page can choose from, and how it stops replies."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flowgpt_magic.lab.page import Facts, Page, magics_state


def models(page: Page, request: Facts, _buffers: Sequence[memoryview]) -> Facts:
    """The ``models`` that the current conversation can use; see ``choice_rows``.

    Servers are asked for theirs. When one has answered, the page is told all of them: a message of the kind ``models``
    with the ``list`` that the request names.
    """
    from flowgpt_magic.panel.model_choices import Choices, choice_rows

    state = magics_state()
    choices = Choices(state.conversation, lambda: tell())

    def tell() -> None:
        page.tell({"kind": "models", "list": request.get("list"), "models": choice_rows(choices())})

    return {"models": choice_rows(choices())}


def stop(_page: Page, request: Facts, _buffers: Sequence[memoryview]) -> Facts:
    """Stop the replies that arrive in this kernel, or only that of the turn ``turn``: ``stopped`` is their number."""
    turn = request.get("turn")
    return {"stopped": magics_state().stop() if turn is None else cancel_reply(turn)}


def cancel_reply(turn: Any) -> int:
    """Cancel the reply of the turn with the id ``turn``, if it arrives: returns the number of replies cancelled."""
    from flowgpt_magic.history.current import streaming_replies

    replies = [reply for reply in streaming_replies() if reply.turn_id == turn and not reply.ended]
    for reply in replies:
        reply.cancel()
    return len(replies)

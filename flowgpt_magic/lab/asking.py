"""Which models a page can choose from, and how it stops replies."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from flowgpt_magic.notebook.ipython import shell

if TYPE_CHECKING:
    from flowgpt_magic.lab.page import Facts, Page
    from flowgpt_magic.magics.state import ShellState


def models(page: Page, request: Facts, _buffers: Sequence[memoryview]) -> Facts:
    """The ``models`` that the current conversation can use; see ``choice_rows``.

    Servers are asked for theirs. When one has answered, the page is told all of them: a message of the kind ``models``
    with the ``list`` that the request names.
    """
    from flowgpt_magic.panel.model_choices import Choices, choice_rows

    state = _state()
    choices = Choices(state.conversation, lambda: tell())

    def tell() -> None:
        page.tell({"kind": "models", "list": request.get("list"), "models": choice_rows(choices())})

    return {"models": choice_rows(choices())}


def stop(_page: Page, request: Facts, _buffers: Sequence[memoryview]) -> Facts:
    """Stop the replies that arrive in this kernel, or only that of the turn ``turn``: ``stopped`` is their number."""
    from flowgpt_magic.history.current import streaming_replies

    turn = request.get("turn")
    if turn is None:
        return {"stopped": _state().stop()}
    replies = [reply for reply in streaming_replies() if reply.turn_id == turn and not reply.ended]
    for reply in replies:
        reply.cancel()
    return {"stopped": len(replies)}


def _state() -> ShellState:
    state: ShellState = shell().magics_manager.registry["FlowGPT"].state
    return state

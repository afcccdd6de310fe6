"""What a page can ask for, by the kind of its request."""

from __future__ import annotations

from collections.abc import Sequence

from flowgpt_magic.lab.asking import models, stop
from flowgpt_magic.lab.fixing import fix
from flowgpt_magic.lab.names import names
from flowgpt_magic.lab.page import Facts, Page, Request
from flowgpt_magic.lab.pictures import PICTURE_REQUESTS
from flowgpt_magic.lab.preferences import set_preferences


def turn(page: Page, request: Facts, _buffers: Sequence[memoryview]) -> Facts:
    """What the line below a reply asks about its turn; ``action`` names it."""
    from flowgpt_magic.lab import turns  # imports all that asks and keeps

    return turns.answer(page, request)


REQUESTS: dict[str, Request] = {
    "names": names,
    "fix": fix,
    "models": models,
    "stop": stop,
    "turn": turn,
    "preferences": set_preferences,
    **PICTURE_REQUESTS,
}

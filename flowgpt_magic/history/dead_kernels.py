"""Turns that a killed kernel left streaming: when they count as cancelled.

A killed kernel cannot save the end of its turns, so the file still says "streaming". Whoever opens the file ends these
turns, and whoever reads one before that, or cannot write the file, sees it as cancelled.
"""

from __future__ import annotations

import time

from flowgpt_magic.history.processes import is_alive

PRESUMED_DEAD_AFTER = 3600.0  # seconds without new text from a kernel whose process cannot be seen from here

# If a living kernel is mistaken for a dead one, its own save of the turn's end replaces this one.
CANCEL_TURN = "UPDATE turns SET status = 'cancelled', ended = grown WHERE turn_id = ? AND status = 'streaming'"


def is_abandoned(kernel: str, grown: float) -> bool:
    """Will nobody end the streaming turn of ``kernel`` that last got text at ``grown``, in Unix seconds?"""
    alive = is_alive(kernel)
    return alive is False or (alive is None and time.time() - grown > PRESUMED_DEAD_AFTER)

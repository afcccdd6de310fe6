"""Turns that a killed kernel left streaming: when they count as cancelled.

A killed kernel cannot save the end of its turns, so the file still says "streaming". Opening the file for writing marks
these turns as cancelled. A reader that comes before that, or cannot write, treats them as cancelled.
"""

from __future__ import annotations

import time

from flowgpt_magic.history.processes import is_alive

PRESUMED_DEAD_AFTER = 3600.0  # seconds without new text from a kernel whose process cannot be seen from here

# If a living kernel is mistaken for a dead one, its own save of the turn's end replaces this one.
CANCEL_TURN = "UPDATE turns SET status = 'cancelled', ended = grown WHERE turn_id = ? AND status = 'streaming'"


def is_abandoned(kernel: str, grown: float) -> bool:
    """Is the streaming turn of ``kernel``, which last got text at ``grown`` (Unix seconds), never going to end?"""
    alive = is_alive(kernel)
    return alive is False or (alive is None and time.time() - grown > PRESUMED_DEAD_AFTER)

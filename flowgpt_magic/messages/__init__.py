"""The plain values that the packages exchange: messages, turns, usage, notices, and extra data of a reply."""

from __future__ import annotations

from flowgpt_magic.messages.messages import (
    Attempt,
    ComposedPrompt,
    ImageUrl,
    LeftOut,
    Message,
    Messages,
    NewAttempt,
    Role,
    Status,
    Turn,
    Usage,
    Waiting,
    checksum,
    notice,
    notices_to,
    progress,
    progress_to,
    user_message,
)
from flowgpt_magic.messages.sent import Sent

__all__ = [
    "Attempt",
    "ComposedPrompt",
    "ImageUrl",
    "LeftOut",
    "Message",
    "Messages",
    "NewAttempt",
    "Role",
    "Sent",
    "Status",
    "Turn",
    "Usage",
    "Waiting",
    "checksum",
    "content_parts",
    "extras",
    "notice",
    "notices_to",
    "progress",
    "progress_to",
    "reasoning",
    "token_estimate",
    "user_message",
]

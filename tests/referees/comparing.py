"""What the makers' own clients and ours make of the same calls and the same streams."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from flowgpt_magic.errors import FlowGptError
from flowgpt_magic.messages import Reasoning, Usage, is_text
from tests.servers import Answer, serving

LIMIT = 20  # seconds in which a reply has to be there
COUNTS = ("prompt_tokens", "completion_tokens", "reasoning_tokens", "cached_tokens")


@dataclass
class Made:
    """What a client made of a reply. ``error`` is the HTTP status of an error, or ``failed`` for one without."""

    text: str = ""
    reasoning: str = ""
    counts: dict[str, int | None] = field(default_factory=dict)
    error: int | str = ""


Theirs = Callable[[str, Made], Awaitable[None]]  # asks the server at this URL, and fills in what came


async def ours(chunks: AsyncGenerator[Any, None]) -> Made:
    """What we make of a reply."""
    made = Made()
    try:
        async for chunk in chunks:
            if isinstance(chunk, Reasoning):
                made.reasoning += chunk
            elif is_text(chunk):
                made.text += chunk
            elif isinstance(chunk, Usage):
                made.counts = {name: getattr(chunk, name) for name in COUNTS}
    except FlowGptError as error:
        made.error = getattr(error, "status", None) or "failed"
    return made


async def both(answer: Answer, ask: Callable[[str], AsyncGenerator[Any, None]], theirs: Theirs) -> tuple[Made, Made]:
    """What we and they make of what a server answers."""
    made = Made()
    async with serving(answer) as server:
        await asyncio.wait_for(theirs(server.url, made), LIMIT)
        return await asyncio.wait_for(ours(ask(server.url)), LIMIT), made


def plain(value: Any) -> Any:
    """A body in one spelling: one part of text is that text, and what is null is not there."""
    if isinstance(value, Mapping):
        return {name: plain(each) for name, each in value.items() if each is not None}
    if not isinstance(value, (list, tuple)):
        return value
    parts = [plain(each) for each in value]
    texts = ("text", "input_text", "output_text")
    is_one_text = len(parts) == 1 and isinstance(parts[0], Mapping) and parts[0].get("type") in texts
    return parts[0]["text"] if is_one_text and parts[0].keys() <= {"type", "text"} else parts


def differences(own: Any, other: Any, place: str = "") -> dict[str, tuple[Any, Any]]:
    """The fields in which two bodies differ, with both values."""
    if isinstance(own, Mapping) and isinstance(other, Mapping):
        found: dict[str, tuple[Any, Any]] = {}
        for name in {**own, **other}:
            found |= differences(own.get(name), other.get(name), f"{place}.{name}".lstrip("."))
        return found
    return {} if own == other else {place: (own, other)}

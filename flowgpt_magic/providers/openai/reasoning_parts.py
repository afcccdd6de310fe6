"""Parts of the reasoning that go back to the server: signatures and encrypted content, in the words of two gateways.

OpenRouter has them in ``reasoning_details``, LiteLLM in ``thinking_blocks``. A stream sends a part in pieces.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

PARTS_FIELDS = ("reasoning_details", "thinking_blocks")  # of a delta or a message
GROWING = ("text", "summary", "data", "thinking")  # fields of a part whose pieces are joined
OPAQUE = ("signature", "data")  # what only the model can read
THINKING_BLOCKS = ("thinking", "redacted_thinking")  # the types of LiteLLM's parts; OpenRouter's begin with reasoning.


class ReasoningParts:
    """Collects the parts of one reply."""

    def __init__(self) -> None:
        self._parts: list[dict[str, Any]] = []

    def add(self, pieces: Iterable[Mapping[str, Any]]) -> None:
        """Add pieces of parts. A piece continues the last part if it is of the same kind and that has no signature."""
        for piece in pieces:
            last = self._parts[-1] if self._parts else None
            if last is None or not _continues(last, piece):
                self._parts.append(dict(piece))
                continue
            for name, value in piece.items():
                grows = name in GROWING and isinstance(value, str) and isinstance(last.get(name), str)
                if value is not None:
                    last[name] = last[name] + value if grows else value

    def opaque(self) -> tuple[dict[str, Any], ...]:
        """All parts, if there is anything among them that only the model can read; otherwise none."""
        return tuple(self._parts) if any(part.get(name) for part in self._parts for name in OPAQUE) else ()


def _continues(last: Mapping[str, Any], piece: Mapping[str, Any]) -> bool:
    same = all(last.get(name) == piece.get(name, last.get(name)) for name in ("type", "index", "id"))
    return same and not last.get("signature")


def sent_back(parts: Iterable[Mapping[str, Any]]) -> dict[str, list[Mapping[str, Any]]]:
    """The fields of an assistant message for the ``parts`` of its reply. Those of another protocol are left out."""
    details = [part for part in parts if str(part.get("type", "")).startswith("reasoning.")]
    blocks = [part for part in parts if part.get("type") in THINKING_BLOCKS]
    return {name: fields for name, fields in zip(PARTS_FIELDS, (details, blocks), strict=True) if fields}

"""What went along with a prompt, and what did not."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from flowgpt_magic.text import counted


@dataclass(frozen=True)
class Sent:
    """What a request contained, for the line below its reply.

    Args:
        included: a few words for each part that was sent, such as ``prompt``, ``1 picture`` and ``frame (60 rows)``.
        turns: the number of earlier turns that were sent.
        unsent: a clause for each thing that looks meant but was not sent, such as ``{nosuch} sent as typed``.
        tokens: an estimate of the tokens of the request, without its pictures; 0 if unknown.
        above: the checksum of the turns above, as ``checksum`` returns it; None if unknown.
        comparison: the id of the comparison of several models that the request belongs to; empty for none.
        column: its number in the comparison, from 1; 0 for none.
    """

    included: tuple[str, ...] = ()
    turns: int = 0
    unsent: tuple[str, ...] = ()
    tokens: int = 0
    above: int | None = None
    comparison: str = ""
    column: int = 0

    def __bool__(self) -> bool:
        """Is anything known?"""
        return bool(self.included or self.turns or self.unsent or self.tokens)

    @property
    def parts(self) -> list[str]:
        """A few words for each part that was sent, the earlier turns among them."""
        return [*self.included, *([counted(self.turns, "turn")] if self.turns else [])]

    def without_turns(self, count: int) -> Sent:
        """The same with ``count`` turns fewer: the model could not read them."""
        return replace(self, turns=max(0, self.turns - count))

    def rewritten(self, rewrite: Callable[[str], str]) -> Sent:
        """The same with each of its words as ``rewrite`` returns them, for example without secrets."""
        return replace(self, included=tuple(map(rewrite, self.included)), unsent=tuple(map(rewrite, self.unsent)))

    def as_json(self) -> dict[str, Any]:
        """Its fields as JSON values; empty if nothing is known."""
        values = {"included": list(self.included), "turns": self.turns, "unsent": list(self.unsent)}
        about = {**values, "tokens": self.tokens} if self else {}
        about |= {} if self.above is None else {"above": self.above}
        return {**about, "comparison": self.comparison, "column": self.column} if self.comparison else about

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Sent:
        """The value whose ``as_json`` is ``values``. Fields of a later version are ignored."""
        included, unsent = (tuple(map(str, values.get(name) or ())) for name in ("included", "unsent"))
        above = values.get("above")
        numbers = int(values.get("turns") or 0), int(values.get("tokens") or 0)
        column = str(values.get("comparison") or ""), int(values.get("column") or 0)
        return cls(included, numbers[0], unsent, numbers[1], None if above is None else int(above), *column)

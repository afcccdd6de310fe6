"""What a batch would send and cost, before anything is sent."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from flowgpt_magic.batch.items import Item
from flowgpt_magic.batch.turns import PromptInFlight, Turns
from flowgpt_magic.replies.cost import expected_cost, expected_reply_tokens, prompt_tokens
from flowgpt_magic.tables import Table
from flowgpt_magic.text import counted
from flowgpt_magic.transcripts.caption import NO_PRICE, dollars

AT_ONCE = 128  # prompts that are looked up in the history at once
APPROXIMATE = "\N{ALMOST EQUAL TO}"


@dataclass(frozen=True)
class Estimate:
    """What a batch would send. Tokens and dollars are estimates.

    Args:
        model: who would be asked.
        requests: how many prompts would be sent.
        replayed: how many are answered from the history, and cost nothing.
        prompt_tokens: tokens of all prompts that would be sent.
        completion_tokens: tokens of their replies: as many as ``max_tokens`` allows, or 500 for each.
        cost: dollars, 0 where nothing is charged; None where the server may charge and there is no price.
    """

    model: str
    requests: int
    replayed: int
    prompt_tokens: int
    completion_tokens: int
    cost: float | None

    def table(self) -> Table:
        """The estimate as a table."""
        rows = [
            ("requests", f"{self.requests:,}"),
            ("tokens in", f"{APPROXIMATE}{self.prompt_tokens:,}"),
            ("tokens out", f"{APPROXIMATE}{self.completion_tokens:,}"),
            ("cost", NO_PRICE if self.cost is None else f"{APPROXIMATE} {dollars(self.cost)}" if self.cost else "$0"),
        ]
        if self.replayed:
            rows.insert(1, ("from the history", f"{self.replayed:,}"))
        return Table((self.model, "would be sent"), tuple(rows), "nothing was sent")

    def __repr__(self) -> str:
        cost = "at an unknown price" if self.cost is None else f"{APPROXIMATE} {dollars(self.cost)}"
        history = f", {self.replayed:,} from the history" if self.replayed else ""
        tokens = f"{APPROXIMATE}{self.prompt_tokens:,} → {APPROXIMATE}{self.completion_tokens:,} tokens"
        return f"<Estimate for {self.model}: {counted(self.requests, 'request')}{history}, {tokens}, {cost}>"

    def _repr_html_(self) -> str:
        return self.table().html()


def estimate(items: Iterable[Item], turns: Turns) -> Estimate:
    """What ``items`` would send. Raises ``HistoryError`` if the history cannot be read."""
    sent = Estimate(str(turns.request.target), 0, 0, 0, 0, 0.0)
    for group in _groups(items):
        flights = [turns.flight(item) for item in group]
        known = turns.known(flights) if turns.looks else {}
        sent = _with(sent, [flight for flight in flights if flight.item.index not in known], len(known))
    return sent


def _groups(items: Iterable[Item]) -> Iterator[list[Item]]:
    remaining = iter(items)
    while group := list(islice(remaining, AT_ONCE)):
        yield group


def _with(before: Estimate, flights: Sequence[PromptInFlight], replayed: int) -> Estimate:
    """``before`` with what these would send too, and so many more from the history."""
    requests = [flight.request for flight in flights]
    costs = [expected_cost(request) for request in requests]
    known = [cost for cost in costs if cost is not None]
    cost = None if before.cost is None or len(known) < len(costs) else before.cost + sum(known)
    return Estimate(
        before.model,
        before.requests + len(requests),
        before.replayed + replayed,
        before.prompt_tokens + sum(map(prompt_tokens, requests)),
        before.completion_tokens + sum(map(expected_reply_tokens, requests)),
        cost,
    )

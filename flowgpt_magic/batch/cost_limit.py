"""The limit of what a batch may cost: what was spent, and what the requests in flight may cost.

A request is sent only if it cannot exceed ``max_cost`` together with those in flight. While some are in flight the
others wait, because most cost less than was reserved for them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from flowgpt_magic.batch.turns import PromptInFlight
from flowgpt_magic.errors import BatchError
from flowgpt_magic.replies.cost import expected_cost, with_cost
from flowgpt_magic.transcripts.caption import dollars

ROUNDING = 1e-12  # dollars


class CostLimit:
    """Counts the dollars of a batch, or of several batches that share it."""

    def __init__(self) -> None:
        self.spent = 0.0
        self._reserved: dict[str, float] = {}  # by the id of the turn in flight
        self._waiting: list[Callable[[], None]] = []

    @property
    def waits(self) -> bool:
        """Are requests in flight, whose end may leave room for others?"""
        return bool(self._reserved)

    def allows(self, flight: PromptInFlight) -> bool:
        """May the prompt be sent now? If so, what it may cost is reserved.

        Raises ``BatchError`` where the server may charge and there is no price.
        """
        limit = flight.request.settings.max_cost
        if limit is None:
            return True
        cost = expected_cost(flight.request)
        if cost is None:
            raise BatchError(
                f"nothing was sent: max_cost is {dollars(limit)}, and what {flight.request.target} costs is not known. "
                "prices={…} takes its price, and the extra flowgpt_magic[prices] brings a list of prices"
            )
        if self.spent + sum(self._reserved.values()) + cost > limit + ROUNDING:
            return False
        self._reserved[flight.turn_id] = cost
        return True

    def spend(self, flight: PromptInFlight) -> None:
        """Add what the request of ``flight`` has cost, which ends now, whether its reply is used or discarded."""
        usage = flight.usage
        cost = usage.cost if usage.cost_source else with_cost(flight.request, usage, flight.text_so_far).cost
        self.spent += cost or 0.0

    def wait(self, go_on: Callable[[], None]) -> None:
        """Call ``go_on`` when a request has ended."""
        self._waiting.append(go_on)

    def release(self, flight: PromptInFlight) -> None:
        """Nothing of ``flight`` is in flight any more."""
        self._reserved.pop(flight.turn_id, None)
        waiting, self._waiting = self._waiting, []
        for go_on in waiting:
            asyncio.get_running_loop().call_soon(go_on)

    def error(self, flight: PromptInFlight) -> BatchError:
        """Why the batch stops before ``flight`` is sent."""
        limit, cost = flight.request.settings.max_cost, expected_cost(flight.request)
        return BatchError(
            f"the batch stopped before it would cost more than max_cost: it has cost {dollars(self.spent)} of "
            f"{dollars(limit or 0)}, and the next prompt may cost {dollars(cost or 0)}. The replies so far are kept; "
            "the same batch with a higher max_cost asks for the rest"
        )

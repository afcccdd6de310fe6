"""The state of a batch's server: how many requests may go out now, and what a failure means.

A busy or failing server is not a failure of the prompt. As long as the server answers others, such a prompt is sent
again and loses no retry:

* for ``patience`` seconds after its first failure, if the server certainly did not start on it;
* for ``BUSY_PATIENCE`` times as long, if the server asks to wait.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from flowgpt_magic.batch.breaker import MAX_OUTAGE, MEANT_WAIT, Breaker, Kind, asked_wait, failure_kind, not_started
from flowgpt_magic.batch.concurrency import Concurrency
from flowgpt_magic.batch.cost_limit import CostLimit
from flowgpt_magic.batch.progress import Pause
from flowgpt_magic.batch.rate_limit import RateLimiter
from flowgpt_magic.batch.results import BatchCounts
from flowgpt_magic.batch.turns import PromptInFlight
from flowgpt_magic.errors import ProviderError
from flowgpt_magic.providers.rate_limit_headers import RateLimit
from flowgpt_magic.replies.retry import LONGEST_WAIT, is_temporary, pause_before
from flowgpt_magic.text import counted, sentences

BUSY_PATIENCE = 5

Outcome = Literal["failed", "held"] | float
"""The fate of a prompt after a failure.

``failed``; ``held`` until it is clear whether the server fails; or the seconds until a retry.
"""


@dataclass(frozen=True)
class BatchLimits:
    """The limits set by the user.

    Args:
        concurrency: prompts in flight.
        per_minute: requests in any 60-second window; None means no limit.
        retries: retries of a failed prompt.
        patience: seconds to wait for a server that fails for all; None means the breaker's default.
        pace: a rate limiter shared by several runs, instead of ``per_minute``.
        costs: what was spent by several runs that share ``max_cost``; None for a run of its own.
    """

    concurrency: int
    per_minute: float | None
    retries: int
    patience: float | None = None
    pace: RateLimiter | None = None
    costs: CostLimit | None = None


class ServerState:
    """The server as a batch sees it. All calls come from one loop; ``clock`` returns monotonic seconds."""

    def __init__(
        self, limits: BatchLimits, counts: BatchCounts, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.pace = limits.pace or RateLimiter(limits.per_minute, clock=clock)
        self.concurrency = Concurrency(limits.concurrency, clock=clock)
        self.breaker = Breaker(limits.patience, clock=clock)
        self.sent: set[int] = set()  # prompts whose request has gone out, or is about to, and has not ended
        self._retries, self._counts, self._clock = limits.retries, counts, clock
        self._patience = MAX_OUTAGE if limits.patience is None else limits.patience
        self._answered_at: float | None = None

    @property
    def room(self) -> int:
        """How many requests may be in flight now, probes of the breaker not counted."""
        return 0 if self.breaker.open or self.pace.pausing else self.concurrency.limit

    @property
    def held_for(self) -> float:
        """Seconds until a request may go; 0 if that does not depend on time."""
        if self.breaker.open:
            return self.breaker.due_in
        return max(self.pace.pausing, self.concurrency.held_for)

    @property
    def pause(self) -> Pause | None:
        """The current pause, if there is one."""
        if self.breaker.open:
            return Pause(0.0 if self.breaker.probing else self.breaker.due_in, self.breaker.left)
        return Pause(self.held_for) if self.held_for else None

    def begins(self, flight: PromptInFlight) -> None:
        """``flight`` is about to be sent.

        It counts as sent from now on, unless it has to wait for its turn. Replies arrive in bursts, and the next
        requests go out after the whole burst was read. Otherwise a refusal in it would seem to meet an idle server.
        """
        if self.pace.is_free:
            self.sent.add(flight.item.index)

    def kind(self, error: BaseException) -> Kind:
        """What ``error`` says about the server; see ``failure_kind``."""
        return failure_kind(error, max(LONGEST_WAIT, self._patience))

    def answered(self, sent_at: float) -> None:
        """A request sent at ``sent_at`` was answered; an outage is over."""
        self._answered_at = self._clock()
        self.concurrency.answered(sent_at)
        if self.breaker.answered():
            self.concurrency.restart()

    def failed(self, flight: PromptInFlight, error: BaseException, *, probe: bool) -> Outcome:
        """The fate of ``flight``, whose request, a ``probe`` or not, ended with ``error``."""
        kind, now, pause, under_way = self.kind(error), self._clock(), 0.0, len(self.sent)
        flight.failures += 1
        flight.since = now if flight.since is None else flight.since
        if kind == "busy":
            pause = self._refused(flight, error, under_way)
        else:
            self.concurrency.lost(flight.begun)
        if kind in ("answer", "unknown"):
            return "failed"
        if kind != "busy" or not under_way or probe:
            self.breaker.failed(flight.item.index, error, kind, probe=probe)
        if kind in ("refused", "final"):
            return "held"
        if not isinstance(error, ProviderError) or not is_temporary(error):
            return "failed"  # the server may still be working on it
        return self._again(flight, error, kind, pause)

    def _refused(self, flight: PromptInFlight, error: BaseException, under_way: int) -> float:
        """The server is busy: the seconds that this prompt has to wait; -1 if a place becomes free earlier."""
        wait = asked_wait(error)
        pause = self.concurrency.refused(under_way, wait, flight.begun)
        if pause:
            self.pace.pause(pause)
        return -1.0 if under_way and not (wait and self.concurrency.heeds_waits) else wait

    def _again(self, flight: PromptInFlight, error: ProviderError, kind: Kind, pause: float) -> Outcome:
        now = self._clock()
        since = now if flight.since is None else flight.since
        answered = self._answered_at is not None
        if self.breaker.open:
            flight.tries = 0
        elif (kind == "busy" and (pause != 0 or answered)) or (not_started(error) and answered):
            if now - since > self._patience * (BUSY_PATIENCE if kind == "busy" else 1):
                return "failed"
        else:
            flight.tries += 1
            if flight.tries > self._retries:
                return "failed" if self._answered_at is not None and self._answered_at >= since else "held"
        if pause < 0:
            return 0.0
        if pause >= MEANT_WAIT:
            return pause
        return max(pause, pause_before(error, flight.failures - 1) or 0.0)

    def told(self, limits: Sequence[RateLimit]) -> None:
        """Take over the limits in the headers of a response."""
        tokens, replies = self._counts.prompt_tokens + self._counts.completion_tokens, self._counts.complete
        for limit in limits:
            left = limit.remaining
            if limit.counts_tokens and left > 0:
                if not tokens:
                    continue  # unknown how many requests they allow
                left = left * replies / tokens
            self.concurrency.told(limit.dimension, left, limit.seconds)

    def given_up(self, again: str) -> str:
        """Why the batch stops; ``again`` says what another run sends."""
        error, left_out = self.breaker.error, "so the others were not asked"
        why = sentences(str(error))
        if error is not None and (wait := asked_wait(error)) > self.breaker.patience:
            return f"the server asks to wait {wait:,.0f} s, {left_out}: {why} Later, {again}."
        if self.breaker.may_recover:
            waited = f"no prompt was answered for {self.breaker.patience - self.breaker.left:,.0f} s"
            return f"{waited}, {left_out}: {why} When the server answers, {again}; a larger patience= waits longer."
        failed = counted(len(self.breaker.row), "prompt")
        return f"{failed} in a row failed, {left_out}: {why} When that is mended, {again}."

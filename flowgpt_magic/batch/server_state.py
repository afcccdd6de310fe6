"""What replies and refusals tell a batch of its server: how many requests go out now, and what a failure means.

A refusal because the server is busy, or down, is no failure of the prompt. Such a prompt is asked again and loses none
of its tries, as long as the server answers others:

* for as long as ``patience`` allows after its first failure, where the server certainly did not work on it;
* for ``BUSY_PATIENCE`` times as long, where the server asks to wait.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from flowgpt_magic.batch.breaker import MAX_OUTAGE, MEANT_WAIT, Breaker, Kind, asked_wait, kind_of, not_begun
from flowgpt_magic.batch.concurrency import Concurrency
from flowgpt_magic.batch.progress import Pause
from flowgpt_magic.batch.rate_limit import Pace
from flowgpt_magic.batch.results import Tally
from flowgpt_magic.batch.turns import Flight
from flowgpt_magic.errors import ProviderError
from flowgpt_magic.providers.rate_limit_headers import RateLimit
from flowgpt_magic.replies.retry import LONGEST_WAIT, is_temporary, pause_before
from flowgpt_magic.text import counted, sentences

BUSY_PATIENCE = 5

Outcome = Literal["failed", "held"] | float
"""What becomes of a prompt that failed.

It is ``failed``; or it is ``held`` until it is clear whether it is the server that fails; or it is asked again after so
many seconds.
"""


@dataclass(frozen=True)
class Limits:
    """What the user allows.

    ``concurrency`` prompts are asked at once, ``per_minute`` requests go in a minute, a prompt that failed is asked
    again up to ``retries`` times. ``patience`` is for how many seconds a server is waited for that fails for all; None
    for the default. With a ``pace`` its limit holds for all runs that share it, in place of ``per_minute``.
    """

    concurrency: int
    per_minute: float | None
    retries: int
    patience: float | None = None
    pace: Pace | None = None


class Server:
    """All calls come from one loop; ``clock`` tells the seconds."""

    def __init__(self, limits: Limits, tally: Tally, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.pace = limits.pace or Pace(limits.per_minute, clock=clock)
        self.concurrency = Concurrency(limits.concurrency, clock=clock)
        self.breaker = Breaker(limits.patience, clock=clock)
        self.sent: set[int] = set()  # the prompts whose request has gone out, or does so at once, and has not ended
        self._retries, self._tally, self._clock = limits.retries, tally, clock
        self._patience = MAX_OUTAGE if limits.patience is None else limits.patience
        self._answered_at: float | None = None

    @property
    def room(self) -> int:
        """How many requests may be under way now; while the breaker is open, none but its probes."""
        return 0 if self.breaker.open or self.pace.pausing else self.concurrency.limit

    @property
    def held_for(self) -> float:
        """Seconds until a request may go; 0 where that depends on no clock."""
        if self.breaker.open:
            return self.breaker.due_in
        return max(self.pace.pausing, self.concurrency.held_for)

    @property
    def pause(self) -> Pause | None:
        """The pause that is being made, if one is."""
        if self.breaker.open:
            return Pause(0.0 if self.breaker.probing else self.breaker.due_in, self.breaker.left)
        return Pause(self.held_for) if self.held_for else None

    def begins(self, flight: Flight) -> None:
        """``flight`` is about to be asked.

        It counts as sent from now on, unless it has to wait for its turn. Replies come in crowds: what follows them
        goes out only when all of the crowd are read, and a refusal among them would seem to meet an idle server.
        """
        if self.pace.is_free:
            self.sent.add(flight.item.index)

    def kind(self, error: BaseException) -> Kind:
        """What ``error`` says about the server."""
        return kind_of(error, max(LONGEST_WAIT, self._patience))

    def answered(self, sent_at: float) -> None:
        """A reply has come to a request that was sent at ``sent_at``; if there was an outage, it is over."""
        self._answered_at = self._clock()
        self.concurrency.answered(sent_at)
        if self.breaker.answered():
            self.concurrency.restart()

    def failed(self, flight: Flight, error: BaseException, *, probe: bool) -> Outcome:
        """What becomes of ``flight``, whose request has ended with ``error``, as a ``probe`` or not."""
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
            return "failed"  # the server may still work on it
        return self._again(flight, error, kind, pause)

    def _refused(self, flight: Flight, error: BaseException, under_way: int) -> float:
        """The server is busy: how many seconds it asks this prompt to wait; -1 where a place becomes free earlier."""
        wait = asked_wait(error)
        pause = self.concurrency.refused(under_way, wait, flight.begun)
        if pause:
            self.pace.pause(pause)
        return -1.0 if under_way and not (wait and self.concurrency.heeds_waits) else wait

    def _again(self, flight: Flight, error: ProviderError, kind: Kind, pause: float) -> Outcome:
        now = self._clock()
        since = now if flight.since is None else flight.since
        answered = self._answered_at is not None
        if self.breaker.open:
            flight.tries = 0
        elif (kind == "busy" and (pause != 0 or answered)) or (not_begun(error) and answered):
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
        """What the headers of a response say of the limits of the server."""
        tokens, replies = self._tally.prompt_tokens + self._tally.completion_tokens, self._tally.complete
        for limit in limits:
            left = limit.remaining
            if limit.counts_tokens and left > 0:
                if not tokens:
                    continue  # nobody knows how many requests they are
                left = left * replies / tokens
            self.concurrency.told(limit.dimension, left, limit.seconds)

    def given_up(self, again: str) -> str:
        """Why the batch stops; ``again`` says what another run asks."""
        error, left_out = self.breaker.error, "so the others were not asked"
        why = sentences(str(error))
        if error is not None and (wait := asked_wait(error)) > self.breaker.patience:
            return f"the server asks to wait {wait:,.0f} s, {left_out}: {why} Later, {again}."
        if self.breaker.mends:
            waited = f"no prompt was answered for {self.breaker.patience - self.breaker.left:,.0f} s"
            return f"{waited}, {left_out}: {why} When the server answers, {again}; a larger patience= waits longer."
        failed = counted(len(self.breaker.row), "prompt")
        return f"{failed} in a row failed, {left_out}: {why} When that is mended, {again}."

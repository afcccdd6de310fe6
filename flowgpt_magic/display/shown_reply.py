"""What the display needs to know about a reply."""

from __future__ import annotations

from typing import Any, Protocol

from flowgpt_magic.messages import Sent, Status, Usage, Waiting
from flowgpt_magic.messages.extras import Extras


class ShownReader(Protocol):
    """A reader of a growing reply."""

    @property
    def done(self) -> bool:
        """Has the reader reached the end of the reply?"""

    def take(self, timeout: float | None = None) -> list[str]:
        """The chunks received since the last call. Waits up to ``timeout`` seconds; None: no limit."""


class ShownReply(Protocol):
    """A reply, while it arrives and at its end."""

    turn_id: str
    provider: str
    model: str
    error: BaseException | None
    notices: list[str]
    replayed: bool
    left_out: int
    sent: Sent
    shown_in: str
    keep_reasoning: bool

    @property
    def status(self) -> Status | None:
        """None before the request starts."""

    @property
    def usage(self) -> Usage:
        """Token counts and times."""

    @property
    def ended(self) -> bool:
        """Is it complete, cancelled or failed?"""

    @property
    def text_so_far(self) -> str:
        """The text received so far."""

    @property
    def reasoning_so_far(self) -> str:
        """The reasoning received so far."""

    @property
    def extras(self) -> Extras:
        """What has arrived beside the text so far."""

    @property
    def reasons(self) -> bool:
        """Is reasoning the last thing that has arrived, and the reply still running?"""

    @property
    def request_id(self) -> str:
        """How the server names the request; empty if it does not say."""

    @property
    def interrupt_summary(self) -> str:
        """What an interrupt left of the reply, in words."""

    @property
    def waiting(self) -> Waiting | None:
        """Why the next attempt waits; None while none does."""

    @property
    def progress(self) -> str:
        """What the provider does before the first chunk."""

    @property
    def elapsed(self) -> float:
        """Seconds since the request started."""

    def open(self) -> ShownReader:
        """A new reader at the first chunk. Starts the request if necessary."""

    def detach(self, reader: Any) -> None:
        """Detach a reader. The reply is cancelled when the last one leaves."""

    def cancel(self) -> None:
        """Cancel the reply."""

    def raise_error(self) -> None:
        """Raise the error of a failed reply."""

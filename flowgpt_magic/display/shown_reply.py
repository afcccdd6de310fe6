"""What is read of a reply to show it."""

from __future__ import annotations

from typing import Any, Protocol

from flowgpt_magic.messages import Status, Usage, Waiting


class ShownReader(Protocol):
    """One reader's place in a reply that grows."""

    @property
    def done(self) -> bool:
        """Has it read the reply to its end?"""

    def take(self, timeout: float | None = None) -> list[str]:
        """The chunks that have come since; waits for up to ``timeout`` seconds for one, without it for any time."""


class ShownReply(Protocol):
    """A reply, while it arrives and after."""

    turn_id: str
    provider: str
    model: str
    usage: Usage
    notices: list[str]
    replayed: bool
    left_out: int
    shown_in: str

    @property
    def status(self) -> Status | None:
        """None before it is asked."""

    @property
    def ended(self) -> bool:
        """Has it ended, however it did?"""

    @property
    def text_so_far(self) -> str:
        """What has arrived."""

    @property
    def kept(self) -> str:
        """What an interrupt left of it, in words."""

    @property
    def waiting(self) -> Waiting | None:
        """Why nobody is asked just now."""

    @property
    def progress(self) -> str:
        """What happens where it is asked, before its first chunk."""

    @property
    def elapsed(self) -> float:
        """Seconds since it was asked."""

    def open(self) -> ShownReader:
        """A new reader, from the first chunk on; the reply is started."""

    def leave(self, reader: Any) -> None:
        """Give a reader back; the last one that leaves cancels the reply."""

    def cancel(self) -> None:
        """Stop it."""

    def raise_error(self) -> None:
        """Raise what it failed with, if it did."""

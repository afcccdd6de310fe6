"""A page that asks something of this kernel, as the requests see it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

Facts = dict[str, Any]  # JSON values


class Page(Protocol):
    """The page that asks."""

    def tell(self, message: Facts, buffers: Sequence[bytes] = ()) -> None:
        """Send a message that answers nothing."""

    def when_closed(self, run: Callable[[], None]) -> None:
        """Call ``run`` when the connection is closed."""


Request = Callable[[Page, Facts, Sequence[memoryview]], Facts | None]

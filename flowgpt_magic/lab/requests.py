"""What a page can ask for, by the kind of its request."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from flowgpt_magic.notebook.ipython import shell

Facts = dict[str, Any]  # JSON values


class Page(Protocol):
    """The page that asks."""

    def tell(self, message: Facts, buffers: Sequence[bytes] = ()) -> None:
        """Send a message that answers nothing."""

    def when_closed(self, run: Callable[[], None]) -> None:
        """Call ``run`` when the connection is closed."""


Request = Callable[[Page, Facts, Sequence[memoryview]], Facts | None]


def names(_page: Page, request: Facts, _buffers: Sequence[memoryview]) -> Facts:
    """Which of these names exist in the notebook: ``{"known": [...]}``."""
    namespace = shell().user_ns
    return {"known": [name for name in request.get("names", []) if isinstance(name, str) and name in namespace]}


REQUESTS: dict[str, Request] = {"names": names}

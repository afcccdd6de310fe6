"""A page that asks something of this kernel, as the requests see it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from flowgpt_magic.notebook.ipython import shell

if TYPE_CHECKING:
    from flowgpt_magic.magics.state import ShellState

Facts = dict[str, Any]  # JSON values
OTHER_VERSION = "JupyterLab and the kernel run different versions of flowgpt_magic: reload the page"


class Page(Protocol):
    """The page that asks."""

    def tell(self, message: Facts, buffers: Sequence[bytes] = ()) -> None:
        """Send a message that answers nothing."""

    def when_closed(self, run: Callable[[], None]) -> None:
        """Call ``run`` when the connection is closed."""


Request = Callable[[Page, Facts, Sequence[memoryview]], Facts | None]


def magics_state() -> ShellState:
    """The state of the magics, whose settings and conversation a page's requests use."""
    state: ShellState = shell().magics_manager.registry["FlowGPT"].state
    return state

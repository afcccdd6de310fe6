"""A shell as a kernel has it, in the process of the tests."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config


class KernelShell(InteractiveShell):
    """A shell with the request of the running cell."""

    kernel = True
    message: dict[str, Any] | None = None

    def get_parent(self) -> dict[str, Any] | None:
        """The request that runs the cell."""
        return self.message


def shells(kind: type[InteractiveShell]) -> Iterator[Any]:
    """A shell that is the only one of the process while it is used."""
    config = Config()
    config.HistoryManager.enabled = False
    yield kind.instance(config=config)
    kind.clear_instance()


def request(cell_id: str = "", **content: Any) -> dict[str, Any]:
    """A request to run a cell."""
    return {
        "header": {"msg_id": "run-1", "msg_type": "execute_request"},
        "content": content,
        "metadata": {"cellId": cell_id} if cell_id else {},
    }

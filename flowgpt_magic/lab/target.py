"""The comm target at which pages of JupyterLab and Notebook connect with this kernel.

Registering it sends nothing: the extension of the front end asks whether it is there, and other front ends ignore it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flowgpt_magic.lab.page_comm import PageComm

TARGET = "flowgpt_magic"


class Pages:
    """The pages that are connected with a kernel."""

    def __init__(self, comms: Any) -> None:
        self._comms = comms
        self._connections: list[PageComm] = []

    def opened(self, comm: Any, message: dict[str, Any]) -> None:
        """A page opened ``comm``; ``message`` is the whole ``comm_open`` message."""
        from flowgpt_magic.lab.connection import connect

        opening = message["content"]["data"]
        if opening.get("purpose") == "page":  # and not its panel, which follows before the others could answer
            self._ask_who_is_there()
        page = connect(comm, opening)
        if page is not None:
            self._connections.append(page)

    def _ask_who_is_there(self) -> None:
        """Dismiss the pages that have not answered since this was asked before.

        A page that was reloaded or closed may have had no time to close its connection and its panel. So each is asked
        whether it is still there when another page connects, and dismissed if it has not answered when the next one
        does.
        """
        connected, self._connections = self._connections, []
        for connection in connected:
            if connection.is_alive():
                self._connections.append(connection)
            else:
                self._dismiss(connection)

    def dismiss_all(self) -> None:
        """Close all connections."""
        while self._connections:
            self._dismiss(self._connections.pop())

    def _dismiss(self, connection: PageComm) -> None:
        """Close a connection with a message of its own.

        ``comm_close`` goes to all pages, and JupyterLab complains in the console of those that do not know the comm.
        """
        connection.farewell()
        self._comms.comms.pop(connection.comm_id, None)


def register(shell: Any) -> None:
    """Let pages connect, if ``shell`` is that of a kernel."""
    comms = _comms(shell)
    if comms is not None:
        comms.register_target(TARGET, Pages(comms).opened)


def unregister(shell: Any) -> None:
    """Close the connections, and take no others."""
    comms = _comms(shell)
    if comms is None or TARGET not in comms.targets:
        return
    opened = comms.targets[TARGET]
    comms.unregister_target(TARGET, opened)
    opened.__self__.dismiss_all()


def _comms(shell: Any) -> Any:
    """The comm manager of a kernel; None in a terminal."""
    return getattr(getattr(shell, "kernel", None), "comm_manager", None)

"""The comm target at which pages of JupyterLab and Notebook connect with this kernel.

Registering it sends nothing: the extension of the front end asks whether it is there, and other front ends ignore it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flowgpt_magic.lab.connection import Connection

TARGET = "flowgpt_magic"


class Pages:
    """The pages that are connected with a kernel."""

    def __init__(self, comms: Any) -> None:
        self._comms = comms
        self._connections: list[Connection] = []

    def opened(self, comm: Any, message: dict[str, Any]) -> None:
        """A page opened ``comm``; ``message`` is the whole ``comm_open`` message.

        A page that was reloaded or closed may have had no time to close its connection. So each page is asked whether
        it is still there when another one connects, and dismissed if it has not answered when the next one does.
        """
        from flowgpt_magic.lab.connection import connect

        connected, self._connections = self._connections, []
        for connection in connected:
            if connection.is_alive():
                self._connections.append(connection)
            else:
                self._dismiss(connection)
        page = connect(comm, message["content"]["data"])
        if page is not None:
            self._connections.append(page)

    def dismiss_all(self) -> None:
        """Close all connections."""
        while self._connections:
            self._dismiss(self._connections.pop())

    def _dismiss(self, connection: Connection) -> None:
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
    for comm in [comm for comm in comms.comms.values() if comm.target_name == TARGET]:  # those of panels
        comm.handle_close({})  # as if the page had closed it: nobody else tells its owner
        comm.close()


def _comms(shell: Any) -> Any:
    """The comm manager of a kernel; None in a terminal."""
    return getattr(getattr(shell, "kernel", None), "comm_manager", None)

"""The comm target at which pages of JupyterLab and Notebook connect with this kernel.

Registering it sends nothing: the extension of the front end asks whether it is there, and other front ends ignore it.
"""

from __future__ import annotations

from typing import Any

TARGET = "flowgpt_magic"


def register(shell: Any) -> None:
    """Let pages connect, if ``shell`` is that of a kernel."""
    comms = _comms(shell)
    if comms is not None:
        comms.register_target(TARGET, _opened)


def unregister(shell: Any) -> None:
    """Close the connections, and take no others."""
    comms = _comms(shell)
    if comms is None or TARGET not in comms.targets:
        return
    comms.unregister_target(TARGET, _opened)
    for comm in [comm for comm in comms.comms.values() if comm.target_name == TARGET]:
        comm.handle_close({})  # as if the page had closed it: nobody else tells its owner
        comm.close()


def _comms(shell: Any) -> Any:
    """The comm manager of a kernel; None in a terminal."""
    return getattr(getattr(shell, "kernel", None), "comm_manager", None)


def _opened(comm: Any, message: dict[str, Any]) -> None:
    """A page opened ``comm``; ``message`` is the whole ``comm_open`` message."""
    from flowgpt_magic.lab.connection import connect

    connect(comm, message["content"]["data"])

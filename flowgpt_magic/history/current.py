"""The histories that this process has open, and which of them is in use."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol
from uuid import uuid4

from flowgpt_magic import settings
from flowgpt_magic.history.notebook_history import NotebookHistory
from flowgpt_magic.history.records import MEMORY
from flowgpt_magic.notebook.place import Cell, Place, script

if TYPE_CHECKING:
    from flowgpt_magic.replies.reply import Reply

FILE_NAME = "history.sqlite3"
HOMELESS = (
    "There is no home folder to keep the history in, so turns are kept in memory until this kernel is restarted. "
    "FLOWGPT_DATA_DIR names a folder to keep them in."
)


class Shell(Protocol):
    """What the shell knows about the notebook that runs in it."""

    def configured(self) -> Mapping[str, Any]: ...
    def place(self) -> Place: ...
    def running_cell(self) -> Cell: ...
    def notebook_path(self) -> str | None: ...
    def page_is_connected(self) -> bool: ...


_histories: list[NotebookHistory] = []  # the last one is in use; those before it have other files
_lock = threading.Lock()


def current_history(location: str = "") -> NotebookHistory:
    """The history at ``location`` (a file, ``:memory:`` or ``off``; by default the one of the settings), now in use.

    It is opened once. Where a shell runs, it says which notebook and which cell this is, and what ``%config`` has set.
    """
    shell = _shell()
    location = location or location_of(settings.load(configured=configured_in_shell()).history)
    with _lock:
        history = next((history for history in _histories if history.location == location), None)
        if history is not None:
            _histories.remove(history)
        previous = _histories[-1:]
        _histories.append(history or _open(location, shell))
        for other in previous:
            if other is not _histories[-1]:
                other.changed()  # it is no longer in use
        return _histories[-1]


def configured_in_shell() -> Mapping[str, Any]:
    """What ``%config`` has set, where a shell runs."""
    shell = _shell()
    return shell.configured() if shell else {}


def location_of(setting: str) -> str:
    """The location that the setting ``history`` means; empty is the file in the data folder, if there is one."""
    if setting:
        return setting
    return str(settings.data_folder() / FILE_NAME) if settings.has_data_folder() else MEMORY


def streaming_replies() -> list[Reply]:
    """The replies that are arriving in this process, in all conversations."""
    states = [state for history in list(_histories) for state in history.open_conversations()]
    return [reply for state in states for reply in list(state.replies.values())]


def flush_all() -> None:
    """Wait until all turns of this process are written."""
    for history in list(_histories):
        history.flush()


def close_all() -> None:
    """Close the histories. The next use looks for the notebook and the file again."""
    with _lock:
        while _histories:
            _histories.pop().close()


def _shell() -> Shell | None:
    if "IPython" not in sys.modules:
        return None
    from flowgpt_magic.notebook import ipython  # it imports IPython, which a program may not have

    return ipython if ipython.shell() is not None else None


def _open(location: str, shell: Shell | None) -> NotebookHistory:
    if shell is None:
        history = NotebookHistory(script(sys.argv[0], os.getcwd(), uuid4().hex), location)
    else:
        history = NotebookHistory(
            shell.place(),
            location,
            running_cell=shell.running_cell,
            find_path=shell.notebook_path,
            configured=shell.configured,
            page_is_connected=shell.page_is_connected,
        )
    if not settings.has_data_folder() and location == MEMORY:
        history.tell(HOMELESS)
    return history


def _unlock() -> None:
    """In a forked child: a thread of the parent may have held a lock, and is not here to release it."""
    global _lock
    _lock = threading.Lock()
    for history in _histories:
        history.unlock()


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_unlock)

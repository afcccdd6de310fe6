"""Allow ``asyncio.run`` inside a cell, when the user asks for it, and undo that."""

from __future__ import annotations

import asyncio
import asyncio.events
import asyncio.futures
import asyncio.tasks
from contextlib import closing
from typing import Any

ADDED_NAMES = ("_nest_patched", "_nest_asyncio2", "_get_event_loop", "get_event_loop")  # deleted again if they are new


class Nesting:
    """Patches asyncio with nest_asyncio2 while it is switched on.

    nest_asyncio2 cannot be undone, so everything that it replaces is saved before and restored after. What it adds to
    the class of the event loop stays, because a nested run in progress still uses it.
    """

    def __init__(self) -> None:
        self._before: list[tuple[Any, dict[str, Any]]] = []

    def switch(self, *, on: bool) -> None:
        """Switch on or off; no effect if it is so already."""
        if on == bool(self._before):
            return
        if on:
            self._patch()
        else:
            self._restore()

    def _patch(self) -> None:
        import nest_asyncio2

        if hasattr(asyncio, "_nest_patched"):  # by the user's own program, which may rely on it
            return
        places: list[Any] = [asyncio, asyncio.tasks, asyncio.futures, asyncio.events]
        places += [type(_policy()), _loop_class()]
        self._before = [(place, dict(vars(place))) for place in places]
        nest_asyncio2.apply()

    def _restore(self) -> None:
        for place, before in self._before:
            for name, value in list(vars(place).items()):
                if name in before and value is not before[name]:
                    setattr(place, name, before[name])
                elif name not in before and name in ADDED_NAMES:
                    delattr(place, name)
        self._before = []


def _loop_class() -> type[asyncio.AbstractEventLoop]:
    """The class of the running loop, or of the loop that ``asyncio.run`` would create."""
    try:
        return type(asyncio.get_running_loop())
    except RuntimeError:
        with closing(asyncio.new_event_loop()) as loop:
            return type(loop)


def _policy() -> Any:
    # Event loop policies are deprecated: get_event_loop_policy warns from Python 3.14 on.
    ask = getattr(asyncio.events, "_get_event_loop_policy", None) or asyncio.get_event_loop_policy
    return ask()

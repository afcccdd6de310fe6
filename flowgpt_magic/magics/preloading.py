"""Import what the first reply of a kernel needs, while the person types.

The imports would delay that reply by several tenths of a second. They run on a thread, one step at a time, and only
between cells: a thread that imports holds the interpreter's lock most of the time, which slows the person's own code.
A prompt that comes before the end imports the rest itself.
"""

from __future__ import annotations

import atexit
import os
import re
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from functools import partial
from importlib import import_module
from typing import Any

IDLE = 0.05  # seconds from the end of a cell to the first import after it; the cells of Run All follow sooner
STEP_TIMEOUT = 1.0  # seconds that a fork, or the end of the process, waits for the step that runs

# Each step takes a few hundredths of a second at most, the one of aiohttp excepted; what a step imports is not in the
# later ones. What else the first reply imports comes with these.
MODULES = (
    "flowgpt_magic.bridge",
    "flowgpt_magic.providers.registry",
    "flowgpt_magic.providers.models",
    "flowgpt_magic.prompt.references",
    "flowgpt_magic.magics.commands.code",
    "flowgpt_magic.magics.state",
    "flowgpt_magic.history.records",
    "flowgpt_magic.redaction",
    "flowgpt_magic.magics.commands.table",
    "flowgpt_magic.display.show",
    "markdown_it",
    "flowgpt_magic.markdown.formulas",
    "flowgpt_magic.markdown.growing",
    "flowgpt_magic.history.database",
    "flowgpt_magic.history.current",
    "flowgpt_magic.replies.supported_parameters",
    "flowgpt_magic.conversation",
    "flowgpt_magic.prompt.compose",
    "flowgpt_magic.display.painting",
    "flowgpt_magic.display.waiting_line",
    "flowgpt_magic.display.formats",
)
TERMINAL_MODULES = ("flowgpt_magic.markdown.terminal.markdown",)
HTTP_MODULES = (
    "http.client",
    "urllib.request",
    "email.policy",
    "attr",
    "yarl",
    "aiohttp",
    "flowgpt_magic.providers.http.client",
)
PROVIDER_MODULES = {
    "flowgpt": HTTP_MODULES,
    "openai_compatible": HTTP_MODULES,
}  # by the provider; the other ones load theirs on a thread

_importing = threading.RLock()


def is_interactive(shell: Any, result: Any) -> bool:
    """Is there a person who typed the cell of this ``result``, and may type the next one?

    There is none in ``ipython -c`` and in scripts, whose cells are not kept in IPython's history, and none where nobody
    can answer a question, as with nbclient.
    """
    info = getattr(result, "info", None)  # an interrupted cell may have no result
    if not getattr(info, "store_history", False):
        return False
    if hasattr(shell, "kernel"):
        request: dict[str, Any] = getattr(shell, "get_parent", dict)() or {}  # not every kernel is one of ipykernel's
        return bool(request.get("content", {}).get("allow_stdin", False))
    return sys.stdin is not None and sys.stdin.isatty()


class Preloader:
    """The imports of one shell: from ``start`` until all is there, or ``stop``.

    ``configured`` gives what ``%config`` has set, when it is time to look which provider is chosen.
    """

    def __init__(self, shell: Any, configured: Callable[[], Mapping[str, Any]]) -> None:
        self._events = shell.events
        self._configured = configured
        self._steps = (*MODULES, *(() if hasattr(shell, "kernel") else TERMINAL_MODULES))
        self._began = threading.Event()  # a cell did, since the last step
        self._free = threading.Event()  # no cell runs
        self._stopped = False
        self.thread = threading.Thread(target=self._run, name="flowgpt_magic imports", daemon=True)

    def start(self) -> None:
        """Begin, between cells. Where no thread can be started, nothing is done."""
        self._began.set()
        self._free.set()
        self._events.register("pre_run_cell", self._begin_cell)
        self._events.register("post_run_cell", self._end_cell)
        atexit.register(self._end)
        try:
            self.thread.start()
        except RuntimeError:
            self._leave()

    def stop(self) -> None:
        """End after the step that runs, without a wait for it."""
        self._stopped = True
        self._began.set()
        self._free.set()

    def _end(self) -> None:
        """At the end of the process: a thread that is in the middle of an import then may crash it."""
        self.stop()
        self.thread.join(STEP_TIMEOUT)

    def _leave(self) -> None:
        for event, callback in (("pre_run_cell", self._begin_cell), ("post_run_cell", self._end_cell)):
            with suppress(ValueError):
                self._events.unregister(event, callback)
        atexit.unregister(self._end)

    def _begin_cell(self, _info: object) -> None:
        self._free.clear()
        self._began.set()

    def _end_cell(self, _result: object) -> None:
        self._free.set()

    def _wait_between_cells(self) -> None:
        """Return when no cell runs; after one that ran, when no other began for ``IDLE`` seconds."""
        while self._began.is_set() and not self._stopped:
            self._began.clear()
            self._free.wait()
            self._began.wait(IDLE)

    def _run(self) -> None:
        try:
            for step in self._all_steps():
                self._wait_between_cells()
                if self._stopped:
                    return
                with _importing, suppress(Exception):  # the prompt that needs it says what is wrong
                    step()
        finally:
            self._leave()

    def _all_steps(self) -> Iterator[Callable[[], object]]:
        yield from (partial(import_module, name) for name in self._steps)
        found: list[str] = []
        yield lambda: found.append(chosen_provider(self._configured()))
        for provider in filter(None, found):
            yield from (partial(import_module, name) for name in PROVIDER_MODULES.get(provider, ()))
            yield partial(_load, provider)


def chosen_provider(configured: Mapping[str, Any]) -> str:
    """The provider that the settings name, if it is one of this package's; else "".

    A plug-in is foreign code: it runs when it is asked. A model without its provider would have all of them looked at.
    """
    from flowgpt_magic import settings
    from flowgpt_magic.providers import aliases, models, registry

    chosen = models.with_implied_model(settings.load(configured=configured)).model.strip()
    name = (aliases.target_of(chosen) if aliases.may_be_alias(chosen) else None) or chosen
    provider = re.split("[:/]", name.strip())[0] or registry.DEFAULT
    return provider if registry.is_built_in(provider) else ""


def _load(provider: str) -> None:
    from flowgpt_magic.providers import registry

    registry.find_provider(provider)


def _wait_for_step() -> None:
    """Before a fork: the locks of the modules that are being imported would stay held in the child for ever."""
    _importing.acquire(timeout=STEP_TIMEOUT)


def _go_on() -> None:
    with suppress(RuntimeError):  # the step took longer: the lock is the thread's
        _importing.release()


def _forget() -> None:
    global _importing
    _importing = threading.RLock()


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(before=_wait_for_step, after_in_parent=_go_on, after_in_child=_forget)

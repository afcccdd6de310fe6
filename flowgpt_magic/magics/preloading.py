"""Import the modules of the first reply on a thread, while the user types.

Importing them takes several tenths of a second. The thread imports one module at a time and only between cells, because
an import holds the interpreter's lock most of the time and would slow the user's code. A prompt before the end imports
the rest itself.
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

IDLE = 0.05  # seconds to wait after a cell; the next cell of Run All starts sooner
STEP_TIMEOUT = 1.0  # seconds that a fork, or the end of the process, waits for the current import

# Each takes a few hundredths of a second at most, except aiohttp. They import all other modules of a first reply.
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
    "flowgpt_magic.transcripts.caption",
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
    "anthropic": HTTP_MODULES,
}  # other providers load their libraries on a thread

_importing = threading.RLock()


def is_interactive(shell: Any, result: Any) -> bool:
    """Return whether a person typed the cell of this ``result``.

    Cells of ``ipython -c`` and of scripts are not in IPython's history. Programs such as nbclient allow no input.
    """
    info = getattr(result, "info", None)  # an interrupted cell may have no result
    if not getattr(info, "store_history", False):
        return False
    if hasattr(shell, "kernel"):
        request: dict[str, Any] = getattr(shell, "get_parent", dict)() or {}  # kernels other than ipykernel may lack it
        return bool(request.get("content", {}).get("allow_stdin", False))
    return sys.stdin is not None and sys.stdin.isatty()


class Preloader:
    """Imports the modules on a thread, from ``start`` until all are imported or ``stop``.

    ``configured`` returns the settings of ``%config``, which may choose the provider.
    """

    def __init__(self, shell: Any, configured: Callable[[], Mapping[str, Any]]) -> None:
        self._events = shell.events
        self._configured = configured
        self._steps = (*MODULES, *(() if hasattr(shell, "kernel") else TERMINAL_MODULES))
        self._cell_started = threading.Event()  # since the last check
        self._idle = threading.Event()  # no cell runs
        self._stopped = False
        self.thread = threading.Thread(target=self._run, name="flowgpt_magic imports", daemon=True)

    def start(self) -> None:
        """Start the thread; no effect if no thread can be started."""
        self._cell_started.set()
        self._idle.set()
        self._events.register("pre_run_cell", self._begin_cell)
        self._events.register("post_run_cell", self._end_cell)
        atexit.register(self._end)
        try:
            self.thread.start()
        except RuntimeError:
            self._leave()

    def stop(self) -> None:
        """Stop after the current import, without waiting for it."""
        self._stopped = True
        self._cell_started.set()
        self._idle.set()

    def _end(self) -> None:
        """At the end of the process, which a thread in the middle of an import could crash."""
        self.stop()
        self.thread.join(STEP_TIMEOUT)

    def _leave(self) -> None:
        for event, callback in (("pre_run_cell", self._begin_cell), ("post_run_cell", self._end_cell)):
            with suppress(ValueError):
                self._events.unregister(event, callback)
        atexit.unregister(self._end)

    def _begin_cell(self, _info: object) -> None:
        self._idle.clear()
        self._cell_started.set()

    def _end_cell(self, _result: object) -> None:
        self._idle.set()

    def _wait_between_cells(self) -> None:
        """Wait until no cell runs and, after a cell, none has started for ``IDLE`` seconds."""
        while self._cell_started.is_set() and not self._stopped:
            self._cell_started.clear()
            self._idle.wait()
            self._cell_started.wait(IDLE)

    def _run(self) -> None:
        try:
            for step in self._all_steps():
                self._wait_between_cells()
                if self._stopped:
                    return
                with _importing, suppress(Exception):  # the prompt that needs the module reports the error
                    step()
        finally:
            self._leave()

    def _all_steps(self) -> Iterator[Callable[[], object]]:
        yield from (partial(import_module, name) for name in self._steps)
        chosen: list[str] = []
        yield lambda: chosen.append(chosen_provider(self._configured()))
        for provider in filter(None, chosen):
            yield from (partial(import_module, name) for name in PROVIDER_MODULES.get(provider, ()))
            yield partial(_load, provider)


def chosen_provider(configured: Mapping[str, Any]) -> str:
    """The built-in provider that the settings name, else "".

    Plug-ins are not imported before they are used. The provider of a model without a provider's name is not looked up,
    because that would import all of them.
    """
    from flowgpt_magic import settings
    from flowgpt_magic.providers import aliases, models, registry

    chosen = models.with_implied_model(settings.load(configured=configured)).model.strip()
    name = (aliases.target_of(chosen) if aliases.may_be_alias(chosen) else None) or chosen
    provider = re.split("[:/]", name.strip())[0] or registry.DEFAULT_PROVIDER
    return provider if registry.is_built_in(provider) else ""


def _load(provider: str) -> None:
    from flowgpt_magic.providers import registry

    registry.find_provider(provider)


def _wait_for_step() -> None:
    """Before a fork: import locks that are held at the fork would never be released in the child."""
    _importing.acquire(timeout=STEP_TIMEOUT)


def _go_on() -> None:
    with suppress(RuntimeError):  # the wait timed out, so the thread holds the lock
        _importing.release()


def _forget() -> None:
    global _importing
    _importing = threading.RLock()


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(before=_wait_for_step, after_in_parent=_go_on, after_in_child=_forget)

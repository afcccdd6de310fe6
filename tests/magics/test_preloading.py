"""Importing ahead, in steps of the tests' own that wait for the test."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from flowgpt_magic.magics import preloading
from flowgpt_magic.magics.preloading import Preloader, chosen_provider, is_interactive
from flowgpt_magic.providers import aliases

STEP_TIMEOUT = 10.0  # seconds
STEP = "import gate\ngate.reached[__name__].set()\nassert gate.go[__name__].wait(10)\n"


class Events:
    """IPython's events, as far as they are used."""

    def __init__(self) -> None:
        self.callbacks: dict[str, list[Callable[..., None]]] = {"pre_run_cell": [], "post_run_cell": []}

    def register(self, event: str, function: Callable[..., None]) -> None:
        self.callbacks[event].append(function)

    def unregister(self, event: str, function: Callable[..., None]) -> None:
        self.callbacks[event].remove(function)  # raises ValueError, as IPython does

    def trigger(self, event: str) -> None:
        for each in [*self.callbacks[event]]:
            each(None)

    @property
    def count(self) -> int:
        return sum(map(len, self.callbacks.values()))


class Watched(threading.Event):
    """An event that tells when somebody waits for it."""

    def __init__(self) -> None:
        super().__init__()
        self.waited_for = threading.Event()

    def wait(self, timeout: float | None = None) -> bool:
        self.waited_for.set()
        return super().wait(timeout)


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Any]:
    """Two modules, ``step_a`` and ``step_b``, that tell when they are being imported and wait until they may go on."""
    made: Any = ModuleType("gate")
    names = ("step_a", "step_b")
    made.reached = {name: threading.Event() for name in names}
    made.go = {name: threading.Event() for name in names}
    for name in names:
        (tmp_path / f"{name}.py").write_text(STEP)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(sys.modules, "gate", made)
    monkeypatch.setattr(preloading, "MODULES", names)
    monkeypatch.setattr(preloading, "chosen_provider", lambda _configured: "")
    yield made
    for event in made.go.values():
        event.set()
    for name in names:
        sys.modules.pop(name, None)


@pytest.fixture
def events() -> Events:
    return Events()


@pytest.fixture
def preload(events: Events, gate: Any) -> Iterator[Preloader]:
    """One that runs, with its first step on its way."""
    made = Preloader(SimpleNamespace(events=events, kernel=None), dict)
    made._idle = Watched()
    made.start()
    assert gate.reached["step_a"].wait(STEP_TIMEOUT)
    yield made
    made.stop()
    for event in gate.go.values():
        event.set()
    made.thread.join(STEP_TIMEOUT)


def test_all_steps_are_imported_and_then_nothing_is_left(preload, events, gate):
    for event in gate.go.values():
        event.set()
    preload.thread.join(STEP_TIMEOUT)

    assert {"step_a", "step_b"} <= set(sys.modules)
    assert events.count == 0


def test_no_step_begins_while_a_cell_runs(preload, events, gate):
    preload._idle.waited_for.clear()
    events.trigger("pre_run_cell")
    for event in gate.go.values():
        event.set()
    assert preload._idle.waited_for.wait(STEP_TIMEOUT)
    during = "step_b" in sys.modules

    events.trigger("post_run_cell")
    preload.thread.join(STEP_TIMEOUT)

    assert not during
    assert "step_b" in sys.modules


def test_a_stop_ends_it_after_the_step_that_runs(preload, events, gate):
    preload.stop()
    for event in gate.go.values():
        event.set()
    preload.thread.join(STEP_TIMEOUT)

    assert "step_a" in sys.modules
    assert "step_b" not in sys.modules
    assert events.count == 0


def test_a_stop_ends_it_while_a_cell_runs(preload, events, gate):
    preload._idle.waited_for.clear()
    events.trigger("pre_run_cell")
    gate.go["step_a"].set()
    assert preload._idle.waited_for.wait(STEP_TIMEOUT)

    preload.stop()
    preload.thread.join(STEP_TIMEOUT)

    assert not preload.thread.is_alive()
    assert "step_b" not in sys.modules


def test_a_prompt_that_comes_early_waits_for_the_module_that_is_being_imported(preload, gate):
    imported: list[ModuleType] = []
    prompt = threading.Thread(target=lambda: imported.append(__import__("step_a")))
    prompt.start()
    gate.go["step_a"].set()
    prompt.join(STEP_TIMEOUT)

    assert [each.__name__ for each in imported] == ["step_a"]


def test_what_cannot_be_imported_is_left_out_without_a_word(gate, events, monkeypatch, capfd):
    monkeypatch.setattr(preloading, "MODULES", ("no_such_module", "step_b"))
    gate.go["step_b"].set()

    made = Preloader(SimpleNamespace(events=events, kernel=None), dict)
    made.start()
    made.thread.join(STEP_TIMEOUT)

    assert "step_b" in sys.modules
    assert capfd.readouterr() == ("", "")


def test_settings_that_cannot_be_read_are_passed_over_without_a_word(gate, events, monkeypatch, capfd):
    def fail(_configured: object) -> str:
        raise ValueError("a bad setting")

    monkeypatch.setattr(preloading, "chosen_provider", fail)
    for event in gate.go.values():
        event.set()

    made = Preloader(SimpleNamespace(events=events, kernel=None), dict)
    made.start()
    made.thread.join(STEP_TIMEOUT)

    assert events.count == 0
    assert capfd.readouterr() == ("", "")


def test_where_no_thread_can_be_started_nothing_is_left(gate, events, monkeypatch):
    def refuse(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)

    Preloader(SimpleNamespace(events=events, kernel=None), dict).start()

    assert events.count == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_process_can_import_what_was_on_its_way(preload, gate):
    ready = threading.Event()
    helper = threading.Thread(target=lambda: ready.wait(STEP_TIMEOUT) and gate.go["step_a"].set())
    helper.start()

    ready.set()
    child = os.fork()
    if child == 0:
        import signal

        signal.alarm(int(STEP_TIMEOUT))  # ends a child that waits for a lock nobody gives back
        __import__("step_a")
        os._exit(0)
    _pid, status = os.waitpid(child, 0)
    helper.join(STEP_TIMEOUT)

    assert status == 0


@pytest.mark.parametrize("kept", [True, False])
def test_a_cell_of_a_program_was_not_typed(kept, monkeypatch):
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(isatty=lambda: True))
    result = SimpleNamespace(info=SimpleNamespace(store_history=kept))

    assert is_interactive(SimpleNamespace(), result) is kept


def test_an_interrupted_cell_a_piped_one_and_one_of_an_unknown_kernel_were_not_typed(monkeypatch):
    result = SimpleNamespace(info=SimpleNamespace(store_history=True))

    assert not is_interactive(SimpleNamespace(kernel=None), None)
    assert not is_interactive(SimpleNamespace(kernel=None), result)
    for stdin in (None, SimpleNamespace(isatty=lambda: False)):
        monkeypatch.setattr(sys, "stdin", stdin)
        assert not is_interactive(SimpleNamespace(), result)


@pytest.mark.parametrize(
    ("parent", "typed"),
    [
        ({"content": {"allow_stdin": True}}, True),
        ({"content": {"allow_stdin": False}}, False),
        ({}, False),
        (None, False),
    ],
)
def test_in_a_kernel_the_front_end_tells_whether_somebody_is_there(parent, typed):
    result = SimpleNamespace(info=SimpleNamespace(store_history=True))

    assert is_interactive(SimpleNamespace(kernel=None, get_parent=lambda: parent), result) is typed


@pytest.mark.parametrize(
    ("model", "provider"),
    [
        ("echo", "echo"),
        ("flowgpt:gpt-4", "flowgpt"),
        ("openai_compatible/some/model", "openai_compatible"),
        ("quick", "openai_compatible"),
        ("smollm2", ""),
        ("nobody:model", ""),
    ],
)
def test_only_a_provider_of_this_package_that_is_named_is_imported_ahead(model, provider, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    aliases.save(aliases.Alias("quick", "openai_compatible:small"))

    assert chosen_provider({"model": model}) == provider

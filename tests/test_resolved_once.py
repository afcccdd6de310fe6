"""For one prompt the settings are loaded once, its alias is followed once, and its model is looked for once."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import CodeType, FrameType
from typing import Any

import pytest
from IPython.core.interactiveshell import InteractiveShell

from flowgpt_magic import settings
from flowgpt_magic.conversation import Conversation, ask
from flowgpt_magic.history.current import flush_all
from flowgpt_magic.notebook.place import NO_CELL
from flowgpt_magic.panel import actions
from flowgpt_magic.panel.state import PanelState
from flowgpt_magic.providers import aliases, models, registry
from flowgpt_magic.providers.aliases import Alias

COUNTED: dict[CodeType, str] = {
    settings.load.__code__: "settings",
    aliases.apply.__code__: "alias followed",
    aliases.load.__code__: "aliases read",
    aliases.target_of.__code__: "aliases read",
    registry.find_target.__code__: "model",
    models.find_model.__code__: "model by alias",
}
ONCE = {"settings": 1, "alias followed": 1, "aliases read": 1, "model": 1}


@contextmanager
def counted() -> Iterator[Counter[str]]:
    """How often this thread calls each of them, under whichever name."""
    calls: Counter[str] = Counter()

    def count(frame: FrameType, event: str, _argument: Any) -> None:
        if event == "call" and frame.f_code in COUNTED:
            calls[COUNTED[frame.f_code]] += 1

    sys.setprofile(count)
    try:
        yield calls
    finally:
        sys.setprofile(None)


@pytest.fixture
def alias(monkeypatch: pytest.MonkeyPatch) -> None:
    """An alias of the echo provider, which is asked where nobody else is named."""
    aliases.save(Alias("polly", "echo", temperature=0.5))
    monkeypatch.setenv("FLOWGPT_MODEL", "polly")


@pytest.fixture
def shell(alias: None) -> Iterator[InteractiveShell]:
    shell = InteractiveShell.instance()
    shell.run_line_magic("load_ext", "flowgpt_magic")
    shell.run_cell_magic("flowgpt", "", "the first prompt")
    yield shell
    shell.run_line_magic("unload_ext", "flowgpt_magic")
    InteractiveShell.clear_instance()


@pytest.fixture
def panel(alias: None) -> Iterator[PanelState]:
    state = PanelState(None, send=lambda _message: None, show=lambda _facts: None)
    yield state
    state.close()


@pytest.mark.parametrize(
    "ask",
    [
        lambda shell: shell.run_cell_magic("flowgpt", "", "hello {1}"),
        lambda shell: shell.run_cell_magic("flowgpt", "-m polly -t 1 --attach names --dry-run", "hello"),
        lambda shell: shell.run_cell_magic("flowgpt", "polly -t 1", "hello"),
        lambda shell: shell.run_line_magic("flowgpt", "explain print"),
    ],
    ids=["cell", "options", "alias", "explain"],
)
def test_a_prompt_in_a_cell_is_resolved_once(shell: InteractiveShell, ask: Callable[[Any], object]):
    shell.user_ns["names"] = ["one", "two"]

    with counted() as calls:
        ask(shell)

    assert calls == ONCE


@pytest.mark.parametrize("line", ["retry", "edit 1 something else", "continue"])
def test_a_turn_that_is_asked_again_is_resolved_once(shell: InteractiveShell, line: str):
    with counted() as calls:
        shell.run_line_magic("flowgpt", line)

    assert calls - Counter({"aliases read": 1}) == {"settings": 1, "alias followed": 1, "model": 1}


def test_a_prompt_from_python_is_resolved_once(alias: None):
    conversation = Conversation()

    with counted() as calls:
        reply = conversation.ask("hello", cell=NO_CELL)
        assert reply.text == "hello"

    assert calls == ONCE


def test_a_prompt_to_the_main_conversation_is_resolved_once(alias: None):
    with counted() as calls:
        reply = ask("hello", cell=NO_CELL)
        assert reply.text == "hello"

    assert calls == ONCE


def test_a_prompt_in_a_panel_is_resolved_once(panel: PanelState):
    with counted() as calls:
        answer = actions.answer(panel, {"kind": "ask", "text": "hello"})

    assert answer is not None
    assert "turn" in answer
    assert calls == ONCE
    flush_all()

"""The widget: what it passes on between its pages and its state."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

from flowgpt_magic import ChatPanel, Conversation
from flowgpt_magic.notebook.place import NO_CELL
from flowgpt_magic.panel.panel import STATIC
from flowgpt_magic.panel.state import PanelError


class Sent(list[dict[str, Any]]):
    """The messages that a panel sends to its pages."""

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [message for message in list(self) if message["kind"] == kind]


@pytest.fixture
def panel(monkeypatch: pytest.MonkeyPatch) -> Iterator[ChatPanel]:
    monkeypatch.setenv("FLOWGPT_MODEL", "echo")
    panel = ChatPanel()
    yield panel
    panel.close()


@pytest.fixture
def sent(panel: ChatPanel, monkeypatch: pytest.MonkeyPatch) -> Sent:
    """What a panel sends to its page."""
    found = Sent()
    monkeypatch.setattr(panel, "send", found.append)
    return found


def hear(panel: ChatPanel, **request: Any) -> None:
    """What the widget does with a page's message."""
    panel._handle_custom_msg(request, [])


def test_a_request_is_answered_under_its_own_number(panel, sent):
    hear(panel, kind="open", page="p")
    hear(panel, kind="ask", id=7, page="p", text="hello")
    hear(panel, kind="use", id=8, page="p", name="nowhere")

    done, failed = sent.of("answer")
    assert (done["id"], done["page"], done["turn"]) == (7, "p", Conversation().turns[0].turn_id)
    assert (failed["id"], "no conversation" in failed["error"]) == (8, True)


def test_the_traits_say_what_is_true(panel):
    chat = Conversation()
    chat.set(model="echo:messages", system="Be brief.", temperature=0.5)
    hear(panel, kind="look", id=1, page="p")

    assert (panel.name, panel.model, panel.chosen) == ("main", "echo:messages", "echo:messages")
    assert (panel.system, panel.temperature, panel.status, panel.closed) == ("Be brief.", 0.5, "", False)
    assert repr(panel) == "<ChatPanel of <Conversation 'main', 0 turns>>"


def test_a_panel_is_made_for_a_conversation_or_its_name(monkeypatch):
    monkeypatch.setenv("FLOWGPT_MODEL", "echo")
    chat = Conversation("mine")
    one, other = ChatPanel(chat), ChatPanel("mine")

    assert one.conversation is chat
    assert other.conversation.name == one.name == other.name == "mine"
    one.close()
    other.close()


def test_a_closed_panel_hears_nothing_and_cannot_be_shown(panel, sent):
    hear(panel, kind="open", page="p")
    heard = len(sent)

    hear(panel, kind="close", page="p")
    hear(panel, kind="ask", id=1, page="p", text="hello")
    panel.close()

    assert panel.closed
    assert len(sent) == heard
    assert Conversation().turns == []
    with pytest.raises(PanelError, match="%flowgpt panel opens another"):
        panel.show()


def test_an_observer_that_fails_costs_nobody_anything(panel, caplog):
    def fail(_change: object) -> None:
        raise RuntimeError("not mine")

    panel.observe(fail, ["model", "system"])
    panel.conversation.set(model="echo:messages", system="Be brief.")
    panel._state.refresh()

    assert (panel.model, panel.system) == ("echo:messages", "Be brief.")
    assert "an observer of the trait model of a chat panel failed" in caplog.text


def test_a_panel_looks_again_when_a_cell_has_run_until_it_is_closed(monkeypatch):
    monkeypatch.setenv("FLOWGPT_MODEL", "echo")
    config = Config()
    config.HistoryManager.enabled = False
    shell = InteractiveShell.instance(config=config)
    try:
        panel = ChatPanel()
        listening = list(shell.events.callbacks["post_run_cell"])
        seen = threading.Event()
        panel.observe(lambda _change: seen.set(), "model")

        shell.run_cell("import os; os.environ['FLOWGPT_MODEL'] = 'echo:messages'")
        assert seen.wait(20)
        panel.close()

        assert panel.model == "echo:messages"
        assert len(shell.events.callbacks["post_run_cell"]) == len(listening) - 1
    finally:
        InteractiveShell.clear_instance()


def test_what_is_no_request_is_left_alone(panel, sent):
    panel._handle_custom_msg("text", [])

    assert sent == []


def test_a_panel_that_is_closed_while_a_reply_arrives_lets_it_come_to_its_end(panel, monkeypatch):
    monkeypatch.setenv("FLOWGPT_PACE", "0.01")
    hear(panel, kind="ask", id=1, page="p", text="one two three")

    panel.close()
    end = time.monotonic() + 20
    while Conversation().turns[0].status == "streaming" and time.monotonic() < end:
        time.sleep(0.01)

    assert Conversation().turns[0].text == "one two three"


def test_the_page_is_one_module_and_one_sheet_that_fetch_nothing():
    script, sheet = (STATIC / "panel.js").read_text("utf-8"), (STATIC / "panel.css").read_text("utf-8")

    assert re.search(r"export\s*\{\s*\w+ as default\s*\};\s*\Z", script, re.MULTILINE)
    assert "import " not in script.replace("important", "")
    for word in (
        "fetch(",
        "XMLHttpRequest",
        "importScripts",
        "eval(",
        "new Function",
        "insertAdjacentHTML",
        "outerHTML",
    ):
        assert word not in script, word
    assert script.count("innerHTML") == 1  # the blocks that were made harmless
    assert "url(" not in sheet
    assert "@import" not in sheet


def test_asking_in_a_panel_is_seen_by_everybody_who_looks_at_the_conversation(panel):
    hear(panel, kind="ask", id=1, page="p", text="hello")

    chat = Conversation()
    assert chat.ask("and then?", cell=NO_CELL).text == "and then?"
    assert [turn.prompt for turn in chat.turns] == ["hello", "and then?"]

"""What is typed into a panel."""

from __future__ import annotations

import pytest
from IPython.core.interactiveshell import InteractiveShell

from flowgpt_magic.magics.commands.table import SUBCOMMANDS
from flowgpt_magic.panel.actions import ACTIONS
from flowgpt_magic.panel.composer import (
    IN_CELLS,
    PANEL_COMMANDS,
    command_in,
    complete_attached,
    complete_input,
    prompt_in,
)
from flowgpt_magic.panel.state import PanelError
from tests.templates_on_disk import write


@pytest.fixture
def shell() -> InteractiveShell:
    shell = InteractiveShell()
    shell.user_ns.update(table=[1], tab=2, api_key="secret")
    return shell


@pytest.mark.parametrize(
    ("text", "action"),
    [
        ("/undo", ("undo", {})),
        ("/use my other chat", ("use", {"name": "my other chat"})),
        ("/model echo:words", ("set", {"setting": "model", "value": "echo:words"})),
        ("/new", ("new", {})),
        ("/new plan", ("new", {"name": "plan"})),
    ],
)
def test_a_word_behind_a_slash_is_an_action(text, action):
    assert command_in(text) == action


@pytest.mark.parametrize(
    "text", ["what is /undo?", "/etc/hosts says what?", "/ is a slash", "//undo", "/1", "", " /undo"]
)
def test_anything_else_is_a_prompt(text):
    assert command_in(text) is None


def test_a_prompt_that_begins_with_a_slash_is_typed_with_two():
    assert prompt_in("//undo") == "/undo"
    assert prompt_in("/// three") == "/// three"
    assert prompt_in("plain") == "plain"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("/udno", "did you mean undo"),
        ("/histroy", "did you mean history\\? It is typed in a cell, as %flowgpt history\\. To send this as a prompt"),
        ("/history 5", "typed in a cell, as %flowgpt history"),
        ("/zzzz", "there is no command /zzzz\\. /help lists them\\."),
        ("/use", "/use needs a name"),
        ("/undo everything", "/undo takes no argument"),
    ],
)
def test_a_wrong_command_says_what_to_do(text, said):
    with pytest.raises(PanelError, match=said):
        command_in(text)


def test_what_is_typed_in_a_cell_is_a_subcommand_and_no_command_of_a_panel():
    assert set(IN_CELLS) <= set(SUBCOMMANDS)
    assert not set(IN_CELLS) & set(PANEL_COMMANDS)


def test_every_command_is_an_action():
    assert {command.action for command in PANEL_COMMANDS.values()} <= ACTIONS.keys()


def offered(found) -> list[str]:
    return [text for text, _about in found.items]


def test_commands_and_their_arguments_are_completed():
    assert offered(complete_input("/re", None, [], list)) == ["rename", "retry", "redo"]
    found = complete_input("/use Ma", None, ["main", "other"], list)
    assert (found.start, offered(found)) == (5, ["main"])
    write("review", "x")
    assert offered(complete_input("/template re", None, [], list)) == ["review"]
    models = [("echo:words", ""), ("local:a", "")]
    assert offered(complete_input("/model ec", None, [], lambda: models)) == ["echo:words"]


def test_variables_are_completed_behind_a_brace_and_secrets_are_not(shell):
    found = complete_input("what is in {ta", shell, [], list)

    assert (found.start, set(offered(found))) == (12, {"table", "tab"})
    assert offered(complete_input("{api", shell, [], list)) == []
    assert offered(complete_input("say /un", shell, [], list)) == []


def test_what_can_be_attached_is_completed(shell):
    found = complete_attached("ta", shell)

    assert (found.start, set(offered(found))) == (0, {"table", "tab"})


def test_without_a_shell_there_is_nothing_to_name():
    assert complete_input("{ta", None, [], list).facts() == {"start": 3, "items": []}

"""The magics in a shell of the test's own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

from flowgpt_magic.magics import magic


@pytest.fixture
def shell() -> Iterator[InteractiveShell]:
    """A shell without a history, with the echo provider as its default."""
    config = Config()
    config.HistoryManager.enabled = False
    config.FlowGPT.model = "echo"
    made = InteractiveShell.instance(config=config)
    yield made
    magic.unload(made)
    InteractiveShell.clear_instance()


def state(shell: InteractiveShell) -> tuple[object, ...]:
    """What loading changes."""
    magics = shell.magics_manager
    return (
        list(shell.input_transformers_cleanup),
        [getattr(each, "matcher_identifier", "") for each in shell.Completer.custom_matchers],
        list(shell.configurables),
        set(magics.registry),
        [list(each) for each in shell.events.callbacks.values()],
        *(set(magics.magics[kind]) for kind in ("line", "cell")),
    )


def test_unloading_leaves_the_shell_as_it_was_also_with_the_other_name(shell):
    before = state(shell)

    magic.load(shell)
    loaded = state(shell)
    shell.run_line_magic("flowgpt", "ai-alias on")
    magic.unload(shell)

    assert loaded != before
    assert state(shell) == before


def test_a_cell_after_loading_leaves_the_shell_as_it_was(shell):
    before = state(shell)

    magic.load(shell)
    shell.run_cell("1 + 1", store_history=False)
    magic.unload(shell)

    assert state(shell) == before


def test_loading_twice_is_as_good_as_once(shell):
    magic.load(shell)
    once = state(shell)

    magic.unload(shell)
    magic.load(shell)

    assert [len(part) for part in state(shell)] == [len(part) for part in once]


@pytest.mark.parametrize(
    ("cell", "sent"),
    [
        ("%flowgpt why {x}?", "why 1?"),
        ("flowgpt why {x}?", "why 1?"),
        ("def f(x):\n    return %flowgpt no value\n", None),
        ("def f(x):\n    r = %flowgpt is {x}?\n    return r\nf(2)", "is 2?"),
        ("flowgpt = 1\nflowgpt", None),
    ],
)
def test_a_cell_asks_with_the_names_where_it_stands(shell, cell, sent, capsys):
    magic.load(shell)
    shell.run_cell("x = 1")

    shell.run_cell(cell)

    turns = shell.magics_manager.registry["FlowGPT"].state.conversation().turns
    assert [turn.prompt for turn in turns] == ([sent] if sent else [])


def test_a_reply_is_a_value_where_something_is_done_with_it(shell, capsys):
    magic.load(shell)

    shell.run_cell("r = %flowgpt one\nif True:\n    %flowgpt two\n")

    assert shell.user_ns["r"].text == "one"
    assert shell.run_cell("%flowgpt three").result is None  # in a terminal it would be an empty Out[3]
    assert shell.run_cell("[get_ipython().run_line_magic('flowgpt', 'four')]").result[0].text == "four"


def test_what_ipython_shows_of_the_magic_is_its_help(shell):
    magic.load(shell)

    shown = shell.object_inspect_text("%flowgpt")

    assert "the lines below are the prompt" in shown


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("base_url", "http://anna:swordfish@127.0.0.1:8765", "http://***@127.0.0.1:8765"),
        ("openai_base_url", "https://host/v1?api_key=swordfish", "https://host/v1?api_key=***"),
        ("proxy", "http://anna:swordfish@proxy:3128", "***"),
        ("token", "swordfish", "***"),
        ("system", "Answer briefly.", "Answer briefly."),
        ("base_url", "http://127.0.0.1:8765", "http://127.0.0.1:8765"),
    ],
)
def test_settings_are_shown_without_what_is_secret_in_them_and_used_with_it(shell, capsys, name, value, shown):
    magic.load(shell)
    magics = magic.FlowGPT(shell)
    shell.run_line_magic("config", f"FlowGPT.{name} = {value!r}")
    setattr(magics, name, value)

    assert repr(getattr(magics, name)) == repr(shown)
    assert magics.configured()[name] == value
    assert type(magics.configured()[name]) is str
    shell.run_line_magic("config", "FlowGPT")
    assert (value in capsys.readouterr().out) is (value == shown)

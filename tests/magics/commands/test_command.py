"""What defines a subcommand: its function and its help."""

from __future__ import annotations

from flowgpt_magic.magics.commands.command import Subcommand, subcommand


@subcommand(
    "Show ``it`` to somebody: ``show [N]``, or ``show #ID``.",
    "More about it.",
    group="ask",
    examples=("%show", "%show 1"),
)
def show(state, rest):
    """A docstring that is no help."""
    return f"{state}{rest}"


def test_a_function_becomes_a_subcommand_that_can_be_called():
    assert isinstance(show, Subcommand)
    assert show("state", " rest") == show.run("state", " rest") == "state rest"
    assert show("state") == "state"


def test_a_menu_shows_neither_the_words_to_type_nor_backticks():
    assert show.short == "Show it to somebody"
    assert Subcommand(show.run, "Show it.", "ask", ("a", "b")).short == "Show it"

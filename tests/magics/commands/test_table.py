"""The subcommands of ``%flowgpt``, and which one a line means."""

from __future__ import annotations

import re

import pytest

from flowgpt_magic.errors import OptionError
from flowgpt_magic.magics.commands.conversations import in_force
from flowgpt_magic.magics.commands.table import SUBCOMMANDS, find_subcommand


def test_every_subcommand_says_in_one_line_what_it_does():
    for name, subcommand in SUBCOMMANDS.items():
        assert subcommand.about.endswith(".")
        assert len(subcommand.about) < 120, name


@pytest.mark.parametrize(("name", "other"), [("list", "models"), ("register", "alias"), ("delete", "dealias")])
def test_the_second_names_are_the_same_subcommands(name, other):
    assert SUBCOMMANDS[name] is SUBCOMMANDS[other]


@pytest.mark.parametrize("name", ["config", "providers", "aliases"])
def test_what_takes_nothing_more_says_how_to_send_it(run, name):
    with pytest.raises(OptionError, match=f"%flowgpt {name} takes no arguments; to send it as a prompt"):
        run(f"{name} of my server")


def meant(line: str, body: str | None = None) -> tuple[str, str] | None:
    """The name of the subcommand that is meant, and what stands behind it."""
    found = find_subcommand(line, body)
    if found is None:
        return None
    names = {run: name for name, run in reversed(SUBCOMMANDS.items())} | {in_force: ""}
    return names[found[0]], found[1]


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("", ("", "")),
        ("undo", ("undo", "")),
        ("  use   my chat ", ("use", "my chat")),
        ("edit\t1 why?", ("edit", "1 why?")),
        ("show me a list", ("show", "me a list")),
        ("undo -h", ("help", "undo")),
        ("undo --help", ("help", "undo")),
        ("undo?", ("help", "undo")),
        ("?", ("help", "")),
        ("?? ", ("help", "")),
        ("hello", None),
        ("news", None),
        ("what is undo?", None),
        ("echo -h", None),
        ("--help", None),
        ("{undo}", None),
        ("-- undo", None),
    ],
)
def test_a_line_means_a_subcommand_where_it_begins_with_one(line, found):
    assert meant(line) == found


@pytest.mark.parametrize(
    ("line", "body", "found"),
    [
        ("edit 1", "why?\n", ("edit", "1\nwhy?")),
        ("edit -1 -m echo:messages", "  why?\n\n", ("edit", "-1 -m echo:messages\n  why?")),
        ("system", "Be kind.\nBe brief.\n", ("system", "Be kind.\nBe brief.")),
        ("system Be", "kind.", None),
        ("edit", "my text", None),
        ("edit 1 2 3", "numbers", None),
        ("undo", "what I did", None),
        ("explain", "x = 1", None),
        ("", "undo", None),
        ("undo", "\n", ("undo", "")),
        ("help", "  \n", ("help", "")),
        ("undo?", "\n", ("help", "undo")),
        ("show me a list", "\n", None),
        ("", "\n", None),
    ],
)
def test_above_a_text_a_line_begins_the_prompt_unless_its_subcommand_takes_one(line, body, found):
    assert meant(line, body) == found


@pytest.mark.parametrize(
    ("word", "near"), [("undoo", "undo"), ("modle", "model"), ("Help", "help"), ("hisotry", "history")]
)
def test_a_lone_word_that_is_nearly_a_subcommand_is_not_sent(word, near):
    for body in (None, "\n"):
        with pytest.raises(OptionError, match=f"did you mean {near}\\? %flowgpt -- {word} sends it as a prompt"):
            find_subcommand(word, body)


def test_an_alias_may_be_called_nearly_like_a_subcommand(run):
    run("alias undoo echo")

    assert meant("undoo") is None


@pytest.mark.parametrize(
    ("line", "body", "hint"),
    [
        ("exprot talk.md", None, "did you mean export? %flowgpt -- exprot … sends it as a prompt"),
        ("exprot talk.md", "\n", "did you mean export?"),
        ("eidt 2 better", None, "did you mean edit?"),
        ("Exprot talk.md", None, "did you mean export?"),
        ("hisotry of Rome", None, "did you mean history?"),
        ("edti 2", "better", "did you mean edit? %%flowgpt -- edti … sends all of it as a prompt"),
        ("Edit 2 -m echo", "better", "did you mean edit?"),
        ("systme", "Be kind.", "did you mean system?"),
    ],
)
def test_a_mistyped_subcommand_before_other_words_is_not_sent(line, body, hint):
    with pytest.raises(OptionError, match=re.escape(hint)):
        find_subcommand(line, body)


@pytest.mark.parametrize(
    ("line", "body"),
    [
        ("undoo", "and more"),
        ("exprot talk.md", "and more"),
        ("stem", "of a word"),
        ("edti it", "please"),
        ("-- exprot talk.md", None),
        ("exprot: what is that?", None),
        ("Explain recursion", None),
        ("List the rivers", None),
        ("-- edti 2", "better"),
    ],
)
def test_words_that_are_no_subcommand_stay_a_prompt(line, body):
    assert find_subcommand(line, body) is None

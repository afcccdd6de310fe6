"""``keep``: which reply of a comparison the conversation continues with."""

from __future__ import annotations

import pytest

from flowgpt_magic.errors import OptionError, TurnNotFoundError
from flowgpt_magic.magics.state import Asked
from flowgpt_magic.providers import aliases
from flowgpt_magic.providers.aliases import Alias
from tests.shell_states import ask, column


@pytest.fixture
def compared(state, capsys):
    """The state after a comparison of three models, of which the second has failed."""
    aliases.save(Alias("broken", "echo:words", params={"fail_after": 0}))
    aliases.save(Alias("list", "echo:messages", temperature=0.1))
    state.compare(Asked("one", {"model": "echo,broken,list"}, {}), ["echo", "broken", "list"])
    return state


@pytest.mark.parametrize("which", ["3", "echo:messages", "messages", "list", "3 1", "3 -1"])
def test_a_reply_is_kept_by_number_or_model(compared, run, which):
    said = run(f"keep {which}")

    assert said == "turn 1 has the reply of echo:messages now; %flowgpt undo takes that back"
    assert [turn.text for turn in compared.conversation().turns] == ["user: one"]
    assert column(run("show 1"), "version") == ["1", "2", "3 (live)"]


def test_the_last_comparison_is_meant_after_other_turns_too(compared, run):
    ask(compared, "two")

    assert run("keep 3").startswith("turn 1 has")
    assert run("keep 3") == "turn 1 has the reply of echo:messages already"


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("", "keep takes the number of a reply or its model"),
        ("1 2 3", "keep takes the number of a reply or its model"),
        ("1 one", "to send it as a prompt, write %flowgpt -- before it"),
        ("4", "there is no reply 4; there is 1 echo:words, 2 echo:words, 3 echo:messages"),
        ("2", "the reply of echo:words has no text: it cannot be kept"),
        ("words", "words stands for several replies: name one by its number"),
        ("mesages", "mesages was not asked; did you mean messages?"),
    ],
)
def test_what_is_wrong_is_said(compared, run, line, text):
    with pytest.raises(OptionError) as raised:
        run(f"keep {line}")

    assert text in str(raised.value)


def test_without_a_comparison_it_chooses_among_the_versions_of_a_turn(state, run):
    with pytest.raises(TurnNotFoundError, match="there are no turns yet"):
        run("keep 1")
    ask(state, "one")
    with pytest.raises(OptionError, match="there is 1 echo:words; %%flowgpt -m a,b asks several models"):
        run("keep 2")
    state.conversation().retry(model="echo:messages").text  # noqa: B018

    assert run("keep 1").startswith("turn 1 has the reply of echo:words now")


def test_a_turn_can_be_asked_again_of_several_models_and_keeps_its_place(state, run, capsys):
    ask(state, "one", "two")

    run("retry 1 -m echo:messages,echo")

    assert [turn.text for turn in state.conversation().turns] == ["user: one", "two"]
    assert column(run("show 1"), "version") == ["1", "2 (live)", "3"]
    assert run("keep 2").startswith("turn 1 has the reply of echo:words now")
    run("undo")
    run("undo")
    assert [turn.text for turn in state.conversation().turns] == ["one", "two"]


def test_an_edited_prompt_can_be_asked_of_several_models(state, run, capsys):
    ask(state, "one")

    run("edit 1 -m echo,echo:messages three")

    assert [(turn.prompt, turn.text) for turn in state.conversation().turns] == [("three", "three")]
    assert len(state.conversation().compared(state.conversation().turn(1))) == 2


def test_asking_all_later_turns_again_takes_one_model(state, run):
    ask(state, "one", "two")

    with pytest.raises(OptionError, match="--following takes one model"):
        run("retry 1 --following -m echo,echo:messages")

"""The subcommands about conversations and their turns."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import replace
from datetime import date, datetime, time, timedelta

import pytest

from flowgpt_magic.errors import (
    ConversationNameError,
    ConversationNotFoundError,
    FlowGptError,
    ModelNotSupportedError,
    NothingToUndoError,
    OptionError,
    PromptError,
    ProviderError,
    TurnNotFoundError,
)
from flowgpt_magic.magics.commands.conversations import SUBCOMMANDS, _when, in_force
from flowgpt_magic.magics.state import ShellState
from flowgpt_magic.messages import Turn
from flowgpt_magic.notebook.place import NO_CELL, Cell
from flowgpt_magic.replies.reply import Reply
from tests.shell_states import ask, column, prompts, run_line


def test_alone_it_shows_what_is_in_force(state):
    ask(state, "one")
    state.conversation().set(system="be kind", temperature=0.5)

    shown = dict(in_force(state).rows)

    assert shown["conversation"] == "main, 1 turn"
    assert (shown["model"], shown["system prompt"], shown["temperature"]) == ("echo:words", "be kind", "0.5")
    assert shown["history"] == "in memory, until this kernel is restarted"


def test_alone_it_says_what_is_wrong_with_the_model():
    state = ShellState(lambda: {"model": "ecko"}, {})

    shown = dict(in_force(state).rows)["model"]

    assert shown.startswith("nobody: no model, provider or alias 'ecko'; did you mean echo?")


def test_history_lists_the_turns_cut_to_a_line(state, run):
    assert run("history") == "main has no turns yet"
    ask(state, "one", "a long prompt\n" * 20)

    table = run("history")

    assert column(table, "turn") == ["1", "2"]
    assert column(table, "prompt")[1].endswith("…")
    assert column(table, "status") == ["complete", "complete"]
    assert "%flowgpt show N shows a whole turn" in table.note
    assert "cell" not in table.columns


def test_history_names_cells_by_their_number_and_those_of_another_kernel_not_at_all(state):
    conversation = state.conversation()
    for prompt, cell in (("one", Cell("cell-1", "run", 3)), ("two", NO_CELL)):
        list(conversation.ask(prompt, cell=cell))

    assert column(run_line(state, "history"), "cell") == ["In [3]", ""]

    first = conversation.turns[0]
    earlier = replace(first, turn_id="earlier", place=7, kernel="1 2 elsewhere")
    assert state.notebook_history.cell_number(first) == 3
    assert state.notebook_history.cell_number(earlier) == 0


def test_history_says_why_a_turn_has_no_reply(state):
    with suppress(ProviderError):
        list(state.conversation().ask("one", model="echo", params={"fail_after": 0}, retries=0))

    table = run_line(state, "history")

    assert column(table, "status") == ["failed"]
    assert column(table, "reply") == ["ProviderError: echo was told to fail after 0 chunks."]


@pytest.mark.parametrize(
    ("days", "pattern"),
    [(0, r"\d\d:\d\d"), (1, r"yesterday \d\d:\d\d"), (400, r"20\d\d-\d\d-\d\d"), (9000, r"\d{4}-\d\d-\d\d")],
)
def test_a_time_is_said_in_few_words(days, pattern):
    noon = datetime.combine(date.today(), time(12)) - timedelta(days)

    assert re.fullmatch(pattern, _when(noon.timestamp()))


def test_show_gives_a_whole_turn(state, run):
    ask(state, "one", "two\n" * 500)

    assert isinstance(run("show"), Turn)
    assert [run(line).prompt for line in ("show", "show 1", "show -2")] == ["two\n" * 500, "one", "one"]


def test_show_lists_the_versions_of_a_turn_and_gives_each_whole(state, run):
    ask(state, "one", "two")
    list(state.conversation().edit(1, "other one"))

    table = run("show 1")

    assert column(table, "version") == ["1", "2 (live)"]
    assert column(table, "prompt") == ["one", "other one"]
    assert table.note == "one of them whole: %flowgpt show 1 VERSION"
    assert [run(f"show 1 {version}").prompt for version in (1, 2)] == ["one", "other one"]


def test_show_gives_a_turn_with_its_reasoning(state, run):
    ask(state, "<think>two</think>four", "no thoughts")
    list(state.conversation().edit(1, "<think>three</think>six"))

    assert run("show 1 --reasoning").turn.text == "six"  # of several versions the live one
    assert run("show --reasoning 1 1").turn.text == "four"
    with pytest.raises(FlowGptError, match="echo:words sent no reasoning with this reply"):
        run("show 2 --reasoning")


def test_search_finds_turns_and_show_gives_them_by_their_id(state, run):
    ask(state, "where is the aardvark?", "and the bear?")

    table = run("search aardv")

    assert column(table, "prompt") == ["where is the aardvark?"]
    assert [column(table, name)[0] for name in ("notebook", "conversation", "turn")] == ["this notebook", "main", "1"]
    assert run(f"show {column(table, 'show')[0]}").prompt == "where is the aardvark?"
    assert run("search zebra") == "nothing found for zebra"
    assert run("search ***") == "nothing found: *** has no letters or digits"


def test_search_lists_a_turn_once_however_often_it_was_asked_and_copied(state, run):
    ask(state, "where is the aardvark?")
    run("retry")
    run("branch aside")

    table = run('search "aardvark" (where) OR*')

    assert table == 'nothing found for "aardvark" (where) OR*'
    assert column(run('search "aardvark" (where)*'), "conversation") == ["main"]


def test_undo_redo_and_clear_say_what_they_did(state, run):
    ask(state, "one", "two")

    assert run("undo") == "undone: ask; main has 1 turn"
    assert run("redo") == "redone: ask; main has 2 turns"
    assert run("clear") == "2 turns set aside; %flowgpt undo brings them back"
    assert run("undo") == "undone: clear; main has 2 turns"
    assert SUBCOMMANDS["reset"] is SUBCOMMANDS["clear"]


def test_retry_edit_and_continue_show_a_reply_in_the_place_of_the_turn(state, run, capsys):
    ask(state, "one", "two")

    replies = [run("edit 1 uno"), run("retry -m echo:messages"), run("continue")]

    assert all(isinstance(reply, Reply) for reply in replies)
    assert prompts(state) == ["uno", "two"]
    assert replies[0].text == "uno"
    assert replies[1].text == "user: uno\nassistant: uno\nuser: two"
    assert replies[2].text.startswith(replies[1].text)
    assert capsys.readouterr().out.count("[echo:") == 3


def test_edit_takes_options_and_lines(state, run):
    ask(state, "one", "two")

    run("edit 1 -m echo:messages -s 'be kind' -o again -- -t is no option here")
    run("edit 2\n  several\nlines")

    assert state.names["again"].text == "system: be kind\nuser: -t is no option here"
    assert prompts(state) == ["-t is no option here", "  several\nlines"]


def test_retry_goes_to_whom_the_conversation_names_and_into_a_variable(state, run):
    list(state.conversation().ask("one", cell=NO_CELL, system="be kind"))
    run("model echo:messages")

    run("retry -o again")

    assert state.names["again"].text == "system: be kind\nuser: one"
    assert [turn.model for turn in state.conversation().turns] == ["messages"]


def test_the_turns_after_an_edit_are_marked_and_asked_again_in_order(state, run):
    ask(state, "one", "two", "three")
    run("edit 1 another")
    table = run("history")
    assert column(table, "status") == ["complete", *["complete, asked before the edit above"] * 2]
    assert "%flowgpt retry 2 --following" in table.note

    run("retry 2 --following")

    assert column(run("history"), "status") == ["complete"] * 3
    assert [turn.version for turn in state.conversation().turns] == [2, 2, 2]
    run("undo")
    assert [turn.version for turn in state.conversation().turns] == [2, 2, 1]


@pytest.mark.parametrize("line", ["retry 1 -m echo:messages", "retry -m echo:messages 1"])
def test_retry_takes_its_number_before_or_after_the_options(state, run, line):
    ask(state, "one", "two")

    run(line)

    assert [turn.model for turn in state.conversation().turns] == ["messages", "words"]


def test_retry_with_a_number_asks_that_turn_again(state, run):
    ask(state, "one", "two")

    run("retry 1")

    assert [turn.version for turn in state.conversation().turns] == [2, 1]


def test_the_first_prompt_names_a_conversation_whose_name_was_generated(state, run):
    run("new")
    ask(state, "Why is the sky blue?")

    assert column(run("chats"), "conversation")[-1] == "Why is the sky blue (in use)"
    assert run("use main") == "main has 0 turns"
    assert run("use Why is the sky blue") == "Why is the sky blue has 1 turn"


def test_a_branch_is_used_at_once_and_the_way_back_is_told(state, run):
    ask(state, "one", "two")

    assert run("branch idea 1") == "idea has 1 turn; %flowgpt use main goes back"
    assert (state.current, prompts(state)) == ("idea", ["one"])
    assert run("use main") == "main has 2 turns"


def test_a_new_conversation_has_a_name_of_its_own_and_is_used_at_once(state, run):
    ask(state, "one")

    assert run("new") == "chat 2 has 0 turns; its first prompt names it"
    assert run("new my idea") == "my idea has 0 turns"
    assert column(run("chats"), "conversation") == ["main", "chat 2", "my idea (in use)"]


def test_a_name_that_is_there_begins_anew_and_undo_brings_its_turns_back(state, run):
    run("new idea")
    ask(state, "one", "two")

    assert run("new idea") == "idea has 0 turns; %flowgpt undo restores the 2 turns it had"
    assert prompts(state) == []
    run("undo")
    assert prompts(state) == ["one", "two"]


def test_chats_are_listed_renamed_and_removed(state, run):
    ask(state, "one")
    ask(state, "two", name="side talk")

    assert run('rename "side talk" aside') == "renamed side talk to aside"
    assert prompts(state, "aside") == ["two"]
    assert run("rename thesis") == "renamed main to thesis; after a restart, %flowgpt use thesis continues it"
    assert run("rm aside") == "removed aside; %flowgpt use restores it; thesis has 1 turn"
    assert column(run("chats"), "conversation") == ["thesis (in use)"]
    assert run("rm thesis") == "removed thesis; %flowgpt use restores it; main has 0 turns"
    assert run("use aside") == "aside has 1 turn"
    assert prompts(state) == ["two"]


def test_model_and_system_prompt_are_shown_set_and_taken_back(state, run):
    assert (run("model"), run("system")) == ("echo:words", "no system prompt")
    assert (run("model echo:messages"), run('system "Be kind."')) == ("echo:messages", "Be kind.")
    assert state.conversation().settings().system == "Be kind."
    assert (run("model none"), run("system none")) == ("echo:words", "no system prompt")


@pytest.mark.parametrize(
    ("line", "error", "said"),
    [
        ("show 7", TurnNotFoundError, "no turn 7: there are 1"),
        ("show one", OptionError, "takes the number of a turn, not 'one'"),
        ("show 1 5", OptionError, "turn 1 has no version 5; it has 1"),
        ("show 1 2 3", OptionError, "number of a turn and of a version"),
        ("show #zzz", TurnNotFoundError, "no turn has an id that begins with 'zzz'"),
        ("history of Rome", OptionError, "to send it as a prompt, write %flowgpt -- before it"),
        ("undo that", OptionError, "takes no arguments"),
        ("redo", NothingToUndoError, "nothing to redo"),
        ("edit x y", OptionError, "takes the number of a turn, not 'x'"),
        ("edit 1", FlowGptError, "the prompt is empty"),
        ("edit 1 --modle echo x", OptionError, "there is no option --modle; did you mean --model?"),
        ("edit 1 --append x", OptionError, "%flowgpt edit does not take --append"),
        ("edit 1 -s @nowhere.txt x", PromptError, "No such file"),
        ("retry it", OptionError, "takes the number of a turn, and options"),
        ("branch", OptionError, "takes a name"),
        ("branch main", ConversationNameError, "give the branch another name"),
        ("branch idea 9", TurnNotFoundError, "no turn 9"),
        ("use mian", ConversationNotFoundError, "no conversation 'mian'; did you mean main?"),
        ("use", OptionError, "takes a name"),
        ("rename", OptionError, "takes a new name"),
        ("rename nobody somebody", ConversationNotFoundError, "no conversation 'nobody'"),
        ("rename main", ConversationNameError, "there is already a conversation 'main'"),
        ("rm nobody", ConversationNotFoundError, "no conversation 'nobody'"),
        ("search", OptionError, "takes the words to look for"),
        ("adopt", OptionError, "takes the path of a notebook"),
        ("retry --append", OptionError, "does not take --append"),
        ("adopt nowhere.ipynb", ConversationNotFoundError, "there is no history of a notebook at"),
        ("model eco", ModelNotSupportedError, "did you mean echo?"),
        ("nested maybe", OptionError, "takes on or off"),
        ("help unod", OptionError, "there is no help for unod; did you mean undo?"),
    ],
)
def test_bad_input_is_one_clear_error_and_changes_nothing(state, run, line, error, said):
    ask(state, "one")

    with pytest.raises(error) as caught:
        run(line)

    assert said in str(caught.value)
    assert len(str(caught.value).splitlines()) <= 2
    assert (prompts(state), state.current) == (["one"], "main")

"""The actions that a page can request."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from flowgpt_magic.conversation import Conversation
from flowgpt_magic.history.current import current_history
from flowgpt_magic.history.notebook_history import NotebookHistory
from flowgpt_magic.notebook.place import NO_CELL, place_of
from flowgpt_magic.panel import actions
from flowgpt_magic.panel.actions import ACTIONS, answer
from flowgpt_magic.prompt.compose import PromptContext
from flowgpt_magic.providers import registry
from tests.panel_page import Page
from tests.templates_on_disk import write


@pytest.fixture
def page(monkeypatch: pytest.MonkeyPatch) -> Iterator[Page]:
    monkeypatch.setenv("FLOWGPT_MODEL", "echo")
    page = Page()
    yield page
    page.close()


def ask(page: Page, *prompts: str) -> None:
    for prompt in prompts:
        list(Conversation(current_history().current).ask(prompt, cell=NO_CELL))
    page.state.refresh()


def prompts() -> list[str]:
    return [turn.prompt for turn in Conversation(current_history().current).turns]


def test_the_turns_after_an_edit_are_marked_and_asked_again_one_after_the_other(page):
    ask(page, "one", "two", "three")
    page.tell("edit", place=1, text="other")
    page.settled()
    assert [turn["before_edit"] for turn in page.load()] == [False, True, True]
    assert page.statuses == ["complete 2/2", *["complete 1/1 before an edit"] * 2]

    page.tell("following", place=2)
    page.wait(lambda: page.statuses == ["complete 2/2"] * 3 and not page.truth["status"])

    assert [turn["before_edit"] for turn in page.load()] == [False] * 3
    page.tell("undo")
    page.wait(lambda: page.statuses[2] == "complete 1/2 before an edit")  # each can be taken back


def test_stop_ends_what_would_be_asked_again_afterwards(page, monkeypatch):
    ask(page, "one two three", "two", "three")
    monkeypatch.setenv("FLOWGPT_PACE", "60")

    page.tell("following", place=1)
    page.wait(lambda: page.truth["status"] == "streaming")
    page.tell("stop")
    page.wait(lambda: not page.truth["status"])

    assert [row[3].split()[1] for row in page.rows] == ["1/2", "1/1", "1/1"]  # nothing came: the earlier reply is back


def test_ask_again_asks_whom_the_head_names_now(page):
    ask(page, "one")
    page.tell("set", setting="model", value="echo:messages")

    page.tell("retry", place=1)
    page.settled()

    (turn,) = page.load()
    assert turn["model"] == "echo:messages"


def test_ask_again_asks_the_default_model_that_the_head_names_where_nothing_is_set(monkeypatch):
    monkeypatch.setattr(registry, "default_provider", lambda: "echo")
    list(Conversation().ask("one", cell=NO_CELL, model="echo:messages"))
    page = Page()
    assert page.truth["model"] == "echo:words"

    for kind, more in (("retry", {}), ("edit", {"text": "two"}), ("following", {})):
        page.tell(kind, place=1, **more)
        page.settled()
        page.wait(lambda: not page.truth["status"])
        assert page.load()[0]["model"] == "echo:words"
    page.close()


def test_the_first_prompt_names_a_new_conversation(page):
    page.tell("new")
    page.tell("ask", text="Why is the sky blue?")
    page.settled()

    assert page.truth["name"] == "Why is the sky blue"
    assert page.truth["names"] == ["Why is the sky blue"]


def test_the_conversation_of_another_notebook_can_be_read(page):
    other = Conversation("elsewhere")
    for prompt in ("before", "the *fox*", "after"):
        list(other.ask(prompt, cell=NO_CELL))
    found = other.turns[1].turn_id

    turns = page.tell("elsewhere", turn=found)["turns"]

    assert [turn["prompt"] for turn in turns] == ["before", "the *fox*", "after"]
    assert "<em>fox</em>" in turns[1]["blocks"][0]
    assert "no turn has" in page.tell("elsewhere", turn="nosuch")["error"]


def test_of_a_long_conversation_elsewhere_the_turns_around_the_one_that_was_found_are_read(page):
    other = Conversation("elsewhere")
    for number in range(60):
        list(other.ask(f"prompt {number}", cell=NO_CELL))

    turns = page.tell("elsewhere", turn=other.turns[50].turn_id)["turns"]

    assert len(turns) == 40
    assert (turns[0]["prompt"], turns[-1]["prompt"]) == ("prompt 20", "prompt 59")


def test_a_turn_is_edited_where_it_stands_and_keeps_its_versions(page):
    ask(page, "one", "two")

    page.tell("edit", place=1, text="other")
    page.settled()

    assert prompts() == ["other", "two"]
    assert page.load()[0]["version"] == page.load()[0]["versions"] == 2


def test_a_template_is_asked_with_its_slots_filled(page):
    write("review", "---\ntemperature: 0.5\n---\nReview for {who}.")

    page.tell("ask", text="/template review who=all\nx = 1")
    page.settled()

    assert prompts() == ["Review for all.\n\nx = 1"]
    assert Conversation(current_history().current).turns[-1].parameters["temperature"] == 0.5


def test_templates_are_listed_and_mistakes_are_answers(page):
    write("review", "Review {nothing}.")

    assert "review" in page.tell("ask", text="/template")["said"]
    assert "needs nothing" in page.tell("ask", text="/template review")["error"]
    assert "did you mean review?" in page.tell("ask", text="/template reviw")["error"]
    assert "takes no options here" in page.tell("ask", text="/template review -t 1")["error"]
    assert prompts() == []


def test_an_earlier_version_can_be_the_one_that_counts_again(page):
    ask(page, "one", "two")
    page.tell("edit", place=1, text="other")
    page.settled()

    page.tell("choose", place=1, version=1)
    assert prompts() == ["one", "two"]

    assert page.tell("undo") == {"said": "undone: choose"}
    assert prompts() == ["other", "two"]


def test_a_version_that_there_is_not_is_named(page):
    ask(page, "one")

    assert "no version 7" in page.tell("choose", place=1, version=7)["error"]


def test_a_prompt_is_asked_again_and_gone_on_with(page):
    ask(page, "one", "two")

    page.tell("retry", place=1)
    page.settled()
    page.tell("retry")
    page.settled()
    page.tell("continue")
    page.settled()

    assert prompts() == ["one", "two"]
    assert page.statuses == ["complete 2/2", "complete 3/3"]


def test_two_panels_that_edit_one_turn_lose_nothing(page):
    ask(page, "one")
    other = Page(name="b")

    page.tell("edit", place=1, text="from a")
    other.tell("edit", place=1, text="from b")
    page.settled()
    other.settled()
    other.close()

    chat = Conversation()
    assert prompts() == ["from b"]
    assert [turn.prompt for turn in chat.versions(chat.turns[0])] == ["one", "from a", "from b"]


def test_an_edit_of_a_turn_that_is_gone_says_so(page):
    ask(page, "one")
    Conversation().clear()

    assert "Undo brings it back" in page.tell("edit", place=1, text="typed")["error"]


def test_references_and_attachments_are_sent_as_text_and_typed_as_they_were(page, tmp_path):
    (tmp_path / "notes.txt").write_text("from a file")

    page.tell("ask", text="read this", attached=[str(tmp_path / "notes.txt")])
    page.settled()

    assert "from a file" in prompts()[0]
    (turn,) = page.load()
    assert (turn["typed"], turn["attached"]) == ("read this", [str(tmp_path / "notes.txt")])
    assert page.tell("recall", back=1) == {"text": "read this"}
    assert "from a file" in page.tell("whole", turn=turn["id"])["prompt"]

    page.tell("edit", place=1, text="read it again")
    page.settled()
    assert prompts()[0].startswith("read it again")
    assert "from a file" in prompts()[0]


def test_quoted_code_goes_as_it_is_also_when_it_is_edited_and_recalled(page, monkeypatch):
    monkeypatch.setattr(actions, "prompt_context", lambda **_how: PromptContext({"held": "THE VALUE"}))
    text = "why {held}?\n\n```python\nx = '{held}'\n```"

    page.tell("ask", text=text, quotes=True)
    page.settled()
    assert prompts() == ["why THE VALUE?\n\n```python\nx = '{held}'\n```"]
    assert page.tell("recall", back=1) == {"text": text, "quotes": True}
    (turn,) = page.load()
    assert (turn["typed"], turn["quotes"]) == (text, True)

    page.tell("edit", place=1, text=text.replace("x =", "y ="))
    page.settled()
    assert prompts() == ["why THE VALUE?\n\n```python\ny = '{held}'\n```"]


def test_what_cannot_be_attached_is_said_and_nothing_is_asked(page):
    response = page.tell("ask", text="hi", attached=["no such thing"])

    assert "no such thing" in response["error"]
    assert prompts() == []


def test_conversations_are_begun_named_and_left(page):
    ask(page, "one")

    page.tell("new")
    assert (page.truth["name"], prompts()) == ("chat 2", [])
    page.tell("rename", name="plan")
    page.tell("ask", text="two")
    page.settled()
    page.tell("use", name="main")

    assert page.truth["names"] == ["main", "plan"]
    assert (current_history().current, prompts()) == ("main", ["one"])


@pytest.mark.parametrize("kind", ["new", "rename"])
def test_a_name_that_is_taken_is_refused(page, kind):
    ask(page, "one")
    Conversation().branch("other")

    assert "already" in page.tell(kind, name="other")["error"]
    assert page.truth["name"] == "main"


def test_a_conversation_that_there_is_not_is_not_begun_by_a_slip(page):
    assert "there is no conversation" in page.tell("use", name="mian")["error"]


def test_a_branch_begins_with_the_turns_up_to_one(page):
    ask(page, "one", "two")

    page.tell("branch", place=1)

    assert (page.truth["name"], prompts()) == ("main branch", ["one"])


def test_what_is_asked_with_is_set_for_the_conversation(page):
    page.tell("set", setting="model", value="messages")
    page.tell("set", setting="system", value="Be brief.")
    page.tell("set", setting="temperature", value="0.5")
    truth = page.truth

    page.tell("set", setting="temperature", value="")
    page.tell("set", setting="system", value="none")

    assert (truth["model"], truth["chosen"]) == ("echo:messages", "echo:messages")
    assert (truth["system"], truth["temperature"]) == ("Be brief.", 0.5)
    assert (page.truth["system"], page.truth["temperature"]) == ("", None)


@pytest.mark.parametrize(("setting", "value"), [("model", "no model"), ("temperature", "hot"), ("token", "x")])
def test_a_value_that_cannot_be_is_refused(page, setting, value):
    assert page.tell("set", setting=setting, value=value)["error"]


def test_words_are_found_in_this_conversation_and_in_others(page):
    ask(page, "the quick fox", "nothing")
    page.tell("new", name="second")
    ask(page, "another fox")
    assert current_history().flush()

    response = page.tell("search", words="fox")

    assert [hit["text"] for hit in response["found"]] == ["another fox"]
    assert [(hit["name"], hit["notebook"]) for hit in response["elsewhere"]] == [("main", "")]
    assert page.tell("search", words=" ") == {"found": [], "elsewhere": []}


@pytest.mark.parametrize("ending", ["md", "json", "ipynb"])
def test_a_conversation_is_exported_for_the_page_to_save(page, ending):
    ask(page, "one")
    page.tell("rename", name="../a b")

    response = page.tell("export", format=ending)

    assert response["file"] == f"___a b.{ending}"
    assert "one" in response["content"]


def test_an_ending_that_is_none_is_refused(page):
    assert ".md" in page.tell("export", format="exe")["error"]


def test_what_was_set_elsewhere_cannot_be_taken_back_here_and_that_is_said(monkeypatch):
    conversation = Conversation(configured=lambda: {"model": "echo", "system": "Be brief.", "temperature": 0.3})
    page = Page(conversation)

    messages = [page.tell("set", setting=name, value="")["said"] for name in ("system", "temperature")]
    page.tell("set", setting="system", value="Be long.")

    assert messages[0].startswith("the system prompt now comes from the settings; %flowgpt config")
    assert messages[1].startswith("the temperature (0.3) now comes from the settings")
    assert page.truth["system"] == "Be long."
    page.close()


def test_the_models_that_can_be_asked_are_listed(page):
    response = page.tell("models", anew=True)

    assert {"name": "echo:words", "group": "echo", "note": "", "able": True} in response["models"]
    assert all(set(model) == {"name", "group", "note", "able"} for model in response["models"])


def test_a_command_is_done_and_named(page):
    ask(page, "one")

    assert page.tell("ask", text="/clear")["command"] == "clear"
    assert prompts() == []
    assert "did you mean undo" in page.tell("ask", text="/udno")["error"]
    page.tell("ask", text="//undo")
    page.settled()
    assert prompts() == ["/undo"]


@pytest.mark.parametrize(
    "request_",
    [None, "text", {}, {"kind": 7}, {"kind": "no such"}, {"kind": "ask"}, {"kind": "ask", "text": 5},
     {"kind": "shown", "number": True}, {"kind": "need", "turns": "x"}, {"kind": "edit", "place": "1", "text": ""}],
)  # fmt: skip
def test_a_page_of_another_version_is_told_to_reload(page, request_):
    assert "reload the page" in answer(page.state, request_)["error"]


def test_a_page_gets_half_a_surrogate_back_as_json_can_carry_it(page):
    message = answer(page.state, {"kind": "help", "page": "half \ud83d", "id": 3})

    assert (message["kind"], message["page"], message["id"]) == ("answer", "half \N{REPLACEMENT CHARACTER}", 3)


def test_what_goes_wrong_inside_a_value_is_an_answer(page, monkeypatch):
    def fail(_panel, _request):
        raise ValueError("http://ada:secret@host broke")

    monkeypatch.setitem(ACTIONS, "look", fail)

    assert page.tell("look") == {"error": "ValueError: http://***@host broke."}


def test_an_empty_prompt_is_refused_and_nothing_is_asked(page):
    assert "empty" in page.tell("ask", text="  ")["error"]
    assert page.rows == []


def test_a_prompt_of_control_characters_and_half_a_surrogate_comes_back(page):
    page.tell("ask", text="a\0b \x1b[31mred \ud800 end")
    page.settled()

    (turn,) = page.load()

    assert json.dumps(turn)
    assert turn["prompt"] == "a\0b \x1b[31mred \ufffd end"


def test_a_code_block_is_turned_into_the_cell_that_runs_it(page):
    assert page.tell("cells", language="sh", code="$ ls\na") == {"sources": ["%%bash\nls"], "said": ""}
    assert page.tell("cells", language="", code="x = 1")["sources"] == ["x = 1"]
    assert page.tell("cells", language="js", code="f()") == {
        "sources": [],
        "said": "not put into a cell: js; only Python and shell code is",
    }
    assert page.tell("cells", language="text", code="1")["said"] == "this block holds no code that can be run"


def test_the_replies_of_other_models_can_be_read_and_kept(page):
    comparison = Conversation(current_history().current).compare("one", ["echo", "echo:messages"], cell=NO_CELL)
    comparison.read()
    page.state.refresh()
    page.wait(lambda: page.statuses == ["complete 1/2 2 complete"])

    (turn,) = page.load()
    (other,) = turn["compared"]
    assert (other["title"], other["version"], other["empty"]) == ("2 echo:messages", 2, False)
    assert other["line"].startswith("1 → 2 tokens · ")
    assert page.tell("other", turn=turn["id"], other=other["id"])["blocks"] == ['<p dir="auto">user: one</p>']

    page.tell("choose", place=1, version=2)
    page.wait(lambda: page.statuses == ["complete 2/2 1 complete"])
    (turn,) = page.load()
    assert [it["title"] for it in turn["compared"]] == ["1 echo:words"]
    assert "error" in page.tell("other", turn=turn["id"], other="nosuch")


def test_the_other_replies_are_read_from_the_file_after_a_restart(tmp_path):
    for number in range(2):
        history = NotebookHistory(place_of(str(tmp_path / "a.ipynb")), str(tmp_path / "history.sqlite3"))
        conversation = Conversation(configured=lambda: {"model": "echo"}, notebook_history=history)
        if not number:
            conversation.compare("one", ["echo", "echo:messages"], cell=NO_CELL).read()
        page = Page(conversation)
        try:
            assert page.statuses == ["complete 1/2 2 complete"]
        finally:
            page.close()
            history.close()

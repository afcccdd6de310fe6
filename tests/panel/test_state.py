"""What a panel knows and tells its pages."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from flowgpt_magic import bridge
from flowgpt_magic.conversation import Conversation
from flowgpt_magic.errors import ProviderError, RateLimitError
from flowgpt_magic.history.current import current_history, streaming_replies
from flowgpt_magic.messages import Sent, Turn, Usage, progress
from flowgpt_magic.notebook.place import NO_CELL, Cell
from flowgpt_magic.panel import state as panel_state
from flowgpt_magic.panel.protocol import Row, row
from flowgpt_magic.panel.state import PanelError
from flowgpt_magic.providers.echo import Echo
from tests.panel_page import Page


@pytest.fixture(autouse=True)
def echo(monkeypatch: pytest.MonkeyPatch) -> None:
    """The echo provider is the default."""
    monkeypatch.setenv("FLOWGPT_MODEL", "echo")


@pytest.fixture
def open_page() -> Iterator[Callable[..., Page]]:
    """Opens pages, which are closed at the end of the test."""
    pages: list[Page] = []

    def open_one(*args, **options) -> Page:
        pages.append(Page(*args, **options))
        return pages[-1]

    yield open_one
    for page in pages:
        page.close()


class ControlledSource:
    """A provider's source that yields a chunk when the test gives it one."""

    def __init__(self) -> None:
        self.chunks: asyncio.Queue[str | None] = asyncio.Queue()
        self.begun = threading.Event()

    async def stream(self):
        self.begun.set()
        while (chunk := await self.chunks.get()) is not None:
            yield chunk
        yield Usage()

    def give(self, chunk: str | None) -> None:
        bridge.worker().loop.call_soon_threadsafe(self.chunks.put_nowait, chunk)


@pytest.fixture
def source(monkeypatch: pytest.MonkeyPatch) -> ControlledSource:
    """The source of the echo provider, controlled by the test."""
    source = ControlledSource()
    monkeypatch.setattr(Echo, "create_async_generator", lambda *_args, **_options: source.stream())
    return source


def ask(prompt: str, conversation: Conversation | None = None) -> None:
    list((conversation or Conversation()).ask(prompt, cell=NO_CELL))


def test_a_prompt_of_a_page_is_a_turn_like_any_other(open_page):
    page = open_page()

    response = page.tell("ask", text="one two")
    page.settled()

    (turn,) = Conversation().turns
    assert (turn.turn_id, turn.prompt, turn.text, turn.status) == (response["turn"], "one two", "one two", "complete")
    (loaded,) = page.load()
    assert "one two" in "".join(loaded["blocks"])
    assert (loaded["prompt"], loaded["model"], loaded["status"]) == ("one two", "echo:words", "complete")


def test_what_a_cell_asks_shows_while_it_arrives(open_page, source):
    page = open_page()
    reply = Conversation().ask("hi", cell=Cell("cell", "run"))
    reader = reply.open()
    page.wait(lambda: page.rows)
    page.load()

    source.give("one ")
    page.wait(lambda: "one" in "".join(page.turns[reply.turn_id]["blocks"]))
    source.give("two")
    source.give(None)
    page.settled()
    page.wait(lambda: page.turns[reply.turn_id]["status"] == "complete")

    assert "one two" in "".join(page.turns[reply.turn_id]["blocks"])
    assert page.turns[reply.turn_id]["cell"]
    assert [truth["status"] for truth in page.truths if truth["status"]] != []
    reply.detach(reader)


class TestWhileNothingHasCome:
    @pytest.fixture
    def busy(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A provider that refuses a request and names a pause of a minute."""

        async def refuse():
            raise RateLimitError("slow down", 429, 60)
            yield

        monkeypatch.setattr(Echo, "create_async_generator", lambda *_args, **_options: refuse())

    def test_a_page_knows_for_how_long(self, open_page, source):
        page = open_page()
        page.tell("ask", text="hi")
        page.wait(lambda: page.rows)

        (turn,) = page.load()
        source.give(None)
        page.settled()

        assert 0 <= turn["elapsed"] < 60
        assert turn["pause"] is None
        assert "elapsed" not in page.load()[0]

    def test_a_page_is_told_what_the_provider_does_until_the_first_text(self, open_page, monkeypatch):
        go_on = asyncio.Event()

        async def read_first():
            progress("reads the prompt, 40 %")
            await go_on.wait()
            yield "read"

        monkeypatch.setattr(Echo, "create_async_generator", lambda *_args, **_options: read_first())
        page = open_page()
        page.tell("ask", text="hi")
        page.wait(lambda: "reads the prompt, 40 %" in [message.get("doing") for message in page.messages])
        (turn,) = page.load()
        bridge.worker().loop.call_soon_threadsafe(go_on.set)
        page.settled()

        assert turn["doing"] == "reads the prompt, 40 %"
        assert "doing" not in page.load()[0]

    def test_a_page_is_told_once_of_a_pause_before_another_try(self, open_page, busy):
        page = open_page()
        page.tell("ask", text="hi")
        page.wait(lambda: page.rows)
        page.load()
        page.wait(lambda: (page.turns[page.rows[0][0]] or {}).get("pause"))

        assert page.turns[page.rows[0][0]]["pause"]["why"] == "echo answered 429"
        assert 0 < page.turns[page.rows[0][0]]["pause"]["left"] <= 60
        assert len([message for message in page.messages if message["kind"] == "pause"]) <= 1

    def test_one_that_opens_later_knows_of_it_too_and_can_stop_it(self, open_page, busy):
        first = open_page(name="a")
        reply = first.state.arriving_reply(first.tell("ask", text="hi")["turn"])
        first.wait(lambda: any(message["kind"] == "pause" for message in first.messages))

        second = open_page(name="b")
        (turn,) = second.load()
        second.tell("stop")
        second.settled()

        assert turn["pause"]["why"] == "echo answered 429"
        assert (reply.status, reply.waiting) == ("cancelled", None)
        assert [(turn["prompt"], turn["status"]) for turn in second.load()] == [("hi", "cancelled")]


def test_two_panels_on_one_conversation_show_the_same(open_page):
    one, other = open_page(name="a"), open_page(name="b")

    one.tell("ask", text="from one")
    other.settled()
    other.tell("ask", text="from the other")
    one.wait(lambda: len(one.rows) == 2)
    one.settled()
    other.wait(lambda: one.rows == other.rows)

    assert [turn["prompt"] for turn in one.load()] == ["from one", "from the other"]


@pytest.mark.parametrize(
    ("change", "left"),
    [
        (lambda chat: chat.undo(), ["one"]),
        (lambda chat: chat.clear(), []),
        (lambda chat: chat.edit(1, "other").text, ["other", "two"]),
        (lambda chat: chat.retry(1).text, ["one", "two"]),
    ],
    ids=["undo", "clear", "edit", "retry"],
)
def test_a_change_from_elsewhere_shows(open_page, change, left):
    ask("one")
    ask("two")
    page = open_page()
    before = list(page.rows)

    change(Conversation())
    page.wait(lambda: page.rows != before and len(page.rows) == len(left))
    page.wait(lambda: not any("streaming" in status for status in page.statuses))

    assert [turn["prompt"] for turn in page.load()] == left


def test_a_stop_comes_through_though_no_chunk_has(open_page, source):
    page = open_page()
    page.tell("ask", text="hi")
    assert source.begun.wait(10)

    response = page.tell("stop")
    page.settled()

    assert response == {"stopped": 1}
    assert page.statuses == ["cancelled 1/1"]


def test_a_stop_right_behind_the_prompt_stops_it(open_page, source):
    page = open_page()

    page.tell("ask", text="hi")
    page.tell("stop")
    page.settled()

    assert page.statuses == ["cancelled 1/1"]


def test_a_page_that_opens_in_the_middle_has_what_came_before_and_follows(open_page, source):
    first = open_page(name="a")
    turn = first.tell("ask", text="hi")["turn"]
    source.give("one ")
    first.wait(lambda: first.rows)
    first.load()
    first.wait(lambda: "one" in "".join(first.turns[turn]["blocks"]))

    first.open()  # a reload: the page has nothing any more
    first.load()
    assert "one" in "".join(first.turns[turn]["blocks"])
    source.give("two")
    source.give(None)
    first.settled()
    first.wait(lambda: first.turns[turn]["status"] == "complete")

    assert "one two" in "".join(first.turns[turn]["blocks"])


def test_the_panel_goes_with_the_cells_to_another_conversation_and_takes_them_along(open_page):
    page = open_page()
    ask("in main")

    current_history().current = "other"
    page.wait(lambda: page.truth["name"] == "other")
    assert page.rows == []

    page.tell("ask", text="in other")
    page.settled()
    page.tell("use", name="main")
    page.wait(lambda: page.truth["name"] == "main" and page.rows)

    assert current_history().current == "main"
    assert page.truth["names"] == ["main", "other"]
    assert [turn["prompt"] for turn in page.load()] == ["in main"]


def test_a_panel_of_one_conversation_stays_with_it(open_page):
    page = open_page(Conversation("mine"))

    current_history().current = "other"
    page.tell("use", name="other")
    current_history().current = "main"
    page.state.refresh()

    assert page.truth["name"] == "other"
    assert not page.state.follows_notebook


def test_a_name_that_is_given_elsewhere_shows(open_page):
    ask("one")
    page = open_page()

    Conversation().rename("better")
    current_history().current = "better"
    page.wait(lambda: page.truth["name"] == "better")

    assert len(page.rows) == 1


def test_a_conversation_that_another_one_begins_is_in_the_list(open_page):
    ask("one")
    page = open_page()

    Conversation().branch("side")
    page.wait(lambda: "side" in page.truth["names"])


def test_a_closed_panel_is_told_nothing_and_what_it_asked_goes_on(open_page, source):
    page = open_page()
    page.tell("ask", text="hi")
    assert source.begun.wait(10)

    page.close()
    count = len(page.messages)
    reply = next(iter(streaming_replies()))
    source.give("kept")
    source.give(None)

    assert reply.text == "kept"
    assert Conversation().turns[0].text == "kept"
    assert len(page.messages) == count
    assert page.state.notebook_history.listeners == []


def test_a_turn_that_was_changed_meanwhile_is_named(open_page):
    ask("one")
    page = open_page()
    old = Conversation().turns[0]
    list(Conversation().edit(1, "two"))

    with pytest.raises(PanelError, match="another version"):
        page.state.turn(old.turn_id)
    assert page.state.turn_number(old.place) == 1
    Conversation().clear()
    with pytest.raises(PanelError, match="removed"):
        page.state.turn_number(old.place)


def test_a_model_that_there_is_not_is_said_and_the_rest_is_shown(open_page, monkeypatch):
    ask("one")
    monkeypatch.setenv("FLOWGPT_MODEL", "no such model")

    page = open_page()

    assert "no such model" in page.truth["trouble"]
    assert page.truth["model"] == ""
    assert len(page.rows) == 1


def test_of_two_thousand_turns_only_the_outline_is_sent(open_page):
    chat = Conversation()
    one = chat.ask("prompt", cell=NO_CELL).text
    chat.begin_anew([chat.turns[0]] * 2000)

    page = open_page()

    assert (one, len(page.rows)) == ("prompt", 2000)
    assert [message["kind"] for message in page.messages] == ["outline"]
    page.tell("need", turns=[row[0] for row in page.rows[-5:]])
    assert len(page.turns) == 5


def test_a_new_turn_of_a_long_conversation_makes_rows_of_the_changed_turns_alone(open_page, monkeypatch):
    chat = Conversation()
    ask("prompt", chat)
    chat.begin_anew([chat.turns[0]] * 500)
    page = open_page()
    prompts: list[str] = []

    def counted(turn: Turn, versions: int, status: str, **how: Any) -> Row:
        prompts.append(turn.prompt)
        return row(turn, versions, status, **how)

    monkeypatch.setattr(panel_state, "row", counted)

    ask("another", chat)
    page.wait(lambda: len(page.rows) == 501)
    chat.undo()
    page.wait(lambda: len(page.rows) == 500)

    assert set(prompts) <= {"another"}


def test_a_long_reply_goes_out_in_portions(open_page):
    ask("\n\n".join(f"paragraph {number} " + "x" * 1000 for number in range(600)))
    page = open_page()

    (turn,) = page.load()

    assert len([message for message in page.messages if message["kind"] == "turn"]) > 2
    assert len(turn["blocks"]) == turn["total"]
    assert all(f"paragraph {number} " in "".join(turn["blocks"]) for number in range(600))


def test_a_reply_that_leaves_no_turn_is_told_of_all_the_same(open_page, monkeypatch):
    ask("one")
    page = open_page()

    async def failing():
        raise ProviderError("http://ada:secret@host is down")
        yield

    monkeypatch.setattr(Echo, "create_async_generator", lambda *_args, **_options: failing())

    page.tell("edit", place=1, text="two")
    page.wait(lambda: page.ends)
    page.settled()

    (end,) = page.ends
    assert (end["status"], end["error"], end["gone"]) == ("failed", "ProviderError: http://***@host is down.", True)
    assert [turn["prompt"] for turn in page.load()] == ["one"]


def test_new_text_comes_with_the_number_of_the_last_change_to_the_list_so_that_a_lost_one_is_missed(open_page, source):
    page = open_page()
    page.tell("ask", text="hi")
    source.give("one ")
    page.wait(lambda: [message for message in page.messages if message["kind"] == "grow"])
    source.give(None)
    page.wait(lambda: [message for message in page.messages if "end" in message])

    messages = [message for message in page.messages if "revision" in message]
    assert [message["kind"] for message in messages] == ["outline", "splice", "grow", "splice", "grow"]
    first, begun, grown, ended, end = [message["revision"] for message in messages]
    assert (begun, grown, ended, end) == (first + 1, first + 1, first + 2, first + 2)


def test_a_reply_that_no_page_looks_at_is_not_rendered(open_page, source, monkeypatch):
    page = open_page()
    page.tell("gone")
    streams = []
    with monkeypatch.context() as patch:
        patch.setattr(panel_state, "Stream", lambda *args, **_options: streams.append(args))
        page.tell("ask", text="hi")
        source.give("one ")
        source.give(None)
        page.wait(lambda: page.ends)
    page.open()

    assert streams == []
    assert page.load()[0]["blocks"] == ['<p dir="auto">one</p>']


def test_a_page_that_comes_in_the_middle_of_a_reply_sees_the_rest(open_page, source):
    page = open_page()
    page.tell("gone")
    page.tell("ask", text="hi")
    source.give("one ")
    source.begun.wait(20)
    page.open()
    assert page.load()[0]["status"] == "streaming"
    source.give("two")
    source.give(None)

    page.wait(lambda: page.turns and next(iter(page.turns.values()))["status"] == "complete")
    assert next(iter(page.turns.values()))["blocks"] == ['<p dir="auto">one two</p>']


def test_whatever_goes_wrong_at_one_look_the_panel_goes_on_and_it_is_logged(open_page, monkeypatch, caplog):
    page = open_page()
    failing = [RuntimeError("at the first look")]
    show = page.state._show

    def learn(values: dict[str, object]) -> None:
        if failing:
            raise failing.pop()
        show(values)

    monkeypatch.setattr(page.state, "_show", learn)
    monkeypatch.setattr(panel_state, "FAILURE_PAUSE", 0.01)
    list(Conversation().ask("what happens at the look that fails", cell=NO_CELL))

    page.wait(lambda: page.statuses == ["complete 1/1"])
    assert not failing
    assert "a chat panel could not be updated" in caplog.text


@pytest.mark.parametrize("own", [False, True])
def test_where_the_settings_are_wrong_a_reply_is_shown_to_its_end_all_the_same(open_page, source, monkeypatch, own):
    page = open_page(Conversation("side") if own else None)
    page.tell("ask", text="hi")
    source.give("one ")
    monkeypatch.setenv("FLOWGPT_TEMPERATURE", "hot")
    source.give("two")
    source.give(None)

    page.wait(lambda: page.statuses == ["complete 1/1"])
    page.wait(lambda: "FLOWGPT_TEMPERATURE" in page.truth["trouble"])


def test_a_conversation_that_is_renamed_is_never_out_of_sight(open_page):
    list(Conversation("one").ask("hi", cell=NO_CELL))
    page = open_page()
    page.tell("use", name="one")
    for number in range(30):
        page.tell("rename", name=f"name {number}")

    assert [truth["name"] for truth in page.truths if truth["name"] != "main"][-1] == "name 29"
    added = [len(message["rows"]) - message["gone"] for message in page.messages if message["kind"] == "splice"]
    assert sum(added) == 1
    assert min(added) >= 0


def test_a_turn_that_another_kernel_asks_keeps_nobody_from_asking(open_page):
    chat = Conversation()
    list(chat.ask("here", cell=NO_CELL))
    page = open_page()
    timeline = chat._state.timeline
    there = replace(timeline.live[0], turn_id="there", place=2, status="streaming", kernel="another", sent=Sent())
    timeline.update(there)
    page.state.refresh()

    assert page.statuses == ["complete 1/1", "elsewhere 1/1"]
    assert page.truth["status"] == ""
    assert page.load()[1]["status"] == "elsewhere"
    page.tell("ask", text="here again")
    page.wait(lambda: page.statuses[-1] == "complete 1/1")

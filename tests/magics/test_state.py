"""The state of the magics in one shell."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
from matplotlib.figure import Figure

from flowgpt_magic.conversation import Conversation
from flowgpt_magic.display import show
from flowgpt_magic.errors import FlowGptError, MismatchError, ProviderError, SchemaError
from flowgpt_magic.magics.state import Asked, ShellState
from flowgpt_magic.notebook import ipython
from flowgpt_magic.notebook.place import NO_CELL
from flowgpt_magic.prompt.compose import PromptContext
from flowgpt_magic.providers.echo import Echo
from flowgpt_magic.replies.reply import Reply
from flowgpt_magic.replies.structured_output import INSTRUCTION
from tests.openai_servers import background, speaking


@pytest.fixture
def state() -> ShellState:
    return ShellState(lambda: {"model": "echo"}, {})


def ask(state: ShellState, prompt: str) -> None:
    list(state.conversation().ask(prompt, cell=NO_CELL))


def prompts(state: ShellState) -> list[str]:
    return [turn.prompt for turn in state.conversation().turns]


def test_a_reply_is_shown_and_a_failed_one_fails_the_cell(state, capsys):
    conversation = state.conversation()
    good, bad = (conversation.ask(prompt, cell=NO_CELL) for prompt in ("hello there", "two words"))
    bad._source = lambda: Echo.create_async_generator("words", bad.messages, fail_after=1)

    assert state.show(good) is good
    with pytest.raises(ProviderError):
        state.show(bad)

    shown = capsys.readouterr().out
    assert "hello there\n[echo:words" in shown
    assert "two \n[echo:words" in shown


def test_stop_cancels_what_is_in_flight(state):
    async def endless():
        yield "word "
        await asyncio.Event().wait()

    conversation = state.conversation()
    reply = conversation.ask("hi", cell=NO_CELL)
    reply._source = endless
    state._replies.append(reply)
    reply.open().take()

    assert (state.stop(), reply.status, state.stop()) == (1, "cancelled", 0)


def test_another_file_in_the_configuration_is_used_at_once(tmp_path):
    configured = {"model": "echo"}
    state = ShellState(lambda: configured, {})
    ask(state, "one")

    configured["history"] = str(tmp_path / "history.sqlite3")
    ask(state, "two")

    assert prompts(state) == ["two"]
    assert state.notebook_history.location == str(tmp_path / "history.sqlite3")
    assert state.notebook_history.flush()
    assert (tmp_path / "history.sqlite3").exists()


def test_closing_the_state_leaves_a_conversation_in_a_variable_going_on(state):
    chat = Conversation(configured=lambda: {"model": "echo"})
    ask(state, "one")

    state.close()
    list(chat.ask("two", cell=NO_CELL))

    assert [turn.prompt for turn in chat.turns] == ["one", "two"]


class TestASchema:
    SCHEMA: ClassVar = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}

    def ask(self, state: ShellState, prompt: str, **options: Any) -> Reply | None:
        return state.ask(Asked.read(prompt, {"no-history": True, "raw": True, **options}), own_cell=False)

    def test_a_variable_or_its_attribute_is_what_the_reply_is_checked_by(self, state):
        state.names |= {"number": self.SCHEMA, "kinds": SimpleNamespace(number=self.SCHEMA)}

        for word in ("number", "kinds.number"):
            reply = self.ask(state, '{"n": 3}', schema=word)
            assert reply.data == {"n": 3}

    def test_a_file_will_do(self, state, tmp_path):
        (tmp_path / "number.json").write_text(json.dumps(self.SCHEMA))

        assert self.ask(state, '{"n": 3}', schema=f"@{tmp_path / 'number.json'}").data == {"n": 3}

    def test_the_reply_is_shown_as_json_unless_a_format_is_named(self, state, monkeypatch):
        state.names["number"] = self.SCHEMA
        forms = []
        monkeypatch.setattr(show, "show", lambda reply, *, form, **_: forms.append(form) or reply.text)

        self.ask(state, '{"n": 3}', schema="number")
        self.ask(state, '{"n": 3}', schema="number", format="text")
        self.ask(state, '{"n": 3}')

        assert forms == ["json", "text", "markdown"]

    def test_what_does_not_fit_is_asked_again_and_fails_the_cell_in_the_end(self, state, capsys):
        state.names["number"] = self.SCHEMA

        with pytest.raises(MismatchError, match="does not fit the schema after 2 tries: there is no JSON in it"):
            self.ask(state, "{}", schema="number", retries=1, out="answer")

        assert [each.text[:2] for each in state.names["answer"].attempts] == ["{}"]

    @pytest.mark.parametrize(
        ("word", "why"),
        [
            ("numbr", "no variable numbr; did you mean number"),
            ("number.gone", "number has no gone"),
            ("@gone", "gone cannot be read: No"),
        ],
    )
    def test_a_name_that_is_none_is_one_clear_error(self, state, word, why):
        state.names["number"] = self.SCHEMA

        with pytest.raises(FlowGptError, match=why):
            self.ask(state, "hi", schema=word)

    def test_what_is_no_schema_is_one_clear_error(self, state):
        state.names["number"] = 3

        with pytest.raises(SchemaError, match="not int"):
            self.ask(state, "hi", schema="number")

    def test_a_dry_run_shows_how_the_schema_would_be_told(self, state, capsys):
        state.names["number"] = self.SCHEMA

        self.ask(state, "How many?", schema="number", **{"dry-run": True})

        assert INSTRUCTION in capsys.readouterr().out


class TestImages:
    PNG = b"\x89PNG\r\n\x1a\nrest"

    @pytest.fixture
    def asked(self, state, monkeypatch, tmp_path) -> Iterator[list[Any]]:
        (tmp_path / "plot.png").write_bytes(self.PNG)
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(ipython, "prompt_context", lambda _names: PromptContext(state.names))
        with background(speaking("a cat")) as server:
            monkeypatch.setenv("FLOWGPT_OPENAI_BASE_URL", f"http://127.0.0.1:{server.port}/v1")
            yield server.requests

    def test_an_attached_figure_or_file_is_sent_as_an_image_where_the_provider_takes_images(self, state, asked):
        state.names["figure"] = Figure(figsize=(1, 1))
        given = {"attach": ["figure", "plot.png"], "model": "openai_compatible:m", "no-history": True}

        state.ask(Asked.read("What is it?", given), own_cell=False)

        text, drawn, file = json.loads(asked[-1].body)["messages"][-1]["content"]
        assert text["text"].startswith("What is it?\n\nfigure: matplotlib figure")
        assert "plot.png: an image" in text["text"]
        assert drawn["image_url"]["url"].startswith("data:image/png;base64,iVBOR")
        assert base64.b64decode(file["image_url"]["url"].partition(",")[2]) == self.PNG

    def test_elsewhere_a_figure_is_described_and_a_file_named(self, state, asked, capsys):
        state.names["figure"] = Figure(figsize=(1, 1))

        state.ask(
            Asked.read("What is it?", {"attach": ["figure"], "no-history": True}), own_cell=False, names=state.names
        )
        state.ask(
            Asked.read("What is it?", {"attach": ["plot.png"], "no-history": True}), own_cell=False, names=state.names
        )

        printed = capsys.readouterr().out
        assert "figure: matplotlib figure" in printed
        assert "plot.png: an image, which is not sent, because this model reads text only" in printed

    def test_a_dry_run_counts_them(self, state, asked, capsys):
        given = {"attach": ["plot.png"], "model": "openai_compatible:m", "dry-run": True}

        state.ask(Asked.read("What is it?", given), own_cell=False)

        assert "images      1" in capsys.readouterr().out
        assert asked == []


MODELS = ["echo", "echo:messages"]


def compare(state: ShellState, prompt: str, models: list[str] = MODELS, **options: Any) -> Any:
    """Ask several models as the magic does."""
    return state.compare(Asked.read(prompt, {"model": ",".join(models), **options}), models)


def test_a_comparison_goes_into_a_variable_and_its_first_reply_into_the_conversation(state, capsys):
    comparison = compare(state, "hello", out="both")

    assert state.names["both"] is comparison
    assert [reply.text for reply in comparison] == ["hello", "user: hello"]
    assert [turn.text for turn in state.conversation().turns] == ["hello"]
    assert "2 echo:messages\nuser: hello" in capsys.readouterr().out


def test_a_comparison_may_have_a_conversation_of_its_own_or_none(state, capsys):
    compare(state, "aside", chat="aside")
    compare(state, "nowhere", **{"no-history": True})

    assert [turn.prompt for turn in state.conversation("aside").turns] == ["aside"]
    assert state.conversation().turns == []


def test_a_dry_run_shows_what_each_model_would_get_and_sends_nothing(state, capsys):
    assert compare(state, "hello", ["echo", "local"], **{"dry-run": True, "think": "off"}) is None

    shown = capsys.readouterr().out
    assert shown.startswith("1 echo\nnothing would be sent: ")
    assert "\n2 local\n" in shown
    assert state.conversation().turns == []


def test_an_equal_comparison_is_answered_from_the_history(state, capsys):
    first = compare(state, "hello", cache=True)
    state.conversation().clear()

    again = compare(state, "hello", cache=True)

    assert [reply.replayed for reply in first] == [False, False]
    assert [reply.replayed for reply in again] == [True, True]


def test_each_reply_of_a_comparison_is_checked_against_the_schema(state, capsys, monkeypatch):
    async def answer(model: str, _messages: Any, **_options: Any) -> Any:
        yield "7" if model == "words" else "seven"

    monkeypatch.setattr(Echo, "create_async_generator", answer)
    state.names["number"] = int

    comparison = compare(state, "how many?", schema="number", retries=0)

    assert comparison[0].data == 7
    assert isinstance(comparison[1].error, MismatchError)
    assert comparison.live == 1


def test_the_code_of_the_live_reply_goes_below(state, capsys):
    compare(state, "```python\n1 + 1\n```", **{"next-cell": True})

    assert "1 + 1" in capsys.readouterr().out


def test_a_comparison_can_be_quiet(state, capsys):
    comparison = compare(state, "hello", quiet=True)

    assert (capsys.readouterr().out, comparison.texts["echo"]) == ("", "hello")


def test_stop_cancels_all_replies_of_a_comparison(state, monkeypatch):
    arrived = asyncio.Event()

    async def endless(_model: str, _messages: Any, **_options: Any) -> Any:
        yield "word "
        arrived.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(Echo, "create_async_generator", endless)
    comparison = state.conversation().compare("hi", MODELS, cell=NO_CELL)
    for reply in comparison:
        reply.open().take()

    assert state.stop() == 2
    assert [reply.status for reply in comparison] == ["cancelled", "cancelled"]

"""What a cell, a terminal and a headless run show of a reply."""

from __future__ import annotations

import io
import sys
from base64 import b64encode
from dataclasses import replace
from typing import Any

import pytest
from IPython.utils.capture import RichOutput, capture_output

from flowgpt_magic.display.show import (
    output_of,
    raise_ending,
    show,
    show_answer,
    show_interrupt,
    show_result,
    widget_view,
)
from flowgpt_magic.errors import ProviderError, ReplyInterrupted
from flowgpt_magic.messages import Sent, Usage
from flowgpt_magic.messages.extras import Citation, Extras
from flowgpt_magic.notebook import ipython
from flowgpt_magic.tables import Table
from flowgpt_magic.transcripts.bundles import TurnWithReasoning
from flowgpt_magic.transcripts.caption import line_html
from tests.image_files import picture
from tests.kernel_shell import request
from tests.records import conversation_record, notebook_record, turn_record

CAPTION = line_html("echo:words · 12 → 4 tokens · 1.2 s", "sent: prompt, 1 picture, 3 turns · 12 tokens")
CELL = "0f1e2d3c-0000-4000-8000-000000000000"


class FinishedReader:
    """A reader of a reply that has arrived already."""

    def __init__(self, chunks: list[str]) -> None:
        self.chunks = chunks

    @property
    def done(self) -> bool:
        """Has the reader taken all chunks?"""
        return not self.chunks

    def take(self, timeout: float | None = None) -> list[str]:
        """All chunks."""
        chunks, self.chunks = self.chunks, []
        return chunks


class FakeReply:
    """A reply with these chunks, as far as the display knows one."""

    def __init__(self, *chunks: str, status: str = "complete", error: Exception | None = None) -> None:
        self.chunks, self.status, self.error = chunks, status, error
        self.turn_id, self.provider, self.model = "0123456789abcdef", "echo", "words"
        self.usage = Usage(12, 4, chunks=len(chunks), seconds=1.25, first_chunk_seconds=0.12345)
        self.sent = Sent(("prompt", "1 picture"), 3, (), 11)
        self.notices: list[str] = []
        self.extras = Extras()
        self.replayed, self.left_out, self.shown_in, self.request_id = False, 0, "", ""
        self.ended, self.waiting, self.progress, self.elapsed = True, None, "", 0.0
        self.interrupt_summary = "the text so far is kept"
        self.reasoning_so_far, self.reasons, self.keep_reasoning = "", False, False
        self.readers = 0

    @property
    def text_so_far(self) -> str:
        """All of it."""
        return "".join(self.chunks)

    def open(self) -> FinishedReader:
        """A reader."""
        self.readers += 1
        return FinishedReader(list(self.chunks))

    def detach(self, _reader: Any) -> None:
        """Give it back."""
        self.readers -= 1

    def cancel(self) -> None:
        """Nothing is left to cancel."""

    def raise_error(self) -> None:
        """The error, if it failed."""
        if self.error is not None:
            raise self.error


@pytest.fixture
def outputs(kernel: Any, monkeypatch: pytest.MonkeyPatch) -> list[RichOutput]:
    """What is published in a cell of a kernel that a person looks at."""
    kernel.message = request(CELL)
    published: list[RichOutput] = []

    def publish(data: Any, metadata: Any = None, *, transient: Any = None, update: bool = False, **_: Any) -> None:
        published.append(RichOutput(data, metadata, transient, update))

    monkeypatch.setattr(kernel.display_pub, "publish", publish)
    monkeypatch.setattr(
        kernel.display_pub, "clear_output", lambda wait=False: published.append(RichOutput({"clear": wait}))
    )
    return published


class TestInACell:
    def test_the_images_and_the_sources_of_a_reply_stand_between_its_text_and_its_caption(self, outputs):
        reply = FakeReply("a [1]")
        url = f"data:image/png;base64,{b64encode(picture()).decode()}"
        reply.extras = Extras(images=(url,), citations=(Citation("https://example.org", "A page"),))

        show(reply)

        shown = outputs[-1].data["text/markdown"]
        places = [shown.index(part) for part in ("a [1]", f'<img src="{url}"', ">A page</a>", "echo:words")]
        assert places == sorted(places)
        assert outputs[-1].data["text/plain"] == "a [1]"

    def test_a_reply_is_one_output_with_its_caption_and_its_facts(self, outputs):
        reply = FakeReply("**a** ", "b")

        show(reply)

        last = outputs[-1]
        assert last.data == {"text/markdown": f"**a** b\n\n{CAPTION}", "text/plain": "**a** b"}
        facts = last.metadata["flowgpt"]
        assert (facts["turn_id"], facts["status"], facts["chunks"]) == (reply.turn_id, "complete", 2)
        assert (facts["seconds"], facts["first_chunk_seconds"]) == (1.25, 0.123)
        assert {output.transient["display_id"] for output in outputs} == {"flowgpt-0123456789ab"}
        assert [output.update for output in outputs] == [False, *[True] * (len(outputs) - 1)]
        assert reply.readers == 0

    def test_a_cell_of_its_own_ends_with_one_output(self, outputs):
        show(FakeReply("some ", "words"), own_cell=True)

        assert outputs[-1].data["text/plain"] == "some words"

    def test_text_is_printed_and_html_is_escaped(self, outputs, capsys):
        show(FakeReply("<b>"), form="text", own_cell=True)

        assert capsys.readouterr().out == "<b>"
        assert [output.data for output in outputs] == [
            {"clear": True},
            {
                "text/html": f'<pre style="white-space: pre-wrap; font-family: monospace">&lt;b&gt;</pre>{CAPTION}',
                "text/plain": "<b>",
            },
        ]

    def test_text_below_other_output_stays_and_only_the_caption_is_printed(self, outputs, capsys):
        show(FakeReply("words"), form="text")

        assert outputs == []
        assert capsys.readouterr().out == "words\n[echo:words · 12 → 4 tokens · 1.2 s]\n"

    def test_a_format_that_needs_the_whole_reply_is_shown_at_its_end(self, outputs):
        reply = FakeReply("no code")

        show(reply, form="code")

        (output,) = outputs
        assert "the reply has no code block" in output.data["text/markdown"]
        assert reply.notices == ["the reply has no code block"]

    def test_only_the_end_can_be_shown_and_nothing(self, outputs):
        show(FakeReply("a"), extent="end")
        assert [output.data["text/plain"] for output in outputs] == ["a"]

        show(FakeReply("b"), extent="nothing")
        assert len(outputs) == 1

    def test_a_headless_run_shows_the_end_only(self, outputs, kernel):
        kernel.message = request(CELL, allow_stdin=False)

        show(FakeReply("a ", "b"))

        assert [output.data["text/plain"] for output in outputs] == ["a b"]
        assert not outputs[0].transient

    def test_a_console_gets_text(self, outputs, kernel, capsys):
        kernel.message = request()

        show(FakeReply("a"))

        assert outputs == []
        assert capsys.readouterr().out == "a\n[echo:words · 12 → 4 tokens · 1.2 s]\n"

    def test_the_last_line_shows_a_reply_once(self, outputs):
        reply = FakeReply("a")

        show_result(reply)
        show_result(reply)

        assert [output.data["text/plain"] for output in outputs] == ["a"]

    def test_the_next_run_of_the_cell_shows_it_again(self, outputs, kernel):
        reply = FakeReply("a")
        show_result(reply)
        kernel.message = request(CELL) | {"header": {"msg_id": "run-2", "msg_type": "execute_request"}}

        show_result(reply)

        assert len(outputs) == 2
        assert ipython.execution() == reply.shown_in == "run-2"

    def test_a_reply_that_was_not_asked_is_asked_by_the_last_line_and_its_failure_fails_the_cell(self, outputs):
        reply = FakeReply("so f", status="failed", error=ProviderError("no"))
        reply.ended = False

        with pytest.raises(ProviderError, match="no"):
            show_result(reply)

        assert "so f\n\n<details" in outputs[-1].data["text/markdown"]
        assert "1.2 s · failed</small></summary>" in outputs[-1].data["text/markdown"]


class TestReasoning:
    """What the output keeps of it at the end."""

    @pytest.fixture
    def reply(self) -> FakeReply:
        """A reply whose reasoning is to be kept."""
        reply = FakeReply("**a**")
        reply.reasoning_so_far, reply.keep_reasoning = "<b> *or* $c", True
        reply.usage = replace(reply.usage, reasoning_seconds=2.4)
        return reply

    def test_without_the_setting_the_output_has_none_and_the_caption_says_how_long(self, outputs, reply):
        reply.keep_reasoning = False

        show(reply, extent="end")

        assert "&lt;b&gt;" not in str(outputs[-1].data)
        assert "1.2 s · thought 2 s</small>" in outputs[-1].data["text/markdown"]

    @pytest.mark.parametrize(("form", "kind"), [("markdown", "markdown"), ("text", "html"), ("math", "markdown")])
    @pytest.mark.parametrize("allow_stdin", [True, False])  # a person is there, or the run is headless
    def test_with_the_setting_it_is_folded_above_the_reply(self, outputs, kernel, reply, form, kind, allow_stdin):
        kernel.message = request(CELL, allow_stdin=allow_stdin)

        show(reply, form=form, extent="end")

        assert outputs[-1].data[f"text/{kind}"].startswith('<details class="flowgpt-reasoning')
        assert "<small>Thought for 2 s</small></summary>" in outputs[-1].data[f"text/{kind}"]
        assert "&lt;b&gt; &#42;or&#42; &#36;c" in outputs[-1].data[f"text/{kind}"]
        assert outputs[-1].data["text/plain"] == "**a**"

    @pytest.mark.parametrize("form", ["code", "json"])
    def test_a_format_that_takes_a_part_of_the_reply_has_none(self, outputs, reply, form):
        show(reply, form=form, extent="end")

        assert "&lt;b&gt;" not in str(outputs[-1].data)

    def test_a_turn_of_the_history_is_shown_with_it_or_without(self):
        turn = turn_record(
            conversation_record(notebook_record()), text="a", status="complete", extras=Extras(reasoning="hm")
        )

        (kept, _facts), (left_out, _) = output_of(turn, "markdown", keep_reasoning=True), output_of(turn, "markdown")

        assert ("hm" in kept["text/markdown"], "hm" in str(left_out)) == (True, False)
        assert "<small>Thought</small>" in kept["text/markdown"]

    def test_a_turn_with_reasoning_is_printed_with_it(self, shell, capsys):
        turn = turn_record(
            conversation_record(notebook_record()),
            prompt="p",
            text="a",
            status="complete",
            extras=Extras(reasoning="hm"),
        )

        show_answer(turn, [])
        show_answer(TurnWithReasoning(turn), [])

        assert capsys.readouterr().out == "p\n\na\n\n[echo:words]\np\n\nThought:\n\nhm\n\na\n\n[echo:words]\n"


class TestInATerminal:
    def test_text_is_followed_by_its_caption(self, shell, capsys):
        show(FakeReply("a\n"))
        assert capsys.readouterr().out == "a\n[echo:words · 12 → 4 tokens · 1.2 s]\n"

        show(FakeReply(""))
        assert capsys.readouterr().out == "[echo:words · 12 → 4 tokens · 1.2 s]\n"

    def test_markdown_and_colours_are_for_a_terminal_that_can_show_them(self, shell, monkeypatch):
        terminal = io.StringIO()
        terminal.isatty = lambda: True  # type: ignore[method-assign]
        monkeypatch.setattr(sys, "stdout", terminal)
        monkeypatch.delenv("NO_COLOR", raising=False)

        show(FakeReply("**a**"))

        assert "**" not in terminal.getvalue()
        assert terminal.getvalue().endswith("\x1b[2m[echo:words · 12 → 4 tokens · 1.2 s]\x1b[0m\n")

    def test_json_is_printed_at_the_end(self, shell, capsys):
        show(FakeReply('{"a":1}'), form="json")

        assert '{\n  "a": 1\n}' in capsys.readouterr().out

    def test_a_reply_that_this_input_has_shown_is_not_shown_again(self, shell, capsys):
        reply = FakeReply("a")
        show_result(reply)
        capsys.readouterr()

        show_result(reply)

        assert capsys.readouterr().out == "the reply above\n"


def test_an_interrupted_reply_fails_the_cell():
    raise_ending(FakeReply("a"))
    with pytest.raises(ReplyInterrupted, match="Interrupted: the text so far is kept"):
        raise_ending(FakeReply("a", status="cancelled"))
    with pytest.raises(ProviderError, match="no"):
        raise_ending(FakeReply("a", status="failed", error=ProviderError("no")))


class TestInterrupts:
    def test_an_interrupt_that_the_caption_tells_is_not_told_again(self, outputs):
        with pytest.raises(ReplyInterrupted) as caught:
            raise_ending(FakeReply("a", status="cancelled"))

        show_interrupt(caught.value)

        assert outputs == []

    def test_one_of_a_reply_that_is_not_shown_is_one_line(self, outputs):
        with pytest.raises(ReplyInterrupted) as caught:
            raise_ending(FakeReply("a", status="cancelled"), shown=False)

        show_interrupt(caught.value)

        assert [output.data["text/plain"] for output in outputs] == ["Interrupted: the text so far is kept."]

    def test_the_extension_handles_interrupts_unless_the_user_has_a_handler(self, shell):
        shell.extension_manager.load_extension("flowgpt_magic")
        assert shell.custom_exceptions == (ReplyInterrupted,)
        shell.extension_manager.unload_extension("flowgpt_magic")
        assert shell.custom_exceptions == ()

        shell.set_custom_exc((ZeroDivisionError,), lambda *_arguments, **_more: None)
        shell.extension_manager.load_extension("flowgpt_magic")
        shell.extension_manager.unload_extension("flowgpt_magic")
        assert shell.custom_exceptions == (ZeroDivisionError,)


class TestAnswers:
    def test_text_is_printed_after_the_troubles(self, capsys):
        show_answer("done", ["first", "second"])

        assert capsys.readouterr() == ("done\n", "first\nsecond\n")

    def test_nothing_is_no_line(self, capsys):
        show_answer(None, [])
        show_answer("", [])

        assert capsys.readouterr() == ("", "")

    def test_a_turn_has_its_caption(self, capsys):
        turn = turn_record(conversation_record(notebook_record()), prompt="a", text="b", status="cancelled")

        show_answer(turn, [])

        assert capsys.readouterr().out == "a\n\nb\n\n[echo:words · interrupted]\n"

    def test_a_table_is_published_in_a_kernel_and_printed_elsewhere(self, kernel, capsys):
        table = Table(("name",), [("one",)])
        with capture_output() as captured:
            show_answer(table, [])

        assert "one" in captured.outputs[0].data["text/plain"]

    def test_a_widget_has_text_for_other_front_ends(self):
        view = widget_view("model", "no widgets here")

        assert view["text/plain"] == "no widgets here"
        assert view["application/vnd.jupyter.widget-view+json"]["model_id"] == "model"

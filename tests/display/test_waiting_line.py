"""The line that says who is asked while nothing has arrived: its words, when it changes, and a terminal's own line."""

from __future__ import annotations

import io
import re
import sys
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowgpt_magic.display.waiting_line import (
    SHOWN_AFTER,
    SHOWN_THOUGHTS,
    NoStatusLine,
    OutputStatusLine,
    TerminalStatusLine,
    WaitingLine,
    saved_line,
    waiting_text,
)
from flowgpt_magic.messages import Reasoning, Waiting
from flowgpt_magic.replies.reply import Reply


class Asked(Reply):
    """A reply that was asked so many seconds ago."""

    def __init__(self, seconds: float, model: str = "o3") -> None:
        super().__init__(lambda: None, provider="openai_compatible", model=model, messages=[])
        self._status = "streaming"
        self.grow_older(seconds)

    def grow_older(self, seconds: float) -> None:
        self._received.begun = time.monotonic() - seconds


class Screen(io.StringIO):
    """The line of a terminal that the cursor is on, as far as these few sequences go."""

    def __init__(self, before: str) -> None:
        super().__init__()
        self.line, self.column, self.saved = before, len(before), -1

    def write(self, text: str) -> int:
        for piece in re.findall(r"\x1b[78]|\x1b\[[?0-9]*[A-Za-z]|[^\x1b]", text):
            if piece == "\x1b7":
                self.saved = self.column
            elif piece == "\x1b8":
                self.column = self.saved
            elif piece == "\x1b[K":
                self.line = self.line[: self.column]
            elif not piece.startswith("\x1b"):
                self.line = self.line[: self.column] + piece + self.line[self.column + 1 :]
                self.column += 1
        return len(text)


@pytest.mark.parametrize(
    ("seconds", "shown"), [(0.5, "1 s"), (1.2, "1 s"), (1.7, "2 s"), (12.1, "12 s"), (600.0, "600 s")]
)
def test_it_says_who_is_asked_and_for_how_many_seconds(seconds, shown):
    assert waiting_text(Asked(seconds)) == f"openai_compatible:o3 · {shown}"


def test_in_a_pause_it_says_why_and_how_long_that_lasts():
    reply = Asked(3)
    reply._add(Waiting("openai_compatible answered 429", time.monotonic() + 6.5))

    assert waiting_text(reply) == "openai_compatible answered 429; asking again in 7 s"


def test_after_the_pause_it_says_again_who_is_asked():
    reply = Asked(3)
    reply._add(Waiting("openai_compatible answered 429", time.monotonic()))

    assert waiting_text(reply) == "openai_compatible:o3 · 3 s"


def test_while_the_model_reasons_it_says_so_and_since_when():
    reply = Asked(20)
    reply._add(Reasoning("hm"))
    reply.grow_older(32)  # 12 of them with reasoning

    assert waiting_text(reply) == "Thinking… 12 s"


def test_it_says_what_the_provider_does_until_the_first_text():
    reply = Asked(3, "smollm2")
    reply._set_progress("reads the prompt, 40 %")
    assert waiting_text(reply) == "openai_compatible:smollm2 · 3 s · reads the prompt, 40 %"

    reply._set_progress("")
    assert waiting_text(reply) == "openai_compatible:smollm2 · 3 s"


def test_what_would_steer_a_terminal_is_not_in_it():
    assert "\x1b" not in waiting_text(Asked(1, "evil\x1b[2J\nmodel"))


def test_it_comes_after_half_a_second_and_changes_once_a_second():
    reply = Asked(0)
    line = WaitingLine(reply, 0.0)
    shown = []
    for tenth in range(40):
        reply.grow_older(tenth / 10)
        if text := line.change(tenth / 10):
            shown.append((tenth, text.rpartition("· ")[2]))

    assert shown[0] == (round(SHOWN_AFTER * 10), "1 s")
    assert [text for _, text in shown] == ["1 s", "2 s", "3 s", "4 s"]


def test_where_text_has_taken_its_place_it_is_shown_anew():
    line = WaitingLine(Asked(3), 0.0)

    assert line.change(3.0) == "openai_compatible:o3 · 3 s"
    assert line.change(3.0) == ""
    line.replaced()
    assert line.change(3.0) == "openai_compatible:o3 · 3 s"


def test_whoever_waits_again_for_an_old_reply_sees_the_line_after_half_a_second():
    line = WaitingLine(Asked(60), 100.0)

    assert line.change(100.4) == ""
    assert line.change(100.5) == "openai_compatible:o3 · 60 s"


def test_a_pause_is_shown_at_once():
    reply = Asked(0)
    line = WaitingLine(reply, 0.0)
    reply._add(Waiting("echo answered 503", time.monotonic() + 60))

    assert line.change(0.01).startswith("echo answered 503; asking again in ")


@given(before=st.text("abc ", max_size=20), lines=st.lists(st.text("xyz 0123456789", min_size=1), min_size=1))
def test_a_terminal_is_in_the_end_as_it_was_before(before, lines):
    screen, out = Screen(before), sys.stdout
    sys.stdout = screen
    try:
        line = TerminalStatusLine(40)
        for text in lines:
            line.show(text)
            assert screen.line.startswith(before)
            assert len(screen.line) < len(before) + 40
        line.remove()
        line.remove()
    finally:
        sys.stdout = out

    assert (screen.line, screen.column) == (before, len(before))


def test_where_no_line_was_shown_none_is_erased(capsys):
    TerminalStatusLine(40).remove()
    NoStatusLine().show("words")
    OutputStatusLine(lambda *_args, **_how: pytest.fail("something was published"), "x").remove()

    assert capsys.readouterr().out == ""


def reasoning(text: str, seconds: float = 0.0) -> Asked:
    """A reply that has been reasoning for so many seconds."""
    reply = Asked(seconds)
    reply._add(Reasoning(text))
    return reply


def test_while_the_model_reasons_the_line_opens_to_the_reasoning_as_text():
    line = saved_line(waiting_text(reasoning("It is <b>late</b> </details>, $x$ and *so on*")))

    assert re.match(r'<details class="flowgpt-reasoning[^>]*><summary><small>Thinking… 1 s · still arriving', line)
    assert "&lt;b&gt;late&lt;/b&gt;" in line
    assert line.count("</details>") == 1


def test_of_endless_reasoning_the_line_opens_to_the_last():
    line = saved_line(waiting_text(reasoning("a" * 200_000 + "end")))

    assert len(line) < 2 * SHOWN_THOUGHTS
    assert "… 196,003 characters before" in line
    assert "aend<" in line


def test_a_line_that_opens_changes_less_and_less_often():
    reply = reasoning("It is late")
    line, often = WaitingLine(reply, 0.0, opens=True), WaitingLine(reply, 0.0)
    counts = {line: 0, often: 0}
    for _second in range(100):
        reply.grow_older(reply.elapsed + 1)
        for each in counts:
            counts[each] += bool(each.change(time.monotonic()))

    assert counts[often] == 100
    assert 10 < counts[line] < 40

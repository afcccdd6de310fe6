"""What a cell, a terminal and a headless run show of the replies of several models."""

from __future__ import annotations

import re
from typing import Any

import pytest
from IPython.utils.capture import RichOutput

from flowgpt_magic.conversation import Conversation
from flowgpt_magic.display.columns import (
    COLUMN,
    GRID,
    ColumnView,
    raise_ending,
    show_comparison,
    show_result,
    styled,
    without_middle,
)
from flowgpt_magic.errors import ComparisonError, ReplyInterrupted
from flowgpt_magic.markdown.html.changes import static_blocks_of
from flowgpt_magic.providers import aliases
from flowgpt_magic.providers.aliases import Alias
from flowgpt_magic.replies.comparison import Column
from tests.display.test_show import FakeReply, FinishedReader
from tests.kernel_shell import request
from tests.xss_payloads import CLASSES

CELL = "0f1e2d3c-0000-4000-8000-000000000000"


@pytest.fixture
def conversation() -> Conversation:
    aliases.save(Alias("broken", "echo:words", params={"fail_after": 1}))
    return Conversation(configured=lambda: {"model": "echo"})


@pytest.fixture
def outputs(kernel: Any, monkeypatch: pytest.MonkeyPatch) -> list[RichOutput]:
    """What is published in a cell of a kernel that a person looks at."""
    kernel.message = request(CELL)
    published: list[RichOutput] = []

    def publish(data: Any, metadata: Any = None, *, transient: Any = None, update: bool = False, **_: Any) -> None:
        published.append(RichOutput(data, metadata, transient, update))

    monkeypatch.setattr(kernel.display_pub, "publish", publish)
    return published


def test_the_columns_are_one_output_with_all_replies_as_text_too(outputs, conversation):
    comparison = conversation.compare("**one** two", ["echo", "echo:messages"])

    show_comparison(comparison)

    last = outputs[-1]
    page = last.data["text/html"]
    assert page.count(f'style="{COLUMN}"') == 2
    assert page.startswith(f'<div class="mathjax_ignore tex2jax_ignore" style="{GRID}">')
    assert "<strong>one</strong> two" in page
    assert 'aria-label="2 echo:messages"' in page
    assert re.sub(r"\d\.\d s", "0.0 s", last.data["text/plain"]) == (
        "1 echo\n**one** two\n[echo:words · 2 → 2 tokens · 0.0 s]\n[sent: prompt · 2 tokens]\n\n"
        "2 echo:messages\nuser: **one** two\n[echo:messages · 2 → 3 tokens · 0.0 s]\n[sent: prompt · 2 tokens]\n\n"
        "[the conversation continues with 1 echo, unless another is kept: %flowgpt keep 2]"
    )
    assert {output.transient["display_id"] for output in outputs} == {comparison.display_id}
    assert [output.update for output in outputs] == [False, *[True] * (len(outputs) - 1)]


def test_the_output_names_the_turn_of_each_column_but_none_as_its_own(outputs, conversation):
    comparison = conversation.compare("one", ["echo", "echo:messages"])

    show_comparison(comparison)

    facts = outputs[-1].metadata["flowgpt"]
    assert "turn_id" not in facts
    assert [(column["name"], column["turn_id"]) for column in facts["columns"]] == [
        (column.name, column.reply.turn_id) for column in comparison.columns
    ]


def test_a_model_that_fails_shows_its_text_and_why_and_the_cell_is_no_error(outputs, conversation):
    comparison = conversation.compare("one two", ["broken", "echo"])

    show_comparison(comparison)
    raise_ending(comparison)

    page = outputs[-1].data["text/html"]
    assert re.search(r"<p[^>]*>one </p>|<p[^>]*>one</p>", page)
    assert "<b>echo was told to fail after 1 chunks.</b></p>" in page
    assert "the conversation continues with 2 echo, unless another is kept: %flowgpt keep 1" in page


def test_the_cell_is_an_error_where_all_have_failed(outputs, conversation):
    aliases.save(Alias("down", "echo:words", params={"fail_after": 0}))
    comparison = conversation.compare("one two", ["broken", "down"])

    show_comparison(comparison)

    with pytest.raises(ComparisonError, match="none of the 2 models has answered; the reasons are above"):
        raise_ending(comparison)
    with pytest.raises(ComparisonError, match="down: echo was told to fail after 0 chunks"):
        raise_ending(comparison, shown=False)


def test_replies_that_were_stopped_fail_the_cell_with_their_captions_shown(outputs, conversation):
    aliases.save(Alias("slow", "echo:words", params={"pace": 30}))
    comparison = conversation.compare("one two", ["slow", "echo"])
    comparison.start()
    comparison[0].cancel()

    show_comparison(comparison)

    assert "interrupted" in outputs[-1].data["text/plain"]
    with pytest.raises(ReplyInterrupted, match="Interrupted: the 7 characters received so far are kept") as raised:
        raise_ending(comparison)
    assert raised.value.shown


@pytest.mark.parametrize(
    ("form", "prompt", "shown"),
    [
        ("text", "*a*", '<pre style="white-space: pre-wrap; font-family: monospace">*a*</pre>'),
        ("code", "see\n\n```python\nx = 1\n```", 'data-language="python"><code>x'),
        ("json", '{"a": 1}', 'data-language="json"><code>{'),
        ("html", "<b>a</b><script>b</script>", "<b>a</b>"),
    ],
)
def test_each_format_has_its_columns(outputs, conversation, form, prompt, shown):
    show_comparison(conversation.compare(prompt, ["echo", "echo:messages"]), form=form)

    page = outputs[-1].data["text/html"]
    assert shown in page
    assert "<script" not in page


def test_only_the_end_can_be_shown_and_nothing(outputs, conversation):
    show_comparison(conversation.compare("a", ["echo", "echo:messages"]), extent="end")
    assert [output.data["text/plain"][:8] for output in outputs] == ["1 echo\na"]

    show_comparison(conversation.compare("b", ["echo", "echo:messages"]), extent="nothing")
    assert len(outputs) == 1


def test_a_headless_run_shows_the_end_only(outputs, kernel, conversation):
    kernel.message = request(CELL, allow_stdin=False)

    show_comparison(conversation.compare("a b", ["echo", "echo:messages"]))

    (output,) = outputs
    assert (output.update, not output.transient) == (False, True)


def test_the_last_line_shows_a_comparison_once(outputs, conversation):
    comparison = conversation.compare("a", ["echo", "echo:messages"])

    show_result(comparison)
    count = len(outputs)
    show_result(comparison)

    assert 0 < count == len(outputs)


def test_a_terminal_shows_one_below_the_other(shell, capsys, conversation):
    show_comparison(conversation.compare("one two", ["broken", "echo"]))

    shown = re.sub(r"\d\.\d s", "0.0 s", capsys.readouterr().out)
    assert shown == (
        "1 broken\none \n[echo:words · ≈2 → ≈1 tokens · 0.0 s · failed]\necho was told to fail after 1 chunks.\n\n"
        "2 echo\none two\n[echo:words · 2 → 2 tokens · 0.0 s]\n"
        "the conversation continues with 2 echo, unless another is kept: %flowgpt keep 1\n"
    )


def test_a_terminal_stops_all_at_an_interrupt(shell, capsys, conversation, monkeypatch):
    aliases.save(Alias("slow", "echo:words", params={"pace": 30}))
    comparison = conversation.compare("one two", ["slow", "echo"])
    monkeypatch.setattr("flowgpt_magic.bridge.on_interrupt", lambda first, body: (first().result(), body()))

    show_comparison(comparison)

    assert {reply.status for reply in comparison} <= {"cancelled", "complete"}
    assert comparison[0].status == "cancelled"


@pytest.mark.parametrize("kind", CLASSES)
def test_nothing_in_a_column_can_run(kind):
    for payload in CLASSES[kind].values():
        page = "".join(map(styled, static_blocks_of(payload)))

        assert not re.search(r"<(script|img|iframe|svg|style|object|embed|form|input|link|meta|base)\b", page, re.I)
        assert not re.search(r"<\w[^<>]*\son\w+\s*=", page)


@pytest.mark.parametrize(("size", "seconds"), [(8_000, 8), (8_000, 1), (40_000, 30), (300, 5)])
def test_what_is_sent_stays_within_a_few_times_the_texts(outputs, monkeypatch, size, seconds):
    text = "".join(f"A *paragraph* with the number {number}.\n\n" for number in range(size // 36))
    clock = Clock()
    monkeypatch.setattr("flowgpt_magic.display.columns.time", clock)
    comparison = PacedComparison([PacedReply(text, seconds * (0.6 + 0.2 * n), clock) for n in range(3)])

    show_comparison(comparison)

    sent = sum(len(output.data.get("text/html", "")) + len(output.data.get("text/plain", "")) for output in outputs)
    assert len(outputs) > 0.8 * seconds
    assert sent < 10 * 3 * len(text) + 90_000  # what a short one has for its first seconds
    print(size, seconds, len(outputs), sent / 3 / len(text))


def test_text_that_begins_anew_replaces_the_text_before():
    reply = FakeReply("<think>so ", "far")
    reply.ended = False
    view = ColumnView(1, Column("echo", reply), "markdown", images=False)
    view.open()
    view.read(0)
    assert "&lt;think&gt;so far" in view.growing(10_000)

    reply.chunks = ["the answer"]
    view.open()
    view.read(0)

    page = view.growing(10_000)
    assert "<p>the answer</p>" in page
    assert "so far" not in page


@pytest.mark.parametrize("sizes", [[], [10], [30, 30, 30], [10] * 40, [500], [1, 2, 500, 3, 1], [500, 500]])
def test_the_middle_of_long_columns_is_left_out(sizes):
    blocks = [f"{number}" * size for number, size in enumerate(sizes)]

    shown = without_middle(blocks, 100)

    gaps = [place for place, block in enumerate(shown) if "shown at the end" in block]
    if not gaps:
        assert shown == blocks
    else:
        (gap,) = gaps
        assert shown[:gap] == blocks[:gap]
        assert shown[gap + 1 :] == blocks[gap + 1 - len(shown) :]
        assert sum(map(len, shown)) < 100 + max(sizes) + len(shown[gap])


class Clock:
    """The time, which only the replies let pass."""

    now = 1000.0

    def monotonic(self) -> float:
        """Seconds."""
        return self.now


class PacedReader(FinishedReader):
    """A reader whose chunks arrive evenly."""

    def __init__(self, reply: PacedReply) -> None:
        super().__init__(list(reply.chunks))
        self.reply = reply

    def take(self, timeout: float | None = None) -> list[str]:
        """The chunks that have arrived after ``timeout``."""
        self.reply.clock.now += timeout or 0
        taken = len(self.reply.chunks) - len(self.chunks)
        chunks, self.chunks = self.chunks[: self.reply.count - taken], self.chunks[self.reply.count - taken :]
        return chunks


class PacedReply(FakeReply):
    """A reply that takes some seconds."""

    def __init__(self, text: str, seconds: float, clock: Clock) -> None:
        self.clock, self.begun, self.duration = clock, clock.now, seconds
        super().__init__(*re.findall(r"\S+\s*", text))
        self.whole = self.usage

    @property
    def count(self) -> int:
        """The number of chunks so far."""
        return min(len(self.chunks), int(len(self.chunks) * (self.clock.now - self.begun) / self.duration))

    @property
    def text_so_far(self) -> str:
        """The chunks that have arrived."""
        return "".join(self.chunks[: self.count])

    @property
    def ended(self) -> bool:
        """Have all arrived?"""
        return self.count == len(self.chunks)

    @ended.setter
    def ended(self, _value: bool) -> None:
        """It depends on the time."""

    def open(self) -> PacedReader:
        """A reader."""
        return PacedReader(self)


class PacedComparison:
    """Replies that arrive at the same time."""

    shown_in, display_id, live, ended, interrupt_summary = "", "flowgpt-0", 1, False, ""

    def __init__(self, replies: list[PacedReply]) -> None:
        self.columns = [Column(f"model {number}", reply) for number, reply in enumerate(replies)]

    def start(self) -> None:
        """They arrive already."""

    def cancel(self) -> None:
        """Nothing is interrupted here."""

    def raise_error(self) -> None:
        """None fails."""

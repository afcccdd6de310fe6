"""The budget of repaints and the places a reply is painted in, without a kernel."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flowgpt_magic import printing
from flowgpt_magic.display import formats, painting
from flowgpt_magic.display.caret import CARET
from flowgpt_magic.display.formats import format_reply
from flowgpt_magic.display.painting import (
    APPENDING,
    BLOCKS,
    MAX_FRAME,
    WHOLE,
    Appended,
    AtEnd,
    BlockOutputs,
    Budget,
    Ending,
    OneOutput,
    Painting,
)
from flowgpt_magic.display.waiting_line import OutputStatusLine, saved_line
from flowgpt_magic.markdown.growing import harmless
from flowgpt_magic.transcripts.caption import small

ENDING = Ending({"text/markdown": "the end", "text/plain": "the end"}, {"flowgpt": {}}, "echo:words")


class Cell:
    """The outputs of a cell, as a front end would keep them."""

    def __init__(self) -> None:
        self.outputs: list[dict[str, Any]] = []
        self.messages = self.bytes = 0  # the bytes are those of the messages' contents
        self.changed: list[int] = []  # of each message the place of its output
        self._clear = False

    def count(self, content: dict[str, Any]) -> None:
        self.messages += 1
        self.bytes += len(json.dumps(content, ensure_ascii=False).encode())

    def print(self, text: str) -> None:
        self.count({"name": "stdout", "text": text})

    def publish(self, data: dict, metadata: dict, *, transient: dict | None = None, update: bool = False) -> None:
        self.count({"data": data, "metadata": metadata, "transient": transient or {}})
        name = (transient or {}).get("display_id")
        if update:
            (output,) = [each for each in self.outputs if each["name"] == name]
            output["data"] = data
            self.changed.append(self.outputs.index(output))
            return
        assert name is None or name not in [each["name"] for each in self.outputs]
        if self._clear:
            self.outputs.clear()
        self._clear = False
        self.changed.append(len(self.outputs))
        self.outputs.append({"name": name, "data": data})

    def clear(self) -> None:
        self.count({"wait": True})
        self._clear = True

    @property
    def text(self) -> str:
        """All of it, without the caret."""
        return "\n\n".join(output["data"]["text/markdown"] for output in self.outputs).replace(CARET, "")


def stream(budget: Budget, gap: float, count: int, cost: int = 300) -> list[float]:
    """Chunks of 8 characters ``gap`` seconds apart; returns when each repaint went out."""
    now, due, painted = 0.0, None, []
    for _ in range(count):
        now += gap
        while due is not None and due <= now:
            painted.append(due)
            budget.spent(1, cost, due)
            due = None
        budget.arrived(1, 8, now)
        pause = budget.wait(cost, now)
        due = now if pause <= 0 else now + pause
        if due == now:
            painted.append(now)
            budget.spent(1, cost, now)
            due = None
    return painted


def test_the_first_chunk_is_painted_at_once():
    assert stream(Budget(0.0, BLOCKS), 0.0025, 1) == [0.0025]


def test_a_fast_reply_is_painted_at_most_twenty_times_a_second():
    painted = stream(Budget(0.0, BLOCKS), 0.0025, 4000)

    assert max(sum(1 for other in painted if when <= other < when + 1) for when in painted) <= 20


@pytest.mark.parametrize("allowance", [APPENDING, BLOCKS, WHOLE], ids=["text", "blocks", "whole"])
def test_chunks_that_come_slowly_are_painted_as_they_come(allowance):
    painted = stream(Budget(0.0, allowance), 0.02, 200, 32 + 8 if allowance is APPENDING else 250)

    assert painted == pytest.approx([0.02 * n for n in range(1, 201)])


def test_appended_text_is_never_held_for_long():
    painted = stream(Budget(0.0, APPENDING), 0.0025, 4000, 32 + 8)

    assert max(later - earlier for earlier, later in pairwise(painted)) < 0.012


def test_a_large_repaint_waits_for_a_frame_from_the_start():
    painted = stream(Budget(0.0, BLOCKS), 0.02, 100, 600)

    assert min(later - earlier for earlier, later in pairwise(painted)) >= 0.99 * MAX_FRAME


def test_a_long_pause_lets_nobody_send_more_than_a_second_does():
    budget = Budget(0.0, WHOLE)
    budget.arrived(1, 10, 3600.0)
    budget.spent(1, 10, 3600.0)
    budget.arrived(100, 10, 3600.1)

    assert budget.wait(100_000, 3600.1) > 10


def test_a_repaint_of_three_messages_is_followed_by_a_pause_three_times_as_long():
    pauses = []
    for messages in (1, 3):
        budget = Budget(0.0, BLOCKS)
        budget.arrived(1, 10_000, 1.0)
        budget.spent(messages, 8_000, 1.0)
        pauses.append(budget.wait(8_000, 1.0))

    assert pauses == pytest.approx([MAX_FRAME, 3 * MAX_FRAME])


@given(
    allowance=st.sampled_from([APPENDING, BLOCKS, WHOLE]),
    gap=st.sampled_from([0.001, 0.0025, 0.01, 0.02, 0.5]),
    cost=st.integers(200, 20_000),
    count=st.integers(500, 3000),
)
def test_what_a_reply_may_send_is_in_proportion_to_its_length_and_time(allowance, gap, cost, count):
    painted = stream(Budget(0.0, allowance), gap, count, cost)

    allowed = allowance.per_character * 8 * count + allowance.per_second * gap * (count + 1)
    assert len(painted) * cost <= allowed + (0 if gap < painting.SLOW_GAP else allowance.reserve) + 4 * cost


def test_finished_blocks_are_not_sent_again():
    cell = Cell()
    slots = BlockOutputs(cell.publish, cell.clear, "x", images=False)
    paragraphs = [f"Paragraph {n} {'words ' * 60}".strip() for n in range(20)]
    sent = 0
    for paragraph in paragraphs:
        slots.add(f"{paragraph}\n\n")
        sent += slots.paint()[1]

    assert len(cell.outputs) > 5
    assert sent < 6 * sum(map(len, paragraphs))
    assert cell.text.split("\n\n") == paragraphs


@pytest.mark.parametrize("size", [45, 55, 200, 450])
def test_a_finished_paragraph_is_not_drawn_again_while_the_next_ones_grow(size):
    cell = Cell()
    slots = blocks_in(cell)
    paragraph = f"{'some words ' * 50}"[: size - 1] + "."
    for number in range(painting.MAX_OUTPUTS - 2):
        finished = len(cell.outputs) - (number > 0)  # without the line
        already = len(cell.changed)
        for piece in pieces(f"{paragraph}\n\n", 7):
            slots.add(piece)
            slots.paint()
        assert min(cell.changed[already:]) == finished == number
        if number == 0:
            slots.show_arriving("still arriving")


@given(
    st.lists(
        st.sampled_from(["word ", "\n\n", "- item\n", "```\n", "    x\n", "\n\n| a | b |\n|---|---|\n", "x" * 700]),
        max_size=60,
    )
)
def test_at_every_moment_the_outputs_hold_the_whole_text_so_far(pieces):
    cell = Cell()
    slots = BlockOutputs(cell.publish, cell.clear, "x", images=False)
    text = ""
    for piece in pieces:
        slots.add(piece)
        text += piece
        slots.paint()

        shown = cell.text if cell.outputs else ""
        for word in ("word", "item", "x" * 700):
            assert shown.count(word) == text.count(word)


def test_a_long_reply_never_fills_more_outputs_than_the_front_end_shows():
    cell = Cell()
    slots = BlockOutputs(cell.publish, cell.clear, "x", images=False)
    most = counted = total = 0
    for n in range(1500):
        block = f"Paragraph {n} {'some words ' * 40}\n\n"
        total += len(block)
        slots.add(block)
        counted += slots.paint()[1]
        most = max(most, len(cell.outputs))

    assert most <= painting.MAX_OUTPUTS + 1
    assert cell.text.count("Paragraph") == 1500


def test_a_long_code_block_is_cut_between_lines_while_it_grows():
    cell = Cell()
    slots = BlockOutputs(cell.publish, cell.clear, "x", images=False)
    slots.add("```python\n")
    for n in range(400):
        slots.add(f"line_{n} = {n}\n")
        slots.paint()

    assert len(cell.outputs) > 1
    assert all(output["data"]["text/markdown"].lstrip().startswith("```python") for output in cell.outputs)
    assert cell.text.count("line_") == 400


@pytest.mark.parametrize("blocks", [0, 1, 30])
def test_in_the_end_there_is_one_output_with_the_ending(blocks):
    cell = Cell()
    slots = BlockOutputs(cell.publish, cell.clear, "x", images=False)
    for n in range(blocks):
        slots.add(f"Paragraph {n} {'some words ' * 40}\n\n")
        slots.paint()

    slots.finish(ENDING)

    assert [output["data"] for output in cell.outputs] == [ENDING.data]


FORMULAS = "".join(
    f"Paragraph {n} has $x_{{{n}}}$ and {'some words ' * 30}.\n\n$$\ny_{{{n}}} = x^{{{n}}}\n$$\n\n" for n in range(12)
)


def ending_of(text: str) -> Ending:
    data = {"text/markdown": f"{harmless(text)}\n\n*echo:words*", "text/plain": text}
    return Ending(data, {"flowgpt": {}}, "echo:words", below="*echo:words*")


def cell_of(text: str, size: int = 40) -> Cell:
    """The outputs of a reply that has ended."""
    cell = Cell()
    slots = BlockOutputs(cell.publish, cell.clear, "x", images=False)
    for piece in pieces(text, size):
        slots.add(piece)
        slots.paint()
    slots.finish(ending_of(text))
    return cell


def test_the_outputs_of_a_reply_with_many_formulas_stay_at_the_end():
    cell = cell_of(FORMULAS)

    assert len(cell.outputs) > 5
    assert "".join(output["data"]["text/plain"] for output in cell.outputs) == FORMULAS
    assert cell.text == f"{harmless(FORMULAS)}\n\n*echo:words*"


def test_the_caption_takes_the_place_of_the_line_below_outputs_that_stay():
    cell = Cell()
    slots = BlockOutputs(cell.publish, cell.clear, "x", images=False)
    for piece in pieces(FORMULAS, 40):
        slots.add(piece)
        slots.paint()
        slots.show_arriving("still arriving")
        assert "still arriving" in cell.outputs[-1]["data"]["text/markdown"]

    slots.finish(ending_of(FORMULAS))

    assert cell.text == f"{harmless(FORMULAS)}\n\n*echo:words*"
    assert "".join(output["data"]["text/plain"] for output in cell.outputs) == FORMULAS


def test_a_formula_that_stays_is_not_sent_again():
    cell = cell_of(FORMULAS)

    begun_again = [place for place, later in pairwise(cell.changed) if later < place]
    assert len(begun_again) == 1  # when the text so far became one output


@pytest.mark.parametrize(
    "text",
    [
        FORMULAS[:800],
        "Some words that go on.\n\n" * 900,
        FORMULAS + "See [the page][1].\n\n[1]: https://example.org\n",
        "It costs `$HOME` and `$PATH`, or `$x` and `$y`.\n\n" * 200,
    ],
    ids=["short", "without formulas", "with link definitions", "with dollars in code"],
)
def test_any_other_reply_is_one_output_at_the_end(text):
    assert [output["data"] for output in cell_of(text).outputs] == [ending_of(text).data]


def test_an_attempt_that_was_discarded_does_not_stay():
    cell = Cell()
    slots = BlockOutputs(cell.publish, cell.clear, "x", images=False)
    for piece in pieces(FORMULAS, 40):
        slots.add(piece)
        slots.paint()

    slots.finish(ending_of("another reply"))

    assert [output["data"] for output in cell.outputs] == [ending_of("another reply").data]


@pytest.mark.parametrize("code", ["", "```python\n" + "x = 1\n" * 400 + "```\n\n"], ids=["formulas", "and code"])
def test_many_formulas_never_fill_more_outputs_than_the_front_end_shows(code):
    text = code + FORMULAS * 20 + code
    cell = cell_of(text, 400)

    assert 5 < len(cell.outputs) <= painting.MAX_OUTPUTS + 1
    assert "".join(output["data"]["text/plain"] for output in cell.outputs) == text
    assert cell.text.count("x = 1") == text.count("x = 1")
    assert cell.text.count("```") == text.count("```")


def test_one_output_is_sent_again_as_a_whole_and_ends_in_its_place():
    cell = Cell()
    output = OneOutput(cell.publish, "x", images=False)
    for word in ("some ", "<b>growing</b> ", "words"):
        output.add(word)
        output.paint()
    growing = cell.text

    output.finish(ENDING)

    assert growing == "some &lt;b>growing&lt;/b> words" or "<b>" not in growing
    assert [each["data"] for each in cell.outputs] == [ENDING.data]


def test_without_anything_new_there_is_nothing_to_pay_for():
    cell = Cell()
    for sink in (OneOutput(cell.publish, "x", images=False), BlockOutputs(cell.publish, cell.clear, "y", images=False)):
        assert sink.cost() == 0
        sink.add("word")
        assert sink.cost() > 4
        sink.paint()
        assert sink.cost() == 0


def test_appended_text_is_printed_once_and_without_escape_sequences(capsys):
    endings = []
    sink = Appended(endings.append)
    sink.add("red \x1b[31mtext")
    sink.paint()
    sink.add(" and more")

    sink.finish(ENDING)

    assert capsys.readouterr().out == "red text and more"
    assert endings == [ENDING]


def test_for_nobody_only_the_end_is_published():
    cell = Cell()
    sink = AtEnd(lambda ending: cell.publish(ending.data, ending.metadata))
    sink.show_waiting("echo · 1 s")
    sink.add("words")

    sink.finish(ENDING)

    assert cell.messages == 1
    assert sink.cost() == 0


MAKERS = {
    "slots": lambda cell: BlockOutputs(cell.publish, cell.clear, "x", images=False),
    "one output": lambda cell: OneOutput(cell.publish, "x", images=False),
}


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_a_line_that_says_who_is_asked_is_replaced_by_the_first_text(make):
    cell = Cell()
    sink = make(cell)
    for second in ("1 s", "2 s"):
        sink.show_waiting(f"some_model:*b* · {second}")
    assert cell.text == saved_line("some_model:*b* · 2 s")

    sink.add("words")
    sink.paint()

    assert cell.text == "words"
    sink.finish(ENDING)
    assert [each["data"] for each in cell.outputs] == [ENDING.data]


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_it_is_replaced_by_the_end_of_a_reply_without_text(make):
    cell = Cell()
    sink = make(cell)
    sink.show_waiting("echo · 1 s")

    sink.finish(ENDING)

    assert [each["data"] for each in cell.outputs] == [ENDING.data]


def test_a_reply_that_is_shown_at_its_end_only_takes_the_place_of_the_line():
    cell = Cell()
    line = OutputStatusLine(cell.publish, "x")
    sink = AtEnd(lambda ending: line.replace(ending.data, ending.metadata), line)
    for text in ("words", " and more"):
        sink.show_waiting(f"echo · {len(text)} s")
        sink.add(text)

    sink.finish(ENDING)

    assert [each["data"] for each in cell.outputs] == [ENDING.data]


@pytest.mark.parametrize("own_cell", [True, False])
def test_appended_text_is_printed_when_the_line_is_gone(own_cell, capsys):
    cell = Cell()
    sink = Appended(lambda _ending: None, line=OutputStatusLine(cell.publish, "x", cell.clear if own_cell else None))
    sink.show_waiting("echo · 1 s")
    assert [each["data"] for each in cell.outputs] == [{"text/markdown": saved_line("echo · 1 s")}]

    sink.add("words")
    sink.paint()

    assert capsys.readouterr().out == "words"
    assert cell._clear == own_cell
    if not own_cell:
        assert [each["data"] for each in cell.outputs] == [{"text/plain": ""}]
    messages = cell.messages
    sink.show_waiting("echo · 2 s")
    sink.add(" and more")
    sink.finish(ENDING)
    assert cell.messages == messages


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_the_line_of_a_further_attempt_stands_behind_the_one_before(make):
    cell = Cell()
    sink = make(cell)
    sink.add("none\n\n[it does not fit]\n\n")
    sink.paint()
    before = cell.text

    sink.show_waiting("echo · 1 s")
    sink.show_waiting("echo · 2 s")
    assert cell.text == f"{before.rstrip()}\n\n{saved_line('echo · 2 s')}"
    sink.add("3")
    sink.paint()

    assert "· 2 s" not in cell.text
    assert cell.text.endswith("3")


ARRIVING = "echo:words · still arriving: %flowgpt show has the rest"


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_at_every_moment_the_last_line_says_that_the_reply_is_still_arriving(make):
    cell = Cell()
    sink = make(cell)
    sink.add("first words")
    sink.paint()
    assert cell.outputs[-1]["data"]["text/markdown"] == f"first words{CARET}"

    sink.show_arriving(ARRIVING)
    for number in range(60):
        assert cell.text.endswith(f"\n\n{small(ARRIVING)}")
        assert cell.text.count("still arriving") == 1
        sink.add(f"\n\nParagraph {number} {'some words ' * (number + 1)}")
        sink.paint()

    assert [cell.text.count(f"Paragraph {number} ") for number in range(60)] == [1] * 60
    sink.finish(ENDING)
    assert [each["data"] for each in cell.outputs] == [ENDING.data]


def test_above_text_that_is_appended_the_line_is_at_the_top_until_the_end(capsys):
    cell = Cell()
    sink = text_in(cell)
    sink.add("first ")
    sink.paint()
    capsys.readouterr()

    sink.show_arriving(ARRIVING)
    assert cell.text.count("still arriving") == 1
    assert capsys.readouterr().out == "first "
    sink.add("second")
    sink.finish(ENDING)

    assert capsys.readouterr().out == "second"
    assert [each["data"] for each in cell.outputs] == [ENDING.data]


# -- bytes on the wire -----------------------------------------------------------------------------------------------


def blocks_in(cell: Cell) -> BlockOutputs:
    return BlockOutputs(cell.publish, cell.clear, "flowgpt-0123456789ab", images=False)


def text_in(cell: Cell) -> Appended:
    def close(ending: Ending) -> None:
        cell.clear()
        cell.publish(ending.data, ending.metadata)

    return Appended(close, restart=OutputStatusLine(cell.publish, "x", cell.clear).restart)


def sent(make: Callable[[Cell], Any], chunks: list[str], gap: float) -> int:
    """The bytes of all messages for a reply whose chunks come ``gap`` seconds apart, on a simulated clock."""
    cell = Cell()
    sink = make(cell)
    painting_of, now = Painting(sink, 0.0), 0.0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(printing, "write", cell.print)
        for number, chunk in enumerate(chunks, 1):
            _painted, pause = painting_of.step([chunk], now)
            while pause is not None and now + pause < number * gap:
                now += pause + 1e-6
                _painted, pause = painting_of.step([], now)
            now = number * gap
        text = "".join(chunks)
        made = format_reply(text, "text" if make is text_in else "markdown")
        sink.finish(Ending({**made.data, "text/plain": text}, {"flowgpt": {"status": "complete"}}, "echo:words"))
    return cell.bytes


def pieces(text: str, size: int) -> list[str]:
    return [text[place : place + size] for place in range(0, len(text), size)]


SHAPES = {
    "one line": "word " * 2_000,
    "one line without a space": "x" * 10_000,
    "fences": "```python\nx = 1\n```\n" * 500,
    "a table": "| a | b |\n|---|---|\n" + "| 1 | 2 |\n" * 1_000,
    "a list": "- item\n" * 1_500,
    "code without an end": "```python\n" + "x = 1\n" * 1_500,
    "short paragraphs": "Some words.\n\n" * 750,
    "quotes": "> words\n> more\n" * 700,
    "headings": "# A title\n\n" * 900,
    "formulas": FORMULAS * 2,
    "short formulas": "$$\nx\n$$\n\nIt is $y$.\n\n" * 500,
}


@pytest.mark.parametrize("make", [blocks_in, text_in])
@pytest.mark.parametrize("text", SHAPES.values(), ids=SHAPES)
def test_the_messages_are_at_most_six_times_a_reply_of_any_shape(make, text):
    assert sent(make, pieces(text, 64), 0.014) < 6 * len(text)


@given(
    st.lists(
        st.sampled_from(
            [
                "word ",
                "some words, ",
                "\n\n",
                "\n- item ",
                "\n```\n",
                "\n    x",
                "\n\n| a | b |\n|---|---|\n",
                "| 1 |\n",
            ]
        ),
        min_size=200,
        max_size=1_000,
    ),
    st.sampled_from([20, 50, 300]),
    st.sampled_from([blocks_in, text_in]),
)
@settings(max_examples=10, deadline=None)
def test_the_messages_are_at_most_six_times_any_reply(found, size, make):
    text = "".join(found)

    assert sent(make, pieces(text, size), size / 4_000) < 6 * len(text.encode()) + 2_000


@pytest.mark.parametrize("make", [blocks_in, text_in, MAKERS["one output"]])
def test_the_messages_are_at_most_twice_a_very_long_reply(make, monkeypatch):
    monkeypatch.setattr(formats, "MAX_CHARACTERS", 1_000)
    monkeypatch.setattr(painting, "MAX_CHARACTERS", 1_000)
    text = "Some words that go on, in a paragraph.\n\n" * 500

    assert sent(make, pieces(text, 50), 0.001) < 1.6 * len(text)


def test_behind_the_beginning_of_a_very_long_reply_a_line_says_that_it_goes_on(monkeypatch):
    monkeypatch.setattr(painting, "MAX_CHARACTERS", 1_000)
    cell = Cell()
    slots = blocks_in(cell)
    slots.add("Some words.\n\n" * 200)
    slots.paint()
    assert slots.at_end

    before = cell.bytes
    slots.show_waiting("echo · 9 s")
    slots.add("more")

    assert slots.cost() == 0
    assert cell.outputs[-1]["data"] == {"text/markdown": saved_line("echo · 9 s")}
    assert cell.bytes - before < 400
    slots.finish(ENDING)
    assert [each["data"] for each in cell.outputs] == [ENDING.data]

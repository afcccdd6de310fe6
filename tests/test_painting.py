"""The budget of repaints and the places a reply is painted in, without a kernel."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowgpt_magic import painting
from flowgpt_magic.painting import BURST, FRAME, Appended, AtEnd, Budget, Ending, OneOutput, Slots
from flowgpt_magic.waiting_line import OutputLine

ENDING = Ending({"text/markdown": "the end", "text/plain": "the end"}, {"flowgpt": {}}, "echo:words")


class Cell:
    """The outputs of a cell, as a front end would keep them."""

    def __init__(self) -> None:
        self.outputs: list[dict[str, Any]] = []
        self.messages = 0
        self._clear = False

    def publish(self, data: dict, _metadata: dict, *, transient: dict | None = None, update: bool = False) -> None:
        self.messages += 1
        name = (transient or {}).get("display_id")
        if update:
            (output,) = [each for each in self.outputs if each["name"] == name]
            output["data"] = data
            return
        assert name is None or name not in [each["name"] for each in self.outputs]
        if self._clear:
            self.outputs.clear()
        self._clear = False
        self.outputs.append({"name": name, "data": data})

    def clear(self) -> None:
        self.messages += 1
        self._clear = True

    @property
    def text(self) -> str:
        return "\n\n".join(output["data"]["text/markdown"] for output in self.outputs)


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
    assert stream(Budget(0.0), 0.0025, 1) == [0.0025]


def test_a_fast_reply_is_painted_at_most_twenty_times_a_second():
    painted = stream(Budget(0.0), 0.0025, 4000)

    assert max(sum(1 for other in painted if when <= other < when + 1) for when in painted) <= 20


def test_a_slow_reply_is_painted_chunk_by_chunk_until_its_burst_is_used_up():
    painted = stream(Budget(0.0), 0.02, 400)

    assert painted[:100] == pytest.approx([0.02 * n for n in range(1, 101)])
    late = [when for when in painted if when > 0.02 * 3 * BURST]
    assert len(late) <= (0.02 * 400 - late[0]) / FRAME + 1


@given(gap=st.sampled_from([0.001, 0.0025, 0.01]), cost=st.integers(200, 20_000), count=st.integers(500, 3000))
def test_what_a_fast_reply_may_send_is_in_proportion_to_its_length_and_time(gap, cost, count):
    painted = stream(Budget(0.0), gap, count, cost)

    allowed = painting.PER_CHARACTER * 8 * count + painting.PER_SECOND * gap * count
    assert len(painted) * cost <= allowed + 4 * cost


def test_finished_blocks_are_not_sent_again():
    cell = Cell()
    slots = Slots(cell.publish, cell.clear, "x", images=False)
    paragraphs = [f"Paragraph {n} {'words ' * 60}".strip() for n in range(20)]
    sent = 0
    for paragraph in paragraphs:
        slots.add(f"{paragraph}\n\n")
        sent += slots.paint()[1]

    assert len(cell.outputs) > 5
    assert sent < 6 * sum(map(len, paragraphs))
    assert cell.text.split("\n\n") == paragraphs


@given(
    st.lists(
        st.sampled_from(["word ", "\n\n", "- item\n", "```\n", "    x\n", "\n\n| a | b |\n|---|---|\n", "x" * 700]),
        max_size=60,
    )
)
def test_at_every_moment_the_outputs_hold_the_whole_text_so_far(pieces):
    cell = Cell()
    slots = Slots(cell.publish, cell.clear, "x", images=False)
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
    slots = Slots(cell.publish, cell.clear, "x", images=False)
    most = counted = total = 0
    for n in range(1500):
        block = f"Paragraph {n} {'some words ' * 40}\n\n"
        total += len(block)
        slots.add(block)
        counted += slots.paint()[1]
        most = max(most, len(cell.outputs))

    assert most <= painting.SLOTS + 1
    assert cell.text.count("Paragraph") == 1500


def test_a_long_code_block_is_cut_between_lines_while_it_grows():
    cell = Cell()
    slots = Slots(cell.publish, cell.clear, "x", images=False)
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
    slots = Slots(cell.publish, cell.clear, "x", images=False)
    for n in range(blocks):
        slots.add(f"Paragraph {n} {'some words ' * 40}\n\n")
        slots.paint()

    slots.finish(ENDING)

    assert [output["data"] for output in cell.outputs] == [ENDING.data]


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
    for sink in (OneOutput(cell.publish, "x", images=False), Slots(cell.publish, cell.clear, "y", images=False)):
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
    "slots": lambda cell: Slots(cell.publish, cell.clear, "x", images=False),
    "one output": lambda cell: OneOutput(cell.publish, "x", images=False),
}


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_a_line_that_says_who_is_asked_is_replaced_by_the_first_text(make):
    cell = Cell()
    sink = make(cell)
    for second in ("1 s", "2 s"):
        sink.show_waiting(f"some_model:*b* · {second}")
    assert cell.text == "*some\\_model:\\*b\\* · 2 s*"

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
    line = OutputLine(cell.publish, "x")
    sink = AtEnd(lambda ending: line.replace(ending.data, ending.metadata), line)
    for text in ("words", " and more"):
        sink.show_waiting(f"echo · {len(text)} s")
        sink.add(text)

    sink.finish(ENDING)

    assert [each["data"] for each in cell.outputs] == [ENDING.data]


@pytest.mark.parametrize("own_cell", [True, False])
def test_appended_text_is_printed_when_the_line_is_gone(own_cell, capsys):
    cell = Cell()
    sink = Appended(lambda _ending: None, line=OutputLine(cell.publish, "x", cell.clear if own_cell else None))
    sink.show_waiting("echo · 1 s")
    assert [each["data"] for each in cell.outputs] == [{"text/markdown": "*echo · 1 s*"}]

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
    assert cell.text == f"{before.rstrip()}\n\n*echo · 2 s*"
    sink.add("3")
    sink.paint()

    assert "· 2 s" not in cell.text
    assert cell.text.endswith("3")

"""Records that are remembered: the newest are all there, in little memory."""

from __future__ import annotations

import tracemalloc

from hypothesis import given, settings
from hypothesis import strategies as st

from flowgpt_magic.history.recent_records import RECORDS_PER_PIECE, RecentRecords
from flowgpt_magic.messages import Turn
from tests.records import conversation_record, notebook_record, turn_record

MOST = 3 * RECORDS_PER_PIECE


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(st.integers(0, 800), st.integers(1, 300)), max_size=12))
def test_the_newest_records_are_there_as_they_were_added_last(runs):
    remembered: RecentRecords[tuple[int, int]] = RecentRecords(MOST)
    added: dict[str, tuple[int, int]] = {}
    for step, (first, count) in enumerate(runs):
        for number in range(first, first + count):
            added.pop(str(number), None)
            added[str(number)] = (number, step)
            remembered.add(str(number), (number, step))

    newest = list(added.values())[-MOST:]
    assert remembered.all() == newest
    assert all(remembered.get(str(number)) == (number, step) for number, step in newest)
    assert remembered.get("another") is None


def test_what_cannot_be_compressed_is_kept_as_it_is():
    remembered: RecentRecords[object] = RecentRecords(MOST)
    records = [lambda: None for _number in range(MOST)]
    for number, record in enumerate(records):
        remembered.add(str(number), record)

    assert remembered.all() == records


def test_a_thousand_turns_take_a_fraction_of_their_memory():
    conversation = conversation_record(notebook_record())

    def turn(number: int) -> Turn:
        text = f"a line of text about {number} " * 10
        return turn_record(conversation, turn_id=str(number), prompt=text, text=text)

    def memory(most: int) -> int:
        tracemalloc.start()
        remembered: RecentRecords[Turn] = RecentRecords(most)
        for number in range(2000):
            remembered.add(str(number), turn(number))
        taken = tracemalloc.get_traced_memory()[0]
        tracemalloc.stop()
        return taken

    memory(1)
    assert memory(1000) - memory(1) < 300_000  # bytes; as they are, a thousand would take 1.5 million

"""The requests of a batch, how often each has come, and where its turns are kept."""

from __future__ import annotations

import random
import tracemalloc
from collections import Counter
from collections.abc import Collection

from hypothesis import given
from hypothesis import strategies as st

from flowgpt_magic.batch.items import Item
from flowgpt_magic.batch.turns import RequestCounts, Turns, record_for
from flowgpt_magic.conversation import Conversation
from flowgpt_magic.history.notebook_history import NotebookHistory
from flowgpt_magic.messages import Turn
from tests.batches import end, kernel


@given(st.lists(st.sampled_from("abcde"), max_size=60))
def test_each_request_has_the_number_of_its_kind(keys):
    counts, count = RequestCounts(), Counter()

    for key in keys:
        count[key] += 1
        assert counts.number(key) == count[key]


def test_a_request_has_its_number_also_when_others_came_in_between():
    counts = RequestCounts()

    numbers = [counts.number(key) for key in "abcdabcdaa"]

    assert numbers == [1, 1, 1, 1, 2, 2, 2, 2, 3, 4]


def test_a_hundred_thousand_requests_take_little_memory_and_none_is_taken_for_another():
    dice = random.Random(1)
    counts = RequestCounts()
    tracemalloc.start()
    numbers = {counts.number(f"{dice.getrandbits(256):064x}") for _ in range(100_000)}
    grown = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()

    assert numbers == {1}
    assert grown < 12_000_000


def turns_of(notebook_history: NotebookHistory, **how) -> Turns:
    chat = Conversation(configured=lambda: {"model": "echo"}, notebook_history=notebook_history)
    request, sent, own = chat.without_prompt({}, earlier=True)
    return Turns(request, sent, own, record_for(own, chat.name), **how)


def test_a_request_of_a_batch_is_the_one_that_ask_would_make(tmp_path):
    notebook_history = kernel(tmp_path)
    chat = Conversation(configured=lambda: {"model": "echo"}, notebook_history=notebook_history)
    list(chat.ask("earlier"))

    made = turns_of(notebook_history).flight(Item(0, 0, "one", "one")).request
    asked = chat.preview("one")

    assert (made.key, made.messages, made.prompt) == (asked.key, asked.messages, "one")
    end(notebook_history)


def test_the_key_tells_samples_and_repetitions_apart(tmp_path):
    notebook_history = kernel(tmp_path)
    item = Item(0, 0, "one", "one")
    plain, other = turns_of(notebook_history), turns_of(notebook_history, sample="b")

    keys = [plain.flight(item).request.key, plain.flight(item).request.key, other.flight(item).request.key]

    assert keys[1:] == [f"{keys[0]} #2", f"{keys[0]} b"]
    end(notebook_history)


def test_a_notebook_finds_its_batches_again_without_looking_for_them(tmp_path):
    first = kernel(tmp_path)
    one = record_for(first, "main").record
    first.save_notebook()
    end(first)

    second, other = kernel(tmp_path), kernel(tmp_path, "other.ipynb")
    again, elsewhere = record_for(second, "main").record, record_for(other, "main").record

    assert again.conversation_id == one.conversation_id
    assert elsewhere.conversation_id != one.conversation_id != record_for(second, "side").record.conversation_id
    assert (one.removed, one.name) == (True, "batches of main")
    end(second)
    end(other)


def test_with_the_history_off_there_is_no_place():
    assert record_for(NotebookHistory(kernel_place(), "off"), "main") is None


def kernel_place():
    from flowgpt_magic.notebook.place import place_of

    return place_of("/nowhere/a.ipynb")


class Nobody:
    """Other workers that were answered nothing."""

    def find(self, request_keys: Collection[str]) -> dict[str, Turn]:
        return {}


def test_where_others_ask_too_equal_prompts_have_one_key_and_a_turn_is_saved_as_soon_as_it_ends(tmp_path):
    notebook_history = kernel(tmp_path)
    shared, alone = turns_of(notebook_history, others=Nobody()), turns_of(notebook_history)
    item = Item(0, 0, "one", "one")

    keys = {shared.flight(item).request.key for _ in range(3)}
    for turns in (shared, alone):
        turns.end(turns.flight(item), "complete")

    assert len(keys) == 1
    saved = notebook_history.read(lambda history: [turn for some in history.all_turns() for turn in some], [])
    assert [(turn.prompt, turn.request_key) for turn in saved] == [("one", *keys)]
    end(notebook_history)

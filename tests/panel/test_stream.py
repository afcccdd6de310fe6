"""A reply on its way into the pages."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowgpt_magic.markdown.html.changes import Change, blocks_of
from flowgpt_magic.messages import Usage
from flowgpt_magic.panel.stream import AHEAD, FRAME, LONGEST_THOUGHTS, PAGE_TIMEOUT, Pages, Stream
from tests.panel_page import cases
from tests.shown import changed

CHUNKS = st.lists(st.text(st.sampled_from("ab \n`*#|-😀é<&"), max_size=12), max_size=12)


@dataclass
class Arriving:
    """What a stream needs of a reply."""

    chunks: list[str] = field(default_factory=list)
    splits: int = 0
    thoughts: list[str] = field(default_factory=list)
    reasons: bool = False
    attempts: list[str] = field(default_factory=list)
    usage: Usage = field(default_factory=Usage)

    def chunks_from(self, place: int) -> list[str]:
        return self.chunks[place:]

    def reasoning_from(self, place: int) -> list[str]:
        return self.thoughts[place:]


def page_shows(messages: list[list]) -> list[str]:
    """The blocks of a page that was told of these changes."""
    blocks: list[str] = []
    for _id, _number, keep, cut, add, *more in messages:
        blocks = changed(blocks, Change(keep, cut, add, tuple(more[0]) if more else ()))
    return blocks


@pytest.mark.parametrize("case", cases("replies").values(), ids=cases("replies"))
def test_the_kernel_tells_of_a_reply_what_the_script_is_tested_with(case):
    reply = Arriving()
    stream = Stream("turn", reply, images=False)
    told = []
    for chunk in case["chunks"]:
        reply.chunks.append(chunk)
        told.append(stream.step())
    told.append(stream.finish("".join(case["chunks"])))

    assert told == case["changes"]
    assert page_shows([each for each in told if each]) == case["blocks"]


@pytest.mark.parametrize("case", cases("changes").values(), ids=cases("changes"))
def test_these_tests_read_a_change_as_the_script_does(case):
    keep, cut, add, *more = case["change"]

    assert changed(case["before"], Change(keep, cut, add, tuple(more[0]) if more else ())) == case["after"]


@given(CHUNKS)
def test_the_page_has_at_the_end_what_the_whole_reply_looks_like(chunks):
    reply = Arriving()
    stream = Stream("t", reply, images=False)
    told = []
    for chunk in chunks:
        reply.chunks.append(chunk)
        told.append(stream.step())
    told.append(stream.finish("".join(chunks)))

    messages = [each for each in told if each]

    assert page_shows(messages) == stream.blocks == list(blocks_of("".join(chunks)))
    assert [each[1] for each in messages] == list(range(1, len(messages) + 1))


def test_nothing_is_told_where_nothing_came():
    assert Stream("t", Arriving(), images=False).step() is None


def test_what_the_last_look_missed_comes_at_the_end():
    reply = Arriving(["one "])
    stream = Stream("t", reply, images=False)
    stream.step()
    reply.chunks.append("two")

    told = stream.finish("one two")

    assert "two" in "".join(map(str, told))


class TestPages:
    def test_a_page_that_keeps_up_gets_a_message_each_frame(self):
        pages = Pages()
        pages.opened("a")

        pages.showed("a", pages.count(now=10.0))

        assert pages.wait(10.0) == pytest.approx(FRAME)
        assert pages.wait(10.0 + FRAME) <= 0

    def test_a_slow_page_is_waited_for(self):
        pages = Pages()
        pages.opened("a")
        for _ in range(AHEAD):
            pages.count(now=10.0)

        assert pages.wait(10.1) == pytest.approx(PAGE_TIMEOUT - 0.1)

        pages.showed("a", 1)

        assert pages.wait(10.0 + FRAME) <= 0

    def test_a_page_that_stays_silent_gets_a_message_a_second(self):
        pages = Pages()
        pages.opened("a")
        for _ in range(AHEAD):
            pages.count(now=10.0)

        assert pages.wait(10.0 + PAGE_TIMEOUT) <= 0
        pages.count(now=10.0 + PAGE_TIMEOUT)

        assert pages.wait(10.0 + PAGE_TIMEOUT) == pytest.approx(PAGE_TIMEOUT)

        pages.showed("a", pages.sent)

        assert pages.wait(10.0 + PAGE_TIMEOUT) == pytest.approx(FRAME)

    def test_one_that_is_away_does_not_hold_up_the_others(self):
        pages = Pages()
        pages.opened("away")
        pages.opened("here")
        for _ in range(AHEAD):
            pages.count(now=10.0)
        pages.showed("here", pages.sent)
        pages.wait(10.0 + PAGE_TIMEOUT)

        pages.showed("here", pages.count(now=11.0))

        assert pages.wait(11.0) == pytest.approx(FRAME)

    def test_without_pages_nobody_is_waited_for(self):
        pages = Pages()
        pages.opened("a")
        pages.closed("a")
        for _ in range(2 * AHEAD):
            pages.count(now=10.0)

        assert pages.wait(10.0) == pytest.approx(FRAME)
        assert len(pages) == 0


@pytest.mark.parametrize("rest", ["", "Paris."])
@pytest.mark.parametrize("at_the_end", [False, True])
def test_text_that_turns_out_to_be_reasoning_leaves_the_page(rest, at_the_end):
    reply = Arriving(["Is it\n\nParis?"])
    stream = Stream("turn", reply, images=False)
    messages = [stream.step()]

    reply.chunks, reply.splits = [rest] if rest else [], 1
    messages += [stream.finish(rest)] if at_the_end else [stream.step()]

    assert page_shows(messages) == blocks_of(rest)
    assert stream.blocks == blocks_of(rest) or not at_the_end


def thinking(*thoughts: str) -> Arriving:
    """A reply that arrives, of which there is reasoning only."""
    return Arriving(thoughts=[*thoughts], reasons=True, usage=Usage(reasoning_seconds=2.4))


def test_new_reasoning_is_sent_once_and_then_that_it_has_ended():
    reply = thinking("one ", "two ")
    stream = Stream("turn", reply, images=False)
    sent = {"turn": "turn", "anew": False, "thinks": True, "thought_seconds": 2.4}

    assert stream.new_thoughts() == {**sent, "add": "one two "}
    assert stream.new_thoughts() is None
    reply.thoughts.append("three")
    assert stream.new_thoughts() == {**sent, "add": "three"}
    reply.reasons = False
    assert stream.new_thoughts() == {**sent, "add": "", "thinks": False}
    assert stream.new_thoughts() is None
    assert stream.thoughts == "one two three"


def test_the_reasoning_of_another_attempt_takes_the_place_of_the_one_before():
    reply = thinking("of the first")
    stream = Stream("turn", reply, images=False)
    stream.new_thoughts()

    reply.attempts.append("the first")
    reply.thoughts = ["of the second"]

    assert stream.new_thoughts()["anew"]
    assert stream.thoughts == "of the second"


def test_a_page_gets_the_last_of_endless_reasoning():
    reply = thinking(*["a" * LONGEST_THOUGHTS] * 3, "end")
    stream = Stream("turn", reply, images=False)

    added = stream.new_thoughts()["add"]

    assert len(added) == len(stream.thoughts) == LONGEST_THOUGHTS
    assert added.endswith("aend")

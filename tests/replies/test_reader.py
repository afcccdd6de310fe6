"""A reader gets each chunk once, waits for more, and misses neither the end nor a new attempt."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from typing import Any

import pytest

from flowgpt_magic.messages import Attempt, NewSplit, Reasoning
from flowgpt_magic.replies.reader import Reader
from flowgpt_magic.replies.reply import Reply
from tests.replies.scripted import END, LIMIT, Script, Thread, ask, take


class Growing:
    """A reply that a test grows by hand."""

    def __init__(self, *chunks: str) -> None:
        self.ended = False
        self.attempts: Sequence[Attempt] = []
        self.splits = 0
        self.chunks = list(chunks)

    def chunks_from(self, place: int) -> list[str]:
        return self.chunks[place:]


def test_a_new_attempt_is_announced_and_read_from_its_first_chunk():
    reply = Growing("red", "dish")
    reader = Reader(reply)
    assert reader.take(0) == ["red", "dish"]

    reply.attempts, reply.chunks = [Attempt("reddish", "not a colour")], ["blue"]

    assert reader.take(0) == ["\n\n[not a colour]\n\n", "blue"]


def test_a_reader_that_waits_gets_only_the_last_attempt_at_the_end():
    reply = Growing("red")
    reader = Reader(reply, waits=True)
    assert reader.take(0) == []

    reply.attempts, reply.chunks = [Attempt("red", "not blue")], ["blue"]
    assert reader.take(0) == []
    reply.ended = True

    assert reader.take(0) == ["blue"]
    assert reader.done


def test_take_gives_what_is_new_and_nothing_after_a_timeout():
    reply = ask(script := Script("one "))
    reader = reply.open()
    assert take(reader, 1) == ["one "]

    assert reader.take(0) == []
    assert reader.take(0.01) == []
    assert not reader.done

    script.say("two", END)
    assert take(reader, 1) == ["two"]
    assert reader.take(LIMIT) == []
    assert reader.done


def test_a_reader_has_not_done_before_it_has_taken_everything():
    reply = ask(Script("one", END))
    reader = reply.open()
    list(reply)

    assert not reader.done
    reader.take()
    assert reader.done


@pytest.mark.parametrize("moment", ["ended", "chunks_from"])
async def test_an_end_that_comes_while_a_reader_looks_is_not_missed(moment):
    class Ending(Reply):
        """A reply that ends at once after a reader's look at its status, or at its chunks."""

        looked_at = ""

        def _end_after(self, look: str) -> None:
            if look == self.looked_at:
                self.looked_at = ""
                self.cancel()

        @property
        def ended(self) -> bool:
            seen = super().ended
            self._end_after("ended")
            return seen

        def chunks_from(self, place: int) -> list[str]:
            seen = super().chunks_from(place)
            self._end_after("chunks_from")
            return seen

    reply = Ending(Script("one"), provider="test", model="script", messages=[])
    reader = reply.open()
    assert await reader.take_async() == ["one"]
    reader.wake()  # a wake-up for what has been taken already
    await asyncio.sleep(0.01)

    reply.looked_at = moment

    assert await asyncio.wait_for(reader.take_async(), LIMIT) == []
    assert reply.status == "cancelled"


def test_an_interrupt_may_cancel_in_the_middle_of_any_line_of_a_readers_wait():
    """What an interrupt's handler does is done here after every single line, without a signal."""

    def cancel_after(lines: int) -> bool:
        reply = ask(Script("one"))
        reader = reply.open()
        left = lines

        def trace(_frame: Any, event: str, _value: Any) -> Any:
            nonlocal left
            if event == "line":
                left -= 1
                if left == 0:
                    reply.cancel()
            return trace

        def read() -> None:
            sys.settrace(trace)
            try:
                for _ in range(3):
                    reader.take(0.001)
            finally:
                sys.settrace(None)

        Thread(read).result()
        reply.detach(reader)
        return left <= 0

    lines = 1
    while cancel_after(lines):
        lines += 1
    assert lines > 20


def test_a_reader_that_asks_for_it_is_woken_by_reasoning_and_others_are_not():
    reply = ask(script := Script("one "))
    reader, other = reply.open(reasoning=True), reply.open()
    assert take(reader, 1) == take(other, 1) == ["one "]

    script.say(Reasoning("hm"))
    assert reader.take(LIMIT) == []
    assert (reply.reasoning_so_far, reader.done) == ("hm", False)
    assert other.take(0) == []
    script.say("two", END)

    assert take(reader, 1) == take(other, 1) == ["two"]


async def test_a_coroutine_is_woken_by_reasoning_too():
    reply = ask(script := Script(Reasoning("hm")))
    reader = reply.open(reasoning=True)

    assert (await reader.take_async(), reply.reasoning_so_far, reader.done) == ([], "hm", False)
    script.say("one", END)

    assert await reader.take_async() == ["one"]


def test_text_that_turns_out_to_be_reasoning_is_not_read_again_and_the_rest_is():
    reply = ask(script := Script("hm"))
    reader, other = reply.open(), reply.open(reasoning=True)
    assert take(reader, 1) == ["hm"]
    while reply.text_so_far != "":
        script.say(NewSplit("hm", ""))
        other.take(LIMIT)
    script.say("a", END)

    assert take(reader, 1) == ["a"]
    assert (reply.text, reply.reasoning, reply.splits > 0) == ("a", "hm", True)

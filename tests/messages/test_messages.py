"""The plain values, and the way of a notice."""

from __future__ import annotations

import asyncio
import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowgpt_magic.errors import FlowGptWarning
from flowgpt_magic.messages import Usage, notice, notices_to, progress, progress_to
from tests.records import conversation_record, notebook_record, turn_record


def test_the_first_chunk_is_not_counted_in_the_chunks_per_second():
    usage = Usage(first_chunk_seconds=1.0, seconds=3.0, chunks=5)

    assert usage.chunks_per_second == 2.0


@pytest.mark.parametrize(
    "usage",
    [
        Usage(),
        Usage(first_chunk_seconds=1.0, chunks=5),
        Usage(seconds=1.0, chunks=5),
        Usage(first_chunk_seconds=1.0, seconds=2.0, chunks=1),
        Usage(first_chunk_seconds=1.0, seconds=1.0, chunks=5),
    ],
)
def test_where_too_little_arrived_there_is_no_speed(usage):
    assert usage.chunks_per_second is None


@given(
    st.none() | st.floats(0, 1e6),
    st.none() | st.floats(0, 1e6),
    st.integers(0, 10**6),
)
def test_a_speed_is_never_negative(first, seconds, chunks):
    speed = Usage(first_chunk_seconds=first, seconds=seconds, chunks=chunks).chunks_per_second

    assert speed is None or speed > 0


def test_values_do_not_change_on_the_way():
    turn = turn_record(conversation_record(notebook_record()))

    with pytest.raises(dataclasses.FrozenInstanceError):
        turn.text = "Otherwise."  # type: ignore[misc]
    with pytest.raises(dataclasses.FrozenInstanceError):
        Usage().chunks = 1  # type: ignore[misc]


def test_a_notice_that_nobody_listens_to_is_a_warning():
    with pytest.warns(FlowGptWarning, match="the reply was empty"):
        notice("the reply was empty")


def test_a_notice_reaches_the_listener_and_nobody_else(recwarn):
    heard = []

    with notices_to(heard.append):
        notice("one")

    assert heard == ["one"]
    assert not recwarn


def test_the_inner_listener_hears_and_the_outer_one_hears_again_afterwards():
    outer, inner = [], []

    with notices_to(outer.append):
        with notices_to(inner.append):
            notice("in")
        notice("out")

    assert (outer, inner) == (["out"], ["in"])


def test_a_listener_leaves_even_after_an_error():
    heard = []

    with pytest.raises(ZeroDivisionError), notices_to(heard.append):
        raise ZeroDivisionError
    with pytest.warns(FlowGptWarning):
        notice("late")

    assert heard == []


async def test_two_tasks_at_once_do_not_hear_each_other():
    async def speak(name: str) -> list[str]:
        heard: list[str] = []
        with notices_to(heard.append):
            await asyncio.sleep(0)  # now the other one has begun to listen
            notice(name)
        return heard

    assert await asyncio.gather(speak("a"), speak("b")) == [["a"], ["b"]]


def test_progress_reaches_the_listener_and_is_nothing_without_one(recwarn):
    heard = []

    progress("waits")
    with progress_to(heard.append):
        progress("reads")
    progress("writes")

    assert heard == ["reads"]
    assert not recwarn

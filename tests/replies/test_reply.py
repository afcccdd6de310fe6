"""One answer, read by one or many, from coroutines and from threads, to its end or not."""

from __future__ import annotations

import asyncio
import copy
import pickle
import re
import threading
from collections.abc import AsyncGenerator, Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flowgpt_magic import Conversation, bridge
from flowgpt_magic.display import show
from flowgpt_magic.errors import (
    FlowGptError,
    MismatchError,
    ProviderError,
    ProviderStatusError,
    RateLimitError,
    ReplyInterrupted,
)
from flowgpt_magic.messages import Attempt, NewAttempt, Reasoning, Status, Usage, notice, progress
from flowgpt_magic.notebook.place import NO_CELL
from flowgpt_magic.replies.reader import Reader
from flowgpt_magic.replies.reply import Reply
from flowgpt_magic.replies.schema import schema_of
from flowgpt_magic.transcripts.caption import line_html
from tests.replies.scripted import END, LIMIT, Script, Thread, ask, take


class Recording:
    """A recorder that does what it is given for the end of a reply, and for the wait until that is saved."""

    def __init__(self, end: Callable[[Reply, Status], None] = lambda _reply, _status: None, saving: Any = None) -> None:
        self.end, self._saving = end, saving

    def begin(self, reply: Reply) -> None:
        """Nothing is kept."""

    grow = begin

    def restart(self, reply: Reply, why: str) -> None:
        """Nothing is kept."""

    async def until_saved(self, reply: Reply) -> None:
        if self._saving is not None:
            await self._saving(reply)


def read_sync(reply: Reply) -> str:
    return "".join(reply)


async def read_async(reply: Reply) -> str:
    return "".join([chunk async for chunk in reply])


def read_in_own_loop(reply: Reply) -> str:
    return asyncio.run(read_async(reply))


def await_in_own_loop(reply: Reply) -> str:
    async def whole() -> str:
        return await reply

    return asyncio.run(whole())


WAYS = [read_sync, read_in_own_loop, await_in_own_loop, lambda reply: reply.text]


# Four ways to read


def test_nothing_is_asked_before_somebody_reads():
    script = Script("one", END)
    reply = ask(script)

    assert (reply.status, reply.ended, reply.text_so_far, reply.usage) == (None, False, "", Usage())
    assert repr(reply) == "<Reply of test:script, not sent yet: reply.text sends it>"
    assert script.calls == 0


@pytest.mark.parametrize("read", WAYS)
def test_every_way_of_reading_gives_the_whole_text(read):
    reply = ask(Script("one ", "two ", "three", END))

    assert read(reply) == "one two three"
    assert (reply.status, reply.text, str(reply)) == ("complete", "one two three", "one two three")


@pytest.mark.parametrize("read", WAYS)
async def test_every_way_of_reading_works_inside_a_running_loop_too(read):
    reply = ask(Script("one ", "two", END))

    text = await asyncio.to_thread(read, reply) if "own_loop" in str(read) else read(reply)

    assert text == "one two"


async def test_a_reply_is_awaited_where_it_is_asked_for():
    assert await ask(Script("one ", "two", END)) == "one two"


async def test_a_reply_can_be_awaited_again():
    reply = ask(script := Script("one", END))

    assert [await reply, await reply, await reply] == ["one"] * 3
    assert script.calls == 1


def test_chunks_come_as_they_are_made():
    chunks = iter(ask(script := Script("one")))

    assert next(chunks) == "one"
    script.say("two")
    assert next(chunks) == "two"
    script.say(END)
    assert list(chunks) == []


async def test_chunks_come_to_a_coroutine_as_they_are_made():
    chunks = aiter(ask(script := Script("one")))

    assert await anext(chunks) == "one"
    script.say("two")
    assert await anext(chunks) == "two"
    script.say(END)
    assert [chunk async for chunk in chunks] == []


def test_a_reply_without_text_is_an_empty_one():
    reply = ask(Script(END))

    assert (list(reply), reply.text, reply.status) == ([], "", "complete")


def test_empty_chunks_are_not_passed_on():
    reply = ask(Script("", "one", "", "two", END))

    assert list(reply) == ["one", "two"]
    assert reply.usage.chunks == 2


def test_a_cell_that_ends_with_a_reply_shows_it(monkeypatch):
    shown = []
    monkeypatch.setattr(show, "show_result", shown.append)
    reply = ask(Script())

    reply._ipython_display_()

    assert shown == [reply]


def test_its_short_form_says_who_answers_and_how_far_it_is():
    reply = ask(script := Script("one"))
    reader = reply.open()
    take(reader, 1)
    assert repr(reply) == "<Reply of test:script, streaming, 3 characters>"

    script.say(END)
    assert reader.take(LIMIT) == []
    assert repr(reply) == "<Reply of test:script, complete, 3 characters>"


# Many readers


def test_readers_at_once_all_get_the_whole_text_and_the_provider_is_asked_once():
    reply = ask(script := Script("one "))
    readers = [Thread(lambda read=read: read(reply)) for read in WAYS * 2]
    assert script.begun.wait(LIMIT)

    script.say("two ", "three", END)

    assert [reader.result() for reader in readers] == ["one two three"] * len(readers)
    assert script.calls == 1


def test_many_who_begin_at_the_same_moment_start_it_once():
    for _ in range(30):
        reply = ask(script := Script("one", END))
        start = threading.Barrier(4)

        def read(reply: Reply = reply, start: threading.Barrier = start) -> str:
            start.wait(LIMIT)
            return reply.text

        assert [reader.result() for reader in [Thread(read) for _ in range(4)]] == ["one"] * 4
        assert script.calls == 1


async def test_await_in_one_loop_and_for_in_a_thread_at_once():
    reply = ask(script := Script("one "))
    thread = Thread(lambda: list(reply))
    awaited = asyncio.ensure_future(read_async(reply))
    await asyncio.to_thread(script.begun.wait, LIMIT)

    script.say("two", END)

    assert await awaited == "one two"
    assert await asyncio.to_thread(thread.result) == ["one ", "two"]


def test_a_late_reader_gets_what_has_arrived_and_then_follows():
    reply = ask(script := Script("one ", "two "))
    first = reply.open()
    take(first, 2)

    late = iter(reply)
    assert [next(late), next(late)] == ["one ", "two "]
    script.say("three")
    assert next(late) == "three"
    script.say(END)

    assert list(late) == []
    reply.detach(first)
    assert reply.status == "complete"


def test_a_reader_after_the_end_gets_everything_at_once():
    reply = ask(Script("one ", "two", END))
    list(reply)

    assert list(reply) == ["one ", "two"]


def test_one_reader_may_leave_without_the_others_noticing():
    reply = ask(script := Script("one "))
    stays, leaves = reply.open(), iter(reply)
    assert next(leaves) == "one "

    leaves.close()
    script.say("two", END)

    assert take(stays, 2) == ["one ", "two"]
    assert stays.take(LIMIT) == []
    assert reply.status == "complete"


def test_with_the_last_reader_the_reply_is_cancelled_and_its_text_kept():
    reply = ask(script := Script("one "))
    readers = [iter(reply) for _ in range(3)]
    assert [next(reader) for reader in readers] == ["one "] * 3

    for reader in readers[:2]:
        reader.close()
    assert reply.status == "streaming"
    readers[2].close()

    assert (reply.status, reply.text) == ("cancelled", "one ")
    assert script.closed.wait(LIMIT)


def test_a_loop_that_is_left_cancels_the_reply_at_once():
    reply = ask(script := Script("one ", "two ", "three"))

    for _chunk in reply:
        break

    assert reply.status == "cancelled"
    assert reply.text.startswith("one ")
    assert script.closed.wait(LIMIT)


async def test_an_async_loop_that_is_left_cancels_the_reply_at_once():
    reply = ask(script := Script("one "))

    async for _chunk in reply:
        break

    assert (reply.status, reply.text) == ("cancelled", "one ")
    assert await asyncio.to_thread(script.closed.wait, LIMIT)


async def test_chunks_that_are_closed_leave_the_reply():
    reply = ask(Script("one "))
    chunks = aiter(reply)
    assert await anext(chunks) == "one "

    await chunks.aclose()
    await chunks.aclose()

    assert (reply.status, [chunk async for chunk in chunks]) == ("cancelled", [])


@pytest.mark.parametrize("read", [read_async, Reply._steps])
async def test_a_cancelled_task_cancels_the_reply_it_read(read):
    reply = ask(script := Script("one "))
    watcher = reply.open()
    task = asyncio.create_task(read(reply))
    await watcher.take_async()
    await asyncio.sleep(0)
    reply.detach(watcher)
    assert reply.status == "streaming"

    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task
    assert (reply.status, reply.text) == ("cancelled", "one ")
    assert await asyncio.to_thread(script.closed.wait, LIMIT)


def test_a_loop_that_closes_over_its_reader_does_not_harm_the_others():
    reply = ask(script := Script("one "))
    stays, gone = reply.open(), reply.open()
    loop = asyncio.new_event_loop()
    assert loop.run_until_complete(gone.take_async()) == ["one "]
    loop.close()

    script.say("two", END)

    assert take(stays, 2) == ["one ", "two"]
    assert stays.take(LIMIT) == []
    assert reply.status == "complete"


# Failing


@pytest.mark.parametrize("read", WAYS)
def test_an_error_comes_after_the_chunks_before_it_and_the_text_is_kept(read):
    reply = ask(Script("one ", ProviderError("it broke")))

    with pytest.raises(ProviderError, match="it broke"):
        read(reply)

    assert (reply.status, reply.text, str(reply)) == ("failed", "one ", "one ")


def test_an_error_reaches_every_reader_after_all_the_text():
    reply = ask(script := Script("one "))
    texts: list[str] = []

    def read() -> None:
        chunks = []
        try:
            for chunk in reply:
                chunks.append(chunk)
        finally:
            texts.append("".join(chunks))

    readers = [Thread(read) for _ in range(4)] + [Thread(lambda: await_in_own_loop(reply))]
    assert script.begun.wait(LIMIT)
    script.say("two", ProviderError("it broke"))

    for reader in readers:
        with pytest.raises(ProviderError, match="it broke"):
            reader.result()
    assert texts == ["one two"] * 4


async def test_a_late_reader_gets_the_text_and_then_the_error():
    reply = ask(Script("one ", error := ProviderError("it broke")))
    with pytest.raises(ProviderError):
        await reply
    late = iter(reply)

    assert next(late) == "one "
    with pytest.raises(ProviderError) as caught:
        next(late)
    assert caught.value is error is reply.error
    with pytest.raises(ProviderError):
        await reply


def test_a_failed_reply_is_not_asked_again():
    reply = ask(script := Script(ProviderError("it broke")))

    for _ in range(3):
        with pytest.raises(ProviderError):
            list(reply)

    assert script.calls == 1


def test_an_error_of_any_kind_is_passed_on():
    reply = ask(Script("one ", ZeroDivisionError("a mistake in the provider")))

    with pytest.raises(ZeroDivisionError):
        list(reply)
    assert (reply.status, reply.text) == ("failed", "one ")


def test_a_provider_that_is_no_async_generator_fails_the_reply():
    reply = ask(lambda: None)  # type: ignore[arg-type, return-value]

    with pytest.raises((AttributeError, TypeError)):
        list(reply)
    assert reply.status == "failed"


@pytest.mark.parametrize("thing", [b"bytes", 7, None, {"content": "x"}])
def test_a_provider_that_sends_no_text_is_told_apart(thing):
    reply = ask(script := Script("one ", thing))

    with pytest.raises(FlowGptError, match=f"test sent {type(thing).__name__} where text was expected"):
        list(reply)
    assert (reply.status, reply.text) == ("failed", "one ")
    assert script.closed.wait(LIMIT)


# Cancelling


def test_cancelled_before_the_start_it_is_never_asked():
    reply = ask(script := Script("one", END))

    reply.cancel()

    assert (reply.status, reply.ended, reply.text, list(reply)) == ("cancelled", True, "", [])
    assert script.calls == 0
    assert reply.usage.seconds is not None
    assert reply.usage.seconds < LIMIT


async def test_cancelled_before_the_start_it_is_awaited_as_an_empty_text():
    reply = ask(Script("one", END))

    reply.cancel()

    assert await reply == ""


def test_cancelled_in_the_middle_it_keeps_its_text_and_closes_the_provider():
    reply = ask(script := Script("one "))
    chunks = iter(reply)
    next(chunks)

    reply.cancel()

    assert (reply.status, reply.text, list(chunks)) == ("cancelled", "one ", [])
    assert script.closed.wait(LIMIT)


def test_cancelled_after_the_end_it_stays_complete():
    reply = ask(Script("one", END))
    list(reply)

    reply.cancel()

    assert (reply.status, reply.text) == ("complete", "one")


def test_cancelled_after_a_failure_it_stays_failed():
    reply = ask(Script(ProviderError("it broke")))
    with pytest.raises(ProviderError):
        list(reply)

    reply.cancel()

    assert reply.status == "failed"


def test_cancelling_wakes_every_waiting_reader():
    reply = ask(script := Script("one "))
    readers = [Thread(lambda read=read: read(reply)) for read in WAYS]
    assert script.begun.wait(LIMIT)

    reply.cancel()

    texts = {reader.result() for reader in readers}
    assert texts <= {"one ", ""}
    assert texts == {reply.text}


def test_a_chunk_that_comes_after_the_cancel_is_dropped():
    class Late(Script):
        async def _next(self) -> Any:
            try:
                return await super()._next()
            except asyncio.CancelledError:
                return "too late"

    reply = ask(script := Late("one "))
    chunks = iter(reply)
    next(chunks)

    reply.cancel()

    assert script.closed.wait(LIMIT)
    assert (reply.text, reply.status, list(chunks)) == ("one ", "cancelled", [])


def test_a_provider_that_does_not_listen_is_left_at_its_next_chunk():
    deaf = threading.Event()
    closed = threading.Event()

    async def source() -> AsyncGenerator[str, None]:
        try:
            yield "one "
            while not deaf.is_set():
                try:
                    await asyncio.sleep(0.005)
                except asyncio.CancelledError:
                    deaf.set()
            while True:
                yield "more "
        finally:
            closed.set()

    reply = ask(source)
    for _chunk in reply:
        break

    assert deaf.wait(LIMIT)
    assert closed.wait(LIMIT)
    assert (reply.text, reply.status) == ("one ", "cancelled")


def test_a_provider_that_never_ends_keeps_nobody_waiting():
    released = threading.Event()
    ended = threading.Event()

    async def source() -> AsyncGenerator[str, None]:
        yield "one "
        while not released.is_set():
            try:
                await asyncio.sleep(0.005)
            except asyncio.CancelledError:
                continue
        ended.set()

    reply = ask(source)
    chunks = iter(reply)
    next(chunks)
    reply.cancel()

    assert list(chunks) == []
    assert (reply.text, reply.status) == ("one ", "cancelled")
    assert ask(Script("the next one", END)).text == "the next one"
    released.set()
    assert ended.wait(LIMIT)


def test_closing_a_connection_is_not_cut_short_by_readers_who_leave():
    closing, go_on, closed = threading.Event(), asyncio.Event(), threading.Event()

    async def source() -> AsyncGenerator[str, None]:
        try:
            yield "one "
            await asyncio.Event().wait()
        finally:
            closing.set()
            await go_on.wait()
            closed.set()

    reply = ask(source)
    chunks = iter(reply)
    next(chunks)
    reply.cancel()
    assert closing.wait(LIMIT)

    chunks.close()
    reply.cancel()
    bridge.run(asyncio.sleep(0))  # the worker has done what it was told until here
    bridge.worker().loop.call_soon_threadsafe(go_on.set)

    assert closed.wait(LIMIT)


def test_a_worker_that_is_closed_cancels_its_replies():
    reply = ask(Script("one "))
    chunks = iter(reply)
    next(chunks)

    bridge.close_worker()

    assert list(chunks) == []
    assert (reply.status, reply.text) == ("cancelled", "one ")


# Counting, telling, remembering


def test_what_the_provider_counted_goes_together_with_what_was_measured():
    counted = Usage(prompt_tokens=7, completion_tokens=2, finish_reason="stop")
    reply = ask(Script("one ", "two", counted, END))
    list(reply)

    usage = reply.usage
    assert (usage.prompt_tokens, usage.completion_tokens, usage.finish_reason, usage.chunks) == (7, 2, "stop", 2)
    assert usage.first_chunk_seconds is not None
    assert usage.seconds is not None
    assert 0 <= usage.first_chunk_seconds <= usage.seconds < LIMIT


def test_a_provider_cannot_claim_times_of_its_own():
    reply = ask(Script("one", Usage(chunks=99, seconds=1e9, first_chunk_seconds=1e9), END))
    list(reply)

    assert reply.usage.chunks == 1
    assert reply.usage.first_chunk_seconds is not None
    assert reply.usage.first_chunk_seconds < LIMIT
    assert reply.usage.seconds is not None
    assert reply.usage.seconds < LIMIT


def test_counts_that_come_early_are_kept():
    reply = ask(Script(Usage(prompt_tokens=7), "one ", "two", END))
    list(reply)

    assert (reply.usage.prompt_tokens, reply.usage.chunks) == (7, 2)


def test_without_counts_the_times_are_there_all_the_same():
    reply = ask(Script("one", END))
    list(reply)

    assert reply.usage.completion_tokens is None
    assert reply.usage.seconds is not None


def test_without_a_chunk_there_is_no_time_to_the_first():
    reply = ask(Script(END))
    list(reply)

    assert (reply.usage.chunks, reply.usage.first_chunk_seconds) == (0, None)


def test_notices_are_collected_and_are_no_warnings(recwarn):
    async def source() -> AsyncGenerator[str, None]:
        notice("the history was shortened")
        yield "one"
        notice("the reply was cut")

    reply = ask(source)
    list(reply)

    assert reply.notices == ["the history was shortened", "the reply was cut"]
    assert not recwarn


def test_two_replies_at_once_keep_their_notices_apart():
    def speaking(name: str) -> Callable[[], AsyncGenerator[str, None]]:
        async def source() -> AsyncGenerator[str, None]:
            for _ in range(5):
                await asyncio.sleep(0)
                notice(name)
            yield name

        return source

    replies = [ask(speaking(name)) for name in "ab"]
    threads = [Thread(lambda reply=reply: reply.text) for reply in replies]

    assert [thread.result() for thread in threads] == ["a", "b"]
    assert [reply.notices for reply in replies] == [["a"] * 5, ["b"] * 5]


@pytest.mark.parametrize(
    ("last", "status"), [(END, "complete"), (ProviderError("it broke"), "failed"), (None, "cancelled")]
)
def test_its_end_is_told_once_and_before_any_reader_comes_to_it(last, status):
    told: list[tuple[str, Status, Status | None]] = []
    reply = ask(
        Script("one ", *([last] if last else [])),
        recorder=Recording(lambda reply, status: told.append((reply.text_so_far, status, reply.status))),
    )
    reader = reply.open()
    take(reader, 1)
    if last is None:
        reply.cancel()
    assert reader.take(LIMIT) == []

    assert told == [("one ", status, "streaming")]
    reply.cancel()
    reply.detach(reader)
    assert len(told) == 1


def test_where_the_end_cannot_be_remembered_nobody_waits_for_ever():
    def fail(_reply: Reply, _status: Status) -> None:
        raise OSError("the disk is full")

    reply = ask(Script("one", END), recorder=Recording(fail))

    assert Thread(lambda: reply.text).result() == "one"
    assert reply.status == "complete"


def test_every_reply_has_a_name_of_its_own_and_keeps_what_was_sent():
    messages = [{"role": "user", "content": "hi"}]
    one, other = (Reply(Script(), provider="p", model="m", messages=messages) for _ in range(2))
    messages.clear()

    assert one.turn_id != other.turn_id
    assert one.messages == [{"role": "user", "content": "hi"}]


# Code


@pytest.mark.parametrize(
    ("text", "blocks"),
    [
        ("no code", []),
        ("```python\nprint(1)\n```", [("print(1)\n", "python")]),
        ("```\nplain\n```", [("plain\n", "")]),
        ("~~~ sql title=x\nselect 1\n~~~", [("select 1\n", "sql")]),
        ("a\n```py\n1\n```\nb\n```js\n2\n```", [("1\n", "py"), ("2\n", "js")]),
        ("````md\n```py\n1\n```\n````", [("```py\n1\n```\n", "md")]),
        ("1. list\n\n   ```py\n   1\n   ```", [("1\n", "py")]),
        ("> ```py\n> 1\n> ```", [("1\n", "py")]),
        ("```py\nnever closed", [("never closed", "py")]),
        ("`inline` and\n\n    indented\n\nmore", [("indented\n", "")]),
        ("<answer>\n```py\n1\n```\n</answer>", [("1\n", "py")]),
        ("<think>\n```py\n1\n```\n</think>\n```py\n2\n```", [("2\n", "py")]),
        ("```c++\r\n1\r\n```", [("1\n", "c++")]),
    ],
)
def test_the_code_of_a_reply_is_read_as_markdown_says(text, blocks):
    reply = ask(Script(*text, END))

    assert [(str(block), block.language) for block in reply.code_blocks] == blocks


def test_a_code_block_is_its_text():
    (block,) = ask(Script("```python\nx = 1\n```", END)).code_blocks
    names: dict[str, Any] = {}

    exec(block, names)

    assert names["x"] == 1


def test_the_code_of_a_cancelled_reply_is_what_has_come():
    reply = ask(Script("```py\n1\n```\n```js\n2"))
    for _chunk in reply:
        break

    assert [block.language for block in reply.code_blocks] == ["py", "js"]


# Any text, any moment

CHUNKS = st.lists(st.text(min_size=1), max_size=12)


@settings(max_examples=40, deadline=None)
@given(CHUNKS, st.lists(st.tuples(st.integers(0, 12), st.integers(0, len(WAYS) - 1)), max_size=5))
def test_readers_who_come_at_any_moment_all_see_the_same_whole_text(chunks, comers):
    reply = ask(script := Script())
    first = reply.open()
    threads = []
    for said in range(len(chunks) + 1):
        threads += [
            Thread(lambda way=way: WAYS[way](reply)) for moment, way in comers if min(moment, len(chunks)) == said
        ]
        if said < len(chunks):
            script.say(chunks[said])
            assert take(first, 1) == [chunks[said]]
    script.say(END)
    assert first.take(LIMIT) == []

    assert {thread.result() for thread in threads} <= {"".join(chunks)}
    assert (reply.text, script.calls, reply.status) == ("".join(chunks), 1, "complete")


@settings(max_examples=40, deadline=None)
@given(CHUNKS, st.integers(0, 12), st.booleans())
def test_a_cancel_at_any_moment_keeps_exactly_what_had_come(chunks, moment, by_leaving):
    reply = ask(script := Script())
    reader = reply.open()
    moment = min(moment, len(chunks))
    for chunk in chunks[:moment]:
        script.say(chunk)
        take(reader, 1)

    if by_leaving:
        reply.detach(reader)
    else:
        reply.cancel()
    script.say(*chunks[moment:], END)

    bridge.run(asyncio.sleep(0))  # the worker has done what it was told until here
    assert not script.begun.is_set() or script.closed.wait(LIMIT)
    assert (reply.text, reply.status) == ("".join(chunks[:moment]), "cancelled")


@settings(max_examples=40, deadline=None)
@given(st.lists(st.text(min_size=1), min_size=1, max_size=40), st.data())
def test_a_cancel_while_text_streams_freely_keeps_a_beginning_of_it(chunks, data):
    reply = ask(Script(*chunks, END))
    wanted = data.draw(st.integers(1, len(chunks)))
    seen = []
    for chunk in reply:
        seen.append(chunk)
        if len(seen) == wanted:
            reply.cancel()
            break

    assert reply.status in ("cancelled", "complete")
    assert "".join(chunks).startswith(reply.text)
    assert reply.text.startswith("".join(seen))
    if reply.status == "complete":
        assert reply.text == "".join(chunks)


def test_a_provider_that_ends_the_process_only_fails_its_reply():
    before = bridge.worker()
    reply = Reply(Script("words", SystemExit(3)), provider="rude", model="x", messages=[])

    with pytest.raises(ProviderError, match="rude tried to end the process"):
        list(reply)

    assert reply.text == "words"
    assert bridge.worker() is before


# One that is asked again


SCHEMA = schema_of({"type": "object", "required": ["n"]})


def test_whoever_waits_for_a_checked_reply_gets_the_chunks_that_stay():
    reply = ask(Script("no", "ne", NewAttempt("no JSON"), '{"n"', ": 1}", END), schema=SCHEMA)

    assert list(reply) == ['{"n"', ": 1}"]
    assert (reply.text, reply.data, reply.status) == ('{"n": 1}', {"n": 1}, "complete")
    assert reply.attempts == [Attempt("none", "no JSON")]


@pytest.mark.parametrize("read", WAYS)
def test_in_every_way_of_reading_it_is_the_text_that_stays(read):
    assert read(ask(Script("none", NewAttempt("no"), '{"n": 1}', END), schema=SCHEMA)) == '{"n": 1}'


def test_whoever_looks_on_sees_each_attempt_and_why_it_would_not_do():
    script = Script("none")
    reply = ask(script, schema=SCHEMA)
    reader = reply.open()
    seen = take(reader, 1)

    script.say(NewAttempt("no JSON"), '{"n": 1}', END)
    while not reader.done:
        seen += reader.take(LIMIT)

    assert seen == ["none", "\n\n[no JSON]\n\n", '{"n": 1}']


def test_the_times_of_a_reply_are_those_of_its_last_attempt():
    reply = ask(
        Script("a", "b", Usage(completion_tokens=2), NewAttempt("no"), '{"n": 1}', Usage(completion_tokens=4), END)
    )

    list(reply)

    assert (reply.usage.chunks, reply.usage.completion_tokens) == (1, 4)


def test_a_notice_of_every_attempt_is_told_once():
    async def source():
        for _attempt in range(2):
            notice("cut off")
            yield "x"
            yield NewAttempt("no")
        yield "y"

    reply = ask(source)

    assert (reply.text, reply.notices) == ("y", ["cut off"])


def test_the_value_of_a_reply_without_a_schema_is_the_json_in_it():
    assert ask(Script("So: ", '{"a": 1}', END)).data == {"a": 1}


def test_a_reply_that_was_stopped_has_no_value():
    script = Script('{"n": 1}')
    reply = ask(script, schema=SCHEMA)
    take(reply.open(), 1)

    reply.cancel()

    with pytest.raises(MismatchError, match="stopped before its end"):
        _value = reply.data
    assert reply.text == '{"n": 1}'


# Copies


@pytest.mark.parametrize("copied", [lambda reply: pickle.loads(pickle.dumps(reply)), copy.deepcopy, copy.copy])
def test_a_reply_that_has_ended_can_be_pickled_and_copied(copied):
    reply = ask(Script('{"n": 1}', END), schema=SCHEMA)
    list(reply)

    other = copied(reply)

    assert (str(other), other.status, other.data, other.usage) == (reply.text, "complete", {"n": 1}, reply.usage)
    assert (list(other), other.turn_id) == ([reply.text], reply.turn_id)


@pytest.mark.parametrize(
    "error", [ProviderError("down"), ProviderStatusError("no", 404), RateLimitError("slow down", 429, 3.0)]
)
def test_its_error_is_pickled_with_it(error):
    reply = ask(Script("so far", error))
    with pytest.raises(type(error)):
        list(reply)

    other = pickle.loads(pickle.dumps(reply))

    assert (type(other.error), str(other.error), vars(other.error)) == (type(error), str(error), vars(error))
    assert other.text_so_far == "so far"


def test_a_reply_that_still_streams_is_not_copied():
    reply = ask(Script("one"))
    take(reply.open(), 1)

    with pytest.raises(TypeError, match="has not ended"):
        copy.deepcopy(reply)
    reply.cancel()


def test_an_interrupt_while_its_text_is_waited_for_is_one_line_and_keeps_the_text():
    script = Script("two words")
    reply = ask(script)
    reader = reply.open()
    take(reader, 1)

    def interrupted(self, timeout=None):
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Reader, "take", interrupted)
        with pytest.raises(ReplyInterrupted, match="the 9 characters received so far are kept"):
            list(reply)

    assert (reply.status, reply.text) == ("cancelled", "two words")


# Saved before it is complete


class Saving:
    """What waits for a turn to be saved, until the test lets it go on."""

    def __init__(self) -> None:
        self.begun, self.stopped = threading.Event(), threading.Event()
        self.go_on: asyncio.Event | None = None

    async def __call__(self, reply: Reply) -> None:
        self.go_on = asyncio.Event()
        self.begun.set()
        try:
            await self.go_on.wait()
        except asyncio.CancelledError:
            self.stopped.set()
            raise

    def finish(self) -> None:
        bridge.worker().loop.call_soon_threadsafe(self.go_on.set)


def test_a_reply_is_complete_when_its_turn_is_saved_and_not_before():
    saving = Saving()
    reply = ask(Script("one", END), recorder=Recording(saving=saving))
    reader = reply.open()

    assert saving.begun.wait(LIMIT)
    assert (reply.status, reply.text_so_far, reader.take()) == ("streaming", "one", ["one"])
    saving.finish()

    assert reader.take() == []
    assert reply.status == "complete"


def test_a_cancel_ends_the_wait_for_saving_and_the_whole_reply_stays_complete():
    saving = Saving()
    reply = ask(Script("one", END), recorder=Recording(saving=saving))
    reader = reply.open()
    assert saving.begun.wait(LIMIT)

    reply.cancel()

    assert saving.stopped.wait(LIMIT)
    assert reader.take() == ["one"]
    assert reader.take() == []
    assert (reply.status, reply.error) == ("complete", None)


def test_a_reply_whose_recording_fails_ends_all_the_same():
    def fail(reply: Reply, status: Status) -> None:
        raise RuntimeError("no room")

    reply = ask(Script("one", END), recorder=Recording(fail, Saving()))

    reply.open().take()
    assert wait_until_ended(reply)


def wait_until_ended(reply: Reply) -> bool:
    return not reply.open().take(LIMIT) or reply.ended


@pytest.mark.parametrize("line", [ProviderError("broken"), None])
def test_only_a_complete_reply_waits_to_be_saved(line):
    saving, script = Saving(), Script("one", *([line] if line else []))
    reply = ask(script, recorder=Recording(saving=saving))
    reader = reply.open()
    take(reader, 1)
    if line is None:
        reply.cancel()

    assert reader.take() == []
    assert reply.status == ("failed" if line else "cancelled")
    assert not saving.begun.is_set()


# Looking at it


LOOKS = [repr, str, "{}".format, "{:>10}".format, dir, hash, bool, vars]


@pytest.mark.parametrize("look", LOOKS)
def test_looking_at_a_reply_that_was_not_read_asks_nothing_and_says_so(look):
    script = Script("one", END)
    reply = ask(script)

    look(reply)

    assert (reply.status, script.calls) == (None, 0)
    assert str(reply) == repr(reply) == "<Reply of test:script, not sent yet: reply.text sends it>"


@pytest.mark.parametrize("look", LOOKS)
def test_looking_at_a_reply_that_streams_waits_for_nothing(look):
    reply = ask(Script("one "))
    reader = reply.open()
    take(reader, 1)

    look(reply)

    assert (str(reply), reply.status) == ("one ", "streaming")
    reply.detach(reader)


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, pickle.dumps])
def test_a_reply_that_was_not_read_says_what_to_do_before_it_is_copied(copied):
    script = Script("one", END)

    with pytest.raises(TypeError, match=r"read it first \(reply\.text\)"):
        copied(ask(script))
    assert script.calls == 0


# What happens before the first text


def test_progress_is_there_until_the_first_text():
    seen: list[str] = []

    async def source() -> AsyncGenerator[str, None]:
        progress("reads the prompt")
        seen.append(reply.progress)
        yield "a"
        seen.append(reply.progress)

    reply = ask(source)
    assert reply.progress == ""
    assert list(reply) == ["a"]

    assert seen == ["reads the prompt", ""]
    assert reply.progress == ""
    assert reply.notices == []


def test_a_host_that_is_not_ipython_shows_what_has_come_and_asks_nothing():
    reply = Conversation(configured=lambda: {"model": "echo"}).ask("some **bold** <b>words</b>", cell=NO_CELL)

    before = reply._repr_markdown_()
    assert reply.status is None
    list(reply)

    assert before == line_html("echo:words · not sent yet: reply.text sends it")
    assert reply._repr_markdown_().startswith("some **bold** ")
    assert "<b>" not in reply._repr_markdown_().replace("\\<b>", "")
    assert re.search(r"\n\n<details [^>]+><summary><small>echo:words · .* s</small>", reply._repr_markdown_())


def test_as_the_last_line_of_a_cell_of_marimo_a_reply_is_asked_and_shown_whole():
    reply = Conversation(configured=lambda: {"model": "echo"}).ask("some words", cell=NO_CELL)

    shown = reply._display_()._repr_markdown_()

    assert reply.status == "complete"
    assert re.match(r"some words\n\n<details [^>]+><summary><small>echo:words · [^\n]* s</small>", shown)


def test_what_a_reply_failed_with_stands_below_its_text_in_marimo():
    options = {"model": "echo", "params": {"fail_after": 1}, "retries": 0}
    reply = Conversation(configured=lambda: options).ask("some words", cell=NO_CELL)

    shown = reply._display_()._repr_markdown_()

    ending = r"failed · echo was told to fail after 1 chunks\."
    assert re.match(rf"some\n\n<details [^>]+><summary><small>echo:words · [^\n]* s · {ending}</small>", shown)


# Reasoning


def test_reasoning_is_no_part_of_the_text_and_is_there_while_it_arrives():
    reply = ask(script := Script(Reasoning("two "), Reasoning("and two")))
    assert (reply.reasoning_so_far, reply.reasons) == ("", False)
    reader = reply.open(reasoning=True)
    while reply.reasoning_so_far != "two and two":
        reader.take(LIMIT)
    assert (reply.reasons, reply.text_so_far, reply.usage.chunks) == (True, "", 0)

    script.say("four", END)

    assert (reply.text, reply.reasoning, reply.reasons) == ("four", "two and two", False)
    assert list(reply) == ["four"]
    assert reply.usage.reasoning_seconds is not None


def test_a_reply_that_was_stopped_while_it_reasoned_keeps_the_reasoning_and_says_so():
    reply = ask(Script(Reasoning("two and two")))
    reader = reply.open(reasoning=True)
    while not reply.reasons:
        reader.take(LIMIT)

    reply.cancel()

    assert (reply.text, reply.reasoning, reply.reasons) == ("", "two and two", False)
    assert reply.interrupt_summary == (
        "the 11 characters of reasoning received so far are kept; the answer had not begun"
    )


def test_progress_ends_with_the_first_reasoning():
    async def source() -> AsyncGenerator[Any, None]:
        progress("loads")
        yield Reasoning("hm")
        shown.append(reply.progress)

    shown: list[str] = []
    reply = ask(source)

    assert reply.text == ""
    assert shown == [""]


def test_a_reply_of_reasoning_only_is_complete_without_text():
    reply = ask(Script(Reasoning(""), Reasoning("hm"), END))

    assert (reply.text, reply.reasoning, reply.status) == ("", "hm", "complete")

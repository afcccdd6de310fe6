"""Event streams, read as the standard says, wherever their bytes are cut."""

from __future__ import annotations

import re
import tracemalloc

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from flowgpt_magic.providers.http.server_sent_events import Event, EventSplitter
from tests.servers import cut

LIMIT = 2**20
CHUNK = b'data: {"choices":[{"index":0,"delta":{"content":" word"},"finish_reason":null}]}'
PIECES = [
    "data",
    "data:",
    "data: ",
    "data:  x",
    "data: [DONE]",
    "event: error",
    "event:",
    "event",
    "id: 7",
    "id",
    "id: a\0b",
    "retry: 10",
    "retry: soon",
    "retry: " + "9" * 5000,
    ":",
    ": a comment",
    "unknown: x",
    " data: x",
    "data : x",
    "Data: x",
    "a line",
    CHUNK.decode(),
    "data: \ufeffx",
    "\ufeff",
    "data: \u6771\u4eac\u2028\x85\x0b",
]


def by_the_standard(content: bytes) -> tuple[list[tuple[str, str, str]], int | None]:
    """The events of a whole stream, word for word as "Interpreting an event stream" says, and the reconnection time."""
    text = content.decode("utf-8", "replace").removeprefix("\ufeff")
    lines = re.split("\r\n|\r|\n", text)[:-1]  # what no line end ends is no line
    events, data, kind, last_id, retry = [], "", "", "", None
    for line in lines:
        if line == "":
            if data != "":
                events.append((data[:-1] if data.endswith("\n") else data, kind or "message", last_id))
            data = kind = ""
        elif not line.startswith(":"):
            name, colon, value = line.partition(":")
            if colon and value.startswith(" "):
                value = value[1:]
            if name == "event":
                kind = value
            elif name == "data":
                data += value + "\n"
            elif name == "id" and "\0" not in value:
                last_id = value
            elif name == "retry" and re.fullmatch("[0-9]{1,18}", value):
                retry = int(value)
    return events, retry


def split_all(blocks: list[bytes], limit: int = LIMIT) -> tuple[list[Event], EventSplitter]:
    splitter = EventSplitter(limit)
    return [event for block in blocks for event in splitter.split(block)] + splitter.last(), splitter


def events_of(content: bytes, limit: int = LIMIT) -> list[Event]:
    return split_all([content], limit)[0]


ENDS = ["\n", "\r", "\r\n", "\n\n", "\r\n\r\n", "\r\r"]
STREAMS = st.lists(st.tuples(st.sampled_from(PIECES), st.sampled_from(ENDS)), max_size=12)


@given(STREAMS, st.booleans(), st.lists(st.integers(0, 10_000)))
@example([("data: a", "\r\n"), ("data: b", "\r\n\r\n"), ("data: c", "\r")], True, [])
@example([("event: x", "\n"), (": a comment", "\n"), ("data: a", "\n\n"), ("data: b", "\n\n")], False, [9, 10])
@example([each for kind in "xxyx" for each in ((f"event: {kind}", "\n"), ("data: a", "\n\n"))], False, [])
@example(
    [("event: x", "\n"), ("data: a", "\n\n"), ("event: x", "\n"), ("data: b", "\n"), ("id: 7", "\n\n")] * 2, False, []
)
@settings(max_examples=300)
def test_the_events_are_those_of_the_standard_wherever_the_bytes_are_cut(
    stream: list[tuple[str, str]], marked: bool, places: list[int]
) -> None:
    content = (b"\xef\xbb\xbf" if marked else b"") + "".join(line + end for line, end in stream).encode()
    expected, retry = by_the_standard(content)

    for blocks in ([content], cut(content, places), cut(content, range(len(content)))):
        events, splitter = split_all(blocks)

        assert [(event.data.decode(), event.type, event.id) for event in events] == expected
        assert splitter.retry == retry


@given(st.binary(max_size=60), st.lists(st.integers(0, 10_000), max_size=20))
@settings(max_examples=300)
def test_any_bytes_are_read_the_same_wherever_they_are_cut(content: bytes, places: list[int]) -> None:
    content = content.replace(b"x", b"data:").replace(b"y", b"\n\n")
    expected = [(data.encode(), kind, last) for data, kind, last in by_the_standard(content)[0]]

    for blocks in ([content], cut(content, places), cut(content, range(len(content)))):
        events, splitter = split_all(blocks)

        assert [(e.data.decode("utf-8", "replace").encode(), e.type, e.id) for e in events] == expected
        assert not splitter.too_long


@pytest.mark.parametrize("end", [b"\n", b"\r", b"\r\n"])
@pytest.mark.parametrize("size", [1, 2, 3, 7, 80, 10_000])
def test_the_usual_stream_is_read_with_every_line_end_and_in_blocks_of_every_size(end: bytes, size: int) -> None:
    content = (CHUNK + end * 2) * 20 + b"data: [DONE]" + end * 2

    events, _ = split_all([content[place : place + size] for place in range(0, len(content), size)])

    assert events == [Event(CHUNK[6:])] * 20 + [Event(b"[DONE]")]


def test_the_examples_of_the_standard_are_read_as_it_says() -> None:
    assert events_of(b"data: YHOO\ndata: +2\ndata: 10\n\n") == [Event(b"YHOO\n+2\n10")]
    assert events_of(b"data\n\ndata\ndata\n\ndata:") == [Event(b""), Event(b"\n")]
    assert events_of(b"data:test\n\ndata: test\n\n") == [Event(b"test"), Event(b"test")]
    stream = b": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n"
    assert events_of(stream) == [Event(b"first event", id="1"), Event(b"second event")]


def test_a_lone_cr_at_the_end_of_a_block_ends_its_line_at_once() -> None:
    splitter = EventSplitter(LIMIT)

    assert splitter.split(b"data: a\r\r") == [Event(b"a")]
    assert splitter.split(b"\ndata: b\r") == []
    assert splitter.split(b"\n\r") == [Event(b"b")]


def test_what_was_begun_when_the_bytes_ended_is_no_event_but_can_be_looked_at() -> None:
    for stream, left in (
        (b"data: a", [Event(b"a")]),
        (b"data: a\n", [Event(b"a")]),
        (b"data: a\ndata: b", [Event(b"a\nb")]),
        (b"event: error\ndata: a", [Event(b"a", "error")]),
        (b": x", []),
        (b"", []),
    ):
        events, splitter = split_all([stream])

        assert (events, splitter.unfinished()) == ([], left)


# What is too long


@given(
    st.lists(st.lists(st.integers(0, 14), min_size=1, max_size=4), max_size=8),
    st.lists(st.integers(0, 10_000)),
)
@settings(max_examples=300)
def test_the_events_before_one_that_is_too_long_come_out_and_none_after_it(
    lengths: list[list[int]], places: list[int]
) -> None:
    limit = 18
    content = b"".join(b"".join(b"data: %s\n" % (b"x" * n) for n in event) + b"\n" for event in lengths)
    datas = [b"\n".join(b"x" * n for n in event) for event in lengths]
    too_long = [
        len(data) > limit or max(event) + len("data: ") > limit for data, event in zip(datas, lengths, strict=True)
    ]
    first = too_long.index(True) if True in too_long else len(datas)

    for blocks in ([content], cut(content, places), cut(content, range(len(content)))):
        events, splitter = split_all(blocks, limit)

        assert [event.data for event in events] == datas[:first]
        assert splitter.too_long == (first < len(datas))


@pytest.mark.parametrize("content", [b"x", b"data: x\n", b":", b"id: x\ndata: x\n", b"data: a\rdata: b\r\n"])
@pytest.mark.parametrize("size", [1, 500])
def test_a_stream_without_end_takes_no_more_memory_than_the_limit(content: bytes, size: int) -> None:
    splitter = EventSplitter(20_000)
    block = content * size
    tracemalloc.start()
    while not splitter.too_long:
        assert splitter.split(block) == []
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert peak < 100_000 + 20 * len(block)


def test_comments_and_events_without_data_may_go_on_for_ever() -> None:
    splitter = EventSplitter(1024)

    for _ in range(10_000):
        assert splitter.split(b": still thinking\n\nevent: ping\n\n") == []

    assert splitter.split(b"data: x\n\n") == [Event(b"x")]
    assert not splitter.too_long


@pytest.mark.parametrize(("digits", "retry"), [(18, int("9" * 18)), (19, None)])
def test_a_reconnection_time_has_18_digits_at_most(digits: int, retry: int | None) -> None:
    splitter = EventSplitter(LIMIT)

    splitter.split(b"retry: " + b"9" * digits + b"\n\n")

    assert splitter.retry == retry

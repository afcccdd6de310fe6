"""Reasoning between tags is told apart from the answer while both arrive, in whatever chunks they do."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Iterable
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from flowgpt_magic.errors import ProviderError
from flowgpt_magic.messages import NewSplit, Reasoning, Usage
from flowgpt_magic.messages.extras import Extras
from flowgpt_magic.messages.reasoning import without_tags
from flowgpt_magic.replies.think_tags import ThinkTags, split_think_tags
from tests.messages.test_reasoning import PLAIN, TAGS, WILD


def pieces_of(chunks: Iterable[str]) -> list[Any]:
    """What is passed on of these chunks."""
    tags, pieces = ThinkTags(), list[Any]()
    for chunk in chunks:
        pieces += [chunk] if tags.passes(chunk) else tags.add(chunk)
    return [*pieces, *tags.finish()]


def split(pieces: Iterable[Any]) -> tuple[str, str]:
    """Reasoning and text of all pieces together."""
    reasoning = text = ""
    for piece in pieces:
        if isinstance(piece, NewSplit):
            reasoning, text = piece.reasoning, piece.text
        elif isinstance(piece, Reasoning):
            reasoning += piece
        else:
            text += piece
    return reasoning, text


def cut(text: str, places: Iterable[int]) -> list[str]:
    ends = sorted({0, len(text), *(place % (len(text) + 1) for place in places)})
    return [text[start:end] for start, end in pairwise(ends)]


CUTS = st.lists(st.integers(0, 400), max_size=30)


@settings(max_examples=1000)
@given(text=WILD, places=CUTS)
@example("a</think> b", [1, 2, 9])
@example("<think>\n```\n1\n```</think>\nOslo.", [3, 20])
@example('{"a": "b</think>c"}', [4])
@example('{"a": </think>c', [4])
def test_the_result_is_that_of_the_whole_text_however_it_is_cut(text, places):
    assert split(pieces_of(cut(text, places))) == without_tags(text)


@settings(max_examples=300)
@given(text=WILD)
def test_the_result_is_the_same_letter_by_letter(text):
    assert split(pieces_of(text)) == without_tags(text)


@given(thought=PLAIN, answer=PLAIN, tags=st.sampled_from(TAGS), places=CUTS)
def test_between_tags_at_the_start_everything_is_reasoning_from_the_first_letter_on(thought, answer, tags, places):
    opening, closing = tags
    pieces = pieces_of(cut(f"{opening}{thought}{closing}\n\n{answer}", places))

    assert not any(isinstance(piece, NewSplit) for piece in pieces)
    assert split(pieces) == (thought.strip(), without_tags(f"{opening}{closing}\n\n{answer}").rest)


@pytest.mark.parametrize(
    ("chunks", "pieces"),
    [
        (["Os", "lo"], ["Os", "lo"]),
        (["<th", "ink>", "Is it", " Oslo?", "\n</think>", "\n\n", "Os", "lo"], ["Is it", " Oslo?", "Os", "lo"]),
        (["<think>\n\n</think>\n\n", "Oslo"], ["Oslo"]),
        (["<think>a</think>", "\n<think>", "b</think>", "\nOslo"], ["a", "\n\nb", "Oslo"]),
        (["Is it?", "\n</think>", "\n\n", "Oslo"], ["Is it?", "\n", NewSplit("Is it?", ""), "Oslo"]),
        (["Use `</think>` ", "or </think>", " to end", " it </think>."], None),
        (["a < b", " and </", "div>", " or <", "/p>"], None),
        (["```\n<think>\n", "a\n</think>\n", "```\n"], None),
        (["<", "p>a"], ["<p>a"]),
        ([" ", "\n", "Oslo"], [" \nOslo"]),
        (["<think"], ["<think"]),
        (["<think>a", " \n"], ["a"]),
    ],
)
def test_what_is_passed_on_when(chunks, pieces):
    passed = pieces_of(chunks)

    assert passed == pieces if pieces is not None else "".join(passed) == "".join(chunks)


def stream(*items: Any) -> AsyncGenerator[Any, None]:
    async def say() -> AsyncGenerator[Any, None]:
        for item in items:
            if isinstance(item, BaseException):
                raise item
            yield item

    return say()


async def test_counts_that_come_after_the_text_stay_after_it():
    usage, extras = Usage(1, 2), Extras(request_id="r")

    chunks = [chunk async for chunk in split_think_tags(stream("a", "</think>", extras, usage))]

    assert chunks == ["a", "</think>", extras, usage]


async def test_the_rest_of_the_text_comes_before_the_error_of_a_reply_that_fails():
    extras = Extras(request_id="r")
    chunks = split_think_tags(stream("<think>a", " <", extras, ProviderError("down")))

    assert [await anext(chunks) for _ in range(3)] == ["a", " <", extras]
    with pytest.raises(ProviderError, match="down"):
        await anext(chunks)


async def test_reasoning_that_the_provider_tells_apart_is_passed_on_and_kept_in_a_correction():
    chunks = [chunk async for chunk in split_think_tags(stream(Reasoning("one"), "two", "\n</think>\n", "three"))]

    assert chunks[0] == "one"
    assert split(chunks) == ("one\n\ntwo", "three")


async def test_what_is_no_text_is_passed_on_at_once():
    chunks = split_think_tags(stream("<think>", 5))

    assert await anext(chunks) == 5


@pytest.mark.parametrize(
    "pieces",
    [
        ["<think>"] * 30_000,
        ["<think></think>"] * 20_000,
        ["<think>", *["\n```a\n</think>\n"] * 20_000],
        ["<think>", *["`</think>`"] * 25_000],
        ["<think>", "\n```", *["word "] * 50_000],
        ["x </think> x"] * 30_000,
        ["`</think>`"] * 30_000,
        ["</div>"] * 50_000,
        ["\n"] * 100_000,
        ["<think>", *[" "] * 100_000],
        ["<think>a</think>", *["\n"] * 100_000],
        ["```", *["</"] * 50_000],
        ["```\n"] * 50_000,
        ["{", *["</think>"] * 20_000],
    ],
    ids=lambda pieces: "".join(pieces)[:20].encode("unicode_escape").decode(),
)
def test_many_chunks_made_to_cost_much_take_less_than_a_second(pieces):
    begun = time.thread_time()
    passed = pieces_of(pieces)

    assert time.thread_time() - begun < 1
    assert split(passed) == without_tags("".join(pieces))

"""Halves of characters, as JSON can hold them and a text cannot."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from flowgpt_magic.providers.surrogates import SurrogateJoiner, join_surrogates

ASTRAL = st.text(alphabet="a\u00e9\U0001f600\U0001f40d")


def halved(text: str) -> list[str]:
    """The text in UTF-16 units: a character beyond the first 65,536 is two of them."""
    units = text.encode("utf-16-le")
    return [units[place : place + 2].decode("utf-16-le", "surrogatepass") for place in range(0, len(units), 2)]


@given(ASTRAL, st.lists(st.integers(0, 100)))
def test_a_character_that_was_cut_in_two_is_whole_again(text: str, places: list[int]) -> None:
    pieces = halved(text)
    borders = sorted({0, len(pieces), *(place % (len(pieces) + 1) for place in places)})
    characters = SurrogateJoiner()

    mended = [characters.join("".join(pieces[start:end])) for start, end in itertools.pairwise(borders)]

    assert "".join(mended) + characters.finish() == text


@given(st.text(alphabet=st.characters() | st.characters(categories=["Cs"])))
def test_any_text_can_be_stored_afterwards_and_is_as_it_was_where_it_could(text: str) -> None:
    found = join_surrogates(text)

    found.encode()
    assert found == text or any("\ud800" <= char <= "\udfff" for char in text)


@given(ASTRAL)
def test_two_halves_side_by_side_are_one_character(text: str) -> None:
    assert join_surrogates("".join(halved(text))) == text


def test_a_half_that_stays_alone_becomes_a_sign() -> None:
    characters = SurrogateJoiner()

    assert [characters.join(chunk) for chunk in ("a\ud83d", "b", "\ude00c\ud83d")] == ["a", "\ufffdb", "\ufffdc"]
    assert characters.finish() == "\ufffd"
    assert join_surrogates("\ud83d") == join_surrogates("\ude00") == "\ufffd"

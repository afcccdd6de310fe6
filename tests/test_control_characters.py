"""A text that arrives in pieces is cleaned as if it had come at once."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flowgpt_magic.control_characters import LONGEST_SEQUENCE, ArrivingText, clean

_PIECES = (
    "\x1b",
    "[",
    "]",
    "31",
    "m",
    ";",
    "\x07",
    "\\",
    "a",
    "\r",
    "\n",
    "\ud83d",
    "\ude00",
    " ",
    "\0",
    "\u202e",
    "P",
    "(",
)
PIECES = st.sampled_from([*_PIECES, "\x1b[31m", "\x1b]0;title\x07", "😀", "x" * (LONGEST_SEQUENCE // 2)])


def arrived(pieces: list[str]) -> str:
    arriving = ArrivingText()
    return "".join(map(arriving.add, pieces)) + arriving.finish()


@settings(max_examples=500)
@given(st.lists(st.lists(PIECES).map("".join)))
def test_where_a_text_is_cut_makes_no_difference(pieces):
    assert arrived(pieces) == clean("".join(pieces))


@given(st.text())
def test_what_is_clean_can_be_encoded_and_has_no_control_characters(text):
    shown = arrived(list(text))

    shown.encode()
    assert not any(ord(char) < 0x20 and char not in "\n\t" for char in shown)
    assert clean(shown) == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\r\nb\rc\n", "a\nb\nc\n"),
        ("\x1b[1;31mred\x1b[0m and \x1b]8;;https://a.b\x1b\\link\x1b]8;;\x1b\\", "red and link"),
        ("nul \0 bell \a delete \x7f", "nul ␀ bell ␇ delete ␡"),
        ("\x9b and \ufffe", "� and �"),
        ("half \ud83d pair \ude00", "half � pair �"),
        ("a \ud83d\ude00 pair", "a 😀 pair"),
        ("\u202eevil\u202c \u2066x\u2069", "�evil� �x�"),
        ("a\x0bb\x0cc\x85d\u2028e\u2029f", "a b c d e f"),
        ("tab\tstays", "tab\tstays"),
    ],
)
def test_what_is_seen_of_odd_characters(text, shown):
    assert clean(text) == arrived(list(text)) == shown


@pytest.mark.parametrize("beginning", ["\x1b]0;", "\x1bP", "\x1b_"])
def test_a_sequence_without_an_end_does_not_keep_the_text_back_for_ever(beginning):
    arriving = ArrivingText()

    shown = arriving.add(beginning) + arriving.add("x" * 10 * LONGEST_SEQUENCE)

    assert shown.endswith("x" * 10 * LONGEST_SEQUENCE)


def test_text_that_nothing_can_change_leaves_at_once():
    assert ArrivingText().add("words") == "words"

"""Text for one line."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from flowgpt_magic.text import cut, cut_between_words, one_line, printable, sentences


def test_what_would_steer_a_terminal_is_replaced_and_spaces_stay():
    assert printable("red  \x1b[31malert\x07") == "red  \ufffd[31malert\ufffd"
    assert one_line("red \x1b[31malert\x07\r\n next") == "red \ufffd[31malert\ufffd next"


@given(st.text())
def test_a_line_is_printable_and_has_no_space_twice(text):
    line = one_line(text)

    assert line.isprintable()
    assert "  " not in line
    assert one_line(line) == line


@given(st.text(), st.integers(1, 80))
def test_a_cut_text_is_one_line_and_says_that_it_goes_on(text, limit):
    shown = cut(text, limit)
    whole = one_line(text)

    assert len(shown) <= limit
    assert shown == whole or (shown.endswith("…") and whole.startswith(shown[:-1]))
    assert (shown == whole) == (len(whole) <= limit)


def test_sentences_end_in_one_full_stop_or_in_their_own_mark():
    assert sentences("no model", "", "Is it there?", "Try again...", "it went on…", "it says (no.)", 'or "yes!"') == (
        'no model. Is it there? Try again. it went on…. it says (no.) or "yes!"'
    )
    assert sentences("", ".") == ""


@given(st.lists(st.text(alphabet='ab .?!)"', max_size=6), max_size=4))
def test_sentences_never_end_in_two_full_stops(parts):
    joined = sentences(*parts)

    assert not joined.endswith("..")
    assert sentences(joined) == joined


@given(st.text(st.sampled_from("ab .…ü東"), max_size=60), st.integers(0, 60))
def test_text_is_cut_between_words_and_nothing_else_is_lost(text: str, limit: int) -> None:
    found = cut_between_words(text, limit)
    assert text.startswith(found)
    assert len(found) <= limit
    assert found == text or not (
        found[-1:].isascii() and found[-1:].strip() and text[len(found)].isascii() and text[len(found)].strip()
    )

"""Control characters, escape sequences and halves of surrogate pairs: none gets through, wherever a text is cut."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flowgpt_magic.control_characters import MAX_SEQUENCE, ArrivingText, SurrogateJoiner, clean, join_surrogates
from flowgpt_magic.history.rows import statement, to_sqlite
from flowgpt_magic.markdown.growing import GrowingMarkdown
from flowgpt_magic.markdown.harmless import harmless
from flowgpt_magic.markdown.html.changes import GrowingMarkup, blocks_of
from flowgpt_magic.markdown.terminal.markdown import TerminalMarkdown
from flowgpt_magic.messages.content_parts import read_messages
from flowgpt_magic.transcripts import files
from tests.records import conversation_record, notebook_record, turn_record

CONVERSATION = conversation_record(notebook_record())

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
PIECES = st.sampled_from([*_PIECES, "\x1b[31m", "\x1b]0;title\x07", "😀", "x" * (MAX_SEQUENCE // 2)])


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

    shown = arriving.add(beginning) + arriving.add("x" * 10 * MAX_SEQUENCE)

    assert shown.endswith("x" * 10 * MAX_SEQUENCE)


def test_text_that_nothing_can_change_leaves_at_once():
    assert ArrivingText().add("words") == "words"


# Halves of characters, as JSON can hold them and a text cannot

ASTRAL = st.text(alphabet="a\u00e9\U0001f600\U0001f40d")


def halved(text: str) -> list[str]:
    """The text in UTF-16 units: a character beyond the first 65,536 is two of them."""
    units = text.encode("utf-16-le")
    return [units[place : place + 2].decode("utf-16-le", "surrogatepass") for place in range(0, len(units), 2)]


@given(ASTRAL, st.lists(st.integers(0, 100)))
def test_a_character_that_was_cut_in_two_is_whole_again(text: str, places: list[int]) -> None:
    pieces = halved(text)
    borders = sorted({0, len(pieces), *(place % (len(pieces) + 1) for place in places)})
    stream = SurrogateJoiner()

    mended = [stream.join("".join(pieces[start:end])) for start, end in itertools.pairwise(borders)]

    assert "".join(mended) + stream.finish() == text


@given(st.text(alphabet=st.characters() | st.characters(categories=["Cs"])))
def test_any_text_can_be_stored_afterwards_and_is_as_it_was_where_it_could(text: str) -> None:
    found = join_surrogates(text)

    found.encode()
    assert found == text or any("\ud800" <= char <= "\udfff" for char in text)


@given(ASTRAL)
def test_two_halves_side_by_side_are_one_character(text: str) -> None:
    assert join_surrogates("".join(halved(text))) == text


def test_a_half_that_stays_alone_becomes_a_sign() -> None:
    stream = SurrogateJoiner()

    assert [stream.join(chunk) for chunk in ("a\ud83d", "b", "\ude00c\ud83d")] == ["a", "\ufffdb", "\ufffdc"]
    assert stream.finish() == "\ufffd"
    assert join_surrogates("\ud83d") == join_surrogates("\ude00") == "\ufffd"


# Nothing gets through to any outlet, wherever the text is cut

HOSTILE = st.lists(
    st.sampled_from([*_PIECES, "\x1b[31m", "\x1b]0;title\x07", "\x9b", "\x85", "\u2028", "\x7f", "&#27;", "&#x202e;"])
    | st.sampled_from(["`", "```\n", "# ", "- ", "> ", "|a|\n|-|\n", "$x$", "**", "[a](https://b.c)", "\n\n", "word "])
).map("".join)
CUTS = st.lists(st.integers(0, 200), max_size=4)
FORBIDDEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ufffe\uffff\ud800-\udfff]")


def cut_at(text: str, cuts: list[int]) -> list[str]:
    places = sorted({0, len(text), *(cut % (len(text) + 1) for cut in cuts)})
    return [text[start:end] for start, end in itertools.pairwise(places)]


def in_a_cell(pieces: list[str]) -> str:
    growing = GrowingMarkdown()
    for piece in pieces:
        growing.add(piece)
    shown = growing.open_shown
    return shown + "".join(block.shown for block in growing.finish()) + harmless("".join(pieces))


def in_a_panel(pieces: list[str]) -> str:
    growing, shown = GrowingMarkup(), ""
    for piece in pieces:
        growing.feed(piece)
        change = growing.change()
        shown += "".join((change.add, *change.blocks)) if change else ""
    growing.finish()
    return shown + "".join((*growing.blocks, *blocks_of("".join(pieces))))


def in_a_terminal(pieces: list[str]) -> str:
    terminal = TerminalMarkdown(40, False)
    return "".join(map(terminal.add, pieces)) + terminal.finish()


def in_an_export(pieces: list[str]) -> str:
    turn = turn_record(CONVERSATION, prompt="".join(pieces), text="".join(pieces), status="complete")
    with TemporaryDirectory() as folder:
        paths = [files.write(Path(folder) / f"t{ending}", "main", "", [turn]) for ending in files.FILE_FORMATS]
        return "".join(path.read_bytes().decode("utf-8") for path in paths)


@pytest.mark.parametrize("outlet", [in_a_cell, in_a_panel, in_a_terminal, in_an_export])
@settings(deadline=None, max_examples=100)
@given(text=HOSTILE | st.text(st.characters() | st.characters(categories=["Cs", "Cc"])), cuts=CUTS)
def test_nothing_that_acts_on_a_page_or_a_terminal_gets_through(
    outlet: Callable[[list[str]], str], text: str, cuts: list[int]
) -> None:
    assert FORBIDDEN.findall(outlet(cut_at(text, cuts))) == []


@settings(deadline=None)
@given(HOSTILE | st.text(st.characters() | st.characters(categories=["Cs", "Cc"])), CUTS)
def test_what_is_sent_and_stored_can_be_encoded(text: str, cuts: list[int]) -> None:
    (message,) = read_messages([{"role": "user", "content": f"a{text}"}], images=True, who="")
    stream = SurrogateJoiner()
    reply = "".join(map(stream.join, cut_at(text, cuts))) + stream.finish()
    stored = map(to_sqlite, statement(turn_record(CONVERSATION, prompt=text, text=text))[1])

    assert message["content"].encode() == f"a{join_surrogates(text)}".encode()
    assert reply.encode() == join_surrogates(text).encode()
    assert all(value.encode() is not None for value in stored if isinstance(value, str))

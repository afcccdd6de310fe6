"""Replies that repeat themselves are ended where that begins; those that have a reason to are left whole."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flowgpt_magic.providers.llama_cpp.repetition import Repetition

# Some 2,000 characters, which is more than the embedded model writes in one reply.
LOOPS = {
    "a sentence": "The capital is " + "the city of the people of the land. " * 60,
    "words without an end": "La femme" + " au pays de France, la femme" * 70,
    "a line": "Here is a list:\n" + "The dog went home.\n" * 100,
    "a numbered line": "Do this:\n" + "".join(f"{number}. Wash the apples well.\n" for number in range(1, 70)),
    "two lines in turns": "A talk.\n\n" + "Ada: How are you today?\nBob: I am fine, thank you.\n" * 40,
    "a paragraph": "Well.\n\n" + (" ".join(f"It was night {n} of them all." for n in "abcdefghij") + "\n\n") * 9,
    "a word": "I am very" + ", very" * 350,
    "code": "```python\ndef f(x):\n" + "    x = transform(x, 1)\n" * 90,
    "indented code": "    begin()\n" + "    x = transform(x, 1)\n" * 90,
    "Chinese": "好的。" + "巴黎是法国的首都也是最大的城市。" * 60,
    "zeros": "[" + "0, " * 800,
}
WHOLE = {
    "a table": "| name | value |\n|---|---|\n" + "".join(f"| row {n} | 0.0 |\n" for n in range(200)),
    "a table of equal rows": "| a | b |\n|---|---|\n" + "| none | none |\n" * 40,
    "a ruled line": "=" * 120 + "\nTitle\n" + "-" * 120 + "\n* * * * * * * * * * * *\n",
    "a list of numbers": "\n".join(map(str, range(500))),
    "a list of decimals": "\n".join(f"{number}.0" for number in range(400)),
    "numbers in a row": ", ".join(map(str, range(600))),
    "a matrix of zeros": "[" + "[0, 0, 0, 0, 0, 0, 0, 0, 0, 0],\n" * 10 + "]",
    "the multiplication table": "\n".join(f"{a} x {b} = {a * b}" for a in range(1, 13) for b in range(1, 13)),
    "assignments": "```python\n" + "".join(f"    self.value_{n} = value_{n}\n" for n in range(60)) + "```\n",
    "twenty equal lines of code": "```python\n" + 'print("hello")\n' * 20 + "```\n",
    "laughter": "Ha ha ha ha ha ha ha ha ha ha ha ha ha! That was a good one.",
    "lines for a school": "I will not talk in class.\n" * 20,
    "a song": ("We sing all day.\nWe sing all night.\n" + "La la la la la la la.\n" * 3 + "\n") * 3,
    "a numbered list": "\n".join(f"{n}. Wash {what}." for n, what in enumerate("abcdefghijklmnopqrstuvwxyz", 1)),
    "a log": "\n".join(f"2026-11-{n % 30 + 1:02} 12:00:{n % 60:02} INFO request served" for n in range(100)),
    "blank lines": "a" + "\n" * 60 + "b",
}


def read(chunks: Iterable[str], **options: bool) -> tuple[str, bool]:
    """What is shown of a reply in these chunks, and whether it was stopped."""
    repetition = Repetition(**options)
    shown = "".join(map(repetition.feed, chunks))
    return shown + repetition.finish(), repetition.found


@pytest.mark.parametrize("name", LOOPS)
def test_a_loop_is_found_and_little_of_it_is_shown(name: str) -> None:
    shown, found = read(LOOPS[name])
    assert found
    assert LOOPS[name].startswith(shown)
    assert len(shown) < 600 if name == "a paragraph" else len(shown) < 140


def test_it_ends_with_a_whole_sentence() -> None:
    shown, _ = read(LOOPS["a line"])
    assert shown.strip() == "Here is a list:\n" + "\n".join(["The dog went home."] * 3)


@pytest.mark.parametrize("size", [1, 3, 7, 100_000])
@pytest.mark.parametrize("name", WHOLE)
def test_what_repeats_itself_for_a_reason_is_left_whole(name: str, size: int) -> None:
    text = WHOLE[name]
    assert read(text[start : start + size] for start in range(0, len(text), size)) == (text, False)


def test_the_rows_of_json_may_be_equal() -> None:
    rows = "[" + '{"name": "none", "age": 0}, ' * 30 + "{}]"
    assert read(rows)[1]
    assert read(rows, structured=True) == (rows, False)


def test_code_that_has_ended_is_text_again() -> None:
    begin = "```\nx = 1\n```\n"
    shown, found = read(begin + LOOPS["a line"])
    assert found
    assert shown.startswith(begin)


def test_nothing_is_taken_after_the_end() -> None:
    repetition = Repetition()
    for _ in range(100):
        repetition.feed("The dog went home. ")
    assert repetition.found
    assert repetition.feed("And now for something else.") == ""
    assert repetition.finish() == ""


def test_text_that_does_not_repeat_itself_is_shown_at_once() -> None:
    repetition = Repetition()
    for word in ("Paris ", "is the ", "capital of ", "France, ", "and the ", "largest city ", "of ", "France."):
        assert repetition.feed(word) == word


def test_what_was_held_back_comes_when_something_new_follows() -> None:
    repetition = Repetition()
    shown = "".join(repetition.feed("I will not talk in class.\n") for _ in range(5))
    assert shown == "I will not talk in class.\n" * 2
    assert repetition.feed("Done. ") == "I will not talk in class.\n" * 3 + "Done. "


pieces = st.sampled_from(
    ["a", "b ", " c", "\n", "1", "12", ". ", "| ", "```\n", "0, ", "é", "日本", "\t", "\r\n", "  "]
)
texts = st.one_of(st.text(max_size=60), st.lists(pieces, max_size=60).map("".join))


@given(st.lists(texts, max_size=12), st.booleans())
def test_a_reply_that_is_not_stopped_comes_whole(chunks: list[str], structured: bool) -> None:
    shown, found = read(chunks, structured=structured)
    text = "".join(chunks)
    assert text.startswith(shown)
    assert found or shown == text


@settings(max_examples=30)
@given(texts, texts.filter(str.strip), st.data())
def test_where_it_stops_does_not_depend_on_the_chunks(begin: str, copy: str, data: st.DataObject) -> None:
    text = begin + copy * (2000 // len(copy))
    places = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=20)))
    chunks = [text[start:end] for start, end in zip([0, *places], [*places, len(text)], strict=True)]
    shown, found = read(chunks)
    assert found == read(text)[1]
    assert text.startswith(shown)


@given(
    st.lists(st.integers(0, 10**9), min_size=1, max_size=300, unique=True), st.sampled_from(["\n", ", ", "\n- ", " | "])
)
def test_different_numbers_are_never_a_loop(numbers: list[int], between: str) -> None:
    text = between.join(map(str, numbers))
    assert read([text]) == (text, False)


@settings(max_examples=30)
@given(st.text(alphabet="abc ", min_size=15, max_size=80).filter(lambda copy: len(set(copy.split())) > 2), texts)
def test_every_sentence_that_goes_on_for_ever_is_found(copy: str, begin: str) -> None:
    assert read([begin, "\n\n", *[f"{copy}. "] * 200])[1] or "```" in begin

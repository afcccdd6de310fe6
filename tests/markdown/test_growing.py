"""A text that grows is cut into blocks that no longer change, at a cost that does not grow with it."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flowgpt_magic.markdown.growing import FinishedBlock, GrowingMarkdown, formula_count, harmless
from tests.markdown.test_harmless import PIECES, active_in
from tests.payloads import PAYLOADS


def grow(text: str, size: int = 1, limit: int | None = None) -> list[FinishedBlock]:
    """All blocks of a text that arrives in chunks of `size`; on the way they always join to what has arrived."""
    growing, blocks = GrowingMarkdown(), []
    for start in range(0, len(text), size):
        growing.add(text[start : start + size])
        blocks += growing.take_finished() if limit is None else growing.cut_open(limit)
        assert "".join(block.source for block in blocks) + growing.open == text[: start + size]
    blocks += growing.finish()
    assert "".join(block.source for block in blocks) == text
    assert growing.open == ""
    return blocks


REPLY = """# Title

First paragraph
goes on.

- a
- b

  still b
- c

1. one
   ```python
   x = 1

   y = 2
   ```
2. two

After the list.
```python
def f():

    return 1
```
| a | b |
|---|---|
| 1 | 2 |

> quote

Last"""


def test_a_block_is_finished_when_the_next_one_begins() -> None:
    starts = [block.source.strip().split("\n")[0] for block in grow(REPLY)]
    assert starts == [
        "# Title",
        "First paragraph",
        "- a",
        "1. one",
        "After the list.",
        "```python",
        "| a | b |",
        "> quote",
        "Last",
    ]


def test_the_blocks_do_not_depend_on_the_chunks() -> None:
    assert grow(REPLY, 1) == grow(REPLY, 7) == grow(REPLY, len(REPLY))


def test_each_block_looks_as_it_does_in_the_whole_text() -> None:
    assert "\n\n".join(block.shown for block in grow(REPLY)) == harmless(REPLY)


def test_a_paragraph_is_open_until_something_else_begins() -> None:
    growing = GrowingMarkdown()
    growing.add("para\n\n")
    assert growing.take_finished() == []
    growing.add("next\n")
    assert growing.take_finished() == [FinishedBlock("para\n\n", "para")]
    assert growing.open == "next\n"
    assert growing.open_shown == "next"


@pytest.mark.parametrize(
    ("text", "sources"),
    [
        ("para\n", []),
        ("para\n\n", ["para\n\n"]),
        ("para\n\nnext", ["para\n\n"]),
        ("$$\nx\n$$\n\n", ["$$\nx\n$$\n\n"]),
        ("$$\nx\n\n", []),
        ("- item\n\n", []),
        ("[1]: https://example.org\n\n", []),
    ],
)
def test_a_blank_line_ends_a_paragraph_and_a_formula_and_nothing_else(text: str, sources: list[str]) -> None:
    growing = GrowingMarkdown()
    growing.add(text)
    assert [block.source for block in growing.take_ended()] == sources


@given(st.lists(PIECES, max_size=12))
def test_blocks_taken_as_soon_as_they_end_are_those_that_are_taken_later(pieces: list[str]) -> None:
    text = "".join(pieces)
    growing, blocks = GrowingMarkdown(), []
    for character in text:
        growing.add(character)
        blocks += growing.take_ended()
    blocks += growing.finish()
    assert "".join(block.source for block in blocks) == text
    assert [block.shown for block in blocks if block.shown] == [block.shown for block in grow(text) if block.shown]


def test_formulas_are_counted_outside_code() -> None:
    assert formula_count("a $x$ and $y$, $$z$$, `$u$`, \\$5 and \\$6\n\n```\n$v$\n```\n\n$w$") == 4


def test_open_code_is_shown_closed() -> None:
    growing = GrowingMarkdown()
    growing.add("```python\nx = 1\n<b>")
    assert growing.open_shown == "```python\nx = 1\n<b>\n```"
    growing.add("\n```\n")
    assert growing.take_finished() == [FinishedBlock("```python\nx = 1\n<b>\n```\n", "```python\nx = 1\n<b>\n```")]
    assert growing.open_shown == ""


def test_long_code_is_cut_between_lines_and_each_half_has_its_fences() -> None:
    body = [f"line {number}" for number in range(2000)]
    blocks = grow("```python\n" + "\n".join(body) + "\n```\nafter\n", size=50, limit=4000)
    assert len(blocks) > 4
    assert blocks[-1].shown == "after"
    lines: list[str] = []
    for block in blocks[:-1]:
        shown = block.shown.split("\n")
        assert (shown[0], shown[-1]) == ("```python", "```")
        lines += shown[1:-1]
    assert lines == body


def test_code_cut_right_before_its_end_goes_on_correctly() -> None:
    growing = GrowingMarkdown()
    growing.add("```\n" + "x\n" * 100)
    assert len(growing.cut_open(10)) == 1
    growing.add("```\n\n# New\n")
    assert growing.take_finished()[-1].shown == "# New"


def test_a_long_table_is_cut_between_rows_and_repeats_its_head() -> None:
    rows = "".join(f"| {number} | x |\n" for number in range(1000))
    blocks = grow("| a | b |\n|---|---|\n" + rows + "\nafter\n", size=100, limit=2000)
    assert len(blocks) > 4
    assert all(block.shown.startswith("| a | b |\n| --- | --- |\n") for block in blocks[:-1] if "|" in block.source)
    assert blocks[-1] == FinishedBlock("after\n", "after") or blocks[-1].shown == "after"


def test_a_long_list_is_cut_between_items_and_keeps_its_numbers() -> None:
    items = "".join(f"{number}. item\n     - inner\n" for number in range(1, 500))
    blocks = grow(items, size=100, limit=2000)
    assert len(blocks) > 3
    assert all(block.source[0].isdigit() for block in blocks)


def test_a_list_numbered_with_ones_only_stays_whole() -> None:
    assert len(grow("1. item\n" * 500, size=100, limit=2000)) == 1


def test_what_is_open_is_harmless_at_every_moment() -> None:
    for payload in PAYLOADS:
        growing = GrowingMarkdown()
        for character in payload:
            growing.add(character)
            assert not active_in(growing.open_shown)
            assert not any(active_in(block.shown) for block in growing.cut_open(20))


@settings(max_examples=300, deadline=None)
@given(st.lists(PIECES, max_size=40).map("".join), st.integers(1, 9), st.sampled_from([None, 0, 10, 40]))
def test_the_parts_always_join_to_the_text_and_are_harmless(text: str, size: int, limit: int | None) -> None:
    for block in grow(text, size, limit):
        assert not active_in(block.shown)
        assert block.source


@settings(max_examples=200, deadline=None)
@given(st.text())
def test_any_text_can_grow(text: str) -> None:
    grow(text, 3)


@pytest.mark.parametrize("text", ["x" * 200_000, "word\n" * 40_000, "```\n" + "code\n" * 40_000, "- item\n" * 30_000])
def test_a_chunk_costs_the_same_however_long_the_text_is(text: str) -> None:
    def seconds(length: int) -> float:
        begin = time.process_time()
        growing = GrowingMarkdown()
        for start in range(0, length, 8):
            growing.add(text[start : start + 8])
            growing.take_finished()
        return time.process_time() - begin

    assert min(seconds(len(text)) for _ in range(2)) < 9 * min(seconds(len(text) // 4) for _ in range(2)) + 0.02


def test_a_very_long_paragraph_is_cut_between_words():
    growing, text, sources = GrowingMarkdown(), "some words " * 2000, []
    for start in range(0, len(text), 7):
        growing.add(text[start : start + 7])
        sources += [block.source for block in growing.cut_open(500)]

    assert len(sources) > 5
    assert all(source.endswith(" ") for source in sources)
    assert "".join(sources) + growing.open == text


def test_a_line_without_a_space_is_cut_all_the_same():
    growing = GrowingMarkdown()
    growing.add("x" * 10_000)

    assert "".join(block.source for block in growing.cut_open(500)) + growing.open == "x" * 10_000
    assert len(growing.open) < 10_000


@pytest.mark.parametrize(
    ("text", "sources"),
    [
        ("So:\n\n$$\n\nE = mc^2\n\n$$\n\nDone.", ["So:\n\n", "$$\n\nE = mc^2\n\n$$\n\n", "Done."]),
        ("$$ a\n\nand then there was light\n\n- b", ["$$ a\n\n", "and then there was light\n\n", "- b"]),
        ("$$\n\na", ["$$\n\n", "a"]),
        ("\\[\n\n# Title\n\nb", ["\\[\n\n", "# Title\n", "\nb"]),
    ],
)
def test_a_formula_with_blank_lines_is_one_block_and_what_is_none_is_several(text, sources):
    for size in (1, 5, len(text)):
        assert [block.source for block in grow(text, size, None)] == sources


@pytest.mark.parametrize("rule", ["{}|x", "-{}|x", "-{}x|"])
def test_a_rule_of_a_table_is_looked_for_in_time_that_is_in_proportion(rule):
    growing = GrowingMarkdown()
    growing.add(f"a|b\n{rule.format(' ' * 50_000)}\n")
    begun = time.process_time()
    growing.cut_open(100)

    assert time.process_time() - begun < 1

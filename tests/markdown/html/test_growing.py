"""The blocks of a text depend on the text alone, and cost no more than in proportion to it."""

from __future__ import annotations

import re
from unittest.mock import patch

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from flowgpt_magic.control_characters import clean
from flowgpt_magic.markdown.html import growing as growing_blocks
from flowgpt_magic.markdown.html import verbatim as open_text
from flowgpt_magic.markdown.html.elements import PageOptions
from flowgpt_magic.markdown.html.growing import (
    LONGEST_BLOCK,
    LONGEST_LINE,
    LONGEST_MARKDOWN,
    MOST_MARKDOWN_LINES,
    BlockHtml,
    GrowingBlocks,
)
from flowgpt_magic.markdown.html.render import RenderContext, markup_of
from tests.shown import bad_in, text_of

_WORDS = """
    ` `` ``` ~~~ | { } * ** _ ~~ [ ] ](https://a.b/c) ![ ]: < > <br> https://e.x/a_b & &lt; x 5 word <b> # [x] \\ 😀
"""
WORDS = [*_WORDS.split(), " ", "\n", "\n", "\n\n", "\t", "    ", "   ", "  ", "- ", "1. ", "2) ", "> ", "# ", "- [ ] "]
LINES = [
    "\n|---|\n",
    "\n| a | b |\n|---|---|\n",
    "| a |",
    "---\n",
    "===\n",
    "```py\n",
    "\n```\n",
    "\n[x]: https://a.b\n",
    "a b",
]
FORMULAS = ["$$", "$$\n", "\n\\]\n", "\\[", "\\(", "\\)", "$", "\\begin{align}", "\\end{align}\n"]
ODD = ["\r\n", "\r", "\ud83d", "\ude00", "\x1b[0m", "\x1b]0;", "\x07", "\0", "\u202e"]
TEXTS = st.lists(st.sampled_from([*WORDS, *LINES, *FORMULAS, *ODD]), max_size=40).map("".join)
SMALL = {
    "LONGEST_BLOCK": 40,
    "LONGEST_ITEM": 80,
    "LONGEST_LIST": 60,
    "LONGEST_LINE": 30,
    "LONGEST_MARKDOWN": 600,
    "MOST_MARKDOWN_LINES": 40,
    "ALWAYS_DRAWN": 20,
}


def without_spaces(text: str, others: str = "") -> str:
    return "".join(char for char in text if not char.isspace() and char not in others)


def whole(text: str) -> list[str]:
    blocks = GrowingBlocks(PageOptions())
    blocks.add(text)
    blocks.finish()
    return blocks.finished


def grown(text: str, size: int) -> list[str]:
    """The blocks of a text that comes in pieces and is looked at after each; on the way they are harmless."""
    blocks = GrowingBlocks(PageOptions())
    for start in range(0, len(text), size):
        blocks.add(text[start : start + size])
        blocks.draw()
        assert not bad_in("".join(blocks.finished + blocks.open))
    blocks.finish()
    return blocks.finished


@settings(max_examples=300)
@given(TEXTS, st.integers(1, 9))
def test_it_makes_no_difference_where_a_text_is_cut(text, size):
    assert grown(text, size) == whole(text)


@settings(max_examples=500)
@given(TEXTS, st.integers(1, 20))
def test_it_makes_no_difference_where_blocks_are_too_long(text, size):
    with patch.multiple(growing_blocks, **SMALL), patch.object(open_text, "CODE_PART", 50):
        assert grown(text, size) == whole(text)


@settings(max_examples=500)
@given(st.lists(st.sampled_from([*WORDS, *LINES]), max_size=40).map("".join))
def test_the_blocks_are_those_of_the_whole_text(text):
    # markdown-it takes a fence for the head of a table, if it looks like one; CommonMark does not.
    assume(not re.search(r"^ {0,3}(?:```|~~~)[^\n]*\|", text, re.MULTILINE))
    text, context = clean(text).rstrip() + "\n", RenderContext()
    markup_of(text, PageOptions(), context)

    assert "".join(whole(text)) == markup_of(text, PageOptions(), RenderContext(context.references, spare=10_000))


REPLY = """\
Text
goes on.
- a
- b

  still b
  ```python
  x = 1
  ```
- c

After.
```python
def f():

    return 1
```
| a | b |
|---|---|
| 1 | 2 |
| 3 | 4 |

$$
x
$$
1. one
2. two
> quote
"""


def test_a_block_is_finished_when_the_next_one_begins():
    blocks, told = GrowingBlocks(PageOptions()), []
    for number, line in enumerate(REPLY.splitlines(keepends=True)):
        before = len(blocks.finished)
        blocks.add(line)
        blocks.draw()
        told += [(number, re.sub(r"(?s)<(\w+).*", r"\1", block)) for block in blocks.finished[before:]]
        assert len(text_of("".join(blocks.open))) < 40
    blocks.finish()

    assert [name for _, name in told] == ["p", "ul", "p", "pre", "div", "div", "ol"]
    assert len(blocks.finished) == 8
    assert all(html.count("<pre") <= 1 for html in blocks.finished)


def test_a_list_that_is_cut_goes_on_with_its_numbers():
    blocks = whole("".join(f"1. item {number} {'x' * 100}\n" for number in range(1, 400)))

    starts = [int((re.search(r'start="(\d+)"', block) or [0, "1"])[1]) for block in blocks]
    counts = [block.count("<li>") for block in blocks]
    assert len(blocks) > 1
    assert starts == [1 + sum(counts[:place]) for place in range(len(blocks))]
    assert sum(counts) == 399


def test_a_table_that_is_cut_has_its_head_again():
    blocks = whole("| a | b |\n|---|---|\n" + f"| {'x' * 100} | y |\n" * 400)

    assert len(blocks) > 1
    assert all("<th>a</th>" in block for block in blocks)
    assert sum(block.count("<td>y</td>") for block in blocks) == 400


def test_references_that_are_defined_at_the_end_are_links_everywhere():
    blocks = GrowingBlocks(PageOptions())
    blocks.add("See [this][1].\n\n- and [2]\n- b\n\ntext\n\n[1]: https://a.b\n[2]: https://c.d\n")
    assert "<a " not in "".join(blocks.finished)

    blocks.finish()

    assert ["<a " in block for block in blocks.finished] == [True, True, False]
    assert list(blocks.revised) == [0, 1]


@pytest.mark.parametrize("line", ["word " * LONGEST_LINE, "x" * 4 * LONGEST_LINE])
def test_a_long_line_is_cut_between_words_and_nothing_of_it_is_lost(line):
    blocks = whole(line)

    assert len(blocks) > 2
    assert without_spaces("".join(map(text_of, blocks))) == without_spaces(line)
    assert max(map(len, blocks)) < LONGEST_BLOCK + 2 * LONGEST_LINE


@pytest.mark.parametrize(
    "text",
    ["word word\n" * (LONGEST_MARKDOWN // 8), "- a\n" * (MOST_MARKDOWN_LINES + 1000), "# a\n\n" * MOST_MARKDOWN_LINES],
)
def test_what_is_very_far_down_is_shown_as_it_was_typed(text):
    blocks = whole(text)

    assert not any("fg-plain" in block for block in blocks[:2])
    assert "fg-plain" in blocks[-1]
    assert without_spaces("".join(map(text_of, blocks)), "-#") == without_spaces(text, "-#")


def test_code_goes_on_as_code_however_far_down_it_is():
    code = "x = 1\n" * (LONGEST_MARKDOWN // 4)

    blocks = whole(f"```\n{code}```\nend")

    assert "".join(map(text_of, blocks[:-1])) == code.removesuffix("\n")
    assert "fg-plain" in blocks[-1]


COSTLY = {
    "words": "word ",
    "lines": "word\n",
    "paragraphs": "word\n\n",
    "items": "- word\n",
    "loose items": "1. word\n\n",
    "rows": "| a | b |\n|---|---|\n" + "| 1 | 2 |\n" * 8,
    "quotes": "> word\n",
    "fences": "```\nx\n```\n",
    "fences in an item": "   ```\n   x\n   ```\n",
    "code": "    x\n",
    "formulas": "$$\nx\n$$\n",
    "half formulas": "$$\nx\n\n",
    "environments": "\\begin{align}\n",
    "definitions": "[a]: https://b.c\n",
}


@pytest.mark.parametrize("name", COSTLY)
def test_a_text_is_parsed_a_few_times_and_not_once_for_each_piece(name):
    """What is counted is the characters that the parser gets, for a long text that comes in 500 pieces."""
    start = "1. a\n" if "item" in name else ""
    text = start + COSTLY[name] * (60_000 // len(COSTLY[name]))
    parsed = 0

    def counting(function):
        def counted(text, *args, **kwargs):
            nonlocal parsed
            parsed += len(text)
            return function(text, *args, **kwargs)

        return counted

    counted = {each: counting(getattr(growing_blocks, each)) for each in ("open_markup_of", "markup_of")}
    with patch.multiple(growing_blocks, **counted):
        grown_blocks = GrowingBlocks(PageOptions())
        for place in range(0, len(text), len(text) // 500):
            grown_blocks.add(text[place : place + len(text) // 500])
            grown_blocks.draw()
        grown_blocks.finish()

    assert parsed < 45 * len(text)  # each time the whole would be 250 times


# -- lists and tables item by item ------------------------------------------------------------------------------------

LISTS = {
    "bullet_list": ["- a\n", "- **b**\n  - c\n", "- [ ] d\n\n  e\n", "-\n"],
    "ordered_list": ["3. a\n", "4. b\n   ```\n   c\n   ```\n", "7. d\n"],
    "table": ["| a | b |\n|---|--:|\n| 1 | 2 |\n", "| 3 |\n", "| `4` | <5 |\n"],
}


def html_of_items(kind: str, items: list[str]) -> BlockHtml:
    block = BlockHtml(kind, 3 if kind.startswith("ordered") else None, "|---|--:|")
    for item in items:
        assert block.add(item, PageOptions(), RenderContext()) == ""
    return block


@pytest.mark.parametrize("kind", LISTS)
def test_items_that_come_one_by_one_make_the_whole(kind):
    block = html_of_items(kind, LISTS[kind])

    assert block.html + block.end == markup_of("".join(LISTS[kind]), PageOptions(), RenderContext())
    assert block.size == sum(map(len, LISTS[kind]))


@pytest.mark.parametrize("kind", LISTS)
def test_the_open_end_goes_on_where_the_block_is(kind):
    *items, last = LISTS[kind]
    head = "| a | b |\n|---|--:|\n" if kind == "table" else ""

    shown = html_of_items(kind, items).with_open(markup_of(head + last + "\n", PageOptions(), RenderContext()))

    assert shown == markup_of("".join(LISTS[kind]), PageOptions(), RenderContext())


def test_another_block_after_the_open_end_is_beside_it():
    block = html_of_items("bullet_list", ["- a\n"])

    assert block.with_open('<p dir="auto">b</p>') == '<ul dir="auto"><li>a</li></ul><p dir="auto">b</p>'
    assert BlockHtml().with_open("<hr>") == "<hr>"


def test_what_came_out_as_something_else_is_not_taken():
    block = html_of_items("bullet_list", ["- a\n"])

    other = block.add("- " * 60 + "x\n", PageOptions(), RenderContext())

    assert other.startswith('<pre class="fg-plain"')
    assert block.sources == ["- a\n"]


def test_a_block_can_be_made_again_with_what_is_known_later():
    block = BlockHtml("bullet_list")
    for item in ("- [a]\n", "- b\n"):
        block.add(item, PageOptions(), RenderContext())
    context = RenderContext()
    markup_of("[a]: https://b.c\n", PageOptions(), context)

    assert "<a " not in block.html
    assert '<a href="https://b.c"' in block.again(PageOptions(), context)

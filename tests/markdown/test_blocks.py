"""The scanner finds the blocks that markdown-it finds, line by line."""

from __future__ import annotations

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from flowgpt_magic.markdown.blocks import Block, BlockScanner, read_tables
from flowgpt_magic.markdown.formula_bars import keep_bars
from flowgpt_magic.markdown.formulas import find_formulas

MARKS = [
    *("```", "```py", "````", "~~~", "~~~~", "    ```", "  ```", "   ```"),
    *("- ", "* ", "+ ", "-", "1. ", "2. ", "3) ", "12. ", "> ", ">"),
    *("# ", "#", "---", "===", "***", "- - -", "|", "| a |", "|---|", "a | b", "--|--", "|-"),
    *("$$", "$$ x $$", "\\[", "\\]", "\\begin{align}", "\\end{align}", "<b>", "<!--", "<think>", "</think>"),
    *("[a]: https://b.c", "word", "中文", "**", "`", "\ud83d", " ", "  ", "   ", "    ", "\t"),
]
LINES = st.lists(st.sampled_from(MARKS), max_size=5).map("".join)
TEXTS = st.lists(st.tuples(LINES, st.sampled_from(["\n", "\n", "\n\n"])).map("".join), max_size=12).map("".join)

KINDS = {
    "paragraph_open": "paragraph",
    "heading_open": "heading",
    "hr": "rule",
    "code_block": "code",
    "blockquote_open": "quote",
    "bullet_list_open": "bullet_list",
    "ordered_list_open": "ordered_list",
    "table_open": "table",
    "formula_block": "formula",
}


def reader() -> MarkdownIt:
    parser = MarkdownIt("commonmark", {"html": False}).enable("table").disable(["html_block", "reference"])
    read_tables(parser)
    find_formulas(parser)
    keep_bars(parser)
    return parser


READER = reader()


def scanned(text: str) -> list[Block]:
    """The blocks that the scanner finds."""
    scanner = BlockScanner()
    for line in text.split("\n")[:-1]:
        scanner.add(line)
    scanner.finish()
    return scanner.take_finished()


def blocks_in(text: str) -> list[tuple[str, int, list[int]]]:
    """Their kinds and lines, and the lines of their items."""
    return [(block.kind, block.line, block.items) for block in scanned(text)]


def parsed(text: str) -> list[tuple[str, int, list[int]]]:
    """Those that markdown-it finds in the whole text."""
    blocks: list[tuple[str, int, list[int]]] = []
    for token in READER.parse(text):
        if token.map is None or token.nesting < 0:
            continue
        if token.level == 0:
            blocks.append((KINDS.get(token.type, token.type), token.map[0], []))
        elif (token.type, token.level) == ("list_item_open", 1) or (
            (token.type, token.level) == ("tr_open", 2) and token.map[0] > blocks[-1][1]
        ):
            blocks[-1][2].append(token.map[0])
    return blocks


@settings(max_examples=2000)
@given(TEXTS)
def test_blocks_are_those_that_markdown_it_finds_in_the_whole(text):
    assume("[a]:" not in text)
    assert blocks_in(text) == parsed(text)


def test_the_blocks_of_a_text_and_their_items():
    text = "a\nb\n# c\n- d\n- e\n  - f\n\n  g\n\n4. h\n5. i\n\n| j |\n|---|\n| k |\n| l |\n> m\n"

    blocks = [(block.kind, block.line, block.numbers[:1], block.items) for block in scanned(text)]

    assert blocks == [
        ("paragraph", 0, [], []),
        ("heading", 2, [], []),
        ("bullet_list", 3, [0], [3, 4]),
        ("ordered_list", 9, [4], [9, 10]),
        ("table", 12, [], [14, 15]),
        ("quote", 16, [], []),
    ]


def test_a_definition_of_a_link_belongs_to_the_block_after_it():
    blocks = scanned("a\n\n[b]: https://c.d\n\ne\n\n[f]: https://g.h\n")

    assert [(block.kind, block.start, block.line, block.end) for block in blocks] == [
        ("paragraph", 0, 0, 2),
        ("paragraph", 2, 4, 6),
        ("definition", 6, 6, 7),
    ]


@pytest.mark.parametrize(
    ("fence", "inside", "end"),
    [
        ("```", ["``", "~~~", "```x", "    ```"], "```"),
        ("````", ["```"], "`````  "),
        ("~~~ `x`", ["```", "~~"], "   ~~~"),
    ],
)
def test_a_fence_is_closed_by_one_that_is_as_long(fence, inside, end):
    scanner = BlockScanner()
    for line in [fence, *inside]:
        scanner.add(line)
        assert scanner.in_fence
    scanner.add(end)

    assert not scanner.in_fence
    assert [block.kind for block in scanner.take_finished()] == ["fence"]

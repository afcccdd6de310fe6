"""The scanner finds the blocks that markdown-it finds, line by line."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable
from types import ModuleType
from unittest.mock import patch

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from flowgpt_magic.markdown import growing
from flowgpt_magic.markdown.blocks import Block, BlockScanner, read_tables
from flowgpt_magic.markdown.formula_bars import keep_bars
from flowgpt_magic.markdown.formulas import find_formulas
from flowgpt_magic.markdown.growing import GrowingMarkdown
from flowgpt_magic.markdown.html import growing as html_growing
from flowgpt_magic.markdown.html.changes import GrowingMarkup
from flowgpt_magic.markdown.terminal import markdown as terminal_markdown
from flowgpt_magic.markdown.terminal.markdown import TerminalMarkdown

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


# markdown-it ends a paragraph in a list where such a formula stands, and then does not read it as one.
INDENTED_FORMULA = re.compile(r"^[ \t>]*(?:\t| {4})[ \t>]*(?:\$\$|\\\[|\\begin)", re.MULTILINE)


@settings(max_examples=1000)
@given(TEXTS)
def test_the_blocks_are_those_that_markdown_it_finds_in_the_whole(text):
    assume("[a]:" not in text and not INDENTED_FORMULA.search(text))
    assert blocks_in(text) == parsed(text)


# -- the writers -----------------------------------------------------------------------------------------------------


def in_cell(text: str) -> None:
    cell = GrowingMarkdown()
    for chunk in text.split("\0"):
        cell.add(chunk)
    sources = [block.source.replace("\r\n", "\n").replace("\r", "\n") for block in cell.finish()]
    lines = [source.split("\n")[:-1] for source in sources]
    starts = list(itertools.accumulate(map(len, lines), initial=0))
    places = [next((place for place, line in enumerate(block) if line.strip(" \t")), -1) for block in lines]
    assert [start + place for start, place in zip(starts, places, strict=False) if place >= 0] == [
        block.start for block in scanned("".join(sources))
    ]


def on_page(text: str) -> None:
    markup = GrowingMarkup()
    for chunk in text.split("\0"):
        markup.feed(chunk)
        markup.change()
    markup.finish()
    markup.change()


def in_terminal(text: str) -> None:
    terminal = TerminalMarkdown(60, colours=False)
    for chunk in text.split("\0"):
        terminal.add(chunk)
    terminal.finish()


def blocks_of_writer(module: ModuleType, write: Callable[[str], None], text: str) -> list[tuple[str, int, list[int]]]:
    """The blocks that a writer gets from its scanner."""
    found: list[Block] = []
    scanners: list[BlockScanner] = []

    class Watched(BlockScanner):
        def __init__(self) -> None:
            super().__init__()
            scanners.append(self)

        def take_finished(self) -> list[Block]:
            finished = super().take_finished()
            found.extend(finished)
            return finished

    with patch.object(module, "BlockScanner", Watched):
        write(text)
    scanners[0].finish()
    scanners[0].take_finished()
    return [(block.kind, block.line, block.items) for block in found]


WRITERS = [(growing, in_cell), (html_growing, on_page), (terminal_markdown, in_terminal)]


@settings(max_examples=300)
@given(
    st.lists(
        st.tuples(LINES, st.sampled_from(["\n", "\n\n", "\r\n", "\r"])).flatmap(
            lambda line: st.sampled_from([line[0] + line[1], f"\0{line[0]}{line[1]}", f"{line[0]}\0{line[1]}"])
        ),
        min_size=1,
        max_size=12,
    ).map("".join)
)
def test_cells_pages_and_terminals_agree_where_blocks_begin_and_end_wherever_a_text_is_cut(text):
    whole = text.replace("\0", "").replace("\r\n", "\n").replace("\r", "\n")
    expected = blocks_in(whole)

    for module, write in WRITERS:
        assert blocks_of_writer(module, write, text) == expected


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

"""What is found as code in a reply is what is shown as code: in a cell, in the panel, in a terminal."""

from __future__ import annotations

import html
import re
import time
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from flowgpt_magic.markdown.harmless import harmless
from flowgpt_magic.markdown.html.changes import blocks_of
from flowgpt_magic.markdown.terminal.markdown import TerminalMarkdown
from flowgpt_magic.replies.code_blocks import code_blocks_of

READER = MarkdownIt("commonmark", {"html": True}).enable("table")
SGR = re.compile(r"\x1b\[[0-9;]*m")
PIECES = [
    *[
        "```\n",
        "```py\n",
        "~~~\n",
        "~~~~ js\n",
        "````\n",
        "code()\n",
        "some words\n",
        "\n",
        "\n",
        "- item\n",
        "* ",
        "1. ",
    ],
    *["  ", "   ", "    ", "\t", "> ", "# head\n", "---\n", "| a | b |\n|---|---|\n| c | d |\n", "[a]: http://b.c\n"],
    *[
        "<details>\n",
        "<summary>x</summary>\n",
        "</details>\n",
        "<answer>\n",
        "</answer>\n",
        "<!--\n",
        "-->\n",
        "<pre>\n",
    ],
    *["<script>\n", "</script>\n", "<think>\n", "**b** `c`\n", "\r\n", "\x0c", "\x1b[31m", "\u2028", "\u202e"],
]
REPLIES = st.lists(st.sampled_from(PIECES), max_size=20).map(lambda pieces: "x\n" + "".join(pieces))


def in_cell(text: str) -> list[str]:
    """The code that any reader of Markdown finds in what a cell shows."""
    found = []
    for token in READER.parse(harmless(text)):
        if token.type in ("fence", "code_block"):
            found.append(token.content)
        elif token.type == "html_block" and token.content.startswith("<pre><code>"):
            found.append(html.unescape(re.sub("</?(?:pre|code)>", "", token.content)))
    return found


class Page(HTMLParser):
    """Collects the code of the panel's blocks."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.inside = False

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        if tag == "pre" and "data-language" in given:
            self.inside = True
            if "data-part" not in given:
                self.found.append("")

    def handle_endtag(self, tag):
        self.inside = self.inside and tag != "pre"

    def handle_data(self, data):
        if self.inside:
            self.found[-1] += data


def in_panel(text: str) -> list[str]:
    page = Page()
    for block in blocks_of(text):
        page.feed(block)
    page.close()
    return page.found


def trimmed(blocks: list[str]) -> list[str]:
    return [str(block).rstrip().strip("\n") for block in blocks]


@given(text=REPLIES)
def test_it_is_what_a_cell_and_the_panel_show_as_code(text):
    found = trimmed(code_blocks_of(text))

    assert found == trimmed(in_cell(text))
    assert found == trimmed(in_panel(text))


@given(
    fence=st.sampled_from(["```", "~~~", "`````"]),
    language=st.sampled_from(["", "python", " js title=x"]),
    around=st.sampled_from(["{}", "- item\n\n{}", "1. item\n{}", "{}", "<answer>\n{}</answer>\n", "<details>\n{}"]),
    before=st.sampled_from(["", "  ", "   ", "> "]),
)
def test_a_terminal_shows_it_indented_as_code(fence, language, around, before):
    prefix = {"- ": "  ", "1.": "   "}.get(around[:2], before)
    block = "".join(f"{prefix}{line}\n" for line in (f"{fence}{language}", "first()", "  second()", fence))
    text = around.format(block)
    terminal = TerminalMarkdown(100, colours=False)
    shown = SGR.sub("", terminal.add(text) + terminal.finish())

    (found,) = code_blocks_of(text)

    assert found == "first()\n  second()\n"
    assert re.search(r"(?m)^[ │]* {4}first\(\)\n[ │]* {6}second\(\)$", shown)


@pytest.mark.parametrize("tag", ["answer", "div", "details", "pre", "artifact", "!--"])
def test_code_right_below_a_tag_is_found(tag):
    (block,) = code_blocks_of(f"<{tag}>\n```python\nprint(1)\n```\n</{tag}>")

    assert (block, block.language) == ("print(1)\n", "python")


@pytest.mark.parametrize("thought", ["<think>\n```py\ndraft()\n```\n</think>\n", "```py\ndraft()\n```\n</think>\n\n"])
def test_code_in_the_reasoning_is_no_code_of_the_reply(thought):
    assert code_blocks_of(f"{thought}```py\nanswer()\n```") == ["answer()\n"]


def test_code_comes_out_as_it_is_shown():
    assert code_blocks_of("```\nif x:\u202e pass\x1b[31m\n```") == ["if x:\ufffd pass\n"]


@pytest.mark.parametrize(
    "text",
    [
        "```py\nx = 1\n```\n" * 10_000,
        "x" * 1_000_000 + "\n```\n1\n```",
        "<think>" * 100_000 + "\n```\n1\n```",
        "```\n" + "x = 1\n" * 160_000,
        "> " * 200_000 + "```",
        "Many words stand in this line, and then some more.\n" * 20_000 + "```\n1\n```",
    ],
    ids=["fences", "line", "tags", "code", "quotes", "prose"],
)
def test_a_long_reply_takes_less_than_a_second(text):
    begun = time.thread_time()
    code_blocks_of(text)

    assert time.thread_time() - begun < 1

"""The caret stands behind the last word, and changes nothing else."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from flowgpt_magic.display.caret import CARET, with_caret
from flowgpt_magic.markdown.growing import harmless

PARSER = MarkdownIt("commonmark").enable(["table", "strikethrough"])
PIECES = [
    *(
        "word ",
        "word",
        "\n",
        "\n\n",
        "- ",
        "1. ",
        "12.",
        "# ",
        "> ",
        "    ",
        "```",
        "```py\n",
        "~~~\n",
        "|",
        "| a | b |\n",
    ),
    *(
        "|---|---|\n",
        "---",
        "***",
        "===",
        "**",
        "_",
        "`",
        "[a](",
        "http://a.b/c",
        ")",
        "[x]: ",
        "$",
        "$$\n",
        "\\",
        "&amp",
        ";",
    ),
    *("www.a.b", "me@a.b", "<b>", "!", "é漢", "\t", ":--", "  \n"),
]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Some words", f"Some words{CARET}"),
        ("- a\n- some words.", f"- a\n- some words.{CARET}"),
        ("```python\nx = 1", f"```python\nx = 1{CARET}\n```"),
        ("| a | b |\n|---|---|\n| 1 | two", f"| a | b |\n| --- | --- |\n| 1 | two{CARET} |"),
        ("| a | b |\n|---|---|\n| one", f"| a | b |\n| --- | --- |\n| one{CARET} |  |"),
        ("> quoted", f"> quoted{CARET}"),
        ("```python\n", "```python\n\n```"),
        ("see https://example.com/a", "see https://example.com/a"),
        ("12.", "12."),
        ("", ""),
    ],
)
def test_it_stands_behind_the_last_word(text, shown):
    assert with_caret(harmless(text)) == shown


def parsed(markdown: str) -> list[tuple[str, str]]:
    """The blocks and the parts of their lines, without the caret."""
    tokens = [part for token in PARSER.parse(markdown) for part in (token, *(token.children or []))]
    return [(token.type, "" if token.type == "inline" else token.content.replace(CARET, "")) for token in tokens]


@given(st.lists(st.sampled_from(PIECES), max_size=14).map("".join))
@example("a\n\n| b |")
@example("- 1. ")
@example("```\na\n```\nb\n```")
def test_it_changes_no_block_and_no_part_of_one(text):
    shown = harmless(text)

    assert parsed(with_caret(shown)) == parsed(shown)
    assert with_caret(shown).replace(CARET, "") == shown

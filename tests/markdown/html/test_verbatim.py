"""Code is there as it arrives, in parts that join to what was typed."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from flowgpt_magic.markdown.html.elements import PageOptions
from flowgpt_magic.markdown.html.verbatim import CODE_PART, OpenCode, OpenText
from tests.shown import bad_in, text_of


def code_after(fence: str) -> OpenCode:
    return OpenCode(f"{fence}\n", PageOptions())


def code_of(block: str) -> str:
    match = re.search("<code>(.*?)</code>", block, re.DOTALL)
    assert match is not None
    return text_of(match[1])


def test_code_is_shown_while_it_is_open_and_coloured_when_it_is_closed():
    code = code_after("```python")
    assert code.shown("") == '<pre dir="ltr" data-language="python"><code></code></pre>'

    code.add("x = 1\n")
    assert code.shown("y <") == '<pre dir="ltr" data-language="python"><code>x = 1\ny &lt;</code></pre>'

    (block,) = code.finish()
    assert code_of(block) == "x = 1"
    assert 'data-runs="X2O2N"' in block


def test_what_may_become_the_closing_fence_is_not_seen():
    code = code_after("```")
    code.add("x\n")

    assert [code_of(code.shown(line)) for line in ("`", "``", "```", "```y")] == ["x", "x", "x", "x\n```y"]


def test_lines_lose_the_white_space_that_is_before_the_fence():
    code = code_after("  ```")
    for line in ("  a\n", "    b\n", " c\n", "\td\n"):
        code.add(line)

    assert code_of(code.finish()[0]) == "a\n  b\nc\n  d"


@given(st.lists(st.text(st.characters(codec="utf-8", exclude_categories=["Cc"])), max_size=20), st.integers(0, 3))
def test_the_texts_of_the_parts_are_the_code(lines, factor):
    lines = [f"{line * factor * 400}x\n" for line in lines]
    code = code_after("```python")
    blocks = []
    for line in lines:
        code.add(line)
        blocks += code.take_full()
    blocks += code.finish()

    assert "".join(map(code_of, blocks)) == "".join(lines).removesuffix("\n")
    assert [block.count("data-part") for block in blocks] == [number > 0 for number in range(len(blocks))]
    assert not any(map(bad_in, blocks))


def test_a_line_in_pieces_is_one_line():
    code = code_after("```js")
    for piece in ("a" * CODE_PART, "b", "c\n", "```", "d\n"):
        code.add(piece)
    blocks = code.take_full() + code.finish()

    assert "".join(map(code_of, blocks)) == "a" * CODE_PART + "bc\n```d"


def test_plain_text_is_shown_in_its_lines():
    text = OpenText()
    text.add("\n")
    text.add("# a <b>\n")

    assert text_of(text.shown("c")) == "\n# a <b>\nc"
    assert [text_of(block) for block in text.finish()] == ["\n# a <b>"]
    assert text.finish() == []

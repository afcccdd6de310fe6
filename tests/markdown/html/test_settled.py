"""A list or a table that grows at its end is what it would be at once."""

from __future__ import annotations

import pytest

from flowgpt_magic.markdown.html.elements import Looks
from flowgpt_magic.markdown.html.render import Known, markup_of
from flowgpt_magic.markdown.html.settled import Block

LISTS = {
    "bullet_list_open": ["- a\n", "- **b**\n  - c\n", "- [ ] d\n\n  e\n", "-\n"],
    "ordered_list_open": ["3. a\n", "4. b\n   ```\n   c\n   ```\n", "7. d\n"],
    "table_open": ["| a | b |\n|---|--:|\n| 1 | 2 |\n", "| 3 |\n", "| `4` | <5 |\n"],
}


def grown(kind: str, items: list[str]) -> Block:
    block = Block(kind, 3 if kind.startswith("ordered") else None, "|---|--:|")
    for item in items:
        assert block.add(item, len(item), Looks(), Known()) == ""
    return block


@pytest.mark.parametrize("kind", LISTS)
def test_items_that_come_one_by_one_make_the_whole(kind):
    block = grown(kind, LISTS[kind])

    assert block.html + block.end == markup_of("".join(LISTS[kind]), Looks(), Known())
    assert block.size == sum(map(len, LISTS[kind]))


@pytest.mark.parametrize("kind", LISTS)
def test_the_open_end_goes_on_where_the_block_is(kind):
    *items, last = LISTS[kind]
    head = "| a | b |\n|---|--:|\n" if kind == "table_open" else ""

    shown = grown(kind, items).with_open(markup_of(head + last + "\n", Looks(), Known()))

    assert shown == markup_of("".join(LISTS[kind]), Looks(), Known())


def test_another_block_after_the_open_end_is_beside_it():
    block = grown("bullet_list_open", ["- a\n"])

    assert block.with_open('<p dir="auto">b</p>') == '<ul dir="auto"><li>a</li></ul><p dir="auto">b</p>'
    assert Block().with_open("<hr>") == "<hr>"


def test_what_came_out_as_something_else_is_not_taken():
    block = grown("bullet_list_open", ["- a\n"])

    other = block.add("- " * 60 + "x\n", 121, Looks(), Known())

    assert other.startswith('<pre class="fg-plain"')
    assert block.sources == ["- a\n"]


def test_a_block_can_be_made_again_with_what_is_known_later():
    block = Block("bullet_list_open")
    for item in ("- [a]\n", "- b\n"):
        block.add(item, len(item), Looks(), Known())
    known = Known()
    markup_of("[a]: https://b.c\n", Looks(), known)

    assert "<a " not in block.html
    assert '<a href="https://b.c"' in block.again(Looks(), known)

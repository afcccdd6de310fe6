"""Tables as HTML and as text."""

from __future__ import annotations

import re
from html.parser import HTMLParser

from hypothesis import given
from hypothesis import strategies as st

from flowgpt_magic.tables import Table, bundle


class Reader(HTMLParser):
    """The tags and the text of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.cells: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag in ("td", "th"):
            self.cells.append("")

    def handle_data(self, data: str) -> None:
        if self.cells:
            self.cells[-1] += data


def test_text_stands_in_columns_under_a_rule():
    table = Table(("turn", "prompt"), (("1", "a longer one"), ("12", "b")), "a note")

    assert table.text() == "turn  prompt\n----  ------------\n   1  a longer one\n  12  b\na note"


def test_columns_of_numbers_stand_to_the_right():
    table = Table(("model", "tokens", "time", "price"), (("1b", "≈1,234", "0.50 s", ""), ("b", "7", "12.5 s", "free")))

    assert table.text().splitlines()[2:] == ["1b     ≈1,234  0.50 s", "b           7  12.5 s  free"]
    assert re.findall(r"text-align: (\w+)", table.html()) == ["left", "right", "right", "left"] * 3


@given(st.lists(st.tuples(st.text(), st.text()), max_size=4), st.text())
def test_whatever_stands_in_a_cell_is_text_and_no_html(rows, note):
    page = Reader(Table(("a", "b"), tuple(rows), note).html())

    assert set(page.tags) <= {"div", "table", "thead", "tbody", "tr", "th", "td", "small", "br", "code"}
    assert page.tags.count("td") == 2 * len(rows)


@given(st.lists(st.tuples(st.text("<&>\"'ab\\"), st.text("<&>\"'ab\\")), max_size=4))
def test_html_gives_every_cell_back(rows):
    assert Reader(Table(("a", "b"), tuple(rows)).html()).cells == ["a", "b", *(text for row in rows for text in row)]


@given(st.lists(st.tuples(st.text(), st.text()), max_size=4))
def test_text_has_one_line_a_row(rows):
    lines = Table(("a", "b"), tuple(rows)).text().split("\n")

    assert len(lines) == 2 + len(rows)
    assert not any(character in line for line in lines for character in "\r\v\f\x1b\x07")


def test_the_widest_columns_are_cut_where_there_is_little_room():
    table = Table(("turn", "prompt", "reply"), (("1", "a" * 60, "b c " * 20), ("12", "short", "d")))

    lines = table.text(50).splitlines()

    assert max(map(len, lines)) == 50
    assert lines[2].startswith("   1  aaaa")
    assert lines[2].count("…") == 2
    assert table.text(200) == table.text()
    assert (
        Table(("time", "prompt"), (("2026-11-24 16:54", "a" * 60),)).text(30).endswith("2026-11-24 16:54  aaaaaaaaaaa…")
    )


@given(st.lists(st.tuples(st.text(), st.text()), max_size=4), st.integers(18, 60))
def test_no_row_is_wider_than_the_room(rows, width):
    lines = Table(("a", "b"), tuple(rows)).text(width).split("\n")

    assert len(lines) == 2 + len(rows)
    assert max(map(len, lines)) <= width


def test_an_output_of_a_table_is_kept_from_being_typeset():
    table = Table(("prompt",), (("$x$ for $5",),))

    shown = bundle(table)

    assert shown["text/html"] == f'<div class="mathjax_ignore tex2jax_ignore">{table.html()}</div>'
    assert shown["text/plain"] == table.text()


def test_a_command_below_a_table_stays_on_one_line_to_be_copied():
    command = "%flowgpt alias a " + "very-long-word " * 12 + "end"
    table = Table(("a",), (("1",),), f"a note\n{command}")

    assert table.text().splitlines()[-2:] == ["a note", command]
    assert table.html().endswith(f"<small>a note<br><code>{command}</code></small>")

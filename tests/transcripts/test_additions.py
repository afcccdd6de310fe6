"""The images and the sources that came with a reply."""

from __future__ import annotations

import base64
import html
import re
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from flowgpt_magic.messages.extras import Citation, Extras
from flowgpt_magic.transcripts.additions import MOST_SOURCES, SHOWN_BYTES, additions_html, source_lines
from flowgpt_magic.transcripts.caption import caption_html, caption_text
from flowgpt_magic.transcripts.transcript import TranscriptTurn
from tests.image_files import noise, picture

PAGE = Citation("https://example.org/a?b=1&c=2", "A page")


def data_url(content: bytes, kind: str = "image/png") -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def test_without_images_and_sources_there_is_nothing():
    assert additions_html((), ()) == ""


def test_an_image_is_shown_with_the_type_of_its_bytes():
    shown = additions_html([data_url(picture(size=(3, 2)), "image/svg+xml")], ())
    assert '<img src="data:image/png;base64,' in shown
    assert 'width="3"' in shown
    assert "svg" not in shown


@pytest.mark.parametrize(
    ("url", "words"),
    [
        (data_url(b"<svg onload='alert(1)'/>", "image/svg+xml"), "An image of a kind that is not shown"),
        (data_url(b"\0" * (40 * 2**20)), "40.0 MB"),
        (data_url(picture(size=(3, 2))[:40]), "An image is broken and not shown"),
        ("data:image/png;base64,%%%", "An image is broken and not shown"),
        ("data:", "not shown"),
        ("https://example.org/picture.png", 'An image that is not loaded: <a href="https://example.org/picture.png"'),
        ("javascript:alert(1)", "An image that is not loaded: javascript:alert(1)"),
    ],
)
def test_what_is_no_image_of_a_known_kind_is_named_and_not_loaded(url, words):
    shown = additions_html([url], ())
    assert words in shown
    assert "<img" not in shown
    assert "<svg" not in shown
    assert 'href="javascript' not in shown


def test_images_beyond_the_limit_of_an_output_are_named_with_their_size():
    large = noise(900_000)
    count = SHOWN_BYTES // len(large) + 1
    shown = additions_html([data_url(large)] * count, ())
    assert shown.count("<img") == count - 1
    assert "An image (547 × 547, " in shown  # noqa: RUF001


def test_sources_are_a_numbered_list_of_links():
    shown = additions_html((), [PAGE, Citation("", "report.pdf, page 3")])
    assert re.findall(r"<li>(.*?)</li>", shown) == [
        '<a href="https://example.org/a?b=1&amp;c=2" target="_blank" rel="noopener noreferrer">A page</a>',
        "report.pdf, page 3",
    ]


def test_the_words_that_are_cited_stand_below_their_source_and_stay_with_the_turn():
    cited = Citation("", "report.pdf", ("Grass is <b>green</b>.",))
    assert "report.pdf<br><small>“Grass is &lt;b&gt;green&lt;/b&gt;.”</small>" in additions_html((), [cited])
    extras = Extras(citations=(cited, PAGE))
    assert Extras.from_json(extras.as_json()) == extras


@pytest.mark.parametrize("address", ["javascript:alert(1)", "data:text/html,<b>", "file:///etc/passwd", "mailto:a@b.c"])
def test_only_an_address_of_the_web_is_a_link(address):
    shown = html.unescape(additions_html((), [Citation(address, "A page")]))
    assert "<a " not in shown
    assert "A page (" in shown


def test_of_very_many_sources_the_rest_is_counted():
    shown = additions_html((), [PAGE] * (MOST_SOURCES + 2))
    assert shown.count("<li>") == MOST_SOURCES
    assert "and 2 more in reply.citations" in shown


class Tags(HTMLParser):
    """The names of the tags in a text, and of their attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.names: list[str] = []
        self.attributes: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.names.append(tag)
        self.attributes |= {name for name, _value in attrs}


@given(st.text(), st.text())
def test_nothing_in_a_source_becomes_markup(address, title):
    tags = Tags(MarkdownIt().render(additions_html((), [Citation(f"https://example.org/{address}", title)])))
    assert [name for name in tags.names if name != "a"] == ["div", "small", "ol", "li"]
    assert tags.names.count("a") <= 1
    assert tags.attributes <= {"class", "href", "target", "rel"}


def test_the_caption_does_not_repeat_the_sources_of_the_list():
    extras = Extras(citations=(PAGE,))
    cited = TranscriptTurn(
        prompt="a",
        text="b [1]",
        provider="echo",
        model="words",
        extras={**extras.as_json(), "notices": extras.notices},
    )
    shown = caption_html(cited)
    assert shown.count("A page") == 1
    assert shown.index("<ol>") < shown.index("echo:words")
    assert caption_text(cited) == "[1] A page <https://example.org/a?b=1&c=2>\n[echo:words]"


def test_the_lines_of_plain_text_have_the_numbers_of_the_text():
    assert source_lines([PAGE, Citation("", "report.pdf")]) == [f"[1] {PAGE}", "[2] report.pdf"]

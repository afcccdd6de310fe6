"""A page with a conversation can be read, and neither runs nor fetches anything."""

from __future__ import annotations

import re
import time
from html.parser import HTMLParser

import pytest

from flowgpt_magic.markdown.html.sanitize import CODE_WORDS
from flowgpt_magic.messages import Usage
from flowgpt_magic.transcripts.files import read, write
from flowgpt_magic.transcripts.html_page import STYLE, to_page, transcript_html, turns_html
from flowgpt_magic.transcripts.transcript import Transcript, TranscriptError, TranscriptTurn
from tests.payloads import PAYLOADS
from tests.records import conversation_record, notebook_record, turn_record
from tests.shown import bad_in, without_captions
from tests.xss_payloads import NAMED

CONVERSATION = conversation_record(notebook_record())
FRAME = frozenset({"html", "head", "meta", "title", "style", "body", "main", "section", "h1", "h2"})


class Elements(HTMLParser):
    """The elements of a page with their attributes."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def turn(prompt: str, text: str, **values):
    return turn_record(CONVERSATION, prompt=prompt, text=text, **{"status": "complete"} | values)


def without_frame(page: str) -> str:
    """What of a page comes from others: the prompts, the replies and the captions, without what is around them."""
    body = page[page.index("<main") : page.index("</main>")]
    body = re.sub(r"</?(?:main|section|h1|h2)\b[^>]*>", "", body)
    return re.sub(r' class="fg-(?:prompt|caption|reply)"', "", without_captions(body))


def test_a_page_shows_prompts_and_replies_in_their_order():
    page = transcript_html(
        [turn("what is\n  it?", "It is **this**."), turn("and?", "- a\n- b")], name="main", system="Be <b>."
    )

    assert page.startswith("<!DOCTYPE html>")
    places = [
        page.index(part)
        for part in (
            "<title>main</title>",
            "Be &lt;b&gt;.",
            "what is\n  it?",
            "<strong>this</strong>",
            "and?",
            "<li>a</li>",
        )
    ]
    assert places == sorted(places)
    assert page.endswith("</html>\n")


def test_a_caption_says_who_answered_and_how_it_ended():
    turns = [
        turn("a", "b", provider="echo", model="words", started=0.5, usage=Usage(seconds=1.25)),
        turn("a", "b", status="cancelled", notices=("two were left out",), replayed=True),
        turn("a", "", status="failed", error="no proxy at http://me:secret@proxy:1/"),
    ]

    page = transcript_html(turns)

    assert "echo:words · 1970-01-01 00:00:00 UTC · 1.2 s" in page
    assert "replayed · interrupted · two were left out" in page
    assert "failed · no proxy" in page
    assert "secret" not in page


@pytest.mark.parametrize("payload", [*NAMED.values(), *PAYLOADS], ids=[*NAMED, *range(len(PAYLOADS))])
def test_no_payload_is_active_on_a_page(payload):
    page = transcript_html(
        [turn(payload, payload, provider=payload, model=payload, status="failed", error=payload, notices=(payload,))],
        name=payload,
        system=payload,
    )

    page.encode()
    assert not bad_in(without_frame(page))
    head = Elements(page[: page.index("<main")]).found
    assert [tag for tag, _ in head] == ["html", "head", "meta", "meta", "meta", "meta", "title", "style", "body"]


def test_a_page_fetches_nothing_and_says_so():
    page = transcript_html([turn("a", "![b](https://c.d/e.png) ```x```\n```python\nx = 1\n```")])

    assert "default-src 'none'" in page
    assert not re.search(r"url\(|@import|\bsrc=|<(?:script|link|img|iframe|button)\b", page)
    assert '<a href="https://c.d/e.png"' in page
    assert '<span class="fg-number">1</span>' in page


def test_colours_follow_jupyter_or_the_system():
    assert "prefers-color-scheme: dark" in STYLE
    assert "var(--jp-content-font-color1, #" in STYLE
    for word in CODE_WORDS.split():
        assert STYLE.count(f"--fg-{word}: ") == 2
        assert f".fg-{word} {{ color: var(--fg-{word}); }}" in STYLE


def test_characters_that_act_on_a_terminal_are_seen():
    page = transcript_html([turn("a\x1b[31mb\0", "c\x1b[0md\ud83d")], name="e\x07")

    assert "ab␀" in page
    assert "cd�" in page


def test_an_exported_conversation_is_a_page():
    transcript = Transcript("a <name>", "", (TranscriptTurn("what?", "that"),))

    page = to_page(transcript)

    assert '<h1 dir="auto">a &lt;name&gt;</h1>' in page
    assert "nobody" in page


def test_turns_can_be_a_part_of_another_page():
    html = turns_html([turn("a", "b", started=time.time())])

    assert html.startswith("<section>")
    assert "<style" not in html


def test_it_has_what_was_said_and_nothing_in_it_runs_or_fetches(tmp_path):
    turns = [turn(f"prompt <b>{number}</b>", payload) for number, payload in enumerate(NAMED.values())]

    page = write(tmp_path / "talk.html", "talk", "Be brief.", turns).read_text("utf-8")

    assert "prompt &lt;b&gt;0&lt;/b&gt;" in page
    assert len(turns) >= 150
    assert not re.search(r"<(script|iframe|object|embed|img|form|link|base|svg|video|audio)\b", page, re.IGNORECASE)
    body = without_captions(page.partition("<body>")[2])
    assert not re.search(r"<[a-z][^>]*\s(on\w+|srcset|style)\s*=", body, re.IGNORECASE)
    assert not re.search(r"<[a-z][^>]*href=\"?\s*(javascript|data|vbscript):", page, re.IGNORECASE)


def test_it_is_not_read_back_and_says_what_is(tmp_path):
    path = write(tmp_path / "talk.html", "talk", "", [turn("a", "b")])

    with pytest.raises(TranscriptError, match=r"cannot be read back. Export .md, .json or .ipynb instead"):
        read(path)


def test_code_in_a_prompt_is_code_and_shows_no_fences():
    page = transcript_html([turn('Explain *this*:\n```python\nx = "<b>"\n```\nand ~~~ this\n````\n```\nopen', "a")])

    assert (
        'Explain *this*:</p><pre><code>x = &quot;&lt;b&gt;&quot;\n</code></pre><p dir="auto">and ~~~ this</p>' in page
    )
    assert "<pre><code>```\nopen</code></pre></div>" in page

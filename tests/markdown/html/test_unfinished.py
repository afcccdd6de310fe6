"""What has begun looks like what it will be, and never like the marks that make it."""

from __future__ import annotations

import re
import time

import pytest

from flowgpt_magic.markdown.blocks import MOST_COLUMNS
from flowgpt_magic.markdown.html.changes import GrowingMarkup
from flowgpt_magic.markdown.html.elements import PageOptions
from flowgpt_magic.markdown.html.render import RenderContext, open_markup_of
from flowgpt_magic.markdown.html.unfinished import _HALF_TARGET, MOST_OPEN, shown_end, shown_line
from tests.shown import text_of


def half(text: str) -> str:
    """The HTML of a text that goes on, without what each block has around it."""
    html = "".join(open_markup_of(text, PageOptions(), RenderContext(), in_line=not text.endswith("\n")))
    html = re.sub(' dir="(?:auto|ltr)"| data-language=""', "", html)
    return re.sub('</?p>|</?div>|<div class="fg-scroll">', "", html)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("some **bo", "some <strong>bo</strong>"),
        ("some **bo\nld", "some <strong>bo ld</strong>"),
        ("some **bold*", "some <strong>bold</strong>"),
        ("some *it", "some <em>it</em>"),
        ("some ***bo", "some <em><strong>bo</strong></em>"),
        ("some **bo *and it", "some <strong>bo <em>and it</em></strong>"),
        ("some _it", "some <em>it</em>"),
        ("some ~~go", "some <s>go</s>"),
        ("some **", "some "),
        ("some `co", "some <code>co</code>"),
        ("some ``co`de", "some <code>co`de</code>"),
        ("some `code` and `mo", "some <code>code</code> and <code>mo</code>"),
        ("2 * 3 and snake_case and 2*3", "2 * 3 and snake_case and 2*3"),
        ("*closed* and **closed**", "<em>closed</em> and <strong>closed</strong>"),
    ],
)
def test_emphasis_and_code_are_there_before_their_end(text, shown):
    assert half(text) == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("see [te", "see te"),
        ("see [text]", "see text"),
        ("see [text](", "see text"),
        ("see [**text**](https://a.", "see <strong>text</strong>"),
        ('see [text](https://a.b "ti', "see text"),
        ("see ![alt", "see alt"),
        ("see ![alt](https://a.", "see alt"),
        ("see <https://a.", "see https://a."),
        ("see https://a.b/c", "see https://a.b/c"),
        ("see [1] and x[0", "see [1] and x[0"),
        ("see [text] and", "see [text] and"),
        ("see [text] (and", "see [text] (and"),
    ],
)
def test_half_a_link_is_its_text(text, shown):
    assert half(text) == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (r"so \(x +", 'so <code class="fg-tex">x +</code>'),
        (r"so \[x +", 'so <code class="fg-tex">x +</code>'),
        ("so $5 and", "so $5 and"),
        ("- so\n  $$\n  x", '<ul><li>so<pre class="fg-tex"><code>x</code></pre></li></ul>'),
    ],
)
def test_half_a_formula_is_its_source(text, shown):
    assert half(text) == shown


HEAD = "<table><thead><tr><th>a</th><th>b</th></tr></thead></table>"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("| a | b", HEAD),
        ("| a | b |\n", HEAD),
        ("| a | b |\n|--", HEAD),
        ("| a | b |\n|---|---|\n", HEAD),
        ("Text:\n| a | b |\n", f"Text:{HEAD}"),
        ("- x\n\n  | a | b", f"<ul><li>x{HEAD}</li></ul>"),
        ("```\n| a | b |", "<pre><code>| a | b |</code></pre>"),
        ("- ```\n  | a | b |", "<ul><li><pre><code>| a | b |</code></pre></li></ul>"),
    ],
)
def test_the_head_of_a_table_is_one_before_its_rule_is_there(text, shown):
    assert half(text) == shown


def test_half_a_row_is_a_row():
    shown = half("| a | b |\n|---|---|\n| c | **d")

    assert "<tr><td>c</td><td><strong>d</strong></td></tr>" in shown
    assert "<tr><td><strong>c</strong></td><td></td></tr>" in half("| a | b |\n|---|---|\n| **c")


def test_a_line_of_very_many_bars_is_no_table():
    assert "<table" not in half("| a " * (MOST_COLUMNS + 1))


def test_more_emphases_than_anybody_opens_are_none():
    assert half("*a " * MOST_OPEN).count("<em>") == MOST_OPEN
    assert "<em>" not in half("*a " * (MOST_OPEN + 1))


@pytest.mark.parametrize(
    "mark",
    ["-", "*", "+", "1", "12.", "#", "###", "`", "``", "~", ">", "> -", "|", "$$", "\\", "\\[", "==", "---", "[", "!["],
)
def test_a_mark_that_says_nothing_yet_waits(mark):
    assert shown_line(mark) == shown_line(f"  {mark} ") == ""


@pytest.mark.parametrize("line", ["word", "- a", "1. a", "# a", "```py", "123", "a -", "-1"])
def test_a_line_that_says_something_is_shown(line):
    assert shown_line(line) == line


@pytest.mark.parametrize(
    ("text", "shown"), [("a **", "a "), ("a \\", "a "), ("a &am", "a "), ("a [", "a "), ("a_b", "a_b"), ("a !", "a !")]
)
def test_a_mark_at_the_end_waits(text, shown):
    assert shown_end(text) == shown


REPLY = """\
Some **bold** text, *emphasis*, `code`, a [link](https://example.org/path) and ~~gone~~ words.

- an **item** with `code`
- [another](https://example.org) one

| name | value |
|------|-------|
| **a** | `1` |

```python
x = 1
```

The end: \\(x + y\\) is a sum.
"""


def test_no_mark_is_ever_seen_while_a_reply_streams():
    markup, seen = GrowingMarkup(), ""
    for char in REPLY:
        markup.feed(char)
        markup.change()
        seen = text_of("".join(markup.blocks))
        assert not re.search(r"[*`~|\[\]\\]|https|---", seen), seen
    assert "The end" in seen


SPACES = " " * 50_000


@pytest.mark.parametrize(
    "read",
    [
        lambda: shown_line(f"{SPACES}x"),
        lambda: _HALF_TARGET.fullmatch(f"({SPACES}<<"),
        lambda: _HALF_TARGET.fullmatch(f"(<{SPACES}<"),
        lambda: _HALF_TARGET.fullmatch(f'( "{SPACES}"x'),
    ],
)
def test_white_space_is_read_once(read):
    begun = time.process_time()
    read()

    assert time.process_time() - begun < 1


@pytest.mark.parametrize("target", ["(", "( ", "(<", "(<a b", "(a", '(a "', '(a "b c', '(<a> "b" ', "(  'b", "(a\n'b"])
def test_half_a_target_is_seen(target):
    assert _HALF_TARGET.fullmatch(target)


@pytest.mark.parametrize("target", ["", "a", "(a b", "(<a>b", '(a "b" c', "(a <b"])
def test_what_is_no_target_is_not_taken_for_half_of_one(target):
    assert not _HALF_TARGET.fullmatch(target)

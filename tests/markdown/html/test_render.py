"""Ordinary Markdown becomes the HTML that it means, and all else the text that was typed."""

# ruff: noqa: RUF001 - Chinese punctuation is what one of these tests is about

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it.rules_block.table import escapedSplit

from flowgpt_magic.markdown.blocks import MAX_NESTING, MOST_COLUMNS
from flowgpt_magic.markdown.html.changes import blocks_of
from flowgpt_magic.markdown.html.elements import PageOptions
from flowgpt_magic.markdown.html.render import RenderContext, markup_of, plain_html, row_of
from tests.shown import bad_in, text_of


def shown(text: str, **options: bool) -> str:
    return markup_of(text, PageOptions(**options), RenderContext()).replace(' dir="auto"', "")


LINK = 'target="_blank" rel="noopener noreferrer"'


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("a\nb  \nc <br> d", "<p>a b<br>c <br> d</p>"),
        ("*a* **b** ***c***", "<p><em>a</em> <strong>b</strong> <em><strong>c</strong></em></p>"),
        ("~~d~~ `e`", "<p><s>d</s> <code>e</code></p>"),
        ("# a\n###### b", "<h3>a</h3><h6>b</h6>"),
        ("a\n===\nb\n---", "<h3>a</h3><h4>b</h4>"),
        ("- a\n- b\n  - c", "<ul><li>a</li><li>b<ul><li>c</li></ul></li></ul>"),
        ("- a\n\n- b\n\n  c", "<ul><li>a</li><li><p>b</p><p>c</p></li></ul>"),
        ("3. a\n4. b", '<ol start="3"><li>a</li><li>b</li></ol>'),
        ("- [ ] a\n- [x] b", '<ul><li class="fg-task">☐ a</li><li class="fg-task">☑ b</li></ul>'),
        ("- [y] c", "<ul><li>[y] c</li></ul>"),
        ("> a\n>\n> - b", "<blockquote><p>a</p><ul><li>b</li></ul></blockquote>"),
        ("***", "<hr>"),
        ("    a <b>\n    c", '<pre dir="ltr" data-language=""><code>a &lt;b&gt;\nc</code></pre>'),
        ("- ```c++\n  a\n  ```", '<ul><li><pre dir="ltr" data-language="c++"><code>a</code></pre></li></ul>'),
        ("<b>a</b> &amp; &lt; & \\*", "<p>&lt;b&gt;a&lt;/b&gt; &amp; &lt; &amp; *</p>"),
        ("[a](https://b.c)", f'<p><a href="https://b.c" {LINK}>a</a></p>'),
        ("<https://b.c>", f'<p><a href="https://b.c" {LINK}>https://b.c</a></p>'),
        ("<a@b.c>", f'<p><a href="mailto:a@b.c" {LINK}>a@b.c</a></p>'),
        ("(see https://b.c/d_e.)", f'<p>(see <a href="https://b.c/d_e" {LINK}>https://b.c/d_e</a>.)</p>'),
        ("https://b.c/d_(e)", f'<p><a href="https://b.c/d_(e)" {LINK}>https://b.c/d_(e)</a></p>'),
        ("**https://f.g**", f'<p><strong><a href="https://f.g" {LINK}>https://f.g</a></strong></p>'),
        ("[a][b]\n\n[b]: https://c.d 'e'", f'<p><a href="https://c.d" {LINK}>a</a></p>'),
        ("$x$, $5 and $7", "<p><math><mi>x</mi></math>, $5 and $7</p>"),
        (r"\(x\) \[y\]", '<p><math><mi>x</mi></math> <math display="block"><mi>y</mi></math></p>'),
        (r"\(\href{a}{b}\)", r'<p><code class="fg-tex">\(\href{a}{b}\)</code></p>'),
        ("- $$\n  x\n  $$", '<ul><li><div class="fg-scroll"><math display="block"><mi>x</mi></math></div></li></ul>'),
        ("snake_case 2*3*4 C:\\Users 1 < 2", "<p>snake_case 2<em>3</em>4 C:\\Users 1 &lt; 2</p>"),
        ("", ""),
        ("\n", ""),
        ("[a]: https://b.c", ""),
    ],
)  # fmt: skip
def test_markdown_is_shown_as_what_it_means(text, html):
    assert shown(text) == html
    assert bad_in(markup_of(text, PageOptions(), RenderContext())) == []


TABLE = "| a | b | c |\n|:--|:-:|--:|\n| 1 | `x|y` | d \\| e |\n| 2<br>3 |\n"


def test_a_table_has_the_sides_of_its_rule():
    assert shown(TABLE) == (
        '<div class="fg-scroll"><table><thead><tr><th align="left">a</th><th align="center">b</th>'
        '<th align="right">c</th></tr></thead><tbody><tr><td align="left">1</td><td align="center">`x</td>'
        '<td align="right">y`</td></tr>'
        '<tr><td align="left">2<br>3</td><td align="center"></td><td align="right"></td></tr></tbody></table></div>'
    )


@pytest.mark.parametrize(
    "target", ["javascript:x()", "data:text/html,x", "/lab", "//a.b", "#a", "x.md", "file:///x", "vbscript:x"]
)
def test_a_link_that_does_not_lead_to_the_web_is_text(target):
    assert shown(f"[x]({target})") == f"<p>[x]({target})</p>"
    assert shown(f"[x]\n\n[x]: {target}").startswith("<p>[x]</p>")


ADDRESS = st.lists(st.sampled_from([*"ab.:/?#@[]%1-_é\u2067~&;", "99999", "::1", "xn--", "%zz"]), max_size=12).map(
    "".join
)


@settings(max_examples=500)
@given(st.sampled_from(["https://", "http://a", "HTTPS://a.b/", "mailto:", "mailto:a@"]), ADDRESS)
def test_a_link_has_an_address(scheme, address):
    for text in (
        f"[x](<{scheme}{address}>)",
        f"{scheme}{address} x",
        f"<{scheme}{address}>",
        f"![x](<{scheme}{address}>)",
    ):
        html = markup_of(text, PageOptions(), RenderContext())
        assert html.count("<a ") == html.count("<a href=")
        assert html.count("<button") == html.count(" data-src=")


def test_an_image_is_a_button_with_its_address_until_images_are_wanted():
    text = "![a *cat*](https://a.b/c.png)"

    assert (
        shown(text)
        == '<p><button type="button" class="fg-image" data-src="https://a.b/c.png">a cat (https://a.b/c.png)</button></p>'
    )
    assert shown(text, images=True) == (
        '<p><img src="https://a.b/c.png" alt="a cat" loading="lazy" referrerpolicy="no-referrer"></p>'
    )
    assert shown(text, static=True) == f'<p><a href="https://a.b/c.png" {LINK}>a cat (https://a.b/c.png)</a></p>'


def test_an_image_in_a_link_is_its_description():
    assert (
        shown("[![a](https://b.c/d.png)](https://e.f)")
        == f'<p><a href="https://e.f" {LINK}>a (https://b.c/d.png)</a></p>'
    )


def test_an_image_from_elsewhere_is_its_description():
    for address in ("data:image/png;base64,AAAA", "/files/x.png", "javascript:x"):
        assert "<img" not in shown(f"![a]({address})", images=True)
        assert "data-src" not in shown(f"![a]({address})")


def test_code_is_coloured_on_a_page_without_a_script():
    html = shown("- ```python\n  x = 1\n  ```", static=True)

    assert '<span class="fg-number">1</span>' in html
    assert "data-runs" not in html


def test_what_is_nested_too_deep_is_plain_text():
    assert shown("> " * (MAX_NESTING + 1) + "x").startswith('<pre class="fg-plain">')


def test_references_do_not_multiply_a_long_address_without_end():
    context = RenderContext()
    markup_of(f"[a]: https://b.c/{'d' * 1900}", PageOptions(), context)

    html = markup_of("[a] " * 200, PageOptions(), context)

    assert len(html) < 5000
    assert text_of(html).split() == ["[a]"] * 200 or "[a]" not in text_of(html)


def test_short_rows_do_not_make_very_many_cells():
    columns = MOST_COLUMNS - 1
    text = f"|{'a|' * columns}\n|{'-|' * columns}\n" + "x\n" * 500

    assert len(shown(text)) < 20 * len(text)


def test_a_table_of_more_columns_than_anybody_reads_is_text():
    assert "<table" not in shown(f"|{'a|' * (MOST_COLUMNS + 1)}\n|{'-|' * (MOST_COLUMNS + 1)}\n")


# -- rows ------------------------------------------------------------------------------------------------------------

CELLS = st.lists(
    st.sampled_from(["a", "**b**", "`c`", "|", " | ", "\\|", "<br>", "[d](https://e.f)", " ", "$x$", "&", "<"]),
    min_size=1,
)


@settings(max_examples=300)
@given(CELLS.map("".join).filter(str.strip), st.sampled_from(["|---|:-:|", "---|--:", "|:--|", "| - | :- | -: |"]))
def test_a_row_alone_is_what_it_is_in_its_table(row, rule):
    text, head = f"x{row.strip()}", "|" + "h|" * len([cell for cell in escapedSplit(rule) if cell.strip()])
    context = RenderContext(spare=1_000)

    whole = markup_of(f"{head}\n{rule}\n{text}\n", PageOptions(), RenderContext(spare=1_000))

    assert f"<tbody>{row_of(text, rule, PageOptions(), context)}</tbody>" in whole


@given(st.text(st.characters(codec="utf-8", exclude_categories=["Cc"])))
def test_plain_text_stays_what_was_typed(text):
    assert text_of(plain_html(f"\n{text}\n\t")) == f"\n{text}\n\t"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("见https://a.b/c。好", "https://a.b/c"),
        ("（见https://a.b/c）", "https://a.b/c"),
        ("https://a.b/c查看", "https://a.b/c"),
        ("(https://a.b/c).", "https://a.b/c"),
    ],
)
def test_a_bare_address_ends_where_a_reader_sees_its_end(text, shown):
    assert re.findall('<a href="([^"]*)"', "".join(blocks_of(text))) == [shown]


def test_addresses_without_an_end_cost_their_length():
    def seconds(length: int) -> float:
        begin = time.process_time()
        blocks_of("http://a@" * (length // 9))
        return time.process_time() - begin

    assert min(seconds(32_000) for _ in range(2)) < 8 * min(seconds(8_000) for _ in range(2)) + 0.1

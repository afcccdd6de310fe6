"""Whatever HTML comes, what is left of it can neither run nor fetch anything."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flowgpt_magic.markdown.html.sanitize import MATH_TAGS, TAGS, cleaned, escaped
from tests.payloads import PAYLOADS
from tests.shown import bad_in, text_of
from tests.xss_payloads import NAMED

_PARTS = """
    <p <a <img <math <mtext <mi <svg <style <title <table <td <div <span <pre <code <button <select <template <form <li
    </p </a </math </mtext </style </table </pre > /> href=javascript:pwned() href="https://a.b" src=x onerror=pwned()
    src=https://evil.example style=x:y class=fg-scroll class=x id=y data-src=javascript:x data-src=https://a.b
    <!-- --> ]]> <![CDATA[ &lt; "
"""
PARTS = st.sampled_from([*_PARTS.split(), " ", "\n", "\0", "x"])


@pytest.mark.parametrize("images", [False, True])
@pytest.mark.parametrize("payload", [*NAMED.values(), *PAYLOADS], ids=[*NAMED, *range(len(PAYLOADS))])
def test_no_payload_is_left_in_html(payload, images):
    html = payload.encode("utf-8", "replace").decode()

    shown = cleaned(html, images=images)

    assert bad_in(shown, images=images) == []


@settings(max_examples=500)
@given(st.lists(PARTS, max_size=30).map(" ".join))
def test_no_mix_of_tags_is_left_in_html(html):
    shown = cleaned(html)

    assert bad_in(shown) == []
    assert bad_in(cleaned(shown)) == []


@pytest.mark.parametrize(
    "html",
    [
        '<a href="https://a.b/?x=1&amp;y" target="_blank" rel="noopener noreferrer">x</a>',
        '<a href="mailto:a@b.c" target="_blank" rel="noopener noreferrer">x</a>',
        '<pre dir="ltr" data-language="c++" data-part="2"><code>\n\na &lt; b "c"</code></pre>',
        '<pre dir="ltr" data-language=""><code>x</code><span data-runs="K3Xz"></span></pre>',
        '<math display="block"><mi mathvariant="normal">x</mi><mo stretchy="false" lspace="0.2em">(</mo></math>',
        '<div class="fg-scroll"><table dir="auto"><tbody><tr><td align="right">x</td></tr></tbody></table></div>',
        '<button type="button" class="fg-image" data-src="https://a.b/c.png">x</button>',
        '<ol dir="auto" start="3"><li class="fg-task">☐ x</li></ol>',
    ],
)
def test_what_we_write_stays_as_it_is(html):
    assert cleaned(html) == html


@pytest.mark.parametrize(
    "address", ["javascript:x()", "data:text/html,x", "vbscript:x", "/lab", "//a.b", "x", "#x", "https:x"]
)
def test_an_address_that_leads_elsewhere_is_no_address(address):
    assert "href" not in cleaned(f'<a href="{address}">x</a>')
    assert "src" not in cleaned(f'<img src="{address}">', images=True)
    assert "data-src" not in cleaned(f'<button data-src="{address}">x</button>')


def test_a_link_to_nowhere_is_its_text():
    assert cleaned('<a href="https://xn--" target="_blank">a <em>b</em></a> c') == "a <em>b</em> c"


def test_an_image_stays_only_where_it_is_wanted():
    html = '<img src="https://a.b/c.png" alt="c">'

    assert cleaned(f"x{html}") == "x"
    assert cleaned(html, images=True) == html


def test_elements_that_turn_harmless_html_into_other_html_are_on_no_list():
    assert not (TAGS | MATH_TAGS) & {
        *(
            "style",
            "script",
            "title",
            "textarea",
            "noscript",
            "template",
            "xmp",
            "iframe",
            "noembed",
            "noframes",
            "plaintext",
        ),
        *(
            "svg",
            "form",
            "select",
            "option",
            "input",
            "annotation-xml",
            "annotation",
            "semantics",
            "mglyph",
            "malignmark",
        ),
    }


@given(st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"])))
def test_escaped_text_reads_as_it_was(text):
    assert text_of(cleaned(f"<p>{escaped(text)}</p>")) == text

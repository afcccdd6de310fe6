"""How a reply is shown when it has ended."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowgpt_magic.display import formats
from flowgpt_magic.display.formats import FORMATTERS, format_reply, read_json
from flowgpt_magic.markdown.growing import code_blocks
from flowgpt_magic.settings import FORMATS
from tests.payloads import PAYLOADS

CODE = "Here it is:\n\n```python\nprint('<b>')\n```\n\nand\n\n```\nplain ``` text\n```\n"


def test_every_word_has_its_format_but_that_which_no_provider_can():
    assert set(FORMATS) - FORMATTERS.keys() == {"image"}


def test_code_shows_the_code_alone():
    made = format_reply("Sure!\n\n```python\nprint('<b>')\n```\n\nDone.\n\n~~~js\nlet x\n~~~\n", "code")

    assert made.data == {"text/markdown": "```python\nprint('<b>')\n```\n\n```js\nlet x\n```"}
    assert made.notice == ""


def test_a_reply_without_code_is_shown_whole_and_that_is_said():
    made = format_reply("No **code**.", "code")

    assert made.data == {"text/markdown": "No **code**."}
    assert made.notice == "the reply has no code block"


@given(
    st.lists(
        st.tuples(st.sampled_from(["python", "", "c++"]), st.text("`~ab\n<>", max_size=40)), min_size=1, max_size=3
    )
)
def test_code_comes_out_as_it_was_in_the_reply(blocks):
    text = "\n\n".join(f"~~~~~~~~ {language}\n{code}\n~~~~~~~~" for language, code in blocks if "~~~~~~~~" not in code)
    expected = [code.rstrip() for _language, code in code_blocks(text)]

    made = format_reply(text, "code").data["text/markdown"]

    assert [code.rstrip() for _language, code in code_blocks(made)] == expected or not expected


@pytest.mark.parametrize("text", ['{"b": [1, "ü"]}', 'Sure:\n\n```json\n{"b": [1, "ü"]}\n```\n'])
def test_json_is_checked_and_pretty(text):
    made = format_reply(text, "json")

    assert made.data == {"text/markdown": '```json\n{\n  "b": [\n    1,\n    "ü"\n  ]\n}\n```'}


def test_what_is_no_json_is_kept_and_that_is_said():
    made = format_reply('{"b": oops}', "json")

    assert made.data["text/markdown"]
    assert made.notice.startswith("the reply is not JSON: Expecting value")


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda each: st.lists(each) | st.dictionaries(st.text(), each),
        max_leaves=10,
    )
)
def test_any_json_is_read_also_out_of_a_code_block(value):
    text = json.dumps(value)

    assert read_json(text) == (value, "")
    assert read_json(f"Sure!\n\n```json\n{text}\n```") == (value, "")


THOUGHT = "<think>\nMaybe [1] or\n```\n1\n```\n</think>\n\n"


@pytest.mark.parametrize(
    ("form", "answer", "made"),
    [
        ("code", "```py\n2\n```", "```py\n2\n```"),
        ("json", '{"a": 2}', '```json\n{\n  "a": 2\n}\n```'),
        ("json", 'As in [3]:\n\n{"a": 2}\n', '```json\n{\n  "a": 2\n}\n```'),
        ("math", "x^2", "$$x^2$$"),
    ],
)
def test_what_a_model_thought_before_is_left_out(form, answer, made):
    assert format_reply(THOUGHT + answer, form).data["text/markdown"].replace("$\n", "$").replace("\n$", "$") == made


def test_mathematics_stands_between_dollars_once():
    for text in ("x^2", "$x^2$", "$$\nx^2\n$$", "```latex\nx^2\n```"):
        assert format_reply(text, "math").data == {"text/markdown": "$$x^2$$"}
    assert "because" in format_reply("$x^2$ because $y$", "math").data["text/markdown"]


@pytest.mark.parametrize("payload", PAYLOADS)
def test_nothing_runs_and_nothing_is_fetched_from_html(payload):
    page = format_reply(payload, "html").data["text/html"].lower()

    for part in (
        "<script",
        "<img",
        "<iframe",
        "<svg",
        "<style",
        "<form",
        "<link",
        "<object",
        "<embed",
        "<base",
        "<meta",
    ):
        assert part not in page
    tags = [tag.split(">")[0] for tag in page.split("<")[1:]]
    assert not any(" on" in tag or "src" in tag or "javascript:" in tag or "style=" in tag for tag in tags)


def test_html_keeps_what_is_harmless_also_from_a_code_block():
    page = '<h1>Title</h1><table><tr><td>1</td></tr></table><a href="https://example.org">x</a>'

    for text in (page, f"```html\n{page}\n```"):
        found = format_reply(text, "html").data["text/html"]
        assert "<h1>Title</h1>" in found
        assert "<td>1</td>" in found
        assert 'rel="noopener noreferrer"' in found


@given(st.text(), st.sampled_from(sorted(FORMATTERS)))
def test_no_text_is_too_odd_for_a_format(text, form):
    assert set(format_reply(text, form).data) in ({"text/markdown"}, {"text/html"})


@pytest.mark.parametrize(
    ("form", "kind"), [("markdown", "text/markdown"), ("text", "text/html"), ("json", "text/markdown")]
)
def test_of_a_very_long_reply_the_beginning_is_shown_and_how_much_more_there_is(form, kind, monkeypatch):
    monkeypatch.setattr(formats, "MAX_CHARACTERS", 10)

    page = format_reply("0123456789" + "abcde " * 500, form).data[kind]

    assert "0123456789" in page
    assert "abc" not in page
    assert "3,000 more characters are not shown" in page


def test_a_reply_of_just_that_length_is_shown_whole(monkeypatch):
    monkeypatch.setattr(formats, "MAX_CHARACTERS", 10)

    assert format_reply("[12345678]", "json").data["text/markdown"].startswith("```json")
    assert format_reply("0123456789", "markdown").data == {"text/markdown": "0123456789"}
    assert "1 more characters" in format_reply("0123456789a", "markdown").data["text/markdown"]

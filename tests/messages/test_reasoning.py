"""Where the reasoning of a reply ends and its answer begins."""

from __future__ import annotations

import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from flowgpt_magic.messages.reasoning import answer_of, ends_reasoning, may_open, opens, split_reasoning

TAGS = [
    ("<think>", "</think>"),
    ("<thinking>", "</thinking>"),
    ("<Think>", "</THINK>"),
    ("<thought>", "</thought>"),
    ("<think >", "</think >"),
    ("<think>", "</thinking>"),
    ("<seed:think>", "</seed:think>"),
    ("<mm:think>", "</mm:think>"),
    ("[THINK]", "[/THINK]"),
    ("◁think▷", "◁/think▷"),
]
PIECES = [tag for pair in TAGS for tag in pair] + ["`", "```", "```\n", "\n~~~\n", "\n", " ", "word", ". ", '"', "<th"]
WILD = st.lists(st.sampled_from(PIECES) | st.text(max_size=3), max_size=25).map("".join)
PLAIN = st.text(st.characters(exclude_characters="<>[]◁▷`~", exclude_categories=("Cs",)), max_size=40)


@pytest.mark.parametrize(("opening", "closing"), TAGS)
@pytest.mark.parametrize("before", ["", "\n\n", " \t", "\ufeff"])
def test_what_stands_between_the_tags_at_the_start_is_reasoning(before, opening, closing):
    reasoning = f"{before}{opening}\nIs it [1] or {{}}?\n{closing}\n\n"

    assert split_reasoning(f"{reasoning}Oslo.") == (reasoning, "Oslo.")


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("<think></think>Oslo.", "Oslo."),
        ("<think>\n\n</think>\n\nOslo.", "Oslo."),
        ("<think>a</think> Oslo.", "Oslo."),
        ("<think>a</think>\r\n\r\nOslo.", "Oslo."),
        ("<think>a</think>\n\n    print(1)", "    print(1)"),
        ("<think>a</think>\n<think>b</think>\n\nOslo.", "Oslo."),
        ("<thinking>\n<thinking>\na\n</thinking>\n</thinking>\n\nOslo.", "Oslo."),
        ("<think>a <think> in it</think>Oslo.", "Oslo."),
        ("<think>a</think>Oslo. </think>", "Oslo. </think>"),
        ("<think>It ends with `</think>`, so be it.\n</think>\nOslo.", "Oslo."),
        ('<think>A tag "</think>" in quotes.</think>Oslo.', "Oslo."),
        ('<think>The word is "yes"</think>"yes"', '"yes"'),
        ("<think>\n```\n1\n```</think>\nOslo.", "Oslo."),
        ("<think>```\n1\n```</think>\nOslo.", "Oslo."),
        ("<think>It is `yes`</think>`yes`", "`yes`"),
        ("<think>\n```\n<think>x</think>\n```\n</think>\nOslo.", "Oslo."),
        ("<think>\n```python\nnever closed\n</think>\n\n```python\n1\n```\n", "```python\n1\n```\n"),
    ],
)
def test_the_answer_begins_behind_the_closing_tag_and_blank_lines(text, answer):
    assert answer_of(text) == answer


@pytest.mark.parametrize(
    "text", ["<think>", "<think>Is it Oslo?", "<think>\nIt ends with `</think>`, says he", " <think>\n"]
)
def test_reasoning_that_is_not_closed_reaches_to_the_end(text):
    assert split_reasoning(text) == (text, "")


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("Is it Oslo?\n</think>\n\nOslo.", "Oslo."),
        ("Is it Oslo?\n\n</think>\n\n{}", "{}"),
        ("</think>\n\nOslo.", "Oslo."),
        ("Is it Oslo? Yes.</think>Oslo.", "Oslo."),
        ("Is it Oslo? Yes. </think> Oslo.", "Oslo."),
        ("Is it Oslo?\n</think>Oslo.", "Oslo."),
        ("Is it `<think>` they mean?\n</think>\nOslo.", "Oslo."),
        ("Is it Oslo?\n</think>\n", ""),
        ("是奥斯陆吗。</think>奥斯陆。", "奥斯陆。"),
        ("Hm.\n[/THINK]\nOslo.", "Oslo."),
    ],
)
def test_what_stands_before_a_closing_tag_that_nothing_opens_is_reasoning(text, answer):
    assert answer_of(text) == answer


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Oslo.",
        "\n\nOslo.",
        "Models write <think> before they answer and </think> after that.",
        "Write <think>why</think> and then the answer.",
        "Use the </think> tag to end it.",
        "The tag is `</think>`.\n\nMore.",
        "It is `<think>…</think>` in most models.",
        "```xml\n<think>\nwhy\n</think>\n```\n",
        "In the template:\n\n```\nwhy\n</think>\n```\n",
        "`<think>` begins it.",
        "</think> ends what a model thinks.",
        "<thinker>is a tag of its own</thinker>",
        "<p>a</p>",
        "[1] says so.",
        '{"text": "It is <thinking>a</thinking>b"}',
        '{"text": "It ends.</think>Then it answers."}',
        '["a</think>b"]',
    ],
)
def test_a_reply_that_talks_about_the_tags_or_has_none_is_left_alone(text):
    assert split_reasoning(text) == ("", text)


@given(text=WILD)
@example("<think>`</think>`")
def test_both_parts_joined_are_the_text(text):
    assert "".join(split_reasoning(text)) == text


@given(thought=PLAIN, answer=PLAIN, tags=st.sampled_from(TAGS))
def test_whatever_is_thought_the_answer_is_the_rest(thought, answer, tags):
    opening, closing = tags

    assert answer_of(f"{opening}{thought}{closing}\n\n{answer}").strip() == answer.strip()


@given(thought=PLAIN, answer=PLAIN, tags=st.sampled_from(TAGS))
def test_while_it_streams_nothing_thought_is_ever_an_answer(thought, answer, tags):
    opening, closing = tags
    text = f"{opening}{thought}{closing}{answer}"

    for end in range(len(opening), len(opening + thought + closing)):
        assert answer_of(text[:end]) == ""


@given(text=WILD, cut=st.integers(0, 8))
def test_a_beginning_of_what_opens_may_open(text, cut):
    if opens(text):
        assert may_open(text[:cut]) or opens(text[:cut])


def test_the_end_of_reasoning_that_arrives_is_behind_its_first_closing_tag():
    assert ends_reasoning("why</think>Oslo") == len("why</think>")
    assert ends_reasoning("why</thi") is None


@pytest.mark.parametrize(
    "text",
    [
        "<think>" * 100_000,
        "<think></think>" * 60_000,
        "<think>\n```a\n</think>\n" * 40_000,
        "<think>`</think>`" * 50_000,
        "x </think> x" * 80_000,
        "`</think>`" * 100_000,
        "\n" * 1_000_000,
        "<think>" + " " * 1_000_000,
        "```\n" * 250_000,
        "x" * 1_000_000,
    ],
    ids=lambda text: text[:20].encode("unicode_escape").decode(),
)
def test_a_megabyte_made_to_cost_much_takes_less_than_a_second(text):
    begun = time.thread_time()
    split_reasoning(text)

    assert time.thread_time() - begun < 1

"""An export as Markdown is pleasant to read, harmless, and read back."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from flowgpt_magic.messages import Sent, Usage
from flowgpt_magic.transcripts.files import read, write
from flowgpt_magic.transcripts.transcript import (
    TranscriptError,
)
from tests.markdown.test_harmless import active_in
from tests.payloads import PAYLOADS
from tests.shown import without_captions
from tests.transcripts.turns import AWKWARD, ENDINGS, TEXT, TURNS, turn_of


def test_it_is_pleasant_to_read(tmp_path):
    turns = [
        turn_of(
            "What is a list?",
            "A **list** is:\n\n```python\n[1, 2]\n```",
            started=0.0,
            usage=Usage(seconds=1.234),
            sent=Sent(("prompt",), 2, (), 40),
        ),
        turn_of("And\n\na tuple?", "", started=60.0, status="failed", error="TypeError: <oh>\nno"),
    ]

    lines = write(tmp_path / "a.md", "main_2", "Be brief.", turns).read_text("utf-8").splitlines()

    assert [line for line in lines if line and not line.startswith("<!-- flowgpt_magic")] == [
        r"# main\_2",
        "> Be brief.",
        "## 1",
        "> What is a list?",
        "A **list** is:",
        "```python",
        "[1, 2]",
        "```",
        '<details class="flowgpt-caption" style="opacity: 0.7"><summary><small>echo:words · 1970-01-01 00:00:00 UTC · '
        "≈40 → ≈18 tokens · 1.2 s</small></summary><small>sent: prompt, 2 turns · ≈40 tokens</small></details>",
        "## 2",
        "> And",
        ">",
        "> a tuple?",
        '<div class="flowgpt-caption" style="opacity: 0.7"><small>echo:words · 1970-01-01 00:01:00 UTC · '
        "failed · TypeError: &lt;oh&gt; no</small></div>",
    ]


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(turns=st.lists(TURNS, max_size=2), name=TEXT, system=TEXT)
def test_every_turn_is_seen_whatever_the_one_before_it_says(folder, name, system, turns):
    text = write(folder / "seen.md", name, system, [*turns, turn_of("the end?", "THE END")], overwrite=True)

    tokens = MarkdownIt("commonmark", {"html": True}).parse(text.read_text("utf-8", "strict"))

    top = [token.content for token in tokens if token.type == "inline" and token.level == 1]
    assert str(len(turns) + 1) in top
    assert top[-1] == "THE END"
    comments = [token.content for token in tokens if token.type == "html_block" and token.level == 0]
    assert len(comments) == 4 * len(turns) + 6  # a caption is two of them


@pytest.mark.parametrize("payload", PAYLOADS[::4], ids=str)
def test_nothing_in_it_is_active(folder, payload):
    turn = turn_of(payload, payload, model="words", error=payload, notices=(payload,))
    path = write(folder / "active.md", payload, payload, [turn], overwrite=True)

    lines = [line for line in path.read_text("utf-8").split("\n") if not line.startswith("<!-- flowgpt_magic")]

    assert active_in(without_captions("\n".join(lines))) == []


def test_a_reply_that_was_edited_by_hand_is_read_as_it_is_now(tmp_path):
    path = write(tmp_path / "a.md", "main", "", [turn_of("<b>?", "a\r\nb"), turn_of("two", "three")])
    path.write_text(path.read_text("utf-8").replace("three", "four").replace("\na\nb\n", "\na\nc\n"), "utf-8")

    assert [turn.text for turn in read(path).turns] == ["a\nc", "four"]
    assert read(path).turns[0].prompt == "<b>?"


@pytest.mark.parametrize("ending", ENDINGS)
def test_it_can_be_read_when_its_lines_became_windows_lines(folder, ending):
    turns = [turn_of(text, text) for text in AWKWARD]
    path = write(folder / f"windows{ending}", "main", "a\nb", turns, overwrite=True)
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))

    found = read(path)

    assert [(turn.prompt, turn.text) for turn in found.turns] == [(text, text) for text in AWKWARD]
    assert found.system == "a\nb"


def test_a_turn_that_lost_a_comment_is_refused(tmp_path):
    path = write(tmp_path / "a.md", "main", "", [turn_of()])
    path.write_text(path.read_text("utf-8").replace("<!-- flowgpt_magic reply {} -->\n", ""), "utf-8")

    with pytest.raises(TranscriptError, match="comments of flowgpt_magic are missing in it"):
        read(path)

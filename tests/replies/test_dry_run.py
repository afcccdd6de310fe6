"""What would be sent, shown instead of sent."""

from __future__ import annotations

from flowgpt_magic.conversation import Conversation
from flowgpt_magic.notebook.place import NO_CELL
from flowgpt_magic.replies.dry_run import DryRun


def preview(**options) -> DryRun:
    chat = Conversation(configured=lambda: {"model": "echo"})
    list(chat.ask("one <b>", cell=NO_CELL))
    return DryRun(chat.preview("two\nlines", **options))


def test_it_shows_who_how_and_each_message_exactly():
    made = preview(system="be kind", temperature=0.5, model="flowgpt:claude-v2")
    facts = dict(made.facts())

    assert (facts["provider"], facts["model"], facts["messages"]) == ("flowgpt", "claude-v2", "4")
    assert '"temperature": 0.5' in facts["parameters"]
    assert facts["trimmed"] == "nothing"
    assert made.text().endswith(
        "--- system\nbe kind\n--- user\none <b>\n--- assistant\none <b>\n--- user\ntwo\nlines\n--- nothing was sent"
    )
    assert "one &lt;b&gt;" in made.html()
    assert "<b>" not in made.html().replace("<summary><b>", "")


def test_it_says_what_was_trimmed():
    assert dict(preview(history_tokens=1).facts())["trimmed"] == "1 older turn left out"


def test_it_says_how_many_tokens_that_is_about():
    chat = Conversation(configured=lambda: {"model": "echo"})

    assert dict(DryRun(chat.preview("好" * 300)).facts())["tokens"] == "about 300 (300 characters)"
    assert dict(DryRun(chat.preview("word " * 300)).facts())["tokens"] == "about 300 (1,500 characters)"


def test_no_secret_is_shown():
    made = preview(model="flowgpt", token="very-secret", proxy="http://me:hidden@proxy:1")

    for text in (made.text(), made.html()):
        assert "very-secret" not in text
        assert "hidden" not in text
        assert "***" in text


def test_nothing_is_sent_or_kept():
    chat = Conversation(configured=lambda: {"model": "echo"})

    chat.preview("hello")

    assert chat.turns == []

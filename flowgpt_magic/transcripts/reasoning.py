"""The reasoning of a reply as one line that opens to it.

Reasoning is text from a stranger like the reply itself. It is shown as text, never as Markdown or HTML.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from flowgpt_magic.control_characters import clean
from flowgpt_magic.messages import Usage
from flowgpt_magic.messages.extras import Extras
from flowgpt_magic.messages.reasoning import SplitText, without_tags
from flowgpt_magic.transcripts.caption import STYLE
from flowgpt_magic.transcripts.escaping import NO_FORMULAS, as_html

CLASS = "flowgpt-reasoning"
MAX_CHARACTERS = 100_000  # of reasoning that are shown; of more, only the last ones
_TEXT_STYLE = (
    "border-left: 2px solid; margin: 0.4em 0 0.4em 0.3em; padding-left: 0.8em; white-space: pre-wrap; "
    "overflow-wrap: anywhere"
)


class Reasoned(Protocol):
    """A turn in the history, or one in a file."""

    @property
    def text(self) -> str: ...
    @property
    def usage(self) -> Usage: ...
    @property
    def extras(self) -> Extras | Mapping[str, object]: ...


def parts_of(turn: Reasoned) -> SplitText:
    """The reasoning of a turn, and its text without reasoning between tags, which older turns have in their text."""
    extras = turn.extras
    reasoning = extras.reasoning if isinstance(extras, Extras) else str(extras.get("reasoning") or "")
    return SplitText(reasoning, turn.text) if reasoning else without_tags(turn.text)


def folded_reasoning(turn: Reasoned) -> str:
    """The reasoning that stands beside the text of a turn, folded; empty without it."""
    reasoning, text = parts_of(turn)
    return folded(thought_line(turn.usage.reasoning_seconds), reasoning) if reasoning and text == turn.text else ""


def thinking_line(seconds: float | None) -> str:
    """What is said while the model reasons."""
    return "Thinking…" if seconds is None else f"Thinking… {whole_seconds(seconds)}"


def thought_line(seconds: float | None) -> str:
    """What is said of reasoning that has ended."""
    return "Thought" if seconds is None else f"Thought for {whole_seconds(seconds)}"


def whole_seconds(seconds: float) -> str:
    """``seconds`` without a fraction, at least one."""
    return f"{max(1, round(seconds))} s"


def folded(line: str, reasoning: str, *, opened: bool = False, limit: int = MAX_CHARACTERS) -> str:
    """``line`` as one block of HTML, for a page and for Markdown, which opens to the ``reasoning``.

    Of more than ``limit`` characters of reasoning, only the last ones are there.
    """
    text = "<br>".join(map(as_html, shown_part(reasoning, limit).splitlines()))
    classes = CLASS + (NO_FORMULAS if "&#36;" in text else "")
    return (
        f'<details class="{classes}" style="{STYLE}"{" open" if opened else ""}>'
        f'<summary><small>{as_html(line)}</small></summary><div dir="auto" style="{_TEXT_STYLE}">'
        f"<small>{text}</small></div></details>"
    )


def shown_part(reasoning: str, limit: int = MAX_CHARACTERS) -> str:
    """The last ``limit`` characters of the reasoning, below a line that says so; all of it if there are no more."""
    left_out = len(reasoning) - limit
    text = clean(reasoning[-limit:]).strip("\n")
    return text if left_out <= 0 else f"… {left_out:,} characters before\n{text}"


def reasoning_text(turn: Reasoned) -> str:
    """The reasoning of a turn for plain text, below a line with its seconds; empty without reasoning."""
    reasoning = parts_of(turn).reasoning
    return f"{thought_line(turn.usage.reasoning_seconds)}:\n\n{clean(reasoning).strip()}" if reasoning else ""

"""The caption below a reply: one line that says who answered, what it cost, and what was not sent.

Cells, the panel's saved output, ``%flowgpt show``, other hosts than IPython and every transcript take it from here. In
HTML and Markdown the line opens to what was sent. The live panel builds its own from the same facts, in
``panel/src/turn.js``.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Mapping
from typing import Protocol

from flowgpt_magic.control_characters import clean
from flowgpt_magic.messages import Sent, Status, Usage
from flowgpt_magic.messages.extras import SOURCES, Extras
from flowgpt_magic.messages.token_estimate import estimated_tokens
from flowgpt_magic.redaction import redact
from flowgpt_magic.text import one_line
from flowgpt_magic.transcripts.escaping import NO_FORMULAS, as_html

STILL_ARRIVING = "still arriving: %flowgpt show has the rest"  # true of what was saved before the end
BEFORE_ANSWER = "interrupted before the answer: %flowgpt show --reasoning has the thoughts"
STATUS_WORDS = {
    None: "not sent yet: reply.text sends it",
    "complete": "",
    "cancelled": "interrupted",
    "failed": "failed",
    "streaming": STILL_ARRIVING,
}
CLASS = "flowgpt-caption"
NO_PRICE = "–"  # noqa: RUF001 - a dash
APPROXIMATE = "\N{ALMOST EQUAL TO} "
SMALLEST_AMOUNT = 0.0001  # dollars that are shown as they are
STYLE = "opacity: 0.7"  # grey in light and in dark colours


class Captioned(Protocol):
    """What a caption tells of a reply, of a turn in the history and of one in a file."""

    @property
    def provider(self) -> str: ...
    @property
    def model(self) -> str: ...
    @property
    def text_so_far(self) -> str: ...
    @property
    def usage(self) -> Usage: ...
    @property
    def sent(self) -> Sent: ...
    @property
    def replayed(self) -> bool: ...
    @property
    def status(self) -> Status | None: ...
    @property
    def notices(self) -> Iterable[str]: ...
    @property
    def request_id(self) -> str: ...
    @property
    def extras(self) -> Extras | Mapping[str, object]: ...


def caption(reply: Captioned, *, started: float | None = None, error: str = "", sources: bool = True) -> str:
    """The caption on one line, without passwords.

    Args:
        reply: a reply or a turn.
        started: Unix seconds.
        error: why it failed.
        sources: whether its sources are named; not where a list of them stands beside the caption.
    """
    model = ":".join(filter(None, [reply.provider, reply.model])) or "nobody"
    seconds = reply.usage.seconds
    notices = [text for text in reply.notices if sources or not text.startswith(SOURCES)]
    facts = [
        model,
        time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(started)) if started is not None else "",
        tokens_of(reply),
        "" if reply.replayed else cost_of(reply.usage),
        "" if seconds is None else f"{seconds:.1f} s",
        _thought(reply.usage),
        "replayed" if reply.replayed else "",
        _end_of(reply),
        *map(redact, [*reply.sent.unsent, *notices, error]),
    ]
    return one_line(" · ".join(filter(None, facts)))


def cost_of(usage: Usage) -> str:
    """What a request cost: as the server said, or computed and marked with ``≈``; a dash if that is not known."""
    if usage.cost is None:
        return NO_PRICE if usage.cost_source == "unknown" else ""
    return f"{'' if usage.cost_source == 'server' else APPROXIMATE}{dollars(usage.cost)}"


def dollars(amount: float) -> str:
    """An amount of money with two digits that count, or with cents."""
    if 0 < amount < SMALLEST_AMOUNT:
        return f"< ${SMALLEST_AMOUNT:.4f}"
    digits = 2 if amount >= 0.1 or not amount else 1 - math.floor(math.log10(amount))
    return f"${amount:,.{digits}f}" if amount else "$0"


def _thought(usage: Usage) -> str:
    """How long the model has reasoned; empty if it has not."""
    return "" if usage.reasoning_seconds is None else f"thought {max(1, round(usage.reasoning_seconds))} s"


def _end_of(reply: Captioned) -> str:
    """How it ended; of one that was interrupted before the answer, also how to see its reasoning."""
    if reply.status == "cancelled" and reply.usage.reasoning_seconds is not None and not reply.text_so_far.strip():
        return BEFORE_ANSWER
    return STATUS_WORDS[reply.status]


def tokens_of(reply: Captioned) -> str:
    """The tokens of the request and of the reply: as the server counted them, or estimated and marked with ``≈``."""
    usage = reply.usage
    if reply.status in (None, "streaming"):
        return ""
    before = _count(usage.prompt_tokens, reply.sent.tokens)
    if not before:
        return "" if usage.completion_tokens is None else f"{usage.completion_tokens:,} tokens"
    after = _count(usage.completion_tokens, estimated_tokens(reply.text_so_far))
    return f"{before} → {after or 0} tokens"


def _count(counted: int | None, estimated: int) -> str:
    """One count, or an empty string if it is unknown."""
    if counted is not None:
        return f"{counted:,}"
    return f"≈{estimated:,}" if estimated else ""


def sent_line(reply: Captioned) -> str:
    """What was sent with the prompt, on one line; empty if unknown."""
    if reply.status in (None, "streaming") or not (reply.sent.parts or reply.request_id):
        return ""
    tokens = _count(reply.usage.prompt_tokens, reply.sent.tokens)
    words = f"sent: {', '.join(map(redact, reply.sent.parts))}" if reply.sent.parts else ""
    request = f"request id: {redact(reply.request_id)}" if reply.request_id else ""
    return one_line(" · ".join(filter(None, [words, words and tokens and f"{tokens} tokens", request])))


def caption_html(reply: Captioned, *, started: float | None = None, error: str = "") -> str:
    """The caption as one block of HTML, for a page and for Markdown. It opens to what was sent.

    Above it stand the images that came with the reply, and a numbered list of its sources.
    """
    above, extras = "", extras_of(reply)
    if extras.images or extras.citations:
        from flowgpt_magic.transcripts.additions import additions_html

        above = additions_html(extras.images, extras.citations)
    line = caption(reply, started=started, error=error, sources=not extras.citations)
    return above + line_html(line, sent_line(reply))


def extras_of(reply: Captioned) -> Extras:
    """What came with the text so far."""
    extras = reply.extras
    return extras if isinstance(extras, Extras) else Extras.from_json(extras)


def small(line: str) -> str:
    """``line`` in small letters, in few bytes: it is sent often while a reply arrives."""
    return f'<small style="{STYLE}">{as_html(line)}</small>'


def line_html(line: str, more: str = "") -> str:
    """``line`` as a caption, which opens to ``more``."""
    shown, hidden = map(as_html, (line, more))
    classes = CLASS + (NO_FORMULAS if "&#36;" in shown + hidden else "")
    start = f'class="{classes}" style="{STYLE}"'
    if not more:
        return f"<div {start}><small>{shown}</small></div>"
    return f"<details {start}><summary><small>{shown}</small></summary><small>{hidden}</small></details>"


def caption_text(reply: Captioned, *, started: float | None = None, error: str = "") -> str:
    """The caption for plain text, with what was sent on a line of its own, below a line for each source."""
    citations, sources = extras_of(reply).citations, []
    if citations:
        from flowgpt_magic.transcripts.additions import source_lines

        sources = list(map(clean, source_lines(citations)))
    lines = [caption(reply, started=started, error=error, sources=not citations), sent_line(reply)]
    return "\n".join([*sources, *(f"[{clean(line)}]" for line in lines if line)])

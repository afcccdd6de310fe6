"""Turns as what a notebook and a terminal show of them."""

from __future__ import annotations

from collections.abc import Sequence

from flowgpt_magic.markdown.growing import harmless, plain
from flowgpt_magic.messages import Turn
from flowgpt_magic.redaction import redact
from flowgpt_magic.text import counted, escaped

MOST = 50  # turns of a conversation that are shown at once


def turn_bundle(turn: Turn) -> dict[str, str]:
    """One turn, with who answered and how it ended, as a display bundle."""
    told = [f"{turn.provider}:{turn.model}", turn.status, *turn.notices, *([turn.error] if turn.error else [])]
    facts = redact(" · ".join(told))
    quoted = "\n".join(f"> {line}" for line in harmless(turn.prompt).splitlines())
    shown = f"{quoted}\n\n{harmless(turn.text)}\n\n*{escaped(plain(facts))}*"
    return {"text/markdown": shown, "text/plain": plain(f"{turn.prompt}\n\n{turn.text}\n\n[{facts}]")}


def transcript_bundle(name: str, turns: Sequence[Turn]) -> dict[str, str]:
    """A conversation as a display bundle: its last turns, one below the other."""
    title = f"{name}: {counted(len(turns), 'turn')}"
    if len(turns) > MOST:
        title += f", the last {MOST} of them"
    bundles = [turn_bundle(turn) for turn in turns[-MOST:]]
    return {
        "text/markdown": "\n\n---\n\n".join([f"**{escaped(plain(title))}**", *(b["text/markdown"] for b in bundles)]),
        "text/plain": f"\n\n{'-' * 40}\n".join([plain(title), *(b["text/plain"] for b in bundles)]),
    }

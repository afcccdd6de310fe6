"""Turns of the history as display bundles, for a notebook and a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from flowgpt_magic.control_characters import clean
from flowgpt_magic.markdown.growing import harmless
from flowgpt_magic.messages import Turn
from flowgpt_magic.text import counted, escaped
from flowgpt_magic.transcripts.caption import caption_html, caption_text
from flowgpt_magic.transcripts.pictures import pictures_of
from flowgpt_magic.transcripts.reasoning import folded, parts_of, reasoning_text, thought_line

SHOWN_TURNS = 50  # turns of a conversation that are shown at once


@dataclass(frozen=True)
class TurnWithReasoning:
    """A turn that is shown with what the model thought before its answer."""

    turn: Turn


def turn_bundle(turn: Turn, *, reasoning: bool = False) -> dict[str, str]:
    """One turn with its caption, and with its ``reasoning`` if that is asked for.

    Reasoning between tags, which older turns have in their text, is folded otherwise.
    """
    pictures = pictures_of(turn)
    shown_pictures = "".join(f"\n\n{picture.markdown}" for picture in pictures)
    plain_pictures = "".join(f"\n{picture.line}" for picture in pictures)
    quoted = "\n".join(f"> {line}" for line in harmless(turn.prompt).splitlines())
    thought, text = parts_of(turn)
    above, plain_text = "", turn.text
    if thought and (reasoning or text != turn.text):
        above = f"{folded(thought_line(turn.usage.reasoning_seconds), thought, opened=reasoning)}\n\n"
    if reasoning:
        plain_text = "\n\n".join(filter(None, [reasoning_text(turn), text]))
    shown = f"{quoted}{shown_pictures}\n\n{above}{harmless(text)}\n\n{caption_html(turn, error=turn.error)}"
    plain = f"{turn.prompt}{plain_pictures}\n\n{plain_text}\n\n{caption_text(turn, error=turn.error)}"
    return {"text/markdown": shown, "text/plain": clean(plain)}


def transcript_bundle(name: str, turns: Sequence[Turn]) -> dict[str, str]:
    """The last turns of a conversation, one below the other."""
    title = f"{name}: {counted(len(turns), 'turn')}"
    if len(turns) > SHOWN_TURNS:
        title += f", the last {SHOWN_TURNS} of them"
    bundles = [turn_bundle(turn) for turn in turns[-SHOWN_TURNS:]]
    return {
        "text/markdown": "\n\n---\n\n".join([f"**{escaped(clean(title))}**", *(b["text/markdown"] for b in bundles)]),
        "text/plain": f"\n\n{'-' * 40}\n".join([clean(title), *(b["text/plain"] for b in bundles)]),
    }

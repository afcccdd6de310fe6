"""A transcript as Markdown, and back.

Comments hold the fields of the turns. Between them stand the prompts and replies, as harmless Markdown. Where that
differs from the text, the comment holds the text too.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict
from typing import Any
from zlib import crc32

from flowgpt_magic.control_characters import escaped_in_json
from flowgpt_magic.text import escaped, one_line
from flowgpt_magic.transcripts.caption import caption_html
from flowgpt_magic.transcripts.pictures import Thumbnails, pictures_of
from flowgpt_magic.transcripts.reasoning import folded_reasoning
from flowgpt_magic.transcripts.transcript import HEADER, JsonObject, Transcript, check_format, from_json

_COMMENT_START = "<!-- flowgpt_magic"
_COMMENT = re.compile(rf"^{_COMMENT_START} (\w+) (\{{.*\}}) -->$", re.MULTILINE)


def to_markdown(transcript: Transcript, thumbnails: Thumbnails | None = None) -> str:
    """The transcript as Markdown."""
    system, original_system = _harmless(transcript.system)
    parts = [
        _comment("transcript", HEADER | {"name": transcript.name, "system": original_system}),
        f"# {escaped(one_line(transcript.name))}",
        *([_quoted(system)] if transcript.system else []),
    ]
    for number, turn in enumerate(transcript.turns, 1):
        prompt, original_prompt = _harmless(turn.prompt)
        text, original_text = _harmless(turn.text)
        parts += [
            _comment("turn", asdict(turn) | {"prompt": original_prompt, "text": original_text}),
            f"## {number}",
            _quoted(prompt),
            *(picture.markdown for picture in pictures_of(turn, thumbnails)),
            *([above] if (above := folded_reasoning(turn)) else []),
            _comment("reply", {}),
            text,
            _comment("caption", {}),
            caption_html(turn, started=turn.started, error=turn.error),
        ]
    return "\n\n".join([*parts, _comment("end", {})]) + "\n"


def from_markdown(text: str) -> JsonObject:
    """The JSON object of the transcript in ``text``. Raises ``ValueError``."""
    # An export has no carriage return outside of JSON. Those that are there were added on the way.
    before, *pieces = _COMMENT.split(text.replace("\r\n", "\n"))
    # Captions are for the reader; exports of earlier versions have them between prompt and reply.
    parts = [part for part in zip(pieces[::3], pieces[1::3], pieces[2::3], strict=True) if part[0] != "caption"]
    kinds, bodies = [kind for kind, _, _ in parts], [body for _, _, body in parts]
    objects = [from_json(values) for _, values, _ in parts]
    if before.strip() or kinds[:1] != ["transcript"]:
        raise ValueError("it is not an export of flowgpt_magic")
    check_format(objects[0])
    if kinds[1:] != ["turn", "reply"] * (len(kinds) // 2 - 1) + ["end"]:
        raise ValueError("comments of flowgpt_magic are missing in it")
    turns = [
        turn
        | {
            "prompt": _original(_unquoted(prompt), turn.get("prompt")),
            "text": _original(reply.strip("\n"), turn.get("text")),
        }
        for turn, prompt, reply in zip(objects[1:-1:2], bodies[1:-1:2], bodies[2:-1:2], strict=True)
    ]
    return objects[0] | {"system": _original(_unquoted(bodies[0]), objects[0].get("system")), "turns": turns}


def _comment(kind: str, values: JsonObject) -> str:
    """A comment that nothing inside it can end."""
    text = escaped_in_json(json.dumps(values, ensure_ascii=False)).replace("--", "-\\u002d")
    text = text.replace("<", "\\u003c").replace(">", "\\u003e")
    return f"{_COMMENT_START} {kind} {text} -->"


def _harmless(text: str) -> tuple[str, JsonObject]:
    """``text`` as harmless Markdown, and what ``_original`` needs to get ``text`` back."""
    from flowgpt_magic.markdown.growing import harmless

    shown = harmless(text).strip("\n")
    if text == shown and _COMMENT_START not in text:
        return text, {}
    shown = shown.replace(_COMMENT_START, _COMMENT_START.replace(" ", "  "))
    return shown, {"text": text, "shown": crc32(shown.encode())}


def _original(shown: str, values: Any) -> str:
    """The text whose harmless form is ``shown``; ``shown`` itself if it was edited."""
    is_unchanged = isinstance(values, dict) and values.get("shown") == crc32(shown.encode())
    text = values.get("text") if is_unchanged else None
    return text if isinstance(text, str) else shown


def _quoted(text: str) -> str:
    return "\n".join(f"> {line}" if line else ">" for line in text.split("\n"))


def _unquoted(body: str) -> str:
    """The quotation in ``body``. Nothing else in an export begins with ``>``."""
    return "\n".join(line[1:].removeprefix(" ") for line in body.split("\n") if line.startswith(">"))

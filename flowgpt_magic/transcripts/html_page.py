"""A conversation as an HTML page that needs no kernel, no widgets and no scripts.

The page fetches nothing and runs nothing; its content security policy forbids both. Pictures are in the page itself. It
follows the light or dark mode of the reader's system. In a notebook it has Jupyter's colours.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

from flowgpt_magic.control_characters import clean
from flowgpt_magic.messages import Turn
from flowgpt_magic.messages.reasoning import without_tags
from flowgpt_magic.prompt.pictures import without_references
from flowgpt_magic.text import one_line
from flowgpt_magic.transcripts.caption import caption_html
from flowgpt_magic.transcripts.pictures import Thumbnails, pictures_of
from flowgpt_magic.transcripts.reasoning import folded, parts_of, thought_line

if TYPE_CHECKING:
    from flowgpt_magic.transcripts.transcript import Transcript, TranscriptTurn

POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"

# For each kind of token in code: the last part of Jupyter's CSS variable, and the colours without it, light and dark.
_COLOURS = {
    "keyword": ("keyword", "#008000", "#7ee787"),
    "string": ("string", "#ba2121", "#ff9580"),
    "comment": ("comment", "#4f7575", "#9fb4b4"),
    "number": ("number", "#006644", "#7fd1ae"),
    "function": ("def", "#0000cc", "#9ab8ff"),
    "builtin": ("builtin", "#006600", "#8fd18f"),
    "operator": ("operator", "#7422a8", "#d6a8ff"),
    "meta": ("meta", "#7422a8", "#d6a8ff"),
    "tag": ("tag", "#117700", "#7fd17f"),
    "attribute": ("attribute", "#0000aa", "#a8b8ff"),
    "variable": ("variable-2", "#005599", "#80c4ff"),
    "atom": ("atom", "#7a4000", "#e6b873"),
    "error": ("error", "#c00000", "#ff9b9b"),
}
_LIGHT = {
    "text": "#1f2328",
    "faint": "#57606a",
    "line": "#d0d7de",
    "paper": "#ffffff",
    "code": "#f6f8fa",
    "link": "#0550ae",
}
_DARK = {
    "text": "#e6edf3",
    "faint": "#9aa4ae",
    "line": "#3d444d",
    "paper": "#0d1117",
    "code": "#161b22",
    "link": "#79b8ff",
}
_JUPYTER = {
    "text": "content-font-color1",
    "faint": "content-font-color2",
    "line": "border-color2",
    "paper": "layout-color0",
    "code": "layout-color2",
    "link": "content-link-color",
}
# A code block of a prompt, closed or not.
_FENCED = re.compile(
    r"^ {0,3}(?P<fence>`{3,}|~{3,})[^`\n]*\n(?P<code>.*?)(?:^ {0,3}(?P=fence)[`~]*[ \t]*(?:\n|\Z)|\Z)", re.M | re.S
)
_RULES = """
.fg-transcript { color: var(--fg-text); font-family: system-ui, sans-serif; line-height: 1.5; max-width: 50em; }
.fg-transcript section { border-top: 1px solid var(--fg-line); padding: 0.5em 0; }
.fg-transcript .fg-prompt, .fg-transcript .fg-plain { white-space: pre-wrap; overflow-wrap: anywhere; }
.fg-transcript .fg-prompt { background: var(--fg-code); border-inline-start: 3px solid var(--fg-link); margin: 0.5em 0;
  padding: 0.5em 0.8em; }
.fg-transcript .fg-caption { color: var(--fg-faint); font-size: 0.85em; overflow-wrap: anywhere; }
.fg-transcript .flowgpt-caption { opacity: 1 !important; }
.fg-transcript .flowgpt-caption small { font-size: 1em; }
.fg-transcript .fg-picture { margin: 0.5em 0; }
.fg-transcript .fg-picture img { border: 1px solid var(--fg-line); display: block; max-width: 100%; height: auto; }
.fg-transcript .fg-reply { overflow-wrap: anywhere; }
.fg-transcript .fg-prompt p { margin: 0; }
.fg-transcript .fg-prompt pre { margin: 0.4em 0; white-space: pre; background: none; }
.fg-transcript pre code { background: none; }
.fg-transcript pre, .fg-transcript .fg-scroll { overflow-x: auto; }
.fg-transcript .fg-reply pre { background: var(--fg-code); margin: 0.6em 0; padding: 0.6em 0.8em; }
.fg-transcript .fg-reply pre[data-part] { margin-top: -0.6em; padding-top: 0; }
.fg-transcript code, .fg-transcript pre { font-family: ui-monospace, monospace; font-size: 0.93em; }
.fg-transcript table { border-collapse: collapse; }
.fg-transcript th, .fg-transcript td { border: 1px solid var(--fg-line); padding: 0.25em 0.6em;
  overflow-wrap: break-word; }
.fg-transcript th:not([align]), .fg-transcript td:not([align]) { text-align: start; }
.fg-transcript blockquote { border-inline-start: 3px solid var(--fg-line); color: var(--fg-faint); margin-inline: 0;
  padding-inline-start: 1em; }
.fg-transcript .fg-task { list-style: none; margin-inline-start: -1.2em; }
.fg-transcript a { color: var(--fg-link); }
.fg-transcript math { direction: ltr; }
.fg-transcript mtd.fg-left { text-align: left; }
.fg-transcript mtd.fg-right { text-align: right; }
.fg-transcript .fg-boxed { border: 1px solid; padding: 0.2em; }
.fg-transcript .fg-struck { background: linear-gradient(to top right, transparent 48%, currentColor, transparent 52%); }
"""


def _style() -> str:
    variables = _JUPYTER | {word: f"mirror-editor-{name}-color" for word, (name, _, _) in _COLOURS.items()}
    light = _LIGHT | {word: colour for word, (_, colour, _) in _COLOURS.items()}
    dark = _DARK | {word: colour for word, (_, _, colour) in _COLOURS.items()}

    def declared(colours: dict[str, str]) -> str:
        return " ".join(f"--fg-{name}: var(--jp-{variables[name]}, {colour});" for name, colour in colours.items())

    words = "".join(f".fg-transcript .fg-{word} {{ color: var(--fg-{word}); }}\n" for word in _COLOURS)
    return (
        f".fg-transcript {{ {declared(light)} }}\n"
        f"@media (prefers-color-scheme: dark) {{ .fg-transcript {{ {declared(dark)} }} }}{_RULES}{words}"
    )


STYLE = _style()
_PAGE = "html { color-scheme: light dark; } body { margin: 1.5em auto; max-width: 50em; padding: 0 1em; }"
_PAGE += " @media (prefers-color-scheme: dark) { body { background: #0d1117; color: #e6edf3; } }"


def to_page(transcript: Transcript, thumbnails: Thumbnails | None = None) -> str:
    """The page of a conversation, with its name and its system prompt."""
    name, system = transcript.name, transcript.system
    return transcript_html(transcript.turns, name=name, system=system, thumbnails=thumbnails)


def transcript_html(
    turns: Iterable[Turn | TranscriptTurn],
    *,
    name: str = "",
    system: str = "",
    thumbnails: Thumbnails | None = None,
) -> str:
    """A page with these turns, in their order."""
    title = _escaped(one_line(name) or "Conversation")
    system_html = f'<p class="fg-prompt" dir="auto">{_escaped(system)}</p>' if system else ""
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="referrer" content="no-referrer">\n'
        f"<title>{title}</title>\n<style>\n{_PAGE}\n{STYLE}</style>\n</head>\n<body>\n"
        f'<main class="fg-transcript">\n<h1 dir="auto">{title}</h1>\n'
        f"{system_html}{turns_html(turns, thumbnails)}</main>\n</body>\n</html>\n"
    )


def turns_html(turns: Iterable[Turn | TranscriptTurn], thumbnails: Thumbnails | None = None) -> str:
    """The turns as a part of a page with ``STYLE``, inside an element of the class ``fg-transcript``."""
    return "".join(_turn(number, turn, thumbnails) for number, turn in enumerate(turns, 1))


def _turn(number: int, turn: Turn | TranscriptTurn, thumbnails: Thumbnails | None) -> str:
    from flowgpt_magic.markdown.html.changes import static_blocks_of

    below = caption_html(turn, started=turn.started or None, error=turn.error)
    # A turn of the history is shown without its reasoning.
    thought, text = without_tags(turn.text) if isinstance(turn, Turn) else parts_of(turn)
    above = f"{folded(thought_line(turn.usage.reasoning_seconds), thought)}\n" if thought else ""
    blocks = "\n".join(static_blocks_of(text))
    pictures = [picture.html for picture in pictures_of(turn, thumbnails)] if turn.images else []
    prompt = without_references(turn.prompt) if pictures else turn.prompt
    return (
        f"<section>\n<h2>{number}</h2>\n{_prompt(prompt)}\n{''.join(pictures)}"
        f'{above}<div class="fg-reply">\n{blocks}\n</div>\n'
        f'<div class="fg-caption">{below}</div>\n</section>\n'
    )


def _prompt(text: str) -> str:
    """A prompt: its code blocks as code, and all else as it was typed."""
    if not _FENCED.search(text):
        return f'<p class="fg-prompt" dir="auto">{_escaped(text)}</p>'
    parts, end = [], 0
    for block in _FENCED.finditer(text):
        parts += [_words(text[end : block.start()]), f"<pre><code>{_escaped(block['code'])}</code></pre>"]
        end = block.end()
    return f'<div class="fg-prompt">{"".join(parts)}{_words(text[end:])}</div>'


def _words(text: str) -> str:
    """A part of a prompt beside a code block."""
    words = text.strip("\n")
    return f'<p dir="auto">{_escaped(words)}</p>' if words else ""


def _escaped(text: str) -> str:
    return html.escape(clean(text))

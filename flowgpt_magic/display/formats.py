"""The formats of a finished reply: one line in ``FORMATTERS`` for each value of ``-f``.

In every format ``text/plain`` is the reply itself, and nothing in the output can run.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable
from dataclasses import dataclass

from flowgpt_magic.control_characters import clean
from flowgpt_magic.markdown.growing import code_blocks, harmless
from flowgpt_magic.markdown.json_text import block_in
from flowgpt_magic.messages.reasoning import answer_of


@dataclass(frozen=True)
class FormattedReply:
    """A reply in one format: its display bundle without a caption, and a notice for the reader."""

    data: dict[str, str]
    notice: str = ""


def _markdown(text: str, images: bool) -> FormattedReply:
    return FormattedReply({"text/markdown": harmless(text, images=images).rstrip("\n")})


def _text(text: str, _images: bool) -> FormattedReply:
    style = "white-space: pre-wrap; font-family: monospace"  # pages of nbconvert show it in the font of the text
    return FormattedReply({"text/html": f'<pre style="{style}">{html.escape(clean(text))}</pre>'})


def _code(text: str, images: bool) -> FormattedReply:
    blocks = code_blocks(text)
    if not blocks:
        return FormattedReply(_markdown(text, images).data, "the reply has no code block")
    return FormattedReply(
        {"text/markdown": harmless("\n\n".join(_fenced(code, language) for language, code in blocks))}
    )


def _json(text: str, images: bool) -> FormattedReply:
    value, error = read_json(text)
    if error:
        return FormattedReply(_markdown(text, images).data, f"the reply is not JSON: {error}")
    return FormattedReply({"text/markdown": harmless(_fenced(json.dumps(value, indent=2, ensure_ascii=False), "json"))})


def _html(text: str, _images: bool) -> FormattedReply:
    """Sanitized HTML: no scripts, styles or forms, and nothing that is fetched, such as an image."""
    import nh3  # slow to import, and few replies need it

    blocks = [code for language, code in code_blocks(text) if language in ("html", "")]
    page = blocks[0] if len(blocks) == 1 else answer_of(text)
    return FormattedReply(
        {"text/html": nh3.clean(clean(page), tags=nh3.ALLOWED_TAGS - FETCHING, attributes=_attributes())}
    )


FETCHING = {"img", "map", "area"}  # tags that make the browser fetch something
FETCHING_ATTRIBUTES = {"src", "srcset", "background", "cite", "longdesc"}


def _attributes() -> dict[str, set[str]]:
    import nh3

    return {tag: names - FETCHING_ATTRIBUTES for tag, names in nh3.ALLOWED_ATTRIBUTES.items() if tag not in FETCHING}


def _math(text: str, images: bool) -> FormattedReply:
    blocks = code_blocks(text)
    formula = (blocks[0][1] if len(blocks) == 1 else answer_of(text)).strip()
    if re.search(r"\$|\\[\[(]", formula.strip("$")) or "\n\n" in formula:  # text with formulas
        return _markdown(text, images)
    return FormattedReply({"text/markdown": harmless(f"$$\n{formula.strip('$').strip()}\n$$", images=False)})


FORMATTERS: dict[str, Callable[[str, bool], FormattedReply]] = {
    "markdown": _markdown,
    "md": _markdown,
    "text": _text,
    "code": _code,
    "json": _json,
    "html": _html,
    "math": _math,
}
STREAMED_FORMATS = ("markdown", "md")  # shown in their format while they arrive; the others as text


MAX_CHARACTERS = 2**20  # of a reply; browsers cannot draw more


def format_reply(text: str, form: str, *, images: bool = False) -> FormattedReply:
    """``text`` in the format ``form``.

    Only the first ``MAX_CHARACTERS`` of a longer text are shown, as Markdown or as text, with a line that says so.
    """
    if len(text) <= MAX_CHARACTERS:
        return FORMATTERS[form](text, images)
    beginning = FORMATTERS["text" if form == "text" else "markdown"](text[:MAX_CHARACTERS], images)
    left_out = len(text) - MAX_CHARACTERS
    note = f"… {left_out:,} more characters are not shown; the plain text of this output has the whole reply"
    templates = {"text/markdown": "{}\n\n*{}*", "text/html": "{}<p><em>{}</em></p>"}
    return FormattedReply({kind: templates[kind].format(page, note) for kind, page in beginning.data.items()})


def read_json(text: str) -> tuple[object, str]:
    """The JSON value of a reply, which may stand inside other text; if there is none, what is wrong with it."""
    answer = answer_of(text)
    try:
        return json.loads(answer), ""
    except (ValueError, RecursionError) as error:
        reason = str(error)
    if (block := block_in(text)) is not None:
        return block.value, ""
    blocks = code_blocks(text)
    if len(blocks) == 1:
        try:
            json.loads(blocks[0][1])
        except (ValueError, RecursionError) as error:
            reason = str(error)
    return None, reason


def _fenced(code: str, language: str) -> str:
    """A code block whose fence is longer than any fence in the code."""
    fence = "`" * max(3, 1 + max(map(len, re.findall(r"`+", code)), default=0))
    word = language if re.fullmatch(r"[\w+#.-]+", language) else ""
    return f"{fence}{word}\n{clean(code).rstrip()}\n{fence}"
